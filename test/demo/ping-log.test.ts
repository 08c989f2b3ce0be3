import { describe, expect, test } from 'vitest';
import { type Answer, answersOf, outageOf } from '../../src/demo/lab/ping-log.js';

describe('the log of a host', () => {
  test('answers have their times and numbers; everything else is passed over', () => {
    const log = `PING 10.6.0.100 (10.6.0.100) 56(84) bytes of data.
[100.000001] 64 bytes from 10.6.0.100: icmp_seq=1 ttl=63 time=0.297 ms
[100.020000] From 10.7.1.1 icmp_seq=2 Destination Host Unreachable
[100.040000] 64 bytes from 10.6.0.100: icmp_seq=3 ttl=63 time=0.1 ms (DUP!)
[100.06`;
    expect(answersOf(log)).toEqual([
      { time: 100.000001, sequence: 1 },
      { time: 100.04, sequence: 3 },
    ]);
  });
});

describe('an outage', () => {
  /** Answers of 50 requests a second; request 0 is sent at 10 s. */
  const answers = (from: number, to: number): Answer[] =>
    Array.from({ length: to - from + 1 }, (_, index) => ({ time: 10 + (from + index) / 50, sequence: from + index }));

  test('is the longest loss after the event, and ends with the first answer after it', () => {
    const seen = [...answers(0, 50), ...answers(65, 99), ...answers(101, 150)];
    const { recovered, gap, missing } = outageOf(seen, 11.01, 0.02, 13) ?? {};
    expect(recovered).toBeCloseTo(0.29, 6);
    expect(gap).toBeCloseTo(0.3, 6);
    expect(missing).toBe(15);
  });

  test('is none where answers are late, double or out of order, but none is missing', () => {
    const late = answers(51, 100).map((answer) => ({ ...answer, time: answer.time + 0.1 }));
    const seen = [...answers(0, 50), late[0], ...late, ...answers(60, 70), ...answers(101, 150)];
    expect(outageOf(seen, 11.01, 0.02, 13.01)).toEqual({ recovered: 0, gap: 0, missing: 0 });
  });

  test('is none where answers were lost before the event only', () => {
    expect(outageOf([...answers(0, 5), ...answers(20, 150)], 11.01, 0.02, 13.01)?.recovered).toBe(0);
  });

  test('is without an end where no answer came again', () => {
    expect(outageOf(answers(0, 50), 11.01, 0.02, 12)).toEqual({ recovered: null, gap: 1, missing: 0 });
  });

  test.each([[[]], [answers(60, 99)]])('cannot be told of a host that had no answer before', (seen) => {
    expect(outageOf(seen, 11.01, 0.02, 12)).toBeNull();
  });
});
