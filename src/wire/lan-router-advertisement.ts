/**
 * Router Advertisements of a LAN as whole Ethernet frames (RFC 4861 §4.2, §4.6.2, §4.6.4; resolvers: RFC 8106 §5.1;
 * routes: RFC 4191 §2.3).
 *
 * There is never a source link-layer option: hosts ask for the router's MAC, since each may be told another one. (That of a
 * point-to-point link, which has no MACs at all, is in router-advertisement.ts.)
 */
import type { AddressWords } from './address.js';
import { pseudoHeaderIpv6 } from './checksum.js';
import { emitEthernet, ETHERNET_LENGTH, TYPE_IPV6, writeMac } from './ethernet.js';
import { emitIcmp } from './icmp.js';
import { NEIGHBOUR_HOP_LIMIT } from './icmpv6.js';
import { emitIpv6, IPV6_HEADER_LENGTH, ipv6DestinationOffset, ipv6SourceOffset, NEXT_ICMPV6 } from './ipv6.js';
import { ICMPV6_ROUTER_ADVERTISEMENT, RDNSS_LIMIT, ROUTER_LIFETIME_MAX } from './router-advertisement.js';

const HEADER_LENGTH = 16;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_ROUTE = 24;
const OPTION_RDNSS = 25;
const PREFIX_LENGTH = 32;
const ROUTE_LENGTH = 24;
const MTU_LENGTH = 8;
const RDNSS_HEADER_LENGTH = 8;
const MANAGED = 0x80;
const OTHER = 0x40;
const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;
const CURRENT_HOP_LIMIT = 64;
/** With so many of both, and RDNSS_LIMIT resolvers, the frame is 1,110 bytes long: within every link's MTU. */
export const PREFIX_LIMIT = 16;
export const ROUTE_LIMIT = 16;

export interface AdvertisedPrefix {
  readonly prefix: AddressWords;
  /** Bits, 0…128. */
  readonly length: number;
  readonly onLink: boolean;
  readonly autonomous: boolean;
  /** Seconds, 0xffffffff: for ever. */
  readonly validLifetime: number;
  readonly preferredLifetime: number;
}

export interface AdvertisedRoute {
  readonly prefix: AddressWords;
  /** Bits, 0…128. */
  readonly length: number;
}

export interface LanRouterAdvertisement {
  /** Link-local (RFC 4861 §6.1.2). */
  readonly source: AddressWords;
  readonly destination: AddressWords;
  /** Seconds, 0…9000; 0: no default router. */
  readonly lifetime: number;
  readonly managed: boolean;
  readonly other: boolean;
  /** Bytes; 0: not told. */
  readonly mtu: number;
  /** At most PREFIX_LIMIT. */
  readonly prefixes: readonly AdvertisedPrefix[];
  /** Networks that the router leads to, whether it is a default router or not; none when absent. At most ROUTE_LIMIT. */
  readonly routes?: readonly AdvertisedRoute[];
  /** Seconds that they hold; absent: 0. */
  readonly routeLifetime?: number;
  /** At most RDNSS_LIMIT. */
  readonly resolvers: readonly AddressWords[];
  /** Seconds. */
  readonly resolverLifetime: number;
}

/** A frame. Throws RangeError for a lifetime beyond what may be told, or too many prefixes or resolvers. */
export function lanRouterAdvertisement(
  sourceMac: Uint8Array,
  destinationMac: Uint8Array,
  told: LanRouterAdvertisement,
): Uint8Array<ArrayBuffer> {
  const { lifetime, mtu, prefixes, resolvers, routes = [], routeLifetime = 0 } = told;
  if (!(lifetime >= 0 && lifetime <= ROUTER_LIFETIME_MAX))
    throw new RangeError(`router lifetime of ${lifetime} s, at most ${ROUTER_LIFETIME_MAX}`);
  if (prefixes.length > PREFIX_LIMIT) throw new RangeError(`${prefixes.length} prefixes, at most ${PREFIX_LIMIT}`);
  if (routes.length > ROUTE_LIMIT) throw new RangeError(`${routes.length} routes, at most ${ROUTE_LIMIT}`);
  if (resolvers.length > RDNSS_LIMIT) throw new RangeError(`${resolvers.length} resolvers, at most ${RDNSS_LIMIT}`);
  const length =
    HEADER_LENGTH +
    (mtu === 0 ? 0 : MTU_LENGTH) +
    prefixes.length * PREFIX_LENGTH +
    routes.length * ROUTE_LENGTH +
    (resolvers.length === 0 ? 0 : RDNSS_HEADER_LENGTH + resolvers.length * 16);
  const frame = new Uint8Array(ETHERNET_LENGTH + IPV6_HEADER_LENGTH + length);
  const view = new DataView(frame.buffer);
  writeMac(view, 0, destinationMac);
  const ip = emitEthernet(view, 0, sourceMac, TYPE_IPV6);
  emitIpv6(view, ip, 0, length, NEXT_ICMPV6, NEIGHBOUR_HOP_LIMIT);
  putWords(view, ipv6SourceOffset(ip), told.source);
  putWords(view, ipv6DestinationOffset(ip), told.destination);
  const icmp = ip + IPV6_HEADER_LENGTH;
  view.setUint8(icmp + 4, CURRENT_HOP_LIMIT);
  view.setUint8(icmp + 5, (told.managed ? MANAGED : 0) | (told.other ? OTHER : 0));
  view.setUint16(icmp + 6, lifetime);
  let at = icmp + HEADER_LENGTH;
  if (mtu !== 0) {
    view.setUint16(at, (OPTION_MTU << 8) | (MTU_LENGTH >> 3));
    view.setUint32(at + 4, mtu);
    at += MTU_LENGTH;
  }
  for (const prefix of prefixes) at += putPrefix(view, at, prefix);
  for (const route of routes) at += putRoute(view, at, route, routeLifetime);
  if (resolvers.length > 0) {
    view.setUint16(at, (OPTION_RDNSS << 8) | (1 + resolvers.length * 2));
    view.setUint32(at + 4, told.resolverLifetime);
    at += RDNSS_HEADER_LENGTH;
    for (const words of resolvers) at += putWords(view, at, words);
  }
  emitIcmp(view, icmp, at, ICMPV6_ROUTER_ADVERTISEMENT, 0, pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, length));
  return frame;
}

function putPrefix(view: DataView, at: number, told: AdvertisedPrefix): number {
  view.setUint16(at, (OPTION_PREFIX << 8) | (PREFIX_LENGTH >> 3));
  view.setUint8(at + 2, told.length);
  view.setUint8(at + 3, (told.onLink ? ON_LINK : 0) | (told.autonomous ? AUTONOMOUS : 0));
  view.setUint32(at + 4, told.validLifetime);
  // Preferred for longer than valid is an advertisement that hosts ignore (RFC 4862 §5.5.3).
  view.setUint32(at + 8, Math.min(told.preferredLifetime, told.validLifetime));
  for (let i = 0; i < 4; i++) view.setUint32(at + 16 + i * 4, told.prefix[i] & maskOf(told.length - i * 32));
  return PREFIX_LENGTH;
}

/** Of medium preference (RFC 4191 §2.1). */
function putRoute(view: DataView, at: number, { prefix, length }: AdvertisedRoute, lifetime: number): number {
  view.setUint16(at, (OPTION_ROUTE << 8) | (ROUTE_LENGTH >> 3));
  view.setUint8(at + 2, length);
  view.setUint32(at + 4, lifetime);
  for (let i = 0; i < 4; i++) view.setUint32(at + 8 + i * 4, prefix[i] & maskOf(length - i * 32));
  return ROUTE_LENGTH;
}

/** The bits behind the prefix's length are sent as zero (RFC 4861 §4.6.2). */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits);
}

function putWords(view: DataView, at: number, words: AddressWords): number {
  for (let i = 0; i < 4; i++) view.setUint32(at + i * 4, words[i]);
  return 16;
}
