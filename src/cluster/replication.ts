/**
 * Replication of connection state between the members of a cluster: which streams there are, who writes them, what this
 * member writes and follows. Knows neither sockets nor clocks: frames in (`receive`), frames out (`turn`), time as seconds
 * that the caller gives.
 *
 * **One writer.** Whoever takes a stream (`write`) does so in a generation above all that it has seen. A frame of a lower
 * one is not believed, and its sender is told of the higher one; a writer that learns of one is *fenced*: it becomes a
 * reader and its user is told, who may take the stream again, now above the other, if that one is dead. A writer that meets
 * its own former life goes on above it by itself.
 */
import { PLANE_WORDS } from '../wire/cluster-record.js';
import { STATE_KIND, StateFrameReader, StateFrameWriter } from '../wire/cluster-state.js';
import { type Facts, Introductions } from './introductions.js';
import { type Capacity, outranks, type Send, Stream, type StreamCounters, streamKey } from './stream.js';
import { type StateSink, StreamReader } from './stream-reader.js';
import { StreamWriter, type WriterTiming } from './stream-writer.js';

export interface ReplicationOptions {
  /** Our own, 1 … 255. */
  readonly number: number;
  readonly facts: Facts;
  /** Of our table; streams of others may not be larger. */
  readonly capacity: Capacity;
  readonly sink: StateSink;
  /** Frames a second, and at once. */
  readonly rate?: number;
  readonly burst?: number;
  readonly timing?: Partial<WriterTiming>;
  readonly helloInterval?: number;
}

export interface ReplicationEvent {
  readonly kind: 'accepted' | 'refused' | 'fenced' | 'raised' | 'followed';
  /** The member that it is about. */
  readonly number: number;
  readonly stream?: { readonly origin: number; readonly shard: number; readonly generation: number };
  readonly differences?: readonly string[];
}

export interface StreamRow {
  readonly origin: number;
  readonly shard: number;
  readonly role: 'writer' | 'reader';
  readonly writer: number;
  readonly generation: number;
  readonly position: number;
  readonly tunnels: number;
  readonly sessions: number;
  /** A writer's `waiting`: it has changes that were not told yet. */
  readonly state: 'current' | 'catching-up' | 'silent' | 'waiting';
  readonly waiting: number;
  readonly counters: Readonly<StreamCounters>;
}

const DEFAULT_RATE = 20_000;
const DEFAULT_BURST = 96;
const TIMING: WriterTiming = { gather: 0.005, digestInterval: 1, counterInterval: 5 };
const STREAM_LIMIT = 64;
const EVENT_LIMIT = 256;
const FENCE_INTERVAL = 0.1;

export class Replication {
  readonly counters = {
    malformed: 0,
    staleWriter: 0,
    fenced: 0,
    notTheWriter: 0,
    streamsRefused: 0,
    eventsDropped: 0,
    sent: 0,
    received: 0,
  };
  readonly introductions: Introductions;
  readonly #options: ReplicationOptions;
  readonly #timing: WriterTiming;
  readonly #streams = new Map<number, StreamWriter | StreamReader>();
  readonly #in = new StateFrameReader();
  readonly #out = new StateFrameWriter();
  readonly #fences = new Map<number, { target: number; at: number; due: boolean }>();
  #events: ReplicationEvent[] = [];
  #tokens: number;
  #tokensAt = Number.NaN;
  #turns = 0;
  #helloAt = Number.NEGATIVE_INFINITY;
  #first = 0;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#tokens = options.burst ?? DEFAULT_BURST;
    this.introductions = new Introductions(options.facts, options.capacity);
  }

  /**
   * This member writes the stream from now on, on top of what it has of it. Puts into a writer that was replaced or fenced
   * reach nobody. Errors: RangeError, too many streams.
   */
  write(origin: number, shard: number, now: number): StreamWriter {
    const key = streamKey(origin, shard);
    const before = this.#streams.get(key) ?? this.#open(origin, shard);
    if (before === null) throw new RangeError(`more than ${STREAM_LIMIT} streams`);
    const writer = new StreamWriter(before, before.generation + 1, this.#options.number, now, this.#timing);
    this.#streams.set(key, writer);
    return writer;
  }

  /** Nothing is known of the stream any more: it has come to its end. */
  drop(origin: number, shard: number): void {
    this.#streams.delete(streamKey(origin, shard));
    this.#fences.delete(streamKey(origin, shard));
  }

  /** No further stream would be written or followed. */
  get isFull(): boolean {
    return this.#streams.size >= STREAM_LIMIT;
  }

  stream(origin: number, shard: number): StreamWriter | StreamReader | undefined {
    return this.#streams.get(streamKey(origin, shard));
  }

  /** Do we write it, and nobody else? */
  writes(origin: number, shard: number): boolean {
    return this.stream(origin, shard) instanceof StreamWriter;
  }

  /** There is a member to introduce ourselves to. */
  greet(): void {
    this.#helloAt = Number.NEGATIVE_INFINITY;
  }

  /** A member is gone, or another process has its number: it introduces itself again. */
  forget(number: number): void {
    this.introductions.forget(number);
  }

  /** A message of a member; `incarnation`: its life, as the bus tells. */
  receive(from: number, incarnation: number, body: Uint8Array, now: number): void {
    const frame = this.#in;
    this.counters.received++;
    if (!frame.open(body)) {
      this.counters.malformed++;
      return;
    }
    if (frame.kind <= STATE_KIND.facts) {
      this.introductions.receive(from, frame, now);
      this.#takeNews(now);
      return;
    }
    if (!this.introductions.accepts(from, now)) return;
    const key = streamKey(frame.origin, frame.shard);
    const stream = this.#streams.get(key);
    if (frame.kind === STATE_KIND.fence) this.#heardOfWriter(stream, frame.generation, frame.writer, from, now);
    else if (frame.kind >= STATE_KIND.askMissing) {
      const mine = stream instanceof StreamWriter && stream.generation === frame.generation;
      if (mine && frame.writer === this.#options.number) stream.asks(from, frame);
    } else this.#told(stream, key, from, incarnation, now);
  }

  /** Sends what there is to send, as far as the pace allows. */
  turn(now: number, send: Send): void {
    const rate = this.#options.rate ?? DEFAULT_RATE;
    const burst = this.#options.burst ?? DEFAULT_BURST;
    if (!Number.isNaN(this.#tokensAt)) this.#tokens = Math.min(burst, this.#tokens + (now - this.#tokensAt) * rate);
    this.#tokensAt = now;
    const counted: Send = (target, body) => {
      this.#tokens--;
      this.counters.sent++;
      send(target, body);
    };
    if (now >= this.#helloAt) {
      this.#helloAt = now + (this.#options.helloInterval ?? this.#timing.digestInterval);
      this.introductions.hello(this.#out, 0, false, counted);
    }
    while (this.introductions.sendOne(this.#out, counted));
    this.#sendFences(now, counted);
    const streams = [...this.#streams.values()];
    let idle = 0;
    // One frame each in turn, so that no stream waits for all of another's.
    for (let i = this.#first; this.#tokens >= 1 && idle < streams.length; i++) {
      const stream = streams[i % streams.length];
      const sent =
        stream instanceof StreamWriter
          ? stream.sendOne(this.#out, now, this.#turns++, counted)
          : stream.sendOne(this.#out, now, counted);
      idle = sent ? 0 : idle + 1;
      this.#first = streams.length === 0 ? 0 : (i + 1) % streams.length;
    }
  }

  /** When `turn` is to be called at the latest. */
  get nextTime(): number {
    if (this.introductions.isDue) return Number.NEGATIVE_INFINITY;
    let next = this.#helloAt;
    for (const { due } of this.#fences.values()) if (due) return Number.NEGATIVE_INFINITY;
    let work = Number.POSITIVE_INFINITY;
    for (const stream of this.#streams.values()) work = Math.min(work, stream.nextTime());
    // Without a token nothing can be sent: some are there a little later.
    if (this.#tokens < 1 && !Number.isNaN(this.#tokensAt))
      work = Math.max(work, this.#tokensAt + 16 / (this.#options.rate ?? DEFAULT_RATE));
    next = Math.min(next, work);
    return next;
  }

  events(): ReplicationEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  *rows(now: number): Generator<StreamRow> {
    for (const stream of this.#streams.values()) {
      const { name, writer, generation, position, mirrors, counters } = stream;
      const isWriter = stream instanceof StreamWriter;
      const waiting = isWriter ? stream.waiting : stream.missing;
      yield {
        ...name,
        role: isWriter ? 'writer' : 'reader',
        writer,
        generation,
        position,
        tunnels: mirrors[0].used,
        sessions: mirrors[1].used,
        state: isWriter ? (waiting > 0 ? 'waiting' : 'current') : stream.state(now),
        waiting,
        counters,
      };
    }
  }

  // ── frames of a writer ────────────────────────────────────────────────────────────────────────────────────────────

  #told(
    known: StreamWriter | StreamReader | undefined,
    key: number,
    from: number,
    incarnation: number,
    now: number,
  ): void {
    const frame = this.#in;
    const { generation, writer } = frame;
    if (writer !== from || writer === this.#options.number || generation === 0) {
      this.counters.notTheWriter++;
      return;
    }
    let stream: StreamWriter | StreamReader | null | undefined = known;
    if (stream === undefined) stream = this.#open(frame.origin, frame.shard);
    if (stream === null) {
      this.counters.streamsRefused++;
      return;
    }
    if (outranks(stream.generation, stream.writer, generation, writer)) {
      this.counters.staleWriter++;
      this.#fence(key, from, now);
      return;
    }
    if (stream instanceof StreamWriter) stream = this.#yieldTo(stream, from, stream.generation);
    if (outranks(generation, writer, stream.generation, stream.writer)) {
      // Before its first change there was none; before any other frame there may have been some.
      stream.follow(
        generation,
        writer,
        incarnation,
        frame.kind === STATE_KIND.changes ? frame.position - 1 : frame.position,
      );
      this.#event({ kind: 'followed', number: from, stream: { ...stream.name, generation } });
    } else if (stream.incarnation !== incarnation) {
      // Another life of the writer, that does not know how far the former one had come.
      this.counters.staleWriter++;
      this.#fence(key, from, now);
      return;
    }
    stream.receive(frame, now);
  }

  #open(origin: number, shard: number): StreamReader | null {
    if (origin === 0 || this.#streams.size >= STREAM_LIMIT) return null;
    const reader = new StreamReader(new Stream({ origin, shard }, this.#options.capacity), this.#options.sink);
    this.#streams.set(reader.key, reader);
    return reader;
  }

  // ── fences ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #fence(key: number, target: number, now: number): void {
    const fence = this.#fences.get(key);
    if (fence === undefined) this.#fences.set(key, { target, at: Number.NEGATIVE_INFINITY, due: true });
    else if (now >= fence.at + FENCE_INTERVAL || fence.target !== target) {
      fence.target = target;
      fence.due = true;
    }
  }

  #sendFences(now: number, send: Send): void {
    for (const [key, fence] of this.#fences) {
      const stream = this.#streams.get(key);
      if (!fence.due || stream === undefined) continue;
      fence.due = false;
      fence.at = now;
      stream.begin(this.#out, STATE_KIND.fence, 0, now);
      send(fence.target, this.#out.end());
    }
  }

  /** Somebody knows of this writer. */
  #heardOfWriter(
    stream: StreamWriter | StreamReader | undefined,
    generation: number,
    writer: number,
    from: number,
    now: number,
  ): void {
    if (!(stream instanceof StreamWriter) || writer === 0) return;
    const own = this.#options.number;
    if (writer === own) {
      // Our former life: it had this generation, or a higher one.
      if (generation < stream.generation) return;
      stream.raise(generation + 1, now);
      this.#event({ kind: 'raised', number: own, stream: { ...stream.name, generation: stream.generation } });
    } else if (outranks(generation, writer, stream.generation, own)) this.#yieldTo(stream, from, generation);
  }

  #yieldTo(writer: StreamWriter, number: number, generation: number): StreamReader {
    const reader = new StreamReader(writer, this.#options.sink);
    // Nobody is followed until the other one is heard. If it is dead, whoever writes next must be above it.
    reader.generation = generation;
    this.#streams.set(reader.key, reader);
    this.counters.fenced++;
    this.#event({ kind: 'fenced', number, stream: { ...writer.name, generation: writer.generation } });
    return reader;
  }

  #takeNews(now: number): void {
    for (const { number, accepted, differences } of this.introductions.news) {
      this.#event({ kind: accepted ? 'accepted' : 'refused', number, differences });
      if (!accepted) continue;
      for (const stream of this.#streams.values()) if (stream instanceof StreamWriter) stream.digestSoon(now);
    }
    this.introductions.news.length = 0;
  }

  #event(event: ReplicationEvent): void {
    if (this.#events.length < EVENT_LIMIT) this.#events.push(event);
    else this.counters.eventsDropped++;
  }
}

/** Bytes that the records of a stream take at each member when all of its indices are used. */
export function streamMemory(capacity: Capacity): number {
  return capacity.reduce((sum, count, plane) => sum + count * (4 * PLANE_WORDS[plane] + 8), 0);
}
