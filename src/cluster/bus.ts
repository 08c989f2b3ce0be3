/**
 * What carries messages between the members of a cluster, whichever driver does it: `local` (one machine, nothing to
 * install), `udp` (a few members with fixed addresses), `nats`. Messages are at most CLUSTER_BODY_LIMIT bytes; they may be
 * lost, repeated is none, and their order is nobody's promise.
 */
import type { ClusterSubject } from '../wire/cluster-bus.js';

export interface BusMember {
  readonly number: number;
  /** Its life: another one after every start. */
  readonly incarnation: number;
  /** Seconds since it was heard last, and since it is a member. */
  readonly age: number;
  readonly since: number;
  /** Does it hear us too? */
  readonly hearsUs: boolean;
  /** What it tells of itself. */
  readonly text: Uint8Array;
}

export interface BusChange {
  readonly kind: 'joined' | 'left';
  readonly number: number;
  /** left: `leaves` it said so, `silent` nothing was heard. */
  readonly reason?: 'leaves' | 'silent' | 'restarted';
}

export type BusState = { readonly state: 'up' } | { readonly state: 'degraded'; readonly reason: string };

/** `body` is only valid during the call. */
export type BusHandler = (from: number, incarnation: number, body: Uint8Array) => void;

export interface ClusterBus {
  readonly driver: 'local' | 'udp' | 'nats';
  readonly number: number;
  /** Of our own life. */
  readonly incarnation: number;
  readonly state: BusState;
  /** Sends to all members, or to one. The bytes may be used again afterwards. */
  publish(subject: ClusterSubject, body: Uint8Array, target?: number): void;
  /** One handler a subject; `status` is the bus's own. */
  subscribe(subject: ClusterSubject, handler: BusHandler): void;
  /** What others see as our `text`, at most STATUS_TEXT_LIMIT bytes. */
  tell(text: Uint8Array): void;
  members(): readonly BusMember[];
  onChange(listener: (change: BusChange) => void): void;
  onState(listener: (state: BusState) => void): void;
  counters(): Readonly<Record<string, number>>;
  /** Tells the others and gives sockets and timers back. */
  close(): Promise<void>;
}
