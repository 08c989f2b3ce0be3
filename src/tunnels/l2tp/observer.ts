/**
 * The passive observer: what a control message that passes by tells about tunnels and sessions, RFC 2661 §5 and §6. It
 * keeps no state; the data plane owns the tunnel's record and moves it by these events. Allocates nothing.
 *
 * Ids are always the receiver's in the header and the sender's in an AVP (RFC 2661 §3.1, §4.4.3, §4.4.4).
 */
import type { ControlEvent } from '../descriptor.js';
import {
  EVENT_CLOSE,
  EVENT_CONNECTED,
  EVENT_NONE,
  EVENT_REPLY,
  EVENT_REQUEST,
  EVENT_SESSION_CLOSE,
  EVENT_SESSION_CONNECTED,
  EVENT_SESSION_REPLY,
  EVENT_SESSION_REQUEST,
} from '../descriptor.js';
import {
  AVP_HEADER_LENGTH,
  avpHidden,
  avpMandatory,
  avpReserved,
  avpType,
  avpVendor,
  checkAvp,
  isMessageType,
} from './avp.js';
import {
  AVP_ASSIGNED_SESSION_ID,
  AVP_ASSIGNED_TUNNEL_ID,
  AVP_RESULT_CODE,
  AVP_TIE_BREAKER,
  AVP_TUNNEL_RECOVERY,
} from './avp-table.js';
import { CONTROL_HEADER_LENGTH, checkHeader, isControl, messageLength } from './header.js';
import { AVP_LENGTH, AVP_REPEATED, CONTROL_FLAGS, NO_MESSAGE_TYPE, NO_TUNNEL_ID } from './malformed.js';
import {
  CDN,
  ICCN,
  ICRP,
  ICRQ,
  messageName,
  OCCN,
  OCRP,
  OCRQ,
  SCCCN,
  SCCRP,
  SCCRQ,
  STOPCCN,
  VENDOR_NAME,
  ZLB_NAME,
} from './message-table.js';

const U16_AVP_LENGTH = AVP_HEADER_LENGTH + 2;
/** 16 reserved bits and two 32-bit ids (RFC 4951 §5.2). */
const TUNNEL_RECOVERY_LENGTH = AVP_HEADER_LENGTH + 10;
const U16_MAX = 0xffff;

/** Message type → event of a message in its right place. */
const EVENT_OF = new Uint8Array(256);
EVENT_OF[SCCRQ] = EVENT_REQUEST;
EVENT_OF[SCCRP] = EVENT_REPLY;
EVENT_OF[SCCCN] = EVENT_CONNECTED;
EVENT_OF[STOPCCN] = EVENT_CLOSE;
EVENT_OF[OCRQ] = EVENT_SESSION_REQUEST;
EVENT_OF[ICRQ] = EVENT_SESSION_REQUEST;
EVENT_OF[OCRP] = EVENT_SESSION_REPLY;
EVENT_OF[ICRP] = EVENT_SESSION_REPLY;
EVENT_OF[OCCN] = EVENT_SESSION_CONNECTED;
EVENT_OF[ICCN] = EVENT_SESSION_CONNECTED;
EVENT_OF[CDN] = EVENT_SESSION_CLOSE;

/**
 * Reads the control message at `offset` (first byte of L2TP) into `event`, all fields anew. Returns `event.kind`, or a
 * negative code of malformed.ts; the event's kind is EVENT_NONE then.
 */
export function observe(view: DataView, offset: number, end: number, event: ControlEvent): number {
  event.kind = EVENT_NONE;
  event.message = '';
  event.channel = 0;
  event.assigned = 0;
  event.assignedHidden = false;
  event.session = 0;
  event.assignedSession = 0;
  event.ns = -1;
  event.nr = -1;
  event.hasBody = false;
  event.result = -1;
  event.optional = false;
  event.recoverOwn = 0;
  event.recoverPeer = 0;
  event.tie = false;

  const checked = checkHeader(view, offset, end);
  if (checked < 0) return checked;
  if (!isControl(view, offset)) return CONTROL_FLAGS;
  event.channel = view.getUint16(offset + 4);
  event.session = view.getUint16(offset + 6);
  event.ns = view.getUint16(offset + 8);
  event.nr = view.getUint16(offset + 10);
  const messageEnd = offset + messageLength(view, offset, end);
  let at = offset + CONTROL_HEADER_LENGTH;
  if (at === messageEnd) {
    event.message = ZLB_NAME;
    return EVENT_NONE;
  }

  event.hasBody = true;
  let length = checkAvp(view, at, messageEnd);
  if (length < 0) return length;
  if (!isMessageType(view, at, length)) return NO_MESSAGE_TYPE;
  const vendor = avpVendor(view, at);
  const type = view.getUint16(at + AVP_HEADER_LENGTH);
  event.optional = !avpMandatory(view, at);
  event.message = vendor === 0 ? messageName(type) : VENDOR_NAME;

  // The whole message is walked whatever its type: a server behind us must never be the first to meet a lying length.
  let tunnelSeen = false;
  let sessionSeen = false;
  let sessionHidden = false;
  let recoverySeen = false;
  let own = 0;
  let peer = 0;
  for (at += length; at < messageEnd; at += length) {
    length = checkAvp(view, at, messageEnd);
    if (length < 0) return length;
    if (avpVendor(view, at) !== 0 || avpReserved(view, at)) continue; // not ours to recognise
    switch (avpType(view, at)) {
      case AVP_ASSIGNED_TUNNEL_ID:
        if (tunnelSeen) return AVP_REPEATED;
        tunnelSeen = true;
        if (avpHidden(view, at)) event.assignedHidden = true;
        else if (length !== U16_AVP_LENGTH) return AVP_LENGTH;
        else event.assigned = view.getUint16(at + AVP_HEADER_LENGTH);
        break;
      case AVP_ASSIGNED_SESSION_ID:
        if (sessionSeen) return AVP_REPEATED;
        sessionSeen = true;
        if (avpHidden(view, at)) sessionHidden = true;
        else if (length !== U16_AVP_LENGTH) return AVP_LENGTH;
        else event.assignedSession = view.getUint16(at + AVP_HEADER_LENGTH);
        break;
      case AVP_RESULT_CODE:
        // Must not be hidden; if it is, it is the receiver's to refuse.
        if (avpHidden(view, at)) break;
        if (length < U16_AVP_LENGTH) return AVP_LENGTH;
        event.result = view.getUint16(at + AVP_HEADER_LENGTH);
        break;
      case AVP_TUNNEL_RECOVERY:
        // The ids are those of RFC 3931, 32 bits wide; a tunnel of version 2 has 16-bit ones.
        if (length !== TUNNEL_RECOVERY_LENGTH) return AVP_LENGTH;
        if (recoverySeen) return AVP_REPEATED;
        recoverySeen = true;
        own = view.getUint32(at + AVP_HEADER_LENGTH + 2);
        peer = view.getUint32(at + AVP_HEADER_LENGTH + 6);
        break;
      case AVP_TIE_BREAKER:
        event.tie = true;
        break;
    }
  }

  let kind = vendor === 0 && type < EVENT_OF.length ? EVENT_OF[type] : EVENT_NONE;
  if (kind === EVENT_REQUEST || kind === EVENT_REPLY) {
    if (event.assigned === 0 && !event.assignedHidden) return NO_TUNNEL_ID;
    // Only an SCCRQ has no receiver's id yet, and an SCCRQ inside a standing tunnel asks for nothing new.
    if ((kind === EVENT_REQUEST) !== (event.channel === 0)) kind = EVENT_NONE;
  } else if (kind !== EVENT_CLOSE && event.channel === 0) {
    kind = EVENT_NONE; // sessions stand in a tunnel; without its id there is nothing to learn
  } else if (kind >= EVENT_SESSION_REQUEST) {
    event.assignedHidden = sessionHidden;
    if (kind === EVENT_SESSION_REQUEST && event.assignedSession === 0 && !sessionHidden) kind = EVENT_NONE;
  }
  if (kind === EVENT_REQUEST && own <= U16_MAX && peer <= U16_MAX) {
    event.recoverOwn = own;
    event.recoverPeer = peer;
  } else if (kind !== EVENT_REQUEST) event.tie = false;
  event.kind = kind;
  return kind;
}

/**
 * Bytes from `offset` (first byte of L2TP) to the 16-bit value of a readable Assigned Tunnel ID AVP, or −1: absent,
 * hidden, of a wrong length, or in a message that cannot be read.
 */
export function assignedTunnelIdOffset(view: DataView, offset: number, end: number): number {
  const at = avpOffset(view, offset, end, AVP_ASSIGNED_TUNNEL_ID, U16_AVP_LENGTH);
  return at < 0 || avpHidden(view, at) ? -1 : at + AVP_HEADER_LENGTH - offset;
}

/**
 * Bytes from `offset` to the low 16 bits of an id in a Tunnel Recovery AVP (RFC 4951 §5.2): the receiver's with `peer`,
 * else the sender's. −1 where there is none.
 */
export function recoveryIdOffset(view: DataView, offset: number, end: number, peer: boolean): number {
  const at = avpOffset(view, offset, end, AVP_TUNNEL_RECOVERY, TUNNEL_RECOVERY_LENGTH);
  return at < 0 ? -1 : at + AVP_HEADER_LENGTH + (peer ? 8 : 4) - offset;
}

/** Byte offset in `view` of the first AVP of vendor 0 with this type, −1 when it is absent or not of this length. */
function avpOffset(view: DataView, offset: number, end: number, type: number, wanted: number): number {
  if (checkHeader(view, offset, end) < 0 || !isControl(view, offset)) return -1;
  const messageEnd = offset + messageLength(view, offset, end);
  let length = 0;
  for (let at = offset + CONTROL_HEADER_LENGTH; at < messageEnd; at += length) {
    length = checkAvp(view, at, messageEnd);
    if (length < 0) return -1;
    if (avpType(view, at) !== type || avpVendor(view, at) !== 0 || avpReserved(view, at)) continue;
    return length === wanted ? at : -1;
  }
  return -1;
}
