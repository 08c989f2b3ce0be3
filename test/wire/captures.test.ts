/** Every frame of every capture of real programs passes the codecs; what has no valid checksum has a reason. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkArp } from '../../src/wire/arp.js';
import { checksum, pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { checkEthernet, etherType, TYPE_ARP, TYPE_IPV4, TYPE_IPV6 } from '../../src/wire/ethernet.js';
import { checkIcmp, icmpChecksumValid } from '../../src/wire/icmp.js';
import { checkIpv4, ipv4ChecksumValid, ipv4End, ipv4IsFragment, ipv4Protocol } from '../../src/wire/ipv4.js';
import { checkIpv6, ipv6End, walkIpv6, walkLength, walkProtocol } from '../../src/wire/ipv6.js';
import { readPcap } from '../../src/wire/pcap.js';
import { checkTcp, tcpChecksumValid } from '../../src/wire/tcp.js';
import { checkUdp, udpChecksumValid, udpHasChecksum } from '../../src/wire/udp.js';
import { describeFrame, viewOf } from '../helpers/packet-builder.js';

const folder = path.join(import.meta.dirname, '..', 'fixtures', 'pcaps');

/**
 * `ok protocol`, or `reason protocol`: none sent, or *partial*, the pseudo-header's sum that a sender leaves for the
 * hardware to complete. Throws where a codec refuses the frame.
 */
function examine(frame: Uint8Array): string {
  const view = viewOf(frame);
  const l3 = must(checkEthernet(view, 0, frame.length), 'ethernet');
  switch (etherType(view, 0)) {
    case TYPE_ARP:
      must(checkArp(view, l3, frame.length), 'arp');
      return 'ok arp';
    case TYPE_IPV4: {
      const headerLength = must(checkIpv4(view, l3, frame.length), 'ipv4');
      if (!ipv4ChecksumValid(view, l3, headerLength)) return 'bad ipv4';
      if (ipv4IsFragment(view, l3)) return 'fragment ipv4';
      const end = ipv4End(view, l3);
      const l4 = l3 + headerLength;
      const protocol = ipv4Protocol(view, l3);
      return layer4(view, l4, end, protocol, pseudoHeaderIpv4(view, l3, protocol, end - l4));
    }
    case TYPE_IPV6: {
      must(checkIpv6(view, l3, frame.length), 'ipv6');
      const walk = must(walkIpv6(view, l3), 'ipv6 extension headers');
      const end = ipv6End(view, l3);
      const l4 = l3 + walkLength(walk);
      return layer4(view, l4, end, walkProtocol(walk), pseudoHeaderIpv6(view, l3, walkProtocol(walk), end - l4));
    }
    default:
      throw new Error(`ether type ${etherType(view, 0)}`);
  }
}

function layer4(view: DataView, l4: number, end: number, protocol: number, pseudo: number): string {
  switch (protocol) {
    case 17:
      must(checkUdp(view, l4, end), 'udp');
      if (!udpHasChecksum(view, l4)) return 'none-sent udp';
      if (udpChecksumValid(view, l4, pseudo)) return 'ok udp';
      return view.getUint16(l4 + 6) === pseudo ? 'partial udp' : 'bad udp';
    case 6:
      must(checkTcp(view, l4, end), 'tcp');
      if (tcpChecksumValid(view, l4, end, pseudo)) return 'ok tcp';
      return view.getUint16(l4 + 16) === pseudo ? 'partial tcp' : 'bad tcp';
    case 1:
      must(checkIcmp(view, l4, end), 'icmp');
      return icmpChecksumValid(view, l4, end) ? 'ok icmp' : 'bad icmp';
    case 58:
      must(checkIcmp(view, l4, end), 'icmpv6');
      return checksum(view, l4, end, pseudo) === 0 ? 'ok icmpv6' : 'bad icmpv6';
    case 47:
      return 'no-checksum gre'; // PPTP's GRE has no checksum field
    case 50:
      return 'encrypted esp';
    default:
      throw new Error(`protocol ${protocol}`);
  }
}

function must(answer: number, what: string): number {
  if (answer === 0) throw new Error(`refused by ${what}`);
  return answer;
}

describe('every frame of every capture', () => {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith('.pcap'));
  test('there are captures', () => expect(names.length).toBeGreaterThanOrEqual(10));
  test.each(names)('%s', (name) => {
    const counts: Record<string, number> = {};
    for (const [index, { frame }] of readPcap(fs.readFileSync(path.join(folder, name))).entries()) {
      let verdict: string;
      try {
        verdict = examine(frame);
      } catch (error) {
        throw new Error(`frame ${index + 1}: ${(error as Error).message}: ${describeFrame(frame)}`);
      }
      counts[verdict] = (counts[verdict] ?? 0) + 1;
    }
    expect(Object.keys(counts).filter((verdict) => verdict.startsWith('bad'))).toEqual([]);
    expect(counts).toMatchSnapshot();
  });
});
