/** A server that answers from another port (RFC 2661 §8.1), shown to the client or hidden from it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, CLIENT, exampleConfig, SERVERS, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { floatPort, Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance, untilForwarded } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';

const PORT = 50_001;

/** One server, which floats; counts what the host must not do about it. */
async function oneServer(
  lab: Lab,
  serverPort: 'expose' | 'hide',
): Promise<{ net: Topology; appliance: LabAppliance; host: Watch<'tunnel' | 'icmp'> }> {
  const net = await buildTopology(lab);
  const servers = [{ name: 'lns1', address: SERVERS[0] }];
  const host = await Watch.start(net.designator, {
    tunnel: { hook: 'prerouting', match: `udp sport { 1701, ${PORT} }` },
    icmp: { hook: 'output', match: 'icmp type destination-unreachable' },
  });
  const appliance = await startAppliance(lab, net.designator, exampleConfig({ vip: { serverPort, servers } }));
  return { net, appliance, host };
}

describeLab('a scripted server that floats', [], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test.each([
    ['expose' as const, [`${VIP}:${PORT}`]],
    ['hide' as const, [`${VIP}:1701`]],
  ])('serverPort: %s — the client sees %s', async (mode, sources) => {
    lab = await open();
    const { net, appliance, host } = await oneServer(lab, mode);
    const server = await scriptedServer(net.servers[0], SERVERS[0], { floatTo: PORT });
    const client = await scriptedClient(net.client, CLIENT, VIP);
    for (let id = 1; id <= 3; id++) await client.connect(id);
    const stream = await client.stream(300, () => sleep(500));
    expect(stream).toMatchObject({ lost: 0, repeated: 0, late: 0 });
    expect([...client.sources]).toEqual(sources);
    expect((await appliance.established()).map((row) => row.serverPort)).toEqual([PORT, PORT, PORT]);
    server.hello(server.tunnels[1]);
    await waitFor('Hello at the client', () => client.messages.some(({ name }) => name === 'Hello'));
    expect(await host.packets()).toEqual({ tunnel: 0, icmp: 0 });
    expect(await appliance.drops()).toEqual({});
  });
});

describeLab('an xl2tpd server that floats and hears its new port only', [...USER_SPACE, 'tcpdump'], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test.each([
    ['expose' as const, PORT],
    ['hide' as const, 1701],
  ])('serverPort: %s — the client gets its answers from port %i, and PPP crosses', async (mode, port) => {
    lab = await open();
    const { net, appliance, host } = await oneServer(lab, mode);
    await floatPort(net.servers[0], PORT, { only: true });
    const server = new Xl2tpdServer(lab, net.servers[0], 'lns1');
    const client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP });
    const seen = await Watch.start(net.client, {
      wanted: { hook: 'prerouting', match: `ip saddr ${VIP} udp sport ${port}` },
      others: { hook: 'prerouting', match: `udp dport 1701 udp sport != ${port}` },
    });
    for (const program of [server, client]) await program.ready();
    // xl2tpd takes the answer by its tunnel id, but keeps sending to the port that it dialled.
    client.dial(1);
    await waitFor(
      'an established tunnel with data both ways',
      async () => {
        const [row] = await appliance.established();
        return row !== undefined && row.packetsIn > 5 && row.packetsOut > 5;
      },
      20_000,
      () => client.daemon.tail(),
    );
    expect((await appliance.established())[0].serverPort).toBe(PORT);
    // With the kernel forwarding: its entries lead to the new port as well, whichever the client sends to.
    await untilForwarded(appliance, 1);
    const { wanted, others } = await seen.packets();
    expect(wanted).toBeGreaterThan(3);
    expect(others).toBe(0);
    expect(await host.packets()).toEqual({ tunnel: 0, icmp: 0 });
  });
});
