/**
 * Document 004, claims 1–44, each under its number, at the level of the engine: gateways and hosts on a simulated
 * segment. The end-to-end tests show them on a wire.
 */
import { describe, expect, test } from 'vitest';
import { GatewayGroup } from '../../src/gateway/group.js';
import { forwarderOf, type Mac, macText } from '../../src/gateway/mac.js';
import {
  ClaimScene,
  failsAndIsReplaced,
  isRedistributed,
  onlyTheMasterAnswers,
  TAKE_OVER,
  unicastAtASlave,
} from '../helpers/gateway-claims.js';
import { SHARED } from '../helpers/gateway-farm.js';

const counted = (macs: readonly Mac[]): number[] => {
  const counts = new Map<Mac, number>();
  for (const mac of macs) counts.set(mac, (counts.get(mac) ?? 0) + 1);
  return [...counts.values()].sort();
};

describe('claim 1: a method on a gateway device', () => {
  test('claim 1: an ARP request for the shared address is answered by the master with the gateway that it selects by load balancing', () => {
    const scene = new ClaimScene({ algorithm: 'round-robin' });
    // Six hosts, three gateways, two each.
    expect(counted(scene.allAsk())).toEqual([2, 2, 2]);
  });

  test('claim 1: the load is balanced by weight where weights differ', () => {
    const scene = new ClaimScene({ algorithm: 'weighted' }, 60);
    scene.farm.gateways.forEach((gateway) =>
      gateway.turn((engine, now) => engine.configure({ weight: 100 * gateway.number }, now)),
    );
    scene.farm.run(1);
    expect(counted(scene.allAsk())).toEqual([10, 20, 30]);
  });

  test('claim 1: the load is balanced by reported load', () => {
    const scene = new ClaimScene({ algorithm: 'least-load' });
    const busy = { share: 0.9, bitsPerSecond: 9e8, packetsPerSecond: 9e4 };
    const idle = { share: 0.1, bitsPerSecond: 1e8, packetsPerSecond: 1e4 };
    scene.farm.gateways.forEach((gateway) =>
      gateway.turn((engine, now) => engine.setLoad(gateway.number === 2 ? idle : busy, now)),
    );
    scene.farm.run(1);
    expect(scene.asks(scene.hosts[0])).toBe(scene.farm.gateway(2).vmac());
  });

  test('claim 1: every request is answered: first ones, refreshes by unicast, probes, repeated ones', () => {
    onlyTheMasterAnswers(new ClaimScene());
  });

  test('claim 1: a unicast request at the virtual MAC of a gateway that is not the master is answered by the master', () => {
    unicastAtASlave(new ClaimScene());
  });

  test('claim 1: a selection is made in response to each request: with sticky false each one turns the wheel', () => {
    const scene = new ClaimScene({ algorithm: 'round-robin', sticky: false });
    const [host] = scene.hosts;
    expect(new Set([1, 2, 3].map(() => scene.asks(host))).size).toBe(3);
  });

  test('claim 1: a selection is made in response to each request: a known host is given its present, living gateway', () => {
    const scene = new ClaimScene({ permanentAfter: 1 });
    scene.allAsk();
    for (const host of scene.hosts) expect(scene.asks(host)).toBe(host.last.mac);
    const slave = scene.slaves[0];
    const host = scene.hosts.find(({ gatewayMac }) => gatewayMac === slave.vmac());
    slave.die();
    scene.farm.run(5);
    expect(scene.asks(host as (typeof scene.hosts)[number])).not.toBe(slave.vmac());
  });

  test('claim 1: the device replies and selects when it is the master, and neither before nor after', () => {
    const scene = new ClaimScene();
    const device = scene.slaves[0];
    const [first, second] = scene.hosts;
    const mine = (): number => scene.replies.filter(({ from }) => from === device.port).length;
    scene.asks(first);
    expect(mine()).toBe(0);
    scene.farm.gateways.filter((gateway) => gateway !== device).forEach((gateway) => gateway.die());
    scene.farm.run(TAKE_OVER + 0.1);
    expect(device.isMaster).toBe(true);
    scene.asks(second);
    expect(mine()).toBe(1);
  });
});

test('claim 8: the master that selects and replies takes over, itself, for another gateway that fails', () => {
  const scene = new ClaimScene();
  onlyTheMasterAnswers(scene);
  const { by } = failsAndIsReplaced(scene, scene.slaves[0]);
  expect(by).toBe(scene.master);
});

test('claim 10: instructions that need nothing but frames and a clock: one device by itself answers as the master', () => {
  const scene = new ClaimScene({}, 3, 1);
  expect(scene.farm.gateways).toHaveLength(1);
  expect(scene.master.engine).toBeInstanceOf(GatewayGroup);
  for (const mac of scene.allAsk()) expect(mac).toBe(scene.master.vmac());
  onlyTheMasterAnswers(scene);
  // With others in the group the same instructions select among all of them.
  const three = new ClaimScene();
  expect(counted(three.allAsk())).toEqual([2, 2, 2]);
  onlyTheMasterAnswers(three);
});

test('claim 17: instructions that also notice a failed gateway and take over what it was responsible for', () => {
  const scene = new ClaimScene();
  onlyTheMasterAnswers(scene);
  const failed = scene.slaves[1];
  const { by } = failsAndIsReplaced(scene, failed);
  expect(by).toBe(scene.master);
  expect(scene.master.events.map(({ kind, number }) => `${kind} ${number}`)).toContain(`member-down ${failed.number}`);
  // And goes on to reply for it.
  onlyTheMasterAnswers(scene);
});

test('claim 19: a master that knows the shared address and a unique one of each gateway, itself among those it selects', () => {
  const scene = new ClaimScene();
  const { engine } = scene.master;
  expect(engine.status(scene.farm.now).addresses).toEqual([SHARED]);
  const members = engine.members(scene.farm.now);
  expect(members).toHaveLength(3);
  expect(new Set(members.map(({ address }) => String(address))).size).toBe(3);
  const forwarders = engine.forwarders(scene.farm.now);
  expect(new Set(forwarders.map(({ mac }) => mac)).size).toBe(3);
  const told = scene.allAsk();
  expect(told.filter((mac) => mac === scene.master.vmac())).toHaveLength(2);
  expect(counted(told)).toEqual([2, 2, 2]);
  onlyTheMasterAnswers(scene);
});

test('claim 26: an apparatus of the group receives, selects and replies, every time, when it acts as the master', () => {
  const scene = new ClaimScene({ algorithm: 'host' }, 30);
  const told = scene.allAsk();
  expect(counted(told)).toHaveLength(3);
  // The choice by host is the same whoever makes it, and whenever.
  expect(scene.allAsk()).toEqual(told);
  onlyTheMasterAnswers(scene);
  unicastAtASlave(scene);
});

test('claim 32: an apparatus that selects, replies, determines a failure and takes over', () => {
  const scene = new ClaimScene();
  unicastAtASlave(scene);
  const [failed] = scene.slaves;
  const { by } = failsAndIsReplaced(scene, failed);
  expect(by).toBe(scene.master);
  expect(scene.master.held.get(failed.vmac())).toMatchObject({ serve: true });
  unicastAtASlave(scene);
});

describe('claim 34: a segment with an elected master', () => {
  test('claim 34: the master is elected, and no other device selects or replies', () => {
    const scene = new ClaimScene();
    expect(scene.farm.masters).toHaveLength(1);
    expect(scene.farm.gateways.map(({ engine }) => engine.status(scene.farm.now).master)).toEqual([3, 3, 3]);
    onlyTheMasterAnswers(scene);
    unicastAtASlave(scene);
    expect(new Set(scene.replies.map(({ from }) => from))).toEqual(new Set([scene.master.port]));
  });

  test('claim 34: a device that is not the master selects nobody even when the master does not hear the request', () => {
    const scene = new ClaimScene();
    const [host] = scene.hosts;
    scene.farm.segment.cut(host.port, scene.master.port);
    host.use(scene.farm.now);
    scene.farm.run(0.05);
    expect(scene.replies.filter(({ from }) => from !== scene.master.port)).toEqual([]);
    for (const slave of scene.slaves) expect(slave.engine.hosts(scene.farm.now)).toEqual([]);
  });

  test.each([1, 2, 3])(
    'claim 35: the gateways take responsibility for any of them that fails: gateway %i',
    (number) => {
      const scene = new ClaimScene();
      scene.allAsk();
      const failed = scene.farm.gateway(number);
      const { by } = failsAndIsReplaced(scene, failed);
      expect(by).not.toBe(failed);
      onlyTheMasterAnswers(scene);
    },
  );
});

describe('claim 36: a layer 3 device group that distributes the packets of hosts', () => {
  test.each([
    [[10, 200, 30], 2],
    [[250, 20, 30], 1],
    [[100, 100, 101], 3],
    // Equal ones: the higher address.
    [[100, 100, 100], 3],
  ])('claim 36: with the priorities %j gateway %i is the master', (priorities, elected) => {
    const scene = new ClaimScene({}, 0, 0);
    priorities.forEach((priority, i) => scene.farm.addGateway(i + 1, { priority }));
    scene.farm.run(3);
    expect(scene.master.number).toBe(elected);
    const members = scene.master.engine.members(scene.farm.now);
    expect(members.map(({ priority }) => priority)).toEqual(priorities);
  });

  test('claim 36: only the master assigns an addressee to a host', () => {
    const scene = new ClaimScene();
    scene.allAsk();
    for (const host of scene.hosts) expect(scene.assigned(host)).toBe(forwarderOf('local', 7, host.gatewayMac as Mac));
    expect(new Set(scene.replies.map(({ from }) => from))).toEqual(new Set([scene.master.port]));
  });

  test('claim 36: slave failure: packets for the failed device go to a functioning one', () => {
    const scene = new ClaimScene();
    scene.allAsk();
    const { by } = failsAndIsReplaced(scene, scene.slaves[0]);
    expect(by.running).toBe(true);
  });

  test('claim 36: master failure: a successor by priority, which is the addressee for the packets of the failed master', () => {
    const scene = new ClaimScene();
    scene.allAsk();
    const table = scene.farm.table(scene.master);
    const failed = scene.master;
    const { by } = failsAndIsReplaced(scene, failed);
    expect(scene.master.number).toBe(2);
    expect(by).toBe(scene.master);
    expect(by.held.get(failed.vmac())).toMatchObject({ serve: true });
    // Nothing is chosen anew.
    expect(scene.farm.table(scene.master)).toBe(table);
    onlyTheMasterAnswers(scene);
  });
});

test('claim 37: a network device: an interface and a processor that answers and selects as the master, else not', () => {
  const scene = new ClaimScene({ algorithm: 'weighted' });
  expect(counted(scene.allAsk())).toEqual([2, 2, 2]);
  onlyTheMasterAnswers(scene);
  const before = scene.master;
  before.linkDown();
  scene.farm.run(1);
  // Without its interface it answers nothing, and another device is the master.
  expect(scene.master).not.toBe(before);
  onlyTheMasterAnswers(scene);
});

describe('what the dependent claims add', () => {
  test.each([2, 9, 11, 18, 20, 27, 33, 38])(
    'claim %i: the gateway devices are layer 3 devices: packets to other networks, sent to the MAC told, are routed by exactly one',
    () => {
      const scene = new ClaimScene();
      scene.allAsk();
      for (const host of scene.hosts) {
        const { number, held } = scene.addressee(host);
        expect(scene.assigned(host)).toBe(number);
        expect(held.get(host.gatewayMac as Mac)).toMatchObject({ number, serve: true });
      }
      // Each is a device of the network layer with an address of its own there.
      expect(scene.master.engine.members(scene.farm.now).every(({ address }) => address !== null)).toBe(true);
    },
  );

  test.each([3, 12, 21, 28, 39])(
    'claim %i: the shared address is a virtual IP address: of no gateway, whoever is there',
    () => {
      const scene = new ClaimScene();
      const own = scene.master.engine.members(scene.farm.now).map(({ address }) => String(address));
      expect(own).not.toContain(String(SHARED));
      scene.asks(scene.hosts[0]);
      for (const gone of [3, 2]) {
        scene.farm.gateway(gone).die();
        scene.farm.run(1);
        scene.asks(scene.hosts[gone]);
      }
    },
  );

  test.each([4, 13, 22, 29, 40])(
    'claim %i: the reply identifies a layer 2 address at which the selected gateway takes frames',
    () => {
      const scene = new ClaimScene();
      for (const host of scene.hosts) {
        const mac = scene.asks(host);
        expect(scene.addressee(host).held.has(mac)).toBe(true);
      }
      // Where the reply comes from and what it says are the same.
      for (const { mac, source } of scene.replies) expect(macText(source)).toBe(macText(mac));
    },
  );

  test.each([5, 14, 23, 30, 41])(
    'claim %i: that layer 2 address is a virtual one: not of a port, and another gateway can have it',
    () => {
      const scene = new ClaimScene();
      const told = new Set(scene.allAsk());
      const ports = scene.farm.gateways.map(({ mac }) => mac);
      for (const mac of told) {
        expect(ports).not.toContain(mac);
        expect(forwarderOf('local', 7, mac)).toBeGreaterThan(0);
        // Locally administered, no group address.
        expect(Math.floor(mac / 2 ** 40) & 3).toBe(2);
      }
      const failed = scene.slaves[0];
      scene.asks(scene.hosts[0]);
      const { by } = failsAndIsReplaced(scene, failed);
      expect(by.held.has(failed.vmac())).toBe(true);
      expect(by.held.has(by.vmac())).toBe(true);
    },
  );

  test.each([
    [6, 'master'],
    [15, 'least-loaded'],
    [24, 'master'],
    [31, 'least-loaded'],
    [42, 'master'],
  ] as const)(
    'claim %i: a failed gateway is noticed, and its hosts are served on (takeover: %s)',
    (_claim, takeover) => {
      const scene = new ClaimScene({ takeover }, 9);
      scene.allAsk();
      const failed = scene.slaves[0];
      // The master is the busiest of those that are left.
      scene.master.turn((engine, now) => engine.setLoad({ share: 0.9, bitsPerSecond: 1, packetsPerSecond: 1 }, now));
      scene.farm.run(0.5);
      const { by } = failsAndIsReplaced(scene, failed);
      expect(by.isMaster).toBe(takeover === 'master');
      const row = scene.master.engine.forwarders(scene.farm.now).find(({ number }) => number === failed.number);
      expect(row).toMatchObject({ state: 'taken-over', server: by.number });
    },
  );

  test.each([
    [7, 'time'],
    [16, 'command'],
    [25, 'time'],
    [43, 'command'],
    [44, 'time'],
  ] as const)(
    'claim %i: a gateway that has failed permanently: its hosts are redistributed to the others (by %s)',
    (_claim, how) => {
      const scene = new ClaimScene({ permanentAfter: how === 'time' ? 5 : Number.POSITIVE_INFINITY }, 24, 4);
      scene.allAsk();
      const failed = scene.slaves[0];
      failsAndIsReplaced(scene, failed);
      scene.farm.run(1);
      isRedistributed(scene, failed, how);
    },
  );
});
