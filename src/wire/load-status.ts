/**
 * The load status message (document 000, claim 3): a datagram in which a tunnel server says how loaded it is.
 *
 * ```
 *  0  magic "TDLS"            8  sequence (64 bit)         24  length of the fields, bytes
 *  4  version 1              16  time, Unix ms (64 bit)    25  length of the name, bytes
 *  5  flags: 1 accepting                                   26  fields, then the server's name (UTF-8), then
 *  6  length of the whole                                      HMAC-SHA-256 (RFC 2104) over all that comes before it
 * ```
 *
 * All numbers in network byte order. A field of all ones is unknown. Fields may be appended in later versions of the
 * product: a reader takes those that it knows. The sequence grows with every message of a server, over its restarts too.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

const MAGIC = 0x54444c53; // "TDLS"
export const LOAD_STATUS_VERSION = 1;
const FLAG_ACCEPTING = 1;
const HEADER_LENGTH = 26;
const FIELDS_LENGTH = 56;
const MAC_LENGTH = 32;
export const LOAD_STATUS_NAME_LIMIT = 63;
/** No load status message of any version is longer: header, 255 bytes of fields, name and HMAC. */
export const LOAD_STATUS_LENGTH_LIMIT = HEADER_LENGTH + 255 + LOAD_STATUS_NAME_LIMIT + MAC_LENGTH;

const UNKNOWN32 = 0xffffffff;
const UNKNOWN16 = 0xffff;
/** Shares are sent in ten-thousandths. */
const SHARE = 10_000;
const TWO32 = 2 ** 32;

/** What a server says; null is unknown. */
export interface LoadReport {
  /** It takes new tunnels. */
  readonly accepting: boolean;
  readonly tunnels: number | null;
  readonly sessions: number | null;
  /** What it can carry at most. */
  readonly tunnelLimit: number | null;
  readonly sessionLimit: number | null;
  /** In use, 0 … 1. */
  readonly cpu: number | null;
  readonly memory: number | null;
  /** Traffic per second. In is from the tunnel clients. */
  readonly packetsIn: number | null;
  readonly packetsOut: number | null;
  readonly bitsIn: number | null;
  readonly bitsOut: number | null;
  /** Traffic per second that it can carry, each way. */
  readonly packetCapacity: number | null;
  readonly bitCapacity: number | null;
}

export interface LoadStatus extends LoadReport {
  readonly server: string;
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly timeMs: number;
}

export const NOTHING_KNOWN: LoadReport = {
  accepting: true,
  tunnels: null,
  sessions: null,
  tunnelLimit: null,
  sessionLimit: null,
  cpu: null,
  memory: null,
  packetsIn: null,
  packetsOut: null,
  bitsIn: null,
  bitsOut: null,
  packetCapacity: null,
  bitCapacity: null,
};

/** What `readLoadStatus` cannot read. */
export type LoadStatusFault = 'malformed' | 'version';

/** `key` is the secret's bytes. Errors: RangeError for a name of 0 or more than 63 bytes. */
export function buildLoadStatus(status: LoadStatus, key: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(status.server);
  if (name.length === 0 || name.length > LOAD_STATUS_NAME_LIMIT)
    throw new RangeError(`the name of a server has 1 to ${LOAD_STATUS_NAME_LIMIT} bytes, not ${name.length}`);
  const signed = HEADER_LENGTH + FIELDS_LENGTH + name.length;
  const bytes = new Uint8Array(signed + MAC_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint8(4, LOAD_STATUS_VERSION);
  view.setUint8(5, status.accepting ? FLAG_ACCEPTING : 0);
  view.setUint16(6, bytes.length);
  writeWide(view, 8, status.sequence);
  writeWide(view, 16, status.timeMs);
  view.setUint8(24, FIELDS_LENGTH);
  view.setUint8(25, name.length);
  [status.tunnels, status.sessions, status.tunnelLimit, status.sessionLimit].forEach((count, i) => {
    view.setUint32(26 + i * 4, count32(count));
  });
  view.setUint16(42, share16(status.cpu));
  view.setUint16(44, share16(status.memory));
  view.setUint32(46, count32(status.packetsIn));
  view.setUint32(50, count32(status.packetsOut));
  view.setUint32(54, count32(status.packetCapacity));
  [status.bitsIn, status.bitsOut, status.bitCapacity].forEach((bits, i) => {
    if (bits === null) view.setBigUint64(58 + i * 8, 0xffff_ffff_ffff_ffffn);
    else writeWide(view, 58 + i * 8, bits);
  });
  bytes.set(name, HEADER_LENGTH + FIELDS_LENGTH);
  bytes.set(macOf(bytes.subarray(0, signed), key), signed);
  return bytes;
}

/** Any bytes: what they say, believed by nobody before `isAuthentic`, or why they are no such message. */
export function readLoadStatus(bytes: Uint8Array): LoadStatus | LoadStatusFault {
  if (bytes.length < HEADER_LENGTH + MAC_LENGTH) return 'malformed';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) return 'malformed';
  if (view.getUint8(4) !== LOAD_STATUS_VERSION) return 'version';
  const fields = view.getUint8(24);
  const nameLength = view.getUint8(25);
  if (fields < FIELDS_LENGTH || nameLength === 0 || nameLength > LOAD_STATUS_NAME_LIMIT) return 'malformed';
  const nameAt = HEADER_LENGTH + fields;
  if (view.getUint16(6) !== bytes.length || bytes.length !== nameAt + nameLength + MAC_LENGTH) return 'malformed';
  let server: string;
  try {
    server = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(nameAt, nameAt + nameLength));
  } catch {
    return 'malformed';
  }
  const sequence = readWide(view, 8);
  const timeMs = readWide(view, 16);
  if (sequence === null || timeMs === null) return 'malformed';
  const cpu = share(view, 42);
  const memory = share(view, 44);
  if ((cpu ?? 0) > 1 || (memory ?? 0) > 1) return 'malformed';
  return {
    server,
    sequence,
    timeMs,
    accepting: (view.getUint8(5) & FLAG_ACCEPTING) !== 0,
    tunnels: count(view, 26),
    sessions: count(view, 30),
    tunnelLimit: count(view, 34),
    sessionLimit: count(view, 38),
    cpu,
    memory,
    packetsIn: count(view, 46),
    packetsOut: count(view, 50),
    packetCapacity: count(view, 54),
    bitsIn: readWide(view, 58),
    bitsOut: readWide(view, 66),
    bitCapacity: readWide(view, 74),
  };
}

/** Was a message that `readLoadStatus` could read made by someone who has this key? */
export function isAuthentic(bytes: Uint8Array, key: Uint8Array): boolean {
  const signed = bytes.length - MAC_LENGTH;
  return timingSafeEqual(macOf(bytes.subarray(0, signed), key), bytes.subarray(signed));
}

function macOf(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(bytes).digest();
}

const count32 = (value: number | null): number => (value === null ? UNKNOWN32 : clamped(value, UNKNOWN32 - 1));
const share16 = (value: number | null): number => (value === null ? UNKNOWN16 : clamped(value * SHARE, SHARE));
const clamped = (value: number, most: number): number => Math.max(0, Math.min(most, Math.round(value) || 0));

function count(view: DataView, offset: number): number | null {
  const value = view.getUint32(offset);
  return value === UNKNOWN32 ? null : value;
}

function share(view: DataView, offset: number): number | null {
  const value = view.getUint16(offset);
  return value === UNKNOWN16 ? null : value / SHARE;
}

function writeWide(view: DataView, offset: number, value: number): void {
  const whole = clamped(value, Number.MAX_SAFE_INTEGER);
  view.setUint32(offset, Math.floor(whole / TWO32));
  view.setUint32(offset + 4, whole % TWO32);
}

/** null for what is no exact number here; all ones is among that. */
function readWide(view: DataView, offset: number): number | null {
  const value = view.getUint32(offset) * TWO32 + view.getUint32(offset + 4);
  return Number.isSafeInteger(value) ? value : null;
}
