import { expect, test } from 'vitest';
import { DelayQueue } from '../../src/flow/delay-queue.js';

test('items come out in order, each after its wait; a full queue takes no more', () => {
  const queue = new DelayQueue(2, 3);
  expect([1, 2, 3, 4].map((item) => queue.push(item, item))).toEqual([true, true, true, false]);
  expect([queue.take(2.9), queue.take(3), queue.take(3.5), queue.take(4)]).toEqual([-1, 1, -1, 2]);
  expect([queue.push(5, 4), queue.push(6, 4.5), queue.push(7, 4.6)]).toEqual([true, true, false]);
  expect([queue.take(100), queue.take(100), queue.take(100), queue.take(100)]).toEqual([3, 5, 6, -1]);
  expect(queue.count).toBe(0);
});
