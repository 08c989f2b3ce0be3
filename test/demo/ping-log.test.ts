import { describe, expect, test } from 'vitest';
import { outageOf, pingTimes } from '../../src/demo/lab/ping-log.js';

describe('the log of a host', () => {
  test('answers have their times; everything else is passed over', () => {
    const log = `PING 10.6.0.100 (10.6.0.100) 56(84) bytes of data.
[100.000001] 64 bytes from 10.6.0.100: icmp_seq=1 ttl=63 time=0.297 ms
[100.020000] From 10.7.1.1 icmp_seq=2 Destination Host Unreachable
[100.040000] 64 bytes from 10.6.0.100: icmp_seq=3 ttl=63 time=0.1 ms (DUP!)
[100.06`;
    expect(pingTimes(log)).toEqual([100.000001, 100.04]);
  });
});

describe('an outage', () => {
  const every20ms = (from: number, to: number): number[] =>
    Array.from({ length: Math.floor((to - from) / 0.02 + 0.5) + 1 }, (_, index) => from + index * 0.02);

  test('is the longest gap after the event, and ends with the first answer after it', () => {
    const times = [...every20ms(10, 11), ...every20ms(11.3, 12)];
    const { recovered, gap } = outageOf(times, 11.01, 0.02, 12.01) ?? {};
    expect(recovered).toBeCloseTo(0.29, 6);
    expect(gap).toBeCloseTo(0.3, 6);
  });

  test('is none where no answer is missing, however long the gaps before the event were', () => {
    const times = [9, ...every20ms(10, 12)];
    expect(outageOf(times, 11.01, 0.02, 12.01)?.recovered).toBe(0);
  });

  test('is without an end where no answer came again', () => {
    expect(outageOf(every20ms(10, 11), 11.01, 0.02, 12)).toEqual({ recovered: null, gap: 1 });
  });

  test('cannot be told of a host that had no answer before', () => {
    expect(outageOf(every20ms(11.5, 12), 11.01, 0.02, 12)).toBeNull();
  });
});
