/** The LNS as the part sees it that shares state with a peer: what a session is, in plain data, and sessions made of that. */
import type { AddressWords } from '../../config/compiled.js';
import type { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { TunnelProfile } from '../../protocol/l2tp/profile.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { AuthMethod } from '../../protocol/ppp/options.js';
import type { PppSnapshot } from '../../protocol/ppp/snapshot.js';
import { formatWords } from '../../wire/address.js';
import type { Grant } from './grant.js';
import type { Lns } from './lns.js';
import type { OffloadHost, StateData } from './offload-face.js';
import { tunnelOf } from './session-rows.js';

/** What goes to the other LNS of a session besides the call: everything that PPP, the data path and accounting need. */
export interface SessionState {
  readonly call: StateData;
  readonly ppp: PppSnapshot;
  readonly method: AuthMethod | null;
  readonly grant: Grant | null;
  readonly ipv4: AddressWords | null;
  readonly prefix: { readonly words: AddressWords; readonly length: number } | null;
  readonly ipv4Up: boolean;
  readonly ipv6Up: boolean;
  readonly interfaceId: Uint8Array | null;
  /** Unix milliseconds. */
  readonly sinceMs: number;
  readonly accountingId: string;
  /** Seconds that are left of the session's time; null: no limit. */
  readonly secondsLeft: number | null;
  readonly idleSeconds: number;
  readonly counters: { packetsIn: number; bytesIn: number; packetsOut: number; bytesOut: number };
  readonly sendNs: number;
  readonly receiveNs: number;
}

const NEVER = Number.POSITIVE_INFINITY;

export class LnsOffloadHost implements OffloadHost {
  readonly #lns: Lns;

  constructor(lns: Lns) {
    this.#lns = lns;
  }

  get endpoint(): L2tpEndpoint {
    return this.#lns.l2tp;
  }

  get lns(): Lns {
    return this.#lns;
  }

  get profile(): TunnelProfile {
    return this.#lns.profiles.base;
  }

  now(): number {
    return this.#lns.now();
  }

  wake(): void {
    this.#lns.loop.wake();
  }

  *tunnelIds(): Generator<number> {
    for (const tunnel of this.endpoint.tunnels.values()) if (tunnel.state === 'established') yield tunnel.localId;
  }

  *sessionIds(tunnelId: number): Generator<number> {
    for (const session of this.endpoint.tunnels.get(tunnelId)?.sessions.values() ?? []) {
      if (this.#lns.subscribers.of(session)?.state === 'up') yield session.localId;
    }
  }

  /** The tunnel without its sessions, which are described one by one. */
  describeTunnel(tunnelId: number): StateData {
    const tunnel = this.endpoint.tunnels.get(tunnelId);
    if (tunnel === undefined || tunnel.state !== 'established') return null;
    const local = this.#lns.plane.socket(tunnel.peer.socket);
    return plain({ ...tunnel.snapshot(false), local });
  }

  describeSession(tunnelId: number, sessionId: number): StateData {
    const session = this.endpoint.tunnels.get(tunnelId)?.sessions.get(sessionId);
    const subscriber = session === undefined ? null : this.#lns.subscribers.of(session);
    if (session === undefined || subscriber === null || subscriber.link === null || subscriber.state !== 'up')
      return null;
    const { ipv4, prefix, slot } = subscriber;
    const state: SessionState = {
      call: plain(session.snapshot()),
      ppp: subscriber.link.snapshot(),
      method: subscriber.method,
      grant: subscriber.grant,
      ipv4: ipv4 === null ? null : ipv4.words,
      prefix: prefix === null ? null : { words: prefix.words, length: prefix.length },
      ipv4Up: subscriber.ipv4Up,
      ipv6Up: subscriber.ipv6Up,
      interfaceId: subscriber.interfaceId,
      sinceMs: subscriber.sinceMs,
      accountingId: subscriber.call.accountingId,
      secondsLeft: subscriber.timeoutAt === NEVER ? null : Math.max(0, subscriber.timeoutAt - this.now()),
      idleSeconds: subscriber.idleSeconds,
      counters: subscriber.totals(this.#lns.subscribers.counters(subscriber)),
      ...this.#lns.plane.table.sequence(slot),
    };
    return plain(state);
  }

  restoreSession(session: L2tpSession, data: StateData, how: { readonly silent: boolean }): string | null {
    const state = data as unknown as SessionState;
    if (state === null || typeof state !== 'object' || state.ppp === undefined) return 'bad-state';
    return this.#lns.subscribers.restore(session, state, how.silent, this.now());
  }

  forgetSession(session: L2tpSession): void {
    const subscriber = this.#lns.subscribers.of(session);
    if (subscriber !== null) this.#lns.subscribers.forget(subscriber);
    session.forget();
  }

  holdSession(session: L2tpSession): void {
    this.#state(session, 'hold');
  }

  releaseSession(session: L2tpSession): void {
    this.#state(session, 'forward');
  }

  #state(session: L2tpSession, state: 'hold' | 'forward'): void {
    const subscriber = this.#lns.subscribers.of(session);
    if (subscriber !== null) this.#lns.plane.table.setState(subscriber.slot, state);
  }

  movedSession(session: L2tpSession): void {
    const subscriber = this.#lns.subscribers.of(session);
    if (subscriber === null) return;
    this.#lns.plane.table.update(subscriber.slot, { tunnel: tunnelOf(session) });
  }

  load(): { sessions: number; tunnels: number; memory: number; cpu: number } {
    const { subscribers, load } = this.#lns;
    return { sessions: subscribers.count, tunnels: this.endpoint.tunnels.size, memory: load.memory, cpu: load.cpu };
  }

  configuration(): StateData {
    const { config, subscribers } = this.#lns;
    const { local } = subscribers.addressing;
    return plain({
      name: config.name,
      ids: config.tunnels.ids,
      mru: config.ppp.mru,
      authentication: config.ppp.authentication,
      local: local === null ? null : formatWords(local),
      pools: config.pools.map(({ name, ipv4, ipv6, length }) => ({
        name,
        ranges: [...ipv4, ...ipv6].map(({ text }) => text),
        length,
      })),
      dns: [...config.ipv4.dns, ...config.ipv6.dns].map((words) => formatWords(words)),
    });
  }

  openSocket(address: string, port: number): number {
    return this.#lns.plane.addSocket(address, port, true);
  }
}

/** Interfaces and classes of the engines are plain data, which the compiler cannot see. */
function plain(value: object): StateData {
  return value as unknown as StateData;
}
