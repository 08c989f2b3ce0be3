import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEADLINE_SECONDS, PATIENCE_SECONDS, QUIET_SECONDS } from '../../src/dataplane/offload.js';
import { RECORD, RECORD_WORDS } from '../../src/flow/layout.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import { BATCH_CAPACITY } from '../../src/io/port.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { KernelModel } from '../helpers/kernel-model.js';
import { stopccn } from '../helpers/packet-builder.js';
import type { Harness } from '../helpers/shard-harness.js';
import { toVip, harness, connect, isIn, isOut, wait } from '../helpers/offload-harness.js';

describe('order', () => {
  const STEP = 0.0001;

  /** Bursts of data from SCCCN on; the shards take turns after each, then everything runs dry. */
  function run(bursts: readonly number[], shards: number, gap: number): { model: KernelModel; h: Harness } {
    const h = harness({ shards });
    const record = connect(h);
    const model = new KernelModel(h);
    const table = new ConnectionTable(h.memory);
    expect(table.recordOf(h.memory.records[record * RECORD_WORDS + RECORD.entryForward] - 1)).toBe(record);
    const ring = h.memory.records[record * RECORD_WORDS] === 0 ? 0 : shards - 1;
    for (const burst of bursts) {
      for (let n = 0; n < burst; n++) model.arrive(record, 99, ring);
      for (let shard = 0; shard < shards; shard++) model.turn(shard);
      model.pass(STEP);
      for (let spent = STEP; spent < gap; spent += STEP) {
        for (let shard = 0; shard < shards; shard++) model.turn(shard);
        model.pass(STEP);
      }
    }
    for (let n = 0; n < 8; n++) for (let shard = 0; shard < shards; shard++) model.turn(shard);
    expect(model.log).toHaveLength(bursts.reduce((sum, burst) => sum + burst, 0));
    return { model, h };
  }

  test('no frame overtakes another, whatever the traffic, as long as the ring runs empty now and then', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(5), fc.nat(BATCH_CAPACITY - 1)), { minLength: 1, maxLength: 40 }),
        fc.constantFrom(STEP, QUIET_SECONDS / 2, QUIET_SECONDS * 2),
        (bursts, gap) => {
          expect(run(bursts, 1, gap).model.overtaken).toBe(0);
        },
      ),
      { numRuns: Math.min(FUZZ_RUNS, 100) },
    );
  });

  test('nor through another shard’s ring, when there are pauses', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(60), { minLength: 1, maxLength: 20 }), (bursts) => {
        const { model } = run(bursts, 2, QUIET_SECONDS * 3);
        expect(model.overtaken).toBe(0);
      }),
      { numRuns: Math.min(FUZZ_RUNS, 50) },
    );
  });

  test('a tunnel with pauses is soon forwarded by the program', () => {
    const { model } = run(new Array(20).fill(3), 1, QUIET_SECONDS * 3);
    expect(model.forwarded).toBeGreaterThan(50);
  });

  test('one that is never quiet waits for a turn without it', () => {
    const turns = Math.ceil((PATIENCE_SECONDS / STEP) * 1.2);
    const bursts = Array.from({ length: turns }, (_, n) => (n % 3 === 0 ? 1 : 0));
    const { model } = run(bursts, 1, STEP);
    expect(model.forwarded).toBeGreaterThan(0);
    expect(model.overtaken).toBe(0);
  });

  test('one that fills every batch goes in at the deadline; once, at most what waited is overtaken', () => {
    const h = harness();
    const record = connect(h);
    const model = new KernelModel(h);
    const step = DEADLINE_SECONDS / 20;
    // More comes than a turn takes, so that the ring is never empty.
    for (let n = 0; n < 24; n++) {
      for (let i = 0; i < BATCH_CAPACITY + 4; i++) model.arrive(record, 99, 0);
      model.turn(0);
      model.pass(step);
    }
    const waiting = 24 * 4 + 2 * BATCH_CAPACITY;
    for (let n = 0; n < 8; n++) model.turn(0);
    expect(isIn(h, record)).toBe(true);
    expect(model.forwarded).toBeGreaterThan(0);
    expect(model.overtaken).toBeGreaterThan(0);
    expect(model.overtaken).toBeLessThanOrEqual(waiting);
    expect(model.log).toHaveLength(24 * (BATCH_CAPACITY + 4));
  });

  test('a tunnel that ends while it waits stays out', () => {
    const h = harness();
    const record = connect(h);
    h.send(toVip(stopccn({ tunnel: 99, assigned: 7 })));
    wait(h, 1);
    expect(isOut(h, record)).toBe(true);
    expect(h.count('offloaded')).toBe(0);
  });
});
