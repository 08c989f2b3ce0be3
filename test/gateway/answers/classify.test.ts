import { describe, expect, test } from 'vitest';
import { classify, type GroupOnSegment } from '../../../src/gateway/answers/classify.js';
import type { IGNORED } from '../../../src/gateway/answers/heard.js';
import { BROADCAST, virtualMac } from '../../../src/gateway/mac.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { arp, bytes, linkLayer, neighbour } from '../../helpers/neighbour-frames.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const VIP = words('10.7.0.254');
const VIP6 = words('fe80::7:fe');
const GLOBAL6 = words('2001:db8:7::fe');
const GROUP: GroupOnSegment = { scheme: 'local', group: 7, addresses: [VIP, VIP6, GLOBAL6] };
const HOST = 0x020000000011;
const OTHER = 0x020000000099;
const vmac = (number: number): number => virtualMac('local', 7, number);
const heard = (frame: Uint8Array) => classify(frame, GROUP);

describe('ARP', () => {
  test('a broadcast request of a host for a shared address asks, and takes a turn', () => {
    const ask = heard(arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254' }));
    expect(ask).toEqual({
      kind: 'ask',
      protocol: 'arp',
      host: HOST,
      hardware: HOST,
      address: words('10.7.0.11'),
      target: VIP,
      index: 0,
      forwarder: 0,
      probe: false,
      turn: true,
    });
    expect(ask.kind === 'ask' && ask.target).toBe(VIP);
  });

  test.each([
    ['padding', { padded: true }],
    ['a priority tag', { tag: 0xa000 }],
    ['a target MAC that is filled in', { targetMac: vmac(3) }],
  ])('%s changes nothing', (_name, more) => {
    const plain = { from: HOST, sender: '10.7.0.11', target: '10.7.0.254' };
    expect(heard(arp({ ...plain, ...more }))).toEqual(heard(arp(plain)));
  });

  test('a refresh by unicast tells which forwarder the host uses', () => {
    const frame = arp({ to: vmac(3), from: HOST, sender: '10.7.0.11', target: '10.7.0.254' });
    expect(heard(frame)).toMatchObject({ kind: 'ask', forwarder: 3, probe: false });
  });

  test('a probe asks without taking a turn (RFC 5227 §2.1.1)', () => {
    const frame = arp({ from: HOST, sender: '0.0.0.0', target: '10.7.0.254' });
    expect(heard(frame)).toMatchObject({ kind: 'ask', probe: true, turn: false, address: null });
  });

  test('a request with a sender that no host can have takes no turn', () => {
    const frame = arp({ from: HOST, sender: '224.0.0.1', target: '10.7.0.254' });
    expect(heard(frame)).toMatchObject({ kind: 'ask', probe: false, turn: false, address: null });
  });

  test('where Ethernet and ARP differ, the Ethernet source is the host', () => {
    const frame = arp({ from: HOST, senderMac: OTHER, sender: '10.7.0.11', target: '10.7.0.254' });
    expect(heard(frame)).toMatchObject({ kind: 'ask', host: HOST, hardware: OTHER });
  });

  test('an announcement of a shared address is a claim, and is answered as the request that it is', () => {
    const frame = arp({ from: OTHER, sender: '10.7.0.254', target: '10.7.0.254' });
    expect(heard(frame)).toMatchObject({
      kind: 'claim',
      by: 'announcement',
      station: OTHER,
      hardware: OTHER,
      ask: { kind: 'ask', address: null, turn: false, probe: false },
    });
  });

  test.each([
    ['reply', { operation: 2, sender: '10.7.0.254', target: '10.7.0.11' }, 'reply'],
    ['gratuitous reply', { operation: 2, sender: '10.7.0.254', target: '10.7.0.254' }, 'reply'],
    ['request for something else', { sender: '10.7.0.254', target: '10.7.0.11' }, 'request'],
  ])('a %s with a shared sender address is a claim that wants no answer', (_name, told, by) => {
    expect(heard(arp({ from: OTHER, ...told }))).toMatchObject({ kind: 'claim', by, target: VIP, ask: null });
  });

  test('a host that repeats our virtual MAC behind a shared address claims nothing', () => {
    const frame = arp({ from: OTHER, senderMac: vmac(2), operation: 2, sender: '10.7.0.254', target: '10.7.0.11' });
    expect(heard(frame)).toEqual({ kind: 'ignored', reason: 'unrelated' });
  });

  test('what comes from a virtual MAC of the group is its own', () => {
    const frame = arp({ from: vmac(255), operation: 2, sender: '10.7.0.254', target: '10.7.0.11' });
    expect(heard(frame)).toEqual({ kind: 'own', forwarder: 255 });
  });

  test('a host that speaks about others is seen', () => {
    const frame = arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.12' });
    expect(heard(frame)).toEqual({ kind: 'sighting', host: HOST, address: words('10.7.0.11') });
  });
});

describe('Neighbour Discovery', () => {
  const solicitation = { type: 135, from: HOST, source: 'fe80::11', target: 'fe80::7:fe' } as const;

  test('a solicitation asks', () => {
    const frame = neighbour({ ...solicitation, options: linkLayer(1, HOST) });
    expect(heard(frame)).toEqual({
      kind: 'ask',
      protocol: 'nd',
      host: HOST,
      hardware: HOST,
      address: words('fe80::11'),
      target: VIP6,
      index: 1,
      forwarder: 0,
      probe: false,
      turn: true,
    });
  });

  test('by unicast and without its link-layer option it is answered where it came from', () => {
    const frame = neighbour({ ...solicitation, to: vmac(2), destination: 'fe80::7:fe' });
    expect(heard(frame)).toMatchObject({ kind: 'ask', hardware: HOST, forwarder: 2 });
  });

  test('a global shared address is known as well, a neighbour of it is not', () => {
    expect(heard(neighbour({ ...solicitation, target: '2001:db8:7::fe' }))).toMatchObject({
      target: GLOBAL6,
      index: 2,
    });
    expect(heard(neighbour({ ...solicitation, target: '2001:db8:7::ff' }))).toMatchObject({ kind: 'sighting' });
  });

  test('duplicate address detection claims, and is answered in defence', () => {
    const frame = neighbour({ ...solicitation, source: '::' });
    expect(heard(frame)).toMatchObject({
      kind: 'claim',
      by: 'detection',
      station: HOST,
      ask: { probe: true, turn: false, address: null, target: VIP6 },
    });
  });

  test('a solicitation from a shared address with a foreign MAC is a claim', () => {
    const frame = neighbour({ ...solicitation, source: '2001:db8:7::fe', target: 'fe80::11' });
    expect(heard(frame)).toMatchObject({ kind: 'claim', by: 'request', target: GLOBAL6, ask: null });
  });

  test.each([
    ['its own MAC as target option', linkLayer(2, OTHER), OTHER],
    ['no option', '', HOST],
  ])('an advertisement of a shared address with %s is a claim', (_name, options, hardware) => {
    const told = { type: 136, from: HOST, source: 'fe80::11', destination: 'ff02::1', flags: 0x20 } as const;
    expect(heard(neighbour({ ...told, target: 'fe80::7:fe', options }))).toMatchObject({
      kind: 'claim',
      by: 'advertisement',
      station: HOST,
      hardware,
    });
  });

  test('a Router Solicitation is told from a solicitation', () => {
    const told = { type: 133, from: HOST, options: linkLayer(1, HOST) } as const;
    expect(heard(neighbour({ ...told, source: 'fe80::11' }))).toEqual({
      kind: 'router-solicitation',
      host: HOST,
      address: words('fe80::11'),
    });
    expect(heard(neighbour({ type: 133, from: HOST, source: '::' }))).toMatchObject({ address: null });
  });
});

describe('what means nothing has a name', () => {
  const request = { from: HOST, sender: '10.7.0.11', target: '10.7.0.254' };
  const solicitation = { type: 135, from: HOST, source: 'fe80::11', target: 'fe80::7:fe' } as const;
  const changed = (frame: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(frame);
    copy[at] = value;
    return copy;
  };

  test.each<[keyof typeof IGNORED, string, Uint8Array]>([
    ['short', 'nothing', new Uint8Array(0)],
    ['short', '13 bytes', arp(request).subarray(0, 13)],
    ['tagged', 'VLAN 5', arp({ ...request, tag: 5 })],
    ['type', 'IPv4', changed(arp(request), 13, 0)],
    ['type', 'a second tag', bytes('ffffffffffff 020000000011 8100 0000 8100 0000 0806 0001')],
    ['source-group', 'multicast source', arp({ ...request, from: 0x010000000011 })],
    ['source-group', 'broadcast source', arp({ ...request, from: BROADCAST })],
    ['source-zero', 'no source', arp({ ...request, from: 0 })],
    ['arp-form', 'one byte too few', arp(request).subarray(0, 41)],
    ['arp-form', 'other hardware', changed(arp(request), 15, 6)],
    ['arp-form', 'other protocol', changed(arp(request), 16, 9)],
    ['arp-form', 'longer MACs', changed(arp(request), 18, 8)],
    ['arp-form', 'longer addresses', changed(arp(request), 19, 16)],
    ['arp-form', 'reverse ARP', changed(arp(request), 21, 3)],
    ['arp-sender', 'group sender', arp({ ...request, senderMac: BROADCAST })],
    ['arp-sender', 'zero sender', arp({ ...request, senderMac: 0 })],
    ['unrelated', 'a probe for something else', arp({ ...request, sender: '0.0.0.0', target: '10.7.0.9' })],
    ['ipv6-form', 'cut off', neighbour(solicitation).subarray(0, 60)],
    ['ipv6-form', 'UDP', changed(neighbour(solicitation), 20, 17)],
    ['unrelated', 'echo', neighbour({ ...solicitation, type: 128 })],
    ['nd-hop-limit', 'forwarded', neighbour({ ...solicitation, hopLimit: 254 })],
    ['nd-checksum', 'wrong checksum', neighbour({ ...solicitation, wrongChecksum: true })],
    ['nd-form', 'multicast source', neighbour({ ...solicitation, source: 'ff02::1' })],
    ['nd-form', 'multicast target', neighbour({ ...solicitation, target: 'ff02::1:ff00:1' })],
    ['nd-form', 'code 1', neighbour({ ...solicitation, code: 1 })],
    ['nd-form', 'option of length 0', neighbour({ ...solicitation, options: '0100 020000000011' })],
    ['nd-form', 'option beyond the end', neighbour({ ...solicitation, options: '0102 020000000011' })],
    ['nd-form', 'group MAC told', neighbour({ ...solicitation, options: linkLayer(1, BROADCAST) })],
    ['nd-form', 'detection with option', neighbour({ ...solicitation, source: '::', options: linkLayer(1, HOST) })],
    ['nd-form', 'detection by unicast', neighbour({ ...solicitation, source: '::', destination: 'fe80::7:fe' })],
    [
      'nd-form',
      'solicited advertisement to all',
      neighbour({
        type: 136,
        from: HOST,
        source: 'fe80::7:fe',
        destination: 'ff02::1',
        flags: 0x40,
        target: 'fe80::9',
      }),
    ],
    ['nd-form', 'Router Solicitation with code 1', neighbour({ type: 133, from: HOST, source: 'fe80::11', code: 1 })],
  ])('%s: %s', (reason, _name, frame) => expect(heard(frame)).toEqual({ kind: 'ignored', reason }));

  test('an IPv4-mapped address in IPv6 is not the IPv4 address', () => {
    const frame = neighbour({ ...solicitation, target: '::ffff:0a07:00fe' });
    expect(heard(frame).kind).toBe('sighting');
  });
});
