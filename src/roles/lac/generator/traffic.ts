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
    if (this.#active) this.#ended = now;
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
    sink.ppp(call.slot, writer.write(call.address, to, call.number, number, this.clock()));
  }

  /** A packet that came out of a session. False: it is none of ours. */
  receive(frame: Uint8Array, at: number): boolean {
    const seen = this.#seen;
    if (!readProbe(frame, at, seen)) return false;
    const stream = this.#streams[seen.stream];
    if (stream === undefined || seen.call >= stream.highest.length) return false;
    stream.received++;
    stream.latency.add((this.clock() - seen.time) / 1000);
    if (seen.number < stream.highest[seen.call]) stream.outOfOrder++;
    else stream.highest[seen.call] = seen.number + 1;
    return true;
  }

  results(): TrafficResult[] {
    const seconds = Math.max(this.#ended - this.#began, TURN);
    return this.#streams.map(({ spec, sent, received, outOfOrder, latency }) => {
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
      };
    });
  }
}
