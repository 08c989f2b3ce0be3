/** A group in which all hosts have the master (`algorithm: master`): a cluster master and its candidates. */
import { describe, expect, test } from 'vitest';
import { readMac } from '../../src/gateway/mac.js';
import { detectionTime } from '../../src/gateway/members.js';
import { GatewayFarm, OutageWatch, SHARED6, watchReplies } from '../helpers/gateway-farm.js';

const ONE = { algorithm: 'master', preempt: null, return: 'stay', permanentAfter: Number.POSITIVE_INFINITY } as const;
const BROADCAST = 0xffff_ffff_ffff;

const settled = (options: ConstructorParameters<typeof GatewayFarm>[0] = {}): GatewayFarm =>
  new GatewayFarm({ gateways: 3, hosts: 8, ...options, group: { ...ONE, ...options.group } }).run(3);

/** Frames that everybody is told by, with who sent them. */
function watchAnnouncements(farm: GatewayFarm, to: number = BROADCAST): { at: number; source: number }[] {
  const seen: { at: number; source: number }[] = [];
  const earlier = farm.segment.onFrame;
  farm.segment.onFrame = (frame, from, at) => {
    earlier?.(frame, from, at);
    const fromGateway = farm.gateways.some(({ port }) => port === from);
    if (fromGateway && readMac(frame) === to) seen.push({ at, source: readMac(frame, 6) });
  };
  return seen;
}

describe.each([
  ['IPv4', {}],
  ['IPv6', { ipv6: true, group: { addresses: [SHARED6] } }],
] as const)('%s', (_family, options) => {
  test('all hosts have the master, whatever the weights say', () => {
    const farm = settled({ ...options, each: (number) => ({ weight: number === 3 ? 0 : 900 }) });
    expect(farm.master.number).toBe(3);
    expect(farm.shares()).toEqual(new Map([[3, 8]]));
  });

  test('when it dies the next one has its virtual MAC at once, and soon all hosts', () => {
    const farm = settled(options);
    const watch = new OutageWatch(farm);
    farm.run(0.05);
    farm.master.die();
    farm.run(2);
    watch.stop();
    expect(farm.master.number).toBe(2);
    expect(watch.longest).toBeLessThanOrEqual(detectionTime(0.1, 3) + 0.1);
    expect(farm.shares()).toEqual(new Map([[2, 8]]));
  });

  test('when it returns nothing moves: the office and all hosts stay, and those that ask anew get the same', () => {
    const farm = settled(options);
    farm.gateway(3).die();
    farm.run(20);
    const watch = new OutageWatch(farm);
    const replies = watchReplies(farm, farm.options.group?.addresses?.[0]);
    farm.gateway(3).restart();
    for (let turn = 0; turn < 300; turn++) {
      if (turn % 10 === 0) farm.hosts[(turn / 10) % 8].ask('broadcast');
      farm.run(0.1);
    }
    watch.stop();
    expect(farm.master.number).toBe(2);
    expect(farm.shares()).toEqual(new Map([[2, 8]]));
    expect(new Set(replies.map(({ mac }) => mac))).toEqual(new Set([farm.gateway(2).vmac()]));
    expect(watch.longest).toBe(0);
    // What was lent goes back to its owner, without a host.
    expect(farm.gateway(3).held.get(farm.gateway(3).vmac())).toMatchObject({ serve: true });
  });
});

test('one that takes the office tells everybody, at once and again, from the virtual MAC that it names', () => {
  const farm = settled();
  const told = watchAnnouncements(farm);
  farm.master.die();
  const died = farm.now;
  farm.run(10);
  expect(told.map(({ source }) => source)).toEqual([2, 2, 2].map((number) => farm.gateway(number).vmac()));
  expect(told[0].at - died).toBeLessThanOrEqual(detectionTime(0.1, 3) + 0.05);
  expect(farm.gateway(2).engine.counters().announced).toBe(3);
});

test('a master that cannot forward any more hands over, and hosts go with the office', () => {
  const farm = settled();
  farm.gateway(3).setUpstream(false);
  farm.run(2);
  expect(farm.master.number).toBe(2);
  expect(farm.shares()).toEqual(new Map([[2, 8]]));
  farm.gateway(3).setUpstream(true);
  farm.run(10);
  expect(farm.master.number).toBe(2);
  expect(farm.shares()).toEqual(new Map([[2, 8]]));
});

test('two masters that were cut off from each other: afterwards all hosts have the one that stays', () => {
  const farm = settled({ gateways: 2 });
  const hosts = farm.hosts.map(({ port }) => port);
  farm.segment.partition([
    [farm.gateway(2).port, ...hosts.slice(0, 4)],
    [farm.gateway(1).port, ...hosts.slice(4)],
  ]);
  farm.run(3);
  expect(farm.masters).toHaveLength(2);
  expect(farm.shares()).toEqual(
    new Map([
      [2, 4],
      [1, 4],
    ]),
  );
  farm.segment.heal();
  farm.run(5);
  expect(farm.master.number).toBe(2);
  expect(farm.shares()).toEqual(new Map([[2, 8]]));
});

test('another algorithm, and back: a master of all says so again', () => {
  const farm = settled();
  const told = watchAnnouncements(farm);
  farm.master.turn((engine, now) => engine.configure({ algorithm: 'round-robin' }, now));
  farm.run(5);
  expect(told).toEqual([]);
  farm.master.turn((engine, now) => engine.configure({ algorithm: 'master' }, now));
  farm.run(10);
  expect(told).toHaveLength(3);
});
