/**
 * Body of a cluster's status message: what its sender heard last of each other member, and what it tells of itself.
 *
 * ```
 *  0  flags (1: it leaves)   2  interval, milliseconds   6  entries, 14 bytes each    ..  text of its own (a name, its load,
 *  1  count of entries       4  length of the text           number, 0, incarnation       whatever its user puts there)
 *                                                            (48 bit), sequence (48 bit)
 * ```
 */
import { readWord48, writeWord48 } from './cluster-bus.js';

export const STATUS_ENTRY_LENGTH = 14;
export const STATUS_TEXT_LIMIT = 640;
/** With a text of any length they fit into a frame. */
export const STATUS_ENTRY_LIMIT = 48;

const HEAD = 6;
const LEAVES = 1;

export interface StatusEntry {
  readonly number: number;
  readonly incarnation: number;
  readonly sequence: number;
}

export interface ClusterStatus {
  readonly leaves: boolean;
  /** Seconds between two of them. */
  readonly interval: number;
  readonly heard: readonly StatusEntry[];
  readonly text: Uint8Array;
}

/** Errors: RangeError, more entries or text than there is room for. */
export function emitClusterStatus(status: ClusterStatus): Uint8Array {
  const { heard, text } = status;
  if (heard.length > STATUS_ENTRY_LIMIT || text.length > STATUS_TEXT_LIMIT)
    throw new RangeError(`a status of ${heard.length} entries and ${text.length} bytes fits into no frame`);
  const body = new Uint8Array(HEAD + heard.length * STATUS_ENTRY_LENGTH + text.length);
  const view = new DataView(body.buffer);
  view.setUint8(0, status.leaves ? LEAVES : 0);
  view.setUint8(1, heard.length);
  view.setUint16(2, Math.min(0xffff, Math.max(1, Math.round(status.interval * 1000))));
  view.setUint16(4, text.length);
  let at = HEAD;
  for (const { number, incarnation, sequence } of heard) {
    view.setUint8(at, number);
    writeWord48(view, at + 2, incarnation);
    writeWord48(view, at + 8, sequence);
    at += STATUS_ENTRY_LENGTH;
  }
  body.set(text, at);
  return body;
}

/** null: it is not one. */
export function readClusterStatus(body: Uint8Array): ClusterStatus | null {
  if (body.length < HEAD) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const count = view.getUint8(1);
  const length = view.getUint16(4);
  const interval = view.getUint16(2);
  if (count > STATUS_ENTRY_LIMIT || length > STATUS_TEXT_LIMIT || interval === 0) return null;
  if (body.length !== HEAD + count * STATUS_ENTRY_LENGTH + length) return null;
  const heard: StatusEntry[] = [];
  for (let i = 0, at = HEAD; i < count; i++, at += STATUS_ENTRY_LENGTH)
    heard.push({
      number: view.getUint8(at),
      incarnation: readWord48(view, at + 2),
      sequence: readWord48(view, at + 8),
    });
  return {
    leaves: (view.getUint8(0) & LEAVES) !== 0,
    interval: interval / 1000,
    heard,
    text: body.slice(body.length - length),
  };
}
