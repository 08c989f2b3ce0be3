/**
 * Tunnel records and their sessions: fixed slots in shared memory, free ones on two lists whose heads stand in the
 * header. Allocation and freeing, and every change of a session list, happen under the process-wide lock, which the
 * caller holds; only the tunnel's owner changes an allocated record. Readers of other threads may see a list in the
 * middle of a change, so walks are bounded by the number of sessions.
 */

import {
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SESSION,
  SESSION_STATE,
  SESSION_WORDS,
  type TableMemory,
} from './layout.js';

export interface PoolAdoption {
  /** Records and sessions in use. */
  readonly records: number;
  readonly sessions: number;
  /** Sessions that no record's list reached: they are free again. */
  readonly lostSessions: number;
}

export class RecordPool {
  readonly recordCount: number;
  readonly sessionCount: number;
  readonly #header: Int32Array;
  readonly #records: Int32Array;
  readonly #sessions: Int32Array;

  constructor(memory: TableMemory) {
    this.#header = memory.header;
    this.#records = memory.records;
    this.#sessions = memory.sessions;
    this.recordCount = memory.layout.recordCount;
    this.sessionCount = memory.layout.sessionCount;
  }

  /**
   * A record, or −1 when none is free. All its words are 0 but the state, which stays free: the caller sets it before it
   * gives the lock back, since `adopt` takes what is free by state for free.
   */
  allocateRecord(): number {
    const index = this.#header[HEADER.freeRecord] - 1;
    if (index < 0) return -1;
    const at = index * RECORD_WORDS;
    this.#header[HEADER.freeRecord] = this.#records[at + RECORD.sessions];
    for (let i = RECORD.place; i < RECORD_WORDS; i++) this.#records[at + i] = 0;
    Atomics.add(this.#header, HEADER.recordsUsed, 1);
    return index;
  }

  /** Gives an allocated record back, with the sessions that it still has. Caller holds the lock. */
  freeRecord(index: number): void {
    this.freeSessions(index);
    const at = index * RECORD_WORDS;
    const records = this.#records;
    Atomics.store(
      records,
      at + RECORD.state,
      recordState((records[at + RECORD.state] >>> 16) + 1, 0, RECORD_STATE.free),
    );
    records[at + RECORD.sessions] = this.#header[HEADER.freeRecord];
    this.#header[HEADER.freeRecord] = index + 1;
    Atomics.sub(this.#header, HEADER.recordsUsed, 1);
  }

  /** RECORD_STATE of a record. */
  state(index: number): number {
    return this.#records[index * RECORD_WORDS + RECORD.state] & 0xff;
  }

  /** Descriptor id of the record's tunnel protocol. */
  protocol(index: number): number {
    return (this.#records[index * RECORD_WORDS + RECORD.state] >>> 8) & 0xff;
  }

  /** Counts the changes of state, 16 bits: another number means that the record is not what it was. */
  version(index: number): number {
    return this.#records[index * RECORD_WORDS + RECORD.state] >>> 16;
  }

  /** Enters another RECORD_STATE (not `free`: that is `free`'s). */
  setState(index: number, state: number): void {
    const at = index * RECORD_WORDS + RECORD.state;
    const word = this.#records[at];
    Atomics.store(this.#records, at, recordState((word >>> 16) + 1, (word >>> 8) & 0xff, state));
  }

  /** Word of a record: `field` is one of RECORD. */
  get(index: number, field: number): number {
    return this.#records[index * RECORD_WORDS + field];
  }

  set(index: number, field: number, value: number): void {
    this.#records[index * RECORD_WORDS + field] = value;
  }

  /** Records in use, all threads. */
  count(): number {
    return Atomics.load(this.#header, HEADER.recordsUsed);
  }

  // ── sessions of a record ──────────────────────────────────────────────────────────────────────────────────────────

  /** Puts a new session, ids 0 and state requested, at the head of the record's list; −1 when none is free. Lock held. */
  allocateSession(record: number): number {
    const index = this.#header[HEADER.freeSession] - 1;
    if (index < 0) return -1;
    const at = index * SESSION_WORDS;
    const head = record * RECORD_WORDS + RECORD.sessions;
    this.#header[HEADER.freeSession] = this.#sessions[at + SESSION.next];
    this.#sessions[at + SESSION.clientId] = 0;
    this.#sessions[at + SESSION.serverId] = 0;
    this.#sessions[at + SESSION.state] = SESSION_STATE.requested;
    this.#sessions[at + SESSION.next] = this.#records[head];
    Atomics.store(this.#records, head, index + 1);
    Atomics.add(this.#header, HEADER.sessionsUsed, 1);
    return index;
  }

  /** Frees all sessions of a record. Caller holds the lock. */
  freeSessions(record: number): void {
    while (this.firstSession(record) >= 0) this.freeSession(record, this.firstSession(record));
  }

  /** Session of the record with this id assigned by the client, or −1. */
  sessionByClientId(record: number, id: number): number {
    return this.#findSession(record, SESSION.clientId, id);
  }

  /** Session of the record with this id assigned by the server, or −1. */
  sessionByServerId(record: number, id: number): number {
    return this.#findSession(record, SESSION.serverId, id);
  }

  /** Takes a session off the record's list and frees it. Returns false when the list has no such one. Lock held. */
  freeSession(record: number, session: number): boolean {
    let words = this.#records;
    let link = record * RECORD_WORDS + RECORD.sessions;
    for (let steps = 0; steps <= this.sessionCount; steps++) {
      const next = words[link] - 1;
      if (next < 0) return false;
      const at = next * SESSION_WORDS;
      if (next === session) {
        Atomics.store(words, link, this.#sessions[at + SESSION.next]);
        this.#sessions[at + SESSION.state] = SESSION_STATE.free;
        this.#sessions[at + SESSION.next] = this.#header[HEADER.freeSession];
        this.#header[HEADER.freeSession] = session + 1;
        Atomics.sub(this.#header, HEADER.sessionsUsed, 1);
        return true;
      }
      words = this.#sessions;
      link = at + SESSION.next;
    }
    return false;
  }

  /** First session of the record, or −1. */
  firstSession(record: number): number {
    return this.#records[record * RECORD_WORDS + RECORD.sessions] - 1;
  }

  /** The session after this one, or −1. */
  nextSession(session: number): number {
    return this.#sessions[session * SESSION_WORDS + SESSION.next] - 1;
  }

  /** Sessions on the record's list. */
  sessionsOf(record: number): number {
    let count = 0;
    for (let s = this.firstSession(record); s >= 0 && count < this.sessionCount; s = this.nextSession(s)) count++;
    return count;
  }

  /** Word of a session: `field` is one of SESSION. */
  sessionWord(session: number, field: number): number {
    return this.#sessions[session * SESSION_WORDS + field];
  }

  setSessionWord(session: number, field: number, value: number): void {
    this.#sessions[session * SESSION_WORDS + field] = value;
  }

  // ── after a crash ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Builds both free lists anew from the states of records and the session lists, and counts what is in use. For a table
   * that another process left, and (lock held) after the holder of the lock died in a half-done change.
   */
  adopt(): PoolAdoption {
    const records = this.#records;
    const sessions = this.#sessions;
    const reached = new Uint8Array(this.sessionCount);
    let usedRecords = 0;
    let usedSessions = 0;
    let free = 0;
    for (let index = this.recordCount - 1; index >= 0; index--) {
      const at = index * RECORD_WORDS;
      if ((records[at + RECORD.state] & 0xff) === RECORD_STATE.free) {
        records[at + RECORD.sessions] = free;
        free = index + 1;
        continue;
      }
      usedRecords++;
      let words = records;
      let link = at + RECORD.sessions;
      for (let next = words[link] - 1; next >= 0; next = words[link] - 1) {
        const usable =
          next < this.sessionCount &&
          reached[next] === 0 &&
          sessions[next * SESSION_WORDS + SESSION.state] !== SESSION_STATE.free;
        if (!usable) {
          words[link] = 0; // the half-done change was here; what hung behind it was free or belongs to another record
          break;
        }
        reached[next] = 1;
        usedSessions++;
        words = sessions;
        link = next * SESSION_WORDS + SESSION.next;
      }
    }
    this.#header[HEADER.freeRecord] = free;
    let freeSession = 0;
    let lost = 0;
    for (let index = this.sessionCount - 1; index >= 0; index--) {
      if (reached[index] === 1) continue;
      const at = index * SESSION_WORDS;
      if (sessions[at + SESSION.state] !== SESSION_STATE.free) lost++;
      sessions[at + SESSION.state] = SESSION_STATE.free;
      sessions[at + SESSION.next] = freeSession;
      freeSession = index + 1;
    }
    this.#header[HEADER.freeSession] = freeSession;
    Atomics.store(this.#header, HEADER.recordsUsed, usedRecords);
    Atomics.store(this.#header, HEADER.sessionsUsed, usedSessions);
    return { records: usedRecords, sessions: usedSessions, lostSessions: lost };
  }

  #findSession(record: number, field: number, id: number): number {
    let session = this.firstSession(record);
    for (let steps = 0; session >= 0 && steps < this.sessionCount; steps++) {
      if (this.#sessions[session * SESSION_WORDS + field] === id) return session;
      session = this.nextSession(session);
    }
    return -1;
  }
}

/** version << 16 | protocol << 8 | RECORD_STATE; the version wraps at 16 bits. */
export function recordState(version: number, protocol: number, state: number): number {
  return (version << 16) | (protocol << 8) | state;
}
