/**
 * Growing past one segment: a router with bird2 that spreads VIPs over three designators, each with bird2 beside it.
 *
 *   clients 198.51.100.11 … ── router 192.0.2.254 ── wan ── designators 192.0.2.1 … 3 ── lan ── server 10.10.1.1
 *
 * Answers come back through the designators' group inside, whichever of them a client's packets cross.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Bird, nextHops } from '../helpers/bird.js';
import type { ScriptedClient } from '../helpers/l2tp-peer.js';
import { describeLab, SELF, scriptedClient, scriptedServer } from '../helpers/lab.js';

const VIP = '203.0.113.100';
const VIP6 = '2001:db8:ffff::100';
const WAIT_MS = 20_000;
const wan = (number: number): string => `192.0.2.${number}`;
const lan = (number: number): string => `10.10.1.${250 + number}`;
const GATEWAY = '10.10.1.254';
const KEY = { text: 'a key of all designators' };
const CLIENTS = [11, 12, 13, 14, 15, 16].map((host) => `198.51.100.${host}`);
const wan6 = (number: number): string => `2001:db8:2::${number}`;

describeLab('a router, three designators and ECMP', ['bird'], (open) => {
  let lab: Lab;
  let router: Namespace;
  let routerBird: Bird;
  let client: Namespace;
  let server: Namespace;
  const peers: ScriptedClient[] = [];
  const boxes: Namespace[] = [];
  const birds: Bird[] = [];
  const members: LabAppliance[] = [];

  const member = (number: number): LabAppliance => members[number - 1];
  const hops = (...numbers: number[]): Promise<unknown> =>
    waitFor(
      `the router to have the next hops ${numbers.join()}`,
      async () =>
        (await nextHops(router, VIP)).join() === numbers.map(wan).join() &&
        (await nextHops(router, VIP6)).join() === numbers.map(wan6).join(),
      WAIT_MS,
    );

  /** Every tunnel's data come back, whichever way the router sends them now. */
  const lossOf = async (during: () => Promise<unknown>): Promise<number> => {
    const streams = await Promise.all(peers.map((peer) => peer.stream(40, during)));
    expect(streams.every(({ sent }) => sent > 0)).toBe(true);
    return streams.reduce((sum, { lost }) => sum + lost, 0);
  };
  const flows = (): Promise<unknown> =>
    waitFor('all tunnels to carry data without loss', async () => (await lossOf(() => sleep(100))) === 0, WAIT_MS);
  const everywhere = (...numbers: number[]): Promise<unknown> =>
    waitFor(
      'every designator to know every tunnel',
      async () => {
        const counts = await Promise.all(numbers.map(async (number) => (await member(number).established()).length));
        return counts.every((count) => count === CLIENTS.length);
      },
      WAIT_MS,
      async () => JSON.stringify(await Promise.all(numbers.map((number) => member(number).tunnels()))),
    );

  beforeAll(async () => {
    lab = await open();
    const [outside, inside] = [await lab.bridge('wan'), await lab.bridge('lan')];
    router = await lab.namespace('r');
    await lab.plug(outside, router, 'wan0', ['192.0.2.254/24', '2001:db8:2::254/64']);
    await router.sysctl('net.ipv4.ip_forward', 1);
    await router.sysctl('net.ipv4.fib_multipath_hash_policy', 0);
    routerBird = new Bird(lab, router, 'router');
    server = await lab.namespace('s1');
    await lab.plug(inside, server, 'eth0', ['10.10.1.1/24', '2001:db8:1::1/64']);
    await server.ip(`route add default via ${GATEWAY}`);
    const access = await lab.bridge('acc');
    await lab.plug(access, router, 'acc0', ['198.51.100.1/24']);
    client = await lab.namespace('c');
    await lab.plug(
      access,
      client,
      'eth0',
      CLIENTS.map((address) => `${address}/24`),
    );
    await client.ip('route add default via 198.51.100.1');
    for (let number = 1; number <= 3; number++) {
      const box = await lab.namespace(`d${number}`);
      await lab.plug(outside, box, 'wan0', [`${wan(number)}/24`, `${wan6(number)}/64`], { checksums: false });
      await lab.plug(inside, box, 'lan0', [`10.10.1.${250 + number}/24`, `2001:db8:1::${250 + number}/64`], {
        checksums: false,
      });
      await box.ip('route add default via 192.0.2.254');
      boxes.push(box);
      birds.push(new Bird(lab, box, 'designator', { defines: { SELF: wan(number) } }));
      const config = {
        interfaces: { outside: 'wan0', inside: 'lan0' },
        workers: 1,
        vips: [
          { name: 'access', address: VIP, algorithm: 'maglev', servers: [{ name: 'lns1', address: '10.10.1.1' }] },
          { name: 'six', address: VIP6, algorithm: 'maglev', servers: [{ name: 'lns2', address: '2001:db8:1::1' }] },
        ],
        gateway: {
          // A process that a busy machine keeps waiting is not to lose its part of the gateway meanwhile.
          inside: {
            number,
            key: KEY,
            group: 8,
            algorithm: 'round-robin',
            addresses: [GATEWAY],
            adverts: { interval: '300ms' },
          },
        },
        cluster: {
          name: 'pop1',
          number,
          member: `d${number}`,
          bus: {
            driver: 'udp',
            address: lan(number),
            secret: KEY.text,
            peers: [1, 2, 3].map((peer) => ({ number: peer, address: lan(peer) })),
          },
        },
        announce: { settle: '100ms', linger: '300ms' },
      };
      members.push(new LabAppliance(lab, box, { self: SELF, config, name: `d${number}` }));
    }
    await Promise.all(members.map((each) => each.start()));
    await waitFor('BGP to stand', async () => (await routerBird.sessions()).length === 3, WAIT_MS);
  });

  test('a VIP has a next hop for each designator that can forward, and is an address of none of them', async () => {
    await hops(1, 2, 3);
    for (const box of boxes) {
      expect(await box.run('ip', ['-br', 'address'])).not.toMatch(/203\.0\.113\.100|ffff::100/);
      expect(await box.run('ip', ['route', 'show', 'table', 'all', VIP])).toMatch(
        /^203\.0\.113\.100 dev designator0 table 1701 proto 84 scope link\s*$/,
      );
      // The host itself does with the address what it does with any other that is not its own.
      expect(await box.run('ip', ['route', 'get', VIP])).toMatch(/via 192\.0\.2\.254 dev wan0/);
    }
  });

  test('tunnels come in through all of them, and every designator knows every tunnel', async () => {
    await scriptedServer(server, '10.10.1.1');
    for (const address of CLIENTS) {
      const peer = await scriptedClient(client, address, VIP);
      await peer.connect(100);
      peers.push(peer);
    }
    await everywhere(1, 2, 3);
    expect(await lossOf(() => sleep(300))).toBe(0);
  });

  test('servers that all members empty keep their tunnels, and the routes stay', async () => {
    const order = (action: string): Promise<unknown> =>
      member(2).control('POST', '/v1/servers/command', { action, names: ['lns1', 'lns2'] });
    // An order about servers is for all members: with every server emptied tunnels go on, and so do the routes.
    await order('drain');
    await hops(1, 2, 3);
    await order('enable');
    expect(await lossOf(() => sleep(100))).toBe(0);
  });

  test('one whose link inside is down is left out', async () => {
    await boxes[2].ip('link set lan0 down');
    await hops(1, 2);
    await flows();
    await boxes[2].ip('link set lan0 up');
    await hops(1, 2, 3);
    await flows();
  });

  test('one whose machine says nothing more is found by BFD', async () => {
    birds[1].daemon.signal('SIGSTOP');
    await hops(1, 3);
    birds[1].daemon.signal('SIGCONT');
    await hops(1, 2, 3);
  });

  test('one that is ended takes its routes away before anything else', async () => {
    const { process } = member(1);
    const from = process.lines.length;
    const ended = process.stop(10_000);
    const withdrawn = await process.waitForLine(/"msg":"routes are withdrawn"/, WAIT_MS, from);
    expect(JSON.parse(withdrawn)).toMatchObject({ reason: 'this designator ends', side: 'outside' });
    await hops(2, 3);
    expect(await ended).toBe(0);
    const lines = process.lines.slice(from).map((line) => JSON.parse(line) as { msg: string; time: string });
    const at = (msg: string): number => lines.findIndex((line) => line.msg === msg);
    expect(at('routes are withdrawn')).toBeLessThan(at('ended'));
  });

  test('one that is killed is left out: its device went with it', async () => {
    await member(3).process.kill();
    await hops(2);
    await flows();
    expect(await boxes[2].run('ip', ['-br', 'link'])).not.toMatch(/designator0/);
  });
});
