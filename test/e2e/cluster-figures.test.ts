/**
 * Document 001's message diagrams, packet by packet: FIG. 3 (messages 102 to 116) with the NAT server on a machine of its
 * own, beside a master that nobody here wrote.
 */
import { afterAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import type { LnsTunnelRow } from '../../src/ops/endpoint.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { lines, type Seen } from '../helpers/figure-capture.js';
import { CM, FigureScene, LOCAL, NAT, TI } from '../helpers/figure-scene.js';
import { describeLab } from '../helpers/lab.js';
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

describeLab('FIG. 3, the NAT server on a machine of its own beside a foreign master', ['tcpdump'], (open) => {
  let scene: FigureScene;
  let nat: LabAppliance;
  let te: LabEndpoint;
  let ti: TunnelInitiator;
  let tunnel: L2tpTunnel;

  test('messages 102 to 116 have the figure’s addresses and ids at each place', async () => {
    scene = await FigureScene.open(await open());
    await scene.foreignMaster();
    [nat, te, ti] = await Promise.all([
      scene.start('nat', { reply: 'nat', natAddress: NAT }),
      scene.startEndpoint(0),
      initiator(scene),
    ]);
    await scene.gatewayAnswers();
    const figure = await scene.watch();
    tunnel = await ti.dial(CM);
    const seen = await figure.seen();
    const [s102, s104] = ['TI > CM SCCRQ tunnel 0 assigned 1', 'TI > TE SCCRQ tunnel 0 assigned 1'];
    const [s106, s108] = ['TE > TI SCCRP tunnel 1 assigned 2', 'NAT > TI SCCRP tunnel 1 assigned 2'];
    const [s110, s112] = ['TI > NAT SCCCN tunnel 2', 'TI > TE SCCCN tunnel 2'];
    const [s114, s116] = ['TE > TI ZLB tunnel 1', 'NAT > TI ZLB tunnel 1'];
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
  });

  test('Table 1 at the NAT server, Table 2 at the initiator, and the endpoint’s own', async () => {
    expect(await nat.established()).toMatchObject([
      {
        vip: 'access',
        client: `${TI}:1701`,
        clientTunnelId: 1,
        virtualTunnelId: null,
        server: 'te1',
        serverAddress: LOCAL[0],
        serverPort: 1701,
        serverTunnelId: 2,
      },
    ]);
    expect(tunnel).toMatchObject({ localId: 1, peerId: 2, peer: { address: NAT, port: 1701 } });
    expect(await te.tunnels<LnsTunnelRow>()).toMatchObject([
      { peer: `${TI}:1701`, local: `${LOCAL[0]}:1701`, tunnelId: 2, peerTunnelId: 1, state: 'established' },
    ]);
    await ti.ask(tunnel);
    expect(await nat.drops()).toEqual({});
  });
});
