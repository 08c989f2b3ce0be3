/**
 * The take-over message: a tunnel server tells a designator that another server has tunnels of a server from now on, and
 * the designator answers (document 002: the tunnels of an LNS go on at its peer; here the client notices nothing).
 *
 * ```
 *  0  magic "TDTO"            8  sequence (64 bit)         32  result (16 bit), 0 in an order
 *  4  version 1              16  time, Unix ms (64 bit)    34  number of id ranges
 *  5  kind: TAKE_OVER_KINDS  24  generation (64 bit)       35  0
 *  6  length of the whole                                  36  tunnels (32 bit), 0 in an order
 *                                                          40  lengths of the three names; 43  0
 * 44  id ranges, 2 × 16 bit each; then the names (UTF-8) of sender, server and heir, then
 *     HMAC-SHA-256 (RFC 2104) over all that comes before it
 * ```
 *
 * All numbers in network byte order. The sequence grows with every message of a sender, over its restarts too; an answer
 * has the sequence and the names of the order that it answers. The kind is under the HMAC, so no answer can be sent back
 * as an order, nor an order as its answer.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

const MAGIC = 0x5444544f; // "TDTO"
export const TAKE_OVER_VERSION = 1;
const HEADER_LENGTH = 44;
const RANGE_LENGTH = 4;
const MAC_LENGTH = 32;
export const TAKE_OVER_NAME_LIMIT = 63;
/** Ranges of tunnel ids in one message. */
export const TAKE_OVER_RANGE_LIMIT = 64;
/** No message is longer. */
export const TAKE_OVER_LENGTH_LIMIT =
  HEADER_LENGTH + TAKE_OVER_RANGE_LIMIT * RANGE_LENGTH + 3 * TAKE_OVER_NAME_LIMIT + MAC_LENGTH;

const TWO32 = 2 ** 32;
const COUNT_MAX = TWO32 - 1;

/**
 * claim: the heir takes tunnels of a server that is dead. yield: the server itself gives them to the heir (a planned
 * switchover, a failback). ask: what generation do you know, and change nothing. answer: the designator's.
 */
export type TakeOverOrderKind = 'claim' | 'yield' | 'ask';
const KINDS: readonly (TakeOverOrderKind | 'answer' | null)[] = [null, 'claim', 'yield', 'ask', 'answer'];

/** What a designator answers, each with its sentence. The first two are success, `working` and `still-heard` may be tried again. */
export const TAKE_OVER_RESULTS = [
  ['taken', 'the tunnels lead to the heir'],
  ['known', 'answer to ask: the generation is the last one that was believed'],
  ['working', 'the tunnels are being moved; ask again'],
  ['still-heard', 'the server is still heard from: it is not dead'],
  ['old-generation', 'a generation as high has been seen already: the sender must let these tunnels go'],
  ['unknown-server', 'server or heir is none of the configuration, or they belong to different VIPs'],
  ['not-peer', 'the heir is not configured as the server’s peer'],
  ['not-entitled', 'a claim comes from the heir, a yield from the server, and from nobody else'],
  ['incomplete', 'some tunnels could not be moved: the table is full, or the heir has such a tunnel already'],
  ['busy', 'too many orders at once'],
] as const satisfies readonly (readonly [string, string])[];
export type TakeOverResult = (typeof TAKE_OVER_RESULTS)[number][0];

/** Tunnel ids from `low` to `high`, both included, as the server that made them assigned them. */
export interface IdRange {
  readonly low: number;
  readonly high: number;
}

/** What both directions have in common. */
interface TakeOverNames {
  /** Grows with every message of the sender. */
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** The name, in the designator's configuration, of the server that sends the order. */
  readonly sender: string;
  /** Whose tunnels. */
  readonly server: string;
  /** Who has them from now on; may be '' with `ask`. */
  readonly heir: string;
  readonly generation: number;
}

export interface TakeOverOrder extends TakeOverNames {
  readonly kind: TakeOverOrderKind;
  /** Absent ones are all of the server's tunnels. */
  readonly ranges: readonly IdRange[];
}

export interface TakeOverAnswer extends TakeOverNames {
  readonly kind: 'answer';
  readonly result: TakeOverResult;
  /** Tunnels that were moved. */
  readonly tunnels: number;
}

export type TakeOverMessage = TakeOverOrder | TakeOverAnswer;

/** What `readTakeOver` cannot read. */
export type TakeOverFault = 'malformed' | 'version';

/** `key` is the secret's bytes. Errors: RangeError for names, ranges or numbers that the message has no room for. */
export function buildTakeOver(message: TakeOverMessage, key: Uint8Array): Uint8Array {
  const names = [message.sender, message.server, message.heir].map((name) => new TextEncoder().encode(name));
  const ranges = message.kind === 'answer' ? [] : message.ranges;
  if (names.some(({ length }) => length > TAKE_OVER_NAME_LIMIT) || names[0].length === 0 || names[1].length === 0)
    throw new RangeError(`names have 1 to ${TAKE_OVER_NAME_LIMIT} bytes`);
  if (ranges.length > TAKE_OVER_RANGE_LIMIT || !ranges.every(isRange))
    throw new RangeError(`at most ${TAKE_OVER_RANGE_LIMIT} ranges of ids from 1 to 65535`);
  const namesAt = HEADER_LENGTH + ranges.length * RANGE_LENGTH;
  const signed = namesAt + names.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(signed + MAC_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint8(4, TAKE_OVER_VERSION);
  view.setUint8(5, KINDS.indexOf(message.kind));
  view.setUint16(6, bytes.length);
  writeWide(view, 8, message.sequence);
  writeWide(view, 16, message.timeMs);
  writeWide(view, 24, message.generation);
  if (message.kind === 'answer') {
    view.setUint16(32, 1 + TAKE_OVER_RESULTS.findIndex(([result]) => result === message.result));
    view.setUint32(36, Math.min(COUNT_MAX, message.tunnels));
  }
  view.setUint8(34, ranges.length);
  ranges.forEach(({ low, high }, i) => {
    view.setUint16(HEADER_LENGTH + i * RANGE_LENGTH, low);
    view.setUint16(HEADER_LENGTH + i * RANGE_LENGTH + 2, high);
  });
  let at = namesAt;
  names.forEach((name, i) => {
    view.setUint8(40 + i, name.length);
    bytes.set(name, at);
    at += name.length;
  });
  bytes.set(macOf(bytes.subarray(0, signed), key), signed);
  return bytes;
}

/** Any bytes: what they say, believed by nobody before `isAuthenticTakeOver`, or why they are no such message. */
export function readTakeOver(bytes: Uint8Array): TakeOverMessage | TakeOverFault {
  if (bytes.length < HEADER_LENGTH + MAC_LENGTH) return 'malformed';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) return 'malformed';
  if (view.getUint8(4) !== TAKE_OVER_VERSION) return 'version';
  const kind = KINDS[view.getUint8(5)] ?? null;
  const count = view.getUint8(34);
  const lengths = [40, 41, 42].map((at) => view.getUint8(at));
  const namesAt = HEADER_LENGTH + count * RANGE_LENGTH;
  const length = namesAt + lengths[0] + lengths[1] + lengths[2] + MAC_LENGTH;
  if (kind === null || count > TAKE_OVER_RANGE_LIMIT || lengths[0] === 0 || lengths[1] === 0) return 'malformed';
  if (lengths.some((n) => n > TAKE_OVER_NAME_LIMIT)) return 'malformed';
  if (length !== bytes.length || view.getUint16(6) !== length) return 'malformed';
  const numbers = [8, 16, 24].map((at) => readWide(view, at));
  const names: string[] = [];
  let at = namesAt;
  for (const n of lengths) {
    const name = readName(bytes.subarray(at, at + n));
    if (name === null) return 'malformed';
    names.push(name);
    at += n;
  }
  if (numbers.some((number) => number === null)) return 'malformed';
  const [sequence, timeMs, generation] = numbers as number[];
  const [sender, server, heir] = names;
  const common = { sequence, timeMs, sender, server, heir, generation };
  const result = view.getUint16(32);
  if (kind === 'answer') {
    const known = TAKE_OVER_RESULTS[result - 1];
    if (known === undefined || count !== 0) return 'malformed';
    return { kind, ...common, result: known[0], tunnels: view.getUint32(36) };
  }
  const ranges = Array.from({ length: count }, (_, i) => ({
    low: view.getUint16(HEADER_LENGTH + i * RANGE_LENGTH),
    high: view.getUint16(HEADER_LENGTH + i * RANGE_LENGTH + 2),
  }));
  if (result !== 0 || !ranges.every(isRange) || (kind !== 'ask' && heir === '')) return 'malformed';
  return { kind, ...common, ranges };
}

/** Was a message that `readTakeOver` could read made by someone who has this key? */
export function isAuthenticTakeOver(bytes: Uint8Array, key: Uint8Array): boolean {
  const signed = bytes.length - MAC_LENGTH;
  return timingSafeEqual(macOf(bytes.subarray(0, signed), key), bytes.subarray(signed));
}

/** Is the id in any of the ranges? No ranges: all ids are. */
export function inRanges(ranges: readonly IdRange[], id: number): boolean {
  if (ranges.length === 0) return true;
  for (let i = 0; i < ranges.length; i++) if (id >= ranges[i].low && id <= ranges[i].high) return true;
  return false;
}

function isRange({ low, high }: IdRange): boolean {
  return Number.isInteger(low) && Number.isInteger(high) && low >= 1 && low <= high && high <= 0xffff;
}

function macOf(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(bytes).digest();
}

/** Null: not UTF-8. */
function readName(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function writeWide(view: DataView, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no number of 64 bits`);
  view.setUint32(offset, Math.floor(value / TWO32));
  view.setUint32(offset + 4, value % TWO32);
}

/** Null for what is no exact number here. */
function readWide(view: DataView, offset: number): number | null {
  const value = view.getUint32(offset) * TWO32 + view.getUint32(offset + 4);
  return Number.isSafeInteger(value) ? value : null;
}
