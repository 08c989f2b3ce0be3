/** A customer's PPP over Ethernet, in a kernel of its own, through our LAC: to l2tpns, to our LNS, and when one is away. */
import { afterEach, expect, test } from 'vitest';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { GUESTS, L2TPNS } from '../../src/demo/lab/packages.js';
import { PppoeClient, preparePppoe } from '../../src/demo/lab/pppoe-client.js';
import { Guest } from '../../src/demo/lab/uml.js';
import type { LacTunnelRow } from '../../src/ops/endpoint.js';
import { describeLab, startLac } from '../helpers/lab.js';

const LAC = '192.0.2.10';
const FOREIGN = '192.0.2.1';
const MAC = '02:00:00:00:00:07';
const SECRET = 'tunnel-secret';
const USER = { user: 'alice', password: 's3cret' };

describeLab('PPPoE customers of our LAC', [...GUESTS, ...L2TPNS], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('to l2tpns: CHAP by proxy, ping, and both ends of a call', async () => {
    lab = await open();
    const [line, core] = [await lab.bridge('line'), await lab.bridge('core')];
    const [concentrator, server] = [await lab.namespace('lac'), await lab.namespace('lns')];
    await lab.plug(line, concentrator, 'eth1', [], { checksums: false });
    await lab.plug(core, concentrator, 'eth0', [`${LAC}/24`]);
    await lab.plug(core, server, 'eth0', [`${FOREIGN}/24`]);
    const guest = await Guest.start(lab, line, 'cpe', { mac: MAC });
    const foreign = new L2tpns(lab, server, 'l2tpns', {
      address: FOREIGN,
      pool: '10.60.1',
      secret: SECRET,
      clusterAddress: '239.192.13.10',
    });
    const lac = await startLac(lab, concentrator, {
      name: 'lac1',
      pppoe: { interfaces: 'eth1' },
      workers: 2,
      lns: [
        { name: 'away', address: '192.0.2.77', secret: SECRET },
        { name: 'l2tpns', address: FOREIGN, secret: SECRET },
      ],
      table: [{ lns: ['away', 'l2tpns'] }],
      tunnels: { setup: '2s', firstWait: '250ms', tries: 3 },
    });
    await Promise.all([preparePppoe(guest), foreign.ready()]);
    const client = await PppoeClient.dial(guest, { ...USER, service: 'internet' });
    await client.connected();
    expect(await client.ping(FOREIGN, 5, 1400)).toBe(5);
    const rows = await lac.tunnels<LacTunnelRow>();
    expect(rows).toEqual([
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
      calledNumber: 'internet',
      callingNumber: MAC,
    });
    expect(session.packetsIn).toBeGreaterThan(5);
    expect(session.packetsOut).toBeGreaterThan(5);
    await client.hangUp();
    await lac.untilSessions(0);
  });
});
