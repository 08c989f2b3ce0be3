/**
 * The key of the group that a tunnel request belongs to: a hash of its Host Name, its realm or its Calling Number, the
 * same at every designator. Names are compared without regard to case, as DNS does.
 */
import type { GroupKey } from '../designation/vip-servers.js';
import { newTunnelAttributes, type TunnelAttributes, type TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';

const AT = 0x40;
const DOT = 0x2e;

export class GroupKeys {
  readonly #attributes: TunnelAttributes = newTunnelAttributes();

  /** Key of the request in this frame, 0 when it has none. `seed`: the VIP's identity. */
  keyOf(batch: Batch, i: number, descriptor: TunnelDescriptor, by: GroupKey, seed: number): number {
    const a = this.#attributes;
    if (descriptor.attributes === undefined) return 0;
    descriptor.attributes(batch.view, batch.l4[i], batch.end[i], a);
    if (by === 'calling-number') return hash(a.view, a.callingAt, a.callingLength, seed);
    if (by === 'host-name') return hash(a.view, a.hostAt, a.hostLength, seed);
    const from = realmFrom(a.view, a.hostAt, a.hostLength);
    return hash(a.view, a.hostAt + from, a.hostLength - from, seed);
  }
}

/** The same for a text, for `explain`. 0: it has no such key. */
export function groupKey(by: GroupKey, text: string, seed: number): number {
  const bytes = new TextEncoder().encode(text);
  const view = new DataView(bytes.buffer);
  const from = by === 'realm' ? realmFrom(view, 0, bytes.length) : 0;
  return hash(view, from, bytes.length - from, seed);
}

/**
 * Where the realm begins in a Host Name: behind the last @ (`lac1@isp.example`), or else behind the first dot of a fully
 * qualified name (`lac1.isp.example`). A name without either has no realm: its end.
 */
function realmFrom(view: DataView, at: number, length: number): number {
  for (let i = length - 1; i >= 0; i--) if (view.getUint8(at + i) === AT) return i + 1;
  for (let i = 0; i < length; i++) if (view.getUint8(at + i) === DOT) return i + 1;
  return Math.max(0, length);
}

/** FNV-1a over the bytes, capital letters as small ones; 0 for no bytes, or for what cannot be read. */
function hash(view: DataView, at: number, length: number, seed: number): number {
  if (length <= 0) return 0;
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < length; i++) {
    const byte = view.getUint8(at + i);
    h = Math.imul(h ^ (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte), 0x01000193);
  }
  return h | 0 || 1;
}
