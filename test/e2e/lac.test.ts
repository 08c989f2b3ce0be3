/**
 * A customer's PPP over Ethernet, in a kernel of its own, through our LAC: to l2tpns when another LNS is away, to our own
 * LNS with proxy authentication, and by RADIUS. The tests go on where the one before has stopped.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Capture, complaints } from '../../src/demo/lab/capture.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS, L2TPNS } from '../../src/demo/lab/packages.js';
import { PppoeClient, preparePppoe } from '../../src/demo/lab/pppoe-client.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { LacTunnelRow } from '../../src/ops/endpoint.js';
import { describeLab, startLac, startLns } from '../helpers/lab.js';

const LAC = '192.0.2.10';
const FOREIGN = '192.0.2.1';
const OWN = '192.0.2.2';
const MAC = '02:00:00:00:00:07';
const SECRET = 'tunnel-secret';
const PASSWORD = 's3cret';

describeLab('PPPoE customers of our LAC', [...GUESTS, ...L2TPNS, 'tcpdump', 'tshark'], (open) => {
  let lab: Lab;
  let guest: Guest;
  let lac: LabEndpoint;
  let lns: LabEndpoint;
  let capture: Capture;

  test('to l2tpns, after the LNS before it has not answered: ping, and both ends of the tunnel', async () => {
    lab = await open();
    const [line, core] = [await lab.bridge('line'), await lab.bridge('core')];
    const names = ['lac', 'foreign', 'own'];
    const [concentrator, foreign, own] = await Promise.all(names.map((name) => lab.namespace(name)));
    await lab.plug(line, concentrator, 'eth1', [], { checksums: false });
    await lab.plug(core, concentrator, 'eth0', [`${LAC}/24`]);
    await lab.plug(core, foreign, 'eth0', [`${FOREIGN}/24`]);
    await lab.plug(core, own, 'eth0', [`${OWN}/24`]);
    guest = await Guest.start(lab, line, 'cpe', { mac: MAC });
    capture = await Capture.start(core.namespace, core.name, join(lab.folder, 'core.pcap'), 'udp port 1701');
    const options = { address: FOREIGN, pool: '10.60.1', secret: SECRET, clusterAddress: '239.192.13.10' };
    const l2tpns = new L2tpns(lab, foreign, 'l2tpns', options);
    [lac, lns] = await Promise.all([
      startLac(lab, concentrator, {
        name: 'lac1',
        pppoe: { interfaces: 'eth1' },
        workers: 2,
        lns: [
          { name: 'away', address: '192.0.2.77', secret: SECRET },
          { name: 'l2tpns', address: FOREIGN, secret: SECRET },
          { name: 'own', address: OWN, secret: SECRET, hide: 'private', serverName: 'lns1' },
        ],
        table: [
          { service: 'foreign', lns: ['away', 'l2tpns'] },
          { realm: 'own.example', lns: 'own' },
        ],
        tunnels: { setup: '2s', firstWait: '250ms', tries: 3 },
      }),
      startLns(
        lab,
        own,
        {
          name: 'lns1',
          listen: OWN,
          workers: 1,
          tunnels: { secret: SECRET },
          ppp: { proxy: 'authentication' },
          pools: [{ name: 'home', ipv4: '10.64.1.0/24' }],
          sessions: { limit: 16 },
        },
        { users: [{ name: 'alice@own.example', password: PASSWORD }] },
      ),
      preparePppoe(guest),
      l2tpns.ready(),
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
    expect(await client.ping(peer, 5, 1400)).toBe(5);
    expect(client.lcpRequests()).toBe(1);
    const [there] = await lns.untilSessions(1);
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

  test('a user of nowhere is told so and has no session; what was sent can be read by others', async () => {
    const client = await PppoeClient.dial(guest, { user: 'bob@nowhere.example', password: PASSWORD, unit: 2 });
    await waitFor('pppd to be told', async () =>
      /PADT|Modem hangup|LCP: timeout|Connection terminated/.test(client.log()),
    );
    const counters = await lac.control<{ counter: string; count: number }[]>('GET', '/v1/counters');
    expect(counters).toContainEqual(
      expect.objectContaining({ counter: 'call-ended: there is no LNS for this call', count: 1 }),
    );
    expect(await lac.sessions()).toHaveLength(1);
    await lac.process.stop();
    await capture.stop();
    expect(await complaints(lab.env, capture.file)).toEqual([]);
  });
});
