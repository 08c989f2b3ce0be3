/**
 * How long a packet is under way, from the moment it is made to the moment it is counted, at parts of each contestant's own
 * loss-free rate. Both clocks are the same one. Sixteen buckets for each power of two: a figure is at most 6 % too low.
 */
import type { Peer } from './contestants.js';
import { loadFrames, lossFreeRate, measure, RATES } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';

export interface LatencyRow {
  readonly benchmark: 'latency';
  readonly peer: string;
  readonly load: '10%' | '50%' | '90%';
  readonly size: number;
  readonly flows: number;
  readonly kpps: number;
  readonly loss: number;
  /** Microseconds. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  /** Least nanoseconds of a bucket, packets in it. */
  readonly histogram: readonly (readonly [number, number])[];
}

const PEERS: readonly Peer[] = ['xdp', 'af-xdp', 'xdp-bare', 'designator', 'nft-dnat', 'ip-forward'];
const LOADS = [
  ['10%', 0.1],
  ['50%', 0.5],
  ['90%', 0.9],
] as const;
const SIZE = 64;

export function latencyBench(options: ScenarioOptions & { readonly highest?: number }): Promise<LatencyRow[]> {
  const { seconds = 2, pairs = 1, flows = FLOWS, highest = RATES[RATES.length - 1] } = options;
  return withContestants(options, options.peers ?? PEERS, async (contestants, say) => {
    const rows: LatencyRow[] = [];
    for (const contestant of contestants) {
      await loadFrames(contestant, SIZE, 'in');
      const capacity = await lossFreeRate(contestant, 'in', highest);
      say(`latency of ${contestant.peer}, ${Math.round(capacity / 1000)} kpps without loss`);
      const sink = contestant.bed.sink('in');
      for (const [load, share] of LOADS) {
        await sink.startLatency();
        let [sent, arrived, kpps] = [0, 0, 0];
        for (let round = 0; round < pairs; round++) {
          const order = { direction: 'in', rate: capacity * share, seconds, stamped: true } as const;
          const sample = await measure(contestant, order);
          [sent, arrived, kpps] = [sent + sample.sent, arrived + sample.arrived, sample.kpps];
        }
        const histogram = await sink.endLatency();
        const at = (q: number): number | null => percentile(histogram, q);
        rows.push({
          benchmark: 'latency',
          peer: contestant.peer,
          load,
          size: SIZE,
          flows,
          kpps: Math.round(kpps),
          loss: sent === 0 ? 1 : Number((1 - arrived / sent).toFixed(5)),
          p50: at(0.5),
          p99: at(0.99),
          p999: at(0.999),
          histogram,
        });
      }
    }
    return rows;
  });
}

/** Microseconds, or null of nothing. */
export function percentile(histogram: readonly (readonly [number, number])[], q: number): number | null {
  const total = histogram.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [least, count] of histogram) {
    seen += count;
    if (seen >= total * q) return Number((least / 1000).toFixed(1));
  }
  return null;
}
