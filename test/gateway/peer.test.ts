/** Which messages of a member are new: each sequence once, in any order, within the window. */
import { expect, test } from 'vitest';
import { Peer } from '../../src/gateway/peer.js';
import { randomOf } from '../helpers/seeded-random.js';

const WINDOW = 64;

test('each sequence is new once, in whatever order they come, against a list of all that came', () => {
  const random = randomOf(7);
  const peer = new Peer(2);
  peer.begin(99, 10);
  const taken = new Set<number>();
  let highest = 10;
  let late = 0;
  for (let i = 0; i < 20_000; i++) {
    const sequence = Math.max(0, highest + 3 - Math.floor(random() * 2 * WINDOW));
    const expected = sequence > highest || (sequence > highest - WINDOW && sequence > 10 && !taken.has(sequence));
    expect(peer.isNew(sequence), `${sequence} after ${highest}`).toBe(expected);
    if (!expected) continue;
    if (sequence < highest) late++;
    peer.take(sequence);
    taken.add(sequence);
    highest = Math.max(highest, sequence);
  }
  expect(late).toBeGreaterThan(300);
});

test('a window full of late messages forgets none that is still in it', () => {
  const peer = new Peer(2);
  peer.begin(99, 0);
  peer.take(1000);
  for (let sequence = 999; sequence > 1000 - WINDOW; sequence--) {
    expect(peer.isNew(sequence)).toBe(true);
    peer.take(sequence);
  }
  for (let sequence = 1000; sequence > 0; sequence--) expect(peer.isNew(sequence), String(sequence)).toBe(false);
});

test('a new incarnation begins with nothing of the old one', () => {
  const peer = new Peer(2);
  peer.begin(99, 0);
  for (let sequence = 1; sequence <= 200; sequence++) peer.take(sequence);
  peer.begin(100, 5);
  peer.take(180);
  expect([5, 4, 0, 180, 1].map((sequence) => peer.isNew(sequence))).toEqual([false, false, false, false, false]);
  expect([179, 150, 181].map((sequence) => peer.isNew(sequence))).toEqual([true, true, true]);
});
