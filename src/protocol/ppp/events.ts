/** What a PPP link tells its owner. */
import type { AuthMethod } from './options.js';

/** What one end may be sent, as negotiated: the side that asked for it is the side that receives. */
export interface LcpValues {
  /** Bytes of information; 1500 when nobody spoke of it (RFC 1661 §6.1). */
  mru: number;
  /** Asynchronous control character map; 0xffffffff when nobody spoke of it. */
  accm: number;
  /** 0: none. */
  magic: number;
  pfc: boolean;
  acfc: boolean;
  /** What this side demanded of the other, null nothing. */
  auth: AuthMethod | null;
}

/**
 * Both what was negotiated and what was required (seed document 002). `local`: what we asked and may be sent; `peer`:
 * what the peer asked and may be sent: its `mru` limits our packets, its `pfc`/`acfc` allow us to compress.
 */
export interface PppParameters {
  readonly local: Readonly<LcpValues>;
  readonly peer: Readonly<LcpValues>;
  readonly required: { readonly mru: number; readonly mruMin: number; readonly authenticate: readonly AuthMethod[] };
}

/** Asks the owner to judge what the peer says of itself; answered with `authenticated`, now or later. */
export interface AuthenticateRequest {
  readonly type: 'authenticate';
  readonly method: AuthMethod;
  /** The packet's identifier: RADIUS wants it in CHAP-Password. */
  readonly id: number;
  readonly name: string;
  /** PAP. */
  readonly password?: Uint8Array;
  /** CHAP: what was asked (16 bytes for MS-CHAPv2), by us or by the LAC. */
  readonly challenge?: Uint8Array;
  /** CHAP-MD5: 16 bytes. MS-CHAPv2: 49 bytes as in RFC 2759 §4. */
  readonly response?: Uint8Array;
}

/** `by`: who ended the link. */
export interface PppEnd {
  readonly type: 'down';
  readonly by: 'us' | 'peer';
  readonly reason: PppEndReason;
}

export type PppEndReason =
  /** The owner's wish (`terminate`), or the peer's Terminate-Request. */
  | 'terminated'
  /** No answer to our Configure-Requests. */
  | 'no-answer'
  /** Options that neither side would give up. */
  | 'no-agreement'
  | 'authentication-refused'
  | 'authentication-failed'
  | 'authentication-timeout'
  /** The peer's MS-CHAPv2 success does not prove that it knows the password. */
  | 'authenticator-wrong'
  | 'echo-lost'
  | 'loopback'
  /** The peer rejected LCP itself, or a code that nobody can do without. */
  | 'protocol-error'
  /** No network protocol came up in time, or the last one went. */
  | 'no-network';

export type PppEvent =
  /** LCP is open: what was agreed on. Authentication follows. */
  | { readonly type: 'link-up'; readonly parameters: PppParameters }
  | AuthenticateRequest
  /** Server: the peer is let in (or need not prove itself); who gives it addresses calls `assign`. */
  | { readonly type: 'network-request' }
  /** Authentication is done both ways; network protocols may open. `name`: the peer's, '' when it proved nothing. */
  | {
      readonly type: 'up';
      readonly parameters: PppParameters;
      readonly method: AuthMethod | null;
      readonly name: string;
    }
  | {
      readonly type: 'network-up';
      readonly protocol: 'ipv4';
      readonly local: Uint8Array;
      readonly peer: Uint8Array;
      /** Client: those that it was told. Server: those that the peer took. */
      readonly dns: readonly Uint8Array[];
    }
  /** Interface ids, 8 bytes: the link-local address is fe80::/64 with it. */
  | { readonly type: 'network-up'; readonly protocol: 'ipv6'; readonly local: Uint8Array; readonly peer: Uint8Array }
  | { readonly type: 'network-down'; readonly protocol: 'ipv4' | 'ipv6' }
  /** The peer began LCP anew on an open link: nothing may be sent until `up` comes again. */
  | { readonly type: 'renegotiating' }
  /** `network: 'none'`: `proxy()` has everything that a LAC tells its LNS. */
  | { readonly type: 'proxy-ready'; readonly method: AuthMethod | null; readonly name: string }
  | PppEnd;
