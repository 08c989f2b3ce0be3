/**
 * IP addresses, endpoints and MAC addresses as text and as numbers.
 *
 * An address is four 32-bit words in the order of its bytes; IPv4 is IPv4-mapped: 10.10.1.1 is
 * (0, 0, 0xffff, 0x0a0a0101). Words that go out are ≥ 0; words that come in may be signed, as an Int32Array gives them.
 * Text is canonical: dotted decimal for IPv4, RFC 5952 for IPv6.
 */
import ipaddr from 'ipaddr.js';

/** Four words, numbers ≥ 0, IPv4 mapped. */
export type AddressWords = readonly [number, number, number, number];

export interface Endpoint {
  readonly words: AddressWords;
  readonly port: number;
}

export const MAC_LENGTH = 6;
/** Third word of an IPv4-mapped address. */
export const IPV4_MAPPED = 0xffff;

/** Words of an address, or null when the text is none. Zones ("%eth0") and short IPv4 forms ("10.1") are refused. */
export function parseAddress(text: string): AddressWords | null {
  if (!text.includes(':')) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return null;
    const [a, b, c, d] = ipaddr.IPv4.parse(text).octets;
    return [0, 0, IPV4_MAPPED, ((a << 24) | (b << 16) | (c << 8) | d) >>> 0];
  }
  const plain = withoutIpv4Tail(text);
  if (plain === null || plain.includes('%') || !ipaddr.IPv6.isValid(plain)) return null;
  const p = ipaddr.IPv6.parse(plain).parts;
  const word = (i: number): number => ((p[i] << 16) | p[i + 1]) >>> 0;
  return [word(0), word(2), word(4), word(6)];
}

/**
 * "::ffff:10.1.1.1" with its tail as two groups. ipaddr.js reads "::10.1.1.1" as IPv4-mapped too, which it is not, and
 * octal numbers in the tail; so the tail is read as an IPv4 address is.
 */
function withoutIpv4Tail(text: string): string | null {
  if (!text.includes('.')) return text;
  const at = text.lastIndexOf(':') + 1;
  const tail = text.slice(at);
  if (!ipaddr.IPv4.isValidFourPartDecimal(tail)) return null;
  const [a, b, c, d] = ipaddr.IPv4.parse(tail).octets;
  return `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** True when the words are an IPv4-mapped address. */
export function isIpv4(a0: number, a1: number, a2: number): boolean {
  return a0 === 0 && a1 === 0 && a2 === IPV4_MAPPED;
}

/** Canonical text of an address. */
export function formatAddress(a0: number, a1: number, a2: number, a3: number): string {
  return isIpv4(a0, a1, a2) ? formatIpv4(a3) : formatIpv6(a0, a1, a2, a3);
}

/** Canonical text of the four words at `index` of an array. */
export function formatWords(words: ArrayLike<number>, index = 0): string {
  return formatAddress(words[index], words[index + 1], words[index + 2], words[index + 3]);
}

/** Dotted decimal. */
export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of at least two zero groups (the first such) is "::". */
export function formatIpv6(a0: number, a1: number, a2: number, a3: number): string {
  const groups = [a0 >>> 16, a0 & 0xffff, a1 >>> 16, a1 & 0xffff, a2 >>> 16, a2 & 0xffff, a3 >>> 16, a3 & 0xffff];
  let runStart = 8;
  let runLength = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > runLength) {
      runStart = i;
      runLength = j - i;
    }
    if (j > i) i = j;
  }
  if (runStart === 8) return joinGroups(groups, 0, 8);
  return `${joinGroups(groups, 0, runStart)}::${joinGroups(groups, runStart + runLength, 8)}`;
}

function joinGroups(groups: number[], from: number, to: number): string {
  let text = '';
  for (let i = from; i < to; i++) text += (i > from ? ':' : '') + groups[i].toString(16);
  return text;
}

/** `1.2.3.4:1701`, `[2001:db8::1]:1701`. */
export function formatEndpoint(a0: number, a1: number, a2: number, a3: number, port: number): string {
  return isIpv4(a0, a1, a2) ? `${formatIpv4(a3)}:${port}` : `[${formatIpv6(a0, a1, a2, a3)}]:${port}`;
}

/** The reverse of `formatEndpoint`, or null. Ports are 0 … 65535, decimal without leading zeros. */
export function parseEndpoint(text: string): Endpoint | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(0|[1-9]\d{0,4})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  if (port > 0xffff || (match[1] !== undefined && !match[1].includes(':'))) return null;
  const words = parseAddress(match[1] ?? match[2]);
  return words === null ? null : { words, port };
}

/** Writes an address in network order: 4 bytes for IPv4, 16 for IPv6. Returns how many. */
export function writeAddress(view: DataView, offset: number, words: ArrayLike<number>): number {
  if (isIpv4(words[0], words[1], words[2])) {
    view.setUint32(offset, words[3]);
    return 4;
  }
  for (let i = 0; i < 4; i++) view.setUint32(offset + i * 4, words[i]);
  return 16;
}

/** Six bytes of `02:00:00:00:00:01`, or null. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null;
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** `02:00:00:00:00:01`, of the six bytes at `offset`. */
export function formatMac(bytes: ArrayLike<number>, offset = 0): string {
  let text = '';
  for (let i = 0; i < MAC_LENGTH; i++) text += (i > 0 ? ':' : '') + bytes[offset + i].toString(16).padStart(2, '0');
  return text;
}
