/**
 * PPP over Ethernet, RFC 2516: what follows the Ethernet header of types 0x8863 (discovery) and 0x8864 (session).
 *
 *   | version 1 (4 bit), type 1 (4 bit) | code (1) | session id (2) | length (2) | payload |
 *   tag of a discovery payload:  | type (2) | length (2) | value |
 *
 * The length counts the payload alone; Ethernet padding behind it is no part of the packet.
 */
import { MAC_LENGTH } from './address.js';
import { ETHERNET_LENGTH } from './ethernet.js';

export const TYPE_PPPOE_DISCOVERY = 0x8863;
export const TYPE_PPPOE_SESSION = 0x8864;
export const PPPOE_HEADER_LENGTH = 6;

export const PPPOE_SESSION = 0x00;
export const PADO = 0x07;
export const PADI = 0x09;
export const PADR = 0x19;
export const PADS = 0x65;
export const PADT = 0xa7;

export const TAG_END_OF_LIST = 0x0000;
export const TAG_SERVICE_NAME = 0x0101;
export const TAG_AC_NAME = 0x0102;
export const TAG_HOST_UNIQ = 0x0103;
export const TAG_AC_COOKIE = 0x0104;
export const TAG_VENDOR_SPECIFIC = 0x0105;
export const TAG_RELAY_SESSION_ID = 0x0110;
/** RFC 4638: the client can take PPP packets of more than 1492 bytes. */
export const TAG_PPP_MAX_PAYLOAD = 0x0120;
export const TAG_SERVICE_NAME_ERROR = 0x0201;
export const TAG_AC_SYSTEM_ERROR = 0x0202;
export const TAG_GENERIC_ERROR = 0x0203;

const VERSION_AND_TYPE = 0x11;
const TAG_HEADER_LENGTH = 4;
/** Ethernet's smallest frame without its check sum; shorter ones are padded with zeros. */
const FRAME_MIN = 60;

export interface PppoePacket {
  /** Six bytes each. */
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly etherType: number;
  readonly code: number;
  readonly session: number;
  /** Tags of a discovery packet, a PPP frame from its protocol field on in a session packet; a view of the frame. */
  readonly payload: Uint8Array;
}

export interface PppoeTag {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Why a frame is no PPPoE packet. */
export type PppoeFault = 'short' | 'not-pppoe' | 'version' | 'length';

/** A whole Ethernet frame without VLAN tag. */
export function readPppoe(frame: Uint8Array): PppoePacket | PppoeFault {
  if (frame.length < ETHERNET_LENGTH + PPPOE_HEADER_LENGTH) return 'short';
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const etherType = view.getUint16(12);
  if (etherType !== TYPE_PPPOE_DISCOVERY && etherType !== TYPE_PPPOE_SESSION) return 'not-pppoe';
  if (view.getUint8(ETHERNET_LENGTH) !== VERSION_AND_TYPE) return 'version';
  const length = view.getUint16(ETHERNET_LENGTH + 4);
  const start = ETHERNET_LENGTH + PPPOE_HEADER_LENGTH;
  if (start + length > frame.length) return 'length';
  return {
    destination: frame.subarray(0, MAC_LENGTH),
    source: frame.subarray(MAC_LENGTH, 2 * MAC_LENGTH),
    etherType,
    code: view.getUint8(ETHERNET_LENGTH + 1),
    session: view.getUint16(ETHERNET_LENGTH + 2),
    payload: frame.subarray(start, start + length),
  };
}

/** The tags up to End-Of-List, or null when one of them does not fit its list. Values are views. */
export function readTags(payload: Uint8Array): PppoeTag[] | null {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const tags: PppoeTag[] = [];
  let at = 0;
  while (at < payload.length) {
    if (payload.length - at < TAG_HEADER_LENGTH) return null;
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    if (type === TAG_END_OF_LIST) return tags;
    at += TAG_HEADER_LENGTH;
    if (length > payload.length - at) return null;
    tags.push({ type, value: payload.subarray(at, at + length) });
    at += length;
  }
  return tags;
}

export interface DiscoveryInput {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly code: number;
  readonly session: number;
  readonly tags: readonly PppoeTag[];
}

/** A discovery frame, padded to Ethernet's least. Errors: RangeError when the tags have more than 65535 bytes. */
export function buildDiscovery({ destination, source, code, session, tags }: DiscoveryInput): Uint8Array {
  const length = tags.reduce((sum, { value }) => sum + TAG_HEADER_LENGTH + value.length, 0);
  if (length > 0xffff) throw new RangeError(`tags of ${length} bytes do not fit a PPPoE packet`);
  const { frame, view, start } = begin(destination, source, TYPE_PPPOE_DISCOVERY, code, session, length);
  let at = start;
  for (const { type, value } of tags) {
    view.setUint16(at, type);
    view.setUint16(at + 2, value.length);
    frame.set(value, at + TAG_HEADER_LENGTH);
    at += TAG_HEADER_LENGTH + value.length;
  }
  return frame;
}

/** A session frame around a PPP packet from its protocol field on; address and control field stay away (RFC 2516 §7). */
export function buildSession(
  destination: Uint8Array,
  source: Uint8Array,
  session: number,
  ppp: Uint8Array,
): Uint8Array {
  const { frame, start } = begin(destination, source, TYPE_PPPOE_SESSION, PPPOE_SESSION, session, ppp.length);
  frame.set(ppp, start);
  return frame;
}

function begin(
  destination: Uint8Array,
  source: Uint8Array,
  etherType: number,
  code: number,
  session: number,
  length: number,
): { frame: Uint8Array; view: DataView; start: number } {
  const start = ETHERNET_LENGTH + PPPOE_HEADER_LENGTH;
  const frame = new Uint8Array(Math.max(FRAME_MIN, start + length));
  const view = new DataView(frame.buffer);
  frame.set(destination, 0);
  frame.set(source, MAC_LENGTH);
  view.setUint16(12, etherType);
  view.setUint8(ETHERNET_LENGTH, VERSION_AND_TYPE);
  view.setUint8(ETHERNET_LENGTH + 1, code);
  view.setUint16(ETHERNET_LENGTH + 2, session);
  view.setUint16(ETHERNET_LENGTH + 4, length);
  return { frame, view, start };
}

/** Broadband Forum's vendor id (TR-101 §3.9.2): the line that an access node tells. */
const BROADBAND_FORUM = 0x0de9;
const LINE_CIRCUIT_ID = 1;
const LINE_REMOTE_ID = 2;

export interface LineIdentity {
  readonly circuitId: string | null;
  readonly remoteId: string | null;
}

/** Agent Circuit ID and Agent Remote ID of TR-101's vendor tag, as Latin-1 text; null where they are not told. */
export function readLine(tags: readonly PppoeTag[]): LineIdentity {
  let circuitId: string | null = null;
  let remoteId: string | null = null;
  for (const { type, value } of tags) {
    if (type !== TAG_VENDOR_SPECIFIC || value.length < 4) continue;
    if (new DataView(value.buffer, value.byteOffset, 4).getUint32(0) !== BROADBAND_FORUM) continue;
    for (let at = 4; at + 2 <= value.length; at += 2 + value[at + 1]) {
      const text = value.subarray(at + 2, at + 2 + value[at + 1]);
      if (text.length < value[at + 1]) break;
      if (value[at] === LINE_CIRCUIT_ID) circuitId = latin1(text);
      if (value[at] === LINE_REMOTE_ID) remoteId = latin1(text);
    }
  }
  return { circuitId, remoteId };
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
