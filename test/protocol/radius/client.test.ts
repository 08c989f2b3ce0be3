import { describe, expect, test } from 'vitest';
import { isL2tpTunnel } from '../../../src/protocol/radius/reply.js';
import type { AccessRequest, RadiusClientOptions } from '../../../src/protocol/radius/types.js';
import { type RadiusAttribute, buildResponse, type RadiusPacket, readRadius } from '../../../src/wire/radius.js';
import { ATTRIBUTE, MICROSOFT, MICROSOFT_ATTRIBUTE, RADIUS_CODE } from '../../../src/wire/radius-attributes.js';
import { attribute, hideTunnelPassword, numberAttribute, textAttribute } from '../../../src/wire/radius-values.js';
import { bytes, Net, pap, record, SECRET, server } from '../../helpers/radius-net.js';

describe('access', () => {
  test('who is right is accepted, who is not is rejected', () => {
    const net = new Net([server()]);
    const [right, wrong, nobody] = [pap('alice'), pap('alice', 'q'), pap('bob')].map((one) =>
      net.client.access(one, 0),
    );
    net.run(1);
    expect(net.events.map(({ type, ...rest }) => [type, 'token' in rest ? rest.token : 0]).sort()).toEqual(
      [
        ['accepted', right],
        ['rejected', wrong],
        ['rejected', nobody],
      ].sort(),
    );
    expect(net.servers[0].forged).toBe(0);
    expect(net.sent).toHaveLength(3);
    expect(net.client.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a reply in fields', () => {
    const net = new Net([
      server({
        carol: {
          password: 'p',
          reply: [
            attribute(ATTRIBUTE.framedIpAddress, Uint8Array.of(10, 9, 8, 7)),
            textAttribute(ATTRIBUTE.framedPool, 'gold'),
            numberAttribute(ATTRIBUTE.sessionTimeout, 3600),
            attribute(ATTRIBUTE.class, Uint8Array.of(1, 0, 255)),
            attribute(ATTRIBUTE.class, Uint8Array.of(2)),
            attribute(ATTRIBUTE.idleTimeout, Uint8Array.of(1)),
            attribute(MICROSOFT_ATTRIBUTE.primaryDnsServer, Uint8Array.of(10, 0, 0, 53), MICROSOFT),
            attribute(MICROSOFT_ATTRIBUTE.chap2Success, bytes('\u0001S=0123'), MICROSOFT),
            attribute(ATTRIBUTE.framedIpv6Prefix, Uint8Array.of(0, 32, 0x20, 1, 0x0d, 0xb8)),
          ],
        },
      }),
    ]);
    net.client.access(pap('carol'), 0);
    net.run(1);
    const { reply } = net.of('accepted')[0];
    expect(reply).toMatchObject({
      address: '10.9.8.7',
      pool: 'gold',
      sessionTimeout: 3600,
      idleTimeout: null,
      dns: ['10.0.0.53'],
      msChapSuccess: 'S=0123',
      ipv6Prefix: '2001:db8::/32',
      unreadable: 1,
      tunnels: [],
    });
    expect(reply.classes).toEqual([Uint8Array.of(1, 0, 255), Uint8Array.of(2)]);
    expect(net.client.counters.unreadableAttributes).toBe(1);
  });

  test.each([
    ['255.255.255.254', 'any'],
    ['255.255.255.255', 'client'],
  ])('the address %s means %s', (text, meaning) => {
    const reply = [attribute(ATTRIBUTE.framedIpAddress, Uint8Array.from(text.split('.').map(Number)))];
    const net = new Net([server({ carol: { password: 'p', reply } })]);
    net.client.access(pap('carol'), 0);
    net.run(1);
    expect(net.of('accepted')[0].reply.address).toBe(meaning);
  });
});

describe('tunnels of a reply (RFC 2868)', () => {
  const tunnelsOf = (reply: readonly RadiusAttribute[]) => {
    const net = new Net([server({ realm: { password: 'p', reply } })]);
    net.client.access(pap('realm'), 0);
    net.run(1);
    return net.of('accepted')[0].reply;
  };
  const tagged = (type: number, tag: number, value: number) =>
    attribute(type, Uint8Array.of(tag, value >> 16, value >> 8, value));
  const text = (type: number, tag: number, value: string) => attribute(type, Uint8Array.of(tag, ...bytes(value)));

  test('are grouped by tag and ordered by preference; without one comes last', () => {
    const { tunnels } = tunnelsOf([
      text(ATTRIBUTE.tunnelServerEndpoint, 3, '10.0.0.3'),
      text(ATTRIBUTE.tunnelServerEndpoint, 1, '10.0.0.1'),
      tagged(ATTRIBUTE.tunnelPreference, 1, 200),
      tagged(ATTRIBUTE.tunnelType, 2, 3),
      text(ATTRIBUTE.tunnelServerEndpoint, 2, '10.0.0.2'),
      tagged(ATTRIBUTE.tunnelPreference, 2, 100),
      text(ATTRIBUTE.tunnelPrivateGroupId, 2, 'vrf'),
    ]);
    expect(tunnels.map(({ serverEndpoint }) => serverEndpoint)).toEqual(['10.0.0.2', '10.0.0.1', '10.0.0.3']);
    expect(tunnels[0]).toMatchObject({ tag: 2, type: 3, privateGroup: 'vrf' });
  });

  test('untagged attributes beside tagged endpoints hold for all of them', () => {
    const { tunnels } = tunnelsOf([
      tagged(ATTRIBUTE.tunnelType, 0, 3),
      text(ATTRIBUTE.tunnelServerEndpoint, 1, '10.0.0.1'),
      tagged(ATTRIBUTE.tunnelType, 2, 1),
      text(ATTRIBUTE.tunnelServerEndpoint, 2, '10.0.0.2'),
    ]);
    expect(tunnels.map(({ tag, type }) => [tag, type])).toEqual([
      [1, 3],
      [2, 1],
    ]);
    expect(tunnels.filter(isL2tpTunnel).map(({ serverEndpoint }) => serverEndpoint)).toEqual(['10.0.0.1']);
  });

  test('one without tags is one', () => {
    const { tunnels } = tunnelsOf([attribute(ATTRIBUTE.tunnelServerEndpoint, bytes('lns.example'))]);
    expect(tunnels).toMatchObject([{ tag: 0, serverEndpoint: 'lns.example', type: null, preference: null }]);
  });

  test('what cannot be read is left out and counted', () => {
    const { tunnels, unreadable } = tunnelsOf([
      text(ATTRIBUTE.tunnelServerEndpoint, 1, '10.0.0.1'),
      attribute(ATTRIBUTE.tunnelPreference, Uint8Array.of(1, 2)),
      attribute(ATTRIBUTE.tunnelPassword, hideTunnelPassword(bytes('x'), 1, 1, new Uint8Array(16), SECRET).slice(0, 9)),
    ]);
    expect(unreadable).toBe(2);
    expect(tunnels).toMatchObject([{ serverEndpoint: '10.0.0.1', preference: null, password: null }]);
  });
});

describe('servers that do not answer', () => {
  test('a request is repeated to the byte, then goes to the next server, which all others use at once', () => {
    const net = new Net([server(), server()]);
    net.servers[0].alive = false;
    const first = net.client.access(pap('alice'), 0);
    net.run(0.5);
    const early = net.client.access(pap('alice'), net.now);
    net.run(10);
    expect(net.of('accepted').map(({ token, server: name }) => [token, name])).toEqual(
      expect.arrayContaining([
        [first, 's2'],
        [early, 's2'],
      ]),
    );
    const mine = net.sent.filter(({ address }) => address === '10.0.0.1');
    expect(mine.filter(({ bytes: sent }) => sent === mine[0].bytes)).toHaveLength(3);
    expect(net.of('server')).toEqual([{ type: 'server', server: 's1', kind: 'authentication', state: 'down' }]);
    const sent = net.sent.length;
    net.client.access(pap('alice'), net.now);
    net.run(1);
    expect(net.sent.slice(sent).map(({ address }) => address)).toEqual(['10.0.0.2']);
  });

  test('after its dead time one request finds out whether the server is back', () => {
    const net = new Net([server(), server()], { deadTime: 20 });
    net.servers[0].alive = false;
    net.client.access(pap('alice'), 0);
    net.run(30);
    const sent = net.sent.length;
    for (let i = 0; i < 5; i++) net.client.access(pap('alice'), net.now);
    net.run(5);
    expect(net.sent.slice(sent).filter(({ address }) => address === '10.0.0.1')).toHaveLength(1);
    expect(net.of('accepted')).toHaveLength(6);
    net.servers[0].alive = true;
    net.run(20);
    net.client.access(pap('alice'), net.now);
    net.run(1);
    expect(net.of('server').map(({ state }) => state)).toEqual(['down', 'up']);
    expect(net.of('accepted').at(-1)?.server).toBe('s1');
  });

  test('when none answers the user learns it, once, and servers are asked all the same', () => {
    const net = new Net([server(), server()]);
    for (const one of net.servers) one.alive = false;
    net.client.access(pap('alice'), 0);
    net.run(60);
    expect(net.of('no-answer')).toEqual([{ type: 'no-answer', token: 1, reason: 'timeout' }]);
    expect(net.sent).toHaveLength(6);
    net.servers[0].alive = true;
    net.client.access(pap('alice'), net.now);
    net.run(5);
    expect(net.of('accepted')).toMatchObject([{ token: 2, server: 's1' }]);
    expect(net.client.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('there may be none at all', () => {
    const net = new Net([]);
    net.client.access(pap('alice'), 0);
    net.client.account(record('start', 'S'), 0);
    net.run(1);
    expect(net.events).toEqual([{ type: 'no-answer', token: 1, reason: 'no-server' }]);
    expect(net.client.pendingRecords).toBe(0);
  });

  test('who has cancelled hears nothing', () => {
    const net = new Net([server()]);
    net.client.cancel(net.client.access(pap('alice'), 0));
    net.run(30);
    expect(net.events).toEqual([]);
    expect(net.client.counters.drops['unknown-id']).toBe(1);
  });
});

describe('limits', () => {
  test('256 identifiers for each socket, then requests wait, then they are refused', () => {
    const net = new Net([server()], { limits: { sockets: 2, queue: 100 } });
    net.servers[0].alive = false;
    for (let i = 0; i < 700; i++) net.client.access(pap('alice'), 0);
    net.run(0);
    expect(net.of('no-answer').map(({ reason }) => reason)).toEqual(Array(88).fill('busy'));
    const places = new Set(net.sent.map(({ socket, bytes: sent }) => `${socket} ${sent[1]}`));
    expect(places.size).toBe(512);
    expect(new Set(net.sent.map(({ socket }) => socket))).toEqual(new Set([0, 1]));
    net.servers[0].alive = true;
    net.run(9);
    expect(net.of('accepted')).toHaveLength(612);
    expect(net.client.counters).toMatchObject({ waited: 100, busy: 88 });
  });

  test('whoever waits too long for an identifier gets no answer', () => {
    const net = new Net([server()], { limits: { sockets: 1, queue: 10 }, tries: 10 });
    net.servers[0].alive = false;
    for (let i = 0; i < 258; i++) net.client.access(pap('alice'), 0);
    net.run(11);
    expect(net.of('no-answer').map(({ token, reason }) => [token, reason])).toEqual([
      [257, 'timeout'],
      [258, 'timeout'],
    ]);
  });

  test.each<[string, AccessRequest]>([
    ['a password of 129 bytes', pap('alice', 'x'.repeat(129))],
    ['a name of 254 bytes', pap('x'.repeat(254))],
    [
      'a CHAP response of another length',
      {
        session: {},
        credentials: { method: 'chap-md5', id: 1, challenge: new Uint8Array(8), response: new Uint8Array(15) },
      },
    ],
    [
      'an MS-CHAPv2 response of another length',
      {
        session: {},
        credentials: { method: 'ms-chap-v2', id: 1, challenge: new Uint8Array(16), response: new Uint8Array(24) },
      },
    ],
  ])('%s cannot be asked', (_, request) => {
    const net = new Net([server()]);
    net.client.access(request, 0);
    net.run(30);
    expect(net.events).toEqual([{ type: 'no-answer', token: 1, reason: 'unsendable' }]);
    expect(net.sent).toEqual([]);
    expect(net.client.counters.unsendable).toBe(1);
  });
});

describe('answers that are none', () => {
  /** Sends one request and gives its bytes to `forge`; what that makes comes from the server's place, or another. */
  const forged = (
    forge: (request: RadiusPacket) => Uint8Array,
    from: Partial<{ socket: number; address: string; port: number }> = {},
    options: Partial<RadiusClientOptions> = {},
  ) => {
    const net = new Net([server()], options);
    net.client.access(pap('alice'), 0);
    const [{ bytes: sent }] = net.client.output(0);
    const request = readRadius(sent) as RadiusPacket;
    const verdict = net.client.receive(forge(request), { socket: 0, address: '10.0.0.1', port: 1812, ...from }, 0);
    return { verdict, net };
  };
  const accept = ({ id, authenticator }: RadiusPacket, secret = SECRET, signed = true): Uint8Array =>
    buildResponse({ code: RADIUS_CODE.accessAccept, id, attributes: [] }, authenticator, secret, signed);

  test.each<[string, string, (request: RadiusPacket) => Uint8Array, object?]>([
    ['malformed', 'cut', (request) => accept(request).slice(0, 19)],
    ['code', 'a request', (request) => accept(request).fill(RADIUS_CODE.accessRequest, 0, 1)],
    ['unknown-server', 'from elsewhere', accept, { address: '10.0.0.9' }],
    ['unknown-server', 'from another port', accept, { port: 1813 }],
    ['unknown-id', 'to another socket', accept, { socket: 1 }],
    ['unknown-id', 'with another identifier', (request) => accept({ ...request, id: request.id + 1 })],
    ['authenticator', 'with another secret', (request) => accept(request, bytes('other'))],
    ['authenticator', 'to another request', (request) => accept({ ...request, authenticator: new Uint8Array(16) })],
  ])('%s: %s', (reason, _, forge, from = {}) => {
    const { verdict, net } = forged((request) => forge(request), from);
    expect(verdict).toBe(reason);
    expect(net.client.counters.drops).toMatchObject({ [reason]: 1 });
    expect(net.client.events()).toEqual([]);
    // The request is still under way: the true answer to its repetition comes through.
    net.run(5);
    expect(net.of('accepted')).toHaveLength(1);
  });

  test('an answer twice is an unknown one', () => {
    const { verdict, net } = forged(accept);
    expect(verdict).toBe('taken');
    expect(
      net.client.receive(
        new Uint8Array(20).fill(0).fill(2, 0, 1).fill(20, 3, 4),
        { socket: 0, address: '10.0.0.1', port: 1812 },
        0,
      ),
    ).toBe('unknown-id');
  });

  test.each<['require' | 'auto' | 'ignore', string, string]>([
    ['require', 'message-authenticator', 'message-authenticator'],
    ['auto', 'taken', 'message-authenticator'],
    ['ignore', 'taken', 'taken'],
  ])('without Message-Authenticator, policy %s: %s, and %s after a signed one', (policy, before, after) => {
    const unsigned = (request: RadiusPacket) => accept(request, SECRET, false);
    expect(forged(unsigned, {}, { messageAuthenticator: policy }).verdict).toBe(before);
    const net = new Net([server()], { messageAuthenticator: policy });
    net.client.access(pap('alice'), 0);
    net.run(1);
    expect(net.of('accepted')).toHaveLength(1);
    net.client.access(pap('alice'), net.now);
    const [{ bytes: sent }] = net.client.output(net.now);
    const verdict = net.client.receive(
      unsigned(readRadius(sent) as RadiusPacket),
      { socket: 0, address: '10.0.0.1', port: 1812 },
      net.now,
    );
    expect(verdict).toBe(after);
  });
});
