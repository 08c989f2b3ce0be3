/**
 * The whole way of a call: a customer's kernel over PPPoE, our LAC, which FreeRADIUS tells the tunnel, our LNS over IPv6, which
 * it tells the subscriber. A neighbour's realm leads to xl2tpd. tshark, which nobody here wrote, reads every frame of it.
 */
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Capture, type DissectedFrame, dissect } from '../../src/demo/lab/capture.js';
import { FreeRadius } from '../../src/demo/lab/freeradius.js';
import { startKernelServer } from '../../src/demo/lab/kernel-ppp.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { GUESTS, RADIUS } from '../../src/demo/lab/packages.js';
import { PppoeClient, preparePppoe } from '../../src/demo/lab/pppoe-client.js';
import { Guest } from '../../src/demo/lab/uml.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { LacTunnelRow } from '../../src/ops/endpoint.js';
import { buildDigestRequest, isAuthenticResponse } from '../../src/wire/radius.js';
import { ATTRIBUTE, RADIUS_CODE } from '../../src/wire/radius-attributes.js';
import { textAttribute } from '../../src/wire/radius-values.js';
import { describeLab, startLac, startLns } from '../helpers/lab.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const LAC = '192.0.2.10';
const LNS = '192.0.2.1';
const LNS6 = '2001:db8:2::1';
const XL2TPD = '192.0.2.3';
const AAA = '192.0.2.5';
const MAC = '02:00:00:00:00:07';
const RADIUS_SECRET = 'radius secret';
/** An orderly end, with its last records, on a busy machine. */
const STOP_MS = 10_000;
const TUNNEL_SECRET = 'told by radius';

const USERS = [
  {
    name: 'isp.example',
    password: 'realm',
    reply: [
      'Tunnel-Type:1 = L2TP',
      'Tunnel-Medium-Type:1 = IPv6',
      `Tunnel-Server-Endpoint:1 = "${LNS6}"`,
      `Tunnel-Password:1 = "${TUNNEL_SECRET}"`,
      'Tunnel-Assignment-Id:1 = "one"',
    ],
  },
  {
    name: 'other.example',
    password: 'realm',
    reply: ['Tunnel-Type = L2TP', 'Tunnel-Medium-Type = IPv4', `Tunnel-Server-Endpoint = "${XL2TPD}"`],
  },
  {
    name: 'alice@isp.example',
    password: 's3cret',
    reply: ['Framed-IP-Address = 10.64.0.77', 'Session-Timeout = 3600', 'Class = 0x1234', 'Acct-Interim-Interval = 60'],
  },
];

/** A Disconnect-Request (RFC 5176) for one session; the code of the answer. */
async function disconnect(from: Namespace, sessionId: string): Promise<number> {
  const agent = new UdpAgent(from);
  try {
    const socket = await agent.bind(AAA, 0);
    const attributes = [textAttribute(ATTRIBUTE.acctSessionId, sessionId)];
    const secret = Buffer.from(RADIUS_SECRET);
    const request = buildDigestRequest({ code: RADIUS_CODE.disconnectRequest, id: 1, attributes }, secret);
    const answer = new Promise<Uint8Array>((resolve) => {
      socket.onDatagram = ({ data }) => resolve(data);
    });
    socket.send(request, LNS, 3799);
    const bytes = await answer;
    expect(isAuthenticResponse(bytes, request.subarray(4, 20), secret)).toBe(true);
    return bytes[0];
  } finally {
    agent.close();
  }
}

describeLab('the whole way of a call', [...GUESTS, ...RADIUS, 'tshark', 'tcpdump'], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test('PPPoE, a tunnel and a subscriber from RADIUS, accounting, and nothing that tshark complains of', async () => {
    lab = await open();
    const [line, core] = [await lab.bridge('line'), await lab.bridge('core')];
    const [lacHost, lnsHost, aaaHost] = [
      await lab.namespace('lac'),
      await lab.namespace('lns'),
      await lab.namespace('aaa'),
    ];
    await lab.plug(line, lacHost, 'eth1', [], { checksums: false });
    await lab.plug(core, lacHost, 'eth0', [`${LAC}/24`, '2001:db8:2::10/64']);
    await lab.plug(core, lnsHost, 'eth0', [`${LNS}/24`, `${LNS6}/64`]);
    await lab.plug(core, aaaHost, 'eth0', [`${AAA}/24`]);
    const guest = await Guest.start(lab, line, 'cpe', { mac: MAC });
    const other = await Guest.start(lab, core, 'xl2tpd', { mac: '02:00:00:00:00:08' });
    const aaa = new FreeRadius(lab, aaaHost, 'radius', { address: AAA, secret: RADIUS_SECRET, users: USERS });
    const radius = (nasIdentifier: string) => ({ servers: [{ address: AAA, secret: RADIUS_SECRET }], nasIdentifier });
    const dynamic = { listen: `${LNS}:3799`, clients: [{ from: AAA, secret: RADIUS_SECRET }] };
    const lnsUp = startLns(lab, lnsHost, {
      name: 'lns1',
      listen: [LNS, LNS6],
      tunnels: { secret: TUNNEL_SECRET },
      pools: [{ name: 'home', ipv4: '10.64.0.0/24' }],
      radius: { ...radius('lns1'), dynamic },
    });
    const lacUp = startLac(lab, lacHost, {
      name: 'lac1',
      listen: ['0.0.0.0:1701', '[::]:1701'],
      pppoe: { interfaces: 'eth1' },
      lns: [{ name: 'unused', address: '192.0.2.77' }],
      choose: ['radius'],
      radiusQuestion: { ask: 'realm', password: 'realm', noAnswer: 'refuse' },
      radius: radius('lac1'),
    });
    const files = ['line', 'core'].map((name) => join(lab?.folder ?? '', `${name}.pcap`));
    const network = [`addr add ${XL2TPD}/24 dev eth0`];
    const [lns, lac, onLineTap, onCoreTap] = await Promise.all([
      lnsUp,
      lacUp,
      // At the customer's end: frames that the LAC sends past the queues of its host pass no tap there.
      Capture.start(line.namespace, 'tcpe', files[0]),
      Capture.start(lacHost, 'eth0', files[1], 'udp'),
      aaa.ready(),
      preparePppoe(guest),
      startKernelServer(other, { network, pool: '10.50.9' }),
    ]);

    const client = await PppoeClient.dial(guest, { user: 'alice@isp.example', password: 's3cret' });
    expect(await client.connected()).toEqual({ local: '10.64.0.77', peer: '10.64.0.1' });
    // A server opens its network a moment after the client; what comes before is discarded (RFC 1661 §3.5).
    await lns.untilSessions(1);
    for (const size of [56, 1400]) expect(await client.ping('10.64.0.1', 5, size)).toBe(5);
    const neighbour = await PppoeClient.dial(guest, { user: 'bob@other.example', password: 's3cret', unit: 1 });
    expect(await neighbour.connected()).toEqual({ local: '10.50.9.100', peer: '10.50.9.1' });
    await waitFor('xl2tpd’s end to be open', async () => (await neighbour.ping('10.50.9.1', 1)) === 1);
    expect(await neighbour.ping('10.50.9.1', 5, 1000)).toBe(5);
    const farEnds = (await lac.tunnels<LacTunnelRow>()).map(({ farEndAddress }) => farEndAddress);
    expect(farEnds.sort()).toEqual([XL2TPD, LNS6]);
    await neighbour.hangUp();
    const [[here], [there]] = [await lac.untilSessions(1), await lns.untilSessions(1)];
    expect([here.user, there.user]).toEqual(['alice@isp.example', 'alice@isp.example']);
    expect([here.tunnelId, here.sessionId]).toEqual([there.peerTunnelId, there.peerSessionId]);
    expect(there).toMatchObject({ address: '10.64.0.77', callingNumber: MAC });

    const ofLns = () =>
      aaa.accounting().filter((record) => record['NAS-Identifier'] === 'lns1' && record['User-Name'] !== undefined);
    await waitFor('the start record', () => ofLns().length === 1);
    const asked = await disconnect(aaaHost, ofLns()[0]['Acct-Session-Id']);
    expect(asked).toBe(RADIUS_CODE.disconnectAck);
    await lac.untilSessions(0);
    await lns.untilSessions(0);
    await waitFor(
      'the stop record',
      () => ofLns().length >= 2,
      10_000,
      () => aaa.log(),
    );
    const [start, stop] = ofLns();
    expect([start['Acct-Status-Type'], stop['Acct-Status-Type']]).toEqual(['Start', 'Stop']);
    expect(start).toMatchObject({
      'User-Name': 'alice@isp.example',
      'Framed-IP-Address': '10.64.0.77',
      Class: '0x1234',
    });
    expect(stop).toMatchObject({ 'Acct-Session-Id': start['Acct-Session-Id'], 'Acct-Terminate-Cause': 'Admin-Reset' });
    expect(Number(stop['Acct-Input-Packets'])).toBeGreaterThanOrEqual(10);

    await lac.process.stop(STOP_MS);
    await lns.process.stop(STOP_MS);
    const statuses = aaa.accounting().map((record) => record['Acct-Status-Type']);
    expect(statuses).toEqual(['Accounting-On', 'Start', 'Stop', 'Accounting-Off']);
    for (const tap of [onLineTap, onCoreTap]) await tap.stop();
    const [onLine, onCore] = await Promise.all(files.map((file) => dissect({}, file)));
    expect([...onLine, ...onCore].filter(({ wrong }) => wrong)).toEqual([]);
    const has = (frames: readonly DissectedFrame[], word: string): boolean =>
      frames.some(({ info, protocols }) => `${protocols} ${info}`.includes(word));
    for (const type of ['SCCRQ', 'SCCRP', 'SCCCN', 'ICRQ', 'ICRP', 'ICCN', 'CDN', 'StopCCN'])
      expect(has(onCore, type), type).toBe(true);
    for (const word of ['PADI', 'PADO', 'PADR', 'PADS', 'PADT', ':lcp', ':chap', ':ipcp', ':icmp'])
      expect(has(onLine, word), word).toBe(true);
  });
});
