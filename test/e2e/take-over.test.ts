/** A server dies under traffic and its peer has its tunnels, by the designator; and the way back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import {
  buildTopology,
  CLIENT,
  exampleConfig,
  LAN_GATEWAY,
  SERVERS,
  type Topology,
  VIP,
} from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { NamedAnswer } from '../../src/roles/take-over/network-take-over.js';
import type { ScriptedClient, ScriptedServer, Stream } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance, untilForwarded } from '../helpers/lab.js';
import type { LineChild } from '../helpers/line-child.js';
import { startTakeOverPeer } from '../helpers/take-over-peer.js';

const SECRET = 'a secret that all of them share';
const PORT = 7018;
const TUNNELS = 6;
const PER_SECOND = 600;
const DEAD =
  'table inet dead {\n chain in {\n type filter hook prerouting priority -300\n drop\n }\n chain out {\n type filter hook output priority -300\n drop\n }\n}\n';

const settings = (name: string, peer: string, more: object = {}): object => ({
  designators: `${LAN_GATEWAY}:${PORT}`,
  names: [{ name, peer }],
  secret: SECRET,
  ...more,
});

describeLab('take-over by the designator', [], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let servers: ScriptedServer[];
  let peers: LineChild[];
  let hasty: LineChild;
  let client: ScriptedClient;
  const figures: Record<string, number> = {};

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    servers = [];
    for (const [index, address] of SERVERS.entries())
      servers.push(
        await scriptedServer(net.servers[index], address, { assign: (count) => 100 + count + index * 0x8000 }),
      );
    const [first, second] = SERVERS.map((address, index) => ({ name: `lns${index + 1}`, address, weight: 1 - index }));
    appliance = await startAppliance(
      lab,
      net.designator,
      exampleConfig({
        vip: { servers: [{ ...first, peer: 'lns2' }, second] },
        more: { takeOver: { listen: `${LAN_GATEWAY}:${PORT}`, secret: SECRET, quiet: '500ms' } },
      }),
    );
    [hasty, peers, client] = await Promise.all([
      startTakeOverPeer(net.servers[1], settings('lns2', 'lns1', { giveUp: '500ms' })),
      Promise.all([
        startTakeOverPeer(net.servers[0], settings('lns1', 'lns2')),
        startTakeOverPeer(net.servers[1], settings('lns2', 'lns1')),
      ]),
      scriptedClient(net.client, CLIENT, VIP),
    ]);
    for (let id = 1; id <= TUNNELS; id++) await client.connect(id);
    await untilForwarded(appliance, TUNNELS);
  }, 40_000);
  afterAll(async () => {
    for (const peer of peers) await peer.stop();
    appliance.process.signal('SIGTERM');
    await appliance.process.ended;
    process.stdout.write(`take-over: ${JSON.stringify(figures)}\n`);
  });

  const stream = (during: () => Promise<unknown>): Promise<Stream> => client.stream(PER_SECOND, during);
  const atServer = async (): Promise<string[]> => [
    ...new Set((await appliance.established()).map(({ server }) => server)),
  ];

  test('a claim against a server that lives is refused, and changes nothing', async () => {
    let answers: NamedAnswer[] = [];
    const result = await stream(async () => {
      answers = await hasty.call<NamedAnswer[]>('claim', { generation: 1 });
    });
    await hasty.stop();
    expect(answers).toMatchObject([{ name: 'lns2', result: 'still-heard', generation: 0 }]);
    expect(result).toMatchObject({ lost: 0 });
    expect(await atServer()).toEqual(['lns1']);
  });

  test('the server dies under traffic: its tunnels go on at the peer, and the client hears nobody but the VIP', async () => {
    const [dead, heir] = servers;
    const messages = client.messages.length;
    const result = await stream(async () => {
      await sleep(200);
      await net.servers[0].nft(DEAD);
      const died = performance.now();
      // The peer has known the tunnels all along, and takes them.
      heir.tunnels.push(...dead.tunnels);
      const answers = await peers[1].call<NamedAnswer[]>('claim', {
        generation: 2,
        ranges: [{ low: 1, high: 0x7fff }],
      });
      figures.takenAfterMs = Math.round(performance.now() - died);
      expect(answers).toMatchObject([{ result: 'taken', tunnels: TUNNELS, generation: 2 }]);
      await sleep(400);
    });
    figures.outageMs = Math.round((result.lost / PER_SECOND) * 1000);
    // Nothing is lost but what was sent while nobody was there to have it.
    expect(figures.outageMs).toBeLessThan(figures.takenAfterMs + 400);
    expect(result).toMatchObject({ repeated: 0 });
    await untilForwarded(appliance, TUNNELS);
    expect(await stream(() => sleep(300))).toMatchObject({ lost: 0, repeated: 0, late: 0 });
    expect(await atServer()).toEqual(['lns2']);
    expect([...client.sources]).toEqual([`${VIP}:1701`]);
    expect(client.messages.slice(messages)).toEqual([]);
    expect(await appliance.servers()).toMatchObject([
      { name: 'lns1', state: 'down', tunnels: 0, reason: 'its peer has taken over its tunnels' },
      { name: 'lns2', state: 'up', tunnels: TUNNELS },
    ]);
  });

  test('control messages of the heir reach the client in the tunnels’ own dialogues', async () => {
    const before = client.messages.length;
    for (const end of servers[1].tunnels) servers[1].hello(end);
    await waitFor('the Hellos', () => client.messages.length === before + TUNNELS);
  });

  test('the dead one comes back and knows of nothing: nobody hears it, and it is told that it was overtaken', async () => {
    const [dead] = servers;
    const before = client.messages.length;
    await net.servers[0].nft('delete table inet dead');
    for (const end of dead.tunnels) dead.hello(end);
    await waitFor('the drops', async () => ((await appliance.drops())['taken-over'] ?? 0) >= TUNNELS);
    expect(client.messages.length).toBe(before);
    expect(await peers[0].call<NamedAnswer[]>('ask')).toMatchObject([{ result: 'known', generation: 2 }]);
    expect(await peers[0].call<NamedAnswer[]>('claim', { generation: 1 })).toMatchObject([
      { result: 'old-generation', generation: 2 },
    ]);
  });

  test('the way back, under traffic: not a packet is lost', async () => {
    const result = await stream(async () => {
      await sleep(100);
      const answers = await peers[1].call<NamedAnswer[]>('yield', {
        generation: 3,
        ranges: [{ low: 1, high: 0x7fff }],
      });
      expect(answers).toMatchObject([{ result: 'taken', tunnels: TUNNELS }]);
      await sleep(200);
    });
    expect(result).toMatchObject({ lost: 0, repeated: 0 });
    expect(await atServer()).toEqual(['lns1']);
    const shown = await appliance.command('show', 'take-overs');
    expect(shown).toMatch(/^lns2 +lns1 +yield +3 +done +6 +0 /m);
    expect(shown).toMatch(/^lns1 +lns2 +claim +2 +done +6 +0 /m);
  });
});
