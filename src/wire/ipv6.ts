/**
 * The IPv6 header and the walk over its extension headers: RFC 8200 §3, §4.
 *
 *   | Ver 6 | Traffic Class | Flow Label (20)                   |
 *   | Payload Length            | Next Header   | Hop Limit     |
 *   | Source (16)                                               |
 *   | Destination (16)                                          |
 *
 * `checkIpv6` first; after a positive answer every getter is safe, and `ipv6End` is not beyond the `end` that was given.
 * Jumbograms (payload length 0 with a hop-by-hop option, RFC 2675) are not read as such.
 */
export const IPV6_HEADER_LENGTH = 40;
export const NEXT_HOP_BY_HOP = 0;
export const NEXT_ROUTING = 43;
export const NEXT_FRAGMENT = 44;
export const NEXT_ICMPV6 = 58;
export const NEXT_DESTINATION_OPTIONS = 60;
/** Extension headers that the walk steps over at most; real packets have one or two. */
export const EXTENSION_LIMIT = 8;

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SOURCE = 8;
const DESTINATION = 24;

/** 40, or 0: too short, another version, or a payload length beyond `end`. */
export function checkIpv6(view: DataView, offset: number, end: number): number {
  if (end - offset < IPV6_HEADER_LENGTH || view.getUint8(offset) >> 4 !== 6) return 0;
  return view.getUint16(offset + PAYLOAD_LENGTH) > end - offset - IPV6_HEADER_LENGTH ? 0 : IPV6_HEADER_LENGTH;
}

/** Where the packet ends: behind it there may be Ethernet padding. */
export function ipv6End(view: DataView, offset: number): number {
  return offset + IPV6_HEADER_LENGTH + view.getUint16(offset + PAYLOAD_LENGTH);
}

export function ipv6NextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + NEXT_HEADER);
}

export function ipv6HopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + HOP_LIMIT);
}

export function ipv6TrafficClass(view: DataView, offset: number): number {
  return (view.getUint16(offset) >> 4) & 0xff;
}

/** Byte offset of the source; its words are at 0, 4, 8, 12. */
export function ipv6SourceOffset(offset: number): number {
  return offset + SOURCE;
}

export function ipv6DestinationOffset(offset: number): number {
  return offset + DESTINATION;
}

/** ff00::/8. `at` is the byte offset of the address itself. */
export function ipv6IsMulticast(view: DataView, at: number): boolean {
  return view.getUint8(at) === 0xff;
}

/** The address ::. `at` is the byte offset of the address itself. */
export function ipv6IsUnspecified(view: DataView, at: number): boolean {
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) === 0;
}

/**
 * Steps over hop-by-hop, routing and destination options. Returns (bytes from `offset` to what follows) × 256 + its
 * protocol number; `walkLength` and `walkProtocol` take it apart. Stops at a fragment header (protocol 44): what is
 * behind one may not be there. 0 when a header is cut off or there are more than EXTENSION_LIMIT.
 */
export function walkIpv6(view: DataView, offset: number): number {
  const end = ipv6End(view, offset);
  let next = view.getUint8(offset + NEXT_HEADER);
  let at = offset + IPV6_HEADER_LENGTH;
  for (let count = 0; next === NEXT_HOP_BY_HOP || next === NEXT_ROUTING || next === NEXT_DESTINATION_OPTIONS; count++) {
    if (count === EXTENSION_LIMIT || end - at < 8) return 0;
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) << 3;
    if (at > end) return 0;
  }
  if (next === NEXT_FRAGMENT && end - at < 8) return 0;
  return ((at - offset) << 8) | next;
}

export function walkLength(walk: number): number {
  return walk >> 8;
}

export function walkProtocol(walk: number): number {
  return walk & 0xff;
}

/** Copies a 16-byte address between views; they may be the same one. */
export function copyIpv6(from: DataView, fromOffset: number, to: DataView, toOffset: number): void {
  const a0 = from.getUint32(fromOffset);
  const a1 = from.getUint32(fromOffset + 4);
  const a2 = from.getUint32(fromOffset + 8);
  const a3 = from.getUint32(fromOffset + 12);
  to.setUint32(toOffset, a0);
  to.setUint32(toOffset + 4, a1);
  to.setUint32(toOffset + 8, a2);
  to.setUint32(toOffset + 12, a3);
}

/** Writes all but the addresses, flow label 0. Returns 40. */
export function emitIpv6(
  view: DataView,
  offset: number,
  trafficClass: number,
  payloadLength: number,
  nextHeader: number,
  hopLimit: number,
): number {
  view.setUint32(offset, 0x60000000 | (trafficClass << 20));
  view.setUint16(offset + PAYLOAD_LENGTH, payloadLength);
  view.setUint8(offset + NEXT_HEADER, nextHeader);
  view.setUint8(offset + HOP_LIMIT, hopLimit);
  return IPV6_HEADER_LENGTH;
}
