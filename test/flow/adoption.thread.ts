/** What the XDP program does with a table: looks up, copies, looks at the version again, counts. */
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import { ENTRY, ENTRY_WORDS, KEY_WORDS, NEXT_HOP_WORDS, TableMemory } from '../../src/flow/layout.js';

const { buffer, connections, control, keys, slots, hop } = workerData as {
  buffer: SharedArrayBuffer;
  connections: number;
  control: Int32Array;
  keys: Int32Array;
  slots: number[];
  hop: number;
};
const memory = new TableMemory(buffer, connections);
const table = new ConnectionTable(memory);
const wide = new BigInt64Array(buffer, memory.layout.entries, memory.entries.length / 2);
/** Everything of an entry but last-seen and counters, and the next hop that all of them share. */
const words = (slot: number): string =>
  [
    ...memory.entries.subarray(slot * ENTRY_WORDS, slot * ENTRY_WORDS + ENTRY.lastSeen),
    ...memory.nextHops.subarray(hop * NEXT_HOP_WORDS, (hop + 1) * NEXT_HOP_WORDS),
  ].join();
const before = slots.map(words);
let missed = 0;
let changed = 0;
let added = 0;
while (Atomics.load(control, 0) === 0) {
  slots.forEach((slot, i) => {
    if (table.find(keys, i * KEY_WORDS) !== slot) missed++;
    if (words(slot) !== before[i]) changed++;
    Atomics.add(wide, (slot * ENTRY_WORDS + ENTRY.packets) / 2, 1n);
    added++;
  });
  Atomics.add(control, 1, 1);
}
parentPort?.postMessage({ missed, changed, added });
