/** What is no failure must not be taken for one: losses, slow links, restarts that others hardly notice. */
import { describe, expect, test } from 'vitest';
import { GatewayFarm, OutageWatch } from '../helpers/gateway-farm.js';
import { unwell } from '../helpers/gateway-chaos.js';

const QUIET = new Set(['hosts', 'moves']);
const troubles = (farm: GatewayFarm): string[] =>
  farm.gateways.flatMap(({ events }) => events.map(({ kind }) => kind)).filter((kind) => !QUIET.has(kind));
const forget = (farm: GatewayFarm): void => {
  for (const { events } of farm.gateways) events.length = 0;
};

test.each([
  [0.025, 3],
  [0.1, 3],
  [0.1, 8],
])(
  'every link loses frames both ways, share %f, %i gateways: nobody is taken for dead in half a minute',
  (loss, gateways) => {
    const farm = new GatewayFarm({ gateways, hosts: 9, gatewayFaults: { lossIn: loss, lossOut: loss }, seed: 5 });
    farm.run(3);
    forget(farm);
    const { master } = farm;
    for (let i = 0; i < 600; i++) {
      farm.run(0.05);
      expect(farm.masters).toEqual([master]);
    }
    expect(troubles(farm)).toEqual([]);
  },
);

test.each([
  [0.03, 0.02],
  [0.08, 0.08],
])('a slow gateway, %f s away and up to %f s more: it is no dead one', (delay, jitter) => {
  const farm = new GatewayFarm({ gateways: 3, hosts: 9 });
  Object.assign(farm.gateway(2).port.faults, { delay, jitter });
  farm.run(3);
  forget(farm);
  farm.run(30);
  expect(troubles(farm)).toEqual([]);
  expect(unwell(farm)).toEqual([]);
});

describe.each([1, 2, 3])('gateway %i is killed and started again', (number) => {
  test.each([0, 0.05, 0.1, 0.2, 0.4])(
    'after %f s: one master at most, no host without a way for long, none moved',
    (pause) => {
      const farm = new GatewayFarm({
        gateways: 3,
        hosts: 9,
        each: (one) => ({ priority: 100 + one }),
        hostsFrom: 1.5,
        hostsWithin: 0.5,
      });
      farm.run(3);
      const outages = new OutageWatch(farm);
      const killed = farm.gateway(number);
      killed.killProcess();
      farm.run(pause);
      killed.restart();
      for (let i = 0; i < 200; i++) {
        farm.run(0.01);
        expect(farm.masters.length).toBeLessThanOrEqual(1);
      }
      farm.run(15);
      expect(outages.longest).toBeLessThanOrEqual(0.315);
      expect(unwell(farm)).toEqual([]);
      expect(farm.hosts.reduce((sum, { moves, surplus }) => sum + moves + surplus, 0)).toBe(0);
    },
  );
});
