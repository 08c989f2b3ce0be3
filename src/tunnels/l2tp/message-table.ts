/**
 * The control messages of L2TPv2 as data: RFC 2661 §3.2 and §6, and the names that later RFCs gave to further numbers.
 */
export const SCCRQ = 1;
export const SCCRP = 2;
export const SCCCN = 3;
export const STOPCCN = 4;
export const HELLO = 6;
export const OCRQ = 7;
export const OCRP = 8;
export const OCCN = 9;
export const ICRQ = 10;
export const ICRP = 11;
export const ICCN = 12;
export const CDN = 14;
export const WEN = 15;
export const SLI = 16;
export const FSQ = 21;
export const FSR = 22;

export interface MessageDefinition {
  readonly type: number;
  readonly name: string;
  /** Types of the AVPs that must be in it, in the order of the RFC. */
  readonly required: readonly number[];
}

const message = (type: number, name: string, required: readonly number[] = [0]): MessageDefinition => ({
  type,
  name,
  required,
});

/** In the order of their numbers; 0, 5 and 13 are reserved. */
export const MESSAGE_TABLE: readonly MessageDefinition[] = [
  message(SCCRQ, 'SCCRQ', [0, 2, 7, 3, 9]),
  message(SCCRP, 'SCCRP', [0, 2, 3, 7, 9]),
  message(SCCCN, 'SCCCN'),
  message(STOPCCN, 'StopCCN', [0, 9, 1]),
  message(HELLO, 'Hello'),
  message(OCRQ, 'OCRQ', [0, 14, 15, 16, 17, 18, 19, 21]),
  message(OCRP, 'OCRP', [0, 14]),
  message(OCCN, 'OCCN', [0, 24, 19]),
  message(ICRQ, 'ICRQ', [0, 14, 15]),
  message(ICRP, 'ICRP', [0, 14]),
  message(ICCN, 'ICCN', [0, 24, 19]),
  message(CDN, 'CDN', [0, 1, 14]),
  message(WEN, 'WEN', [0, 34]),
  message(SLI, 'SLI', [0, 35]),
  message(17, 'MDMST'), // RFC 3573; from here on the names are what is of use
  message(18, 'SRRQ'), // RFC 3817
  message(19, 'SRRP'),
  message(FSQ, 'FSQ', [0, 79]), // RFC 4951
  message(FSR, 'FSR', [0, 79]),
  message(23, 'MSRQ'), // RFC 4045
  message(24, 'MSRP'),
  message(25, 'MSE'),
  message(26, 'MSI'),
  message(27, 'MSEN'),
  message(28, 'CSUN'), // RFC 5515
  message(29, 'CSURQ'),
];

/** Name of a zero-length body: a header that only acknowledges (RFC 2661 §5.8). */
export const ZLB_NAME = 'ZLB';
/** Name of a message that the table does not know. */
export const UNKNOWN_NAME = 'unknown';
/** Name of a message whose Message Type AVP carries a vendor id. */
export const VENDOR_NAME = 'vendor';

const NAMES: readonly string[] = (() => {
  const names: string[] = new Array(MESSAGE_TABLE[MESSAGE_TABLE.length - 1].type + 1).fill(UNKNOWN_NAME);
  for (const { type, name } of MESSAGE_TABLE) names[type] = name;
  return names;
})();

/** Name of a message type of vendor 0; UNKNOWN_NAME where there is none. Allocates nothing. */
export function messageName(type: number): string {
  return type < NAMES.length ? NAMES[type] : UNKNOWN_NAME;
}

const BY_TYPE = new Map(MESSAGE_TABLE.map((definition) => [definition.type, definition]));

export function messageDefinition(type: number): MessageDefinition | undefined {
  return BY_TYPE.get(type);
}
