/** The count at a far end: an XDP program that counts and drops what arrives (native/bpf/bench/sink.bpf.c). */
import { readFileSync } from 'node:fs';
import { native } from '#designator/io/native.js';
import { benchObject } from './bpf-object.js';
import { BPF, type KernelArray, mapArray } from './kernel-array.js';

const BUCKETS = 640;
const STEPS = 16;
const LONG = { packets: 0, bytes: 1, flags: 2 } as const;
const STAMPED = 1n;

export class Sink {
  readonly #state: KernelArray;
  readonly #latency: KernelArray;
  readonly #longs: BigUint64Array;
  readonly #counts: BigUint64Array;

  /** Stays on the device as long as this process lives. */
  constructor(device: string) {
    const { bpf, interfaceInfo } = native();
    this.#state = mapArray('bench_sink', 1, 64);
    this.#latency = mapArray('bench_latency', BUCKETS, 8);
    this.#longs = new BigUint64Array(this.#state.buffer, 0, 8);
    this.#counts = new BigUint64Array(this.#latency.buffer, 0, BUCKETS);
    const program = bpf.load({
      object: readFileSync(benchObject('sink')),
      section: 'xdp',
      name: 'td_bench_sink',
      expectedAttachType: 0,
      maps: { bench_sink: this.#state.fd, bench_latency: this.#latency.fd },
    });
    bpf.link(program, interfaceInfo(device).index, BPF.nativeMode);
  }

  #watch: NodeJS.Timeout | null = null;
  #longest = 0;
  #changedAt = 0;
  #seen = 0;

  /** Looks every millisecond whether something has arrived. */
  startSilence(): void {
    this.#longest = 0;
    this.#changedAt = performance.now();
    this.#seen = this.packets;
    this.#watch ??= setInterval(() => this.#look(), 1);
  }

  #look(): void {
    const { packets } = this;
    if (packets === this.#seen) return;
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#changedAt);
    this.#changedAt = now;
    this.#seen = packets;
  }

  /** The longest time in which nothing arrived, in milliseconds; one that has not ended counts as well. */
  endSilence(): number {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    return Math.max(this.#longest, performance.now() - this.#changedAt);
  }

  get packets(): number {
    return Number(Atomics.load(this.#longs, LONG.packets));
  }

  /** Frames that arrive carry the time at which they were sent; from now on it is looked at. */
  startLatency(): void {
    this.#counts.fill(0n);
    Atomics.store(this.#longs, LONG.flags, STAMPED);
  }

  /** What there is between: pairs of the least nanoseconds of a bucket and how many frames are in it. */
  endLatency(): [number, number][] {
    Atomics.store(this.#longs, LONG.flags, 0n);
    return [...this.#counts].flatMap((count, bucket): [number, number][] =>
      count === 0n ? [] : [[leastOf(bucket), Number(count)]],
    );
  }
}

/** The inverse of bucket_of in sink.bpf.c. */
export function leastOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const power = Math.floor(bucket / STEPS) + 3;
  return 2 ** power + (bucket % STEPS) * 2 ** (power - 4);
}
