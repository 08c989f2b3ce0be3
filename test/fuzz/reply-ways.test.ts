/** Frames of clients that follow, stay and refuse, in any order and changed at will, with every way of answering. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ALL_DROP_REASONS, COUNTER, DROP_BASE } from '../../src/dataplane/counters.js';
import { HEADER } from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { parseAddress } from '../../src/wire/address.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { REPLY_CASES } from '../helpers/reply-cases.js';
import { Harness, vipOf } from '../helpers/shard-harness.js';

const SEEDS = REPLY_CASES.flatMap(({ frames }) => frames.map(({ frame }) => frame));
const at = (address: string) => ({ address, words: parseAddress(address) as never, family: 4 }) as const;
const WAYS = [
  { reply: 'nat', natAddress: at('200.200.100.2') },
  { reply: 'direct', oneWay: true },
  { reply: 'direct', oneWay: true, localAddress: at('10.10.1.250') },
] as const;
const frame = fc
  .tuple(fc.constantFrom(...SEEDS), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }))
  .map(([seed, changes]) => {
    const bytes = Uint8Array.from(seed);
    for (const [place, value] of changes) bytes[place % bytes.length] = value;
    return bytes;
  });
const steps = fc.array(
  fc.record({
    frame,
    ingress: fc.constantFrom(PORT_OUTSIDE, PORT_INSIDE),
    shard: fc.nat(1),
    pause: fc.constantFrom(0, 0, 0, 1, 3, 40),
  }),
  { maxLength: 60 },
);

test('every frame is sent, left to the host or dropped by name; nothing throws, nothing stays, nothing is counted twice', () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(...WAYS), (script, way) => {
      const h = new Harness({ shards: 2, connections: 32, vips: [{ ...vipOf({}), ...way }] });
      let now = 1000;
      for (const step of script) {
        h.send(step.frame, step.ingress, step.shard);
        now += step.pause;
        h.at(now);
      }
      h.at(now + 3); // fragments wait no longer
      const sum = (of: (s: Float64Array) => number): number => h.statistics.reduce((total, s) => total + of(s), 0);
      const dropped = sum((s) => ALL_DROP_REASONS.reduce((total, _, index) => total + s[DROP_BASE + index], 0));
      const { packetsIn, packetsOut, passed, answered, icmpTranslated } = COUNTER;
      const decided = sum((s) => s[packetsIn] + s[packetsOut] + s[passed] + s[answered] + s[icmpTranslated]);
      expect(decided + dropped).toBe(script.length);
      h.at(now + 10_000);
      h.at(now + 20_000);
      expect(h.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
      expect(h.rows.servers().map((row) => [row.tunnels, row.sessions])).toEqual([
        [0, 0],
        [0, 0],
      ]);
      expect(h.memory.header[HEADER.halfOpen]).toBe(0);
    }),
    { numRuns: Math.min(FUZZ_RUNS, 150) },
  );
}, 120_000);
