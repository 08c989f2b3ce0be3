import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Glob } from '../../src/flow/glob.js';
import { RUNS } from './memory.js';

function matches(pattern: string, name: string): boolean {
  const bytes = new TextEncoder().encode(`<${name}>`); // what stands around the name is no part of it
  return new Glob(pattern).matches(new DataView(bytes.buffer), 1, bytes.length - 2);
}

test.each([
  ['cpe-*', 'cpe-17', true],
  ['cpe-*', 'CPE-', true],
  ['cpe-*', 'xcpe-17', false],
  ['*.example.net', 'a.b.example.net', true],
  ['*.example.net', 'example.net', false],
  ['lac?', 'lac1', true],
  ['lac?', 'lac', false],
  ['lac?', 'lacé', true], // one character, two bytes
  ['lac??', 'lacé', false],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'axb', false],
  ['\\?', '?', true],
  ['*', '', true],
  ['', '', true],
  ['', 'x', false],
  ['É', 'é', false], // only ASCII letters match in either case
  ['*a*b*c*', 'xxaxxbxxcxx', true],
  ['*a*b*c', 'abcabcab', false],
])('%j and %j: %s', (pattern, name, expected) => expect(matches(pattern, name)).toBe(expected));

const letters = fc.string({ unit: fc.constantFrom('a', 'B', 'é', '-'), maxLength: 8 });
const patterns = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '-', '*', '?'), maxLength: 8 });

test('agrees with a regular expression', () => {
  fc.assert(
    fc.property(patterns, letters, (pattern, name) => {
      const source = [...pattern].map((c) => (c === '*' ? '.*' : c === '?' ? '.' : c)).join('');
      expect(matches(pattern, name)).toBe(new RegExp(`^${source}$`, 'isu').test(name));
    }),
    { numRuns: RUNS },
  );
});

test('a name that makes every star try every place takes bounded time', () => {
  expect(matches('*a*a*a*a*a*a*a*a*b', 'a'.repeat(1000))).toBe(false);
});

describe('covers', () => {
  test.each([
    ['*', 'cpe-*', true],
    ['cpe-*', 'cpe-1?', true],
    ['cpe-*', 'CPE-17', true],
    ['cpe-*', '*', false],
    ['cpe-?', 'cpe-*', false],
    ['cpe-??', 'cpe-1?', true],
    ['*.net', 'a*.net', true],
  ])('%j over %j: %s', (a, b, expected) => expect(new Glob(a).covers(new Glob(b))).toBe(expected));

  test('what it says is covered matches wherever the other one matches', () => {
    fc.assert(
      fc.property(patterns, patterns, letters, (a, b, name) => {
        fc.pre(new Glob(a).covers(new Glob(b)));
        if (matches(b, name)) expect(matches(a, name)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});
