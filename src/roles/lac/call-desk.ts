/**
 * What becomes of calls: PPPoE session, PPP until the client has said who it is, choice of the LNS, tunnel, and the entry
 * that the workers forward by. From there on the main thread sees only its control messages.
 */
import type { LacConfig } from '../../config/lac.js';
import { CALL_FLAG } from '../../flow/session-layout.js';
import type { SessionRow, SessionTunnel, Words } from '../../flow/session-table.js';
import { CALL_RESULT, STOP_RESULT } from '../../protocol/l2tp/codes.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import { PppCounters } from '../../protocol/ppp/counters.js';
import { PppLink } from '../../protocol/ppp/link.js';
import type { PppOptions } from '../../protocol/ppp/options.js';
import type { PppoeAccess, PppoePort } from '../../protocol/pppoe/access.js';
import type { PppoeSession } from '../../protocol/pppoe/session.js';
import { parseAddress } from '../../wire/address.js';
import { LacCall } from './call.js';
import type { CallEnd } from './call-ends.js';
import { Chooser, type CallFacts } from './chooser.js';
import { Deadlines } from './deadlines.js';
import type { Question, QuestionAnswer } from './radius-question.js';
import type { LnsTarget, TargetBook, TargetOrder } from './targets.js';
import type { TunnelKeeper, TunnelNote } from './tunnel-keeper.js';

/** The part of the data path that calls need. */
export interface CallPlane {
  readonly table: {
    add(row: SessionRow): number;
    update(slot: number, changes: Partial<SessionRow>): boolean;
    remove(slot: number): void;
    readonly refusal: string;
  };
  readonly batch: {
    ppp(slot: number, frame: Uint8Array): void;
    accessPpp(slot: number, frame: Uint8Array): void;
    frame(access: number, frame: Uint8Array): void;
  };
}

/** What a call says of itself when it stands, and when it ends. */
export interface CallTeller {
  up(call: LacCall): void;
  /** Before its entry is removed, so that its counters can be read. */
  ended(call: LacCall, reason: string): void;
}

export interface CallDeskOptions {
  readonly config: LacConfig;
  readonly book: TargetBook;
  readonly access: PppoeAccess;
  readonly plane: CallPlane;
  readonly keeper: TunnelKeeper;
  readonly random: (length: number) => Uint8Array;
  /** null: RADIUS is not configured. */
  readonly question: Question | null;
  readonly teller: CallTeller;
}

/** Frames of a client that may overtake the news that they are to be kept. */
const EARLY_LIMIT = 8;
/** Results of a CDN that say that others may have what this LNS lacks. */
const LACKS: readonly number[] = [CALL_RESULT.temporaryLack, CALL_RESULT.permanentLack, CALL_RESULT.busy];
const FRAMING_SYNCHRONOUS = 1;
/**
 * After its PADS a client takes a moment to listen, and a Configure-Request that nobody hears costs the three seconds of the
 * restart timer; so LCP begins with the client's first frame, or after this.
 */
const LISTEN_SECONDS = 1;

export class CallDesk {
  /** Why calls ended, and how often. */
  readonly ends = new Map<CallEnd, number>();
  readonly counters = new PppCounters();
  /** Calls that were answered by RADIUS with an endpoint that means nothing here. */
  unusableEndpoints = 0;
  readonly calls = new Map<number, LacCall>();
  readonly #access: PppoeAccess;
  readonly #plane: CallPlane;
  readonly #keeper: TunnelKeeper;
  readonly #o: CallDeskOptions;
  readonly #due = new Deadlines<LacCall>();
  readonly #options = new Map<number, PppOptions>();
  #config: LacConfig;
  #book: TargetBook;
  #chooser: Chooser;

  constructor(options: CallDeskOptions) {
    this.#o = options;
    this.#access = options.access;
    this.#plane = options.plane;
    this.#keeper = options.keeper;
    this.#config = options.config;
    this.#book = options.book;
    this.#chooser = new Chooser(options.config, options.book);
  }

  /** For calls to come. */
  configure(config: LacConfig, book: TargetBook): void {
    this.#config = config;
    this.#book = book;
    this.#chooser = new Chooser(config, book);
    this.#options.clear();
  }

  /** The LNS of the configuration that has this address; null: none. */
  lnsAt(address: string): LnsTarget | null {
    return this.#book.ofAddress(address);
  }

  get nextTime(): number {
    return this.#due.nextTime;
  }

  /** A whole frame of an access line: discovery, or of a session that the workers do not know. */
  frame(bytes: Uint8Array, port: PppoePort, now: number): void {
    this.#access.receive(bytes, port, now, (session, ppp) => {
      const call = session.userData as LacCall | null;
      if (call !== null) this.#fromClient(call, ppp.slice(), now);
    });
    this.#settle(now);
  }

  /** A PPP frame of a client, from its protocol field on. */
  accessPpp(slot: number, bytes: Uint8Array, now: number): void {
    const call = this.calls.get(slot);
    if (call === undefined) return;
    this.#access.spoken(call.pppoe);
    this.#fromClient(call, bytes, now);
  }

  /** Timers; what they lead to. */
  run(now: number): void {
    for (let call = this.#due.take(now); call !== null; call = this.#due.take(now)) {
      if (call.deadline <= now)
        this.end(call, 'timeout', `no tunnel in time${call.failure === '' ? '' : `: ${call.failure}`}`, now);
      else if (call.link !== null) {
        if (call.link.phase === 'dead') call.link.start(now);
        this.#settleLink(call, call.link, now);
      } else this.#due.set(call, call.deadline);
    }
    this.#settle(now);
  }

  event(event: L2tpEvent, now: number): void {
    switch (event.type) {
      case 'call-answered':
        return this.#connect(event.session, now);
      case 'session-up':
        return this.#up(event.session, now);
      case 'session-down':
        return this.#down(event, now);
      case 'tunnel-up':
        this.#keeper.stands(event.tunnel, now);
        return;
      case 'tunnel-request':
        return this.#keeper.accept(event.tunnel, this.#book, now);
      case 'tunnel-down': {
        const note = event.tunnel.userData as TunnelNote | null;
        const isOrderly = event.by === 'us' || (event.by === 'peer' && event.result === STOP_RESULT.clear);
        if (note !== null && !isOrderly)
          this.#keeper.failed(note.target, tunnelEnd(event.by, event.result, event.message), now);
        return this.#keeper.gone(event.tunnel);
      }
      case 'call':
        // A LAC with PPPoE lines has nobody to call (RFC 2661 §4.4.2: no facilities, permanently).
        return event.session.refuse(CALL_RESULT.permanentLack, 0, 'no outgoing calls here');
    }
  }

  /** Ends a call that stands or not, with a word to both ends. `reason`: a sentence for the client, the LNS and events. */
  end(call: LacCall, end: CallEnd, reason: string, now: number): void {
    if (call.state === 'ended') return;
    this.#hangUp(call, CALL_RESULT.administrative, reason, now);
    this.#close(call, end, reason);
    this.#access.end(call.pppoe, reason);
  }

  /** What the table says of the tunnel of a call. */
  tunnelOf(session: L2tpSession): SessionTunnel | null {
    const { tunnel } = session;
    const words = parseAddress(tunnel.peer.address);
    if (words === null) return null;
    return {
      socket: tunnel.peer.socket,
      address: words as Words,
      port: tunnel.peer.port,
      localTunnelId: tunnel.localId,
      localSessionId: session.localId,
      peerTunnelId: tunnel.peerId,
      peerSessionId: session.peerId,
    };
  }

  // ── PPPoE ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Acts produce events and frames; all of them leave in this turn. */
  #settle(now: number): void {
    for (;;) {
      // The PADS leaves before the first frame of its session does.
      for (const { port, bytes } of this.#access.output()) this.#plane.batch.frame(port.index, bytes);
      const events = this.#access.events();
      if (events.length === 0) return;
      for (const event of events) {
        if (event.type === 'opened') this.#opened(event.session, now);
        else this.#closedByClient(event.session, event.message, now);
      }
    }
  }

  #opened(session: PppoeSession, now: number): void {
    const isRelay = this.#config.ppp.mode === 'relay';
    const slot = this.#plane.table.add({
      kind: 'lac',
      // Relayed frames wait for their tunnel at the worker; those that end here are asked for.
      state: isRelay ? 'hold' : 'forward',
      tunnel: null,
      access: { access: session.port.index, sessionId: session.id, mac: session.clientMac },
      flags: isRelay ? 0 : CALL_FLAG.puntAccess,
      ipv4: 0,
      prefix: null,
      routes: [],
      mru: session.maxPayload,
      clampMss: 0,
    });
    if (slot < 0) {
      this.#count('no-room');
      return this.#access.end(session, 'no room for another session');
    }
    const { called, calling } = this.#numbers(session);
    const call = new LacCall(session, slot, called, calling, now, this.#config.setup);
    session.userData = call;
    this.calls.set(slot, call);
    this.#due.set(call, call.deadline);
    if (isRelay) return this.#choose(call, now);
    call.link = new PppLink(this.#pppOptions(session));
    this.#due.set(call, Math.min(call.deadline, now + LISTEN_SECONDS));
  }

  #closedByClient(session: PppoeSession, message: string | null, now: number): void {
    const call = session.userData as LacCall | null;
    if (call === null || call.state === 'ended') return;
    this.#hangUp(call, CALL_RESULT.lostCarrier, message ?? 'the client ended the session', now);
    this.#close(call, 'client', message ?? 'ended by the client');
  }

  #numbers(session: PppoeSession): { called: string; calling: string } {
    const { called, calling } = this.#config.call;
    const { circuitId, remoteId } = session.line;
    const line = calling === 'circuit-id' ? circuitId : calling === 'remote-id' ? remoteId : null;
    return {
      called: called === 'service' ? session.service : called === 'interface' ? session.port.name : called,
      calling: line ?? session.client,
    };
  }

  #pppOptions({ maxPayload }: PppoeSession): PppOptions {
    const { mru, authentication } = this.#config.ppp;
    const own = Math.min(mru ?? maxPayload, maxPayload);
    const known = this.#options.get(own);
    if (known !== undefined) return known;
    const options: PppOptions = {
      random: this.#o.random,
      hostName: this.#config.name,
      authenticate: authentication,
      // RFC 2516 §7: no compression of address, control or protocol field, no ACCM.
      lcp: { mru: own, acceptPfc: false, acceptAcfc: false },
      network: 'none',
      counters: this.counters,
    };
    this.#options.set(own, options);
    return options;
  }

  // ── PPP that ends here ────────────────────────────────────────────────────────────────────────────────────────────

  #fromClient(call: LacCall, bytes: Uint8Array, now: number): void {
    if (call.link !== null) {
      if (call.link.phase === 'dead') call.link.start(now);
      call.link.receive(bytes, now);
      return this.#settleLink(call, call.link, now);
    }
    if (call.state === 'up') this.#plane.batch.ppp(call.slot, bytes);
    else if (call.state !== 'ended' && call.early.length < EARLY_LIMIT) call.early.push(bytes);
  }

  #settleLink(call: LacCall, link: PppLink, now: number): void {
    for (const frame of link.output(now)) this.#plane.batch.accessPpp(call.slot, frame);
    for (const event of link.events()) {
      if (event.type === 'down') return this.end(call, 'ppp', `PPP: ${event.reason}`, now);
      if (event.type !== 'proxy-ready') continue;
      call.proxy = link.proxy();
      call.user = event.name;
      call.authentication = event.method;
      call.link = null;
      // From here on the client speaks with its LNS; what it says waits at the worker.
      this.#plane.table.update(call.slot, { flags: 0, state: 'hold' });
      this.#due.set(call, call.deadline);
      return this.#choose(call, now);
    }
    this.#due.set(call, Math.min(call.deadline, link.nextTime));
  }

  // ── choice of the LNS ─────────────────────────────────────────────────────────────────────────────────────────────

  #choose(call: LacCall, now: number): void {
    const { choose } = this.#config;
    while (call.asked < choose.length) {
      const source = choose[call.asked++];
      if (source === 'radius') {
        if (this.#ask(call)) return;
        continue;
      }
      const choice = this.#chooser.choose(source, this.#facts(call));
      if (choice === null) continue;
      if ('refused' in choice) return this.end(call, 'statement', choice.refused, now);
      return this.#dial(call, choice, now);
    }
    this.end(call, 'no-choice', 'there is no LNS for this call', now);
  }

  #facts({ user, pppoe, called, calling }: LacCall): CallFacts {
    return { user, service: pppoe.service, interface: pppoe.port.name, client: pppoe.client, called, calling };
  }

  /** False: there is nobody to ask, or nothing to ask for. */
  #ask(call: LacCall): boolean {
    const { question } = this.#o;
    if (question === null) return false;
    const user = call.user === null ? null : this.#chooser.tellName(call.user);
    const token = question.ask(this.#config.radiusQuestion, call, user, (answer, now) =>
      this.#answered(call, answer, now),
    );
    if (token === 0) return false;
    call.state = 'ask';
    call.radiusToken = token;
    return true;
  }

  #answered(call: LacCall, answer: QuestionAnswer, now: number): void {
    if (call.state !== 'ask') return;
    call.radiusToken = 0;
    if (answer.type === 'rejected')
      return this.end(call, 'radius-rejected', answer.message ?? 'RADIUS refused the call', now);
    if (answer.type === 'no-answer') {
      if (this.#config.radiusQuestion.noAnswer === 'refuse')
        return this.end(call, 'radius-silent', 'RADIUS does not answer', now);
      return this.#choose(call, now);
    }
    const { order, unusable } = this.#book.ofRadius(answer.tunnels);
    this.unusableEndpoints += unusable;
    if (order.length === 0) return this.#choose(call, now);
    this.#dial(call, order, now);
  }

  // ── tunnel ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #dial(call: LacCall, order: TargetOrder, now: number): void {
    call.state = 'dial';
    call.targets = this.#keeper.sorted(order, now, this.#chooser.groupOf(call));
    this.#tryNext(call, now);
  }

  #tryNext(call: LacCall, now: number): void {
    for (let target = call.targets.shift(); target !== undefined; target = call.targets.shift()) {
      const tunnel = this.#keeper.take(target, now, this.#chooser.groupOf(call));
      const session = tunnel?.call('incoming', {
        bearer: 1,
        called: call.called,
        calling: call.calling,
        physicalChannel: call.pppoe.id,
      });
      if (session == null) {
        call.failure = `${target.name}: no tunnel can be dialled`;
        continue;
      }
      session.userData = call;
      call.session = session;
      call.target = target;
      this.#keeper.callBegins(target, now);
      return;
    }
    this.end(call, 'unreachable', call.failure === '' ? 'no LNS could be reached' : call.failure, now);
  }

  #connect(session: L2tpSession, now: number): void {
    const call = session.userData as LacCall | null;
    if (call === null || call.session !== session) return session.hangUp(CALL_RESULT.administrative);
    const { speed } = this.#config.call;
    const { proxy } = call;
    session.connect({
      txSpeed: speed,
      rxSpeed: speed,
      framing: FRAMING_SYNCHRONOUS,
      sequencingRequired: (call.target as LnsTarget).sequencing,
      ...(proxy === null ? {} : this.#proxyAttributes(call)),
    });
    call.deadline = Math.max(call.deadline, now + this.#config.tunnels.setup);
  }

  /** RFC 2661 §4.4.5. A Proxy Authen Name without a statement of the LNS, which is for this LAC alone. */
  #proxyAttributes(call: LacCall) {
    const proxy = call.proxy as NonNullable<LacCall['proxy']>;
    const { authName } = proxy;
    return {
      initialLcp: proxy.initialReceived,
      lastSentLcp: proxy.lastSent,
      lastReceivedLcp: proxy.lastReceived,
      authType: proxy.authType,
      ...(authName === undefined ? {} : { authName: this.#chooser.tellName(authName) }),
      authChallenge: proxy.authChallenge,
      authId: proxy.authId,
      authResponse: proxy.authResponse,
    };
  }

  #up(session: L2tpSession, now: number): void {
    const call = session.userData as LacCall | null;
    if (call === null || call.session !== session) return session.hangUp(CALL_RESULT.administrative);
    call.state = 'up';
    call.upSince = now;
    call.targets = [];
    this.#due.delete(call);
    call.deadline = Number.POSITIVE_INFINITY;
    if (!this.forward(call, session)) return this.end(call, 'no-room', `no room: ${this.#plane.table.refusal}`, now);
    for (const frame of call.early.splice(0)) this.#plane.batch.ppp(call.slot, frame);
    this.#o.teller.up(call);
  }

  /** Points the entry of a call to the tunnel that it is in; what was kept goes there. */
  forward(call: LacCall, session: L2tpSession): boolean {
    const tunnel = this.tunnelOf(session);
    const isNumbered = session.sequencingRequired;
    const flags =
      CALL_FLAG.checkPeer | (isNumbered ? CALL_FLAG.sendSequence | CALL_FLAG.needSequence : CALL_FLAG.followSequence);
    return tunnel !== null && this.#plane.table.update(call.slot, { tunnel, flags, state: 'forward' });
  }

  #down({ session, by, result, error, message }: L2tpEvent & { type: 'session-down' }, now: number): void {
    const call = session.userData as LacCall | null;
    if (call === null || call.session !== session || call.target === null) return;
    const { target } = call;
    this.#keeper.callEnds(target, session.tunnel, now);
    call.session = null;
    const said = message === '' ? '' : `: ${message}`;
    if (call.state === 'up') {
      const reason = by === 'tunnel' ? `the tunnel to ${target.name} ended` : `${target.name} ended the call${said}`;
      return this.end(call, by === 'tunnel' ? 'tunnel' : 'lns', reason, now);
    }
    if (call.state !== 'dial') return;
    call.failure = `${target.name}: ${by === 'tunnel' ? 'no tunnel' : `call refused (${result}, ${error})${said}`}`;
    if (by === 'peer' && LACKS.includes(result)) this.#keeper.busy(target, call.failure, now);
    if (by === 'timeout') this.#keeper.failed(target, 'calls are not answered', now);
    this.#tryNext(call, now);
  }

  #hangUp(call: LacCall, result: number, message: string, now: number): void {
    const { session, target } = call;
    if (call.radiusToken !== 0) this.#o.question?.cancel(call.radiusToken);
    call.radiusToken = 0;
    if (session === null || target === null) return;
    call.session = null;
    session.userData = null;
    session.hangUp(result, 0, message);
    this.#keeper.callEnds(target, session.tunnel, now);
  }

  /** Nothing of the call is left here. */
  #close(call: LacCall, end: CallEnd, reason: string): void {
    this.#count(end);
    this.#o.teller.ended(call, reason);
    call.state = 'ended';
    call.link = null;
    call.early.length = 0;
    this.#due.delete(call);
    this.calls.delete(call.slot);
    this.#plane.table.remove(call.slot);
  }

  #count(end: CallEnd): void {
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
  }
}

function tunnelEnd(by: string, result: number, message: string): string {
  if (by === 'silence') return 'it does not answer';
  if (by === 'timeout') return 'the tunnel did not stand in time';
  return `it ended the tunnel (${result})${message === '' ? '' : `: ${message}`}`;
}
