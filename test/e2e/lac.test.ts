/**
 * A customer's PPP over Ethernet, in a kernel of its own, through our LAC: to l2tpns when another LNS is away, to our own
 * LNS with proxy authentication, and by RADIUS. The tests go on where the one before has stopped.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Capture, complaints } from '../../src/demo/lab/capture.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { FreeRadius } from '../../src/demo/lab/freeradius.js';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS, L2TPNS, USER_SPACE } from '../../src/demo/lab/packages.js';
import { PppoeClient, preparePppoe } from '../../src/demo/lab/pppoe-client.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import type { LacTunnelRow } from '../../src/ops/endpoint.js';
import { describeLab, startLac, startLns } from '../helpers/lab.js';

const LAC = '192.0.2.10';
const FOREIGN = '192.0.2.1';
const OWN = '192.0.2.2';
const LAC6 = '2001:db8:2::10';
const OWN6 = '2001:db8:2::2';
const THIRD = '192.0.2.3';
const AWAY = '192.0.2.77';
const MAC = '02:00:00:00:00:07';
const SECRET = 'tunnel-secret';
const PASSWORD = 's3cret';

const lacConfig = {
  name: 'lac1',
  pppoe: { interfaces: 'eth1' },
  workers: 2,
  listen: ['0.0.0.0:1701', '[::]:1701'],
  lns: [
    { name: 'away', address: AWAY, secret: SECRET },
    { name: 'l2tpns', address: FOREIGN, secret: SECRET },
    { name: 'six', address: OWN6, secret: SECRET },
    { name: 'own', address: OWN, secret: SECRET, hide: 'private', serverName: 'lns1' },
  ],
  table: [
    { service: 'foreign', lns: ['away', 'l2tpns'] },
    { realm: 'own.example', lns: 'own' },
  ],
  radius: { servers: [{ name: 'r', address: '127.0.0.1', secret: 'radius-secret-of-this-lab' }] },
  tunnels: { setup: '2s', firstWait: '250ms', tries: 3 },
};

describeLab('PPPoE customers of our LAC', [...GUESTS, ...L2TPNS, ...USER_SPACE, 'tcpdump', 'tshark'], (open) => {
  let lab: Lab;
  let guest: Guest;
  let lac: LabEndpoint;
  let lns: LabEndpoint;
  let xl2tpd: Xl2tpdServer;
  let captures: Capture[];

  test('to l2tpns, after the LNS before it has not answered: ping, and both ends of the tunnel', async () => {
    lab = await open();
    const [line, core] = [await lab.bridge('line'), await lab.bridge('core')];
    const names = ['lac', 'foreign', 'own', 'third'];
    const [concentrator, foreign, own, third] = await Promise.all(names.map((name) => lab.namespace(name)));
    await lab.plug(line, concentrator, 'eth1', [], { checksums: false });
    await lab.plug(core, concentrator, 'eth0', [`${LAC}/24`, `${LAC6}/64`]);
    await lab.plug(core, foreign, 'eth0', [`${FOREIGN}/24`]);
    await lab.plug(core, own, 'eth0', [`${OWN}/24`, `${OWN6}/64`]);
    await lab.plug(core, third, 'eth0', [`${THIRD}/24`]);
    guest = await Guest.start(lab, line, 'cpe', { mac: MAC });
    captures = await Promise.all([
      Capture.start(core.namespace, core.name, join(lab.folder, 'core.pcap'), 'udp port 1701'),
      Capture.start(line.namespace, line.name, join(lab.folder, 'line.pcap'), 'pppoed or pppoes'),
    ]);
    const options = { address: FOREIGN, pool: '10.60.1', secret: SECRET, clusterAddress: '239.192.13.10' };
    const l2tpns = new L2tpns(lab, foreign, 'l2tpns', options);
    xl2tpd = new Xl2tpdServer(lab, third, 'xl2tpd', { pool: '10.50.1' });
    const radius = new FreeRadius(lab, concentrator, 'radius', {
      secret: 'radius-secret-of-this-lab',
      users: [
        ...['alice', 'alice@own.example', 'bob@nowhere.example'].map((name) => ({ name, password: PASSWORD })),
        {
          name: 'carol@radius.example',
          password: PASSWORD,
          reply: [
            'Tunnel-Type:1 = L2TP',
            `Tunnel-Server-Endpoint:1 = "${AWAY}"`,
            'Tunnel-Preference:1 = 1',
            'Tunnel-Type:2 = L2TP',
            'Tunnel-Medium-Type:2 = IPv4',
            `Tunnel-Server-Endpoint:2 = "${THIRD}"`,
            'Tunnel-Preference:2 = 2',
            'Tunnel-Client-Auth-Id:2 = "carriers-lac"',
            'Tunnel-Server-Auth-Id:2 = "xl2tpd"',
          ],
        },
      ],
    });
    await radius.ready();
    [lac, lns] = await Promise.all([
      startLac(lab, concentrator, lacConfig),
      startLns(
        lab,
        own,
        {
          name: 'lns1',
          listen: [OWN, OWN6],
          workers: 1,
          tunnels: { secret: SECRET },
          ppp: { proxy: 'authentication' },
          pools: [{ name: 'home', ipv4: '10.64.1.0/24' }],
          sessions: { limit: 16 },
        },
        { users: ['alice@own.example', 'bob@nowhere.example'].map((name) => ({ name, password: PASSWORD })) },
      ),
      preparePppoe(guest),
      l2tpns.ready(),
      xl2tpd.ready(),
    ]);
    const client = await PppoeClient.dial(guest, { user: 'alice', password: PASSWORD, service: 'foreign' });
    await client.connected();
    expect(await client.ping(FOREIGN, 5, 1400)).toBe(5);
    expect(await lac.tunnels<LacTunnelRow>()).toEqual([
      expect.objectContaining({
        client: MAC,
        clientPort: 'eth1:1',
        farEndAddress: FOREIGN,
        farEndPort: 1701,
        lns: 'l2tpns',
        state: 'established',
        sessions: 1,
      }),
    ]);
    const [session] = await lac.untilSessions(1);
    expect(session).toMatchObject({
      user: 'alice',
      authentication: 'chap-md5',
      calledNumber: 'foreign',
      callingNumber: MAC,
    });
    expect(Math.min(session.packetsIn, session.packetsOut)).toBeGreaterThanOrEqual(5);
  });

  test('to our LNS by the realm: it trusts what the LAC has negotiated, and asks for nothing again', async () => {
    const client = await PppoeClient.dial(guest, { user: 'alice@own.example', password: PASSWORD, unit: 1 });
    const { peer } = await client.connected();
    const [there] = await lns.untilSessions(1);
    expect(await client.ping(peer, 5, 1400)).toBe(5);
    expect(client.lcpRequests()).toBe(1);
    const here = (await lac.untilSessions(2)).find(({ user }) => user === 'alice@own.example');
    expect(here).toMatchObject({ peer: `${OWN}:1701`, peerTunnelId: there.tunnelId, peerSessionId: there.sessionId });
    expect(there).toMatchObject({ user: 'alice@own.example', callingNumber: MAC, authentication: 'chap-md5' });
    const table = await lac.command('show', 'tunnels');
    expect(table).toMatch(/client address +port +tunnel id +far end address +port +far end tunnel id/);
    expect(table).toContain(OWN);

    await client.hangUp();
    await lns.untilSessions(0);
    await waitFor('the call to be over', async () => (await lac.sessions()).length === 1);
  });

  test('to xl2tpd, by the tunnel attributes of FreeRADIUS: the second by preference, for the first is away', async () => {
    const client = await PppoeClient.dial(guest, { user: 'carol@radius.example', password: PASSWORD, unit: 3 });
    await waitFor(
      'the call at xl2tpd',
      () => xl2tpd.calls() === 1,
      15_000,
      () => `${client.tail()}\n${lac.process.tail()}`,
    );
    const row = (await lac.tunnels<LacTunnelRow>()).find(({ farEndAddress }) => farEndAddress === THIRD);
    expect(row).toMatchObject({ lns: `${THIRD}:1701`, farEndHostName: 'xl2tpd', state: 'established', sessions: 1 });
    const [there] = xl2tpd.established();
    expect(there).toMatchObject({ address: LAC, local: row?.farEndTunnelId, remote: row?.tunnelId });
    // slirp, which stands in for pppd, waits for the other end to begin anew; until then the client's echoes reach it.
    await waitFor('the client’s frames to cross', async () =>
      (await lac.sessions()).some((session) => session.peer.startsWith(THIRD) && session.packetsIn > 0),
    );
  });

  test('who proves nothing to RADIUS has no call', async () => {
    const client = await PppoeClient.dial(guest, { user: 'alice', password: 'wrong', unit: 4 });
    await waitFor('pppd to be told', () => /Modem hangup|Connection terminated/.test(client.log()));
    expect((await lac.sessions()).map(({ user }) => user)).toEqual(['alice', 'carol@radius.example']);
  });

  test('a user of nowhere is told so and has no session', async () => {
    const client = await PppoeClient.dial(guest, { user: 'bob@nowhere.example', password: PASSWORD, unit: 2 });
    await waitFor('pppd to be told', async () =>
      /PADT|Modem hangup|LCP: timeout|Connection terminated/.test(client.log()),
    );
    const counters = await lac.control<{ counter: string; count: number }[]>('GET', '/v1/counters');
    expect(counters).toContainEqual(expect.objectContaining({ counter: 'call-ended-no-choice', count: 1 }));
    expect(await lac.sessions()).toHaveLength(2);
  });

  test('after a reload his realm has an LNS, over IPv6; what was sent can be read by others', async () => {
    lac.write({ ...lacConfig, table: [...lacConfig.table, { realm: 'nowhere.example', lns: 'six' }] });
    lac.process.signal('SIGHUP');
    await lac.process.waitForLine(/configuration reloaded/);
    const client = await PppoeClient.dial(guest, { user: 'bob@nowhere.example', password: PASSWORD, unit: 5 });
    const { peer } = await client.connected();
    await lns.untilSessions(1);
    expect(await client.ping(peer, 3, 1400)).toBe(3);
    const row = (await lac.tunnels<LacTunnelRow>()).find(({ lns: name }) => name === 'six');
    expect(row).toMatchObject({ client: MAC, farEndAddress: OWN6, farEndHostName: 'lns1', sessions: 1 });
    await lac.process.stop();
    for (const capture of captures) {
      await capture.stop();
      expect(await complaints(lab.env, capture.file)).toEqual([]);
    }
  });
});
