/** Two designators that share a VIP outside and the servers' gateway inside, and the death of one. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { ExplainRow } from '../../src/ops/appliance.js';
import type { GatewayHostRow, GatewayRow } from '../../src/ops/endpoint.js';
import type { ScriptedClient, ScriptedServer, Stream } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer, startAppliance } from '../helpers/lab.js';

const VIP = '192.128.10.100';
const VIP_6 = '2001:db8:10::100';
const SHARED = '10.10.1.254';
const CLIENTS = ['192.128.10.11', '192.128.10.12', '192.128.10.13', '192.128.10.14'];
const SERVERS = ['10.10.1.1', '10.10.1.2'];
const KEY = { text: 'a key of all designators' };
const PER_SECOND = 200;
/** Two tunnels a client. */
const TUNNELS = [1, 2];

function config(number: number): Record<string, unknown> {
  // Adverts twice as far apart as usual, so that a machine that does many things at once makes nobody look dead.
  const each = {
    number,
    key: KEY,
    algorithm: 'round-robin',
    preempt: { delay: '300ms' },
    adverts: { interval: '200ms' },
  };
  return {
    interfaces: { outside: 'wan0', inside: 'lan0' },
    workers: 1,
    vips: [
      {
        name: 'access',
        address: VIP,
        protocols: ['l2tp'],
        algorithm: 'maglev',
        servers: SERVERS.map((address, index) => ({ name: `lns${index + 1}`, address })),
      },
      {
        name: 'six',
        address: VIP_6,
        protocols: ['l2tp'],
        algorithm: 'maglev',
        servers: [{ name: 'six1', address: '2001:db8:1::1' }],
      },
    ],
    gateway: {
      outside: { ...each, group: 7, priority: 100 + number },
      inside: { ...each, group: 8, priority: 100 - number, addresses: [SHARED] },
    },
  };
}

describeLab('two designators', ['ping'], (open) => {
  let lab: Lab;
  let wan: Bridge;
  let lan: Bridge;
  const boxes: Namespace[] = [];
  const designators: LabAppliance[] = [];
  const clientSpaces: Namespace[] = [];
  const clients: ScriptedClient[] = [];
  const servers: ScriptedServer[] = [];
  const figures: Record<string, number> = {};

  const gateways = (of: LabAppliance): Promise<GatewayRow[]> => of.control('GET', '/v1/gateways');
  const hosts = (of: LabAppliance): Promise<GatewayHostRow[]> => of.control('GET', '/v1/hosts');
  const count = async (of: LabAppliance, counter: string): Promise<number> => {
    const rows = await of.control<{ counter: string; count: number }[]>('GET', '/v1/counters');
    return rows.find((row) => row.counter === counter)?.count ?? 0;
  };
  const stream = (during: () => Promise<unknown>): Promise<Stream[]> => {
    const running = during();
    return Promise.all(clients.map((client) => client.stream(PER_SECOND, () => running)));
  };

  beforeAll(async () => {
    lab = await open();
    [wan, lan] = [await lab.bridge('wan'), await lab.bridge('lan')];
    for (const number of [1, 2]) {
      const box = await lab.namespace(`d${number}`);
      await lab.plug(wan, box, 'wan0', [`192.128.10.${number}/24`, `2001:db8:10::${number}/64`], { checksums: false });
      await lab.plug(lan, box, 'lan0', [`10.10.1.25${number}/24`], { checksums: false });
      await box.sysctl('net.ipv4.ip_forward', 1);
      boxes.push(box);
    }
    for (const [index, address] of SERVERS.entries()) {
      const space = await lab.namespace(`lns${index + 1}`);
      await lab.plug(lan, space, 'eth0', [`${address}/24`]);
      await space.ip(`route add default via ${SHARED}`);
      servers.push(await scriptedServer(space, address, { assign: (n) => 100 + n + index * 0x8000 }));
    }
    for (const [index, address] of CLIENTS.entries()) {
      const space = await lab.namespace(`c${index + 1}`);
      await lab.plug(wan, space, 'eth0', [`${address}/24`, `2001:db8:10::1${index + 1}/64`]);
      clientSpaces.push(space);
      clients.push(await scriptedClient(space, address, VIP));
    }
    designators.push(
      ...(await Promise.all(boxes.map((box, n) => startAppliance(lab, box, config(n + 1), `d${n + 1}`)))),
    );
  }, 60_000);

  afterAll(async () => {
    for (const { daemon } of designators) await daemon?.stop();
    process.stdout.write(`two designators: ${JSON.stringify(figures)}\n`);
  });

  test('they find each other, one is master outside and the other inside', async () => {
    const settled = async (): Promise<boolean> => {
      const tables = await Promise.all(designators.map(gateways));
      return tables.every(
        (rows) => rows.length === 4 && rows.every(({ alive, verified, able }) => alive && verified && able),
      );
    };
    await waitFor('two members in each group', settled, 10_000, async () =>
      JSON.stringify(await Promise.all(designators.map(gateways))),
    );
    const masters = async (): Promise<string> => {
      const rows = await gateways(designators[0]);
      return rows
        .filter(({ master }) => master)
        .map(({ group, gateway }) => `${group} ${gateway}`)
        .join();
    };
    await waitFor('the masters by priority', async () => (await masters()) === 'outside 2,inside 1', 15_000, masters);
    expect(await designators[0].command('show', 'gateways')).toMatch(/outside/);
  });

  test('clients are shared out; each tunnel is where its client’s packets arrive, and no ARP answer comes from elsewhere', async () => {
    await Promise.all(
      clients.map(async (client) => {
        for (const id of TUNNELS) await client.connect(id);
      }),
    );
    const rows = (await hosts(designators[1])).filter(({ group }) => group === 'outside');
    const of = new Map(
      rows.flatMap((row) => row.addresses.split(',').map((address) => [address, row.gateway] as const)),
    );
    expect(CLIENTS.map((address) => of.get(address)).sort()).toEqual([1, 1, 2, 2]);
    for (const [n, designator] of designators.entries()) {
      const at = new Set((await designator.established()).map(({ client }) => client.split(':')[0]));
      expect([...at].sort()).toEqual(CLIENTS.filter((address) => of.get(address) === n + 1));
    }
    for (const [index, space] of clientSpaces.entries()) {
      const mac = `02:54:44:00:07:0${of.get(CLIENTS[index])}`;
      expect(await space.run('ip', ['neigh', 'show', VIP])).toContain(mac);
    }
  });

  test('an IPv6 VIP is shared as well: its echo comes from the designator that the advertisement named', async () => {
    for (const space of clientSpaces) {
      expect(await space.ping(VIP_6, { count: 2 })).toBe(2);
      expect(await space.run('ip', ['neigh', 'show', VIP_6])).toMatch(/lladdr 02:54:44:00:07:0[12] router/);
    }
  });

  test('traffic flows both ways, once each, although servers have one gateway and clients another', async () => {
    const results = await stream(() => sleep(700));
    for (const result of results) expect(result).toMatchObject({ lost: 0, repeated: 0 });
    for (const client of clients) expect([...client.sources]).toEqual([`${VIP}:1701`]);
    // Of two servers and four clients some are with different designators.
    const relayed = await Promise.all(designators.map((of) => count(of, 'relayed')));
    expect(relayed[0] + relayed[1]).toBeGreaterThan(0);
    // The group hears all ARP and ND of its segment, and counts what is about other addresses.
    for (const designator of designators)
      expect(Object.keys(await designator.drops()).filter((reason) => !reason.startsWith('group-'))).toEqual([]);
    expect(await count(designators[1], 'group-answered')).toBeGreaterThanOrEqual(CLIENTS.length);
  });

  test('a switch that floods every frame makes nothing arrive twice', async () => {
    for (const { namespace, name } of [wan, lan]) await namespace.ip(`link set ${name} type bridge ageing_time 0`);
    const results = await stream(() => sleep(400));
    for (const { namespace, name } of [wan, lan]) await namespace.ip(`link set ${name} type bridge ageing_time 30000`);
    for (const result of results) expect(result).toMatchObject({ lost: 0, repeated: 0 });
  });

  test('kill -9: the other has both virtual MACs, its own clients go on, and new requests go where the dead one would have sent them', async () => {
    const explained = async (of: LabAppliance, client: string, tunnel: number): Promise<string | null> =>
      (await of.control<ExplainRow>('GET', `/v1/explain?vip=access&client=${client}:1701&tunnel=${tunnel}`)).server;
    const [dead, heir] = designators;
    const rows = (await hosts(dead)).filter(({ group, gateway }) => group === 'outside' && gateway === 1);
    const orphans = CLIENTS.filter((address) => rows.some(({ addresses }) => addresses.split(',').includes(address)));
    const wouldBe = await Promise.all(orphans.map((address) => explained(dead, address, 9)));
    expect(await Promise.all(orphans.map((address) => explained(heir, address, 9)))).toEqual(wouldBe);

    expect(orphans).toHaveLength(2);
    const others = clients.filter((_, n) => !orphans.includes(CLIENTS[n]));
    let died = 0;
    const running = (async (): Promise<void> => {
      await sleep(300);
      died = performance.now();
      await Promise.all([dead.process.kill(), boxes[0].ip('link set wan0 down', 'link set lan0 down')]);
      await waitFor(
        'both virtual MACs at the one that is left',
        async () => (await gateways(heir)).filter(({ self, serves }) => self && serves === '1,2').length === 2,
        5000,
        async () => JSON.stringify(await gateways(heir)),
      );
      figures.takenOverMs = Math.round(performance.now() - died);
      await sleep(500);
    })();
    const results = await Promise.all(others.map((client) => client.stream(PER_SECOND, () => running)));
    figures.survivorsOutageMs = Math.round((Math.max(...results.map(({ lost }) => lost)) / PER_SECOND) * 1000);
    for (const result of results) expect(result).toMatchObject({ repeated: 0 });
    // Lost is what servers sent to the dead one until its virtual MAC was taken over.
    expect(figures.survivorsOutageMs).toBeLessThan(2000);

    for (const [n, address] of orphans.entries()) {
      const client = clients[CLIENTS.indexOf(address)];
      await client.connect(9);
      const row = (await heir.established()).find(
        ({ client: from, clientTunnelId }) => from === `${address}:1701` && clientTunnelId === 9,
      );
      expect(row?.server).toBe(wouldBe[n]);
    }
  });

  // Nothing of the rest depends on what carries the packets.
  const once = test.skipIf(process.env.TD_TEST_IO === 'xdp');

  once(
    'it comes back: its virtual MAC is its own again, clients stay where their tunnels are, and hardly a packet is lost',
    async () => {
      const [back, heir] = designators;
      await boxes[0].ip('link set wan0 up', 'link set lan0 up');
      // What the dead one had is gone with it.
      for (const { tunnels } of clients)
        if (tunnels.some(({ local }) => local === 9)) tunnels.splice(0, tunnels.length, ...tunnels.slice(-1));
      const running = (async (): Promise<void> => {
        await back.start();
        await waitFor(
          'each to serve its own virtual MAC',
          async () => {
            const rows = await gateways(heir);
            return rows.every(({ gateway, serves }) => serves === String(gateway)) && rows.length === 4;
          },
          20_000,
          async () => JSON.stringify(await gateways(heir)),
        );
        await sleep(500);
      })();
      const results = await Promise.all(clients.map((client) => client.stream(PER_SECOND, () => running)));
      for (const { lost, repeated } of results) {
        // Some may be on their way to the one that has just let go: 100 ms of them at the very most.
        expect(lost).toBeLessThan(0.1 * PER_SECOND);
        expect(repeated).toBe(0);
      }
      const rows = (await hosts(heir)).filter(({ group }) => group === 'outside');
      expect(rows.map(({ gateway }) => gateway)).toEqual([2, 2, 2, 2]);
    },
  );

  once('one without its inside interface cannot forward: the other takes its clients at once', async () => {
    const [other] = designators;
    await boxes[1].ip('link set lan0 down');
    const outside = async (): Promise<GatewayRow[]> =>
      (await gateways(other)).filter(({ group }) => group === 'outside');
    const taken = async (): Promise<boolean> => (await outside()).some(({ self, serves }) => self && serves === '1,2');
    await waitFor('the virtual MAC of the one that cannot', taken, 5000, async () => JSON.stringify(await outside()));
    expect((await outside()).find(({ self }) => !self)).toMatchObject({
      able: false,
      reasons: 'lan0 is down',
      alive: true,
    });
  });
});
