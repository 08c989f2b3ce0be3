/**
 * Vendor messages and AVPs of state offload and switchover (document 002, FIG. 4 to 7), as bytes of single values. All
 * of them go out with M = 0 and only to a peer that has sent the Capability AVP, so that a foreign peer meets nothing
 * that it would have to refuse. What a message is made of: offload-messages.ts.
 */
import type { Avp, AvpInput } from './avp.js';

/** The number for documentation and private use (RFC 5612); another can be configured. */
export const DEFAULT_VENDOR = 32473;
/** Version of messages, AVPs and state encoding together; a peer of another one is refused with a reason. */
export const OFFLOAD_VERSION = 1;

/** Vendor message types. */
export const OFFLOAD_MESSAGE = {
  /** LNS-state-offload-request (FIG. 5a, 5b) and its answer. */
  LSORQ: 1,
  LSORS: 2,
  /** Switchover-to-peer-LNS-request (FIG. 6) and its answer (FIG. 7). */
  STPLRQ: 3,
  STPLRP: 4,
  /** A LAC moves a tunnel into one that stands already, where Moved Tunnel cannot be in the SCCRQ. */
  MTRQ: 5,
  MTRP: 6,
  /** An LSORQ or LSORS that a LAC passes on between two LNSs that do not reach each other. */
  RELAY: 7,
} as const;

/** Vendor attribute types. */
export const OFFLOAD_AVP = {
  capability: 1,
  peerAddress: 2,
  peerPort: 3,
  generation: 4,
  instance: 5,
  action: 6,
  lnsTunnel: 7,
  lacTunnel: 8,
  lnsSession: 9,
  lacSession: 10,
  state: 11,
  switchoverType: 12,
  sessionIds: 13,
  result: 14,
  sequence: 15,
  movedTunnel: 16,
  digests: 17,
  origin: 18,
  relayed: 19,
} as const;

/** Bits of the Capability AVP: what the sender can do. */
export const CAPABILITY = {
  /** Keeps another LNS's state: LSORQ and LSORS. */
  offload: 1,
  /** Moves tunnels: STPLRQ, STPLRP, Moved Tunnel. */
  switchover: 2,
  /** Passes RELAY messages on. */
  relay: 4,
} as const;

export interface Capability {
  readonly version: number;
  readonly flags: number;
}

/** Which tunnel a LAC brings along: as the LNS knew it that had it before. */
export interface MovedTunnel {
  readonly generation: number;
  readonly lnsTunnel: number;
  readonly lacTunnel: number;
  /** Address of the former LNS, 4 or 16 bytes. */
  readonly address: Uint8Array;
}

/** Sum over the states of up to 64 sessions: `bucket` is the session id divided by 64; the tunnel's own state is in bucket 0. */
export interface BucketDigest {
  readonly tunnel: number;
  readonly bucket: number;
  readonly count: number;
  readonly high: number;
  readonly low: number;
}

const DIGEST_LENGTH = 14;
/** A value of an AVP has at most 1,017 bytes (RFC 2661 §4.1). */
const VALUE_MAX = 1017;
export const DIGESTS_PER_AVP = Math.floor(VALUE_MAX / DIGEST_LENGTH);
export const IDS_PER_AVP = Math.floor(VALUE_MAX / 2);

const avp = (vendor: number, type: number, value: Uint8Array): AvpInput => ({ vendor, type, value, mandatory: false });

function bytesOf(length: number, fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(new DataView(bytes.buffer));
  return bytes;
}

/** Writers: one AVP each, except where a value may need several. */
export const writeU16 = (vendor: number, type: number, value: number): AvpInput =>
  avp(vendor, type, Uint8Array.of(value >> 8, value & 0xff));

export const writeU32 = (vendor: number, type: number, value: number): AvpInput =>
  avp(
    vendor,
    type,
    bytesOf(4, (view) => view.setUint32(0, value)),
  );

export const writeBytes = (vendor: number, type: number, value: Uint8Array): AvpInput => avp(vendor, type, value);

/** A value of any length, in consecutive AVPs of the same type. An empty value is one empty AVP. */
export function writePieces(vendor: number, type: number, value: Uint8Array): AvpInput[] {
  if (value.length <= VALUE_MAX) return [avp(vendor, type, value)];
  const pieces: AvpInput[] = [];
  for (let at = 0; at < value.length; at += VALUE_MAX)
    pieces.push(avp(vendor, type, value.subarray(at, at + VALUE_MAX)));
  return pieces;
}

export const writeCapability = (vendor: number, { version, flags }: Capability): AvpInput =>
  avp(
    vendor,
    OFFLOAD_AVP.capability,
    bytesOf(4, (view) => {
      view.setUint16(0, version);
      view.setUint16(2, flags);
    }),
  );

export const writeMovedTunnel = (vendor: number, moved: MovedTunnel): AvpInput =>
  avp(
    vendor,
    OFFLOAD_AVP.movedTunnel,
    bytesOf(8 + moved.address.length, (view) => {
      view.setUint32(0, moved.generation);
      view.setUint16(4, moved.lnsTunnel);
      view.setUint16(6, moved.lacTunnel);
      moved.address.forEach((byte, i) => view.setUint8(8 + i, byte));
    }),
  );

/** Session ids, two bytes each. */
export function writeIds(vendor: number, ids: readonly number[]): AvpInput[] {
  const bytes = bytesOf(ids.length * 2, (view) => ids.forEach((id, i) => view.setUint16(i * 2, id)));
  const avps: AvpInput[] = [];
  for (let at = 0; at < bytes.length; at += IDS_PER_AVP * 2)
    avps.push(avp(vendor, OFFLOAD_AVP.sessionIds, bytes.subarray(at, at + IDS_PER_AVP * 2)));
  return avps;
}

export function writeDigests(vendor: number, digests: readonly BucketDigest[]): AvpInput[] {
  const avps: AvpInput[] = [];
  for (let at = 0; at < digests.length; at += DIGESTS_PER_AVP) {
    const part = digests.slice(at, at + DIGESTS_PER_AVP);
    const value = bytesOf(part.length * DIGEST_LENGTH, (view) =>
      part.forEach(({ tunnel, bucket, count, high, low }, i) => {
        const offset = i * DIGEST_LENGTH;
        view.setUint16(offset, tunnel);
        view.setUint16(offset + 2, bucket);
        view.setUint16(offset + 4, count);
        view.setUint32(offset + 6, high);
        view.setUint32(offset + 10, low);
      }),
    );
    avps.push(avp(vendor, OFFLOAD_AVP.digests, value));
  }
  return avps;
}

/** Bytes of a vendor AVP's value, or null when it is hidden: nobody but the two ends of a secret could read it. */
export function vendorBytes(read: Avp): Uint8Array | null {
  return !read.hidden && read.value instanceof Uint8Array ? read.value : null;
}

/** Readers: null for a value that is none. */
export function readU16(value: Uint8Array): number | null {
  return value.length === 2 ? (value[0] << 8) | value[1] : null;
}

export function readU32(value: Uint8Array): number | null {
  return value.length === 4 ? viewOf(value).getUint32(0) : null;
}

export function readAddressBytes(value: Uint8Array): Uint8Array | null {
  return value.length === 4 || value.length === 16 ? value : null;
}

/** A later version may append fields. */
export function readCapability(value: Uint8Array): Capability | null {
  if (value.length < 4) return null;
  const view = viewOf(value);
  return { version: view.getUint16(0), flags: view.getUint16(2) };
}

export function readMovedTunnel(value: Uint8Array): MovedTunnel | null {
  if (value.length !== 12 && value.length !== 24) return null;
  const view = viewOf(value);
  return {
    generation: view.getUint32(0),
    lnsTunnel: view.getUint16(4),
    lacTunnel: view.getUint16(6),
    address: value.subarray(8),
  };
}

export function readIds(value: Uint8Array): number[] | null {
  if (value.length % 2 !== 0) return null;
  const view = viewOf(value);
  return Array.from({ length: value.length / 2 }, (_, i) => view.getUint16(i * 2));
}

export function readDigests(value: Uint8Array): BucketDigest[] | null {
  if (value.length % DIGEST_LENGTH !== 0) return null;
  const view = viewOf(value);
  return Array.from({ length: value.length / DIGEST_LENGTH }, (_, i) => ({
    tunnel: view.getUint16(i * DIGEST_LENGTH),
    bucket: view.getUint16(i * DIGEST_LENGTH + 2),
    count: view.getUint16(i * DIGEST_LENGTH + 4),
    high: view.getUint32(i * DIGEST_LENGTH + 6),
    low: view.getUint32(i * DIGEST_LENGTH + 10),
  }));
}

function viewOf(value: Uint8Array): DataView {
  return new DataView(value.buffer, value.byteOffset, value.byteLength);
}

/** The first readable AVP of a vendor and type, read by `read`; null without one. */
export function findVendorAvp<T>(
  avps: readonly Avp[],
  vendor: number,
  type: number,
  read: (value: Uint8Array) => T | null,
): T | null {
  for (const candidate of avps) {
    if (candidate.vendor !== vendor || candidate.type !== type || candidate.reserved) continue;
    const value = vendorBytes(candidate);
    const result = value === null ? null : read(value);
    if (result !== null) return result;
  }
  return null;
}
