/** Rows of the cluster's benchmark, for people. */
import type { ClusterRow } from './cluster.js';
import type { ClusterCostRow } from './cluster-cost.js';
import type { ResyncRow } from './cluster-resync.js';
import type { TakeOverRow } from './cluster-take-over.js';
import type { PairRow } from './pair.js';
import { figure, pairTable, table } from './report.js';

/** A table for each part that has rows. */
export function clusterTables(rows: readonly ClusterRow[]): string[] {
  const of = <T extends ClusterRow>(benchmark: T['benchmark']): T[] =>
    rows.filter((row) => row.benchmark === benchmark) as T[];
  const some = <T>(chosen: readonly T[], make: (chosen: readonly T[]) => string): string[] =>
    chosen.length === 0 ? [] : [make(chosen)];
  return [
    ...some(of<TakeOverRow>('cluster-take-over'), takeOverTable),
    ...some(of<ClusterCostRow>('cluster-cost'), costTable),
    ...some(of<ResyncRow>('cluster-resync'), resyncTable),
    ...some(of<PairRow>('pair'), pairTable),
  ];
}

const yes = (reached: boolean): string => (reached ? 'yes' : 'no');

function takeOverTable(rows: readonly TakeOverRow[]): string {
  return table([
    [
      ...['take-over', 'tunnels', 'set up ms', 'rounds', 'silent before ms', 'silent ms', 'worst', 'lost as ms'],
      ...['worst', 'flow on', 'bar ms', 'reached'],
    ],
    ...rows.map((r) => [
      r.io,
      figure(r.tunnels),
      figure(r.setUpMs),
      figure(r.rounds),
      figure(r.quietMs),
      figure(r.silentMs),
      figure(r.silentMaxMs),
      figure(r.outageMs),
      figure(r.outageMaxMs),
      figure(r.flowing),
      figure(r.barMs),
      yes(r.silentMaxMs <= r.barMs && r.flowing === r.tunnels),
    ]),
  ]);
}

function costTable(rows: readonly ClusterCostRow[]): string {
  return table([
    [
      ...['sharing', 'tunnels', 'pairs', 'set-ups/s', 'data kpps', 'CPU, data alone', 'CPU, both'],
      ...['main thread', 'telling us/set-up', 'at 10,000/s: % of both', 'bar %', 'reached'],
    ],
    ...rows.map((r) => [
      r.io,
      r.shares ? 'shared' : 'own',
      figure(r.pairs),
      figure(r.setUpsPerSecond),
      figure(r.kpps),
      figure(r.forwardingCpu, 3),
      figure(r.cpu, 3),
      figure(r.mainCpu, 3),
      figure(r.tellingUs, 1),
      figure(r.more, 1),
      r.shares ? figure(r.bar) : '',
      r.more === null ? '' : yes(r.more <= r.bar),
    ]),
  ]);
}

function resyncTable(rows: readonly ResyncRow[]): string {
  return table([
    ['newcomer', 'entries', 'rounds', 'from its start ms', 'from ready ms', 'worst from start', 'bar ms', 'reached'],
    ...rows.map((r) => [
      `${r.tunnels} tunnels`,
      figure(r.entries),
      figure(r.rounds),
      figure(r.fromStartMs),
      figure(r.fromReadyMs),
      figure(r.worstMs),
      figure(r.barMs),
      yes(r.worstMs <= r.barMs),
    ]),
  ]);
}
