/**
 * One end of L2TPv2 with all its control connections, LNS or LAC or both: RFC 2661 §5 to §7. Bytes and time (seconds,
 * monotonic, given by the caller) in; bytes, events and `nextTime` out. It throws on no bytes of a peer.
 */
import type { L2tpEvent } from './events.js';
import type { Datagram, Peer } from './peer.js';
import type { TunnelProfile } from './profile.js';
import type { TunnelSnapshot } from './snapshot.js';
import type { L2tpTunnel } from './tunnel.js';

export interface EndpointLimits {
  /** Tunnels at a time, those that are ending included. Default 65,535. */
  readonly tunnels?: number;
  /** Tunnels that were requested and do not stand yet. Default 4,096. */
  readonly halfOpen?: number;
}

export interface EndpointOptions {
  readonly hostName: string;
  readonly vendorName?: string;
  readonly firmware?: number;
  /** Bytes that nobody can guess. */
  readonly random: (length: number) => Uint8Array;
  /** Tunnel ids that this end assigns, both included. Default 1 … 65535. */
  readonly tunnelIds?: readonly [low: number, high: number];
  readonly limits?: EndpointLimits;
  /** Vendors whose messages and AVPs the owner understands. */
  readonly vendors?: readonly number[];
  /** How to deal with a peer that dials (host name as it says) or whose tunnel is adopted; null: it is not authorised. */
  readonly profile: (peer: Peer, hostName: string | null) => TunnelProfile | null;
}

/** Why a tunnel could not be adopted. */
export type AdoptRefusal = 'id-in-use' | 'limit' | 'bad-snapshot' | 'not-authorised';

export declare class L2tpEndpoint {
  constructor(options: EndpointOptions);
  /** Everything that can happen, by name; among them every reason for which `receive` drops. */
  readonly counters: Readonly<Record<string, number>>;
  /** By local id: those that are not closed. */
  readonly tunnels: ReadonlyMap<number, L2tpTunnel>;
  /** A UDP payload. 'taken', or the name of the reason for which it was dropped; 'not-control': data, not for here. */
  receive(bytes: Uint8Array, from: Peer, now: number): string;
  /** Dials. Null: the limit of tunnels is reached. */
  open(to: Peer, profile: TunnelProfile, now: number): L2tpTunnel | null;
  /** Takes a tunnel that another process had: nothing is negotiated; a Hello finds out where the peer's numbers are. */
  adopt(snapshot: TunnelSnapshot, peer: Peer, now: number, profile?: TunnelProfile): L2tpTunnel | AdoptRefusal;
  /** What is to be sent now. To be called after every turn and at `nextTime`. */
  output(now: number): Datagram[];
  /** What has happened since the last call. */
  events(): L2tpEvent[];
  /** When `output` has to be called next; Infinity: when something comes. */
  get nextTime(): number;
  /** Nothing waits for an acknowledgement: after `stop` of all tunnels, the process may end. */
  get quiet(): boolean;
  /** Another range of tunnel ids for tunnels to come (an LNS that takes over its peer's). */
  setTunnelIds(low: number, high: number): void;
}
