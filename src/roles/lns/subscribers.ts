/**
 * The life of sessions: a call becomes a PPP link, the link a user, the user gets addresses and a place in the data path,
 * and all of that goes again. Owns the wheel of their timers. Every limit ends in a named counter, never in an exception.
 */
import type { LnsConfig } from '../../config/lns.js';
import type { SessionCounters } from '../../flow/session-table.js';
import { TimerWheel } from '../../flow/timer-wheel.js';
import { CALL_RESULT, ERROR_CODE } from '../../protocol/l2tp/codes.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { AuthenticateRequest, PppEnd, PppEvent } from '../../protocol/ppp/events.js';
import { PppLink } from '../../protocol/ppp/link.js';
import type { PppOptions } from '../../protocol/ppp/options.js';
import type { Accounting } from './accounting.js';
import { Addressing } from './addressing.js';
import type { Judge } from './authenticator.js';
import { type Grant, NOTHING_PARTICULAR, type Verdict } from './grant.js';
import type { LnsCounters } from './lns-counters.js';
import type { LnsOffload } from './offload-face.js';
import type { SessionState } from './offload-host.js';
import type { Pools } from './pools.js';
import { proxyOf, tellLac } from './proxy-lcp.js';
import { END_REASONS, reasonOf } from './reasons.js';
import { fillRestored } from './restore.js';
import { callFlags, limitsOf, linkFlags, rowOf } from './session-rows.js';
import { callFactsOf, type EndReason, factsOf, idleAt, nextOf, Subscriber } from './subscriber.js';
import type { SubscribersOptions } from './subscribers-options.js';
import { addTraffic, type Traffic } from './traffic.js';
import { UserCounts } from './user-counts.js';

const NEVER = Number.POSITIVE_INFINITY;
/** Events of a link that one turn follows. */
const ROUNDS = 32;
const WHEEL_STRIDE = 2;
const ACCOUNTING_ID_LENGTH = 8;

export class Subscribers {
  readonly #options: SubscribersOptions;
  readonly #bySlot: (Subscriber | undefined)[];
  readonly #users = new UserCounts();
  readonly #wheel: TimerWheel;
  readonly #addressing: Addressing;
  #dirty: Subscriber[] = [];
  /** Of the turn. */
  #now = 0;
  #config: LnsConfig;
  #ppp: PppOptions;
  #judge: Judge;
  #accounting: Accounting | null;
  /** Of sessions that have gone. */
  readonly #past = { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };
  offload: LnsOffload | null = null;
  count = 0;
  /** Sessions with an address. */
  up = 0;

  constructor(options: SubscribersOptions, now: number) {
    this.#options = options;
    this.#config = options.config;
    this.#ppp = options.ppp;
    this.#judge = options.judge;
    this.#accounting = options.accounting;
    const { capacity } = options.table;
    this.#bySlot = new Array<Subscriber | undefined>(capacity).fill(undefined);
    this.#wheel = new TimerWheel(new Int32Array(capacity * WHEEL_STRIDE), WHEEL_STRIDE, 0, 1, now, 4096);
    this.#addressing = new Addressing(options);
  }

  /** Settings for sessions to come; those that are there keep theirs, and their addresses. */
  configure(config: LnsConfig, ppp: PppOptions, pools: Pools, judge: Judge, accounting: Accounting | null): void {
    this.#config = config;
    this.#ppp = ppp;
    this.#judge = judge;
    this.#accounting = accounting;
    const isOther = pools !== this.#addressing.pools;
    this.#addressing.configure(config, pools);
    if (isOther) for (const subscriber of this.all()) this.#addressing.retake(subscriber);
  }

  get addressing(): Addressing {
    return this.#addressing;
  }

  of(session: L2tpSession): Subscriber | null {
    return session.userData instanceof Subscriber ? session.userData : null;
  }

  at(slot: number): Subscriber | null {
    return this.#bySlot[slot] ?? null;
  }

  *all(): Generator<Subscriber> {
    for (const subscriber of this.#bySlot) if (subscriber !== undefined) yield subscriber;
  }

  counters(subscriber: Subscriber): SessionCounters {
    return this.#options.table.counters(subscriber.slot);
  }

  lastSeen(subscriber: Subscriber): number {
    return this.#options.table.lastSeen(subscriber.slot);
  }

  /** Of all sessions, those that have gone included. */
  traffic(): Traffic {
    const sum = { ...this.#past };
    for (const subscriber of this.all()) addTraffic(sum, this.counters(subscriber));
    return sum;
  }

  /** An IPv6 packet of a subscriber to its link. */
  linkLocal(slot: number, packet: Uint8Array, now: number): void {
    const subscriber = this.#bySlot[slot];
    if (subscriber === undefined) return;
    this.#addressing.linkLocal(subscriber, packet, now);
    this.#schedule(subscriber);
  }

  get nextTime(): number {
    if (this.#dirty.length > 0) return 0;
    return this.#wheel.size > 0 ? Math.floor(this.#now) + 1 : NEVER;
  }

  // ── events of calls ───────────────────────────────────────────────────────────────────────────────────────────────

  event(event: L2tpEvent, now: number): void {
    this.#now = now;
    switch (event.type) {
      case 'call':
        return this.#call(event.session, now);
      case 'session-up':
        return this.#connected(event.session, now);
      case 'session-down': {
        const subscriber = this.of(event.session);
        if (subscriber === null) return;
        const reason = event.by === 'peer' ? 'lac' : event.by === 'tunnel' ? 'tunnel' : 'error';
        this.#gone(subscriber, subscriber.ending ?? reason, event.message, now);
        return;
      }
      default:
    }
  }

  #call(session: L2tpSession, now: number): void {
    const { counters, overload, table } = this.#options;
    counters.calls++;
    const refuse = (reason: Parameters<LnsCounters['refuse']>[0], error: number, message: string): void => {
      counters.refuse(reason);
      if (error === 0) session.refuse(CALL_RESULT.administrative, 0, message);
      else session.refuse(CALL_RESULT.error, error, message);
    };
    if (session.kind !== 'incoming') {
      counters.refuse('outgoing-call');
      return session.refuse(CALL_RESULT.permanentLack, 0, 'no outgoing calls here');
    }
    const trouble = overload();
    if (trouble !== null) return refuse('overload', ERROR_CODE.tryAnother, trouble);
    const slot = table.add(rowOf(session, this.#config));
    if (slot < 0) return refuse(table.refusal === 'full' ? 'sessions-full' : 'table', ERROR_CODE.tryAnother, 'no room');
    this.place(session, slot, now);
    session.accept();
  }

  /** Makes the subscriber of a call that has its place in the data path. */
  place(
    session: L2tpSession,
    slot: number,
    now: number,
    accountingId = hex(this.#options.random(ACCOUNTING_ID_LENGTH)),
  ): Subscriber {
    const { clock, localAddress } = this.#options;
    const call = callFactsOf(session, { slot, accountingId, localAddress: localAddress(session.tunnel.peer.socket) });
    const subscriber = new Subscriber(session, slot, now, clock(), call);
    session.userData = subscriber;
    this.#bySlot[slot] = subscriber;
    this.count++;
    return subscriber;
  }

  #connected(session: L2tpSession, now: number): void {
    const subscriber = this.of(session);
    if (subscriber === null) return;
    // ICCN says whether data has sequence numbers, and only now.
    subscriber.flags = callFlags(session, this.#config);
    this.#options.table.update(subscriber.slot, { flags: subscriber.flags });
    const link = new PppLink(this.#ppp);
    subscriber.link = link;
    subscriber.state = 'link';
    const trust = this.#options.proxyOf(session);
    const proxy = proxyOf(session, trust);
    if (proxy === null) link.start(now);
    else if (link.startFromProxy(proxy, now)) this.#options.counters.proxied++;
    const early = subscriber.early ?? [];
    subscriber.early = null;
    for (const frame of early) link.receive(frame, now);
    this.pump(subscriber, now);
  }

  /** A session that another LNS had goes on here; why not, or null. Nothing is sent to the subscriber. */
  restore(session: L2tpSession, state: SessionState, silent: boolean, now: number): string | null {
    this.#now = now;
    if (this.of(session) !== null) return 'exists';
    const { table } = this.#options;
    const { peer } = state.ppp.lcp;
    const flags = linkFlags(callFlags(session, this.#config), peer);
    const slot = table.add({ ...rowOf(session, this.#config), flags, ...limitsOf(peer.mru, this.#config) });
    if (slot < 0) return table.refusal;
    const subscriber = this.place(session, slot, now, state.accountingId);
    fillRestored(subscriber, state, { flags, silent, now, clockMs: this.#options.clock() });
    if (state.grant !== null) this.#grant(subscriber, state.grant);
    subscriber.link = PppLink.restore(state.ppp, this.#ppp, now);
    table.setSequence(slot, state.sendNs, state.receiveNs);
    if (!this.#addressing.adopt(subscriber, state, now)) {
      this.forget(subscriber);
      return 'address-in-use';
    }
    subscriber.state = 'up';
    subscriber.accounted = true;
    this.up++;
    subscriber.interimAt = now + this.#interimSeconds(subscriber);
    this.touch(subscriber);
    return null;
  }

  // ── frames and timers ─────────────────────────────────────────────────────────────────────────────────────────────

  /** A frame that the data path does not forward by itself. */
  frame(slot: number, bytes: Uint8Array, now: number): void {
    this.#now = now;
    const subscriber = this.#bySlot[slot];
    if (subscriber === undefined) return void this.#options.counters.strayFrames++;
    if (subscriber.link === null) {
      if (!subscriber.keep(bytes)) this.#options.counters.strayFrames++;
      return;
    }
    subscriber.link.receive(bytes, now);
    this.touch(subscriber);
  }

  /** To be looked at in this turn, or the next one. */
  touch(subscriber: Subscriber): void {
    if (subscriber.dirty) return;
    subscriber.dirty = true;
    this.#dirty.push(subscriber);
  }

  run(now: number): void {
    this.#now = now;
    this.#wheel.advance(now, (slot) => this.#due(slot, now));
    while (this.#dirty.length > 0) {
      const list = this.#dirty;
      this.#dirty = [];
      for (const subscriber of list) {
        subscriber.dirty = false;
        this.pump(subscriber, now);
      }
    }
  }

  #due(slot: number, now: number): void {
    const subscriber = this.#bySlot[slot];
    if (subscriber === undefined) return;
    if (now >= subscriber.timeoutAt) return this.end(subscriber, 'timeout', now);
    if (subscriber.idleSeconds > 0 && now >= idleAt(subscriber, this.lastSeen(subscriber)))
      return this.end(subscriber, 'idle', now);
    if (now >= subscriber.interimAt) {
      subscriber.interimAt = now + this.#interimSeconds(subscriber);
      this.#accounting?.interim(subscriber, this.counters(subscriber));
      this.offload?.changed(subscriber.session.tunnel.localId, subscriber.session.localId);
    }
    if (now >= subscriber.advertiseAt) this.#addressing.advertise(subscriber, now);
    this.pump(subscriber, now);
  }

  #interimSeconds({ grant }: Subscriber): number {
    return grant?.interimSeconds ?? this.#accounting?.interimSeconds ?? NEVER;
  }

  /** Follows what a link says and sends what it wants to say. */
  pump(subscriber: Subscriber, now: number): void {
    const { batch } = this.#options;
    for (let round = 0; round < ROUNDS && subscriber.link !== null; round++) {
      const { link } = subscriber;
      // What is due may end the link without a frame: its events are asked for after its frames.
      const frames = link.output(now);
      for (const frame of frames) batch.ppp(subscriber.slot, frame);
      const events = link.events();
      for (const event of events) this.#linkEvent(subscriber, event, now);
      if (events.length === 0 && frames.length === 0) break;
    }
    this.#schedule(subscriber);
  }

  #schedule(subscriber: Subscriber): void {
    if (this.#bySlot[subscriber.slot] !== subscriber) return;
    const next = nextOf(subscriber, subscriber.idleSeconds > 0 ? this.lastSeen(subscriber) : 0);
    if (next === NEVER) this.#wheel.cancel(subscriber.slot);
    else this.#wheel.schedule(subscriber.slot, next);
  }

  // ── events of links ───────────────────────────────────────────────────────────────────────────────────────────────

  #linkEvent(subscriber: Subscriber, event: PppEvent, now: number): void {
    switch (event.type) {
      case 'link-up':
        subscriber.state = 'authenticate';
        return;
      case 'authenticate':
        return this.#authenticate(subscriber, event);
      case 'network-request':
        return this.#network(subscriber, now);
      case 'up':
        return this.#linkUp(subscriber, event, now);
      case 'network-up':
        if (event.protocol === 'ipv4') subscriber.ipv4Up = true;
        else {
          subscriber.ipv6Up = true;
          subscriber.interfaceId = event.local;
        }
        return this.#networkChanged(subscriber, now);
      case 'network-down':
        if (event.protocol === 'ipv4') subscriber.ipv4Up = false;
        else subscriber.ipv6Up = false;
        return this.#networkChanged(subscriber, now);
      case 'renegotiating':
        subscriber.state = 'link';
        subscriber.ipv4Up = false;
        subscriber.ipv6Up = false;
        return this.#networkChanged(subscriber, now);
      case 'down':
        return this.#linkDown(subscriber, event, now);
      default:
    }
  }

  #authenticate(subscriber: Subscriber, request: AuthenticateRequest): void {
    this.#judge.judge(request, subscriber.call, (verdict) => {
      // The answer may be late: the session may have gone, or its link begun anew.
      if (subscriber.link === null || this.#bySlot[subscriber.slot] !== subscriber) return;
      this.#judged(subscriber, request, verdict);
      this.touch(subscriber);
      this.#options.wake();
    });
  }

  #judged(subscriber: Subscriber, request: AuthenticateRequest, verdict: Verdict): void {
    const { counters, events } = this.#options;
    const { link } = subscriber;
    if (link === null) return;
    const refused =
      verdict.kind === 'accept' ? this.#users.refusal(verdict.grant, subscriber.user, this.#config) : reasonOf(verdict);
    const words = 'message' in verdict && verdict.message !== undefined ? { message: verdict.message } : {};
    if (verdict.kind === 'accept' && refused === null) {
      this.#grant(subscriber, verdict.grant);
      subscriber.method = request.method;
      return link.authenticated({ ok: true, ...words }, this.#now);
    }
    counters.refuse('authentication');
    events.emit('authentication-failed', {
      user: request.name,
      reason: refused,
      method: request.method,
      peer: subscriber.call.peerAddress,
      calling: subscriber.call.calling,
    });
    subscriber.ending = 'authentication';
    link.authenticated({ ok: false, ...(verdict.kind === 'refuse' ? words : {}) }, this.#now);
  }

  #grant(subscriber: Subscriber, grant: Grant): void {
    this.#users.count(subscriber.user, -1);
    subscriber.grant = grant;
    this.#users.count(subscriber.user, 1);
  }

  #network(subscriber: Subscriber, now: number): void {
    if (subscriber.grant === null) this.#grant(subscriber, { ...NOTHING_PARTICULAR, user: '' });
    subscriber.state = 'network';
    const rival = this.#addressing.rivalOf(subscriber);
    const other = rival < 0 ? undefined : this.#bySlot[rival];
    // The same user dials again while its old session still hangs: the new one has the address.
    if (other !== undefined && other !== subscriber && other.user === subscriber.user) this.end(other, 'replaced', now);
    const assignment = this.#addressing.assign(subscriber);
    if (assignment !== null) return subscriber.link?.assign(assignment, now);
    this.#options.counters.refuse('no-address');
    this.#options.events.emit('pool-exhausted', { user: subscriber.user, pool: subscriber.grant?.pool ?? null });
    this.end(subscriber, 'no-address', now);
  }

  #linkUp(subscriber: Subscriber, { parameters }: Extract<PppEvent, { type: 'up' }>, now: number): void {
    const flags = linkFlags(subscriber.flags, parameters.peer);
    subscriber.flags = flags;
    this.#options.table.update(subscriber.slot, { flags, ...limitsOf(parameters.peer.mru, this.#config) });
    tellLac(subscriber.session, parameters);
    const { grant } = subscriber;
    const timeout = grant?.timeoutSeconds ?? this.#config.sessions.timeoutSeconds;
    subscriber.idleSeconds = grant?.idleSeconds ?? this.#config.sessions.idleSeconds;
    if (timeout > 0 && subscriber.timeoutAt === NEVER) subscriber.timeoutAt = now + timeout;
  }

  #networkChanged(subscriber: Subscriber, now: number): void {
    const isUp = subscriber.ipv4Up || subscriber.ipv6Up;
    const before = subscriber.state;
    if (!this.#addressing.apply(subscriber, now)) {
      this.#options.counters.refuse('address-in-use');
      return this.end(subscriber, 'no-address', now);
    }
    if (isUp) subscriber.state = 'up';
    else if (before === 'up') subscriber.state = 'network';
    if (isUp && !subscriber.accounted) this.#established(subscriber, now);
    this.offload?.changed(subscriber.session.tunnel.localId, subscriber.session.localId);
  }

  #established(subscriber: Subscriber, now: number): void {
    subscriber.accounted = true;
    this.up++;
    this.#options.counters.established++;
    subscriber.interimAt = now + this.#interimSeconds(subscriber);
    this.#accounting?.start(subscriber);
    this.#options.events.emit('session-established', factsOf(subscriber));
  }

  #linkDown(subscriber: Subscriber, { by, reason }: PppEnd, now: number): void {
    subscriber.ending ??= END_REASONS[reason] ?? (by === 'peer' ? 'subscriber' : 'error');
    // What the link still has to say (Terminate-Ack, the failure of an authentication) goes before the CDN.
    for (const frame of subscriber.link?.output(now) ?? []) this.#options.batch.ppp(subscriber.slot, frame);
    this.#hangUp(subscriber, reason, now);
  }

  // ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends a session from here: PPP is told, then the LAC. */
  end(subscriber: Subscriber, reason: EndReason, now: number): void {
    if (this.#bySlot[subscriber.slot] !== subscriber) return;
    subscriber.ending ??= reason;
    subscriber.state = 'closing';
    const { link } = subscriber;
    if (link !== null) {
      link.terminate(now);
      for (const frame of link.output(now)) this.#options.batch.ppp(subscriber.slot, frame);
    }
    this.#hangUp(subscriber, reason, now);
  }

  #hangUp(subscriber: Subscriber, message: string, now: number): void {
    const { session } = subscriber;
    // The frames of this turn must find the session's place before it goes.
    this.#options.batch.flush();
    this.#gone(subscriber, subscriber.ending ?? 'error', message, now);
    const result = subscriber.ending === 'lost-link' ? CALL_RESULT.lostCarrier : CALL_RESULT.administrative;
    session.hangUp(result, 0, message);
  }

  /** Gives everything back; the call is ended by who calls this, or has been. */
  #gone(subscriber: Subscriber, reason: EndReason, message: string, now: number): void {
    const { slot, session } = subscriber;
    if (this.#bySlot[slot] !== subscriber) return;
    const counters = this.counters(subscriber);
    if (subscriber.accounted) {
      this.up--;
      this.#accounting?.stop(subscriber, counters, reason);
    }
    addTraffic(this.#past, counters);
    const facts = factsOf(subscriber);
    this.#remove(subscriber);
    const { packetsIn, packetsOut, bytesIn, bytesOut } = subscriber.totals(counters);
    const seconds = Math.round(now - subscriber.since);
    this.#options.counters.ends.set(reason, (this.#options.counters.ends.get(reason) ?? 0) + 1);
    const words = { reason, message, seconds, packetsIn, packetsOut, bytesIn, bytesOut };
    this.#options.events.emit('session-closed', { ...facts, ...words });
    this.offload?.removed(session.tunnel.localId, session.localId);
  }

  #remove(subscriber: Subscriber): void {
    const { slot, session } = subscriber;
    this.#users.count(subscriber.user, -1);
    this.#wheel.cancel(slot);
    this.#addressing.release(subscriber);
    this.#bySlot[slot] = undefined;
    this.count--;
    subscriber.link = null;
    session.userData = null;
    this.#options.table.remove(slot);
  }

  /** Without a word to anybody. */
  forget(subscriber: Subscriber): void {
    if (this.#bySlot[subscriber.slot] !== subscriber) return;
    if (subscriber.accounted) this.up--;
    this.#remove(subscriber);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
