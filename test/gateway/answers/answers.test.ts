import { describe, expect, test } from 'vitest';
import { Answers } from '../../../src/gateway/answers/answers.js';
import type { Ask, Claim } from '../../../src/gateway/answers/heard.js';
import { virtualMac } from '../../../src/gateway/mac.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { arp, linkLayer, neighbour } from '../../helpers/neighbour-frames.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const VIP = words('10.7.0.254');
const VIP6 = words('fe80::7:fe');
const GLOBAL6 = words('2001:db8:7::fe');
const HOST = 0x020000000011;
const answers = new Answers({ scheme: 'local', group: 7, addresses: [VIP, VIP6, GLOBAL6] });
const asked = (frame: Uint8Array): Ask => {
  const heard = answers.classify(frame);
  if (heard.kind === 'ask') return heard;
  return (heard as Claim).ask as Ask;
};
const host = '020000000011';
const vmac = (number: number): string => virtualMac('local', 7, number).toString(16).padStart(12, '0');
const padding = '00'.repeat(18);

describe('a reply', () => {
  test('names the virtual MAC, and comes from it (claims 4, 5)', () => {
    const ask = asked(arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254' }));
    expect(hex(answers.reply(ask, 3))).toBe(
      `${host}${vmac(3)}0806000108000604` + `0002${vmac(3)}0a0700fe${host}0a07000b${padding}`,
    );
  });

  test('to a probe goes to who probes, about the address 0.0.0.0', () => {
    const ask = asked(arp({ from: HOST, sender: '0.0.0.0', target: '10.7.0.254' }));
    expect(hex(answers.reply(ask, 3))).toContain(`${host}00000000${padding}`);
  });

  test('behind a bridge that rewrites the Ethernet source goes to the bridge, about the host', () => {
    const ask = asked(arp({ from: HOST, senderMac: 0x020000000099, sender: '10.7.0.11', target: '10.7.0.254' }));
    expect(hex(answers.reply(ask, 1))).toBe(
      `${host}${vmac(1)}0806000108000604` + `0002${vmac(1)}0a0700fe0200000000990a07000b${padding}`,
    );
  });

  test('to a solicitation is solicited, overrides, and says that we are a router', () => {
    const ask = asked(
      neighbour({ type: 135, from: HOST, source: 'fe80::11', target: 'fe80::7:fe', options: linkLayer(1, HOST) }),
    );
    const expected = neighbour({
      type: 136,
      to: HOST,
      from: virtualMac('local', 7, 2),
      source: 'fe80::7:fe',
      destination: 'fe80::11',
      flags: 0xe0,
      target: 'fe80::7:fe',
      options: linkLayer(2, virtualMac('local', 7, 2)),
    });
    expect(hex(answers.reply(ask, 2))).toBe(hex(expected));
  });

  test('to duplicate address detection goes to all nodes at IP and to one at Ethernet (RFC 6085)', () => {
    const ask = asked(neighbour({ type: 135, from: HOST, source: '::', target: '2001:db8:7::fe' }));
    const expected = neighbour({
      type: 136,
      to: HOST,
      from: virtualMac('local', 7, 2),
      source: '2001:db8:7::fe',
      destination: 'ff02::1',
      flags: 0xa0,
      target: '2001:db8:7::fe',
      options: linkLayer(2, virtualMac('local', 7, 2)),
    });
    expect(hex(answers.reply(ask, 2))).toBe(hex(expected));
  });

  test('has GLBP’s virtual MAC where that scheme is asked for', () => {
    const cisco = new Answers({ scheme: 'cisco', group: 1020, addresses: [VIP] });
    const ask = asked(arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254' }));
    expect(hex(cisco.reply(ask, 1)).slice(12, 24)).toBe('0007b403fc01');
  });
});

describe('a tell (claim 7)', () => {
  const requested = `${host}${vmac(4)}0806000108000604` + `0001${vmac(4)}0a0700fe0000000000000a0700fe${padding}`;
  const replied = `${host}${vmac(4)}0806000108000604` + `0002${vmac(4)}0a0700fe${host}0a07000b${padding}`;
  const advertised = (address: string): string =>
    hex(
      neighbour({
        type: 136,
        to: HOST,
        from: virtualMac('local', 7, 4),
        source: address,
        destination: 'ff02::1',
        flags: 0xa0,
        target: address,
        options: linkLayer(2, virtualMac('local', 7, 4)),
      }),
    );

  test('to an IPv4 host is a request for our own address and a reply, both to it alone', () => {
    expect(answers.tell(HOST, [words('10.7.0.11')], 4).map(hex)).toEqual([requested, replied]);
  });

  test('to an IPv6 host is an advertisement of each address', () => {
    const told = [advertised('fe80::7:fe'), advertised('2001:db8:7::fe')];
    expect(answers.tell(HOST, [words('fe80::11')], 4).map(hex)).toEqual(told);
  });

  test('to a host of both is all of it, to one whose addresses nobody knows what needs no address', () => {
    const six = [advertised('fe80::7:fe'), advertised('2001:db8:7::fe')];
    expect(answers.tell(HOST, [words('fe80::11'), words('10.7.0.11')], 4).map(hex)).toEqual([
      requested,
      replied,
      ...six,
    ]);
    expect(answers.tell(HOST, [], 4).map(hex)).toEqual([requested, ...six]);
  });

  test('is the group’s own word to its members', () => {
    for (const frame of answers.tell(HOST, [], 4))
      expect(answers.classify(frame)).toEqual({ kind: 'own', forwarder: 4 });
  });
});

test('a teach is for switches: from the virtual MAC, of a type that no host reads', () => {
  const frame = answers.teach(9);
  expect(hex(frame)).toBe(`035444000700${vmac(9)}88b5${'00'.repeat(46)}`);
  expect(answers.classify(frame)).toEqual({ kind: 'ignored', reason: 'type' });
});
