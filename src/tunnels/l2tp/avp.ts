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

/** Up to here a loop is quicker than a TextDecoder. */
const SHORT_TEXT = 64;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Reads an AVP that `checkAvp` accepted. The bytes are copied. */
export function decodeAvp(view: DataView, offset: number): Avp {
  const length = (view.getUint16(offset) & AVP_LENGTH_MAX) - AVP_HEADER_LENGTH;
  const vendor = avpVendor(view, offset);
  const type = avpType(view, offset);
  const hidden = avpHidden(view, offset);
  const reserved = avpReserved(view, offset);
  const definition = vendor === 0 && !reserved ? avpDefinition(type) : undefined;
  const at = offset + AVP_HEADER_LENGTH;
  const format = definition === undefined || hidden ? 'octets' : definition.format;
  return {
    vendor,
    type,
    name: definition?.name ?? null,
    mandatory: avpMandatory(view, offset),
    hidden,
    reserved,
    value: readValue(format, view, at, length),
  };
}

/** Without a copy where the value is a number or plain ASCII, as nearly all are. */
function readValue(format: AvpFormat, view: DataView, at: number, length: number): AvpValue {
  if (format === 'u16' && length === 2) return view.getUint16(at);
  if (format === 'u32' && length === 4) return view.getUint32(at);
  if (format === 'text' && length <= SHORT_TEXT) {
    const text = readAscii(view, at, length);
    if (text !== null) return text;
  }
  // Copied into memory of its own: the view may lie over shared memory, which a TextDecoder refuses.
  const bytes = new Uint8Array(length);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, length));
  return format === 'octets' ? bytes : decodeValue(format, bytes);
}

/** Null: there is something else in it. */
function readAscii(view: DataView, at: number, length: number): string | null {
  let text = '';
  for (let i = at; i < at + length; i++) {
    const code = view.getUint8(i);
    if (code >= 0x80) return null;
    text += String.fromCharCode(code);
  }
  return text;
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
  const bytes = new Uint8Array(AVP_LENGTH_MAX);
  return bytes.slice(0, writeAvp(new DataView(bytes.buffer), 0, input));
}

/** Writes an AVP at `offset` of a view that has room for 1,023 bytes there; returns its length. Throws as `encodeAvp`. */
export function writeAvp(view: DataView, offset: number, input: AvpInput): number {
  const vendor = input.vendor ?? 0;
  const definition = vendor === 0 ? avpDefinition(input.type) : undefined;
  const hidden = input.hidden ?? false;
  const format = definition === undefined || hidden ? 'octets' : definition.format;
  const length = AVP_HEADER_LENGTH + writeValue(view, offset + AVP_HEADER_LENGTH, format, input);
  const mandatory = input.mandatory ?? (vendor === 0 && definition?.mandatory !== false);
  view.setUint16(offset, (mandatory ? M_BIT : 0) | (hidden ? H_BIT : 0) | length);
  view.setUint16(offset + 2, vendor);
  view.setUint16(offset + 4, input.type);
  return length;
}

function writeValue(view: DataView, at: number, format: AvpFormat, { value = null, type }: AvpInput): number {
  if (typeof value === 'number') {
    if (format === 'u16') view.setUint16(at, value);
    else if (format === 'u32') view.setUint32(at, value);
    else throw new TypeError(`AVP ${type}: a number does not fit its format`);
    return format === 'u16' ? 2 : 4;
  }
  if (typeof value === 'string' && format === 'text' && value.length <= SHORT_TEXT) {
    if (writeAscii(view, at, value)) return value.length;
  }
  const bytes = encodeValue(format, value, type);
  const length = AVP_HEADER_LENGTH + bytes.length;
  if (length > AVP_LENGTH_MAX) throw new RangeError(`AVP ${type}: ${length} bytes, at most ${AVP_LENGTH_MAX}`);
  new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
  return bytes.length;
}

/** False: there is something else in it. */
function writeAscii(view: DataView, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return false;
    view.setUint8(at + i, code);
  }
  return true;
}

function encodeValue(format: AvpFormat, value: AvpValue, type: number): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (value === null) {
    if (format === 'empty' || format === 'octets') return new Uint8Array(0);
  } else if (typeof value === 'string') {
    if (format === 'text' || format === 'octets') return encoder.encode(value);
  } else if (typeof value === 'number') {
    const bytes = new Uint8Array(4);
    return bytes.slice(0, writeValue(new DataView(bytes.buffer), 0, format, { type, value }));
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
