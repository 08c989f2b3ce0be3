import { describe, expect, it } from 'vitest';
import { MAGLEV_NONE, MAGLEV_SIZE, buildMaglev, maglevPlace } from '../../src/flow/maglev.js';

const identities = (count: number) => Int32Array.from({ length: count }, (_, i) => Math.imul(i + 1, 0x9e3779b1));

function shares(table: Uint16Array, count: number): number[] {
  const counts = new Array(count).fill(0);
  for (const position of table) counts[position]++;
  return counts;
}

describe('maglev table', () => {
  it('gives every server its weight of the places', () => {
    const weights = Int32Array.of(1, 2, 5, 0, 2);
    const counts = shares(buildMaglev(identities(5), weights), 5);
    weights.forEach((weight, i) => expect(Math.abs(counts[i] - (MAGLEV_SIZE * weight) / 10)).toBeLessThanOrEqual(6));
  });

  it('is full, and empty without any weight', () => {
    expect(buildMaglev(identities(3), Int32Array.of(1, 1, 1)).includes(MAGLEV_NONE)).toBe(false);
    expect(buildMaglev(identities(3), new Int32Array(3)).every((position) => position === MAGLEV_NONE)).toBe(true);
    expect(buildMaglev(new Int32Array(0), new Int32Array(0))[0]).toBe(MAGLEV_NONE);
  });

  it('depends on names and not on the order of the configuration', () => {
    const ids = identities(4);
    const order = [2, 0, 3, 1];
    const table = buildMaglev(ids, Int32Array.of(1, 2, 3, 4));
    const shuffled = buildMaglev(
      Int32Array.from(order, (i) => ids[i]),
      Int32Array.from(order, (i) => i + 1),
    );
    expect(shuffled.every((position, i) => order[position] === table[i])).toBe(true);
  });

  it('moves few clients besides those of a server that goes', () => {
    const weights = new Int32Array(10).fill(1);
    const before = buildMaglev(identities(10), weights);
    weights[4] = 0;
    const after = buildMaglev(identities(10), weights);
    let moved = 0;
    before.forEach((position, i) => {
      if (position !== 4 && after[i] !== position) moved++;
    });
    expect(moved / MAGLEV_SIZE).toBeLessThan(0.05);
    expect(after.includes(4)).toBe(false);
  });

  it('spreads the tunnels of one client and neighbouring clients evenly', () => {
    for (const place of [
      (i: number) => maglevPlace(0, 0, 0xffff, 0x0a000001, i),
      (i: number) => maglevPlace(0, 0, 0xffff, 0x0a000000 + i, 1),
    ]) {
      const table = buildMaglev(identities(4), Int32Array.of(1, 1, 1, 1));
      const counts = [0, 0, 0, 0];
      for (let i = 1; i <= 4000; i++) counts[table[place(i)]]++;
      for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
    }
  });
});
