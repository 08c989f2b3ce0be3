import { randomOf } from '../../../helpers/seeded-random.js';
import { describe, expect, test } from 'vitest';
import { LeastLoad } from '../../../../src/gateway/hosts/selection/least-load.js';
import { Rendezvous, rendezvous } from '../../../../src/gateway/hosts/selection/rendezvous.js';
import { RoundRobin } from '../../../../src/gateway/hosts/selection/round-robin.js';
import { type Candidate, type Selection, selectionOf } from '../../../../src/gateway/hosts/selection/selection.js';
import { Weighted } from '../../../../src/gateway/hosts/selection/weighted.js';
import { ALGORITHMS } from '../../../../src/gateway/types.js';
import { macOf } from '../fixture.js';

const candidates = (weights: readonly number[], loads: readonly number[] = []): Candidate[] =>
  weights.map((weight, i) => ({ number: i + 1, weight, load: loads[i] ?? 0 }));

function shares(selection: Selection, hosts: number, weights: readonly number[], now = 0): number[] {
  const got = weights.map(() => 0);
  for (let i = 0; i < hosts; i++) got[selection.take(macOf(i), now) - 1]++;
  return got;
}

/** Are the numbers within a part of what the weights entitle to? */
function near(got: readonly number[], weights: readonly number[], part: number): boolean {
  const hosts = got.reduce((a, b) => a + b, 0);
  const total = weights.reduce((a, b) => a + b, 0);
  return got.every((n, i) => Math.abs(n - (hosts * weights[i]) / total) <= (part * hosts * weights[i]) / total);
}

const WEIGHTS = [
  [100, 100, 100],
  [100, 200, 100],
  [10, 20, 30, 40],
  [1, 1, 1, 1, 1, 1, 1, 1],
  [50, 100],
];

describe.each(ALGORITHMS)('%s', (algorithm) => {
  test('nobody to select: 0', () => {
    const selection = selectionOf(algorithm);
    expect([selection.peek(1, 0), selection.take(1, 0)]).toEqual([0, 0]);
    selection.update(candidates([100]), 0);
    expect(selection.take(1, 0)).toBe(1);
    selection.update([], 1);
    expect(selection.take(1, 1)).toBe(0);
  });

  test('looking changes nothing and says what will be given', () => {
    const selection = selectionOf(algorithm);
    selection.update(candidates([100, 150, 50]), 0);
    for (let i = 0; i < 50; i++) {
      const next = selection.peek(macOf(i), 0);
      expect(selection.peek(macOf(i), 0)).toBe(next);
      expect(selection.take(macOf(i), 0)).toBe(next);
    }
  });

  test('who leaves gets nobody, who comes gets its part', () => {
    const selection = selectionOf(algorithm);
    selection.update(candidates([100, 100, 100]), 0);
    shares(selection, 100, [1, 1, 1]);
    selection.update(
      candidates([100, 100, 100]).filter(({ number }) => number !== 2),
      0,
    );
    expect(shares(selection, 100, [1, 1, 1])[1]).toBe(0);
    selection.update(candidates([100, 100, 100, 100]), 60);
    const got = shares(selection, 400, [1, 1, 1, 1], 60);
    expect(Math.min(...got)).toBeGreaterThan(70);
  });
});

describe('200 hosts come in within 10 % of the weights', () => {
  test.each(WEIGHTS.map((weights) => ({ weights })))('weighted $weights', ({ weights }) => {
    const selection: Selection = new Weighted();
    selection.update(candidates(weights), 0);
    expect(near(shares(selection, 200, weights), weights, 0.1)).toBe(true);
  });

  test.each(WEIGHTS.map((weights) => ({ weights })))('least-load $weights, all idle', ({ weights }) => {
    const selection = new LeastLoad();
    selection.update(candidates(weights), 0);
    expect(near(shares(selection, 200, weights), weights, 0.1)).toBe(true);
  });

  test('round-robin, whatever the weights', () => {
    const selection: Selection = new RoundRobin();
    selection.update(candidates([10, 200, 1, 7]), 0);
    expect(shares(selection, 200, [1, 1, 1, 1])).toEqual([50, 50, 50, 50]);
  });
});

describe('weighted', () => {
  test('at no time is one more than two hosts from its part', () => {
    const weights = [30, 100, 70, 5];
    const selection: Selection = new Weighted();
    selection.update(candidates(weights), 0);
    const got = weights.map(() => 0);
    for (let i = 1; i <= 1000; i++) {
      got[selection.take(0, 0) - 1]++;
      weights.forEach((weight, n) => expect(Math.abs(got[n] - (i * weight) / 205)).toBeLessThan(2));
    }
  });

  test('weights that change while it runs leave no debt behind', () => {
    const selection: Selection = new Weighted();
    const random = randomOf(5);
    for (let round = 0; round < 50; round++) {
      const weights = [1, 2, 3].map(() => 1 + Math.floor(random() * 1000));
      selection.update(candidates(weights), round);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      shares(selection, 400, weights).forEach((n, i) => {
        expect(Math.abs(n - (400 * weights[i]) / total)).toBeLessThan(4);
      });
    }
  });

  test('follows the turns of another member', () => {
    const one = new Weighted();
    const other = new Weighted();
    for (const selection of [one, other]) selection.update(candidates([3, 5, 9]));
    for (let i = 0; i < 40; i++) other.follow(one.take());
    other.follow(77);
    for (let i = 0; i < 40; i++) expect(other.take()).toBe(one.take());
  });
});

describe('host', () => {
  test('the same host, the same gateway, whoever selects', () => {
    const one = new Rendezvous();
    one.update(candidates([100, 100, 100]));
    for (let i = 0; i < 100; i++) {
      expect(one.take(macOf(i))).toBe(rendezvous([...candidates([100, 100, 100])].reverse(), macOf(i)));
    }
  });

  test('a gateway that leaves takes no other hosts along', () => {
    const all = candidates([100, 100, 100, 100]);
    const rest = all.filter(({ number }) => number !== 3);
    for (let i = 0; i < 1000; i++) {
      const before = rendezvous(all, macOf(i));
      if (before !== 3) expect(rendezvous(rest, macOf(i))).toBe(before);
    }
  });

  test.each(WEIGHTS.map((weights) => ({ weights })))('10,000 hosts follow the weights $weights', ({ weights }) => {
    const selection: Selection = new Rendezvous();
    selection.update(candidates(weights), 0);
    expect(near(shares(selection, 10_000, weights), weights, 0.1)).toBe(true);
  });

  test('a weight that grows only attracts', () => {
    for (let i = 0; i < 1000; i++) {
      const before = rendezvous(candidates([100, 100, 100]), macOf(i));
      const after = rendezvous(candidates([100, 150, 100]), macOf(i));
      expect(after === before || after === 2).toBe(true);
    }
  });
});

describe('least-load', () => {
  test('the idle one gets the hosts until they are expected to have made it as busy', () => {
    const selection = new LeastLoad();
    selection.update(candidates([100, 100], [0.3, 0.1]), 0);
    const got = shares(selection, 140, [1, 1]);
    expect(got[1]).toBeGreaterThan(110);
    expect(got[0]).toBeGreaterThan(10);
  });

  test('a burst between two reports does not go to one gateway', () => {
    const selection = new LeastLoad();
    selection.update(candidates([100, 100, 100], [0.21, 0.2, 0.22]), 0);
    const got = shares(selection, 90, [1, 1, 1]);
    expect(Math.max(...got) - Math.min(...got)).toBeLessThanOrEqual(20);
  });

  test('reports that waver change nothing', () => {
    const selection = new LeastLoad();
    const random = randomOf(3);
    selection.update(candidates([100, 100], [0.5, 0.5]), 0);
    const chosen: number[] = [];
    for (let i = 0; i < 40; i++) {
      selection.update(candidates([100, 100], [0.5 + random() * 0.02, 0.5 + random() * 0.02]), 0);
      chosen.push(selection.take(macOf(i), 0));
    }
    expect(chosen.filter((number) => number === 1)).toHaveLength(20);
  });

  test('what was given is forgotten while reports come to show it, however often somebody asks', () => {
    const asked = new LeastLoad();
    const quiet = new LeastLoad();
    for (const selection of [asked, quiet]) {
      selection.update(candidates([100, 100], [0.2, 0.5]), 0);
      for (let i = 0; i < 100; i++) selection.take(macOf(i), 0);
    }
    for (let now = 0; now < 30; now += 0.01) asked.peek(1, now);
    const loads = candidates([100, 100], [0.4, 0.41]);
    asked.update(loads, 30);
    quiet.update(loads, 30);
    const got = [asked, quiet].map((selection) => shares(selection, 20, [1, 1], 30));
    expect(got[0]).toEqual(got[1]);
    expect(got[0][0]).toBeGreaterThan(10);
  });
});
