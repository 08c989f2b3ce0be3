/** A control connection with its calls, RFC 2661 §5 and §7.2; either end. */
import type { Avp, AvpInput } from '../../tunnels/l2tp/avp.js';
import type { SessionPair } from './events.js';
import type { Peer } from './peer.js';
import type { FullTunnelProfile } from './profile.js';
import type { L2tpSession } from './session.js';
import type { CallAttributes } from './session-attributes.js';
import type { CallKind, SessionSnapshot, TunnelSnapshot } from './snapshot.js';

/** `requested`: a peer dialled, we have not answered; `wait-reply`, `wait-connect`: wait-ctl-reply and wait-ctl-conn of the RFC. */
export type TunnelState = 'requested' | 'wait-reply' | 'wait-connect' | 'established' | 'closing' | 'closed';

/** A message of a vendor's own (RFC 2661 §4.4.1), M = 0. */
export interface VendorMessage {
  readonly vendor: number;
  readonly type: number;
  readonly avps?: readonly AvpInput[];
  /** Session that it is about: its id of the peer goes into the header. */
  readonly session?: L2tpSession;
}

/** Why a session could not be put into a tunnel. */
export type SessionRefusal = 'id-in-use' | 'limit' | 'state';

export declare class L2tpTunnel {
  readonly localId: number;
  /** 0: not known yet. */
  readonly peerId: number;
  readonly state: TunnelState;
  readonly peer: Peer;
  /** We dialled. */
  readonly ours: boolean;
  /** The peer's. */
  readonly hostName: string;
  readonly vendorName: string;
  readonly profile: FullTunnelProfile;
  /** All AVPs of the peer's SCCRQ or SCCRP, hidden ones in the clear. */
  readonly peerAvps: readonly Avp[];
  /** By local id. */
  readonly sessions: ReadonlyMap<number, L2tpSession>;
  /** The owner's; the engine never looks at it. */
  userData: unknown;

  /** Answers a tunnel-request (SCCRP) with further AVPs; `socket`: answer from this one of our sockets (floating port). */
  accept(avps?: readonly AvpInput[], socket?: number): void;
  refuse(result: number, error?: number, message?: string): void;
  /** Ends it with a StopCCN: session-down for each call and tunnel-down follow at once. */
  stop(result?: number, error?: number, message?: string): void;
  /** Drops it and its calls without a word and without an event. */
  forget(): void;

  /** Asks for a call; where the tunnel does not stand yet, as soon as it does. Null: the session limit is reached. */
  call(kind: CallKind, attributes?: CallAttributes, avps?: readonly AvpInput[]): L2tpSession | null;
  /** Puts an established call here that was in another tunnel of the same two parties, with the ids of both ends. */
  adoptSession(snapshot: SessionSnapshot): L2tpSession | SessionRefusal;
  /** The same for a call of this endpoint: the object stays, only its tunnel changes. No message, no event. */
  moveHere(session: L2tpSession): true | SessionRefusal;

  /** True where the peer's SCCRQ or SCCRP had an AVP of this vendor: it understands its messages. */
  speaks(vendor: number): boolean;
  /** False: the peer does not speak it, the tunnel does not stand, or too much waits to be sent. */
  sendVendor(message: VendorMessage): boolean;
  /** Asks which of these sessions stand with the peer (FSQ, RFC 4951), in as many messages as it takes. */
  sendFsq(sessions: Iterable<L2tpSession>): boolean;
  /** Asks for a sign of life now. */
  sendHello(): boolean;
  /** Data came at this time: no Hello is needed for a while. */
  heard(now: number): void;

  /** Number of our next message, and of the peer's. */
  get ns(): number;
  get nr(): number;
  /** Messages that wait for an acknowledgement or to be sent. */
  get unacknowledged(): number;
  /** Calls that are not established are not in it. */
  snapshot(): TunnelSnapshot;
  /** Pairs that Failover Session State AVPs carry; for tests and logs. */
  pairs(): SessionPair[];
}
