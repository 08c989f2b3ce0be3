/**
 * Document 001's message diagrams, packet by packet: FIG. 3 (messages 102 to 116) with the NAT server on a machine of its
 * own, beside a master that nobody here wrote and beside ours; FIG. 5 (204 to 214) with endpoints that answer themselves.
 * (FIG. 3 on one machine is with the claims of document 000, cluster-claims.test.ts.)
 */
import { afterAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { NatRow } from '../../src/ops/appliance.js';
import type { LnsTunnelRow } from '../../src/ops/endpoint.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { lines, type Seen } from '../helpers/figure-capture.js';
import { CM, FigureScene, GLOBAL, LAN_ROUTER_6, LOCAL, NAT, TI } from '../helpers/figure-scene.js';
import { describeLab, untilForwarded } from '../helpers/lab.js';
import { TunnelInitiator } from '../helpers/tunnel-initiator.js';

const initiators: TunnelInitiator[] = [];
afterAll(() => {
  for (const initiator of initiators) initiator.close();
});

async function initiator(scene: FigureScene, ids: readonly [number, number] = [1, 1]): Promise<TunnelInitiator> {
  const made = await TunnelInitiator.start(scene.ti, TI, { ids });
  initiators.push(made);
  return made;
}

/** The same message, byte for byte, at another place. */
function expectCarried(from: readonly Seen[], to: readonly Seen[], message: string): void {
  const payload = ({ line }: Seen): boolean => line.includes(` ${message} `);
  expect(to.find(payload)?.payload, message).toBe(from.find(payload)?.payload);
}

/** The initiator's id is 1, the endpoint's 2, as in the figure. */
const FIGURE_3 = {
  s102: 'TI > CM SCCRQ tunnel 0 assigned 1',
  s104: 'TI > TE SCCRQ tunnel 0 assigned 1',
  s106: 'TE > TI SCCRP tunnel 1 assigned 2',
  s108: 'NAT > TI SCCRP tunnel 1 assigned 2',
  s110: 'TI > NAT SCCCN tunnel 2',
  s112: 'TI > TE SCCCN tunnel 2',
  s114: 'TE > TI ZLB tunnel 1',
  s116: 'NAT > TI ZLB tunnel 1',
};

/** Every message at every place, and nothing else anywhere. */
function expectFigure3(seen: Readonly<Record<string, readonly Seen[]>>): void {
  const { s102, s104, s106, s108, s110, s112, s114, s116 } = FIGURE_3;
  expect(lines(seen.ti)).toEqual([s102, s108, s110, s116]);
  expect(lines(seen['master-wan'])).toEqual([s102]);
  expect(lines(seen['master-lan'])).toEqual([s104]);
  expect(lines(seen.te)).toEqual([s104, s106, s112, s114]);
  expect(lines(seen['nat-lan'])).toEqual([s106, s112, s114]);
  expect(lines(seen['nat-wan'])).toEqual([s108, s110, s116]);
  // What L2TP says is left as it is on its way.
  expectCarried(seen.ti, seen.te, 'SCCRQ');
  expectCarried(seen.te, seen.ti, 'SCCRP');
  expectCarried(seen.ti, seen.te, 'SCCCN');
  expectCarried(seen.te, seen.ti, 'ZLB');
}

describeLab('FIG. 3, the NAT server on a machine of its own beside a foreign master', ['tcpdump'], (open) => {
  let scene: FigureScene;
  let nat: LabAppliance;
  let te: LabEndpoint;
  let te2: LabEndpoint;
  let ti: TunnelInitiator;
  let tunnel: L2tpTunnel;

  test('messages 102 to 116 have the figure’s addresses and ids at each place', async () => {
    scene = await FigureScene.open(await open(), { endpoints: 2 });
    await scene.foreignMaster();
    [nat, te, ti, te2] = await Promise.all([
      scene.start('nat', { reply: 'nat', natAddress: NAT }),
      scene.startEndpoint(0),
      initiator(scene),
      scene.startEndpoint(1),
    ]);
    await scene.gatewayAnswers();
    const figure = await scene.watch();
    tunnel = await ti.dial(CM);
    const seen = await figure.seen();
    expectFigure3(seen);
  });

  test('Table 1 at the NAT server, Table 2 at the initiator, and the endpoint’s own', async () => {
    expect(await nat.control<NatRow[]>('GET', '/v1/nat')).toMatchObject([
      {
        farAddress: TI,
        farPort: 1701,
        localAddress: LOCAL[0],
        localPort: 1701,
        natAddress: NAT,
        natPort: 1701,
        farTunnelId: tunnel.localId,
        localTunnelId: 2,
        state: 'established',
      },
    ]);
    expect(await nat.established()).toMatchObject([
      {
        vip: 'access',
        client: `${TI}:1701`,
        clientTunnelId: tunnel.localId,
        virtualTunnelId: null,
        server: 'te1',
        serverAddress: LOCAL[0],
        serverPort: 1701,
        serverTunnelId: 2,
      },
    ]);
    expect(tunnel).toMatchObject({ peerId: 2, peer: { address: NAT, port: 1701 } });
    expect(await te.tunnels<LnsTunnelRow>()).toMatchObject([
      {
        peer: `${TI}:1701`,
        local: `${LOCAL[0]}:1701`,
        tunnelId: 2,
        peerTunnelId: tunnel.localId,
        state: 'established',
      },
    ]);
    await ti.ask(tunnel);
    expect(await nat.drops()).toEqual({});
  });

  test('a second endpoint gives its tunnel of the same address and port the same id: the initiator is shown another', async () => {
    ti.endpoint.setTunnelIds(2, 2);
    const second = await ti.dial(CM);
    expect([second.peer.address, second.peerId === tunnel.peerId]).toEqual([NAT, false]);
    const rows = await nat.established();
    expect(
      rows.map(({ server, serverTunnelId, virtualTunnelId }) => [server, serverTunnelId, virtualTunnelId]),
    ).toEqual([
      ['te1', 2, null],
      ['te2', 2, second.peerId],
    ]);
    for (const one of [tunnel, second]) await ti.ask(one);
    await untilForwarded(nat, 2);
    // Data of a session that nobody has: the way to its endpoint counts, and goes to the right one.
    const before = rows.map(({ packetsIn }) => packetsIn);
    ti.data(second, 77);
    await waitFor('the packet to be forwarded', async () => (await nat.established())[1].packetsIn > before[1] + 1);
    await waitFor('its endpoint to have it', async () => Object.keys(await te2.drops()).includes('unknown-session'));
    expect(Object.keys(await te.drops())).not.toContain('unknown-session');
  });

  test('the endpoints’ gateway: advertised while it leads anywhere, taken back when the outside is down', async () => {
    const routed = async (): Promise<boolean> =>
      (await scene.endpoints[0].run('ip', ['-6', 'route', 'show', 'default'])).includes(`via ${LAN_ROUTER_6} `);
    await waitFor('a default route', routed);
    await scene.nat.ip('link set wan0 down');
    await waitFor('the default route to go', async () => !(await routed()));
    const rows = await nat.control<{ able: boolean; reasons?: string }[]>('GET', '/v1/gateways');
    expect(rows.map(({ able }) => able)).toEqual([false]);
    await scene.nat.ip('link set wan0 up', 'addr replace 192.128.10.2/24 dev wan0');
    await waitFor('the default route to be back', routed);
    for (const one of [...ti.endpoint.tunnels.values()]) await ti.ask(one);
  });
});

describeLab('FIG. 3 and FIG. 5, with a master of ours', ['tcpdump'], (open) => {
  test('FIG. 3 on two machines: master and NAT server know nothing of each other', async () => {
    const scene = await FigureScene.open(await open(), { prefix: 'two-' });
    const [master, nat, te, ti] = await Promise.all([
      scene.start('master', { reply: 'nat', natAddress: NAT }),
      scene.start('nat', { reply: 'nat', natAddress: NAT }),
      scene.startEndpoint(0),
      initiator(scene),
    ]);
    await scene.gatewayAnswers();
    const figure = await scene.watch();
    const tunnel = await ti.dial(CM);
    expectFigure3(await figure.seen());
    expect(tunnel).toMatchObject({ localId: 1, peerId: 2, peer: { address: NAT, port: 1701 } });
    expect(await nat.established()).toMatchObject([
      { client: `${TI}:1701`, serverAddress: LOCAL[0], serverTunnelId: 2 },
    ]);
    // The master has passed the request on, and knows of no more.
    expect((await master.tunnels()).filter(({ state }) => state === 'established')).toEqual([]);
    await ti.ask(tunnel);
    expect(await te.tunnels()).toHaveLength(1);
  });

  test('FIG. 5: messages 204 to 214, whose answers come from the endpoint’s global address; Table 3', async () => {
    const scene = await FigureScene.open(await open(), { machines: 'one', global: true, prefix: 'direct-' });
    const [master, te, ti] = await Promise.all([
      scene.start('master', { reply: 'direct' }),
      scene.startEndpoint(0),
      initiator(scene),
    ]);
    const figure = await scene.watch();
    const tunnel = await ti.dial(CM);
    const seen = await figure.seen();
    const [s102, s204] = [FIGURE_3.s102, 'TI > TE SCCRQ tunnel 0 assigned 1'];
    const s206 = 'globalTE > TI SCCRP tunnel 1 assigned 2'; // 208 at the initiator
    const s210 = 'TI > globalTE SCCCN tunnel 2';
    const s214 = 'globalTE > TI ZLB tunnel 1';
    expect(lines(seen.ti)).toEqual([s102, s206, s210, s214]);
    expect(lines(seen['master-wan'])).toEqual([s102]);
    expect(lines(seen['master-lan'])).toEqual([s204]);
    expect(lines(seen.te)).toEqual([s204]);
    expect(lines(seen['te-wan'])).toEqual([s206, s210, s214]);
    expectCarried(seen.ti, seen.te, 'SCCRQ');
    // Table 3: the far end is the endpoint itself, by its global address.
    expect(tunnel).toMatchObject({ localId: 1, peerId: 2, peer: { address: GLOBAL[0], port: 1701 } });
    expect(await te.tunnels<LnsTunnelRow>()).toMatchObject([
      { peer: `${TI}:1701`, local: `${GLOBAL[0]}:1701`, tunnelId: 2, peerTunnelId: 1, state: 'established' },
    ]);
    await ti.ask(tunnel);
    expect((await master.tunnels()).filter(({ state }) => state === 'established')).toEqual([]);
  });
});
