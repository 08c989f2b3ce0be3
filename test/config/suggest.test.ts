import { expect, test } from 'vitest';
import { suggest, suggestion } from '../../src/config/suggest.js';

const KEYS = ['name', 'address', 'port', 'weight'];

test.each([
  ['weigth', 'weight'],
  ['adress', 'address'],
  ['Weight', 'weight'],
  ['prot', 'port'],
  ['nam', 'name'],
])('%s was meant to be %s', (word, meant) => expect(suggest(word, KEYS)).toBe(meant));

test('nothing is near enough', () => {
  expect(suggest('colour', KEYS)).toBeNull();
  expect(suggest('x', KEYS)).toBeNull();
  expect(suggest('weight', [])).toBeNull();
  expect(suggestion('colour', KEYS)).toBe('');
});

test('the nearest of several', () => {
  expect(suggest('least-lod', ['least-load', 'least-tunnels'])).toBe('least-load');
  expect(suggestion('weigth', KEYS)).toBe(' (did you mean weight?)');
});
