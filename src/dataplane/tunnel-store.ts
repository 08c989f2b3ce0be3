/**
 * Tunnels in the shared memory: a record and its entries. Only the shard that owns the client's address
 * calls this; other threads read. Knows addresses, channels and times, no protocol.
 */
import type { ServerTable } from '../designation/servers.js';
import { GroupMemory } from '../flow/group-memory.js';
import { ClientIndex } from '../flow/client-index.js';
import type { ConnectionTable } from '../flow/connection-table.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_DENIED,
  FLAG_REWRITE_BOTH,
  FLAG_REWRITE_SOURCE,
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  TABLE_FORWARD,
  TABLE_HALF_OPEN,
  TABLE_REVERSE,
  TABLE_REVERSE_HALF_OPEN,
  type TableMemory,
} from '../flow/layout.js';
import { type RecordPool, recordState } from '../flow/record-pool.js';
import type { SpinLock } from '../flow/spin-lock.js';
import { addWide } from '../flow/wide-counter.js';
import { CLOSE_REASON, type EventTap, SHARD_EVENT } from './event-tap.js';
import type { Share } from './share.js';
import type { TunnelDraft } from './tunnel-draft.js';
import { TunnelEntries } from './tunnel-entries.js';
import { TunnelView } from './tunnel-view.js';

/** Answers of `create` below 0. */
export const STORE_FULL = -1;
/** Tunnels of one client address that a question looks at, newest first. */
export const LOOK_LIMIT = 4096;

export class TunnelStore extends TunnelView {
  readonly #key = new Int32Array(8);
  readonly #records: Int32Array;
  /** Who is told what happens, if anybody. */
  events: EventTap | null = null;
  /** The table is shared with other designators. */
  share: Share | null = null;
  readonly entries: TunnelEntries;
  readonly clients: ClientIndex;
  /** Under the lock. */
  readonly groups: GroupMemory;

  constructor(
    memory: TableMemory,
    readonly shard: number,
    table: ConnectionTable,
    readonly pool: RecordPool,
    readonly lock: SpinLock,
    readonly servers: ServerTable,
  ) {
    super(memory, table);
    this.#records = memory.records;
    this.entries = new TunnelEntries(table, memory.addresses, (slot, nowMs) => this.detach(slot, nowMs));
    this.clients = new ClientIndex(memory);
    this.groups = new GroupMemory(memory);
  }

  /** Another member of the cluster writes this tunnel: nothing of it is changed here. */
  isForeign(record: number): boolean {
    return this.share !== null && this.share.isForeign(record);
  }

  // ── a tunnel's life ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A request: record, half-open entry and the entry of the direction that it comes from. The caller holds the lock
   * (designation happened under it). Returns the record, or STORE_FULL with nothing left behind.
   */
  create(draft: TunnelDraft, nowSeconds: number, nowMs: number): number {
    const { entries } = this;
    const record = this.#newRecord(draft, nowSeconds);
    if (record < 0) return STORE_FULL;
    entries.setTime(nowSeconds, nowMs);
    const { port } = draft.vip;
    const first = draft.fromServer
      ? entries.insertOut(record, draft, TABLE_REVERSE_HALF_OPEN, draft.requestKey, port)
      : entries.insertIn(record, draft, TABLE_HALF_OPEN, draft.vip.address, port, draft.requestKey, draft.server.port);
    let second = first;
    // A client that hides its id is found by the answer, which shows it.
    const known = draft.fromServer ? draft.virtualChannel || draft.serverChannel : draft.clientChannel;
    if (first >= 0 && known !== 0 && !draft.oneWay)
      second = draft.fromServer
        ? entries.insertIn(record, draft, TABLE_FORWARD, draft.shownAddress, port, known, draft.server.port)
        : entries.insertOut(record, draft, TABLE_REVERSE, known, port);
    const local = draft.localAddress < 0 || second < 0 ? 0 : entries.insertLocal(record, draft, port);
    if (second < 0 || local < 0) {
      if (second >= 0 && second !== first) this.table.remove(second, nowMs);
      if (first >= 0) this.table.remove(first, nowMs);
      this.pool.freeRecord(record);
      return STORE_FULL;
    }
    if (draft.localAddress >= 0) this.#set(record, RECORD.entryAlias, local + 1);
    this.#set(record, RECORD.entryHalfOpen, first + 1);
    if (second !== first) this.#set(record, draft.fromServer ? RECORD.entryForward : RECORD.entryReverse, second + 1);
    if (!draft.oneWay) this.#countHalfOpen(draft.server.index, 1);
    this.clients.add(record, draft.a0, draft.a1, draft.a2, draft.a3);
    this.events?.tunnel(SHARD_EVENT.request, record);
    this.share?.changed(record);
    return record;
  }

  /**
   * An answer to a request that never was here: record and the way to the client. The rest comes when the answer is read.
   * Returns the record, or STORE_FULL with nothing left behind.
   */
  createAnswered(draft: TunnelDraft, nowSeconds: number, nowMs: number): number {
    this.lock.acquire(this.shard);
    const record = this.#newRecord(draft, nowSeconds);
    this.lock.release(this.shard);
    if (record < 0) return STORE_FULL;
    this.entries.setTime(nowSeconds, nowMs);
    const slot = this.entries.insertOut(record, draft, TABLE_REVERSE, draft.clientChannel, draft.vip.port);
    if (slot < 0) {
      this.lock.acquire(this.shard);
      this.pool.freeRecord(record);
      this.lock.release(this.shard);
      return STORE_FULL;
    }
    this.#set(record, RECORD.entryReverse, slot + 1);
    this.#countHalfOpen(draft.server.index, 1);
    this.lock.acquire(this.shard);
    this.clients.add(record, draft.a0, draft.a1, draft.a2, draft.a3);
    this.lock.release(this.shard);
    this.events?.tunnel(SHARD_EVENT.request, record);
    this.share?.changed(record);
    return record;
  }

  /** A tunnel whose answers did not pass here is to get them here from now on: it is half open as any other. */
  expect(record: number): void {
    if (this.state(record) !== RECORD_STATE.passed) return;
    this.pool.setState(record, RECORD_STATE.halfOpen);
    this.#countHalfOpen(this.serverIndex(record), 1);
    this.share?.changed(record);
  }

  #countHalfOpen(server: number, by: number): void {
    this.servers.addHalfOpen(server, by);
    Atomics.add(this.memory.header, HEADER.halfOpen, by);
  }

  /** The answer shows the id that the client has hidden: the way back to it gets its entry. False: the table is full. */
  learnClient(record: number, draft: TunnelDraft, channel: number, nowSeconds: number, nowMs: number): boolean {
    draft.clientChannel = channel;
    this.entries.setTime(nowSeconds, nowMs);
    const slot = this.entries.insertOut(record, draft, TABLE_REVERSE, channel, draft.vip.port);
    if (slot < 0) return false;
    this.#set(record, RECORD.clientChannel, channel);
    this.#set(record, RECORD.entryReverse, slot + 1);
    this.share?.changed(record);
    return true;
  }

  /** The server has answered and hides its id: until the client says it, only where it answers from is known. */
  answerHidden(record: number, draft: TunnelDraft, shownPort: number, serverPort: number): void {
    this.#set(record, RECORD.ports, (serverPort << 16) | shownPort);
    this.#show(record, draft, shownPort);
    this.share?.changed(record);
  }

  /**
   * The answer to a request is known: the missing direction gets its entry, and a server that floated its port is
   * followed. `shownPort` is the port that the client sees. False when the table is full.
   */
  confirm(
    record: number,
    draft: TunnelDraft,
    shownPort: number,
    serverPort: number,
    nowSeconds: number,
    nowMs: number,
  ): boolean {
    const { entries } = this;
    entries.setTime(nowSeconds, nowMs);
    this.#set(record, RECORD.ports, (serverPort << 16) | shownPort);
    this.#set(record, RECORD.serverChannel, draft.serverChannel);
    this.#set(record, RECORD.clientChannel, draft.clientChannel);
    this.#set(record, RECORD.virtualChannel, draft.virtualChannel);
    const shown = draft.virtualChannel || draft.serverChannel;
    const { vip, shownAddress } = draft;
    // A server that was started again during the set-up answers anew, with another id: the first answer counts no more.
    if (!this.#leadsTo(this.word(record, RECORD.entryForward) - 1, shown, shownAddress, shownPort)) {
      this.#removeEntry(record, RECORD.entryForward, nowMs);
      if (draft.localAddress < 0) this.#removeEntry(record, RECORD.entryAlias, nowMs);
    }
    if (this.word(record, RECORD.entryForward) === 0) {
      const slot = entries.insertIn(record, draft, TABLE_FORWARD, shownAddress, shownPort, shown, serverPort);
      if (slot < 0) return false;
      this.#set(record, RECORD.entryForward, slot + 1);
      // A client that stays on the address or port it dialled (xl2tpd) is followed just as one that moves (RFC 2661
      // §8.1). With full NAT it is answered from there anyway, and the word is another entry's.
      const moves = shownPort !== vip.port || shownAddress !== vip.address;
      if (draft.localAddress < 0 && moves && !this.#taken(draft, vip.address, vip.port, shown)) {
        const alias = entries.insertIn(record, draft, TABLE_FORWARD, vip.address, vip.port, shown, serverPort);
        if (alias >= 0) this.#set(record, RECORD.entryAlias, alias + 1);
      }
    }
    if (draft.oneWay) {
      this.share?.changed(record);
      return true;
    }
    if (this.word(record, RECORD.entryReverse) === 0) {
      const slot = entries.insertOut(record, draft, TABLE_REVERSE, draft.clientChannel, shownPort);
      if (slot < 0) return false;
      this.#set(record, RECORD.entryReverse, slot + 1);
    } else this.#show(record, draft, shownPort);
    this.share?.changed(record);
    return true;
  }

  /** What the server sends comes from the draft's address and this port from now on. */
  #show(record: number, draft: TunnelDraft, shownPort: number): void {
    const slot = this.word(record, RECORD.entryReverse) - 1;
    const ports = this.entries.portsOut(draft, shownPort);
    const target = (draft.shownAddress << 16) | draft.clientNextHop;
    if (slot < 0 || (this.table.portsOf(slot) === ports && this.table.targetOf(slot) === target)) return;
    this.table.update(slot, target, ports, record, this.table.flagsOf(slot));
  }

  /** Another living tunnel of the client is found by this channel and place. */
  #taken(draft: TunnelDraft, address: number, port: number, channel: number): boolean {
    this.entries.forwardKey(this.#key, draft, address, port, channel);
    const slot = this.table.find(this.#key, 0);
    return slot >= 0 && this.state(this.table.recordOf(slot)) !== RECORD_STATE.closing;
  }

  /** The client answers from another port than the one that its server asked: what comes from there is the tunnel's. */
  moveClient(record: number, nowMs: number): void {
    this.#removeEntry(record, RECORD.entryForward, nowMs);
    this.share?.changed(record);
  }

  /** Is this the forward entry of that channel and local place? */
  #leadsTo(slot: number, channel: number, address: number, port: number): boolean {
    const { table } = this;
    return (
      slot >= 0 &&
      table.keyWord(slot, 5) === channel &&
      (table.keyWord(slot, 4) & 0xffff) === port &&
      table.keyWord(slot, 6) >>> 16 === address
    );
  }

  #removeEntry(record: number, word: number, nowMs: number): void {
    const slot = this.word(record, word) - 1;
    if (slot >= 0) this.table.remove(slot, nowMs);
    this.#set(record, word, 0);
  }

  establish(record: number): void {
    const state = this.state(record);
    if (state !== RECORD_STATE.halfOpen && state !== RECORD_STATE.passed) return;
    this.pool.setState(record, RECORD_STATE.established);
    const server = this.serverIndex(record);
    if (state === RECORD_STATE.halfOpen) this.#countHalfOpen(server, -1);
    this.servers.addEstablished(server, 1);
    this.events?.tunnel(SHARD_EVENT.established, record);
    this.share?.changed(record);
  }

  /**
   * The tunnel ends: it counts no more, but its mapping stays for the retransmissions of the end itself. `reason`: a
   * CLOSE_REASON; `result`: the result code of the message that ended it, −1 none.
   */
  close(record: number, reason: number = CLOSE_REASON.other, result = -1): void {
    const state = this.state(record);
    if (state === RECORD_STATE.closing || state === RECORD_STATE.free) return;
    this.events?.closed(record, reason, result);
    this.#uncount(record, state);
    this.#leaveGroup(record);
    this.pool.setState(record, RECORD_STATE.closing);
    this.share?.changed(record);
  }

  /** Everything of the tunnel goes. The caller does not hold the lock and has taken the record off the wheel. */
  release(record: number, nowMs: number, reason: number = CLOSE_REASON.other): void {
    const state = this.state(record);
    if (state === RECORD_STATE.free) return;
    if (state !== RECORD_STATE.closing) this.events?.closed(record, reason, -1);
    this.#uncount(record, state);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot >= 0) this.table.remove(slot, nowMs);
      this.#set(record, w, 0);
    }
    this.lock.acquire(this.shard);
    // In a shared table the main thread changes the lists of clients too.
    this.clients.remove(record);
    this.groups.leave(record);
    this.pool.freeRecord(record);
    this.lock.release(this.shard);
    this.share?.changed(record);
  }

  #leaveGroup(record: number): void {
    if (this.groups.keyOf(record) === 0) return;
    this.lock.acquire(this.shard);
    this.groups.leave(record);
    this.lock.release(this.shard);
  }

  /** Removes one entry from whichever tunnel has it: a new tunnel with the same ids takes its place. */
  detach(slot: number, nowMs: number): void {
    const record = this.table.recordOf(slot);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      if (this.word(record, w) === slot + 1) this.#set(record, w, 0);
    }
    this.table.remove(slot, nowMs);
    this.share?.changed(record);
  }

  /** The half-open entry has served: no request of this tunnel can be on its way any more. */
  forgetRequest(record: number, nowMs: number): void {
    const slot = this.word(record, RECORD.entryHalfOpen) - 1;
    if (slot < 0) return;
    const forward = this.word(record, RECORD.entryForward) - 1;
    // What the request's entry counted stays part of the tunnel's sums.
    if (forward >= 0) {
      addWide(this.memory.entries, forward * ENTRY_WORDS + ENTRY.packets, this.table.packets(slot));
      addWide(this.memory.entries, forward * ENTRY_WORDS + ENTRY.bytes, this.table.bytes(slot));
    }
    this.table.remove(slot, nowMs);
    this.#set(record, RECORD.entryHalfOpen, 0);
    this.share?.changed(record);
  }

  // ── changes to a live tunnel ──────────────────────────────────────────────────────────────────────────────────────

  setSequence(record: number, ofClient: boolean, next: number, acknowledged: number): void {
    this.#set(record, ofClient ? RECORD.clientSequence : RECORD.serverSequence, (next << 16) | acknowledged);
  }

  /**
   * Puts a tunnel on full NAT: `draft` is the tunnel with `localAddress` and the port of it that `FullNat.port` chose. Its
   * entries are made anew or changed one by one, the keeper of the port first, so that no packet leaves half rewritten. The
   * caller holds the lock. False, and nothing has changed: the table is full.
   */
  putOnFullNat(record: number, draft: TunnelDraft, nowSeconds: number, nowMs: number): boolean {
    const { entries, table } = this;
    entries.setTime(nowSeconds, nowMs);
    const local = entries.insertLocal(record, draft, draft.vip.port);
    if (local < 0) return false;
    let reverse = 0;
    if (draft.clientChannel !== 0) {
      reverse = entries.insertOut(record, draft, TABLE_REVERSE, draft.clientChannel, draft.vip.port);
      if (reverse < 0) {
        table.remove(local, nowMs);
        return false;
      }
    }
    this.#removeEntry(record, RECORD.entryAlias, nowMs);
    this.#set(record, RECORD.entryAlias, local + 1);
    const ports = this.word(record, RECORD.ports);
    if (ports !== 0) this.#set(record, RECORD.ports, (ports & ~0xffff) | draft.vip.port);
    for (const word of [RECORD.entryHalfOpen, RECORD.entryForward]) {
      const slot = this.word(record, word) - 1;
      if (slot < 0) continue;
      const target = (draft.virtualPort << 16) | (table.portsOf(slot) & 0xffff);
      table.update(slot, table.targetOf(slot), target, record, table.flagsOf(slot) | FLAG_REWRITE_BOTH);
    }
    this.#removeEntry(record, RECORD.entryReverse, nowMs);
    if (draft.clientChannel !== 0) this.#set(record, RECORD.entryReverse, reverse + 1);
    this.share?.changed(record);
    return true;
  }

  setVirtualChannel(record: number, channel: number): void {
    this.#set(record, RECORD.virtualChannel, channel);
    this.share?.changed(record);
  }

  /** The firewall's present verdict on what the client sends. Readers see it or not yet, and never miss the tunnel. */
  setDenied(record: number, denied: boolean): void {
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot < 0) continue;
      const flags = this.table.flagsOf(slot);
      const next = denied && (flags & FLAG_REWRITE_SOURCE) === 0 ? flags | FLAG_DENIED : flags & ~FLAG_DENIED;
      if (next !== flags) this.table.changeFlags(slot, FLAG_DENIED, next);
    }
  }

  /** Brings addresses and next hops of all entries up to date. */
  retarget(
    record: number,
    shownAddress: number,
    serverAddress: number,
    clientNextHop: number,
    serverNextHop: number,
  ): void {
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot < 0) continue;
      const out = (this.table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0;
      const target = out ? (shownAddress << 16) | clientNextHop : (serverAddress << 16) | serverNextHop;
      if (this.table.targetOf(slot) !== target) this.table.setTarget(slot, target);
    }
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #newRecord(draft: TunnelDraft, nowSeconds: number): number {
    const record = this.pool.allocateRecord();
    if (record < 0) return -1;
    this.share?.made(record);
    this.#set(record, RECORD.place, (draft.vip.index << 16) | draft.server.index);
    this.#set(record, RECORD.clientChannel, draft.clientChannel);
    this.#set(record, RECORD.serverChannel, draft.serverChannel);
    this.#set(record, RECORD.virtualChannel, draft.virtualChannel);
    this.#set(record, RECORD.created, nowSeconds);
    const state = draft.oneWay ? RECORD_STATE.passed : RECORD_STATE.halfOpen;
    this.#set(record, RECORD.state, recordState(this.pool.version(record) + 1, draft.protocol, state));
    return record;
  }

  #uncount(record: number, state: number): void {
    const server = this.serverIndex(record);
    if (state === RECORD_STATE.halfOpen) this.#countHalfOpen(server, -1);
    else if (state === RECORD_STATE.established) this.servers.addEstablished(server, -1);
    if (state !== RECORD_STATE.closing) this.servers.addSessions(server, -this.pool.sessionsOf(record));
  }

  #set(record: number, word: number, value: number): void {
    this.#records[record * RECORD_WORDS + word] = value;
  }
}
