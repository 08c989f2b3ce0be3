/**
 * RADIUS packets (RFC 2865 §3): bytes ⇄ code, identifier, authenticator and attributes, and what makes them believed.
 *
 * ```
 *  0 code   1 identifier   2 length (16 bit)   4 authenticator (16 bytes)   20 attributes: type, length, value …
 * ```
 *
 * Reading never throws: what is no packet is a named fault. Whether a packet is believed is asked apart
 * (`isAuthenticResponse`, `isAuthenticRequest`), because the answer needs the secret and the request.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ATTRIBUTE, RADIUS_CODE } from './radius-attributes.js';

export const RADIUS_HEADER_LENGTH = 20;
/** RFC 2865 §3: the longest packet. */
export const RADIUS_LENGTH_LIMIT = 4096;
export const AUTHENTICATOR_LENGTH = 16;
/** An attribute's length is one byte, and counts type and length. */
export const ATTRIBUTE_VALUE_LIMIT = 253;
const VENDOR_HEADER_LENGTH = 6;
const MAC_LENGTH = 16;
const NO_AUTHENTICATOR = new Uint8Array(AUTHENTICATOR_LENGTH);

/** One attribute. `vendor` 0: a standard one; else `type` is the vendor's own (RFC 2865 §5.26). */
export interface RadiusAttribute {
  readonly type: number;
  readonly vendor: number;
  readonly value: Uint8Array;
}

export interface RadiusPacket {
  readonly code: number;
  readonly id: number;
  readonly authenticator: Uint8Array;
  /** In the packet's order. Vendor attributes stand one by one; a vendor's own format is kept as attribute 26. */
  readonly attributes: readonly RadiusAttribute[];
}

/** What `readRadius` cannot read: shorter than a header, a wrong length, an attribute that does not fit. */
export type RadiusFault = 'short' | 'length' | 'attribute';

export interface RadiusInput {
  readonly code: number;
  readonly id: number;
  readonly attributes: readonly RadiusAttribute[];
}

/** Attributes share the memory of `bytes`. Bytes beyond the packet's own length are padding (RFC 2865 §3). */
export function readRadius(bytes: Uint8Array): RadiusPacket | RadiusFault {
  if (bytes.length < RADIUS_HEADER_LENGTH) return 'short';
  const length = lengthOf(bytes);
  if (length < RADIUS_HEADER_LENGTH || length > RADIUS_LENGTH_LIMIT || length > bytes.length) return 'length';
  const attributes: RadiusAttribute[] = [];
  for (let at = RADIUS_HEADER_LENGTH; at < length; ) {
    if (at + 2 > length) return 'attribute';
    const size = bytes[at + 1];
    if (size < 2 || at + size > length) return 'attribute';
    const value = bytes.subarray(at + 2, at + size);
    if (bytes[at] !== ATTRIBUTE.vendorSpecific || !readVendor(value, attributes))
      attributes.push({ type: bytes[at], vendor: 0, value });
    at += size;
  }
  return { code: bytes[0], id: bytes[1], authenticator: bytes.subarray(4, RADIUS_HEADER_LENGTH), attributes };
}

/** False for what is not in the format that RFC 2865 §5.26 suggests; nothing is added then. */
function readVendor(value: Uint8Array, into: RadiusAttribute[]): boolean {
  if (value.length < VENDOR_HEADER_LENGTH) return false;
  const vendor = ((value[0] << 24) | (value[1] << 16) | (value[2] << 8) | value[3]) >>> 0;
  if (vendor === 0) return false;
  const found: RadiusAttribute[] = [];
  for (let at = 4; at < value.length; ) {
    const size = value[at + 1] ?? 0;
    if (size < 2 || at + size > value.length) return false;
    found.push({ type: value[at], vendor, value: value.subarray(at + 2, at + size) });
    at += size;
  }
  into.push(...found);
  return true;
}

/** Does a packet with these attributes fit into RADIUS at all, a Message-Authenticator included? */
export function fitsRadius(attributes: readonly RadiusAttribute[]): boolean {
  return attributes.every(isEncodable) && sizeOf(attributes) + 2 + MAC_LENGTH <= RADIUS_LENGTH_LIMIT;
}

const isEncodable = ({ vendor, value }: RadiusAttribute): boolean =>
  value.length + (vendor === 0 ? 0 : VENDOR_HEADER_LENGTH) <= ATTRIBUTE_VALUE_LIMIT;

function sizeOf(attributes: readonly RadiusAttribute[]): number {
  let size = RADIUS_HEADER_LENGTH;
  for (const { vendor, value } of attributes) size += 2 + (vendor === 0 ? 0 : VENDOR_HEADER_LENGTH) + value.length;
  return size;
}

/**
 * Access-Request or Status-Server: `authenticator` is random and unpredictable (RFC 2865 §3); Message-Authenticator
 * (RFC 3579 §3.2) comes first, so that nothing forged can be put before it. RangeError when `fitsRadius` says no.
 */
export function buildAccessRequest(
  input: Omit<RadiusInput, 'code'> & { readonly code?: number },
  authenticator: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const bytes = encode({ code: RADIUS_CODE.accessRequest, ...input }, authenticator, true);
  sign(bytes, secret);
  return bytes;
}

/**
 * Accounting-Request, Disconnect-Request or CoA-Request: the authenticator is a digest over the packet (RFC 2866 §3).
 * RangeError when `fitsRadius` says no.
 */
export function buildDigestRequest(input: RadiusInput, secret: Uint8Array, signed = false): Uint8Array {
  const bytes = encode(input, NO_AUTHENTICATOR, signed);
  if (signed) sign(bytes, secret);
  bytes.set(digest(bytes, NO_AUTHENTICATOR, secret), 4);
  return bytes;
}

/** An answer; `requestAuthenticator` is that of the packet it answers. RangeError when `fitsRadius` says no. */
export function buildResponse(
  input: RadiusInput,
  requestAuthenticator: Uint8Array,
  secret: Uint8Array,
  signed = true,
): Uint8Array {
  const bytes = encode(input, requestAuthenticator, signed);
  if (signed) sign(bytes, secret);
  bytes.set(digest(bytes, requestAuthenticator, secret), 4);
  return bytes;
}

/** Has somebody made this answer who has the secret and saw the request (RFC 2865 §3)? */
export function isAuthenticResponse(bytes: Uint8Array, requestAuthenticator: Uint8Array, secret: Uint8Array): boolean {
  return equal(digest(bytes, requestAuthenticator, secret), bytes.subarray(4, RADIUS_HEADER_LENGTH));
}

/** Has somebody made this Accounting-, Disconnect- or CoA-Request who has the secret? */
export function isAuthenticRequest(bytes: Uint8Array, secret: Uint8Array): boolean {
  return isAuthenticResponse(bytes, NO_AUTHENTICATOR, secret);
}

/**
 * Message-Authenticator of a packet that `readRadius` could read. `authenticator`: for an answer that of the request, for an
 * Access-Request its own, for other requests zeros (`null`).
 */
export function messageAuthenticator(
  bytes: Uint8Array,
  authenticator: Uint8Array | null,
  secret: Uint8Array,
): 'absent' | 'valid' | 'wrong' {
  const end = lengthOf(bytes);
  const at = messageAuthenticatorAt(bytes, end);
  if (at < 0) return 'absent';
  if (bytes[at + 1] !== 2 + MAC_LENGTH) return 'wrong';
  const copy = bytes.slice(0, end);
  copy.set(authenticator ?? NO_AUTHENTICATOR, 4);
  copy.fill(0, at + 2, at + 2 + MAC_LENGTH);
  const mac = createHmac('md5', secret).update(copy).digest();
  return equal(mac, bytes.subarray(at + 2, at + 2 + MAC_LENGTH)) ? 'valid' : 'wrong';
}

function messageAuthenticatorAt(bytes: Uint8Array, end: number): number {
  for (let at = RADIUS_HEADER_LENGTH; at + 1 < end && bytes[at + 1] >= 2; at += bytes[at + 1])
    if (bytes[at] === ATTRIBUTE.messageAuthenticator) return at;
  return -1;
}

function encode({ code, id, attributes }: RadiusInput, authenticator: Uint8Array, signed: boolean): Uint8Array {
  if (!fitsRadius(attributes)) throw new RangeError('these attributes do not fit into a RADIUS packet');
  const own = signed ? 2 + MAC_LENGTH : 0;
  const bytes = new Uint8Array(sizeOf(attributes) + own);
  bytes[0] = code;
  bytes[1] = id;
  bytes[2] = bytes.length >> 8;
  bytes[3] = bytes.length;
  bytes.set(authenticator, 4);
  let at = RADIUS_HEADER_LENGTH + own;
  if (signed) {
    bytes[RADIUS_HEADER_LENGTH] = ATTRIBUTE.messageAuthenticator;
    bytes[RADIUS_HEADER_LENGTH + 1] = 2 + MAC_LENGTH;
  }
  for (const { type, vendor, value } of attributes) {
    if (vendor !== 0) {
      bytes[at++] = ATTRIBUTE.vendorSpecific;
      bytes[at++] = 2 + VENDOR_HEADER_LENGTH + value.length;
      bytes[at++] = vendor >>> 24;
      bytes[at++] = vendor >>> 16;
      bytes[at++] = vendor >>> 8;
      bytes[at++] = vendor;
    }
    bytes[at++] = type;
    bytes[at++] = 2 + value.length;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}

/** Fills the Message-Authenticator that `encode` left room for, over the authenticator that stands in the packet. */
function sign(bytes: Uint8Array, secret: Uint8Array): void {
  bytes.set(createHmac('md5', secret).update(bytes).digest(), RADIUS_HEADER_LENGTH + 2);
}

function digest(bytes: Uint8Array, authenticator: Uint8Array, secret: Uint8Array): Uint8Array {
  const hash = createHash('md5').update(bytes.subarray(0, 4)).update(authenticator);
  return hash
    .update(bytes.subarray(RADIUS_HEADER_LENGTH, lengthOf(bytes)))
    .update(secret)
    .digest();
}

const lengthOf = (bytes: Uint8Array): number => (bytes[2] << 8) | bytes[3];
const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);
