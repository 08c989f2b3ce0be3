/** Ethernet, ARP, IPv4, IPv6, UDP, TCP and ICMP headers: real bytes, cut at every length, lying lengths, emission. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arp from '../../src/wire/arp.js';
import { pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import * as ethernet from '../../src/wire/ethernet.js';
import * as icmp from '../../src/wire/icmp.js';
import * as icmpv6 from '../../src/wire/icmpv6.js';
import * as ipv4 from '../../src/wire/ipv4.js';
import * as ipv6 from '../../src/wire/ipv6.js';
import * as tcp from '../../src/wire/tcp.js';
import * as udp from '../../src/wire/udp.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { bytes, frame, hex, MAC_A, udpFrame, viewOf } from '../helpers/packet-builder.js';

type Check = (view: DataView, offset: number, end: number) => number;

/** For every cut below `needed` the answer is 0, and no byte behind the cut is looked at. */
function cutEverywhere(check: Check, whole: Uint8Array, needed: number): void {
  for (let length = 0; length < whole.length; length++) {
    const cut = viewOf(whole.slice(0, length)); // a getter beyond the cut would throw
    const answer = check(cut, 0, length);
    if (length < needed) expect(answer, `cut to ${length}`).toBe(0);
    else expect(answer, `cut to ${length}`).toBeGreaterThan(0);
  }
}
const patched = (data: Uint8Array, at: number, ...values: number[]): DataView => {
  const copy = data.slice();
  copy.set(values, at);
  return viewOf(copy);
};

describe('ethernet', () => {
  const tagged = frame({ eth: { vlan: 100 }, ip: { src: '10.0.0.1', dst: '10.0.0.2' } });
  const plain = frame({ ip: { src: '10.0.0.1', dst: '10.0.0.2' } });
  test('fields', () => {
    const view = viewOf(plain);
    expect(ethernet.checkEthernet(view, 0, plain.length)).toBe(14);
    expect(ethernet.etherType(view, 0)).toBe(ethernet.TYPE_IPV4);
    expect(ethernet.macEquals(view, ethernet.sourceMacOffset(0), Uint8Array.of(2, 0, 0, 0, 0, 1))).toBe(true);
    expect(ethernet.macEquals(view, ethernet.sourceMacOffset(0), Uint8Array.of(2, 0, 0, 0, 0, 2))).toBe(false);
  });
  test('cut at every length', () => cutEverywhere(ethernet.checkEthernet, plain, 14));
  test('group addresses', () => {
    expect(ethernet.destinationIsGroup(patched(plain, 0, 0x33), 0)).toBe(true);
    expect(ethernet.destinationIsGroup(viewOf(plain), 0)).toBe(false);
    expect(ethernet.sourceIsGroup(patched(plain, 6, 0x01), 0)).toBe(true);
    expect(ethernet.sourceIsGroup(viewOf(plain), 0)).toBe(false);
  });
  test('a tag goes off and on again', () => {
    expect(ethernet.vlanInside(viewOf(tagged), 0, tagged.length)).toBe(100);
    expect(ethernet.vlanInside(viewOf(plain), 0, plain.length)).toBe(-1);
    expect(ethernet.vlanInside(viewOf(tagged), 0, 17)).toBe(-1);
    expect(hex(ethernet.withoutTag(tagged))).toBe(hex(plain));
    expect(hex(ethernet.withTag(plain, 100))).toBe(hex(tagged));
    expect(ethernet.withoutTag(plain)).toBe(plain);
    expect(ethernet.withTag(plain, 0)).toBe(plain);
  });
  test('priority and drop bits are no part of the VLAN id', () =>
    expect(ethernet.vlanInside(patched(tagged, 14, 0xf0, 0x64), 0, tagged.length)).toBe(100));
});

describe('arp', () => {
  const whole = frame({ arp: { senderIp: '10.0.0.1', targetIp: '200.0.0.2' } }).slice(14);
  test('fields', () => {
    const view = viewOf(whole);
    expect(arp.checkArp(view, 0, whole.length)).toBe(28);
    expect(arp.arpOperation(view, 0)).toBe(arp.ARP_REQUEST);
    expect(arp.arpSenderIp(view, 0)).toBe(0x0a000001);
    expect(arp.arpTargetIp(view, 0)).toBe(0xc8000002 | 0);
    expect(view.getUint8(arp.arpSenderMacOffset(0))).toBe(2);
  });
  test('cut at every length', () => cutEverywhere(arp.checkArp, whole, 28));
  test.each([
    [0, 'hardware'],
    [3, 'protocol'],
    [4, 'hardware length'],
    [5, 'protocol length'],
    [7, 'operation'],
  ])('byte %i (%s) wrong: refused', (at) => expect(arp.checkArp(patched(whole, at, 9), 0, 28)).toBe(0));
  test('an announcement, every byte written and none beyond', () => {
    const out = new Uint8Array(50).fill(0xa5);
    expect(arp.emitArpAnnouncement(viewOf(out), 4, Uint8Array.of(2, 0, 0, 0, 0, 1), 0xc8c86401 | 0)).toBe(42);
    expect(hex(out)).toBe(
      'a5a5a5a5' +
        'ffffffffffff0200000000010806' +
        '0001080006040001' +
        '020000000001c8c86401' +
        '000000000000c8c86401' +
        'a5a5a5a5',
    );
  });
});

describe('ipv4', () => {
  const whole = frame({
    ip: {
      src: '10.0.0.1',
      dst: '200.0.0.2',
      ttl: 3,
      id: 77,
      tos: 0xb8,
      dontFragment: true,
      options: '0101',
      protocol: 50,
    },
    payload: 'aabb',
  }).slice(14);
  test('fields', () => {
    const view = viewOf(whole);
    expect(ipv4.checkIpv4(view, 0, whole.length)).toBe(24);
    expect(ipv4.ipv4End(view, 0)).toBe(26);
    expect(ipv4.ipv4Tos(view, 0)).toBe(0xb8);
    expect(ipv4.ipv4Identification(view, 0)).toBe(77);
    expect(ipv4.ipv4DontFragment(view, 0)).toBe(true);
    expect(ipv4.ipv4Ttl(view, 0)).toBe(3);
    expect(ipv4.ipv4Protocol(view, 0)).toBe(50);
    expect(ipv4.ipv4Source(view, 0)).toBe(0x0a000001);
    expect(ipv4.ipv4Destination(view, 0)).toBe(0xc8000002 | 0);
    expect(ipv4.ipv4ChecksumValid(view, 0, 24)).toBe(true);
    expect(ipv4.ipv4ChecksumValid(patched(whole, 8, 4), 0, 24)).toBe(false);
  });
  test('cut at every length: total length beyond the frame', () => cutEverywhere(ipv4.checkIpv4, whole, 26));
  test('padding behind the packet is no part of it', () => {
    const padded = new Uint8Array(60);
    padded.set(whole);
    expect(ipv4.checkIpv4(viewOf(padded), 0, 60)).toBe(24);
    expect(ipv4.ipv4End(viewOf(padded), 0)).toBe(26);
  });
  test.each([
    [0x65, 'version 6'],
    [0x44, 'IHL 4'],
    [0x40, 'IHL 0'],
    [0x4f, 'IHL beyond the packet'],
  ])('first byte 0x%s: %s', (value) => expect(ipv4.checkIpv4(patched(whole, 0, value), 0, whole.length)).toBe(0));
  test('total length below the header length', () =>
    expect(ipv4.checkIpv4(patched(whole, 2, 0, 23), 0, whole.length)).toBe(0));
  test('fragments, the first one too', () => {
    expect(ipv4.ipv4IsFragment(viewOf(whole), 0)).toBe(false);
    const first = patched(whole, 6, 0x20, 0x00);
    expect(ipv4.ipv4IsFragment(first, 0)).toBe(true);
    expect(ipv4.ipv4FragmentOffset(first, 0)).toBe(0);
    const last = patched(whole, 6, 0x00, 0xb9);
    expect(ipv4.ipv4IsFragment(last, 0)).toBe(true);
    expect(ipv4.ipv4FragmentOffset(last, 0)).toBe(1480);
  });
  test.each([
    [0x0a000001, true],
    [0xdf000001 | 0, true],
    [0, false],
    [0x7f000001, false],
    [0xe0000001 | 0, false],
    [-1, false],
  ])('%i is a host: %s', (word, host) => expect(ipv4.ipv4IsUnicast(word)).toBe(host));
  test('emitted: reads back, checksum right, nothing beyond', () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.integer({ min: 20, max: 40 }),
        fc.nat(0xffff),
        fc.boolean(),
        fc.nat(255),
        fc.nat(255),
        fc.integer(),
        fc.integer(),
        (tos, length, id, df, ttl, protocol, src, dst) => {
          const out = new Uint8Array(44).fill(0xa5);
          const view = viewOf(out);
          expect(ipv4.emitIpv4(view, 2, tos, length, id, df ? ipv4.IPV4_DF : 0, ttl, protocol, src, dst)).toBe(20);
          expect(ipv4.checkIpv4(view, 2, 42)).toBe(20);
          expect(ipv4.ipv4ChecksumValid(view, 2, 20)).toBe(true);
          expect([
            ipv4.ipv4Tos(view, 2),
            ipv4.ipv4End(view, 2) - 2,
            ipv4.ipv4Identification(view, 2),
            ipv4.ipv4DontFragment(view, 2),
          ]).toEqual([tos, length, id, df]);
          expect([
            ipv4.ipv4Ttl(view, 2),
            ipv4.ipv4Protocol(view, 2),
            ipv4.ipv4Source(view, 2),
            ipv4.ipv4Destination(view, 2),
          ]).toEqual([ttl, protocol, src, dst]);
          expect(ipv4.ipv4IsFragment(view, 2)).toBe(false);
          expect(out.subarray(0, 2).every((b) => b === 0xa5) && out.subarray(22).every((b) => b === 0xa5)).toBe(true);
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('ipv6', () => {
  const packet = (
    extensions: { protocol: number; length?: number }[] = [],
    fragment?: { offset: number; more: boolean },
  ): Uint8Array =>
    frame({
      ip: { src: '2001:db8::1', dst: 'ff02::1', ttl: 3, tos: 0xb8, flowLabel: 0xabcde, extensions, fragment },
      udp: { src: 1, dst: 2 },
      payload: 'aabb',
    }).slice(14);
  const whole = packet();
  const walk = (data: Uint8Array | DataView): [number, number] | 0 => {
    const answer = ipv6.walkIpv6(data instanceof DataView ? data : viewOf(data), 0);
    return answer === 0 ? 0 : [ipv6.walkLength(answer), ipv6.walkProtocol(answer)];
  };
  test('fields', () => {
    const view = viewOf(whole);
    expect(ipv6.checkIpv6(view, 0, whole.length)).toBe(40);
    expect(ipv6.ipv6End(view, 0)).toBe(50);
    expect(ipv6.ipv6TrafficClass(view, 0)).toBe(0xb8);
    expect(ipv6.ipv6NextHeader(view, 0)).toBe(17);
    expect(ipv6.ipv6HopLimit(view, 0)).toBe(3);
    expect(ipv6.ipv6IsMulticast(view, ipv6.ipv6SourceOffset(0))).toBe(false);
    expect(ipv6.ipv6IsMulticast(view, ipv6.ipv6DestinationOffset(0))).toBe(true);
    expect(ipv6.ipv6IsUnspecified(view, ipv6.ipv6SourceOffset(0))).toBe(false);
    expect(ipv6.ipv6IsUnspecified(patched(whole, 8, ...new Array(16).fill(0)), 8)).toBe(true);
  });
  test('cut at every length', () => cutEverywhere(ipv6.checkIpv6, whole, 50));
  test('version 4 is refused', () => expect(ipv6.checkIpv6(patched(whole, 0, 0x40), 0, whole.length)).toBe(0));
  test('no extension headers', () => expect(walk(whole)).toEqual([40, 17]));
  test('hop-by-hop, routing and destination options are stepped over', () => {
    expect(walk(packet([{ protocol: 0 }, { protocol: 43, length: 24 }, { protocol: 60, length: 264 }]))).toEqual([
      40 + 8 + 24 + 264,
      17,
    ]);
  });
  test('stops at a fragment header', () => {
    expect(walk(packet([{ protocol: 60 }], { offset: 0, more: true }))).toEqual([48, 44]);
    expect(walk(packet([], { offset: 1480, more: false }))).toEqual([40, 44]);
  });
  test('as many as the limit, and not one more', () => {
    const chain = (count: number) => packet(Array.from({ length: count }, () => ({ protocol: 60 })));
    expect(walk(chain(ipv6.EXTENSION_LIMIT))).toEqual([40 + ipv6.EXTENSION_LIMIT * 8, 17]);
    expect(walk(chain(ipv6.EXTENSION_LIMIT + 1))).toBe(0);
  });
  test('an extension header that goes beyond the packet', () =>
    expect(walk(patched(packet([{ protocol: 60 }]), 41, 3))).toBe(0));
  test('payload length cuts an extension or fragment header', () => {
    expect(walk(patched(packet([{ protocol: 60 }]), 4, 0, 7))).toBe(0);
    expect(walk(patched(packet([], { offset: 0, more: true }), 4, 0, 7))).toBe(0);
  });
  test('any bytes: the walk ends inside the packet', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 40, maxLength: 120 }),
        fc.constantFrom(0, 43, 44, 60, 17),
        (data, next) => {
          data[0] = 0x60;
          data[4] = 0;
          data[5] = data.length - 40;
          data[6] = next;
          for (let i = 40; i < data.length; i += 8) data[i] = [0, 43, 60, 44, 17][data[i] % 5];
          const answer = walk(data);
          if (answer !== 0) expect(answer[0]).toBeLessThanOrEqual(data.length);
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('emitted: reads back, nothing beyond, addresses untouched', () => {
    const out = new Uint8Array(44).fill(0xa5);
    const view = viewOf(out);
    expect(ipv6.emitIpv6(view, 2, 0xb8, 0, 58, 255)).toBe(40);
    expect([
      ipv6.checkIpv6(view, 2, 42),
      ipv6.ipv6TrafficClass(view, 2),
      ipv6.ipv6NextHeader(view, 2),
      ipv6.ipv6HopLimit(view, 2),
      ipv6.ipv6End(view, 2),
    ]).toEqual([40, 0xb8, 58, 255, 42]);
    expect(hex(out)).toBe(`a5a56b8000000000${'3aff'}${'a5'.repeat(34)}`);
    ipv6.copyIpv6(viewOf(whole), 8, view, 10);
    expect(hex(out.subarray(10, 26))).toBe('20010db8000000000000000000000001');
  });
});

describe('udp', () => {
  const whole = udpFrame('10.0.0.1:1701', '10.0.0.2:4000', 'aabbcc').slice(34);
  const ip = viewOf(udpFrame('10.0.0.1:1701', '10.0.0.2:4000', 'aabbcc').slice(14));
  test('fields', () => {
    const view = viewOf(whole);
    expect(udp.checkUdp(view, 0, whole.length)).toBe(8);
    expect([
      udp.udpSourcePort(view, 0),
      udp.udpDestinationPort(view, 0),
      udp.udpLength(view, 0),
      udp.udpEnd(view, 0),
    ]).toEqual([1701, 4000, 11, 11]);
    expect(udp.udpHasChecksum(view, 0)).toBe(true);
    expect(udp.udpChecksumValid(view, 0, pseudoHeaderIpv4(ip, 0, 17, 11))).toBe(true);
    expect(udp.udpChecksumValid(patched(whole, 9, 0), 0, pseudoHeaderIpv4(ip, 0, 17, 11))).toBe(false);
    expect(udp.udpHasChecksum(patched(whole, 6, 0, 0), 0)).toBe(false);
  });
  test('cut at every length', () => cutEverywhere(udp.checkUdp, whole, 11));
  test.each([0, 7, 12, 0xffff])('length field %i: refused', (length) =>
    expect(udp.checkUdp(patched(whole, 4, length >> 8, length & 0xff), 0, 11)).toBe(0),
  );
  test('a length below what IP carries is allowed', () => expect(udp.checkUdp(patched(whole, 4, 0, 9), 0, 11)).toBe(8));
  test('emitted: checksum right and never zero, payload untouched', () => {
    fc.assert(
      fc.property(
        fc.nat(0xffff),
        fc.nat(0xffff),
        fc.uint8Array({ maxLength: 40 }),
        fc.nat(0xffff),
        (src, dst, payload, pseudo) => {
          const out = new Uint8Array(12 + payload.length).fill(0xa5);
          out.set(payload, 10);
          const view = viewOf(out);
          expect(udp.emitUdp(view, 2, src, dst, 8 + payload.length, pseudo)).toBe(8);
          expect(udp.checkUdp(view, 2, 10 + payload.length)).toBe(8);
          expect([udp.udpSourcePort(view, 2), udp.udpDestinationPort(view, 2)]).toEqual([src, dst]);
          expect(udp.udpHasChecksum(view, 2) && udp.udpChecksumValid(view, 2, pseudo)).toBe(true);
          expect([...out.subarray(10, 10 + payload.length)]).toEqual([...payload]);
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('a computed checksum of zero becomes all ones', () => {
    const out = new Uint8Array(8);
    udp.emitUdp(viewOf(out), 0, 0xfff7, 0, 8, 0); // 0xfff7 + length 8 sums up to 0xffff
    expect(viewOf(out).getUint16(6)).toBe(0xffff);
  });
});

describe('tcp', () => {
  const packet = frame({
    ip: { src: '10.0.0.1', dst: '10.0.0.2' },
    tcp: { src: 1723, dst: 4000 },
    payload: 'aabb',
  }).slice(14);
  const whole = packet.slice(20);
  test('fields', () => {
    const view = viewOf(whole);
    expect(tcp.checkTcp(view, 0, whole.length)).toBe(20);
    expect([tcp.tcpSourcePort(view, 0), tcp.tcpDestinationPort(view, 0)]).toEqual([1723, 4000]);
    expect(tcp.tcpChecksumValid(view, 0, 22, pseudoHeaderIpv4(viewOf(packet), 0, 6, 22))).toBe(true);
    expect(tcp.tcpChecksumValid(patched(whole, 4, 1), 0, 22, pseudoHeaderIpv4(viewOf(packet), 0, 6, 22))).toBe(false);
  });
  test('cut at every length', () => cutEverywhere(tcp.checkTcp, whole, 20));
  test.each([0x40, 0x00, 0xf0])('data offset byte 0x%s: refused', (value) =>
    expect(tcp.checkTcp(patched(whole, 12, value), 0, 22)).toBe(0),
  );
});

describe('icmp', () => {
  const whole = frame({
    ip: { src: '10.0.0.1', dst: '10.0.0.2' },
    icmp: { type: 8, code: 0, id: 1, sequence: 2 },
    payload: 'aabbcc',
  }).slice(34);
  test('fields', () => {
    const view = viewOf(whole);
    expect(icmp.checkIcmp(view, 0, whole.length)).toBe(8);
    expect([icmp.icmpType(view, 0), icmp.icmpCode(view, 0)]).toEqual([icmp.ICMP_ECHO_REQUEST, 0]);
    expect(icmp.icmpChecksumValid(view, 0, whole.length)).toBe(true);
    expect(icmp.icmpChecksumValid(patched(whole, 8, 1), 0, whole.length)).toBe(false);
  });
  test('cut at every length', () => cutEverywhere(icmp.checkIcmp, whole, 8));
  test('type and code set, checksum right', () => {
    const view = viewOf(whole.slice());
    icmp.emitIcmp(view, 0, whole.length, 0, 5);
    expect([icmp.icmpType(view, 0), icmp.icmpCode(view, 0), icmp.icmpChecksumValid(view, 0, whole.length)]).toEqual([
      0,
      5,
      true,
    ]);
    expect(view.getUint32(4)).toBe(0x00010002);
  });
});

describe('icmpv6 neighbour discovery', () => {
  const target = '20010db8000000000000000000000009';
  const solicitation = bytes(`87000000 00000000 ${target} 0101 020000000001`);
  test('a solicitation and its option', () => {
    const view = viewOf(solicitation);
    expect(icmpv6.checkNeighbour(view, 0, 32)).toBe(24);
    expect(icmpv6.neighbourTargetOffset(0)).toBe(8);
    expect(icmpv6.neighbourOption(view, 0, 32, icmpv6.OPTION_SOURCE_LINK_LAYER)).toBe(26);
    expect(icmpv6.neighbourOption(view, 0, 32, icmpv6.OPTION_TARGET_LINK_LAYER)).toBe(-1);
    expect(icmpv6.neighbourOption(view, 0, 24, icmpv6.OPTION_SOURCE_LINK_LAYER)).toBe(-1);
  });
  test('cut at every length: whole only without or with the option', () => {
    for (let length = 0; length < 32; length++)
      expect(icmpv6.checkNeighbour(viewOf(solicitation.slice(0, length)), 0, length), `cut to ${length}`).toBe(
        length === 24 ? 24 : 0,
      );
  });
  test('an option behind another one is found', () => {
    const nonce = bytes(`87000000 00000000 ${target} 0e01 112233445566 0101 020000000001`);
    expect(icmpv6.neighbourOption(viewOf(nonce), 0, 40, 1)).toBe(34);
  });
  test.each([
    [25, 0, 'option of length 0'],
    [25, 2, 'option beyond the message'],
    [1, 1, 'code'],
    [0, 134, 'another type'],
  ])('byte %i = %i (%s): refused', (at, value) =>
    expect(icmpv6.checkNeighbour(patched(solicitation, at, value), 0, 32)).toBe(0),
  );
  test('an advertisement: every byte', () => {
    const out = new Uint8Array(icmpv6.NEIGHBOUR_FRAME_LENGTH + 4).fill(0xa5);
    const view = viewOf(out);
    icmpv6.emitAllNodesDestination(view, 2);
    out.set(bytes(target), 2 + 14 + 8);
    const length = icmpv6.emitAdvertisement(view, 2, Uint8Array.of(2, 0, 0, 0, 0, 1), icmpv6.NA_OVERRIDE);
    expect(length).toBe(86);
    expect(icmpv6.advertisementFlags(view, 2 + 54)).toBe(0x20);
    expect(view.getUint16(58)).toBe(expectedChecksum(out));
    out.set([0, 0], 58);
    expect(hex(out)).toBe(
      [
        'a5a5',
        '333300000001',
        '020000000001',
        '86dd',
        '60000000',
        '00203aff',
        target,
        'ff020000000000000000000000000001',
        '8800',
        '0000',
        '20000000',
        target,
        '0201',
        '020000000001',
        'a5a5',
      ].join(''),
    );
  });

  /** The checksum of the same message, made by the builder. */
  function expectedChecksum(out: Uint8Array): number {
    const same = frame({
      eth: { src: MAC_A },
      ip: { src: '2001:db8::9', dst: 'ff02::1', ttl: 255 },
      icmp: { type: 136, rest: 0x20000000 },
      payload: out.slice(64, 88),
    });
    return viewOf(same).getUint16(56);
  }
});

test('checksums over IPv6 use its pseudo-header', () => {
  const packet = udpFrame('[2001:db8::1]:1701', '[2001:db8::2]:1701', 'aabbcc').slice(14);
  expect(udp.udpChecksumValid(viewOf(packet), 40, pseudoHeaderIpv6(viewOf(packet), 0, 17, 11))).toBe(true);
});
