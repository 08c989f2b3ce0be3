/** Tunnels and sessions as plain data: numbers, text, bytes. Whoever has it can go on with them. */
import type { Avp } from '../../tunnels/l2tp/avp.js';
import type { Peer } from './peer.js';
import type { SessionAttributes } from './session-attributes.js';

export type CallKind = 'incoming' | 'outgoing';

/** An established call. */
export interface SessionSnapshot {
  readonly localId: number;
  readonly peerId: number;
  readonly kind: CallKind;
  /** We asked for the call. */
  readonly ours: boolean;
  readonly attributes: SessionAttributes;
}

/** An established tunnel with its established calls. */
export interface TunnelSnapshot {
  readonly localId: number;
  readonly peerId: number;
  readonly peer: Peer;
  /** We dialled. */
  readonly ours: boolean;
  /** Number of the first message of `pending`, or of the next one that we send. */
  readonly ns: number;
  /** Number that the peer's next message has. */
  readonly nr: number;
  /** Whole messages that were not acknowledged yet, in order. */
  readonly pending: readonly Uint8Array[];
  /** Receive window of the peer, messages. */
  readonly peerWindow: number;
  readonly hostName: string;
  readonly vendorName: string;
  readonly peerAvps: readonly Avp[];
  /** Call Serial Number of the next call of ours. */
  readonly nextSerial: number;
  readonly sessions: readonly SessionSnapshot[];
}
