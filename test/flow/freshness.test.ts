/** What proves that somebody speaks now, and what is remembered of those who do not any more. */
import { expect, test } from 'vitest';
import { ECHO_SECONDS, OwnSequences, SpentIncarnations } from '../../src/flow/freshness.js';

test('a sequence is recent from when it was sent until it is too long ago', () => {
  const own = new OwnSequences();
  expect(own.isRecent(1, 0)).toBe(false);
  own.sent(1, 0);
  own.sent(5, 2);
  own.alsoSent(7);
  expect([0, 1, 3, 7, 8].map((sequence) => own.isRecent(sequence, ECHO_SECONDS))).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  expect([1, 2, 5, 7].map((sequence) => own.isRecent(sequence, ECHO_SECONDS + 0.1))).toEqual([false, true, true, true]);
  expect(own.isRecent(7, 2 + ECHO_SECONDS + 0.1)).toBe(false);
});

test('after forgetting only what is sent later proves anything', () => {
  const own = new OwnSequences();
  own.sent(9, 0);
  own.forget();
  expect(own.isRecent(9, 0.1)).toBe(false);
  own.sent(10, 0.2);
  expect([9, 10].map((sequence) => own.isRecent(sequence, 0.3))).toEqual([false, true]);
});

test('of incarnations that are over the last sequence is kept, of the last thousand', () => {
  const spent = new SpentIncarnations();
  expect(spent.lastOf(1)).toBe(-1);
  for (let incarnation = 1; incarnation <= 1024; incarnation++) spent.spend(incarnation, incarnation * 2);
  spent.spend(1, 77); // again: now it is the youngest
  spent.spend(2000, 5);
  expect([1, 2, 3, 1024, 2000].map((incarnation) => spent.lastOf(incarnation))).toEqual([77, -1, 6, 2048, 5]);
});
