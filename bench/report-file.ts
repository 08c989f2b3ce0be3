/** The report of a run: one page of Markdown, one drawing, from the rows that `--json` prints. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '#designator/errors.js';
import type { ClusterRow } from './cluster.js';
import { clusterTables } from './cluster-report.js';
import type { ChurnRow } from './churn.js';
import type { FailoverRow } from './failover.js';
import type { FloodRow } from './flood.js';
import type { ServerDeathRow } from './server-death.js';
import type { ForwardRow } from './forward.js';
import type { GatewayRow } from './gateway.js';
import type { RedistributionRow } from './gateway-redistribution.js';
import type { HitRow } from './hits.js';
import type { LatencyRow } from './latency.js';
import type { LnsRow } from './lns.js';
import type { Row } from './micro/row.js';
import type { PairRow } from './pair.js';
import {
  churnTable,
  type Environment,
  environmentLine,
  failoverTable,
  floodTable,
  serverDeathTable,
  forwardTable,
  gatewayTable,
  hitsTable,
  latencyTable,
  lnsTable,
  microTable,
  pairTable,
  redistributionTable,
  setupTable,
  verdicts,
} from './report.js';
import type { SetupRow } from './setup-rate.js';
import { drawing, type Panel, type TailPanel } from './svg.js';

export interface Run {
  readonly environment: Environment;
  readonly rows: readonly object[];
}

const OURS = '#2364aa';
const YARDSTICK = '#f4a259';
const KERNEL = '#7b8794';
const OTHER = '#bcccdc';
const COLOURS: Readonly<Record<string, string>> = {
  xdp: OURS,
  'af-xdp': OURS,
  designator: OURS,
  'xdp-bare': YARDSTICK,
  'af-xdp-twin': YARDSTICK,
  'c-twin': YARDSTICK,
  'nft-dnat': KERNEL,
  'ip-forward': KERNEL,
};
const RELAYS = ['nginx-stream', 'node-dgram'];

/** Errors: TD_USAGE the file is no object of `designator bench --json`. */
export function readRun(file: string): Run {
  let run: Partial<Run>;
  try {
    run = JSON.parse(readFileSync(file, 'utf8')) as Partial<Run>;
  } catch (error) {
    throw new DesignatorError('TD_USAGE', `${file}: ${(error as Error).message}`);
  }
  if (!Array.isArray(run.rows) || typeof run.environment !== 'object')
    throw new DesignatorError(
      'TD_USAGE',
      `${file} holds no environment and rows, as designator bench --json prints them`,
    );
  return run as Run;
}

/** Writes report.md and report.svg into `folder` and returns their paths. */
export function writeReport(folder: string, run: Run): [string, string] {
  mkdirSync(folder, { recursive: true });
  const files: [string, string] = [path.join(folder, 'report.md'), path.join(folder, 'report.svg')];
  writeFileSync(files[0], markdown(run));
  writeFileSync(files[1], picture(run));
  return files;
}

function rowsOf<T>(run: Run, benchmark: string): T[] {
  return run.rows.filter((row) => (row as { benchmark?: string }).benchmark === benchmark) as T[];
}

export function markdown(run: Run): string {
  const forward = rowsOf<ForwardRow>(run, 'forward');
  const latency = rowsOf<LatencyRow>(run, 'latency');
  const hits = rowsOf<HitRow>(run, 'hits');
  const churn = rowsOf<ChurnRow>(run, 'churn');
  const failover = rowsOf<FailoverRow>(run, 'failover');
  const deaths = rowsOf<ServerDeathRow>(run, 'server-death');
  const setup = run.rows.filter((row) => 'perSecond' in row) as SetupRow[];
  const micro = run.rows.filter((row) => 'variant' in row) as Row[];
  const parts: string[] = ['# Benchmark report', environmentLine(run.environment)];
  const section = (title: string, words: string, ...tables: string[]): void => {
    const filled = tables.filter((text) => text !== '');
    if (filled.length === 0) return;
    parts.push(`## ${title}`, words, ...filled.map((text) => `\`\`\`text\n${text}\n\`\`\``));
  };
  const some = <T>(rows: readonly T[], make: (rows: readonly T[]) => string): string =>
    rows.length === 0 ? '' : make(rows);
  if (forward.length > 0 || latency.length > 0 || hits.length > 0) parts.push('![The figures as bars](report.svg)');
  section(
    'Forwarding',
    'CPU nanoseconds of the contestant for each packet that arrived; medians. `to nft` is the cost in terms of nftables DNAT in the same round.',
    some(forward, forwardTable),
  );
  section('Bars', 'Ratios within a round, medians and quartiles, against the bars of the design.', verdicts(forward));
  section(
    'Latency',
    'From the moment a packet is made to the moment it is counted, 64 bytes, at parts of each contestant’s own loss-free rate.',
    some(latency, latencyTable),
  );
  section('Part of the tunnels in the kernel', 'The rest goes through AF_XDP and TypeScript.', some(hits, hitsTable));
  section('Tunnels come and go meanwhile', 'Data of standing tunnels.', some(churn, churnTable));
  section(
    'What an end of the process costs',
    'Packets of standing tunnels, sent less arrived.',
    some(failover, failoverTable),
  );
  section(
    'A flood of requests from forged sources',
    'Tunnels go on, and clients that dial meanwhile get in: strangers by their second request, known ones by their first.',
    some(rowsOf<FloodRow>(run, 'flood'), floodTable),
    some(rowsOf<LnsRow>(run, 'lns'), lnsTable),
  );
  section('What the death of a server costs', 'Real clients (xl2tpd).', some(deaths, serverDeathTable));
  section(
    'What the death of a gateway costs',
    'Hosts that ping through a group of gateways: from the death to the first answer, and how long it takes to give its hosts away.',
    some(rowsOf<GatewayRow>(run, 'gateway'), gatewayTable),
    some(rowsOf<RedistributionRow>(run, 'gateway-redistribution'), redistributionTable),
    some(rowsOf<PairRow>(run, 'pair'), pairTable),
  );
  section(
    'A cluster of designators',
    'A VIP with all its tunnels taken over, the CPU time that sharing takes, a newcomer’s whole table.',
    ...clusterTables(
      run.rows.filter((row) =>
        String((row as { benchmark?: string }).benchmark).startsWith('cluster-'),
      ) as ClusterRow[],
    ),
  );
  section('Tunnel set-up', 'One shard, without a network.', some(setup, setupTable));
  section('Tables and decisions', 'Without a network.', some(micro, microTable));
  return `${parts.join('\n\n')}\n`;
}

export function picture(run: Run): string {
  return drawing({
    title: 'CPU time for each forwarded packet',
    subtitle: `${environmentLine(run.environment)} · medians, whiskers are quartiles`,
    legend: [
      ['tunnel-designator', OURS],
      ['yardstick: bare, or in C', YARDSTICK],
      ['Linux', KERNEL],
      ['user-space relays', OTHER],
    ],
    panels: [
      ...forwardPanels(rowsOf(run, 'forward')),
      ...hitPanels(rowsOf(run, 'hits')),
      ...latencyPanels(rowsOf(run, 'latency')),
    ],
  });
}

const colourOf = (peer: string): string => COLOURS[peer] ?? OTHER;
const WAYS = { in: 'to servers', out: 'to clients', both: 'both ways' } as const;

function forwardPanels(rows: readonly ForwardRow[]): Panel[] {
  return [...groups(rows, (r) => `${r.flows} ${r.size} ${r.path} ${r.load}`).values()].map((group): Panel => {
    const [{ flows, size, path: way, load }] = group;
    const others = group
      .filter(({ peer }) => !RELAYS.includes(peer))
      .map((r) => r.nsQuartiles?.[1] ?? r.nsPerPacket ?? 0);
    return {
      title: `${flows.toLocaleString('en-US')} tunnels, ${size} B, ${WAYS[way]}, ${load}`,
      unit: 'ns',
      longest: Math.max(1, ...others),
      bars: group.map((r) => ({
        label: r.workers === null || r.workers === 1 ? r.peer : `${r.peer} ×${r.workers}`,
        value: r.nsPerPacket,
        quartiles: r.nsQuartiles,
        colour: colourOf(r.peer),
      })),
    };
  });
}

function hitPanels(rows: readonly HitRow[]): Panel[] {
  return [...groups(rows, ({ load }) => load).values()].map(
    (group): Panel => ({
      title: `Part of the tunnels in the kernel, ${group[0].load}`,
      unit: 'ns',
      bars: group.map((r) => ({
        label: `${r.hits * 100} %`,
        value: r.nsPerPacket,
        quartiles: r.quartiles,
        colour: OURS,
      })),
    }),
  );
}

function latencyPanels(rows: readonly LatencyRow[]): TailPanel[] {
  return [...groups(rows, ({ load }) => load).values()].map(
    (group): TailPanel => ({
      title: `Latency at ${group[0].load} of capacity: p50 / p99 / p99.9`,
      unit: 'µs',
      tails: group.map(({ peer, p50, p99, p999 }) => ({
        label: peer,
        values: p50 === null || p99 === null || p999 === null ? null : [p50, p99, p999],
        colour: colourOf(peer),
      })),
    }),
  );
}

function groups<T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, T[]> {
  const result = new Map<string, T[]>();
  for (const row of rows) {
    const key = keyOf(row);
    result.set(key, [...(result.get(key) ?? []), row]);
  }
  return result;
}
