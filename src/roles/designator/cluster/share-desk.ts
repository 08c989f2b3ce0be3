/**
 * The tunnels that designators of a cluster share. Every one writes the tunnels that were made at it as a stream of its
 * own; those of the others it puts into its own table, where they are forwarded by as any. Of a stream whose writer is
 * gone one member goes on as the writer: its shards then answer for these tunnels.
 *
 * **Who goes on.** The member with the lowest number among those that are left; if nobody does, whoever waits longest.
 * Should two do it, which a bus that fell apart may bring about, the generation decides, and who loses gives the tunnels
 * back. A member that was only unheard takes its own stream back: it knows best what happened to its tunnels meanwhile.
 *
 * **A process that starts** opens a stream that nobody has heard of. What it finds in its table of a former life is nobody's
 * (STREAM_FORMER) until it has heard what the others have: what they write replaces it, and what is left is its own.
 */
import type { IndexMap } from '../../../cluster/index-map.js';
import type { ClusterBus } from '../../../cluster/bus.js';
import { StateLink } from '../../../cluster/drivers/state-link.js';
import type { Facts } from '../../../cluster/introductions.js';
import { Replication, type ReplicationEvent, type StreamRow } from '../../../cluster/replication.js';
import type { Stream } from '../../../cluster/stream.js';
import { StreamReader } from '../../../cluster/stream-reader.js';
import type { StreamWriter } from '../../../cluster/stream-writer.js';
import { TableApply } from '../../../cluster/table-apply.js';
import { TableFeed } from '../../../cluster/table-feed.js';
import { counterLabel } from '../../../dataplane/counter-words.js';
import type { ForeignFrame, ShardMessage } from '../../../dataplane/plan.js';
import type { RouteSnapshot } from '../../../flow/route-table.js';
import { STREAM_FORMER, STREAM_OURS } from '../../../flow/share-map.js';
import type { EventLog } from '../../../ops/events.js';
import type { Logger } from '../../../ops/log.js';
import { FrameCourier } from './frame-courier.js';
import { ShareHooks } from './share-hooks.js';
import { type Slot, StreamSlots } from './stream-slots.js';
import type { SharedTable } from './share-memory.js';
import { SharePlaces } from './share-places.js';

export interface ShareDeskParts {
  readonly table: SharedTable;
  readonly bus: ClusterBus;
  /** What must be alike at all members, as it is configured now. */
  readonly facts: () => Facts;
  /** Frames a second that replication may send; absent: its own default. */
  readonly rate?: number;
  readonly shards: number;
  readonly message: (shard: number, message: ShardMessage) => boolean;
  /** Link-layer addresses of outside and inside. */
  readonly macs: readonly [Uint8Array, Uint8Array];
  /** A shard needs the link-layer addresses of these next hops. */
  readonly wanted: (hops: readonly number[]) => void;
  /** Servers answer from these ports (address index << 16 | port): the host must not see it. */
  readonly floating: (ports: readonly number[]) => void;
  /** The gateway group hears this member; absent: there is no group. */
  readonly groupHears?: (number: number) => boolean;
  /** CLOCK_MONOTONIC seconds, which the table's times are. */
  readonly now: () => number;
  readonly logger: Logger;
  readonly events: EventLog;
}

/** In this time every member was heard, and has told what streams it writes. */
const SETTLE_SECONDS = 1.5;
/** Former tunnels wait so long for streams that are still coming. */
const CATCH_UP_SECONDS = 30;
/** Whoever is not first to go on with a stream waits so long for each of those before it. */
const TURN_SECONDS = 1;
/** A writer that tells nothing for so long, not even digests, writes no more. */
const SILENT_SECONDS = 15;
/** What the writer sent before it was missed may come so much later. */
const SUSPECT_SECONDS = 0.5;
/** A stream without tunnels is dropped after so long. */
const EMPTY_SECONDS = 10;
const POLL_MS = 5;
/** Tunnels put in anew in a turn, after a change of routes or of the plan. */
const REFRESH_SLICE = 2048;
const DRAIN_LIMIT = 65_536;

export class ShareDesk {
  readonly replication: Replication;
  readonly apply: TableApply;
  readonly places: SharePlaces;
  readonly counters = { takenOver: 0, yielded: 0, retaken: 0, marksLost: 0, formerKept: 0 };
  readonly courier: FrameCourier;
  readonly #p: ShareDeskParts;
  readonly #link: StateLink;
  readonly #slots = new StreamSlots();
  readonly #hooks: ShareHooks;
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt: number;
  #settled = false;
  #crowded = false;
  /** Members that are gone as far as the gateway group can tell, and since when. */
  readonly #suspects = new Map<number, number>();
  #checkedAt = Number.NEGATIVE_INFINITY;
  #refresh: { slot: Slot; index: number }[] = [];
  #stopped = false;

  constructor(parts: ShareDeskParts) {
    this.#p = parts;
    const { table, bus, now } = parts;
    const { memory, map } = table;
    this.#startedAt = now();
    this.places = new SharePlaces(memory, now);
    this.#hooks = new ShareHooks(table, this.places, parts.message, (stream) => this.#slots.of(stream).number);
    this.apply = new TableApply(memory, this.places, this.#hooks);
    for (let record = 0; record < memory.layout.recordCount; record++)
      if (map.streamOf(record) === STREAM_FORMER) this.apply.takeFormer(record);
    const { recordCount, sessionCount } = memory.layout;
    this.replication = new Replication({
      number: bus.number,
      facts: parts.facts(),
      capacity: [recordCount, sessionCount],
      sink: {
        // What is heard of a stream that we write, before its other writer has yielded, is nobody's truth.
        changed: (stream, plane, index) => this.#isRead(stream) && this.apply.changed(stream, plane, index),
        counted: (stream, counters) => this.#isRead(stream) && this.apply.counted(stream, counters),
      },
      ...(parts.rate === undefined ? {} : { rate: parts.rate }),
    });
    this.courier = new FrameCourier({
      bus,
      shards: parts.shards,
      macs: parts.macs,
      message: parts.message,
      writerOf: (stream) => this.#writerOf(stream),
    });
    this.#link = new StateLink(
      bus,
      this.replication,
      (at) => this.#turn(at),
      () => this.#clock(),
    );
    bus.onChange(() => {
      this.#checkedAt = Number.NEGATIVE_INFINITY;
      this.#link.soon();
    });
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
  }

  /** Everything that shards have told goes out, as far as the pace allows in that time. */
  async stop(graceMs = 200): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped = true;
    const until = performance.now() + graceMs;
    do {
      this.#link.soon();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    } while (this.#waiting() && performance.now() < until);
    this.#link.close();
  }

  // ── what others tell ──────────────────────────────────────────────────────────────────────────────────────────────

  planChanged(): void {
    this.places.planChanged();
    this.replication.introductions.setFacts(this.#p.facts());
    this.#refreshAll();
  }

  setRoutes(routes: RouteSnapshot): void {
    this.places.setRoutes(routes);
    this.#refreshAll();
  }

  /** Frames of tunnels that others write, from a shard. */
  foreign(frames: readonly ForeignFrame[]): void {
    this.courier.send(frames);
  }

  /** A shard runs again: it looks at everything. */
  shardUp(shard: number): void {
    this.#p.message(shard, { type: 'shared' });
  }

  /** The gateway group does not hear this member any more, which it notices long before the bus does. */
  memberGone(number: number): void {
    this.#suspects.set(number, this.#p.now());
    this.#checkedAt = Number.NEGATIVE_INFINITY;
    this.#link.soon();
  }

  // ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  rows(): StreamRow[] {
    return [...this.replication.rows(this.#p.now())];
  }

  refused(): Iterable<{ readonly number: number; readonly differences: readonly string[] }> {
    return this.replication.introductions.refused();
  }

  totals(): Record<string, number> {
    const totals: Record<string, number> = {};
    for (const [prefix, counters] of [
      ['', this.counters],
      ['', this.#hooks.counters],
      ['table-', this.apply.counters],
      ['messages-', this.courier.counters],
      ['replication-', this.replication.counters],
    ] as const)
      for (const [name, count] of Object.entries(counters)) totals[prefix + counterLabel(name)] = count;
    return totals;
  }

  /** Number of the member that writes the record, null: not known. */
  writerOfRecord(record: number): number | null {
    const stream = this.#p.table.map.streamOf(record);
    return stream === STREAM_OURS ? this.#p.bus.number : this.#writerOf(stream);
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #clock(): number {
    const now = this.#p.now();
    this.apply.setTime(Math.floor(now), Math.floor(now * 1000) | 0);
    return now;
  }

  #poll(): void {
    for (const marks of this.#p.table.marks)
      if (marks.pending() > 0) {
        this.#link.soon();
        return;
      }
    if (this.#refresh.length > 0) this.#link.soon();
  }

  /** Before replication's own turn. */
  #turn(now: number): void {
    this.#events();
    this.#drainMarks();
    for (const slot of this.#slots) slot.feed?.turn(now);
    this.#refreshSlice();
    const { floats } = this.#hooks;
    if (floats.size > 0) {
      this.#p.floating([...floats]);
      floats.clear();
    }
    const unresolved = this.places.takeUnresolved();
    if (unresolved.length > 0) this.#p.wanted(unresolved);
    if (now < this.#checkedAt + (this.#settled ? 1 : 0.1)) return;
    this.#checkedAt = now;
    if (this.#stopped) return;
    this.#settle(now);
    this.#lookForOrphans(now);
    this.#retire(now);
    for (const slot of this.#slots) {
      const stream = this.replication.stream(slot.origin, slot.shard);
      if (slot.feed === null && stream !== undefined) this.apply.retryCollided(stream);
    }
  }

  #drainMarks(): void {
    const { marks } = this.#p.table;
    let left = DRAIN_LIMIT;
    for (const ring of marks) {
      for (; left > 0; left--) {
        const record = ring.pop();
        if (record < 0) break;
        this.#mark(record);
      }
      const lost = ring.takeLost();
      if (lost === 0) continue;
      this.counters.marksLost += lost;
      for (const { feed } of this.#slots) feed?.hurry();
    }
  }

  /** To the stream that has it, and to one that had it before. */
  #mark(record: number): void {
    const number = this.#p.table.map.streamOf(record);
    for (const slot of this.#slots)
      if (slot.feed !== null && (slot.number === number || slot.feed.tunnels.streamOf(record) >= 0))
        slot.feed.mark(record);
  }

  #waiting(): boolean {
    if (this.#p.table.marks.some((ring) => ring.pending() > 0)) return true;
    for (const { feed } of this.#slots) if (feed !== null && (feed.waiting > 0 || feed.writer.waiting > 0)) return true;
    return false;
  }

  // ── our own stream ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Once everybody has been heard, what is left of a former life is ours, and what is ours is told. */
  #settle(now: number): void {
    if (this.#settled) return;
    const since = now - this.#startedAt;
    if (since < SETTLE_SECONDS) return;
    const { table, shards, message, logger, bus } = this.#p;
    const coming = this.rows().some(({ role, state }) => role === 'reader' && state === 'catching-up');
    if (table.former > 0 && coming && since < CATCH_UP_SECONDS) return;
    if (this.replication.isFull || !this.#open()) {
      if (this.#crowded) return;
      this.#crowded = true;
      logger.error(
        { streams: this.#slots.size },
        'there are as many streams as a cluster may have: tunnels of this one are not shared yet',
      );
      return;
    }
    this.#settled = true;
    this.counters.formerKept = table.map.move(STREAM_FORMER, STREAM_OURS);
    for (let shard = 0; shard < shards; shard++) message(shard, { type: 'shared' });
    logger.info(
      { number: bus.number, kept: this.counters.formerKept, streams: this.#slots.size },
      'tunnels are shared with the other members',
    );
  }

  /** A stream that nobody has: chosen at random, so that one that was not heard of is hardly ever hit. */
  #open(): boolean {
    const { bus } = this.#p;
    const first = Math.floor(Math.random() * 256);
    for (let n = 0; n < 256; n++) {
      const shard = (first + n) & 0xff;
      if (this.replication.stream(bus.number, shard) !== undefined) continue;
      const slot = this.#slots.open(bus.number, shard);
      this.#write(slot, null);
      return true;
    }
    return false;
  }

  /** Writes the stream from now on; `maps`: which of its indices are which of our records. */
  #write(slot: Slot, maps: { readonly tunnels: IndexMap; readonly sessions: IndexMap } | null): TableFeed {
    const { table, now } = this.#p;
    const writer: StreamWriter = this.replication.write(slot.origin, slot.shard, now());
    const covers = (record: number): boolean => table.map.streamOf(record) === slot.number;
    const feed = new TableFeed(table.memory, writer, { covers, ...maps });
    slot.feed = feed;
    slot.orphanSince = 0;
    feed.hurry();
    this.#link.soon();
    return feed;
  }

  // ── streams of others ─────────────────────────────────────────────────────────────────────────────────────────────

  #isRead(stream: Stream): boolean {
    return this.#slots.of(stream).feed === null;
  }

  /** Number of the member that writes stream `number` of the share map; null: nobody is known to. */
  #writerOf(number: number): number | null {
    const slot = this.#slots.numbered(number);
    if (slot === undefined) return null;
    if (slot.feed !== null) return this.#p.bus.number;
    return this.replication.stream(slot.origin, slot.shard)?.writer || null;
  }

  /** Streams whose writer is not among the members any more, or is another process by now. */
  #lookForOrphans(now: number): void {
    const { bus } = this.#p;
    const members = bus.members();
    for (const slot of this.#slots) {
      const stream = this.replication.stream(slot.origin, slot.shard);
      if (slot.feed !== null || !(stream instanceof StreamReader)) continue;
      const suspectedAt = this.#suspects.get(stream.writer) ?? Number.POSITIVE_INFINITY;
      const suspected = stream.heardAt < suspectedAt + SUSPECT_SECONDS;
      // One with another configuration is not believed here, but it lives and looks after its tunnels.
      if (this.replication.introductions.get(stream.writer)?.accepted !== true) slot.deafUntil = now;
      const lives =
        members.some((m) => m.number === stream.writer && m.incarnation === stream.incarnation) &&
        now < Math.max(stream.heardAt, slot.deafUntil) + SILENT_SECONDS &&
        !(suspected && suspectedAt <= now);
      // Whoever is cut off from the bus knows nothing of the others.
      const blind = bus.state.state === 'degraded' && !(suspected && suspectedAt <= now);
      // Off the bus alone: it forwards for its clients, and has to hear itself what their servers answer.
      const isCutOff =
        !members.some(({ number }) => number === stream.writer) && this.#p.groupHears?.(stream.writer) === true;
      if (lives || blind || isCutOff) {
        slot.orphanSince = 0;
        continue;
      }
      if (slot.orphanSince === 0) slot.orphanSince = now;
      const before = members.filter(
        ({ number }) =>
          number < bus.number &&
          number !== stream.writer &&
          !this.#suspects.has(number) &&
          this.replication.introductions.get(number)?.accepted === true,
      ).length;
      // We have lost it to somebody whom we have not heard ourselves yet, and may never hear.
      const patience = stream.writer === 0 ? SILENT_SECONDS : 0;
      if (now >= slot.orphanSince + patience + before * TURN_SECONDS) this.#take(slot);
    }
  }

  /**
   * Streams that have come to their end: what was taken over has no tunnels any more, or a stream without any is not
   * written by anybody. Whoever hears of it again opens it again.
   */
  #retire(now: number): void {
    for (const [number, at] of this.#suspects) if (now > at + SILENT_SECONDS) this.#suspects.delete(number);
    for (const { origin, shard, role, tunnels, sessions } of this.rows()) {
      const slot = this.#slots.find(origin, shard);
      const stream = this.replication.stream(origin, shard);
      const since = slot?.emptySince ?? 0;
      if (tunnels + sessions > 0 || stream === undefined || slot?.opened === true) {
        if (slot !== undefined) slot.emptySince = 0;
        continue;
      }
      if (slot !== undefined && since === 0) slot.emptySince = now;
      const over =
        role === 'writer'
          ? since > 0 && now > since + EMPTY_SECONDS
          : now > (stream as StreamReader).heardAt + EMPTY_SECONDS;
      if (!over) continue;
      this.replication.drop(origin, shard);
      this.apply.forget(stream);
      if (slot === undefined) continue;
      this.#p.table.map.setWritten(slot.number, false);
      this.#slots.remove(slot);
    }
  }

  #take(slot: Slot): void {
    const { table, shards, message, logger, events, bus } = this.#p;
    const stream = this.replication.stream(slot.origin, slot.shard);
    if (stream === undefined || slot.feed !== null) return;
    const from = stream.writer;
    const feed = this.#write(slot, this.apply.maps(stream));
    table.map.setWritten(slot.number, true);
    this.counters.takenOver++;
    for (let shard = 0; shard < shards; shard++) message(shard, { type: 'shared' });
    const told = { member: from, tunnels: feed.writer.mirrors[0].used };
    logger.warn({ number: bus.number, ...told }, 'this designator goes on with the tunnels of a member that is gone');
    events.emit('cluster-stream', { what: 'took-over', ...this.#words(slot), ...told });
  }

  /** Another member writes it as well: the older claim holds. */
  #fenced({ number, stream }: ReplicationEvent): void {
    const slot = stream && this.#slots.find(stream.origin, stream.shard);
    if (slot === undefined || slot.feed === null) return;
    const { logger, events, table, now } = this.#p;
    const { feed } = slot;
    const told = { member: number, tunnels: feed.writer.mirrors[0].used };
    if (slot.opened) {
      this.#write(slot, { tunnels: feed.tunnels, sessions: feed.sessions }).reconcile(now());
      this.counters.retaken++;
      logger.warn(told, 'a member had taken this designator for dead; its tunnels are its own again');
      events.emit('cluster-stream', { what: 'took-back', ...this.#words(slot), ...told });
      return;
    }
    slot.feed = null;
    table.map.setWritten(slot.number, false);
    const read = this.replication.stream(slot.origin, slot.shard);
    if (read !== undefined) this.apply.resume(read);
    this.counters.yielded++;
    logger.warn(told, 'another member writes these tunnels: they are given back');
    events.emit('cluster-stream', { what: 'gave-back', ...this.#words(slot), ...told });
  }

  #words({ origin, shard }: Slot): { origin: number; shard: number; writer: number; generation: number } {
    const stream = this.replication.stream(origin, shard);
    return { origin, shard, writer: stream?.writer ?? 0, generation: stream?.generation ?? 0 };
  }

  #events(): void {
    const { events, logger } = this.#p;
    for (const event of this.replication.events()) {
      const { kind, number, stream, differences = [] } = event;
      if (kind === 'fenced') this.#fenced(event);
      if (stream !== undefined) events.emit('cluster-stream', { what: kind, writer: number, ...stream });
      else {
        const reason = differences.join('; ');
        events.emit('cluster-member', { what: kind, number, reason });
        if (kind === 'refused')
          logger.warn({ number, differences }, 'tunnels are not shared with a member that differs');
        else logger.info({ number }, 'tunnels are shared with a member');
      }
    }
    // Of very many events some are not kept: whoever has lost a stream must hear of it all the same.
    for (const { origin, shard, feed } of this.#slots) {
      const stream = this.replication.stream(origin, shard);
      if (feed === null || stream === undefined || stream === feed.writer) continue;
      const { name, generation, writer: number } = stream;
      this.#fenced({ kind: 'fenced', number, stream: { ...name, generation } });
    }
  }

  // ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Every tunnel of others is put in anew, a part in each turn: addresses, next hops, what had no place. */
  #refreshAll(): void {
    this.#refresh = [...this.#slots].map((slot) => ({ slot, index: 0 }));
  }

  #refreshSlice(): void {
    const [next] = this.#refresh;
    if (next === undefined) return;
    const { slot } = next;
    const stream = this.replication.stream(slot.origin, slot.shard);
    if (slot.feed !== null || stream === undefined || next.index >= stream.capacity[0]) {
      this.#refresh.shift();
      return;
    }
    next.index = this.apply.refresh(stream, next.index, REFRESH_SLICE);
  }
}
