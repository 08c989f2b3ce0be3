/** Document 003, blocks 306 and 308: what is no tunnel traffic passes to the host as it came; what is denied does not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import {
  addClient,
  buildTopology,
  CLIENT,
  exampleConfig,
  SERVERS,
  type Topology,
  VIP,
  WAN_GATEWAY,
} from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance } from '../helpers/lab.js';
import { Watch } from '../helpers/lab-watch.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const COPY = join(import.meta.dirname, '../helpers/tcp-copy.mjs');
const BYTES = 8_000_000;

describeLab('traffic that is not ours', [], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let denied: Namespace;

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    denied = await addClient(lab, net.wan, 'denied', '192.128.10.66');
    const rules = [
      { deny: { from: '192.128.10.66' }, name: 'one client' },
      { deny: { to: `${SERVERS[1]}/32`, protocol: 'icmp' }, name: 'no ping to lns2' },
    ];
    appliance = await startAppliance(lab, net.designator, exampleConfig({ more: { firewall: { rules } } }));
  });

  test('ping through the host, to the host, and to the virtual address, which the product answers', async () => {
    expect(await net.client.ping(SERVERS[0])).toBe(3);
    expect(await net.servers[0].ping(CLIENT)).toBe(3);
    expect(await net.client.ping(WAN_GATEWAY)).toBe(3);
    expect(await net.client.ping(VIP)).toBe(3);
  });

  test('fragments of other traffic pass: an echo of 4,000 bytes', async () => {
    expect(await net.client.ping(SERVERS[0], { size: 4000 })).toBe(3);
  });

  test('a TCP copy of 8 MB each way arrives as it was sent', async () => {
    const server = net.servers[0].start('tcp server', process.execPath, [
      COPY,
      'serve',
      SERVERS[0],
      '5001',
      `${BYTES}`,
    ]);
    await server.waitForLine(/listening/);
    const client = JSON.parse(
      await net.client.run(process.execPath, [COPY, 'connect', SERVERS[0], '5001', `${BYTES}`], { timeoutMs: 60_000 }),
    );
    const atServer = JSON.parse(await server.waitForLine(/sent/));
    expect(atServer).toEqual({ sent: client.got, got: client.sent });
    expect(client.sent).not.toBe(client.got);
  });

  test('UDP to another port of a server itself', async () => {
    const port = 5000;
    const [near, far] = [
      await new UdpAgent(net.client).bind(CLIENT, 0),
      await new UdpAgent(net.servers[0]).bind(SERVERS[0], port),
    ];
    far.onDatagram = ({ data, address, port: from }) => far.send(data, address, from);
    const back: string[] = [];
    near.onDatagram = ({ data, address, port: from }) => back.push(`${address}:${from} ${Buffer.from(data)}`);
    await waitFor('an echo', () => {
      near.send(Buffer.from('through the host'), SERVERS[0], port);
      return back.length > 0;
    });
    expect(back[0]).toBe(`${SERVERS[0]}:${port} through the host`);
  });

  test('tunnel messages of a server past the virtual address end here, by name: the host never forwards them', async () => {
    const host = await Watch.start(
      net.designator,
      { answers: { hook: 'prerouting', match: 'ip saddr 10.10.1.0/24 udp sport 1701' } },
      'past',
    );
    const server = await scriptedServer(net.servers[0], SERVERS[0]);
    const client = await scriptedClient(net.client, CLIENT, SERVERS[0]);
    await waitFor('a drop', async () => {
      client.request(1);
      return ((await appliance.drops())['unknown-server'] ?? 0) > 0;
    });
    expect(server.requests.length).toBeGreaterThan(0);
    expect(client.messages).toEqual([]);
    expect(await host.packets()).toEqual({ answers: 0 });
  });

  test('the firewall keeps denied frames from the host, tunnel or not, and lets the others through', async () => {
    const host = await Watch.start(
      net.designator,
      {
        denied: { hook: 'prerouting', match: 'ip saddr 192.128.10.66' },
        others: { hook: 'prerouting', match: `ip saddr ${CLIENT}` },
      },
      'denied',
    );
    expect(await denied.ping(SERVERS[0], { count: 2 })).toBe(0);
    expect(await denied.ping(WAN_GATEWAY, { count: 2 })).toBe(0);
    expect(await net.client.ping(SERVERS[1], { count: 2 })).toBe(0);
    expect(await net.client.ping(SERVERS[0], { count: 2 })).toBe(2);
    expect(await host.packets()).toEqual({ denied: 0, others: 2 });
    const server = await scriptedServer(net.servers[1], SERVERS[1]);
    const client = await scriptedClient(denied, '192.128.10.66', VIP);
    const drops = (await appliance.drops())['firewall-denied'] ?? 0;
    client.request(1);
    await waitFor('a drop', async () => ((await appliance.drops())['firewall-denied'] ?? 0) > drops);
    await sleep(100);
    expect(server.requests).toEqual([]);
    expect(await host.packets()).toMatchObject({ denied: 0 });
    expect(await appliance.tunnels()).toEqual([]);
  });

  test('rules and their order can change at run time', async () => {
    appliance.write(exampleConfig());
    await appliance.hangUp();
    expect(await denied.ping(SERVERS[0], { count: 2 })).toBe(2);
    expect(await net.client.ping(SERVERS[1], { count: 2 })).toBe(2);
  });
});
