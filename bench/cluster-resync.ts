/**
 * A member that starts with an empty table, and another that has a table with a million entries: how long until it has all of them, over UDP
 * on a wire. The first member adopts a table that was made by the product's own pipeline without a network, dialogue by
 * dialogue; by packets that would take a minute.
 */
import { openSync, writeSync, closeSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { Lab } from '#designator/demo/lab/lab.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import { HEADER } from '#designator/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '#designator/io/port.js';
import { native } from '#designator/io/native.js';
import { readBootId } from '#designator/roles/designator/table-file.js';
import { ClusterFarm } from './cluster-farm.js';
import { tablePath } from './contestants.js';
import { connects, replies, requests } from './frames.js';
import { MACS, Pipeline } from './pipeline.js';
import { median } from './statistics.js';

export interface ResyncOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly tunnels?: number;
  readonly rounds?: number;
  readonly progress?: (line: string) => void;
}

export interface ResyncRow {
  readonly benchmark: 'cluster-resync';
  readonly tunnels: number;
  /** Of the table: each way has one. */
  readonly entries: number;
  readonly rounds: number;
  /** From the newcomer's start, and from the moment that it forwards, until it has all and says so. */
  readonly fromStartMs: number;
  readonly fromReadyMs: number;
  readonly worstMs: number;
  readonly barMs: number;
}

/** A million entries: one for each way. */
const TUNNELS = 500_000;
const BAR_MS = 10_000;
/** Half open at the same time: each of them has a third entry. */
const CHUNK = 50_000;
const PATIENCE_MS = 60_000;

export async function resyncBench(options: ResyncOptions): Promise<ResyncRow[]> {
  const { tunnels = TUNNELS, rounds = 3, self, env, pid, progress: say = () => {} } = options;
  const lab = await Lab.open({ pid, env: { ...env, TD_TEST_IO: 'packet' } });
  let pair: ClusterFarm | null = null;
  try {
    const connections = Math.max(65_536, Math.ceil(tunnels * 1.5));
    pair = await ClusterFarm.open(lab, self, 'packet', connections);
    const [first, newcomer] = pair.farm.members;
    say(`resync: a table with ${tunnels} tunnels is made`);
    writeTable(tablePath(first), connections, tunnels);
    say('resync: it is adopted');
    const { tunnels: adopted } = await first.start({}, PATIENCE_MS);
    if (adopted !== tunnels) throw new Error(`${adopted} of ${tunnels} tunnels were adopted: ${first.process.tail()}`);
    const told = async (): Promise<boolean> =>
      (await (pair as ClusterFarm).streams(1)).some((row) => row.self && row.tunnels === tunnels && row.waiting === 0);
    say('resync: the first member tells it');
    await waitFor('the first member to have told its tunnels', told, PATIENCE_MS);
    const took: { start: number; ready: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      await newcomer.start();
      const ready = performance.now();
      const table = await pair.table(2);
      await waitFor(
        'the newcomer to have all tunnels',
        () => table.established() === tunnels,
        PATIENCE_MS,
        () => String(table.established()),
      );
      const current = async (): Promise<boolean> =>
        (await (pair as ClusterFarm).streams(2)).some((row) => row.state === 'current' && row.tunnels === tunnels);
      await waitFor('it to say so', current, PATIENCE_MS);
      const now = performance.now();
      took.push({ start: now - started, ready: now - ready });
      say(`resync: round ${round + 1} of ${rounds}, ${Math.round(now - ready)} ms`);
      table.close();
      // The next one has nothing again.
      await newcomer.process.kill();
      await newcomer.namespace.run('rm', ['-f', tablePath(newcomer)]);
    }
    return [
      {
        benchmark: 'cluster-resync',
        tunnels,
        entries: tunnels * 2,
        rounds,
        fromStartMs: Math.round(median(took.map(({ start }) => start))),
        fromReadyMs: Math.round(median(took.map(({ ready }) => ready))),
        worstMs: Math.round(Math.max(...took.map(({ start }) => start))),
        barMs: BAR_MS,
      },
    ];
  } finally {
    await pair?.close();
    await lab.close();
  }
}

/** The file that a designator of this boot with the same VIP and server would have left. */
function writeTable(file: string, connections: number, tunnels: number): void {
  const pipeline = new Pipeline(connections, native().monotonicSeconds());
  for (let from = 0; from < tunnels; from += CHUNK) {
    const chosen = Array.from({ length: Math.min(CHUNK, tunnels - from) }, (_, i) => from + i);
    pipeline.run(requests(chosen, MACS), PORT_OUTSIDE);
    pipeline.run(replies(chosen, MACS), PORT_INSIDE);
    pipeline.run(connects(chosen, MACS), PORT_OUTSIDE);
  }
  if (pipeline.established !== tunnels)
    throw new Error(`${pipeline.established} of ${tunnels} tunnels stand: ${JSON.stringify(pipeline.drops())}`);
  const { header, buffer } = pipeline.memory;
  header.set(readBootId(), HEADER.bootId);
  mkdirSync(path.dirname(file), { recursive: true });
  const fd = openSync(file, 'w');
  const bytes = new Uint8Array(buffer);
  for (let at = 0; at < bytes.length; at += writeSync(fd, bytes, at, Math.min(bytes.length - at, 1 << 26)));
  closeSync(fd);
}
