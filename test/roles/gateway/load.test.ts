/** Load of a gateway: the processor's share, and the traffic against a capacity. */
import { expect, test } from 'vitest';
import { ProcessorLoad, TrafficRates } from '../../../src/roles/gateway/load.js';

const stat = (busy: number, idle: number): string => `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n`;
const counts = (bytes: number, packets: number) => new Map([[1, { bytes, packets }]]);

test('the processor’s share is that between two looks; text that says nothing changes nothing', () => {
  const load = new ProcessorLoad();
  load.look(stat(100, 900));
  expect(load.share).toBe(0);
  load.look(stat(130, 970));
  expect(load.share).toBeCloseTo(0.3);
  load.look('');
  expect(load.share).toBeCloseTo(0.3);
});

test('rates are of all virtual MACs together; the first look has none', () => {
  const rates = new TrafficRates();
  expect(rates.look(counts(1000, 10), 5, 0.1, null)).toMatchObject({ bitsPerSecond: 0, packetsPerSecond: 0 });
  const both = new Map([...counts(2000, 20), [2, { bytes: 500, packets: 5 }] as const]);
  expect(rates.look(both, 7, 0.1, null)).toEqual({
    share: 0.1,
    bitsPerSecond: 6000,
    packetsPerSecond: 7.5,
    perForwarder: both,
  });
});

test('the load is the greater of processor and traffic, and never more than 1', () => {
  const rates = new TrafficRates();
  rates.look(counts(0, 0), 0, 0, 1000);
  expect(rates.look(counts(100, 1), 1, 0.1, 1000).share).toBeCloseTo(0.8);
  expect(rates.look(counts(200, 2), 2, 0.9, 1000).share).toBeCloseTo(0.9);
  expect(rates.look(counts(10_000, 3), 3, 0, 1000).share).toBe(1);
});

test('a counter that goes back makes no rate, and two looks at one time make none either', () => {
  const rates = new TrafficRates();
  rates.look(counts(1000, 10), 0, 0, null);
  expect(rates.look(counts(10, 1), 1, 0, null).bitsPerSecond).toBe(0);
  expect(rates.look(counts(1010, 1), 1, 0, null).bitsPerSecond).toBe(0);
  expect(rates.look(counts(1010, 1), 2, 0, null).bitsPerSecond).toBe(8000);
});
