/**
 * Tells the others what happens to a table: changes in frames with rising positions, what they ask for again, digests at
 * intervals, counters apart from changes. Whoever feeds it puts records in by index (`put`, `free`); what has not changed
 * is not told. A record that changes again before it was told is told once.
 */
import { PLANE, PLANE_WORDS, type TunnelCounters } from '../wire/cluster-record.js';
import {
  COUNTERS_LENGTH,
  PLANE_UNKNOWN,
  STATE_HEADER_LENGTH,
  STATE_KIND,
  type StateFrameReader,
  type StateFrameWriter,
} from '../wire/cluster-state.js';
import { IndexQueue } from './index-queue.js';
import { GROUP_LENGTH, GROUP_RANGES, type Mirror, RANGE_LENGTH, WRITTEN } from './mirror.js';
import { type Send, Stream } from './stream.js';

export interface WriterTiming {
  /** Seconds that a change waits for others to share its frame. */
  readonly gather: number;
  readonly digestInterval: number;
  /** Seconds in which all counters are told once. */
  readonly counterInterval: number;
}

/** Fills `out` with the counters of a record; false: they are what they were when it was asked last. */
export type CounterSource = (index: number, out: TunnelCounters) => boolean;

/** Frames whose indices are remembered, for those who missed one. */
const LOG_FRAMES = 4096;
const LOG_ITEMS = LOG_FRAMES * 32;
/** Questions that wait for an answer, of all members. */
const JOB_LIMIT = 8192;
/** Without a quiet moment for digests in so many intervals, the position at least is told. */
const OVERDUE = 3;
const FULL_FRAME = 18;
/** Indices whose counters are looked at in one turn. */
const LOOK_LIMIT = 16_384;

const JOB = { missing: 0, group: 1, range: 2, groups: 3 } as const;

interface Job {
  readonly target: number;
  readonly kind: number;
  readonly plane: number;
  readonly what: number;
}

export class StreamWriter extends Stream {
  readonly #timing: WriterTiming;
  readonly #queues: readonly [IndexQueue, IndexQueue];
  #dirtySince = Number.POSITIVE_INFINITY;
  readonly #logPlane = new Uint8Array(LOG_FRAMES);
  readonly #logCount = new Int32Array(LOG_FRAMES);
  readonly #logStart = new Float64Array(LOG_FRAMES);
  readonly #logItems = new Int32Array(LOG_ITEMS);
  #logged = 0;
  #jobs: Job[] = [];
  #jobHead = 0;
  #digestAt = Number.NEGATIVE_INFINITY;
  #digestDue = Number.NEGATIVE_INFINITY;
  #source: CounterSource | null = null;
  #counterCursor = 0;
  #counterTime = Number.NaN;
  readonly #counted: TunnelCounters = {
    index: 0,
    tag: 0,
    lastSeen: 0,
    packetsIn: 0,
    packetsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  /** Goes on with what `before` has, whoever wrote it, in a generation of its own. */
  constructor(before: Stream, generation: number, writer: number, now: number, timing: WriterTiming) {
    super(before.name, before.capacity, before.mirrors);
    this.generation = generation;
    this.writer = writer;
    this.clock = Number.isNaN(before.clock) ? 0 : before.clock;
    this.#timing = timing;
    this.#queues = [new IndexQueue(this.capacity[0]), new IndexQueue(this.capacity[1])];
    for (const mirror of this.mirrors) mirror.forgetPositions();
    this.#digestAt = now;
  }

  /** Another generation of our own: everybody begins anew with it. */
  raise(generation: number, now: number): void {
    this.generation = generation;
    this.position = 0;
    this.#logged = 0;
    this.#logStart.fill(0);
    this.#logCount.fill(0);
    this.#jobs = [];
    this.#jobHead = 0;
    for (const mirror of this.mirrors) mirror.forgetPositions();
    this.#digestAt = now;
  }

  /** Somebody new listens: it hears of the stream at once, and not at the next digest. */
  digestSoon(now: number): void {
    this.#digestAt = Math.min(this.#digestAt, now);
  }

  set counterSource(source: CounterSource) {
    this.#source = source;
  }

  /** `words[from …]` is what stands at this index now. False: nothing new, or no such index (counted). */
  put(plane: number, index: number, words: Int32Array, from: number, now: number): boolean {
    const result = this.mirrors[plane].write(index, words, from, this.position);
    if (result !== WRITTEN) {
      if (result > WRITTEN) this.counters.refused++;
      return false;
    }
    this.#mark(plane, index, now);
    return true;
  }

  /** Nothing stands at this index any more. */
  free(plane: number, index: number, now: number): boolean {
    const mirror = this.mirrors[plane];
    if (!mirror.has(index) || mirror.free(index, this.position) !== WRITTEN) return false;
    this.#mark(plane, index, now);
    return true;
  }

  /** Changes that nobody has been told yet. */
  get waiting(): number {
    return this.#queues[0].size + this.#queues[1].size;
  }

  get asked(): number {
    return this.#jobs.length - this.#jobHead;
  }

  nextTime(): number {
    if (this.asked > 0 || this.waiting >= FULL_FRAME) return Number.NEGATIVE_INFINITY;
    const changes = this.waiting > 0 ? this.#dirtySince + this.#timing.gather : Number.POSITIVE_INFINITY;
    const counters =
      this.#source !== null && this.mirrors[0].used > 0
        ? this.#counterTime + this.#timing.counterInterval / 16
        : Number.POSITIVE_INFINITY;
    return Math.min(changes, this.#digestAt, Number.isNaN(counters) ? Number.NEGATIVE_INFINITY : counters);
  }

  /** One question of a reader. */
  asks(target: number, frame: StateFrameReader): void {
    let at = STATE_HEADER_LENGTH;
    for (let i = 0; i < frame.count; i++) {
      if (frame.kind === STATE_KIND.askMissing) {
        const to = frame.word48(at + 8);
        for (let p = frame.word48(at), n = 0; p <= to && n < LOG_FRAMES; p++, n++) this.#job(target, JOB.missing, 0, p);
        at += 16;
        continue;
      }
      const kind = frame.kind === STATE_KIND.askGroups ? JOB.group : JOB.range;
      const what = frame.word(at);
      const length = kind === JOB.group ? GROUP_LENGTH : RANGE_LENGTH;
      if (what >= 0 && what * length < this.capacity[frame.plane]) this.#job(target, kind, frame.plane, what);
      at += 4;
    }
    if (frame.kind === STATE_KIND.askGroups && frame.count === 0) this.#job(target, JOB.groups, frame.plane, 0);
  }

  /** Sends one frame, if there is anything to send now. Changes come first, but for one frame in four. */
  sendOne(frame: StateFrameWriter, now: number, turn: number, send: Send): boolean {
    if ((turn & 3) !== 3 && this.#sendChanges(frame, now, send)) return true;
    if (this.#sendAnswer(frame, now, send)) return true;
    if ((turn & 3) === 3 && this.#sendChanges(frame, now, send)) return true;
    return this.#sendDigests(frame, now, send) || this.#sendCounters(frame, now, send);
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #mark(plane: number, index: number, now: number): void {
    if (this.waiting === 0) this.#dirtySince = now;
    this.#queues[plane].push(index);
  }

  #sendChanges(frame: StateFrameWriter, now: number, send: Send): boolean {
    const waiting = this.waiting;
    if (waiting === 0 || (waiting < FULL_FRAME && now < this.#dirtySince + this.#timing.gather)) return false;
    // Tunnels before their sessions, as a rule: who reads them is then spared a wait.
    const plane = this.#queues[0].size > 0 ? 0 : 1;
    const queue = this.#queues[plane];
    const mirror = this.mirrors[plane];
    const length = 4 + 4 * PLANE_WORDS[plane];
    this.position++;
    this.begin(frame, STATE_KIND.changes, plane, now);
    const log = this.position % LOG_FRAMES;
    this.#logPlane[log] = plane;
    this.#logStart[log] = this.#logged;
    for (let index = queue.peek(); index >= 0 && frame.hasRoom(length); index = queue.peek()) {
      queue.pop();
      this.#emit(frame, mirror, index);
      mirror.setPosition(index, this.position);
      this.#logItems[this.#logged++ % LOG_ITEMS] = index;
    }
    this.#logCount[log] = frame.count;
    this.counters.changes++;
    this.counters.records += frame.count;
    if (this.waiting > 0) this.#dirtySince = now;
    send(0, frame.end());
    return true;
  }

  #emit(frame: StateFrameWriter, mirror: Mirror, index: number): void {
    const words = mirror.has(index) ? mirror.wordsOf(index) : null;
    if (words === null) frame.freed(index);
    else frame.record(index, words, mirror.offset(index), mirror.width);
  }

  // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #job(target: number, kind: number, plane: number, what: number): void {
    if (this.asked >= JOB_LIMIT) {
      this.counters.asksDropped++;
      return;
    }
    this.#jobs.push({ target, kind, plane, what });
  }

  #sendAnswer(frame: StateFrameWriter, now: number, send: Send): boolean {
    if (this.#jobHead >= this.#jobs.length) return false;
    const job = this.#jobs[this.#jobHead++];
    if (this.#jobHead > 1024 && this.#jobHead * 2 > this.#jobs.length) {
      this.#jobs.splice(0, this.#jobHead);
      this.#jobHead = 0;
    }
    if (job.kind === JOB.missing) this.#sendRepair(frame, job, now, send);
    else if (job.kind === JOB.group) this.#sendRangeDigests(frame, job, now, send);
    else if (job.kind === JOB.groups) this.#sendGroupDigests(frame, job.plane, job.target, now, send);
    else this.#sendRanges(frame, job, now, send);
    if (this.#jobHead >= this.#jobs.length) {
      this.#jobs = [];
      this.#jobHead = 0;
    }
    return true;
  }

  /** What a frame that was missed has changed, as it stands now. */
  #sendRepair(frame: StateFrameWriter, job: Job, now: number, send: Send): void {
    const log = job.what % LOG_FRAMES;
    const known =
      job.what > this.position - LOG_FRAMES &&
      job.what <= this.position &&
      job.what > 0 &&
      this.#logStart[log] > this.#logged - LOG_ITEMS;
    if (!known) {
      this.counters.forgotten++;
      this.begin(frame, STATE_KIND.repair, PLANE_UNKNOWN, now);
      frame.word48(job.what);
      send(job.target, frame.end());
      return;
    }
    const plane = this.#logPlane[log];
    const length = 4 + 4 * PLANE_WORDS[plane];
    this.counters.repaired++;
    this.begin(frame, STATE_KIND.repair, plane, now);
    frame.word48(job.what);
    for (let i = 0; i < this.#logCount[log]; i++) {
      if (!frame.hasRoom(length)) {
        // The change was of many freed indices that are used again: what is in the first part settles nothing yet.
        frame.view.setUint32(STATE_HEADER_LENGTH, 0);
        frame.view.setUint32(STATE_HEADER_LENGTH + 4, 0);
        send(job.target, frame.end());
        this.begin(frame, STATE_KIND.repair, plane, now);
        frame.word48(job.what);
      }
      this.#emit(frame, this.mirrors[plane], this.#logItems[(this.#logStart[log] + i) % LOG_ITEMS]);
    }
    send(job.target, frame.end());
  }

  /** A range whole, and those that follow it as long as the next question is for them and there is room. */
  #sendRanges(frame: StateFrameWriter, job: Job, now: number, send: Send): void {
    const { plane, target } = job;
    const mirror = this.mirrors[plane];
    const length = (4 + 4 * mirror.width) * RANGE_LENGTH;
    this.begin(frame, STATE_KIND.ranges, plane, now);
    const from = job.what * RANGE_LENGTH;
    frame.word(from);
    const toAt = frame.at;
    frame.word(0);
    let to = from;
    for (let next: Job | undefined = job; next !== undefined; next = this.#jobs[this.#jobHead]) {
      if (next.kind !== JOB.range || next.target !== target || next.plane !== plane) break;
      if (next.what * RANGE_LENGTH !== to || !frame.hasRoom(length) || frame.count + RANGE_LENGTH > 255) break;
      if (next !== job) this.#jobHead++;
      for (let i = 0; i < RANGE_LENGTH && to < mirror.capacity; i++, to++)
        if (mirror.has(to)) this.#emit(frame, mirror, to);
    }
    frame.view.setInt32(toAt, to);
    send(target, frame.end());
  }

  // ── digests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #sendDigests(frame: StateFrameWriter, now: number, send: Send): boolean {
    if (now < this.#digestAt) return false;
    if (this.#digestDue < this.#digestAt) this.#digestDue = this.#digestAt;
    const { digestInterval } = this.#timing;
    if (this.waiting > 0) {
      // In the middle of changes sums tell nothing. The position does: the last changes may be lost.
      if (now < this.#digestDue + OVERDUE * digestInterval) {
        this.#digestAt = now + this.#timing.gather;
        return false;
      }
      this.begin(frame, STATE_KIND.digests, 0, now);
      frame.word(0);
      frame.word(0);
      send(0, frame.end());
    } else for (const plane of [PLANE.tunnels, PLANE.sessions]) this.#sendGroupDigests(frame, plane, 0, now, send);
    this.#digestAt = now + digestInterval;
    this.#digestDue = this.#digestAt;
    return true;
  }

  #sendGroupDigests(frame: StateFrameWriter, plane: number, target: number, now: number, send: Send): void {
    const mirror = this.mirrors[plane];
    for (let group = 0; group < mirror.groupCount; ) {
      this.begin(frame, STATE_KIND.digests, plane, now);
      frame.word(0);
      frame.word(group);
      for (; group < mirror.groupCount && frame.hasRoom(8); group++) {
        frame.word(mirror.groupLow(group));
        frame.word(mirror.groupHigh(group));
        frame.count++;
      }
      send(target, frame.end());
    }
  }

  #sendRangeDigests(frame: StateFrameWriter, job: Job, now: number, send: Send): void {
    const mirror = this.mirrors[job.plane];
    if (job.what < 0 || job.what >= mirror.groupCount) return;
    this.begin(frame, STATE_KIND.digests, job.plane, now);
    frame.word(1);
    const first = job.what * GROUP_RANGES;
    frame.word(first);
    for (let range = first; range < first + GROUP_RANGES; range++) {
      frame.word(mirror.rangeLow(range));
      frame.word(mirror.rangeHigh(range));
      frame.count++;
    }
    send(job.target, frame.end());
  }

  // ── counters ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #sendCounters(frame: StateFrameWriter, now: number, send: Send): boolean {
    const mirror = this.mirrors[0];
    if (this.#source === null || mirror.used === 0) return false;
    const { counterInterval } = this.#timing;
    if (Number.isNaN(this.#counterTime)) this.#counterTime = now;
    const share = Math.min(1, (now - this.#counterTime) / counterInterval);
    if (share < 1 / 16) return false;
    let left = Math.min(LOOK_LIMIT, Math.ceil(share * mirror.capacity), mirror.capacity);
    // What this turn is too short for stays due.
    this.#counterTime += Math.min(now - this.#counterTime, (left / mirror.capacity) * counterInterval);
    if (share === 1 && left === mirror.capacity) this.#counterTime = now;
    this.begin(frame, STATE_KIND.counters, 0, now);
    while (left > 0 && frame.hasRoom(COUNTERS_LENGTH)) {
      const index = this.#counterCursor;
      if (mirror.groupUsed(Math.floor(index / GROUP_LENGTH)) === 0) {
        const skipped = GROUP_LENGTH - (index % GROUP_LENGTH);
        this.#counterCursor = index + skipped >= mirror.capacity ? 0 : index + skipped;
        left -= skipped;
        continue;
      }
      this.#counterCursor = index + 1 >= mirror.capacity ? 0 : index + 1;
      left--;
      if (mirror.has(index) && this.#source(index, this.#counted)) frame.counters(this.#counted);
    }
    // A full frame before the share was through: the rest is due again at once.
    if (left > 0) this.#counterTime -= (left / mirror.capacity) * counterInterval;
    if (frame.count === 0) return false;
    send(0, frame.end());
    return true;
  }
}
