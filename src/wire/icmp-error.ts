/**
 * The packet inside an ICMP or ICMPv6 error: RFC 792, RFC 4443 §3, RFC 1812 §4.3.2.3, and the length of RFC 4884 §4.
 *
 *   | Type | Code | Checksum         |
 *   | … | Length | … , or the MTU    |   Length of what follows in words of 32 (ICMPv6: 64) bits, 0 = to the end
 *   | IP header of the packet that caused it, and at least 8 bytes behind it
 */
import { ICMP_DESTINATION_UNREACHABLE, ICMP_HEADER_LENGTH } from './icmp.js';

export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
export const ICMP_FRAGMENTATION_NEEDED = 4; // code of ICMP_DESTINATION_UNREACHABLE
export const ICMPV6_DESTINATION_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
const EXTENSION_LIMIT = 8;
/** Bytes of the embedded L4 header that must be there. */
const L4_MIN = 8;

/** Is this type an error about a packet? A redirect is none: it is for routers and hosts, not for who is behind them. */
export function isIcmpError(type: number, v6: boolean): boolean {
  if (v6) return type >= ICMPV6_DESTINATION_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
  return type === ICMP_DESTINATION_UNREACHABLE || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM;
}

/** Says that the packet was too long for a link; bytes 6 and 7 (ICMPv6: 4 to 7) are that link's MTU. */
export function isTooBig(view: DataView, icmp: number, v6: boolean): boolean {
  const type = view.getUint8(icmp);
  if (v6) return type === ICMPV6_PACKET_TOO_BIG;
  return type === ICMP_DESTINATION_UNREACHABLE && view.getUint8(icmp + 1) === ICMP_FRAGMENTATION_NEEDED;
}

/** MTU that a "too big" names; 0 = a router that does not know RFC 1191. */
export function tooBigMtu(view: DataView, icmp: number, v6: boolean): number {
  return v6 ? view.getUint32(icmp + 4) : view.getUint16(icmp + 6);
}

/** Where the embedded packet's parts lie; overwritten by every reading. */
export interface Embedded {
  /** Byte offsets of its IP header and L4 header, and the end of what is there of it. */
  l3: number;
  l4: number;
  end: number;
  protocol: number;
}

export function newEmbedded(): Embedded {
  return { l3: 0, l4: 0, end: 0, protocol: 0 };
}

/**
 * Reads what is embedded in the error at `icmp` of a packet that ends at `end`. False when it is cut before 8 bytes of
 * the L4 header, is a later fragment (which has none), or its lengths cannot be.
 */
export function readEmbedded(view: DataView, icmp: number, end: number, v6: boolean, out: Embedded): boolean {
  const l3 = icmp + ICMP_HEADER_LENGTH;
  if (end - l3 < (v6 ? 40 : 20)) return false;
  // Multi-part messages say where the datagram ends and their extensions begin; too big has no such length.
  const tooBig = isTooBig(view, icmp, v6);
  const given = tooBig ? 0 : v6 ? view.getUint8(icmp + 4) << 3 : view.getUint8(icmp + 5) << 2;
  if (given > end - l3) return false;
  out.l3 = l3;
  out.end = given === 0 ? end : l3 + given;
  return v6 ? readIpv6(view, out) : readIpv4(view, out);
}

function readIpv4(view: DataView, out: Embedded): boolean {
  const { l3 } = out;
  const first = view.getUint8(l3);
  const headerLength = (first & 0x0f) << 2;
  const totalLength = view.getUint16(l3 + 2);
  if (first >> 4 !== 4 || headerLength < 20 || totalLength < headerLength + L4_MIN) return false;
  if ((view.getUint16(l3 + 6) & 0x1fff) !== 0) return false;
  out.protocol = view.getUint8(l3 + 9);
  out.l4 = l3 + headerLength;
  out.end = Math.min(out.end, l3 + totalLength);
  return out.end - out.l4 >= L4_MIN;
}

function readIpv6(view: DataView, out: Embedded): boolean {
  const { l3 } = out;
  if (out.end - l3 < 40 || view.getUint8(l3) >> 4 !== 6) return false;
  out.end = Math.min(out.end, l3 + 40 + view.getUint16(l3 + 4));
  let next = view.getUint8(l3 + 6);
  let l4 = l3 + 40;
  for (let n = 0; next === 0 || next === 43 || next === 44 || next === 60; n++) {
    if (n === EXTENSION_LIMIT || out.end - l4 < 8) return false;
    if (next === 44 && (view.getUint16(l4 + 2) & 0xfff8) !== 0) return false;
    const length = next === 44 ? 8 : (view.getUint8(l4 + 1) + 1) << 3;
    next = view.getUint8(l4);
    l4 += length;
  }
  out.protocol = next;
  out.l4 = l4;
  return out.end - l4 >= L4_MIN;
}
