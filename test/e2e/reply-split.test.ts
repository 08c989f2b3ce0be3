/**
 * `reply: nat` on two machines (document 001, FIG. 2: `part: master` and `part: nat`), which know nothing of each other, and
 * the clients that do not follow answers of the NAT server: xl2tpd, which goes on sending to the master and is carried on
 * from there to its endpoints, and a connected socket, which hears the master's address. Data pass both ways in all of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import type { NatRow, TunnelRow, VipRow } from '../../src/ops/appliance.js';
import { CM, FigureScene, LOCAL, NAT, TI } from '../helpers/figure-scene.js';
import { ScriptedClient } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedServer, untilForwarded } from '../helpers/lab.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const STAYS = '192.128.10.6';
/** Ports of two xl2tpd there. */
const PORTS = [1701, 1702];
const REFUSES = '192.128.10.7';
/** Requests of clients that refuse are put to endpoints from here. */
const ASKED_FROM = '10.10.1.250';
/** A second VIP behind the same NAT address, whose endpoint sends numbered data back. */
const CM2 = '200.200.100.2';
const ECHO = '10.10.1.3';

const vips = async (appliance: LabAppliance): Promise<Record<string, VipRow>> =>
  Object.fromEntries((await appliance.control<VipRow[]>('GET', '/v1/vips')).map((row) => [row.name, row]));

/** Datagrams that programs of a namespace have taken. */
async function datagrams(namespace: Namespace): Promise<number> {
  const [names, values] = (await namespace.run('cat', ['/proc/net/snmp']))
    .split('\n')
    .filter((line) => line.startsWith('Udp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('InDatagrams')]);
}

const sum = (rows: readonly TunnelRow[], field: 'packetsIn' | 'packetsOut'): number =>
  rows.reduce((all, row) => all + row[field], 0);

describeLab('reply: nat on two machines', USER_SPACE, (open) => {
  let scene: FigureScene;
  let master: LabAppliance;
  let nat: LabAppliance;
  let stays: Namespace;
  let refuses: Namespace;
  let follower: ScriptedClient;
  let refuser: ScriptedClient;

  const ofClient = async (box: LabAppliance, address: string): Promise<TunnelRow[]> =>
    (await box.established()).filter(({ client }) => client.startsWith(`${address}:`));

  test('a client that follows: its data cross the NAT server alone', async () => {
    const lab = await open();
    scene = await FigureScene.open(lab, { endpoints: 2 });
    const client = async (name: string, address: string): Promise<Namespace> => {
      const made = await lab.namespace(name);
      await lab.plug(scene.wan, made, 'eth0', [`${address}/24`]);
      await made.ip(`route add ${CM}/32 via 192.128.10.1`, `route add ${NAT}/32 via 192.128.10.2`);
      return made;
    };
    [stays, refuses] = [await client('stays', STAYS), await client('refuses', REFUSES)];
    for (const each of [scene.ti, refuses]) await each.ip(`route add ${CM2}/32 via 192.128.10.1`);
    await scene.endpoints[0].ip(`addr add ${ECHO}/24 dev eth0`);
    const vip = { reply: 'nat', natAddress: NAT };
    const second = {
      name: 'echo',
      address: CM2,
      protocols: ['l2tp'],
      servers: [{ name: 'echo1', address: ECHO }],
    };
    const server = new Xl2tpdServer(lab, scene.endpoints[1], 'te2-xl2tpd');
    [master, nat] = await Promise.all([
      scene.start('master', { ...vip, localAddress: ASKED_FROM }, {}, [
        { ...second, ...vip, localAddress: ASKED_FROM },
      ]),
      scene.start('nat', vip, { announce: { inside: '0.0.0.0/0', settle: '100ms' } }, [{ ...second, ...vip }]),
      scene.startEndpoint(0, '2-99'),
      scriptedServer(scene.endpoints[0], ECHO),
      server.ready(),
    ]);
    await scene.gatewayAnswers();
    follower = new ScriptedClient(await new UdpAgent(scene.ti).bind(TI, 1701), CM2);
    await follower.connect(11);
    expect(await follower.stream(100, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0 });
    expect([...follower.sources]).toEqual([`${NAT}:1701`]);
    expect(await master.established()).toEqual([]);
  });

  test('a connected socket hears the master, and is named; its next tunnel as well, at once', async () => {
    const peer = { address: CM2, port: 1701 };
    refuser = new ScriptedClient(await new UdpAgent(refuses).bind(REFUSES, 1701, peer), CM2);
    await refuser.connect(21);
    await refuser.connect(22);
    expect([...refuser.sources]).toEqual([`${CM2}:1701`]);
    await waitFor('the master to name it', async () => (await vips(master)).echo.refusing === 1);
    expect((await vips(master)).echo.notFollowing).toBe(`${REFUSES} refuses`);
    await untilForwarded(master, 2);
    expect(await refuser.stream(100, () => sleep(300))).toMatchObject({ lost: 0, repeated: 0 });
    const rows = await ofClient(master, REFUSES);
    expect(rows.map(({ serverAddress }) => serverAddress)).toEqual([ECHO, ECHO]);
    expect(sum(rows, 'packetsOut')).toBeGreaterThan(0);
    expect(await ofClient(nat, REFUSES)).toEqual([]);
  });

  test('xl2tpd is carried on to both of its endpoints: there by the master, back by the NAT server', async () => {
    // All tunnels of a port that is carried on go to one endpoint, so there are two of them, at two ports.
    for (const port of PORTS) {
      const xl2tpd = new Xl2tpdClient(scene.lab, stays, `stays-${port}`, { lns: CM, port });
      await xl2tpd.ready();
      await xl2tpd.connect(1);
    }
    await waitFor('the master to name it', async () => (await vips(master)).access.carried === 1);
    expect((await vips(master)).access.notFollowing).toBe(`${STAYS} carried`);
    for (const box of [master, nat]) {
      await waitFor(
        'both tunnels to stand',
        async () => (await ofClient(box, STAYS)).length === 2,
        10_000,
        () => box.command('show', 'tunnels'),
      );
      expect((await ofClient(box, STAYS)).map(({ serverAddress }) => serverAddress).sort()).toEqual([...LOCAL]);
    }
    await untilForwarded(master, 4);
    // It asks for an echo five times a second in each tunnel.
    const [there, back, taken] = await Promise.all([ofClient(master, STAYS), ofClient(nat, STAYS), datagrams(stays)]);
    await waitFor(
      'its echoes to go there',
      async () => sum(await ofClient(master, STAYS), 'packetsIn') >= sum(there, 'packetsIn') + 6,
    );
    await waitFor(
      '… and back',
      async () => sum(await ofClient(nat, STAYS), 'packetsOut') >= sum(back, 'packetsOut') + 6,
    );
    await waitFor('… and to be taken', async () => (await datagrams(stays)) >= taken + 6);
    const table = await nat.control<NatRow[]>('GET', '/v1/nat');
    expect(table.filter(({ farAddress, state }) => farAddress === STAYS && state === 'established')).toHaveLength(2);
  });

  test('nothing was lost of those that were there before, and nobody threw anything away', async () => {
    for (const each of [follower, refuser])
      expect(await each.stream(100, () => sleep(200))).toMatchObject({ lost: 0, repeated: 0 });
    await waitFor('the silent one to count as following', async () => (await vips(master)).echo.following === 1);
    expect(await master.drops()).toEqual({});
    expect(await nat.drops()).toEqual({});
  });

  test('the NAT server takes its routes back, to clients and to endpoints, when its outside goes down', async () => {
    const routes = async (): Promise<string[]> => {
      const [addresses, inside] = await Promise.all(
        [1701, 1702].map((table) => scene.nat.tryRun('ip', ['route', 'show', 'table', `${table}`])),
      );
      return [addresses, inside]
        .flatMap(({ stdout }) => stdout.split('\n').filter(Boolean))
        .map((line) => line.split(' ')[0]);
    };
    await waitFor(
      'the routes',
      async () => (await routes()).join() === `${NAT},default`,
      10_000,
      async () => (await routes()).join(),
    );
    await scene.nat.ip('link set wan0 down');
    await waitFor('them to go', async () => (await routes()).length === 0);
  });
});
