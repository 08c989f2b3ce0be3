/** Which server a tunnel gets, on the wire: weights, operators' changes, repeated requests, equal tunnel ids. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import {
  addClient,
  buildTopology,
  CLIENT,
  exampleConfig,
  SERVERS,
  type Topology,
  VIP,
} from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { ScriptedClient, ScriptedServer, ServerScript } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance } from '../helpers/lab.js';

describeLab('designation of scripted clients', [], (open) => {
  let net: Topology | undefined;
  let servers: ScriptedServer[];
  let client: ScriptedClient;
  let appliance: LabAppliance;

  /** A network of its own for each test; the one before is taken down. */
  const begin = async (
    scripts: readonly ServerScript[] = [{}, { assign: (index) => 200 + index }],
    weights = [1, 2],
  ): Promise<Topology> => {
    await net?.lab.close();
    const lab = await open();
    const topology = await buildTopology(lab);
    net = topology;
    servers = [];
    for (const [index, address] of SERVERS.entries())
      servers.push(await scriptedServer(topology.servers[index], address, scripts[index]));
    client = await scriptedClient(topology.client, CLIENT, VIP);
    appliance = await startAppliance(lab, topology.designator, exampleConfig({ weights }));
    return topology;
  };
  const serverOf = async (tunnel: number): Promise<string> => (await appliance.tunnels({ tunnel }))[0].server;
  const connectMany = async (first: number, count: number): Promise<string[]> => {
    const names: string[] = [];
    for (let id = first; id < first + count; id++) {
      await client.connect(id);
      names.push(await serverOf(id));
    }
    return names;
  };

  test('weights, drain, enable, disable and a new weight, from one tunnel to the next', async () => {
    await begin();
    expect(await connectMany(1, 6)).toEqual(['lns2', 'lns1', 'lns2', 'lns2', 'lns1', 'lns2']);
    await appliance.command('server', 'drain', 'lns2');
    expect(await connectMany(11, 3)).toEqual(['lns1', 'lns1', 'lns1']);
    expect((await appliance.servers()).find(({ name }) => name === 'lns2')).toMatchObject({
      state: 'draining',
      tunnels: 4,
    });
    const old = await client.stream(200, () => sleep(500));
    expect(old).toMatchObject({ lost: 0, repeated: 0 });
    await appliance.command('server', 'enable', 'lns2');
    await appliance.command('server', 'disable', 'lns1');
    expect(new Set(await connectMany(21, 3))).toEqual(new Set(['lns2']));
    await appliance.command('server', 'enable', 'lns1');
    await appliance.command('server', 'weight', 'lns1', '3');
    await appliance.command('server', 'weight', 'lns2', '1');
    expect((await connectMany(31, 8)).filter((name) => name === 'lns1')).toHaveLength(6);
    const said = JSON.parse(
      await appliance.command('explain', '--json', '--client', `${CLIENT}:1701`, '--tunnel', '31', '--vip', 'access'),
    );
    expect(said).toMatchObject({ server: await serverOf(31), existing: true });
  });

  test('a repeated SCCRQ goes where the first went, and makes no second tunnel', async () => {
    await begin();
    const silent = servers[1];
    Object.assign(silent.script, { silentFor: 2 });
    await client.connect(1);
    expect(silent.requests.map(({ clientTunnel }) => clientTunnel)).toEqual([1, 1, 1]);
    expect(servers[0].requests).toEqual([]);
    expect(await appliance.tunnels()).toHaveLength(1);
    await client.connect(2);
    expect(await serverOf(2)).toBe('lns1');
  });

  test('a StopCCN is followed by a new tunnel with the same ids at once', async () => {
    await begin();
    const first = await client.connect(1);
    client.stop(first);
    await waitFor('the server to hear of it', () => servers[1].stops.length === 1);
    client.tunnels.length = 0;
    Object.assign(servers[1].script, { assign: () => first.remote });
    await client.connect(1);
    const rows = await appliance.tunnels({ tunnel: 1 });
    expect(rows.filter(({ state }) => state === 'established')).toHaveLength(1);
    const data = await client.stream(200, () => sleep(300));
    expect(data).toMatchObject({ lost: 0 });
  });

  test('a server that speaks first (Hello) reaches the client from the virtual address', async () => {
    await begin();
    await client.connect(1);
    servers[1].hello(servers[1].tunnels[0]);
    await waitFor('Hello at the client', () => client.messages.some(({ name }) => name === 'Hello'));
    expect([...client.sources]).toEqual([`${VIP}:1701`]);
  });

  test('two servers that choose the same ids for one client socket: a virtual id keeps the tunnels apart', async () => {
    const same = { assign: (index: number) => 2 + index };
    await begin([same, same], [1, 1]);
    for (let id = 1; id <= 4; id++) await client.connect(id);
    expect(servers.map(({ tunnels }) => tunnels.map(({ local }) => local))).toEqual([
      [2, 3],
      [2, 3],
    ]);
    const rows = await appliance.established();
    expect(rows.filter(({ virtualTunnelId }) => virtualTunnelId !== null)).toHaveLength(2);
    expect(new Set(rows.map((row) => row.virtualTunnelId ?? row.serverTunnelId)).size).toBe(4);
    const data = await client.stream(400, () => sleep(500));
    expect(data).toMatchObject({ lost: 0, repeated: 0, late: 0 });
  });

  test('another client with the same tunnel ids and port is another tunnel', async () => {
    const topology = await begin();
    const other = await scriptedClient(
      await addClient(topology.lab, topology.wan, 'client2', '192.128.10.6'),
      '192.128.10.6',
      VIP,
    );
    await client.connect(7);
    await other.connect(7);
    const rows = await appliance.established({ tunnel: 7 });
    expect(rows.map((row) => [row.client, row.server])).toEqual([
      ['192.128.10.5:1701', 'lns2'],
      ['192.128.10.6:1701', 'lns1'],
    ]);
    for (const each of [client, other]) {
      expect(await each.stream(200, () => sleep(200))).toMatchObject({ lost: 0 });
    }
  });
});
