/**
 * The body of a gateway's advert: what it is, whom it heard, and, from the master, who serves which virtual MAC.
 *
 * ```
 *  0  state              10  settings digest (32)      38  kbit/s, packets/s (32 each)
 *  1  flags: 1 able      14  term, version (32 each)   46  MAC of the port
 *  2  priority           22  digest (64)               52  own address (16), :: for none
 *  3  whom it follows    30  count (32)                68  0 (32)
 *  4  interval, ms (16)  34  0 (32)                    72  heard, forwarders (8 each), lengths of recent (16), reasons (8)
 *  6  weight (16)                                      77  0
 *  8  load, 1/65535                                    78  heard, 15 bytes each; forwarders, 6 each; recent; reasons
 * heard: number, milliseconds ago (16, 65535: long), incarnation (48), sequence (48)
 * forwarder: number, server (0: nobody), flags (1: given out; 2: failed for good), 0, seconds since its owner went (16)
 * ```
 */
import type { AddressWords } from './address.js';
import { GATEWAY_BODY_LIMIT, readWide48, writeWide48 } from './gateway-message.js';

export const ADVERT_STATES = ['listen', 'backup', 'master', 'resigned', 'stopped'] as const;
export type AdvertState = (typeof ADVERT_STATES)[number];

/** What the sender last heard of a member. */
export interface HeardEntry {
  readonly number: number;
  /** Seconds ago, at most 65.535. */
  readonly age: number;
  readonly incarnation: number;
  readonly sequence: number;
}

export interface ForwarderEntry {
  readonly number: number;
  /** 0: nobody serves it. */
  readonly server: number;
  readonly givenOut: boolean;
  readonly permanent: boolean;
  /** Seconds since its owner was there last, at most 65,535; 0: it is there. */
  readonly away: number;
}

export interface Advert {
  readonly state: AdvertState;
  readonly able: boolean;
  readonly priority: number;
  /** Whom it takes for master; of one that leaves the office: its heir. 0: nobody. */
  readonly master: number;
  /** Seconds between its adverts. */
  readonly interval: number;
  readonly weight: number;
  /** 0…1. */
  readonly load: number;
  readonly bitsPerSecond: number;
  readonly packetsPerSecond: number;
  /** Of what all members must have alike. */
  readonly settings: number;
  readonly position: {
    readonly term: number;
    readonly version: number;
    readonly digest: readonly [number, number];
    readonly count: number;
  };
  /** MAC of its port, a number of 48 bits. */
  readonly mac: number;
  readonly address: AddressWords | null;
  readonly heard: readonly HeardEntry[];
  readonly forwarders: readonly ForwarderEntry[];
  /** Recent changes of the host table, opaque here. */
  readonly recent: Uint8Array;
  /** Why it is not able or of low priority, for people. */
  readonly reasons: readonly string[];
}

const FIXED = 78;
const HEARD = 15;
const FORWARDER = 6;
const REASONS_LIMIT = 120;
const WORD = 0xffffffff;
/** Room for both lists together; a group with more to say goes round. */
const LISTS_LIMIT = 300;

/** How many entries of `heard` and `forwarders` fit beside the rest; the sender goes round when there are more. */
export function advertRoom(recent: number): { heard: number; forwarders: number } {
  const left = GATEWAY_BODY_LIMIT - FIXED - REASONS_LIMIT - recent;
  const forwarders = Math.max(1, Math.min(LISTS_LIMIT, Math.floor((left * 0.3) / FORWARDER)));
  return { forwarders, heard: Math.max(1, Math.floor((left - forwarders * FORWARDER) / HEARD)) };
}

const clamp = (value: number, max: number): number => Math.max(0, Math.min(max, Math.round(value) || 0));

/** The body. The lists must fit, see `advertRoom`. */
export function emitAdvertBody(advert: Advert): Uint8Array {
  const reasons = new TextEncoder().encode(advert.reasons.join('\n')).subarray(0, REASONS_LIMIT);
  const { heard, forwarders, recent } = advert;
  const bytes = new Uint8Array(
    FIXED + heard.length * HEARD + forwarders.length * FORWARDER + recent.length + reasons.length,
  );
  const view = new DataView(bytes.buffer);
  view.setUint8(0, ADVERT_STATES.indexOf(advert.state));
  view.setUint8(1, advert.able ? 1 : 0);
  view.setUint8(2, advert.priority);
  view.setUint8(3, advert.master);
  view.setUint16(4, clamp(advert.interval * 1000, 0xffff));
  view.setUint16(6, clamp(advert.weight, 0xffff));
  view.setUint16(8, clamp(advert.load * 0xffff, 0xffff));
  view.setUint32(10, advert.settings);
  view.setUint32(14, advert.position.term);
  view.setUint32(18, advert.position.version);
  view.setUint32(22, advert.position.digest[0]);
  view.setUint32(26, advert.position.digest[1]);
  view.setUint32(30, advert.position.count);
  view.setUint32(38, clamp(advert.bitsPerSecond / 1000, WORD));
  view.setUint32(42, clamp(advert.packetsPerSecond, WORD));
  writeWide48(view, 46, advert.mac);
  for (let i = 0; i < 4; i++) view.setUint32(52 + i * 4, advert.address === null ? 0 : advert.address[i]);
  view.setUint8(72, heard.length);
  view.setUint8(73, forwarders.length);
  view.setUint16(74, recent.length);
  view.setUint8(76, reasons.length);
  let at = FIXED;
  for (const entry of heard) {
    view.setUint8(at, entry.number);
    // Rounded up, but for what arithmetic adds: nobody may be taken for heard later than it was.
    view.setUint16(at + 1, Math.min(0xffff, Math.max(0, Math.ceil(entry.age * 1000 - 1e-6))));
    writeWide48(view, at + 3, entry.incarnation);
    writeWide48(view, at + 9, entry.sequence);
    at += HEARD;
  }
  for (const entry of forwarders) {
    view.setUint8(at, entry.number);
    view.setUint8(at + 1, entry.server);
    view.setUint8(at + 2, (entry.givenOut ? 1 : 0) | (entry.permanent ? 2 : 0));
    view.setUint16(at + 4, clamp(entry.away, 0xffff));
    at += FORWARDER;
  }
  bytes.set(recent, at);
  bytes.set(reasons, at + recent.length);
  return bytes;
}

/** Null: no advert. */
export function readAdvertBody(body: Uint8Array): Advert | null {
  if (body.length < FIXED) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const heardCount = view.getUint8(72);
  const forwarderCount = view.getUint8(73);
  const recentLength = view.getUint16(74);
  const reasonsLength = view.getUint8(76);
  const recentAt = FIXED + heardCount * HEARD + forwarderCount * FORWARDER;
  const state = ADVERT_STATES[view.getUint8(0)];
  const interval = view.getUint16(4) / 1000;
  if (body.length !== recentAt + recentLength + reasonsLength || state === undefined || interval < 0.01) return null;
  const heard: HeardEntry[] = [];
  let at = FIXED;
  for (let i = 0; i < heardCount; i++, at += HEARD) {
    heard.push({
      number: view.getUint8(at),
      age: view.getUint16(at + 1) / 1000,
      incarnation: readWide48(view, at + 3),
      sequence: readWide48(view, at + 9),
    });
  }
  const forwarders: ForwarderEntry[] = [];
  for (let i = 0; i < forwarderCount; i++, at += FORWARDER) {
    const number = view.getUint8(at);
    const flags = view.getUint8(at + 2);
    if (number === 0) return null;
    forwarders.push({
      number,
      server: view.getUint8(at + 1),
      givenOut: (flags & 1) !== 0,
      permanent: (flags & 2) !== 0,
      away: view.getUint16(at + 4),
    });
  }
  const words = [52, 56, 60, 64].map((offset) => view.getUint32(offset));
  return {
    state,
    able: (view.getUint8(1) & 1) !== 0,
    priority: view.getUint8(2),
    master: view.getUint8(3),
    interval,
    weight: view.getUint16(6),
    load: view.getUint16(8) / 0xffff,
    settings: view.getUint32(10),
    position: {
      term: view.getUint32(14),
      version: view.getUint32(18),
      digest: [view.getUint32(22), view.getUint32(26)],
      count: view.getUint32(30),
    },
    bitsPerSecond: view.getUint32(38) * 1000,
    packetsPerSecond: view.getUint32(42),
    mac: readWide48(view, 46),
    address: words.every((word) => word === 0) ? null : [words[0], words[1], words[2], words[3]],
    heard,
    forwarders,
    recent: body.slice(recentAt, recentAt + recentLength),
    reasons: readReasons(body.subarray(recentAt + recentLength)),
  };
}

/** What is no UTF-8 becomes U+FFFD; control characters are for terminals, not for tables. */
function readReasons(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return [];
  const text = new TextDecoder().decode(bytes);
  return text.split('\n').map((line) => line.replace(/[\p{Cc}\p{Cf}]/gu, '?'));
}
