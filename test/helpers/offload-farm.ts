/**
 * Two LNSs, a LAC and what lies between them, under a virtual clock: the engines of src/protocol/offload are the real
 * ones, messages go through their bytes; tunnels are only as much as the engines see of them. Everything can break.
 */
import { buildMessage, readMessage } from '../../src/tunnels/l2tp/message.js';
import type { Avp, AvpInput } from '../../src/tunnels/l2tp/avp.js';
import { DEFAULT_VENDOR, type MovedTunnel } from '../../src/tunnels/l2tp/offload-avps.js';
import type { SwitchoverRequest, SwitchoverResponse } from '../../src/tunnels/l2tp/offload-messages.js';
import type { OffloadChannel } from '../../src/protocol/offload/channel.js';
import { LacMover, type MoverHost, type PeerLns, type SessionIds } from '../../src/protocol/offload/mover.js';
import { OffloadPair, type PairEvent } from '../../src/protocol/offload/pair.js';
import { decodeState, encodeState } from '../../src/protocol/offload/state.js';
import { SwitchoverRequests } from '../../src/protocol/offload/switchover.js';

export const VENDOR = DEFAULT_VENDOR;

/** AVPs as the other end reads them. */
export function carried(type: number, avps: readonly AvpInput[]): readonly Avp[] {
  const bytes = buildMessage({ vendor: VENDOR, mandatory: false, type, avps });
  const message = readMessage(new DataView(bytes.buffer), 0, bytes.length);
  if (typeof message === 'number') throw new Error(`unreadable: ${message}`);
  return message.avps;
}

/** mulberry32. */
export function dice(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Clock {
  now = 100;
  #queue: { at: number; order: number; act: () => void }[] = [];
  #order = 0;

  after(seconds: number, act: () => void): void {
    this.#queue.push({ at: this.now + seconds, order: this.#order++, act });
  }

  /** Lets everything happen until `seconds` have passed; `turn` runs after each happening and every 50 ms. */
  run(seconds: number, turn: () => void): void {
    const end = this.now + seconds;
    for (let tick = this.now; this.now < end; ) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#queue[0];
      tick = Math.min(end, this.now + 0.05);
      if (next !== undefined && next.at <= tick) {
        this.#queue.shift();
        this.now = Math.max(this.now, next.at);
        next.act();
      } else this.now = tick;
      turn();
    }
  }
}

export interface FarmSession {
  readonly lacSession: number;
  readonly ip: number;
  packets: number;
}

export interface FarmTunnel {
  readonly lacTunnel: number;
  readonly sessions: Map<number, FarmSession>;
  /** Instance and tunnel id of where it was taken from. */
  readonly takenFrom: { instance: string; tunnel: number } | null;
}

export class FarmLns {
  alive = true;
  tunnels = new Map<number, FarmTunnel>();
  pair!: OffloadPair;
  requests = new SwitchoverRequests();
  readonly events: PairEvent[] = [];
  peer!: FarmLns;
  #nextTunnel: number;
  #instance = 0;

  constructor(
    readonly farm: Farm,
    readonly number: number,
  ) {
    this.#nextTunnel = number * 1000;
    this.boot();
  }

  get address(): Uint8Array {
    return Uint8Array.of(10, 0, 0, this.number);
  }

  boot(): void {
    this.alive = true;
    this.tunnels = new Map();
    this.requests = new SwitchoverRequests();
    const instance = Uint8Array.of(this.number, ++this.#instance, 0, 0, 0, 0, 0, 0);
    this.pair = new OffloadPair(
      {
        tunnels: () => this.tunnels.keys(),
        sessions: (tunnel) => this.tunnels.get(tunnel)?.sessions.keys() ?? [],
        describe: (tunnel, session) => this.#describe(tunnel, session),
        configuration: () => encodeState('configuration', { name: `lns${this.number}` }),
      },
      { vendor: VENDOR, instance, generation: Math.floor(this.farm.clock.now), refresh: 2 },
    );
  }

  #describe(tunnel: number, session: number) {
    const t = this.tunnels.get(tunnel);
    const s = t?.sessions.get(session);
    if (t === undefined || (session !== 0 && s === undefined)) return null;
    const state =
      s === undefined
        ? encodeState('tunnel', { localId: tunnel, peerId: t.lacTunnel })
        : encodeState('session', { localId: session, ipv4: s.ip, packetsIn: s.packets });
    const generation = this.pair.generationOf(tunnel);
    return { lacTunnel: t.lacTunnel, lacSession: s?.lacSession ?? 0, generation, state };
  }

  newTunnelId(): number {
    return this.#nextTunnel++;
  }

  turn(): void {
    if (!this.alive) return;
    for (const event of this.pair.events()) {
      this.events.push(event);
      if (event.type === 'claimed') {
        this.requests.claimed(event.tunnel);
        const tunnel = this.tunnels.get(event.tunnel);
        for (const id of event.sessions) tunnel?.sessions.delete(id);
        if (event.sessions.length === 0) this.#forget(event.tunnel);
        else for (const id of event.sessions) this.pair.changed(event.tunnel, id, this.farm.clock.now);
      } else if (event.type === 'fenced') {
        for (const [id, { takenFrom }] of this.tunnels) if (takenFrom?.tunnel === event.tunnel) this.#forget(id);
      }
    }
    this.requests.run(this.farm.clock.now);
    this.pair.run(this.farm.clock.now);
  }

  #forget(tunnel: number): void {
    this.tunnels.delete(tunnel);
    this.pair.ended(tunnel, this.farm.clock.now);
  }

  /** A LAC brings a tunnel along; the new one's id, or why not. */
  takeMoved(moved: MovedTunnel, sessions: readonly number[], lacTunnel: number): number | string {
    const stored = this.pair.store.tunnels.get(moved.lnsTunnel) ?? this.pair.former?.tunnels.get(moved.lnsTunnel);
    if (stored === undefined) return 'unknown';
    if (stored.lacTunnel !== moved.lacTunnel) return 'other LAC';
    const instance = this.pair.holderOf(moved.lnsTunnel) as string;
    const taken = this.pair.take(moved.lnsTunnel, sessions);
    if (taken === null) return 'unknown';
    const tunnel: FarmTunnel = {
      lacTunnel,
      sessions: new Map(),
      takenFrom: { instance, tunnel: moved.lnsTunnel },
    };
    for (const [id, session] of taken.sessions) {
      const state = decodeState('session', session.state) as { ipv4: number; packetsIn: number };
      tunnel.sessions.set(id, { lacSession: session.lacSession, ip: state.ipv4, packets: state.packetsIn });
    }
    const id = this.newTunnelId();
    this.tunnels.set(id, tunnel);
    this.pair.setGeneration(id, taken.takenGeneration);
    this.pair.changed(id, 0, this.farm.clock.now);
    for (const session of tunnel.sessions.keys()) this.pair.changed(id, session, this.farm.clock.now);
    return id;
  }
}

interface LacTunnel {
  lns: FarmLns;
  lnsTunnel: number;
  sessions: Map<number, { peer: number; ip: number; held: boolean }>;
  silentSince: number | null;
}

export class Farm {
  readonly clock = new Clock();
  readonly lns: [FarmLns, FarmLns];
  readonly mover: LacMover;
  readonly lacTunnels = new Map<number, LacTunnel>();
  readonly ended: { session: number; why: string }[] = [];
  /** Of the way between the LAC and an LNS. */
  readonly cut = new Set<FarmLns>();
  redirected: PeerLns | null = null;
  #pathUp = true;
  #epoch = 0;
  #linked = false;
  #nextLac = 1;

  constructor(readonly random: () => number) {
    this.lns = [new FarmLns(this, 1), new FarmLns(this, 2)];
    this.lns[0].peer = this.lns[1];
    this.lns[1].peer = this.lns[0];
    this.mover = new LacMover(this.#host(), { deadline: 6 });
  }

  #delay(): number {
    return 0.001 + this.random() * 0.02;
  }

  run(seconds: number): void {
    this.clock.run(seconds, () => this.turn());
  }

  turn(): void {
    this.#linkUp();
    for (const lns of this.lns) lns.turn();
    this.#listen();
    this.mover.run(this.clock.now);
  }

  /** The tunnel between the LNSs: comes when it can. */
  #linkUp(): void {
    if (this.#linked || !this.#pathUp || !this.lns.every(({ alive }) => alive)) return;
    this.#linked = true;
    const epoch = ++this.#epoch;
    this.clock.after(0.1 + this.#delay(), () => {
      if (epoch !== this.#epoch) return;
      for (const lns of this.lns) lns.pair.connect(this.#channel(lns, epoch), lns.peer.pair.hello, this.clock.now);
    });
  }

  #channel(from: FarmLns, epoch: number): OffloadChannel {
    let last = 0;
    let waiting = 0;
    return {
      send: (type, avps) => {
        if (waiting >= 32 || epoch !== this.#epoch) return false;
        waiting++;
        const read = carried(type, avps);
        // In order, whatever the delay.
        last = Math.max(last + 1e-6, this.clock.now + this.#delay());
        this.clock.after(last - this.clock.now, () => {
          waiting--;
          if (epoch === this.#epoch) from.peer.pair.receive(type, read, this.clock.now);
        });
        return true;
      },
    };
  }

  /** What is under way is lost; both ends notice later. */
  breakLink(): void {
    this.#epoch++;
    const epoch = this.#epoch;
    this.clock.after(1.5, () => {
      if (epoch !== this.#epoch) return;
      for (const lns of this.lns) if (lns.alive) lns.pair.disconnect(false);
      this.#linked = false;
    });
  }

  partition(up: boolean): void {
    if (this.#pathUp && !up) this.breakLink();
    this.#pathUp = up;
  }

  kill(lns: FarmLns): void {
    lns.alive = false;
    this.breakLink();
  }

  reaches(lns: FarmLns): boolean {
    return lns.alive && !this.cut.has(lns);
  }

  /** A customer's call, set up at an LNS. */
  setUp(lns: FarmLns, sessions: number): number {
    const lacId = this.#nextLac++;
    const id = lns.newTunnelId();
    const tunnel: FarmTunnel = { lacTunnel: lacId, sessions: new Map(), takenFrom: null };
    const lac: LacTunnel = { lns, lnsTunnel: id, sessions: new Map(), silentSince: null };
    for (let i = 0; i < sessions; i++) {
      const session = id * 100 + i;
      const lacSession = lacId * 100 + i;
      const ip = Math.floor(this.random() * 2 ** 32);
      tunnel.sessions.set(session & 0xffff, { lacSession, ip, packets: 0 });
      lac.sessions.set(lacSession, { peer: session & 0xffff, ip, held: false });
    }
    lns.tunnels.set(id, tunnel);
    this.lacTunnels.set(lacId, lac);
    lns.pair.changed(id, 0, this.clock.now);
    for (const session of tunnel.sessions.keys()) lns.pair.changed(id, session, this.clock.now);
    this.mover.learn(lacId, { address: lns.peer.address, port: 0, generation: lns.pair.generationOf(id) });
    return lacId;
  }

  /** Traffic: the counters of a session move. */
  traffic(): void {
    for (const lns of this.lns)
      for (const [id, { sessions }] of lns.tunnels)
        for (const [session, counters] of sessions) {
          if (this.random() < 0.5) continue;
          counters.packets++;
          if (this.random() < 0.2) lns.pair.changed(id, session, this.clock.now);
        }
  }

  switchover(lns: FarmLns, tunnel: number, type: SwitchoverRequest['type'], sessions: readonly number[] = []): void {
    const lacTunnel = lns.tunnels.get(tunnel)?.lacTunnel;
    if (lacTunnel === undefined) return;
    const generation = lns.pair.generationOf(tunnel);
    const request: SwitchoverRequest = { address: lns.peer.address, port: 0, type, sessions, generation };
    if (!lns.requests.asked(tunnel, request, this.clock.now)) return;
    this.clock.after(this.#delay(), () => {
      if (this.reaches(lns) && this.lacTunnels.get(lacTunnel)?.lns === lns)
        this.mover.requested(lacTunnel, request, this.clock.now);
    });
  }

  /** The LAC notices who leaves its messages without an acknowledgement. */
  #listen(): void {
    for (const [id, tunnel] of this.lacTunnels) {
      const gone = !this.reaches(tunnel.lns) || !tunnel.lns.tunnels.has(tunnel.lnsTunnel);
      if (!gone) {
        if (tunnel.silentSince !== null) this.mover.heard(id);
        tunnel.silentSince = null;
        continue;
      }
      tunnel.silentSince ??= this.clock.now;
      const silent = this.clock.now - tunnel.silentSince;
      if (silent > 1.2) this.mover.suspect(id, 3, this.clock.now);
      if (silent < 12) continue;
      this.mover.down(id, 'silence', this.clock.now);
      for (const session of tunnel.sessions.keys()) this.ended.push({ session, why: 'silence' });
      this.lacTunnels.delete(id);
    }
  }

  #host(): MoverHost {
    const of = (session: number): { peer: number; ip: number; held: boolean } | undefined => {
      for (const { sessions } of this.lacTunnels.values()) if (sessions.has(session)) return sessions.get(session);
      return undefined;
    };
    return {
      sessions: (tunnel): SessionIds[] =>
        [...(this.lacTunnels.get(tunnel)?.sessions ?? [])].map(([local, { peer }]) => ({ local, peer })),
      identity: (tunnel) => {
        const found = this.lacTunnels.get(tunnel);
        return found === undefined ? null : { address: found.lns.address, lnsTunnel: found.lnsTunnel };
      },
      hold: (_tunnel, sessions) => {
        for (const id of sessions) (of(id) as { held: boolean }).held = true;
      },
      flow: (_tunnel, sessions) => {
        for (const id of sessions) {
          const session = of(id);
          if (session !== undefined) session.held = false;
        }
      },
      dial: (_from, peer, moved, lnsSessions) => this.#dial(peer, moved, lnsSessions),
      ask: () => null,
      move: (from, to, sessions) => {
        const source = this.lacTunnels.get(from);
        const target = this.lacTunnels.get(to) as LacTunnel;
        const failed: number[] = [];
        for (const id of sessions) {
          const session = source?.sessions.get(id);
          source?.sessions.delete(id);
          if (session === undefined) failed.push(id);
          else target.sessions.set(id, session);
        }
        return failed;
      },
      query: (tunnel, sessions) => {
        const { lns, lnsTunnel, sessions: own } = this.lacTunnels.get(tunnel) as LacTunnel;
        const there = lns.tunnels.get(lnsTunnel)?.sessions;
        this.clock.after(this.#delay(), () => {
          const has = (id: number): boolean => there?.has((own.get(id) as { peer: number }).peer) === true;
          const asked = sessions.filter((id) => own.has(id));
          const lost = asked.filter((id) => !has(id));
          this.mover.confirmed(tunnel, asked.filter(has), lost);
        });
      },
      end: (_tunnel, sessions, why) => {
        for (const session of sessions) {
          for (const tunnel of this.lacTunnels.values()) tunnel.sessions.delete(session);
          this.ended.push({ session, why });
        }
      },
      answer: (tunnel, response: SwitchoverResponse) => {
        const found = this.lacTunnels.get(tunnel) as LacTunnel;
        this.clock.after(this.#delay(), () => found.lns.requests.answered(found.lnsTunnel, response, this.clock.now));
      },
      redirect: (_tunnel, peer) => {
        this.redirected = peer;
      },
      forget: (tunnel) => {
        this.lacTunnels.delete(tunnel);
      },
      abandon: () => {},
    };
  }

  #dial(peer: PeerLns, moved: MovedTunnel, lnsSessions: readonly number[]): number {
    const id = this.#nextLac++;
    const lns = this.lns.find(({ number }) => number === peer.address[3]) as FarmLns;
    this.clock.after(this.#delay() * 2, () => {
      const taken = this.reaches(lns) ? lns.takeMoved(moved, lnsSessions, id) : 'silence';
      if (typeof taken === 'string') {
        this.clock.after(taken === 'silence' ? 2 : this.#delay(), () => this.mover.down(id, taken, this.clock.now));
        return;
      }
      this.clock.after(this.#delay(), () => {
        this.lacTunnels.set(id, { lns, lnsTunnel: taken, sessions: new Map(), silentSince: null });
        this.mover.learn(id, { address: lns.peer.address, port: 0, generation: lns.pair.generationOf(taken) });
        this.mover.ready(id, this.clock.now);
      });
    });
    return id;
  }
}
