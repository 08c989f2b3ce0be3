/**
 * L2TPv2 over UDP as the pipeline sees it: the channel is the tunnel id, the spreading word the session id.
 *
 * It is the last word on UDP 1701: versions that it does not know are malformed with `l2tp-version`, so descriptors of
 * L2F and L2TPv3 have to be asked before it, and answer CLASS_NOT_MINE to version 2.
 */
import type { TunnelDescriptor } from '../descriptor.js';
import { CLASS_CONTROL, CLASS_CONTROL_UNBOUND, CLASS_DATA } from '../descriptor.js';
import { AVP_ASSIGNED_TUNNEL_ID, AVP_RESULT_CODE } from './avp-table.js';
import { readAttributes } from './attributes.js';
import { type AvpFields, avpVendor, checkAvp, isMessageType } from './avp.js';
import {
  CONTROL_HEADER_LENGTH,
  checkHeader,
  DATA_HEADER_MIN,
  isControl,
  L_BIT,
  L2TP_VERSION,
  messageLength,
  O_BIT,
  RESERVED_MASK,
  S_BIT,
  sessionId,
  T_BIT,
  tunnelId,
  tunnelIdOffset,
  VERSION_MASK,
} from './header.js';
import { rehideTunnelId, unhideIds } from './hidden.js';
import { MALFORMED_REASONS, TRUNCATED, TUNNEL_ZERO } from './malformed.js';
import { STOPCCN } from './message-table.js';
import { buildMessage, formatPacket } from './message.js';
import { assignedTunnelIdOffset, observe, recoveryIdOffset } from './observer.js';

const UDP_HEADER_LENGTH = 8;
const UDP_LENGTH = 4;
const IPPROTO_UDP = 17;
export const L2TP_PORT = 1701;

/**
 * End of the UDP payload, or −1 when UDP's own length cannot be. The IP payload may be longer than UDP says (padding),
 * and what stands behind is no part of the message.
 */
function payloadEnd(view: DataView, offset: number, end: number): number {
  if (end - offset < UDP_HEADER_LENGTH) return -1;
  const length = view.getUint16(offset + UDP_LENGTH);
  return length < UDP_HEADER_LENGTH || length > end - offset ? -1 : offset + length;
}

/** First word of a data message: T, S and O clear, version 2; and L. */
const PLAIN_MASK = ((T_BIT | S_BIT | O_BIT) << 24) | (VERSION_MASK << 16);
const PLAIN_BITS = L2TP_VERSION << 16;
const LENGTH_BIT = L_BIT << 24;
const DATA_WITH_LENGTH = DATA_HEADER_MIN + 2;

/** `classify` for any message, from its first byte. */
function classifyAny(view: DataView, payload: number, last: number, channel: Int32Array): number {
  const checked = checkHeader(view, payload, last);
  if (checked < 0) return checked;
  const tunnel = tunnelId(view, payload);
  channel[0] = tunnel;
  channel[1] = sessionId(view, payload);
  if (!isControl(view, payload)) return tunnel === 0 ? TUNNEL_ZERO : CLASS_DATA;
  return tunnel === 0 ? CLASS_CONTROL_UNBOUND : CLASS_CONTROL;
}

export const l2tp: TunnelDescriptor = {
  name: 'l2tp',
  id: 1,
  ipProtocol: IPPROTO_UDP,
  defaultPort: L2TP_PORT,
  hasPorts: true,
  offloadable: true,
  connectMessages: 2, // SCCRQ, SCCCN
  malformed: MALFORMED_REASONS,

  classify(view: DataView, offset: number, end: number, channel: Int32Array): number {
    const payload = offset + UDP_HEADER_LENGTH;
    const last = payloadEnd(view, offset, end);
    if (last < 0) return TRUNCATED;
    // Nearly every packet is a data message with neither O nor S: its two or three words are read whole. The rest, and
    // whatever is wrong in any way, takes the general path below, which agrees with this one.
    const available = last - payload;
    if (available >= DATA_WITH_LENGTH) {
      const head = view.getInt32(payload);
      if ((head & PLAIN_MASK) === PLAIN_BITS) {
        if ((head & LENGTH_BIT) === 0) {
          const tunnel = head & 0xffff;
          channel[0] = tunnel;
          channel[1] = view.getUint16(payload + 4);
          return tunnel === 0 ? TUNNEL_ZERO : CLASS_DATA;
        }
        const length = head & 0xffff;
        if (length >= DATA_WITH_LENGTH && length <= available) {
          const ids = view.getInt32(payload + 4);
          channel[0] = ids >>> 16;
          channel[1] = ids & 0xffff;
          return ids >>> 16 === 0 ? TUNNEL_ZERO : CLASS_DATA;
        }
      }
    }
    return classifyAny(view, payload, last, channel);
  },

  read(view, offset, end, event) {
    const last = payloadEnd(view, offset, end);
    // A datagram of no bytes at all makes the observer reset the event and find it truncated.
    return observe(view, offset + UDP_HEADER_LENGTH, last < 0 ? offset + UDP_HEADER_LENGTH : last, event);
  },

  channelOffset(view, offset) {
    return UDP_HEADER_LENGTH + tunnelIdOffset(view, offset + UDP_HEADER_LENGTH);
  },

  payload(view, offset, end) {
    // A first fragment's datagram ends beyond what is here, so the length in the header is not held against it.
    const message = offset + UDP_HEADER_LENGTH;
    if (end - message < DATA_HEADER_MIN || isControl(view, message)) return -1;
    const flags = view.getUint8(message);
    let at = message + DATA_HEADER_MIN;
    if ((flags & L_BIT) !== 0) at += 2;
    if ((flags & S_BIT) !== 0) at += 4;
    if ((flags & O_BIT) !== 0) {
      if (end - at < 2) return -1;
      at += 2 + view.getUint16(at);
    }
    return at < end ? at : -1;
  },

  assignedOffset(view, offset, end) {
    const last = payloadEnd(view, offset, end);
    if (last < 0) return -1;
    const at = assignedTunnelIdOffset(view, offset + UDP_HEADER_LENGTH, last);
    return at < 0 ? -1 : offset + UDP_HEADER_LENGTH + at;
  },

  unhide(view, offset, end, secret, event) {
    const last = payloadEnd(view, offset, end);
    return last >= 0 && unhideIds(view, offset + UDP_HEADER_LENGTH, last, secret, event);
  },

  rehide(view, offset, end, secret, channel) {
    const last = payloadEnd(view, offset, end);
    return last >= 0 && rehideTunnelId(view, offset + UDP_HEADER_LENGTH, last, secret, channel);
  },

  recoverOffset(view, offset, end, peer) {
    const last = payloadEnd(view, offset, end);
    if (last < 0) return -1;
    const at = recoveryIdOffset(view, offset + UDP_HEADER_LENGTH, last, peer);
    return at < 0 ? -1 : offset + UDP_HEADER_LENGTH + at;
  },

  looksLike(view, offset, end) {
    const payload = offset + UDP_HEADER_LENGTH;
    const last = payloadEnd(view, offset, end);
    if (last < 0) return false;
    const checked = checkHeader(view, payload, last);
    // Reserved bits are ignored where a port says that this is L2TP. Here they are half of the evidence.
    if (checked < 0 || (view.getUint16(payload) & RESERVED_MASK) !== 0) return false;
    if (!isControl(view, payload)) return tunnelId(view, payload) !== 0 && sessionId(view, payload) !== 0;
    const messageEnd = payload + messageLength(view, payload, last);
    const first = payload + CONTROL_HEADER_LENGTH;
    if (first === messageEnd) return messageEnd === last && tunnelId(view, payload) !== 0;
    const length = checkAvp(view, first, messageEnd);
    return length > 0 && isMessageType(view, first, length) && avpVendor(view, first) === 0;
  },

  endMessage(channel, assigned, ns, nr, result, error) {
    const value: AvpFields = error === 0 ? { result } : { result, error };
    const avps = [
      { type: AVP_ASSIGNED_TUNNEL_ID, value: assigned },
      { type: AVP_RESULT_CODE, value },
    ];
    return buildMessage({ type: STOPCCN, tunnel: channel, session: 0, ns, nr, avps });
  },

  ackMessage(channel, ns, nr) {
    return buildMessage({ tunnel: channel, ns, nr });
  },

  attributes(view, offset, end, attributes) {
    const last = payloadEnd(view, offset, end);
    readAttributes(view, offset + UDP_HEADER_LENGTH, last < 0 ? offset + UDP_HEADER_LENGTH : last, attributes);
  },

  describe(view, offset, end) {
    const last = payloadEnd(view, offset, end);
    const payload = offset + UDP_HEADER_LENGTH;
    return formatPacket(view, payload, last < 0 ? payload : last);
  },
};
