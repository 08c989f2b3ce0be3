/** Attributes of calls to AVPs and back, RFC 2661 §4.4.4, §4.4.5 and §6.5 to §6.13. */
import type { Avp, AvpFields, AvpInput } from '../../tunnels/l2tp/avp.js';
import * as T from '../../tunnels/l2tp/avp-table.js';
import type { L2tpMessage } from '../../tunnels/l2tp/message.js';
import { OCRQ } from '../../tunnels/l2tp/message-table.js';
import type { DisconnectCause } from './codes.js';
import { fieldsOf, avpValue } from './message-reader.js';
import type { CallAttributes, ConnectAttributes, SessionAttributes } from './session-attributes.js';

/** Bytes of a value, with room for its own length and padding where it is hidden. */
const VALUE_MAX = 990;
const SYNCHRONOUS = 1;
/** Of an OCRQ that does not care: any speed, any bearer, any framing. */
const ANY_SPEED = 0xffffffff;
const ANY_KIND = 3;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * A value that no AVP can hold is left out: names and proxied LCP options come from subscribers, who may send what they
 * like, and none of them must be there. Text is taken to need three bytes a character.
 */
function put(avps: AvpInput[], type: number, value: AvpInput['value'] | undefined): void {
  if (value === undefined || (value instanceof Uint8Array && value.length > VALUE_MAX)) return;
  if (typeof value === 'string' && value.length * 3 > VALUE_MAX) return;
  avps.push({ type, value });
}

/** AVPs of an ICRQ, without the Assigned Session ID. */
export function incomingCallAvps(a: CallAttributes, serial: number): AvpInput[] {
  const avps: AvpInput[] = [{ type: T.AVP_CALL_SERIAL, value: serial }];
  put(avps, T.AVP_BEARER_TYPE, a.bearer);
  put(avps, T.AVP_PHYSICAL_CHANNEL, a.physicalChannel);
  put(avps, T.AVP_CALLING_NUMBER, a.calling);
  put(avps, T.AVP_CALLED_NUMBER, a.called);
  put(avps, T.AVP_SUB_ADDRESS, a.subAddress);
  return avps;
}

/** AVPs of an OCRQ, without the Assigned Session ID; what must be in it and is not given asks for nothing special. */
export function outgoingCallAvps(a: CallAttributes, serial: number): AvpInput[] {
  const avps: AvpInput[] = [{ type: T.AVP_CALL_SERIAL, value: serial }];
  put(avps, T.AVP_MINIMUM_BPS, a.minimumBps ?? 0);
  put(avps, T.AVP_MAXIMUM_BPS, a.maximumBps ?? ANY_SPEED);
  put(avps, T.AVP_BEARER_TYPE, a.bearer ?? ANY_KIND);
  put(avps, T.AVP_FRAMING_TYPE, a.callFraming ?? ANY_KIND);
  put(avps, T.AVP_CALLED_NUMBER, (a.called ?? '').slice(0, VALUE_MAX / 3));
  put(avps, T.AVP_SUB_ADDRESS, a.subAddress);
  return avps;
}

/** AVPs of an ICCN, or (what belongs there) of an OCCN. */
export function connectAvps(a: ConnectAttributes, incoming: boolean): AvpInput[] {
  const avps: AvpInput[] = [
    { type: T.AVP_TX_SPEED, value: a.txSpeed ?? 0 },
    { type: T.AVP_FRAMING_TYPE, value: a.framing ?? SYNCHRONOUS },
  ];
  put(avps, T.AVP_RX_SPEED, a.rxSpeed);
  if (a.sequencingRequired === true) avps.push({ type: T.AVP_SEQUENCING_REQUIRED });
  if (!incoming) return avps;
  put(avps, T.AVP_INITIAL_LCP, a.initialLcp);
  put(avps, T.AVP_LAST_SENT_LCP, a.lastSentLcp);
  put(avps, T.AVP_LAST_RECEIVED_LCP, a.lastReceivedLcp);
  put(avps, T.AVP_PROXY_AUTH_TYPE, a.authType);
  put(avps, T.AVP_PROXY_AUTH_NAME, a.authName);
  put(avps, T.AVP_PROXY_AUTH_CHALLENGE, a.authChallenge);
  put(avps, T.AVP_PROXY_AUTH_ID, a.authId === undefined ? undefined : { id: a.authId });
  put(avps, T.AVP_PROXY_AUTH_RESPONSE, a.authResponse);
  put(avps, T.AVP_PRIVATE_GROUP, a.privateGroup);
  return avps;
}

/** What the message says, together with what was known before. An AVP that stands twice counts as it stands first. */
export function readAttributes(message: L2tpMessage, before: SessionAttributes): SessionAttributes {
  const a: Mutable<SessionAttributes> = {};
  let vendorAvps: Avp[] | undefined;
  for (const avp of message.avps) {
    if (avp.vendor === 0) read(a, avp, message.type === OCRQ);
    else vendorAvps = [...(vendorAvps ?? before.vendorAvps ?? []), avp];
  }
  return vendorAvps === undefined ? { ...before, ...a } : { ...before, ...a, vendorAvps };
}

function read(a: Mutable<SessionAttributes>, { type, value }: Avp, outgoingRequest: boolean): void {
  if (typeof value === 'number') {
    switch (type) {
      case T.AVP_CALL_SERIAL:
        a.serial ??= value;
        break;
      case T.AVP_MINIMUM_BPS:
        a.minimumBps ??= value;
        break;
      case T.AVP_MAXIMUM_BPS:
        a.maximumBps ??= value;
        break;
      case T.AVP_BEARER_TYPE:
        a.bearer ??= value;
        break;
      case T.AVP_FRAMING_TYPE:
        if (outgoingRequest) a.callFraming ??= value;
        else a.framing ??= value;
        break;
      case T.AVP_TX_SPEED:
        a.txSpeed ??= value;
        break;
      case T.AVP_RX_SPEED:
        a.rxSpeed ??= value;
        break;
      case T.AVP_PHYSICAL_CHANNEL:
        a.physicalChannel ??= value;
        break;
      case T.AVP_PROXY_AUTH_TYPE:
        a.authType ??= value;
        break;
    }
  } else if (typeof value === 'string') {
    if (type === T.AVP_CALLED_NUMBER) a.called ??= value;
    else if (type === T.AVP_CALLING_NUMBER) a.calling ??= value;
    else if (type === T.AVP_SUB_ADDRESS) a.subAddress ??= value;
    else if (type === T.AVP_PROXY_AUTH_NAME) a.authName ??= value;
  } else if (value instanceof Uint8Array) {
    if (type === T.AVP_INITIAL_LCP) a.initialLcp ??= value;
    else if (type === T.AVP_LAST_SENT_LCP) a.lastSentLcp ??= value;
    else if (type === T.AVP_LAST_RECEIVED_LCP) a.lastReceivedLcp ??= value;
    else if (type === T.AVP_PROXY_AUTH_CHALLENGE) a.authChallenge ??= value;
    else if (type === T.AVP_PROXY_AUTH_RESPONSE) a.authResponse ??= value;
    else if (type === T.AVP_PRIVATE_GROUP) a.privateGroup ??= value;
  } else if (value === null) {
    if (type === T.AVP_SEQUENCING_REQUIRED) a.sequencingRequired = true;
  } else if (type === T.AVP_PROXY_AUTH_ID) a.authId ??= Number(value.id);
}

/** AVPs that tell a cause in a CDN. */
export function causeAvps(cause: DisconnectCause | undefined): AvpInput[] {
  const avps: AvpInput[] = [];
  if (cause?.q931 !== undefined) avps.push({ type: T.AVP_Q931_CAUSE, value: { ...cause.q931 } as AvpFields });
  if (cause?.ppp !== undefined) avps.push({ type: T.AVP_PPP_DISCONNECT, value: { ...cause.ppp } as AvpFields });
  return avps;
}

/** The cause that a CDN tells, or null. */
export function readCause(message: L2tpMessage): DisconnectCause | null {
  const q931 = avpValue(message, T.AVP_Q931_CAUSE);
  const ppp = avpValue(message, T.AVP_PPP_DISCONNECT);
  if (q931 === undefined && ppp === undefined) return null;
  return {
    ...(q931 === undefined ? {} : { q931: fieldsOf(message, T.AVP_Q931_CAUSE) as unknown as DisconnectCause['q931'] }),
    ...(ppp === undefined ? {} : { ppp: fieldsOf(message, T.AVP_PPP_DISCONNECT) as unknown as DisconnectCause['ppp'] }),
  };
}
