/** The way from an LNS to its peer: a control connection of their own, or a LAC that passes messages on. */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';

/** Delivers in order and once, as long as it stands. */
export interface OffloadChannel {
  /** False: too much waits already, nothing was taken. */
  send(type: number, avps: readonly AvpInput[]): boolean;
}

/** What the ends of a channel tell each other when it comes to stand (SCCRQ, SCCRP). */
export interface PeerHello {
  readonly version: number;
  /** Eight bytes, chosen by chance at the start of the process. */
  readonly instance: Uint8Array;
  readonly generation: number;
}

export const instanceText = (instance: Uint8Array): string =>
  Array.from(instance, (byte) => byte.toString(16).padStart(2, '0')).join('');
