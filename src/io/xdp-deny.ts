/**
 * The deny list in the program's map `td_deny`, an LPM trie: key u32 prefix length and 16 bytes of address in network
 * order, value u32. A list is brought in by the changes that it needs, so that a reload opens no gap.
 */
import { type DenyEntry, DENY_LIST_LIMIT, denyListChange } from '../flow/deny-list.js';
import type { NativeBpf } from './native.js';

/** Entries that the map has to be made for. */
export const DENY_MAP_ENTRIES = 2 * DENY_LIST_LIMIT;

const KEY_LENGTH = 20;
const VALUE_LENGTH = 4;

export type DenyMapCalls = Pick<NativeBpf, 'update' | 'remove' | 'nextKey' | 'lookUp'>;

export class DenyMap {
  /** `map`: descriptor of the map, new or with what another process left in it. */
  constructor(
    readonly bpf: DenyMapCalls,
    readonly map: number,
  ) {}

  /** What stands in the map. */
  read(): DenyEntry[] {
    const entries: DenyEntry[] = [];
    let key = this.bpf.nextKey(this.map, null, KEY_LENGTH);
    while (key !== null && entries.length < DENY_MAP_ENTRIES) {
      const value = this.bpf.lookUp(this.map, key, VALUE_LENGTH);
      // A look-up in a trie answers with the longest prefix, and no other one is longer than the key's own.
      if (value !== null) entries.push(decode(key, value));
      key = this.bpf.nextKey(this.map, key, KEY_LENGTH);
    }
    return entries;
  }

  /**
   * Makes the map hold exactly these entries. Returns how many had to change. Where nothing is to be denied by default any
   * more, the flag for that is cleared before; where everything is, it is set after. Errors: those of `NativeBpf.update`.
   */
  write(entries: readonly DenyEntry[]): number {
    const { removeFirst, put, removeLast } = denyListChange(this.read(), entries);
    for (const entry of removeFirst) this.bpf.remove(this.map, encodeKey(entry));
    for (const entry of put) this.bpf.update(this.map, encodeKey(entry), encodeValue(entry));
    for (const entry of removeLast) this.bpf.remove(this.map, encodeKey(entry));
    return removeFirst.length + put.length + removeLast.length;
  }
}

// Host order is little-endian: the program runs on x86-64 only.

function encodeKey(entry: DenyEntry): Uint8Array {
  const bytes = new Uint8Array(KEY_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entry.length, true);
  for (let word = 0; word < 4; word++) view.setInt32(4 + word * 4, entry.words[word]);
  return bytes;
}

function encodeValue(entry: DenyEntry): Uint8Array {
  const bytes = new Uint8Array(VALUE_LENGTH);
  new DataView(bytes.buffer).setUint32(0, entry.action, true);
  return bytes;
}

function decode(key: Uint8Array, value: Uint8Array): DenyEntry {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return {
    words: [view.getInt32(4), view.getInt32(8), view.getInt32(12), view.getInt32(16)],
    length: view.getUint32(0, true),
    action: new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, true),
  };
}
