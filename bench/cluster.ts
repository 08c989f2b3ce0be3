/**
 * What a cluster of designators costs and how long its members take: a VIP with all its tunnels taken over, the CPU time that
 * sharing takes, a newcomer's whole table, and the election (bench/pair.ts, whose figure of the address it is).
 */
import { type ClusterCostRow, clusterCostBench } from './cluster-cost.js';
import { type ResyncRow, resyncBench } from './cluster-resync.js';
import { type TakeOverRow, takeOverBench } from './cluster-take-over.js';
import { type PairRow, pairBench } from './pair.js';

export const CLUSTER_PARTS = [
  'take-over-packet',
  'take-over-xdp',
  'sharing-packet',
  'sharing-xdp',
  'resync',
  'election',
] as const;
export type ClusterPart = (typeof CLUSTER_PARTS)[number];
export type ClusterRow = TakeOverRow | ClusterCostRow | ResyncRow | PairRow;

export interface ClusterBenchOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly quick?: boolean;
  readonly parts?: readonly ClusterPart[];
  /** Rounds of each part. */
  readonly rounds?: number;
  /** Of the take-over and of the newcomer. */
  readonly tunnels?: number;
  /** Of one measurement of what sharing costs. */
  readonly seconds?: number;
  readonly progress?: (line: string) => void;
}

export async function clusterBench(options: ClusterBenchOptions): Promise<ClusterRow[]> {
  const { self, env, pid, progress, quick = false, parts = CLUSTER_PARTS, rounds, tunnels, seconds } = options;
  const common = { self, env, pid, ...(progress === undefined ? {} : { progress }) };
  const size = { ...(tunnels === undefined ? {} : { tunnels }), ...(rounds === undefined ? {} : { rounds }) };
  const rows: ClusterRow[] = [];
  const ios = (prefix: string): ('packet' | 'xdp')[] =>
    (['packet', 'xdp'] as const).filter((io) => parts.includes(`${prefix}-${io}` as ClusterPart));
  if (ios('take-over').length > 0) {
    const few = quick ? { tunnels: 200, rounds: 1, seconds: 1.5 } : {};
    rows.push(...(await takeOverBench({ ...common, ios: ios('take-over'), ...few, ...size })));
  }
  if (ios('sharing').length > 0) {
    const few = quick ? { pairs: 1, seconds: 0.3, flows: 100, rate: 1000 } : {};
    const chosen = {
      ...(rounds === undefined ? {} : { pairs: rounds }),
      ...(seconds === undefined ? {} : { seconds }),
    };
    rows.push(...(await clusterCostBench({ ...common, ios: ios('sharing'), ...few, ...chosen })));
  }
  if (parts.includes('resync')) {
    const few = quick ? { tunnels: 20_000, rounds: 1 } : {};
    rows.push(...(await resyncBench({ ...common, ...few, ...size })));
  }
  if (parts.includes('election')) {
    const few = quick ? { rounds: 1, tunnels: 4 } : {};
    const chosen = rounds === undefined ? {} : { rounds };
    rows.push(...(await pairBench({ ...common, peers: ['pair-one-master', 'pair-xdp'], ...few, ...chosen })));
  }
  return rows;
}
