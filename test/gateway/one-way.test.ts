/** Links that carry frames one way only: who answers, and whether the hosts have a way out all the while. */
import { describe, expect, test } from 'vitest';
import { GatewayFarm, OutageWatch } from '../helpers/gateway-farm.js';
import { unwell } from '../helpers/gateway-chaos.js';

function scene(gateways = 3): GatewayFarm {
  const farm = new GatewayFarm({
    gateways,
    hosts: 9,
    each: (number) => ({ priority: 100 + number }),
    hostsFrom: 1.5,
    hostsWithin: 0.5,
  });
  farm.run(3);
  expect(unwell(farm)).toEqual([]);
  return farm;
}

describe('with a third that hears both', () => {
  test('a gateway that does not hear the master hands on to it what its hosts ask', () => {
    const farm = scene();
    const deaf = farm.gateway(1);
    farm.segment.cut(farm.master.port, deaf.port);
    farm.run(5);
    expect(farm.masters.map(({ number }) => number)).toEqual([3]);
    const own = farm.hosts.filter(({ gatewayMac }) => gatewayMac === deaf.vmac());
    expect(own.length).toBeGreaterThan(0);
    for (const host of own) {
      const asked = host.ask('unicast');
      farm.run(0.01);
      expect(asked.replies).toBe(1);
    }
  });

  test.each([
    [3, 1],
    [3, 2],
    [1, 3],
    [2, 3],
    [1, 2],
  ])('%i does not reach %i: one master, all hosts served, nothing moves', (from, to) => {
    const farm = scene();
    const outages = new OutageWatch(farm);
    const table = farm.table(farm.master);
    farm.segment.cut(farm.gateway(from).port, farm.gateway(to).port);
    for (let i = 0; i < 100; i++) {
      farm.run(0.05);
      expect(farm.masters.map(({ number }) => number)).toEqual([3]);
    }
    expect(farm.table(farm.master)).toBe(table);
    farm.segment.mend();
    farm.run(5);
    expect(outages.longest).toBeLessThanOrEqual(0.315);
    expect(unwell(farm)).toEqual([]);
  });
});

describe('between two alone', () => {
  test.each([
    ['the master is not heard', 2, 1],
    ['the other is not heard', 1, 2],
  ])('%s: after a moment one of them answers, and both are well when the link is', (_name, from, to) => {
    const farm = scene(2);
    const outages = new OutageWatch(farm);
    farm.segment.cut(farm.gateway(from).port, farm.gateway(to).port);
    farm.run(1.5);
    for (let i = 0; i < 50; i++) {
      farm.run(0.05);
      expect(farm.masters).toHaveLength(1);
    }
    farm.segment.mend();
    farm.run(10);
    expect(outages.longest).toBeLessThanOrEqual(0.315);
    expect(farm.master.number).toBe(2);
    farm.run(30);
    expect(unwell(farm)).toEqual([]);
  });
});
