/**
 * Frames of strangers through whole shards: nothing throws, nothing hangs, the table stays in order, and every frame is
 * accounted for: sent, passed to the host, answered, or dropped by a reason. `FUZZ_RUNS` raises the count; a failure
 * prints the seed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PORT_INSIDE, PORT_NONE, PORT_OUTSIDE, SCRATCH_SLOT_LENGTH } from '../../src/io/port.js';
import { readPcap } from '../../src/wire/pcap.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { configOf, MemoryAppliance } from '../helpers/memory-appliance.js';
import { hex } from '../helpers/packet-builder.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

/** VIPs and servers of the fixtures, so that seeds reach every stage. */
const CONFIG = configOf(`
vips:
  - { name: captures, address: 10.9.0.2, servers: [{ name: c1, address: 10.9.7.1 }, { name: c2, address: 10.9.7.2 }] }
  - { name: golden, address: 200.200.100.1, serverPort: hide, servers: [{ name: g1, address: 10.10.1.1 }, { name: g2, address: 10.10.1.2 }] }
  - { name: six, address: "2001:db8:2::1", servers: [{ name: s1, address: "fd00::1" }] }
firewall:
  rules: [{ deny: { from: 192.128.10.77 } }, { deny: { to: 203.0.113.9, protocol: udp } }]
  tunnelRequestRate: { perSource: 20/s, burst: 40, halfOpen: 30 }
table: { connections: 64 }
`);
const RUNS = Math.max(1, Math.floor(FUZZ_RUNS / 10));
/** Later frames of a long capture repeat what the first ones are. */
const FRAMES_OF_A_CAPTURE = 60;

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');

/** Captures and cases as they are: streams of frames whose order makes sense. */
function streams(): Uint8Array[][] {
  const golden = join(FIXTURES, 'golden');
  const cases = existsSync(golden) ? readdirSync(golden).map((name) => join(golden, name, 'in.pcap')) : [];
  const captures = readdirSync(join(FIXTURES, 'pcaps')).map((name) => join(FIXTURES, 'pcaps', name));
  return [...captures, ...cases]
    .filter((file) => file.endsWith('.pcap') && existsSync(file))
    .map((file) => readPcap(readFileSync(file)).slice(0, FRAMES_OF_A_CAPTURE))
    .map((records) => records.map(({ frame }) => new Uint8Array(frame)));
}

const STREAMS = streams();
const SEEDS = STREAMS.flat();

interface Arrival {
  readonly frame: Uint8Array;
  readonly ingress: number;
  readonly shard: number;
  /** Seconds before it. */
  readonly pause: number;
}

/** A value in one of `outOf` cases, else null. */
const seldom = <T>(outOf: number, value: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ arbitrary: fc.constant(null), weight: outOf - 1 }, { arbitrary: value, weight: 1 });

interface Change {
  readonly edits: readonly { readonly at: number; readonly byte: number }[] | null;
  readonly cut: number | null;
  readonly tail: Uint8Array | null;
}

const change: fc.Arbitrary<Change> = fc.record({
  edits: fc.array(fc.record({ at: fc.nat(120), byte: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
  cut: seldom(4, fc.nat(200)),
  tail: seldom(8, fc.uint8Array({ maxLength: 3000, size: 'max' })),
});

function changed(whole: Uint8Array, { edits, cut, tail }: Change): Uint8Array {
  const frame = new Uint8Array([...whole.subarray(0, cut ?? whole.length), ...(tail ?? [])]);
  for (const { at, byte } of edits ?? []) if (at < frame.length) frame[at] = byte;
  return frame;
}

/** Servers of CONFIG speak from inside; where a frame comes in decides little, so it is seldom wrong on purpose. */
function sideOf(frame: Uint8Array): number {
  const v6 = frame[12] === 0x86;
  return frame[v6 ? 22 : 26] === (v6 ? 0xfd : 10) && (v6 || frame[27] === 10) ? PORT_INSIDE : PORT_OUTSIDE;
}

const pause = seldom(10, fc.nat(700)).map((seconds) => seconds ?? 0);
const side = seldom(12, fc.constantFrom(PORT_OUTSIDE, PORT_INSIDE, PORT_NONE));
const arrival: fc.Arbitrary<Arrival> = fc
  .record({
    seed: fc.nat(SEEDS.length - 1),
    change: seldom(2, change),
    noise: seldom(20, fc.uint8Array({ maxLength: 200 })),
    side,
    shard: fc.nat(1),
    pause,
  })
  .map(({ seed, change: how, noise, side: at, shard, pause: seconds }) => {
    const frame = noise ?? (how === null ? SEEDS[seed] : changed(SEEDS[seed], how));
    return { frame, ingress: at ?? sideOf(SEEDS[seed]), shard, pause: seconds };
  });
/** A stream in its order, a few of its frames changed, lost or doubled: here tunnels stand when bad frames come. */
const stream: fc.Arbitrary<Arrival[]> = fc
  .record({
    which: fc.nat(STREAMS.length - 1),
    times: fc.infiniteStream(fc.constantFrom(1, 1, 1, 1, 1, 1, 0, 2)),
    changes: fc.infiniteStream(seldom(6, change)),
    shards: fc.infiniteStream(fc.nat(1)),
  })
  .map(({ which, times, changes, shards }) =>
    STREAMS[which].flatMap((whole) => {
      const [how, shard] = [changes.next().value as Change | null, shards.next().value as number];
      const one = { frame: how === null ? whole : changed(whole, how), ingress: sideOf(whole), shard, pause: 0 };
      return new Array<Arrival>(times.next().value as number).fill(one);
    }),
  );
const arrivals = fc
  .array(fc.oneof(fc.array(arrival, { minLength: 1, maxLength: 30, size: 'max' }), stream), {
    maxLength: 4,
    size: 'max',
  })
  .map((parts) => parts.flat());

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
const show = ({ frame, ingress, shard, pause: seconds }: Arrival): string =>
  `${seconds} s, ${ingress} → ${shard}: ${hex(frame)}`;

/** Every frame by itself, so that a loss is blamed on the frame that was lost. */
function accountForEach(appliance: MemoryAppliance, all: readonly Arrival[]): void {
  for (const one of all) {
    const { frame, ingress, shard } = one;
    if (one.pause > 0) appliance.at(appliance.now + one.pause);
    const dropped = sum(appliance.drops());
    const waited = appliance.count('fragmentsWaiting');
    const { sent, passed } = appliance.send(frame, ingress, shard);
    const lost = sum(appliance.drops()) - dropped;
    const waiting = appliance.count('fragmentsWaiting') - waited;
    if (sent.length + passed.length + lost + waiting !== 1)
      throw new Error(`${sent.length} sent, ${passed.length} passed, ${lost} dropped, ${waiting} wait: ${show(one)}`);
  }
}

test('there are seeds of every kind', () => {
  expect(SEEDS.length).toBeGreaterThan(200);
});

test('one frame at a time: each has exactly one end', () => {
  fc.assert(
    fc.property(arrivals, (all) => {
      const appliance = new MemoryAppliance(CONFIG);
      accountForEach(
        appliance,
        all.map((one) => ({ ...one, shard: 0 })),
      );
      expect(brokenInvariants(appliance.memory)).toEqual([]);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

test('two shards, control messages handed over: each still has exactly one end', () => {
  fc.assert(
    fc.property(arrivals, (all) => {
      const appliance = new MemoryAppliance(CONFIG, { shards: 2 });
      accountForEach(appliance, all);
      expect(brokenInvariants(appliance.memory)).toEqual([]);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

test('in batches, with two captures open: nothing is lost and everything ages away', () => {
  fc.assert(
    fc.property(fc.array(arrivals, { maxLength: 3 }), (batches) => {
      const appliance = new MemoryAppliance(CONFIG, { shards: 2, captureSlots: 4 });
      appliance.tell({ type: 'capture', captures: [{ slot: 0 }, { slot: 3, clientTunnelId: 7 }] });
      let frames = 0;
      for (const batch of batches) {
        for (const { frame, ingress, shard } of batch) appliance.ports[shard].inject(frame, ingress);
        frames += batch.length;
        appliance.settle();
        appliance.at(appliance.now + (batch[0]?.pause ?? 0));
      }
      appliance.at(appliance.now + 3); // fragments wait no longer
      const out = appliance.ports.reduce((n, port) => n + port.sent.length + port.passed.length, 0);
      expect(out + sum(appliance.drops())).toBe(frames);
      expect(brokenInvariants(appliance.memory)).toEqual([]);
      for (let hour = 0; hour < 2; hour++) appliance.at(appliance.now + 3600);
      expect(appliance.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
      expect(brokenInvariants(appliance.memory)).toEqual([]);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

test('a frame of the longest length that a card can deliver, and one longer than a scratch slot', () => {
  const appliance = new MemoryAppliance(CONFIG, { shards: 2 });
  const request = SEEDS.find((seed) => hex(seed.subarray(42, 44)) === 'c802') as Uint8Array;
  for (const length of [SCRATCH_SLOT_LENGTH, SCRATCH_SLOT_LENGTH + 1, 9014, 65_549]) {
    const frame = new Uint8Array(length);
    frame.set(request);
    accountForEach(
      appliance,
      [0, 1].map((shard) => ({ frame, ingress: PORT_OUTSIDE, shard, pause: 0 })),
    );
  }
});
