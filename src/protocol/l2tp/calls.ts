/** What the peer's messages of calls do, RFC 2661 §7.4.1 to §7.4.4: one function per message, states as in the tables. */
import {
  AVP_ASSIGNED_SESSION_ID,
  AVP_ACCM,
  AVP_CALL_SERIAL,
  AVP_CALL_ERRORS,
  AVP_RESULT_CODE,
} from '../../tunnels/l2tp/avp-table.js';
import type { L2tpMessage } from '../../tunnels/l2tp/message.js';
import { CDN, ICCN, ICRP, ICRQ, OCCN, OCRP, OCRQ, SLI, WEN } from '../../tunnels/l2tp/message-table.js';
import { readAttributes, readCause } from './attribute-codec.js';
import { CALL_RESULT, ERROR_CODE } from './codes.js';
import type { CallErrors } from './events.js';
import { type Fault, fieldsOf, numberOf } from './message-reader.js';
import type { L2tpSession } from './session.js';
import type { L2tpTunnel } from './tunnel.js';

export function isCallMessage(type: number): boolean {
  return type >= OCRQ && type <= SLI;
}

/** A message of a call in an established tunnel. `fault`: it cannot be acted upon, and the call is to end. */
export function receiveCall(tunnel: L2tpTunnel, message: L2tpMessage, fault: Fault | null): void {
  if (message.type === ICRQ || message.type === OCRQ) return request(tunnel, message, fault);
  const session = find(tunnel, message);
  if (session === undefined) {
    // Of a call that has ended here, or never was: the RFC's idle state, in which there is nothing to clean up.
    tunnel.host.count('unknown-session');
    return;
  }
  if (message.type === CDN) return disconnected(session, message);
  if (fault !== null) return session.hangUp(CALL_RESULT.error, fault.error, fault.text);
  switch (message.type) {
    case ICRP:
    case OCRP:
      return reply(session, message);
    case ICCN:
    case OCCN:
      return connected(session, message);
    case SLI:
    case WEN:
      return informed(session, message);
    default:
      // 13: reserved, and not marked as mandatory.
      tunnel.host.count('unknown-message');
  }
}

/** By the id in the header; a CDN of a peer that does not know ours yet names its own. */
function find(tunnel: L2tpTunnel, message: L2tpMessage): L2tpSession | undefined {
  if (message.session !== 0) return tunnel.sessions.get(message.session);
  return message.type === CDN ? tunnel.byPeerId(numberOf(message, AVP_ASSIGNED_SESSION_ID)) : undefined;
}

function request(tunnel: L2tpTunnel, message: L2tpMessage, fault: Fault | null): void {
  const peerId = numberOf(message, AVP_ASSIGNED_SESSION_ID);
  const known = tunnel.byPeerId(peerId) ?? tunnel.sessions.get(message.session);
  if (known !== undefined) {
    if (!known.adopted) return improper(known, message);
    if (numberOf(message, AVP_CALL_SERIAL) === known.attributes.serial) return tunnel.host.count('repeated');
    // The peer gives the id to another call: it has ended the one that we were told of.
    known.end('peer', 0, 0, 'the peer has another call of this id', null);
  }
  if (peerId === 0) {
    // Whose call it is cannot be said, so neither can it be refused.
    tunnel.host.count('no-session-id');
    return;
  }
  if (fault !== null) return tunnel.rejectCall(peerId, CALL_RESULT.error, fault.error, fault.text);
  const session = tunnel.newSession(message.type === ICRQ ? 'incoming' : 'outgoing', false, 'requested', {});
  if (session === null) {
    return tunnel.rejectCall(peerId, CALL_RESULT.temporaryLack, ERROR_CODE.none, 'session limit');
  }
  tunnel.setPeerId(session, peerId);
  session.attributes = readAttributes(message, session.attributes);
  tunnel.host.emit({ type: 'call', session });
}

function reply(session: L2tpSession, message: L2tpMessage): void {
  const fitting = session.kind === 'incoming' ? ICRP : OCRP;
  if (session.ours && wasHad(session, message, fitting)) return;
  if (session.state !== 'wait-reply' || message.type !== fitting) return improper(session, message);
  const peerId = numberOf(message, AVP_ASSIGNED_SESSION_ID);
  if (peerId === 0 || session.tunnel.byPeerId(peerId) !== undefined) {
    return session.hangUp(CALL_RESULT.error, ERROR_CODE.sessionId, 'Assigned Session ID');
  }
  session.tunnel.setPeerId(session, peerId);
  session.attributes = readAttributes(message, session.attributes);
  session.state = session.kind === 'incoming' ? 'wait-answer' : 'wait-connect';
  session.tunnel.host.emit({ type: 'call-answered', session });
}

function connected(session: L2tpSession, message: L2tpMessage): void {
  const fitting = session.kind === 'incoming' ? ICCN : OCCN;
  if (!session.isLac && wasHad(session, message, fitting)) return;
  if (session.state !== 'wait-connect' || message.type !== fitting) return improper(session, message);
  session.attributes = readAttributes(message, session.attributes);
  session.establish();
}

function disconnected(session: L2tpSession, message: L2tpMessage): void {
  const { result = 0, error = 0, message: text = '' } = fieldsOf(message, AVP_RESULT_CODE);
  session.end('peer', Number(result), Number(error), String(text), readCause(message));
}

/** What made an adopted call, come again: who had it before us had read it, and we may not have been told the number. */
function wasHad(session: L2tpSession, message: L2tpMessage, fitting: number): boolean {
  if (!session.adopted || message.type !== fitting) return false;
  session.tunnel.host.count('repeated');
  return true;
}

/** A message that this state does not expect ends the call (RFC 2661 §7.4: CDN, clean up). */
function improper(session: L2tpSession, message: L2tpMessage): void {
  session.tunnel.host.count('improper-message');
  session.hangUp(CALL_RESULT.error, ERROR_CODE.vendor, `${message.name} in state ${session.state}`);
}

const CALL_ERROR_NAMES = ['crc', 'framing', 'hardwareOverruns', 'bufferOverruns', 'timeouts', 'alignment'] as const;

function informed(session: L2tpSession, message: L2tpMessage): void {
  const { host } = session.tunnel;
  if (session.state !== 'established') return host.count('unknown-session');
  if (message.type === SLI) {
    const { send = 0, receive = 0 } = fieldsOf(message, AVP_ACCM);
    return host.emit({ type: 'sli', session, send: Number(send), receive: Number(receive) });
  }
  const fields = fieldsOf(message, AVP_CALL_ERRORS);
  const errors = Object.fromEntries(CALL_ERROR_NAMES.map((name) => [name, Number(fields[name] ?? 0)]));
  host.emit({ type: 'wen', session, errors: errors as unknown as CallErrors });
}
