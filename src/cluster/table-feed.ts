/**
 * Puts a table into the stream that this member writes: tunnels that somebody marks at once, all others in a round that
 * takes `sweepSeconds`, so that nothing is forgotten and what nobody marks (sequence numbers of a dialogue) is not older
 * than that. The shards write meanwhile; what is just changing is read again.
 */
import { ConnectionTable } from '../flow/connection-table.js';
import {
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SESSION,
  SESSION_STATE,
  SESSION_WORDS,
  type TableMemory,
} from '../flow/layout.js';
import {
  counterTag,
  PLANE,
  SESSION_RECORD,
  SESSION_RECORD_WORDS,
  TUNNEL_RECORD,
  TUNNEL_RECORD_WORDS,
  type TunnelCounters,
} from '../wire/cluster-record.js';
import { IndexMap } from './index-map.js';
import { IndexQueue } from './index-queue.js';
import type { StreamWriter } from './stream-writer.js';
import { CHANGING, encodeTunnel, PRESENT } from './tunnel-record.js';

export interface TableFeedOptions {
  readonly sweepSeconds?: number;
  /** Which tunnels of the table are this stream's; all by default. */
  readonly covers?: (record: number) => boolean;
  /** Of a stream that was followed before it is written: which index is which of our records. */
  readonly tunnels?: IndexMap;
  readonly sessions?: IndexMap;
}

/** A created that differs by less is the clocks' doing. */
const CLOCK_SLACK = 2;
const TURN_LIMIT = 8192;

export class TableFeed {
  readonly counters = { noIndex: 0, changing: 0 };
  readonly tunnels: IndexMap;
  readonly sessions: IndexMap;
  readonly #table: ConnectionTable;
  readonly #marked: IndexQueue;
  readonly #covers: (record: number) => boolean;
  readonly #sweepSeconds: number;
  readonly #words = new Int32Array(TUNNEL_RECORD_WORDS);
  readonly #session = new Int32Array(SESSION_RECORD_WORDS);
  /** Packets that were told last, by record. */
  readonly #told: Float64Array;
  #record = 0;
  #sessionCursor = 0;
  #sweptAt = Number.NaN;
  /** Records that are to be looked at without waiting for the round. */
  #hurried = 0;

  constructor(
    readonly memory: TableMemory,
    readonly writer: StreamWriter,
    options: TableFeedOptions = {},
  ) {
    const { recordCount, sessionCount } = memory.layout;
    this.#table = new ConnectionTable(memory);
    this.#marked = new IndexQueue(recordCount);
    this.#covers = options.covers ?? (() => true);
    this.#sweepSeconds = options.sweepSeconds ?? 10;
    this.#told = new Float64Array(recordCount).fill(-1);
    this.tunnels = options.tunnels ?? new IndexMap(writer.capacity[PLANE.tunnels], recordCount);
    this.sessions = options.sessions ?? new IndexMap(writer.capacity[PLANE.sessions], sessionCount);
    writer.counterSource = (index, out) => this.#count(index, out);
  }

  /** Something of this tunnel has changed. */
  mark(record: number): void {
    this.#marked.push(record);
  }

  get waiting(): number {
    return this.#marked.size;
  }

  /** Nobody knows what has changed: everything is looked at as fast as it goes. */
  hurry(): void {
    this.#hurried = this.memory.layout.recordCount;
  }

  get hurries(): boolean {
    return this.#hurried > 0;
  }

  /** What stands in the stream and is none of ours goes: somebody else has written it for a while. */
  reconcile(now: number): void {
    for (const [plane, map] of [
      [PLANE.tunnels, this.tunnels],
      [PLANE.sessions, this.sessions],
    ] as const) {
      const mirror = this.writer.mirrors[plane];
      for (let index = 0; index < mirror.capacity; index++)
        if (mirror.has(index) && map.localOf(index) < 0) this.writer.free(plane, index, now);
    }
  }

  /** Looks at what is marked and at a part of the rest. Call it every few milliseconds. */
  turn(now: number): void {
    for (let left = Math.min(TURN_LIMIT, this.#marked.size); left > 0; left--) this.feed(this.#marked.pop(), now);
    if (Number.isNaN(this.#sweptAt)) this.#sweptAt = now - this.#sweepSeconds;
    const { recordCount, sessionCount } = this.memory.layout;
    const share = Math.min(1, Math.max(0, now - this.#sweptAt) / this.#sweepSeconds);
    const due = Math.max(Math.floor(share * recordCount), this.#hurried);
    const records = Math.min(TURN_LIMIT, due);
    if (records === 0) return;
    this.#hurried = Math.max(0, this.#hurried - records);
    const swept = this.#sweptAt + (records / recordCount) * this.#sweepSeconds;
    this.#sweptAt = records < TURN_LIMIT ? Math.min(now, swept) : now;
    if (share === 1) this.#sweptAt = now;
    for (let i = 0; i < records; i++) {
      this.feed(this.#record, now);
      this.#record = this.#record + 1 === recordCount ? 0 : this.#record + 1;
    }
    const sessions = Math.ceil((records / recordCount) * sessionCount);
    for (let i = 0; i < sessions; i++) {
      this.#dropSession(this.#sessionCursor, now);
      this.#sessionCursor = this.#sessionCursor + 1 === sessionCount ? 0 : this.#sessionCursor + 1;
    }
  }

  /** Everything at once: what a table has when its stream begins. */
  all(now: number): void {
    for (let record = 0; record < this.memory.layout.recordCount; record++) this.feed(record, now);
    for (let session = 0; session < this.memory.layout.sessionCount; session++) this.#dropSession(session, now);
  }

  /** One tunnel with its sessions. */
  feed(record: number, now: number): void {
    const { writer, tunnels } = this;
    const known = tunnels.streamOf(record);
    const free = (this.memory.records[record * RECORD_WORDS + RECORD.state] & 0xff) === RECORD_STATE.free;
    if (free && known < 0) return;
    const words = this.#words;
    const result =
      free || !this.#covers(record) ? 0 : encodeTunnel(this.memory, this.#table, record, writer.clock, words);
    if (result === CHANGING) {
      this.counters.changing++;
      this.#marked.push(record);
      return;
    }
    if (result !== PRESENT) {
      if (known < 0) return;
      writer.free(PLANE.tunnels, known, now);
      tunnels.unlinkStream(known);
      this.#told[record] = -1;
      return;
    }
    const mirror = writer.mirrors[PLANE.tunnels];
    const index = tunnels.claim(record, (other) => mirror.has(other));
    if (index < 0) {
      this.counters.noIndex++;
      return;
    }
    // The successor's clock is not the first writer's to the second: that is no change.
    const created = mirror.word(index, TUNNEL_RECORD.created);
    if (mirror.has(index) && Math.abs(created - words[TUNNEL_RECORD.created]) <= CLOCK_SLACK)
      words[TUNNEL_RECORD.created] = created;
    writer.put(PLANE.tunnels, index, words, 0, now);
    this.#feedSessions(record, index, now);
  }

  #feedSessions(record: number, index: number, now: number): void {
    const { sessions, records, layout } = this.memory;
    const mirror = this.writer.mirrors[PLANE.sessions];
    const words = this.#session;
    let next = records[record * RECORD_WORDS + RECORD.sessions] - 1;
    for (let steps = 0; next >= 0 && next < layout.sessionCount && steps < layout.sessionCount; steps++) {
      const at = next * SESSION_WORDS;
      const state = sessions[at + SESSION.state];
      // The list changed under our feet: the rest comes with the next look.
      if (state === SESSION_STATE.free) {
        this.#marked.push(record);
        return;
      }
      words[SESSION_RECORD.tunnel] = index + 1;
      words[SESSION_RECORD.clientId] = sessions[at + SESSION.clientId];
      words[SESSION_RECORD.serverId] = sessions[at + SESSION.serverId];
      words[SESSION_RECORD.state] = state;
      const place = this.sessions.claim(next, (other) => mirror.has(other));
      if (place < 0) this.counters.noIndex++;
      else this.writer.put(PLANE.sessions, place, words, 0, now);
      next = sessions[at + SESSION.next] - 1;
    }
  }

  /** A session that was told and is free by now. */
  #dropSession(session: number, now: number): void {
    const index = this.sessions.streamOf(session);
    if (index < 0) return;
    const mirror = this.writer.mirrors[PLANE.sessions];
    const tunnel = mirror.word(index, SESSION_RECORD.tunnel) - 1;
    const isFree = this.memory.sessions[session * SESSION_WORDS + SESSION.state] === SESSION_STATE.free;
    if (!isFree && tunnel >= 0 && this.tunnels.localOf(tunnel) >= 0) return;
    this.writer.free(PLANE.sessions, index, now);
    this.sessions.unlinkStream(index);
  }

  #count(index: number, out: TunnelCounters): boolean {
    const record = this.tunnels.localOf(index);
    if (record < 0) return false;
    const { records } = this.memory;
    const at = record * RECORD_WORDS;
    const table = this.#table;
    out.index = index;
    out.packetsIn = 0;
    out.packetsOut = 0;
    out.bytesIn = 0;
    out.bytesOut = 0;
    let lastSeen = 0;
    for (let field = RECORD.entryHalfOpen; field <= RECORD.entryAlias; field++) {
      const slot = records[at + field] - 1;
      if (slot < 0) continue;
      lastSeen = Math.max(lastSeen, table.lastSeen(slot));
      if ((table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0) {
        out.packetsOut += table.packets(slot);
        out.bytesOut += table.bytes(slot);
      } else {
        out.packetsIn += table.packets(slot);
        out.bytesIn += table.bytes(slot);
      }
    }
    const packets = out.packetsIn + out.packetsOut;
    if (packets === this.#told[record]) return false;
    this.#told[record] = packets;
    const mirror = this.writer.mirrors[PLANE.tunnels];
    out.lastSeen = Math.round(lastSeen + this.writer.clock);
    out.tag = counterTag(mirror.word(index, TUNNEL_RECORD.created), mirror.word(index, TUNNEL_RECORD.clientChannel));
    return true;
  }
}
