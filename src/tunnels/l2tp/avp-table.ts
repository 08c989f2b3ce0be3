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
export const AVP_TIE_BREAKER = 5;
export const AVP_ASSIGNED_TUNNEL_ID = 9;
export const AVP_ASSIGNED_SESSION_ID = 14;
export const AVP_RANDOM_VECTOR = 36;
export const AVP_TUNNEL_RECOVERY = 77;

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
  row(2, 'Protocol Version', VERSION, M, CLEAR, START),
  row(3, 'Framing Capabilities', 'u32', M, HIDE, START),
  row(4, 'Bearer Capabilities', 'u32', M, HIDE, START),
  row(AVP_TIE_BREAKER, 'Tie Breaker', { octets: 8 }, NO_M, CLEAR, [SCCRQ]),
  row(6, 'Firmware Revision', 'u16', NO_M, HIDE, START),
  row(7, 'Host Name', 'text', M, CLEAR, START),
  row(8, 'Vendor Name', 'text', NO_M, HIDE, START),
  row(AVP_ASSIGNED_TUNNEL_ID, 'Assigned Tunnel ID', 'u16', M, HIDE, [SCCRQ, SCCRP, STOPCCN]),
  row(10, 'Receive Window Size', 'u16', M, CLEAR, START),
  secret(row(11, 'Challenge', 'octets', M, HIDE, START)),
  row(12, 'Q.931 Cause Code', CAUSE, M, CLEAR, [CDN]),
  secret(row(13, 'Challenge Response', { octets: 16 }, M, HIDE, [SCCRP, SCCCN])),
  row(AVP_ASSIGNED_SESSION_ID, 'Assigned Session ID', 'u16', M, HIDE, [OCRQ, OCRP, ICRQ, ICRP, CDN]),
  row(15, 'Call Serial Number', 'u32', M, HIDE, REQUESTS),
  row(16, 'Minimum BPS', 'u32', M, HIDE, [OCRQ]),
  row(17, 'Maximum BPS', 'u32', M, HIDE, [OCRQ]),
  row(18, 'Bearer Type', 'u32', M, HIDE, REQUESTS),
  row(19, 'Framing Type', 'u32', M, HIDE, [ICCN, OCRQ, OCCN]),
  row(21, 'Called Number', 'text', M, HIDE, REQUESTS),
  row(22, 'Calling Number', 'text', M, HIDE, [ICRQ]),
  row(23, 'Sub-Address', 'text', M, HIDE, REQUESTS),
  row(24, 'Tx Connect Speed', 'u32', M, HIDE, CONNECTED),
  row(25, 'Physical Channel ID', 'u32', NO_M, HIDE, [ICRQ, OCRP]),
  row(26, 'Initial Received LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(27, 'Last Sent LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(28, 'Last Received LCP CONFREQ', 'octets', NO_M, HIDE, [ICCN]),
  row(29, 'Proxy Authen Type', 'u16', NO_M, HIDE, [ICCN]),
  row(30, 'Proxy Authen Name', 'text', NO_M, HIDE, [ICCN]),
  secret(row(31, 'Proxy Authen Challenge', 'octets', NO_M, HIDE, [ICCN])),
  row(32, 'Proxy Authen ID', PROXY_ID, NO_M, HIDE, [ICCN]),
  secret(row(33, 'Proxy Authen Response', 'octets', NO_M, HIDE, [ICCN])),
  row(34, 'Call Errors', CALL_ERRORS, M, HIDE, [WEN]),
  row(35, 'ACCM', ACCM, M, HIDE, [SLI]),
  row(AVP_RANDOM_VECTOR, 'Random Vector', 'octets', M, CLEAR, []),
  row(37, 'Private Group ID', 'octets', NO_M, HIDE, [ICCN]),
  row(38, 'Rx Connect Speed', 'u32', NO_M, HIDE, CONNECTED),
  row(39, 'Sequencing Required', 'empty', M, CLEAR, CONNECTED),
  row(46, 'PPP Disconnect Cause Code', DISCONNECT, NO_M, HIDE, [CDN]),
  row(76, 'Failover Capability', FAILOVER, NO_M, HIDE, START),
  row(AVP_TUNNEL_RECOVERY, 'Tunnel Recovery', pair('tunnel', 'remoteTunnel'), M, CLEAR, [SCCRQ]),
  row(78, 'Suggested Control Sequence', pair('ns', 'nr'), NO_M, HIDE, START),
  row(79, 'Failover Session State', pair('session', 'remoteSession'), null, CLEAR, [FSQ, FSR]),
];

const BY_TYPE = new Map(AVP_TABLE.map((definition) => [definition.type, definition]));

/** The definition of an IETF AVP (vendor id 0), or undefined for one that this table does not know. */
export function avpDefinition(type: number): AvpDefinition | undefined {
  return BY_TYPE.get(type);
}
