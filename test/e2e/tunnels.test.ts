/** Real L2TP programs through one virtual address: document 003's worked example, and what follows from it. */
import { beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { describeLab, startAppliance } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';

describeLab('xl2tpd clients and servers', USER_SPACE, (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let client: Xl2tpdClient;
  let atClient: Watch<'privateSource' | 'icmpError'>;
  let atHost: Watch<'tunnel' | 'forwarded' | 'icmpError'>;

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    const servers = net.servers.map(
      (namespace, index) => new Xl2tpdServer(lab, namespace, `lns${index + 1}`, { pool: `10.50.${index + 1}` }),
    );
    client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP });
    atClient = await Watch.start(net.client, {
      privateSource: { hook: 'prerouting', match: 'ip saddr 10.10.1.0/24' },
      icmpError: { hook: 'prerouting', match: 'icmp type { destination-unreachable, time-exceeded }' },
    });
    atHost = await Watch.start(net.designator, {
      tunnel: { hook: 'prerouting', match: 'udp dport 1701' },
      forwarded: { hook: 'forward', match: 'meta l4proto udp' },
      icmpError: { hook: 'output', match: 'icmp type { destination-unreachable, time-exceeded }' },
    });
    // Passive health would rightly take a server whose answers are all lost for dead: its requests would move.
    appliance = await startAppliance(
      lab,
      net.designator,
      exampleConfig({ more: { timeouts: { closing: '2s' }, health: { passive: false } } }),
    );
    for (const program of [...servers, client]) await program.ready();
  });

  test("document 003's example: the first tunnel of 192.128.10.5 goes to 10.10.1.2", async () => {
    expect((await appliance.command('show', 'vips')).split('\n').slice(0, 3)).toEqual([
      'Virtual IP address  Port  Real IP address  port  weight  algorithm',
      '200.200.100.1       1701  10.10.1.1        1701       1  Weighted round robin',
      '                          10.10.1.2        1701       2',
    ]);
    const tunnel = await client.connect(1);
    expect(tunnel).toMatchObject({ address: VIP, port: 1701 });
    expect(await appliance.tunnels()).toMatchObject([
      {
        vip: 'access',
        protocol: 'l2tp',
        client: '192.128.10.5:1701',
        clientTunnelId: tunnel.local,
        virtualTunnelId: null,
        server: 'lns2',
        serverAddress: '10.10.1.2',
        serverPort: 1701,
        serverTunnelId: tunnel.remote,
        state: 'established',
        sessions: 1,
      },
    ]);
    const map = (await appliance.command('show', 'tunnels', '--map'))
      .split('\n')
      .map((line) => line.split(/ +/).slice(0, 5));
    expect(map.slice(1, 3)).toEqual([
      ['incoming', '192.128.10.5', '1701', '10.10.1.2', '1701'],
      ['outgoing', '10.10.1.2', '1701', '192.128.10.5', '1701'],
    ]);
  });

  test('five tunnels of one client socket go to the servers by their weights', async () => {
    for (let number = 2; number <= 5; number++) await client.connect(number);
    const rows = await appliance.established();
    expect(new Set(rows.map((row) => row.client))).toEqual(new Set(['192.128.10.5:1701']));
    expect(rows.map((row) => row.server)).toEqual(['lns2', 'lns1', 'lns2', 'lns2', 'lns1']);
    const logged = client.established().map(({ local, remote }) => [local, remote]);
    expect(rows.map((row) => [row.clientTunnelId, row.serverTunnelId])).toEqual(logged);
  });

  test('PPP frames cross in both directions, in every tunnel', async () => {
    const before = await appliance.established();
    await waitFor('ten more packets each way', async () => {
      const rows = await appliance.established();
      return rows.every(
        (row, index) =>
          row.packetsIn >= before[index].packetsIn + 10 && row.packetsOut >= before[index].packetsOut + 10,
      );
    });
  });

  test('an SCCRQ whose answers are lost is repeated to the same server, and makes one tunnel', async () => {
    const { server: next } = JSON.parse(
      await appliance.command('explain', '--json', '--client', '192.128.10.5:1701', '--vip', 'access'),
    );
    const namespace = net.servers[next === 'lns1' ? 0 : 1];
    await namespace.nft(
      'table ip lossy {\n chain out {\n type filter hook output priority 0\n udp sport 1701 drop\n }\n}\n',
    );
    const calls = client.calls();
    client.dial(6);
    await waitFor('a repeated SCCRQ', async () =>
      (await appliance.tunnels()).some((row) => row.state === 'half-open' && row.server === next && row.packetsIn >= 2),
    );
    await namespace.nft('delete table ip lossy');
    await waitFor(
      'the session',
      () => client.calls() > calls,
      20_000,
      () => client.daemon.tail(),
    );
    const rows = await appliance.tunnels();
    expect(rows).toHaveLength(6);
    expect(rows[5]).toMatchObject({ server: next, state: 'established' });
    client.disconnect(6);
    await waitFor('the tunnel to be forgotten', async () => (await appliance.tunnels()).length === 5);
  });

  test('StopCCN closes a tunnel, its mapping stays for the closing time, and its place is free again', async () => {
    client.disconnect(1);
    await waitFor('the tunnel to close', async () =>
      (await appliance.tunnels()).some((row) => row.state === 'closing'),
    );
    await waitFor('the tunnel to be forgotten', async () => (await appliance.tunnels()).length === 4);
    await client.connect(1);
    expect(await appliance.established()).toHaveLength(5);
  });

  test('the client sees no private address, and the host takes no part', async () => {
    expect(await atClient.packets()).toEqual({ privateSource: 0, icmpError: 0 });
    expect(await atHost.packets()).toEqual({ tunnel: 0, forwarded: 0, icmpError: 0 });
    expect(await appliance.drops()).toEqual({});
  });
});
