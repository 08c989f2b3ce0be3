/** A whole group in virtual time: what its members say, do and become. The claims of document 004 have tests of their own. */
import { describe, expect, test } from 'vitest';
import { GatewayGroup } from '../../src/gateway/group.js';
import { macBytes, virtualMac } from '../../src/gateway/mac.js';
import { detectionTime } from '../../src/gateway/members.js';
import { Seal } from '../../src/gateway/seal.js';
import { GROUP_DEFAULTS } from '../../src/gateway/types.js';
import { readGatewayHeader } from '../../src/wire/gateway-message.js';
import { GatewayFarm, type GatewayStation, OutageWatch, SHARED, watchReplies, words } from '../helpers/gateway-farm.js';

const said = (gateway: GatewayStation, kind: string): string[] =>
  gateway.events.filter((event) => event.kind === kind).map(({ text }) => text);

/** Gateways that know each other and have a master, and hosts that have asked. */
const settled = (options: ConstructorParameters<typeof GatewayFarm>[0] = {}): GatewayFarm =>
  new GatewayFarm({ gateways: 3, hosts: 6, ...options }).run(3);

describe('start', () => {
  test('nobody answers before it has listened; then the best is master, and only it', () => {
    const farm = new GatewayFarm({ gateways: 3 }).run(0.3);
    expect(farm.gateways.map(({ state }) => state)).toEqual(['listen', 'listen', 'listen']);
    farm.run(0.2);
    expect(farm.master.number).toBe(3);
    expect(farm.gateways.flatMap(({ events }) => events.filter(({ kind }) => kind === 'split-brain'))).toEqual([]);
  });

  test('one that starts later follows the master, and has the table', () => {
    const farm = settled({ group: { preempt: null } });
    farm.addGateway(9, { priority: 200 });
    farm.run(2);
    expect(farm.master.number).toBe(3);
    expect(farm.gateway(9).state).toBe('backup');
    expect(farm.tables()).toBe(1);
    expect(farm.gateway(9).engine.hosts(farm.now)).toHaveLength(6);
  });

  test('a gateway alone is master, and answers', () => {
    const farm = settled({ gateways: 1 });
    expect(farm.master.number).toBe(1);
    expect(farm.shares()).toEqual(new Map([[1, 6]]));
  });
});

describe('a better member', () => {
  test('is let in after the delay, by a hand-over at which no question is answered twice or not at all', () => {
    const farm = settled({ group: { preempt: { delay: 2 } } });
    const replies = watchReplies(farm);
    farm.addGateway(9, { priority: 200 });
    farm.run(1);
    expect(farm.master.number).toBe(3);
    for (let turn = 0; turn < 300; turn++) {
      farm.hosts[turn % 6].ask('broadcast');
      farm.run(0.01);
    }
    expect(farm.master.number).toBe(9);
    expect(replies).toHaveLength(300);
    expect(said(farm.gateway(3), 'split-brain')).toEqual([]);
  });

  test('waits when pre-emption is off, and takes over when the master cannot forward', () => {
    const farm = settled({ group: { preempt: null } });
    farm.addGateway(9, { priority: 200 });
    farm.run(20);
    expect(farm.master.number).toBe(3);
    farm.gateway(3).setUpstream(false);
    farm.run(0.2);
    expect(farm.master.number).toBe(9);
    expect(
      farm
        .gateway(9)
        .engine.forwarders(farm.now)
        .find(({ number }) => number === 3),
    ).toMatchObject({
      state: 'taken-over',
      server: 9,
    });
  });
});

describe('the end of a master', () => {
  test.each([0.1, 0.02])('is noticed within 2.25 intervals of %f s, wherever in the interval it dies', (interval) => {
    for (let step = 0; step < 5; step++) {
      const farm = settled({ gateways: 4, group: { interval } });
      farm.run((interval * step) / 5);
      const died = farm.now;
      farm.master.die();
      farm.segment.runUntil(() => farm.masters.length === 1, 1);
      expect(farm.master.number).toBe(3);
      expect(farm.now - died).toBeLessThanOrEqual(detectionTime(interval, 3) + interval / 4);
    }
  });

  test('a clean stop hands over at once', () => {
    const farm = settled();
    farm.gateway(3).stopCleanly();
    farm.run(0.001);
    expect(farm.master.number).toBe(2);
    expect(farm.gateway(2).held.get(virtualMac('local', 7, 3))).toMatchObject({ serve: true });
    expect(farm.gateway(3).held.size).toBe(0);
  });

  test('resign hands over at once, and the resigned one stays a forwarder', () => {
    const farm = settled();
    expect(farm.gateway(3).turn((engine, now) => engine.resign(now))).toMatchObject({ ok: true });
    farm.run(0.001);
    expect(farm.master.number).toBe(2);
    farm.run(20);
    expect(farm.master.number).toBe(2);
    expect(farm.gateway(3).state).toBe('resigned');
    expect(farm.shares().get(3)).toBe(2);
    farm.run(60);
    expect(farm.master.number).toBe(3);
  });

  test('a resigned one is master when nobody else is there; one that is alone cannot resign', () => {
    const farm = settled({ gateways: 2 });
    farm.gateway(2).turn((engine, now) => engine.resign(now));
    farm.run(0.1);
    farm.gateway(1).die();
    farm.run(1);
    expect(farm.master.number).toBe(2);
    expect(farm.gateway(2).turn((engine, now) => engine.resign(now))).toMatchObject({ ok: false });
    expect(farm.master.number).toBe(2);
  });

  test('what was asked meanwhile is answered by the successor, before the host asks again', () => {
    const farm = settled();
    const replies = watchReplies(farm);
    farm.gateway(3).die();
    farm.run(0.05);
    for (const host of farm.hosts) host.ask('broadcast');
    farm.run(0.3);
    expect(replies).toHaveLength(6);
  });
});

describe('standstill', () => {
  test('a master that stood still answers nothing that waited, and follows its successor', () => {
    const farm = settled({ group: { preempt: null } });
    const replies = watchReplies(farm);
    const { master } = farm;
    master.port.stop();
    farm.run(0.2);
    for (const host of farm.hosts) host.ask('broadcast');
    farm.run(2);
    const before = replies.length;
    expect(before).toBe(6);
    master.port.resume();
    farm.run(0.4);
    expect(replies.slice(before).filter(({ from }) => from === master.port)).toEqual([]);
    expect(master.state).toBe('listen');
    farm.run(1.6);
    expect(master.state).toBe('backup');
    expect(farm.master.number).toBe(2);
    expect(said(master, 'frozen')).toHaveLength(1);
    expect(farm.tables()).toBe(1);
  });

  test('a clock that goes back changes nothing; one that leaps is a standstill', () => {
    const farm = settled({ gateways: 1 });
    const { engine } = farm.gateway(1);
    engine.tick(farm.now - 100);
    expect(engine.status(farm.now).state).toBe('master');
    engine.tick(farm.now + 1000);
    expect(engine.status(farm.now).state).toBe('listen');
  });
});

describe('partition', () => {
  test('two masters, and one after the first advert across; the tables are one again', () => {
    const farm = settled({ gateways: 4, hosts: 8 });
    const ports = farm.gateways.map(({ port }) => port);
    const hosts = farm.hosts.map(({ port }) => port);
    farm.segment.partition([
      [ports[0], ports[1], ...hosts.slice(0, 4)],
      [ports[2], ports[3], ...hosts.slice(4)],
    ]);
    farm.run(3);
    expect(farm.masters.map(({ number }) => number)).toEqual([2, 4]);
    farm.segment.heal();
    farm.segment.runUntil(() => farm.masters.length === 1, 1);
    const healed = farm.now;
    expect(farm.master.number).toBe(4);
    farm.run(2);
    expect(farm.masters).toHaveLength(1);
    expect(farm.tables()).toBe(1);
    expect(healed).toBeLessThan(6.2);
  });

  test('a master that another does not hear yields to it, when there are but the two', () => {
    const farm = settled({ gateways: 2 });
    farm.segment.cut(farm.gateway(2).port, farm.gateway(1).port);
    farm.run(2);
    expect(farm.masters.map(({ number }) => number)).toEqual([1]);
    expect(said(farm.gateway(2), 'one-way')).not.toEqual([]);
  });

  test('what one misses the others tell: no second master', () => {
    const farm = settled({ gateways: 4 });
    farm.segment.cut(farm.gateway(4).port, farm.gateway(3).port);
    for (let turn = 0; turn < 50; turn++) {
      farm.run(0.1);
      expect(farm.masters.map(({ number }) => number)).toEqual([4]);
    }
  });

  test('one that nobody hears stays out when it starts', () => {
    const farm = new GatewayFarm({ gateways: 2 });
    farm.run(2);
    const late = farm.addGateway(9, { priority: 200 });
    for (const other of [farm.gateway(1), farm.gateway(2)]) farm.segment.cut(late.port, other.port);
    farm.run(3);
    expect(late.state).toBe('listen');
    expect(said(late, 'one-way')).toHaveLength(1);
  });
});

describe('wrong neighbours', () => {
  test('two with one number: the higher address stays, the other keeps out, both say so', () => {
    const farm = settled({ gateways: 2 });
    const twin = farm.addGateway(2, { ownAddress: words('10.7.0.200'), mac: Uint8Array.of(2, 0, 0, 9, 0, 9) });
    farm.run(3);
    expect(farm.masters).toHaveLength(1);
    expect(farm.gateway(2).state).toBe('master');
    expect(twin.state).toBe('listen');
    expect(said(twin, 'duplicate-number')).not.toEqual([]);
    expect(said(farm.gateway(2), 'duplicate-number')).not.toEqual([]);
    expect(twin.held.size).toBe(0);
  });

  test('another group with this id and another key, or other addresses, is refused, counted and named', () => {
    const farm = settled();
    farm.addGateway(8, { key: new Uint8Array(32).fill(9), priority: 254 });
    farm.addGateway(9, { addresses: [words('10.9.0.254')], priority: 254 });
    farm.run(2);
    expect(farm.gateway(3).state).toBe('master');
    const counters = farm.gateway(3).engine.counters();
    expect(counters['messages.forged']).toBeGreaterThan(10);
    expect(counters['messages.foreignSettings']).toBeGreaterThan(10);
    expect(said(farm.gateway(3), 'foreign-group')).toHaveLength(2);
    expect(
      farm
        .gateway(3)
        .engine.members(farm.now)
        .map(({ number }) => number),
    ).toEqual([1, 2, 3]);
  });

  test('a message with the right key that says nonsense is counted', () => {
    const farm = settled();
    const seal = new Seal(
      Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1),
      7,
      50,
      new Uint8Array(6).fill(5),
    );
    const { engine } = farm.gateway(3);
    for (const type of ['advert', 'hosts', 'order', 'emit'] as const)
      engine.receive(seal.close(type, 0, Uint8Array.of(1, 2), 2, 3), farm.now);
    expect(engine.counters()['messages.malformed']).toBe(1);
    expect(engine.status(farm.now).state).toBe('master');
  });
});

describe('answers', () => {
  test('reply with the chosen virtual MAC as source; its server shows the switches again where that is', () => {
    const farm = settled();
    const replies = watchReplies(farm);
    for (const host of farm.hosts) host.ask('broadcast');
    farm.run(0.1);
    expect(replies).toHaveLength(6);
    for (const reply of replies) {
      expect(reply.source).toBe(reply.mac);
      expect(reply.from).toBe(farm.master.port);
    }
    for (const host of farm.hosts)
      expect(farm.serversOf(host).map(({ number }) => number)).toEqual([farm.forwarderOf(host)]);
  });

  test('in a flood of questions servers are told every 5 ms, and once more at its end', () => {
    const farm = settled();
    const told: number[] = [];
    const earlier = farm.segment.onFrame;
    farm.segment.onFrame = (frame, from, at) => {
      earlier?.(frame, from, at);
      const read = readGatewayHeader(frame);
      if (typeof read !== 'string' && read.header.type === 'teach') told.push(at);
    };
    const [host] = farm.hosts.filter((one) => farm.forwarderOf(one) !== farm.master.number);
    let last = 0;
    for (let turn = 0; turn < 50; turn++) {
      last = farm.now;
      host.ask('broadcast');
      farm.run(0.001);
    }
    farm.run(0.05);
    expect(told.length).toBeGreaterThan(5);
    expect(told.length).toBeLessThan(15);
    expect(told[told.length - 1]).toBeGreaterThan(last);
    expect(farm.serversOf(host).map(({ number }) => number)).toEqual([farm.forwarderOf(host)]);
  });

  test('replies: forwarder sends each from the port of its gateway', () => {
    const farm = settled({ group: { replies: 'forwarder' } });
    const replies = watchReplies(farm);
    for (const host of farm.hosts) host.ask('broadcast');
    farm.run(0.1);
    expect(replies).toHaveLength(6);
    for (const { from, mac } of replies) expect(farm.gateways.find(({ port }) => port === from)?.vmac()).toBe(mac);
    // Nobody stands in where each MAC has one port.
    expect([...farm.master.held.keys()]).toEqual([farm.master.vmac()]);
  });

  test('a question by unicast to a member is handed to the master, and answered once', () => {
    const farm = settled();
    const replies = watchReplies(farm);
    for (const host of farm.hosts) host.ask('unicast');
    farm.run(0.1);
    expect(replies).toHaveLength(6);
    expect(farm.gateways.reduce((sum, { engine }) => sum + engine.counters().handed, 0)).toBe(4);
  });
});

describe('commands', () => {
  test('move, at the master and through another member', () => {
    const farm = settled();
    const [host] = farm.hosts;
    const to = (farm.forwarderOf(host) % 3) + 1;
    farm.gateway(1).turn((engine, now) => engine.move(host.mac, to, now));
    farm.run(0.5);
    expect(farm.forwarderOf(host)).toBe(to);
    expect(farm.gateway(2).turn((engine, now) => engine.move(host.mac, 77, now))).toMatchObject({ ok: false });
    expect(farm.gateway(3).turn((engine, now) => engine.move(null, 1, now))).toMatchObject({ ok: true });
    farm.run(1);
    expect(farm.shares()).toEqual(new Map([[1, 6]]));
  });

  test('a dead gateway’s hosts are redistributed by command, through any member; a living one’s are not', () => {
    const farm = settled();
    expect(farm.gateway(1).turn((engine, now) => engine.declareDead(2, now))).toMatchObject({ ok: false });
    farm.gateway(2).die();
    farm.run(0.5);
    expect(farm.gateway(1).turn((engine, now) => engine.declareDead(2, now))).toMatchObject({ ok: true });
    farm.run(1);
    expect(farm.shares().get(2)).toBeUndefined();
    expect(farm.tables()).toBe(1);
  });
});

test('traffic for a virtual MAC that its hosts were told to leave has them told again, whoever serves it', () => {
  const farm = settled({ group: { takeover: 'least-loaded', permanentAfter: 1 } });
  const busy = { share: 0.5, bitsPerSecond: 0, packetsPerSecond: 0 };
  farm.master.turn((engine, now) => engine.setLoad(busy, now));
  farm.run(0.5);
  farm.gateway(1).die();
  farm.run(3);
  const server = farm.gateway(2);
  expect(server.engine.forwarders(farm.now)[0]).toMatchObject({ number: 1, state: 'draining', server: 2, hosts: 0 });
  for (const packets of [5, 9]) {
    const perForwarder = new Map([[1, { bytes: packets * 100, packets }]]);
    server.turn((engine, now) => engine.setLoad({ ...busy, share: 0, perForwarder }, now));
    farm.run(1);
  }
  expect(farm.master.engine.counters()['hosts.stragglersTold']).toBe(2);
});

describe('tables', () => {
  test('say who is there, who serves what, and who has whom', () => {
    const farm = settled();
    const { engine } = farm.gateway(1);
    engine.setTracking({ priorityLoss: 30, weightLoss: 10, able: true, reasons: ['load is high'] }, farm.now);
    const rows = engine.members(farm.now);
    expect(
      rows.map(({ number, self, state, priority, weight }) => ({ number, self, state, priority, weight })),
    ).toEqual([
      { number: 1, self: true, state: 'backup', priority: 70, weight: 90 },
      { number: 2, self: false, state: 'backup', priority: 100, weight: 100 },
      { number: 3, self: false, state: 'master', priority: 100, weight: 100 },
    ]);
    expect(engine.forwarders(farm.now).map(({ number, state, hosts }) => [number, state, hosts])).toEqual([
      [1, 'active', 2],
      [2, 'active', 2],
      [3, 'active', 2],
    ]);
    expect(engine.hosts(farm.now, { forwarder: 2 })).toHaveLength(2);
    expect(engine.status(farm.now)).toMatchObject({ name: 'lan', state: 'backup', master: 3, hosts: 6 });
  });

  test('before its first turn a group is not asked in vain', () => {
    const group = new GatewayGroup({
      ...GROUP_DEFAULTS,
      name: 'lan',
      group: 7,
      number: 1,
      mac: macBytes(0x020000000001),
      ownAddress: null,
      addresses: [SHARED],
      key: new Uint8Array(32),
      random: (count) => new Uint8Array(count),
    });
    expect([group.status(0).state, group.members(0), group.forwarders(0), group.hosts(0)]).toEqual([
      'listen',
      [],
      [],
      [],
    ]);
    expect(group.nextTime).toBe(0);
    expect(group.output()).toEqual({ frames: [], actions: [], events: [] });
  });
});

test('a dead slave costs its hosts no more than the detection time, though the switch sends its frames into the void', () => {
  const farm = settled({ switches: 1 });
  const watch = new OutageWatch(farm);
  farm.gateway(1).die();
  farm.run(1);
  expect(watch.longest).toBeLessThanOrEqual(0.3);
});
