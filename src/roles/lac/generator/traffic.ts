/** What the sessions send while they are up, and what comes back of it. */
import type { Call } from './call.js';
import { Histogram } from './histogram.js';
import { type ProbeSeen, ProbeWriter, readProbe } from './probe.js';
import type { TrafficResult } from './results.js';
import type { TrafficSpec } from './settings.js';

/** Packets of a stream that may go out in one turn; what a late turn could not send is left out, not made up for. */
const BURST = 2048;
/** Turns are no finer, seconds. */
const TURN = 0.001;

class Stream {
  sent = 0;
  received = 0;
  outOfOrder = 0;
  credit = 0;
  cursor = 0;
  readonly latency = new Histogram();
  readonly writers: readonly ProbeWriter[];
  /** By the call's number: the next packet's number, and the highest that was received, plus one. */
  readonly numbers: Uint32Array;
  readonly highest: Uint32Array;
  /** By the call's number, ms: when it last received (at first: sent), 0 never; and its longest time without. */
  readonly lastAt: Float64Array;
  readonly gap: Float64Array;

  constructor(
    readonly spec: TrafficSpec,
    index: number,
    calls: number,
  ) {
    const bySize = new Map<number, ProbeWriter>();
    for (const size of spec.sizes) if (!bySize.has(size)) bySize.set(size, new ProbeWriter(spec.kind, size, index));
    this.writers = spec.sizes.map((size) => bySize.get(size) as ProbeWriter);
    this.numbers = new Uint32Array(calls + 1);
    this.highest = new Uint32Array(calls + 1);
    this.lastAt = new Float64Array(calls + 1);
    this.gap = new Float64Array(calls + 1);
  }

  noteArrival(call: number, atMs: number): void {
    if (this.lastAt[call] > 0) this.gap[call] = Math.max(this.gap[call], atMs - this.lastAt[call]);
    this.lastAt[call] = atMs;
  }

  /** A session that fell silent has its gap up to the end. */
  gaps(endedMs: number): Histogram {
    const all = new Histogram();
    for (let call = 0; call < this.lastAt.length; call++) {
      if (this.lastAt[call] > 0) all.add(Math.max(this.gap[call], endedMs - this.lastAt[call]) / 1000);
    }
    return all;
  }
}

export interface TrafficSink {
  /** A PPP frame into a session's tunnel; the bytes are copied at once. */
  ppp(slot: number, frame: Uint8Array): void;
}

export class Traffic {
  readonly #streams: readonly Stream[];
  readonly #seen: ProbeSeen = { stream: 0, call: 0, number: 0, time: 0 };
  #last = 0;
  #active = false;
  #began = 0;
  #ended = 0;
  #endedMs = 0;

  /** `calls`: the highest number of a call. `clock`: milliseconds, finer than a turn. */
  constructor(
    specs: readonly TrafficSpec[],
    calls: number,
    private readonly target: Uint8Array | null,
    private readonly clock: () => number,
  ) {
    this.#streams = specs.map((spec, index) => new Stream(spec, index, calls));
  }

  start(now: number): void {
    this.#active = this.#streams.length > 0;
    this.#last = now;
    this.#began = now;
  }

  /** Nothing more is sent; what is on its way may still come. */
  stop(now: number): void {
    if (this.#active) {
      this.#ended = now;
      this.#endedMs = this.clock();
    }
    this.#active = false;
  }

  /** Seconds. */
  get nextTime(): number {
    return this.#active ? this.#last + TURN : Number.POSITIVE_INFINITY;
  }

  /** Sends what is due by now. */
  run(now: number, up: readonly Call[], sink: TrafficSink): void {
    if (!this.#active) return;
    const passed = now - this.#last;
    this.#last = now;
    if (up.length === 0) return;
    for (const stream of this.#streams) {
      stream.credit = Math.min(stream.credit + passed * stream.spec.rate * up.length, BURST);
      for (; stream.credit >= 1; stream.credit--) this.#send(stream, up, sink);
    }
  }

  #send(stream: Stream, up: readonly Call[], sink: TrafficSink): void {
    stream.cursor = stream.cursor + 1 < up.length ? stream.cursor + 1 : 0;
    const call = up[stream.cursor];
    const { kind } = stream.spec;
    // Neighbours are paired by their places; the last of an odd number has none.
    const to = kind === 'ping' ? (this.target ?? call.peerAddress) : (up[stream.cursor ^ 1]?.address ?? null);
    if (to === null || call.address === null) return;
    const number = stream.numbers[call.number]++;
    const writer = stream.writers[stream.sent % stream.writers.length];
    stream.sent++;
    const time = this.clock();
    // A session that never has an answer has a gap from here on.
    if (stream.lastAt[call.number] === 0) stream.lastAt[call.number] = time;
    sink.ppp(call.slot, writer.write(call.address, to, call.number, number, time));
  }

  /** A packet that came out of a session. False: it is none of ours. */
  receive(frame: Uint8Array, at: number): boolean {
    const seen = this.#seen;
    if (!readProbe(frame, at, seen)) return false;
    const stream = this.#streams[seen.stream];
    if (stream === undefined || seen.call >= stream.highest.length) return false;
    stream.received++;
    const now = this.clock();
    stream.latency.add((now - seen.time) / 1000);
    stream.noteArrival(seen.call, now);
    if (seen.number < stream.highest[seen.call]) stream.outOfOrder++;
    else stream.highest[seen.call] = seen.number + 1;
    return true;
  }

  results(): TrafficResult[] {
    const seconds = Math.max(this.#ended - this.#began, TURN);
    return this.#streams.map((stream) => {
      const { spec, sent, received, outOfOrder, latency } = stream;
      const lost = Math.max(0, sent - received);
      return {
        name: spec.name,
        kind: spec.kind,
        sent,
        received,
        lost,
        lossPercent: sent === 0 ? 0 : Number(((100 * lost) / sent).toFixed(3)),
        outOfOrder,
        packetsPerSecond: Math.round(sent / seconds),
        latencyMs: latency.figures(),
        gapMs: stream.gaps(this.#endedMs).figures(),
      };
    });
  }
}
