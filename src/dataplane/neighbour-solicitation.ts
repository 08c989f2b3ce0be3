/**
 * Asking for a neighbour ourselves, where the host has no neighbour table for a link (a VLAN without a device), and
 * reading the answers, ours or anybody's, that pass by: ARP replies (RFC 826) and Neighbour Advertisements (RFC 4861).
 * Pure functions over bytes.
 */
import { isIpv4 } from '../wire/address.js';
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMacOffset,
  arpTargetMacOffset,
  checkArp,
  emitArp,
} from '../wire/arp.js';
import { checksum, pseudoHeaderIpv6 } from '../wire/checksum.js';
import {
  emitBroadcastDestination,
  emitEthernet,
  ETHERNET_LENGTH,
  etherType,
  TYPE_ARP,
  TYPE_IPV6,
  writeMac,
} from '../wire/ethernet.js';
import {
  checkNeighbour,
  ICMPV6_NEIGHBOUR_ADVERTISEMENT,
  ICMPV6_NEIGHBOUR_SOLICITATION,
  NEIGHBOUR_FRAME_LENGTH,
  NEIGHBOUR_HEADER_LENGTH,
  NEIGHBOUR_HOP_LIMIT,
  neighbourOption,
  neighbourTargetOffset,
  OPTION_SOURCE_LINK_LAYER,
  OPTION_TARGET_LINK_LAYER,
} from '../wire/icmpv6.js';
import {
  checkIpv6,
  emitIpv6,
  IPV6_HEADER_LENGTH,
  ipv6DestinationOffset,
  ipv6End,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6SourceOffset,
  NEXT_ICMPV6,
} from '../wire/ipv6.js';

export interface NeighbourAnswer {
  /** Signed words, IPv4 mapped. */
  readonly words: [number, number, number, number];
  readonly mac: Uint8Array;
}

export function newNeighbourAnswer(): NeighbourAnswer {
  return { words: [0, 0, 0, 0], mac: new Uint8Array(6) };
}

/** Bytes that a question needs at most. */
export const SOLICITATION_LENGTH = NEIGHBOUR_FRAME_LENGTH;

/** Reads who has told its link-layer address. False when the frame is no such answer; `answer` is then undefined. */
export function readNeighbourAnswer(view: DataView, offset: number, length: number, answer: NeighbourAnswer): boolean {
  const end = offset + length;
  if (length < ETHERNET_LENGTH) return false;
  const type = etherType(view, offset);
  const l3 = offset + ETHERNET_LENGTH;
  if (type === TYPE_ARP) {
    if (checkArp(view, l3, end) === 0 || arpOperation(view, l3) !== ARP_REPLY) return false;
    return take(view, arpSenderMacOffset(l3), answer, 0, 0, 0xffff, arpSenderIp(view, l3));
  }
  if (type !== TYPE_IPV6 || checkIpv6(view, l3, end) === 0 || ipv6NextHeader(view, l3) !== NEXT_ICMPV6) return false;
  const icmp = l3 + IPV6_HEADER_LENGTH;
  const ipEnd = ipv6End(view, l3);
  // A hop limit below 255 proves that a router forwarded it: not from this link (RFC 4861 §7.1.2).
  if (ipv6HopLimit(view, l3) !== NEIGHBOUR_HOP_LIMIT || checkNeighbour(view, icmp, ipEnd) === 0) return false;
  if (view.getUint8(icmp) !== ICMPV6_NEIGHBOUR_ADVERTISEMENT) return false;
  if (checksum(view, icmp, ipEnd, pseudoHeaderIpv6(view, l3, NEXT_ICMPV6, ipEnd - icmp)) !== 0) return false;
  const option = neighbourOption(view, icmp, ipEnd, OPTION_TARGET_LINK_LAYER);
  if (option < 0) return false;
  const at = neighbourTargetOffset(icmp);
  return take(
    view,
    option,
    answer,
    view.getInt32(at),
    view.getInt32(at + 4),
    view.getInt32(at + 8),
    view.getInt32(at + 12),
  );
}

function take(
  view: DataView,
  mac: number,
  answer: NeighbourAnswer,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): boolean {
  // A group address is nobody's: such an answer is broken or hostile.
  if ((view.getUint8(mac) & 1) !== 0) return false;
  for (let i = 0; i < 6; i++) answer.mac[i] = view.getUint8(mac + i);
  const { words } = answer;
  words[0] = a0;
  words[1] = a1;
  words[2] = a2;
  words[3] = a3;
  return true;
}

type Words = readonly [number, number, number, number];

/**
 * The question "who has `target`" from `source` (all words 0: an address of ours is not known, asked as a probe) with
 * `mac`, as a frame of its own.
 */
export function solicitation(target: Words, source: Words, mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(SOLICITATION_LENGTH);
  const view = new DataView(frame.buffer);
  if (isIpv4(target[0], target[1], target[2])) {
    emitBroadcastDestination(view, 0);
    const arp = emitEthernet(view, 0, mac, TYPE_ARP);
    const length = emitArp(view, arp, ARP_REQUEST, mac, source[3], target[3]);
    writeMac(view, arpTargetMacOffset(arp), new Uint8Array(6));
    return frame.subarray(0, arp + length);
  }
  view.setUint16(0, 0x3333);
  view.setUint32(2, 0xff000000 | (target[3] & 0xffffff)); // the solicited-node group's last four bytes (RFC 2464 §7)
  const ip = emitEthernet(view, 0, mac, TYPE_IPV6);
  // A probe from the unspecified address carries no link-layer option (RFC 4861 §4.3).
  const named = (source[0] | source[1] | source[2] | source[3]) !== 0;
  const length = NEIGHBOUR_HEADER_LENGTH + (named ? 8 : 0);
  const icmp = ip + emitIpv6(view, ip, 0, length, NEXT_ICMPV6, NEIGHBOUR_HOP_LIMIT);
  source.forEach((word, i) => view.setInt32(ipv6SourceOffset(ip) + i * 4, word));
  const group = [0xff020000, 0, 1, 0xff000000 | (target[3] & 0xffffff)];
  group.forEach((word, i) => view.setUint32(ipv6DestinationOffset(ip) + i * 4, word >>> 0));
  view.setUint8(icmp, ICMPV6_NEIGHBOUR_SOLICITATION);
  target.forEach((word, i) => view.setInt32(neighbourTargetOffset(icmp) + i * 4, word));
  if (named) {
    view.setUint8(icmp + NEIGHBOUR_HEADER_LENGTH, OPTION_SOURCE_LINK_LAYER);
    view.setUint8(icmp + NEIGHBOUR_HEADER_LENGTH + 1, 1);
    writeMac(view, icmp + NEIGHBOUR_HEADER_LENGTH + 2, mac);
  }
  view.setUint16(icmp + 2, checksum(view, icmp, icmp + length, pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, length)));
  return frame.subarray(0, icmp + length);
}
