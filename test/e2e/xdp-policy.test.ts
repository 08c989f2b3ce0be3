/** What takes tunnels out of the kernel's hands, at once, and what brings them back; floods that die in the driver. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addClient, exampleConfig, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { l2tpData } from '../helpers/packet-builder.js';
import { describeLab, SELF } from '../helpers/lab.js';
import { UdpAgent } from '../helpers/udp-agent.js';
import { IN_ORDER, Scene } from '../helpers/xdp-scene.js';

const FLOODER = '192.128.10.200';
const FLOOD = 2000;
const config = (rules: readonly unknown[] = []): Record<string, unknown> => ({
  ...exampleConfig(),
  io: 'xdp',
  firewall: { rules: [{ deny: { from: '192.128.10.192/26' } }, ...rules] },
});

describeLab('policy on the kernel’s path', ['tcpdump'], (open) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.open(await open(), { config: config(), clients: 2, tunnelsEach: 2 });
    await scene.untilOffloaded();
  });
  afterAll(() => scene?.stop());

  const denied = async (): Promise<number> => (await scene.appliance.drops())['firewall-denied'] ?? 0;

  test('a flood from a denied network dies in the driver: counted, and no shard sees it', async () => {
    const flooder = await addClient(scene.lab, scene.net.wan, 'flooder', FLOODER);
    const socket = await new UdpAgent(flooder).bind(FLOODER, 1701);
    const data = l2tpData({ tunnel: 7, session: 1, payload: 'ff030021' });
    const before = await denied();
    const { seen } = await scene.seenDuring(async () => {
      for (let sent = 0; sent < FLOOD; sent += 100) {
        socket.sendAll(Array.from({ length: 100 }, () => ({ data, address: VIP, port: 1701 })));
      }
      await waitFor(
        'the flood to be counted',
        async () => (await denied()) - before >= FLOOD,
        5000,
        async () => String((await denied()) - before),
      );
    });
    expect((await denied()) - before).toBe(FLOOD);
    expect(seen).toBeLessThan(FLOOD / 10);
    expect(await scene.stream(200)).toMatchObject(IN_ORDER);
  });

  test('a reload that denies a client with tunnels in the kernel ends their traffic at once', async () => {
    const [victim, other] = scene.clients;
    const rule = { deny: { from: '192.128.10.20/32' } };
    scene.appliance.write(config([rule]));
    await scene.appliance.command('reload');
    const before = await denied();
    const stream = await victim.stream(200, () => sleep(300));
    expect(stream).toMatchObject({ returned: 0 });
    expect((await denied()) - before).toBe(stream.sent);
    expect(await other.stream(200, () => sleep(300))).toMatchObject(IN_ORDER);
    expect((await scene.offloaded()).map(({ client }) => client)).toEqual(['192.128.10.21:1701', '192.128.10.21:1701']);

    scene.appliance.write(config());
    await scene.appliance.command('reload');
    await scene.untilOffloaded();
    expect(await scene.stream(200)).toMatchObject(IN_ORDER);
  });

  test.each(['drain', 'disable'])('server %s takes its tunnels out, enable brings them back', async (action) => {
    const of = (await scene.appliance.established()).filter(({ server }) => server === 'lns2').length;
    expect(of).toBeGreaterThan(0);
    await scene.appliance.command('server', action, 'lns2');
    await scene.untilOffloaded(scene.tunnels - of);
    expect((await scene.offloaded()).every(({ server }) => server === 'lns1')).toBe(true);
    const { seen, result } = await scene.seenDuring(() => scene.stream(200));
    expect(result).toMatchObject(IN_ORDER);
    expect(seen).toBeGreaterThan((result.sent * of) / scene.tunnels);
    await scene.appliance.command('server', 'enable', 'lns2');
    await scene.untilOffloaded();
  });

  test('a capture of one tunnel takes it out, sees its packets on both sides, and gives it back', async () => {
    const file = join(scene.lab.folder, 'one.pcap');
    const [node, main] = SELF;
    const words = [main, 'capture', '-c', scene.appliance.file, '--client', '192.128.10.20:1701', '--tunnel', '2'];
    const capture = scene.net.designator.start('capture', node, [...words, '-w', file]);
    await scene.untilOffloaded(scene.tunnels - 1);
    const [victim] = scene.clients;
    const stream = await victim.stream(200, () => sleep(400));
    expect(stream).toMatchObject(IN_ORDER);
    capture.signal('SIGINT');
    await capture.ended;
    await scene.untilOffloaded();
    const bytes = readFileSync(file);
    const lines = await scene.net.designator.run('tcpdump', ['-nr', file, 'udp']);
    expect(bytes.length).toBeGreaterThan(24);
    const count = (pattern: RegExp): number => lines.split('\n').filter((line) => pattern.test(line)).length;
    const half = Math.floor(stream.sent / 2); // two tunnels in turn
    for (const pattern of [
      /192\.128\.10\.20\.1701 > 200\.200\.100\.1\.1701/, // before and
      /192\.128\.10\.20\.1701 > 10\.10\.1\.\d\.1701/, // after the rewrite
      /10\.10\.1\.\d\.1701 > 192\.128\.10\.20\.1701/,
      /200\.200\.100\.1\.1701 > 192\.128\.10\.20\.1701/,
    ]) {
      expect(count(pattern)).toBeGreaterThanOrEqual(half);
      expect(count(pattern)).toBeLessThanOrEqual(half + 1);
    }
  });

  test('the end of the last session takes a tunnel out, another one brings it back; StopCCN ends it', async () => {
    const [client] = scene.clients;
    const end = client.tunnels[1];
    client.send(end, {
      type: 14, // CDN
      session: end.remoteSession,
      avps: [
        { type: 1, value: { code: 1 } },
        { type: 14, value: end.localSession },
      ],
    });
    await scene.untilOffloaded(scene.tunnels - 1);
    const row = (await scene.appliance.established({ tunnel: end.local })).find(({ offloaded }) => !offloaded);
    expect(row).toMatchObject({ client: '192.128.10.20:1701', sessions: 0 });
    expect(await scene.stream(200)).toMatchObject(IN_ORDER);

    client.stop(client.tunnels.pop() as never);
    await waitFor(
      'the tunnel to close',
      async () => (await scene.appliance.established()).length === scene.tunnels,
      5000,
    );
    await scene.untilOffloaded();
    await client.connect(60);
    await scene.untilOffloaded();
    expect(await scene.stream(200)).toMatchObject(IN_ORDER);
  });
});
