/** Values of RADIUS attributes: text, numbers, addresses, tags (RFC 2868) and passwords. Reading never throws. */
import { createHash } from 'node:crypto';
import { type AddressWords, formatAddress, formatIpv4, IPV4_MAPPED } from './address.js';
import type { RadiusAttribute } from './radius.js';

const BLOCK = 16;
/** RFC 2865 §5.2: the longest password. */
export const PASSWORD_LIMIT = 128;
/** RFC 2868 §3.5: what is left of an attribute for the password, without tag, salt and its length. */
const TUNNEL_PASSWORD_LIMIT = 239;
const TAG_MAX = 0x1f;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const attribute = (type: number, value: Uint8Array, vendor = 0): RadiusAttribute => ({ type, vendor, value });
export const textAttribute = (type: number, text: string): RadiusAttribute => attribute(type, encoder.encode(text));
export const numberAttribute = (type: number, value: number): RadiusAttribute => attribute(type, number32(value));

/** `ipv4` when the address is an IPv4-mapped one, else `ipv6`. */
export function addressAttribute(
  types: { readonly ipv4: number; readonly ipv6: number },
  words: AddressWords,
): RadiusAttribute {
  const mapped = words[0] === 0 && words[1] === 0 && words[2] === IPV4_MAPPED;
  const used = mapped ? words.slice(3) : words;
  const bytes = new Uint8Array(used.length * 4);
  used.forEach((word, i) => bytes.set(number32(word), i * 4));
  return attribute(mapped ? types.ipv4 : types.ipv6, bytes);
}

function number32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export const textOf = (value: Uint8Array): string => decoder.decode(value);

/** null unless it has four bytes. */
export function numberOf(value: Uint8Array): number | null {
  return value.length === 4 ? ((value[0] << 24) | (value[1] << 16) | (value[2] << 8) | value[3]) >>> 0 : null;
}

/** An IPv4 address as text, or null. */
export function ipv4Of(value: Uint8Array): string | null {
  const word = numberOf(value);
  return word === null ? null : formatIpv4(word);
}

/** An IPv6 address as text, or null. */
export function ipv6Of(value: Uint8Array): string | null {
  if (value.length !== 16) return null;
  const word = (i: number): number => numberOf(value.subarray(i * 4, i * 4 + 4)) ?? 0;
  return formatAddress(word(0), word(1), word(2), word(3));
}

/** RFC 3162 §2.3: reserved, prefix length, prefix with or without its last zeros. `2001:db8::/64`, or null. */
export function ipv6PrefixOf(value: Uint8Array): string | null {
  if (value.length < 2 || value.length > 18 || value[1] > 128 || (value.length - 2) * 8 < value[1]) return null;
  const full = new Uint8Array(16);
  full.set(value.subarray(2));
  // Bits beyond the length must be zero; some servers leave the host's there.
  for (let bit = value[1]; bit < 128; bit++) full[bit >> 3] &= ~(0x80 >> (bit & 7));
  return `${ipv6Of(full)}/${value[1]}`;
}

/** Tag and the rest of a tagged text (RFC 2868 §3.3): a first byte above 0x1f is text already, and the tag 0. */
export function taggedText(value: Uint8Array): { readonly tag: number; readonly text: string } {
  const tagged = value.length > 0 && value[0] <= TAG_MAX;
  return { tag: tagged ? value[0] : 0, text: textOf(tagged ? value.subarray(1) : value) };
}

/** Tag and number of a tagged integer (RFC 2868 §3.1): one byte and three; null unless it has four bytes. */
export function taggedNumber(value: Uint8Array): { readonly tag: number; readonly number: number } | null {
  if (value.length !== 4) return null;
  return { tag: value[0] <= TAG_MAX ? value[0] : 0, number: (value[1] << 16) | (value[2] << 8) | value[3] };
}

/** User-Password as it crosses (RFC 2865 §5.2). RangeError for more than 128 bytes. */
export function hidePassword(password: Uint8Array, authenticator: Uint8Array, secret: Uint8Array): Uint8Array {
  if (password.length > PASSWORD_LIMIT) throw new RangeError(`a password has at most ${PASSWORD_LIMIT} bytes`);
  const padded = new Uint8Array(Math.max(BLOCK, Math.ceil(password.length / BLOCK) * BLOCK));
  padded.set(password);
  return chain(padded, authenticator, secret, true);
}

/** The password in a User-Password, without padding; null for a length that cannot be. */
export function revealPassword(hidden: Uint8Array, authenticator: Uint8Array, secret: Uint8Array): Uint8Array | null {
  if (hidden.length === 0 || hidden.length % BLOCK !== 0 || hidden.length > PASSWORD_LIMIT) return null;
  const plain = chain(hidden, authenticator, secret, false);
  let end = plain.length;
  while (end > 0 && plain[end - 1] === 0) end--;
  return plain.subarray(0, end);
}

/** Tunnel-Password as it crosses (RFC 2868 §3.5): tag, salt, and length with password, hidden. RangeError above 239 bytes. */
export function hideTunnelPassword(
  password: Uint8Array,
  tag: number,
  salt: number,
  requestAuthenticator: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  if (password.length > TUNNEL_PASSWORD_LIMIT)
    throw new RangeError(`a tunnel password has at most ${TUNNEL_PASSWORD_LIMIT} bytes`);
  const padded = new Uint8Array(Math.ceil((password.length + 1) / BLOCK) * BLOCK);
  padded[0] = password.length;
  padded.set(password, 1);
  // The first bit of a salt is set (RFC 2868 §3.5).
  const salted = Uint8Array.of((salt >> 8) | 0x80, salt);
  const hidden = chain(padded, concatenated(requestAuthenticator, salted), secret, true);
  return concatenated(Uint8Array.of(tag), salted, hidden);
}

/** The password in a Tunnel-Password, with its tag; null for what cannot be one (or was hidden with another secret). */
export function revealTunnelPassword(
  value: Uint8Array,
  requestAuthenticator: Uint8Array,
  secret: Uint8Array,
): { readonly tag: number; readonly password: Uint8Array } | null {
  const hidden = value.subarray(3);
  if (hidden.length === 0 || hidden.length % BLOCK !== 0) return null;
  const plain = chain(hidden, concatenated(requestAuthenticator, value.subarray(1, 3)), secret, false);
  if (plain[0] > plain.length - 1) return null;
  return { tag: value[0] <= TAG_MAX ? value[0] : 0, password: plain.subarray(1, 1 + plain[0]) };
}

/** c(i) = p(i) XOR MD5(secret + c(i-1)), with `start` before the first block. */
function chain(input: Uint8Array, start: Uint8Array, secret: Uint8Array, hide: boolean): Uint8Array {
  const output = new Uint8Array(input.length);
  let previous = start;
  for (let at = 0; at < input.length; at += BLOCK) {
    const pad = createHash('md5').update(secret).update(previous).digest();
    for (let i = 0; i < BLOCK; i++) output[at + i] = input[at + i] ^ pad[i];
    previous = (hide ? output : input).subarray(at, at + BLOCK);
  }
  return output;
}

function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
