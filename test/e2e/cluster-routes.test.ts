/**
 * Growing past one segment: a router with bird2 that spreads VIPs over three designators, each with bird2 beside it.
 *
 *   client 198.51.100.2 ── router 192.0.2.254 ── wan ── designators 192.0.2.1 … 3 ── lan ── server 10.10.1.1
 */
import { beforeAll, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Bird, nextHops } from '../helpers/bird.js';
import { describeLab, SELF } from '../helpers/lab.js';

const VIP = '203.0.113.100';
const VIP6 = '2001:db8:ffff::100';
const WAIT_MS = 20_000;
const wan = (number: number): string => `192.0.2.${number}`;
const wan6 = (number: number): string => `2001:db8:2::${number}`;

describeLab('a router, three designators and ECMP', ['bird'], (open) => {
  let lab: Lab;
  let router: Namespace;
  let routerBird: Bird;
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

  beforeAll(async () => {
    lab = await open();
    const [outside, inside] = [await lab.bridge('wan'), await lab.bridge('lan')];
    router = await lab.namespace('r');
    await lab.plug(outside, router, 'wan0', ['192.0.2.254/24', '2001:db8:2::254/64']);
    await router.sysctl('net.ipv4.ip_forward', 1);
    await router.sysctl('net.ipv4.fib_multipath_hash_policy', 0);
    routerBird = new Bird(lab, router, 'router');
    const server = await lab.namespace('s1');
    await lab.plug(inside, server, 'eth0', ['10.10.1.1/24', '2001:db8:1::1/64']);
    for (let number = 1; number <= 3; number++) {
      const box = await lab.namespace(`d${number}`);
      await lab.plug(outside, box, 'wan0', [`${wan(number)}/24`, `${wan6(number)}/64`], { checksums: false });
      await lab.plug(inside, box, 'lan0', [`10.10.1.${250 + number}/24`, `2001:db8:1::${250 + number}/64`], {
        checksums: false,
      });
      boxes.push(box);
      birds.push(new Bird(lab, box, 'designator', { defines: { SELF: wan(number) } }));
      const config = {
        interfaces: { outside: 'wan0', inside: 'lan0' },
        workers: 1,
        vips: [
          { name: 'access', address: VIP, algorithm: 'maglev', servers: [{ name: 'lns1', address: '10.10.1.1' }] },
          { name: 'six', address: VIP6, algorithm: 'maglev', servers: [{ name: 'lns2', address: '2001:db8:1::1' }] },
        ],
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
      // What the host itself does with the address is as if there were no route: it goes where its default goes, or nowhere.
      expect((await box.tryRun('ip', ['route', 'get', VIP])).status).not.toBe(0);
    }
  });

  test('one whose servers take nothing is left out, and comes back', async () => {
    const order = (action: string): Promise<unknown> =>
      member(2).control('POST', '/v1/servers/command', { action, names: ['lns1', 'lns2'] });
    await order('drain');
    await hops(1, 3);
    await order('enable');
    await hops(1, 2, 3);
  });

  test('one whose link inside is down is left out', async () => {
    await boxes[2].ip('link set lan0 down');
    await hops(1, 2);
    await boxes[2].ip('link set lan0 up');
    await hops(1, 2, 3);
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
    expect(await boxes[2].run('ip', ['-br', 'link'])).not.toMatch(/designator0/);
  });
});
