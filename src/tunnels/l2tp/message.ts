/**
 * Whole L2TPv2 messages for the cold side: a control message as an object, one line of text for a log, and bytes from
 * an object (tests, engines). Nothing here runs per packet; the hot side reads with header.ts and observer.ts.
 */
import type { Avp, AvpInput, AvpValue } from './avp.js';
import { AVP_HEADER_LENGTH, AVP_LENGTH_MAX, checkAvp, decodeAvp, isMessageType, writeAvp } from './avp.js';
import { AVP_MESSAGE_TYPE, avpDefinition } from './avp-table.js';
import {
  CONTROL_HEADER_LENGTH,
  checkHeader,
  hasSequence,
  isControl,
  MESSAGE_MAX,
  messageLength,
  sequenceNr,
  sequenceNs,
  sessionId,
  tunnelId,
  writeControlHeader,
} from './header.js';
import { CONTROL_FLAGS, malformedName, NO_MESSAGE_TYPE } from './malformed.js';
import { messageDefinition, messageName, VENDOR_NAME, ZLB_NAME } from './message-table.js';

export interface L2tpMessage {
  /** Message type; −1 for a ZLB. */
  readonly type: number;
  /** Vendor id of the Message Type AVP: 0 but for vendors' own messages. */
  readonly vendor: number;
  /** 'SCCRQ', 'ZLB' …; 'unknown' and 'vendor' for what the table does not name. */
  readonly name: string;
  readonly tunnel: number;
  readonly session: number;
  readonly ns: number;
  readonly nr: number;
  /** In their order, the Message Type first. */
  readonly avps: readonly Avp[];
}

/** A control message to write. */
export interface L2tpMessageInput {
  /** Absent: a ZLB. */
  readonly type?: number;
  readonly tunnel?: number;
  readonly session?: number;
  readonly ns?: number;
  readonly nr?: number;
  /** Besides the Message Type, which is written first. */
  readonly avps?: readonly AvpInput[];
  /** M bit of the Message Type AVP: false lets a peer that does not know the message ignore it. Default true. */
  readonly mandatory?: boolean;
  /** Vendor id of the Message Type AVP. Default 0. */
  readonly vendor?: number;
}

/** Reads a control message whose first byte is at `offset`; a negative code of malformed.ts when it cannot be read. */
export function readMessage(view: DataView, offset: number, end: number): L2tpMessage | number {
  const checked = checkHeader(view, offset, end);
  if (checked < 0) return checked;
  if (!isControl(view, offset)) return CONTROL_FLAGS;
  const avps: Avp[] = [];
  const messageEnd = offset + messageLength(view, offset, end);
  for (let at = offset + checked; at < messageEnd; ) {
    const length = checkAvp(view, at, messageEnd);
    if (length < 0) return length;
    if (at === offset + checked && !isMessageType(view, at, length)) return NO_MESSAGE_TYPE;
    avps.push(decodeAvp(view, at));
    at += length;
  }
  const empty = avps.length === 0;
  const type = empty ? -1 : view.getUint16(offset + checked + AVP_HEADER_LENGTH);
  const vendor = empty ? 0 : avps[0].vendor;
  return {
    type,
    vendor,
    name: empty ? ZLB_NAME : vendor === 0 ? messageName(type) : VENDOR_NAME,
    tunnel: tunnelId(view, offset),
    session: sessionId(view, offset),
    ns: sequenceNs(view, offset),
    nr: sequenceNr(view, offset),
    avps,
  };
}

/** Types of the AVPs of vendor 0 that the message must carry and does not (RFC 2661 §6). */
export function missingAvps(message: L2tpMessage): number[] {
  const required = message.vendor === 0 ? (messageDefinition(message.type)?.required ?? []) : [];
  return required.filter((type) => !message.avps.some((avp) => avp.vendor === 0 && avp.type === type && !avp.reserved));
}

/** Where messages are put together: one that is full, with an AVP of the greatest length behind it. */
const scratch = new Uint8Array(MESSAGE_MAX + AVP_LENGTH_MAX + 1);
const scratchView = new DataView(scratch.buffer);

/** Bytes of a control message, exactly as long as they need be. Throws as `encodeAvp`, RangeError beyond 65,535 bytes. */
export function buildMessage(input: L2tpMessageInput): Uint8Array<ArrayBuffer> {
  const { type, vendor = 0, mandatory = true, tunnel = 0, session = 0, ns = 0, nr = 0 } = input;
  let length = CONTROL_HEADER_LENGTH;
  if (type !== undefined) {
    length += writeAvp(scratchView, length, { type: AVP_MESSAGE_TYPE, vendor, mandatory, value: u16(type) });
    for (const avp of input.avps ?? NO_AVPS) {
      length += writeAvp(scratchView, length, avp);
      if (length > MESSAGE_MAX) throw new RangeError(`L2TP message of ${length} bytes, at most ${MESSAGE_MAX}`);
    }
  }
  writeControlHeader(scratchView, 0, length, tunnel, session, ns, nr);
  return scratch.slice(0, length);
}

const NO_AVPS: readonly AvpInput[] = [];
/** A Message Type of any vendor has the format of the RFC's. */
const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);

/** One line: name, ids, sequence numbers, AVPs. Text of a peer is quoted and escaped; secrets are not shown. */
export function formatMessage(message: L2tpMessage): string {
  const { type, vendor, name, tunnel, session, ns, nr, avps } = message;
  const title =
    name === VENDOR_NAME ? `vendor ${vendor} message ${type}` : name === 'unknown' ? `message ${type}` : name;
  const body = avps.slice(1).map((avp) => `, ${formatAvp(avp)}`);
  return `${title} tunnel ${tunnel} session ${session} Ns ${ns} Nr ${nr}${body.join('')}`;
}

/** One line for any UDP payload that came to an L2TP port: control, data or malformed. Never throws. */
export function formatPacket(view: DataView, offset: number, end: number): string {
  const checked = checkHeader(view, offset, end);
  if (checked < 0) return `malformed: ${malformedName(checked)}`;
  if (isControl(view, offset)) {
    const message = readMessage(view, offset, end);
    return typeof message === 'number' ? `malformed: ${malformedName(message)}` : formatMessage(message);
  }
  const sequence = hasSequence(view, offset) ? ` Ns ${sequenceNs(view, offset)}` : '';
  const length = messageLength(view, offset, end) - checked;
  return `data tunnel ${tunnelId(view, offset)} session ${sessionId(view, offset)}${sequence}, ${length} bytes`;
}

function formatAvp(avp: Avp): string {
  const title = avp.name ?? `AVP ${avp.vendor === 0 ? '' : `${avp.vendor}/`}${avp.type}`;
  if (avp.hidden) return `${title} (hidden)`;
  if (avp.name !== null && avpDefinition(avp.type)?.secret === true) return `${title} (secret)`;
  return avp.value === null ? title : `${title} ${formatValue(avp.value)}`;
}

function formatValue(value: Exclude<AvpValue, null>): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return quote(value);
  if (value instanceof Uint8Array)
    return `0x${Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  return Object.entries(value)
    .map(([name, field]) => `${name} ${typeof field === 'string' ? quote(field) : field}`)
    .join(' ');
}

/** JSON escapes C0, but not DEL, C1 and the marks that turn the direction of writing, which a terminal obeys as well. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
