import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { ALL_DROP_REASONS, COUNTER, DROP_BASE } from '../../src/dataplane/counters.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { GOLDEN } from '../helpers/golden-cases.js';
import { Harness } from '../helpers/shard-harness.js';

const SEEDS = GOLDEN.flatMap(({ frames }) => frames.map(({ frame }) => frame));

/** A frame of the golden cases, perhaps with some bytes changed, perhaps cut; or bytes that mean nothing. */
const frames = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...SEEDS) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom(...SEEDS), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }))
      .map(([seed, changes]) => {
        const frame = Uint8Array.from(seed);
        for (const [at, value] of changes) frame[at % frame.length] = value;
        return frame;
      }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...SEEDS), fc.nat()).map(([seed, cut]) => seed.slice(0, cut % seed.length)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
);
const steps = fc.array(
  fc.record({
    frame: frames,
    ingress: fc.constantFrom(PORT_OUTSIDE, PORT_INSIDE),
    shard: fc.nat(1),
    pause: fc.constantFrom(0, 0, 0, 1, 40, 700),
  }),
  { maxLength: 60 },
);

test('every frame is sent, left to the host, answered, or dropped by name; nothing throws and nothing leaks', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const h = new Harness({ shards: 2, connections: 32 });
      let now = 1000;
      for (const { frame, ingress, shard, pause } of script) {
        h.send(frame, ingress, shard);
        now += pause;
        h.at(now);
      }
      h.at(now + 3); // fragments wait no longer
      const sum = (of: (s: Float64Array) => number): number => h.statistics.reduce((total, s) => total + of(s), 0);
      const dropped = sum((s) => ALL_DROP_REASONS.reduce((total, _, index) => total + s[DROP_BASE + index], 0));
      const decided = sum(
        (s) =>
          s[COUNTER.packetsIn] +
          s[COUNTER.packetsOut] +
          s[COUNTER.passed] +
          s[COUNTER.answered] +
          s[COUNTER.icmpTranslated],
      );
      expect(decided + dropped).toBe(script.length);
      h.at(now + 10_000);
      h.at(now + 20_000);
      expect(h.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
      expect(h.rows.servers().map((row) => [row.tunnels, row.sessions])).toEqual([
        [0, 0],
        [0, 0],
      ]);
    }),
    { numRuns: Math.min(FUZZ_RUNS, 5000) },
  );
});
