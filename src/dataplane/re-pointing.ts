/**
 * A server's tunnels go to its heir: the entries of every such tunnel lead to the heir from one packet to the next, and
 * the client sees no difference, since the heir has taken ids, sequence numbers and PPP state over (document 002).
 *
 * Only established tunnels move. What is half open is asked for again and designated anew; what is closing is over. Each
 * shard moves the tunnels that it owns, in slices between two batches, order after order. An order that a crash cuts is
 * given again, and finds those that were moved already to be the heir's.
 */
import { addWide } from '../flow/wide-counter.js';
import {
  CELL_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_OFFLOADED,
  FLAG_REWRITE_SOURCE,
  KEY_WORDS,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  TABLE_REVERSE_HALF_OPEN,
} from '../flow/layout.js';
import type { Ageing } from './ageing.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import type { FloatingPorts } from './floating-ports.js';
import type { Heirs } from './heirs.js';
import { Lingering } from './lingering.js';
import type { Offload } from './offload.js';
import type { PlanServer } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** Records looked at in a turn. */
const SLICE = 16_384;
/** Tunnels moved in a turn: a millisecond. */
const MOVES_PER_TURN = 128;

export interface RePointOrder {
  readonly id: number;
  /** Server cells. */
  readonly server: number;
  readonly heir: number;
  /** Ids that the server assigned; none: all. */
  readonly ranges: readonly { readonly low: number; readonly high: number }[];
  /** Seconds in which packets of the old server still pass: it has given its tunnels away and some are on their way. */
  readonly grace?: number;
}

export interface RePointed {
  readonly id: number;
  readonly moved: number;
  /** Tunnels that stay as they are, because the table is full or the heir has such a tunnel of the client's already. */
  readonly left: number;
}

interface Job {
  readonly order: RePointOrder;
  cursor: number;
  moved: number;
  left: number;
}

export interface RePointingParts {
  readonly store: TunnelStore;
  readonly ageing: Ageing;
  readonly offload: Offload;
  readonly floating: FloatingPorts;
  readonly heirs: Heirs;
  readonly statistics: Float64Array;
}

export class RePointing {
  readonly #p: RePointingParts;
  readonly #jobs: Job[] = [];
  readonly #key = new Int32Array(KEY_WORDS + 1);
  #done: RePointed[] = [];
  readonly #lingering: Lingering;

  constructor(parts: RePointingParts) {
    this.#p = parts;
    this.#lingering = new Lingering(parts.store.memory, parts.store.table);
  }

  order(order: RePointOrder): void {
    if (!this.#jobs.some((job) => job.order.id === order.id)) this.#jobs.push({ order, cursor: 0, moved: 0, left: 0 });
  }

  /** There is something to do without waiting for traffic. */
  get running(): boolean {
    return this.#jobs.length > 0;
  }

  /** Once a turn: what has stayed long enough goes. */
  settle(now: number): void {
    this.#lingering.settle(now, Math.floor(now * 1000) | 0);
  }

  /** Orders that have been done since it was asked last. */
  takeDone(): RePointed[] {
    const done = this.#done;
    if (done.length > 0) this.#done = [];
    return done;
  }

  /** Once a turn while `running`. True: an order is done that has moved tunnels, so that they may be offloaded again. */
  step(directory: Directory, now: number): boolean {
    const [job] = this.#jobs;
    if (job === undefined) return false;
    const { store, ageing } = this.#p;
    const { order } = job;
    const heir = directory.server(order.heir);
    const old = directory.server(order.server);
    const count = store.memory.layout.recordCount;
    if (old !== null && heir !== null) this.#p.heirs.add(old.address, heir.address);
    const limit = heir === null ? count : Math.min(job.cursor + SLICE, count);
    let moves = MOVES_PER_TURN;
    for (; job.cursor < limit && moves > 0; job.cursor++) {
      const record = job.cursor;
      if (heir === null || store.state(record) !== RECORD_STATE.established) continue;
      if (store.serverIndex(record) !== order.server || !isMeant(store.word(record, RECORD.serverChannel), order))
        continue;
      if (!ageing.owns(record) || store.isForeign(record)) continue;
      moves--;
      if (this.#move(record, heir, now, order.grace ?? 0)) job.moved++;
      else job.left++;
    }
    if (job.cursor < count && heir !== null) return false;
    this.#jobs.shift();
    this.#done.push({ id: order.id, moved: job.moved, left: job.left });
    return job.moved > 0;
  }

  #move(record: number, heir: PlanServer, now: number, grace: number): boolean {
    const { store, offload, statistics } = this.#p;
    // The entries change in several words: meanwhile the XDP program must not read them.
    offload.withdraw(record);
    if (!this.#moveReverse(record, heir, now, grace)) {
      statistics[COUNTER.takeOversLeft]++;
      return false;
    }
    const server = store.serverIndex(record);
    const { records, servers } = store.memory;
    const hop = servers[heir.index * CELL_WORDS + SERVER_CELL.nextHop] || store.serverNextHop(record);
    const shown = store.word(record, RECORD.ports) & 0xffff;
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = store.word(record, w) - 1;
      if (slot < 0 || (store.table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0) continue;
      this.#lead(slot, record, (heir.address << 16) | hop, heir.port);
    }
    const at = record * RECORD_WORDS;
    records[at + RECORD.place] = (store.vipIndex(record) << 16) | heir.index;
    if (records[at + RECORD.ports] >>> 16 !== 0) records[at + RECORD.ports] = (heir.port << 16) | shown;
    if (store.groups.keyOf(record) !== 0) {
      store.lock.acquire(store.shard);
      store.groups.move(record, heir.index);
      store.lock.release(store.shard);
    }
    store.servers.addEstablished(server, -1);
    store.servers.addEstablished(heir.index, 1);
    const sessions = store.pool.sessionsOf(record);
    store.servers.addSessions(server, -sessions);
    store.servers.addSessions(heir.index, sessions);
    if (shown !== 0 && shown !== heir.port) this.#p.floating.ask((heir.address << 16) | shown);
    statistics[COUNTER.takeOversMoved]++;
    store.share?.changed(record);
    return true;
  }

  /** What comes from the heir is the tunnel's, and what comes from the old server no longer is, or not for long. */
  #moveReverse(record: number, heir: PlanServer, now: number, grace: number): boolean {
    const { store } = this.#p;
    const nowMs = Math.floor(now * 1000) | 0;
    const { table, memory } = store;
    const half = store.word(record, RECORD.entryHalfOpen) - 1;
    if (half >= 0 && (table.keyWord(half, KEY_WORDS - 1) & 0xff) === TABLE_REVERSE_HALF_OPEN)
      store.forgetRequest(record, nowMs);
    const old = store.word(record, RECORD.entryReverse) - 1;
    if (old < 0) return true;
    const key = this.#key;
    for (let w = 0; w < KEY_WORDS; w++) key[w] = table.keyWord(old, w);
    const tag = (heir.address << 16) | (key[KEY_WORDS - 1] & 0xffff);
    if (tag === key[KEY_WORDS - 1]) return true; // both servers have one address
    key[KEY_WORDS - 1] = tag;
    const occupant = table.find(key, 0);
    if (occupant >= 0) {
      // Its own is one that lingers: the tunnel comes back before the packets that were on their way are gone.
      const other = table.recordOf(occupant);
      if (other !== record && store.state(other) !== RECORD_STATE.closing) return false;
      store.detach(occupant, nowMs);
    }
    const flags = table.flagsOf(old) & ~FLAG_OFFLOADED;
    const slot = table.insert(key, 0, table.targetOf(old), table.portsOf(old), record, flags, nowMs);
    if (slot < 0) return false;
    if (!this.#moveLocal(record, heir, nowMs)) {
      table.remove(slot, nowMs);
      return false;
    }
    table.touch(slot, table.lastSeen(old));
    // What went through the old entry stays part of the tunnel's sums.
    addWide(memory.entries, slot * ENTRY_WORDS + ENTRY.packets, table.packets(old));
    addWide(memory.entries, slot * ENTRY_WORDS + ENTRY.bytes, table.bytes(old));
    memory.records[record * RECORD_WORDS + RECORD.entryReverse] = slot + 1;
    table.setFlags(old, flags);
    if (grace === 0 || !this.#lingering.add(old, now + grace)) table.remove(old, nowMs);
    return true;
  }

  /** Full NAT: the tunnel's port of the local address is kept towards the heir, unless another tunnel has it there. */
  #moveLocal(record: number, heir: PlanServer, nowMs: number): boolean {
    const { store } = this.#p;
    const { table, memory, shard } = store;
    const old = store.localEntry(record);
    if (old < 0) return true;
    const key = this.#key;
    const tag = key[KEY_WORDS - 1];
    const channel = key[KEY_WORDS - 2];
    key[KEY_WORDS - 1] = (heir.address << 16) | (table.keyWord(old, KEY_WORDS - 1) & 0xffff);
    key[KEY_WORDS - 2] = 0;
    store.lock.acquire(shard);
    const taken = table.find(key, 0) >= 0;
    const slot = taken
      ? -1
      : table.insert(key, 0, table.targetOf(old), table.portsOf(old), record, table.flagsOf(old), nowMs);
    store.lock.release(shard);
    key[KEY_WORDS - 1] = tag;
    key[KEY_WORDS - 2] = channel;
    if (slot < 0) return false;
    memory.records[record * RECORD_WORDS + RECORD.entryAlias] = slot + 1;
    table.remove(old, nowMs);
    return true;
  }

  /** A client → server entry leads to the heir, at the port that the heir is configured at. */
  #lead(slot: number, record: number, target: number, port: number): void {
    const { table } = this.#p.store;
    const ports = table.portsOf(slot);
    const next = ports === 0 ? 0 : (ports & ~0xffff) | port | 0;
    if (next === ports) table.setTarget(slot, target);
    else table.update(slot, target, next, record, table.flagsOf(slot));
  }
}

function isMeant(channel: number, { ranges }: RePointOrder): boolean {
  if (ranges.length === 0) return true;
  for (let i = 0; i < ranges.length; i++) if (channel >= ranges[i].low && channel <= ranges[i].high) return true;
  return false;
}
