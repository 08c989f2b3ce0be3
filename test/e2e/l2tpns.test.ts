/**
 * Two instances of l2tpns behind one virtual address. Each counts its tunnels from 2 upwards, so both give the client
 * the same ids: the client must see two different ones.
 */
import { expect, test } from 'vitest';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import { L2TPNS, USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient } from '../../src/demo/lab/xl2tpd.js';
import { describeLab, startAppliance, untilForwarded } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';

describeLab('l2tpns servers with colliding tunnel ids', [...USER_SPACE, ...L2TPNS], (open) => {
  test('four tunnels of one xl2tpd client, two at each server, with the same ids there and different ones here', async () => {
    const lab = await open();
    const net = await buildTopology(lab);
    const servers = SERVERS.map(
      (address, index) =>
        new L2tpns(lab, net.servers[index], `l2tpns${index + 1}`, {
          address,
          pool: `10.60.${index + 1}`,
          clusterAddress: `239.192.13.1${index}`,
        }),
    );
    const appliance = await startAppliance(lab, net.designator, exampleConfig({ weights: [1, 1] }));
    const client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP });
    const data = await Promise.all(
      // The first bit of an L2TP message tells control from data.
      [net.client, ...net.servers].map((namespace) =>
        Watch.start(namespace, { data: { hook: 'prerouting', match: 'udp dport 1701 @th,64,1 0' } }),
      ),
    );
    await client.ready();
    for (const server of servers) await server.ready();
    for (let number = 1; number <= 4; number++) await client.connect(number);
    const rows = await appliance.established();
    expect(rows).toHaveLength(4);
    const idsAt = (name: string): (number | null)[] =>
      rows
        .filter(({ server }) => server === name)
        .map((row) => row.serverTunnelId)
        .sort();
    expect(idsAt('lns1')).toEqual(idsAt('lns2'));
    const seen = rows.map((row) => row.virtualTunnelId ?? row.serverTunnelId);
    expect(new Set(seen).size).toBe(4);
    expect(client.established().map(({ remote }) => remote)).toEqual(seen);
    await untilForwarded(appliance, 4);
    // slirp cannot do the CHAP that l2tpns asks for, so PPP ends there; until then each side's LCP reaches the other.
    await waitFor(
      'data frames at the client and at both servers',
      async () => {
        const counts = await Promise.all(data.map((place) => place.packets()));
        return counts[0].data >= 4 && counts[1].data >= 2 && counts[2].data >= 2;
      },
      10_000,
      () => client.daemon.tail(),
    );
  });
});
