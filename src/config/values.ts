/** Single values of the configuration: text into what it means. Each answers with a sentence when it cannot. */
import { PATTERN_LIMIT } from '../flow/glob.js';
import { formatWords, parseAddress, parseEndpoint } from '../wire/address.js';
import type { AddressWords, InterfaceSpec, Prefix, Protocol, RuleProtocol } from './compiled.js';
import { suggestion } from './suggest.js';

/** What was meant, or what is wrong with it. */
export type Parsed<T> = { readonly value: T } | { readonly error: string };

const NAME_LIMIT = 63;
/** The kernel's IFNAMSIZ, less the closing zero. */
const INTERFACE_NAME_LIMIT = 15;
const VLAN_MAX = 4094;
/** sun_path holds 108 bytes with the closing zero (unix(7)). */
const SOCKET_PATH_LIMIT = 107;
const IPV4_BITS = 32;
const IPV6_BITS = 128;
const MAPPED_BITS = IPV6_BITS - IPV4_BITS;

/** Tunnel protocols of the contract, and those that this version can do. */
export const PROTOCOLS = ['l2tp', 'l2f', 'pptp', 'ipsec'] as const;
export const BUILT_PROTOCOLS: readonly string[] = ['l2tp'] satisfies Protocol[];
/** The port of a protocol when none is written (RFC 2661 §8.1). */
export const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = { l2tp: 1701 };

const IP_PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  ospf: 89,
  pim: 103,
  vrrp: 112,
  sctp: 132,
  udplite: 136,
};

/** Names stand in metric labels, on command lines and in tables. */
export function parseName(text: string): Parsed<string> {
  if (text.length <= NAME_LIMIT && /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i.test(text)) return { value: text };
  return {
    error: `a name has 1 to ${NAME_LIMIT} letters, digits, dots, hyphens or underscores, and begins and ends with a letter or digit`,
  };
}

export function familyOf(words: AddressWords): 4 | 6 {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff ? 4 : 6;
}

/** The address of a VIP or server: one that packets can be sent to through a router. */
export function parseUnicast(text: string): Parsed<AddressWords> {
  const words = parseAddress(text);
  if (words === null) {
    const hint = text.includes('/')
      ? ': leave the prefix length out'
      : text.includes('%')
        ? ': leave the zone out'
        : '';
    return { error: `${JSON.stringify(text)} is no IPv4 or IPv6 address${hint}` };
  }
  if (familyOf(words) === 4) {
    if (text.includes(':')) return { error: `write the IPv4-mapped address as ${formatWords(words)}` };
    const first = words[3] >>> 24;
    if (first === 0) return { error: `${text} is no address of a host` };
    if (first === 127) return { error: `${text} is a loopback address` };
    if (first >= 224 && first < 240) return { error: `${text} is a multicast address` };
    if (words[3] === 0xffffffff) return { error: `${text} is the broadcast address` };
    return { value: words };
  }
  if (words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] < 2) {
    return { error: `${text} is ${words[3] === 0 ? 'the unspecified' : 'the loopback'} address` };
  }
  if (words[0] >>> 24 === 0xff) return { error: `${text} is a multicast address` };
  if (words[0] >>> 22 === 0xfe80 >>> 6)
    return { error: `${text} is a link-local address: clients and servers are reached through routers` };
  return { value: words };
}

/** An address that gateways share on a segment: any that a host can have as its gateway, link-local ones too. */
export function parseSharedAddress(text: string): Parsed<AddressWords> {
  const words = parseAddress(text);
  return words !== null && words[0] >>> 22 === 0xfe80 >>> 6 ? { value: words } : parseUnicast(text);
}

/** A device of the kernel by its whole name; a dot in it means nothing. */
export function parseDevice(text: string): Parsed<string> {
  if (Buffer.byteLength(text) > INTERFACE_NAME_LIMIT)
    return { error: `an interface name has at most ${INTERFACE_NAME_LIMIT} bytes` };
  if (text === '' || text === '.' || text === '..' || /[/:\s\0]/.test(text))
    return { error: `${JSON.stringify(text)} is no interface name` };
  return { value: text };
}

/** Any one address, loopback too: of a service that may well run beside us. */
export function parseAddressOnly(text: string): Parsed<AddressWords> {
  const words = parseAddress(text);
  return words === null ? { error: `${JSON.stringify(text)} is no IPv4 or IPv6 address` } : { value: words };
}

/** `10.0.0.0/8`, `2001:db8::/32`, or an address alone. */
export function parsePrefix(text: string): Parsed<Prefix> {
  const match = /^([^/]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  const address = match === null ? null : parseAddress(match[1]);
  if (match === null || address === null || match[1].toLowerCase().startsWith('::ffff:')) {
    return { error: `${JSON.stringify(text)} is no prefix: write 198.51.100.0/24, 2001:db8::/32 or an address` };
  }
  const family = match[1].includes(':') ? 6 : 4;
  const bits = family === 4 ? IPV4_BITS : IPV6_BITS;
  const length = match[2] === undefined ? bits : Number(match[2]);
  if (length > bits) return { error: `the prefix length of an IPv${family} prefix is at most ${bits}` };
  const full = family === 4 ? length + MAPPED_BITS : length;
  const words = address.map((word, i) => {
    const kept = Math.min(32, Math.max(0, full - i * 32));
    return kept === 0 ? 0 : (word & (-1 << (32 - kept))) >>> 0;
  }) as unknown as AddressWords;
  if (words.some((word, i) => word !== address[i])) {
    return {
      error: `${text} has bits set beyond its length: write ${formatWords(words)}/${length}, or ${formatWords(address)} for the one address`,
    };
  }
  return { value: { words, length: full, text: `${formatWords(words)}/${length}`, family } };
}

/** `wan0`, or `wan0.100` for tag 100 on wan0; no vlan device need exist. */
export function parseInterface(text: string): Parsed<InterfaceSpec> {
  const tagged = /^(.+)\.(\d+)$/.exec(text);
  const device = tagged === null ? text : tagged[1];
  const vlan = tagged === null ? 0 : Number(tagged[2]);
  if (Buffer.byteLength(device) > INTERFACE_NAME_LIMIT) {
    return { error: `an interface name has at most ${INTERFACE_NAME_LIMIT} bytes` };
  }
  if (device === '' || device === '.' || device === '..' || /[/:\s\0]/.test(device)) {
    return { error: `${JSON.stringify(text)} is no interface name` };
  }
  if (tagged !== null && (vlan < 1 || vlan > VLAN_MAX))
    return { error: `a VLAN id is 1 to ${VLAN_MAX}, not ${tagged[2]}` };
  return { value: { name: text, device, vlan } };
}

/** The address that metrics and pages are served on: `127.0.0.1:8701`, `[::1]:8701`. */
export function parseListen(text: string): Parsed<{ host: string; port: number }> {
  const endpoint = parseEndpoint(text);
  if (endpoint === null || endpoint.port === 0) {
    return { error: `${JSON.stringify(text)} is no address with a port: write 127.0.0.1:8701 or [::1]:8701` };
  }
  return { value: { host: formatWords(endpoint.words), port: endpoint.port } };
}

/** An address without a port, in canonical form; 0.0.0.0 and :: mean all addresses of the host. */
export function parseHost(text: string): Parsed<string> {
  const words = parseAddress(text);
  return words === null
    ? { error: `${JSON.stringify(text)} is no IPv4 or IPv6 address` }
    : { value: formatWords(words) };
}

export function parseSocketPath(text: string): Parsed<string> {
  const path = parsePath(text);
  if ('error' in path || Buffer.byteLength(text) <= SOCKET_PATH_LIMIT) return path;
  return { error: `the path of a socket has at most ${SOCKET_PATH_LIMIT} bytes` };
}

export function parsePath(text: string): Parsed<string> {
  return /^\/[^\0]*[^\0/]$/.test(text) ? { value: text } : { error: `${JSON.stringify(text)} is no absolute path` };
}

/** A tunnel protocol, or an IP protocol by name or number. */
export function parseRuleProtocol(written: string | number): Parsed<RuleProtocol> {
  const text = String(written).toLowerCase();
  if (BUILT_PROTOCOLS.includes(text)) return { value: { text, tunnel: text as Protocol, number: null } };
  if ((PROTOCOLS as readonly string[]).includes(text)) return { error: notAvailable(`protocol ${text}`) };
  const number = /^\d{1,3}$/.test(text) ? Number(text) : IP_PROTOCOLS[text];
  if (number !== undefined && number <= 255) return { value: { text, tunnel: null, number } };
  const names = [...BUILT_PROTOCOLS, ...Object.keys(IP_PROTOCOLS)];
  return {
    error: `${JSON.stringify(written)} is no protocol${suggestion(text, names)}: write ${names.join(', ')} or a number up to 255`,
  };
}

/** A pattern for names (flow/glob.ts). */
export function parsePattern(text: string): Parsed<string> {
  if (text.length > PATTERN_LIMIT) return { error: `a pattern has at most ${PATTERN_LIMIT} characters` };
  if (/[\0-\x1f\x7f]/.test(text)) return { error: 'a pattern has no control characters' };
  if (/(^|[^\\])(\\\\)*\\$/.test(text)) return { error: 'a pattern does not end in a single backslash' };
  return { value: text };
}

/** `1.0`, as version << 8 | revision. A number in YAML loses its zero: 1 is 1.0. */
export function parseProtocolVersion(written: string | number): Parsed<number> {
  const match = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(String(written));
  const [version, revision] = [Number(match?.[1]), Number(match?.[2] ?? 0)];
  if (match === null || version > 255 || revision > 255)
    return { error: `${JSON.stringify(written)} is no protocol version: write "1.0"` };
  return { value: (version << 8) | revision };
}

/** Tunnel ids: a number, or `1-99`. */
export function parseChannels(written: string | number): Parsed<readonly [number, number]> {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(written));
  const [least, greatest] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (match === null || least < 1 || greatest > 0xffff || greatest < least)
    return { error: `${JSON.stringify(written)} is no tunnel id: write 1 to 65535, or a range as 1-99` };
  return { value: [least, greatest] };
}

/** A range of ids of 16 bits, `1-32767`. */
export function parseIdRange(text: string): Parsed<readonly [number, number]> {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  const [least, greatest] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || least < 1 || greatest > 0xffff || greatest < least)
    return { error: `${JSON.stringify(text)} is no range of ids: write 1-32767` };
  return { value: [least, greatest] };
}

/** Addresses from one to another, both among them. */
export interface AddressRange {
  readonly first: AddressWords;
  readonly last: AddressWords;
  readonly family: 4 | 6;
  readonly text: string;
}

/** `10.64.0.0/16`, or `10.64.0.10-10.64.0.99`; IPv4. */
export function parseIpv4Range(text: string): Parsed<AddressRange> {
  const [from, to, ...rest] = text.split('-').map((part) => part.trim());
  if (to === undefined) {
    const prefix = parsePrefix(text);
    if ('error' in prefix) return prefix;
    if (prefix.value.family !== 4) return { error: `${text} is no IPv4 prefix` };
    const free = IPV6_BITS - prefix.value.length;
    const first = prefix.value.words;
    const last: AddressWords = [first[0], first[1], first[2], (first[3] + 2 ** free - 1) >>> 0];
    return { value: { first, last, family: 4, text: prefix.value.text } };
  }
  const [first, last] = [parseAddress(from), parseAddress(to)];
  if (rest.length > 0 || first === null || last === null || familyOf(first) !== 4 || familyOf(last) !== 4)
    return { error: `${JSON.stringify(text)} is no range of IPv4 addresses: write 10.64.0.10-10.64.0.99` };
  if (last[3] < first[3]) return { error: `${text} ends before it begins` };
  return { value: { first, last, family: 4, text: `${formatWords(first)}-${formatWords(last)}` } };
}

/** What is in the contract and not in this version is refused in the same words everywhere. */
export function notAvailable(what: string): string {
  return `${what} is not available in this version`;
}
