/**
 * GLBP, the gateway load balancing protocol of one vendor, as far as it has been read off the wire by others (Wireshark's
 * dissector, published captures): UDP port 3222 to 224.0.0.102 or ff02::66 with TTL 255, and unicast for requests and
 * responses. There is no specification; fields without a known meaning are sent as zero and not looked at.
 *
 *   | version 1 | 0 | group (2) | 0 (2) | owner: MAC (6) |    then items: | type (1) | length with both (1) | … |
 *
 *   1 hello      | 0 | state | 0 | priority | 0 (2) | hello ms (4) | hold ms (4) | redirect s (2) | timeout s (2) |
 *                | 0 (2) | address type 1, 2 | its length | shared address |
 *   2 forwarder  | number, 0: a request | state, 0: assigned | 0 | priority | weight | 0 (7) | virtual MAC (6) |
 *   3 authentication | type | length | text, or MD5, or key number (4) and MD5 |
 *
 * The MD5 is that of RFC 1828, the key before and after, over header and authentication up to the digest, the source
 * address in 16 bytes (IPv4 first, then zeros) in the digest's place, and all items that follow; so authentication
 * is the first item. This is what public tools verify for a key number (type 3); for type 2 it is taken to be alike.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type AddressWords, isIpv4, writeAddress } from './address.js';

export const GLBP_PORT = 3222;
/** 224.0.0.102 and its Ethernet address. */
export const GLBP_ADDRESS_IPV4 = 0xe0000066;
export const GLBP_MAC_IPV4 = Uint8Array.of(0x01, 0x00, 0x5e, 0x00, 0x00, 0x66);
/** ff02::66 and its Ethernet address. */
export const GLBP_ADDRESS_IPV6: AddressWords = [0xff020000, 0, 0, 0x66];
export const GLBP_MAC_IPV6 = Uint8Array.of(0x33, 0x33, 0x00, 0x00, 0x00, 0x66);
export const GLBP_GROUP_MAX = 1023;
/** Forwarders of one group. */
export const GLBP_FORWARDER_LIMIT = 4;
/** Longest text that authentication takes. */
export const GLBP_TEXT_LIMIT = 255 - 4;
/** Longest MD5 key: one block of MD5 with its padding. */
export const GLBP_KEY_LIMIT = 55;

const HEADER_LENGTH = 12;
const VERSION = 1;
const ITEM = { hello: 1, forwarder: 2, authentication: 3 } as const;
const HELLO_LENGTH = 24;
const FORWARDER_LENGTH = 20;
const AUTHENTICATION_LENGTH = 4;
const DIGEST_LENGTH = 16;
/** No message has more items: they would not fit into it, or say the same twice. */
const ITEM_LIMIT = 32;
const AUTHENTICATION = { none: 0, text: 1, md5: 2, 'md5-chain': 3 } as const;

/** States of a gateway: who answers (active), who would (standby), who wants to (speak). And of a forwarder: listen, active. */
export const GLBP_STATE = { none: 0, listen: 4, speak: 8, standby: 16, active: 32 } as const;
/** Any number that stood there; the known ones are GLBP_STATE's. */
export type GlbpState = number;

export interface GlbpHello {
  readonly state: GlbpState;
  readonly priority: number;
  readonly helloMs: number;
  readonly holdMs: number;
  /** Seconds. */
  readonly redirect: number;
  /** Seconds. */
  readonly timeout: number;
  /** Null: a kind of address that is not known. */
  readonly address: AddressWords | null;
}

export interface GlbpForwarder {
  /** 0: a request for a number. */
  readonly number: number;
  readonly state: GlbpState;
  readonly priority: number;
  readonly weight: number;
  readonly mac: Uint8Array;
}

export interface GlbpMessage {
  readonly group: number;
  /** The sender's own MAC. */
  readonly owner: Uint8Array;
  readonly hello: GlbpHello | null;
  readonly forwarders: readonly GlbpForwarder[];
}

/** What the members of a group share. */
export type GlbpSecret =
  | { readonly kind: 'none' }
  | { readonly kind: 'text'; readonly text: Uint8Array }
  | { readonly kind: 'md5'; readonly key: Uint8Array }
  | { readonly kind: 'md5-chain'; readonly number: number; readonly key: Uint8Array };

/** What `readGlbp` cannot read. */
export type GlbpFault = 'malformed' | 'version';

/** A UDP payload. Errors: RangeError for a secret, a group or more forwarders than there is room for. */
export function buildGlbp(message: GlbpMessage, secret: GlbpSecret, source: AddressWords): Uint8Array {
  const { hello, forwarders } = message;
  if (!(message.group >= 0 && message.group <= GLBP_GROUP_MAX)) throw new RangeError(`no group ${message.group}`);
  if (forwarders.length > ITEM_LIMIT - 2) throw new RangeError(`${forwarders.length} forwarders`);
  const secretLength = secretItemLength(secret);
  const addressLength =
    hello?.address == null ? 0 : isIpv4(hello.address[0], hello.address[1], hello.address[2]) ? 4 : 16;
  const helloLength = hello === null ? 0 : HELLO_LENGTH + addressLength;
  const bytes = new Uint8Array(HEADER_LENGTH + secretLength + helloLength + forwarders.length * FORWARDER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint16(2, message.group);
  bytes.set(message.owner.subarray(0, 6), 6);
  let at = HEADER_LENGTH + secretLength;
  if (hello !== null) {
    view.setUint8(at, ITEM.hello);
    view.setUint8(at + 1, helloLength);
    view.setUint8(at + 3, hello.state);
    view.setUint8(at + 5, hello.priority);
    view.setUint32(at + 8, hello.helloMs);
    view.setUint32(at + 12, hello.holdMs);
    view.setUint16(at + 16, hello.redirect);
    view.setUint16(at + 18, hello.timeout);
    view.setUint8(at + 22, addressLength === 16 ? 2 : 1);
    view.setUint8(at + 23, addressLength);
    if (hello.address !== null) writeAddress(view, at + 24, hello.address);
    at += helloLength;
  }
  for (const { number, state, priority, weight, mac } of forwarders) {
    view.setUint8(at, ITEM.forwarder);
    view.setUint8(at + 1, FORWARDER_LENGTH);
    view.setUint8(at + 2, number);
    view.setUint8(at + 3, state);
    view.setUint8(at + 5, priority);
    view.setUint8(at + 6, weight);
    bytes.set(mac.subarray(0, 6), at + 14);
    at += FORWARDER_LENGTH;
  }
  writeSecret(bytes, secret, source);
  return bytes;
}

/** Any bytes: what they say, believed by nobody before `isAuthenticGlbp`, or why they are no such message. */
export function readGlbp(bytes: Uint8Array): GlbpMessage | GlbpFault {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_LENGTH) return 'malformed';
  if (view.getUint8(0) !== VERSION) return 'version';
  const group = view.getUint16(2);
  let hello: GlbpHello | null = null;
  const forwarders: GlbpForwarder[] = [];
  let at = HEADER_LENGTH;
  for (let items = 0; at < bytes.length; items++) {
    const length = itemLength(view, at);
    if (length === 0 || items === ITEM_LIMIT) return 'malformed';
    const type = view.getUint8(at);
    if (type === ITEM.hello) {
      if (hello !== null) return 'malformed';
      hello = readHello(view, at, length);
      if (hello === null) return 'malformed';
    } else if (type === ITEM.forwarder) {
      if (length < FORWARDER_LENGTH) return 'malformed';
      forwarders.push({
        number: view.getUint8(at + 2),
        state: view.getUint8(at + 3),
        priority: view.getUint8(at + 5),
        weight: view.getUint8(at + 6),
        mac: bytes.slice(at + 14, at + 20),
      });
    }
    at += length;
  }
  return { group, owner: bytes.slice(6, 12), hello, forwarders };
}

/** Was a message that `readGlbp` could read made by someone who has this secret, at this source address? */
export function isAuthenticGlbp(bytes: Uint8Array, secret: GlbpSecret, source: AddressWords): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === HEADER_LENGTH || view.getUint8(HEADER_LENGTH) !== ITEM.authentication)
    return secret.kind === 'none';
  const length = itemLength(view, HEADER_LENGTH);
  if (length < AUTHENTICATION_LENGTH) return false;
  const type = view.getUint8(HEADER_LENGTH + 2);
  if (type !== AUTHENTICATION[secret.kind] || view.getUint8(HEADER_LENGTH + 3) !== length - AUTHENTICATION_LENGTH)
    return false;
  if (secret.kind === 'none') return true;
  if (length !== secretItemLength(secret)) return false;
  const found = bytes.subarray(HEADER_LENGTH, HEADER_LENGTH + length);
  const copy = bytes.slice();
  writeSecret(copy, secret, source);
  return timingSafeEqual(found, copy.subarray(HEADER_LENGTH, HEADER_LENGTH + length));
}

/** The virtual MAC of a forwarder: 22 bits of 0007.b400.0000, ten for the group and then eight for the number. */
export function glbpMac(group: number, forwarder: number): Uint8Array {
  return Uint8Array.of(0x00, 0x07, 0xb4, (group >> 8) & 0x03, group & 0xff, forwarder & 0xff);
}

/** Length of the item at `at`, or 0: it is cut off. */
function itemLength(view: DataView, at: number): number {
  if (view.byteLength - at < 2) return 0;
  const length = view.getUint8(at + 1);
  return length < 2 || length > view.byteLength - at ? 0 : length;
}

/** Null: shorter than what it says. */
function readHello(view: DataView, at: number, length: number): GlbpHello | null {
  if (length < HELLO_LENGTH) return null;
  const type = view.getUint8(at + 22);
  const addressLength = view.getUint8(at + 23);
  if (addressLength > length - HELLO_LENGTH) return null;
  const word = (i: number): number => view.getUint32(at + 24 + i * 4);
  let address: AddressWords | null = null;
  if (type === 1 && addressLength === 4) address = [0, 0, 0xffff, word(0)];
  if (type === 2 && addressLength === 16) address = [word(0), word(1), word(2), word(3)];
  return {
    state: view.getUint8(at + 3),
    priority: view.getUint8(at + 5),
    helloMs: view.getUint32(at + 8),
    holdMs: view.getUint32(at + 12),
    redirect: view.getUint16(at + 16),
    timeout: view.getUint16(at + 18),
    address,
  };
}

function secretItemLength(secret: GlbpSecret): number {
  switch (secret.kind) {
    case 'none':
      return 0;
    case 'text':
      if (secret.text.length === 0 || secret.text.length > GLBP_TEXT_LIMIT)
        throw new RangeError(`the text of authentication has 1 to ${GLBP_TEXT_LIMIT} bytes`);
      return AUTHENTICATION_LENGTH + secret.text.length;
    default:
      if (secret.key.length === 0 || secret.key.length > GLBP_KEY_LIMIT)
        throw new RangeError(`an MD5 key has 1 to ${GLBP_KEY_LIMIT} bytes`);
      return AUTHENTICATION_LENGTH + DIGEST_LENGTH + (secret.kind === 'md5' ? 0 : 4);
  }
}

/** Writes the item behind the header; everything else of the message stands already. */
function writeSecret(bytes: Uint8Array, secret: GlbpSecret, source: AddressWords): void {
  if (secret.kind === 'none') return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = secretItemLength(secret);
  view.setUint8(HEADER_LENGTH, ITEM.authentication);
  view.setUint8(HEADER_LENGTH + 1, length);
  view.setUint8(HEADER_LENGTH + 2, AUTHENTICATION[secret.kind]);
  view.setUint8(HEADER_LENGTH + 3, length - AUTHENTICATION_LENGTH);
  if (secret.kind === 'text') return bytes.set(secret.text, HEADER_LENGTH + AUTHENTICATION_LENGTH);
  if (secret.kind === 'md5-chain') view.setUint32(HEADER_LENGTH + AUTHENTICATION_LENGTH, secret.number);
  const digest = HEADER_LENGTH + length - DIGEST_LENGTH;
  bytes.fill(0, digest, digest + DIGEST_LENGTH);
  writeAddress(view, digest, source);
  bytes.set(keyedMd5(bytes, secret.key), digest);
}

/** RFC 1828 §2: key, filled up to a block by MD5's own padding, the data, and the key again. */
export function keyedMd5(data: Uint8Array, key: Uint8Array): Uint8Array {
  const block = new Uint8Array(64);
  block.set(key);
  block[key.length] = 0x80;
  new DataView(block.buffer).setUint32(56, key.length * 8, true);
  return createHash('md5').update(block).update(data).update(key).digest();
}
