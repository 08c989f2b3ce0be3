/**
 * pcapng files, https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/ : what a capture with comments needs of them.
 * Little-endian, microseconds, Ethernet.
 *
 *   block   | type (4) | total length (4) | body … | options … | total length (4) |
 *   option  | code (2) | length (2) | value, padded to 4 |, the last one 0, 0
 *
 *   Section Header         | 0x1a2b3c4d (4) | version 1.0 (2+2) | section length −1 (8) |
 *   Interface Description  | link type (2) | 0 (2) | snap length (4) |
 *   Enhanced Packet        | interface (4) | time high, low (4+4) | captured (4) | original (4) | frame, padded to 4 |
 *   Interface Statistics   | interface (4) | time high, low (4+4) |
 */
import { LINK_TYPE_ETHERNET } from './pcap.js';

export const PCAPNG_BLOCK = { section: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPTION = {
  end: 0,
  comment: 1,
  userApplication: 4,
  name: 2,
  description: 3,
  flags: 2,
  packetsDropped: 5,
} as const;
/** Type and total length. */
export const PCAPNG_BLOCK_HEADER_LENGTH = 8;
const TWO_32 = 4294967296;
/** A comment longer than this is cut. */
const TEXT_LIMIT = 1024;

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

/** First block of a file. `application`: who writes it. */
export function pcapngSection(application: string): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true);
  view.setInt32(8, -1, true);
  view.setInt32(12, -1, true);
  return block(PCAPNG_BLOCK.section, body, [textOption(OPTION.userApplication, application)]);
}

/** Interfaces get their numbers, from 0 on, in the order of these blocks. */
export function pcapngInterface(name: string, description: string, snapLength: number): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint16(0, LINK_TYPE_ETHERNET, true);
  view.setUint32(4, snapLength, true);
  return block(PCAPNG_BLOCK.interface, body, [
    textOption(OPTION.name, name),
    textOption(OPTION.description, description),
  ]);
}

/** One frame. `seconds` is Unix time with a fraction; `outbound` says that it leaves there, else that it came in. */
export function pcapngPacket(
  port: number,
  seconds: number,
  frame: Uint8Array,
  comment: string,
  outbound: boolean,
  originalLength = frame.length,
): Uint8Array {
  const body = new Uint8Array(20 + padded(frame.length));
  const view = new DataView(body.buffer);
  view.setUint32(0, port, true);
  emitTime(view, 4, seconds);
  view.setUint32(12, frame.length, true);
  view.setUint32(16, originalLength, true);
  body.set(frame, 20);
  // epb_flags: bits 0 and 1 are the direction.
  const flags = Uint8Array.of(outbound ? 2 : 1, 0, 0, 0);
  return block(PCAPNG_BLOCK.packet, body, [textOption(OPTION.comment, comment), { code: OPTION.flags, value: flags }]);
}

/** What an interface's capture lost until then. */
export function pcapngStatistics(port: number, seconds: number, dropped: number, comment: string): Uint8Array {
  const body = new Uint8Array(12);
  const view = new DataView(body.buffer);
  view.setUint32(0, port, true);
  emitTime(view, 4, seconds);
  const count = new Uint8Array(8);
  new DataView(count.buffer).setUint32(0, dropped % TWO_32, true);
  new DataView(count.buffer).setUint32(4, Math.floor(dropped / TWO_32), true);
  return block(PCAPNG_BLOCK.statistics, body, [
    textOption(OPTION.comment, comment),
    { code: OPTION.packetsDropped, value: count },
  ]);
}

/** Type and total length of the block at `offset`; the length is 0 when it can be no block. */
export function readPcapngBlock(view: DataView, offset: number): { type: number; length: number } {
  const type = view.getUint32(offset, true);
  const length = view.getUint32(offset + 4, true);
  return { type, length: length < 12 || length % 4 !== 0 ? 0 : length };
}

/** Microseconds, the resolution that holds where an interface says none. */
function emitTime(view: DataView, offset: number, seconds: number): void {
  const microseconds = Math.round(seconds * 1e6);
  view.setUint32(offset, Math.floor(microseconds / TWO_32), true);
  view.setUint32(offset + 4, microseconds % TWO_32, true);
}

function textOption(code: number, text: string): Option {
  return { code, value: new TextEncoder().encode(text.slice(0, TEXT_LIMIT)) };
}

function block(type: number, body: Uint8Array, options: readonly Option[]): Uint8Array {
  const optionsLength = options.reduce((sum, { value }) => sum + 4 + padded(value.length), 4);
  const length = 12 + body.length + optionsLength;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(body, 8);
  let at = 8 + body.length;
  for (const { code, value } of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(length - 4, length, true);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
