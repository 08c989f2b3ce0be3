/**
 * Changing a 16-bit channel inside a control message (a virtual id in place of the server's), with the UDP checksum
 * repaired incrementally (RFC 1624 eqn. 3). Control messages only, so this runs in TypeScript, before the rewrite.
 */
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';

const IPPROTO_UDP = 17;
const UDP_CHECKSUM = 6;

/** Writes `value` over the assigned channel. False when the message does not carry a visible one. */
export function patchAssigned(batch: Batch, i: number, descriptor: TunnelDescriptor, value: number): boolean {
  const { view } = batch;
  const l4 = batch.l4[i];
  const field = descriptor.assignedOffset(view, l4, batch.end[i]);
  if (field < 0) return false;
  const before = view.getUint16(field);
  if (before === value) return true;
  view.setUint16(field, value);
  if (batch.ipProtocol[i] !== IPPROTO_UDP) return true;
  const checksum = view.getUint16(l4 + UDP_CHECKSUM);
  if (checksum === 0) return true; // none sent: it stays none
  // A field at an odd distance straddles two checksum words; its bytes then count swapped (RFC 1071 §2B).
  const odd = ((field - l4) & 1) !== 0;
  const next = adjust(checksum, odd ? swap(before) : before, odd ? swap(value) : value);
  view.setUint16(l4 + UDP_CHECKSUM, next === 0 ? 0xffff : next);
  return true;
}

function adjust(checksum: number, before: number, after: number): number {
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const swap = (word: number): number => ((word & 0xff) << 8) | (word >>> 8);
