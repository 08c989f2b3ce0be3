/**
 * Reads the ARP and Neighbour Discovery frames of the segment: who asks for a shared address, who claims one, who is seen.
 *
 *   ARP     RFC 826; probes, announcements and what a conflict is: RFC 5227 §2
 *   ND      RFC 4861 §6.1.1, §7.1; duplicate address detection: RFC 4862 §5.4
 *
 * Judged by the Ethernet source first: what comes from one of the group's virtual MACs is the group's own word.
 */
import type { AddressWords } from '../../wire/address.js';
import { IPV4_MAPPED } from '../../wire/address.js';
import { ARP_REQUEST, arpOperation, arpSenderIp, arpTargetIp, checkArp } from '../../wire/arp.js';
import { pseudoHeaderIpv6, sum } from '../../wire/checksum.js';
import { ETHERNET_LENGTH, etherType, TYPE_ARP, TYPE_IPV6, VLAN_TAG_LENGTH, vlanInside } from '../../wire/ethernet.js';
import {
  checkNeighbour,
  ICMPV6_NEIGHBOUR_ADVERTISEMENT,
  ICMPV6_NEIGHBOUR_SOLICITATION,
  NA_SOLICITED,
  NEIGHBOUR_HOP_LIMIT,
  neighbourOption,
  neighbourTargetOffset,
  advertisementFlags,
  OPTION_SOURCE_LINK_LAYER,
  OPTION_TARGET_LINK_LAYER,
} from '../../wire/icmpv6.js';
import { ipv4IsUnicast } from '../../wire/ipv4.js';
import {
  checkIpv6,
  IPV6_HEADER_LENGTH,
  ipv6DestinationOffset,
  ipv6End,
  ipv6HopLimit,
  ipv6IsMulticast,
  ipv6IsUnspecified,
  ipv6NextHeader,
  ipv6SourceOffset,
  NEXT_ICMPV6,
} from '../../wire/ipv6.js';
import {
  checkRouterSolicitation,
  ICMPV6_ROUTER_SOLICITATION,
  ROUTER_SOLICITATION_LENGTH,
} from '../../wire/router-advertisement.js';
import { forwarderOf, isStation, type Mac, type MacScheme, readMac } from '../mac.js';
import type { Ask, Claim, Heard, Ignored, IgnoredReason } from './heard.js';

/** Shared addresses of a group. */
export const ADDRESS_LIMIT = 32;

export interface GroupOnSegment {
  readonly scheme: MacScheme;
  readonly group: number;
  /** The shared addresses, at most ADDRESS_LIMIT. */
  readonly addresses: readonly AddressWords[];
}

const SOURCE = 6;
const ARP_SENDER_MAC = 8;

const ignored = (reason: IgnoredReason): Ignored => ({ kind: 'ignored', reason });
const SHORT = ignored('short');
const TAGGED = ignored('tagged');
const OTHER_TYPE = ignored('type');
const SOURCE_GROUP = ignored('source-group');
const SOURCE_ZERO = ignored('source-zero');
const ARP_FORM = ignored('arp-form');
const ARP_SENDER = ignored('arp-sender');
const IPV6_FORM = ignored('ipv6-form');
const ND_HOP_LIMIT = ignored('nd-hop-limit');
const ND_CHECKSUM = ignored('nd-checksum');
const ND_FORM = ignored('nd-form');
const UNRELATED = ignored('unrelated');

/** `frame`: from its Ethernet header on, without a tag or with a priority tag; it may be padded. Never throws. */
export function classify(frame: Uint8Array, group: GroupOnSegment): Heard {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = frame.length;
  if (end < ETHERNET_LENGTH) return SHORT;
  let l3 = ETHERNET_LENGTH;
  // A priority tag (VLAN 0) is no VLAN: the frame belongs to this segment (IEEE 802.1Q §9.6).
  const vlan = vlanInside(view, 0, end);
  if (vlan > 0) return TAGGED;
  if (vlan === 0) l3 += VLAN_TAG_LENGTH;
  const type = etherType(view, l3 - ETHERNET_LENGTH);
  if (type !== TYPE_ARP && type !== TYPE_IPV6) return OTHER_TYPE;
  const host = readMac(frame, SOURCE);
  if (host === 0) return SOURCE_ZERO;
  if (!isStation(host)) return SOURCE_GROUP;
  return type === TYPE_ARP ? readArp(frame, view, l3, host, group) : readIpv6(frame, view, l3, host, group);
}

function sharedIpv4(group: GroupOnSegment, word: number): AddressWords | null {
  for (const words of group.addresses)
    if (words[2] === IPV4_MAPPED && words[3] === word >>> 0 && words[0] === 0 && words[1] === 0) return words;
  return null;
}

function readArp(frame: Uint8Array, view: DataView, arp: number, host: Mac, group: GroupOnSegment): Heard {
  if (checkArp(view, arp, frame.length) === 0) return ARP_FORM;
  const hardware = readMac(frame, arp + ARP_SENDER_MAC);
  if (!isStation(hardware)) return ARP_SENDER;
  const own = forwarderOf(group.scheme, group.group, host);
  if (own > 0) return { kind: 'own', forwarder: own };
  const sender = arpSenderIp(view, arp);
  const target = arpTargetIp(view, arp);
  const request = arpOperation(view, arp) === ARP_REQUEST;
  const wanted = sharedIpv4(group, target);
  const claimed = sharedIpv4(group, sender);
  const address: AddressWords | null =
    claimed === null && ipv4IsUnicast(sender) ? [0, 0, IPV4_MAPPED, sender >>> 0] : null;
  const ask: Ask | null =
    request && wanted !== null
      ? {
          kind: 'ask',
          protocol: 'arp',
          host,
          hardware,
          address,
          target: wanted,
          index: group.addresses.indexOf(wanted),
          forwarder: forwarderOf(group.scheme, group.group, readMac(frame)),
          probe: sender === 0,
          turn: address !== null,
        }
      : null;
  if (claimed !== null) {
    // A host may repeat what it was told: its virtual MAC behind the address is no other station's claim.
    if (forwarderOf(group.scheme, group.group, hardware) > 0) return ask ?? UNRELATED;
    const by = !request ? 'reply' : sender === target ? 'announcement' : 'request';
    return { kind: 'claim', protocol: 'arp', by, station: host, hardware, target: claimed, ask };
  }
  if (ask !== null) return ask;
  return address !== null ? { kind: 'sighting', host, address } : UNRELATED;
}

const addressAt = (view: DataView, at: number): AddressWords => [
  view.getUint32(at),
  view.getUint32(at + 4),
  view.getUint32(at + 8),
  view.getUint32(at + 12),
];

function sharedIpv6(group: GroupOnSegment, view: DataView, at: number): AddressWords | null {
  const last = view.getUint32(at + 12);
  for (const words of group.addresses) {
    if (words[3] !== last || words[2] !== view.getUint32(at + 8)) continue;
    if (words[1] !== view.getUint32(at + 4) || words[0] !== view.getUint32(at)) continue;
    // An IPv4-mapped address inside an IPv6 packet is nobody's, and not the IPv4 address of the group.
    return words[0] === 0 && words[1] === 0 && words[2] === IPV4_MAPPED ? null : words;
  }
  return null;
}

function readIpv6(frame: Uint8Array, view: DataView, ip: number, host: Mac, group: GroupOnSegment): Heard {
  // RFC 6980: Neighbour Discovery in fragments is ignored; extension headers before it have no use on a segment either.
  if (checkIpv6(view, ip, frame.length) === 0 || ipv6NextHeader(view, ip) !== NEXT_ICMPV6) return IPV6_FORM;
  const icmp = ip + IPV6_HEADER_LENGTH;
  const end = ipv6End(view, ip);
  if (end - icmp < ROUTER_SOLICITATION_LENGTH) return IPV6_FORM;
  const type = view.getUint8(icmp);
  if (
    type !== ICMPV6_NEIGHBOUR_SOLICITATION &&
    type !== ICMPV6_NEIGHBOUR_ADVERTISEMENT &&
    type !== ICMPV6_ROUTER_SOLICITATION
  )
    return UNRELATED;
  if (ipv6HopLimit(view, ip) !== NEIGHBOUR_HOP_LIMIT) return ND_HOP_LIMIT;
  if (ipv6IsMulticast(view, ipv6SourceOffset(ip))) return ND_FORM;
  if (sum(view, icmp, end, pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, end - icmp)) !== 0xffff) return ND_CHECKSUM;
  const own = forwarderOf(group.scheme, group.group, host);
  if (own > 0) return { kind: 'own', forwarder: own };
  if (type === ICMPV6_ROUTER_SOLICITATION) return readRouterSolicitation(view, ip, icmp, end, host);
  if (checkNeighbour(view, icmp, end) === 0 || ipv6IsMulticast(view, neighbourTargetOffset(icmp))) return ND_FORM;
  return type === ICMPV6_NEIGHBOUR_SOLICITATION
    ? readSolicitation(frame, view, ip, icmp, end, host, group)
    : readAdvertisement(frame, view, ip, icmp, end, host, group);
}

function readRouterSolicitation(view: DataView, ip: number, icmp: number, end: number, host: Mac): Heard {
  if (!checkRouterSolicitation(view, icmp, end)) return ND_FORM;
  const source = ipv6SourceOffset(ip);
  return {
    kind: 'router-solicitation',
    host,
    address: ipv6IsUnspecified(view, source) ? null : addressAt(view, source),
  };
}

function readSolicitation(
  frame: Uint8Array,
  view: DataView,
  ip: number,
  icmp: number,
  end: number,
  host: Mac,
  group: GroupOnSegment,
): Heard {
  const source = ipv6SourceOffset(ip);
  const option = neighbourOption(view, icmp, end, OPTION_SOURCE_LINK_LAYER);
  const probe = ipv6IsUnspecified(view, source);
  // Duplicate address detection asks by multicast only, and never tells its MAC (RFC 4861 §7.1.1).
  if (probe && (option >= 0 || !ipv6IsMulticast(view, ipv6DestinationOffset(ip)))) return ND_FORM;
  // Whoever asks without the option, as a unicast question may, is where the frame came from (RFC 4861 §7.2.4).
  const hardware = option >= 0 ? readMac(frame, option) : host;
  if (!isStation(hardware)) return ND_FORM;
  const target = sharedIpv6(group, view, neighbourTargetOffset(icmp));
  const claimed = probe ? null : sharedIpv6(group, view, source);
  const address = probe || claimed !== null ? null : addressAt(view, source);
  const ask: Ask | null =
    target === null
      ? null
      : {
          kind: 'ask',
          protocol: 'nd',
          host,
          hardware,
          address,
          target,
          index: group.addresses.indexOf(target),
          forwarder: forwarderOf(group.scheme, group.group, readMac(frame)),
          probe,
          turn: address !== null,
        };
  const claim = (by: Claim['by'], of: AddressWords): Claim => ({
    kind: 'claim',
    protocol: 'nd',
    by,
    station: host,
    hardware,
    target: of,
    ask,
  });
  if (claimed !== null && forwarderOf(group.scheme, group.group, hardware) === 0) return claim('request', claimed);
  if (probe && target !== null) return claim('detection', target);
  if (ask !== null) return ask;
  return address === null ? UNRELATED : { kind: 'sighting', host, address };
}

function readAdvertisement(
  frame: Uint8Array,
  view: DataView,
  ip: number,
  icmp: number,
  end: number,
  host: Mac,
  group: GroupOnSegment,
): Heard {
  const solicited = (advertisementFlags(view, icmp) & NA_SOLICITED) !== 0;
  // RFC 4861 §7.1.2: what goes to all cannot have been asked for by one.
  if (solicited && ipv6IsMulticast(view, ipv6DestinationOffset(ip))) return ND_FORM;
  const option = neighbourOption(view, icmp, end, OPTION_TARGET_LINK_LAYER);
  const hardware = option >= 0 ? readMac(frame, option) : host;
  const at = neighbourTargetOffset(icmp);
  const target = sharedIpv6(group, view, at);
  if (target === null) return { kind: 'sighting', host, address: addressAt(view, at) };
  if (forwarderOf(group.scheme, group.group, hardware) > 0) return UNRELATED;
  return { kind: 'claim', protocol: 'nd', by: 'advertisement', station: host, hardware, target, ask: null };
}
