/**
 * Puts what streams say into our own table, entries and all, so that it can forward by them the moment it is asked to.
 * VIPs and servers are found by name; what is of one that we do not know waits until `retry`. Nobody else may write these
 * tunnels meanwhile: a shard takes them over by adoption (dataplane/ageing.ts) when their VIP becomes ours.
 */
import { ClientIndex } from '../flow/client-index.js';
import { ConnectionTable } from '../flow/connection-table.js';
import { addWide } from '../flow/wide-counter.js';
import {
  CELL_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_REWRITE_SOURCE,
  HEADER,
  RECORD,
  RECORD_STATE,
  SERVER_CELL,
  SESSION,
  SHARD_LIMIT,
  type TableMemory,
} from '../flow/layout.js';
import { RecordPool, recordState } from '../flow/record-pool.js';
import { SpinLock } from '../flow/spin-lock.js';
import { counterTag, PLANE, SESSION_RECORD, TUNNEL_RECORD, type TunnelCounters } from '../wire/cluster-record.js';
import { IndexMap } from './index-map.js';
import type { Stream } from './stream.js';
import type { StateSink } from './stream-reader.js';
import { ENTRY_FIELDS, EntryPlan, type Laid } from './tunnel-record.js';

/** Where names are in our table, and what hangs on them. */
export interface Places {
  /** Index of the VIP's cell, by hash of its name; −1 unknown. */
  vip(identity: number): number;
  /** Index of the server's cell. */
  server(identity: number): number;
  /** Index of the VIP's address, of the server's. */
  vipAddress(vip: number): number;
  serverAddress(server: number): number;
  serverPort(server: number): number;
  clientNextHop(a0: number, a1: number, a2: number, a3: number): number;
  serverNextHop(server: number): number;
}

interface Maps {
  readonly tunnels: IndexMap;
  readonly sessions: IndexMap;
  /** Sessions whose tunnel is not there yet, by its index in the stream. */
  readonly orphans: Map<number, Set<number>>;
  /** For every session: the tunnel that it waits for + 1. */
  readonly waitsFor: Int32Array;
}

export class TableApply implements StateSink {
  readonly counters = { applied: 0, removed: 0, unplaced: 0, tableFull: 0, sessionsFull: 0, countersStale: 0 };
  readonly table: ConnectionTable;
  readonly pool: RecordPool;
  readonly #lock: SpinLock;
  readonly #clients: ClientIndex;
  readonly #maps = new Map<number, Maps>();
  readonly #plan = new EntryPlan();
  readonly #laid: Laid = { vipAddress: 0, serverAddress: 0, serverPort: 0, clientNextHop: 0, serverNextHop: 0 };
  /** Record + 1 that a session of ours belongs to. */
  readonly #sessionRecord: Int32Array;
  /** Server (low half) and RECORD_STATE that a record was counted with; −1: it is not counted. */
  readonly #counted: Int32Array;
  #nowMs = 0;
  #now = 0;

  constructor(
    readonly memory: TableMemory,
    readonly places: Places,
  ) {
    this.table = new ConnectionTable(memory);
    this.pool = new RecordPool(memory);
    this.#lock = new SpinLock(memory);
    this.#clients = new ClientIndex(memory);
    this.#sessionRecord = new Int32Array(memory.layout.sessionCount);
    this.#counted = new Int32Array(memory.layout.recordCount).fill(-1);
  }

  /** The clock of the table, before frames are received. */
  setTime(nowSeconds: number, nowMs: number): void {
    this.#now = nowSeconds;
    this.#nowMs = nowMs;
  }

  /** Which index of a stream is which of our records and sessions: for the feed of whoever writes it next. */
  maps(stream: Stream): { readonly tunnels: IndexMap; readonly sessions: IndexMap } {
    return this.#mapsOf(stream);
  }

  changed(stream: Stream, plane: number, index: number): void {
    if (plane === PLANE.tunnels) this.#tunnel(stream, index);
    else this.#session(stream, index);
  }

  /** Totals of a tunnel: they stand with its first entry of each direction. */
  counted(stream: Stream, counters: TunnelCounters): void {
    const mirror = stream.mirrors[PLANE.tunnels];
    const { index } = counters;
    const record = this.#mapsOf(stream).tunnels.localOf(index);
    const tag = counterTag(mirror.word(index, TUNNEL_RECORD.created), mirror.word(index, TUNNEL_RECORD.clientChannel));
    if (record < 0 || tag !== counters.tag) {
      this.counters.countersStale++;
      return;
    }
    const seen = Math.round(stream.localTime(counters.lastSeen));
    this.#total(record, false, counters.packetsIn, counters.bytesIn, seen);
    this.#total(record, true, counters.packetsOut, counters.bytesOut, seen);
  }

  /** Tunnels whose VIP or server was not known: those that are by now are put in. After the configuration has changed. */
  retry(stream: Stream): void {
    const { tunnels } = this.#mapsOf(stream);
    const mirror = stream.mirrors[PLANE.tunnels];
    for (let index = 0; index < mirror.capacity; index++)
      if (mirror.has(index) && tunnels.localOf(index) < 0) this.#tunnel(stream, index);
  }

  /** Takes out all that a stream has put in: nobody vouches for it any more. */
  drop(stream: Stream): void {
    const maps = this.#mapsOf(stream);
    for (let index = 0; index < stream.capacity[PLANE.tunnels]; index++) this.#removeTunnel(maps, index);
    this.#maps.delete(stream.key);
  }

  // ── tunnels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #tunnel(stream: Stream, index: number): void {
    const maps = this.#mapsOf(stream);
    const mirror = stream.mirrors[PLANE.tunnels];
    const words = mirror.wordsOf(index);
    if (words === null || !mirror.has(index)) return this.#removeTunnel(maps, index);
    const from = mirror.offset(index);
    const vip = this.places.vip(words[from + TUNNEL_RECORD.vip]);
    const server = this.places.server(words[from + TUNNEL_RECORD.server]);
    if (vip < 0 || server < 0) {
      this.counters.unplaced++;
      return this.#removeTunnel(maps, index);
    }
    let record = maps.tunnels.localOf(index);
    const isNew = record < 0;
    if (isNew) {
      record = this.#allocate();
      if (record < 0) {
        this.counters.tableFull++;
        return;
      }
    } else this.#clients.remove(record);
    this.#fill(stream, words, from, record, vip, server);
    if (!this.#entries(words, from, record, vip, server)) {
      this.counters.tableFull++;
      if (!isNew) return this.#removeTunnel(maps, index);
      this.#release(record);
      return;
    }
    if (isNew) maps.tunnels.link(index, record);
    const at = from + TUNNEL_RECORD.client;
    this.#clients.add(record, words[at], words[at + 1], words[at + 2], words[at + 3]);
    this.#recount(record, server, words[from + TUNNEL_RECORD.state] & 0xff);
    this.counters.applied++;
    const waiting = maps.orphans.get(index);
    if (waiting !== undefined) for (const session of [...waiting]) this.#session(stream, session);
  }

  #fill(stream: Stream, words: Int32Array, from: number, record: number, vip: number, server: number): void {
    const { pool } = this;
    const state = words[from + TUNNEL_RECORD.state];
    pool.set(record, RECORD.place, (vip << 16) | server);
    pool.set(record, RECORD.clientChannel, words[from + TUNNEL_RECORD.clientChannel]);
    pool.set(record, RECORD.serverChannel, words[from + TUNNEL_RECORD.serverChannel]);
    pool.set(record, RECORD.virtualChannel, words[from + TUNNEL_RECORD.virtualChannel]);
    pool.set(record, RECORD.ports, words[from + TUNNEL_RECORD.ports]);
    pool.set(record, RECORD.created, Math.round(stream.localTime(words[from + TUNNEL_RECORD.created])));
    pool.set(record, RECORD.clientSequence, words[from + TUNNEL_RECORD.clientSequence]);
    pool.set(record, RECORD.serverSequence, words[from + TUNNEL_RECORD.serverSequence]);
    const word = pool.get(record, RECORD.state);
    if ((word & 0xffff) !== (state & 0xffff))
      pool.set(record, RECORD.state, recordState((word >>> 16) + 1, (state >>> 8) & 0xff, state & 0xff));
  }

  /** Makes the entries what the words say. False: no room. */
  #entries(words: Int32Array, from: number, record: number, vip: number, server: number): boolean {
    const { places, table, pool } = this;
    const laid = this.#laid;
    const at = from + TUNNEL_RECORD.client;
    laid.vipAddress = places.vipAddress(vip);
    laid.serverAddress = places.serverAddress(server);
    laid.serverPort = places.serverPort(server);
    laid.clientNextHop = places.clientNextHop(words[at], words[at + 1], words[at + 2], words[at + 3]);
    laid.serverNextHop = places.serverNextHop(server);
    const flags = words[from + TUNNEL_RECORD.state] >>> 16;
    const plan = this.#plan;
    for (const [field, flag] of ENTRY_FIELDS) {
      let slot = pool.get(record, field) - 1;
      if ((flags & flag) === 0) {
        if (slot >= 0) this.#removeEntry(record, field, slot);
        continue;
      }
      plan.lay(field, words, from, laid);
      if (slot >= 0 && !this.#hasKey(slot)) {
        this.#removeEntry(record, field, slot);
        slot = -1;
      }
      if (slot >= 0) {
        if (
          table.targetOf(slot) !== plan.target ||
          table.portsOf(slot) !== plan.ports ||
          table.flagsOf(slot) !== plan.flags
        )
          table.update(slot, plan.target, plan.ports, record, plan.flags);
        continue;
      }
      // The id is another tunnel's by now, whose end we shall hear of: the newer one has it.
      const occupant = table.find(plan.key, 0);
      if (occupant >= 0) this.#detach(occupant);
      slot = table.insert(plan.key, 0, plan.target, plan.ports, record, plan.flags, this.#nowMs);
      if (slot < 0) return false;
      table.touch(slot, this.#now);
      pool.set(record, field, slot + 1);
    }
    return true;
  }

  #hasKey(slot: number): boolean {
    for (let word = 0; word < 7; word++) if (this.table.keyWord(slot, word) !== this.#plan.key[word]) return false;
    return true;
  }

  #removeEntry(record: number, field: number, slot: number): void {
    this.table.remove(slot, this.#nowMs);
    this.pool.set(record, field, 0);
  }

  #detach(slot: number): void {
    const record = this.table.recordOf(slot);
    for (const [field] of ENTRY_FIELDS) if (this.pool.get(record, field) === slot + 1) this.pool.set(record, field, 0);
    this.table.remove(slot, this.#nowMs);
  }

  #removeTunnel(maps: Maps, index: number): void {
    const record = maps.tunnels.localOf(index);
    if (record < 0) return;
    const { pool } = this;
    for (let s = pool.firstSession(record), steps = 0; s >= 0 && steps < pool.sessionCount; steps++) {
      maps.sessions.unlinkLocal(s);
      this.#sessionRecord[s] = 0;
      s = pool.nextSession(s);
    }
    this.#clients.remove(record);
    this.#recount(record, 0, RECORD_STATE.free);
    maps.tunnels.unlinkStream(index);
    this.#release(record);
    this.counters.removed++;
  }

  #allocate(): number {
    this.#lock.acquire(SHARD_LIMIT);
    const record = this.pool.allocateRecord();
    // Not free any more before the lock is given back: adoption would take it for free.
    if (record >= 0)
      this.pool.set(record, RECORD.state, recordState(this.pool.version(record) + 1, 0, RECORD_STATE.closing));
    this.#lock.release(SHARD_LIMIT);
    return record;
  }

  #release(record: number): void {
    for (const [field] of ENTRY_FIELDS) {
      const slot = this.pool.get(record, field) - 1;
      if (slot >= 0) this.#removeEntry(record, field, slot);
    }
    this.#lock.acquire(SHARD_LIMIT);
    this.pool.freeRecord(record);
    this.#lock.release(SHARD_LIMIT);
  }

  // ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #session(stream: Stream, index: number): void {
    const maps = this.#mapsOf(stream);
    const mirror = stream.mirrors[PLANE.sessions];
    const tunnel = mirror.word(index, SESSION_RECORD.tunnel) - 1;
    const record = tunnel < 0 ? -1 : maps.tunnels.localOf(tunnel);
    let session = maps.sessions.localOf(index);
    if (session >= 0 && this.#sessionRecord[session] !== record + 1) {
      this.#removeSession(maps, session);
      session = -1;
    }
    this.#wait(maps, index, record < 0 ? tunnel : -1);
    if (record < 0) return;
    const { pool } = this;
    if (session < 0) {
      this.#lock.acquire(SHARD_LIMIT);
      session = pool.allocateSession(record);
      this.#lock.release(SHARD_LIMIT);
      if (session < 0) {
        this.counters.sessionsFull++;
        return;
      }
      maps.sessions.link(index, session);
      this.#sessionRecord[session] = record + 1;
      this.#countSessions(record, 1);
    }
    pool.setSessionWord(session, SESSION.clientId, mirror.word(index, SESSION_RECORD.clientId));
    pool.setSessionWord(session, SESSION.serverId, mirror.word(index, SESSION_RECORD.serverId));
    pool.setSessionWord(session, SESSION.state, mirror.word(index, SESSION_RECORD.state));
  }

  /** Enters which tunnel of the stream a session waits for, −1 none. */
  #wait(maps: Maps, session: number, tunnel: number): void {
    const before = maps.waitsFor[session] - 1;
    if (before === tunnel) return;
    const left = maps.orphans.get(before);
    if (left?.delete(session) === true && left.size === 0) maps.orphans.delete(before);
    maps.waitsFor[session] = tunnel + 1;
    if (tunnel < 0) return;
    const waiting = maps.orphans.get(tunnel);
    if (waiting === undefined) maps.orphans.set(tunnel, new Set([session]));
    else waiting.add(session);
  }

  #removeSession(maps: Maps, session: number): void {
    const record = this.#sessionRecord[session] - 1;
    maps.sessions.unlinkLocal(session);
    this.#sessionRecord[session] = 0;
    if (record < 0) return;
    this.#lock.acquire(SHARD_LIMIT);
    const freed = this.pool.freeSession(record, session);
    this.#lock.release(SHARD_LIMIT);
    if (freed) this.#countSessions(record, -1);
  }

  // ── counts ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Counts of servers follow the states of their tunnels; a closing one counts for nobody. */
  #recount(record: number, server: number, state: number): void {
    const before = this.#counted[record];
    const counts = state === RECORD_STATE.halfOpen || state === RECORD_STATE.established;
    const after = counts ? (state << 16) | server : -1;
    if (before === after) return;
    const sessions = this.pool.sessionsOf(record);
    if (before >= 0) this.#add(before, -1, -sessions);
    if (after >= 0) this.#add(after, 1, sessions);
    this.#counted[record] = after;
  }

  #add(counted: number, tunnels: number, sessions: number): void {
    const at = (counted & 0xffff) * CELL_WORDS;
    const halfOpen = counted >>> 16 === RECORD_STATE.halfOpen;
    const { servers, header } = this.memory;
    Atomics.add(servers, at + (halfOpen ? SERVER_CELL.halfOpen : SERVER_CELL.established), tunnels);
    if (halfOpen) Atomics.add(header, HEADER.halfOpen, tunnels);
    Atomics.add(servers, at + SERVER_CELL.sessions, sessions);
  }

  #countSessions(record: number, count: number): void {
    const counted = this.#counted[record];
    if (counted >= 0 && count !== 0)
      Atomics.add(this.memory.servers, (counted & 0xffff) * CELL_WORDS + SERVER_CELL.sessions, count);
  }

  /** The sum over all entries of a direction becomes this; none becomes smaller. */
  #total(record: number, out: boolean, packets: number, bytes: number, seen: number): void {
    const { table, pool } = this;
    let first = -1;
    for (const [field] of ENTRY_FIELDS) {
      const slot = pool.get(record, field) - 1;
      if (slot < 0 || ((table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0) !== out) continue;
      if (first < 0) first = slot;
      packets -= table.packets(slot);
      bytes -= table.bytes(slot);
      if (seen > table.lastSeen(slot)) table.touch(slot, seen);
    }
    if (first < 0) return;
    const { entries } = this.memory;
    if (packets > 0) addWide(entries, first * ENTRY_WORDS + ENTRY.packets, packets);
    if (bytes > 0) addWide(entries, first * ENTRY_WORDS + ENTRY.bytes, bytes);
  }

  #mapsOf(stream: Stream): Maps {
    let maps = this.#maps.get(stream.key);
    if (maps === undefined) {
      const { recordCount, sessionCount } = this.memory.layout;
      maps = {
        tunnels: new IndexMap(stream.capacity[PLANE.tunnels], recordCount),
        sessions: new IndexMap(stream.capacity[PLANE.sessions], sessionCount),
        orphans: new Map(),
        waitsFor: new Int32Array(stream.capacity[PLANE.sessions]),
      };
      this.#maps.set(stream.key, maps);
    }
    return maps;
  }
}
