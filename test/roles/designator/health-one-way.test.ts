/** Health where answers do not pass here (document 001, FIG. 4): silence is no evidence, requests that come again are. */
import { expect, test } from 'vitest';
import { PORT_OUTSIDE } from '../../../src/io/port.js';
import { Farm } from '../../helpers/farm-simulation.js';
import { sccrq, udpFrame } from '../../helpers/packet-builder.js';

const story = (farm: Farm, server: string): string[] =>
  farm.changes.filter((change) => change.server === server).map(({ from, to }) => `${from} → ${to}`);

test('direct tunnels to healthy servers leave all of them up, whatever they say elsewhere', () => {
  const farm = new Farm({ servers: 3, tunnels: 90, seed: 1, direct: true, helloEvery: 2 });
  farm.run(30);
  expect(farm.established()).toBe(90);
  expect(farm.changes).toEqual([]);
});

test('so does loss on every way', () => {
  const farm = new Farm({ servers: 3, tunnels: 60, seed: 7, direct: true, lossOutside: 0.03, lossInside: 0.03 });
  farm.run(25);
  expect(farm.established()).toBe(60);
  expect(farm.changes.filter(({ to }) => to === 'down')).toEqual([]);
});

test('10,000 direct tunnels, requests alone: all servers stay up, and nothing counts as half open', () => {
  const farm = new Farm({ servers: 4, tunnels: 0, seed: 3, direct: true, connections: 16_384 });
  // Every client asks once: it has its answer from elsewhere, which needs no simulation, as nothing of it is seen here.
  for (const server of farm.servers) server.dead = true;
  for (let n = 0; n < 10_000; n++) {
    const client = `192.128.${10 + (n >> 8)}.${n & 0xff}:1701`;
    const request = udpFrame(client, `${Farm.VIP}:1701`, sccrq({ assigned: 1 + n }));
    farm.appliance.ports[0].inject(request, PORT_OUTSIDE);
    if (n % 500 === 499) farm.run(0.2);
  }
  farm.run(10);
  expect(farm.appliance.rows.servers().map(({ state }) => state)).toEqual(['up', 'up', 'up', 'up']);
  expect(farm.changes).toEqual([]);
  expect(farm.appliance.count('requests')).toBe(10_000);
});

test('a dead one is noticed by the requests that come again, and its clients stand elsewhere', () => {
  const farm = new Farm({ servers: 3, tunnels: 60, seed: 5, direct: true });
  farm.servers[1].dead = true;
  const noticed = farm.runUntil(() => farm.state(1) === 'down', 20);
  expect(noticed).toBeLessThan(8);
  expect(farm.states.history(1).at(-1)?.detail).toMatch(/requests of \d+ tunnels or more came again \d+ times/);
  farm.run(30);
  expect(farm.established()).toBe(60);
  expect(story(farm, 'lns1')).toEqual([]);
  expect(story(farm, 'lns3')).toEqual([]);
});

test('a server whose load status stops while others’ come is suspect, with requests that come again it is down', () => {
  const farm = new Farm({ servers: 2, tunnels: 4, seed: 9, direct: true });
  farm.run(5);
  const { health } = farm.keeper;
  health.fellSilent(0, 5);
  expect(farm.state(0)).toBe('suspect');
  farm.run(1);
  expect(farm.state(0)).toBe('suspect');
  health.speaks(0);
  farm.run(0.5);
  expect(farm.state(0)).toBe('up');
  // Where answers pass here they say enough.
  const both = new Farm({ servers: 2, tunnels: 4, seed: 9 });
  both.keeper.health.fellSilent(0, 5);
  expect(both.state(0)).toBe('up');
});
