/**
 * The AVPs of L2TPv2 as data: RFC 2661 §4.4 (0 to 39), RFC 3145 (46) and RFC 4951 (76 to 79). The codec, the log and
 * the tests read this table; the passive observer needs some of them.
 */
import {
  CDN,
  FSQ,
  FSR,
  ICCN,
  ICRP,
  ICRQ,
  OCCN,
  OCRP,
  OCRQ,
  SCCCN,
  SCCRP,
  SCCRQ,
  SLI,
  STOPCCN,
  WEN,
} from './message-table.js';

/** One field of a structured value. `length` in bytes; reserved fields have an empty name. */
export interface AvpField {
  readonly name: string;
  readonly length: 1 | 2 | 4;
  /** From here on the value may end (RFC 2661 §4.4.2: the error code). */
  readonly optional?: boolean;
}

/** A value of several fields, perhaps followed by text. */
export interface AvpStruct {
  readonly fields: readonly AvpField[];
  /** Name of the UTF-8 text that fills the rest; absent = nothing may follow. */
  readonly text?: string;
}

/** How the value reads: a number, UTF-8 text, bytes (of one length, where it is fixed), nothing at all, or fields. */
export type AvpFormat = 'u16' | 'u32' | 'text' | 'octets' | 'empty' | { readonly octets: number } | AvpStruct;

export interface AvpDefinition {
  readonly type: number;
  readonly name: string;
  readonly format: AvpFormat;
  /** The M bit that the RFC demands of a sender; null where the sender decides. */
  readonly mandatory: boolean | null;
  /** The H bit may be set (RFC 2661 §4.3). */
  readonly mayHide: boolean;
  /** Message types that carry it; empty = any. */
  readonly messages: readonly number[];
  /** The value is a secret or may be one (a PAP password): never printed. */
  readonly secret?: boolean;
}

export const AVP_MESSAGE_TYPE = 0;
export const AVP_RESULT_CODE = 1;
export const AVP_PROTOCOL_VERSION = 2;
export const AVP_FRAMING_CAPABILITIES = 3;
export const AVP_BEARER_CAPABILITIES = 4;
export const AVP_TIE_BREAKER = 5;
export const AVP_FIRMWARE = 6;
export const AVP_HOST_NAME = 7;
export const AVP_VENDOR_NAME = 8;
export const AVP_ASSIGNED_TUNNEL_ID = 9;
export const AVP_RECEIVE_WINDOW = 10;
export const AVP_CHALLENGE = 11;
export const AVP_Q931_CAUSE = 12;
export const AVP_CHALLENGE_RESPONSE = 13;
export const AVP_ASSIGNED_SESSION_ID = 14;
export const AVP_CALL_SERIAL = 15;
export const AVP_MINIMUM_BPS = 16;
export const AVP_MAXIMUM_BPS = 17;
export const AVP_BEARER_TYPE = 18;
export const AVP_FRAMING_TYPE = 19;
export const AVP_CALLED_NUMBER = 21;
export const AVP_CALLING_NUMBER = 22;
export const AVP_SUB_ADDRESS = 23;
export const AVP_TX_SPEED = 24;
export const AVP_PHYSICAL_CHANNEL = 25;
export const AVP_INITIAL_LCP = 26;
export const AVP_LAST_SENT_LCP = 27;
export const AVP_LAST_RECEIVED_LCP = 28;
export const AVP_PROXY_AUTH_TYPE = 29;
export const AVP_PROXY_AUTH_NAME = 30;
export const AVP_PROXY_AUTH_CHALLENGE = 31;
export const AVP_PROXY_AUTH_ID = 32;
export const AVP_PROXY_AUTH_RESPONSE = 33;
export const AVP_CALL_ERRORS = 34;
export const AVP_ACCM = 35;
export const AVP_RANDOM_VECTOR = 36;
export const AVP_PRIVATE_GROUP = 37;
export const AVP_RX_SPEED = 38;
export const AVP_SEQUENCING_REQUIRED = 39;
export const AVP_PPP_DISCONNECT = 46;
export const AVP_FAILOVER_CAPABILITY = 76;
export const AVP_TUNNEL_RECOVERY = 77;
export const AVP_FAILOVER_SESSION = 79;

const START = [SCCRQ, SCCRP];
const CONNECTED = [ICCN, OCCN];
const REQUESTS = [ICRQ, OCRQ];
const HIDE = true;
const CLEAR = false;
const M = true;
const NO_M = false;

const RESULT: AvpStruct = {
  fields: [
    { name: 'result', length: 2 },
    { name: 'error', length: 2, optional: true },
  ],
  text: 'message',
};
const VERSION: AvpStruct = {
  fields: [
    { name: 'version', length: 1 },
    { name: 'revision', length: 1 },
  ],
};
const CAUSE: AvpStruct = {
  fields: [
    { name: 'cause', length: 2 },
    { name: 'message', length: 1 },
  ],
  text: 'advisory',
};
const PROXY_ID: AvpStruct = {
  fields: [
    { name: '', length: 1 },
    { name: 'id', length: 1 },
  ],
};
const CALL_ERRORS: AvpStruct = {
  fields: [
    { name: '', length: 2 },
    { name: 'crc', length: 4 },
    { name: 'framing', length: 4 },
    { name: 'hardwareOverruns', length: 4 },
    { name: 'bufferOverruns', length: 4 },
    { name: 'timeouts', length: 4 },
    { name: 'alignment', length: 4 },
  ],
};
const ACCM: AvpStruct = {
  fields: [
    { name: '', length: 2 },
    { name: 'send', length: 4 },
    { name: 'receive', length: 4 },
  ],
};
const DISCONNECT: AvpStruct = {
  fields: [
    { name: 'code', length: 2 },
    { name: 'protocol', length: 2 },
    { name: 'direction', length: 1 },
  ],
  text: 'message',
};
const FAILOVER: AvpStruct = {
  fields: [
    { name: 'flags', length: 2 }, // 1 control channel, 2 data channel
    { name: 'recoveryMs', length: 4 },
  ],
};
const pair = (first: string, second: string): AvpStruct => ({
  fields: [
    { name: '', length: 2 },
    { name: first, length: 4 },
    { name: second, length: 4 },
  ],
});

const row = (
  type: number,
  name: string,
  format: AvpFormat,
  mandatory: boolean | null,
  mayHide: boolean,
  messages: readonly number[],
): AvpDefinition => ({ type, name, format, mandatory, mayHide, messages });
const secret = (definition: AvpDefinition): AvpDefinition => ({ ...definition, secret: true });

/** In the order of their numbers; 20 was never assigned. */
export const AVP_TABLE: readonly AvpDefinition[] = [
  row(AVP_MESSAGE_TYPE, 'Message Type', 'u16', null, CLEAR, []),
  row(AVP_RESULT_CODE, 'Result Code', RESULT, M, CLEAR, [STOPCCN, CDN]),
  row(AVP_PROTOCOL_VERSION, 'Protocol Version', VERSION, M, CLEAR, START),
  row(AVP_FRAMING_CAPABILITIES, 'Framing Capabilities', 'u32', M, HIDE, START),
  row(AVP_BEARER_CAPABILITIES, 'Bearer Capabilities', 'u32', M, HIDE, START),
  row(AVP_TIE_BREAKER, 'Tie Breaker', { octets: 8 }, NO_M, CLEAR, [SCCRQ]),
  row(AVP_FIRMWARE, 'Firmware Revision', 'u16', NO_M, HIDE, START),
  row(AVP_HOST_NAME, 'Host Name', 'text', M, CLEAR, START),
  row(AVP_VENDOR_NAME, 'Vendor Name', 'text', NO_M, HIDE, START),
  row(AVP_ASSIGNED_TUNNEL_ID, 'Assigned Tunnel ID', 'u16', M, HIDE, [SCCRQ, SCCRP, STOPCCN]),
  row(AVP_RECEIVE_WINDOW, 'Receive Window Size', 'u16', M, CLEAR, START),
  secret(row(AVP_CHALLENGE, 'Challenge', 'octets', M, HIDE, START)),
  row(AVP_Q931_CAUSE, 'Q.931 Cause Code', CAUSE, M, CLEAR, [CDN]),
  secret(row(AVP_CHALLENGE_RESPONSE, 'Challenge Response', { octets: 16 }, M, HIDE, [SCCRP, SCCCN])),
  row(AVP_ASSIGNED_SESSION_ID, 'Assigned Session ID', 'u16', M, HIDE, [OCRQ, OCRP, ICRQ, ICRP, CDN]),
  row(AVP_CALL_SERIAL, 'Call Serial Number', 'u32', M, HIDE, REQUESTS),
  row(AVP_MINIMUM_BPS, 'Minimum BPS', 'u32', M, HIDE, [OCRQ]),
  row(AVP_MAXIMUM_BPS, 'Maximum BPS', 'u32', M, HIDE, [OCRQ]),
  row(AVP_BEARER_TYPE, 'Bearer Type', 'u32', M, HIDE, REQUESTS),
  row(AVP_FRAMING_TYPE, 'Framing Type', 'u32', M, HIDE, [ICCN, OCRQ, OCCN]),
  row(AVP_CALLED_NUMBER, 'Called Number', 'text', M, HIDE, REQUESTS),
  row(AVP_CALLING_NUMBER, 'Calling Number', 'text', M, HIDE, [ICRQ]),
  row(AVP_SUB_ADDRESS, 'Sub-Address', 'text', M, HIDE, REQUESTS),
  row(AVP_TX_SPEED, 'Tx Connect Speed', 'u32', M, HIDE, CONNECTED),
  row(AVP_PHYSICAL_CHANNEL, 'Physical Channel ID', 'u32', NO_M, HIDE, [ICRQ, OCRP]),
  row(AVP_INITIAL_LCP, 'Initial Received LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(AVP_LAST_SENT_LCP, 'Last Sent LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(AVP_LAST_RECEIVED_LCP, 'Last Received LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(AVP_PROXY_AUTH_TYPE, 'Proxy Authen Type', 'u16', NO_M, HIDE, [ICCN]),
  row(AVP_PROXY_AUTH_NAME, 'Proxy Authen Name', 'text', NO_M, HIDE, [ICCN]),
  secret(row(AVP_PROXY_AUTH_CHALLENGE, 'Proxy Authen Challenge', 'octets', NO_M, HIDE, [ICCN])),
  row(AVP_PROXY_AUTH_ID, 'Proxy Authen ID', PROXY_ID, NO_M, HIDE, [ICCN]),
  secret(row(AVP_PROXY_AUTH_RESPONSE, 'Proxy Authen Response', 'octets', NO_M, HIDE, [ICCN])),
  row(AVP_CALL_ERRORS, 'Call Errors', CALL_ERRORS, M, HIDE, [WEN]),
  row(AVP_ACCM, 'ACCM', ACCM, M, HIDE, [SLI]),
  row(AVP_RANDOM_VECTOR, 'Random Vector', 'octets', M, CLEAR, []),
  row(AVP_PRIVATE_GROUP, 'Private Group ID', 'octets', NO_M, HIDE, [ICCN]),
  row(AVP_RX_SPEED, 'Rx Connect Speed', 'u32', NO_M, HIDE, CONNECTED),
  row(AVP_SEQUENCING_REQUIRED, 'Sequencing Required', 'empty', M, CLEAR, CONNECTED),
  row(AVP_PPP_DISCONNECT, 'PPP Disconnect Cause Code', DISCONNECT, NO_M, HIDE, [CDN]),
  row(AVP_FAILOVER_CAPABILITY, 'Failover Capability', FAILOVER, NO_M, HIDE, START),
  row(AVP_TUNNEL_RECOVERY, 'Tunnel Recovery', pair('tunnel', 'remoteTunnel'), M, CLEAR, [SCCRQ]),
  row(78, 'Suggested Control Sequence', pair('ns', 'nr'), NO_M, HIDE, START),
  row(AVP_FAILOVER_SESSION, 'Failover Session State', pair('session', 'remoteSession'), null, CLEAR, [FSQ, FSR]),
];

const BY_TYPE = new Map(AVP_TABLE.map((definition) => [definition.type, definition]));

/** The definition of an IETF AVP (vendor id 0), or undefined for one that this table does not know. */
export function avpDefinition(type: number): AvpDefinition | undefined {
  return BY_TYPE.get(type);
}
