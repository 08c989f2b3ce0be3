import { createSocket } from 'node:dgram';
import { describe, expect, test } from 'vitest';
import { type LnsConfig, parseLnsConfig } from '../../../src/config/lns.js';
import type { AccessReply } from '../../../src/protocol/radius/reply.js';
import type { BusTeller } from '../../../src/roles/cluster/bus-teller.js';
import { LoadTeller, MachineLoad, overloadOf } from '../../../src/roles/lns/load-teller.js';
import type { MemberText } from '../../../src/wire/cluster-member.js';
import { Profiles } from '../../../src/roles/lns/profiles.js';
import { verdictOf } from '../../../src/roles/lns/radius-judge.js';
import { prefixesOf, routesOf } from '../../../src/roles/lns/tun-network.js';
import { parseIpv4Range } from '../../../src/config/values.js';
import { formatWords } from '../../../src/wire/address.js';
import { readLoadStatus } from '../../../src/wire/load-status.js';

function configOf(more: string): LnsConfig {
  const text = `name: lns1\nlisten: 10.0.0.1\nusers: {file: /u}\npools: [{name: a, ipv4: 10.64.0.0/24}]\n${more}`;
  const { config, problems } = parseLnsConfig('f', text);
  if (config === null) throw new Error(JSON.stringify(problems));
  return config;
}
const peer = (address: string) => ({ address, port: 1701, socket: 0 });

describe('other ends', () => {
  const profiles = new Profiles(
    configOf(`tunnels:
  secret: common
  hello: 10s
  peers:
    - { from: 192.0.2.0/25, hostName: 'lac*', secret: own, hide: true, proxy: none }
    - { from: ['2001:db8::/33', 198.51.100.7] }
    - { hostName: evil, allow: false }
`),
  );

  test.each([
    ['192.0.2.127', 'LAC-1', 'own', 'none'],
    ['192.0.2.128', 'lac-1', 'common', 'authentication'],
    ['192.0.2.1', 'bras', 'common', 'authentication'],
    ['192.0.2.1', null, 'common', 'authentication'],
    ['2001:db8:7fff::1', null, 'common', 'authentication'],
    ['198.51.100.7', 'evil', 'common', 'authentication'],
  ])('%s called %s', (address, hostName, secret, proxy) => {
    const settings = profiles.of(peer(address), hostName);
    expect(settings?.profile).toMatchObject({ secret, helloInterval: 10 });
    expect(settings?.proxy).toBe(proxy);
    expect(settings?.profile.hide).toBe(
      secret === 'own' ? 'private' : address.includes('8:7') || address.startsWith('198') ? 'none' : undefined,
    );
  });

  test('who is refused by name, and everybody else where only peers are let in', () => {
    expect(profiles.of(peer('203.0.113.1'), 'evil')).toBeNull();
    const closed = new Profiles(configOf('tunnels: { others: refuse, peers: [{ from: 192.0.2.1 }] }\n'));
    expect(closed.of(peer('192.0.2.1'), 'x')).not.toBeNull();
    expect(closed.of(peer('192.0.2.2'), 'x')).toBeNull();
    expect(closed.of(peer('no address'), 'x')).toBeNull();
  });
});

describe('routes of pools', () => {
  test.each([
    ['10.64.0.0/16', ['10.64.0.0/16']],
    ['10.0.0.1-10.0.0.6', ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32']],
    ['10.0.0.0-10.0.1.255', ['10.0.0.0/23']],
    ['10.0.0.255-10.0.1.0', ['10.0.0.255/32', '10.0.1.0/32']],
    ['0.0.0.0/0', ['0.0.0.0/0']],
    ['255.255.255.254-255.255.255.255', ['255.255.255.254/31']],
  ])('%s', (text, expected) => {
    const range = parseIpv4Range(text);
    if ('error' in range) throw new Error(range.error);
    expect(prefixesOf(range.value).map(({ words, length }) => `${formatWords(words)}/${length}`)).toEqual(expected);
  });

  test('of both families', () => {
    const { pools } = configOf('');
    expect(
      routesOf([
        ...pools,
        {
          name: 'six',
          ipv4: [],
          ipv6: [{ words: [0x20010db8, 0, 0, 0], length: 40, text: '', family: 6 }],
          length: 64,
        },
      ]),
    ).toEqual([
      { words: [0, 0, 0xffff, 0x0a400000], length: 24 },
      { words: [0x20010db8, 0, 0, 0], length: 40 },
    ]);
  });
});

describe('load', () => {
  test('a threshold that is exceeded has a name', () => {
    const config = configOf('refuseAbove: { cpu: 80, memory: 90, sessions: 10 }\n');
    const at = (cpu: number, memory: number, sessions: number) => overloadOf(config, { cpu, memory }, sessions);
    expect([at(0.8, 0.9, 9), at(0.81, 0, 0), at(0, 0.91, 0), at(0, 0, 10)]).toEqual([
      null,
      'processor busy',
      'memory short',
      'too many sessions',
    ]);
    expect(overloadOf(configOf(''), { cpu: 1, memory: 1 }, 1e6)).toBeNull();
  });

  test('a machine’s load is shares, from the second look on', () => {
    const load = new MachineLoad();
    load.measure();
    load.measure();
    expect(load.memory).toBeGreaterThan(0);
    expect(load.memory).toBeLessThan(1);
    expect(load.cpu).toBeGreaterThanOrEqual(0);
    expect(load.cpu).toBeLessThanOrEqual(1);
  });

  test('messages say what the LNS has, grow in number, and at the end that nothing is taken', async () => {
    const socket = createSocket('udp4');
    const got: Uint8Array[] = [];
    socket.on('message', (bytes) => void got.push(bytes));
    await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
    const { port } = socket.address();
    const secret = 'sixteen letters!';
    const config = configOf(
      `loadStatus: { designators: '127.0.0.1:${port}', servers: [a, b], secret: ${secret}, every: 60s }\n`,
    );
    const onBus: Uint8Array[] = [];
    const described: unknown[] = [];
    const bus = {
      tell: (bytes: Uint8Array) => void onBus.push(bytes),
      describe: ({ state, tunnels, sessions }: MemberText) => void described.push({ state, tunnels, sessions }),
    } as unknown as BusTeller;
    let now = 5_000_000;
    const traffic = { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };
    const source = { tunnels: () => 3, sessions: () => 40, traffic: () => ({ ...traffic }) };
    const teller = new LoadTeller(
      config,
      source,
      new MachineLoad(),
      () => true,
      () => now,
      bus,
    );
    now += 2000;
    Object.assign(traffic, { packetsIn: 200, packetsOut: 100, bytesIn: 25_000, bytesOut: 0 });
    teller.tell();
    await teller.close();
    while (got.length < 6) await new Promise((next) => setImmediate(next));
    socket.close();
    const said = got.map((bytes) => {
      const status = readLoadStatus(bytes);
      if (typeof status === 'string') throw new Error(status);
      return status;
    });
    expect(said.map(({ server, accepting }) => `${server} ${accepting}`)).toEqual([
      'a true',
      'b true',
      'a true',
      'b true',
      'a false',
      'b false',
    ]);
    expect(said[2]).toMatchObject({ tunnels: 3, sessions: 40, packetsIn: 100, bitsIn: 100_000, sessionLimit: 32_768 });
    expect(said[0].packetsIn).toBeNull();
    const sequences = said.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(new Set(sequences).size).toBe(6);
    // On the bus of a cluster the same, sealed in the same way.
    expect(onBus.map((bytes) => Buffer.from(bytes))).toEqual(got.map((bytes) => Buffer.from(bytes)));
    expect(described.at(0)).toEqual({ state: 'ready', tunnels: 3, sessions: 40 });
    expect(described.at(-1)).toMatchObject({ state: 'unable' });
  });
});

describe('what RADIUS says', () => {
  const reply = (values: Partial<AccessReply>): AccessReply => ({
    attributes: [],
    unreadable: 0,
    address: null,
    netmask: null,
    pool: null,
    routes: [],
    ipv6Prefix: null,
    ipv6Address: null,
    ipv6Pool: null,
    interfaceId: null,
    delegatedPrefix: null,
    delegatedPool: null,
    ipv6Routes: [],
    dns: [],
    ipv6Dns: [],
    mtu: null,
    sessionTimeout: null,
    idleTimeout: null,
    interimInterval: null,
    classes: [],
    filters: [],
    message: null,
    serviceType: null,
    userName: null,
    msChapSuccess: null,
    msChapError: null,
    tunnels: [],
    ...values,
  });
  const accepted = (values: Partial<AccessReply>) =>
    verdictOf({ type: 'accepted', server: 'aaa', reply: reply(values) }, 'alice');

  test('becomes a grant', () => {
    const verdict = accepted({
      address: '10.64.0.9',
      userName: 'alice@isp',
      routes: ['192.168.7.0/24 0.0.0.0 1', 'nonsense'],
      ipv6Routes: ['2001:db8:9::/48 ::'],
      delegatedPrefix: '2001:db8:7::/56',
      dns: ['10.0.0.53'],
      sessionTimeout: 3600,
      msChapSuccess: 'S=AB',
      message: 'hello',
    });
    expect(verdict).toMatchObject({ kind: 'accept', message: 'S=AB' });
    if (verdict.kind !== 'accept') throw new Error('refused');
    expect(verdict.grant).toMatchObject({ user: 'alice@isp', timeoutSeconds: 3600, idleSeconds: null });
    expect(verdict.grant.address).toEqual([0, 0, 0xffff, 0x0a400009]);
    expect(verdict.grant.routes.map(({ text }) => text)).toEqual(['192.168.7.0/24', '2001:db8:9::/48']);
    expect(verdict.grant.prefix?.text).toBe('2001:db8:7::/56');
    expect(verdict.grant.dns).toEqual([[0, 0, 0xffff, 0x0a000035]]);
  });

  test.each(['any', 'client'] as const)('an address that is no address (%s): one of ours', (address) => {
    const verdict = accepted({ address });
    expect(verdict.kind === 'accept' && verdict.grant.address).toBeNull();
  });

  test('no is no, and nobody’s answer is no too', () => {
    const rejected = { type: 'rejected', server: 'aaa', reply: reply({ message: 'unpaid' }) } as const;
    expect(verdictOf(rejected, 'alice')).toEqual({ kind: 'refuse', reason: 'rejected', message: 'unpaid' });
    expect(verdictOf({ type: 'no-answer', reason: 'timeout' }, 'alice')).toEqual({
      kind: 'refuse',
      reason: 'radius-timeout',
    });
  });
});
