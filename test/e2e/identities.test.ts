/**
 * Ids and ports that stand for others, end to end: two servers that choose alike, one client id through two VIPs that share
 * the servers, hidden ids with the secret and without. With XDP the kernel does all the rewriting.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { buildTopology, CLIENT, exampleConfig, SERVERS, type Topology } from '../../src/demo/lab/topology.js';
import { ScriptedClient, type ScriptedServer } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance, untilForwarded } from '../helpers/lab.js';

const SECRET = 'shared by the ends';
/** Clients' tunnels from this number on meet servers that hide their ids. */
const HIDDEN = 100;

const VIPS = [
  { name: 'first', address: '200.200.100.1' },
  { name: 'second', address: '200.200.100.2' },
  { name: 'secret', address: '200.200.100.3', tunnelSecret: SECRET },
  { name: 'affinity', address: '200.200.100.4' },
  { name: 'port', address: '200.200.100.5', hiddenIds: 'port' },
  { name: 'distinct', address: '200.200.100.6', clientPort: 'distinct' },
].map((vip) => ({
  ...vip,
  algorithm: 'round-robin',
  servers: SERVERS.map((address, index) => ({ name: `${vip.name}-lns${index + 1}`, address })),
}));
const addressOf = (name: string): string => VIPS.find((vip) => vip.name === name)?.address ?? '';

describeLab('identities', [], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  const servers: ScriptedServer[] = [];
  let standing = 0;

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    for (const [index, address] of SERVERS.entries())
      servers.push(
        await scriptedServer(net.servers[index], address, {
          assign: (count) => 7 + count, // the n-th tunnel of each has the same id
          hide: (clientTunnel) => (clientTunnel >= HIDDEN ? SECRET : undefined),
        }),
      );
    appliance = await startAppliance(lab, net.designator, { ...exampleConfig(), vips: VIPS });
  });
  afterAll(async () => {
    appliance.process.signal('SIGTERM');
    await appliance.process.ended;
  });

  /** A client of its own port with tunnels of these ids. */
  async function connect(vip: string, port: number, ids: readonly number[]): Promise<ScriptedClient> {
    const client = await scriptedClient(net.client, CLIENT, addressOf(vip), port, 1701, SECRET);
    for (const id of ids) await client.connect(id);
    standing += ids.length;
    return client;
  }
  const rowsOf = async (vip: string) => (await appliance.established()).filter((row) => row.vip === vip);
  /** All tunnels carry numbered data, and back; with XDP in the kernel. */
  async function carries(client: ScriptedClient): Promise<void> {
    await untilForwarded(appliance, standing);
    expect(await client.stream(400, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0 });
  }

  test('two servers choose one id: the client sees two', async () => {
    const client = await connect('first', 1701, [1, 2, 3, 4]);
    const rows = await rowsOf('first');
    expect(rows.filter((row) => row.virtualTunnelId !== null)).toHaveLength(2);
    expect(new Set(rows.map((row) => row.virtualTunnelId ?? row.serverTunnelId)).size).toBe(4);
    await carries(client);
  });

  test('the same port and id through two VIPs: the servers see two ports', async () => {
    const before = servers.map(({ requests }) => requests.length);
    const one = await connect('first', 4000, [21, 22]);
    const socket = one.socket;
    const take = socket.onDatagram;
    const two = new ScriptedClient(socket, addressOf('second'));
    const takeToo = socket.onDatagram;
    socket.onDatagram = (datagram) => (datagram.address === addressOf('second') ? takeToo : take)(datagram);
    await two.connect(21);
    await two.connect(22);
    standing += 2;
    const froms = servers.map(({ requests }, index) => requests.slice(before[index]).map(({ from }) => from));
    for (const from of froms) {
      expect(from[0]).toBe(`${CLIENT}:4000`);
      expect(new Set(from).size).toBe(2);
    }
    expect((await rowsOf('second')).map((row) => row.client)).toEqual([`${CLIENT}:4000`, `${CLIENT}:4000`]);
    await carries(one);
    await carries(two);
  });

  test('clientPort: distinct — no two tunnels of a client have one port at a server', async () => {
    const before = servers.map(({ requests }) => requests.length);
    const client = await connect('distinct', 4100, [31, 32, 33, 34]);
    for (const [index, { requests }] of servers.entries()) {
      const from = requests.slice(before[index]).map((request) => request.from);
      expect(new Set(from).size).toBe(2);
    }
    await carries(client);
  });

  test('hidden ids with the secret: read, and replaced where they are alike', async () => {
    const client = await connect('secret', 4200, [101, 102, 103, 104]);
    const rows = await rowsOf('secret');
    expect(rows.map((row) => row.serverTunnelId).every((id) => id !== null)).toBe(true);
    expect(rows.filter((row) => row.virtualTunnelId !== null)).toHaveLength(2);
    await carries(client);
  });

  test('hidden ids without a secret: all tunnels of one port at one server', async () => {
    const client = await connect('affinity', 4300, [111, 112, 113]);
    expect(new Set((await rowsOf('affinity')).map((row) => row.server)).size).toBe(1);
    const words = ['explain', '--client', `${CLIENT}:4300`, '--vip', 'affinity', '--json'];
    expect(JSON.parse(await appliance.command(...words))).toMatchObject({
      server: (await rowsOf('affinity'))[0].server,
      reason: expect.stringContaining('affinity'),
      existing: false,
    });
    await carries(client);
  });

  test('hiddenIds: port — each tunnel at a port of its own, on both servers', async () => {
    const client = await connect('port', 4400, [121, 122, 123, 124]);
    const rows = await rowsOf('port');
    expect(new Set(rows.map((row) => row.server)).size).toBe(2);
    expect(client.sources.size).toBe(4);
    await carries(client);
    expect(await appliance.drops()).toEqual({});
  });
});
