/**
 * What a LAC has learnt of a call before the LNS has it: RFC 2661 §4.4.5, AVPs 26 to 33. Options are the body of a
 * Configure-Request from its first option on.
 */

/** Proxy Authen Type (AVP 29). */
export const PROXY_AUTH = { text: 1, chap: 2, pap: 3, none: 4, msChapV1: 5 } as const;

export interface ProxyLcp {
  /** AVP 26: the first that the LAC received. */
  readonly initialReceived?: Uint8Array;
  /** AVP 27: the last that the LAC sent, and the peer acknowledged. */
  readonly lastSent?: Uint8Array;
  /** AVP 28: the last that the LAC received, and acknowledged. */
  readonly lastReceived?: Uint8Array;
  /** AVP 29; absent when the LAC did not authenticate. */
  readonly authType?: number;
  /** AVP 30. */
  readonly authName?: string;
  /** AVP 31: what the LAC asked (CHAP). */
  readonly authChallenge?: Uint8Array;
  /** AVP 32: the identifier, 0 to 255. */
  readonly authId?: number;
  /** AVP 33: the CHAP response, or the PAP password in the clear. */
  readonly authResponse?: Uint8Array;
}
