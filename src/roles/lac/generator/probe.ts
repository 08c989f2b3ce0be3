/**
 * The packets that sessions send, with what is needed to know them again: IPv4 with ICMP echo or UDP, then
 *
 *   | magic (32) | stream (32) | call (32) | number (32) | time of sending (64, a double, ms) | zeros …
 */
import { PPP_PROTOCOL } from '../../../wire/ppp.js';

const MAGIC = 0x74644c47;
const IP_AT = 4;
const L4_AT = IP_AT + 20;
const PROBE_AT = L4_AT + 8;
const PROBE_LENGTH = 24;
const ICMP = 1;
const UDP = 17;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const TTL = 64;
/** Both ends of the UDP packets. */
const UDP_PORT = 19_000;

function sumOf(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 2) sum += view.getUint16(at);
  return sum;
}

function checksum(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** Writes packets of one length into one frame (FF 03 0021 …) over and over. */
export class ProbeWriter {
  readonly frame: Uint8Array;
  readonly #view: DataView;
  readonly #headerSum: number;

  constructor(
    readonly kind: 'ping' | 'pairs',
    readonly length: number,
    stream: number,
  ) {
    this.frame = new Uint8Array(IP_AT + length);
    const view = new DataView(this.frame.buffer);
    this.#view = view;
    view.setUint16(0, 0xff03);
    view.setUint16(2, PPP_PROTOCOL.ipv4);
    view.setUint16(IP_AT, 0x4500);
    view.setUint16(IP_AT + 2, length);
    view.setUint16(IP_AT + 6, 0x4000);
    view.setUint8(IP_AT + 8, TTL);
    view.setUint8(IP_AT + 9, kind === 'ping' ? ICMP : UDP);
    if (kind === 'ping') view.setUint8(L4_AT, ECHO_REQUEST);
    else {
      view.setUint16(L4_AT, UDP_PORT);
      view.setUint16(L4_AT + 2, UDP_PORT);
      view.setUint16(L4_AT + 4, length - 20);
    }
    view.setUint32(PROBE_AT, MAGIC);
    view.setUint32(PROBE_AT + 4, stream);
    this.#headerSum = sumOf(view, IP_AT, IP_AT + 10);
  }

  /** The frame is overwritten with the next one. Addresses are 4 bytes; `time` in ms. */
  write(source: Uint8Array, destination: Uint8Array, call: number, number: number, time: number): Uint8Array {
    const view = this.#view;
    this.frame.set(source, IP_AT + 12);
    this.frame.set(destination, IP_AT + 16);
    view.setUint16(IP_AT + 10, checksum(this.#headerSum + sumOf(view, IP_AT + 12, IP_AT + 20)));
    view.setUint32(PROBE_AT + 8, call);
    view.setUint32(PROBE_AT + 12, number);
    view.setFloat64(PROBE_AT + 16, time);
    if (this.kind === 'ping') {
      view.setUint16(L4_AT + 2, 0);
      view.setUint16(L4_AT + 4, call & 0xffff);
      view.setUint16(L4_AT + 6, number & 0xffff);
      // What follows the probe is zero and adds nothing.
      view.setUint16(L4_AT + 2, checksum(sumOf(view, L4_AT, PROBE_AT + PROBE_LENGTH)));
    }
    return this.frame;
  }
}

/** What was read from a packet; overwritten by every reading. */
export interface ProbeSeen {
  stream: number;
  call: number;
  number: number;
  /** When it was sent, ms. */
  time: number;
}

/** Reads an IPv4 packet that begins at `at`. False when it is none of ours, or an echo request that has come back. */
export function readProbe(frame: Uint8Array, at: number, out: ProbeSeen): boolean {
  if (frame.length - at < PROBE_AT - IP_AT + PROBE_LENGTH) return false;
  const view = new DataView(frame.buffer, frame.byteOffset + at, frame.length - at);
  const l4 = (view.getUint8(0) & 0x0f) << 2;
  const probe = l4 + 8;
  if (view.getUint8(0) >> 4 !== 4 || view.byteLength < probe + PROBE_LENGTH) return false;
  const protocol = view.getUint8(9);
  if (protocol === ICMP ? view.getUint8(l4) !== ECHO_REPLY : protocol !== UDP) return false;
  if (view.getUint32(probe) !== MAGIC) return false;
  out.stream = view.getUint32(probe + 4);
  out.call = view.getUint32(probe + 8);
  out.number = view.getUint32(probe + 12);
  out.time = view.getFloat64(probe + 16);
  return true;
}
