/** AF_XDP sockets on real devices: every queue and shard, both directions, and who has which frame whatever happens. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PORT_INSIDE, PORT_NONE, PORT_OUTSIDE } from '../../src/io/port.js';
import { hex, l2tpData, udpFrame } from '../helpers/packet-builder.js';
import { MAC } from '../helpers/packet-wire.js';
import { compileBpf, run } from '../helpers/xdp-lab.js';
import type { Scenarios } from '../helpers/xsk-child.js';

const SPACE = `xk${process.pid}`;
const reason =
  process.getuid?.() !== 0
    ? 'needs root: it makes a network namespace'
    : spawnSync('clang', ['--version'], { stdio: 'ignore' }).status === 0
      ? null
      : 'needs clang, for a program of its own';
const FIXTURE = resolve(import.meta.dirname, '../fixtures/bpf/steer.bpf.c');

let folder: string;
let object: string;
let child: ChildProcess;
const answer = (): Promise<unknown> =>
  new Promise((done, fail) => {
    const ended = (status: number | null): void => fail(new Error(`the process in the namespace ended with ${status}`));
    if (child.exitCode !== null) return ended(child.exitCode);
    child.once('exit', ended);
    child.once('message', (message: { result: unknown; error?: string }) => {
      child.off('exit', ended);
      if (message.error === undefined) done(message.result);
      else fail(new Error(message.error));
    });
  });

async function scenario<Name extends keyof Scenarios>(
  name: Name,
  ...input: Parameters<Scenarios[Name]>
): Promise<Awaited<ReturnType<Scenarios[Name]>>> {
  if (child.connected) child.send({ name, input: input[0] });
  return (await answer()) as Awaited<ReturnType<Scenarios[Name]>>;
}

/** Two wires in a namespace of their own, with so many queues at every end; `sending`: of them, at the sockets' ends. */
async function lay(queues: number, sending = queues): Promise<void> {
  run(`ip netns add ${SPACE}`);
  for (const [a, b] of [
    ['c0', 'd0'],
    ['s0', 'd1'],
  ] as const) {
    const [far, near] = [queues, sending].map((count) => `numtxqueues ${count} numrxqueues ${queues}`);
    run(`ip -n ${SPACE} link add ${a} ${far} address ${MAC[a]} type veth peer name ${b} ${near} address ${MAC[b]}`);
    for (const name of [a, b]) {
      run(`ip netns exec ${SPACE} sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
      run(`ip -n ${SPACE} link set ${name} arp off up`);
    }
  }
  const script = new URL('../helpers/xsk-child.ts', import.meta.url).pathname;
  // A veth queues per CPU: frames of one sender stay in order only while it stays on one.
  const cpu = /^Cpus_allowed_list:\s*(\d+)/m.exec(run('cat /proc/self/status'))?.[1] ?? '0';
  const words = ['netns', 'exec', SPACE, 'taskset', '-c', cpu, process.execPath, '--import', 'tsx', script];
  child = spawn('ip', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await answer();
}
async function tearDown(): Promise<void> {
  if (child?.exitCode === null) {
    const gone = new Promise((done) => child.once('exit', done));
    child.kill();
    await gone;
  }
  if (reason === null) run(`ip netns del ${SPACE}`);
}

const upTo = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i);
const FLOWS = 24; // as the child makes them
const of = (flow: number, numbers: readonly number[]): number[] => numbers.filter((number) => number % FLOWS === flow);
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

describe.skipIf(reason !== null && process.env.TD_REQUIRE_LAB !== '1')(
  `AF_XDP sockets${reason === null ? '' : ` (${reason})`}`,
  () => {
    beforeAll(() => {
      if (reason !== null) throw new Error(reason);
      folder = mkdtempSync(join(tmpdir(), 'td-xsk-'));
      object = join(folder, 'steer.o');
      compileBpf(FIXTURE, object);
    });
    afterAll(() => {
      if (folder !== undefined) rmSync(folder, { recursive: true });
    });

    describe.each([
      ['1 queue', 1, 1],
      ['2 queues', 2, 2],
      ['2 queues to receive by, 1 to send by', 2, 1],
    ])('%s', (_, queues, sending) => {
      beforeAll(() => lay(queues, sending));
      afterAll(tearDown);

      test.each([1, 2])(
        '%i shards: each frame comes to its shard and goes out, none is lost or overtaken',
        async (shards) => {
          const count = 960;
          const result = await scenario('matrix', { object, queues, shards, count });
          for (const shard of upTo(shards)) {
            expect(sorted(result.atShard[shard])).toEqual(upTo(2 * count).filter((n) => n % shards === shard));
          }
          expect(sorted(result.atServer)).toEqual(upTo(count));
          expect(sorted(result.atClient)).toEqual(upTo(count, count));
          for (const flow of upTo(FLOWS)) {
            for (const seen of [result.atServer, result.atClient]) {
              expect(of(flow, seen)).toHaveLength(count / FLOWS);
              expect(of(flow, seen)).toEqual(sorted(of(flow, seen)));
            }
          }
          expect(Object.keys(result.queues)).toEqual(upTo(queues).map(String));
          const each = (2 * count) / shards;
          const bytes = each * (14 + 20 + 8 + 32);
          for (const counters of result.counters) {
            expect(counters).toEqual({ sent: each, bytes, failed: 0, lost: 0, received: each });
          }
          for (const statistics of result.statistics) expect(statistics).toEqual({ received: each, lost: 0 });
          const { frames, pool, kernel, sent, held } = result.usage;
          expect({ all: pool + kernel, sent, held }).toEqual({ all: frames, sent: 0, held: held.map(() => 0) });
        },
      );
    });

    describe('one queue', () => {
      beforeAll(() => lay(1));
      afterAll(tearDown);

      test('VLAN tags are taken off, decide the side, and are put on', async () => {
        const [CLIENT, VIP, SERVER] = ['198.51.100.2:1701', '203.0.113.1', '10.0.0.10'];
        const data = l2tpData({ tunnel: 7, session: 1, payload: 'ff03002145' });
        const udp = (from: string, to: string, src: string, dst: string, ttl: number): string =>
          hex(udpFrame(from, to, data, { eth: { src, dst }, ip: { ttl } }));
        const out = udp(CLIENT, `${VIP}:1701`, MAC.c0, MAC.d0, 64);
        const back = udp(`${SERVER}:1701`, CLIENT, MAC.s0, MAC.d1, 64);
        const result = await scenario('forward', { object, vlans: [100, 200], out, back, server: SERVER, vip: VIP });
        /** The program has written its queue into the frame. */
        const marked = (frame: string): string => `${frame.slice(0, 10)}00${frame.slice(12)}`;
        const sides = result.seen.map(({ ingress }) => ingress).sort((a, b) => a - b);
        expect(sides).toEqual([PORT_OUTSIDE, PORT_INSIDE, PORT_NONE, PORT_NONE]);
        const of = (side: number): string[] =>
          result.seen.filter(({ ingress }) => ingress === side).map(({ frame }) => frame);
        expect(of(PORT_OUTSIDE)).toEqual([marked(out)]);
        expect(of(PORT_INSIDE)).toEqual([marked(back)]);
        expect(of(PORT_NONE)).toEqual([marked(out), marked(out)]);
        const fromScratch = MAC.s0.replaceAll(':', '') + back.slice(12);
        expect(result.atServer).toEqual([udp(CLIENT, `${SERVER}:1701`, MAC.d1, MAC.s0, 63), fromScratch]);
        expect(result.atClient).toEqual([udp(`${VIP}:1701`, CLIENT, MAC.d0, MAC.c0, 63)]);
        expect(result.packets).toEqual([1, 1]);
        const bytes = (out.length + 2 * back.length) / 2 + 3 * 4;
        expect(result.counters).toEqual({ sent: 3, bytes, failed: 0, lost: 0, received: 4 });
      });

      test.each([
        ['both shards', [0, 1]],
        ['the one that looks after the queue', [0]],
        ['only the other one', [1]],
      ])('ten times as many frames as there are: all are back (%s)', async (_, turning) => {
        const { count, seen, arrived, usage, counters } = await scenario('roundAndRound', { object, turning });
        expect({ seen, arrived }).toEqual({ seen: count, arrived: count });
        expect(counters.reduce((sum, { sent }) => sum + sent, 0)).toBe(count);
        expect(counters.map(({ failed, lost }) => failed + lost)).toEqual(turning.map(() => 0));
        expect(usage).toMatchObject({ sent: 0, held: [0, 0], pool: usage.frames - usage.kernel });
      });

      test('what there is no frame for is counted', async () => {
        const count = 1000;
        const result = await scenario('dry', { object, count });
        expect(result.lost).toBeGreaterThan(0);
        expect(result).toMatchObject({ taken: count - result.lost, received: count, counted: result.lost });
        expect(result.afterwards).toBe(1);
        expect(result.usage.held).toEqual([0]);
      });

      test('frames longer than their place or than the device sends are counted, others go out whole', async () => {
        const { usage, ...result } = await scenario('long', { object });
        expect(result).toEqual({
          ...{ taken: 1, received: 2, lost: 1 },
          ...{ arrived: [[2014, 1]], sent: 1, sentBytes: 2018, failed: 1 },
        });
        expect(usage).toMatchObject({ sent: 0, held: [0] });
      });

      test('questions that go to a multicast group are let in', async () => {
        expect(await scenario('multicast')).toEqual({ during: true, afterwards: false });
      });

      test('a verdict that cannot be is a frame that was not sent, and no frame is lost', async () => {
        const { usage, ...result } = await scenario('wrongVerdicts', { object });
        expect(result).toMatchObject({ arrived: 1, sent: 1, failed: 7, received: 6 });
        expect(usage).toMatchObject({ sent: 0, held: [0], pool: usage.frames - usage.kernel });
      });

      test('what a shard held when it was left behind comes back, and the next one goes on', async () => {
        const result = await scenario('reclaim', { object });
        expect(result.busy).toMatchObject({ code: 'EBUSY' });
        expect(result.held).toEqual([result.n]);
        expect(result).toMatchObject({ reclaimed: result.n, again: 0, afterwards: [0], stale: { code: 'EBADF' } });
        expect(result.got).toEqual([...upTo(20).slice(result.n), ...upTo(5, 100)]);
      });

      test('a worker that is ended with frames in its hands leaves none behind', async () => {
        const { count, during, afterwards, got } = await scenario('terminated', { object });
        expect(count).toBeGreaterThan(0);
        expect(during).toEqual([count]);
        expect(afterwards).toEqual([0]);
        expect(got).toEqual(upTo(20).slice(count));
      });

      test('a queue that somebody else is about to leave is waited for, one that he keeps is named', async () => {
        const { sockets, refused, closed, attach } = await scenario('busy');
        expect(sockets).toBe(1);
        expect(refused).toMatchObject({ code: 'TD_CONFLICT', message: expect.stringContaining('d0 queue 0') });
        expect([closed, attach]).toMatchObject([{ code: 'EBADF' }, { code: 'EBADF' }]);
      });

      test('sockets that are closed under a shard tell it, and its memory can still be read', async () => {
        const bad = { code: 'EBADF' };
        expect(await scenario('closing', { object })).toMatchObject({ turn: bad, closed: bad, readable: 7 });
      });

      test('options that cannot be', async () => {
        expect(await scenario('wrongOptions')).toMatchObject({
          good: null,
          queue: { code: 'EINVAL', message: expect.stringContaining('d0 queue 1') },
          device: { code: 'ENODEV' },
          zeroCopy: { code: 'TD_UNAVAILABLE', message: expect.stringContaining('zero-copy') },
          chunk: { message: expect.stringContaining('chunkLength') },
          shards: { message: expect.stringContaining('shards') },
          copy: { message: expect.stringContaining('copy') },
          memory: { code: 'EINVAL' },
        });
      });

      test('an event wakes a waiting turn once', async () => {
        const { woken, quiet } = await scenario('wake', { object });
        expect(woken).toBeLessThan(900);
        expect(quiet).toBeGreaterThan(90);
      });

      test('a link that is down costs what is sent to it; a deleted device is an error', async () => {
        const { whileDown, held, afterwards, gone } = await scenario('linkDown', { object });
        expect(whileDown).toMatchObject({ sent: 0, failed: 3 });
        expect(held).toMatchObject({ sent: 0, held: [0], pool: held.frames - held.kernel });
        expect(afterwards).toMatchObject({ sent: 1, failed: 3, heard: 1, seen: 1 });
        expect(gone).toEqual({
          code: 'TD_UNAVAILABLE',
          message: 'interface x0 has gone: No such device',
          cause: 'ENODEV',
        });
      });
    });
  },
);
