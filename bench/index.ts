/** `designator bench`: which benchmarks there are, and how a command line becomes a run. */
import { DesignatorError } from '#designator/errors.js';
import { balanceBench, type BalanceRow } from './balance.js';
import { type ChurnRow, churnBench } from './churn.js';
import { type Peer, PEERS, VARIANTS } from './contestants.js';
import { CLUSTER_PARTS, type ClusterPart, type ClusterRow, clusterBench } from './cluster.js';
import { clusterTables } from './cluster-report.js';
import * as decision from './decision.js';
import { type FailoverRow, failoverBench } from './failover.js';
import { type FloodRow, floodBench } from './flood.js';
import { type ServerDeathRow, serverDeathBench } from './server-death.js';
import { type ForwardRow, forwardBench, type Load } from './forward.js';
import { type GatewayPeer, GATEWAY_PEERS, type GatewayRow, gatewayBench } from './gateway.js';
import { type GatewayArpRow, gatewayArpBench } from './gateway-arp.js';
import type { RedistributionRow } from './gateway-redistribution.js';
import { type HitRow, hitsBench } from './hits.js';
import { type LatencyRow, latencyBench } from './latency.js';
import { type LnsRow, lnsBench } from './lns.js';
import { PAIR_PEERS, type PairPeer, type PairRow, pairBench } from './pair.js';
import { run as runDesignation } from './micro/designation.js';
import { run as runMicro } from './micro/index.js';
import type { Row } from './micro/row.js';
import type { Direction, Way } from './testbed.js';
import {
  balanceTable,
  churnTable,
  environment,
  environmentLine,
  failoverTable,
  floodTable,
  serverDeathTable,
  forwardTable,
  gatewayArpTable,
  gatewayTable,
  hitsTable,
  latencyTable,
  lnsTable,
  lnsVerdicts,
  microTable,
  pairTable,
  redistributionTable,
  setupTable,
  verdicts,
} from './report.js';
export { readRun, writeReport } from './report-file.js';
import type { ScenarioOptions } from './scenario.js';
import { type SetupRow, setupRateBench } from './setup-rate.js';

export const BENCHMARKS = [
  'micro',
  'decision',
  'balance',
  'forward',
  'setup-rate',
  'latency',
  'hits',
  'churn',
  'failover',
  'flood',
  'lns',
  'gateway',
  'gateway-arp',
  'pair',
  'cluster',
] as const;
export type Benchmark = (typeof BENCHMARKS)[number];
export type BenchRow =
  | ForwardRow
  | BalanceRow
  | Row
  | SetupRow
  | LatencyRow
  | HitRow
  | ChurnRow
  | FailoverRow
  | FloodRow
  | ServerDeathRow
  | LnsRow
  | GatewayRow
  | GatewayArpRow
  | RedistributionRow
  | PairRow
  | ClusterRow;

export interface BenchRequest {
  readonly benchmarks: readonly Benchmark[];
  readonly quick: boolean;
  readonly pairs?: number;
  readonly sizes?: readonly number[];
  readonly flows?: readonly number[];
  readonly workers?: readonly number[];
  readonly peers?: readonly string[];
  readonly directions?: readonly string[];
  readonly loads?: readonly string[];
  /** Seconds of one measurement of forward. */
  readonly seconds?: number;
  readonly source?: 'live' | 'packet';
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly version: string;
  readonly progress: (line: string) => void;
}

export interface BenchResult {
  readonly environment: ReturnType<typeof environment>;
  readonly rows: readonly BenchRow[];
  /** For people. */
  readonly text: string;
}

/** Errors: TD_NO_PERMISSION `forward` without root; TD_USAGE a peer that there is not. */
export async function bench(request: BenchRequest): Promise<BenchResult> {
  const peers: readonly string[] = [
    ...PEERS,
    ...VARIANTS,
    ...Object.keys(GATEWAY_PEERS),
    ...Object.keys(PAIR_PEERS),
    ...CLUSTER_PARTS,
  ];
  const stranger = request.peers?.find((peer) => !peers.includes(peer));
  if (stranger !== undefined) throw new DesignatorError('TD_USAGE', `no peer "${stranger}": ${peers.join(', ')}`);
  const machine = environment(request.version);
  const parts = [environmentLine(machine)];
  const rows: BenchRow[] = [];
  for (const name of request.benchmarks) {
    request.progress(name);
    const result = await RUN[name](request);
    rows.push(...result.rows);
    parts.push(...result.parts);
  }
  return { environment: machine, rows, text: `${parts.filter((part) => part !== '').join('\n\n')}\n` };
}

type Run = (request: BenchRequest) => Promise<{ rows: readonly BenchRow[]; parts: readonly string[] }>;
const RUN: Record<Benchmark, Run> = {
  micro: async ({ quick }) => {
    const rows = [...decision.run({ smoke: quick }), ...(await runMicro({ smoke: quick }))];
    return { rows, parts: [microTable(rows)] };
  },
  decision: async ({ quick }) => {
    const rows = await runDesignation({ smoke: quick });
    return { rows, parts: [microTable(rows)] };
  },
  balance: async ({ quick }) => {
    const farms = quick ? [{ tunnels: 1000 }] : [{ servers: 10 }, { servers: 20 }];
    const rows = farms.flatMap((farm) => balanceBench(farm));
    return { rows, parts: [balanceTable(rows)] };
  },
  'setup-rate': async ({ quick, progress }) => {
    const rows = setupRateBench(quick ? { tunnels: 2000, runs: 2 } : { progress });
    return { rows, parts: [setupTable(rows)] };
  },
  forward: async (request) => {
    const rows = await forwardBench(forwardOptions(request));
    return { rows, parts: [forwardTable(rows), verdicts(rows)] };
  },
  latency: async (request) => {
    const peers = request.quick ? { peers: ['xdp-bare' as const], highest: 85_000 } : {};
    const chosen = request.peers === undefined ? {} : { peers: request.peers as Peer[] };
    const rows = await latencyBench({ ...scenario(request), ...peers, ...chosen });
    return { rows, parts: [latencyTable(rows)] };
  },
  hits: async (request) => {
    const rows = await hitsBench({ ...scenario(request), ...(request.quick ? { highest: 85_000 } : {}) });
    return { rows, parts: [hitsTable(rows)] };
  },
  churn: async (request) => {
    const rows = await churnBench({ ...scenario(request), ...(request.quick ? { peers: ['xdp' as const] } : {}) });
    return { rows, parts: [churnTable(rows)] };
  },
  failover: async (request) => {
    const quick = request.quick ? { peers: ['xdp' as const], seconds: 2 } : {};
    const rows = await failoverBench({ ...scenario(request), ...quick });
    // A whole lab with real clients: no part of a quick look.
    const deaths = request.quick ? [] : await serverDeathBench(scenario(request));
    const parts = [failoverTable(rows), ...(deaths.length > 0 ? [serverDeathTable(deaths)] : [])];
    return { rows: [...rows, ...deaths], parts };
  },
  flood: async (request) => {
    const quick = request.quick ? { peers: ['xdp' as const], seconds: 2, rate: 20_000 } : {};
    const chosen = request.peers === undefined ? {} : { peers: request.peers as Peer[] };
    const length = request.seconds === undefined ? {} : { seconds: request.seconds };
    const rows = await floodBench({ ...scenario(request), ...quick, ...chosen, ...length });
    return { rows, parts: [floodTable(rows)] };
  },
  lns: async ({ self, env, pid, progress, quick, sizes, directions, seconds, pairs }) => {
    const rows = await lnsBench({
      self,
      env,
      pid,
      progress,
      // A second LNS needs a RADIUS server, and a minute for its sessions: no part of a quick look.
      ...(quick
        ? { sizes: [64], pairs: 1, seconds: 0.2, rates: [20_000], sessions: 20, peers: ['designator-lns' as const] }
        : {}),
      ...(sizes === undefined ? {} : { sizes }),
      ...(directions === undefined ? {} : { directions: directions.filter((way) => way !== 'both') as Way[] }),
      ...(seconds === undefined ? {} : { seconds }),
      ...(pairs === undefined ? {} : { pairs }),
    });
    return { rows, parts: [lnsTable(rows), lnsVerdicts(rows)] };
  },
  gateway: async ({ self, env, pid, progress, quick, pairs, peers }) => {
    const few = { rounds: 1, hosts: 4, switches: ['own' as const], redistributed: 8, peers: ['designator' as const] };
    const rows = await gatewayBench({
      self,
      env,
      pid,
      progress,
      ...(quick ? few : {}),
      ...(pairs === undefined ? {} : { rounds: pairs }),
      ...(peers === undefined ? {} : { peers: peers.filter((peer): peer is GatewayPeer => peer in GATEWAY_PEERS) }),
    });
    const deaths = rows.filter((row): row is GatewayRow => row.benchmark === 'gateway');
    const given = rows.filter((row): row is RedistributionRow => row.benchmark === 'gateway-redistribution');
    return { rows, parts: [gatewayTable(deaths), ...(given.length > 0 ? [redistributionTable(given)] : [])] };
  },
  'gateway-arp': async ({ self, env, pid, progress, quick, pairs, seconds }) => {
    const rows = await gatewayArpBench({
      self,
      env,
      pid,
      progress,
      ...(quick ? { gateways: 2, sources: 50, rate: 1000, seconds: 0.2, rounds: 1 } : {}),
      ...(pairs === undefined ? {} : { rounds: pairs }),
      ...(seconds === undefined ? {} : { seconds }),
    });
    return { rows, parts: [gatewayArpTable(rows)] };
  },
  pair: async ({ self, env, pid, progress, quick, pairs, peers }) => {
    const rows = await pairBench({
      self,
      env,
      pid,
      progress,
      ...(quick ? { rounds: 1, tunnels: 4, peers: ['pair-packet' as const] } : {}),
      ...(pairs === undefined ? {} : { rounds: pairs }),
      ...(peers === undefined ? {} : { peers: peers.filter((peer): peer is PairPeer => peer in PAIR_PEERS) }),
    });
    return { rows, parts: [pairTable(rows)] };
  },
  cluster: async ({ self, env, pid, progress, quick, pairs, peers, flows, seconds }) => {
    const rows = await clusterBench({
      self,
      env,
      pid,
      progress,
      quick,
      ...(pairs === undefined ? {} : { rounds: pairs }),
      ...(flows === undefined ? {} : { tunnels: flows[0] }),
      ...(seconds === undefined ? {} : { seconds }),
      ...(peers === undefined
        ? {}
        : { parts: peers.filter((part): part is ClusterPart => (CLUSTER_PARTS as readonly string[]).includes(part)) }),
    });
    return { rows, parts: clusterTables(rows) };
  },
};

function scenario({ self, env, pid, progress, quick, flows }: BenchRequest): ScenarioOptions {
  const few = quick ? { seconds: 0.2, pairs: 1, flows: 100 } : {};
  return { self, env, pid, progress, ...few, ...(flows === undefined ? {} : { flows: flows[0] }) };
}

function forwardOptions(request: BenchRequest) {
  const { self, env, pid, progress, quick } = request;
  return {
    self,
    env,
    pid,
    progress,
    ...(quick
      ? {
          sizes: [64],
          flows: [1000],
          pairs: 1,
          seconds: 0.2,
          highest: 85_000,
          directions: ['in' as const],
          peers: ['designator', 'nft-dnat'] as Peer[],
        }
      : {}),
    ...(request.pairs === undefined ? {} : { pairs: request.pairs }),
    ...(request.sizes === undefined ? {} : { sizes: request.sizes }),
    ...(request.flows === undefined ? {} : { flows: request.flows }),
    ...(request.workers === undefined ? {} : { workers: request.workers }),
    ...(request.loads === undefined ? {} : { loads: request.loads as Load[] }),
    ...(request.seconds === undefined ? {} : { seconds: request.seconds }),
    ...(request.source === undefined ? {} : { source: request.source }),
    ...(request.directions === undefined ? {} : { directions: request.directions as Direction[] }),
    ...(request.peers === undefined ? {} : { peers: request.peers as Peer[] }),
  };
}
