/**
 * Gateways that fail in all the ways in which machines, programs and networks do, while every host pings. One scene; every
 * test leaves three gateways that agree on the first as their master. How fast it goes is for the benchmark to say.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { type Pings, unixSeconds } from '../../src/demo/lab/gateway-lan.js';
import type { Outage } from '../../src/demo/lab/ping-log.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { GatewayScene } from '../helpers/gateway-scene.js';
import { describeLab } from '../helpers/lab.js';

const HOSTS = 6;
/** From an event on: what was to be lost is lost then. */
const SETTLE_MS = 600;
const PATIENCE_MS = 15_000;
const ALL = [1, 2, 3];
const OWN = { 1: 1, 2: 2, 3: 3 };

describeLab('gateways that fail', ['tcpdump', 'arping'], (open) => {
  let scene: GatewayScene;
  let pings: Pings;

  beforeAll(async () => {
    scene = await GatewayScene.open(await open(), {
      gateways: 3,
      hosts: HOSTS,
      group: {
        algorithm: 'round-robin',
        permanentAfter: 'never',
        return: 'at-once',
        preempt: { delay: '200ms' },
        track: [{ interface: 'eth1', forward: false, interval: '100ms' }],
      },
    });
    pings = await scene.pinging();
  });

  /** Everybody lives and serves its own, whatever the test before has come to. */
  beforeEach(async () => {
    for (const gateway of scene.lan.gateways) await scene.lan.revive(gateway);
    const ended = ALL.filter((number) => !scene.members.living.includes(number));
    await Promise.all(ended.map((number) => scene.members.member(number).start()));
    await scene.members.settled(ALL);
    await waitFor('the first gateway to be master', async () => (await scene.members.settled(ALL)) === 1);
    await scene.members.untilServed(1, OWN);
    await pings.flowing();
  });

  const outages = async (event: number): Promise<(Outage | null)[]> => {
    const seen = await pings.outagesOnceSettled(event, SETTLE_MS, PATIENCE_MS);
    expect(seen.map((outage) => outage?.recovered)).not.toContain(null);
    return seen;
  };
  const lost = (seen: readonly (Outage | null)[]): number =>
    seen.reduce((sum, outage) => sum + (outage?.missing ?? 0), 0);

  test.each([
    ['a slave’s', 3, 1],
    ['the master’s', 1, 2],
  ])(
    'SIGKILL for %s process: its kernel forwards on until another takes over, and nothing is lost',
    async (_, number, heir) => {
      const event = unixSeconds();
      await scene.members.member(number).kill();
      await scene.members.untilServed(heir, { [number]: heir });
      expect(lost(await outages(event))).toBeLessThanOrEqual(2);
      await scene.members.member(number).start();
    },
  );

  test('a clean stop: what it has goes to others at once, and nothing is lost', async () => {
    const event = unixSeconds();
    expect(await scene.members.daemon(1).stop()).toBe(0);
    expect(await scene.members.settled([2, 3])).toBe(2);
    expect(lost(await outages(event))).toBeLessThanOrEqual(2);
  });

  test('the link of a gateway falls and returns: its hosts go on elsewhere, and come back', async () => {
    const [, , third] = scene.lan.gateways;
    const event = unixSeconds();
    await third.namespace.ip('link set eth0 down');
    await scene.members.untilServed(1, { 3: 1 });
    await outages(event);
    const returned = unixSeconds();
    await third.namespace.ip('link set eth0 up');
    await scene.members.settled(ALL);
    await scene.members.untilServed(1, OWN);
    expect(lost(await outages(returned))).toBeLessThanOrEqual(HOSTS);
  });

  test('the way upstream of the master is gone: it is tracked, and another one is master and serves', async () => {
    const [one] = scene.lan.gateways;
    const event = unixSeconds();
    await one.namespace.ip('link set eth1 down');
    await waitFor('another master', async () => (await scene.members.settled(ALL)) === 2, PATIENCE_MS);
    await scene.members.untilServed(2, { 1: 2 });
    await outages(event);
    const rows = await scene.members.rows(2);
    expect(rows.map(({ able }) => able)).toEqual([false, true, true]);
  });

  test('a stopped master (SIGSTOP) is followed by another, and does not answer as one when it goes on', async () => {
    scene.members.daemon(1).signal('SIGSTOP');
    await waitFor('another master', async () => (await scene.members.settled([2, 3])) === 2, PATIENCE_MS);
    const [host] = scene.lan.hosts;
    // Requests lie in its socket meanwhile.
    const asked = await scene.arps(async () => {
      expect(await scene.ask(host)).toBe(1);
      scene.members.daemon(1).signal('SIGCONT');
      await scene.members.settled(ALL);
    });
    const answers = asked.filter(({ kind, destination }) => kind === 'reply' && destination === host.mac);
    expect(answers.map(({ from }) => from)).toEqual([2]);
  });

  test('a slow gateway on a bad line, which stops for 50 ms again and again and loses a tenth: nothing changes', async () => {
    const { namespace, ports } = { namespace: scene.lan.lan.namespace, ports: scene.lan.ports };
    const before = await scene.members.rows(1);
    await namespace.nft(
      `table bridge lossy {\n chain forward {\n type filter hook forward priority 0\n iifname "${ports[2]}" ether type 0x88b5 numgen random mod 100 < 10 drop\n }\n}\n`,
    );
    for (let round = 0; round < 8; round++) {
      scene.members.daemon(3).signal('SIGSTOP');
      // Far from the 0.21 s that are a standstill, so that a busy machine does not make them that.
      await sleep(50);
      scene.members.daemon(3).signal('SIGCONT');
      await sleep(150);
    }
    const after = await scene.members.rows(1);
    await namespace.nft('delete table bridge lossy\n');
    const picture = (rows: typeof before): unknown[] =>
      rows.map(({ gateway, alive, master }) => [gateway, alive, master]);
    expect(picture(after)).toEqual(picture(before));
    expect(after[0].term).toBe(before[0].term);
    expect((await scene.members.servers(1)).get(3)).toBe(3);
  });

  test('gateways that do not hear each other: two masters, and one again when they do, with one table', async () => {
    // The third gateway and the hosts 5 and 6 are alone.
    await scene.lan.cut([3], [5, 6]);
    await scene.members.settled([1, 2]).catch(() => {});
    await waitFor('two masters', async () => {
      const [one, three] = await Promise.all([scene.members.rows(1), scene.members.rows(3)]);
      const master = (rows: typeof one, number: number): boolean =>
        rows.some((row) => row.gateway === number && row.master);
      return master(one, 1) && master(three, 3);
    });
    await outages(unixSeconds());
    const event = unixSeconds();
    await scene.lan.heal();
    expect(await scene.members.settled(ALL)).toBe(1);
    await outages(event);
    await waitFor('one host table', async () => {
      const tables = await Promise.all(
        ALL.map(async (number) => {
          const rows = await scene.members.hosts(number);
          return rows
            .map(({ host, gateway }) => `${host} ${gateway}`)
            .sort()
            .join();
        }),
      );
      return tables[0] !== '' && new Set(tables).size === 1;
    });
  });

  test('the master and a slave die at once: the third has everything', async () => {
    const [event] = await Promise.all([1, 3].map((number) => scene.lan.die(scene.lan.gateway(number))));
    expect(await scene.members.settled([2])).toBe(2);
    await scene.members.untilServed(2, { 1: 2, 2: 2, 3: 2 });
    await outages(event);
  });

  test('a gateway that comes and goes: every host has its way out each time', async () => {
    for (let round = 0; round < 2; round++) {
      const event = unixSeconds();
      await scene.members.member(3).kill();
      await scene.members.member(3).start();
      await outages(event);
    }
  });
});
