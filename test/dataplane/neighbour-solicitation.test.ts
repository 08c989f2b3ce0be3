import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  newNeighbourAnswer,
  readNeighbourAnswer,
  SOLICITATION_LENGTH,
  solicitation,
} from '../../src/dataplane/neighbour-solicitation.js';
import { answer } from '../../src/dataplane/responder.js';
import { SCRATCH_SLOT_LENGTH } from '../../src/io/port.js';
import { formatAddress, parseAddress } from '../../src/wire/address.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { concat, type FrameOptions, frame, hex, viewOf } from '../helpers/packet-builder.js';

const OWN = '02:00:00:de:ad:01';
const OWN_MAC = Uint8Array.of(2, 0, 0, 0xde, 0xad, 1);
const PEER = '02:00:00:00:00:05';
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 5);
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const VIP = '200.200.100.1';
const VIP6 = '2001:db8::100';
const SERVER = '10.10.1.2';
const SERVER6 = '2001:db8:1::1:8002';
const SERVER6_HEX = '20010db8000100000000000000018002';
const GROUP6 = { mac: '33:33:ff:01:80:02', ip: 'ff02::1:ff01:8002' };

type Words = [number, number, number, number];
const words = (text: string): Words => parseAddress(text) as Words;
const NOBODY: Words = [0, 0, 0xffff, 0];
const NOBODY6: Words = [0, 0, 0, 0];

/** What the frame tells, as "address MAC", or null. The frame stands in the midst of other bytes. */
function told(answered: Uint8Array): string | null {
  const memory = concat('5a5a5a', answered, 'a5a5a5');
  const found = newNeighbourAnswer();
  if (!readNeighbourAnswer(viewOf(memory), 3, answered.length, found)) return null;
  return `${formatAddress(...found.words)} ${hex(found.mac)}`;
}

describe('a question', () => {
  test('IPv4: an ARP request to everybody, the wanted link-layer address left open', () => {
    const expected = frame({
      eth: { src: OWN, dst: BROADCAST },
      arp: {
        operation: 1,
        senderMac: OWN,
        senderIp: VIP,
        targetMac: '00:00:00:00:00:00',
        targetIp: SERVER,
      },
    });
    expect(hex(solicitation(words(SERVER), words(VIP), OWN_MAC))).toBe(hex(expected));
  });

  test('IPv4 without an address of our own: a probe (RFC 5227 §2.1)', () => {
    const expected = frame({
      eth: { src: OWN, dst: BROADCAST },
      arp: {
        operation: 1,
        senderMac: OWN,
        senderIp: '0.0.0.0',
        targetMac: '00:00:00:00:00:00',
        targetIp: SERVER,
      },
    });
    expect(hex(solicitation(words(SERVER), NOBODY, OWN_MAC))).toBe(hex(expected));
  });

  test('IPv6: a Neighbour Solicitation to the solicited-node group, with our link-layer address', () => {
    const expected = frame({
      eth: { src: OWN, dst: GROUP6.mac },
      ip: { src: VIP6, dst: GROUP6.ip, ttl: 255 },
      icmp: { type: 135 },
      payload: `${SERVER6_HEX}0101020000dead01`,
    });
    expect(hex(solicitation(words(SERVER6), words(VIP6), OWN_MAC))).toBe(hex(expected));
  });

  test('IPv6 from the unspecified address: without the option (RFC 4861 §4.3)', () => {
    const expected = frame({
      eth: { src: OWN, dst: GROUP6.mac },
      ip: { src: '::', dst: GROUP6.ip, ttl: 255 },
      icmp: { type: 135 },
      payload: SERVER6_HEX,
    });
    expect(hex(solicitation(words(SERVER6), NOBODY6, OWN_MAC))).toBe(hex(expected));
  });

  test.each([
    [SERVER, VIP],
    [SERVER6, VIP6],
  ])('about %s gets an answer that is understood', (target, source) => {
    const question = solicitation(words(target), words(source), OWN_MAC);
    expect(question.length).toBeLessThanOrEqual(SOLICITATION_LENGTH);
    const out = new Uint8Array(SCRATCH_SLOT_LENGTH);
    const isTarget = (...asked: Words): boolean => formatAddress(...asked) === target;
    const length = answer(viewOf(question), 0, question.length, viewOf(out), 0, isTarget, PEER_MAC);
    expect(told(out.subarray(0, length))).toBe(`${target} 020000000005`);
    expect(hex(out.subarray(0, 6))).toBe('020000dead01');
  });

  test('is no answer', () => {
    expect(told(solicitation(words(SERVER), words(VIP), OWN_MAC))).toBeNull();
    expect(told(solicitation(words(SERVER6), words(VIP6), OWN_MAC))).toBeNull();
  });
});

const reply = (arp: Partial<FrameOptions['arp']> = {}): Uint8Array =>
  frame({
    eth: { src: PEER, dst: OWN },
    arp: { operation: 2, senderMac: PEER, senderIp: SERVER, targetMac: OWN, targetIp: VIP, ...arp },
  });

const advertisement = (
  options = '0201020000000005',
  icmp: Partial<FrameOptions['icmp']> = {},
  ip: Partial<FrameOptions['ip']> = {},
): Uint8Array =>
  frame({
    eth: { src: PEER, dst: OWN },
    ip: { src: SERVER6, dst: VIP6, ttl: 255, ...ip },
    icmp: { type: 136, rest: 0x60000000, ...icmp },
    payload: SERVER6_HEX + options,
  });

describe('an answer', () => {
  test('ARP: what its sender says of itself, also padded', () => {
    expect(told(reply())).toBe(`${SERVER} 020000000005`);
    expect(told(concat(reply(), new Uint8Array(18)))).toBe(`${SERVER} 020000000005`);
  });

  test('Neighbour Advertisement: the target and its option, behind any other option', () => {
    expect(told(advertisement())).toBe(`${SERVER6} 020000000005`);
    expect(told(advertisement('0e01112233445566 0201020000000005'.replace(' ', '')))).toBe(`${SERVER6} 020000000005`);
  });

  test.each([
    ['an ARP request', reply({ operation: 1 })],
    ['an ARP reply of a group', reply({ senderMac: '01:00:5e:00:00:05' })],
    ['an advertisement without a link-layer address', advertisement('')],
    ['an advertisement of a group', advertisement('0201010000000005')],
    ['an option of length 0', advertisement('0200020000000005')],
    ['an option beyond the message', advertisement('0202020000000005')],
    ['a solicitation', advertisement('0201020000000005', { type: 135, rest: 0 })],
    ['a wrong checksum', advertisement('0201020000000005', { checksum: 'bad' })],
    ['a hop limit of 254: it was forwarded', advertisement('0201020000000005', {}, { ttl: 254 })],
    ['an echo', frame({ eth: { src: PEER, dst: OWN }, ip: { src: SERVER, dst: VIP }, icmp: { type: 0 } })],
  ])('is not: %s', (_name, given) => expect(told(given)).toBeNull());

  test.each([
    ['ARP reply', reply()],
    ['advertisement', advertisement()],
  ])('%s cut at every length is none', (_name, whole) => {
    for (let length = 0; length < whole.length; length++) expect(told(whole.slice(0, length)), `${length}`).toBeNull();
  });

  test('any damage gives an answer with a usable address, or none; nothing beyond the frame is read', () => {
    const seeds = [reply(), advertisement()];
    const damage = fc.array(fc.tuple(fc.nat(89), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...seeds), damage, fc.nat(90), (seed, changes, length) => {
        const given = seed.slice(0, length);
        for (const [at, value] of changes) if (at < given.length) given[at] = value;
        const found = newNeighbourAnswer();
        // A view that ends with the frame: reading on would throw.
        if (!readNeighbourAnswer(viewOf(given), 0, given.length, found)) return;
        expect(found.mac[0] & 1).toBe(0);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
