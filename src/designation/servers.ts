/**
 * Servers and VIPs as cells in shared memory. The main thread writes configuration and state, shards count tunnels with
 * atomic adds, and the scheduler words (`current`, `lastUse`, `cursor`) belong to whoever holds the process-wide lock.
 * Cells are found again by another process through their identity, a hash of names.
 */

import { GroupMemory } from '../flow/group-memory.js';
import {
  CELL_WORDS,
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_FLAG,
  SERVER_LIMIT,
  SERVER_STATE,
  SESSION,
  SESSION_WORDS,
  type TableMemory,
  VIP_CELL,
  VIP_LIMIT,
} from '../flow/layout.js';

/** What configuration says of a server; `address` and `nextHop` are indices. */
export interface ServerPlace {
  readonly vip: number;
  readonly address: number;
  readonly port: number;
  readonly nextHop: number;
  readonly weight: number;
}

/** Shares count in these parts of a unit of weight, so that a slow start has steps even at weight 1. */
export const SHARE_UNIT = 64;

export class ServerTable {
  /** CLOCK_MONOTONIC seconds, kept up to date by whoever designates. */
  now = 0;
  /** How long a slow start lasts; 0: a server in that state counts in full. */
  slowStartSeconds = 0;
  readonly #header: Int32Array;
  readonly #cells: Int32Array;
  readonly #vips: Int32Array;
  readonly #memory: TableMemory;
  /** The same cells, two words at a time. */
  readonly #doubles: Float64Array;

  constructor(memory: TableMemory) {
    this.#doubles = new Float64Array(memory.servers.buffer, memory.servers.byteOffset, memory.servers.length / 2);
    this.#memory = memory;
    this.#header = memory.header;
    this.#cells = memory.servers;
    this.#vips = memory.vips;
  }

  // ── cells, main thread ────────────────────────────────────────────────────────────────────────────────────────────

  /** Cell of the server with this identity, a free one if there was none, −1 when all are taken. */
  ensureServer(identity: number, place: ServerPlace, nowSeconds: number): number {
    let index = this.findServer(identity);
    const isNew = index < 0;
    if (isNew) {
      for (let i = 0; i < SERVER_LIMIT && index < 0; i++) if (this.state(i) === SERVER_STATE.free) index = i;
      if (index < 0) return -1;
      this.#cells.fill(0, index * CELL_WORDS, (index + 1) * CELL_WORDS);
      this.set(index, SERVER_CELL.identity, identity | 0);
      this.set(index, SERVER_CELL.since, nowSeconds);
      this.set(index, SERVER_CELL.load, -1);
    }
    this.set(index, SERVER_CELL.vip, place.vip);
    this.set(index, SERVER_CELL.address, place.address);
    this.set(index, SERVER_CELL.port, place.port);
    this.set(index, SERVER_CELL.nextHop, place.nextHop);
    this.set(index, SERVER_CELL.weight, place.weight);
    if (isNew) Atomics.store(this.#cells, index * CELL_WORDS + SERVER_CELL.state, SERVER_STATE.up);
    this.changed(index);
    return index;
  }

  findServer(identity: number): number {
    for (let i = 0; i < SERVER_LIMIT; i++) {
      if (this.state(i) !== SERVER_STATE.free && this.get(i, SERVER_CELL.identity) === (identity | 0)) return i;
    }
    return -1;
  }

  /** Forgets a server that has no tunnels any more. */
  releaseServer(index: number): void {
    Atomics.store(this.#cells, index * CELL_WORDS + SERVER_CELL.state, SERVER_STATE.free);
    this.changed(index);
  }

  /** Cell of the VIP with this identity, a free one if there was none, −1 when all are taken. */
  ensureVip(identity: number, address: number, port: number): number {
    let index = -1;
    let free = -1;
    for (let i = 0; i < VIP_LIMIT && index < 0; i++) {
      const at = i * CELL_WORDS;
      if (this.#vips[at + VIP_CELL.state] === 0) free = free < 0 ? i : free;
      else if (this.#vips[at + VIP_CELL.identity] === (identity | 0)) index = i;
    }
    if (index < 0) {
      if (free < 0) return -1;
      index = free;
      this.#vips.fill(0, index * CELL_WORDS, (index + 1) * CELL_WORDS);
      this.#vips[index * CELL_WORDS + VIP_CELL.identity] = identity | 0;
    }
    this.#vips[index * CELL_WORDS + VIP_CELL.address] = address;
    this.#vips[index * CELL_WORDS + VIP_CELL.port] = port;
    Atomics.store(this.#vips, index * CELL_WORDS + VIP_CELL.state, 1);
    return index;
  }

  releaseVip(index: number): void {
    Atomics.store(this.#vips, index * CELL_WORDS + VIP_CELL.state, 0);
  }

  /** Enters a SERVER_STATE for a SERVER_REASON; entering the state that it has already only changes the reason. */
  setState(index: number, state: number, reason: number, nowSeconds: number): void {
    if (this.state(index) !== state) this.set(index, SERVER_CELL.since, nowSeconds);
    this.set(index, SERVER_CELL.reason, reason);
    Atomics.store(this.#cells, index * CELL_WORDS + SERVER_CELL.state, state);
    this.changed(index);
  }

  setWeight(index: number, weight: number): void {
    Atomics.store(this.#cells, index * CELL_WORDS + SERVER_CELL.weight, weight);
    this.changed(index);
  }

  /**
   * For every writer of a server's state or weight, after it: the next designation looks at the server anew. Any thread,
   * without the lock.
   */
  changed(index: number): void {
    markChanged(this.#memory, index);
  }

  /**
   * `changed` after an atomic add. The bit may well stand from the last add: whoever clears it reads the count later than
   * we have seen the bit, so there is nothing to do then.
   */
  counted(index: number): void {
    const word = index >>> 5;
    const isMarked = (Atomics.load(this.#header, HEADER.changed + word) >>> (index & 31)) & 1;
    if ((isMarked & (Atomics.load(this.#header, HEADER.changedSummary) >>> word)) === 0) this.changed(index);
  }

  // ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** May it take a new tunnel? */
  eligible(index: number): boolean {
    const state = this.state(index);
    return (
      (state === SERVER_STATE.up || state === SERVER_STATE.slowStart) &&
      this.weight(index) > 0 &&
      (this.get(index, SERVER_CELL.flags) & (SERVER_FLAG.notAccepting | SERVER_FLAG.heldBack)) === 0
    );
  }

  /** Weight as it counts at this moment, in parts of SHARE_UNIT: in a slow start it grows with the time since `since`. */
  shareNow(index: number): number {
    const full = this.weight(index) * SHARE_UNIT;
    if (this.state(index) !== SERVER_STATE.slowStart || this.slowStartSeconds <= 0) return full;
    const passed = (this.now - this.get(index, SERVER_CELL.since)) / this.slowStartSeconds;
    return passed >= 1 ? full : Math.max(1, Math.floor(full * passed));
  }

  /** `shareNow` as of the server's last change: what rankings compare, so that they stand still in between. */
  share(index: number): number {
    return this.get(index, SERVER_CELL.share);
  }

  /** Any of these SERVER_FLAG bits? */
  has(index: number, flags: number): boolean {
    return (this.get(index, SERVER_CELL.flags) & flags) !== 0;
  }

  /** Word of a server cell: `field` is one of SERVER_CELL. */
  get(index: number, field: number): number {
    return this.#cells[index * CELL_WORDS + field];
  }

  /** SERVER_STATE */
  state(index: number): number {
    return this.get(index, SERVER_CELL.state);
  }

  weight(index: number): number {
    return this.get(index, SERVER_CELL.weight);
  }

  /** Tunnels that count: half open and established. */
  tunnels(index: number): number {
    return this.get(index, SERVER_CELL.halfOpen) + this.get(index, SERVER_CELL.established);
  }

  /** Stamp of the last designation; 0 never. Later stamps are greater as long as `usedBefore` compares them. */
  lastUse(index: number): number {
    return this.get(index, SERVER_CELL.lastUse);
  }

  /** a was designated longer ago than b. Stamps wrap at 2³², so neighbours in time compare rightly. */
  usedBefore(a: number, b: number): boolean {
    const x = this.lastUse(a);
    const y = this.lastUse(b);
    if (x === 0 || y === 0) return x === 0 && y !== 0;
    return ((x - y) | 0) < 0;
  }

  // ── counts, any thread ────────────────────────────────────────────────────────────────────────────────────────────

  addHalfOpen(index: number, count: number): void {
    Atomics.add(this.#cells, index * CELL_WORDS + SERVER_CELL.halfOpen, count);
    if (this.has(index, SERVER_FLAG.countsTunnels)) this.counted(index);
  }

  addEstablished(index: number, count: number): void {
    Atomics.add(this.#cells, index * CELL_WORDS + SERVER_CELL.established, count);
    if (this.has(index, SERVER_FLAG.countsTunnels)) this.counted(index);
  }

  addSessions(index: number, count: number): void {
    Atomics.add(this.#cells, index * CELL_WORDS + SERVER_CELL.sessions, count);
    if (this.has(index, SERVER_FLAG.countsSessions)) this.counted(index);
  }

  /**
   * Counts tunnels and sessions of all servers, and HEADER.halfOpen, anew from the records: after a crash, before any
   * shard runs. A closing tunnel counts for nobody.
   */
  recount(): void {
    const { records, sessions, layout } = this.#memory;
    for (let i = 0; i < SERVER_LIMIT; i++) {
      for (const field of [SERVER_CELL.halfOpen, SERVER_CELL.established, SERVER_CELL.sessions]) this.set(i, field, 0);
    }
    let halfOpen = 0;
    for (let r = 0, at = 0; r < layout.recordCount; r++, at += RECORD_WORDS) {
      const state = records[at + RECORD.state] & 0xff;
      if (state !== RECORD_STATE.halfOpen && state !== RECORD_STATE.established) continue;
      const server = records[at + RECORD.place] & 0xffff;
      if (server >= SERVER_LIMIT) continue;
      if (state === RECORD_STATE.halfOpen) halfOpen++;
      this.#add(server, state === RECORD_STATE.halfOpen ? SERVER_CELL.halfOpen : SERVER_CELL.established);
      let steps = 0;
      for (let s = records[at + RECORD.sessions]; s !== 0 && steps < layout.sessionCount; steps++) {
        this.#add(server, SERVER_CELL.sessions);
        s = sessions[(s - 1) * SESSION_WORDS + SESSION.next];
      }
    }
    Atomics.store(this.#header, HEADER.halfOpen, halfOpen);
    new GroupMemory(this.#memory).recount();
    this.forgetRankings();
  }

  /** Counts one server's tunnels and sessions anew from the records. Looks at every record. */
  recountServer(server: number): void {
    const { records, sessions, layout } = this.#memory;
    const counts = [0, 0, 0];
    for (let r = 0, at = 0; r < layout.recordCount; r++, at += RECORD_WORDS) {
      const state = records[at + RECORD.state] & 0xff;
      if ((records[at + RECORD.place] & 0xffff) !== server) continue;
      if (state !== RECORD_STATE.halfOpen && state !== RECORD_STATE.established) continue;
      counts[state === RECORD_STATE.halfOpen ? 0 : 1]++;
      let steps = 0;
      for (let s = records[at + RECORD.sessions]; s !== 0 && steps < layout.sessionCount; steps++) {
        counts[2]++;
        s = sessions[(s - 1) * SESSION_WORDS + SESSION.next];
      }
    }
    [SERVER_CELL.halfOpen, SERVER_CELL.established, SERVER_CELL.sessions].forEach((field, i) => {
      Atomics.store(this.#cells, server * CELL_WORDS + field, counts[i]);
    });
    this.changed(server);
  }

  /** Every VIP's ranking is made anew before its next designation: a thread may have died in the middle of one. */
  forgetRankings(): void {
    for (let vip = 0; vip < VIP_LIMIT; vip++) this.setVip(vip, VIP_CELL.ranking, 0);
  }

  // ── scheduler words, lock held ────────────────────────────────────────────────────────────────────────────────────

  /** Writes a word of a server cell. */
  set(index: number, field: number, value: number): void {
    this.#cells[index * CELL_WORDS + field] = value;
  }

  setFlag(index: number, flag: number, on: boolean): void {
    const flags = this.get(index, SERVER_CELL.flags);
    this.set(index, SERVER_CELL.flags, on ? flags | flag : flags & ~flag);
  }

  /** Replaces all flags, seen by every thread before anything that this one reads next. */
  storeFlags(index: number, flags: number): void {
    Atomics.store(this.#cells, index * CELL_WORDS + SERVER_CELL.flags, flags);
  }

  /** Leaky bucket: seconds at which the server's bucket will be empty. */
  bucket(index: number): number {
    return this.#doubles[(index * CELL_WORDS + SERVER_CELL.bucket) / 2];
  }

  setBucket(index: number, seconds: number): void {
    this.#doubles[(index * CELL_WORDS + SERVER_CELL.bucket) / 2] = seconds;
  }

  /** The table's own seed. */
  get seed(): number {
    return this.#header[HEADER.hashSeed];
  }

  /** Word of a VIP cell: `field` is one of VIP_CELL. */
  vip(vip: number, field: number): number {
    return this.#vips[vip * CELL_WORDS + field];
  }

  setVip(vip: number, field: number, value: number): void {
    this.#vips[vip * CELL_WORDS + field] = value;
  }

  /** Index of the server that round robin designated last, −1 none. */
  cursor(vip: number): number {
    return this.#vips[vip * CELL_WORDS + VIP_CELL.cursor] - 1;
  }

  setCursor(vip: number, server: number): void {
    this.#vips[vip * CELL_WORDS + VIP_CELL.cursor] = server + 1;
  }

  /** Notes that the server was designated: now, once more. */
  use(index: number): void {
    const stamp = (this.#header[HEADER.useSequence] + 1) | 0 || 1; // 0 means never
    this.#header[HEADER.useSequence] = stamp;
    this.set(index, SERVER_CELL.lastUse, stamp);
    Atomics.add(this.#cells, index * CELL_WORDS + SERVER_CELL.designated, 1);
    // Nobody will see its answer pass: it counts until the server says how many it has.
    if (this.has(index, SERVER_FLAG.told)) this.addEstablished(index, 1);
  }

  #add(index: number, field: number): void {
    this.#cells[index * CELL_WORDS + field]++;
  }
}

/** `ServerTable.changed` for those who have only the memory. */
export function markChanged(memory: TableMemory, server: number): void {
  const { header } = memory;
  const word = server >>> 5;
  Atomics.or(header, HEADER.changed + word, 1 << (server & 31));
  if (((Atomics.load(header, HEADER.changedSummary) >>> word) & 1) === 0)
    Atomics.or(header, HEADER.changedSummary, 1 << word);
}

/** 32-bit identity of a VIP, or of a server of a VIP, from names (FNV-1a over their UTF-8, 0 between them). Never 0. */
export function cellIdentity(vip: string, server = ''): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${vip}\0${server}`)) h = Math.imul(h ^ byte, 0x01000193);
  return h | 0 || 1;
}
