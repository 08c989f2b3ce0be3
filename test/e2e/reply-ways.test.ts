/**
 * Clients that follow answers from another address than the VIP, that stay at the VIP (xl2tpd) and that take no answer but
 * the VIP's (a connected socket), behind `reply: nat` on one machine and behind `reply: direct` (document 001, FIG. 2 and 4).
 */
import { afterAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient } from '../../src/demo/lab/xl2tpd.js';
import type { NatRow, VipRow } from '../../src/ops/appliance.js';
import { CM, FigureScene, GLOBAL, LOCAL, NAT, TI } from '../helpers/figure-scene.js';
import { describeLab } from '../helpers/lab.js';
import { TunnelInitiator } from '../helpers/tunnel-initiator.js';

const STAYS = '192.128.10.6';
const REFUSES = '192.128.10.7';
const ASKED_FROM = '10.10.1.250';
const initiators: TunnelInitiator[] = [];
afterAll(() => {
  for (const initiator of initiators) initiator.close();
});

async function start(namespace: Namespace, address: string, connectedTo?: string): Promise<TunnelInitiator> {
  const made = await TunnelInitiator.start(namespace, address, {
    ids: [1, 99],
    ...(connectedTo ? { connectedTo } : {}),
  });
  initiators.push(made);
  return made;
}

/** Another client on the IP network. */
async function client(lab: Lab, scene: FigureScene, name: string, address: string): Promise<Namespace> {
  const namespace = await lab.namespace(name);
  await lab.plug(scene.wan, namespace, 'eth0', [`${address}/24`]);
  await namespace.ip(`route add ${CM}/32 via 192.128.10.1`, `route add ${NAT}/32 via 192.128.10.1`);
  return namespace;
}

const vipOf = async (appliance: LabAppliance): Promise<VipRow> =>
  (await appliance.control<VipRow[]>('GET', '/v1/vips'))[0];

/** What is known of the clients, once it is. */
async function untilKnown(appliance: LabAppliance, wanted: Partial<VipRow>): Promise<void> {
  const is = async (): Promise<boolean> => {
    const row = await vipOf(appliance);
    return Object.entries(wanted).every(([key, value]) => row[key as keyof VipRow] === value);
  };
  await waitFor(JSON.stringify(wanted), is, 20_000, async () => JSON.stringify(await vipOf(appliance)));
}

/** xl2tpd, with a session through which PPP passes both ways. */
async function stay(lab: Lab, namespace: Namespace, label: string): Promise<Xl2tpdClient> {
  const made = new Xl2tpdClient(lab, namespace, label, { lns: CM });
  await made.ready();
  made.dial(1);
  await waitFor(
    'a call of xl2tpd',
    () => made.calls() > 0,
    20_000,
    () => made.daemon.tail(),
  );
  return made;
}

describeLab('reply: nat on one machine', USER_SPACE, (open) => {
  test('who follows, who stays and who refuses: all have their tunnels, and are named', async () => {
    const lab = await open();
    const scene = await FigureScene.open(lab, { machines: 'one' });
    const [stays, refuses] = [await client(lab, scene, 'stays', STAYS), await client(lab, scene, 'refuses', REFUSES)];
    const [appliance] = await Promise.all([
      scene.start('all', { reply: 'nat', natAddress: NAT }),
      scene.startEndpoint(0, '2-99'),
    ]);
    await scene.gatewayAnswers();
    const follower = await start(scene.ti, TI);
    const followed = await follower.dial(CM);
    expect(followed.peer).toMatchObject({ address: NAT, port: 1701 });
    const refuser = await start(refuses, REFUSES, CM);
    const [refused] = await Promise.all([refuser.dial(CM), stay(lab, stays, 'stays')]);
    expect(refused.peer).toMatchObject({ address: CM, port: 1701 });
    await untilKnown(appliance, { following: 1, carried: 1, refusing: 1 });
    expect((await vipOf(appliance)).notFollowing?.split(', ').sort()).toEqual([
      `${STAYS} carried`,
      `${REFUSES} refuses`,
    ]);
    // Its next tunnel need not be refused first.
    expect((await refuser.dial(CM)).peer).toMatchObject({ address: CM });
    for (const [initiator, tunnel] of [
      [follower, followed],
      [refuser, refused],
    ] as const)
      await initiator.ask(tunnel);
    const nat = await appliance.control<NatRow[]>('GET', '/v1/nat');
    expect(nat.map(({ farAddress, natAddress }) => `${farAddress} ${natAddress}`).sort()).toEqual([
      `${TI} ${NAT}`,
      `${STAYS} ${NAT}`,
      `${REFUSES} ${CM}`,
      `${REFUSES} ${CM}`,
    ]);
    expect(nat.find(({ farAddress }) => farAddress === TI)).toMatchObject({
      farPort: 1701,
      localAddress: LOCAL[0],
      localPort: 1701,
      natPort: 1701,
      farTunnelId: followed.localId,
      localTunnelId: followed.peerId,
      state: 'established',
    });
    expect(await appliance.drops()).toEqual({});
  });
});

describeLab('reply: direct', USER_SPACE, (open) => {
  test('who follows, who stays and who refuses: all have their tunnels, and are named', async () => {
    const lab = await open();
    const scene = await FigureScene.open(lab, { machines: 'one', global: true });
    const [stays, refuses] = [await client(lab, scene, 'stays', STAYS), await client(lab, scene, 'refuses', REFUSES)];
    const answerFrom = [{ listen: LOCAL[0], address: GLOBAL[0], except: [ASKED_FROM] }];
    const [appliance] = await Promise.all([
      scene.start('all', { reply: 'direct', localAddress: ASKED_FROM }),
      scene.startEndpoint(0, '2-99', { answerFrom }),
    ]);
    const follower = await start(scene.ti, TI);
    const followed = await follower.dial(CM);
    expect(followed.peer).toMatchObject({ address: GLOBAL[0], port: 1701 });
    const refuser = await start(refuses, REFUSES, CM);
    const [refused] = await Promise.all([refuser.dial(CM), stay(lab, stays, 'stays')]);
    expect(refused.peer).toMatchObject({ address: CM, port: 1701 });
    await untilKnown(appliance, { following: 1, carried: 1, refusing: 1 });
    expect((await vipOf(appliance)).notFollowing?.split(', ').sort()).toEqual([
      `${STAYS} carried`,
      `${REFUSES} refuses`,
    ]);
    expect((await refuser.dial(CM)).peer).toMatchObject({ address: CM });
    await follower.ask(followed);
    await refuser.ask(refused);
    // What follows is not seen here any more; the others' tunnels stand here too.
    const rows = await appliance.established();
    expect(rows.map(({ client: from, server }) => `${from} ${server}`).sort()).toEqual([
      `${STAYS}:1701 te1`,
      `${REFUSES}:1701 te1`,
      `${REFUSES}:1701 te1`,
    ]);
    expect(await appliance.drops()).toEqual({});
  });
});
