/** What the host table of a gateway group takes and gives (document 004). Times are seconds of the caller's monotonic clock. */
import type { AddressWords } from '../../wire/address.js';
import type { Mac } from '../mac.js';
import type { Algorithm, RebalanceOptions } from '../types.js';

/** One forwarder (virtual MAC) as the group sees it now. */
export interface ForwarderView {
  /** 1 … 255; the number of the gateway that owns it. */
  readonly number: number;
  /** The gateway that receives its frames now; 0: none, so no reply names it. */
  readonly server: number;
  /** False: hosts that have it may keep it while it is served, no host is given it. */
  readonly givenOut: boolean;
  /** Its gateway's part of the hosts, relative to the others; 0: it gets none while another has a weight. */
  readonly weight: number;
  /** How busy its gateway says it is, 0 … 1. */
  readonly load: number;
}

/** What may change while the group runs. */
export interface HostsSettings {
  readonly algorithm: Algorithm;
  /** False: a host that asks again is selected for again. */
  readonly sticky: boolean;
  /** Seconds after which a host that asked nothing is forgotten. */
  readonly hostIdle: number;
  /** How hosts of a gateway that was away come back: some at a time, or not, or all at the pace of moves. */
  readonly return: 'gradual' | 'stay' | 'at-once';
  /** Null: hosts stay where they are. */
  readonly rebalance: RebalanceOptions | null;
}

export interface HostsOptions extends HostsSettings {
  /** This gateway's own number. */
  readonly number: number;
  /** Hosts remembered, at most 65,536. */
  readonly hostLimit: number;
  /** Hosts told of a new gateway in a second. Default 400. */
  readonly movesPerSecond?: number;
  /** Hosts that come back to a gateway in a second when `return` is gradual. Default 10. */
  readonly returnsPerSecond?: number;
  /** Longest body of a message to another member, in bytes. Default 1,400. */
  readonly bodyLimit?: number;
}

/** To another member (`to` is its number) or to all of them (0). The body is opaque to whoever carries it. */
export interface HostMessage {
  readonly to: number;
  readonly body: Uint8Array;
}

export type MoveReason = 'redistribute' | 'vacate' | 'return' | 'rebalance' | 'command' | 'repeat' | 'straggler';

/** A host to be told now that its gateway is `to`. `from` may equal `to` when it is told again. */
export interface Move {
  readonly host: Mac;
  readonly addresses: readonly AddressWords[];
  readonly from: number;
  readonly to: number;
  readonly reason: MoveReason;
}

export interface Asked {
  /** The address the host asked from; null: none (an ARP probe, duplicate address detection). */
  readonly address: AddressWords | null;
  /** False: the answer consumes no turn and is not remembered for a host that is not known yet. */
  readonly turn: boolean;
  /** The forwarder at whose virtual MAC the host asked by unicast; 0 or absent: it asked everybody. */
  readonly uses?: number;
}

export type HostEvent =
  | { readonly kind: 'moving'; readonly reason: MoveReason; readonly forwarder: number; readonly hosts: number }
  | { readonly kind: 'moved'; readonly reason: MoveReason; readonly forwarder: number; readonly hosts: number }
  | { readonly kind: 'table-full'; readonly limit: number }
  | { readonly kind: 'table-received'; readonly from: number; readonly hosts: number };
