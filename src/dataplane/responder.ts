/**
 * Questions that a VIP must answer itself, because no host has its address: ARP (RFC 826, RFC 5227), ICMP echo
 * (RFC 1122 §3.2.2.6), Neighbour Solicitation (RFC 4861 §7.2.4), ICMPv6 echo (RFC 4443 §4.2); and the announcements that
 * tell a LAN where a VIP is. Pure: a frame in, a frame out, nothing kept. Allocates nothing.
 *
 * The frame may be anything at all: every length is checked before it is believed, and the answer never exceeds
 * SCRATCH_SLOT_LENGTH. What is malformed, fragmented, has a wrong checksum or asks for somebody else gets no answer and
 * stays the host's.
 */
import { SCRATCH_SLOT_LENGTH } from '../io/port.js';
import { IPV4_MAPPED, isIpv4 } from '../wire/address.js';
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMacOffset,
  arpTargetIp,
  arpTargetMacOffset,
  checkArp,
  emitArp,
  emitArpAnnouncement,
} from '../wire/arp.js';
import { checksum, pseudoHeaderIpv6 } from '../wire/checksum.js';
import {
  checkEthernet,
  copyMac,
  destinationIsGroup,
  emitEthernet,
  etherType,
  isGroupMac,
  sourceIsGroup,
  sourceMacOffset,
  TYPE_ARP,
  TYPE_IPV4,
  TYPE_IPV6,
} from '../wire/ethernet.js';
import {
  checkIcmp,
  emitIcmp,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  icmpChecksumValid,
  icmpCode,
  icmpType,
} from '../wire/icmp.js';
import {
  checkNeighbour,
  emitAdvertisement,
  emitAllNodesDestination,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_NEIGHBOUR_SOLICITATION,
  NA_OVERRIDE,
  NA_SOLICITED,
  NEIGHBOUR_HOP_LIMIT,
  neighbourOption,
  neighbourTargetOffset,
  OPTION_SOURCE_LINK_LAYER,
} from '../wire/icmpv6.js';
import {
  checkIpv4,
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_MIN,
  ipv4ChecksumValid,
  ipv4Destination,
  ipv4DontFragment,
  ipv4End,
  ipv4Identification,
  ipv4IsFragment,
  ipv4IsUnicast,
  ipv4Protocol,
  ipv4Source,
  ipv4Tos,
  PROTOCOL_ICMP,
} from '../wire/ipv4.js';
import {
  checkIpv6,
  copyIpv6,
  emitIpv6,
  IPV6_HEADER_LENGTH,
  ipv6DestinationOffset,
  ipv6End,
  ipv6HopLimit,
  ipv6IsMulticast,
  ipv6IsUnspecified,
  ipv6NextHeader,
  ipv6SourceOffset,
  ipv6TrafficClass,
  NEXT_ICMPV6,
  walkIpv6,
  walkLength,
  walkProtocol,
} from '../wire/ipv6.js';

/** Answers whether this address is a VIP: signed words, IPv4 mapped. */
export type IsVip = (a0: number, a1: number, a2: number, a3: number) => boolean;

const ANSWER_TTL = 64;

/**
 * Writes the answer to the frame at `offset` into `out` at `outOffset`, where SCRATCH_SLOT_LENGTH bytes are free (`out`
 * may be the same view, but not the same bytes). `mac` is the port's. Returns the answer's length, 0 = not mine.
 */
export function answer(
  view: DataView,
  offset: number,
  length: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  const end = offset + length;
  const headerLength = checkEthernet(view, offset, end);
  // A group address as source is nobody who could be answered.
  if (headerLength === 0 || sourceIsGroup(view, offset)) return 0;
  switch (etherType(view, offset)) {
    case TYPE_ARP:
      return answerArp(view, offset + headerLength, end, out, outOffset, isVip, mac);
    case TYPE_IPV4:
      return answerEcho(view, offset, offset + headerLength, end, out, outOffset, isVip, mac);
    case TYPE_IPV6:
      return answerIpv6(view, offset, offset + headerLength, end, out, outOffset, isVip, mac);
    default:
      return 0;
  }
}

/**
 * Writes the unsolicited frame that tells a LAN that `mac` has this VIP: an ARP announcement (RFC 5227 §2.3) or a
 * Neighbour Advertisement to all nodes (RFC 4861 §7.2.6). Returns its length.
 */
export function announce(
  out: DataView,
  outOffset: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  mac: Uint8Array,
): number {
  if (isIpv4(a0, a1, a2)) return emitArpAnnouncement(out, outOffset, mac, a3);
  emitAllNodesDestination(out, outOffset);
  const source = ipv6SourceOffset(outOffset + 14);
  out.setInt32(source, a0);
  out.setInt32(source + 4, a1);
  out.setInt32(source + 8, a2);
  out.setInt32(source + 12, a3);
  return emitAdvertisement(out, outOffset, mac, NA_OVERRIDE);
}

function answerArp(
  view: DataView,
  arp: number,
  end: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  if (checkArp(view, arp, end) === 0 || arpOperation(view, arp) !== ARP_REQUEST) return 0;
  const sender = arpSenderIp(view, arp);
  const target = arpTargetIp(view, arp);
  if (!isVip(0, 0, IPV4_MAPPED, target)) return 0;
  // Who claims a VIP as its own announces it (we ourselves, or the other box of a pair): nobody asks, nobody is answered.
  if (sender !== 0 && isVip(0, 0, IPV4_MAPPED, sender)) return 0;
  const asker = arpSenderMacOffset(arp);
  if (isGroupMac(view, asker)) return 0;
  copyMac(view, asker, out, outOffset);
  const reply = outOffset + emitEthernet(out, outOffset, mac, TYPE_ARP);
  const replyLength = emitArp(out, reply, ARP_REPLY, mac, target, sender);
  copyMac(view, asker, out, arpTargetMacOffset(reply));
  return reply + replyLength - outOffset;
}

function answerEcho(
  view: DataView,
  l2: number,
  ip: number,
  frameEnd: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  const headerLength = checkIpv4(view, ip, frameEnd);
  if (headerLength === 0 || ipv4Protocol(view, ip) !== PROTOCOL_ICMP || ipv4IsFragment(view, ip)) return 0;
  const icmp = ip + headerLength;
  const end = ipv4End(view, ip);
  if (checkIcmp(view, icmp, end) === 0 || icmpType(view, icmp) !== ICMP_ECHO_REQUEST || icmpCode(view, icmp) !== 0)
    return 0;
  const source = ipv4Source(view, ip);
  const vip = ipv4Destination(view, ip);
  if (!isVip(0, 0, IPV4_MAPPED, vip) || isVip(0, 0, IPV4_MAPPED, source)) return 0;
  // A unicast packet in a link-layer broadcast is discarded (RFC 1122 §3.3.6), a source that is no host not answered.
  if (destinationIsGroup(view, l2) || !ipv4IsUnicast(source)) return 0;
  const messageLength = end - icmp;
  // The answer leaves the request's IP options out, so that it is never longer than the request.
  const replyLength = 14 + IPV4_HEADER_MIN + messageLength;
  if (replyLength > SCRATCH_SLOT_LENGTH) return 0;
  if (!ipv4ChecksumValid(view, ip, headerLength) || !icmpChecksumValid(view, icmp, end)) return 0;
  copyMac(view, sourceMacOffset(l2), out, outOffset);
  const replyIp = outOffset + emitEthernet(out, outOffset, mac, TYPE_IPV4);
  const replyIcmp =
    replyIp +
    emitIpv4(
      out,
      replyIp,
      ipv4Tos(view, ip),
      IPV4_HEADER_MIN + messageLength,
      ipv4Identification(view, ip),
      ipv4DontFragment(view, ip) ? IPV4_DF : 0,
      ANSWER_TTL,
      PROTOCOL_ICMP,
      vip,
      source,
    );
  copyBytes(view, icmp, out, replyIcmp, messageLength);
  emitIcmp(out, replyIcmp, replyIcmp + messageLength, ICMP_ECHO_REPLY, 0);
  return replyLength;
}

function answerIpv6(
  view: DataView,
  l2: number,
  ip: number,
  frameEnd: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  if (checkIpv6(view, ip, frameEnd) === 0) return 0;
  const walk = walkIpv6(view, ip);
  if (walk === 0 || walkProtocol(walk) !== NEXT_ICMPV6) return 0;
  const icmp = ip + walkLength(walk);
  const end = ipv6End(view, ip);
  if (checkIcmp(view, icmp, end) === 0) return 0;
  const source = ipv6SourceOffset(ip);
  if (ipv6IsMulticast(view, source) || isVipAt(view, source, isVip)) return 0;
  switch (icmpType(view, icmp)) {
    case ICMPV6_ECHO_REQUEST:
      return answerEchoIpv6(view, l2, ip, icmp, end, out, outOffset, isVip, mac);
    case ICMPV6_NEIGHBOUR_SOLICITATION:
      return answerSolicitation(view, l2, ip, icmp, end, out, outOffset, isVip, mac);
    default:
      return 0;
  }
}

function answerEchoIpv6(
  view: DataView,
  l2: number,
  ip: number,
  icmp: number,
  end: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  const source = ipv6SourceOffset(ip);
  const vip = ipv6DestinationOffset(ip);
  const messageLength = end - icmp;
  const replyLength = 14 + IPV6_HEADER_LENGTH + messageLength;
  if (icmpCode(view, icmp) !== 0 || replyLength > SCRATCH_SLOT_LENGTH) return 0;
  if (destinationIsGroup(view, l2) || ipv6IsUnspecified(view, source) || !isVipAt(view, vip, isVip)) return 0;
  if (!icmpv6ChecksumValid(view, ip, icmp, end)) return 0;
  copyMac(view, sourceMacOffset(l2), out, outOffset);
  const replyIp = outOffset + emitEthernet(out, outOffset, mac, TYPE_IPV6);
  const replyIcmp =
    replyIp + emitIpv6(out, replyIp, ipv6TrafficClass(view, ip), messageLength, NEXT_ICMPV6, ANSWER_TTL);
  copyIpv6(view, vip, out, ipv6SourceOffset(replyIp));
  copyIpv6(view, source, out, ipv6DestinationOffset(replyIp));
  copyBytes(view, icmp, out, replyIcmp, messageLength);
  const pseudo = pseudoHeaderIpv6(out, replyIp, NEXT_ICMPV6, messageLength);
  emitIcmp(out, replyIcmp, replyIcmp + messageLength, ICMPV6_ECHO_REPLY, 0, pseudo);
  return replyLength;
}

/** RFC 4861 §7.1.1 says what a valid solicitation is, §7.2.4 how it is answered, RFC 4862 §5.4.3 what DAD sends. */
function answerSolicitation(
  view: DataView,
  l2: number,
  ip: number,
  icmp: number,
  end: number,
  out: DataView,
  outOffset: number,
  isVip: IsVip,
  mac: Uint8Array,
): number {
  if (ipv6NextHeader(view, ip) !== NEXT_ICMPV6 || ipv6HopLimit(view, ip) !== NEIGHBOUR_HOP_LIMIT) return 0;
  if (checkNeighbour(view, icmp, end) === 0) return 0;
  const target = neighbourTargetOffset(icmp);
  if (ipv6IsMulticast(view, target) || !isVipAt(view, target, isVip)) return 0;
  const source = ipv6SourceOffset(ip);
  const option = neighbourOption(view, icmp, end, OPTION_SOURCE_LINK_LAYER);
  const detection = ipv6IsUnspecified(view, source);
  // Duplicate address detection has no address to be answered at, asks by multicast only, and never tells its MAC.
  if (detection && (option >= 0 || !ipv6IsMulticast(view, ipv6DestinationOffset(ip)))) return 0;
  const asker = option >= 0 ? option : sourceMacOffset(l2);
  if (isGroupMac(view, asker) || !icmpv6ChecksumValid(view, ip, icmp, end)) return 0;
  const replyIp = outOffset + 14;
  if (detection) emitAllNodesDestination(out, outOffset);
  else {
    copyMac(view, asker, out, outOffset);
    copyIpv6(view, source, out, ipv6DestinationOffset(replyIp));
  }
  copyIpv6(view, target, out, ipv6SourceOffset(replyIp));
  return emitAdvertisement(out, outOffset, mac, detection ? NA_OVERRIDE : NA_SOLICITED | NA_OVERRIDE);
}

/** An IPv4-mapped address inside an IPv6 packet is nobody's: it must not be taken for the IPv4 VIP. */
function isVipAt(view: DataView, at: number, isVip: IsVip): boolean {
  const a0 = view.getInt32(at);
  const a1 = view.getInt32(at + 4);
  const a2 = view.getInt32(at + 8);
  return !isIpv4(a0, a1, a2) && isVip(a0, a1, a2, view.getInt32(at + 12));
}

function icmpv6ChecksumValid(view: DataView, ip: number, icmp: number, end: number): boolean {
  return checksum(view, icmp, end, pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, end - icmp)) === 0;
}

/** Byte by byte, since a Uint8Array over each frame would have to be allocated; echo requests are rare. */
function copyBytes(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let i = 0; i < length; i++) to.setUint8(toOffset + i, from.getUint8(fromOffset + i));
}
