/**
 * Changing a 16-bit channel inside a control message (a virtual id in place of the server's), with the UDP checksum
 * repaired incrementally (RFC 1624 eqn. 3). Control messages only, so this runs in TypeScript, before the rewrite.
 */
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';

const IPPROTO_UDP = 17;
const UDP_CHECKSUM = 6;
const UDP_HEADER_LENGTH = 8;

/** Writes `value` over the assigned channel. False when the message does not carry one that can be read. */
export function patchAssigned(
  batch: Batch,
  i: number,
  descriptor: TunnelDescriptor,
  value: number,
  secret: Uint8Array | undefined,
): boolean {
  const field = descriptor.assignedOffset(batch.view, batch.l4[i], batch.end[i]);
  if (field >= 0) return patchWord(batch, i, field, value);
  if (secret === undefined || descriptor.rehide === undefined) return false;
  const before = sum(batch, i);
  if (!descriptor.rehide(batch.view, batch.l4[i], batch.end[i], secret, value)) return false;
  repair(batch, i, before, sum(batch, i));
  return true;
}

/** Writes a 16-bit word of the segment, `field` a byte offset in the batch's memory. */
export function patchWord(batch: Batch, i: number, field: number, value: number): true {
  const { view } = batch;
  const before = view.getUint16(field);
  if (before === value) return true;
  view.setUint16(field, value);
  // A field at an odd distance straddles two checksum words; its bytes then count swapped (RFC 1071 §2B).
  const odd = ((field - batch.l4[i]) & 1) !== 0;
  repair(batch, i, odd ? swap(before) : before, odd ? swap(value) : value);
  return true;
}

/** Brings the UDP checksum up to date. */
function repair(batch: Batch, i: number, before: number, after: number): void {
  if (batch.ipProtocol[i] !== IPPROTO_UDP) return;
  const { view } = batch;
  const at = batch.l4[i] + UDP_CHECKSUM;
  const checksum = view.getUint16(at);
  if (checksum === 0) return; // none sent: it stays none
  const next = adjust(checksum, before, after);
  view.setUint16(at, next === 0 ? 0xffff : next);
}

/** Ones' complement sum of what stands behind the UDP header. */
function sum(batch: Batch, i: number): number {
  const { view } = batch;
  const end = batch.end[i];
  let total = 0;
  let at = batch.l4[i] + UDP_HEADER_LENGTH;
  for (; at + 1 < end; at += 2) total += view.getUint16(at);
  if (at < end) total += view.getUint8(at) << 8;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

function adjust(checksum: number, before: number, after: number): number {
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const swap = (word: number): number => ((word & 0xff) << 8) | (word >>> 8);
