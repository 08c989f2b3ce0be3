import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RouteSnapshot, RouteTable } from '../../src/flow/route-table.js';
import { RUNS, numbers } from './memory.js';

interface Row {
  readonly words: readonly number[];
  readonly length: number;
}

function snapshot(rows: readonly Row[]): RouteSnapshot {
  return {
    prefixes: Int32Array.from(rows.flatMap((row) => row.words)),
    lengths: Uint8Array.from(rows, (row) => row.length),
    ports: Uint8Array.from(rows, (_, i) => i % 2),
    gateways: Int32Array.from(rows.flatMap((_, i) => (i % 3 === 0 ? [0, 0, 0, 0] : [0, 0, 0xffff, i]))),
  };
}

const bits = (words: readonly number[]) => words.map((word) => (word >>> 0).toString(2).padStart(32, '0')).join('');

/** Longest prefix by looking at all, the first of equals. */
function naive(rows: readonly Row[], address: readonly number[]): number {
  let best = -1;
  rows.forEach((row, i) => {
    const matches = bits(row.words).slice(0, row.length) === bits(address).slice(0, row.length);
    if (matches && (best < 0 || row.length > rows[best].length)) best = i;
  });
  return best;
}

// Few different words, so that prefixes nest, meet and repeat.
const word = fc.constantFrom(
  0,
  1,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xfffffffe,
  0xffffffff,
  0x0a000000,
  0x0a010000,
  0x0a010100,
);
const words = fc.tuple(word, word, word, word);
const v4 = word.map((w) => [0, 0, 0xffff, w] as const);
const row = fc.oneof(
  fc.record({ words, length: fc.integer({ min: 0, max: 128 }) }),
  fc.record({ words: v4, length: fc.integer({ min: 96, max: 128 }) }),
);

describe('route table', () => {
  it('agrees with a search through all rows', () => {
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 25 }),
        fc.array(fc.oneof(words, v4), { minLength: 1, maxLength: 20 }),
        (rows, addresses) => {
          const table = new RouteTable(snapshot(rows));
          for (const a of addresses) {
            expect(table.lookup(a[0], a[1], a[2], a[3])).toBe(naive(rows, a));
            expect(table.lookup(a[0] | 0, a[1] | 0, a[2] | 0, a[3] | 0)).toBe(naive(rows, a));
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('reads as a host does: default, network, host route', () => {
    const table = new RouteTable(
      snapshot([
        { words: [0, 0, 0xffff, 0], length: 96 },
        { words: [0, 0, 0xffff, 0x0a0a0000], length: 112 },
        { words: [0, 0, 0xffff, 0x0a0a0101], length: 128 },
      ]),
    );
    expect(table.lookup(0, 0, 0xffff, 0xc0800a05)).toBe(0);
    expect(table.lookup(0, 0, 0xffff, 0x0a0a0102)).toBe(1);
    expect(table.lookup(0, 0, 0xffff, 0x0a0a0101)).toBe(2);
    expect(table.lookup(0x20010db8, 0, 0, 1)).toBe(-1);
    expect([table.port(1), table.onLink(0), table.onLink(1), table.gatewayWord(1, 3)]).toEqual([1, true, false, 1]);
  });

  it('knows no route without rows', () => {
    expect(new RouteTable(snapshot([])).lookup(0, 0, 0xffff, 1)).toBe(-1);
  });

  it('takes 100,000 routes', () => {
    const next = numbers(9);
    const rows = Array.from({ length: 100_000 }, () => ({
      words: [0, 0, 0xffff, next()],
      length: 96 + 8 + ((next() >>> 0) % 25),
    }));
    const table = new RouteTable(snapshot(rows));
    const masked = (w: number, length: number) => (length === 96 ? 0 : w & (-1 << (128 - length))) >>> 0;
    const byLength = new Map<string, number>();
    rows.forEach((r, i) => {
      const name = `${r.length}/${masked(r.words[3], r.length)}`;
      if (!byLength.has(name)) byLength.set(name, i);
    });
    let wrong = 0;
    for (let i = 0; i < 20_000; i++) {
      const address = i % 2 === 0 ? next() : rows[i].words[3];
      let expected = -1;
      for (let length = 128; length >= 96 && expected < 0; length--)
        expected = byLength.get(`${length}/${masked(address, length)}`) ?? -1;
      if (table.lookup(0, 0, 0xffff, address) !== expected) wrong++;
    }
    expect(wrong).toBe(0);
  });
});
