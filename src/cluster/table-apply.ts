/**
 * Puts what streams say into our own table, entries and all, so that it forwards by them as by any. VIPs and servers are
 * found by name; what is of one that we do not know waits until `refresh`. Nobody else writes these tunnels meanwhile, but
 * for two flags of their entries (whether the firewall denies them, whether the XDP program may forward by them), which
 * the shard of their client sets. Runs in the main thread, beside shards that write tunnels of their own.
 */
import { ClientIndex } from '../flow/client-index.js';
import { ConnectionTable } from '../flow/connection-table.js';
import {
  FLAG_DENIED,
  FLAG_OFFLOADED,
  RECORD,
  RECORD_STATE,
  SESSION,
  SESSION_STATE,
  SHARD_LIMIT,
  type TableMemory,
} from '../flow/layout.js';
import { GroupMemory } from '../flow/group-memory.js';
import { RecordPool, recordState } from '../flow/record-pool.js';
import { SpinLock } from '../flow/spin-lock.js';
import { counterTag, PLANE, SESSION_RECORD, TUNNEL_RECORD, type TunnelCounters } from '../wire/cluster-record.js';
import { AppliedCounts, raiseTotal } from './applied-counts.js';
import { IndexMap } from './index-map.js';
import type { Stream } from './stream.js';
import type { StateSink } from './stream-reader.js';
import { ENTRY_FIELDS, EntryPlan, type Laid, layVip } from './tunnel-record.js';

/** Where names are in our table, and what hangs on them. */
export interface Places {
  /** Index of the VIP's cell, by hash of its name; −1 unknown. */
  vip(identity: number): number;
  /** Index of the server's cell. */
  server(identity: number): number;
  /** Index of the server's address. */
  serverAddress(server: number): number;
  serverPort(server: number): number;
  clientNextHop(a0: number, a1: number, a2: number, a3: number): number;
  serverNextHop(server: number): number;
}

/** Whoever shares the table with the streams; all are told under no lock but where it says so. */
export interface ApplyHooks {
  /** The record is the stream's from now on. Before anybody can find it; lock held. */
  given(record: number, stream: Stream): void;
  belongs(record: number, stream: Stream): boolean;
  /** Its entries are there, or have changed. */
  laid(record: number): void;
  /** May the entry of this record be replaced by another tunnel's with the same key? Only what no shard writes may. */
  mayReplace(record: number): boolean;
  /** This record is left from a process before this one: another tunnel with its key replaces all of it. */
  isFormer(record: number): boolean;
  /** A stream's tunnel (its words) has the key of this record, which stays. */
  collided(record: number, words: Int32Array, from: number): void;
  /** The counts of the server's tunnels have changed. */
  counted(server: number): void;
}

const ALONE: ApplyHooks = {
  given: () => undefined,
  belongs: () => true,
  laid: () => undefined,
  mayReplace: () => true,
  isFormer: () => false,
  collided: () => undefined,
  counted: () => undefined,
};

/** Flags that shards set on entries that are put in here. */
const SHARDS_FLAGS = FLAG_DENIED | FLAG_OFFLOADED;
/** Tunnels whose key is another one's, or that had no room, that are looked at again. */
const COLLIDED_LIMIT = 4096;

interface Maps {
  readonly tunnels: IndexMap;
  readonly sessions: IndexMap;
  /** Sessions whose tunnel is not there yet, by its index in the stream. */
  readonly orphans: Map<number, Set<number>>;
  /** For every session: the tunnel that it waits for + 1. */
  readonly waitsFor: Int32Array;
  /** Tunnels with an entry whose key is that of a tunnel of ours, or for which the table had no room. */
  readonly collided: Set<number>;
}

export class TableApply implements StateSink {
  readonly counters = {
    applied: 0,
    removed: 0,
    unplaced: 0,
    tableFull: 0,
    sessionsFull: 0,
    groupsUnkept: 0,
    countersStale: 0,
    collided: 0,
    replaced: 0,
  };
  readonly table: ConnectionTable;
  readonly pool: RecordPool;
  readonly #lock: SpinLock;
  readonly #clients: ClientIndex;
  readonly #groups: GroupMemory;
  readonly #maps = new Map<number, Maps>();
  readonly #plan = new EntryPlan();
  readonly #laid: Laid = {
    vipAddress: 0,
    natAddress: 0,
    local: new Int32Array(4),
    serverAddress: 0,
    serverPort: 0,
    clientNextHop: 0,
    serverNextHop: 0,
  };
  /** Record + 1 that a session of ours belongs to. */
  readonly #sessionRecord: Int32Array;
  readonly #counts: AppliedCounts;
  #nowMs = 0;
  #now = 0;

  constructor(
    readonly memory: TableMemory,
    readonly places: Places,
    readonly hooks: ApplyHooks = ALONE,
  ) {
    this.table = new ConnectionTable(memory);
    this.pool = new RecordPool(memory);
    this.#lock = new SpinLock(memory);
    this.#clients = new ClientIndex(memory);
    this.#groups = new GroupMemory(memory);
    this.#sessionRecord = new Int32Array(memory.layout.sessionCount);
    this.#counts = new AppliedCounts(memory, this.pool, (server) => hooks.counted(server));
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
    raiseTotal(this.table, this.pool, this.memory, record, false, counters.packetsIn, counters.bytesIn, seen);
    raiseTotal(this.table, this.pool, this.memory, record, true, counters.packetsOut, counters.bytesOut, seen);
  }

  /** Puts up to `count` tunnels from `index` on in anew: routes or the plan are other ones. Returns where to go on. */
  refresh(stream: Stream, index: number, count: number): number {
    const mirror = stream.mirrors[PLANE.tunnels];
    const end = Math.min(index + count, mirror.capacity);
    for (let i = index; i < end; i++) if (mirror.has(i)) this.#tunnel(stream, i);
    return end;
  }

  /** Tunnels whose key was another one's, or that had no room: what can be there by now is put in. Once a second. */
  retryCollided(stream: Stream): void {
    const { collided } = this.#mapsOf(stream);
    if (collided.size === 0) return;
    const again = [...collided];
    collided.clear();
    for (const index of again) if (stream.mirrors[PLANE.tunnels].has(index)) this.#tunnel(stream, index);
  }

  /** Whoever wrote the stream here until now has lost it: what it has made of our records is where we go on. */
  resume(stream: Stream): void {
    const { tunnels, sessions } = this.#mapsOf(stream);
    const { pool } = this;
    for (let session = 0; session < pool.sessionCount; session++)
      if (sessions.streamOf(session) >= 0 && pool.sessionWord(session, SESSION.state) === SESSION_STATE.free)
        sessions.unlinkLocal(session);
    for (let index = 0; index < stream.capacity[PLANE.tunnels]; index++) {
      const record = tunnels.localOf(index);
      if (record < 0) continue;
      if (pool.state(record) === RECORD_STATE.free || !this.hooks.belongs(record, stream)) {
        tunnels.unlinkStream(index);
        continue;
      }
      this.#counts.take(record);
      for (let s = pool.firstSession(record), steps = 0; s >= 0 && steps < pool.sessionCount; steps++) {
        if (sessions.streamOf(s) >= 0) this.#sessionRecord[s] = record + 1;
        s = pool.nextSession(s);
      }
      // What was told while somebody else wrote stands in the mirror, and not in the table.
      this.#tunnel(stream, index);
    }
    this.refresh(stream, 0, stream.capacity[PLANE.tunnels]);
  }

  /** A record that a process before this one left: it is counted already. */
  takeFormer(record: number): void {
    this.#counts.take(record);
  }

  /** Takes a record out that no stream has put in and no shard writes. */
  evict(record: number): void {
    this.#counts.set(record, 0, RECORD_STATE.free);
    this.#release(record);
    this.counters.replaced++;
  }

  /** The stream has come to its end; nothing of it is in the table. */
  forget(stream: Stream): void {
    this.#maps.delete(stream.key);
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
    const state = words[from + TUNNEL_RECORD.state] & 0xff;
    // A state that is none would make a record free that is in use.
    if (vip < 0 || server < 0 || state < RECORD_STATE.halfOpen || state > RECORD_STATE.passed) {
      this.counters.unplaced++;
      return this.#removeTunnel(maps, index);
    }
    let record = maps.tunnels.localOf(index);
    const isNew = record < 0;
    if (isNew) {
      record = this.#allocate(stream);
      if (record < 0) return this.#full(maps, index);
    }
    this.#fill(stream, words, from, record, vip, server);
    if (!this.#entries(maps, index, words, from, record, vip, server)) {
      if (isNew) this.#release(record);
      else this.#removeTunnel(maps, index);
      return this.#full(maps, index);
    }
    if (isNew) maps.tunnels.link(index, record);
    const at = from + TUNNEL_RECORD.client;
    this.#lock.acquire(SHARD_LIMIT);
    this.#clients.remove(record);
    this.#clients.add(record, words[at], words[at + 1], words[at + 2], words[at + 3]);
    if (!this.#groups.assign(record, words[from + TUNNEL_RECORD.group])) this.counters.groupsUnkept++;
    this.#lock.release(SHARD_LIMIT);
    this.#counts.set(record, server, state);
    this.counters.applied++;
    this.hooks.laid(record);
    const waiting = maps.orphans.get(index);
    if (waiting !== undefined) for (const session of [...waiting]) this.#session(stream, session);
  }

  /** It is tried again as one is whose key another has. */
  #full({ collided }: Maps, index: number): void {
    this.counters.tableFull++;
    if (collided.size < COLLIDED_LIMIT) collided.add(index);
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
  #entries(
    maps: Maps,
    index: number,
    words: Int32Array,
    from: number,
    record: number,
    vip: number,
    server: number,
  ): boolean {
    const { places, table, pool } = this;
    const laid = this.#laid;
    const at = from + TUNNEL_RECORD.client;
    layVip(this.memory, vip, laid);
    laid.serverAddress = places.serverAddress(server);
    laid.serverPort = places.serverPort(server);
    laid.clientNextHop = places.clientNextHop(words[at], words[at + 1], words[at + 2], words[at + 3]);
    laid.serverNextHop = places.serverNextHop(server);
    const flags = words[from + TUNNEL_RECORD.state] >>> 16;
    const stands = (words[from + TUNNEL_RECORD.state] & 0xff) === RECORD_STATE.established;
    const kept = stands ? SHARDS_FLAGS : SHARDS_FLAGS & ~FLAG_OFFLOADED;
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
          (table.flagsOf(slot) & ~kept) !== plan.flags
        )
          table.lead(slot, plan.target, plan.ports, plan.flags, kept);
        continue;
      }
      const occupant = table.find(plan.key, 0);
      if (occupant >= 0 && !this.#makeRoom(occupant)) {
        if (maps.collided.size < COLLIDED_LIMIT) maps.collided.add(index);
        this.counters.collided++;
        this.hooks.collided(table.recordOf(occupant), words, from);
        continue;
      }
      slot = table.insert(plan.key, 0, plan.target, plan.ports, record, plan.flags, this.#nowMs);
      if (slot < 0) return false;
      table.touch(slot, this.#now);
      pool.set(record, field, slot + 1);
    }
    return true;
  }

  /** The entry has the key of a newer tunnel. False: it is a tunnel of ours, which stays. */
  #makeRoom(occupant: number): boolean {
    const record = this.table.recordOf(occupant);
    if (!this.hooks.mayReplace(record)) return false;
    if (this.hooks.isFormer(record)) this.evict(record);
    // The id is another tunnel's by now, whose end we shall hear of: the newer one has it.
    else this.#detach(occupant);
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
    this.#counts.set(record, 0, RECORD_STATE.free);
    maps.tunnels.unlinkStream(index);
    maps.collided.delete(index);
    this.#release(record);
    this.counters.removed++;
  }

  #allocate(stream: Stream): number {
    this.#lock.acquire(SHARD_LIMIT);
    const record = this.pool.allocateRecord();
    if (record >= 0) {
      this.hooks.given(record, stream);
      // A shard may have had the record meanwhile, and counted for itself.
      this.#counts.forget(record);
      // Not free any more before the lock is given back: adoption would take it for free.
      this.pool.set(record, RECORD.state, recordState(this.pool.version(record) + 1, 0, RECORD_STATE.closing));
    }
    this.#lock.release(SHARD_LIMIT);
    return record;
  }

  #release(record: number): void {
    for (const [field] of ENTRY_FIELDS) {
      const slot = this.pool.get(record, field) - 1;
      if (slot >= 0) this.#removeEntry(record, field, slot);
    }
    this.#lock.acquire(SHARD_LIMIT);
    this.#clients.remove(record);
    this.#groups.leave(record);
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
      this.#counts.addSessions(record, 1);
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
    if (freed) this.#counts.addSessions(record, -1);
  }

  // ── counters ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #mapsOf(stream: Stream): Maps {
    let maps = this.#maps.get(stream.key);
    if (maps === undefined) {
      const { recordCount, sessionCount } = this.memory.layout;
      maps = {
        tunnels: new IndexMap(stream.capacity[PLANE.tunnels], recordCount),
        sessions: new IndexMap(stream.capacity[PLANE.sessions], sessionCount),
        orphans: new Map(),
        waitsFor: new Int32Array(stream.capacity[PLANE.sessions]),
        collided: new Set(),
      };
      this.#maps.set(stream.key, maps);
    }
    return maps;
  }
}
