/**
 * The host's main routing tables as a snapshot for the shards. Policy rules are not evaluated and other tables not read;
 * docs/decisions/0003 says why. Pure.
 */
import { ROUTE_OTHER_INTERFACE, type RouteSnapshot, RouteTable } from '../flow/route-table.js';
import {
  ROUTE_BLACKHOLE,
  ROUTE_PROHIBIT,
  ROUTE_THROW,
  ROUTE_UNICAST,
  ROUTE_UNREACHABLE,
  type NextHop,
  type RouteMessage,
  TABLE_MAIN,
  type Words,
} from './netlink.js';
import { PORT_INSIDE, PORT_OUTSIDE } from './port.js';

/** Port of a route that leads nowhere: unreachable, blackhole, prohibit, throw. */
export const ROUTE_NOWHERE = 254;

const NOWHERE: ReadonlySet<number> = new Set([ROUTE_BLACKHOLE, ROUTE_UNREACHABLE, ROUTE_PROHIBIT, ROUTE_THROW]);
const ON_LINK: NextHop = { index: 0, gateway: [0, 0, 0, 0] };

/** Does the route belong into a snapshot? Local, broadcast and multicast ones do not leave the host. */
export function isForwarding(route: RouteMessage): boolean {
  if (route.table !== TABLE_MAIN || route.special) return false;
  return NOWHERE.has(route.type) || (route.type === ROUTE_UNICAST && route.hops.length > 0);
}

/**
 * `portOf`: port of an interface index, or −1. Of several next hops the first one through a port of ours is taken, so
 * that one client's packets have one way. Of routes to one prefix the one with the lowest metric comes first, which is
 * the one that RouteTable takes.
 */
export function routeSnapshot(routes: readonly RouteMessage[], portOf: (index: number) => number): RouteSnapshot {
  const chosen = routes.filter(isForwarding).sort((a, b) => a.metric - b.metric);
  const count = chosen.length;
  const snapshot = {
    prefixes: new Int32Array(count * 4),
    lengths: new Uint8Array(count),
    ports: new Uint8Array(count),
    gateways: new Int32Array(count * 4),
  };
  chosen.forEach((route, row) => {
    const hop = route.hops.find(({ index }) => portOf(index) >= 0) ?? ON_LINK;
    const port = portOf(hop.index);
    snapshot.prefixes.set(route.words, row * 4); // stored modulo 2³²
    snapshot.lengths[row] = route.length;
    snapshot.ports[row] = NOWHERE.has(route.type) ? ROUTE_NOWHERE : port >= 0 ? port : ROUTE_OTHER_INTERFACE;
    snapshot.gateways.set(hop.gateway, row * 4);
  });
  return snapshot;
}

/**
 * Outside and inside are VLANs of one device, so the host's routes say how a server is reached but not on which of them:
 * servers are inside. Each gets a row of its own in front, with the gateway of its route.
 */
export function serversInside(snapshot: RouteSnapshot, servers: readonly Readonly<Words>[]): RouteSnapshot {
  const table = new RouteTable(snapshot);
  const rows = servers.flatMap((words) => {
    const row = table.lookup(words[0], words[1], words[2], words[3]);
    return row >= 0 && table.port(row) === PORT_OUTSIDE ? [{ words, row }] : [];
  });
  const count = rows.length + snapshot.lengths.length;
  const whole = {
    prefixes: new Int32Array(count * 4),
    lengths: new Uint8Array(count).fill(128, 0, rows.length),
    ports: new Uint8Array(count).fill(PORT_INSIDE, 0, rows.length),
    gateways: new Int32Array(count * 4),
  };
  rows.forEach(({ words, row }, at) => {
    whole.prefixes.set(words, at * 4);
    whole.gateways.set(snapshot.gateways.subarray(row * 4, row * 4 + 4), at * 4);
  });
  whole.prefixes.set(snapshot.prefixes, rows.length * 4);
  whole.lengths.set(snapshot.lengths, rows.length);
  whole.ports.set(snapshot.ports, rows.length);
  whole.gateways.set(snapshot.gateways, rows.length * 4);
  return whole;
}
