/**
 * What an SCCRQ says of who asks (RFC 2661 §4.4.3), for the firewall: names stay where they are in the frame, numbers
 * are read. Allocates nothing, keeps nothing, throws on no bytes.
 */
import { type TunnelAttributes, UNREADABLE } from '../descriptor.js';
import { AVP_HEADER_LENGTH, avpHidden, avpReserved, avpType, avpVendor, checkAvp } from './avp.js';
import { CONTROL_HEADER_LENGTH, checkHeader, isControl, messageLength } from './header.js';

const AVP_PROTOCOL_VERSION = 2;
const AVP_FRAMING_CAPABILITIES = 3;
const AVP_BEARER_CAPABILITIES = 4;
const AVP_HOST_NAME = 7;
const AVP_VENDOR_NAME = 8;
const AVP_ASSIGNED_TUNNEL_ID = 9;
/** Not of an SCCRQ by RFC 2661 §4.4.6, but any message may carry an AVP that is not mandatory. */
const AVP_CALLING_NUMBER = 22;

/** Bits of framing and bearer that mean something: sync and async, digital and analog. */
const CAPABILITIES = 3;

/**
 * Reads the message at `offset` (first byte of L2TP) into `attributes`, all fields anew. An AVP that is absent is empty
 * text or 0. One that is hidden, that stands twice with another value, or whose length is wrong, is UNREADABLE: nobody
 * but the server knows what it will be taken for. In a message that cannot be read at all everything is.
 */
export function readAttributes(view: DataView, offset: number, end: number, attributes: TunnelAttributes): void {
  attributes.view = view;
  attributes.hostLength = 0;
  attributes.vendorLength = 0;
  attributes.protocolVersion = 0;
  attributes.framing = 0;
  attributes.bearer = 0;
  attributes.callingLength = 0;
  attributes.channel = 0;
  if (checkHeader(view, offset, end) < 0 || !isControl(view, offset)) return unreadable(attributes);
  const messageEnd = offset + messageLength(view, offset, end);
  let seen = 0; // bit per AVP type
  let length = 0;
  for (let at = offset + CONTROL_HEADER_LENGTH; at < messageEnd; at += length) {
    length = checkAvp(view, at, messageEnd);
    if (length < 0) return unreadable(attributes);
    if (avpVendor(view, at) !== 0 || avpReserved(view, at)) continue; // not ours to recognise
    const type = avpType(view, at);
    if (type > AVP_ASSIGNED_TUNNEL_ID && type !== AVP_CALLING_NUMBER) continue;
    const again = (seen & (1 << type)) !== 0;
    seen |= 1 << type;
    const value = at + AVP_HEADER_LENGTH;
    const size = avpHidden(view, at) ? UNREADABLE : length - AVP_HEADER_LENGTH;
    switch (type) {
      case AVP_HOST_NAME:
        if (again && !sameText(view, attributes.hostAt, attributes.hostLength, value, size))
          attributes.hostLength = UNREADABLE;
        else {
          attributes.hostAt = value;
          attributes.hostLength = size;
        }
        break;
      case AVP_VENDOR_NAME:
        if (again && !sameText(view, attributes.vendorAt, attributes.vendorLength, value, size))
          attributes.vendorLength = UNREADABLE;
        else {
          attributes.vendorAt = value;
          attributes.vendorLength = size;
        }
        break;
      case AVP_CALLING_NUMBER:
        if (again && !sameText(view, attributes.callingAt, attributes.callingLength, value, size))
          attributes.callingLength = UNREADABLE;
        else {
          attributes.callingAt = value;
          attributes.callingLength = size;
        }
        break;
      case AVP_PROTOCOL_VERSION: {
        const read = size === 2 ? view.getUint16(value) : UNREADABLE;
        attributes.protocolVersion = again && attributes.protocolVersion !== read ? UNREADABLE : read;
        break;
      }
      case AVP_FRAMING_CAPABILITIES: {
        const read = size === 4 ? view.getUint32(value) & CAPABILITIES : UNREADABLE;
        attributes.framing = again && attributes.framing !== read ? UNREADABLE : read;
        break;
      }
      case AVP_BEARER_CAPABILITIES: {
        const read = size === 4 ? view.getUint32(value) & CAPABILITIES : UNREADABLE;
        attributes.bearer = again && attributes.bearer !== read ? UNREADABLE : read;
        break;
      }
      case AVP_ASSIGNED_TUNNEL_ID: {
        const read = size === 2 ? view.getUint16(value) : UNREADABLE;
        attributes.channel = again && attributes.channel !== read ? UNREADABLE : read;
        break;
      }
    }
  }
}

function unreadable(attributes: TunnelAttributes): void {
  attributes.hostLength = UNREADABLE;
  attributes.vendorLength = UNREADABLE;
  attributes.protocolVersion = UNREADABLE;
  attributes.framing = UNREADABLE;
  attributes.bearer = UNREADABLE;
  attributes.callingLength = UNREADABLE;
  attributes.channel = UNREADABLE;
}

function sameText(view: DataView, a: number, aLength: number, b: number, bLength: number): boolean {
  if (aLength === UNREADABLE || aLength !== bLength) return false;
  for (let i = 0; i < aLength; i++) if (view.getUint8(a + i) !== view.getUint8(b + i)) return false;
  return true;
}
