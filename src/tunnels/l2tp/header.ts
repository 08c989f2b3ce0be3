/**
 * The L2TPv2 header, RFC 2661 §3.1. `offset` is always the first byte of the L2TP message (the UDP payload).
 *
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
 *   |T|L|x x|S|x|O|P|x x x x|  Ver  |   x = reserved: ignored on receipt
 *   |  Length (only if L)           |   of the whole message; may be less than the UDP payload
 *   |  Tunnel ID                    |   as the receiver assigned it, at byte 2 or 4
 *   |  Session ID                   |   as the receiver assigned it
 *   |  Ns | Nr (only if S)          |   Nr of a data message means nothing
 *   |  Offset Size, pad (only if O) |
 *
 * `checkHeader` first; after a positive answer every getter is safe. The getters check nothing. Functions that write
 * are for buffers of one's own; never run `checkHeader` on a buffer that is still being written.
 */
import { BAD_LENGTH, BAD_OFFSET, CONTROL_FLAGS, OTHER_VERSION, TRUNCATED } from './malformed.js';

/** Bits of the first byte. */
export const T_BIT = 0x80;
export const L_BIT = 0x40;
export const S_BIT = 0x08;
export const O_BIT = 0x02;
export const P_BIT = 0x01;
/** First byte of a control message: T, L and S set, O and P clear, the reserved bits open. */
export const CONTROL_MASK = T_BIT | L_BIT | S_BIT | O_BIT | P_BIT;
export const CONTROL_BITS = T_BIT | L_BIT | S_BIT;
/** All bits of the first two bytes that RFC 2661 reserves. */
export const RESERVED_MASK = 0x34f0;
export const VERSION_MASK = 0x0f;
export const L2TP_VERSION = 2;

export const CONTROL_HEADER_LENGTH = 12;
export const DATA_HEADER_MIN = 6;
export const DATA_HEADER_MAX = 14; // without the offset pad
/** Length is a 16-bit field. */
export const MESSAGE_MAX = 0xffff;

/**
 * Length of the header at `offset` in bytes, offset pad included, or a negative code of malformed.ts. A control
 * message is also held to its flags. Reads no byte at or after `end`.
 */
export function checkHeader(view: DataView, offset: number, end: number): number {
  const available = end - offset;
  if (available < 2) return TRUNCATED;
  const flags = view.getUint8(offset);
  if ((view.getUint8(offset + 1) & VERSION_MASK) !== L2TP_VERSION) return OTHER_VERSION;
  if ((flags & T_BIT) !== 0) {
    if ((flags & CONTROL_MASK) !== CONTROL_BITS) return CONTROL_FLAGS;
    if (available < CONTROL_HEADER_LENGTH) return TRUNCATED;
    const length = view.getUint16(offset + 2);
    return length < CONTROL_HEADER_LENGTH || length > available ? BAD_LENGTH : CONTROL_HEADER_LENGTH;
  }
  let headerLength = DATA_HEADER_MIN;
  if ((flags & L_BIT) !== 0) headerLength += 2;
  if ((flags & S_BIT) !== 0) headerLength += 4;
  if ((flags & O_BIT) !== 0) headerLength += 2;
  if (available < headerLength) return TRUNCATED;
  let messageLength = available;
  if ((flags & L_BIT) !== 0) {
    messageLength = view.getUint16(offset + 2);
    if (messageLength > available || messageLength < headerLength) return BAD_LENGTH;
  }
  if ((flags & O_BIT) !== 0) {
    // Held against what is left after the field itself: the whole message would let the pad run past its end.
    headerLength += view.getUint16(offset + headerLength - 2);
    if (headerLength > messageLength) return BAD_OFFSET;
  }
  return headerLength;
}

export function isControl(view: DataView, offset: number): boolean {
  return (view.getUint8(offset) & T_BIT) !== 0;
}

/** Bytes of the whole message: Length where there is one, else all that UDP carries. */
export function messageLength(view: DataView, offset: number, end: number): number {
  return (view.getUint8(offset) & L_BIT) !== 0 ? view.getUint16(offset + 2) : end - offset;
}

/** Bytes from the start of the message to its Tunnel ID: 2 or 4. */
export function tunnelIdOffset(view: DataView, offset: number): number {
  return (view.getUint8(offset) & L_BIT) !== 0 ? 4 : 2;
}

export function tunnelId(view: DataView, offset: number): number {
  return view.getUint16(offset + tunnelIdOffset(view, offset));
}

export function sessionId(view: DataView, offset: number): number {
  return view.getUint16(offset + tunnelIdOffset(view, offset) + 2);
}

export function hasSequence(view: DataView, offset: number): boolean {
  return (view.getUint8(offset) & S_BIT) !== 0;
}

/** Only where `hasSequence`. */
export function sequenceNs(view: DataView, offset: number): number {
  return view.getUint16(offset + tunnelIdOffset(view, offset) + 4);
}

/** Only where `hasSequence`; to be ignored in a data message. */
export function sequenceNr(view: DataView, offset: number): number {
  return view.getUint16(offset + tunnelIdOffset(view, offset) + 6);
}

/** Writes the 12 bytes of a control header; `length` is that of the whole message. Returns CONTROL_HEADER_LENGTH. */
export function writeControlHeader(
  view: DataView,
  offset: number,
  length: number,
  tunnel: number,
  session: number,
  ns: number,
  nr: number,
): number {
  view.setUint16(offset, (CONTROL_BITS << 8) | L2TP_VERSION);
  view.setUint16(offset + 2, length);
  view.setUint16(offset + 4, tunnel);
  view.setUint16(offset + 6, session);
  view.setUint16(offset + 8, ns);
  view.setUint16(offset + 10, nr);
  return CONTROL_HEADER_LENGTH;
}

/** What a data header may carry besides the two ids. */
export interface DataHeaderOptions {
  /** Bytes of the payload that follows: sets L. */
  readonly payloadLength?: number;
  /** Sets S. */
  readonly ns?: number;
  readonly nr?: number;
  /** Bytes of pad (zeros are written): sets O. */
  readonly offsetSize?: number;
  /** Sets P. */
  readonly priority?: boolean;
}

/** Writes a data header and returns its length, offset pad included: at most DATA_HEADER_MAX + offsetSize. */
export function writeDataHeader(
  view: DataView,
  offset: number,
  tunnel: number,
  session: number,
  options: DataHeaderOptions = {},
): number {
  const { payloadLength, ns, nr, offsetSize, priority } = options;
  let flags = priority === true ? P_BIT : 0;
  let at = offset + 2;
  if (payloadLength !== undefined) {
    flags |= L_BIT;
    at += 2;
  }
  view.setUint16(at, tunnel);
  view.setUint16(at + 2, session);
  at += 4;
  if (ns !== undefined) {
    flags |= S_BIT;
    view.setUint16(at, ns);
    view.setUint16(at + 2, nr ?? 0);
    at += 4;
  }
  if (offsetSize !== undefined) {
    flags |= O_BIT;
    view.setUint16(at, offsetSize);
    at += 2;
    for (let i = 0; i < offsetSize; i++) view.setUint8(at + i, 0);
    at += offsetSize;
  }
  view.setUint16(offset, (flags << 8) | L2TP_VERSION);
  if (payloadLength !== undefined) view.setUint16(offset + 2, at - offset + payloadLength);
  return at - offset;
}
