/**
 * Frames for tests, built from options with every length and checksum right unless the test asks for a wrong one. Knows
 * nothing of the codecs under test beyond `wire/address` and `wire/checksum`: what the product parses was not written
 * by the product.
 *
 *   frame({ ip: { src: '10.0.0.1', dst: '10.9.0.2' }, udp: { src: 1701, dst: 1701 }, payload: sccrq({ assigned: 7 }) })
 *   frame({ eth: { vlan: 100 }, ip: { src: '2001:db8::1', dst: '2001:db8::2' }, icmp: { type: 128, id: 1, sequence: 1 } })
 *   udpFrame('10.0.0.1:1701', '10.9.0.2:1701', l2tpData({ tunnel: 7, session: 1, payload: 'ff030021' }))
 */
import { isIpv4, parseAddress, parseEndpoint, parseMac, writeAddress } from '../../src/wire/address.js';
import { asUdp, checksum, pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';

/** Bytes, an array of byte values, or hexadecimal text (blanks are ignored). */
export type BytesLike = Uint8Array | readonly number[] | string;

/** `right` (default); `bad`: one off; `none`: zero; `partial`: the pseudo-header only, as CHECKSUM_PARTIAL leaves it. */
export type ChecksumChoice = 'right' | 'bad' | 'none' | 'partial';

export interface FrameOptions {
  eth?: {
    /** Default 02:00:00:00:00:01. */
    src?: string;
    /** Default 02:00:00:00:00:02. */
    dst?: string;
    /** A tag inside the frame, 1 … 4095. */
    vlan?: number;
    /** Default follows from `ip` and `arp`. */
    type?: number;
  };
  arp?: {
    /** 1 request (default), 2 reply. */
    operation?: number;
    senderMac?: string;
    senderIp: string;
    targetMac?: string;
    targetIp: string;
  };
  ip?: {
    src: string;
    dst: string;
    /** TTL or hop limit; default 64. */
    ttl?: number;
    /** Identification (IPv4, and of an IPv6 fragment header); default 0. */
    id?: number;
    /** TOS or traffic class. */
    tos?: number;
    flowLabel?: number;
    dontFragment?: boolean;
    /** `offset` in bytes, a multiple of 8. The L4 header is written only where offset is 0. */
    fragment?: { offset: number; more: boolean };
    /** IPv4 options, padded to a multiple of 4. */
    options?: BytesLike;
    /** IPv6 extension headers by protocol number (0, 43, 60 …); 8 bytes each, or with `length` a multiple of 8. */
    extensions?: readonly { protocol: number; length?: number }[];
    /** For a payload without an L4 header here; else it follows from `udp`, `tcp`, `icmp`. */
    protocol?: number;
    checksum?: ChecksumChoice;
    /** Overrides total length (IPv4) or payload length (IPv6). */
    length?: number;
    /** Overrides the IHL, in 32-bit words. */
    headerWords?: number;
  };
  udp?: { src: number; dst: number; checksum?: ChecksumChoice /** Overrides the length field. */; length?: number };
  tcp?: {
    src: number;
    dst: number;
    sequence?: number;
    acknowledgement?: number;
    /** Flag byte; default 0x18 (PSH, ACK). */
    flags?: number;
    window?: number;
    checksum?: ChecksumChoice;
  };
  /** ICMP, or ICMPv6 over IPv6. */
  icmp?: {
    type: number;
    code?: number;
    id?: number;
    sequence?: number /** Bytes 4..7 as one number, instead of id and sequence. */;
    rest?: number;
    checksum?: ChecksumChoice;
  };
  payload?: BytesLike;
  /** Zero bytes behind everything, as Ethernet pads short frames. */
  padding?: number;
}

const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const PROTOCOL_FRAGMENT = 44;
const PROTOCOL_ICMPV6 = 58;
export const MAC_A = '02:00:00:00:00:01';
export const MAC_B = '02:00:00:00:00:02';

/** Bytes of what a test wrote down; a fresh copy. */
export function bytes(value: BytesLike = ''): Uint8Array {
  if (typeof value !== 'string') return Uint8Array.from(value);
  const digits = value.replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hexadecimal: "${value}"`);
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function hex(value: Uint8Array): string {
  return Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function viewOf(value: Uint8Array): DataView {
  return new DataView(value.buffer, value.byteOffset, value.byteLength);
}

export function concat(...parts: BytesLike[]): Uint8Array {
  const all = parts.map(bytes);
  const whole = new Uint8Array(all.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of all) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One Ethernet frame. */
export function frame(options: FrameOptions): Uint8Array {
  const { eth = {}, arp, ip, payload, padding = 0 } = options;
  const inner = arp ? arpPacket(arp, eth.src ?? MAC_A) : ip ? ipPacket(options) : bytes(payload);
  const type = eth.type ?? (arp ? 0x0806 : ip ? (isV6(ip.dst) ? 0x86dd : 0x0800) : 0x88b5);
  const tag = eth.vlan === undefined ? [] : [0x81, 0x00, eth.vlan >> 8, eth.vlan & 0xff];
  return concat(
    mac(eth.dst ?? MAC_B),
    mac(eth.src ?? MAC_A),
    tag,
    [type >> 8, type & 0xff],
    inner,
    new Uint8Array(padding),
  );
}

/** UDP between two endpoints ("10.0.0.1:1701", "[2001:db8::1]:1701"); `more` may add or override anything. */
export function udpFrame(
  src: string,
  dst: string,
  payload: BytesLike,
  more: Omit<FrameOptions, 'ip' | 'udp'> & {
    ip?: Partial<FrameOptions['ip']>;
    udp?: Partial<FrameOptions['udp']>;
  } = {},
): Uint8Array {
  const [from, to] = [endpoint(src), endpoint(dst)];
  return frame({
    ...more,
    ip: { src: from.address, dst: to.address, ...more.ip },
    udp: { src: from.port, dst: to.port, ...more.udp },
    payload,
  });
}

function endpoint(text: string): { address: string; port: number } {
  const parsed = parseEndpoint(text);
  if (parsed === null) throw new Error(`not an endpoint: "${text}"`);
  return { address: text.slice(0, text.lastIndexOf(':')).replace(/^\[|\]$/g, ''), port: parsed.port };
}

function mac(text: string): Uint8Array {
  const parsed = parseMac(text);
  if (parsed === null) throw new Error(`not a MAC address: "${text}"`);
  return parsed;
}

function address(text: string): Uint8Array {
  const words = parseAddress(text);
  if (words === null) throw new Error(`not an address: "${text}"`);
  const out = new Uint8Array(16);
  return out.subarray(0, writeAddress(new DataView(out.buffer), 0, words));
}

function isV6(text: string): boolean {
  const words = parseAddress(text);
  if (words === null) throw new Error(`not an address: "${text}"`);
  return !isIpv4(words[0], words[1], words[2]);
}

function arpPacket(arp: NonNullable<FrameOptions['arp']>, source: string): Uint8Array {
  return concat(
    [0, 1, 8, 0, 6, 4, 0, arp.operation ?? 1],
    mac(arp.senderMac ?? source),
    address(arp.senderIp),
    mac(arp.targetMac ?? '00:00:00:00:00:00'),
    address(arp.targetIp),
  );
}

function ipPacket(options: FrameOptions): Uint8Array {
  const ip = options.ip as NonNullable<FrameOptions['ip']>;
  const v6 = isV6(ip.dst);
  const [protocol, body] = layer4(options, v6);
  return v6 ? ipv6Packet(ip, protocol, body) : ipv4Packet(ip, protocol, body);
}

function ipv4Packet(ip: NonNullable<FrameOptions['ip']>, protocol: number, body: Uint8Array): Uint8Array {
  const optionBytes = bytes(ip.options);
  const headerLength = 20 + Math.ceil(optionBytes.length / 4) * 4;
  const packet = new Uint8Array(headerLength + body.length);
  const view = viewOf(packet);
  view.setUint8(0, 0x40 | (ip.headerWords ?? headerLength / 4));
  view.setUint8(1, ip.tos ?? 0);
  view.setUint16(2, ip.length ?? packet.length);
  view.setUint16(4, ip.id ?? 0);
  const { offset, more } = ip.fragment ?? { offset: 0, more: false };
  view.setUint16(6, (ip.dontFragment ? 0x4000 : 0) | (more ? 0x2000 : 0) | (offset >> 3));
  view.setUint8(8, ip.ttl ?? 64);
  view.setUint8(9, protocol);
  packet.set(address(ip.src), 12);
  packet.set(address(ip.dst), 16);
  packet.set(optionBytes, 20);
  view.setUint16(10, chosen(ip.checksum, checksum(view, 0, headerLength), 0));
  packet.set(body, headerLength);
  return packet;
}

function ipv6Packet(ip: NonNullable<FrameOptions['ip']>, protocol: number, body: Uint8Array): Uint8Array {
  const chain = [...(ip.extensions ?? [])];
  if (ip.fragment) chain.push({ protocol: PROTOCOL_FRAGMENT });
  const extensions = chain.map((header, index) => {
    const out = new Uint8Array(header.length ?? 8);
    out[0] = chain[index + 1]?.protocol ?? protocol;
    if (header.protocol === PROTOCOL_FRAGMENT) {
      const { offset, more } = ip.fragment ?? { offset: 0, more: false };
      viewOf(out).setUint16(2, offset | (more ? 1 : 0));
      viewOf(out).setUint32(4, ip.id ?? 0);
    } else {
      out[1] = out.length / 8 - 1;
      out[2] = 1; // PadN over the rest, so that the options are well formed
      out[3] = out.length - 4;
    }
    return out;
  });
  const payload = concat(...extensions, body);
  const packet = new Uint8Array(40 + payload.length);
  const view = viewOf(packet);
  view.setUint32(0, (6 * 2 ** 28 + ((ip.tos ?? 0) << 20) + (ip.flowLabel ?? 0)) >>> 0);
  view.setUint16(4, ip.length ?? payload.length);
  view.setUint8(6, chain[0]?.protocol ?? protocol);
  view.setUint8(7, ip.ttl ?? 64);
  packet.set(address(ip.src), 8);
  packet.set(address(ip.dst), 24);
  packet.set(payload, 40);
  return packet;
}

function layer4({ ip, udp, tcp, icmp, payload }: FrameOptions, v6: boolean): [number, Uint8Array] {
  const data = bytes(payload);
  const protocol =
    ip?.protocol ?? (udp ? PROTOCOL_UDP : tcp ? PROTOCOL_TCP : icmp ? (v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP) : 255);
  if ((ip?.fragment?.offset ?? 0) > 0) return [protocol, data];
  let header: Uint8Array;
  let checksumAt: number;
  let choice: ChecksumChoice | undefined;
  if (udp) {
    header = new Uint8Array(8);
    viewOf(header).setUint16(0, udp.src);
    viewOf(header).setUint16(2, udp.dst);
    viewOf(header).setUint16(4, udp.length ?? 8 + data.length);
    checksumAt = 6;
    choice = udp.checksum;
  } else if (tcp) {
    header = new Uint8Array(20);
    viewOf(header).setUint16(0, tcp.src);
    viewOf(header).setUint16(2, tcp.dst);
    viewOf(header).setUint32(4, tcp.sequence ?? 0);
    viewOf(header).setUint32(8, tcp.acknowledgement ?? 0);
    viewOf(header).setUint16(12, 0x5000 | (tcp.flags ?? 0x18));
    viewOf(header).setUint16(14, tcp.window ?? 65535);
    checksumAt = 16;
    choice = tcp.checksum;
  } else if (icmp) {
    header = new Uint8Array(8);
    header[0] = icmp.type;
    header[1] = icmp.code ?? 0;
    viewOf(header).setUint32(4, icmp.rest ?? (((icmp.id ?? 0) << 16) | (icmp.sequence ?? 0)) >>> 0);
    checksumAt = 2;
    choice = icmp.checksum;
  } else return [protocol, data];
  const body = concat(header, data);
  const view = viewOf(body);
  const pseudo = icmp && !v6 ? 0 : pseudoHeader(ip as NonNullable<FrameOptions['ip']>, v6, protocol, body.length);
  const right = checksum(view, 0, body.length, pseudo);
  view.setUint16(checksumAt, chosen(choice, udp ? asUdp(right) : right, pseudo));
  return [protocol, body];
}

function pseudoHeader(ip: NonNullable<FrameOptions['ip']>, v6: boolean, protocol: number, length: number): number {
  const header = new Uint8Array(40);
  header.set(address(ip.src), v6 ? 8 : 12);
  header.set(address(ip.dst), v6 ? 24 : 16);
  return v6
    ? pseudoHeaderIpv6(viewOf(header), 0, protocol, length)
    : pseudoHeaderIpv4(viewOf(header), 0, protocol, length);
}

function chosen(choice: ChecksumChoice | undefined, right: number, pseudo: number): number {
  if (choice === 'none') return 0;
  if (choice === 'partial') return pseudo;
  return choice === 'bad' ? right ^ 0x0100 : right;
}

export * from './l2tp-builder.js';
export { describeFrame } from './describe-frame.js';
