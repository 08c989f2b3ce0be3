/** Other networks than the example's: one arm, a virtual address on the clients' own network, IPv6, other ports. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { Lab } from '../../src/demo/lab/lab.js';
import {
  addClient,
  addServer,
  buildTopology,
  CLIENT,
  exampleConfig,
  SERVERS,
  VIP,
} from '../../src/demo/lab/topology.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';

describeLab('layouts', [], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('one arm: clients and servers on the same interface', async () => {
    lab = await open();
    const [lan, designator] = [await lab.bridge('lan'), await lab.namespace('gw')];
    await lab.plug(lan, designator, 'eth0', ['192.128.10.1/24', '10.10.1.254/24'], { checksums: false });
    await designator.sysctl('net.ipv4.ip_forward', 1);
    const clientSpace = await addClient(lab, lan, 'client', CLIENT);
    const servers = [];
    for (const [index, address] of SERVERS.entries()) {
      servers.push(
        await scriptedServer(await addServer(lab, lan, `lns${index + 1}`, address), address, {
          assign: (count) => 100 * (index + 1) + count,
        }),
      );
    }
    const client = await scriptedClient(clientSpace, CLIENT, VIP);
    const host = await Watch.start(designator, { tunnel: { hook: 'prerouting', match: 'udp dport 1701' } });
    const appliance = await startAppliance(lab, designator, {
      ...exampleConfig(),
      interfaces: { outside: 'eth0', inside: 'eth0' },
    });
    for (let id = 1; id <= 6; id++) await client.connect(id);
    expect(await client.stream(400, () => sleep(400))).toMatchObject({ lost: 0, repeated: 0, late: 0 });
    expect([...client.sources]).toEqual([`${VIP}:1701`]);
    expect((await appliance.established()).map((row) => row.server)).toEqual([
      'lns2',
      'lns1',
      'lns2',
      'lns2',
      'lns1',
      'lns2',
    ]);
    expect(await host.packets()).toEqual({ tunnel: 0 });
  });

  test("a virtual address on the clients' own network is found by ARP, one on IPv6 by neighbour discovery", async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const on4 = { name: 'on4', address: '192.128.10.100', servers: [{ name: 'four', address: SERVERS[0] }] };
    const on6 = { name: 'on6', address: '2001:db8:10::100', servers: [{ name: 'six', address: '2001:db8:1::2' }] };
    await startAppliance(lab, net.designator, { ...exampleConfig(), vips: [on4, on6] });
    await scriptedServer(net.servers[0], SERVERS[0]);
    await scriptedServer(net.servers[1], '2001:db8:1::2');
    for (const [address, vip, source] of [
      [CLIENT, on4.address, '192.128.10.100:1701'],
      ['2001:db8:10::5', on6.address, '2001:db8:10::100:1701'],
    ]) {
      const client = await scriptedClient(net.client, address, vip);
      await client.connect(1);
      expect(await client.stream(300, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0 });
      expect([...client.sources]).toEqual([source]);
      expect(await net.client.ping(vip)).toBe(3);
    }
  });

  test('IPv6 by a route, two servers, no private address at the client', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const vip = '2001:db8:100::1';
    const servers = ['2001:db8:1::1', '2001:db8:1::2'].map((address, index) => ({
      name: `six${index + 1}`,
      address,
      weight: index + 1,
    }));
    const appliance = await startAppliance(lab, net.designator, exampleConfig({ vip: { address: vip, servers } }));
    for (const [index, { address }] of servers.entries()) {
      await scriptedServer(net.servers[index], address, { assign: (count) => 100 * (index + 1) + count });
    }
    const seen = await Watch.start(net.client, {
      privateSource: { hook: 'prerouting', match: 'ip6 saddr 2001:db8:1::/64 udp dport 1701' },
    });
    const client = await scriptedClient(net.client, '2001:db8:10::5', vip);
    for (let id = 1; id <= 3; id++) await client.connect(id);
    expect(await client.stream(300, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0, late: 0 });
    expect((await appliance.established()).map((row) => [row.client, row.server])).toEqual([
      ['[2001:db8:10::5]:1701', 'six2'],
      ['[2001:db8:10::5]:1701', 'six1'],
      ['[2001:db8:10::5]:1701', 'six2'],
    ]);
    expect(await seen.packets()).toEqual({ privateSource: 0 });
  });

  test('two virtual addresses with ports of their own, servers with theirs, clients behind any port', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const vips = [
      { name: 'first', address: VIP, port: 1701, servers: [{ name: 'a', address: SERVERS[0], port: 1701 }] },
      { name: 'second', address: VIP, port: 2701, servers: [{ name: 'b', address: SERVERS[0], port: 3701 }] },
    ];
    const appliance = await startAppliance(lab, net.designator, { ...exampleConfig(), vips });
    const [a, b] = [
      await scriptedServer(net.servers[0], SERVERS[0]),
      await scriptedServer(net.servers[0], SERVERS[0], { port: 3701 }),
    ];
    const first = await scriptedClient(net.client, CLIENT, VIP, 40_000);
    const second = await scriptedClient(net.client, CLIENT, VIP, 40_001, 2701);
    await first.connect(1);
    await second.connect(1);
    expect([a.requests.map(({ from }) => from), b.requests.map(({ from }) => from)]).toEqual([
      [`${CLIENT}:40000`],
      [`${CLIENT}:40001`],
    ]);
    expect([...first.sources, ...second.sources]).toEqual([`${VIP}:1701`, `${VIP}:2701`]);
    for (const client of [first, second])
      expect(await client.stream(200, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0 });
    expect((await appliance.established()).map((row) => [row.vip, row.serverPort])).toEqual([
      ['first', 1701],
      ['second', 3701],
    ]);
  });
});
