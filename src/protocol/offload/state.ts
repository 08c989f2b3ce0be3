/**
 * State information: what an LNS tells its peer of a tunnel, a session or itself (document 002, field 514).
 *
 *   'T' 'D'  version (1 byte)  kind (1 byte)  plain data (plain-data.ts)
 *
 * Nobody reads a state of another version; within a version members may be added.
 */
import { decodePlain, encodePlain, type PlainData } from './plain-data.js';

export const STATE_VERSION = 1;
export const STATE_KIND = { tunnel: 1, session: 2, configuration: 3 } as const;
export type StateKind = keyof typeof STATE_KIND;

export type PlainObject = { readonly [name: string]: PlainData | undefined };

const MAGIC_0 = 0x54;
const MAGIC_1 = 0x44;
const HEADER_LENGTH = 4;
const PREFIX: Readonly<Record<StateKind, Uint8Array>> = {
  tunnel: Uint8Array.of(MAGIC_0, MAGIC_1, STATE_VERSION, STATE_KIND.tunnel),
  session: Uint8Array.of(MAGIC_0, MAGIC_1, STATE_VERSION, STATE_KIND.session),
  configuration: Uint8Array.of(MAGIC_0, MAGIC_1, STATE_VERSION, STATE_KIND.configuration),
};

export function encodeState(kind: StateKind, data: PlainObject): Uint8Array {
  return encodePlain(data, PREFIX[kind]);
}

/** Could a state be read, as far as its first bytes tell? What a peer stores is not decoded before it is needed. */
export function checkState(kind: StateKind, state: Uint8Array): 'malformed' | 'version' | null {
  if (state.length <= HEADER_LENGTH || state[0] !== MAGIC_0 || state[1] !== MAGIC_1) return 'malformed';
  if (state[2] !== STATE_VERSION) return 'version';
  return state[3] === STATE_KIND[kind] ? null : 'malformed';
}

/** The data of a state, or why there is none. */
export function decodeState(kind: StateKind, state: Uint8Array): PlainObject | 'malformed' | 'version' {
  const fault = checkState(kind, state);
  if (fault !== null) return fault;
  const data = decodePlain(state, HEADER_LENGTH);
  if (data === null || typeof data !== 'object' || Array.isArray(data) || data instanceof Uint8Array)
    return 'malformed';
  return data as PlainObject;
}

/** A fingerprint of bytes in two words, for telling states apart; no protection against anybody. */
export interface Fingerprint {
  high: number;
  low: number;
}

/** Both words are ≥ 0. */
export function fingerprint(bytes: Uint8Array, into: Fingerprint = { high: 0, low: 0 }): Fingerprint {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b);
  }
  // The two walks differ by their multiplier only: length and a last stir part them.
  a ^= bytes.length;
  b = Math.imul(b ^ (b >>> 15), 0xc2b2ae35);
  into.high = (a ^ (a >>> 13)) >>> 0;
  into.low = (b ^ (b >>> 16)) >>> 0;
  return into;
}

export const BUCKET_SESSIONS = 64;

/** Bucket of a session, or of the tunnel itself (session 0). */
export const bucketOf = (session: number): number => Math.floor(session / BUCKET_SESSIONS);

/** Adds one state to the digest of its bucket: order does not matter, what stands under which id does. */
export function addToDigest(
  digest: { count: number; high: number; low: number },
  session: number,
  high: number,
  low: number,
): void {
  digest.count++;
  digest.high = (digest.high + Math.imul(high ^ session, 0x9e3779b1)) >>> 0;
  digest.low = (digest.low + Math.imul(low ^ (session << 16), 0x85ebca77)) >>> 0;
}
