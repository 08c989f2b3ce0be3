import { expect, test } from 'vitest';
import { COUNTER_WORDS, type CounterName, counterLabel } from '../../src/dataplane/counter-words.js';
import { COUNTER, DROP_BASE } from '../../src/dataplane/counters.js';

const names = Object.keys(COUNTER) as CounterName[];

test('every counter has a place of its own below the drops, and words of its own', () => {
  const places = names.map((name) => COUNTER[name]);
  expect(new Set(places).size).toBe(names.length);
  expect(Math.max(...places)).toBeLessThan(DROP_BASE);
  expect(Object.keys(COUNTER_WORDS).sort()).toEqual([...names].sort());
  expect(new Set(Object.values(COUNTER_WORDS)).size).toBe(names.length);
});

test('labels are written as reasons are', () => {
  for (const name of names) expect(counterLabel(name)).toMatch(/^[a-z]+(-[a-z]+)*$/);
  expect(counterLabel('hiddenLearnt')).toBe('hidden-learnt');
  expect(new Set(names.map(counterLabel)).size).toBe(names.length);
});
