/**
 * One line of text for any frame, so that a failed comparison can be read:
 *   10.0.0.1:1701 > 10.9.0.2:1701 L2TP SCCRQ tid 0 sid 0 ns 0 nr 0 assigned 7 (98)
 * Never throws: what cannot be read is shown as bytes.
 */
import { formatAddress, formatEndpoint, formatMac } from '../../src/wire/address.js';

const MESSAGE_NAMES: Record<number, string> = {
  1: 'SCCRQ',
  2: 'SCCRP',
  3: 'SCCCN',
  4: 'StopCCN',
  6: 'Hello',
  7: 'OCRQ',
  8: 'OCRP',
  9: 'OCCN',
  10: 'ICRQ',
  11: 'ICRP',
  12: 'ICCN',
  14: 'CDN',
  15: 'WEN',
  16: 'SLI',
};
type Words = [number, number, number, number];

export function describeFrame(frame: Uint8Array): string {
  try {
    return describe(frame);
  } catch {
    return `unreadable (${frame.length}) ${dump(frame)}`;
  }
}

function describe(frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = 12;
  let type = view.getUint16(at);
  let prefix = '';
  while (type === 0x8100 || type === 0x88a8) {
    prefix += `vlan ${view.getUint16(at + 2) & 0xfff} `;
    at += 4;
    type = view.getUint16(at);
  }
  const l3 = at + 2;
  if (type === 0x0806) return prefix + describeArp(frame, view, l3);
  if (type === 0x0800) return prefix + describeIpv4(frame, view, l3);
  if (type === 0x86dd) return prefix + describeIpv6(frame, view, l3);
  return `${prefix}${formatMac(frame, 6)} > ${formatMac(frame, 0)} type 0x${type.toString(16).padStart(4, '0')} (${frame.length})`;
}

function describeArp(frame: Uint8Array, view: DataView, at: number): string {
  const ip = (offset: number): string => formatAddress(0, 0, 0xffff, view.getUint32(offset));
  return view.getUint16(at + 6) === 1
    ? `ARP who-has ${ip(at + 24)} tell ${ip(at + 14)} (${formatMac(frame, at + 8)})`
    : `ARP ${ip(at + 14)} is-at ${formatMac(frame, at + 8)} to ${formatMac(frame, at + 18)}`;
}

function describeIpv4(frame: Uint8Array, view: DataView, at: number): string {
  const l4 = at + (view.getUint8(at) & 0x0f) * 4;
  const end = Math.min(at + view.getUint16(at + 2), frame.length);
  const fragment = view.getUint16(at + 6) & 0x3fff;
  const src: Words = [0, 0, 0xffff, view.getUint32(at + 12)];
  const dst: Words = [0, 0, 0xffff, view.getUint32(at + 16)];
  const note = fragment === 0 ? '' : ` frag ${(fragment & 0x1fff) * 8}${fragment & 0x2000 ? '+' : ''}`;
  if ((fragment & 0x1fff) !== 0)
    return `${addresses(src, dst)}${note} protocol ${view.getUint8(at + 9)} (${frame.length})`;
  return describeLayer4(frame, view, l4, end, view.getUint8(at + 9), src, dst) + note;
}

function describeIpv6(frame: Uint8Array, view: DataView, at: number): string {
  const words = (offset: number): Words => [
    view.getUint32(offset),
    view.getUint32(offset + 4),
    view.getUint32(offset + 8),
    view.getUint32(offset + 12),
  ];
  const end = Math.min(at + 40 + view.getUint16(at + 4), frame.length);
  let protocol = view.getUint8(at + 6);
  let l4 = at + 40;
  let note = '';
  while (protocol === 0 || protocol === 43 || protocol === 60 || protocol === 44) {
    if (protocol === 44) note += ` frag ${view.getUint16(l4 + 2) & 0xfff8}${view.getUint16(l4 + 2) & 1 ? '+' : ''}`;
    const length = protocol === 44 ? 8 : (view.getUint8(l4 + 1) + 1) * 8;
    protocol = view.getUint8(l4);
    l4 += length;
  }
  return describeLayer4(frame, view, l4, end, protocol, words(at + 8), words(at + 24)) + note;
}

function describeLayer4(
  frame: Uint8Array,
  view: DataView,
  l4: number,
  end: number,
  protocol: number,
  src: Words,
  dst: Words,
): string {
  const size = `(${frame.length})`;
  if (protocol === 17 || protocol === 6) {
    const ends = `${formatEndpoint(...src, view.getUint16(l4))} > ${formatEndpoint(...dst, view.getUint16(l4 + 2))}`;
    if (protocol === 6) return `${ends} TCP ${size}`;
    const ports = [view.getUint16(l4), view.getUint16(l4 + 2)];
    const l2tp = ports.includes(1701) || (end - l4 >= 14 && (view.getUint8(l4 + 9) & 0x0f) === 2);
    return `${ends} ${l2tp ? describeL2tp(view, l4 + 8, end) : 'UDP'} ${size}`;
  }
  if (protocol === 1) return `${addresses(src, dst)} ICMP ${view.getUint8(l4)}/${view.getUint8(l4 + 1)} ${size}`;
  if (protocol === 58) return `${addresses(src, dst)} ICMPv6 ${view.getUint8(l4)}/${view.getUint8(l4 + 1)} ${size}`;
  return `${addresses(src, dst)} protocol ${protocol} ${size}`;
}

function describeL2tp(view: DataView, at: number, end: number): string {
  const flags = view.getUint16(at);
  const ids = at + (flags & 0x4000 ? 4 : 2);
  const tunnel = `tid ${view.getUint16(ids)} sid ${view.getUint16(ids + 2)}`;
  if ((flags & 0x0f) !== 2) return `L2TP version ${flags & 0x0f}`;
  const sequence = flags & 0x0800 ? ` ns ${view.getUint16(ids + 4)} nr ${view.getUint16(ids + 6)}` : '';
  if ((flags & 0x8000) === 0) return `L2TP data ${tunnel}${sequence}`;
  if (end - at <= 12) return `L2TP ZLB ${tunnel}${sequence}`;
  const type = view.getUint16(at + 18);
  let assigned = '';
  for (let avp = at + 12; avp + 6 <= end; ) {
    const length = view.getUint16(avp) & 0x3ff;
    if (length < 6 || avp + length > end) break;
    const attribute = view.getUint16(avp + 4);
    if ((attribute === 9 || attribute === 14) && view.getUint16(avp + 2) === 0) {
      assigned = view.getUint16(avp) & 0x4000 ? ' assigned hidden' : ` assigned ${view.getUint16(avp + 6)}`;
    }
    avp += length;
  }
  return `L2TP ${MESSAGE_NAMES[type] ?? `message ${type}`} ${tunnel}${sequence}${assigned}`;
}

const addresses = (src: Words, dst: Words): string => `${formatAddress(...src)} > ${formatAddress(...dst)}`;

const dump = (frame: Uint8Array): string =>
  Array.from(frame.subarray(0, 32), (byte) => byte.toString(16).padStart(2, '0')).join('');
