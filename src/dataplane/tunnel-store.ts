/**
 * Tunnels in the shared memory: a record and its entries. Only the shard that owns the client's address
 * calls this; other threads read. Knows addresses, channels and times, no protocol.
 */
import type { ServerTable } from '../designation/servers.js';
import { ClientIndex } from '../flow/client-index.js';
import type { ConnectionTable } from '../flow/connection-table.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_DECREMENT_TTL,
  FLAG_DENIED,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
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
import type { TunnelDraft } from './tunnel-draft.js';

/** Answers of `create` below 0. */
export const STORE_FULL = -1;

const NO_PORTS = 0;

export class TunnelStore {
  readonly #key = new Int32Array(8);
  readonly #records: Int32Array;
  /** Who is told what happens, if anybody. */
  events: EventTap | null = null;
  readonly clients: ClientIndex;

  constructor(
    readonly memory: TableMemory,
    readonly shard: number,
    readonly table: ConnectionTable,
    readonly pool: RecordPool,
    readonly lock: SpinLock,
    readonly servers: ServerTable,
  ) {
    this.#records = memory.records;
    this.clients = new ClientIndex(memory);
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  word(record: number, word: number): number {
    return this.#records[record * RECORD_WORDS + word];
  }

  state(record: number): number {
    return this.word(record, RECORD.state) & 0xff;
  }

  protocol(record: number): number {
    return (this.word(record, RECORD.state) >>> 8) & 0xff;
  }

  vipIndex(record: number): number {
    return this.word(record, RECORD.place) >>> 16;
  }

  serverIndex(record: number): number {
    return this.word(record, RECORD.place) & 0xffff;
  }

  /** An entry of the tunnel that has the client's address and port in its key, −1 when it has none (being made). */
  anyEntry(record: number): number {
    return (
      (this.word(record, RECORD.entryReverse) ||
        this.word(record, RECORD.entryForward) ||
        this.word(record, RECORD.entryHalfOpen) ||
        this.word(record, RECORD.entryAlias)) - 1
    );
  }

  /** Lays out the key under which a client's packets with this channel would be found. */
  forwardKey(key: Int32Array, draft: TunnelDraft, localPort: number, channel: number): void {
    key[ENTRY.client - 1] = draft.a0;
    key[ENTRY.client] = draft.a1;
    key[ENTRY.client + 1] = draft.a2;
    key[ENTRY.client + 2] = draft.a3;
    key[ENTRY.keyA - 1] = draft.hasPorts ? (draft.clientPort << 16) | localPort : NO_PORTS;
    key[ENTRY.keyB - 1] = channel;
    key[ENTRY.tag - 1] = (draft.vip.address << 16) | (draft.protocol << 8) | TABLE_FORWARD;
  }

  /** The next hop towards the server, as a client → server entry has it. */
  serverNextHop(record: number): number {
    const slot = (this.word(record, RECORD.entryForward) || this.word(record, RECORD.entryHalfOpen)) - 1;
    return slot < 0 ? 0 : this.table.targetOf(slot) & 0xffff;
  }

  /** The next hop towards the client, as its server → client entry has it. */
  clientNextHop(record: number): number {
    const slot = (this.word(record, RECORD.entryReverse) || this.word(record, RECORD.entryHalfOpen)) - 1;
    return slot < 0 ? 0 : this.table.targetOf(slot) & 0xffff;
  }

  /** Seconds of the last packet in either direction, at least the time of creation. */
  lastSeen(record: number): number {
    let last = this.word(record, RECORD.created);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot >= 0) last = Math.max(last, this.table.lastSeen(slot));
    }
    return last;
  }

  // ── a tunnel's life ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A client's request: record, half-open entry and reverse entry. The caller holds the lock (designation happened
   * under it). Returns the record, or STORE_FULL with nothing left behind.
   */
  create(draft: TunnelDraft, nowSeconds: number, nowMs: number): number {
    const record = this.#newRecord(draft, nowSeconds);
    if (record < 0) return STORE_FULL;
    const tableOfRequest = draft.clientChannel !== 0 ? TABLE_HALF_OPEN : TABLE_REVERSE_HALF_OPEN;
    const first =
      tableOfRequest === TABLE_HALF_OPEN
        ? this.#insertIn(
            record,
            draft,
            TABLE_HALF_OPEN,
            draft.vip.port,
            draft.clientChannel,
            draft.server.port,
            nowSeconds,
            nowMs,
          )
        : this.#insertOut(
            record,
            draft,
            TABLE_REVERSE_HALF_OPEN,
            draft.serverChannel,
            draft.vip.port,
            nowSeconds,
            nowMs,
          );
    const second =
      first < 0
        ? -1
        : tableOfRequest === TABLE_HALF_OPEN
          ? this.#insertOut(record, draft, TABLE_REVERSE, draft.clientChannel, draft.vip.port, nowSeconds, nowMs)
          : this.#insertIn(
              record,
              draft,
              TABLE_FORWARD,
              draft.vip.port,
              draft.virtualChannel || draft.serverChannel,
              draft.server.port,
              nowSeconds,
              nowMs,
            );
    if (second < 0) {
      if (first >= 0) this.table.remove(first, nowMs);
      this.pool.freeRecord(record);
      return STORE_FULL;
    }
    this.#set(record, RECORD.entryHalfOpen, first + 1);
    this.#set(record, tableOfRequest === TABLE_HALF_OPEN ? RECORD.entryReverse : RECORD.entryForward, second + 1);
    this.clients.add(record, draft.a0, draft.a1, draft.a2, draft.a3);
    this.servers.addHalfOpen(draft.server.index, 1);
    Atomics.add(this.memory.header, HEADER.halfOpen, 1);
    this.events?.tunnel(SHARD_EVENT.request, record);
    return record;
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
    this.#set(record, RECORD.ports, (serverPort << 16) | shownPort);
    this.#set(record, RECORD.serverChannel, draft.serverChannel);
    this.#set(record, RECORD.clientChannel, draft.clientChannel);
    this.#set(record, RECORD.virtualChannel, draft.virtualChannel);
    const shown = draft.virtualChannel || draft.serverChannel;
    // A server that was started again during the set-up answers anew, with another id: the first answer counts no more.
    if (!this.#leadsTo(this.word(record, RECORD.entryForward) - 1, shown, shownPort)) {
      this.#removeEntry(record, RECORD.entryForward, nowMs);
      this.#removeEntry(record, RECORD.entryAlias, nowMs);
    }
    if (this.word(record, RECORD.entryForward) === 0) {
      const slot = this.#insertIn(record, draft, TABLE_FORWARD, shownPort, shown, serverPort, nowSeconds, nowMs);
      if (slot < 0) return false;
      this.#set(record, RECORD.entryForward, slot + 1);
      // A client that stays on the port it dialled (xl2tpd) is followed just as one that moves (RFC 2661 §8.1).
      if (shownPort !== draft.vip.port) {
        const alias = this.#insertIn(
          record,
          draft,
          TABLE_FORWARD,
          draft.vip.port,
          shown,
          serverPort,
          nowSeconds,
          nowMs,
        );
        if (alias >= 0) this.#set(record, RECORD.entryAlias, alias + 1);
      }
    }
    const reverse = this.word(record, RECORD.entryReverse) - 1;
    if (reverse < 0) {
      const slot = this.#insertOut(record, draft, TABLE_REVERSE, draft.clientChannel, shownPort, nowSeconds, nowMs);
      if (slot < 0) return false;
      this.#set(record, RECORD.entryReverse, slot + 1);
    } else if (shownPort !== draft.vip.port) {
      this.table.update(
        reverse,
        (draft.vip.address << 16) | draft.clientNextHop,
        draft.hasPorts ? shownPort << 16 : NO_PORTS,
        record,
        this.table.flagsOf(reverse),
      );
    }
    return true;
  }

  /** Is this the forward entry of that channel and local port? */
  #leadsTo(slot: number, channel: number, port: number): boolean {
    return slot >= 0 && this.table.keyWord(slot, 5) === channel && (this.table.keyWord(slot, 4) & 0xffff) === port;
  }

  #removeEntry(record: number, word: number, nowMs: number): void {
    const slot = this.word(record, word) - 1;
    if (slot >= 0) this.table.remove(slot, nowMs);
    this.#set(record, word, 0);
  }

  establish(record: number): void {
    if (this.state(record) !== RECORD_STATE.halfOpen) return;
    this.pool.setState(record, RECORD_STATE.established);
    const server = this.serverIndex(record);
    this.servers.addHalfOpen(server, -1);
    this.servers.addEstablished(server, 1);
    Atomics.sub(this.memory.header, HEADER.halfOpen, 1);
    this.events?.tunnel(SHARD_EVENT.established, record);
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
    this.pool.setState(record, RECORD_STATE.closing);
  }

  /** Everything of the tunnel goes. The caller does not hold the lock and has taken the record off the wheel. */
  release(record: number, nowMs: number, reason: number = CLOSE_REASON.other): void {
    const state = this.state(record);
    if (state === RECORD_STATE.free) return;
    if (state !== RECORD_STATE.closing) this.events?.closed(record, reason, -1);
    this.clients.remove(record);
    this.#uncount(record, state);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot >= 0) this.table.remove(slot, nowMs);
      this.#set(record, w, 0);
    }
    this.lock.acquire(this.shard);
    this.pool.freeRecord(record);
    this.lock.release(this.shard);
  }

  /** Removes one entry from whichever tunnel has it: a new tunnel with the same ids takes its place. */
  detach(slot: number, nowMs: number): void {
    const record = this.table.recordOf(slot);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      if (this.word(record, w) === slot + 1) this.#set(record, w, 0);
    }
    this.table.remove(slot, nowMs);
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
  }

  // ── changes to a live tunnel ──────────────────────────────────────────────────────────────────────────────────────

  setSequence(record: number, ofClient: boolean, next: number, acknowledged: number): void {
    this.#set(record, ofClient ? RECORD.clientSequence : RECORD.serverSequence, (next << 16) | acknowledged);
  }

  setVirtualChannel(record: number, channel: number): void {
    this.#set(record, RECORD.virtualChannel, channel);
  }

  /** The firewall's present verdict on what the client sends. Readers see it or not yet, and never miss the tunnel. */
  setDenied(record: number, denied: boolean): void {
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot < 0) continue;
      const flags = this.table.flagsOf(slot);
      const next = denied && (flags & FLAG_REWRITE_SOURCE) === 0 ? flags | FLAG_DENIED : flags & ~FLAG_DENIED;
      if (next !== flags) this.table.setFlags(slot, next);
    }
  }

  /** Brings addresses and next hops of all entries up to date. */
  retarget(
    record: number,
    vipAddress: number,
    serverAddress: number,
    clientNextHop: number,
    serverNextHop: number,
  ): void {
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot < 0) continue;
      const out = (this.table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0;
      const target = out ? (vipAddress << 16) | clientNextHop : (serverAddress << 16) | serverNextHop;
      if (this.table.targetOf(slot) !== target) this.table.setTarget(slot, target);
    }
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #newRecord(draft: TunnelDraft, nowSeconds: number): number {
    const record = this.pool.allocateRecord();
    if (record < 0) return -1;
    this.#set(record, RECORD.place, (draft.vip.index << 16) | draft.server.index);
    this.#set(record, RECORD.clientChannel, draft.clientChannel);
    this.#set(record, RECORD.serverChannel, draft.serverChannel);
    this.#set(record, RECORD.virtualChannel, draft.virtualChannel);
    this.#set(record, RECORD.created, nowSeconds);
    this.#set(record, RECORD.state, recordState(this.pool.version(record) + 1, draft.protocol, RECORD_STATE.halfOpen));
    return record;
  }

  /** Client → server entry: destination becomes the server. */
  #insertIn(
    record: number,
    draft: TunnelDraft,
    tableKind: number,
    localPort: number,
    channel: number,
    serverPort: number,
    nowSeconds: number,
    nowMs: number,
  ): number {
    let flags = FLAG_DECREMENT_TTL;
    if (draft.hasPorts) flags |= FLAG_REWRITE_PORTS;
    if (draft.denied) flags |= FLAG_DENIED;
    if (tableKind === TABLE_FORWARD && draft.virtualChannel !== 0) flags |= FLAG_REWRITE_CHANNEL;
    return this.#insert(
      record,
      draft,
      draft.hasPorts ? (draft.clientPort << 16) | localPort : NO_PORTS,
      channel,
      (draft.vip.address << 16) | (draft.protocol << 8) | tableKind,
      (draft.server.address << 16) | draft.serverNextHop,
      draft.hasPorts ? serverPort : NO_PORTS,
      flags,
      nowSeconds,
      nowMs,
    );
  }

  /** Server → client entry: source becomes the VIP. */
  #insertOut(
    record: number,
    draft: TunnelDraft,
    tableKind: number,
    channel: number,
    shownPort: number,
    nowSeconds: number,
    nowMs: number,
  ): number {
    let flags = FLAG_DECREMENT_TTL | FLAG_REWRITE_SOURCE;
    if (draft.hasPorts) flags |= FLAG_REWRITE_PORTS;
    return this.#insert(
      record,
      draft,
      draft.hasPorts ? draft.clientPort << 16 : NO_PORTS,
      channel,
      (draft.server.address << 16) | (draft.protocol << 8) | tableKind,
      (draft.vip.address << 16) | draft.clientNextHop,
      draft.hasPorts ? shownPort << 16 : NO_PORTS,
      flags,
      nowSeconds,
      nowMs,
    );
  }

  #insert(
    record: number,
    draft: TunnelDraft,
    keyA: number,
    keyB: number,
    tag: number,
    target: number,
    ports: number,
    flags: number,
    nowSeconds: number,
    nowMs: number,
  ): number {
    const key = this.#key;
    key[ENTRY.client - 1] = draft.a0;
    key[ENTRY.client] = draft.a1;
    key[ENTRY.client + 1] = draft.a2;
    key[ENTRY.client + 2] = draft.a3;
    key[ENTRY.keyA - 1] = keyA;
    key[ENTRY.keyB - 1] = keyB;
    key[ENTRY.tag - 1] = tag;
    const occupant = this.table.find(key, 0);
    if (occupant >= 0) this.detach(occupant, nowMs); // the caller made sure that it is a closing tunnel's
    const slot = this.table.insert(key, 0, target, ports, record, flags, nowMs);
    if (slot >= 0) this.table.touch(slot, nowSeconds);
    return slot;
  }

  #uncount(record: number, state: number): void {
    const server = this.serverIndex(record);
    if (state === RECORD_STATE.halfOpen) {
      this.servers.addHalfOpen(server, -1);
      Atomics.sub(this.memory.header, HEADER.halfOpen, 1);
    } else if (state === RECORD_STATE.established) this.servers.addEstablished(server, -1);
    if (state !== RECORD_STATE.closing) this.servers.addSessions(server, -this.pool.sessionsOf(record));
  }

  #set(record: number, word: number, value: number): void {
    this.#records[record * RECORD_WORDS + word] = value;
  }
}
