/** Cuts frames into IP fragments as a host would, and puts fragments together again. Written from the RFCs alone. */
import { checksum } from '../../src/wire/checksum.js';

const L3 = 14;
const FRAGMENT_HEADER = 44;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const isV6 = (frame: Uint8Array): boolean => viewOf(frame).getUint16(12) === 0x86dd;
const headerOf = (frame: Uint8Array): number => (isV6(frame) ? 40 : (frame[L3] & 0x0f) * 4);

function setIpv4Checksum(frame: Uint8Array): void {
  const view = viewOf(frame);
  view.setUint16(L3 + 10, 0);
  view.setUint16(L3 + 10, checksum(view, L3, L3 + headerOf(frame)));
}

/** Bytes [start, end) of the datagram's payload as a fragment. The frame has no VLAN tag and no extension headers. */
export function fragmentOf(frame: Uint8Array, start: number, end: number, id: number, more?: boolean): Uint8Array {
  const header = headerOf(frame);
  const payload = frame.subarray(L3 + header);
  const goesOn = more ?? end < payload.length;
  const v6 = isV6(frame);
  const out = new Uint8Array(L3 + header + (v6 ? 8 : 0) + end - start);
  const view = viewOf(out);
  out.set(frame.subarray(0, L3 + header));
  out.set(payload.subarray(start, end), out.length - (end - start));
  if (v6) {
    view.setUint16(L3 + 4, 8 + end - start);
    out[L3 + 40] = frame[L3 + 6];
    out[L3 + 6] = FRAGMENT_HEADER;
    view.setUint16(L3 + 42, start | (goesOn ? 1 : 0));
    view.setUint32(L3 + 44, id);
  } else {
    view.setUint16(L3 + 2, header + end - start);
    view.setUint16(L3 + 4, id);
    view.setUint16(L3 + 6, (start >> 3) | (goesOn ? 0x2000 : 0));
    setIpv4Checksum(out);
  }
  return out;
}

/** The whole datagram in pieces of `size` bytes of payload, a multiple of 8, but the last. */
export function fragments(frame: Uint8Array, size: number, id: number): Uint8Array[] {
  const length = frame.length - L3 - headerOf(frame);
  const out: Uint8Array[] = [];
  for (let at = 0; at < length; at += size) out.push(fragmentOf(frame, at, Math.min(length, at + size), id));
  return out;
}

export interface Piece {
  readonly start: number;
  readonly more: boolean;
  readonly id: number;
  readonly data: Uint8Array;
}

export function pieceOf(frame: Uint8Array): Piece {
  const view = viewOf(frame);
  if (isV6(frame)) {
    const word = view.getUint16(L3 + 42);
    const end = L3 + 40 + view.getUint16(L3 + 4);
    return {
      start: word & 0xfff8,
      more: (word & 1) !== 0,
      id: view.getUint32(L3 + 44),
      data: frame.slice(L3 + 48, end),
    };
  }
  const word = view.getUint16(L3 + 6);
  return {
    start: (word & 0x1fff) << 3,
    more: (word & 0x2000) !== 0,
    id: view.getUint16(L3 + 4),
    data: frame.slice(L3 + headerOf(frame), L3 + view.getUint16(L3 + 2)),
  };
}

/** The frame that the fragments were of, with the first one's headers. Throws when they do not make one datagram. */
export function reassemble(frames: readonly Uint8Array[]): Uint8Array {
  const sorted = [...frames].sort((a, b) => pieceOf(a).start - pieceOf(b).start);
  const pieces = sorted.map(pieceOf);
  let at = 0;
  for (const { start, id, data, more } of pieces) {
    if (start !== at || id !== pieces[0].id) throw new Error(`fragment at ${start}, id ${id}: ${at} was next`);
    at += data.length;
    if (more !== (data !== pieces[pieces.length - 1].data)) throw new Error('a wrong "more fragments"');
  }
  const first = sorted[0];
  const header = headerOf(first);
  const out = new Uint8Array(L3 + header + at);
  out.set(first.subarray(0, L3 + header));
  let to = L3 + header;
  for (const { data } of pieces) {
    out.set(data, to);
    to += data.length;
  }
  const view = viewOf(out);
  if (isV6(first)) {
    out[L3 + 6] = first[L3 + 40];
    view.setUint16(L3 + 4, at);
  } else {
    view.setUint16(L3 + 2, header + at);
    view.setUint16(L3 + 6, 0);
    setIpv4Checksum(out);
  }
  return out;
}
