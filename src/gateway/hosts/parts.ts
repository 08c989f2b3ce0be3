/** The answer to a table request: the buckets that differ, in bodies of bounded length; and offers of hosts to a master. */
import {
  BUCKETS,
  encodeOffer,
  encodePart,
  encodeRecord,
  type HostRecord,
  OFFER_HEADER,
  PART_HEADER,
  type Position,
} from '../../wire/gateway-hosts.js';
import { type HostTable, recordOf } from './host-table.js';

/** Parts of one answer; who lacks more asks again. */
const PARTS_LIMIT = 32;
const MAC_MAX = 0xffffffffffff;

export interface Answer {
  readonly position: Position;
  /** What the asker has: two words for each bucket. */
  readonly digests: Uint32Array;
  readonly bodyLimit: number;
  readonly now: number;
}

/** At least one body, so that the asker learns the position when nothing differs. */
export function answerOf(table: HostTable, answer: Answer): Uint8Array[] {
  const { digests, now } = answer;
  const own = table.digests;
  const writer = new PartWriter(answer);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    if (own[bucket * 2] === digests[bucket * 2] && own[bucket * 2 + 1] === digests[bucket * 2 + 1]) continue;
    if (writer.full) break;
    const records = Array.from(table.bucket(bucket), (entry) => {
      return { mac: entry.mac, bytes: encodeRecord(recordOf(entry, now), true) };
    });
    writer.bucket(
      bucket,
      records.sort((a, b) => a.mac - b.mac),
    );
  }
  return writer.end();
}

interface Encoded {
  readonly mac: number;
  readonly bytes: Uint8Array;
}

interface Part {
  readonly buckets: Uint8Array;
  readonly first: number;
  readonly final: number;
  readonly records: Uint8Array[];
}

class PartWriter {
  readonly #answer: Answer;
  readonly #parts: Part[] = [];
  #buckets = new Uint8Array(BUCKETS / 8);
  #records: Uint8Array[] = [];
  #room: number;
  #begun = false;
  #more = false;

  constructor(answer: Answer) {
    this.#answer = answer;
    this.#room = answer.bodyLimit - PART_HEADER;
  }

  get full(): boolean {
    if (this.#parts.length >= PARTS_LIMIT) this.#more = true;
    return this.#more;
  }

  bucket(bucket: number, records: readonly Encoded[]): void {
    const length = records.reduce((sum, record) => sum + record.bytes.length, 0);
    const whole = this.#answer.bodyLimit - PART_HEADER;
    if (length > this.#room) this.#close(0, MAC_MAX);
    if (length <= whole) {
      this.#open(bucket);
      for (const { bytes } of records) this.#records.push(bytes);
      this.#room -= length;
      return;
    }
    // A bucket that does not fit one body is told in ranges that leave no address out.
    let first = 0;
    for (let at = 0; at < records.length && !this.full; ) {
      this.#open(bucket);
      while (at < records.length && records[at].bytes.length <= this.#room) {
        this.#records.push(records[at].bytes);
        this.#room -= records[at++].bytes.length;
      }
      const final = at < records.length ? records[at].mac - 1 : MAC_MAX;
      this.#close(first, final);
      first = final + 1;
    }
  }

  end(): Uint8Array[] {
    if (this.#begun || this.#parts.length === 0) this.#close(0, MAC_MAX, true);
    const { position } = this.#answer;
    return this.#parts.map(({ records, ...part }, i) =>
      encodePart({ ...part, position, last: i === this.#parts.length - 1, more: this.#more }, records),
    );
  }

  #open(bucket: number): void {
    this.#begun = true;
    this.#buckets[bucket >> 3] |= 1 << (bucket & 7);
  }

  #close(first: number, final: number, evenEmpty = false): void {
    if (this.#begun || evenEmpty) this.#parts.push({ buckets: this.#buckets, first, final, records: this.#records });
    this.#buckets = new Uint8Array(BUCKETS / 8);
    this.#records = [];
    this.#room = this.#answer.bodyLimit - PART_HEADER;
    this.#begun = false;
  }
}

export function offersOf(records: readonly HostRecord[], bodyLimit: number): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  let offered: Uint8Array[] = [];
  let room = bodyLimit - OFFER_HEADER;
  for (const record of records) {
    const bytes = encodeRecord(record, true);
    if (bytes.length > room) {
      bodies.push(encodeOffer(offered));
      offered = [];
      room = bodyLimit - OFFER_HEADER;
    }
    offered.push(bytes);
    room -= bytes.length;
  }
  if (offered.length > 0) bodies.push(encodeOffer(offered));
  return bodies;
}
