/**
 * Two of our LNSs behind the designator, and a client that knows nothing of either: xl2tpd and pppd in a guest, whose
 * kernel does PPP. The tests go on where the one before has stopped: what an operator would see from start to end.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { KernelClient } from '../../src/demo/lab/kernel-ppp.js';
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
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { LnsTunnelRow } from '../../src/ops/endpoint.js';
import { describeLab, startAppliance, startLns } from '../helpers/lab.js';

const COPY = join(import.meta.dirname, '../helpers/tcp-copy.mjs');
const CLIENT = '192.128.10.7';
const WEB = '10.10.1.50';
const SECRET = 'the secret of this lab';
const BYTES = 2_000_000;
const USERS = [{ name: 'alice', password: 's3cret', sessions: 2 }];
const LOAD_PORT = 7017;

const lnsConfig = (index: number): Record<string, unknown> => ({
  name: `lns${index + 1}`,
  listen: SERVERS[index],
  workers: 2,
  tunnels: { floatingPort: index === 1 },
  ipv6: { pool: 'six' },
  pools: [
    { name: 'home', ipv4: `10.64.${index + 1}.0/24` },
    { name: 'six', ipv6: `2001:db8:64${index}::/48` },
  ],
  tun: { device: 'lns0' },
  sessions: { limit: 64 },
  loadStatus: { designators: `${LAN_GATEWAY}:${LOAD_PORT}`, secret: SECRET, every: '200ms' },
});

describeLab('our LNSs behind the designator', GUESTS, (open) => {
  let net: Topology;
  let guest: Guest;
  let appliance: LabAppliance;
  let lnses: LabEndpoint[];
  let client: KernelClient;
  /** Index of the LNS that has the first tunnel. */
  let first = 0;
  let peer = '';

  test('claim 3 of document 000: each forms load status messages, which the designator believes', async () => {
    const lab = await open();
    net = await buildTopology(lab);
    guest = await Guest.start(lab, net.wan, 'cpe', { mac: '02:00:00:00:00:07' });
    const servers = SERVERS.map((address, index) => ({ name: `lns${index + 1}`, address }));
    const formula = { traffic: 0, sessions: 1 };
    appliance = await startAppliance(
      lab,
      net.designator,
      exampleConfig({
        vip: { algorithm: 'least-load', serverPort: 'hide', servers },
        more: { loadStatus: { listen: `${LAN_GATEWAY}:${LOAD_PORT}`, secret: SECRET, formula } },
      }),
    );
    lnses = await Promise.all(
      net.servers.map(async (namespace, index) => {
        await namespace.sysctl('net.ipv4.ip_forward', 1);
        await namespace.sysctl('net.ipv6.conf.all.forwarding', 1);
        return startLns(lab, namespace, lnsConfig(index), { users: USERS, name: `lns${index + 1}` });
      }),
    );
    const rows = await waitFor('loads of both', async () => {
      const found = await appliance.servers();
      return found.every(({ loadStatus }) => loadStatus !== null) ? found : null;
    });
    expect(rows.map(({ loadStatus }) => loadStatus)).toMatchObject([
      { accepting: true, tunnels: 0, sessions: 0 },
      { accepting: true, tunnels: 0, sessions: 0 },
    ]);
  });

  /** Of the only session there was: packets that the client sent when its end was open and the LNS had not yet read that. */
  const early = async (lns: LabEndpoint): Promise<number> => (await lns.drops())['network-down'] ?? 0;

  test('claims 1 and 2: the SCCRQ comes with the endpoint’s own address, the SCCRP has both tunnel ids, SCCCN establishes', async () => {
    client = await KernelClient.start(guest, {
      network: [`addr add ${CLIENT}/24 dev eth0`, `route add default via ${WAN_GATEWAY}`],
      vip: VIP,
    });
    peer = (await client.connect(1, 'ppp0')).peer;
    const [row] = await appliance.established();
    first = row.server === 'lns1' ? 0 : 1;
    expect(peer).toBe(`10.64.${first + 1}.1`);
    const [tunnel] = await lnses[first].tunnels<LnsTunnelRow>();
    expect(tunnel).toMatchObject({ peer: `${CLIENT}:1701`, peerHostName: 'cpe', state: 'established', sessions: 1 });
    expect(tunnel.local.split(':')[0]).toBe(SERVERS[first]);
    // Both sides of the designator's entry are what the endpoint itself says.
    expect(row).toMatchObject({ clientTunnelId: tunnel.peerTunnelId, serverTunnelId: tunnel.tunnelId, sessions: 1 });
    expect(await lnses[1 - first].sessions()).toEqual([]);
    await lnses[first].untilSessions(1);
    expect(await client.ping(peer, 'ppp0')).toBe(5);
  });

  test('the next tunnel goes to the other, less loaded LNS; a floating port of one of them stays hidden', async () => {
    await waitFor('the load of the first', async () => (await appliance.servers())[first].loadStatus?.sessions === 1);
    const second = await KernelClient.another(guest, { vip: VIP, port: 1702, pppOptions: ['+ipv6'] });
    const { peer: other } = await second.connect(1, 'ppp1');
    expect(other).toBe(`10.64.${2 - first}.1`);
    await lnses[1 - first].untilSessions(1);
    expect(await second.ping(other, 'ppp1')).toBe(5);
    const floating = (await appliance.established()).find(({ server }) => server === 'lns2');
    expect(floating?.serverPort).not.toBe(1701);
    for (const lns of lnses) {
      const [session] = await lns.untilSessions(1);
      expect(session).toMatchObject({ user: 'alice', authentication: 'ms-chap-v2', mtu: 1400 });
      expect(session.dropped).toBe(await early(lns));
    }
  });

  test('TCP to a host behind the LNS arrives whole, what pretends to be somebody else does not', async () => {
    const web = await addServer(net.lab, net.lan, 'web', WEB);
    await web.ip(...[1, 2].map((n) => `route add 10.64.${n}.0/24 via ${SERVERS[n - 1]}`));
    const server = web.start('copy', process.execPath, [COPY, 'serve', WEB, '5001', String(BYTES)]);
    await server.waitForLine(/listening/);
    guest.give(COPY, 'tcp-copy.mjs');
    await guest.run(`ip route add ${WEB} dev ppp0`);
    const said = JSON.parse(
      await guest.run(`${process.execPath} /lab/tcp-copy.mjs connect ${WEB} 5001 ${BYTES}`, 60_000),
    );
    const atServer = JSON.parse(await server.waitForLine(/"got"/));
    expect(atServer).toEqual({ sent: said.got, got: said.sent });
    const [{ packetsIn, bytesIn, packetsOut, bytesOut }] = await lnses[first].sessions();
    expect(Math.min(bytesIn, bytesOut)).toBeGreaterThan(BYTES);
    expect(Math.min(packetsIn, packetsOut)).toBeGreaterThan(BYTES / 1500);

    // IPv6 by router advertisement, through the other LNS.
    const six = 1 - first;
    await web.ip(`route add 2001:db8:64${six}::/48 via 2001:db8:1::${six + 1}`);
    const address = await waitFor('an IPv6 address', async () => {
      const { output } = await guest.tryRun('ip -6 -o addr show ppp1 scope global');
      return /inet6 (\S+)\/64/.exec(output)?.[1];
    });
    const [{ prefix }] = await lnses[six].sessions();
    expect(prefix).toBe(`2001:db8:64${six}::/64`);
    expect(address.startsWith(`2001:db8:64${six}:`)).toBe(true);
    expect(await guest.ping('2001:db8:1::50', { count: 3, device: 'ppp1' })).toBe(3);

    await guest.run('ip addr add 10.99.99.99/32 dev lo');
    await guest.tryRun(`ping -n -c 2 -i 0.2 -W 1 -I 10.99.99.99 ${WEB}`);
    expect((await lnses[first].drops()).spoofed).toBe(2);
    expect((await lnses[first].sessions())[0].dropped).toBe(2 + (await early(lnses[first])));
  });

  test('a user who may have two sessions over both has one here; a wrong password has none', async () => {
    await guest.put('/etc/ppp/chap-secrets', 'alice * wrong *\n');
    const third = await KernelClient.another(guest, { vip: VIP, port: 1703 });
    await third.dial(1);
    const failed = await waitFor('a refusal', async () => {
      const counts = await Promise.all(
        lnses.map((lns) => lns.control<{ counter: string; count: number }[]>('GET', '/v1/counters')),
      );
      return counts.flat().some(({ counter, count }) => counter === 'refused-authentication' && count > 0);
    });
    expect(failed).toBe(true);
    expect((await Promise.all(lnses.map((lns) => lns.sessions()))).map((rows) => rows.length)).toEqual([1, 1]);
  });

  test('an operator ends a session; SIGTERM ends the rest in order', async () => {
    expect(await lnses[first].command('disconnect', '--user', 'alice')).toBe('1 ended\n');
    expect(await lnses[first].sessions()).toEqual([]);
    expect(await lnses[first].command('show', 'pools')).toMatch(/home +10\.64\.\d\.0\/24 +254 +1 +253 +0\n/);
    await waitFor('ppp0 to go', async () => (await guest.tryRun('ip link show ppp0')).status !== 0);
    const other = lnses[1 - first];
    expect(await other.process.stop()).toBe(0);
    await waitFor('ppp1 to go', async () => (await guest.tryRun('ip link show ppp1')).status !== 0);
    expect(await net.servers[1 - first].run('ip', ['-br', 'link'])).not.toContain('lns0');
  });
});
