import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALGORITHM_NAMES, Designator } from '../../src/designation/designate.js';
import { HEADER, SERVER_CELL, SERVER_REASON, SERVER_STATE } from '../../src/flow/layout.js';
import { RUNS, newSharedMemory } from '../flow/memory.js';
import { inThread } from '../flow/thread.js';
import { ALGORITHMS, newFarm } from './farm.js';

const times = (count: number, take: () => number) => Array.from({ length: count }, take);

describe("document 003's example", () => {
  it('gives the first request to 10.10.1.2, and of three requests one to 10.10.1.1 and two to 10.10.1.2', () => {
    const farm = newFarm('weighted-round-robin', [1, 2]); // 10.10.1.1 weight 1, 10.10.1.2 weight 2
    expect(times(6, () => farm.next(0xc0800a05)).map((i) => `10.10.1.${i + 1}`)).toEqual([
      '10.10.1.2',
      '10.10.1.1',
      '10.10.1.2',
      '10.10.1.2',
      '10.10.1.1',
      '10.10.1.2',
    ]);
  });
});

describe('sequences', () => {
  it('round robin goes through the configuration and around', () => {
    const farm = newFarm('round-robin', [1, 5, 1]);
    expect(times(7, farm.next)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  it('round robin leaves out who may not, and starts again when the last one has left the list', () => {
    const farm = newFarm('round-robin', [1, 1, 1]);
    farm.next();
    farm.cells.setState(farm.servers[1], SERVER_STATE.down, SERVER_REASON.configured, 0);
    expect(times(3, farm.next)).toEqual([2, 0, 2]);
    farm.designator.setPlan({
      vips: [{ index: farm.vip, algorithm: 'round-robin', servers: farm.servers.slice(0, 2) }],
    });
    expect(times(2, farm.next)).toEqual([0, 0]);
  });

  it('weighted round robin is smooth', () => {
    const farm = newFarm('weighted-round-robin', [5, 1, 1]);
    expect(times(14, farm.next)).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
  });

  it('least recent use takes who has waited longest, also by another algorithm’s stamps', () => {
    const farm = newFarm('round-robin', [1, 1, 1]);
    farm.next();
    farm.next();
    farm.designator.setPlan({ vips: [{ index: farm.vip, algorithm: 'least-recent-use', servers: farm.servers }] });
    expect(times(2, farm.next)).toEqual([2, 0]);
    farm.cells.setState(farm.servers[1], SERVER_STATE.draining, SERVER_REASON.command, 0);
    expect(times(3, farm.next)).toEqual([2, 0, 2]);
    farm.cells.setState(farm.servers[1], SERVER_STATE.up, SERVER_REASON.command, 0);
    expect(farm.next()).toBe(1);
  });

  it('least recent use goes on rightly where the stamp wraps', () => {
    const farm = newFarm('least-recent-use', [1, 1, 1]);
    farm.memory.header[HEADER.useSequence] = -4;
    expect(times(8, farm.next)).toEqual([0, 1, 2, 0, 1, 2, 0, 1]);
  });

  it('least tunnels counts half-open and established ones for the weight, then looks at weight and last use', () => {
    const farm = newFarm('least-tunnels', [1, 2, 1]);
    expect(farm.next()).toBe(1);
    farm.cells.addHalfOpen(farm.servers[1], 1);
    expect(farm.next()).toBe(0);
    farm.cells.addEstablished(farm.servers[0], 1);
    expect(farm.next()).toBe(2);
    farm.cells.addEstablished(farm.servers[2], 1);
    expect(farm.next()).toBe(1); // 1 of 2 is less than 1 of 1
    farm.cells.addEstablished(farm.servers[1], 1);
    expect([farm.next(), farm.next(), farm.next()]).toEqual([1, 1, 1]);
    farm.cells.addEstablished(farm.servers[1], 1);
    expect([farm.next(), farm.next(), farm.next()]).toEqual([0, 2, 0]);
  });

  it('maglev keeps to client and channel while their server is up, and comes back to it', () => {
    const farm = newFarm('maglev', [1, 1, 1, 1]);
    const all = () => Array.from({ length: 300 }, (_, i) => farm.next(0x0a000000 + (i >>> 2), i & 3));
    const before = all();
    expect(all()).toEqual(before);
    expect(new Set(before).size).toBe(4);
    farm.cells.setState(farm.servers[2], SERVER_STATE.disabled, SERVER_REASON.command, 0);
    const without = all();
    expect(without.includes(2)).toBe(false);
    const moved = without.filter((server, i) => before[i] !== 2 && server !== before[i]).length;
    expect(moved).toBeLessThan(30);
    farm.cells.setState(farm.servers[2], SERVER_STATE.up, SERVER_REASON.command, 0);
    expect(all()).toEqual(before);
  });
});

describe.each(ALGORITHMS)('%s', (algorithm) => {
  it('gives a new tunnel only to servers that are up or starting slowly and have a weight', () => {
    for (const state of Object.values(SERVER_STATE)) {
      const farm = newFarm(algorithm, [1, 1]);
      farm.cells.setState(farm.servers[0], state, SERVER_REASON.command, 0);
      farm.cells.setWeight(farm.servers[1], 0);
      const may = state === SERVER_STATE.up || state === SERVER_STATE.slowStart;
      expect(times(4, farm.next)).toEqual(new Array(4).fill(may ? 0 : -1));
    }
  });

  it('explains what it will do next and takes no turn by that', () => {
    const farm = newFarm(algorithm, [1, 2, 3]);
    for (let i = 0; i < 24; i++) {
      farm.designator.peek(farm.vip, 0, 0, 0xffff, 99, 9); // brings the ranking up to date with the last step
      const { servers, vips, header } = farm.memory;
      const before = [servers, vips, header].map((words) => Buffer.from(words.slice().buffer));
      const { server, reason } = farm.designator.peek(farm.vip, 0, 0, 0xffff, i, 7);
      const after = [servers, vips, header].map((words) => Buffer.from(words.slice().buffer));
      expect(after.map((bytes, part) => bytes.equals(before[part]))).toEqual([true, true, true]);
      expect(reason.startsWith(algorithm.replaceAll('-', ' '))).toBe(true);
      expect(farm.servers[farm.next(i, 7)]).toBe(server);
      farm.cells.addHalfOpen(server, 1);
    }
    for (const server of farm.servers) farm.cells.setWeight(server, 0);
    expect(farm.designator.peek(farm.vip, 0, 0, 0xffff, 1, 1)).toEqual({
      server: -1,
      reason: 'no server of the VIP may take a new tunnel',
    });
  });

  it('makes the same sequence whichever shard is asked', () => {
    const events = fc.array(
      fc.record({ shard: fc.nat(2), client: fc.nat(5), down: fc.option(fc.nat(2), { freq: 6 }) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 3, maxLength: 3 }),
        events,
        (weights, steps) => {
          const [one, three] = [newFarm(algorithm, weights), newFarm(algorithm, weights)];
          const shards = [0, 1, 2].map((shard) => new Designator(three.memory, undefined, undefined, shard));
          for (const shard of shards) shard.setPlan(three.plan);
          for (const { shard, client, down } of steps) {
            if (down !== null) {
              for (const farm of [one, three]) {
                const server = farm.servers[down];
                const state = farm.cells.state(server) === SERVER_STATE.up ? SERVER_STATE.down : SERVER_STATE.up;
                farm.cells.setState(server, state, SERVER_REASON.configured, 0);
              }
            }
            const expected = one.next(client, 1);
            const server = shards[shard].designate(three.vip, 0, 0, 0xffff, client, 1);
            expect(three.servers.indexOf(server)).toBe(expected);
            if (server >= 0) for (const farm of [one, three]) farm.cells.addHalfOpen(farm.servers[expected], 1);
          }
        },
      ),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });
});

describe('designation by real threads', () => {
  it.each(['round-robin', 'weighted-round-robin', 'least-recent-use', 'power-of-two', 'least-load'])(
    '%s: two workers make the sequence of one',
    async (algorithm) => {
      const rounds = 3000;
      const alone = newFarm(algorithm, [1, 2, 4]);
      const expected = times(2 * rounds, () => alone.servers[alone.next()]);
      const memory = newSharedMemory(64);
      const { plan, cells, servers } = newFarm(algorithm, [1, 2, 4], memory);
      const log = new SharedArrayBuffer((2 * rounds + 1) * 4);
      const data = { buffer: memory.buffer, connections: 64, plan, rounds, log };
      const file = new URL('designate.thread.ts', import.meta.url);
      await Promise.all([0, 1].map((shard) => inThread(file, { ...data, shard })));
      const sequence = new Int32Array(log);
      expect(sequence[0]).toBe(2 * rounds);
      expect([...sequence.subarray(1)]).toEqual(expected);
      expect([...servers].reduce((sum, server) => sum + cells.get(server, SERVER_CELL.designated), 0)).toBe(2 * rounds);
    },
  );
});

describe('designator', () => {
  it('knows the algorithms of the configuration and no other', () => {
    expect(ALGORITHM_NAMES.toSorted()).toEqual(ALGORITHMS.toSorted());
    const farm = newFarm('maglev', [1]);
    for (const algorithm of ['random', 'toString']) {
      expect(() => farm.designator.setPlan({ vips: [{ index: 0, algorithm, servers: farm.servers }] })).toThrow(
        RangeError,
      );
    }
    expect(farm.next()).toBe(0); // the plan before stays
  });

  it('has no server for a VIP that it does not know or that has none', () => {
    const farm = newFarm('round-robin', [1]);
    expect(farm.designator.designate(99, 0, 0, 0, 0, 0)).toBe(-1);
    expect(farm.designator.peek(99, 0, 0, 0, 0, 0).server).toBe(-1);
    farm.designator.setPlan({ vips: [{ index: farm.vip, algorithm: 'round-robin', servers: new Int32Array(0) }] });
    expect(farm.next()).toBe(-1);
  });

  it('gives the lock back', () => {
    const farm = newFarm('round-robin', [1]);
    farm.next();
    farm.designator.peek(farm.vip, 0, 0, 0, 0, 0);
    expect(farm.designator.lock.holder()).toBe(-1);
  });
});
