import { describe, expect, test } from 'vitest';
import type { L2tpSession } from '../../../../src/protocol/l2tp/session.js';
import { Call } from '../../../../src/roles/lac/generator/call.js';
import { Histogram } from '../../../../src/roles/lac/generator/histogram.js';
import { ipv4Of, parseFarEnd, parseTraffic, type TrafficSpec } from '../../../../src/roles/lac/generator/settings.js';
import { Tally } from '../../../../src/roles/lac/generator/tally.js';
import { Traffic } from '../../../../src/roles/lac/generator/traffic.js';

function callOf(number: number): Call {
  const call = new Call(number, {} as L2tpSession, 0);
  call.slot = number;
  call.address = Uint8Array.of(10, 0, 0, number);
  call.peerAddress = Uint8Array.of(10, 0, 0, 254);
  return call;
}

describe('traffic', () => {
  const spec = (text: string): TrafficSpec => parseTraffic(text) as TrafficSpec;

  test('each session sends at its rate, and what comes back is counted with its time', () => {
    let ms = 0;
    const traffic = new Traffic([spec('ping:64@10')], 4, null, () => ms);
    const up = [1, 2, 3, 4].map(callOf);
    const sent: [number, Uint8Array][] = [];
    const sink = { ppp: (slot: number, frame: Uint8Array) => void sent.push([slot, frame.slice()]) };
    traffic.start(0);
    for (let now = 0; now <= 1; now += 0.01) {
      ms = now * 1000;
      traffic.run(now, up, sink);
    }
    traffic.stop(1);
    expect(sent.length).toBeGreaterThanOrEqual(38);
    expect(sent.length).toBeLessThanOrEqual(40);
    expect(new Set(sent.map(([slot]) => slot))).toEqual(new Set([1, 2, 3, 4]));
    ms = 1020;
    const [first, second] = sent.filter(([slot]) => slot === 1).map(([, frame]) => frame);
    for (const frame of [second, first]) {
      frame[24] = 0; // an echo reply
      expect(traffic.receive(frame, 4)).toBe(true);
    }
    const [result] = traffic.results();
    expect(result).toMatchObject({ name: 'ping:64@10', sent: sent.length, received: 2, outOfOrder: 1 });
    expect(result.lost).toBe(sent.length - 2);
    expect(result.latencyMs?.max).toBeGreaterThan(20);
    // Session 1 heard nothing until the end of sending, and the others nothing at all.
    expect(result.gapMs).toMatchObject({ count: 4 });
    expect(result.gapMs?.median).toBeGreaterThan(900);
  });

  test('pairs send to each other; the one that is left over is silent', () => {
    const traffic = new Traffic([spec('pairs:imix@100')], 3, null, () => 0);
    const up = [1, 2, 3].map(callOf);
    const to = new Map<number, number>();
    const lengths = new Set<number>();
    traffic.start(0);
    traffic.run(1, up, {
      ppp: (slot, frame) => {
        to.set(slot, frame[23]);
        lengths.add(frame.length - 4);
      },
    });
    expect(to).toEqual(
      new Map([
        [1, 2],
        [2, 1],
      ]),
    );
    expect(lengths).toEqual(new Set([64, 576, 1500]));
  });

  test.each(['', 'tcp', 'ping:51', 'ping:1501', 'ping@0', 'pairs:imix@200000', 'ping:64@'])('%j is refused', (text) =>
    expect(typeof parseTraffic(text)).toBe('string'),
  );
});

test('far ends', () => {
  expect(parseFarEnd('192.0.2.1', 1701)).toEqual({ address: '192.0.2.1', port: 1701 });
  expect(parseFarEnd('192.0.2.1:1702', 1701)).toEqual({ address: '192.0.2.1', port: 1702 });
  expect(parseFarEnd('2001:db8::1', 1701)).toEqual({ address: '2001:db8::1', port: 1701 });
  expect(parseFarEnd('[2001:db8::1]:9', 1701)).toEqual({ address: '2001:db8::1', port: 9 });
  for (const text of ['', 'lns', '192.0.2', '192.0.2.1:0', '[192.0.2.1', '2001:db8::1]:3']) {
    expect(parseFarEnd(text, 1701)).toBeNull();
  }
  expect(ipv4Of('10.1.2.3')).toEqual(Uint8Array.of(10, 1, 2, 3));
  expect(ipv4Of('::1')).toBeNull();
});

describe('figures', () => {
  test('quantiles are within a hundredth', () => {
    const histogram = new Histogram();
    for (let n = 1; n <= 1000; n++) histogram.add(n / 1000);
    const { count, median, p95, p99, max } = histogram.figures() ?? { count: 0, median: 0, p95: 0, p99: 0, max: 0 };
    expect([count, max]).toEqual([1000, 1000]);
    expect(median / 500).toBeCloseTo(1, 1);
    expect(p95 / 950).toBeCloseTo(1, 1);
    expect(p99 / 990).toBeCloseTo(1, 1);
    expect(new Histogram().figures()).toBeNull();
  });

  test('failures are counted by kind, and kinds are bounded', () => {
    const tally = new Tally();
    for (let kind = 0; kind < 100; kind++) for (let n = 0; n <= kind; n++) tally.failure('l2tp', `CDN ${kind}/0`);
    expect(tally.failures).toHaveLength(65);
    expect(tally.failures.reduce((sum, { count }) => sum + count, 0)).toBe(5050);
    tally.begun(1);
    tally.cameUp(1, 2);
    tally.cameUp(1, 3);
    expect(tally.sessions(2, 2)).toMatchObject({ up: 2, perSecond: 1, bestSecond: 1 });
  });
});
