/**
 * Accounting records that wait. Start and stop come before interim records; a session's newer interim record replaces
 * the older one, and its stop makes it needless. When the queue is full the oldest interim record goes first.
 */
import type { AccountingRecord } from './types.js';

export interface QueuedRecord {
  record: AccountingRecord;
  /** When it was made: Acct-Delay-Time counts from here. */
  bornAt: number;
  /** Superseded or taken. */
  gone: boolean;
  /** Not before this time. */
  notBefore: number;
}

export class RecordQueue {
  readonly #again: QueuedRecord[] = [];
  readonly #firm = new Line();
  readonly #interim = new Line();
  readonly #latest = new Map<string, QueuedRecord>();
  #later: QueuedRecord[] = [];
  superseded = 0;

  constructor(private readonly limit: number) {}

  get count(): number {
    return this.#again.length + this.#firm.count + this.#interim.count + this.#later.length;
  }

  /** The record that had to make room, or null. It may be the new one. */
  push(record: AccountingRecord, now: number): AccountingRecord | null {
    const { sessionId = '' } = record.session;
    const old = this.#latest.get(sessionId);
    const interim = record.status === 'interim';
    if (old !== undefined && (interim || record.status === 'stop')) {
      this.superseded++;
      if (interim) {
        old.record = record;
        old.bornAt = now;
        return null;
      }
      this.#remove(this.#interim, old);
    }
    const entry: QueuedRecord = { record, bornAt: now, gone: false, notBefore: 0 };
    let lost: AccountingRecord | null = null;
    if (this.count >= this.limit) {
      if (this.#interim.count === 0 && interim) return record;
      const oldest = this.#interim.take() ?? this.#firm.take() ?? this.#again.shift() ?? this.#later.shift() ?? null;
      if (oldest === null) return record;
      this.#forget(oldest);
      lost = oldest.record;
    }
    (interim ? this.#interim : this.#firm).push(entry);
    if (interim) this.#latest.set(sessionId, entry);
    return lost;
  }

  /** The next record to send, or null. */
  take(now: number): QueuedRecord | null {
    if (this.#later.length > 0) {
      const due = this.#later.filter(({ notBefore }) => notBefore <= now);
      if (due.length > 0) {
        this.#later = this.#later.filter(({ notBefore }) => notBefore > now);
        this.#again.push(...due);
      }
    }
    const entry = this.#again.pop() ?? this.#firm.take() ?? this.#interim.take() ?? null;
    if (entry !== null) this.#forget(entry);
    return entry;
  }

  /** A record that was sent in vain: at once again, or not before a time. */
  putBack(entry: QueuedRecord, notBefore: number): void {
    entry.notBefore = notBefore;
    if (notBefore === 0) this.#again.push(entry);
    else this.#later.push(entry);
  }

  #forget(entry: QueuedRecord): void {
    const { sessionId = '' } = entry.record.session;
    if (this.#latest.get(sessionId) === entry) this.#latest.delete(sessionId);
  }

  #remove(line: Line, entry: QueuedRecord): void {
    entry.gone = true;
    line.count--;
    this.#forget(entry);
  }
}

/** First in, first out; entries that are gone are skipped. */
class Line {
  count = 0;
  #entries: QueuedRecord[] = [];
  #first = 0;

  push(entry: QueuedRecord): void {
    this.#entries.push(entry);
    this.count++;
  }

  take(): QueuedRecord | null {
    while (this.#first < this.#entries.length) {
      const entry = this.#entries[this.#first++];
      // What was taken must not be kept alive by the array; moving it down now and then costs one copy an entry.
      if (this.#first > 1024 && this.#first * 2 > this.#entries.length) {
        this.#entries = this.#entries.slice(this.#first);
        this.#first = 0;
      }
      if (entry.gone) continue;
      this.count--;
      return entry;
    }
    this.#entries = [];
    this.#first = 0;
    return null;
  }
}
