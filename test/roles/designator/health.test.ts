/** Health as a whole, in virtual time: what servers do, what clients notice, how long it takes. */
import { describe, expect, test } from 'vitest';
import { PORT_INSIDE } from '../../../src/io/port.js';
import { frame } from '../../helpers/packet-builder.js';
import { Farm, type FarmOptions } from '../../helpers/farm-simulation.js';

/** A farm whose tunnels stand. */
function standing(options: Partial<FarmOptions> = {}): Farm {
  const farm = new Farm({ servers: 2, tunnels: 12, seed: 1, helloEvery: 2, ...options });
  farm.run(5);
  expect(farm.established()).toBe(farm.options.tunnels);
  return farm;
}
const tunnelsOf = (farm: Farm, server: number): number => farm.appliance.rows.servers()[server].tunnels;
const story = (farm: Farm, server: string): string[] =>
  farm.changes.filter((change) => change.server === server).map(({ from, to }) => `${from} → ${to}`);

describe('a server that dies', () => {
  test('is noticed from traffic alone in three seconds, its clients know within one more and stand elsewhere', () => {
    const farm = standing();
    const [dead, other] = farm.servers;
    expect(tunnelsOf(farm, 0)).toBe(6);
    dead.dead = true;
    const died = farm.now;
    // The clock starts when somebody first asks.
    const asked = farm.runUntil(() => farm.appliance.memory.servers[25] !== 0, 5);
    const noticed = farm.runUntil(() => farm.state(0) === 'down', 10);
    expect(noticed).toBeLessThanOrEqual(3);
    expect(asked).toBeLessThan(1);
    const told = farm.runUntil(() => farm.clients.filter((client) => client.told.length > 0).length === 6, 5);
    expect(told).toBeLessThanOrEqual(1);
    farm.run(1);
    expect(farm.established()).toBe(12);
    expect(tunnelsOf(farm, 1)).toBe(12);
    expect(other.requests).toBe(12);
    for (const { told } of farm.clients) for (const { result, error } of told) expect([result, error]).toEqual([2, 7]);
    expect(story(farm, 'lns1')).toEqual(['up → suspect', 'suspect → down']);
    expect(story(farm, 'lns2')).toEqual([]);
    expect(farm.states.history(0).at(-1)?.detail).toMatch(/^\d+ control messages of \d tunnels or more unanswered/);
    expect(farm.now - died).toBeLessThan(6);
    // Nobody had to say anything twice, and the mappings go when their time has come.
    expect(farm.appliance.count('tunnelsEnded')).toBe(6);
    farm.run(40);
    expect(farm.appliance.rows.tunnels()).toHaveLength(12);
  });

  test('a request that it was given goes to another server with its next copy', () => {
    const farm = new Farm({ servers: 2, tunnels: 6, seed: 3 });
    farm.servers[0].dead = true;
    const seconds = farm.runUntil(() => farm.established() === 6, 10);
    expect(seconds).toBeLessThanOrEqual(3.5);
    expect(farm.servers[1].requests).toBe(6);
    expect(farm.appliance.count('requestsMoved')).toBe(3);
    expect(farm.clients.every(({ gaveUp }) => gaveUp === 0)).toBe(true);
  });

  test('one that was idle is noticed by those who come next, who lose no more than a copy of their request', () => {
    const farm = new Farm({ servers: 2, tunnels: 8, seed: 5 });
    for (const client of farm.clients) client.dialAt = farm.now + 30;
    farm.run(10);
    farm.servers[1].dead = true;
    farm.run(20);
    expect([farm.state(0), farm.state(1)]).toEqual(['up', 'up']);
    const seconds = farm.runUntil(() => farm.established() === 8, 10);
    expect(seconds).toBeLessThanOrEqual(3.5);
    farm.run(30);
    expect(farm.state(1)).toBe('down');
    expect(farm.established()).toBe(8);
  });

  test('one that comes back without a word is found by a request that it is lent', () => {
    const farm = standing({ redial: true });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.state(0) === 'down', 10);
    farm.run(20);
    farm.servers[0].reboot();
    const before = farm.servers[0].requests;
    farm.run(3);
    // Nobody has asked it anything, and it says nothing by itself.
    expect([farm.state(0), farm.servers[0].requests]).toEqual(['down', before]);
    // Its clients' tunnels have gone; new ones come now and then.
    for (const [n, client] of farm.clients.slice(0, 6).entries()) {
      client.state = 'idle';
      client.dialAt = farm.now + n * 3;
    }
    farm.runUntil(() => farm.state(0) === 'slow-start', 60);
    expect(farm.servers[0].requests).toBe(before + 1);
    expect(farm.states.history(0).at(-1)?.reason).toBe('answered a request');
    farm.run(31);
    expect(farm.state(0)).toBe('up');
    expect(farm.clients.every(({ gaveUp }) => gaveUp === 0)).toBe(true);
  });

  test('signs of life of its machine (ARP) let it be tried sooner', () => {
    const farm = standing({ health: '{ lendFirst: 1s, lendMost: 1h }' });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.state(0) === 'down', 10);
    // Requests come all the time, and it is lent one after 1, 2, 4 … seconds.
    const dialAll = (seconds: number): void => {
      for (let n = 0; n < seconds; n++) {
        farm.clients[n % 12].state = 'idle';
        farm.clients[n % 12].dialAt = farm.now;
        farm.run(1);
      }
    };
    dialAll(25);
    farm.servers[0].reboot();
    dialAll(3);
    expect(farm.state(0)).toBe('down');
    const arp = frame({ arp: { senderIp: '10.10.1.1', targetIp: '10.10.1.254' } });
    farm.appliance.send(arp, PORT_INSIDE);
    dialAll(3);
    expect(farm.state(0)).toBe('slow-start');
  });

  test('while it stays dead, a client that is lent to it loses one copy of its request and nothing else', () => {
    const farm = standing({ helloEvery: 3 });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.state(0) === 'down', 10);
    farm.run(3);
    const [client] = farm.clients.filter(({ state }) => state === 'established');
    client.state = 'idle';
    client.dialAt = farm.now;
    const seconds = farm.runUntil(() => client.state === 'established', 5);
    expect(seconds).toBeGreaterThan(0.9);
    expect(seconds).toBeLessThan(1.2);
    expect(farm.state(0)).toBe('down');
  });

  test('where all servers are dead requests try one after the other, and the first that is back has them all', () => {
    const farm = new Farm({ servers: 3, tunnels: 4, seed: 9 });
    for (const server of farm.servers) server.dead = true;
    farm.run(20);
    expect([0, 1, 2].map((n) => farm.state(n))).toEqual(['down', 'down', 'down']);
    farm.servers[2].reboot();
    farm.runUntil(() => farm.established() === 4, 60);
    expect(farm.established()).toBe(4);
    expect(story(farm, 'lns3')).toContain('down → slow-start');
  });

  test('that it was only cut off: those of its tunnels that nobody has ended yet go on', () => {
    const farm = standing({ health: '{ onDown: { pace: 1/s } }', redial: false });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.state(0) === 'down', 10);
    farm.run(0.5);
    const told = farm.clients.filter((client) => client.told.length > 0).length;
    expect(told).toBeLessThan(6);
    farm.servers[0].dead = false;
    farm.servers[0].send(`${farm.clients[0].address}:1701`, new Uint8Array([0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 1, 0, 1]));
    farm.run(20);
    expect(farm.state(0)).toBe('slow-start');
    const lost = farm.clients.filter((client) => client.told.length > 0).length;
    expect(lost).toBeLessThan(6);
    expect(farm.established()).toBe(12 - lost);
  });

  test('its tunnels are kept where the operator wants that', () => {
    const farm = standing({ health: '{ onDown: { tunnels: keep } }' });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.state(0) === 'down', 10);
    farm.run(2);
    expect(farm.clients.every((client) => client.told.length === 0)).toBe(true);
    expect(tunnelsOf(farm, 0)).toBe(6);
  });
});

describe('a healthy server', () => {
  test.each([11, 12, 13, 14, 15, 16])(
    'is never down while a fifth of all packets is lost on every way (seed %i)',
    (seed) => {
      const farm = new Farm({ servers: 2, tunnels: 10, seed, lossOutside: 0.2, lossInside: 0.2, helloEvery: 4 });
      farm.run(240);
      expect(farm.changes.filter(({ to }) => to === 'down')).toEqual([]);
    },
  );

  test.each([21, 22, 23])('is not even suspect because of clients with a bad line (seed %i)', (seed) => {
    const farm = new Farm({ servers: 2, tunnels: 10, seed, lossOutside: 0.5, helloEvery: 2 });
    farm.run(120);
    expect(farm.changes).toEqual([]);
  });

  test.each([31, 32, 33])('that dies over bad lines is down all the same, and not late (seed %i)', (seed) => {
    const farm = new Farm({ servers: 2, tunnels: 16, seed, lossOutside: 0.2, lossInside: 0.2, helloEvery: 1 });
    farm.run(20);
    farm.servers[0].dead = true;
    expect(farm.runUntil(() => farm.state(0) === 'down', 10)).toBeLessThan(8);
    farm.run(15);
    expect(farm.established()).toBeGreaterThanOrEqual(12);
  });
});

describe('a drain with a deadline', () => {
  test('ends what is left in both ends’ name, acknowledged by both, and nothing is lost on the way to other servers', () => {
    const farm = standing();
    const { appliance } = farm;
    farm.states.order(0, 5, 1);
    appliance.tell({ type: 'release', server: appliance.binding.servers[0].index });
    farm.run(2);
    expect(farm.servers[0].stopped).toHaveLength(6);
    expect(farm.clients.filter((client) => client.told.length === 1)).toHaveLength(6);
    expect(farm.established()).toBe(12);
    expect(tunnelsOf(farm, 1)).toBe(12);
    expect(farm.state(0)).toBe('draining');
    const farewells = appliance.count('framesSent');
    farm.run(20);
    expect(appliance.count('framesSent')).toBeGreaterThan(farewells);
    expect(farm.servers[0].stopped).toHaveLength(6);
  });

  test('is repeated until it is acknowledged, over bad lines', () => {
    const farm = new Farm({ servers: 2, tunnels: 12, seed: 77, lossOutside: 0.3, lossInside: 0.3, helloEvery: 5 });
    farm.run(15);
    const standingBefore = tunnelsOf(farm, 0);
    farm.states.order(0, 5, 1);
    farm.appliance.tell({ type: 'release', server: farm.appliance.binding.servers[0].index });
    farm.run(25);
    expect(standingBefore).toBeGreaterThan(3);
    expect(tunnelsOf(farm, 0)).toBe(0);
    expect(new Set(farm.servers[0].stopped).size).toBeGreaterThanOrEqual(standingBefore - 1);
  });

  test('is paced', () => {
    const farm = standing({ tunnels: 40, health: '{ onDown: { pace: 5/s } }', redial: false });
    farm.appliance.tell({ type: 'release', server: farm.appliance.binding.servers[0].index });
    farm.run(2);
    const told = farm.clients.filter((client) => client.told.length > 0).length;
    expect(told).toBeGreaterThanOrEqual(9);
    expect(told).toBeLessThanOrEqual(12);
    farm.run(3);
    expect(farm.clients.filter((client) => client.told.length > 0)).toHaveLength(20);
  });
});

describe('the active check', () => {
  const ACTIVE = '{ passive: false, active: { every: 500ms, timeout: 200ms, failures: 2 } }';

  test('a dead server is noticed within a second though nobody asks it anything, and found again when it is back', () => {
    const farm = new Farm({ servers: 3, tunnels: 0, seed: 1, health: ACTIVE });
    farm.run(5);
    expect(farm.changes).toEqual([]);
    expect(farm.servers.every(({ requests }) => requests >= 8)).toBe(true);
    // Every connection is taken back as soon as it is answered.
    expect(farm.servers.every(({ requests, stopped }) => stopped.length >= requests - 1)).toBe(true);
    farm.servers[1].dead = true;
    expect(farm.runUntil(() => farm.state(1) === 'down', 5)).toBeLessThanOrEqual(1);
    expect(farm.states.history(1).at(-1)).toMatchObject({
      reason: 'the active check got no answer',
      detail: 'tunnel request unanswered for 200 ms, 2 times',
    });
    farm.run(10);
    farm.servers[1].reboot();
    expect(farm.runUntil(() => farm.state(1) === 'slow-start', 5)).toBeLessThanOrEqual(1);
    expect(story(farm, 'lns2')).toEqual(['up → down', 'down → slow-start']);
    expect(farm.appliance.drops()).toEqual({});
  });

  test('asked seldom, it is asked at once when the traffic makes it doubtful', () => {
    const farm = standing({ health: '{ active: { every: 60s, timeout: 200ms } }', helloEvery: 1 });
    farm.servers[0].dead = true;
    farm.runUntil(() => farm.appliance.memory.servers[25] !== 0, 5);
    expect(farm.runUntil(() => farm.state(0) === 'down', 5)).toBeLessThanOrEqual(1.6);
    farm.run(2);
    expect(farm.established()).toBe(12);
  });

  test.each([41, 42, 43])('a healthy one is not down over bad lines (seed %i)', (seed) => {
    const health = '{ active: { every: 1s, timeout: 300ms, failures: 6 } }';
    const farm = new Farm({ servers: 2, tunnels: 8, seed, lossInside: 0.1, helloEvery: 2, health });
    farm.run(120);
    expect(farm.changes.filter(({ to }) => to === 'down')).toEqual([]);
  });
});

describe('somebody says that a server is dead', () => {
  const silent = (farm: Farm): boolean => !farm.keeper.heardSince(0, farm.now - 1);

  test('it is not, as long as its traffic or its answers say so', () => {
    const farm = standing({ helloEvery: 0.3 });
    expect(silent(farm)).toBe(false);
    farm.servers[0].dead = true;
    // Data is known to the second.
    expect(farm.runUntil(() => silent(farm), 5)).toBeLessThanOrEqual(2.1);
    expect(farm.keeper.confirmDead(0)).toBe(true);
  });

  test('an idle one that can be asked is asked, and believed dead only when it does not answer', () => {
    const health = '{ passive: false, active: { every: 60s, timeout: 200ms, failures: 2 } }';
    const farm = standing({ helloEvery: 1000, health });
    farm.run(5);
    expect(silent(farm)).toBe(true);
    expect(farm.keeper.confirmDead(0)).toBe(false);
    farm.run(0.3);
    expect([silent(farm), farm.state(0)]).toEqual([false, 'up']);
    farm.run(2);
    farm.servers[0].dead = true;
    expect([silent(farm), farm.keeper.confirmDead(0)]).toEqual([true, false]);
    expect(farm.runUntil(() => farm.state(0) === 'down', 5)).toBeLessThanOrEqual(0.6);
  });
});
