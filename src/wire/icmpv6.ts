/**
 * ICMPv6: Echo (RFC 4443 §4) and Neighbour Discovery (RFC 4861 §4.3, §4.4, §4.6.1). The fixed header is that of
 * icmp.ts; the checksum also covers a pseudo-header.
 *
 *   | Type 135/136 | Code 0 | Checksum |
 *   | R S O | reserved                 |   flags of an advertisement only
 *   | Target Address (16)              |
 *   | Type | Length | …                |   options; length in units of 8 bytes, 0 is an error
 */
import { emitIcmp } from './icmp.js';
import { pseudoHeaderIpv6 } from './checksum.js';
import { emitEthernet, ETHERNET_LENGTH, TYPE_IPV6, writeMac } from './ethernet.js';
import { emitIpv6, IPV6_HEADER_LENGTH, ipv6DestinationOffset, ipv6SourceOffset, NEXT_ICMPV6 } from './ipv6.js';

export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;
export const ICMPV6_NEIGHBOUR_SOLICITATION = 135;
export const ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136;
/** Hop limit of every Neighbour Discovery packet: proof that no router forwarded it (RFC 4861 §7.1). */
export const NEIGHBOUR_HOP_LIMIT = 255;

/** Advertisement flags, first byte. */
export const NA_ROUTER = 0x80;
export const NA_SOLICITED = 0x40;
export const NA_OVERRIDE = 0x20;

export const OPTION_SOURCE_LINK_LAYER = 1;
export const OPTION_TARGET_LINK_LAYER = 2;
const LINK_LAYER_OPTION_LENGTH = 8;

export const NEIGHBOUR_HEADER_LENGTH = 24;
/** Frame of an advertisement with its link-layer option. */
export const NEIGHBOUR_FRAME_LENGTH =
  ETHERNET_LENGTH + IPV6_HEADER_LENGTH + NEIGHBOUR_HEADER_LENGTH + LINK_LAYER_OPTION_LENGTH;
const FLAGS = 4;
const TARGET = 8;

/** 24 when a solicitation or advertisement is whole and every option has a length that fits, else 0. */
export function checkNeighbour(view: DataView, offset: number, end: number): number {
  if (end - offset < NEIGHBOUR_HEADER_LENGTH) return 0;
  const type = view.getUint8(offset);
  if (type !== ICMPV6_NEIGHBOUR_SOLICITATION && type !== ICMPV6_NEIGHBOUR_ADVERTISEMENT) return 0;
  if (view.getUint8(offset + 1) !== 0) return 0;
  for (let at = offset + NEIGHBOUR_HEADER_LENGTH; at < end; ) {
    if (end - at < 2) return 0;
    const length = view.getUint8(at + 1) << 3;
    if (length === 0 || length > end - at) return 0;
    at += length;
  }
  return NEIGHBOUR_HEADER_LENGTH;
}

/** Byte offset of the target address. */
export function neighbourTargetOffset(offset: number): number {
  return offset + TARGET;
}

export function advertisementFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + FLAGS);
}

/** Byte offset of the MAC in the first option of this type that is long enough for one, or −1. After `checkNeighbour`. */
export function neighbourOption(view: DataView, offset: number, end: number, type: number): number {
  for (let at = offset + NEIGHBOUR_HEADER_LENGTH; at < end; at += view.getUint8(at + 1) << 3) {
    if (view.getUint8(at) === type) return at + 2;
  }
  return -1;
}

/**
 * Writes an advertisement frame. What the caller has written before: the Ethernet destination, and in the IPv6 header
 * source (which is also the target) and destination. Returns its length.
 */
export function emitAdvertisement(view: DataView, offset: number, mac: Uint8Array, flags: number): number {
  const ip = offset + emitEthernet(view, offset, mac, TYPE_IPV6);
  const payloadLength = NEIGHBOUR_HEADER_LENGTH + LINK_LAYER_OPTION_LENGTH;
  const icmp = ip + emitIpv6(view, ip, 0, payloadLength, NEXT_ICMPV6, NEIGHBOUR_HOP_LIMIT);
  view.setUint32(icmp + FLAGS, flags << 24);
  for (let i = 0; i < 16; i += 4) view.setUint32(icmp + TARGET + i, view.getUint32(ipv6SourceOffset(ip) + i));
  const option = icmp + NEIGHBOUR_HEADER_LENGTH;
  view.setUint8(option, OPTION_TARGET_LINK_LAYER);
  view.setUint8(option + 1, LINK_LAYER_OPTION_LENGTH >> 3);
  writeMac(view, option + 2, mac);
  const pseudo = pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, payloadLength);
  emitIcmp(view, icmp, icmp + payloadLength, ICMPV6_NEIGHBOUR_ADVERTISEMENT, 0, pseudo);
  return NEIGHBOUR_FRAME_LENGTH;
}

/** Writes the destination "all nodes" (ff02::1) of a frame: Ethernet and IPv6. */
export function emitAllNodesDestination(view: DataView, offset: number): void {
  view.setUint32(offset, 0x33330000); // 33:33 and the last four bytes of the group (RFC 2464 §7)
  view.setUint16(offset + 4, 1);
  const at = ipv6DestinationOffset(offset + ETHERNET_LENGTH);
  view.setUint32(at, 0xff020000);
  view.setUint32(at + 4, 0);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, 1);
}
