/** The group's desk on a segment: whoever is asked, by whatever frame, one answer comes, from the right place. */
import { describe, expect, test } from 'vitest';
import { forwarderOf, macText, readMac, virtualMac } from '../../src/gateway/mac.js';
import type { RouterAdvertisementOptions } from '../../src/gateway/types.js';
import { GatewayFarm, type FarmOptions, SHARED, SHARED6, words } from '../helpers/gateway-farm.js';
import type { Port, Station } from '../helpers/gateway-segment.js';
import { arp, linkLayer, neighbour } from '../helpers/neighbour-frames.js';

const GLOBAL6 = words('2001:db8:7::fe');
const ADDRESSES = [SHARED, SHARED6, GLOBAL6];
const TYPE_ARP = 0x0806;
const TYPE_IPV6 = 0x86dd;

/** A station that says what the test says, and keeps what the switch brings it of ARP and IPv6. */
class Asker implements Station {
  readonly port: Port;
  readonly nextTime = Number.POSITIVE_INFINITY;
  readonly heard: Uint8Array[] = [];

  constructor(
    readonly farm: GatewayFarm,
    readonly mac: number,
  ) {
    this.port = farm.segment.attach(this);
  }

  accepts(): boolean {
    return true;
  }

  tick(): void {}

  receive(frame: Uint8Array): void {
    const type = (frame[12] << 8) | frame[13];
    if (type === TYPE_ARP || type === TYPE_IPV6) this.heard.push(Uint8Array.from(frame));
  }

  /** What comes to it alone within a tenth of a second after these frames. */
  ask(...frames: Uint8Array[]): Uint8Array[] {
    this.heard.length = 0;
    for (const frame of frames) this.port.send(frame);
    this.farm.run(0.1);
    return this.heard.filter((frame) => readMac(frame) === this.mac);
  }
}

const HOST = 0x020000000011;
/** A group that has settled, and a station. */
function scene(options: FarmOptions = {}): { farm: GatewayFarm; asker: Asker } {
  const farm = new GatewayFarm({ gateways: 3, ...options, group: { addresses: ADDRESSES, ...options.group } });
  const asker = new Asker(farm, HOST);
  farm.run(3);
  return { farm, asker };
}

const request = (to: number, sender = '10.7.0.11') => arp({ to, from: HOST, sender, target: '10.7.0.254' });
const solicitation = (target: string, more: object = {}) =>
  neighbour({ type: 135, from: HOST, source: 'fe80::11', target, options: linkLayer(1, HOST), ...more });
const vmac = (number: number): number => virtualMac('local', 7, number);
const everyone = 0xffffffffffff;
/** Ethernet source, and what the packet itself names. */
const named = (frame: Uint8Array): string[] => [
  macText(readMac(frame, 6)),
  macText(readMac(frame, frame[12] === 8 ? 22 : 80)),
];

const QUESTIONS: [string, Uint8Array][] = [
  ['an ARP request to all', request(everyone)],
  ...[1, 2, 3].map((n): [string, Uint8Array] => [`an ARP request to virtual MAC ${n}`, request(vmac(n))]),
  ...[1, 2, 3].map((n): [string, Uint8Array] => [
    `an ARP request to the port of gateway ${n}`,
    request(0x020000010000 + n),
  ]),
  ['an ARP request with a priority tag', arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254', tag: 0xe000 })],
  ['an ARP probe', request(everyone, '0.0.0.0')],
  ['an ARP probe to a virtual MAC', request(vmac(2), '0.0.0.0')],
  ['an announcement of the shared address', request(everyone, '10.7.0.254')],
  ['a solicitation of the link-local address', solicitation('fe80::7:fe')],
  ['a solicitation of the global address', solicitation('2001:db8:7::fe')],
  ...[1, 2, 3].map((n): [string, Uint8Array] => [
    `a solicitation to virtual MAC ${n}`,
    solicitation('fe80::7:fe', { to: vmac(n), destination: 'fe80::7:fe' }),
  ]),
  [
    'a solicitation to a virtual MAC without option',
    solicitation('fe80::7:fe', { to: vmac(2), destination: 'fe80::7:fe', options: '' }),
  ],
  ['duplicate address detection', solicitation('2001:db8:7::fe', { source: '::', options: '' })],
];

describe.each(['master', 'forwarder'] as const)('replies by the %s', (replies) => {
  test.each(QUESTIONS)('%s has one reply, which comes from the MAC that it names', (name, frame) => {
    const { farm, asker } = scene({ group: { replies, addresses: ADDRESSES } });
    // For a host that nobody knows yet, then for one that is known.
    const first = asker.ask(frame);
    const second = asker.ask(frame);
    expect([first.length, second.length]).toEqual([1, 1]);
    for (const [source, told] of [named(first[0]), named(second[0])]) {
      expect(source).toBe(told);
      expect([1, 2, 3].map((n) => macText(vmac(n)))).toContain(source);
    }
    if (!/probe|detection|announcement/.test(name)) expect(named(second[0])).toEqual(named(first[0]));
    // Right after it the switch brings frames for that MAC to a gateway that takes them.
    const mac = readMac(first[0], 6);
    const ports = farm.segment.route(asker.port, mac);
    expect(farm.gateways.some((gateway) => ports.includes(gateway.port) && gateway.forwards(mac))).toBe(true);
  });
});

test('who asks a virtual MAC without being known goes on with it', () => {
  for (const number of [1, 2, 3]) {
    const { asker } = scene();
    const [reply] = asker.ask(request(vmac(number)));
    expect(forwarderOf('local', 7, readMac(reply, 6))).toBe(number);
  }
});

test('a host of both families has one gateway', () => {
  const { asker } = scene();
  const frames = asker.ask(request(everyone), solicitation('fe80::7:fe'), solicitation('2001:db8:7::fe'));
  expect(frames).toHaveLength(3);
  expect(new Set(frames.map((frame) => named(frame)[0])).size).toBe(1);
});

test('probes and announcements consume no turn', () => {
  const { farm, asker } = scene({ group: { algorithm: 'round-robin', addresses: ADDRESSES } });
  for (let i = 0; i < 6; i++) {
    asker.ask(request(everyone, '0.0.0.0'), solicitation('fe80::7:fe', { source: '::', options: '' }));
    farm.addHost({ startAt: farm.now });
    farm.run(0.1);
  }
  expect([...farm.shares()].sort()).toEqual([
    [1, 2],
    [2, 2],
    [3, 2],
  ]);
});

describe('a question while there is no master', () => {
  test('is answered by the successor at once, one for each address, and only once', () => {
    const { farm, asker } = scene();
    farm.master.die();
    asker.heard.length = 0;
    farm.run(0.01);
    asker.port.send(request(everyone));
    asker.port.send(solicitation('fe80::7:fe'));
    asker.port.send(solicitation('2001:db8:7::fe'));
    asker.port.send(request(everyone));
    farm.run(0.3);
    const replies = asker.heard.filter((frame) => readMac(frame) === HOST);
    expect(replies.map((frame) => frame[12] === 8)).toHaveLength(3);
    expect(replies.filter((frame) => frame[12] === 8)).toHaveLength(1);
  });

  test('that the master answered before it died is not answered again', () => {
    const { farm, asker } = scene();
    const before = farm.master;
    expect(asker.ask(request(everyone))).toHaveLength(1);
    farm.run(0.5);
    before.die();
    asker.heard.length = 0;
    farm.run(1);
    expect(farm.master).not.toBe(before);
    expect(asker.heard.filter((frame) => readMac(frame) === HOST)).toEqual([]);
  });
});

describe('Router Advertisements', () => {
  const advertise: RouterAdvertisementOptions = {
    interval: 60,
    lifetime: 1800,
    managed: false,
    other: false,
    mtu: 0,
    prefixes: [],
    resolvers: [],
  };
  const options: FarmOptions = { group: { addresses: ADDRESSES, advertise } };
  const said = (asker: Asker) =>
    asker.heard
      .filter((frame) => frame[12] === 0x86 && frame[54] === 134)
      .map((frame) => ({
        to: macText(readMac(frame)),
        from: macText(readMac(frame, 6)),
        lifetime: (frame[60] << 8) | frame[61],
      }));
  const all = '33:33:00:00:00:01';

  test('come from the master alone, and from its successor', () => {
    const { farm, asker } = scene(options);
    farm.run(40);
    const first = farm.master;
    expect(new Set(said(asker).map(({ from }) => from))).toEqual(new Set([macText(first.vmac())]));
    asker.heard.length = 0;
    first.die();
    farm.run(5);
    expect(said(asker).map(({ to, from, lifetime }) => [to, from, lifetime])).toEqual([
      [all, macText(farm.master.vmac()), 1800],
    ]);
  });

  test('answer a solicitation once, to the host', () => {
    const { farm, asker } = scene(options);
    farm.run(60);
    asker.heard.length = 0;
    asker.port.send(neighbour({ type: 133, from: HOST, source: 'fe80::11', options: linkLayer(1, HOST) }));
    farm.run(0.6);
    expect(said(asker).filter(({ to }) => to === macText(HOST))).toHaveLength(1);
  });

  test('say that there is no router while no gateway of the group can forward', () => {
    const { farm, asker } = scene(options);
    farm.run(20);
    const [first, ...others] = farm.gateways;
    for (const other of others) other.setUpstream(false);
    asker.heard.length = 0;
    farm.run(1);
    expect(said(asker).filter(({ lifetime }) => lifetime === 0)).toEqual([]);
    asker.heard.length = 0;
    first.setUpstream(false);
    farm.run(1);
    expect(said(asker).map(({ to, lifetime }) => [to, lifetime])).toEqual([[all, 0]]);
    farm.run(60);
    expect(new Set(said(asker).map(({ lifetime }) => lifetime))).toEqual(new Set([0]));
    asker.heard.length = 0;
    others[0].setUpstream(true);
    farm.run(5);
    expect(said(asker).length).toBeGreaterThan(0);
    expect(new Set(said(asker).map(({ lifetime }) => lifetime))).toEqual(new Set([1800]));
  });

  test('of one gateway alone are taken back when it cannot forward, and come again', () => {
    const { farm, asker } = scene({ ...options, gateways: 1 });
    farm.run(20);
    asker.heard.length = 0;
    farm.gateways[0].setUpstream(false);
    farm.run(0.2);
    expect(said(asker).map(({ lifetime }) => lifetime)).toEqual([0]);
    farm.gateways[0].setUpstream(true);
    farm.run(1);
    expect(said(asker).at(-1)?.lifetime).toBe(1800);
  });

  test('say that there is no router when the last gateway ends, and only then', () => {
    const { farm, asker } = scene(options);
    asker.heard.length = 0;
    for (let left = 3; left > 0; left--) {
      farm.master.stopCleanly();
      farm.run(10);
      expect(said(asker).some(({ lifetime }) => lifetime === 0)).toBe(left === 1);
    }
  });
});
