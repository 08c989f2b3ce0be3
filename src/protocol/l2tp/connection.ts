/**
 * What the peer's messages do to a control connection, RFC 2661 §5.1, §5.7 and §7.2.1: set-up with proof of the secret,
 * and its end.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import * as T from '../../tunnels/l2tp/avp-table.js';
import { malformedName } from '../../tunnels/l2tp/malformed.js';
import type { L2tpMessage } from '../../tunnels/l2tp/message.js';
import { FSQ, FSR, HELLO, SCCCN, SCCRP, SCCRQ, STOPCCN } from '../../tunnels/l2tp/message-table.js';
import { isCallMessage, receiveCall } from './calls.js';
import { ERROR_CODE, STOP_RESULT } from './codes.js';
import { receiveFailover } from './failover.js';
import { bytesOf, fieldsOf, numberOf, readControl, textOf, avpValue } from './message-reader.js';
import { type Peer, samePlace } from './peer.js';
import type { L2tpTunnel } from './tunnel.js';

/** Version 1, revision 0 (RFC 2661 §4.4.3); in one number as a StopCCN tells it. */
const VERSION = { version: 1, revision: 0 };
const VERSION_NUMBER = 0x0100;
const CHALLENGE_LENGTH = 16;
const TIE_LENGTH = 8;

/** CHAP's answer with the type of the message that carries it as identifier (RFC 2661 §4.4.3, AVP 13). */
export function challengeResponse(messageType: number, secret: Uint8Array, challenge: Uint8Array): Uint8Array {
  return createHash('md5').update(Uint8Array.of(messageType)).update(secret).update(challenge).digest();
}

function startAvps(tunnel: L2tpTunnel): AvpInput[] {
  const { host, profile } = tunnel;
  const avps: AvpInput[] = [
    { type: T.AVP_PROTOCOL_VERSION, value: VERSION },
    { type: T.AVP_FRAMING_CAPABILITIES, value: profile.framing },
    { type: T.AVP_BEARER_CAPABILITIES, value: profile.bearer },
    { type: T.AVP_HOST_NAME, value: profile.hostName === '' ? host.hostName : profile.hostName },
    { type: T.AVP_ASSIGNED_TUNNEL_ID, value: tunnel.localId },
    { type: T.AVP_RECEIVE_WINDOW, value: profile.window },
  ];
  if (host.firmware > 0) avps.push({ type: T.AVP_FIRMWARE, value: host.firmware });
  if (host.vendorName !== '') avps.push({ type: T.AVP_VENDOR_NAME, value: host.vendorName });
  if (profile.authenticate) {
    tunnel.challenge = host.random(CHALLENGE_LENGTH).slice();
    avps.push({ type: T.AVP_CHALLENGE, value: tunnel.challenge });
  }
  return avps;
}

/** Sends the SCCRQ. */
export function dial(tunnel: L2tpTunnel): void {
  const avps = startAvps(tunnel);
  if (tunnel.profile.tieBreaker) {
    tunnel.tie = tunnel.host.random(TIE_LENGTH).slice();
    avps.push({ type: T.AVP_TIE_BREAKER, value: tunnel.tie });
  }
  tunnel.sendControl({ type: SCCRQ, avps: [...avps, ...tunnel.profile.avps] });
}

/** After a tie that nobody won: forgets the SCCRQ and sends another. */
export function redial(tunnel: L2tpTunnel): void {
  tunnel.restart();
  dial(tunnel);
}

/** The SCCRQ of a peer, in a tunnel made for it. */
export function receiveRequest(tunnel: L2tpTunnel, message: L2tpMessage): void {
  learn(tunnel, message);
  if (refusedChallenge(tunnel)) return;
  tunnel.announced = true;
  tunnel.host.emit({ type: 'tunnel-request', tunnel });
}

/** Sends the SCCRP. */
export function acceptRequest(tunnel: L2tpTunnel, avps: readonly AvpInput[]): void {
  const out = startAvps(tunnel);
  respond(tunnel, SCCRP, out);
  tunnel.sendControl({ type: SCCRP, avps: [...out, ...tunnel.profile.avps, ...avps] });
  tunnel.setState('wait-connect');
}

/** What SCCRQ and SCCRP tell alike. */
function learn(tunnel: L2tpTunnel, message: L2tpMessage): void {
  tunnel.peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
  tunnel.hostName = textOf(message, T.AVP_HOST_NAME);
  tunnel.vendorName = textOf(message, T.AVP_VENDOR_NAME);
  tunnel.peerChallenge = bytesOf(message, T.AVP_CHALLENGE);
  tunnel.peerAvps = message.avps;
  const window = avpValue(message, T.AVP_RECEIVE_WINDOW);
  if (typeof window === 'number') tunnel.delivery.setPeerWindow(window);
}

/** A challenge that we have no secret for (or an empty one) ends it: no answer would be believed. */
function refusedChallenge(tunnel: L2tpTunnel): boolean {
  const { peerChallenge, profile } = tunnel;
  if (peerChallenge === null || (profile.secret !== null && peerChallenge.length > 0)) return false;
  tunnel.host.count('unanswerable-challenge');
  tunnel.stop(STOP_RESULT.notAuthorized, ERROR_CODE.none, 'no secret for this peer');
  return true;
}

function respond(tunnel: L2tpTunnel, type: number, avps: AvpInput[]): void {
  const { peerChallenge, profile } = tunnel;
  if (peerChallenge === null || profile.secret === null) return;
  avps.push({ type: T.AVP_CHALLENGE_RESPONSE, value: challengeResponse(type, profile.secret, peerChallenge) });
  tunnel.peerChallenge = null;
}

/**
 * Whoever was dialled may answer from elsewhere (RFC 2661 §8.1; document 001, FIG. 3 and 5: the NAT server, the endpoint
 * itself). From there only what answers our own SCCRQ is heard: the next message in order, which acknowledges exactly
 * what was sent, and an SCCRP proves the secret where one was asked for. Whatever else comes from elsewhere neither moves
 * nor ends the request.
 */
export function answersRequest(tunnel: L2tpTunnel, type: number, bytes: Uint8Array): boolean {
  const ns = (bytes[8] << 8) | bytes[9];
  const nr = (bytes[10] << 8) | bytes[11];
  if (nr !== tunnel.delivery.ns) return false;
  if (type === -1) return true;
  if (ns !== tunnel.delivery.nr || (type !== SCCRP && type !== STOPCCN)) return false;
  if (type === STOPCCN) return true;
  const read = readControl(bytes, tunnel.profile.secret, tunnel.host.vendors);
  return typeof read !== 'number' && answersChallenge(tunnel, read.message);
}

function answersChallenge(tunnel: L2tpTunnel, message: L2tpMessage): boolean {
  const { challenge, profile } = tunnel;
  if (challenge === null || profile.secret === null) return true;
  const answer = bytesOf(message, T.AVP_CHALLENGE_RESPONSE);
  const wanted = challengeResponse(message.type, profile.secret, challenge);
  return answer !== null && answer.length === wanted.length && timingSafeEqual(answer, wanted);
}

/** The peer has answered our challenge, if there was one, as only who knows the secret can. */
function proved(tunnel: L2tpTunnel, message: L2tpMessage): boolean {
  if (answersChallenge(tunnel, message)) return true;
  const answer = bytesOf(message, T.AVP_CHALLENGE_RESPONSE);
  tunnel.host.count('wrong-secret');
  tunnel.stop(STOP_RESULT.notAuthorized, ERROR_CODE.none, answer === null ? 'no challenge response' : 'wrong secret');
  return false;
}

/** Values of an SCCRQ or SCCRP that nobody can work with; null: none. */
export function startFault(message: L2tpMessage): { result: number; error: number; text: string } | null {
  const { version, revision } = fieldsOf(message, T.AVP_PROTOCOL_VERSION);
  if (version !== VERSION.version || revision !== VERSION.revision) {
    return { result: STOP_RESULT.version, error: VERSION_NUMBER, text: 'protocol version' };
  }
  if (numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID) === 0) {
    return { result: STOP_RESULT.error, error: ERROR_CODE.value, text: 'Assigned Tunnel ID 0' };
  }
  if (avpValue(message, T.AVP_RECEIVE_WINDOW) === 0) {
    return { result: STOP_RESULT.error, error: ERROR_CODE.value, text: 'Receive Window Size 0' };
  }
  return null;
}

/** A message whose turn it is. */
export function receiveMessage(tunnel: L2tpTunnel, bytes: Uint8Array, from: Peer): void {
  const read = readControl(bytes, tunnel.profile.secret, tunnel.host.vendors);
  if (typeof read === 'number') {
    // AVPs that cannot be told apart: nothing that comes after could be relied upon (RFC 2661 §7.1).
    tunnel.host.count(malformedName(read));
    return tunnel.stop(STOP_RESULT.error, ERROR_CODE.length, malformedName(read));
  }
  const { message, fault } = read;
  if (fault !== null) tunnel.host.count(fault.error === ERROR_CODE.unknownMandatory ? 'unknown-mandatory' : 'bad-avp');
  if (tunnel.state === 'closed') return late(tunnel, message);
  if (message.type === STOPCCN && message.vendor === 0) return stopped(tunnel, message);
  if (tunnel.state === 'closing') {
    // An SCCRP that crosses our StopCCN at least tells to whom that is to go.
    if (tunnel.peerId === 0) tunnel.peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
    return;
  }
  if (message.vendor === 0 && isCallMessage(message.type)) {
    if (tunnel.state !== 'established') return improper(tunnel, message);
    return receiveCall(tunnel, message, fault);
  }
  if (fault !== null) {
    if (message.type === SCCRP && tunnel.state === 'wait-reply') learn(tunnel, message);
    return tunnel.stop(STOP_RESULT.error, fault.error, fault.text);
  }
  if (message.vendor !== 0) return vendorMessage(tunnel, message);
  switch (message.type) {
    case SCCRQ:
      return improper(tunnel, message);
    case SCCRP:
      return replied(tunnel, message, from);
    case SCCCN:
      return connected(tunnel, message);
    case HELLO:
      return tunnel.state === 'established' ? undefined : improper(tunnel, message);
    case FSQ:
    case FSR:
      return tunnel.state === 'established' ? receiveFailover(tunnel, message) : improper(tunnel, message);
    default:
      tunnel.host.count('unknown-message');
  }
}

/** An SCCRP to an SCCRQ that was given up (the idle state of RFC 2661 §7.2.1): its sender is told, or would wait for long. */
function late(tunnel: L2tpTunnel, message: L2tpMessage): void {
  if (message.type !== SCCRP || message.vendor !== 0 || tunnel.peerId !== 0) return;
  tunnel.peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
  tunnel.sendStop(STOP_RESULT.exists, ERROR_CODE.none, '');
}

/** A message that this state does not expect ends the tunnel (RFC 2661 §7.2.1: StopCCN, clean up). */
function improper(tunnel: L2tpTunnel, message: L2tpMessage): void {
  tunnel.host.count('improper-message');
  if (tunnel.peerId === 0) tunnel.peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
  tunnel.stop(STOP_RESULT.fsm, ERROR_CODE.none, `${message.name} in state ${tunnel.state}`);
}

function replied(tunnel: L2tpTunnel, message: L2tpMessage, from: Peer): void {
  if (tunnel.state !== 'wait-reply') return improper(tunnel, message);
  learn(tunnel, message);
  if (!samePlace(from, tunnel.peer)) tunnel.peer = from;
  const fault = startFault(message);
  if (fault !== null) return tunnel.stop(fault.result, fault.error, fault.text);
  if (refusedChallenge(tunnel) || !proved(tunnel, message)) return;
  const avps: AvpInput[] = [];
  respond(tunnel, SCCCN, avps);
  tunnel.sendControl({ type: SCCCN, avps });
  tunnel.establish();
}

function connected(tunnel: L2tpTunnel, message: L2tpMessage): void {
  if (tunnel.state !== 'wait-connect') return improper(tunnel, message);
  if (proved(tunnel, message)) tunnel.establish();
}

function stopped(tunnel: L2tpTunnel, message: L2tpMessage): void {
  if (tunnel.peerId === 0) tunnel.peerId = numberOf(message, T.AVP_ASSIGNED_TUNNEL_ID);
  const { result = 0, error = 0, message: text = '' } = fieldsOf(message, T.AVP_RESULT_CODE);
  tunnel.close('peer', Number(result), Number(error), String(text));
}

function vendorMessage(tunnel: L2tpTunnel, message: L2tpMessage): void {
  if (tunnel.state !== 'established' || !tunnel.host.vendors.has(message.vendor)) {
    return tunnel.host.count('unknown-message');
  }
  const session = tunnel.sessions.get(message.session) ?? null;
  tunnel.host.emit({ type: 'vendor', tunnel, session, message });
}
