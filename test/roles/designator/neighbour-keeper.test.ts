/** Next hops of servers: by route, or into the host itself. */
import { describe, expect, test } from 'vitest';
import { CELL_WORDS, NEXT_HOP_STATE, SERVER_CELL } from '../../../src/flow/layout.js';
import { NextHopTable } from '../../../src/flow/next-hop-table.js';
import type { RouteSnapshot } from '../../../src/flow/route-table.js';
import { PORT_HOST, PORT_INSIDE } from '../../../src/io/port.js';
import { NeighbourKeeper } from '../../../src/roles/designator/neighbour-keeper.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { MemoryAppliance } from '../../helpers/memory-appliance.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
/** Everything is a neighbour inside. */
const ROUTES: RouteSnapshot = {
  prefixes: Int32Array.from([0, 0, 0, 0]),
  lengths: Uint8Array.of(0),
  ports: Uint8Array.of(PORT_INSIDE),
  gateways: new Int32Array(4),
};
const YAML = `vips:
  - { name: direct, address: 200.200.100.1, reply: direct, servers: [{ name: here, address: 10.10.1.1 }, { name: there, address: 10.10.1.2 }] }
  - { name: six, address: '2001:db8:64::1', reply: direct, servers: [{ name: here6, address: 'fd00:1::1' }] }
  - { name: far, address: 200.200.100.3, reply: direct, servers: [{ name: high, address: 200.200.100.9 }] }
  - { name: plain, address: 200.200.100.2, servers: [{ name: wrong, address: 10.10.1.3 }] }
table: { connections: 16 }`;

class Scene {
  readonly appliance = new MemoryAppliance(YAML);
  own: AddressWords[] = [];
  readonly asked: string[] = [];
  readonly hops = new NextHopTable(this.appliance.memory);
  readonly keeper = new NeighbourKeeper(this.appliance.memory, {
    resolve: (port, address) => void this.asked.push(`${port} ${address[3] & 0xff}`),
    own: () => this.own,
    mayBeOwn: ({ index }) => this.appliance.binding.isOneWay(index),
  });

  set(...own: readonly string[]) {
    this.own = own.map(words);
    this.asked.length = 0;
    return this.keeper.setRoutes(ROUTES, this.appliance.binding.servers);
  }

  /** Port and state of the server's next hop. */
  hopOf(name: string): readonly [port: number, state: number] | null {
    const { index } = this.appliance.binding.servers.find((server) => server.name === name) as { index: number };
    const hop = this.appliance.memory.servers[index * CELL_WORDS + SERVER_CELL.nextHop];
    return hop === 0 ? null : [this.hops.port(hop), this.hops.state(hop)];
  }
}

describe('a server that is the host itself', () => {
  test('has a next hop that needs no resolving, and is asked for by nobody', () => {
    const scene = new Scene();
    expect(scene.set('10.10.1.1')).toEqual({ routes: [], own: [] });
    expect(scene.hopOf('here')).toEqual([PORT_HOST, NEXT_HOP_STATE.resolved]);
    expect(scene.hopOf('there')?.[0]).toBe(PORT_INSIDE);
    expect(scene.asked).not.toContain(`${PORT_HOST} 1`);
    for (let round = 0; round < 40; round++) scene.keeper.tick();
    expect(scene.asked.filter((line) => line.startsWith(`${PORT_HOST} `))).toEqual([]);
  });

  test('is known by whatever address, IPv6 too', () => {
    const scene = new Scene();
    scene.set('fd00:1::1', '200.200.100.9');
    expect(scene.hopOf('here6')).toEqual([PORT_HOST, NEXT_HOP_STATE.resolved]);
    expect(scene.hopOf('high')?.[0]).toBe(PORT_HOST);
    expect(scene.hopOf('here')?.[0]).toBe(PORT_INSIDE);
  });

  test('is one behind the network again when the address goes, and the other way round', () => {
    const scene = new Scene();
    scene.set();
    expect(scene.hopOf('here')?.[0]).toBe(PORT_INSIDE);
    scene.set('10.10.1.1');
    expect(scene.hopOf('here')?.[0]).toBe(PORT_HOST);
    scene.set('10.10.1.2');
    expect(scene.hopOf('here')?.[0]).toBe(PORT_INSIDE);
    expect(scene.hopOf('there')?.[0]).toBe(PORT_HOST);
  });

  test('where answers pass the designator it has none, and is named', () => {
    const scene = new Scene();
    expect(scene.set('10.10.1.3')).toEqual({ routes: [], own: ['wrong'] });
    expect(scene.hopOf('wrong')).toBeNull();
    expect(scene.set()).toEqual({ routes: [], own: [] });
    expect(scene.hopOf('wrong')?.[0]).toBe(PORT_INSIDE);
  });
});

test('servers without a route are named', () => {
  const scene = new Scene();
  const none = { ...ROUTES, lengths: Uint8Array.of(128) };
  expect(scene.keeper.setRoutes(none, scene.appliance.binding.servers)).toEqual({
    routes: ['here', 'there', 'here6', 'high', 'wrong'],
    own: [],
  });
});
