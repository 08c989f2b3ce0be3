/** The hosts in whole groups on a simulated segment: gateways with all their messages, hosts with the cache of Linux. */
import { describe, expect, test } from 'vitest';
import type { GroupOptions } from '../../../src/gateway/types.js';
import { GatewayFarm, type GatewayStation } from '../../helpers/gateway-farm.js';

const counts = (farm: GatewayFarm, numbers: readonly number[]): number[] => {
  const rows = farm.master.engine.forwarders(farm.now);
  return numbers.map((number) => rows.find((row) => row.number === number)?.hosts ?? 0);
};
const inCaches = (farm: GatewayFarm, numbers: readonly number[]): number[] =>
  numbers.map((number) => farm.shares().get(number) ?? 0);
const slaveOf = (farm: GatewayFarm): GatewayStation =>
  farm.gateways.find((gateway) => !gateway.isMaster) as GatewayStation;
const weights = [100, 200, 100];

describe('load share', () => {
  test.each(['weighted', 'least-load'] as const)('%s: 200 hosts come in within a tenth of the weights', (algorithm) => {
    const farm = new GatewayFarm({
      gateways: 3,
      hosts: 200,
      seed: 3,
      group: { algorithm },
      each: (n) => ({ weight: weights[n - 1] }),
    });
    farm.run(4);
    const shares = inCaches(farm, [1, 2, 3]);
    expect(shares.reduce((a, b) => a + b)).toBe(200);
    shares.forEach((share, i) => expect(Math.abs(share - weights[i] / 2)).toBeLessThanOrEqual(weights[i] / 20));
    expect(counts(farm, [1, 2, 3])).toEqual(shares);
    expect(farm.tables()).toBe(1);
  });

  test('round-robin and host: every gateway has hosts, the table is right', () => {
    for (const algorithm of ['round-robin', 'host'] as const) {
      const farm = new GatewayFarm({ gateways: 3, hosts: 60, seed: 4, group: { algorithm } });
      farm.run(3);
      const shares = inCaches(farm, [1, 2, 3]);
      if (algorithm === 'round-robin') expect(shares).toEqual([20, 20, 20]);
      expect(Math.min(...shares)).toBeGreaterThan(8);
      expect(counts(farm, [1, 2, 3])).toEqual(shares);
    }
  });
});

describe('a gateway that has failed for good', () => {
  test('its 200 hosts use others within a second of the command', () => {
    const farm = new GatewayFarm({
      gateways: 3,
      hosts: 300,
      seed: 5,
      group: { permanentAfter: Number.POSITIVE_INFINITY },
      each: (n) => ({ weight: n === 1 ? 400 : 100 }),
    });
    farm.run(3);
    const dead = farm.gateway(1);
    expect([dead.isMaster, inCaches(farm, [1, 2, 3])]).toEqual([false, [200, 50, 50]]);
    dead.die();
    farm.run(1);
    expect(inCaches(farm, [1])).toEqual([200]);
    const { master } = farm;
    expect(master.turn((engine, now) => engine.declareDead(1, now))).toEqual({ ok: true, hosts: 200 });
    farm.run(1);
    expect(inCaches(farm, [1, 2, 3])).toEqual([0, 150, 150]);
    expect(farm.tables()).toBe(1);
  });

  test('a master that dies in the middle of it: the successor finishes', () => {
    const farm = new GatewayFarm({ gateways: 4, hosts: 200, seed: 6, group: { permanentAfter: 2 } });
    farm.run(4);
    const dead = slaveOf(farm);
    const { master } = farm;
    dead.die();
    for (let i = 0; i < 400 && counts(farm, [dead.number])[0] > 30; i++) farm.run(0.01);
    expect(counts(farm, [dead.number])[0]).toBeGreaterThan(0);
    master.die();
    farm.run(6);
    expect(counts(farm, [dead.number, master.number])).toEqual([0, 0]);
    expect(inCaches(farm, [dead.number, master.number])).toEqual([0, 0]);
    expect(farm.tables()).toBe(1);
  });

  test('when it returns its hosts come back, some at a time', () => {
    const farm = new GatewayFarm({ gateways: 3, hosts: 90, seed: 7, group: { permanentAfter: 1 } });
    farm.run(4);
    const before = inCaches(farm, [1, 2, 3]);
    const dead = slaveOf(farm);
    dead.die();
    farm.run(4);
    expect(inCaches(farm, [dead.number])).toEqual([0]);
    dead.restart();
    let most = 0;
    for (let last = 0, i = 0; i < 20; i++, last = inCaches(farm, [dead.number])[0]) {
      farm.run(1);
      most = Math.max(most, inCaches(farm, [dead.number])[0] - last);
    }
    expect(most).toBeLessThanOrEqual(12);
    expect(inCaches(farm, [1, 2, 3])).toEqual(before);
  });
});

describe('tables', () => {
  test('a gateway that joins late has the whole table before it may become master', () => {
    const farm = new GatewayFarm({ gateways: 2, hosts: 100, seed: 8, group: { preempt: { delay: 0.5 } } });
    farm.run(4);
    const late = farm.addGateway(3, { priority: 200 });
    late.restart();
    for (let i = 0; i < 400 && !late.isMaster; i++) farm.run(0.01);
    expect(late.isMaster).toBe(true);
    expect(late.engine.status(farm.now).hosts).toBe(100);
    expect(farm.tables()).toBe(1);
    const chosen = inCaches(farm, [1, 2, 3]);
    farm.run(20);
    expect(inCaches(farm, [1, 2, 3])).toEqual(chosen);
  });

  test('a lossy segment: all tables are equal a moment after the last change', () => {
    const farm = new GatewayFarm({
      gateways: 5,
      hosts: 100,
      seed: 9,
      gatewayFaults: { lossIn: 0.05, lossOut: 0.05, jitter: 0.003 },
      hostsWithin: 10,
    });
    farm.run(14);
    for (const gateway of farm.gateways) Object.assign(gateway.port.faults, { lossIn: 0, lossOut: 0 });
    farm.run(2);
    expect(farm.tables()).toBe(1);
    expect(farm.master.engine.status(farm.now).hosts).toBe(100);
  });
});

describe('rebalancing', () => {
  test('by load: hosts of the busy gateway move until the loads are alike, then no more', () => {
    const group: Partial<GroupOptions> = { rebalance: { by: 'load', interval: 2, hosts: 4, threshold: 0.2 } };
    const farm = new GatewayFarm({
      gateways: 2,
      hosts: 60,
      seed: 10,
      group,
      each: (n) => ({ weight: n === 1 ? 300 : 100 }),
    });
    farm.run(4);
    expect(inCaches(farm, [1, 2])).toEqual([45, 15]);
    // A host brings 2 % to either gateway, so by load the weights of the configuration are wrong.
    const seconds = (count: number): void => {
      for (let i = 0; i < count; i++) {
        for (const gateway of farm.gateways) {
          const share = (farm.shares().get(gateway.number) ?? 0) * 0.02;
          gateway.turn((engine, now) => engine.setLoad({ share, bitsPerSecond: 0, packetsPerSecond: 0 }, now));
        }
        farm.run(1);
      }
    };
    seconds(10);
    const [busy, idle] = farm.master.engine.forwarders(farm.now).map(({ weight }) => weight);
    expect(busy).toBeLessThan(300);
    expect(idle).toBe(100);
    seconds(110);
    const [a, b] = inCaches(farm, [1, 2]);
    expect(Math.abs(a - b) * 0.02).toBeLessThanOrEqual(0.21);
    const moved = farm.master.engine.counters()['hosts.movesRebalance'];
    expect(moved).toBeLessThan(40);
    seconds(60);
    expect(farm.master.engine.counters()['hosts.movesRebalance']).toBe(moved);
    expect(inCaches(farm, [1, 2])).toEqual([a, b]);
    expect(farm.tables()).toBe(1);
  });
});
