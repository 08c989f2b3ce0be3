import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { CONTROL, newControl } from '../../src/workers/control.js';
import { ShardPool, type ShardPoolOptions } from '../../src/workers/pool.js';
import type { ShardTask } from '../../src/workers/shard-task.js';
import { waitFor } from '../../src/demo/lab/wait.js';

let pool: ShardPool | null = null;
afterEach(async () => {
  await pool?.stop();
  pool = null;
});

function start(more: Partial<ShardPoolOptions> = {}) {
  const controls = [newControl(), newControl()];
  const events: string[] = [];
  pool = new ShardPool({
    shards: 2,
    filename: path.join(import.meta.dirname, 'fake-shard.mjs'),
    task: (shard) => ({ shard, control: controls[shard] }) as unknown as ShardTask,
    onNotice: (shard, notice) => events.push(`${notice.type} ${shard}`),
    onCrash: (shard, error, restarts) => events.push(`crash ${shard} ${error.message} ${restarts}`),
    onFatal: (shard, error) => events.push(`fatal ${shard} ${error.message.replace(/\d+ ms/, 'N ms')}`),
    wake: () => {},
    ...more,
  });
  pool.start();
  return { controls, events, running: pool };
}
const until = (condition: () => boolean, what: string) => waitFor(what, () => (condition() ? true : undefined), 15_000);

test('all shards come up, beat, and end softly when they are asked to', async () => {
  const { events, running, controls } = start();
  await until(() => events.length === 2, 'both shards up');
  expect(running.status().map(({ state, restarts }) => [state, restarts])).toEqual([
    ['running', 0],
    ['running', 0],
  ]);
  const beat = Atomics.load(controls[0], CONTROL.heartbeat);
  await until(() => Atomics.load(controls[0], CONTROL.heartbeat) > beat, 'a heartbeat');
  await running.stop();
  expect(events.filter((event) => !event.startsWith('up'))).toEqual([]);
});

test('a crashed shard is started again in place, as the next generation; the other goes on', async () => {
  const { events, running, controls } = start();
  await until(() => events.length === 2, 'both shards up');
  expect(running.message(1, { type: 'crash' })).toBe(true);
  await until(() => events.filter((event) => event === 'up 1').length === 2, 'the second start');
  expect(events).toContain('crash 1 asked to 1');
  expect(running.status().map(({ restarts }) => restarts)).toEqual([0, 1]);
  expect(controls.map((control) => Atomics.load(control, CONTROL.generation))).toEqual([1, 2]);
});

test('too many crashes are fatal', async () => {
  const { events, running } = start({ maxRestarts: 1 });
  await until(() => events.length === 2, 'both shards up');
  running.message(0, { type: 'crash' });
  await until(() => events.filter((event) => event === 'up 0').length === 2, 'the second start');
  running.message(0, { type: 'crash' });
  await until(() => events.includes('fatal 0 asked to'), 'the end');
});

test('a shard without a heartbeat is fatal: no second thread is started beside it', async () => {
  const { events, running, controls } = start({ wedgedMs: 300 });
  await until(() => events.length === 2, 'both shards up');
  running.message(1, { type: 'release', server: 0 });
  await until(() => events.some((event) => event.startsWith('fatal 1')), 'the watchdog');
  expect(events.find((event) => event.startsWith('fatal 1'))).toBe('fatal 1 shard 1 has made no turn for N ms');
  expect(Atomics.load(controls[1], CONTROL.generation)).toBe(1);
});
