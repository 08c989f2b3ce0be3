import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { announce, answer } from '../../src/dataplane/responder.js';
import { SCRATCH_SLOT_LENGTH } from '../../src/io/port.js';
import { formatAddress, parseAddress } from '../../src/wire/address.js';
import { readPcap } from '../../src/wire/pcap.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { bytes, concat, type FrameOptions, frame, hex, viewOf } from '../helpers/packet-builder.js';

const VIP = '200.200.100.1';
const VIP6 = '2001:db8::100';
const VIPS = new Set([VIP, VIP6]);
const VIP6_HEX = '20010db8000000000000000000000100';
const CLIENT = '192.128.10.5';
const CLIENT6 = '2001:db8::5';
const PORT_MAC = Uint8Array.of(2, 0, 0, 0xde, 0xad, 1);
const OWN = '02:00:00:de:ad:01';
const ASKER = '02:00:00:00:00:05';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const SOLICITED_NODE = { mac: '33:33:ff:00:01:00', ip: 'ff02::1:ff00:100' };

const isVip = (a0: number, a1: number, a2: number, a3: number): boolean => VIPS.has(formatAddress(a0, a1, a2, a3));

/** The answer as a frame, or null; nothing outside of it may be written, and the question may not be changed. */
function ask(question: Uint8Array): Uint8Array | null {
  const offset = 5;
  const memory = new Uint8Array(offset + question.length + 3).fill(0x5a);
  memory.set(question, offset);
  const before = hex(memory);
  const out = new Uint8Array(SCRATCH_SLOT_LENGTH + 20).fill(0xa5);
  const length = answer(viewOf(memory), offset, question.length, viewOf(out), 10, isVip, PORT_MAC);
  expect(hex(memory)).toBe(before);
  expect(length).toBeLessThanOrEqual(SCRATCH_SLOT_LENGTH);
  const written = length === 0 ? SCRATCH_SLOT_LENGTH : length;
  expect(out.subarray(0, 10).every((byte) => byte === 0xa5)).toBe(true);
  expect(out.subarray(10 + written).every((byte) => byte === 0xa5)).toBe(true);
  return length === 0 ? null : out.slice(10, 10 + length);
}

const same = (given: Uint8Array | null, expected: Uint8Array): void =>
  expect(given === null ? null : hex(given)).toBe(hex(expected));

/** No cut of this question gets an answer: neither of the frame, nor where padding hides that the frame is cut. */
function cutAtEveryLength(question: Uint8Array): void {
  for (let length = 0; length < question.length; length++)
    expect(ask(question.slice(0, length)), `cut to ${length}`).toBeNull();
}

describe('ARP', () => {
  const request = (arp: Partial<FrameOptions['arp']> = {}, eth: FrameOptions['eth'] = {}): Uint8Array =>
    frame({ eth: { src: ASKER, dst: BROADCAST, ...eth }, arp: { senderIp: CLIENT, targetIp: VIP, ...arp } });
  const reply = frame({
    eth: { src: OWN, dst: ASKER },
    arp: { operation: 2, senderMac: OWN, senderIp: VIP, targetMac: ASKER, targetIp: CLIENT },
  });

  test('who has the VIP: the port, told to the asker alone', () => same(ask(request()), reply));
  test('with Ethernet padding', () => same(ask(concat(request(), new Uint8Array(18))), reply));
  test('asked by unicast (a cache that is refreshed)', () => same(ask(request({}, { dst: OWN })), reply));
  test('a probe is answered at its MAC (RFC 5227)', () => {
    same(
      ask(request({ senderIp: '0.0.0.0' })),
      frame({
        eth: { src: OWN, dst: ASKER },
        arp: { operation: 2, senderMac: OWN, senderIp: VIP, targetMac: ASKER, targetIp: '0.0.0.0' },
      }),
    );
  });
  test('the asker is who the ARP packet says, not who carried it', () => {
    const carried = ask(request({ senderMac: '02:00:00:00:00:77' })) as Uint8Array;
    expect(hex(carried.subarray(0, 6))).toBe('020000000077');
    expect(hex(carried.subarray(32, 38))).toBe('020000000077');
  });
  test.each([
    ['another address', request({ targetIp: '200.200.100.2' })],
    ['a reply', request({ operation: 2 })],
    ['an announcement of the VIP by somebody else', request({ senderIp: VIP })],
    ['a question of one VIP about another', request({ senderIp: VIP, targetIp: VIP })],
    ['a broadcast MAC as asker', request({ senderMac: BROADCAST })],
    ['a multicast source in the frame', request({}, { src: '01:00:5e:00:00:01' })],
    ['another hardware type', patch(request(), 15, 6)],
    ['another address length', patch(request(), 19, 16)],
  ])('no answer: %s', (_name, question) => expect(ask(question)).toBeNull());
  test('cut at every length', () => cutAtEveryLength(request()));
});

describe('ICMP echo', () => {
  const echo = (
    more: Partial<FrameOptions['ip']> = {},
    icmp: Partial<FrameOptions['icmp']> = {},
    payload = '00112233 44',
  ): Uint8Array =>
    frame({
      eth: { src: ASKER, dst: OWN },
      ip: { src: CLIENT, dst: VIP, ttl: 5, id: 0x1234, tos: 0x20, dontFragment: true, ...more },
      icmp: { type: 8, id: 7, sequence: 9, ...icmp },
      payload,
    });
  const reply = (payload = '00112233 44', more: Partial<FrameOptions['ip']> = {}): Uint8Array =>
    frame({
      eth: { src: OWN, dst: ASKER },
      ip: { src: VIP, dst: CLIENT, ttl: 64, id: 0x1234, tos: 0x20, dontFragment: true, ...more },
      icmp: { type: 0, id: 7, sequence: 9 },
      payload,
    });

  test('answered with its own data, TTL 64, checksums right', () => same(ask(echo()), reply()));
  test('Ethernet padding is not echoed', () => same(ask(concat(echo(), new Uint8Array(9))), reply()));
  test('IP options are left out', () => same(ask(echo({ options: '94040000' })), reply()));
  test('without DF', () => same(ask(echo({ dontFragment: false })), reply(undefined, { dontFragment: false })));
  test('no data at all', () => same(ask(echo({}, {}, '')), reply('')));
  test('the largest that fits a slot, and not one byte more', () => {
    const most = SCRATCH_SLOT_LENGTH - 14 - 20 - 8;
    same(ask(echo({}, {}, 'ab'.repeat(most))), reply('ab'.repeat(most)));
    expect(ask(echo({}, {}, 'ab'.repeat(most + 1)))).toBeNull();
  });
  test.each([
    ['another address', echo({ dst: '200.200.100.2' })],
    ['an echo reply', echo({}, { type: 0 })],
    ['another code', echo({}, { code: 1 })],
    ['a first fragment', echo({ fragment: { offset: 0, more: true } })],
    ['a later fragment', echo({ fragment: { offset: 8, more: false } })],
    ['a wrong ICMP checksum', echo({}, { checksum: 'bad' })],
    ['a wrong IP checksum', echo({ checksum: 'bad' })],
    ['a VIP as source', echo({ src: VIP })],
    ['source 0.0.0.0', echo({ src: '0.0.0.0' })],
    ['source 127.0.0.1', echo({ src: '127.0.0.1' })],
    ['source 224.0.0.1', echo({ src: '224.0.0.1' })],
    ['source 255.255.255.255', echo({ src: '255.255.255.255' })],
    ['a broadcast frame', patch(echo(), 0, 0xff)],
    ['IHL 4', echo({ headerWords: 4 })],
    ['IHL beyond the packet', echo({ headerWords: 15 })],
    ['total length beyond the frame', echo({ length: 34 })],
    ['total length that cuts the ICMP header', echo({ length: 27 })],
    ['UDP to the VIP', frame({ eth: { dst: OWN }, ip: { src: CLIENT, dst: VIP }, udp: { src: 8, dst: 8 } })],
  ])('no answer: %s', (_name, question) => expect(ask(question)).toBeNull());
  test('cut at every length', () => cutAtEveryLength(echo()));
});

describe('ICMPv6 echo', () => {
  const echo = (
    more: Partial<FrameOptions['ip']> = {},
    icmp: Partial<FrameOptions['icmp']> = {},
    payload = '001122',
  ): Uint8Array =>
    frame({
      eth: { src: ASKER, dst: OWN },
      ip: { src: CLIENT6, dst: VIP6, ttl: 5, tos: 0x20, flowLabel: 0xabcde, ...more },
      icmp: { type: 128, id: 7, sequence: 9, ...icmp },
      payload,
    });
  const reply = frame({
    eth: { src: OWN, dst: ASKER },
    ip: { src: VIP6, dst: CLIENT6, ttl: 64, tos: 0x20 },
    icmp: { type: 129, id: 7, sequence: 9 },
    payload: '001122',
  });
  test('answered with its own data, hop limit 64, checksum right', () => same(ask(echo()), reply));
  test('behind an options header', () => same(ask(echo({ extensions: [{ protocol: 60 }] })), reply));
  test('the largest that fits a slot, and not one byte more', () => {
    const most = SCRATCH_SLOT_LENGTH - 14 - 40 - 8;
    expect(ask(echo({}, {}, 'ab'.repeat(most)))).toHaveLength(SCRATCH_SLOT_LENGTH);
    expect(ask(echo({}, {}, 'ab'.repeat(most + 1)))).toBeNull();
  });
  test.each([
    ['another address', echo({ dst: '2001:db8::101' })],
    ['an echo reply', echo({}, { type: 129 })],
    ['another code', echo({}, { code: 1 })],
    ['a fragment', echo({ fragment: { offset: 0, more: true } })],
    ['a wrong checksum', echo({}, { checksum: 'bad' })],
    ['a VIP as source', echo({ src: VIP6 })],
    ['no source', echo({ src: '::' })],
    ['a multicast source', echo({ src: 'ff02::1' })],
    ['a multicast frame', patch(echo(), 0, 0x33)],
    ['payload length beyond the frame', echo({ length: 12 })],
    ['payload length that cuts the header', echo({ length: 7 })],
    ['an IPv4 VIP in IPv6 clothes', mapped()],
  ])('no answer: %s', (_name, question) => expect(ask(question)).toBeNull());
  test('cut at every length', () => cutAtEveryLength(echo()));

  /** An IPv6 packet to ::ffff:200.200.100.1 with a right checksum: the builder would write IPv4. */
  function mapped(): Uint8Array {
    const packet = echo();
    packet.set(bytes('00000000000000000000ffffc8c86401'), 38);
    const view = viewOf(packet);
    view.setUint16(56, 0);
    let sum = 58 + packet.length - 54;
    for (let at = 22; at < packet.length; at += 2) sum += (packet[at] << 8) | (packet[at + 1] ?? 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    view.setUint16(56, ~sum & 0xffff);
    return packet;
  }
});

describe('Neighbour Solicitation', () => {
  const OPTION = '0101 020000000005';
  const solicitation = (
    more: Partial<FrameOptions['ip']> = {},
    options = OPTION,
    icmp: Partial<FrameOptions['icmp']> = {},
    target = VIP6_HEX,
    eth = {},
  ): Uint8Array =>
    frame({
      eth: { src: ASKER, dst: SOLICITED_NODE.mac, ...eth },
      ip: { src: CLIENT6, dst: SOLICITED_NODE.ip, ttl: 255, ...more },
      icmp: { type: 135, ...icmp },
      payload: target + options.replace(/ /g, ''),
    });
  const advertisement = (flags: number, dst: string, dstMac: string): Uint8Array =>
    frame({
      eth: { src: OWN, dst: dstMac },
      ip: { src: VIP6, dst, ttl: 255 },
      icmp: { type: 136, rest: flags * 2 ** 24 },
      payload: `${VIP6_HEX}0201020000dead01`,
    });

  test('multicast: answered with S and O at the link-layer address of its option', () => {
    same(ask(solicitation({}, '0101 020000000077')), advertisement(0x60, CLIENT6, '02:00:00:00:00:77'));
  });
  test('unicast, without the option (a neighbour is probed): at the source of the frame', () => {
    same(ask(solicitation({ dst: VIP6 }, '', {}, VIP6_HEX, { dst: OWN })), advertisement(0x60, CLIENT6, ASKER));
  });
  test('duplicate address detection: to all nodes, O without S', () => {
    same(ask(solicitation({ src: '::' }, '')), advertisement(0x20, 'ff02::1', '33:33:00:00:00:01'));
  });
  test('DAD with a nonce (RFC 7527)', () => {
    same(ask(solicitation({ src: '::' }, '0e01 112233445566')), advertisement(0x20, 'ff02::1', '33:33:00:00:00:01'));
  });
  test('an unknown option before ours', () => {
    same(ask(solicitation({}, `0e01 112233445566 ${OPTION}`)), advertisement(0x60, CLIENT6, ASKER));
  });
  test.each([
    ['another target', solicitation({}, OPTION, {}, VIP6_HEX.replace(/100$/, '101'))],
    ['a hop limit of 254: it was forwarded', solicitation({ ttl: 254 })],
    ['a wrong checksum', solicitation({}, OPTION, { checksum: 'bad' })],
    ['another code', solicitation({}, OPTION, { code: 1 })],
    ['an advertisement', solicitation({}, OPTION, { type: 136 })],
    ['an option of length 0', solicitation({}, '0100 020000000005')],
    ['an option beyond the message', solicitation({}, '0102 020000000005')],
    ['DAD that tells a MAC', solicitation({ src: '::' })],
    ['DAD by unicast', solicitation({ src: '::', dst: VIP6 }, '')],
    ['a multicast source', solicitation({ src: 'ff02::5' })],
    ['a multicast MAC in the option', solicitation({}, '0101 010000000005')],
    ['a VIP that asks', solicitation({ src: VIP6 })],
    ['an extension header', solicitation({ extensions: [{ protocol: 60 }] })],
    ['a fragment (RFC 6980)', solicitation({ fragment: { offset: 0, more: false } })],
  ])('no answer: %s', (_name, question) => expect(ask(question)).toBeNull());
  test('cut at every length', () => cutAtEveryLength(solicitation()));
});

describe('announcements', () => {
  const announced = (text: string): string => {
    const out = new Uint8Array(120).fill(0xa5);
    const [a0, a1, a2, a3] = parseAddress(text) as [number, number, number, number];
    const length = announce(viewOf(out), 10, a0, a1, a2, a3, PORT_MAC);
    expect(
      out.subarray(0, 10).every((byte) => byte === 0xa5) && out.subarray(10 + length).every((byte) => byte === 0xa5),
    ).toBe(true);
    return hex(out.subarray(10, 10 + length));
  };
  test('IPv4: an ARP request for oneself', () => {
    expect(announced(VIP)).toBe(
      hex(frame({ eth: { src: OWN, dst: BROADCAST }, arp: { senderIp: VIP, targetIp: VIP } })),
    );
  });
  test('IPv6: an advertisement to all nodes, O without S', () => {
    expect(announced(VIP6)).toBe(
      hex(
        frame({
          eth: { src: OWN, dst: '33:33:00:00:00:01' },
          ip: { src: VIP6, dst: 'ff02::1', ttl: 255 },
          icmp: { type: 136, rest: 0x20000000 },
          payload: `${VIP6_HEX}0201020000dead01`,
        }),
      ),
    );
  });
  test('our own announcement, heard again, is not answered', () => {
    expect(ask(bytes(announced(VIP)))).toBeNull();
    expect(ask(bytes(announced(VIP6)))).toBeNull();
  });
});

describe('anything at all', () => {
  const seeds = [
    frame({ eth: { src: ASKER, dst: BROADCAST }, arp: { senderIp: CLIENT, targetIp: VIP } }),
    frame({ eth: { src: ASKER, dst: OWN }, ip: { src: CLIENT, dst: VIP }, icmp: { type: 8 }, payload: '0011' }),
    frame({
      eth: { src: ASKER, dst: OWN },
      ip: { src: CLIENT6, dst: VIP6, extensions: [{ protocol: 0 }] },
      icmp: { type: 128 },
      payload: '0011',
    }),
    frame({
      eth: { src: ASKER, dst: SOLICITED_NODE.mac },
      ip: { src: CLIENT6, dst: SOLICITED_NODE.ip, ttl: 255 },
      icmp: { type: 135 },
      payload: `${VIP6_HEX}0101020000000005`,
    }),
  ];
  const check = (question: Uint8Array): void => {
    const reply = ask(question);
    if (reply === null) return;
    expect(hex(reply.subarray(6, 12))).toBe(hex(PORT_MAC));
    expect(reply.length).toBeLessThanOrEqual(Math.max(question.length, 86));
  };
  test('damaged questions: no exception, no byte outside, never longer than the question', () => {
    const damage = fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(fc.constantFrom(...seeds), damage, fc.nat(130), (seed, changes, length) => {
        const question = seed.slice(0, length);
        for (const [at, value] of changes) if (at < question.length) question[at] = value;
        check(question);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 150 }), fc.constantFrom('0806', '0800', '86dd', ''), (noise, type) => {
        if (noise.length > 14 && type !== '') noise.set(bytes(type), 12);
        check(noise);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('nothing in the captures of real tunnels is a question for a VIP of ours', () => {
    const folder = path.join(import.meta.dirname, '..', 'fixtures', 'pcaps');
    for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.pcap'))) {
      for (const { frame: captured } of readPcap(fs.readFileSync(path.join(folder, name))))
        expect(ask(captured)).toBeNull();
    }
  });
});

function patch(data: Uint8Array, at: number, value: number): Uint8Array {
  const copy = data.slice();
  copy[at] = value;
  return copy;
}
