import { describe, expect, test } from 'vitest';
import { PPP_DISCARDS, PppCounters } from '../../../src/protocol/ppp/counters.js';

describe('counters of PPP', () => {
  test('every reason has a place of its own', () => {
    const counters = new PppCounters();
    PPP_DISCARDS.forEach(([reason], index) => {
      for (let times = 0; times <= index; times++) counters.discard(reason);
    });
    expect(PPP_DISCARDS.map(([reason]) => counters.of(reason))).toEqual(PPP_DISCARDS.map((_, index) => index + 1));
  });
});
