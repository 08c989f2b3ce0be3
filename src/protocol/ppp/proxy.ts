/**
 * What a LAC has learnt of a call before the LNS has it: RFC 2661 §4.4.5, AVPs 26 to 33. Options are the body of a
 * Configure-Request from its first option on.
 */

import type { AuthMethod } from './options.js';

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

/** What the peer has told the LAC, as an answer that the LNS still has to judge. */
export interface ProxyAnswer {
  readonly method: AuthMethod;
  readonly id: number;
  readonly name: string;
  readonly challenge: Uint8Array | null;
  readonly response: Uint8Array;
}

/** Null: the LNS has to ask itself. `negotiated`: what LCP says how the peer proves itself. */
export function proxiedAnswer(proxy: ProxyLcp, negotiated: AuthMethod | null): ProxyAnswer | null {
  const { authType, authName: name, authChallenge: challenge, authId: id = 0, authResponse: response } = proxy;
  if (name === undefined || response === undefined) return null;
  if (authType === PROXY_AUTH.chap && negotiated === 'chap-md5' && challenge !== undefined) {
    return { method: 'chap-md5', id, name, challenge, response };
  }
  if (authType === PROXY_AUTH.pap && negotiated === 'pap')
    return { method: 'pap', id, name, challenge: null, response };
  // A password that was typed before PPP began; nobody waits for an answer to it.
  if (authType === PROXY_AUTH.text && negotiated === null)
    return { method: 'pap', id, name, challenge: null, response };
  return null;
}

/** The LAC's side of it. MS-CHAPv2 has no type of its own (RFC 2661 §4.4.5): the LNS challenges again. */
export function describeProxy(
  lcp: { readonly initialReceived: Uint8Array | null; readonly sent: Uint8Array; readonly received: Uint8Array },
  authenticator: {
    readonly method: AuthMethod;
    readonly name: string;
    readonly id: number;
    readonly challenge: Uint8Array | null;
    readonly response: Uint8Array | null;
  } | null,
): ProxyLcp {
  const described = {
    initialReceived: lcp.initialReceived ?? lcp.received,
    lastSent: lcp.sent,
    lastReceived: lcp.received,
  };
  if (authenticator === null || authenticator.response === null || authenticator.method === 'ms-chap-v2') {
    return { ...described, authType: PROXY_AUTH.none };
  }
  const { method, name: authName, id: authId, challenge, response: authResponse } = authenticator;
  if (method === 'pap') return { ...described, authType: PROXY_AUTH.pap, authName, authId, authResponse };
  const authChallenge = challenge as Uint8Array;
  return { ...described, authType: PROXY_AUTH.chap, authName, authChallenge, authId, authResponse };
}
