/**
 * The hosts of a group: bounded, with a digest that says whether two members have the same table. The digest is a sum
 * over the entries, kept for each of 128 buckets of MAC addresses, so that two members that differ find out where.
 */
import type { AddressWords } from '../../wire/address.js';
import { BUCKETS, FAMILY_LIMIT, type HostRecord } from '../../wire/gateway-hosts.js';
import { isIpv4 } from '../../wire/address.js';
import type { Mac } from '../mac.js';

/** More than this no member keeps, whatever the others have. */
export const HOSTS_MAX = 65_536;
const TWO32 = 2 ** 32;
/** A host's place in the order of last use is not changed more often than this, in seconds. */
const TOUCH = 1;

export interface HostEntry {
  readonly mac: Mac;
  addresses: readonly AddressWords[];
  forwarder: number;
  /** The gateway it goes back to; 0: none. */
  home: number;
  /** It asked more than once. */
  confirmed: boolean;
  /** When it got this forwarder. */
  since: number;
  seen: number;
  /** When the other members were last told about it. */
  published: number;
  /** The forwarder it had before, while it has not asked since it was told; 0: none. Not the same at all members. */
  previous: number;
  /** Until when rebalancing leaves it alone, and how long it will do so next time. */
  restUntil: number;
  rest: number;
}

function mix(word: number, factor: number): number {
  let h = Math.imul(word ^ (word >>> 16), factor);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** 32 bits made from a MAC address. */
export function hashOfMac(mac: Mac, seed: number): number {
  const high = Math.floor(mac / TWO32);
  return mix(mix((mac | 0) ^ seed, 0x9e3779b1) ^ high, 0x85ebca6b) >>> 0;
}

export function bucketOf(mac: Mac): number {
  return hashOfMac(mac, 0x27d4eb2f) & (BUCKETS - 1);
}

/** One of the two words that an entry adds to the digest. The order of its addresses does not matter. */
function wordOf(
  entry: Pick<HostRecord, 'mac' | 'forwarder' | 'home' | 'confirmed' | 'addresses'>,
  seed: number,
): number {
  let addresses = 0;
  for (const a of entry.addresses) {
    let h = seed;
    for (const word of a) h = mix(h ^ word, 0x165667b1);
    addresses = (addresses + h) | 0;
  }
  const state = (entry.forwarder << 9) | (entry.home << 1) | (entry.confirmed ? 1 : 0);
  return mix(mix(hashOfMac(entry.mac, seed) ^ state, 0x2545f491) ^ addresses, 0x6c078965) >>> 0;
}

export class HostTable {
  /** By bucket, so that what differs between two members is found without looking at the rest. */
  readonly #buckets = Array.from({ length: BUCKETS }, () => new Map<Mac, HostEntry>());
  #size = 0;
  /** Hosts that asked once, the oldest first, and the others, the one that asked longest ago first. */
  readonly #once = new Set<Mac>();
  readonly #often = new Set<Mac>();
  readonly #counts = new Int32Array(256);
  /** Two words for each bucket, and the sums over all. */
  readonly digests = new Uint32Array(BUCKETS * 2);
  #digest0 = 0;
  #digest1 = 0;

  get size(): number {
    return this.#size;
  }

  get digest(): readonly [number, number] {
    return [this.#digest0, this.#digest1];
  }

  get(mac: Mac): HostEntry | undefined {
    return this.#buckets[bucketOf(mac)].get(mac);
  }

  *values(): Generator<HostEntry> {
    for (const bucket of this.#buckets) yield* bucket.values();
  }

  /** The hosts of a bucket. */
  bucket(index: number): IterableIterator<HostEntry> {
    return this.#buckets[index].values();
  }

  /** Hosts that have the forwarder. */
  countOf(forwarder: number): number {
    return this.#counts[forwarder];
  }

  /** Enters a host or changes it; `since` changes with the forwarder only. Null when the table has no room at all. */
  put(record: HostRecord, now: number, since = now): HostEntry | null {
    const bucket = this.#buckets[bucketOf(record.mac)];
    let entry = bucket.get(record.mac);
    if (entry === undefined) {
      if (this.#size >= HOSTS_MAX) return null;
      entry = {
        mac: record.mac,
        addresses: record.addresses,
        forwarder: record.forwarder,
        home: record.home,
        confirmed: record.confirmed,
        since,
        seen: now,
        published: now,
        previous: 0,
        restUntil: 0,
        rest: 0,
      };
      bucket.set(record.mac, entry);
      this.#size++;
      (record.confirmed ? this.#often : this.#once).add(record.mac);
    } else {
      this.#count(entry, -1);
      if (entry.forwarder !== record.forwarder) {
        entry.forwarder = record.forwarder;
        entry.since = since;
      }
      entry.addresses = record.addresses;
      entry.home = record.home;
      entry.published = now;
      if (entry.confirmed !== record.confirmed) {
        entry.confirmed = record.confirmed;
        this.#once.delete(entry.mac);
        this.#often.delete(entry.mac);
        (record.confirmed ? this.#often : this.#once).add(entry.mac);
      }
    }
    this.#count(entry, 1);
    return entry;
  }

  remove(mac: Mac): boolean {
    const bucket = this.#buckets[bucketOf(mac)];
    const entry = bucket.get(mac);
    if (entry === undefined) return false;
    this.#count(entry, -1);
    this.#once.delete(mac);
    this.#often.delete(mac);
    this.#size--;
    return bucket.delete(mac);
  }

  /** A sign of the host. */
  touch(entry: HostEntry, now: number): void {
    if (entry.confirmed && now - entry.seen >= TOUCH) {
      this.#often.delete(entry.mac);
      this.#often.add(entry.mac);
    }
    entry.seen = now;
  }

  /** The host that asked once longest ago, or of the others the one that asked longest ago. */
  oldest(confirmed: boolean): HostEntry | undefined {
    for (const mac of confirmed ? this.#often : this.#once) return this.get(mac);
    return undefined;
  }

  /** The digest as it is when it is computed anew. */
  recomputed(): readonly [number, number] {
    let digest0 = 0;
    let digest1 = 0;
    for (const entry of this.values()) {
      digest0 = (digest0 + wordOf(entry, 1)) >>> 0;
      digest1 = (digest1 + wordOf(entry, 2)) >>> 0;
    }
    return [digest0, digest1];
  }

  #count(entry: HostEntry, sign: 1 | -1): void {
    const bucket = bucketOf(entry.mac) * 2;
    const word0 = sign * wordOf(entry, 1);
    const word1 = sign * wordOf(entry, 2);
    this.digests[bucket] += word0;
    this.digests[bucket + 1] += word1;
    this.#digest0 = (this.#digest0 + word0) >>> 0;
    this.#digest1 = (this.#digest1 + word1) >>> 0;
    this.#counts[entry.forwarder] += sign;
  }
}

/** The addresses with one more, the one used last at the end; of a family, the last four. Null: it was there. */
export function withAddress(addresses: readonly AddressWords[], added: AddressWords): readonly AddressWords[] | null {
  const same = (a: AddressWords): boolean =>
    a[0] === added[0] && a[1] === added[1] && a[2] === added[2] && a[3] === added[3];
  if (addresses.some(same)) return null;
  const family = (a: AddressWords): boolean => isIpv4(a[0], a[1], a[2]);
  const peers = addresses.filter((a) => family(a) === family(added));
  const dropped = peers.length >= FAMILY_LIMIT ? peers[0] : null;
  return [...addresses.filter((a) => a !== dropped), added];
}

/** What the other members are told of an entry. */
export function recordOf(entry: HostEntry, now: number): HostRecord {
  const { mac, forwarder, home, confirmed, addresses, since } = entry;
  return { mac, forwarder, home, confirmed, gone: false, addresses, age: Math.max(0, now - since) };
}
