/** Result and error codes of StopCCN and CDN, RFC 2661 §4.4.2. */

/** Result codes of a StopCCN. */
export const STOP_RESULT = {
  clear: 1,
  error: 2,
  exists: 3,
  notAuthorized: 4,
  version: 5,
  shutdown: 6,
  fsm: 7,
} as const;

/** Result codes of a CDN. */
export const CALL_RESULT = {
  lostCarrier: 1,
  error: 2,
  administrative: 3,
  temporaryLack: 4,
  permanentLack: 5,
  invalidDestination: 6,
  noCarrier: 7,
  busy: 8,
  noDialTone: 9,
  timeout: 10,
  noFraming: 11,
} as const;

/** General error codes, which go with result code 2 of either message. */
export const ERROR_CODE = {
  none: 0,
  noControlConnection: 1,
  length: 2,
  value: 3,
  resources: 4,
  sessionId: 5,
  vendor: 6,
  tryAnother: 7,
  unknownMandatory: 8,
} as const;

/** A Q.931 cause (RFC 2661 §4.4.6, AVP 12) or a PPP disconnect cause (RFC 3145, AVP 46), as a CDN may carry it. */
export interface DisconnectCause {
  readonly q931?: { readonly cause: number; readonly message: number; readonly advisory?: string };
  readonly ppp?: {
    readonly code: number;
    readonly protocol: number;
    readonly direction: number;
    readonly message?: string;
  };
}
