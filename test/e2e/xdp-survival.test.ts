/** Tunnels that the kernel forwards outlive whatever happens to the process, and lose nothing meanwhile. */
import { existsSync, mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import { command } from '../../src/demo/lab/command.js';
import { addClient, buildTopology, exampleConfig, SERVERS, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab, scriptedClient, scriptedServer, SELF } from '../helpers/lab.js';
import type { ScriptedClient, ScriptedServer, Stream } from '../helpers/l2tp-peer.js';

process.env.TD_TEST_IO = 'xdp';

const CLIENTS = 3;
const TUNNELS_EACH = 2;
const TUNNELS = CLIENTS * TUNNELS_EACH;
const PER_SECOND = 400;

/** `mounted`: an operator's bpffs stands at `state.pin`; else the product looks after itself, in `ip netns exec`'s mounts. */
for (const mounted of [true, false]) {
  describeLab(`xdp, ${mounted ? 'with a bpffs that the operator mounted' : 'without a bpffs'}`, [], (open) => {
    let net: Topology;
    let appliance: LabAppliance;
    let before: string;
    const servers: ScriptedServer[] = [];
    const clients: ScriptedClient[] = [];

    const hostState = async (): Promise<string> => {
      const links = (await net.designator.run('ip', ['-d', 'link', 'show'])).replace(/ prog\/xdp id \d+.*/g, '!xdp');
      const rules = await net.designator.run('nft', ['list', 'ruleset']);
      return [links, rules, await net.designator.run('ethtool', ['-k', 'wan0'])].join('\n');
    };
    const programs = async (): Promise<number[]> =>
      (JSON.parse(await net.designator.run('ip', ['-j', 'link', 'show'])) as { xdp?: { prog?: { id: number } } }[])
        .flatMap(({ xdp }) => xdp?.prog?.id ?? [])
        .sort();
    const places = async (): Promise<string[]> =>
      (await appliance.established())
        .map((row) => `${row.client} ${row.clientTunnelId} ${row.server} ${row.serverTunnelId} ${row.sessions}`)
        .sort();
    const offloaded = async (): Promise<number> =>
      (await appliance.established()).filter((row) => row.offloaded).length;
    const allOffloaded = (): Promise<void> =>
      waitFor('all tunnels in the kernel', async () => (await offloaded()) === TUNNELS).then(() => {});
    const onlyTheOld = async (): Promise<void> => {
      await waitFor('ended tunnels to go', async () => (await appliance.established()).length === TUNNELS);
    };
    const packets = async (): Promise<number> =>
      (await appliance.established()).reduce((sum, row) => sum + row.packetsIn + row.packetsOut, 0);
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
    const requests = (): number => servers.reduce((sum, server) => sum + server.requests.length, 0);

    beforeAll(async () => {
      const lab = await open();
      net = await buildTopology(lab);
      before = await hostState();
      for (const [index, address] of SERVERS.entries()) {
        const assign = (count: number): number => 1000 * (index + 1) + count;
        servers.push(await scriptedServer(net.servers[index], address, { assign }));
      }
      appliance = new LabAppliance(lab, net.designator, { self: SELF, config: { ...exampleConfig(), io: 'xdp' } });
      if (mounted) {
        mkdirSync(appliance.pin, { recursive: true });
        await command(process.env, 'mount', ['-t', 'bpf', 'bpf', appliance.pin]);
      }
      const ready = await appliance.start();
      expect(ready.io).toMatch(/^xdp-native copy/);
      for (let index = 0; index < CLIENTS; index++) {
        const address = `192.128.10.${20 + index}`;
        const client = await scriptedClient(await addClient(lab, net.wan, `c${index}`, address), address, VIP);
        for (let id = 1; id <= TUNNELS_EACH; id++) await client.connect(id);
        clients.push(client);
      }
    });
    afterAll(async () => {
      if (appliance?.daemon?.running) {
        appliance.process.signal('SIGTERM');
        await appliance.process.ended;
      }
      if (mounted && appliance !== undefined) await command(process.env, 'umount', [appliance.pin]);
    });

    test('established tunnels are forwarded by the kernel: shards see none of their data', async () => {
      await allOffloaded();
      const seen = async (): Promise<number> =>
        (await appliance.workers()).reduce((sum, worker) => sum + worker.packets, 0);
      const [from, countedBefore] = [await seen(), await packets()];
      const stream = await streamAll(() => sleep(500));
      expect(stream).toMatchObject({ lost: 0, repeated: 0 });
      expect(stream.sent).toBeGreaterThan(500);
      expect((await seen()) - from).toBeLessThan(stream.sent / 10);
      expect((await packets()) - countedBefore).toBe(2 * stream.sent);
    });

    test('SIGKILL under load loses no packet; the next process adopts, with sessions and counters', async () => {
      const [kept, asked, counted] = [await places(), requests(), await packets()];
      let adopted = -1;
      let whileDead = 0;
      const stream = await streamAll(async () => {
        await appliance.process.kill();
        const at = performance.now();
        await sleep(500);
        adopted = (await appliance.start()).tunnels;
        whileDead = performance.now() - at;
      });
      expect(whileDead).toBeGreaterThan(500);
      expect(stream).toMatchObject({ lost: 0, repeated: 0 });
      expect(adopted).toBe(TUNNELS);
      expect(await places()).toEqual(kept);
      expect(requests()).toBe(asked);
      expect((await packets()) - counted).toBe(2 * stream.sent);
      await allOffloaded();
      const end = await clients[0].connect(40);
      expect(end.remote).toBeGreaterThan(0);
      clients[0].stop(clients[0].tunnels.pop() as never);
      await onlyTheOld();
    });

    test('an upgrade (SIGUSR1, then a new process) loses no packet', async () => {
      const kept = await places();
      const stream = await streamAll(async () => {
        appliance.process.signal('SIGUSR1');
        expect(await appliance.process.ended).toBe(0);
        await sleep(300);
        await appliance.start();
      });
      expect(stream).toMatchObject({ lost: 0, repeated: 0 });
      expect(await places()).toEqual(kept);
    });

    test.each([0, 1])('shard %i crashes: no packet of an established tunnel is lost', async (shard) => {
      await allOffloaded();
      const kept = await places();
      const stream = await streamAll(() => appliance.crash(shard));
      expect(stream).toMatchObject({ lost: 0, repeated: 0 });
      expect(await places()).toEqual(kept);
      const end = await clients[1].connect(50 + shard);
      expect(end.remote).toBeGreaterThan(0);
      clients[1].stop(clients[1].tunnels.pop() as never);
      await onlyTheOld();
    });

    test('SIGTERM leaves the interfaces as they were; whatever adapter starts next has the tunnels', async () => {
      await onlyTheOld();
      const kept = await places();
      appliance.process.signal('SIGTERM');
      expect(await appliance.process.ended).toBe(0);
      expect(await programs()).toEqual([]);
      expect(await hostState()).toBe(before);
      appliance.write({ ...exampleConfig(), io: 'packet' });
      expect((await appliance.start()).io).toBe('packet');
      expect(await places()).toEqual(kept);
      expect((await streamAll(() => sleep(300))).lost).toBe(0);
      expect(await offloaded()).toBe(0);
      appliance.process.signal('SIGTERM');
      await appliance.process.ended;
      appliance.write({ ...exampleConfig(), io: 'xdp' });
      expect((await appliance.start()).io).toMatch(/^xdp-native/);
      expect(await places()).toEqual(kept);
      await allOffloaded();
      expect((await streamAll(() => sleep(300))).lost).toBe(0);
    });

    test('after SIGKILL a process with packet takes the program off and has the tunnels', async () => {
      const kept = await places();
      await appliance.process.kill();
      expect(await programs()).toHaveLength(2);
      appliance.write({ ...exampleConfig(), io: 'packet' });
      await appliance.start();
      expect(await programs()).toEqual([]);
      expect(await places()).toEqual(kept);
      expect((await streamAll(() => sleep(300))).lost).toBe(0);
      appliance.process.signal('SIGTERM');
      await appliance.process.ended;
      appliance.write({ ...exampleConfig(), io: 'xdp' });
      await appliance.start();
      expect(await places()).toEqual(kept);
    });

    test('unpin refuses while a designator runs, and takes everything off after a crash', async () => {
      expect((await appliance.tryCommand('unpin')).stderr).toMatch(/runs|uses/);
      expect(await programs()).toHaveLength(2);
      await appliance.process.kill();
      expect(await programs()).toHaveLength(2);
      const said = await appliance.command('unpin');
      expect(said).toMatch(/link-outside: XDP program taken off/);
      expect(await programs()).toEqual([]);
      expect(await hostState()).toBe(before);
      expect(existsSync(`${appliance.pin}/table`)).toBe(false);
      expect((await appliance.start()).tunnels).toBe(0);
    });
  });
}
