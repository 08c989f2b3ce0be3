/**
 * Router Solicitations and Advertisements of a point-to-point link (RFC 4861 §4.1, §4.2, §6.2): how a subscriber whose
 * IPv6CP is open learns its prefix, the link's MTU and its resolvers. The link has no link-layer addresses (RFC 5072 §5),
 * so no option names one; both ends are on the link, so the prefix is for addresses only, never on-link.
 *
 *   | Type 134 | Code 0 | Checksum |  Cur Hop Limit | M O … | Router Lifetime |
 *   | Reachable Time | Retrans Timer | options: MTU (5), Prefix Information (3), RDNSS (25, RFC 8106 §5.1)
 */
import type { AddressWords } from './address.js';
import { pseudoHeaderIpv6, sum } from './checksum.js';
import { emitIcmp } from './icmp.js';
import { NEIGHBOUR_HOP_LIMIT } from './icmpv6.js';
import {
  checkIpv6,
  emitIpv6,
  IPV6_HEADER_LENGTH,
  ipv6DestinationOffset,
  ipv6End,
  ipv6HopLimit,
  ipv6SourceOffset,
  NEXT_ICMPV6,
  walkIpv6,
  walkLength,
  walkProtocol,
} from './ipv6.js';

export const ICMPV6_ROUTER_SOLICITATION = 133;
export const ICMPV6_ROUTER_ADVERTISEMENT = 134;
export const ROUTER_SOLICITATION_LENGTH = 8;
const ADVERTISEMENT_LENGTH = 16;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_RDNSS = 25;
const PREFIX_LENGTH = 32;
const MTU_LENGTH = 8;
const RDNSS_LENGTH = 8;
const ADDRESS_LENGTH = 16;
/** A: the subscriber makes its addresses from the prefix (RFC 4862). L stays clear. */
const AUTONOMOUS = 0x40;
/** Bits of the prefix. */
const PREFIX_BITS = 64;
const HOP_LIMIT_TOLD = 64;
const LINK_LOCAL = 0xfe800000;
const ALL_NODES_HIGH = 0xff020000;
/** Router Lifetime is 16 bits, and 9000 s is the most a router may say (RFC 4861 §6.2.1). */
export const ROUTER_LIFETIME_MAX = 9000;
export const RDNSS_LIMIT = 8;

export interface RouterAdvertisement {
  /** Our interface identifier of IPv6CP, 8 bytes: the source is fe80:: with it. */
  readonly interfaceId: Uint8Array;
  /** The subscriber's /64: its upper words; null when none is given. */
  readonly prefix: { readonly high: number; readonly low: number } | null;
  /** Of the router, the prefix and the resolvers; at most 9,000 s, 0: we are no router any more. */
  readonly lifetimeSeconds: number;
  /** Of the link; null: nothing is said. */
  readonly mtu: number | null;
  /** IPv6 resolvers, at most RDNSS_LIMIT. */
  readonly dns: readonly AddressWords[];
  /** Who asked, 16 bytes; null: all nodes. */
  readonly to: Uint8Array | null;
}

/**
 * True for a whole IPv6 packet that is a valid solicitation (RFC 4861 §6.1.1): hop limit 255, right checksum, code 0,
 * options that fit.
 */
export function isRouterSolicitation(packet: Uint8Array): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (checkIpv6(view, 0, packet.length) === 0 || ipv6HopLimit(view, 0) !== NEIGHBOUR_HOP_LIMIT) return false;
  const walk = walkIpv6(view, 0);
  if (walk === 0 || walkProtocol(walk) !== NEXT_ICMPV6) return false;
  const icmp = walkLength(walk);
  const end = ipv6End(view, 0);
  if (!checkRouterSolicitation(view, icmp, end)) return false;
  return sum(view, icmp, end, pseudoHeaderIpv6(view, 0, NEXT_ICMPV6, end - icmp)) === 0xffff;
}

/** True when the solicitation at `offset` is whole, has code 0 and options whose lengths fit. */
export function checkRouterSolicitation(view: DataView, offset: number, end: number): boolean {
  if (end - offset < ROUTER_SOLICITATION_LENGTH || view.getUint16(offset) !== ICMPV6_ROUTER_SOLICITATION << 8)
    return false;
  for (let at = offset + ROUTER_SOLICITATION_LENGTH; at < end; ) {
    const length = end - at < 2 ? 0 : view.getUint8(at + 1) << 3;
    if (length === 0 || length > end - at) return false;
    at += length;
  }
  return true;
}

/** The source address of a packet that `isRouterSolicitation` accepted, or null where it is unspecified. */
export function solicitedBy(packet: Uint8Array): Uint8Array | null {
  const source = packet.slice(ipv6SourceOffset(0), ipv6SourceOffset(0) + ADDRESS_LENGTH);
  return source.some((byte) => byte !== 0) ? source : null;
}

/** A whole IPv6 packet. Throws RangeError for a lifetime beyond ROUTER_LIFETIME_MAX or too many resolvers. */
export function buildRouterAdvertisement(told: RouterAdvertisement): Uint8Array<ArrayBuffer> {
  const { prefix, lifetimeSeconds, mtu, dns } = told;
  if (!(lifetimeSeconds >= 0 && lifetimeSeconds <= ROUTER_LIFETIME_MAX))
    throw new RangeError(`router lifetime of ${lifetimeSeconds} s, at most ${ROUTER_LIFETIME_MAX}`);
  if (dns.length > RDNSS_LIMIT) throw new RangeError(`${dns.length} resolvers, at most ${RDNSS_LIMIT}`);
  const length =
    ADVERTISEMENT_LENGTH +
    (mtu === null ? 0 : MTU_LENGTH) +
    (prefix === null ? 0 : PREFIX_LENGTH) +
    (dns.length === 0 ? 0 : RDNSS_LENGTH + dns.length * ADDRESS_LENGTH);
  const bytes = new Uint8Array(IPV6_HEADER_LENGTH + length);
  const view = new DataView(bytes.buffer);
  emitIpv6(view, 0, 0, length, NEXT_ICMPV6, NEIGHBOUR_HOP_LIMIT);
  writeAddresses(view, bytes, told);
  const icmp = IPV6_HEADER_LENGTH;
  view.setUint8(icmp + 4, HOP_LIMIT_TOLD);
  view.setUint16(icmp + 6, lifetimeSeconds);
  let at = icmp + ADVERTISEMENT_LENGTH;
  if (mtu !== null) {
    view.setUint16(at, (OPTION_MTU << 8) | (MTU_LENGTH >> 3));
    view.setUint32(at + 4, mtu);
    at += MTU_LENGTH;
  }
  if (prefix !== null) {
    view.setUint16(at, (OPTION_PREFIX << 8) | (PREFIX_LENGTH >> 3));
    view.setUint8(at + 2, PREFIX_BITS);
    view.setUint8(at + 3, AUTONOMOUS);
    view.setUint32(at + 4, lifetimeSeconds);
    view.setUint32(at + 8, lifetimeSeconds);
    view.setUint32(at + 16, prefix.high);
    view.setUint32(at + 20, prefix.low);
    at += PREFIX_LENGTH;
  }
  if (dns.length > 0) {
    view.setUint16(at, (OPTION_RDNSS << 8) | ((RDNSS_LENGTH + dns.length * ADDRESS_LENGTH) >> 3));
    view.setUint32(at + 4, lifetimeSeconds);
    at += RDNSS_LENGTH;
    for (const words of dns) {
      for (const word of words) {
        view.setUint32(at, word);
        at += 4;
      }
    }
  }
  const pseudo = pseudoHeaderIpv6(view, 0, NEXT_ICMPV6, length);
  emitIcmp(view, icmp, icmp + length, ICMPV6_ROUTER_ADVERTISEMENT, 0, pseudo);
  return bytes;
}

function writeAddresses(view: DataView, bytes: Uint8Array, { interfaceId, to }: RouterAdvertisement): void {
  const source = ipv6SourceOffset(0);
  const destination = ipv6DestinationOffset(0);
  view.setUint32(source, LINK_LOCAL);
  bytes.set(interfaceId.subarray(0, 8), source + 8);
  if (to !== null) {
    bytes.set(to.subarray(0, ADDRESS_LENGTH), destination);
    return;
  }
  view.setUint32(destination, ALL_NODES_HIGH);
  view.setUint32(destination + 12, 1);
}
