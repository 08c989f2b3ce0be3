/** The benchmarks in their smallest form: that they run and count rightly, never how fast. */
import { describe, expect, test } from 'vitest';
import { balanceBench } from '../../bench/balance.js';
import { run as runDecision } from '../../bench/decision.js';
import type { ForwardRow } from '../../bench/forward.js';
import { dataIn, dataOut, flowOf, interleaved, mixture } from '../../bench/frames.js';
import { barOf, verdictOf } from '../../bench/bars.js';
import { bench } from '../../bench/index.js';
import { run as runMicro } from '../../bench/micro/index.js';
import { environment, forwardTable, verdicts } from '../../bench/report.js';
import { percentile } from '../../bench/latency.js';
import { setupRateBench } from '../../bench/setup-rate.js';
import { leastOf } from '../../bench/sink.js';
import { median, quartiles } from '../../bench/statistics.js';
import { CLASS_CONTROL_UNBOUND, CLASS_DATA, EVENT_REQUEST, newControlEvent } from '../../src/tunnels/descriptor.js';
import { l2tp } from '../../src/tunnels/l2tp/descriptor.js';

const REQUEST = {
  quick: true,
  self: ['node', 'main.js'],
  env: {},
  pid: 1,
  version: '0.0.0',
  progress: () => {},
} as const;

describe('order statistics', () => {
  test('median and quartiles, between two values too', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1])).toBe(2.5);
    expect(quartiles([1, 2, 3, 4, 5])).toEqual([2, 4]);
  });
});

describe('flows', () => {
  test('no two share an address and port', () => {
    const places = Array.from({ length: 100_000 }, (_, i) => flowOf(i)).map(
      ({ client, port }) => client * 65536 + port,
    );
    expect(new Set(places).size).toBe(100_000);
  });

  test('ids are ids: 1 to 65535', () => {
    const ids = Array.from({ length: 100_000 }, (_, i) => flowOf(i)).flatMap(({ clientId, serverId }) => [
      clientId,
      serverId,
    ]);
    expect(Math.min(...ids.slice(0, 1000))).toBeGreaterThan(0);
    expect(ids.every((id) => id > 0 && id < 65536)).toBe(true);
  });
});

describe('frames', () => {
  const macs = { source: Uint8Array.of(2, 0, 0, 0, 0, 1), destination: Uint8Array.of(2, 0, 0, 0, 0, 2) };

  test('long ones are heads and one tail for all', () => {
    const long = dataIn(3, macs, 1400);
    expect(long.frames).toHaveLength(3 * 64);
    expect(long.tail).toHaveLength(1400 - 64);
    // The IP header says how long the whole packet is.
    expect(new DataView(long.frames.buffer).getUint16(16)).toBe(1400 - 14);
  });

  test('a mixture of data and requests has one length and one end, and both are what they claim to be', () => {
    const set = mixture([{ flow: 3 }, { client: 0x0a500001, port: 1700 }, { flow: 4 }], macs);
    const whole = (i: number): DataView =>
      new DataView(Uint8Array.from([...set.frames.subarray(i * 64, i * 64 + 64), ...(set.tail ?? [])]).buffer);
    const classes = [0, 1, 2].map((i) => {
      const channel = new Int32Array(2);
      return [l2tp.classify(whole(i), 34, whole(i).byteLength, channel), channel[0]];
    });
    expect(classes).toEqual([
      [CLASS_DATA, flowOf(3).serverId],
      [CLASS_CONTROL_UNBOUND, 0],
      [CLASS_DATA, flowOf(4).serverId],
    ]);
    const event = newControlEvent();
    expect(l2tp.read(whole(1), 34, whole(1).byteLength, event)).toBe(EVENT_REQUEST);
    expect(event.assigned).toBeGreaterThan(0);
  });

  test('both directions turn about', () => {
    const [one, other] = [dataIn(2, macs, 64), dataOut(2, macs, 64)];
    const both = interleaved(one, other);
    const at = (i: number): Uint8Array => both.frames.subarray(i * 64, (i + 1) * 64);
    expect([at(0), at(1), at(2), at(3)]).toEqual([
      one.frames.subarray(0, 64),
      other.frames.subarray(0, 64),
      one.frames.subarray(64, 128),
      other.frames.subarray(64, 128),
    ]);
  });
});

describe('latency', () => {
  test('buckets rise, each at most a sixteenth wide', () => {
    for (let bucket = 16; bucket < 600; bucket++) {
      const [least, next] = [leastOf(bucket), leastOf(bucket + 1)];
      expect(next).toBeGreaterThan(least);
      expect((next - least) / least).toBeLessThanOrEqual(1 / 16);
    }
  });

  test('percentiles in microseconds', () => {
    const histogram = [
      [1000, 98],
      [5000, 1],
      [90_000, 1],
    ] as const;
    expect([0.5, 0.99, 0.999].map((q) => percentile(histogram, q))).toEqual([1, 5, 90]);
    expect(percentile([], 0.5)).toBeNull();
  });
});

describe('smallest form', () => {
  test('set-up: every request is mapped, every tunnel stands', () => {
    const rows = setupRateBench({ tunnels: 1000, runs: 1 });
    expect(rows.map(({ step, tunnels }) => [step, tunnels])).toEqual([
      ['request to mapped entry', 1000],
      ['whole dialogue', 1000],
    ]);
    for (const row of rows) expect(row.perSecond).toBeGreaterThan(0);
  });

  test('the decision: both languages find all of 4096 packets', () => {
    const rows = runDecision({ smoke: true });
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row.value).toBeGreaterThan(0);
  });

  test('tables and designation', async () => {
    const rows = await runMicro({ smoke: true });
    expect(new Set(rows.map(({ benchmark }) => benchmark))).toEqual(
      new Set([
        'memory',
        'look-up',
        'churn',
        'designation',
        'l2tp control',
        'state offload',
        'gateway answers',
        'gateway hosts',
        'replication',
      ]),
    );
    expect(rows.find(({ benchmark }) => benchmark === 'memory')?.reached).toBe(true);
  });
});

describe('balance', () => {
  test('the same tunnels for every algorithm; by load it is more even than by turns or by chance', () => {
    const rows = balanceBench({ tunnels: 3000, servers: 8, algorithms: ['least-load', 'round-robin', 'random'] });
    const [load, turns, chance] = rows.map(({ average }) => average);
    expect(load).toBeLessThan(turns);
    expect(load).toBeLessThan(chance);
    expect(balanceBench({ tunnels: 3000, servers: 8, algorithms: ['least-load'] })).toEqual([rows[0]]);
  });

  test('a server that has become empty does not get a whole interval’s requests', () => {
    const [load, turns] = balanceBench({ servers: 1000, tunnels: 4000, algorithms: ['least-load', 'round-robin'] });
    expect(load.worst).toBeLessThan(turns.worst * 1.05);
  });
});

describe('the command', () => {
  test('micro and setup-rate in one run: the machine once, rows of both, a table for people', async () => {
    const result = await bench({ ...REQUEST, benchmarks: ['micro', 'setup-rate'] });
    expect(result.environment).toMatchObject({ node: process.versions.node, version: '0.0.0' });
    expect(result.rows.some((row) => 'step' in row)).toBe(true);
    expect(result.rows.some((row) => 'benchmark' in row)).toBe(true);
    expect(result.text).toContain('request to mapped entry');
  });

  test('a peer that there is not', async () => {
    const asked = bench({ ...REQUEST, benchmarks: ['forward'], peers: ['pktgen'] });
    await expect(asked).rejects.toMatchObject({
      code: 'TD_USAGE',
      message: expect.stringContaining('no peer "pktgen"'),
    });
  });
});

describe('bars', () => {
  const row = (range: readonly [number, number]): ForwardRow => ({
    benchmark: 'forward',
    path: 'in',
    peer: 'nft-dnat',
    load: '90%',
    size: 64,
    flows: 1000,
    workers: null,
    source: 'live',
    nsPerPacket: 1000,
    nsQuartiles: [900, 1100],
    kpps: 200,
    loss: 0,
    ratioToNft: 1,
    quartiles: [1, 1],
    ratios: [{ ours: 'designator', median: 1, quartiles: range, bar: 1, verdict: verdictOf(range, 1) }],
    runs: 5,
  });

  test.each([
    [[0.8, 0.9] as const, /reached$/],
    [[1.1, 1.2] as const, /missed$/],
    [[0.9, 1.1] as const, /not decidable here$/],
  ])('quartiles %j: %s', (quartilesOf, says) => expect(verdicts([row(quartilesOf)])).toMatch(says));

  test.each([
    ['xdp', 'xdp-bare', 1000, 1.15],
    ['xdp', 'xdp-bare', 100_000, 1],
    ['xdp', 'nft-dnat', 1000, 1 / 6],
    ['xdp', 'nft-dnat', 100_000, 1 / 5],
    ['xdp', 'nft-dnat', 1_000_000, 1 / 4],
    ['xdp', 'ip-forward', 1_000_000, 1 / 4],
    ['af-xdp', 'nft-dnat', 1000, 0.6],
    ['af-xdp', 'af-xdp-twin', 1000, 1.1],
    ['xdp-virtual', 'xdp', 1000, 1.03],
    ['af-xdp-virtual', 'af-xdp', 100_000, 1.03],
    ['designator-virtual', 'designator', 1000, 1.03],
    ['xdp', 'node-dgram', 1000, null],
  ] as const)('%s to %s with %i flows: %d', (ours, peer, flows, bar) => expect(barOf(ours, peer, flows)).toBe(bar));

  test('a row without figures is a row with dashes', () => {
    expect(forwardTable([{ ...row([1, 1]), nsPerPacket: null, kpps: null, loss: null }])).toMatch(/-\s+-\s+-/);
  });

  test('the machine is named', () => expect(environment('1.2.3')).toMatchObject({ version: '1.2.3', seed: 0 }));
});
