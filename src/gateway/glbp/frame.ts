/** GLBP's messages in their Ethernet frames: UDP 3222 over IPv4 or IPv6, TTL 255, both checksums. */
import { type AddressWords, isIpv4, writeAddress } from '../../wire/address.js';
import { pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../wire/checksum.js';
import { checkEthernet, etherType, TYPE_IPV4, TYPE_IPV6, writeMac } from '../../wire/ethernet.js';
import { GLBP_PORT } from '../../wire/glbp.js';
import {
  checkIpv4,
  emitIpv4,
  ipv4ChecksumValid,
  ipv4Destination,
  ipv4End,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4Ttl,
  PROTOCOL_UDP,
} from '../../wire/ipv4.js';
import {
  checkIpv6,
  emitIpv6,
  ipv6DestinationOffset,
  ipv6End,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6SourceOffset,
} from '../../wire/ipv6.js';
import {
  checkUdp,
  emitUdp,
  UDP_HEADER_LENGTH,
  udpChecksumValid,
  udpDestinationPort,
  udpEnd,
  udpHasChecksum,
} from '../../wire/udp.js';

const ETHERNET = 14;
const IPV4 = 20;
const IPV6 = 40;
/** Internetwork control (RFC 4594): what routers tell each other. */
const TRAFFIC_CLASS = 0xc0;
const TTL = 255;

export interface GlbpDatagram {
  /** Ethernet source. */
  readonly from: Uint8Array;
  readonly source: AddressWords;
  readonly destination: AddressWords;
  /** A view of the frame. */
  readonly payload: Uint8Array;
}

/** hop-limit: below 255, so it has come through a router. damaged: a header or checksum is wrong. */
export type GlbpFrameFault = 'hop-limit' | 'damaged';

/** Both addresses must be of one family. */
export function buildGlbpFrame(
  macs: { readonly from: Uint8Array; readonly to: Uint8Array },
  source: AddressWords,
  destination: AddressWords,
  payload: Uint8Array,
): Uint8Array {
  const four = isIpv4(source[0], source[1], source[2]);
  const ip = ETHERNET;
  const udp = ip + (four ? IPV4 : IPV6);
  const length = UDP_HEADER_LENGTH + payload.length;
  const frame = new Uint8Array(udp + length);
  const view = new DataView(frame.buffer);
  writeMac(view, 0, macs.to);
  writeMac(view, 6, macs.from);
  view.setUint16(12, four ? TYPE_IPV4 : TYPE_IPV6);
  frame.set(payload, udp + UDP_HEADER_LENGTH);
  if (four) {
    emitIpv4(view, ip, TRAFFIC_CLASS, IPV4 + length, 0, 0, TTL, PROTOCOL_UDP, source[3], destination[3]);
    emitUdp(view, udp, GLBP_PORT, GLBP_PORT, length, pseudoHeaderIpv4(view, ip, PROTOCOL_UDP, length));
    return frame;
  }
  emitIpv6(view, ip, TRAFFIC_CLASS, length, PROTOCOL_UDP, TTL);
  writeAddress(view, ipv6SourceOffset(ip), source);
  writeAddress(view, ipv6DestinationOffset(ip), destination);
  emitUdp(view, udp, GLBP_PORT, GLBP_PORT, length, pseudoHeaderIpv6(view, ip, PROTOCOL_UDP, length));
  return frame;
}

/** Null: no GLBP frame at all. */
export function readGlbpFrame(frame: Uint8Array): GlbpDatagram | GlbpFrameFault | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (checkEthernet(view, 0, frame.length) === 0) return null;
  const type = etherType(view, 0);
  if (type === TYPE_IPV4) return readIpv4(frame, view);
  return type === TYPE_IPV6 ? readIpv6(frame, view) : null;
}

function readIpv4(frame: Uint8Array, view: DataView): GlbpDatagram | GlbpFrameFault | null {
  const header = checkIpv4(view, ETHERNET, frame.length);
  if (header === 0 || ipv4Protocol(view, ETHERNET) !== PROTOCOL_UDP || ipv4IsFragment(view, ETHERNET)) return null;
  const udp = ETHERNET + header;
  const end = ipv4End(view, ETHERNET);
  if (checkUdp(view, udp, end) === 0 || udpDestinationPort(view, udp) !== GLBP_PORT) return null;
  if (!ipv4ChecksumValid(view, ETHERNET, header)) return 'damaged';
  if (udpHasChecksum(view, udp)) {
    const length = udpEnd(view, udp) - udp;
    if (!udpChecksumValid(view, udp, pseudoHeaderIpv4(view, ETHERNET, PROTOCOL_UDP, length))) return 'damaged';
  }
  if (ipv4Ttl(view, ETHERNET) !== TTL) return 'hop-limit';
  return {
    from: frame.slice(6, 12),
    source: [0, 0, 0xffff, ipv4Source(view, ETHERNET) >>> 0],
    destination: [0, 0, 0xffff, ipv4Destination(view, ETHERNET) >>> 0],
    payload: frame.subarray(udp + UDP_HEADER_LENGTH, udpEnd(view, udp)),
  };
}

function readIpv6(frame: Uint8Array, view: DataView): GlbpDatagram | GlbpFrameFault | null {
  if (checkIpv6(view, ETHERNET, frame.length) === 0 || ipv6NextHeader(view, ETHERNET) !== PROTOCOL_UDP) return null;
  const udp = ETHERNET + IPV6;
  if (checkUdp(view, udp, ipv6End(view, ETHERNET)) === 0 || udpDestinationPort(view, udp) !== GLBP_PORT) return null;
  const length = udpEnd(view, udp) - udp;
  const valid = udpHasChecksum(view, udp);
  if (!valid || !udpChecksumValid(view, udp, pseudoHeaderIpv6(view, ETHERNET, PROTOCOL_UDP, length))) return 'damaged';
  if (ipv6HopLimit(view, ETHERNET) !== TTL) return 'hop-limit';
  const words = (at: number): AddressWords => [
    view.getUint32(at),
    view.getUint32(at + 4),
    view.getUint32(at + 8),
    view.getUint32(at + 12),
  ];
  return {
    from: frame.slice(6, 12),
    source: words(ipv6SourceOffset(ETHERNET)),
    destination: words(ipv6DestinationOffset(ETHERNET)),
    payload: frame.subarray(udp + UDP_HEADER_LENGTH, udpEnd(view, udp)),
  };
}
