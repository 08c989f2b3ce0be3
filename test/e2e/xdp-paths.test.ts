/** Shapes of the network and of the machine, with the kernel forwarding: one arm, VLANs, IPv6, queues, workers, CPUs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
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
import { waitFor } from '../../src/demo/lab/wait.js';
import { native } from '../../src/io/native.js';
import { readXdpCounters, XDP_COUNTER } from '../../src/io/xdp-counters.js';
import { pinName } from '../../src/io/xdp-maps.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance } from '../helpers/lab.js';
import type { ScriptedClient } from '../helpers/l2tp-peer.js';
import { TaggedPath } from '../helpers/tagged-path.js';
import { IN_ORDER, NOTHING_LOST, Scene } from '../helpers/xdp-scene.js';

describeLab('paths of the XDP program', [], (open) => {
  let lab: Lab;
  let appliance: LabAppliance | undefined;
  afterEach(async () => {
    if (appliance?.daemon?.running) {
      appliance.process.signal('SIGTERM');
      await appliance.process.ended;
    }
    appliance = undefined;
    await lab.close();
  });
  const prepare = async (): Promise<Lab> => {
    process.env.TD_TEST_IO = 'xdp';
    lab = await open();
    return lab;
  };
  const seen = async (): Promise<number> =>
    ((await appliance?.workers()) ?? []).reduce((sum, worker) => sum + worker.packets, 0);
  /** All tunnels are in the kernel; the stream comes back whole, and the shards see none of it. */
  const forwards = async (client: ScriptedClient): Promise<void> => {
    const offloaded = async (): Promise<boolean> => {
      const rows = (await appliance?.established()) ?? [];
      return rows.length >= client.tunnels.length && rows.every((row) => row.offloaded);
    };
    await waitFor('all tunnels in the kernel', offloaded, 5000);
    const before = await seen();
    const stream = await client.stream(400, () => sleep(500));
    expect(stream).toMatchObject(NOTHING_LOST);
    expect((await seen()) - before).toBeLessThan(stream.sent / 5);
  };

  test.each([
    { mode: 'native', gro: 'xdp', words: 'xdp-native copy' },
    { mode: 'generic', gro: 'packet', words: 'xdp-generic' },
  ])('one arm, $mode', async ({ gro, words }) => {
    await prepare();
    process.env.TD_TEST_IO = gro;
    const [lan, designator] = [await lab.bridge('lan'), await lab.namespace('gw')];
    await lab.plug(lan, designator, 'eth0', ['192.128.10.1/24', '10.10.1.254/24'], { checksums: false });
    await designator.sysctl('net.ipv4.ip_forward', 1);
    const clientSpace = await addClient(lab, lan, 'client', CLIENT);
    for (const [index, address] of SERVERS.entries()) {
      const space = await addServer(lab, lan, `lns${index + 1}`, address);
      await scriptedServer(space, address, { assign: (count) => 100 * (index + 1) + count });
    }
    const interfaces = { outside: 'eth0', inside: 'eth0' };
    const started = await startAppliance(lab, designator, { ...exampleConfig(), io: 'xdp', interfaces });
    appliance = started;
    expect(started.readyLine.io).toBe(words);
    const client = await scriptedClient(clientSpace, CLIENT, VIP);
    for (let id = 1; id <= 4; id++) await client.connect(id);
    await forwards(client);
    expect([...client.sources]).toEqual([`${VIP}:1701`]);
  });

  test.each([
    ['two VLANs of one parent', 'trunk0.100', 'trunk0.200'],
    ['a VLAN on each of two interfaces', 'wan0.100', 'lan0.200'],
    ['a VLAN outside alone', 'wan0.100', 'lan0'],
    ['a VLAN inside alone', 'wan0', 'lan0.200'],
  ])('%s: forwarded by the kernel, and tags left in frames meanwhile', async (_name, outside, inside) => {
    await prepare();
    const path = await TaggedPath.open(lab, { outside, inside, gro: true, config: { io: 'xdp' } });
    appliance = path.appliance;
    const { process } = path.appliance;
    expect((await path.appliance.workers())[0]).toMatchObject({
      io: 'xdp-native copy',
      reason: expect.stringMatching(/txvlan off/),
    });
    await waitFor('the tunnel in the kernel', async () => (await path.appliance.established())[0].offloaded);
    const before = await seen();
    await path.exchange(10, 'aaaa');
    expect((await seen()) - before).toBeLessThan(10);

    const rxVlan = async (): Promise<string[]> =>
      Promise.all(
        tagged.map(
          async (device) =>
            /rx-vlan-offload: \w+/.exec(await path.designator.run('ethtool', ['-k', device]))?.[0] ?? 'unknown',
        ),
      );
    const tagged = [outside, inside].filter((text) => text.includes('.')).map((text) => text.split('.')[0]);
    expect(new Set(await rxVlan())).toEqual(new Set(['rx-vlan-offload: off']));
    if (tagged.length === 2) {
      // A killed process leaves it so, the kernel goes on, and the next process or `unpin` knows what it was.
      await process.kill();
      await path.exchange(5, 'bbbb');
      await path.appliance.start();
      await path.exchange(5, 'cccc');
      await path.appliance.process.kill();
      expect(await path.appliance.command('unpin')).toMatch(/rx-vlan-offload is on again/);
    } else {
      process.signal('SIGTERM');
      await process.ended;
    }
    expect(new Set(await rxVlan())).toEqual(new Set(['rx-vlan-offload: on']));
  });

  test('io: auto with a VLAN on a veth: packet, because tags beside frames are out of sight', async () => {
    await prepare();
    const net = await buildTopology(lab);
    const started = await startAppliance(lab, net.designator, {
      ...exampleConfig(),
      io: 'auto',
      interfaces: { outside: 'wan0.100', inside: 'lan0' },
    });
    appliance = started;
    expect(started.readyLine.io).toBe('packet');
    expect((await started.workers())[0].reason).toMatch(/no VLAN tag on wan0.*txvlan off/);
  });

  test('IPv6', async () => {
    await prepare();
    const net = await buildTopology(lab);
    const vip = '2001:db8:100::1';
    const servers = ['2001:db8:1::1', '2001:db8:1::2'].map((address, index) => ({ name: `six${index + 1}`, address }));
    const config = { ...exampleConfig({ vip: { address: vip, servers } }), io: 'xdp' };
    appliance = await startAppliance(lab, net.designator, config);
    for (const [index, { address }] of servers.entries()) {
      await scriptedServer(net.servers[index], address, { assign: (count) => 100 * (index + 1) + count });
    }
    const client = await scriptedClient(net.client, '2001:db8:10::5', vip);
    for (let id = 1; id <= 4; id++) await client.connect(id);
    await forwards(client);
    expect(new Set((await appliance.established()).map((row) => row.server)).size).toBe(2);
    expect(await net.client.ping(vip)).toBe(3);
  });

  test.each([
    { workers: 1, queues: 1, offload: true },
    { workers: 1, queues: 2, offload: true },
    { workers: 2, queues: 2, offload: true },
    { workers: 1, queues: 2, offload: false },
    { workers: 2, queues: 2, offload: false },
  ])('$workers workers on $queues queues, offload $offload', async ({ workers, queues, offload }) => {
    await prepare();
    const scene = await Scene.prepare(lab, { config: { io: 'xdp', workers, offload } });
    appliance = scene.appliance;
    // The number of queues is fixed when a veth is made; they are used by the sender's transmit queues.
    for (const [bridge, name, wire, addresses] of [
      [scene.net.wan, 'wan0', 'p1', ['192.128.10.1/24']],
      [scene.net.lan, 'lan0', 'p2', ['10.10.1.254/24']],
    ] as const) {
      await scene.net.designator.ip(`link del ${name}`);
      const counts = `numrxqueues ${queues} numtxqueues ${queues}`;
      await bridge.namespace.ip(
        `link add ${wire} ${counts} type veth peer name ${name} ${counts} netns ${scene.net.designator.name}`,
        `link set ${wire} master ${bridge.name} up`,
      );
      await bridge.namespace.run('ethtool', ['-K', wire, 'gro', 'on', 'txvlan', 'off', 'tso', 'off']);
      await scene.net.designator.run('ethtool', ['-K', name, 'tso', 'off']);
      await scene.net.designator.ip(`link set ${name} up`, ...addresses.map((text) => `addr add ${text} dev ${name}`));
    }
    expect((await scene.appliance.start()).shards).toBe(workers);
    await scene.connect(2, 2);
    if (offload) await scene.untilOffloaded();
    const { seen: packets, result } = await scene.seenDuring(() => scene.stream(400));
    expect(result).toMatchObject(IN_ORDER);
    if (offload) expect(packets).toBeLessThan(result.sent / 5);
    else expect(packets).toBeGreaterThanOrEqual(2 * result.sent);
  });

  test('spread: 2 — hits go on on two CPUs, in order within a session, and misses are served', async () => {
    await prepare();
    const scene = await Scene.prepare(lab, { config: { io: 'xdp', spread: 2 } });
    appliance = scene.appliance;
    await scene.appliance.start();
    await scene.connect(2, 4);
    await scene.untilOffloaded();
    const counters = (): number[] => {
      const { bpf, closeFd } = native();
      const map = bpf.openPinned(`${scene.appliance.pin}/${pinName('td_counters')}`);
      try {
        return readXdpCounters(bpf, map);
      } finally {
        closeFd(map);
      }
    };
    const before = counters();
    const { seen: packets, result } = await scene.seenDuring(() => scene.stream(1000, () => sleep(800)));
    expect(result).toMatchObject(IN_ORDER);
    expect(packets).toBeLessThan(result.sent / 5);
    const counted = counters().map((now, index) => now - before[index]);
    expect(counted[XDP_COUNTER.spread]).toBe(2 * result.sent);
    expect(counted[XDP_COUNTER.spreadFailed] + counted[XDP_COUNTER.spreadMiss]).toBe(0);
    await scene.connect(1, 1);
    await scene.untilOffloaded();
    expect(await scene.stream(300)).toMatchObject(IN_ORDER);
  });
});
