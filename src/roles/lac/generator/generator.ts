/**
 * The call generator: tunnels and sessions with real PPP against any LNS, on the product's own engines and data path.
 * One thread decides everything; the data path's workers only read and write sockets.
 */
import { randomBytes } from 'node:crypto';
import { DesignatorError } from '../../../errors.js';
import { CALL_FLAG } from '../../../flow/session-layout.js';
import { DueQueue } from '../../../protocol/l2tp/due-queue.js';
import { L2tpEndpoint } from '../../../protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../../protocol/l2tp/events.js';
import type { TunnelProfile } from '../../../protocol/l2tp/profile.js';
import type { Peer } from '../../../protocol/l2tp/peer.js';
import type { L2tpSession } from '../../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import type { PppEvent } from '../../../protocol/ppp/events.js';
import { PppLink } from '../../../protocol/ppp/link.js';
import type { PppOptions } from '../../../protocol/ppp/options.js';
import type { AvpInput } from '../../../tunnels/l2tp/avp.js';
import { PPP_PROTOCOL, readPppHeader } from '../../../wire/ppp.js';
import { TunnelPlane } from '../../../workers/tunnel-plane.js';
import { EndpointLoop, type LoopPunt, type LoopRole } from '../../endpoint/loop.js';
import { LacSwitchoverDesk } from '../switchover.js';
import { Call } from './call.js';
import { GENERATOR_STANDBY, GENERATOR_SWITCHOVER, generatorMoves, tunnelRow } from './moves.js';
import type { GeneratorResults } from './results.js';
import type { GeneratorSettings } from './settings.js';
import { Tally } from './tally.js';
import { Traffic } from './traffic.js';

/** Seconds that tunnels have to stand before calls begin on those that do. */
const TUNNELS_WITHIN = 10;
/** Seconds that packets on their way have, when no more are sent. */
const LATE_PACKETS = 1;
/** Seconds for the last words of an orderly end. */
const GOODBYE = 3;
/** Calls that a late turn may begin at once. */
const BURST = 256;
/** Frames that a call keeps while its tunnel moves. */
const HELD_FRAMES = 4096;
const LINE_SPEED = 1_000_000_000;
const NEVER = Number.POSITIVE_INFINITY;

type Phase = 'tunnels' | 'calls' | 'hold' | 'late' | 'goodbye' | 'done';

export class CallGenerator implements LoopRole {
  readonly #o: GeneratorSettings;
  readonly #plane: TunnelPlane;
  readonly #endpoint: L2tpEndpoint;
  readonly #loop: EndpointLoop;
  readonly #tally = new Tally();
  readonly #traffic: Traffic;
  readonly #tunnels: L2tpTunnel[] = [];
  readonly #bySlot: (Call | undefined)[] = [];
  readonly #up: Call[] = [];
  readonly #due = new DueQueue<Call>();
  readonly #hangUps = new DueQueue<{ dueAt: number; duePlace: number; readonly call: Call }>();
  /** Numbers of calls to be dialled again. */
  readonly #again: number[] = [];
  #phase: Phase = 'tunnels';
  #began = 0;
  #phaseEnds = 0;
  #tunnelsDecided = 0;
  #begun = 0;
  #decided = 0;
  #credit = 0;
  #last = 0;
  #nextTunnel = 0;
  #numbers = 0;
  #held = 0;
  #notHeld = 0;
  readonly #standingTunnels = new Set<L2tpTunnel>();
  readonly #moves: LacSwitchoverDesk | null;
  #finish: () => void = () => {};
  #fail: (error: unknown) => void = () => {};
  readonly #finished: Promise<void>;
  #busy = performance.eventLoopUtilization();

  private constructor(settings: GeneratorSettings, plane: TunnelPlane) {
    this.#o = settings;
    this.#plane = plane;
    this.#traffic = new Traffic(settings.traffic, settings.sessions, settings.target, () => performance.now());
    this.#endpoint = new L2tpEndpoint({
      hostName: settings.hostName,
      vendorName: 'tunnel-designator',
      random: randomBytes,
      vendors: [GENERATOR_SWITCHOVER.vendor],
      // Nobody dials a generator.
      profile: () => null,
    });
    this.#loop = new EndpointLoop(
      plane,
      this.#endpoint,
      this,
      () => performance.now() / 1000,
      (error) => this.#fail(error),
    );
    this.#moves = settings.switchover ? this.#makeMoves() : null;
    this.#finished = new Promise((settle, refuse) => {
      this.#finish = settle;
      this.#fail = refuse;
    });
  }

  #makeMoves(): LacSwitchoverDesk {
    const { standby, logger } = this.#o;
    const host = generatorMoves({
      endpoint: this.#endpoint,
      table: this.#plane.table,
      now: () => this.#loop.now(),
      wake: () => this.#loop.wake(),
      dial: (to, socket, avps) => this.#open({ ...to, socket, spare: avps.length === 0 }, this.#loop.now(), avps),
      retire: (tunnel) => {
        const place = this.#tunnels.indexOf(tunnel);
        if (place >= 0 && this.#tunnels.length > 1) this.#tunnels.splice(place, 1);
        this.#standingTunnels.delete(tunnel);
      },
      flush: (call) => {
        const held = call.held ?? [];
        call.held = null;
        for (const frame of held) this.#plane.batch.ppp(call.slot, frame);
      },
    });
    return new LacSwitchoverDesk(host, standby ? GENERATOR_STANDBY : GENERATOR_SWITCHOVER, logger);
  }

  /** Opens the sockets. Errors: TD_NO_PERMISSION, TD_UNAVAILABLE, TD_CONFLICT. */
  static async open(settings: GeneratorSettings): Promise<CallGenerator> {
    let fail: (error: Error) => void = () => {};
    const plane = await TunnelPlane.open({
      workers: settings.workers,
      sessions: settings.sessions,
      onFatal: (error) => fail(error),
    });
    const generator = new CallGenerator(settings, plane);
    fail = (error) => generator.#fail(error);
    return generator;
  }

  /** Runs to the end and closes everything. `stop` ends it early. */
  async complete(): Promise<GeneratorResults> {
    this.#began = this.#loop.now();
    this.#last = this.#began;
    this.#phaseEnds = this.#began + TUNNELS_WITHIN;
    const { lns, source, sockets } = this.#o;
    try {
      const any = lns[0].address.includes(':') ? '::' : '0.0.0.0';
      for (let index = 0; index < sockets; index++) this.#plane.addSocket(source ?? any, 0);
      this.#loop.start();
      await this.#finished;
      return this.#results();
    } finally {
      this.#loop.stop();
      await this.#plane.stop();
    }
  }

  /** No more calls: what is up is counted and hung up. */
  stop(): void {
    if (this.#phase === 'goodbye' || this.#phase === 'done') return;
    this.#enter('late', this.#loop.now());
    this.#loop.wake();
  }

  /** One line for whoever waits. */
  progress(): string {
    const { tunnels, sessions } = this.#o;
    const { tunnelsUp, failed, lost } = this.#tally;
    const words = [`tunnels ${tunnelsUp}/${tunnels}`, `sessions ${this.#up.length}/${sessions}`];
    if (failed > 0) words.push(`failed ${failed}`);
    if (lost > 0) words.push(`lost ${lost}`);
    return `${this.#phase}: ${words.join(', ')}`;
  }

  // --- turns ---

  get nextTime(): number {
    if (this.#phase === 'done') return NEVER;
    const pacing = this.#mayBegin ? this.#last + Math.max(0.001, 1 / this.#o.rate) : NEVER;
    const timers = Math.min(this.#due.nextTime, this.#hangUps.nextTime, this.#moves?.nextTime ?? NEVER);
    return Math.min(this.#phaseEnds, pacing, timers, this.#traffic.nextTime);
  }

  run(now: number): void {
    if (this.#phase === 'done') return;
    this.#pace(now);
    for (let call = this.#due.take(now); call !== undefined; call = this.#due.take(now)) this.#serve(call, now);
    for (let end = this.#hangUps.take(now); end !== undefined; end = this.#hangUps.take(now)) this.#expire(end.call);
    this.#moves?.run(now);
    this.#traffic.run(now, this.#up, this.#sink);
    this.#advance(now);
  }

  /** Tunnels, then calls, no faster than was asked for. */
  #pace(now: number): void {
    const { rate, tunnels } = this.#o;
    this.#credit = Math.min(this.#credit + (now - this.#last) * rate, Math.max(1, Math.min(rate, BURST)));
    this.#last = now;
    for (; this.#credit >= 1 && this.#mayBegin; this.#credit--) {
      if (this.#tunnels.length < tunnels) this.#dial(now);
      else this.#begin(now);
    }
  }

  get #mayBegin(): boolean {
    const { tunnels, sessions, inFlight } = this.#o;
    if (this.#phase === 'tunnels') return this.#tunnels.length < tunnels;
    if (this.#phase !== 'calls' && this.#phase !== 'hold') return false;
    if (this.#begun - this.#decided >= inFlight) return false;
    return this.#begun < sessions || this.#again.length > 0;
  }

  #advance(now: number): void {
    const { tunnels, sessions } = this.#o;
    const over = now >= this.#phaseEnds;
    switch (this.#phase) {
      case 'tunnels':
        if (this.#tally.tunnelsUp === 0 && this.#tunnelsDecided === tunnels) this.#enter('goodbye', now);
        else if (this.#tunnelsDecided === tunnels || (over && this.#tally.tunnelsUp > 0)) this.#enter('calls', now);
        return;
      case 'calls':
        if (this.#begun < sessions || this.#decided < this.#begun) return;
        this.#enter(this.#tally.up === 0 ? 'goodbye' : 'hold', now);
        return;
      case 'hold':
        if (over) this.#enter('late', now);
        return;
      case 'late':
        if (over) this.#enter('goodbye', now);
        return;
      case 'goodbye':
        if (!over && !this.#endpoint.quiet) return;
        this.#phase = 'done';
        this.#finish();
    }
  }

  #enter(phase: Phase, now: number): void {
    this.#phase = phase;
    this.#phaseEnds = NEVER;
    if (phase === 'hold') {
      this.#phaseEnds = now + this.#o.seconds;
      this.#traffic.start(now);
    } else if (phase === 'late') {
      this.#phaseEnds = now + (this.#o.traffic.length === 0 ? 0 : LATE_PACKETS);
      this.#traffic.stop(now);
    } else if (phase === 'goodbye') {
      this.#phaseEnds = now + GOODBYE;
      this.#held = this.#up.length;
      for (const tunnel of [...this.#endpoint.tunnels.values()]) tunnel.stop();
    }
  }

  // --- tunnels ---

  #dial(now: number): void {
    const { lns, sockets } = this.#o;
    const number = this.#tunnels.length;
    const tunnel = this.#open({ ...lns[number % lns.length], socket: number % sockets }, now);
    if (tunnel === null) throw new DesignatorError('TD_UNAVAILABLE', `no more than ${number} tunnels are possible`);
  }

  #open(to: Peer & { readonly spare?: boolean }, now: number, more: readonly AvpInput[] = []): L2tpTunnel | null {
    const { secret, switchover } = this.#o;
    const profile: TunnelProfile = {
      secret,
      authenticate: secret !== null,
      tieBreaker: false,
      avps: [...(this.#moves?.avpsFor() ?? []), ...more],
      ...(switchover ? { reliable: { firstWait: GENERATOR_SWITCHOVER.firstWait } } : {}),
    };
    const tunnel = this.#endpoint.open(to, profile, now);
    if (tunnel === null) return null;
    tunnel.userData = now;
    // One to a peer LNS is for moved calls only, unless it brings them along.
    if (!to.spare) this.#tunnels.push(tunnel);
    return tunnel;
  }

  event(event: L2tpEvent, now: number): void {
    if (this.#moves?.event(event, now) === true) return;
    switch (event.type) {
      case 'tunnel-up':
        this.#tunnelsDecided++;
        this.#tally.tunnelsUp++;
        this.#standingTunnels.add(event.tunnel);
        this.#tally.tunnelTimes.add(now - (event.tunnel.userData as number));
        return;
      case 'tunnel-down':
        return this.#tunnelDown(event, now);
      case 'call-answered':
        return event.session.connect({ txSpeed: LINE_SPEED, rxSpeed: LINE_SPEED, framing: 1 });
      case 'session-up':
        return this.#connected(event.session, now);
      case 'session-down': {
        const call = event.session.userData as Call;
        const said = event.message === '' ? '' : ` ${event.message}`;
        return this.#ended(call, event.by === 'peer' ? `CDN ${event.result}/${event.error}${said}` : event.by);
      }
    }
  }

  #tunnelDown({ tunnel, by, result, error, message }: L2tpEvent & { type: 'tunnel-down' }, now: number): void {
    if (this.#phase === 'goodbye') return;
    const wasUp = this.#standingTunnels.delete(tunnel);
    if (!wasUp) this.#tunnelsDecided++;
    const said = message === '' ? '' : ` ${message}`;
    this.#tally.failure(wasUp ? 'tunnel up' : 'tunnel', by === 'peer' ? `StopCCN ${result}/${error}${said}` : by);
    this.#advance(now);
  }

  // --- calls ---

  /** On the next tunnel that stands. */
  #begin(now: number): void {
    const number = this.#again.pop() ?? ++this.#numbers;
    this.#begun++;
    this.#tally.begun(now);
    for (let tried = 0; tried < this.#tunnels.length; tried++) {
      const tunnel = this.#tunnels[this.#nextTunnel++ % this.#tunnels.length];
      if (tunnel.state !== 'established') continue;
      const { called, calling } = this.#o;
      const session = tunnel.call('incoming', {
        ...(called === null ? {} : { called }),
        ...(calling === null ? {} : { calling }),
      });
      if (session === null) continue;
      session.userData = new Call(number, session, now);
      return;
    }
    this.#decided++;
    this.#tally.failed++;
    this.#tally.failure('l2tp', 'no tunnel stands');
  }

  #connected(session: L2tpSession, now: number): void {
    const call = session.userData as Call;
    this.#tally.l2tpTimes.add(now - call.startedAt);
    call.connectedAt = now;
    call.slot = this.#plane.table.add({
      kind: 'punt',
      state: 'forward',
      tunnel: tunnelRow(session),
      access: null,
      flags: CALL_FLAG.ipv4 | CALL_FLAG.ipv6 | CALL_FLAG.followSequence | CALL_FLAG.lengthBit,
      ipv4: 0,
      prefix: null,
      routes: [],
      mru: 0,
      clampMss: 0,
    });
    if (call.slot < 0) return session.hangUp(2, 4);
    this.#bySlot[call.slot] = call;
    call.stage = 'lcp';
    call.link = new PppLink(this.#pppOptions(call.number));
    call.link.start(now);
    this.#serve(call, now);
  }

  #pppOptions(number: number): PppOptions {
    const { user, password, methods, mru, ipv6, hostName } = this.#o;
    return {
      random: randomBytes,
      hostName,
      authenticate: [],
      credentials: { name: user.replaceAll('{n}', String(number)), password, methods },
      network: 'client',
      protocols: { ipv4: true, ipv6 },
      lcp: { mru },
    };
  }

  punt({ kind, slot, bytes }: LoopPunt, now: number): void {
    const call = this.#bySlot[slot];
    if (kind !== 'ppp' || call === undefined || call.link === null) return;
    const header = readPppHeader(bytes);
    if ((header & 0xffff) === PPP_PROTOCOL.ipv4 && header >= 0) {
      this.#traffic.receive(bytes, header >>> 16);
      return;
    }
    call.link.receive(bytes, now);
    this.#serve(call, now);
  }

  readonly #sink = {
    ppp: (slot: number, frame: Uint8Array): void => {
      const held = this.#bySlot[slot]?.held;
      if (held === undefined || held === null) this.#plane.batch.ppp(slot, frame);
      else if (held.length < HELD_FRAMES) held.push(frame.slice());
      else this.#notHeld++;
    },
  };

  /** Takes from the link what it has to say, and sees to its timers. */
  #serve(call: Call, now: number): void {
    const { link } = call;
    if (link === null) return;
    for (const frame of link.output(now)) this.#sink.ppp(call.slot, frame);
    for (const event of link.events()) this.#pppEvent(call, event, now);
    this.#due.set(call, call.link === null ? NEVER : link.nextTime);
  }

  #pppEvent(call: Call, event: PppEvent, now: number): void {
    switch (event.type) {
      case 'link-up':
        call.stage = 'authentication';
        return;
      case 'up':
        call.stage = 'network';
        return;
      case 'network-up':
        if (event.protocol !== 'ipv4') return;
        call.address = event.local;
        call.peerAddress = event.peer.some((byte) => byte !== 0) ? event.peer : null;
        return this.#cameUp(call, now);
      case 'down':
        // The reason is PPP's; what L2TP says of it afterwards tells nothing more.
        this.#ended(call, `PPP ${event.reason} by ${event.by === 'us' ? 'us' : 'the LNS'}`);
        call.session.hangUp(3);
    }
  }

  #cameUp(call: Call, now: number): void {
    if (call.stage === 'up') return;
    call.stage = 'up';
    this.#decided++;
    this.#tally.cameUp(call.startedAt, now);
    call.place = this.#up.length;
    this.#up.push(call);
    const { lifetime } = this.#o;
    if (lifetime !== null) this.#hangUps.set({ dueAt: 0, duePlace: -1, call }, now + lifetime);
  }

  /** Its time is over: it is dialled again. */
  #expire(call: Call): void {
    if (call.stage !== 'up' || this.#phase === 'late' || this.#phase === 'goodbye') return;
    this.#release(call);
    this.#again.push(call.number);
    call.session.hangUp(3);
  }

  /** The call is over, by whatever cause; heard of once. */
  #ended(call: Call, reason: string): void {
    const { stage } = call;
    if (stage === 'ended') return;
    this.#release(call);
    if (this.#phase === 'goodbye') return;
    if (stage === 'up') this.#tally.lost++;
    else {
      this.#decided++;
      this.#tally.failed++;
    }
    this.#tally.failure(stage, reason);
  }

  #release(call: Call): void {
    call.stage = 'ended';
    call.link = null;
    this.#due.remove(call);
    if (call.place >= 0) {
      const last = this.#up.pop() as Call;
      if (last !== call) {
        this.#up[call.place] = last;
        last.place = call.place;
      }
      call.place = -1;
    }
    if (call.slot < 0) return;
    this.#plane.batch.flush();
    this.#plane.table.remove(call.slot);
    this.#bySlot[call.slot] = undefined;
    call.slot = -1;
  }

  // --- results ---

  #results(): GeneratorResults {
    const { tunnels, sessions } = this.#o;
    const drops = this.#plane.drops().filter(({ packets }) => packets > 0);
    const { utilization } = performance.eventLoopUtilization(this.#busy);
    return {
      tunnels: { asked: tunnels, up: this.#tally.tunnelsUp, setupMs: this.#tally.tunnelTimes.figures() },
      sessions: this.#tally.sessions(sessions, this.#held),
      failures: this.#tally.failures,
      traffic: this.#traffic.results(),
      moves: {
        moved: this.#moves?.mover.counters.moved ?? 0,
        failed: this.#moves?.mover.counters.failed ?? 0,
        lostSessions: this.#moves?.mover.counters.lostSessions ?? 0,
        notHeld: this.#notHeld,
      },
      busyPercent: Math.round(utilization * 100),
      ownDrops: Object.fromEntries(drops.map(({ reason, packets }) => [reason, packets])),
      seconds: Number((this.#loop.now() - this.#began).toFixed(3)),
    };
  }
}
