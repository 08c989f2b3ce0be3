/**
 * Frames of a model host: ARP for an IPv4 address, Neighbour Discovery for an IPv6 one, behind one face. Written from the
 * RFCs and not with the codecs of the product, so that a mistake there is not made twice.
 */
import { type AddressWords, IPV4_MAPPED } from '../../src/wire/address.js';
import { pseudoHeaderIpv6, sum } from '../../src/wire/checksum.js';
import { BROADCAST, type Mac, readMac, writeMacNumber } from '../../src/gateway/mac.js';

/** What a frame says about a neighbour; null: nothing that a host heeds. */
export interface Heard {
  /** ask: wants the host's own address. tell: says where an address is. */
  readonly kind: 'ask' | 'tell';
  /** Whose address is told, or who asks. */
  readonly address: AddressWords;
  readonly target: AddressWords;
  readonly mac: Mac;
  /** ARP: a reply. ND: flag S. */
  readonly reply: boolean;
  /** ARP: sender and target address are one (RFC 5227 §3). ND: flag O. */
  readonly override: boolean;
  readonly router: boolean;
}

const ZERO: AddressWords = [0, 0, 0, 0];
const same = (a: AddressWords, b: AddressWords): boolean => a.every((word, i) => word === b[i]);
export const isV4 = (address: AddressWords): boolean =>
  address[0] === 0 && address[1] === 0 && address[2] === IPV4_MAPPED;
const v4 = (word: number): AddressWords => [0, 0, IPV4_MAPPED, word >>> 0];

/** Who sends, and as what; `address` null: it has none yet (a probe). */
export interface Sender {
  readonly mac: Mac;
  readonly address: AddressWords | null;
}

function ethernet(length: number, to: Mac, from: Mac, type: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(Math.max(length, 60));
  const view = new DataView(bytes.buffer);
  writeMacNumber(bytes, 0, to);
  writeMacNumber(bytes, 6, from);
  view.setUint16(12, type);
  return { bytes, view };
}

export interface ArpFields {
  readonly to: Mac;
  readonly from: Mac;
  readonly operation: number;
  readonly senderMac: Mac;
  readonly sender: number;
  readonly targetMac: Mac;
  readonly target: number;
}

export function arpFrame(fields: ArpFields): Uint8Array {
  const { bytes, view } = ethernet(42, fields.to, fields.from, 0x0806);
  view.setUint32(14, 0x00010800);
  view.setUint16(18, 0x0604);
  view.setUint16(20, fields.operation);
  writeMacNumber(bytes, 22, fields.senderMac);
  view.setUint32(28, fields.sender);
  writeMacNumber(bytes, 32, fields.targetMac);
  view.setUint32(38, fields.target);
  return bytes;
}

const solicitedNode = (address: AddressWords): AddressWords => [
  0xff020000,
  0,
  1,
  (0xff000000 | (address[3] & 0xffffff)) >>> 0,
];
export const groupMacOf = (address: AddressWords): Mac => 0x3333 * 2 ** 32 + address[3];

function neighbourFrame(
  to: Mac,
  from: Mac,
  source: AddressWords,
  destination: AddressWords,
  type: number,
  flags: number,
  target: AddressWords,
  option: { type: number; mac: Mac } | null,
): Uint8Array {
  const payload = option === null ? 24 : 32;
  const { bytes, view } = ethernet(54 + payload, to, from, 0x86dd);
  view.setUint32(14, 0x60000000);
  view.setUint16(18, payload);
  view.setUint8(20, 58);
  view.setUint8(21, 255);
  writeWords(view, 22, source);
  writeWords(view, 38, destination);
  view.setUint8(54, type);
  view.setUint32(58, flags);
  writeWords(view, 62, target);
  if (option !== null) {
    view.setUint8(78, option.type);
    view.setUint8(79, 1);
    writeMacNumber(bytes, 80, option.mac);
  }
  let folded = sum(view, 54, 54 + payload, pseudoHeaderIpv6(view, 14, 58, payload));
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  view.setUint16(56, ~folded & 0xffff);
  return bytes;
}

function writeWords(view: DataView, offset: number, words: AddressWords): void {
  words.forEach((word, i) => view.setUint32(offset + 4 * i, word));
}

function readWords(view: DataView, offset: number): AddressWords {
  return [0, 4, 8, 12].map((i) => view.getUint32(offset + i)) as unknown as AddressWords;
}

/** A request for `target`: broadcast or to the solicited node, or to the one address that `to` gives. */
export function requestFrame(sender: Sender, target: AddressWords, to: Mac | null = null): Uint8Array {
  if (isV4(target)) {
    return arpFrame({
      to: to ?? BROADCAST,
      from: sender.mac,
      operation: 1,
      senderMac: sender.mac,
      sender: sender.address?.[3] ?? 0,
      targetMac: to ?? 0,
      target: target[3],
    });
  }
  const group = solicitedNode(target);
  const source = sender.address ?? ZERO;
  return neighbourFrame(
    to ?? groupMacOf(group),
    sender.mac,
    source,
    to === null ? group : target,
    135,
    0,
    target,
    sender.address === null ? null : { type: 1, mac: sender.mac },
  );
}

/** A reply to whoever asks for the sender's own address. */
export function replyFrame(sender: Sender, to: Mac, toAddress: AddressWords): Uint8Array {
  const own = sender.address as AddressWords;
  if (isV4(own)) {
    return arpFrame({
      to,
      from: sender.mac,
      operation: 2,
      senderMac: sender.mac,
      sender: own[3],
      targetMac: to,
      target: toAddress[3],
    });
  }
  return neighbourFrame(to, sender.mac, own, toAddress, 136, 0x60000000, own, { type: 2, mac: sender.mac });
}

/** Says "this address is mine" to all: a gratuitous request, or an unsolicited advertisement that overrides. */
export function announcementFrame(sender: Sender): Uint8Array {
  const own = sender.address as AddressWords;
  if (isV4(own)) {
    return arpFrame({
      to: BROADCAST,
      from: sender.mac,
      operation: 1,
      senderMac: sender.mac,
      sender: own[3],
      targetMac: 0,
      target: own[3],
    });
  }
  const all: AddressWords = [0xff020000, 0, 0, 1];
  return neighbourFrame(groupMacOf(all), sender.mac, own, all, 136, 0x20000000, own, { type: 2, mac: sender.mac });
}

/** Reads an ARP or Neighbour Discovery frame as a host does. */
export function readNeighbour(frame: Uint8Array): Heard | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 42) return null;
  const type = view.getUint16(12);
  if (type === 0x0806) {
    if (view.getUint32(14) !== 0x00010800 || view.getUint16(18) !== 0x0604) return null;
    const operation = view.getUint16(20);
    const sender = view.getUint32(28);
    const target = view.getUint32(38);
    const own = operation === 1 && sender !== target;
    return {
      kind: own ? 'ask' : 'tell',
      address: v4(sender),
      target: v4(target),
      mac: readMac(frame, 22),
      reply: operation === 2,
      override: sender === target,
      router: true,
    };
  }
  if (type !== 0x86dd || frame.length < 78 || view.getUint8(20) !== 58 || view.getUint8(21) !== 255) return null;
  const length = view.getUint16(18);
  const icmp = view.getUint8(54);
  if (frame.length < 54 + length || (icmp !== 135 && icmp !== 136)) return null;
  let folded = sum(view, 54, 54 + length, pseudoHeaderIpv6(view, 14, 58, length));
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  if (folded !== 0xffff) return null;
  let mac = 0;
  for (let at = 78; at + 8 <= 54 + length; at += 8 * view.getUint8(at + 1)) {
    if (view.getUint8(at + 1) === 0) return null;
    if (view.getUint8(at) === (icmp === 135 ? 1 : 2)) mac = readMac(frame, at + 2);
  }
  const target = readWords(view, 62);
  const flags = view.getUint8(58);
  return {
    kind: icmp === 135 ? 'ask' : 'tell',
    address: icmp === 135 ? readWords(view, 22) : target,
    target,
    mac,
    reply: (flags & 0x40) !== 0,
    override: (flags & 0x20) !== 0,
    router: (flags & 0x80) !== 0,
  };
}

export { same as sameAddress };
