/** The thread of `lookup.ts`: one table of one size in the memory that the product uses, contestants taking turns. */
import fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectionTable } from '#designator/flow/connection-table.js';
import { multipliersOf, stirred, sumOf } from '#designator/flow/hash.js';
import { formatTable, KEY_WORDS, TableMemory, tableLayout } from '#designator/flow/layout.js';
import { native } from '#designator/io/native.js';
import { BATCH_CAPACITY, COLUMN_LENGTH } from '#designator/io/port.js';
import { fill, randomBatches } from './table.js';

export interface Order {
  readonly entries: number;
  /** Numbers of different keys, each measured for itself. */
  readonly active: readonly number[];
  readonly repeats: number;
}

export interface Measured {
  readonly variant: string;
  readonly keys: number;
  readonly ns: number;
}

const SEED = 0x5eed;
/** Look-ups of one turn of one contestant, about. */
const TURN = 250_000;

const { entries, active, repeats } = workerData as Order;
const connections = entries / 2;
const { length } = tableLayout(connections);
const { fd } = native().openTable(null, length);
const memory = new TableMemory(native().mapTable(fd, length), connections);
fs.closeSync(fd);
formatTable(memory, SEED, new Int32Array(4));
const table = new ConnectionTable(memory);
fill(table, entries);

const keys = new Int32Array(COLUMN_LENGTH * KEY_WORDS);
const slots = new Int32Array(COLUMN_LENGTH);
const twin = new (native().DecisionTwin)({
  frames: new ArrayBuffer(64),
  columns: {
    offset: new Int32Array(COLUMN_LENGTH),
    length: new Int32Array(COLUMN_LENGTH),
    ingress: new Uint8Array(COLUMN_LENGTH),
    egress: new Uint8Array(COLUMN_LENGTH),
    flags: new Uint8Array(COLUMN_LENGTH),
    verdict: slots,
  },
  kinds: new Uint8Array(BATCH_CAPACITY),
  keys,
  buffer: memory.buffer,
  layout: memory.layout,
  vips: [],
  servers: [],
});
const multipliers = multipliersOf(SEED);

/** What each does with a batch whose keys stand in the column. The first is what all pay, and is taken off. */
const contestants: Record<string, () => void> = {
  'keys laid': () => {},
  findMany: () => {
    table.findMany(keys, BATCH_CAPACITY, slots, false);
  },
  'findMany, any family': () => {
    table.findMany(keys, BATCH_CAPACITY, slots, true);
  },
  'the same in C++': () => twin.lookUp(BATCH_CAPACITY),
  find: () => {
    for (let row = 0; row < BATCH_CAPACITY; row++) slots[row] = table.find(keys, row * KEY_WORDS);
  },
  'hash alone': () => {
    for (let row = 0; row < BATCH_CAPACITY; row++) slots[row] = stirred(sumOf(keys, row * KEY_WORDS, multipliers));
  },
};

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

function turn(act: () => void, batches: readonly Int32Array[], rounds: number): number {
  const start = process.cpuUsage();
  for (let round = 0; round < rounds; round++) {
    for (const batch of batches) {
      keys.set(batch);
      act();
    }
  }
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / (rounds * batches.length * BATCH_CAPACITY);
}

/** All ways find the same, and find everything: otherwise the figures would be of something else. */
function check(batches: readonly Int32Array[]): void {
  for (const batch of batches) {
    keys.set(batch);
    contestants.find();
    const expected = slots.slice(0, BATCH_CAPACITY);
    if (expected.includes(-1)) throw new Error('a key that was entered is not found');
    for (const variant of ['findMany', 'findMany, any family', 'the same in C++']) {
      contestants[variant]();
      if (expected.some((slot, row) => slots[row] !== slot)) throw new Error(`${variant} finds something else`);
    }
  }
}

const measured: Measured[] = [];
for (const count of active) {
  const batches = randomBatches(entries, Math.ceil(count / BATCH_CAPACITY), BATCH_CAPACITY);
  check(batches);
  const rounds = Math.max(1, Math.round(TURN / (batches.length * BATCH_CAPACITY)));
  const figures = new Map(Object.keys(contestants).map((variant) => [variant, [] as number[]]));
  // The first turns compile the loops and are thrown away.
  for (let repeat = -3; repeat < repeats; repeat++) {
    for (const [variant, act] of Object.entries(contestants)) {
      const ns = turn(act, batches, rounds);
      if (repeat >= 0) figures.get(variant)?.push(ns);
    }
  }
  const paid = median(figures.get('keys laid') ?? []);
  for (const [variant, values] of figures) {
    if (variant !== 'keys laid') measured.push({ variant, keys: count, ns: median(values) - paid });
  }
}
parentPort?.postMessage(measured);
