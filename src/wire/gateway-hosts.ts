/**
 * What the members of a gateway group tell each other about hosts, inside their sealed messages. Network byte order.
 *
 *   changes   kind 1, records 2, base position 20, records: each is one version after the one before, the first is
 *             version base + 1. The base says what the table was like before, so that a reader knows whether it fits.
 *   request   kind 2, position 20, 128 digests of 8: what the asker's table has in each bucket
 *   part      kind 3, flags 1 (1 last of the answer, 2 more buckets differ), position 20, buckets 16 (a bit each),
 *             first MAC 6, last MAC 6, records 2, records with age: all that the sender has in these buckets and range
 *   offer     kind 4, records 2, records with age: hosts that the sender takes to be news
 *
 *   position  term 4, version 4, digest 8, count 4
 *   record    MAC 6, forwarder 1, flags 1 (1 confirmed, 2 gone, 4 home follows), IPv4 and IPv6 addresses (4 bits each) 1,
 *             [home 1], [age in ms 4], addresses 4 and 16 each
 */
import type { AddressWords } from './address.js';
import { IPV4_MAPPED, isIpv4 } from './address.js';

export const BUCKETS = 128;
/** Addresses of one family that a record holds at most. */
export const FAMILY_LIMIT = 4;
/** Longest record: 4 IPv4 and 4 IPv6 addresses, home and age. */
export const RECORD_LIMIT = 6 + 3 + 1 + 4 + FAMILY_LIMIT * (4 + 16);

const KIND_CHANGES = 1;
const KIND_REQUEST = 2;
const KIND_PART = 3;
const KIND_OFFER = 4;
const POSITION_LENGTH = 20;
export const CHANGES_HEADER = 3 + POSITION_LENGTH;
export const PART_HEADER = 2 + POSITION_LENGTH + BUCKETS / 8 + 12 + 2;
export const OFFER_HEADER = 3;
const REQUEST_LENGTH = 1 + POSITION_LENGTH + BUCKETS * 8;
const FLAG_CONFIRMED = 1;
const FLAG_GONE = 2;
const FLAG_HOME = 4;
const PART_LAST = 1;
const PART_MORE = 2;
const AGE_LIMIT = 0xffffffff;

/** Where a table stands. Equal digests and counts: equal tables. */
export interface Position {
  /** Who numbers the changes: counter · 256 + number of the master; rises with every taking of office. Below 2³². */
  readonly term: number;
  /** Changes made in this term, below 2³². */
  readonly version: number;
  /** Two 32-bit words (≥ 0), sums over all entries. */
  readonly digest: readonly [number, number];
  readonly count: number;
}

export interface HostRecord {
  /** 48 bits. */
  readonly mac: number;
  /** 1 … 255; 0 when gone. */
  readonly forwarder: number;
  /** 0: none. */
  readonly home: number;
  readonly confirmed: boolean;
  /** The host is forgotten. */
  readonly gone: boolean;
  readonly addresses: readonly AddressWords[];
  /** Seconds since it has this forwarder; 0 in a change. */
  readonly age: number;
}

export type HostsBody =
  | { readonly kind: 'changes'; readonly base: Position; readonly records: readonly HostRecord[] }
  | { readonly kind: 'request'; readonly position: Position; readonly digests: Uint32Array }
  | {
      readonly kind: 'part';
      readonly last: boolean;
      readonly more: boolean;
      readonly position: Position;
      /** A bit for each bucket, lowest first in each byte. */
      readonly buckets: Uint8Array;
      readonly first: number;
      readonly final: number;
      readonly records: readonly HostRecord[];
    }
  | { readonly kind: 'offer'; readonly records: readonly HostRecord[] };

/** Is the bucket's bit set? */
export function covers(buckets: Uint8Array, bucket: number): boolean {
  return ((buckets[bucket >> 3] >> (bucket & 7)) & 1) === 1;
}

/** A record as bytes; with its age or, in changes, without. Of more addresses than fit, the first four of a family. */
export function encodeRecord(record: HostRecord, withAge: boolean): Uint8Array {
  const v4 = record.addresses.filter((a) => isIpv4(a[0], a[1], a[2])).slice(0, FAMILY_LIMIT);
  const v6 = record.addresses.filter((a) => !isIpv4(a[0], a[1], a[2])).slice(0, FAMILY_LIMIT);
  const home = record.home === 0 ? 0 : 1;
  const out = Buffer.alloc(9 + home + (withAge ? 4 : 0) + v4.length * 4 + v6.length * 16);
  let at = out.writeUIntBE(record.mac, 0, 6);
  at = out.writeUInt8(record.forwarder, at);
  const flags = (record.confirmed ? FLAG_CONFIRMED : 0) | (record.gone ? FLAG_GONE : 0) | (home ? FLAG_HOME : 0);
  at = out.writeUInt8(flags, at);
  at = out.writeUInt8((v4.length << 4) | v6.length, at);
  if (home) at = out.writeUInt8(record.home, at);
  if (withAge) at = out.writeUInt32BE(Math.max(0, Math.min(AGE_LIMIT, Math.round(record.age * 1000))), at);
  for (const a of v4) at = out.writeUInt32BE(a[3] >>> 0, at);
  for (const a of v6) for (const word of a) at = out.writeUInt32BE(word >>> 0, at);
  return out;
}

function writePosition(out: Buffer, position: Position, at: number): number {
  let to = out.writeUInt32BE(position.term, at);
  to = out.writeUInt32BE(position.version, to);
  to = out.writeUInt32BE(position.digest[0], to);
  to = out.writeUInt32BE(position.digest[1], to);
  return out.writeUInt32BE(position.count, to);
}

function withRecords(header: Buffer, records: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([header, ...records]);
}

/** `records`: encoded without age. */
export function encodeChanges(base: Position, records: readonly Uint8Array[]): Uint8Array {
  const header = Buffer.alloc(CHANGES_HEADER);
  header.writeUInt8(KIND_CHANGES, 0);
  header.writeUInt16BE(records.length, 1);
  writePosition(header, base, 3);
  return withRecords(header, records);
}

/** `digests`: two words for each bucket. */
export function encodeRequest(position: Position, digests: Uint32Array): Uint8Array {
  const out = Buffer.alloc(REQUEST_LENGTH);
  out.writeUInt8(KIND_REQUEST, 0);
  let at = writePosition(out, position, 1);
  for (const word of digests) at = out.writeUInt32BE(word, at);
  return out;
}

/** `records`: encoded with age. */
export function encodePart(
  part: { last: boolean; more: boolean; position: Position; buckets: Uint8Array; first: number; final: number },
  records: readonly Uint8Array[],
): Uint8Array {
  const header = Buffer.alloc(PART_HEADER);
  header.writeUInt8(KIND_PART, 0);
  header.writeUInt8((part.last ? PART_LAST : 0) | (part.more ? PART_MORE : 0), 1);
  let at = writePosition(header, part.position, 2);
  header.set(part.buckets, at);
  at = header.writeUIntBE(part.first, at + part.buckets.length, 6);
  at = header.writeUIntBE(part.final, at, 6);
  header.writeUInt16BE(records.length, at);
  return withRecords(header, records);
}

/** `records`: encoded with age. */
export function encodeOffer(records: readonly Uint8Array[]): Uint8Array {
  const header = Buffer.alloc(OFFER_HEADER);
  header.writeUInt8(KIND_OFFER, 0);
  header.writeUInt16BE(records.length, 1);
  return withRecords(header, records);
}

function readPosition(view: Buffer, at: number): Position {
  return {
    term: view.readUInt32BE(at),
    version: view.readUInt32BE(at + 4),
    digest: [view.readUInt32BE(at + 8), view.readUInt32BE(at + 12)],
    count: view.readUInt32BE(at + 16),
  };
}

/** Reads records up to the end of the body, which must be where the last one ends. Null: malformed. */
function readRecords(view: Buffer, from: number, count: number, withAge: boolean): HostRecord[] | null {
  const records: HostRecord[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at + 9 > view.length) return null;
    const mac = view.readUIntBE(at, 6);
    const forwarder = view[at + 6];
    const flags = view[at + 7];
    const v4 = view[at + 8] >> 4;
    const v6 = view[at + 8] & 15;
    const gone = (flags & FLAG_GONE) !== 0;
    // A group address is no station, a host that is there has a forwarder, and one that is gone has none.
    if (mac === 0 || (view[at] & 1) === 1 || gone !== (forwarder === 0)) return null;
    if (v4 > FAMILY_LIMIT || v6 > FAMILY_LIMIT) return null;
    at += 9;
    const hasHome = (flags & FLAG_HOME) !== 0;
    if (at + (hasHome ? 1 : 0) + (withAge ? 4 : 0) + v4 * 4 + v6 * 16 > view.length) return null;
    const home = hasHome ? view[at++] : 0;
    const age = withAge ? view.readUInt32BE(at) / 1000 : 0;
    if (withAge) at += 4;
    const addresses: AddressWords[] = [];
    for (let j = 0; j < v4; j++, at += 4) addresses.push([0, 0, IPV4_MAPPED, view.readUInt32BE(at)]);
    for (let j = 0; j < v6; j++, at += 16) {
      const word = (k: number): number => view.readUInt32BE(at + k * 4);
      addresses.push([word(0), word(1), word(2), word(3)]);
    }
    records.push({ mac, forwarder, home, confirmed: (flags & FLAG_CONFIRMED) !== 0, gone, addresses, age });
  }
  return at === view.length ? records : null;
}

/** Null: malformed. Nothing of what comes back refers to the bytes. */
export function readHostsBody(body: Uint8Array): HostsBody | null {
  const view = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (view.length === 0) return null;
  switch (view[0]) {
    case KIND_CHANGES: {
      if (view.length < CHANGES_HEADER) return null;
      const records = readRecords(view, CHANGES_HEADER, view.readUInt16BE(1), false);
      return records && { kind: 'changes', base: readPosition(view, 3), records };
    }
    case KIND_REQUEST: {
      if (view.length !== REQUEST_LENGTH) return null;
      const digests = Uint32Array.from({ length: BUCKETS * 2 }, (_, i) =>
        view.readUInt32BE(1 + POSITION_LENGTH + i * 4),
      );
      return { kind: 'request', position: readPosition(view, 1), digests };
    }
    case KIND_PART: {
      if (view.length < PART_HEADER) return null;
      const at = 2 + POSITION_LENGTH + BUCKETS / 8;
      const records = readRecords(view, PART_HEADER, view.readUInt16BE(at + 12), true);
      if (records === null) return null;
      return {
        kind: 'part',
        last: (view[1] & PART_LAST) !== 0,
        more: (view[1] & PART_MORE) !== 0,
        position: readPosition(view, 2),
        buckets: Uint8Array.from(view.subarray(2 + POSITION_LENGTH, at)),
        first: view.readUIntBE(at, 6),
        final: view.readUIntBE(at + 6, 6),
        records,
      };
    }
    case KIND_OFFER: {
      if (view.length < OFFER_HEADER) return null;
      const records = readRecords(view, OFFER_HEADER, view.readUInt16BE(1), true);
      return records && { kind: 'offer', records };
    }
    default:
      return null;
  }
}
