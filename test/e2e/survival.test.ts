/** Tunnels outlive reloads, crashes of a shard, the death of the process; a regular end leaves the host as it was. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import {
  addClient,
  buildTopology,
  type ExampleOptions,
  exampleConfig,
  SERVERS,
  type Topology,
  VIP,
} from '../../src/demo/lab/topology.js';
import type { ScriptedClient, ScriptedServer, Stream } from '../helpers/l2tp-peer.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab, scriptedClient, scriptedServer, SELF } from '../helpers/lab.js';

const CLIENTS = 4;
const TUNNELS_EACH = 3;
const TUNNELS = CLIENTS * TUNNELS_EACH;
const PER_SECOND = 250;

const config = ({ more, ...rest }: ExampleOptions = {}): Record<string, unknown> =>
  exampleConfig({ ...rest, more: { timeouts: { closing: '1s' }, ...more } });

/** Everything of the host that the product touches; counters and ages are no part of it. */
async function hostState(namespace: Namespace): Promise<string> {
  const features = async (device: string): Promise<string> => namespace.run('ethtool', ['-k', device]);
  const links = await namespace.run('ip', ['-d', 'link', 'show']);
  const rules = await namespace.run('nft', ['list', 'ruleset']);
  const sysctls = await namespace.run('sysctl', ['-a', '--pattern', '^net.ipv[46].(conf|neigh).(wan0|lan0|all)']);
  return [links, rules, await features('wan0'), await features('lan0'), sysctls].join('\n');
}

describeLab('tunnels under traffic', [], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let servers: ScriptedServer[];
  const clients: ScriptedClient[] = [];
  let before: string;
  /** What must never change: which tunnel is where. */
  const places = async (): Promise<string[]> =>
    (await appliance.established())
      .map((row) => `${row.client} ${row.clientTunnelId} ${row.server} ${row.serverTunnelId}`)
      .sort();
  const streamAll = async (during: () => Promise<unknown>): Promise<Stream> => {
    const action = sleep(300)
      .then(during)
      .then(() => sleep(300));
    const all = await Promise.all(clients.map((client) => client.stream(PER_SECOND, () => action)));
    const sum = (key: keyof Stream): number => all.reduce((total, stream) => total + stream[key], 0);
    return {
      sent: sum('sent'),
      returned: sum('returned'),
      lost: sum('lost'),
      repeated: sum('repeated'),
      late: sum('late'),
    };
  };
  /** Ends the newest tunnel of a client; resolves when the designator knows. */
  const stop = async (client: ScriptedClient, tunnel: number): Promise<void> => {
    const end = client.tunnels.pop();
    if (end?.local !== tunnel) throw new Error(`tunnel ${tunnel} is not the newest`);
    client.stop(end);
    await waitFor(`tunnel ${tunnel} to close`, async () =>
      (await appliance.tunnels({ tunnel })).every(({ state }) => state !== 'established'),
    );
  };
  const requests = (): number => servers.reduce((sum, server) => sum + server.requests.length, 0);

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    before = await hostState(net.designator);
    servers = [];
    for (const [index, address] of SERVERS.entries()) {
      servers.push(
        await scriptedServer(net.servers[index], address, { assign: (count) => 1000 * (index + 1) + count }),
      );
    }
    appliance = new LabAppliance(lab, net.designator, { self: SELF, config: config() });
    await appliance.start();
    for (let index = 0; index < CLIENTS; index++) {
      const address = `192.128.10.${20 + index}`;
      const client = await scriptedClient(await addClient(lab, net.wan, `c${index}`, address), address, VIP);
      for (let id = 1; id <= TUNNELS_EACH; id++) await client.connect(id);
      clients.push(client);
    }
  });

  test('the clients belong to different shards', async () => {
    expect(new Set((await appliance.established()).map(({ shard }) => shard)).size).toBe(2);
    expect(await places()).toHaveLength(TUNNELS);
  });

  test('a reload with other weights, another server and another rule loses no packet and no tunnel', async () => {
    const kept = await places();
    const stream = await streamAll(async () => {
      appliance.write(
        config({ weights: [5, 1], more: { firewall: { rules: [{ deny: { from: '198.51.100.0/24' } }] } } }),
      );
      expect(await appliance.hangUp()).toContain('"msg":"reloaded"');
      const servers = [
        { name: 'lns1', address: SERVERS[0] },
        { name: 'lns2', address: SERVERS[1] },
        { name: 'lns3', address: '10.10.1.3' },
      ];
      appliance.write(config({ vip: { servers } }));
      await appliance.command('reload');
    });
    expect(stream).toMatchObject({ lost: 0, repeated: 0, late: 0 });
    expect(stream.sent).toBeGreaterThan(400);
    expect(await places()).toEqual(kept);
  });

  test('a reload of a broken file is refused with its place, and nothing changes', async () => {
    const [kept, text] = [await places(), appliance.text()];
    const stream = await streamAll(async () => {
      appliance.writeText(text.replace('weighted-round-robin', 'weighted-robin'));
      expect(await appliance.hangUp()).toMatch(/reload refused/);
      const { status, stderr } = await appliance.tryCommand('reload');
      expect(status).toBe(78);
      expect(stderr).toMatch(/designator\.yaml:\d+:\d+: vips\.0\.algorithm: /);
    });
    appliance.writeText(text);
    expect(stream).toMatchObject({ lost: 0, repeated: 0 });
    expect(await places()).toEqual(kept);
  });

  test('a server that leaves the configuration keeps its tunnels and gets no new ones', async () => {
    const kept = await places();
    const stream = await streamAll(async () => {
      appliance.write(config({ vip: { servers: [{ name: 'lns1', address: SERVERS[0] }] } }));
      await appliance.hangUp();
    });
    expect(stream).toMatchObject({ lost: 0, repeated: 0 });
    const end = await clients[0].connect(40);
    expect((await appliance.tunnels({ tunnel: 40 }))[0].server).toBe('lns1');
    await stop(clients[0], end.local);
    appliance.write(config());
    await appliance.hangUp();
    expect(await places()).toEqual(kept);
  });

  test.each([0, 1])(
    'shard %i crashes and starts again: no tunnel is lost, only packets of that moment',
    async (shard) => {
      const [kept, asked] = [await places(), requests()];
      const stream = await streamAll(() => appliance.crash(shard));
      expect(stream.repeated).toBe(0);
      // The other shard goes on; this one is away for the start of a thread.
      expect(stream.lost).toBeLessThan(PER_SECOND * CLIENTS);
      expect(await places()).toEqual(kept);
      expect(requests()).toBe(asked);
      expect((await streamAll(() => sleep(200))).lost).toBe(0);
    },
  );

  test('a second designator on the same socket refuses, and the first one goes on', async () => {
    const stream = await streamAll(async () => {
      const { status, stderr } = await appliance.tryCommand('run');
      expect(status).not.toBe(0);
      expect(stderr).toMatch(/another designator|already|answers/);
    });
    expect(stream).toMatchObject({ lost: 0, repeated: 0 });
  });

  test('SIGKILL and a new process: it adopts the tunnels, which go on without a new set-up', async () => {
    await waitFor('closed tunnels to be forgotten', async () => (await appliance.tunnels()).length === TUNNELS);
    const [kept, asked] = [await places(), requests()];
    let adopted = -1;
    const stream = await streamAll(async () => {
      await appliance.process.kill();
      await sleep(200);
      adopted = (await appliance.start()).tunnels;
    });
    expect(adopted).toBe(TUNNELS);
    expect(stream.returned).toBeGreaterThan(0);
    expect(stream.repeated).toBe(0);
    expect(await places()).toEqual(kept);
    expect(requests()).toBe(asked);
    expect((await streamAll(() => sleep(300))).lost).toBe(0);
    const end = await clients[1].connect(50);
    expect(end.remote).toBeGreaterThan(0);
    await stop(clients[1], end.local);
  });

  test('SIGTERM ends it within ten seconds with status 0 and leaves the host as it was; a new start adopts', async () => {
    const kept = await places();
    const began = performance.now();
    appliance.process.signal('SIGTERM');
    expect(await appliance.process.ended).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await hostState(net.designator)).toBe(before);
    expect(existsSync(appliance.socket)).toBe(false);
    await appliance.start();
    expect(await places()).toEqual(kept);
    expect((await streamAll(() => sleep(300))).lost).toBe(0);
  });
});
