/** Two designators that share their tunnels: whatever one of them knew, the other goes on with, and nobody notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { DesignatorFarm } from '../../src/demo/lab/designator-farm.js';
import { clientAddress, serverAddress, vipAddress } from '../../src/demo/lab/designator-farm.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { ScriptedClient, ScriptedServer } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer, SELF } from '../helpers/lab.js';

const CLIENTS = 4;
const SERVERS = 2;
const PER_SECOND = 100;
const VIP = vipAddress(0);

interface Row {
  readonly client: string;
  readonly clientTunnelId: number;
  readonly serverTunnelId: number;
  readonly server: string;
  readonly state: string;
  readonly offloaded: boolean;
  readonly writer: string | null;
}

const words = ({ client, clientTunnelId, serverTunnelId, server, state }: Row): string =>
  [client, clientTunnelId, serverTunnelId, server, state].join(' ');

describeLab('designators that share their tunnels', [], (open) => {
  let lab: Lab;
  let farm: DesignatorFarm;
  const clients: ScriptedClient[] = [];
  const servers: ScriptedServer[] = [];
  const figures: Record<string, number> = {};

  const tunnels = async (of: LabAppliance): Promise<string[]> =>
    (await of.control<Row[]>('GET', '/v1/tunnels')).map(words).sort();
  const of = (number: number): LabAppliance => farm.member(number);
  const count = async (number: number, counter: string): Promise<number> => {
    const rows = await of(number).control<{ counter: string; count: number }[]>('GET', '/v1/counters');
    return rows.find((row) => row.counter === counter)?.count ?? 0;
  };
  /** Both know the same tunnels, so many of them. */
  const equal = (expected: number): Promise<unknown> => {
    let seen: string[][] = [];
    return waitFor(
      `${expected} tunnels at both`,
      async () => {
        seen = await Promise.all([tunnels(of(1)), tunnels(of(2))]);
        return seen[0].length === expected && seen[0].join() === seen[1].join();
      },
      15_000,
      () => JSON.stringify(seen),
    );
  };
  const connectAll = (id: number): Promise<unknown> => Promise.all(clients.map((client) => client.connect(id)));
  const stream = (during: () => Promise<unknown>): Promise<{ lost: number; repeated: number }[]> => {
    const running = during();
    return Promise.all(clients.map((client) => client.stream(PER_SECOND, () => running)));
  };

  beforeAll(async () => {
    lab = await open();
    farm = await DesignatorFarm.open(lab, {
      self: SELF,
      members: 2,
      servers: SERVERS,
      clients: CLIENTS,
      group: { preempt: { delay: '300ms' }, adverts: { interval: '200ms' } },
      config: (number) => ({
        ...(process.env.TD_TEST_IO === 'xdp' ? { io: 'xdp' } : {}),
        vips: [
          {
            name: 'access',
            address: VIP,
            protocols: ['l2tp'],
            algorithm: 'maglev',
            servers: Array.from({ length: SERVERS }, (_, n) => ({ name: `lns${n + 1}`, address: serverAddress(n) })),
          },
        ],
        cluster: {
          name: 'share',
          number,
          bus: {
            driver: 'udp',
            address: `10.99.0.${number}`,
            secret: 'a secret of all members',
            peers: [1, 2].map((peer) => ({ number: peer, address: `10.99.0.${peer}` })),
          },
        },
      }),
    });
    for (const [n, space] of farm.servers.entries())
      servers.push(await scriptedServer(space, serverAddress(n), { assign: (index) => 100 + index + n * 0x8000 }));
    for (const [n, space] of farm.clients.entries()) clients.push(await scriptedClient(space, clientAddress(n), VIP));
    await farm.start();
  }, 60_000);

  afterAll(async () => {
    for (const { daemon } of farm.members) await daemon?.stop();
    process.stdout.write(`designators that share their tunnels: ${JSON.stringify(figures)}\n`);
  });

  test('each has the tunnels of the other, which forwards by them wherever a packet arrives', async () => {
    await connectAll(1);
    await equal(CLIENTS);
    const own = await Promise.all([count(1, 'requests'), count(2, 'requests')]);
    expect(own[0] + own[1]).toBe(CLIENTS);
    expect(Math.min(...own)).toBeGreaterThan(0);
    // Each tunnel is one's own at one of them, and at the other it has a name to it.
    const writers = await Promise.all([1, 2].map((number) => of(number).control<Row[]>('GET', '/v1/tunnels')));
    expect(writers.map((rows) => rows.filter(({ writer }) => writer === null).length)).toEqual(own);
    if (process.env.TD_TEST_IO === 'xdp')
      for (const number of [1, 2])
        await waitFor('the XDP program to forward all of them', async () =>
          (await of(number).control<Row[]>('GET', '/v1/tunnels')).every(({ offloaded }) => offloaded),
        );
    for (const { lost, repeated } of await stream(() => sleep(500))) expect([lost, repeated]).toEqual([0, 0]);
  });

  test('kill -9 of one: its tunnels go on, and their messages are answered for by the other', async () => {
    let died = 0;
    const running = (async (): Promise<void> => {
      await sleep(200);
      died = performance.now();
      await Promise.all([of(1).process.kill(), farm.boxes[0].ip('link set wan0 down', 'link set lan0 down')]);
      await waitFor(
        'the other to have everything',
        async () => (await farm.gateways(2)).filter(({ self, serves }) => self && serves === '1,2').length === 2,
        5000,
      );
      figures.takenOverMs = Math.round(performance.now() - died);
      await sleep(500);
    })();
    const results = await Promise.all(clients.map((client) => client.stream(PER_SECOND, () => running)));
    for (const { lost, repeated } of results) {
      expect(repeated).toBe(0);
      expect(lost).toBeLessThan(2 * PER_SECOND);
    }
    for (const { lost } of await stream(() => sleep(300))) expect(lost).toBe(0);
    expect(await tunnels(of(2))).toHaveLength(CLIENTS);
    // Whoever writes them now follows their dialogues: what ends is seen to end.
    await waitFor('the tunnels to be taken over', async () => (await count(2, 'tunnels-adopted')) > 0, 10_000);
    await connectAll(2);
    expect(await tunnels(of(2))).toHaveLength(2 * CLIENTS);
  });

  // Nothing of the rest depends on what carries the packets.
  const once = test.skipIf(process.env.TD_TEST_IO === 'xdp');

  once('it comes back and has everything, and nothing is pulled back to it', async () => {
    await farm.boxes[0].ip('link set wan0 up', 'link set lan0 up');
    await of(1).start();
    await farm.settled();
    await equal(2 * CLIENTS);
    for (const { lost, repeated } of await stream(() => sleep(400))) expect([lost, repeated]).toEqual([0, 0]);
  });

  once('the other one dies: all that was ever established lives on', async () => {
    await Promise.all([of(2).process.kill(), farm.boxes[1].ip('link set wan0 down', 'link set lan0 down')]);
    await waitFor(
      'the first to have everything',
      async () => (await farm.gateways(1)).filter(({ self, serves }) => self && serves === '1,2').length === 2,
      5000,
    );
    for (const { lost } of await stream(() => sleep(400))) expect(lost).toBe(0);
    expect(await tunnels(of(1))).toHaveLength(2 * CLIENTS);
    await waitFor('the tunnels to be taken over', async () => (await count(1, 'tunnels-adopted')) > 0, 10_000);
    for (const client of clients) for (const end of client.tunnels.slice(0, 1)) client.stop(end);
    const open = async (): Promise<number> =>
      (await of(1).control<Row[]>('GET', '/v1/tunnels')).filter(({ state }) => state === 'established').length;
    await waitFor('the ends of half of them', async () => (await open()) === CLIENTS, 10_000);
  });
});
