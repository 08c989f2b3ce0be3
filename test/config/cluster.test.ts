/** The sections `cluster` and `announce`. */
import { describe, expect, test } from 'vitest';
import { parseAgentConfig } from '../../src/config/agent.js';
import { diffConfigs } from '../../src/config/diff.js';
import { compiled, MINIMAL, problemsOf, withTop, withVip } from './sample.js';

const SECRET = 'sixteen characters or more';
const section = (name: string, value: object): string => withTop({ [name]: value });
const cluster = (value: object): string => section('cluster', { name: 'pop1', number: 1, ...value });
const bus = (value: object): string => cluster({ bus: value });
const of = (text: string): string[] => problemsOf(text).map(({ path, message }) => `${path}: ${message}`);

describe('cluster', () => {
  test('absent keys mean their defaults', () => {
    expect(compiled(cluster({})).cluster).toEqual({
      name: 'pop1',
      number: 1,
      member: null,
      bus: { driver: 'local', folder: '/run/designator/cluster-pop1', secret: null },
      share: { tunnels: true, rate: 20_000 },
    });
  });

  test('udp: peers with their ports, without this member itself', () => {
    const peers = [
      { number: 1, address: '10.99.0.1' },
      { number: 2, address: '10.99.0.2' },
      { number: 3, address: '10.99.0.3', port: 9 },
    ];
    const { config } = {
      config: compiled(bus({ driver: 'udp', address: '10.99.0.1', port: 7, secret: SECRET, peers })),
    };
    expect(config.cluster?.bus).toEqual({
      driver: 'udp',
      address: '10.99.0.1',
      port: 7,
      secret: { text: SECRET },
      peers: [
        { number: 2, address: '10.99.0.2', port: 7 },
        { number: 3, address: '10.99.0.3', port: 9 },
      ],
    });
  });

  test('nats: servers with their port, and what it asks for', () => {
    const { cluster: found } = compiled(
      bus({
        driver: 'nats',
        servers: ['nats1.example', '[2001:db8::1]:5222'],
        user: 'td1',
        passwordFile: '/etc/designator/nats',
        tls: { ca: '/etc/designator/ca.pem' },
        replicas: 3,
      }),
    );
    expect(found?.bus).toEqual({
      driver: 'nats',
      servers: ['nats1.example:4222', '[2001:db8::1]:5222'],
      user: 'td1',
      password: { file: '/etc/designator/nats' },
      token: null,
      tls: { ca: '/etc/designator/ca.pem', certificate: null, key: null },
      replicas: 3,
      secret: null,
    });
  });

  test.each<[string, object, string]>([
    [
      'a secret with the local driver',
      { secret: SECRET },
      'cluster.bus.secret: it has no meaning with the driver local',
    ],
    [
      'peers with nats',
      { driver: 'nats', servers: ['a'], token: 't', peers: [] },
      'cluster.bus.peers: it has no meaning with the driver nats',
    ],
    ['nats without servers', { driver: 'nats', token: 't' }, 'cluster.bus: with the driver nats it needs servers'],
    [
      'udp without a secret',
      { driver: 'udp', address: '10.0.0.1', peers: [{ number: 2, address: '10.0.0.2' }] },
      'cluster.bus: with the driver udp it needs secret or secretFile',
    ],
    [
      'a number twice',
      {
        driver: 'udp',
        address: '10.0.0.1',
        secret: SECRET,
        peers: [
          { number: 2, address: '10.0.0.2' },
          { number: 2, address: '10.0.0.3' },
        ],
      },
      'cluster.bus.peers.1.number: number 2 is there twice',
    ],
    [
      'an address twice',
      {
        driver: 'udp',
        address: '10.0.0.1',
        secret: SECRET,
        peers: [
          { number: 2, address: '10.0.0.2' },
          { number: 3, address: '10.0.0.2' },
        ],
      },
      'cluster.bus.peers.1.address: 10.0.0.2 port 1702 is there twice',
    ],
    [
      'a peer of the other family',
      { driver: 'udp', address: '10.0.0.1', secret: SECRET, peers: [{ number: 2, address: '2001:db8::2' }] },
      'cluster.bus.peers.0.address: it is not of the family of bus.address 10.0.0.1',
    ],
    [
      'nobody else',
      { driver: 'udp', address: '10.0.0.1', secret: SECRET, peers: [{ number: 1, address: '10.0.0.1' }] },
      'cluster.bus.peers: no other member is named: nobody will be told anything',
    ],
    [
      'user without password',
      { driver: 'nats', servers: ['a'], user: 'u' },
      'cluster.bus.user: user and password belong together',
    ],
    [
      'token and user',
      { driver: 'nats', servers: ['a'], user: 'u', password: 'p', token: 't' },
      'cluster.bus.token: a token stands for user and password: one of them',
    ],
    [
      'a certificate without its key',
      { driver: 'nats', servers: ['a'], token: 't', tls: { certificate: '/c.pem' } },
      'cluster.bus.tls: certificate and key belong together',
    ],
    [
      'NATS that anybody can enter',
      { driver: 'nats', servers: ['a'] },
      'cluster.bus: member 1 tells NATS neither user nor token nor certificate: anybody there can speak',
    ],
  ])('%s is named', (_what, value, message) => {
    expect(of(bus(value))).toContain(message);
  });

  test('a name that NATS cannot have, and a number that nobody can', () => {
    expect(of(cluster({ name: 'pop.1', bus: { driver: 'nats', servers: ['a'], token: 't' } }))).toContain(
      'cluster.name: with the driver nats it has only letters, digits, - and _, at most 64',
    );
    expect(of(cluster({ number: 256 })).join()).toMatch(/cluster\.number/);
    expect(of(cluster({ bus: { driver: 'nats', servers: ['a:70000'], token: 't' } })).join()).toMatch(/no server/);
  });

  test('cannot change while the designator runs', () => {
    const [before, after] = [compiled(cluster({})), compiled(cluster({ number: 2 }))];
    expect(diffConfigs(before, after).refused.map(({ path }) => path)).toEqual(['cluster']);
    expect(diffConfigs(compiled(MINIMAL), compiled(section('announce', {}))).refused.map(({ path }) => path)).toEqual([
      'announce',
    ]);
  });

  test('a load can be known over the bus', () => {
    const leastLoad = (top: Record<string, unknown>): string => withVip({ algorithm: 'least-load' }, top);
    expect(of(leastLoad({})).join()).toMatch(/no load will be known/);
    expect(of(leastLoad({ cluster: { name: 'pop1', number: 1 } })).join()).not.toMatch(/no load will be known/);
    const inactivating = (more: object, top: Record<string, unknown>): string =>
      of(withVip({ inactivate: {}, ...more }, top)).join();
    const [direct, member] = [{ reply: 'direct' }, { cluster: { name: 'pop1', number: 1 } }];
    expect(inactivating({}, {})).toMatch(/no load would be known/);
    expect(inactivating(direct, {})).toMatch(/must come by loadStatus\.listen or cluster/);
    for (const vip of [{}, direct]) expect(inactivating(vip, member)).not.toMatch(/no load would|must come by/);
  });
});

describe('endpoints', () => {
  const cluster = { name: 'pop1', number: 4, bus: { driver: 'local' } };
  const secret = 'a secret of all servers';
  const agent = (more: object) => parseAgentConfig('a.yaml', JSON.stringify({ server: 'lns1', secret, ...more }));

  test('an agent tells designators, a bus, or both; nobody is an error', () => {
    expect(agent({ cluster }).config).toMatchObject({ designators: [], cluster: { name: 'pop1', number: 4 } });
    expect(agent({ cluster, designators: '10.0.0.1:7017' }).config?.designators).toHaveLength(1);
    expect(agent({}).problems.map(({ message }) => message)).toContain(
      'nobody would be told: write designators or cluster',
    );
    const nats = { ...cluster, bus: { driver: 'nats' } };
    expect(agent({ cluster: nats }).problems.map(({ path }) => path)).toContain('cluster.bus');
    expect(agent({ cluster: { ...cluster, share: {} } }).config).toBeNull();
  });
});

describe('announce', () => {
  test('absent keys mean all addresses, in tables that are not the host’s', () => {
    const { announce, vips } = compiled(section('announce', {}));
    expect(announce).toMatchObject({
      inside: [],
      table: 1701,
      insideTable: 1702,
      device: 'designator0',
      settle: 1,
      linger: 0.3,
    });
    expect(announce?.addresses.map(({ text }) => text)).toEqual(vips.map(({ address }) => `${address}/32`));
  });

  test.each([
    ['all', ['192.0.2.1/32', '192.0.2.2/32']],
    ['master', ['192.0.2.1/32']],
    ['nat', ['192.0.2.2/32']],
  ])('part: %s announces the addresses that it answers for', (part, wanted) => {
    const vip = { address: '192.0.2.1', reply: 'nat', natAddress: '192.0.2.2' };
    const { announce } = compiled(withVip(vip, { part, announce: {} }));
    expect(announce?.addresses.map(({ text }) => text)).toEqual(wanted);
  });

  test.each<[object, RegExp]>([
    [{ table: 254 }, /announce\.table: table 254 is the host’s own \(main\)/],
    [{ insideTable: 1701 }, /announce\.insideTable: it must not be the table of the addresses/],
    [{ addresses: ['192.0.2.77'] }, /announce\.addresses\.0: 192\.0\.2\.77 is no address of this process/],
    [{ addresses: [] }, /announce: it announces nothing/],
    [{ inside: '10.0.0.1/8' }, /bits set beyond its length/],
    [{ linger: '9s' }, /it must be from/],
  ])('%j is refused', (value, message) => {
    expect(of(section('announce', value)).join('\n')).toMatch(message);
  });

  test('prefixes alone will do', () => {
    const { announce } = compiled(section('announce', { addresses: [], inside: '0.0.0.0/0' }));
    expect(announce).toMatchObject({ addresses: [], inside: [{ text: '0.0.0.0/0', family: 4, length: 96 }] });
  });
});
