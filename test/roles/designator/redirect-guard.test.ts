import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RedirectGuard, sentPackets } from '../../../src/roles/designator/redirect-guard.js';

describe('redirected frames that do not leave', () => {
  test('are noticed in the second bad second, not before', () => {
    const guard = new RedirectGuard(2);
    expect(guard.look(0, 0, 0)).toBe(false);
    expect(guard.look(0, 1000, 3)).toBe(false);
    expect(guard.look(0, 2000, 5)).toBe(true);
    expect(guard.look(0, 3000, 7)).toBe(true);
  });
  test('a good second in between, little traffic or a late count are no sign', () => {
    const guard = new RedirectGuard(1);
    guard.look(0, 0, 0);
    expect(guard.look(0, 1000, 0)).toBe(false);
    expect(guard.look(0, 2000, 2000)).toBe(false);
    expect(guard.look(0, 3000, 2000)).toBe(false);
    expect(guard.look(0, 3010, 2000)).toBe(false);
    expect(guard.look(0, 4010, 2000)).toBe(false);
    expect(guard.look(0, 5010, 2600)).toBe(false);
  });
  test('sides are judged apart, and counters that begin anew are a new beginning', () => {
    const guard = new RedirectGuard(2);
    for (const side of [0, 1]) guard.look(side, 0, 0);
    for (let second = 1; second < 5; second++) {
      expect(guard.look(0, second * 1000, second * 1000)).toBe(false);
      expect(guard.look(1, second * 1000, 0)).toBe(second > 1);
    }
    expect(guard.look(1, 0, 0)).toBe(false);
    expect(guard.look(1, 1000, 0)).toBe(false);
  });
});

test('the packets that a device has sent are read where the kernel writes them', () => {
  const text = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
    '    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0',
    ' wan0:12345678     200    0    0    0     0          0         0     3000      30    0    0    0     0       0          0',
  ].join('\n');
  expect(sentPackets(text, 'wan0')).toBe(30);
  expect(sentPackets(text, 'an0')).toBeNull();
  expect(sentPackets(text, 'wan')).toBeNull();
  expect(sentPackets(readFileSync('/proc/self/net/dev', 'utf8'), 'lo')).toBeGreaterThanOrEqual(0);
});
