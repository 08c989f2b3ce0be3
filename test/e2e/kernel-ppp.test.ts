/** Clients and servers whose kernels do PPP and L2TP: what a user of a tunnel sees. Also tagged frames. */
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { KernelClient, startKernelServer } from '../../src/demo/lab/kernel-ppp.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, LAN_GATEWAY, VIP, WAN_GATEWAY } from '../../src/demo/lab/topology.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { describeLab, startAppliance } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';

const COPY = join(import.meta.dirname, '../helpers/tcp-copy.mjs');
const CLIENT = '192.128.10.7';
const BYTES = 2_000_000;

const clientNetwork = (device: string): string[] => [
  `addr add ${CLIENT}/24 dev ${device}`,
  `route add default via ${WAN_GATEWAY}`,
];
const serverNetwork = (address: string): string[] => [
  `addr add ${address}/24 dev eth0`,
  `route add default via ${LAN_GATEWAY}`,
];

describeLab('guests with PPP in their kernel', GUESTS, (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('ping and a TCP copy cross two tunnels of one client, to two servers', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const pools = ['10.50.1', '10.50.2'];
    const guests = [
      await Guest.start(lab, net.wan, 'lac', { mac: '02:00:00:00:00:07' }),
      await Guest.start(lab, net.lan, 'lnsa', { mac: '02:00:00:00:00:11' }),
      await Guest.start(lab, net.lan, 'lnsb', { mac: '02:00:00:00:00:12' }),
    ];
    const servers = ['10.10.1.11', '10.10.1.12'].map((address, index) => ({ name: `lns${index + 1}`, address }));
    const appliance = await startAppliance(lab, net.designator, exampleConfig({ vip: { servers } }));
    const [client] = await Promise.all([
      KernelClient.start(guests[0], { network: clientNetwork('eth0'), vip: VIP }),
      startKernelServer(guests[1], { network: serverNetwork('10.10.1.11'), pool: pools[0] }),
      startKernelServer(guests[2], { network: serverNetwork('10.10.1.12'), pool: pools[1] }),
    ]);
    const second = await KernelClient.another(guests[0], { vip: VIP, port: 1702 });
    const ends = [await client.connect(1, 'ppp0'), await second.connect(1, 'ppp1')];
    expect(ends.map(({ peer }) => peer).sort()).toEqual(pools.map((pool) => `${pool}.1`));
    for (const [index, { peer }] of ends.entries()) expect(await client.ping(peer, `ppp${index}`)).toBe(5);
    const rows = await appliance.established();
    expect(new Set(rows.map(({ server }) => server))).toEqual(new Set(['lns1', 'lns2']));
    expect(rows.every((row) => row.packetsIn > 5 && row.packetsOut > 5)).toBe(true);

    // Frames of PPP that fit no packet of the network: both kernels cut what carries them.
    for (const guest of guests) await guest.run('ip link set eth0 mtu 1000');
    for (const [index, { peer }] of ends.entries()) expect(await client.ping(peer, `ppp${index}`, 5, 1300)).toBe(5);
    const counters = await appliance.control<{ counter: string; count: number }[]>('GET', '/v1/counters');
    expect(counters.find(({ counter }) => counter === 'fragments')?.count).toBeGreaterThanOrEqual(40);
    for (const guest of guests) await guest.run('ip link set eth0 mtu 1500');

    const other = guests[ends[0].peer === '10.50.1.1' ? 1 : 2];
    for (const guest of [guests[0], other]) guest.give(COPY, 'tcp-copy.mjs');
    await other.run(`setsid ${process.execPath} /lab/tcp-copy.mjs serve ${ends[0].peer} 5001 ${BYTES} >/lab/copy 2>&1 </dev/null &
      for i in $(seq 100); do grep -q listening /lab/copy && exit 0; sleep 0.1; done; exit 1`);
    const said = JSON.parse(
      await guests[0].run(`${process.execPath} /lab/tcp-copy.mjs connect ${ends[0].peer} 5001 ${BYTES}`, 90_000),
    );
    const atServer = JSON.parse(other.output('copy').split('\n')[1]);
    expect(atServer).toEqual({ sent: said.got, got: said.sent });
  });

  test('tagged outside: wan0.100 although the host has no such device; the client’s frames are tagged', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const guests = [
      await Guest.start(lab, net.wan, 'lac', { mac: '02:00:00:00:00:07' }),
      await Guest.start(lab, net.lan, 'lns', { mac: '02:00:00:00:00:11' }),
    ];
    const appliance = await startAppliance(lab, net.designator, {
      ...exampleConfig({ vip: { servers: [{ name: 'lns1', address: '10.10.1.11' }] } }),
      interfaces: { outside: 'wan0.100', inside: 'lan0' },
    });
    const host = await Watch.start(net.designator, { tunnel: { hook: 'prerouting', match: 'udp dport 1701' } });
    const tagged = [
      'link add link eth0 name eth0.100 type vlan id 100',
      'link set eth0.100 up',
      ...clientNetwork('eth0.100'),
    ];
    await guests[0].ready();
    await guests[0].run('modprobe 8021q');
    // The host has no device for the tag, so nothing of it answers ARP for the gateway: the address is the product's MAC.
    const mac = JSON.parse(await net.designator.run('ip', ['-j', 'link', 'show', 'wan0']))[0].address;
    const [client] = await Promise.all([
      KernelClient.start(guests[0], {
        network: [...tagged, `neigh add ${WAN_GATEWAY} lladdr ${mac} dev eth0.100`],
        vip: VIP,
      }),
      startKernelServer(guests[1], { network: serverNetwork('10.10.1.11'), pool: '10.50.1' }),
    ]);
    const { peer } = await client.connect(1, 'ppp0');
    expect(await client.ping(peer, 'ppp0')).toBe(5);
    expect(await guests[0].ping(VIP, { count: 2 })).toBe(2);
    expect((await appliance.established())[0]).toMatchObject({ client: `${CLIENT}:1701`, server: 'lns1' });
    expect(await host.packets()).toEqual({ tunnel: 0 });
  });
});
