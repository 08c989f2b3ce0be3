import { randomOf } from '../../helpers/seeded-random.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Hosts } from '../../../src/gateway/hosts/hosts.js';
import { Rebalancer } from '../../../src/gateway/hosts/rebalance.js';
import type { RebalanceOptions } from '../../../src/gateway/types.js';
import { asked, macOf, master, run, views } from './fixture.js';

const BY_HOSTS: RebalanceOptions = { by: 'hosts', interval: 10, hosts: 8, threshold: 0.2 };
const BY_LOAD: RebalanceOptions = { by: 'load', interval: 10, hosts: 8, threshold: 0.2 };

const counts = (hosts: Hosts, count: number): number[] => Array.from({ length: count }, (_, i) => hosts.countOf(i + 1));

/** Gateways whose load is the traffic of their hosts; it is reported late, wavering, smoothed over a while. */
class Farm {
  readonly hosts: Hosts;
  moves = 0;
  readonly moved = new Map<number, number>();
  /** Loads of the last reports, newest last. */
  readonly #reports: number[][] = [];
  readonly #traffic: readonly number[];
  readonly #weights: readonly number[];
  readonly #delay: number;
  readonly #random: () => number;
  readonly #smooth: number[];

  constructor(traffic: readonly number[], weights: readonly number[], delay: number, seed: number) {
    this.#traffic = traffic;
    this.#weights = weights;
    this.#delay = delay;
    this.#random = randomOf(seed);
    this.#smooth = weights.map(() => 0);
    this.hosts = master({ rebalance: BY_LOAD, hostIdle: 1e9 }, views(...weights));
  }

  loads(): number[] {
    const loads = this.#weights.map(() => 0);
    for (const { mac, forwarder } of this.hosts.rows(0)) loads[forwarder - 1] += this.#traffic[mac - macOf(0)];
    return loads.map((load, i) => Math.min(1, load / (this.#weights[i] / 100)));
  }

  /** Runs from `from` to `until` seconds with a report a second. */
  run(from: number, until: number): void {
    for (let now = from; now < until; now++) {
      const loads = this.loads().map((load, i) => {
        this.#smooth[i] += (load - this.#smooth[i]) * 0.5;
        return Math.max(0, Math.min(1, this.#smooth[i] + (this.#random() - 0.5) * 0.02));
      });
      this.#reports.push(loads);
      const late = this.#reports[Math.max(0, this.#reports.length - 1 - this.#delay)];
      this.hosts.setForwarders(
        views(...this.#weights).map((view, i) => ({ ...view, load: late[i] })),
        now,
      );
      for (const { move } of run(this.hosts, now, now + 0.99)) {
        if (move.reason !== 'rebalance') continue;
        this.moves++;
        this.moved.set(move.host, (this.moved.get(move.host) ?? 0) + 1);
      }
    }
  }
}

describe('by numbers of hosts', () => {
  test('a gateway without hosts gets its part, eight hosts at a look, and then it is quiet', () => {
    const hosts = master({ rebalance: BY_HOSTS }, views(100, 100));
    for (let i = 0; i < 90; i++) hosts.choose(macOf(i), asked(i), 0);
    hosts.setForwarders(views(100, 100, 100), 1);
    const told = run(hosts, 1, 200).filter(({ move }) => move.reason === 'rebalance');
    expect(told.length).toBeGreaterThan(20);
    expect(told.length).toBeLessThanOrEqual(30);
    for (const { at } of told)
      expect(told.filter((other) => other.at >= at && other.at < at + 9.9).length).toBeLessThanOrEqual(8);
    const [a, b, c] = counts(hosts, 3);
    expect(Math.max(a, b, c) - Math.min(a, b, c)).toBeLessThanOrEqual(6);
    expect(run(hosts, 200, 5000).filter(({ move }) => move.reason === 'rebalance')).toEqual([]);
  });

  test('by weight', () => {
    const hosts = master({ rebalance: BY_HOSTS }, views(100));
    for (let i = 0; i < 100; i++) hosts.choose(macOf(i), asked(i), 0);
    hosts.setForwarders(views(100, 300), 1);
    run(hosts, 1, 300);
    expect(Math.abs(hosts.countOf(2) - 75)).toBeLessThanOrEqual(8);
  });

  test('a difference below the threshold moves nobody', () => {
    const hosts = master({ rebalance: BY_HOSTS }, views(100, 100));
    for (let i = 0; i < 100; i++) hosts.choose(macOf(i), asked(i), 0);
    hosts.move(macOf(0), 2, 1);
    run(hosts, 1, 100);
    expect(hosts.counters().movesRebalance).toBe(0);
  });

  test('switched off, nothing moves; switched on, it begins', () => {
    const hosts = master({}, views(100));
    for (let i = 0; i < 40; i++) hosts.choose(macOf(i), asked(i), 0);
    hosts.setForwarders(views(100, 100), 1);
    run(hosts, 1, 100);
    expect(hosts.countOf(2)).toBe(0);
    hosts.configure({ rebalance: BY_HOSTS }, 100);
    run(hosts, 100, 200);
    expect(hosts.countOf(2)).toBeGreaterThan(14);
  });

  test('a dead gateway and one without weight get none', () => {
    const hosts = master({ rebalance: BY_HOSTS }, views(100));
    for (let i = 0; i < 40; i++) hosts.choose(macOf(i), asked(i), 0);
    hosts.setForwarders(
      views(100, 100, 0).map((view) => (view.number === 2 ? { ...view, server: 1 } : view)),
      1,
    );
    run(hosts, 1, 100);
    expect(counts(hosts, 3)).toEqual([40, 0, 0]);
  });
});

describe('by load', () => {
  test('equal hosts, two reports late: the loads come together and stay', () => {
    const farm = new Farm(
      Array.from({ length: 100 }, () => 0.01),
      [100, 100],
      2,
      1,
    );
    farm.hosts.setForwarders(views(100), 0);
    for (let i = 0; i < 100; i++) farm.hosts.choose(macOf(i), asked(i), 0);
    farm.run(1, 600);
    const [a, b] = farm.loads();
    expect(Math.abs(a - b)).toBeLessThan(0.2);
    expect(farm.moves).toBeLessThanOrEqual(60);
    const before = farm.moves;
    farm.run(600, 4000);
    expect(farm.moves).toBe(before);
  });

  test('never swings: whatever the hosts, the weights and the delay of the reports, it ends', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 10, max: 120 }),
        fc.integer({ min: 0, max: 45 }),
        fc.boolean(),
        (seed, gateways, count, delay, elephants) => {
          const random = randomOf(seed);
          const size = (): number => (elephants && random() < 0.05 ? 0.3 : random() * 0.02);
          const traffic = Array.from({ length: count }, () => size() * (60 / count));
          const weights = Array.from({ length: gateways }, () => 50 + Math.floor(random() * 100));
          const farm = new Farm(traffic, weights, delay, seed);
          farm.hosts.setForwarders(views(weights[0]), 0);
          for (let i = 0; i < count; i++) farm.hosts.choose(macOf(i), asked(i), 0);
          farm.run(1, 1500);
          // Each look may move eight; swinging would go on for all of the 150 looks.
          expect(farm.moves).toBeLessThanOrEqual(3 * count);
          const before = farm.moves;
          farm.run(1500, 3000);
          expect(farm.moves - before).toBeLessThanOrEqual(count / 4 + 8);
          expect(farm.hosts.counters().rebalanceReversals).toBeLessThanOrEqual(8);
          expect(Math.max(0, ...farm.moved.values())).toBeLessThanOrEqual(4);
        },
      ),
      { numRuns: 12 },
    );
  }, 30_000);

  test('a busy gateway counts for less with hosts that come anew, and for all of its weight again later', () => {
    const rebalancer = new Rebalancer();
    rebalancer.configure(BY_LOAD, 0);
    const carriers = (a: number, b: number) => [
      { number: 1, weight: 100, load: a, hosts: 0 },
      { number: 2, weight: 100, load: b, hosts: 0 },
    ];
    for (let now = 10; now < 60; now += 10) rebalancer.look(carriers(0.8, 0.2), now);
    expect(rebalancer.factorOf(1)).toBeCloseTo(0.8 ** 5);
    expect(rebalancer.factorOf(2)).toBe(1);
    for (let now = 60; now < 200; now += 10) rebalancer.look(carriers(0.8, 0.2), now);
    expect(rebalancer.factorOf(1)).toBe(0.25);
    // A little above the mean is neither busy enough for less nor idle enough for more.
    for (let now = 200; now < 300; now += 10) rebalancer.look(carriers(0.44, 0.28), now);
    expect(rebalancer.factorOf(1)).toBe(0.25);
    for (let now = 300; now < 600; now += 10) rebalancer.look(carriers(0.3, 0.3), now);
    expect(rebalancer.factorOf(1)).toBe(1);
  });

  test('undoing what was done needs a greater difference each time', () => {
    const rebalancer = new Rebalancer();
    // Looks in quick succession: reluctance is forgotten with time.
    rebalancer.configure({ ...BY_LOAD, interval: 0.01 }, 0);
    let now = 0;
    const gapNeeded = (from: number): number => {
      for (let gap = 0.02; gap < 0.99; gap += 0.02) {
        // Long after the last one, so that nothing of it is expected to come yet.
        for (let i = 0; i < 40; i++) {
          now += 0.01001;
          rebalancer.look([], now);
        }
        now += 0.01001;
        const carriers = [1, 2].map((number) => ({ number, weight: 100, load: number === from ? gap : 0, hosts: 100 }));
        const shift = rebalancer.look(carriers, now);
        if (shift === null) continue;
        rebalancer.shifted(shift, shift.hosts, carriers);
        return gap;
      }
      return 1;
    };
    const needed = [1, 2, 1, 2].map(gapNeeded);
    expect(needed[0]).toBeLessThan(0.23);
    expect(needed[1]).toBeGreaterThan(needed[0] + 0.1);
    expect(needed[2]).toBeGreaterThanOrEqual(needed[1]);
    expect(needed[3]).toBe(1);
  });
});
