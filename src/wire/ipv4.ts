/**
 * The IPv4 header, RFC 791 §3.1.
 *
 *   | Ver 4 | IHL | TOS         | Total Length                  |
 *   | Identification            |x DF MF| Fragment Offset (13)  |
 *   | TTL       | Protocol      | Header Checksum               |
 *   | Source                                                    |
 *   | Destination                                               |
 *   | options, IHL × 4 − 20 bytes                               |
 *
 * `checkIpv4` first; after a positive answer every getter is safe, and `ipv4End` is not beyond the `end` that was given.
 */
import { checksum } from './checksum.js';

export const IPV4_HEADER_MIN = 20;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
/** Don't Fragment, in the word of flags and fragment offset. */
export const IPV4_DF = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

const TOS = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FLAGS = 6;
const TTL = 8;
const PROTOCOL = 9;
const HEADER_CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

/** Length of the header in bytes, or 0: too short, another version, IHL < 5, or a total length that cannot be. */
export function checkIpv4(view: DataView, offset: number, end: number): number {
  if (end - offset < IPV4_HEADER_MIN) return 0;
  const first = view.getUint8(offset);
  if (first >> 4 !== 4) return 0;
  const headerLength = (first & 0x0f) << 2;
  const totalLength = view.getUint16(offset + TOTAL_LENGTH);
  if (headerLength < IPV4_HEADER_MIN || totalLength < headerLength || totalLength > end - offset) return 0;
  return headerLength;
}

/** Where the packet ends: behind it there may be Ethernet padding. */
export function ipv4End(view: DataView, offset: number): number {
  return offset + view.getUint16(offset + TOTAL_LENGTH);
}

export function ipv4Tos(view: DataView, offset: number): number {
  return view.getUint8(offset + TOS);
}

export function ipv4Identification(view: DataView, offset: number): number {
  return view.getUint16(offset + IDENTIFICATION);
}

/** True for every fragment, the first one too. */
export function ipv4IsFragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FLAGS) & (MORE_FRAGMENTS | OFFSET_MASK)) !== 0;
}

/** Bytes before this fragment's payload. */
export function ipv4FragmentOffset(view: DataView, offset: number): number {
  return (view.getUint16(offset + FLAGS) & OFFSET_MASK) << 3;
}

export function ipv4DontFragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FLAGS) & IPV4_DF) !== 0;
}

export function ipv4Ttl(view: DataView, offset: number): number {
  return view.getUint8(offset + TTL);
}

export function ipv4Protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + PROTOCOL);
}

/** Signed word. */
export function ipv4Source(view: DataView, offset: number): number {
  return view.getInt32(offset + SOURCE);
}

/** Signed word. */
export function ipv4Destination(view: DataView, offset: number): number {
  return view.getInt32(offset + DESTINATION);
}

export function ipv4ChecksumValid(view: DataView, offset: number, headerLength: number): boolean {
  return checksum(view, offset, offset + headerLength) === 0;
}

/** 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3: no host may be answered at such a source (RFC 1122 §3.2.1.3). */
export function ipv4IsUnicast(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/**
 * Writes a header without options, checksum included. `flags` is IPV4_DF or 0; addresses may be signed. Returns 20.
 */
export function emitIpv4(
  view: DataView,
  offset: number,
  tos: number,
  totalLength: number,
  identification: number,
  flags: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): number {
  view.setUint8(offset, 0x45);
  view.setUint8(offset + TOS, tos);
  view.setUint16(offset + TOTAL_LENGTH, totalLength);
  view.setUint16(offset + IDENTIFICATION, identification);
  view.setUint16(offset + FLAGS, flags);
  view.setUint8(offset + TTL, ttl);
  view.setUint8(offset + PROTOCOL, protocol);
  view.setUint16(offset + HEADER_CHECKSUM, 0);
  view.setInt32(offset + SOURCE, source);
  view.setInt32(offset + DESTINATION, destination);
  view.setUint16(offset + HEADER_CHECKSUM, checksum(view, offset, offset + IPV4_HEADER_MIN));
  return IPV4_HEADER_MIN;
}
