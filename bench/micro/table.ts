/** Tables as traffic fills them: many tunnels of few clients, both directions, load 0.8. */
import { ConnectionTable } from '#designator/flow/connection-table.js';
import { formatTable, KEY_WORDS, TableMemory, tableLayout } from '#designator/flow/layout.js';

export const TUNNELS_PER_CLIENT = 16;

export function newTable(entries: number): { memory: TableMemory; table: ConnectionTable } {
  const connections = entries / 2;
  const memory = new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
  formatTable(memory, 0x5eed, new Int32Array(4));
  return { memory, table: new ConnectionTable(memory) };
}

/** Key of entry i: IPv4 client, port 1701 on both sides, a small tunnel id. */
export function writeKey(i: number, keys: Int32Array, base: number): void {
  keys[base] = 0;
  keys[base + 1] = 0;
  keys[base + 2] = 0xffff;
  keys[base + 3] = 0x0a000000 + Math.floor(i / TUNNELS_PER_CLIENT);
  keys[base + 4] = (1701 << 16) | 1701;
  keys[base + 5] = (i % TUNNELS_PER_CLIENT) + 1;
  keys[base + 6] = (1 << 16) | (1 << 8) | 3;
}

export function fill(table: ConnectionTable, entries: number): void {
  const key = new Int32Array(KEY_WORDS);
  for (let i = 0; i < entries; i++) {
    writeKey(i, key, 0);
    if (table.insert(key, 0, 1, 1, i & 0xffff, 1, 0) < 0) throw new Error(`entry ${i} of ${entries} found no place`);
  }
}

/** xorshift: the same numbers in every run. */
export function numbers(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** `count` batches of `length` random keys of the table, each in an array of its own as the pipeline has it. */
export function randomBatches(entries: number, count: number, length: number): Int32Array[] {
  const next = numbers(99);
  return Array.from({ length: count }, () => {
    const keys = new Int32Array(length * KEY_WORDS);
    for (let i = 0; i < length; i++) writeKey(next() % entries, keys, i * KEY_WORDS);
    return keys;
  });
}
