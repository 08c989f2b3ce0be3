/** The builder itself, against bytes written down by hand, so that the other tests may lean on it. */
import { describe, expect, test } from 'vitest';
import { avp, describeFrame, frame, hex, icrp, l2tpData, sccrq, stopccn, udpFrame, zlb } from './packet-builder.js';

const blanks = (text: string): string => text.replace(/\s+/g, '');

describe('frames, byte for byte', () => {
  test('UDP over IPv4', () => {
    expect(hex(udpFrame('10.0.0.1:1701', '10.0.0.2:1701', 'c802'))).toBe(
      blanks(`020000000002 020000000001 0800
              4500001e 00000000 401166cd 0a000001 0a000002  06a506a5 000a168b c802`),
    );
  });
  test('ICMPv6 echo over IPv6, tagged', () => {
    const bytes = frame({
      eth: { vlan: 100 },
      ip: { src: 'fe80::1', dst: 'fe80::2' },
      icmp: { type: 128, id: 1, sequence: 2 },
    });
    expect(hex(bytes)).toBe(
      blanks(`020000000002 020000000001 81000064 86dd 60000000 00083a40
              fe800000000000000000000000000001 fe800000000000000000000000000002 8000 82b5 00010002`),
    );
  });
  test('ARP request', () => {
    expect(hex(frame({ eth: { dst: 'ff:ff:ff:ff:ff:ff' }, arp: { senderIp: '10.0.0.1', targetIp: '10.0.0.2' } }))).toBe(
      blanks('ffffffffffff 020000000001 0806 0001080006040001 020000000001 0a000001 000000000000 0a000002'),
    );
  });
});

describe('checksums on request', () => {
  const udp = (checksum: 'none' | 'bad' | 'partial'): string =>
    hex(udpFrame('10.0.0.1:1701', '10.0.0.2:1701', 'c802', { udp: { checksum } })).slice(-8, -4);
  test('none is zero', () => expect(udp('none')).toBe('0000'));
  test('bad differs from right', () => expect(udp('bad')).toBe('178b'));
  test('partial is the sum of the pseudo-header, not complemented', () => expect(udp('partial')).toBe('141e'));
});

describe('L2TP messages', () => {
  test('AVP: M, H, vendor, length, type', () => {
    expect(hex(avp(9, 7))).toBe('8008000000090007');
    expect(hex(avp(1, 'ff', { mandatory: false, hidden: true, vendor: 9 }))).toBe('400700090001ff');
  });
  test('ZLB is a control header alone', () =>
    expect(hex(zlb({ tunnel: 9, ns: 4, nr: 2 }))).toBe('c802000c0009000000040002'));
  test('data with L, S, O and P', () => {
    expect(
      hex(
        l2tpData({ tunnel: 9, session: 4, length: true, sequence: [1, 2], offset: 2, priority: true, payload: 'ff03' }),
      ),
    ).toBe(blanks('4b02 0012 0009 0004 0001 0002 0002 0000 ff03'));
  });
});

describe('describeFrame', () => {
  test.each([
    [
      udpFrame('10.0.0.1:1701', '10.9.0.2:1701', sccrq({ assigned: 7 })),
      '10.0.0.1:1701 > 10.9.0.2:1701 L2TP SCCRQ tid 0 sid 0 ns 0 nr 0 assigned 7 (106)',
    ],
    [
      udpFrame('[fd00::1]:4000', '[fd00::2]:1701', stopccn({ assigned: 7, hidden: true })),
      '[fd00::1]:4000 > [fd00::2]:1701 L2TP StopCCN tid 0 sid 0 ns 0 nr 0 assigned hidden (100)',
    ],
    [
      udpFrame('10.9.0.2:1701', '10.0.0.1:1701', icrp({ tunnel: 7, session: 3, assigned: 4 })),
      '10.9.0.2:1701 > 10.0.0.1:1701 L2TP ICRP tid 7 sid 3 ns 1 nr 3 assigned 4 (70)',
    ],
    [
      frame({ eth: { vlan: 5 }, ip: { src: '10.0.0.1', dst: '10.0.0.2' }, icmp: { type: 8 } }),
      'vlan 5 10.0.0.1 > 10.0.0.2 ICMP 8/0 (46)',
    ],
    [Uint8Array.of(1, 2, 3), 'unreadable (3) 010203'],
  ])('%#', (bytes, line) => expect(describeFrame(bytes)).toBe(line));
});
