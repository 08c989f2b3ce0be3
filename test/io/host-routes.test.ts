import { describe, expect, test } from 'vitest';
import { RouteTable } from '../../src/flow/route-table.js';
import { ROUTE_NOWHERE, routeSnapshot, serversInside } from '../../src/io/host-routes.js';
import { ROUTE_BLACKHOLE, ROUTE_UNICAST, type RouteMessage } from '../../src/io/netlink.js';

const v4 = (a: number, b = 0, c = 0, d = 0): [number, number, number, number] => [
  0,
  0,
  0xffff,
  ((a << 24) | (b << 16) | (c << 8) | d) >>> 0,
];
const ON_LINK: [number, number, number, number] = [0, 0, 0, 0];
const route = (fields: Partial<RouteMessage>): RouteMessage => ({
  table: 254,
  type: ROUTE_UNICAST,
  words: v4(10),
  length: 104,
  metric: 0,
  special: false,
  hops: [{ index: 2, gateway: ON_LINK }],
  ...fields,
});
const portOf = (index: number): number => (index === 2 ? 0 : index === 3 ? 1 : -1);
const portAt = (routes: readonly RouteMessage[], words: readonly number[]): number | null => {
  const table = new RouteTable(routeSnapshot(routes, portOf));
  const row = table.lookup(words[0], words[1], words[2], words[3]);
  return row < 0 ? null : table.port(row);
};

describe('route snapshots', () => {
  test('the lowest metric of a prefix wins, in whichever order they come', () => {
    const near = route({ metric: 10, hops: [{ index: 3, gateway: ON_LINK }] });
    const far = route({ metric: 20 });
    expect(portAt([near, far], v4(10, 1))).toBe(1);
    expect(portAt([far, near], v4(10, 1))).toBe(1);
  });

  test('a longer prefix wins whatever its metric', () => {
    expect(
      portAt([route({}), route({ length: 112, metric: 900, hops: [{ index: 3, gateway: ON_LINK }] })], v4(10, 0, 1)),
    ).toBe(1);
  });

  test('of several hops the first through a side of ours is taken', () => {
    const hops = [9, 3, 2].map((index) => ({ index, gateway: v4(10, 0, 0, index) }));
    const snapshot = routeSnapshot([route({ hops })], portOf);
    expect([...snapshot.ports]).toEqual([1]);
    expect([...snapshot.gateways].map((word) => word >>> 0)).toEqual(v4(10, 0, 0, 3));
  });

  test('other interfaces and dead ends are rows too, so that a shorter prefix does not take their packets', () => {
    expect(
      portAt(
        [route({ length: 96, words: v4(0) }), route({ hops: [{ index: 9, gateway: v4(10, 0, 0, 9) }] })],
        v4(10, 1),
      ),
    ).toBe(255);
    expect(portAt([route({ length: 96, words: v4(0) }), route({ type: ROUTE_BLACKHOLE, hops: [] })], v4(10, 1))).toBe(
      ROUTE_NOWHERE,
    );
  });

  test('other tables, special and local routes and those without a living hop are not taken', () => {
    const rest = [route({ table: 255 }), route({ special: true }), route({ type: 2 }), route({ hops: [] })];
    expect(routeSnapshot(rest, portOf).lengths.length).toBe(0);
  });
});

describe('servers on another VLAN of the same device', () => {
  const gateway = v4(192, 0, 2, 254);
  const routes = [
    route({}),
    route({ words: v4(10, 9), length: 112, hops: [{ index: 2, gateway }] }),
    route({ words: v4(10, 1, 0, 3), length: 128 }),
    route({ words: v4(10, 7), length: 112, hops: [{ index: 9, gateway: v4(10, 0, 0, 9) }] }),
    route({ words: v4(10, 8), length: 112, type: ROUTE_BLACKHOLE, hops: [] }),
  ];
  const servers = [v4(10, 1, 0, 2), v4(10, 9, 0, 2), v4(10, 1, 0, 3), v4(10, 7, 0, 2), v4(10, 8, 0, 2), v4(172, 16)];
  const table = new RouteTable(serversInside(routeSnapshot(routes, portOf), servers));
  const at = (words: [number, number, number, number]): string => {
    const row = table.lookup(...words);
    return row < 0 ? 'none' : `${table.port(row)} ${table.onLink(row) ? 'on link' : table.gatewayWord(row, 3) >>> 0}`;
  };

  test('are inside, by the gateway of their route, also where a route is for the server alone', () => {
    expect(servers.slice(0, 3).map(at)).toEqual(['1 on link', `1 ${gateway[3]}`, '1 on link']);
  });

  test('everybody else stays outside', () => {
    expect([v4(10, 1, 0, 1), v4(10, 9, 0, 1), v4(10, 1, 0, 4)].map(at)).toEqual([
      '0 on link',
      `0 ${gateway[3]}`,
      '0 on link',
    ]);
  });

  test('get no way where the host has none through the device', () => {
    expect(servers.slice(3).map((words) => at(words).split(' ')[0])).toEqual(['255', `${ROUTE_NOWHERE}`, 'none']);
  });
});
