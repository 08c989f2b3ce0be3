/**
 * What happened, as it happens: a bounded memory of the last events, and streams for those who watch. Main thread only.
 *
 * An event is a flat JSON object `{ seq, time, type, … }`. `seq` grows by one with every event of the process, so a gap
 * is a loss; who loses is told: a stream that did not keep up gets a `lost` event with a count, in the place of what is
 * missing. Nobody who watches can slow the appliance down, and an event that nobody looks at is never put into words:
 * events of shards come as words and are told by their teller when someone reads them.
 */
import { DesignatorError } from '../errors.js';

/** Every type of event, with its sentence (docs/observing.md lists them). */
export const EVENT_TYPES = {
  'tunnel-request': 'a new tunnel was asked for and designated',
  'tunnel-established': 'a tunnel stands: both ends have said so',
  'tunnel-closed': 'a tunnel ended; its reason, duration and counters',
  'session-requested': 'a session of a tunnel was asked for',
  'session-established': 'a session stands',
  'session-closed': 'a session ended',
  'request-refused': 'a tunnel request was refused; at most so many a second, `suppressed` counts the others',
  'server-state': 'a server entered another state',
  'server-changed': 'a command changed a server',
  inactivation: 'a server is emptied, inactive or brought back because of the load or a command; `what` says which',
  'server-power': 'a command to power a server off or on has ended',
  'client-follows': 'a client showed what it does with answers from another address than the VIP; `follow` says which',
  'request-flood': 'a flood of tunnel requests began or ended',
  'take-over': 'tunnels of a server lead to its peer from now on',
  'take-over-refused': 'a take-over message was not believed, or its order not done',
  'load-status-rejected': 'a load status message was not believed',
  reload: 'the configuration was read again',
  'shard-crashed': 'a shard ended by an error and is started again',
  'shard-up': 'a shard runs',
  'authentication-failed': 'a subscriber was not let in (LNS)',
  'pool-exhausted': 'no address was free for a subscriber (LNS)',
  switchover: 'sessions move to another server, have moved or could not; `what` says which',
  'peer-state': 'the peer with which a server shares its state came, went or has everything',
  'gateway-state': 'this gateway became or ceased to be the master of its group, or is not to be elected for a while',
  'gateway-master': 'another gateway answers for the shared addresses; `what` says how it came',
  'gateway-member': 'a gateway of the group came, went, can forward again or cannot',
  'gateway-forwarder': 'the frames of a virtual MAC go to another gateway; `what` says why',
  'gateway-hosts': 'hosts of a gateway group were moved, or there is no room for more',
  'gateway-trouble': 'something on the segment is not as it should be; `what` says which',
  'gateway-tracking': 'something that a gateway tracks fails, or is well again',
  'master-part': 'the master part that this endpoint carries started, is ready, or ended; `state` says which',
  'gateway-host': 'something of the machine under a gateway group fails, or is well again',
  'cluster-member': 'a member of the cluster joined, left, is refused or is accepted again; `what` says which',
  'cluster-bus': 'the cluster’s bus is up, or degraded and why',
  'cluster-stream': 'connection state of a member has another writer; `what` says how',
  'cluster-duty': 'what one member of the cluster does for all, this one does from now on, or no more',
  announced: 'routes for a routing daemon were made or taken away, and why',
  lost: 'events are missing here; `count` says how many, `where` says where',
} as const satisfies Readonly<Record<string, string>>;

export type EventType = keyof typeof EVENT_TYPES;
export type EventFields = Readonly<Record<string, string | number | boolean | null>>;
/** As it is sent: flat. */
export type ApplianceEvent = { readonly seq: number; readonly time: string; readonly type: EventType } & EventFields;

/** Makes the fields of an event that came as words. The words are its own copy. */
export type EventTeller = (words: Int32Array) => EventFields;

export interface EventFilter {
  /** Only these types; absent or empty: all. `lost` always comes. */
  readonly types?: readonly EventType[];
  /** Only events whose field of this name has this value; an event without the field does not match. */
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
  /** Begin with what is remembered, from this Unix time in milliseconds on; absent: with what happens from now on. */
  readonly sinceMs?: number;
}

/**
 * Events as they come. `onData` gets them one by one; while paused the stream keeps a bounded number and counts what
 * is beyond it, which a `lost` event tells later.
 */
export interface EventStream {
  onData(listener: (event: ApplianceEvent) => void): void;
  /** Called once when the stream ends, whoever ended it. */
  onEnd(listener: () => void): void;
  pause(): void;
  resume(): void;
  close(): void;
  /** Events that this stream did not get. */
  lost(): number;
}

/** Events that are remembered. */
export const MEMORY_LIMIT = 8192;
/** Events that wait for one stream. */
export const QUEUE_LIMIT = 8192;
export const STREAMS_MAX = 32;
/** Events put into words for one stream in a turn of the event loop: some milliseconds of work. */
const SLICE = 256;
/** Longest text of a field: names and sentences of ours are shorter, what the network says may not be. */
const TEXT_LIMIT = 512;

/** One event: in words until somebody reads it. */
class Entry {
  #told: ApplianceEvent | null = null;

  constructor(
    readonly seq: number,
    readonly atMs: number,
    readonly type: EventType,
    readonly words: Int32Array | null,
    readonly teller: EventTeller | null,
    readonly fields: EventFields | null,
  ) {}

  tell(): ApplianceEvent {
    if (this.#told === null) {
      const fields = this.fields ?? (this.teller as EventTeller)(this.words as Int32Array);
      this.#told = { seq: this.seq, time: new Date(this.atMs).toISOString(), type: this.type, ...limited(fields) };
    }
    return this.#told;
  }
}

export class EventLog {
  /** Events of each type since the start, in the order of EVENT_TYPES. */
  readonly #counts = new Map<EventType, number>(
    (Object.keys(EVENT_TYPES) as EventType[]).map((type): [EventType, number] => [type, 0]),
  );
  readonly #memory: (Entry | undefined)[];
  readonly #clock: () => number;
  readonly #queueLimit: number;
  readonly #streams = new Set<Stream>();
  #next = 1;
  #lostBefore = 0;
  #lostInStreams = 0;
  #delivering = false;

  constructor(options: { memoryLimit?: number; queueLimit?: number; clock?: () => number } = {}) {
    this.#memory = new Array(options.memoryLimit ?? MEMORY_LIMIT).fill(undefined);
    this.#queueLimit = options.queueLimit ?? QUEUE_LIMIT;
    this.#clock = options.clock ?? Date.now;
  }

  /** Something happened now. Undefined fields are left out. */
  emit(type: EventType, fields: Readonly<Record<string, EventFields[string] | undefined>> = {}): void {
    this.#add(new Entry(this.#next, this.#clock(), type, null, null, fields as EventFields));
  }

  /** Something happened at `atMs` (Unix milliseconds), in words that nobody changes any more. */
  emitWords(type: EventType, atMs: number, words: Int32Array, teller: EventTeller): void {
    this.#add(new Entry(this.#next, atMs, type, words, teller, null));
  }

  /** Events were lost before they came here; `where` is for people ("shard 1"). */
  lost(count: number, where: string): void {
    this.#lostBefore += count;
    this.emit('lost', { count, where });
  }

  /** Somebody watches. */
  get watched(): boolean {
    return this.#streams.size > 0;
  }

  /** What is remembered and matches, oldest first; the last `limit` of it. Without `sinceMs` all that is remembered. */
  recent(filter: EventFilter = {}, limit = Number.POSITIVE_INFINITY): ApplianceEvent[] {
    const match = matcher(filter);
    const found: ApplianceEvent[] = [];
    for (let seq = this.#next - 1; seq > 0 && seq >= this.#next - this.#memory.length && found.length < limit; seq--) {
      const entry = this.#memory[seq % this.#memory.length];
      if (entry === undefined || (filter.sinceMs !== undefined && entry.atMs < filter.sinceMs)) continue;
      if (match(entry)) found.push(entry.tell());
    }
    return found.reverse();
  }

  /** Errors: TD_CONFLICT when STREAMS_MAX streams run already. */
  open(filter: EventFilter = {}): EventStream {
    if (this.#streams.size >= STREAMS_MAX) {
      throw new DesignatorError('TD_CONFLICT', `${STREAMS_MAX} event streams run already; end one of them first`, {
        limit: STREAMS_MAX,
      });
    }
    const stream = new Stream(matcher(filter), this.#queueLimit, this.#clock, {
      closed: () => this.#streams.delete(stream),
      lost: () => this.#lostInStreams++,
      more: () => this.#schedule(),
    });
    if (filter.sinceMs !== undefined) this.#replay(stream, filter.sinceMs);
    this.#streams.add(stream);
    return stream;
  }

  /** Totals for metrics. */
  totals(): EventTotals {
    return {
      byType: [...this.#counts].map(([type, count]) => ({ type, count })),
      lostBefore: this.#lostBefore,
      lostInStreams: this.#lostInStreams,
      streams: this.#streams.size,
    };
  }

  /** Delivers what waits. Called by itself after `emit`; of use in tests and before an orderly end. */
  flush(): void {
    this.#delivering = false;
    for (const stream of [...this.#streams]) stream.deliver();
  }

  /** Ends every stream, after what it has waiting. */
  close(): void {
    for (const stream of [...this.#streams]) stream.close();
  }

  #replay(stream: Stream, sinceMs: number): void {
    for (let seq = Math.max(1, this.#next - this.#memory.length); seq < this.#next; seq++) {
      const entry = this.#memory[seq % this.#memory.length];
      if (entry !== undefined && entry.atMs >= sinceMs) stream.push(entry);
    }
  }

  #add(entry: Entry): void {
    this.#next++;
    this.#memory[entry.seq % this.#memory.length] = entry;
    this.#counts.set(entry.type, (this.#counts.get(entry.type) ?? 0) + 1);
    if (this.#streams.size === 0) return;
    for (const stream of this.#streams) stream.push(entry);
    this.#schedule();
  }

  /** Delivered outside the caller's work, many at a time. */
  #schedule(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    setImmediate(() => this.flush());
  }
}

export interface EventTotals {
  readonly byType: readonly { readonly type: EventType; readonly count: number }[];
  /** Lost between a shard and here. */
  readonly lostBefore: number;
  /** Not sent to streams that did not keep up. */
  readonly lostInStreams: number;
  readonly streams: number;
}

interface StreamHooks {
  readonly closed: () => void;
  readonly lost: () => void;
  /** There is more to deliver than one turn should take. */
  readonly more: () => void;
}

class Stream implements EventStream {
  readonly #match: (entry: Entry) => boolean;
  readonly #limit: number;
  readonly #clock: () => number;
  readonly #hooks: StreamHooks;
  #queue: (Entry | { readonly seq: number; readonly count: number })[] = [];
  #head = 0;
  /** Lost since the last event in the queue. */
  #missing = 0;
  #lost = 0;
  #lastSeq = 0;
  #paused = false;
  #open = true;
  #ended = false;
  #listener: ((event: ApplianceEvent) => void) | null = null;
  #endListener: (() => void) | null = null;

  constructor(match: (entry: Entry) => boolean, limit: number, clock: () => number, hooks: StreamHooks) {
    this.#match = match;
    this.#limit = limit;
    this.#clock = clock;
    this.#hooks = hooks;
  }

  onData(listener: (event: ApplianceEvent) => void): void {
    this.#listener = listener;
    this.deliver();
  }

  onEnd(listener: () => void): void {
    this.#endListener = listener;
    if (this.#ended) listener();
  }

  lost(): number {
    return this.#lost;
  }

  push(entry: Entry): void {
    if (!this.#match(entry)) return;
    if (this.#queue.length - this.#head >= this.#limit) {
      this.#missing++;
      this.#lost++;
      this.#hooks.lost();
      this.#lastSeq = entry.seq;
      return;
    }
    this.#note();
    this.#queue.push(entry);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.deliver();
  }

  /** Hands events out until the queue is empty, the listener pauses or the turn has done enough. */
  deliver(limit = SLICE): void {
    for (let n = 0; this.#listener !== null && !this.#paused && this.#head < this.#queue.length; n++) {
      if (n === limit) {
        this.#hooks.more();
        break;
      }
      const next = this.#queue[this.#head++];
      this.#listener(next instanceof Entry ? next.tell() : this.#marker(next.seq, next.count));
    }
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (this.#queue.length === 0 && this.#missing > 0 && this.#listener !== null && !this.#paused) {
      this.#note();
      return this.deliver(limit);
    }
    if (!this.#open && !this.#ended && (this.#queue.length === 0 || this.#listener === null)) {
      this.#ended = true;
      this.#endListener?.();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hooks.closed();
    this.deliver(Number.POSITIVE_INFINITY);
  }

  /** Whatever was lost so far stands in the queue in its place. */
  #note(): void {
    if (this.#missing === 0) return;
    this.#queue.push({ seq: this.#lastSeq, count: this.#missing });
    this.#missing = 0;
  }

  #marker(seq: number, count: number): ApplianceEvent {
    return { seq, time: new Date(this.#clock()).toISOString(), type: 'lost', count, where: 'this stream' };
  }
}

function matcher({ types, vip, server, client }: EventFilter): (entry: Entry) => boolean {
  const wanted = types === undefined || types.length === 0 ? null : new Set<EventType>(types);
  const fields = Object.entries({ vip, server, client }).filter(([, value]) => value !== undefined);
  return (entry) => {
    if (entry.type === 'lost') return true;
    if (wanted !== null && !wanted.has(entry.type)) return false;
    if (fields.length === 0) return true;
    const event = entry.tell() as EventFields;
    return fields.every(([name, value]) => event[name] === value);
  };
}

function limited(fields: EventFields): EventFields {
  let result = fields;
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value.length > TEXT_LIMIT)
      result = { ...result, [name]: value.slice(0, TEXT_LIMIT) };
  }
  return result;
}
