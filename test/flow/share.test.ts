/** Who writes which record, and which records changed, as two threads tell each other. */
import { expect, test } from 'vitest';
import { IndexRing } from '../../src/flow/index-ring.js';
import { ShareMap, STREAM_FORMER, STREAM_OURS } from '../../src/flow/share-map.js';

const RECORDS = 100;
const newMap = (): ShareMap => new ShareMap(new SharedArrayBuffer(ShareMap.byteLength(RECORDS)), RECORDS);

test('until it is said that stream 0 is ours nothing is', () => {
  const map = newMap();
  expect(map.isForeign(7)).toBe(true);
  map.setWritten(STREAM_OURS, true);
  expect(map.isForeign(7)).toBe(false);
});

test('all records of a stream become ours, and are given back, by one store', () => {
  const map = newMap();
  map.setWritten(STREAM_OURS, true);
  for (const record of [3, 50, 99]) map.give(record, 9);
  expect([3, 50, 99, 4].map((record) => map.isForeign(record))).toEqual([true, true, true, false]);
  map.setWritten(9, true);
  expect([3, 50, 99].map((record) => map.isForeign(record))).toEqual([false, false, false]);
  map.setWritten(9, false);
  expect(map.isForeign(50)).toBe(true);
});

test('what a former process left moves to another stream, and nothing else does', () => {
  const map = newMap();
  for (const record of [0, 1, 99]) map.give(record, STREAM_FORMER);
  map.give(2, 5);
  expect(map.move(STREAM_FORMER, STREAM_OURS)).toBe(3);
  expect([0, 1, 2, 99].map((record) => map.streamOf(record))).toEqual([0, 0, 5, 0]);
});

test('another view of the same memory sees the same', () => {
  const map = newMap();
  const other = new ShareMap(map.buffer, RECORDS);
  map.give(8, 3);
  map.setWritten(3, true);
  expect([other.streamOf(8), other.writes(3), other.isForeign(8)]).toEqual([3, true, false]);
});

test('a ring gives indices in order, and says how many found no room', () => {
  const ring = new IndexRing(new SharedArrayBuffer(IndexRing.byteLength(8)), 8);
  expect(ring.pop()).toBe(-1);
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 8; n++) expect(ring.push(round * 10 + n)).toBe(true);
    expect(ring.push(99)).toBe(false);
    expect(ring.pending()).toBe(8);
    for (let n = 0; n < 8; n++) expect(ring.pop()).toBe(round * 10 + n);
    expect(ring.pop()).toBe(-1);
    expect(ring.takeLost()).toBe(1);
    expect(ring.takeLost()).toBe(0);
  }
});

test('counters of a ring wrap', () => {
  const memory = new SharedArrayBuffer(IndexRing.byteLength(4));
  const words = new Int32Array(memory);
  words[0] = 0x7fffffff;
  words[16] = 0x7fffffff;
  const ring = new IndexRing(memory, 4);
  for (const n of [1, 2, 3, 4]) expect(ring.push(n)).toBe(true);
  expect(ring.push(5)).toBe(false);
  expect([ring.pop(), ring.pop(), ring.pop(), ring.pop(), ring.pop()]).toEqual([1, 2, 3, 4, -1]);
});
