/** One measurement of one contestant, and the search for the rate that it can take. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './contestants.js';
import { type Direction, type Testbed, waysOf } from './testbed.js';

export interface Sample {
  /** CPU nanoseconds of the contestant for each packet that arrived. */
  readonly ns: number;
  readonly kpps: number;
  readonly loss: number;
  readonly sent: number;
  readonly arrived: number;
}

export interface MeasureOptions {
  readonly direction: Direction;
  /** Packets a second, both directions together; infinite is the source's fastest. */
  readonly rate: number;
  readonly seconds: number;
  /** Packets carry their time, so that their latency can be read at the sink. */
  readonly stamped?: boolean;
}

/** Rates that are tried, from low to high, each 15 % above the one before. */
export const RATES: readonly number[] = Array.from({ length: 37 }, (_, i) => Math.round(25 * 1.15 ** i) * 1000);
/** The AF_PACKET source can keep no more. */
export const PACKET_SOURCE_RATE = 380_000;
/** What a hiccup of a shared machine costs in a short run is not yet overload. */
const LOSS_FREE = 0.005;
const SEARCH_SECONDS = 0.25;
const SETTLE_MS = 60;
/** After a run: the count stands still for so long, or this is the end of patience. */
const QUIET_MS = 25;
const DRAIN_LIMIT_MS = 1000;

/** Frames that have arrived at the far end of a direction, or at both. */
export async function arrivals(bed: Testbed, direction: Direction): Promise<number> {
  let sum = 0;
  for (const way of waysOf(direction)) sum += await bed.sink(way).arrived();
  return sum;
}

export async function standingStill(count: () => Promise<number>): Promise<number> {
  const until = performance.now() + DRAIN_LIMIT_MS;
  for (let last = await count(); ; ) {
    await sleep(QUIET_MS);
    const now = await count();
    if (now === last || performance.now() > until) return now;
    last = now;
  }
}

/** The frames must have been loaded into `sourceOf`. */
export async function measure({ bed }: Contestant, options: MeasureOptions): Promise<Sample> {
  await bed.urgent(Number.isFinite(options.rate));
  const { direction, rate, seconds, stamped } = options;
  const account = bed.account();
  await sleep(SETTLE_MS);
  const before = await arrivals(bed, direction);
  const cpu = account.nanos();
  const { sent, seconds: took } = await bed
    .source(sourceOf(direction))
    .send({ seconds, rate: Number.isFinite(rate) ? rate : 0, stamped });
  const arrived = (await standingStill(() => arrivals(bed, direction))) - before; // what is on its way arrives first
  const spent = account.nanos() - cpu;
  return {
    ns: arrived === 0 ? Number.POSITIVE_INFINITY : spent / arrived,
    kpps: arrived / took / 1000,
    loss: sent === 0 ? 1 : Math.max(0, 1 - arrived / sent),
    sent,
    arrived,
  };
}

/** Both directions come from one source, so that they are turn about and not by turns of the scheduler. */
export const sourceOf = (direction: Direction): 'in' | 'out' => (direction === 'out' ? 'out' : 'in');

/** The highest rate at which nothing is lost, in short runs; what the source really kept, where it could not keep more. */
export async function lossFreeRate(contestant: Contestant, direction: Direction, highest: number): Promise<number> {
  const free = async (rate: number): Promise<number | null> => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { loss, kpps } = await measure(contestant, { direction, rate, seconds: SEARCH_SECONDS });
      if (loss <= LOSS_FREE) return Math.min(rate, kpps * 1000);
    }
    return null;
  };
  let low = 0;
  let high = Math.max(1, RATES.filter((rate) => rate <= highest).length);
  let best = RATES[0];
  while (low < high) {
    const middle = (low + high) >> 1;
    const kept = await free(RATES[middle]);
    if (kept === null) high = middle;
    else {
      best = kept;
      low = middle + 1;
    }
  }
  return best;
}

/** Loads a cell's frames; false where the contestant has no such direction. */
export async function loadFrames(contestant: Contestant, size: number, direction: Direction): Promise<boolean> {
  const set = await contestant.frames(size, direction);
  if (set === null) return false;
  const source = contestant.bed.source(sourceOf(direction));
  await source.load(set, source.xdp);
  return true;
}
