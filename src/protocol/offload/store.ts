/**
 * What an LNS keeps of another one: the states of its tunnels and sessions, undecoded, until they are taken over
 * (document 002, FIG. 1, "primary LNS state store"). Bounded in tunnels, sessions and bytes.
 */
import type { BucketDigest } from '../../tunnels/l2tp/offload-avps.js';
import { DENIAL, type Denial, type OffloadEntry } from '../../tunnels/l2tp/offload-messages.js';
import { addToDigest, bucketOf, checkState, type Fingerprint, fingerprint } from './state.js';

export interface StoredSession extends Readonly<Fingerprint> {
  readonly lacSession: number;
  readonly state: Uint8Array;
}

export interface StoredTunnel extends Readonly<Fingerprint> {
  readonly lnsTunnel: number;
  readonly lacTunnel: number;
  readonly generation: number;
  readonly state: Uint8Array;
  /** By the LNS's session id. */
  readonly sessions: Map<number, StoredSession>;
}

export interface StoreLimits {
  /** Default 8,192. */
  readonly tunnels?: number;
  /** Default 131,072. */
  readonly sessions?: number;
  /** Of all states together. Default 256 MiB. */
  readonly bytes?: number;
}

/** What a state weighs besides its own bytes, roughly. */
const OVERHEAD = 200;

export class OffloadStore {
  readonly tunnels = new Map<number, StoredTunnel>();
  configuration: Uint8Array | null = null;
  sessionCount = 0;
  bytes = 0;
  readonly #limits: Required<StoreLimits>;

  constructor(limits: StoreLimits = {}) {
    this.#limits = { tunnels: 8192, sessions: 131_072, bytes: 256 * 1024 * 1024, ...limits };
  }

  /** An add entry: FIG. 5a. */
  add(entry: OffloadEntry, generation: number): Denial {
    const { state, lnsTunnel, lnsSession } = entry;
    if (state === null || lnsTunnel === 0) return DENIAL.malformed;
    const fault = checkState(lnsSession === 0 ? 'tunnel' : 'session', state);
    if (fault !== null) return fault === 'version' ? DENIAL.version : DENIAL.malformed;
    if (this.bytes + state.length > this.#limits.bytes) return DENIAL.full;
    const tunnel = this.tunnels.get(lnsTunnel);
    // A view into a datagram would keep the whole of it.
    const kept = state.slice();
    const { high, low } = fingerprint(kept);
    if (lnsSession === 0) {
      if (tunnel === undefined && this.tunnels.size >= this.#limits.tunnels) return DENIAL.full;
      const sessions = tunnel?.sessions ?? new Map<number, StoredSession>();
      this.bytes += kept.length + OVERHEAD - weightOf(tunnel);
      this.tunnels.set(lnsTunnel, {
        lnsTunnel,
        lacTunnel: entry.lacTunnel,
        generation: entry.generation === 0 ? generation : entry.generation,
        state: kept,
        high,
        low,
        sessions,
      });
      return DENIAL.none;
    }
    if (tunnel === undefined) return DENIAL.unknownTunnel;
    const before = tunnel.sessions.get(lnsSession);
    if (before === undefined && this.sessionCount >= this.#limits.sessions) return DENIAL.full;
    if (before === undefined) this.sessionCount++;
    this.bytes += kept.length + OVERHEAD - weightOf(before);
    tunnel.sessions.set(lnsSession, { lacSession: entry.lacSession, state: kept, high, low });
    return DENIAL.none;
  }

  /** A remove entry: FIG. 5b. What is not there is removed already. */
  remove(lnsTunnel: number, lnsSession: number): void {
    const tunnel = this.tunnels.get(lnsTunnel);
    if (tunnel === undefined) return;
    if (lnsSession === 0) {
      this.tunnels.delete(lnsTunnel);
      this.bytes -= weightOf(tunnel);
      for (const session of tunnel.sessions.values()) this.bytes -= weightOf(session);
      this.sessionCount -= tunnel.sessions.size;
      return;
    }
    const session = tunnel.sessions.get(lnsSession);
    if (session === undefined) return;
    tunnel.sessions.delete(lnsSession);
    this.bytes -= weightOf(session);
    this.sessionCount--;
  }

  /**
   * Everything that the other side believes to be here, against what is here. What it does not list is dropped; buckets
   * that differ are dropped too and answered, so that they are sent again.
   */
  compare(told: readonly BucketDigest[]): BucketDigest[] {
    const expected = new Map(told.map((digest) => [keyOf(digest.tunnel, digest.bucket), digest]));
    const surplus: [tunnel: number, session: number][] = [];
    for (const own of this.digests()) {
      const digest = expected.get(keyOf(own.tunnel, own.bucket));
      if (digest !== undefined && sameDigest(own, digest)) {
        expected.delete(keyOf(own.tunnel, own.bucket));
        continue;
      }
      const tunnel = this.tunnels.get(own.tunnel);
      if (tunnel === undefined) continue;
      for (const session of tunnel.sessions.keys())
        if (bucketOf(session) === own.bucket) surplus.push([own.tunnel, session]);
      if (own.bucket === 0 && digest === undefined) surplus.push([own.tunnel, 0]);
    }
    for (const [tunnel, session] of surplus) this.remove(tunnel, session);
    return [...expected.values()];
  }

  digests(): BucketDigest[] {
    const digests: BucketDigest[] = [];
    for (const tunnel of this.tunnels.values()) digestsOf(tunnel.lnsTunnel, tunnel, tunnel.sessions, digests);
    return digests;
  }

  clear(): void {
    this.tunnels.clear();
    this.sessionCount = 0;
    this.bytes = 0;
  }
}

const weightOf = (stored: { readonly state: Uint8Array } | undefined): number =>
  stored === undefined ? 0 : stored.state.length + OVERHEAD;

const keyOf = (tunnel: number, bucket: number): number => tunnel * 65_536 + bucket;

const sameDigest = (a: BucketDigest, b: BucketDigest): boolean =>
  a.count === b.count && a.high === b.high && a.low === b.low;

/** Digests of one tunnel's buckets; bucket 0 is always among them, it has the tunnel's own state. */
export function digestsOf(
  tunnel: number,
  own: Readonly<Fingerprint>,
  sessions: ReadonlyMap<number, Readonly<Fingerprint>>,
  into: BucketDigest[],
): void {
  const buckets = new Map<number, { count: number; high: number; low: number }>();
  const add = (session: number, { high, low }: Readonly<Fingerprint>): void => {
    const bucket = bucketOf(session);
    let digest = buckets.get(bucket);
    if (digest === undefined) {
      digest = { count: 0, high: 0, low: 0 };
      buckets.set(bucket, digest);
    }
    addToDigest(digest, session, high, low);
  };
  add(0, own);
  for (const [session, print] of sessions) add(session, print);
  for (const [bucket, digest] of buckets) into.push({ tunnel, bucket, ...digest });
}
