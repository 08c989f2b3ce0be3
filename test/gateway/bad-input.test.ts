/** What others may send, by mistake or in bad faith: never a second master, never a crash, always a name for it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BROADCAST, type Mac, messagesMac, readMac } from '../../src/gateway/mac.js';
import { GatewayFarm, type GatewayStation, OutageWatch, SHARED, watchReplies, words } from '../helpers/gateway-farm.js';
import { arpFrame, requestFrame } from '../helpers/gateway-neighbours.js';
import type { Port, Segment, Station } from '../helpers/gateway-segment.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { unwell } from '../helpers/gateway-chaos.js';
import { randomOf } from '../helpers/seeded-random.js';

const MESSAGES = 0x88b5;
const typeOf = (frame: Uint8Array): number => (frame[12] << 8) | frame[13];

/** Somebody at a port who keeps every message of the group and sends whatever the test wants. */
class Intruder implements Station {
  readonly nextTime = Number.POSITIVE_INFINITY;
  readonly messages: Uint8Array[] = [];
  readonly port: Port;
  readonly mac: Mac = 0x02000000ffff;
  constructor(segment: Segment) {
    this.port = segment.attach(this);
  }
  accepts(): boolean {
    return true;
  }
  receive(frame: Uint8Array): void {
    if (typeOf(frame) === MESSAGES) this.messages.push(frame.slice());
  }
  tick(): void {}
}

function scene(
  hosts = 6,
  options: Partial<ConstructorParameters<typeof GatewayFarm>[0]> = {},
): {
  farm: GatewayFarm;
  intruder: Intruder;
} {
  const farm = new GatewayFarm({
    gateways: 3,
    hosts,
    each: (number) => ({ priority: 100 + number }),
    hostsFrom: 1.5,
    hostsWithin: 0.5,
    ...options,
  });
  const intruder = new Intruder(farm.segment);
  farm.run(3);
  expect(unwell(farm)).toEqual([]);
  return { farm, intruder };
}

const counted = (gateway: GatewayStation): Record<string, number> => gateway.engine.counters();
/** Sum of all counters of the gateways that grew since. */
function growth(farm: GatewayFarm, before: readonly Record<string, number>[]): Record<string, number> {
  const grown: Record<string, number> = {};
  farm.gateways.forEach((gateway, i) => {
    for (const [name, count] of Object.entries(counted(gateway))) {
      const more = count - (before[i]?.[name] ?? 0);
      if (more > 0) grown[name] = (grown[name] ?? 0) + more;
    }
  });
  return grown;
}
const snapshot = (farm: GatewayFarm): Record<string, number>[] => farm.gateways.map(counted);
const kinds = (farm: GatewayFarm): Set<string> =>
  new Set(farm.gateways.flatMap(({ events }) => events.map(({ kind }) => kind)));

describe('messages that are not what they seem', () => {
  test('forged: every changed bit is noticed, nothing moves', () => {
    const { farm, intruder } = scene();
    const before = snapshot(farm);
    const random = randomOf(3);
    const sample = intruder.messages.slice(-12);
    expect(sample).toHaveLength(12);
    let sent = 0;
    for (const message of sample) {
      for (let i = 0; i < 40; i++) {
        const forged = message.slice();
        forged[14 + Math.floor(random() * (forged.length - 14))] ^= 1 << Math.floor(random() * 8);
        intruder.port.send(forged);
        sent++;
      }
    }
    const state = farm.gateways.map(({ engine }) => ({ ...engine.status(farm.now), since: 0 }));
    farm.run(0.5);
    expect(farm.gateways.map(({ engine }) => ({ ...engine.status(farm.now), since: 0 }))).toEqual(state);
    const refused = Object.values(growth(farm, before)).reduce((sum, count) => sum + count, 0);
    expect(refused).toBeGreaterThanOrEqual(sent);
    expect(unwell(farm)).toEqual([]);
  });

  test('of another version: counted by that name', () => {
    const { farm, intruder } = scene();
    const before = snapshot(farm);
    const message = intruder.messages.at(-1) as Uint8Array;
    for (let version = 0; version < 256; version++) {
      const other = message.slice();
      if (other[16] === version) continue;
      other[16] = version;
      intruder.port.send(other);
    }
    farm.run(0.5);
    expect(
      Object.entries(growth(farm, before))
        .filter(([name]) => /version/i.test(name))
        .map(([, count]) => count)[0],
    ).toBeGreaterThan(250);
    expect(unwell(farm)).toEqual([]);
  });

  test('replayed at once: every message twice, and nothing changes', () => {
    const { farm, intruder } = scene();
    const before = snapshot(farm);
    for (const message of intruder.messages.slice(-100)) intruder.port.send(message);
    farm.run(1);
    expect(Object.entries(growth(farm, before)).filter(([name]) => /replay|old|stale/i.test(name))).not.toEqual([]);
    expect(unwell(farm)).toEqual([]);
  });

  test('a dead master is not kept alive by what it once said', () => {
    const { farm, intruder } = scene();
    const outages = new OutageWatch(farm);
    const dead = farm.master;
    const said = intruder.messages.filter((frame) => readMac(frame, 6) === dead.vmac());
    expect(said.length).toBeGreaterThan(5);
    dead.die();
    for (let i = 0; i < 60; i++) {
      intruder.port.send(said[i % said.length]);
      farm.run(0.02);
      expect(farm.masters.length).toBeLessThanOrEqual(1);
    }
    expect(outages.longest).toBeLessThanOrEqual(0.315);
    expect(farm.master.number).toBe(2);
  });

  test('a resignation is not repeated by others, nor is anything that led to it', () => {
    const { farm, intruder } = scene();
    farm.master.turn((engine, now) => engine.resign(now));
    farm.run(20);
    const said = intruder.messages.slice();
    const { master } = farm;
    for (let i = 0; i < said.length; i += 3) {
      intruder.port.send(said[i]);
      if (i % 30 === 0) {
        farm.run(0.005);
        expect(farm.masters).toEqual([master]);
      }
    }
    farm.run(1);
    expect(farm.master).toBe(master);
    expect(farm.tables()).toBe(1);
  });

  test('a member that starts believes no message from before', () => {
    const { farm, intruder } = scene();
    const old = intruder.messages.slice();
    for (const gateway of farm.gateways) gateway.die();
    farm.run(2);
    const starting = farm.gateway(1);
    starting.restart();
    for (let i = 0; i < 200; i++) {
      intruder.port.send(old[i % old.length]);
      farm.run(0.01);
    }
    // Alone, with the voices of the dead around it, it is the master.
    expect(farm.master).toBe(starting);
    expect(starting.engine.members(farm.now).filter(({ alive, self }) => alive && !self)).toEqual([]);
  });

  test('replayed into a member that hears nobody else: no living peer comes of it', () => {
    const { farm, intruder } = scene();
    const lonely = farm.gateway(1);
    for (const other of [2, 3]) farm.segment.cut(farm.gateway(other).port, lonely.port);
    for (let i = 0; i < 100; i++) {
      intruder.port.send(intruder.messages[i]);
      farm.run(0.01);
    }
    expect(lonely.engine.members(farm.now).filter(({ alive, self }) => alive && !self)).toEqual([]);
  });

  test('any bytes at all, whole or cut: nothing is thrown, nobody becomes or ceases to be master', () => {
    const { farm, intruder } = scene(2);
    const [gateway] = farm.gateways;
    const { master } = farm;
    const frames = intruder.messages.slice(-30);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.tuple(fc.nat(frames.length - 1), fc.nat(200)).map(([i, length]) => frames[i].slice(0, length)),
          fc
            .tuple(fc.constantFrom(0x0806, 0x86dd, MESSAGES, 0x0800), fc.uint8Array({ maxLength: 120 }))
            .map(([type, rest]) =>
              Uint8Array.of(255, 255, 255, 255, 255, 255, 2, 0, 0, 9, 9, 9, type >> 8, type & 255, ...rest),
            ),
        ),
        (frame) => {
          gateway.turn((engine, now) => engine.receive(frame, now));
          master.turn((engine, now) => engine.receive(frame, now));
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
    farm.run(0.5);
    expect(farm.masters).toEqual([master]);
    expect(unwell(farm)).toEqual([]);
  });
});

describe('members that should not be', () => {
  test('two with one number: named, and one master only', () => {
    const { farm } = scene();
    const twin = farm.addGateway(2, {
      priority: 200,
      mac: Uint8Array.of(2, 0, 0, 1, 0, 99),
      random: (n) => new Uint8Array(n).fill(77),
    });
    for (let i = 0; i < 300; i++) {
      farm.run(0.01);
      expect(farm.masters.length).toBeLessThanOrEqual(1);
    }
    expect(kinds(farm)).toContain('duplicate-number');
    const watch = watchReplies(farm);
    const host = farm.addHost({ busy: false });
    host.ask();
    farm.run(0.1);
    expect(watch.filter(({ to }) => to === host.mac)).toHaveLength(1);
    // When the wrong one goes, the right one is as before.
    twin.die();
    farm.gateways.splice(farm.gateways.indexOf(twin), 1);
    farm.run(30);
    expect(unwell(farm)).toEqual([]);
  });

  test('another group with this id and another key: named, and the hosts keep one answer', () => {
    const { farm } = scene();
    const stranger = farm.addGateway(9, {
      key: new Uint8Array(32).fill(9),
      priority: 254,
      addresses: [words('10.99.0.254')],
    });
    farm.run(3);
    const own = farm.gateways.filter((gateway) => gateway !== stranger);
    expect(own.filter(({ isMaster }) => isMaster).map(({ number }) => number)).toEqual([3]);
    expect([...kinds(farm)]).toContain('foreign-group');
    const watch = watchReplies(farm);
    const host = farm.addHost({ busy: false });
    host.ask();
    farm.run(0.1);
    expect(watch.filter(({ to }) => to === host.mac)).toHaveLength(1);
  });

  test('a group with this id and key but other addresses: named, not joined', () => {
    const { farm } = scene();
    const stranger = farm.addGateway(9, { priority: 254, addresses: [words('10.99.0.254')] });
    farm.run(3);
    expect(
      farm.gateways.filter((gateway) => gateway !== stranger && gateway.isMaster).map(({ number }) => number),
    ).toEqual([3]);
    expect([...kinds(farm)]).toContain('foreign-group');
  });
});

describe('hosts that do harm', () => {
  const from = (mac: Mac, sender: number): Uint8Array =>
    arpFrame({ to: BROADCAST, from: mac, operation: 1, senderMac: mac, sender, targetMac: 0, target: SHARED[3] });

  test('a flood from one source is limited and counted; an honest host is answered meanwhile', () => {
    const { farm, intruder } = scene();
    const before = snapshot(farm);
    const honest = farm.addHost({ busy: false });
    const watch = watchReplies(farm);
    for (let i = 0; i < 4000; i++) {
      intruder.port.send(from(intruder.mac, 0x0a070500));
      farm.run(0.0005);
      if (i % 500 === 250) {
        const asked = honest.ask();
        farm.run(0.005);
        expect(asked.replies).toBe(1);
      }
    }
    const answered = watch.filter(({ to }) => to === intruder.mac).length;
    expect(answered).toBeGreaterThan(50);
    expect(answered).toBeLessThan(500);
    expect(Object.entries(growth(farm, before)).filter(([name]) => /flood|limit|rate/i.test(name))).not.toEqual([]);
    expect(unwell(farm)).toEqual([]);
  });

  test('a flood from ever new sources: the table is bounded, known hosts stay, all are answered', () => {
    const { farm, intruder } = scene(20, { group: { hostLimit: 100 } });
    const known = farm.hosts.map((host) => farm.forwarderOf(host));
    const watch = watchReplies(farm);
    for (let i = 0; i < 2000; i++) {
      intruder.port.send(from(0x0a0000000000 + i, 0x0a070000 + 1000 + i));
      farm.run(0.0005);
    }
    expect(watch.filter(({ to }) => to >= 0x0a0000000000).length).toBe(2000);
    for (const gateway of farm.gateways) expect(gateway.engine.hosts(farm.now).length).toBeLessThanOrEqual(100);
    farm.run(60);
    // A host that used its gateway more than once is not driven out by those that were seen once.
    expect(farm.hosts.map((host) => farm.forwarderOf(host))).toEqual(known);
    expect(farm.masters).toHaveLength(1);
    expect(farm.tables()).toBe(1);
  });

  test('a station that claims the shared address: named, and the hosts are told the truth again', () => {
    const { farm, intruder } = scene();
    const was = farm.hosts.map(({ gatewayMac }) => gatewayMac);
    const poison = arpFrame({
      to: BROADCAST,
      from: intruder.mac,
      operation: 1,
      senderMac: intruder.mac,
      sender: SHARED[3],
      targetMac: 0,
      target: SHARED[3],
    });
    for (let i = 0; i < 5; i++) {
      intruder.port.send(poison);
      farm.run(2);
      expect(farm.hosts.map(({ gatewayMac }) => gatewayMac)).toEqual(was);
    }
    expect([...kinds(farm)]).toContain('address-conflict');
    expect(farm.masters).toHaveLength(1);
  });

  test('requests in the name of the shared address or of a member are no hosts', () => {
    const { farm, intruder } = scene();
    const rows = farm.table(farm.master);
    for (const mac of [farm.gateway(1).vmac(), farm.gateway(2).mac, messagesMac(7), BROADCAST, 0]) {
      intruder.port.send(from(mac, 0x0a070001));
    }
    intruder.port.send(from(intruder.mac, SHARED[3]));
    farm.run(1);
    // A member's own port may ask for the shared address like any station; the group's MACs may not.
    const added = farm
      .table(farm.master)
      .split('\n')
      .filter((row) => !rows.includes(row));
    expect(added.filter((row) => !row.startsWith('02:00:00:01'))).toEqual([]);
    expect(farm.masters).toHaveLength(1);
  });

  test('a gateway that hands over the wrong sender: Ethernet source and ARP sender differ', () => {
    const { farm, intruder } = scene();
    const [victim] = farm.hosts;
    const before = victim.gatewayMac;
    // The request of a victim, sent by another: who asked is who sent it.
    intruder.port.send(requestFrame({ mac: intruder.mac, address: victim.options.address }, SHARED));
    farm.run(1);
    expect(victim.gatewayMac).toBe(before);
    expect(farm.masters).toHaveLength(1);
  });
});

describe('clocks', () => {
  test.each([1, 60, 86_400])(
    'the clock of one member jumps %i s ahead: it listens first, and is never a second master',
    (jump) => {
      const { farm } = scene();
      const outages = new OutageWatch(farm);
      const jumping = farm.master;
      const { engine } = jumping;
      // From now on this engine's clock is ahead of all others.
      const shifted = new Proxy(engine, {
        get: (target, name) => {
          if (name === 'nextTime') return target.nextTime - jump;
          const value = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) =>
            value.apply(
              target,
              args.map((arg, i) => (typeof arg === 'number' && TIMES[String(name)]?.includes(i) ? arg + jump : arg)),
            );
        },
      });
      jumping.engine = shifted;
      jumping.tick(farm.now);
      for (let i = 0; i < 200; i++) {
        farm.run(0.01);
        expect(farm.masters.length).toBeLessThanOrEqual(1);
      }
      expect(outages.longest).toBeLessThanOrEqual(0.315);
      farm.run(30);
      expect(unwell(farm)).toEqual([]);
    },
  );

  test('a clock that goes back is taken for one that stands', () => {
    const { farm } = scene();
    const { master } = farm;
    expect(() => master.engine.tick(farm.now - 100)).not.toThrow();
    expect(() => master.engine.receive(new Uint8Array(60), farm.now - 50)).not.toThrow();
    master.flush();
    for (let i = 0; i < 100; i++) {
      farm.run(0.01);
      expect(farm.masters.length).toBeLessThanOrEqual(1);
    }
    expect(unwell(farm)).toEqual([]);
  });
});

/** Which arguments of the engine's methods are times. */
const TIMES: Record<string, readonly number[]> = {
  receive: [1, 2],
  tick: [0],
  status: [0],
  members: [0],
  forwarders: [0],
  hosts: [0],
  stop: [0],
  resign: [0],
  setLink: [1],
  setTracking: [1],
  setLoad: [1],
  configure: [1],
};
