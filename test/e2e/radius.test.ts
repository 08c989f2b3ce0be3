/** Our RADIUS client asks FreeRADIUS, which nobody here wrote. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FreeRadius } from '../../src/demo/lab/freeradius.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { RADIUS } from '../../src/demo/lab/packages.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { AccessReply } from '../../src/protocol/radius/reply.js';
import type { RadiusCredentials } from '../../src/protocol/radius/types.js';
import { parseAddress } from '../../src/wire/address.js';
import { PORT_TYPE, SERVICE_TYPE } from '../../src/wire/radius-attributes.js';
import { describeLab } from '../helpers/lab.js';
import { RadiusProcess } from '../helpers/radius-process.js';

const SECRET = 'a secret';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const chap = (id: number, password: string, challenge: Uint8Array): RadiusCredentials => ({
  method: 'chap-md5',
  id,
  challenge,
  response: createHash('md5').update(Uint8Array.of(id)).update(password).update(challenge).digest(),
});

const USERS = [
  {
    name: 'alice',
    password: 's3cret',
    reply: [
      'Framed-IP-Address = 10.9.0.7',
      'Framed-IP-Netmask = 255.255.255.255',
      'Framed-Route = "192.0.2.0/24 10.9.0.7 1"',
      'Framed-IPv6-Prefix = 2001:db8:7::/64',
      'Delegated-IPv6-Prefix = 2001:db8:700::/56',
      'Session-Timeout = 3600',
      'Idle-Timeout = 600',
      'Acct-Interim-Interval = 300',
      'MS-Primary-DNS-Server = 10.0.0.53',
      'Class = 0x01ff00',
      'Reply-Message = "welcome"',
    ],
  },
  { name: 'pooled', password: 'p', reply: ['Framed-IP-Address = 255.255.255.254', 'Framed-Pool = "gold"'] },
  // RFC 2759 §9.2.
  { name: 'User', password: 'clientPass' },
  {
    name: 'isp.example',
    password: 'cisco',
    reply: [
      'Tunnel-Type:1 = L2TP',
      'Tunnel-Medium-Type:1 = IPv4',
      'Tunnel-Server-Endpoint:1 = "10.20.0.1"',
      'Tunnel-Password:1 = "first tunnel secret"',
      'Tunnel-Assignment-Id:1 = "first"',
      'Tunnel-Preference:1 = 20',
      'Tunnel-Type:2 = L2TP',
      'Tunnel-Medium-Type:2 = IPv6',
      'Tunnel-Server-Endpoint:2 = "2001:db8::20"',
      'Tunnel-Client-Auth-Id:2 = "lac1"',
      'Tunnel-Server-Auth-Id:2 = "lns2"',
      'Tunnel-Preference:2 = 10',
    ],
  },
];

/** RFC 2759 §9.2: what a peer sends for User / clientPass. */
const MS_CHAP: RadiusCredentials = {
  method: 'ms-chap-v2',
  id: 1,
  challenge: hex('5b5d7c7d7b3f2f3e3c2c602132262628'),
  response: hex(`21402324255e262a28295f2b3a337c7e${'00'.repeat(8)}82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df00`),
};

describeLab('FreeRADIUS', RADIUS, (open) => {
  let lab: Lab;
  let here: Namespace;
  let second: FreeRadius;
  let client: RadiusProcess;
  const reply = async (
    userName: string,
    credentials: RadiusCredentials,
    serviceType?: number,
  ): Promise<AccessReply> => {
    const answer = await client.ask({ session: { userName }, credentials, serviceType });
    if (answer.type !== 'accepted') throw new Error(`${userName}: ${JSON.stringify(answer)}`);
    return answer.reply;
  };

  test('comes up, as the second of two servers: nobody listens at the first', async () => {
    lab = await open();
    here = await lab.namespace('nas');
    await here.ip('addr add 10.8.0.1/32 dev lo', 'addr add 10.8.0.2/32 dev lo');
    second = new FreeRadius(lab, here, 'radius', { address: '10.8.0.2', secret: SECRET, users: USERS });
    client = new RadiusProcess(here, {
      servers: [
        { name: 'first', address: '10.8.0.1', secret: SECRET },
        { name: 'second', address: '10.8.0.2', secret: SECRET },
      ],
      timeout: '200ms',
      tries: 3,
      deadTime: '1s',
      nasAddress: '10.8.0.9',
    });
    await second.ready();
  });

  test('PAP, and all that a subscriber can be given', async () => {
    const { attributes, ...fields } = await reply('alice', { method: 'pap', password: bytes('s3cret') });
    expect(attributes.length).toBeGreaterThan(10);
    expect(fields).toMatchObject({
      unreadable: 0,
      address: '10.9.0.7',
      netmask: '255.255.255.255',
      routes: ['192.0.2.0/24 10.9.0.7 1'],
      ipv6Prefix: '2001:db8:7::/64',
      delegatedPrefix: '2001:db8:700::/56',
      sessionTimeout: 3600,
      idleTimeout: 600,
      interimInterval: 300,
      dns: ['10.0.0.53'],
      message: 'welcome',
      tunnels: [],
    });
    expect(fields.classes.map((one) => Buffer.from(one).toString('hex'))).toEqual(['01ff00']);
    const { servers } = await client.state();
    expect(servers.filter(({ kind }) => kind === 'authentication').map(({ state }) => state)).toEqual(['down', 'up']);
  });

  test('an address pool by its name', async () => {
    expect(await reply('pooled', { method: 'pap', password: bytes('p') })).toMatchObject({
      address: 'any',
      pool: 'gold',
    });
  });

  test('CHAP with challenges of several lengths', async () => {
    for (const length of [1, 16, 37])
      expect((await reply('alice', chap(length, 's3cret', new Uint8Array(length).fill(0x5a)))).address).toBe(
        '10.9.0.7',
      );
  });

  test('MS-CHAPv2, with the proof that the server knows the password', async () => {
    expect((await reply('User', MS_CHAP)).msChapSuccess).toBe('S=407A5589115FD0D6209F510FE9C04566932CDA56');
  });

  describe('says no', () => {
    const refused: [string, string, RadiusCredentials][] = [
      ['a wrong password', 'alice', { method: 'pap', password: bytes('S3cret') }],
      ['an empty password', 'alice', { method: 'pap', password: bytes('') }],
      ['a wrong CHAP response', 'alice', chap(1, 'other', new Uint8Array(16))],
      ['a wrong MS-CHAPv2 response', 'User', { ...MS_CHAP, challenge: new Uint8Array(16) } as RadiusCredentials],
      ['nobody', 'nobody', { method: 'pap', password: bytes('s3cret') }],
    ];
    test.each(refused)('to %s', async (_, userName, credentials) => {
      const answer = await client.ask({ session: { userName }, credentials });
      expect(answer).toMatchObject({ type: 'rejected', server: 'second' });
      if (credentials.method === 'ms-chap-v2' && answer.type === 'rejected')
        expect(answer.reply.msChapError).toMatch(/^E=691 R=\d C=[0-9A-F]{32} V=3/i);
    });
  });

  test('tunnels for a realm, the preferred one first, with the password opened', async () => {
    const { tunnels } = await reply('isp.example', { method: 'none', password: bytes('cisco') }, SERVICE_TYPE.outbound);
    expect(tunnels).toEqual([
      {
        tag: 2,
        type: 3,
        medium: 2,
        serverEndpoint: '2001:db8::20',
        clientEndpoint: null,
        password: null,
        assignmentId: null,
        privateGroup: null,
        preference: 10,
        clientAuthId: 'lac1',
        serverAuthId: 'lns2',
      },
      {
        tag: 1,
        type: 3,
        medium: 1,
        serverEndpoint: '10.20.0.1',
        clientEndpoint: null,
        password: expect.any(Uint8Array),
        assignmentId: 'first',
        privateGroup: null,
        preference: 20,
        clientAuthId: null,
        serverAuthId: null,
      },
    ]);
    expect(Buffer.from(tunnels[1].password ?? '').toString()).toBe('first tunnel secret');
  });

  test('accounting from start to stop, with more than 2^32 bytes', async () => {
    const session = {
      userName: 'alice',
      sessionId: 'S-1',
      nasPort: 17,
      nasPortType: PORT_TYPE.virtual,
      calledStationId: '5551234',
      callingStationId: '10.1.2.3',
      framedAddress: parseAddress('10.9.0.7') ?? undefined,
    };
    const classes = [hex('01ff00')];
    client.account({ status: 'start', session, classes });
    await waitFor(
      'the start record',
      () => second.accounting().length === 1,
      10_000,
      () => second.log(),
    );
    client.account({
      status: 'interim',
      session,
      classes,
      seconds: 60,
      traffic: { packetsIn: 3, packetsOut: 4, bytesIn: 5, bytesOut: 6 },
    });
    await waitFor('the interim record', () => second.accounting().length === 2);
    client.account({
      status: 'stop',
      session,
      classes,
      seconds: 120.9,
      traffic: { packetsIn: 7, packetsOut: 8, bytesIn: 5 * 2 ** 32 + 9, bytesOut: 10 },
      cause: 'idleTimeout',
    });
    await waitFor('the stop record', () => second.accounting().length === 3);
    const records = second.accounting();
    expect(records.map((record) => record['Acct-Status-Type'])).toEqual(['Start', 'Interim-Update', 'Stop']);
    for (const record of records)
      expect(record).toMatchObject({
        'User-Name': 'alice',
        'Acct-Session-Id': 'S-1',
        'NAS-Identifier': 'nas1',
        'NAS-IP-Address': '10.8.0.9',
        'NAS-Port': '17',
        'NAS-Port-Type': 'Virtual',
        'Framed-IP-Address': '10.9.0.7',
        'Called-Station-Id': '5551234',
        'Calling-Station-Id': '10.1.2.3',
        Class: '0x01ff00',
        'Service-Type': 'Framed-User',
        'Framed-Protocol': 'PPP',
        'Acct-Authentic': 'RADIUS',
      });
    expect(records[1]).toMatchObject({
      'Acct-Session-Time': '60',
      'Acct-Input-Octets': '5',
      'Acct-Output-Packets': '4',
    });
    expect(records[2]).toMatchObject({
      'Acct-Session-Time': '120',
      'Acct-Input-Gigawords': '5',
      'Acct-Input-Octets': '9',
      'Acct-Terminate-Cause': 'Idle-Timeout',
    });
    await waitFor('all records to be acknowledged', async () => (await client.state()).pendingRecords === 0);
  });

  test('a thousand users at once', async () => {
    // With time enough for a busy machine: what is asked here is whether a thousand fit, not how fast they go.
    const patient = new RadiusProcess(here, {
      servers: [{ name: 'second', address: '10.8.0.2', secret: SECRET }],
      timeout: '5s',
      tries: 3,
      nasAddress: '10.8.0.9',
    });
    const asked = Array.from({ length: 1000 }, (_, i) =>
      patient.ask({ session: { userName: 'alice' }, credentials: chap(i & 0xff, 's3cret', hex('00112233')) }),
    );
    const replies = await Promise.all(asked);
    expect(replies.filter((one) => one.type !== 'accepted' || one.reply.address !== '10.9.0.7')).toEqual([]);
    await patient.stop(1);
  });

  test('a record that nobody took while the server was away is taken when it is back', async () => {
    const taken = second.accounting().length;
    await second.daemon.kill();
    client.account({ status: 'start', session: { userName: 'alice', sessionId: 'S-2' } });
    const down = async (): Promise<boolean> =>
      (await client.state()).servers.every(({ kind, state }) => kind === 'authentication' || state === 'down');
    await waitFor('both servers given up', down);
    expect(
      (await client.ask({ session: { userName: 'alice' }, credentials: { method: 'pap', password: bytes('s3cret') } }))
        .type,
    ).toBe('no-answer');
    const back = new FreeRadius(lab, here, 'radius', { address: '10.8.0.2', secret: SECRET, users: USERS });
    await waitFor(
      'the record of the dead time',
      () => back.accounting().length > taken,
      20_000,
      () => back.log(),
    );
    expect(back.accounting().at(-1)).toMatchObject({ 'Acct-Session-Id': 'S-2' });
    expect(Number(back.accounting().at(-1)?.['Acct-Delay-Time'])).toBeGreaterThanOrEqual(0);
    expect(await client.stop(1)).toBe(0);
  });
});
