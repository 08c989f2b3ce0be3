/**
 * The decision alone: from a frame in memory to its verdict (classify, then recall), nanoseconds a packet, beside the
 * same decision in C++ over the same table. Tunnels come into the table by the whole dialogue. The traffic is 4096
 * packets of random tunnels, both directions: what a cache may hold of it is what a busy appliance's cache holds.
 */
import { Batch } from '#designator/dataplane/batch.js';
import { classify } from '#designator/dataplane/classify.js';
import { newStatistics } from '#designator/dataplane/counters.js';
import { Directory } from '#designator/dataplane/directory.js';
import { recall } from '#designator/dataplane/recall.js';
import { ConnectionTable } from '#designator/flow/connection-table.js';
import { HEADER } from '#designator/flow/layout.js';
import { native } from '#designator/io/native.js';
import {
  BATCH_CAPACITY,
  COLUMN_LENGTH,
  type FrameColumns,
  type PacketPort,
  PORT_INSIDE,
  PORT_OUTSIDE,
} from '#designator/io/port.js';
import { connects, dataIn, dataOut, replies, requests } from './frames.js';
import { type Options, type Row, row } from './micro/row.js';
import { numbers } from './micro/table.js';
import { MACS, Pipeline } from './pipeline.js';
import { median } from './statistics.js';

const PACKETS = 4096;
const STRIDE = 2048; // as far apart as slots of a receive ring
const FRAME_LENGTH = 64;
const BARS = new Map([
  [100_000, 15],
  [1_000_000, 35],
]);

export function run({ smoke = false }: Options = {}): Row[] {
  return (smoke ? [1000] : [1000, 100_000, 1_000_000]).flatMap((entries) => measure(entries, smoke ? 3 : 31));
}

function measure(entries: number, rounds: number): Row[] {
  const tunnels = entries / 2;
  const pipeline = new Pipeline(tunnels * 2);
  pipeline.run(requests(tunnels, MACS), PORT_OUTSIDE);
  pipeline.run(replies(tunnels, MACS), PORT_INSIDE);
  pipeline.run(connects(tunnels, MACS), PORT_OUTSIDE);
  if (pipeline.established !== tunnels) throw new Error(`${pipeline.established} of ${tunnels} tunnels stand`);
  const batches = traffic(tunnels);
  const table = new ConnectionTable(pipeline.memory);
  const directory = new Directory(pipeline.memory, pipeline.plan);
  const statistics = newStatistics();
  const twins = batches.map(
    (batch) =>
      new (native().DecisionTwin)({
        frames: batch.frames,
        columns: batch.columns,
        kinds: batch.kind,
        keys: batch.keys,
        buffer: pipeline.memory.buffer,
        layout: pipeline.memory.layout,
        vips: pipeline.plan.vips,
        servers: pipeline.plan.servers,
      }),
  );
  const typescript = (): void => {
    for (const batch of batches) {
      classify(batch, 0, BATCH_CAPACITY, directory, statistics);
      recall(batch, 0, BATCH_CAPACITY, table, statistics);
    }
  };
  const cpp = (): void => {
    for (const twin of twins) twin.decide(BATCH_CAPACITY);
  };
  const ns: [number[], number[]] = [[], []];
  for (let round = -2; round < rounds; round++) {
    [typescript, cpp].forEach((decide, which) => {
      for (const { columns } of batches) columns.verdict.fill(-1);
      const nanos = time(decide, entries >= 1_000_000 ? 20 : 40) / PACKETS;
      if (batches.some(({ columns }) => columns.verdict.subarray(0, BATCH_CAPACITY).some((slot) => slot < 0))) {
        throw new Error('a packet of a known tunnel got no entry');
      }
      if (round >= 0) ns[which].push(nanos);
    });
  }
  const loaded = pipeline.memory.header[HEADER.entriesUsed];
  const ratio = median(ns[0].map((value, i) => value / ns[1][i]));
  return [
    row('decision', `TypeScript, ${ratio.toFixed(2)} of C++`, loaded, median(ns[0]), 'ns', BARS.get(entries) ?? null),
    row('decision', 'C++', loaded, median(ns[1]), 'ns'),
  ];
}

function time(decide: () => void, times: number): number {
  const began = performance.now();
  for (let n = 0; n < times; n++) decide();
  return ((performance.now() - began) * 1e6) / times;
}

/** Batches over one stretch of frames, each with columns of its own, so that none has to be laid out while time runs. */
function traffic(tunnels: number): Batch[] {
  const frames = new ArrayBuffer(PACKETS * STRIDE);
  const bytes = new Uint8Array(frames);
  const next = numbers(99);
  const flows = Array.from({ length: PACKETS }, () => next() % tunnels);
  const sets = [dataIn(flows, MACS, FRAME_LENGTH), dataOut(flows, MACS, FRAME_LENGTH)];
  for (let i = 0; i < PACKETS; i++) {
    bytes.set(sets[i & 1].frames.subarray(i * FRAME_LENGTH, (i + 1) * FRAME_LENGTH), i * STRIDE);
  }
  return Array.from({ length: PACKETS / BATCH_CAPACITY }, (_, b) => {
    const columns: FrameColumns = {
      offset: new Int32Array(COLUMN_LENGTH).map((_zero, i) => (b * BATCH_CAPACITY + (i % BATCH_CAPACITY)) * STRIDE),
      length: new Int32Array(COLUMN_LENGTH).fill(FRAME_LENGTH),
      ingress: new Uint8Array(COLUMN_LENGTH).map((_zero, i) => (i & 1 ? PORT_INSIDE : PORT_OUTSIDE)),
      egress: new Uint8Array(COLUMN_LENGTH),
      flags: new Uint8Array(COLUMN_LENGTH),
      verdict: new Int32Array(COLUMN_LENGTH),
    };
    return new Batch({ frames, columns } as unknown as PacketPort);
  });
}
