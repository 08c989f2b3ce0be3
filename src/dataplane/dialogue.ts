/**
 * The control dialogue of a tunnel as it passes by: which sequence numbers each end has used and acknowledged, in the two
 * sequence words of the tunnel's record, so that whoever reads the record can go on with it (RFC 2661 §5.8).
 *
 * A sequence word holds `next << 16 | acknowledged`: the Ns that this end's next message will have, as far as seen, and
 * the highest Nr that it has sent, which is the Ns that it expects. Both only grow (modulo 65536).
 */
import { RECORD } from '../flow/layout.js';
import type { ControlEvent } from '../tunnels/descriptor.js';
import type { TunnelStore } from './tunnel-store.js';

/** Nothing that wants an answer: an acknowledgement, or a protocol without sequence numbers. */
export const SAID_NOTHING = 0;
/** A message seen for the first time. */
export const SAID = 1;
/** One that was seen before and that the other end has not acknowledged yet. */
export const REPEATED = 2;
/** One that was seen before and has been acknowledged: only the acknowledgement was lost behind us. */
export const REPEATED_LATE = 3;

/** a comes after b, over a window of 32768 (RFC 2661 §5.8). */
export function after(a: number, b: number): boolean {
  return a !== b && ((a - b) & 0xffff) < 0x8000;
}

/** Enters a message of a tunnel into its record and says what it is. */
export function noteMessage(store: TunnelStore, record: number, fromClient: boolean, event: ControlEvent): number {
  if (event.ns < 0) return SAID_NOTHING;
  const own = fromClient ? RECORD.clientSequence : RECORD.serverSequence;
  const word = store.word(record, own);
  const known = word >>> 16;
  const next = event.hasBody ? (event.ns + 1) & 0xffff : event.ns;
  const acknowledged = word & 0xffff;
  const isNew = after(next, known);
  const nr = after(event.nr, acknowledged) ? event.nr : acknowledged;
  const now = isNew ? next : known;
  if (now !== known || nr !== acknowledged) store.setSequence(record, fromClient, now, nr);
  if (!event.hasBody) return SAID_NOTHING;
  if (isNew) return SAID;
  const other = store.word(record, fromClient ? RECORD.serverSequence : RECORD.clientSequence) & 0xffff;
  return after(other, event.ns) ? REPEATED_LATE : REPEATED;
}
