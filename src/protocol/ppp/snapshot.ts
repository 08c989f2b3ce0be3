/**
 * All that another process needs to go on with a link as if nothing had happened: plain data, addresses as bytes. Made
 * by `PppLink.snapshot`, taken by `PppLink.restore`; how it travels is the business of state offload.
 */
import type { LcpValues } from './events.js';
import type { AuthMethod, NetworkAssignment } from './options.js';

export type PppPhase = 'dead' | 'establish' | 'authenticate' | 'network' | 'terminate' | 'ended';

/** What became of a protocol that is never used here: the peer never spoke of it, or was refused. */
export type RefusedProtocol = 'not-seen' | 'rejected';

export interface PppSnapshot {
  /** 'network' is what can be taken over without the peer's noticing; from others a restored link begins anew. */
  readonly phase: PppPhase;
  readonly lcp: {
    readonly local: LcpValues;
    readonly peer: LcpValues;
    readonly required: { readonly mru: number; readonly mruMin: number; readonly authenticate: readonly AuthMethod[] };
    /** Bodies of the last Configure-Requests, sent and received. */
    readonly lastSent: Uint8Array;
    readonly lastReceived: Uint8Array;
    /** Identifier of the next request. */
    readonly nextId: number;
  };
  /** How the peer proved itself. */
  readonly auth: { readonly method: AuthMethod | null; readonly name: string; readonly id: number };
  readonly assignment: NetworkAssignment | null;
  readonly ipv4: {
    readonly open: boolean;
    readonly local: Uint8Array;
    readonly peer: Uint8Array;
    readonly dns: readonly Uint8Array[];
    /** IP header compression is never agreed to: whether the peer asked for it. */
    readonly vj: RefusedProtocol;
    readonly nextId: number;
  } | null;
  readonly ipv6: {
    readonly open: boolean;
    readonly local: Uint8Array;
    readonly peer: Uint8Array;
    readonly nextId: number;
  } | null;
  readonly ccp: RefusedProtocol;
  /** Protocol numbers that the peer rejected. */
  readonly peerRejected: readonly number[];
}
