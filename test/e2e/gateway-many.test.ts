/** Eight gateways and two hundred hosts: shares, deaths of several, hosts that are given away, a gateway that returns. */
import { beforeAll, expect, test } from 'vitest';
import { type Pings, unixSeconds } from '../../src/demo/lab/gateway-lan.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { GatewayScene } from '../helpers/gateway-scene.js';
import { describeLab } from '../helpers/lab.js';

const HOSTS = 200;
const WEIGHTS = [100, 100, 100, 100, 200, 200, 100, 100];
/** Hundreds of programs that ping: seldom. */
const PING_MS = 200;

describeLab('eight gateways and two hundred hosts', ['tcpdump', 'arping'], (open) => {
  let scene: GatewayScene;
  let pings: Pings;

  beforeAll(async () => {
    scene = await GatewayScene.open(await open(), {
      gateways: 8,
      hosts: HOSTS,
      group: { permanentAfter: '1s', return: 'gradual', preempt: false },
      each: (number) => ({ weight: WEIGHTS[number - 1] }),
    });
    pings = await scene.pinging(PING_MS);
  });

  const outages = async (event: number): Promise<void> => {
    const seen = await pings.outagesOnceSettled(event, 1500, 30_000);
    expect(seen.filter((outage) => outage === null || outage.recovered === null)).toEqual([]);
  };

  test('hosts are shared by the weights, within a tenth', async () => {
    const shares = await scene.members.shares();
    for (const [index, hosts] of shares.entries()) {
      const due = (HOSTS * WEIGHTS[index]) / 1000;
      expect(Math.abs(hosts - due)).toBeLessThanOrEqual(Math.max(1, due / 10));
    }
  });

  test('three of them die at once, the master among them: every host has a way out', async () => {
    const [event] = await Promise.all([1, 5, 8].map((number) => scene.lan.die(scene.lan.gateway(number))));
    expect(await scene.members.settled([2, 3, 4, 6, 7])).toBe(2);
    await outages(event);
  });

  test('claims 7, 16, 25, 43, 44: they stay dead, and their hosts are told others, without having asked', async () => {
    await waitFor(
      'no host to know a dead gateway',
      async () => (await scene.members.shares()).every((hosts, index) => hosts === 0 || ![0, 4, 7].includes(index)),
      30_000,
    );
    const shares = await scene.members.shares();
    expect(shares.reduce((sum, hosts) => sum + hosts, 0)).toBe(HOSTS);
    await pings.flowing();
  });

  test('a gateway returns and has hosts again, and nobody loses its way', async () => {
    const event = unixSeconds();
    await scene.lan.revive(scene.lan.gateway(5));
    await scene.members.member(5).start();
    await waitFor('hosts to come back', async () => (await scene.members.shares())[4] > 0, 30_000);
    await outages(event);
  });
});
