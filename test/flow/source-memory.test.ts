import { expect, test } from 'vitest';
import { RepeatFilter } from '../../src/flow/repeat-filter.js';
import { mix, SourceMemory } from '../../src/flow/source-memory.js';

test('sources that were noted are known, others are not', () => {
  const memory = new SourceMemory(1024, 7);
  for (let i = 0; i < 500; i++) memory.note(0, 0, 0xffff, 0x0a000000 + i, i);
  const known = (from: number) => Array.from({ length: 500 }, (_, i) => memory.has(0, 0, 0xffff, from + i));
  expect(known(0x0a000000).filter(Boolean).length).toBeGreaterThan(400); // a full set forgets the oldest
  expect(known(0x0b000000).filter(Boolean)).toEqual([]);
});

test('the oldest of a set goes first', () => {
  const memory = new SourceMemory(4, 1);
  for (let i = 1; i <= 5; i++) memory.note(0, 0, 0xffff, i, i);
  expect([1, 2, 3, 4, 5].map((i) => memory.has(0, 0, 0xffff, i))).toEqual([false, true, true, true, true]);
  memory.note(0, 0, 0xffff, 2, 6);
  memory.note(0, 0, 0xffff, 7, 7);
  expect([2, 3, 7].map((i) => memory.has(0, 0, 0xffff, i))).toEqual([true, false, true]);
});

const first = (i: number): [number, number] => [mix(i, 0, 0, 0, 1), mix(i, 0, 0, 0, 2)];

test('a repetition counts when it comes neither at once nor too late', () => {
  const filter = new RepeatFilter(1024, 0.4, 20);
  const seen = (at: number) => filter.repeats(...first(5), at);
  expect(seen(1000)).toBe(false);
  expect(seen(1000.1)).toBe(false); // the network's copy, which does not put it off
  expect(seen(1001)).toBe(true);
  expect(seen(1003)).toBe(true);
  expect(seen(1021)).toBe(false); // forgotten: it counts as the first again
  expect(seen(1022)).toBe(true);
});

test('time wraps without making strangers known', () => {
  const filter = new RepeatFilter(16, 0.4, 20);
  for (let second = 0; second < 2000; second += 50) expect(filter.repeats(...first(1), second)).toBe(false);
});

test('a client’s second request survives ten seconds of a flood of 100,000 a second', () => {
  const filter = new RepeatFilter(1 << 20, 0.4, 20);
  const rate = 100_000;
  let next = 1000;
  let passed = 0;
  const flood = (from: number, seconds: number): void => {
    for (let i = 0; i < rate * seconds; i++) if (filter.repeats(...first(next++), from + i / rate)) passed++;
  };
  const clients = Array.from({ length: 500 }, (_, i) => i);
  for (const client of clients) filter.repeats(...first(client), 100);
  flood(100, 1);
  const second = clients.filter((client) => filter.repeats(...first(client), 101));
  flood(101, 2);
  const third = clients.filter((client) => filter.repeats(...first(client), 103));
  expect(second.length).toBeGreaterThan(clients.length * 0.85);
  expect(third.length).toBeGreaterThan(clients.length * 0.75);
  expect(new Set([...second, ...third]).size).toBeGreaterThan(clients.length * 0.93);
  expect(passed).toBeLessThan(3); // of 300,000 strangers
});
