/**
 * Control messages from bytes, for an engine: hidden AVPs in the clear, AVPs that mean nothing here left out, and the one
 * fault for which RFC 2661 §4.1, §4.4.1 and §7.1 want the tunnel or the call to be ended.
 */
import type { Avp, AvpFields, AvpValue } from '../../tunnels/l2tp/avp.js';
import { decodeAvpValue } from '../../tunnels/l2tp/avp.js';
import { AVP_RANDOM_VECTOR, avpDefinition } from '../../tunnels/l2tp/avp-table.js';
import { unhideValue } from '../../tunnels/l2tp/hidden.js';
import { type L2tpMessage, missingAvps, readMessage } from '../../tunnels/l2tp/message.js';
import { messageDefinition } from '../../tunnels/l2tp/message-table.js';
import { ERROR_CODE } from './codes.js';

const LENGTH_FIELD = 2;

/** Why a message cannot be acted upon, in the words of a StopCCN or CDN. */
export interface Fault {
  readonly error: number;
  readonly text: string;
}

export interface ReadMessage {
  /** Only with AVPs that were understood: those of vendor 0 in the clear and well-formed, those of known vendors. */
  readonly message: L2tpMessage;
  readonly fault: Fault | null;
}

/** A negative code of malformed.ts where the bytes are no control message or its AVPs cannot be told apart. */
export function readControl(
  bytes: Uint8Array,
  secret: Uint8Array | null,
  vendors: ReadonlySet<number>,
): ReadMessage | number {
  const read = readMessage(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  if (typeof read === 'number') return read;
  if (read.type < 0) return { message: read, fault: null };
  const known: Avp[] = [read.avps[0]];
  let fault: Fault | null = null;
  let vector: Uint8Array | null = null;
  for (let n = 1; n < read.avps.length; n++) {
    const avp = read.avps[n];
    if (avp.vendor === 0 && avp.type === AVP_RANDOM_VECTOR && avp.value instanceof Uint8Array) vector = avp.value;
    const clear = avp.hidden ? unhide(avp, secret, vector) : avp;
    const error = clear === null ? ERROR_CODE.unknownMandatory : faultOf(clear, vendors);
    if (clear !== null && error === ERROR_CODE.none) known.push(clear);
    // What need not be understood is left alone; what stands there is as good as absent (RFC 2661 §4.1).
    else if (avp.mandatory && fault === null) fault = { error, text: `AVP ${avp.name ?? avp.type}` };
  }
  const message = { ...read, avps: known };
  if (fault === null && read.vendor === 0) {
    if (messageDefinition(read.type) === undefined && read.avps[0].mandatory)
      fault = { error: ERROR_CODE.unknownMandatory, text: `message type ${read.type}` };
    const missing = missingAvps(message);
    if (missing.length > 0) fault = { error: ERROR_CODE.vendor, text: `no ${avpDefinition(missing[0])?.name} AVP` };
  } else if (fault === null && read.avps[0].mandatory && !vendors.has(read.vendor)) {
    fault = { error: ERROR_CODE.unknownMandatory, text: `message type ${read.vendor}/${read.type}` };
  }
  return { message, fault };
}

/** Null: without the secret, or without a Random Vector before it, or hidden with another secret. */
function unhide(avp: Avp, secret: Uint8Array | null, vector: Uint8Array | null): Avp | null {
  if (secret === null || vector === null || !(avp.value instanceof Uint8Array)) return null;
  const plain = unhideValue(avp.type, secret, vector, avp.value);
  if (plain.length < LENGTH_FIELD) return null;
  const length = (plain[0] << 8) | plain[1];
  if (length > plain.length - LENGTH_FIELD) return null;
  const bytes = plain.slice(LENGTH_FIELD, LENGTH_FIELD + length);
  const value = avp.vendor === 0 && !avp.reserved ? decodeAvpValue(avp.type, bytes) : bytes;
  return { ...avp, hidden: false, value };
}

function faultOf(avp: Avp, vendors: ReadonlySet<number>): number {
  if (avp.reserved) return ERROR_CODE.unknownMandatory;
  if (avp.vendor !== 0) return vendors.has(avp.vendor) ? ERROR_CODE.none : ERROR_CODE.unknownMandatory;
  const format = avpDefinition(avp.type)?.format;
  if (format === undefined) return ERROR_CODE.unknownMandatory;
  if (!(avp.value instanceof Uint8Array) || format === 'octets') return ERROR_CODE.none;
  // Bytes where a number or fields belong: of another length than theirs.
  if (typeof format !== 'object' || !('octets' in format)) return ERROR_CODE.length;
  return avp.value.length === format.octets ? ERROR_CODE.none : ERROR_CODE.length;
}

/** The value of the first AVP of vendor 0 with this type. */
export function avpValue(message: L2tpMessage, wanted: number): AvpValue | undefined {
  for (const avp of message.avps) if (avp.type === wanted && avp.vendor === 0) return avp.value;
  return undefined;
}

/** 0 where it is absent. */
export function numberOf(message: L2tpMessage, wanted: number): number {
  const value = avpValue(message, wanted);
  return typeof value === 'number' ? value : 0;
}

export function textOf(message: L2tpMessage, wanted: number): string {
  const value = avpValue(message, wanted);
  return typeof value === 'string' ? value : '';
}

export function bytesOf(message: L2tpMessage, wanted: number): Uint8Array | null {
  const value = avpValue(message, wanted);
  return value instanceof Uint8Array ? value : null;
}

const NO_FIELDS: AvpFields = {};

export function fieldsOf(message: L2tpMessage, wanted: number): AvpFields {
  const value = avpValue(message, wanted);
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array) ? value : NO_FIELDS;
}
