/**
 * An LNS dies under a call of a client that knows nothing of switchover: xl2tpd and pppd on a kernel of their own. Its peer
 * goes on with tunnel, session and PPP as they were (document 002): behind our designator, and without one by its address.
 */
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { KernelClient } from '../../src/demo/lab/kernel-ppp.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS } from '../../src/demo/lab/packages.js';
import {
  addServer,
  buildTopology,
  exampleConfig,
  LAN_GATEWAY,
  SERVERS,
  type Topology,
  VIP,
  WAN_GATEWAY,
} from '../../src/demo/lab/topology.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab, startAppliance, startLns } from '../helpers/lab.js';

const SECRET = 'a secret that all of them share';
const PORT = 7018;
const GATEWAY = '10.64.0.1';
const ADDRESS = '10.64.0.77';
/** Five a second. */
const PINGS = 25;
const COPY = join(import.meta.dirname, '../helpers/tcp-copy.mjs');
const WEB = '10.10.1.50';
/** Each way. So much takes a guest's kernel some seconds. */
const BYTES = 12_000_000;
/** When so many have crossed, the copy is under way. */
const UNDER_WAY = 1_000_000;
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

/**
 * A host of the network behind, which looks for the subscriber on its own segment. That it is to be found at the first LNS
 * is what a router would know; that the peer has it from then on, the host has to be told (takeOver.subscribers).
 */
async function addWeb(lab: Lab, net: Topology): Promise<Namespace> {
  const web = await addServer(lab, net.lan, 'web', WEB);
  const mac = (await net.servers[0].run('cat', ['/sys/class/net/eth0/address'])).trim();
  await web.ip(`route add ${ADDRESS}/32 dev eth0`, `neigh replace ${ADDRESS} lladdr ${mac} dev eth0 nud stale`);
  for (const server of net.servers) await server.sysctl('net.ipv4.ip_forward', 1);
  return web;
}

interface Copy {
  /** Both had what the other sent. */
  readonly done: Promise<void>;
  readonly isUnderWay: () => boolean;
}

/** Copies over TCP between guest and host, both ways; resolves when it is under way. */
async function startCopy(guest: Guest, web: Namespace, primary: LabEndpoint): Promise<Copy> {
  const server = web.start('copy', process.execPath, [COPY, 'serve', WEB, '5001', String(BYTES)]);
  await server.waitForLine(/listening/);
  guest.give(COPY, 'tcp-copy.mjs');
  await guest.run(`ip route add ${WEB} dev ppp0`);
  const client = guest.run(`${process.execPath} /lab/tcp-copy.mjs connect ${WEB} 5001 ${BYTES}`, 120_000);
  const done = (async () => {
    const said = JSON.parse(await client);
    expect(JSON.parse(await server.waitForLine(/"got"/))).toEqual({ sent: said.got, got: said.sent });
  })();
  let isUnderWay = true;
  // Looked at when it is awaited; until then a failure must not be nobody's.
  done
    .catch(() => {})
    .finally(() => {
      isUnderWay = false;
    });
  const crossed = async (): Promise<boolean> => (await primary.sessions())[0].bytesOut > UNDER_WAY;
  await waitFor('the copy to be under way', crossed, 60_000);
  return { done, isUnderWay: () => isUnderWay };
}

/** Dials, lets the first LNS die in the middle of pings, and sees that PPP has noticed nothing. */
async function survive(
  guest: Guest,
  client: KernelClient,
  pair: LabEndpoint[],
  die: () => Promise<unknown>,
  web?: Namespace,
) {
  expect(await client.connect(1, 'ppp0')).toEqual({ local: ADDRESS, peer: GATEWAY });
  const kept = async (): Promise<boolean> =>
    (await pair[1].control<{ keptSessions: number }[]>('GET', '/v1/peers'))[0].keptSessions === 1;
  await waitFor('the peer to know the session', kept);
  const requests = (): number => guest.output(LOG).match(/^rcvd \[LCP ConfReq/gm)?.length ?? 0;
  const [negotiated, device] = [requests(), await guest.run('cat /sys/class/net/ppp0/ifindex')];
  expect(negotiated).toBeGreaterThan(0);
  const copy = web === undefined ? null : await startCopy(guest, web, pair[0]);
  const pings = client.ping(GATEWAY, 'ppp0', PINGS);
  await die();
  expect(copy?.isUnderWay() ?? true).toBe(true);
  const replies = await pings;
  const [session] = await pair[1].untilSessions(1);
  expect(session).toMatchObject({ user: 'alice', address: ADDRESS, state: 'up' });
  await copy?.done;
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
      subscribers: { interface: 'eth0' },
    }));
    const network = ['addr add 192.128.10.7/24 dev eth0', `route add default via ${WAN_GATEWAY}`];
    const clientUp = KernelClient.start(guest, { network, vip: VIP, pppOptions: PPP_OPTIONS });
    const [appliance, pair, client] = await Promise.all([applianceUp, pairUp, clientUp]);
    await survive(guest, client, pair, () => pair[0].kill(), await addWeb(lab, net));
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
