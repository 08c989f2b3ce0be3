/**
 * What a PPP link is told when it is made. One options object may be shared by all links of a server: the engine never
 * writes to it, except to the counters that hang on it.
 */
import type { PppCounters } from './counters.js';

/** How an end proves who it is. Preference is the order in which they stand in a list. */
export type AuthMethod = 'pap' | 'chap-md5' | 'ms-chap-v2';

export const AUTH_METHODS: readonly AuthMethod[] = ['pap', 'chap-md5', 'ms-chap-v2'];

/** LCP, RFC 1661 §6 and RFC 1662 §7.1. */
export interface LcpOptions {
  /** The largest information field that this end wants to be sent, bytes; told when it is not 1500. Default 1500. */
  readonly mru?: number;
  /** A peer that wants to be sent less than this is told this. Default 128. */
  readonly mruMin?: number;
  /** The control characters that this end wants escaped on an asynchronous line; null: not asked. Default null. */
  readonly accm?: number | null;
  /** Ask for a magic number: finds loops. Default true. */
  readonly magic?: boolean;
  /** Ask the peer to leave out what Protocol-Field-Compression allows. Default false. */
  readonly offerPfc?: boolean;
  /** The same for Address-and-Control-Field-Compression. Default false. */
  readonly offerAcfc?: boolean;
  /** Let the peer ask for PFC; it is acknowledged then, and this end may use it. Default true. */
  readonly acceptPfc?: boolean;
  readonly acceptAcfc?: boolean;
}

/** With what this end proves itself when the peer asks for it. */
export interface Credentials {
  readonly name: string;
  readonly password: string;
  /** What this end lets itself be asked for, best first. */
  readonly methods: readonly AuthMethod[];
}

export interface EchoOptions {
  /** Seconds of silence between Echo-Requests; 0: none are sent. */
  readonly every: number;
  /** So many without an answer end the link. */
  readonly failures: number;
}

/** RFC 1661 §4.6, and the patience of what has no timer there. Seconds and counts. */
export interface PppTimers {
  /** Restart timer. Default 3. */
  readonly restart?: number;
  /** Configure-Requests without an answer. Default 10. */
  readonly maxConfigure?: number;
  /** Terminate-Requests without an answer. Default 2. */
  readonly maxTerminate?: number;
  /** Configure-Naks before they become rejects. Default 10: lost ones count too. */
  readonly maxFailure?: number;
  /** From the opening of LCP until the peer, and this end, are authenticated. Default 30. */
  readonly authenticate?: number;
  /** From authentication until some network protocol is open. Default 60. */
  readonly network?: number;
  /** Seconds between repeated CHAP challenges of an open link; 0: never. Default 0. */
  readonly challengeAgain?: number;
}

export interface PppOptions {
  /** Random bytes: magic numbers, challenges, interface ids. */
  readonly random: (length: number) => Uint8Array;
  /** The name in our challenges and in our PAP answers. */
  readonly hostName: string;
  /** What the peer may prove itself with, best first; empty: it need not. */
  readonly authenticate: readonly AuthMethod[];
  /** Absent: this end refuses to prove itself. */
  readonly credentials?: Credentials;
  readonly lcp?: LcpOptions;
  readonly echo?: EchoOptions;
  readonly timers?: PppTimers;
  /**
   * `server`: waits for `assign` and hands out addresses. `client`: asks for addresses as soon as it may. `none`: stops
   * after the peer's first words of authentication, as a LAC does that passes the call on (`proxy` says what was learnt).
   */
  readonly network: 'server' | 'client' | 'none';
  /** Client: what it wants. Server: what it serves at all. Default IPv4 alone. */
  readonly protocols?: { readonly ipv4?: boolean; readonly ipv6?: boolean };
  /** Client: ask for DNS servers too. Default true. */
  readonly wantDns?: boolean;
  /** Shared by all links of the owner; private when absent. */
  readonly counters?: PppCounters;
}

/** The server's answer to `network-request`. Addresses are 4 bytes; interface ids 8. */
export interface NetworkAssignment {
  readonly ipv4?: {
    /** This end's address. */
    readonly local: Uint8Array;
    readonly peer: Uint8Array;
    /** At most two; the rest is not told. */
    readonly dns?: readonly Uint8Array[];
  };
  readonly ipv6?: {
    /** This end's interface id; made up when absent. */
    readonly localId?: Uint8Array;
    /** Prescribed to the peer; when absent it has what it asks for, if it is usable. */
    readonly peerId?: Uint8Array;
  };
}
