/**
 * Follows a stream that another member writes. A change that does not come is asked for; what cannot be told any more, and
 * whatever else differs, is found by digests: of groups first, of a group's ranges then, and only ranges that differ are
 * sent. A newcomer is one for whom everything differs.
 *
 * A digest is of one position in the stream, and is compared only when all changes up to there have come and the group has
 * none from beyond.
 */
import type { TunnelCounters } from '../wire/cluster-record.js';
import {
  COUNTERS_LENGTH,
  INDEX_LIMIT,
  PLANE_UNKNOWN,
  STATE_HEADER_LENGTH,
  STATE_KIND,
  type StateFrameReader,
  type StateFrameWriter,
} from '../wire/cluster-state.js';
import { IndexQueue } from './index-queue.js';
import { GROUP_RANGES, RANGE_LENGTH, REFUSED, STALE, WRITTEN } from './mirror.js';
import { type Send, Stream } from './stream.js';

/** Who is told what a stream says. */
export interface StateSink {
  /** A record is there, or another than before; or (`stream.mirrors[plane].has(index)` is false) none any more. */
  changed(stream: Stream, plane: number, index: number): void;
  counted(stream: Stream, counters: TunnelCounters): void;
}

/** Changes that are missed one by one; more than these are found by digests. */
const MISSING_LIMIT = 1024;
/** Seconds for frames that overtook one another, before the missing one is asked for. */
const REORDER_GRACE = 0.02;
const ASK_AGAIN = 0.15;
const ASK_TIMES = 6;
/** Ranges and groups that are asked for at a time: what the sockets of a machine hold. */
const RANGE_WINDOW = 96;
const GROUP_WINDOW = 24;
const ASKS_IN_FRAME = 64;
/** Seconds after which a writer is said to be silent. */
const SILENT = 5;

interface Asked {
  at: number;
  times: number;
}

/** Something of a mirror that is asked for by number: its groups, or its ranges. */
class Wanted {
  readonly queue: IndexQueue;
  readonly asked = new Map<number, number>();

  constructor(
    count: number,
    readonly window: number,
  ) {
    this.queue = new IndexQueue(count);
  }

  get size(): number {
    return this.queue.size + this.asked.size;
  }

  /** False: it is asked for already. */
  want(item: number): boolean {
    return !this.asked.has(item) && this.queue.push(item);
  }

  came(item: number): void {
    this.asked.delete(item);
  }

  /** What was asked for in vain is asked for again. */
  expire(now: number): void {
    for (const [item, at] of this.asked) {
      if (now < at + ASK_AGAIN * 2) return; // the oldest stands first
      this.asked.delete(item);
      this.queue.push(item);
    }
  }

  get mayAsk(): boolean {
    return this.queue.size > 0 && this.asked.size <= this.window / 2;
  }

  clear(): void {
    this.queue.clear();
    this.asked.clear();
  }
}

export class StreamReader extends Stream {
  /** Incarnation of the writer: another one with the same generation began anew without knowing it. */
  incarnation = 0;
  heardAt = Number.NEGATIVE_INFINITY;
  readonly #missing = new Map<number, Asked>();
  readonly #groups: readonly [Wanted, Wanted];
  readonly #ranges: readonly [Wanted, Wanted];
  /** Groups that were found equal in this generation. */
  readonly #verified: readonly [Uint8Array, Uint8Array];
  #unverified = 0;
  /** The digests of all groups are to be asked for: some changes are lost for good. */
  #lost = true;
  #lostAskedAt = Number.NEGATIVE_INFINITY;
  readonly #counted: TunnelCounters = {
    index: 0,
    tag: 0,
    lastSeen: 0,
    packetsIn: 0,
    packetsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  constructor(
    before: Stream,
    readonly sink: StateSink,
  ) {
    super(before.name, before.capacity, before.mirrors);
    this.clock = before.clock;
    const [tunnels, sessions] = this.mirrors;
    this.#groups = [new Wanted(tunnels.groupCount, GROUP_WINDOW), new Wanted(sessions.groupCount, GROUP_WINDOW)];
    this.#ranges = [
      new Wanted(tunnels.groupCount * GROUP_RANGES, RANGE_WINDOW),
      new Wanted(sessions.groupCount * GROUP_RANGES, RANGE_WINDOW),
    ];
    this.#verified = [new Uint8Array(tunnels.groupCount), new Uint8Array(sessions.groupCount)];
  }

  /** Another writer, or another life of it: what we have stays and is compared with what it has. */
  follow(generation: number, writer: number, incarnation: number, position: number): void {
    this.generation = generation;
    this.writer = writer;
    this.incarnation = incarnation;
    this.position = position;
    this.#missing.clear();
    for (const plane of [0, 1]) {
      this.mirrors[plane].forgetPositions();
      this.#groups[plane].clear();
      this.#ranges[plane].clear();
    }
    this.#lose();
  }

  /** Everything that the writer had told when it was heard last is here. */
  get isCurrent(): boolean {
    return this.writer !== 0 && this.#unverified === 0 && !this.#lost && this.#missing.size === 0 && this.#open === 0;
  }

  state(now: number): 'current' | 'catching-up' | 'silent' {
    if (now > this.heardAt + SILENT) return 'silent';
    return this.isCurrent ? 'current' : 'catching-up';
  }

  get missing(): number {
    return this.#missing.size;
  }

  /** Groups and ranges that are asked for. */
  get #open(): number {
    return this.#groups[0].size + this.#groups[1].size + this.#ranges[0].size + this.#ranges[1].size;
  }

  nextTime(): number {
    if (this.writer === 0) return Number.POSITIVE_INFINITY; // Nobody to ask.
    let next = this.#lost ? this.#lostAskedAt + ASK_AGAIN * 2 : Number.POSITIVE_INFINITY;
    for (const { at, times } of this.#missing.values()) {
      next = Math.min(next, at + (times === 0 ? REORDER_GRACE : ASK_AGAIN));
      break;
    }
    for (const wanted of [...this.#groups, ...this.#ranges]) {
      if (wanted.mayAsk) return Number.NEGATIVE_INFINITY;
      for (const at of wanted.asked.values()) {
        next = Math.min(next, at + ASK_AGAIN * 2);
        break;
      }
    }
    return next;
  }

  /** A frame of the writer that we follow. */
  receive(frame: StateFrameReader, now: number): void {
    this.heardAt = now;
    this.#setClock(frame.time - now);
    switch (frame.kind) {
      case STATE_KIND.changes:
        return this.#changes(frame, now);
      case STATE_KIND.repair:
        return this.#repair(frame);
      case STATE_KIND.ranges:
        return this.#rangesCame(frame);
      case STATE_KIND.digests:
        return this.#digests(frame, now);
      case STATE_KIND.counters:
        return this.#counters(frame);
      default:
    }
  }

  /** Sends one question, if there is one to ask now. */
  sendOne(frame: StateFrameWriter, now: number, send: Send): boolean {
    if (this.writer === 0) return false;
    if (this.#lost && now >= this.#lostAskedAt + ASK_AGAIN * 2) {
      this.#lostAskedAt = now;
      for (const plane of [0, 1]) {
        this.begin(frame, STATE_KIND.askGroups, plane, now);
        send(this.writer, frame.end());
      }
      return true;
    }
    if (this.#askMissing(frame, now, send)) return true;
    for (const plane of [0, 1]) {
      if (this.#ask(frame, STATE_KIND.askRanges, plane, this.#ranges[plane], now, send)) return true;
      if (this.#ask(frame, STATE_KIND.askGroups, plane, this.#groups[plane], now, send)) return true;
    }
    return false;
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #changes(frame: StateFrameReader, now: number): void {
    const { position } = frame;
    if (position <= this.position) {
      // It was overtaken, or comes twice. Whatever is newer than it is not overwritten.
      if (!this.#missing.delete(position)) this.counters.repeated++;
    } else {
      this.#expect(position - 1, now);
      this.position = position;
    }
    this.counters.changes++;
    this.#records(frame, STATE_HEADER_LENGTH);
  }

  /** All changes up to this position must have come. */
  #expect(position: number, now: number): void {
    const count = position - this.position;
    if (count <= 0) return;
    this.counters.missed += count;
    if (count + this.#missing.size > MISSING_LIMIT) {
      this.#missing.clear();
      this.#lose();
    } else for (let p = this.position + 1; p <= position; p++) this.#missing.set(p, { at: now, times: 0 });
    this.position = position;
  }

  /** What was missed is found by digests alone from now on. */
  #lose(): void {
    for (const verified of this.#verified) verified.fill(0);
    this.#unverified = this.mirrors[0].groupCount + this.mirrors[1].groupCount;
    this.#lost = true;
  }

  #records(frame: StateFrameReader, at: number): void {
    const { plane, position, count } = frame;
    const mirror = this.mirrors[plane];
    const length = 4 * mirror.width;
    for (let i = 0; i < count; i++) {
      const word = frame.word(at);
      const index = word & INDEX_LIMIT;
      at += 4;
      let result: number;
      if (word < 0) result = mirror.free(index, position);
      else {
        result = mirror.writeFrame(index, frame.view, at, position);
        at += length;
      }
      this.#note(result, plane, index);
    }
  }

  #note(result: number, plane: number, index: number): void {
    if (result === WRITTEN) {
      this.counters.records++;
      this.sink.changed(this, plane, index);
    } else if (result === STALE) this.counters.stale++;
    else if (result === REFUSED) this.counters.refused++;
  }

  #repair(frame: StateFrameReader): void {
    const covered = frame.word48(STATE_HEADER_LENGTH);
    if (frame.plane === PLANE_UNKNOWN) {
      if (this.#missing.delete(covered)) {
        this.counters.forgotten++;
        this.#lose();
      }
      return;
    }
    this.#records(frame, STATE_HEADER_LENGTH + 8);
    if (this.#missing.delete(covered)) this.counters.repaired++;
  }

  #askMissing(frame: StateFrameWriter, now: number, send: Send): boolean {
    if (this.#missing.size === 0) return false;
    let begun = false;
    for (const [position, asked] of this.#missing) {
      // In the order in which they were asked for: those that may be asked again stand first.
      if (now < asked.at + (asked.times === 0 ? REORDER_GRACE : ASK_AGAIN)) break;
      if (asked.times >= ASK_TIMES) {
        this.#missing.clear();
        this.#lose();
        break;
      }
      if (!begun) this.begin(frame, STATE_KIND.askMissing, 0, now);
      begun = true;
      frame.word48(position);
      frame.word48(position);
      frame.count++;
      this.#missing.delete(position);
      this.#missing.set(position, { at: now, times: asked.times + 1 });
      if (frame.count >= ASKS_IN_FRAME) break;
    }
    if (begun) send(this.writer, frame.end());
    return begun;
  }

  // ── digests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #digests(frame: StateFrameReader, now: number): void {
    const { plane, position, count } = frame;
    const level = frame.word(STATE_HEADER_LENGTH);
    const first = frame.word(STATE_HEADER_LENGTH + 4);
    this.#expect(position, now);
    if (level === 1) this.#groups[plane].came(Math.floor(first / GROUP_RANGES));
    else if (count > 0) this.#lost = false;
    if (this.#missing.size > 0 || position < this.position || first < 0) return;
    const mirror = this.mirrors[plane];
    for (let i = 0, at = STATE_HEADER_LENGTH + 8; i < count; i++, at += 8) {
      const item = first + i;
      const low = frame.word(at);
      const high = frame.word(at + 4);
      if (level === 1) {
        if (item >= mirror.groupCount * GROUP_RANGES) break;
        if (mirror.rangePosition(item) > position) continue;
        if (mirror.rangeLow(item) === low && mirror.rangeHigh(item) === high) continue;
        if (this.#ranges[plane].want(item)) this.counters.drifted++;
      } else {
        if (item >= mirror.groupCount) break;
        if (mirror.groupPosition(item) > position) continue;
        const equal = mirror.groupLow(item) === low && mirror.groupHigh(item) === high;
        if (!equal) this.#groups[plane].want(item);
        const verified = this.#verified[plane];
        if (verified[item] !== (equal ? 1 : 0)) this.#unverified += equal ? -1 : 1;
        verified[item] = equal ? 1 : 0;
      }
    }
  }

  /** All that is in a part of the indices, and nothing else is. */
  #rangesCame(frame: StateFrameReader): void {
    const { plane, position, count } = frame;
    const mirror = this.mirrors[plane];
    const from = frame.word(STATE_HEADER_LENGTH);
    const to = Math.min(frame.word(STATE_HEADER_LENGTH + 4), mirror.capacity);
    if (from < 0 || from % RANGE_LENGTH !== 0 || to - from > 64 * RANGE_LENGTH) return;
    let at = STATE_HEADER_LENGTH + 8;
    let next = from;
    for (let i = 0; i < count; i++) {
      const index = frame.word(at);
      at += 4;
      if (index < next || index >= to) return;
      for (; next < index; next++) this.#note(mirror.free(next, position), plane, next);
      this.#note(mirror.writeFrame(index, frame.view, at, position), plane, index);
      next = index + 1;
      at += 4 * mirror.width;
    }
    for (; next < to; next++) this.#note(mirror.free(next, position), plane, next);
    for (let range = from / RANGE_LENGTH; range * RANGE_LENGTH < to; range++) this.#ranges[plane].came(range);
    // Groups that were not equal are compared again when nothing is asked for any more.
    if (this.#open === 0 && this.#unverified > 0) this.#lost = true;
  }

  #ask(frame: StateFrameWriter, kind: number, plane: number, wanted: Wanted, now: number, send: Send): boolean {
    wanted.expire(now);
    if (!wanted.mayAsk) return false;
    this.begin(frame, kind, plane, now);
    while (frame.count < ASKS_IN_FRAME && wanted.asked.size < wanted.window) {
      const item = wanted.queue.pop();
      if (item < 0) break;
      frame.word(item);
      frame.count++;
      wanted.asked.set(item, now);
    }
    send(this.writer, frame.end());
    return true;
  }

  // ── counters and time ─────────────────────────────────────────────────────────────────────────────────────────────

  #counters(frame: StateFrameReader): void {
    const counted = this.#counted;
    for (let i = 0, at = STATE_HEADER_LENGTH; i < frame.count; i++, at += COUNTERS_LENGTH) {
      frame.counters(at, counted);
      if (this.mirrors[0].has(counted.index)) this.sink.counted(this, counted);
    }
  }

  /** The smallest delay of frames tells the clock best; slowly it follows the writer's, which may run at another pace. */
  #setClock(sample: number): void {
    if (Number.isNaN(this.clock) || Math.abs(sample - this.clock) > 5) this.clock = sample;
    else if (sample > this.clock) this.clock = sample;
    else this.clock += (sample - this.clock) * 0.001;
  }
}
