/**
 * An LNS dies under a call of a client that knows nothing of switchover: xl2tpd and pppd on a kernel of their own. Its peer
 * goes on with tunnel, session and PPP as they were (document 002): behind our designator, and without one by its address.
 */
import { afterEach, expect, test } from 'vitest';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { KernelClient } from '../../src/demo/lab/kernel-ppp.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS } from '../../src/demo/lab/packages.js';
import {
  buildTopology,
  exampleConfig,
  LAN_GATEWAY,
  SERVERS,
  type Topology,
  VIP,
  WAN_GATEWAY,
} from '../../src/demo/lab/topology.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab, startAppliance, startLns } from '../helpers/lab.js';

const SECRET = 'a secret that all of them share';
const PORT = 7018;
const GATEWAY = '10.64.0.1';
const ADDRESS = '10.64.0.77';
/** Five a second. */
const PINGS = 25;
const LOG = 'ppp.log';
const PPP_OPTIONS = ['debug', `logfile /lab/${LOG}`];

/** Two LNSs that are each other's peer. `takeOver`: what each does to the network when the other dies. */
function startPair(lab: Lab, net: Topology, takeOver: (index: number) => object): Promise<LabEndpoint[]> {
  return Promise.all(
    SERVERS.map((address, index) =>
      startLns(
        lab,
        net.servers[index],
        {
          name: `lns${index + 1}`,
          listen: address,
          tunnels: { ids: ['1-32767', '32768-65535'][index] },
          ipv4: { local: GATEWAY },
          pools: [{ name: 'home', ipv4: `10.64.${index}.0/24` }],
          offload: { peer: SERVERS[1 - index], secret: SECRET },
          takeOver: takeOver(index),
        },
        { name: `lns${index + 1}`, users: [{ name: 'alice', password: 's3cret', address: ADDRESS }] },
      ),
    ),
  );
}

/** Dials, lets the first LNS die in the middle of pings, and sees that PPP has noticed nothing. */
async function survive(guest: Guest, client: KernelClient, pair: LabEndpoint[], die: () => Promise<unknown>) {
  expect(await client.connect(1, 'ppp0')).toEqual({ local: ADDRESS, peer: GATEWAY });
  const kept = async (): Promise<boolean> =>
    (await pair[1].control<{ keptSessions: number }[]>('GET', '/v1/peers'))[0].keptSessions === 1;
  await waitFor('the peer to know the session', kept);
  const requests = (): number => guest.output(LOG).match(/^rcvd \[LCP ConfReq/gm)?.length ?? 0;
  const [negotiated, device] = [requests(), await guest.run('cat /sys/class/net/ppp0/ifindex')];
  expect(negotiated).toBeGreaterThan(0);
  const pings = client.ping(GATEWAY, 'ppp0', PINGS);
  await die();
  const replies = await pings;
  const [session] = await pair[1].untilSessions(1);
  expect(session).toMatchObject({ user: 'alice', address: ADDRESS, state: 'up' });
  // How long the outage was is told below; a busy machine may need longer than all these pings.
  await waitFor('every ping to be answered again', async () => (await client.ping(GATEWAY, 'ppp0')) === 5, 30_000);
  expect([requests(), await guest.run('cat /sys/class/net/ppp0/ifindex')]).toEqual([negotiated, device]);
  process.stdout.write(`survive: ${replies} of ${PINGS} pings\n`);
}

describeLab('a client that knows nothing of switchover', GUESTS, (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('behind the designator, which leads its tunnel to the peer', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const guest = await Guest.start(lab, net.wan, 'cpe', { mac: '02:00:00:00:00:07' });
    const names = SERVERS.map((_, index) => `lns${index + 1}`);
    const servers = SERVERS.map((address, index) => ({
      name: names[index],
      address,
      weight: 1 - index,
      ...(index === 0 ? { peer: names[1] } : {}),
    }));
    const applianceUp = startAppliance(
      lab,
      net.designator,
      exampleConfig({
        vip: { servers },
        more: { takeOver: { listen: `${LAN_GATEWAY}:${PORT}`, secret: SECRET, quiet: '500ms' } },
      }),
    );
    const pairUp = startPair(lab, net, (index) => ({
      designators: `${LAN_GATEWAY}:${PORT}`,
      names: [{ name: names[index], peer: names[1 - index] }],
      secret: SECRET,
    }));
    const network = ['addr add 192.128.10.7/24 dev eth0', `route add default via ${WAN_GATEWAY}`];
    const clientUp = KernelClient.start(guest, { network, vip: VIP, pppOptions: PPP_OPTIONS });
    const [appliance, pair, client] = await Promise.all([applianceUp, pairUp, clientUp]);
    await survive(guest, client, pair, () => pair[0].kill());
    expect((await appliance.established()).map(({ server, serverTunnelId }) => [server, serverTunnelId])).toEqual([
      ['lns2', expect.any(Number)],
    ]);
  });

  test('by the dead one’s address, which the peer takes', async () => {
    lab = await open();
    const net = await buildTopology(lab);
    const guest = await Guest.start(lab, net.lan, 'cpe', { mac: '02:00:00:00:00:07' });
    const pairUp = startPair(lab, net, (index) => ({
      addresses: [{ address: `${SERVERS[1 - index]}/24`, interface: 'eth0' }],
    }));
    const network = ['addr add 10.10.1.7/24 dev eth0'];
    const clientUp = KernelClient.start(guest, { network, vip: SERVERS[0], pppOptions: PPP_OPTIONS });
    const [pair, client] = await Promise.all([pairUp, clientUp]);
    // The whole machine is gone, or it would answer for its address.
    await survive(guest, client, pair, () => Promise.all([pair[0].kill(), net.servers[0].ip('link set eth0 down')]));
  });
});
