/**
 * Attribute-value pairs, RFC 2661 §4.1.
 *
 *   |M|H| rsvd(4) |  Length (10)  |  Vendor ID (16)  |  Attribute Type (16)  |  value …
 *
 * Walked without allocation: `checkAvp` answers the length of the AVP at an offset, getters read it, and adding the
 * length gives the next. A hidden value (H) is cipher text: its bytes mean nothing here and must never bound a read.
 * `decodeAvp` and `encodeAvp` are for the cold side: logs, captures, tests, engines.
 */
import type { AvpFormat, AvpStruct } from './avp-table.js';
import { AVP_MESSAGE_TYPE, avpDefinition } from './avp-table.js';
import { AVP_LENGTH } from './malformed.js';

export const AVP_HEADER_LENGTH = 6;
export const AVP_LENGTH_MAX = 0x3ff;
const M_BIT = 0x8000;
const H_BIT = 0x4000;
const AVP_RESERVED_MASK = 0x3c00;

/** Length in bytes of the AVP at `offset`, or AVP_LENGTH when it is below 6 or reaches beyond `end`. */
export function checkAvp(view: DataView, offset: number, end: number): number {
  if (end - offset < AVP_HEADER_LENGTH) return AVP_LENGTH;
  const length = view.getUint16(offset) & AVP_LENGTH_MAX;
  return length < AVP_HEADER_LENGTH || length > end - offset ? AVP_LENGTH : length;
}

export function avpMandatory(view: DataView, offset: number): boolean {
  return (view.getUint16(offset) & M_BIT) !== 0;
}

export function avpHidden(view: DataView, offset: number): boolean {
  return (view.getUint16(offset) & H_BIT) !== 0;
}

/** A reserved bit is set: the AVP is to be treated as unrecognised, whatever its type says (RFC 2661 §4.1). */
export function avpReserved(view: DataView, offset: number): boolean {
  return (view.getUint16(offset) & AVP_RESERVED_MASK) !== 0;
}

export function avpVendor(view: DataView, offset: number): number {
  return view.getUint16(offset + 2);
}

export function avpType(view: DataView, offset: number): number {
  return view.getUint16(offset + 4);
}

/** A Message Type AVP is 8 bytes, in the clear, with no reserved bit; its vendor id may be anybody's. */
export function isMessageType(view: DataView, offset: number, length: number): boolean {
  return (
    length === AVP_HEADER_LENGTH + 2 &&
    avpType(view, offset) === AVP_MESSAGE_TYPE &&
    !avpHidden(view, offset) &&
    !avpReserved(view, offset)
  );
}

/** Fields of a structured value by name; the text under its own name. */
export type AvpFields = Readonly<Record<string, number | string>>;
export type AvpValue = number | string | Uint8Array | AvpFields | null;

/** One AVP, read. */
export interface Avp {
  readonly vendor: number;
  readonly type: number;
  /** As in avp-table.ts; null for vendor AVPs, unknown types and AVPs with a reserved bit. */
  readonly name: string | null;
  readonly mandatory: boolean;
  readonly hidden: boolean;
  readonly reserved: boolean;
  /** By the table's format; the plain bytes when hidden, unknown or of an impossible length; null for 'empty'. */
  readonly value: AvpValue;
}

/** One AVP to write. */
export interface AvpInput {
  readonly type: number;
  readonly value?: AvpValue;
  readonly vendor?: number;
  /** By default what the table demands, true where it leaves the choice, false for vendor AVPs. */
  readonly mandatory?: boolean;
  /** The value is cipher text already: it must be bytes. */
  readonly hidden?: boolean;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Reads an AVP that `checkAvp` accepted. The bytes are copied. */
export function decodeAvp(view: DataView, offset: number): Avp {
  const length = view.getUint16(offset) & AVP_LENGTH_MAX;
  const vendor = avpVendor(view, offset);
  const type = avpType(view, offset);
  const hidden = avpHidden(view, offset);
  const reserved = avpReserved(view, offset);
  const definition = vendor === 0 && !reserved ? avpDefinition(type) : undefined;
  // Copied into memory of its own: the view may lie over shared memory, which a TextDecoder refuses.
  const bytes = new Uint8Array(length - AVP_HEADER_LENGTH);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset + offset + AVP_HEADER_LENGTH, bytes.length));
  const readable = definition !== undefined && !hidden;
  const value = readable ? decodeValue(definition.format, bytes) : bytes;
  return {
    vendor,
    type,
    name: definition?.name ?? null,
    mandatory: avpMandatory(view, offset),
    hidden,
    reserved,
    value,
  };
}

/**
 * The value of an AVP of vendor 0 by the table's format; the bytes themselves where the table does not know the type or
 * their length is impossible.
 */
export function decodeAvpValue(type: number, bytes: Uint8Array): AvpValue {
  const definition = avpDefinition(type);
  return definition === undefined ? bytes : decodeValue(definition.format, bytes);
}

/** The value as bytes, without the header. Throws as `encodeAvp`. */
export function encodeAvpValue(input: AvpInput): Uint8Array {
  const definition = (input.vendor ?? 0) === 0 ? avpDefinition(input.type) : undefined;
  return encodeValue(definition?.format ?? 'octets', input.value ?? null, input.type);
}

function decodeValue(format: AvpFormat, bytes: Uint8Array): AvpValue {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (format === 'u16') return bytes.length === 2 ? view.getUint16(0) : bytes;
  if (format === 'u32') return bytes.length === 4 ? view.getUint32(0) : bytes;
  if (format === 'text') return decoder.decode(bytes);
  if (format === 'empty') return bytes.length === 0 ? null : bytes;
  if (format === 'octets' || 'octets' in format) return bytes;
  return decodeFields(format, view) ?? bytes;
}

function decodeFields(format: AvpStruct, view: DataView): AvpFields | null {
  const fields: Record<string, number | string> = {};
  let at = 0;
  for (const { name, length, optional } of format.fields) {
    if (optional === true && at === view.byteLength) return fields;
    if (at + length > view.byteLength) return null;
    const number = length === 1 ? view.getUint8(at) : length === 2 ? view.getUint16(at) : view.getUint32(at);
    if (name !== '') fields[name] = number;
    at += length;
  }
  if (at === view.byteLength) return fields;
  if (format.text === undefined) return null;
  fields[format.text] = decoder.decode(new Uint8Array(view.buffer, view.byteOffset + at, view.byteLength - at));
  return fields;
}

/**
 * One AVP as bytes. Throws TypeError for a value that its format cannot hold and RangeError beyond 1,023 bytes: that is
 * a mistake of the caller, not of a peer.
 */
export function encodeAvp(input: AvpInput): Uint8Array {
  const vendor = input.vendor ?? 0;
  const definition = vendor === 0 ? avpDefinition(input.type) : undefined;
  const hidden = input.hidden ?? false;
  const format = definition === undefined || hidden ? 'octets' : definition.format;
  const value = encodeValue(format, input.value ?? null, input.type);
  const length = AVP_HEADER_LENGTH + value.length;
  if (length > AVP_LENGTH_MAX) throw new RangeError(`AVP ${input.type}: ${length} bytes, at most ${AVP_LENGTH_MAX}`);
  const mandatory = input.mandatory ?? (vendor === 0 && definition?.mandatory !== false);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, (mandatory ? M_BIT : 0) | (hidden ? H_BIT : 0) | length);
  view.setUint16(2, vendor);
  view.setUint16(4, input.type);
  bytes.set(value, AVP_HEADER_LENGTH);
  return bytes;
}

function encodeValue(format: AvpFormat, value: AvpValue, type: number): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (value === null) {
    if (format === 'empty' || format === 'octets') return new Uint8Array(0);
  } else if (typeof value === 'string') {
    if (format === 'text' || format === 'octets') return encoder.encode(value);
  } else if (typeof value === 'number') {
    const bytes = new Uint8Array(format === 'u16' ? 2 : 4);
    const view = new DataView(bytes.buffer);
    if (format === 'u16') view.setUint16(0, value);
    else if (format === 'u32') view.setUint32(0, value);
    else throw new TypeError(`AVP ${type}: a number does not fit its format`);
    return bytes;
  } else if (typeof format === 'object' && 'fields' in format) {
    return encodeFields(format, value);
  }
  throw new TypeError(`AVP ${type}: the value does not fit its format`);
}

function encodeFields(format: AvpStruct, value: AvpFields): Uint8Array {
  const text = format.text === undefined ? undefined : value[format.text];
  const tail = encoder.encode(text === undefined ? '' : String(text));
  const fields = format.fields.filter(
    ({ name, optional }) => optional !== true || value[name] !== undefined || tail.length > 0,
  );
  const bytes = new Uint8Array(fields.reduce((sum, { length }) => sum + length, 0) + tail.length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { name, length } of fields) {
    const number = Number(value[name] ?? 0);
    if (length === 1) view.setUint8(at, number);
    else if (length === 2) view.setUint16(at, number);
    else view.setUint32(at, number);
    at += length;
  }
  bytes.set(tail, at);
  return bytes;
}
