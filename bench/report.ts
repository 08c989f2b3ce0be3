/** One benchmark run as people and as programs read it: the machine, then rows. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { BalanceRow } from './balance.js';
import type { ChurnRow } from './churn.js';
import type { FailoverRow } from './failover.js';
import type { FloodRow } from './flood.js';
import type { ServerDeathRow } from './server-death.js';
import type { ForwardRow } from './forward.js';
import type { GatewayRow } from './gateway.js';
import type { GatewayArpRow } from './gateway-arp.js';
import type { PairRow } from './pair.js';
import type { RedistributionRow } from './gateway-redistribution.js';
import type { HitRow } from './hits.js';
import type { LatencyRow } from './latency.js';
import type { LnsRow } from './lns.js';
import { verdictOf } from './bars.js';
import type { Row } from './micro/row.js';
import type { SetupRow } from './setup-rate.js';

export interface Environment {
  readonly cpu: string;
  readonly cpus: number;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
  readonly version: string;
  /** Null outside of a checkout. */
  readonly commit: string | null;
  /** Every prepared flow follows from its number; there is no other randomness. */
  readonly seed: number;
}

export function environment(version: string): Environment {
  const cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
  return {
    cpu: /model name\s*: (.*)/.exec(cpuinfo)?.[1] ?? 'unknown',
    cpus: cpuinfo.match(/^processor/gm)?.length ?? 0,
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    node: process.versions.node,
    v8: process.versions.v8,
    version,
    commit: commit(),
    seed: 0,
  };
}

function commit(): string | null {
  const { status, stdout } = spawnSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : null;
}

export function environmentLine(e: Environment): string {
  return `${e.cpu}, ${e.cpus} CPUs, Linux ${e.kernel}, Node ${e.node} (V8 ${e.v8}), tunnel-designator ${e.version}${e.commit === null ? '' : ` (${e.commit})`}`;
}

/** Columns padded to their widest cell; the first one to the left, the others to the right. */
export function table(lines: readonly (readonly string[])[]): string {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines
    .map((line) =>
      line
        .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export const figure = (value: number | null, digits = 0): string => (value === null ? '-' : value.toFixed(digits));

export function forwardTable(rows: readonly ForwardRow[]): string {
  return table([
    ['peer', 'path', 'load', 'bytes', 'flows', 'workers', 'ns/packet', 'kpps', 'loss', 'to nft', 'quartiles'],
    ...rows.map((r) => [
      r.peer,
      r.path,
      r.load,
      String(r.size),
      String(r.flows),
      figure(r.workers),
      figure(r.nsPerPacket),
      figure(r.kpps),
      r.loss === null ? '-' : `${(r.loss * 100).toFixed(2)}%`,
      figure(r.ratioToNft, 2),
      r.quartiles === null ? '-' : `${r.quartiles[0].toFixed(2)} … ${r.quartiles[1].toFixed(2)}`,
    ]),
  ]);
}

/** One line for each bar that a row can be held against: reached, missed, or not decidable from these pairs. */
export function verdicts(rows: readonly ForwardRow[]): string {
  const lines = rows.flatMap((r) =>
    r.ratios.flatMap(({ ours, median, quartiles: [low, high], bar, verdict }) => {
      if (bar === null || verdict === null) return [];
      const where = `${r.path}, ${r.load}, ${r.size} B, ${r.flows} flows`;
      const range = `${low.toFixed(2)} … ${high.toFixed(2)}`;
      return [[`${ours} to ${r.peer}`, where, median.toFixed(2), range, bar.toFixed(2), verdict]];
    }),
  );
  return lines.length === 0 ? '' : table([['ratio', 'where', 'median', 'quartiles', 'bar', 'verdict'], ...lines]);
}

export function microTable(rows: readonly Row[]): string {
  return table([
    ['benchmark', 'variant', 'entries', 'value', 'bar', 'reached'],
    ...rows.map((r) => [
      r.benchmark,
      r.variant,
      String(r.entries),
      `${r.value.toFixed(r.value < 100 ? 1 : 0)} ${r.unit}`,
      r.bar === null ? '' : `${r.bar} ${r.unit}`,
      r.reached === null ? '' : r.reached ? 'yes' : 'no',
    ]),
  ]);
}

export function balanceTable(rows: readonly BalanceRow[]): string {
  return table([
    ['algorithm', 'servers', 'tunnels', 'max/mean at the end', 'on average', 'worst', 'bar', 'reached'],
    ...rows.map((r) => [
      r.algorithm,
      String(r.servers),
      String(r.tunnels),
      r.atEnd.toFixed(3),
      r.average.toFixed(3),
      r.worst.toFixed(3),
      r.bar === null ? '' : String(r.bar),
      r.reached === null ? '' : r.reached ? 'yes' : 'no',
    ]),
  ]);
}

export function setupTable(rows: readonly SetupRow[]): string {
  return table([
    ['step', 'tunnels', 'per second', 'quartiles', 'µs each'],
    ...rows.map((r) => [
      r.step,
      String(r.tunnels),
      figure(r.perSecond),
      `${figure(r.quartiles[0])} … ${figure(r.quartiles[1])}`,
      (r.nsPerTunnel / 1000).toFixed(2),
    ]),
  ]);
}

const range = (pair: readonly [number, number] | null, digits = 0): string =>
  pair === null ? '-' : `${pair[0].toFixed(digits)} … ${pair[1].toFixed(digits)}`;
const percent = (share: number | null, digits = 2): string =>
  share === null ? '-' : `${(share * 100).toFixed(digits)}%`;

export function latencyTable(rows: readonly LatencyRow[]): string {
  return table([
    ['peer', 'load', 'kpps', 'loss', 'p50 µs', 'p99 µs', 'p99.9 µs'],
    ...rows.map((r) => [
      r.peer,
      r.load,
      figure(r.kpps),
      percent(r.loss),
      figure(r.p50, 1),
      figure(r.p99, 1),
      figure(r.p999, 1),
    ]),
  ]);
}

export function hitsTable(rows: readonly HitRow[]): string {
  return table([
    ['in the kernel', 'load', 'flows', 'ns/packet', 'quartiles', 'kpps', 'loss'],
    ...rows.map((r) => [
      percent(r.hits, 0),
      r.load,
      figure(r.flows),
      figure(r.nsPerPacket),
      range(r.quartiles),
      figure(r.kpps),
      percent(r.loss),
    ]),
  ]);
}

export function churnTable(rows: readonly ChurnRow[]): string {
  return table([
    ['peer', 'tunnels/s', 'flows', 'kpps', 'ns/packet', 'quartiles', 'loss'],
    ...rows.map((r) => [
      r.peer,
      figure(r.tunnelsPerSecond),
      figure(r.flows),
      figure(r.kpps),
      figure(r.nsPerPacket),
      range(r.quartiles),
      percent(r.loss, 3),
    ]),
  ]);
}

export function floodTable(rows: readonly FloodRow[]): string {
  return table([
    ['peer', 'strangers', 'flood/s', 'admitted', 'data/s', 'lost', 'clients in', 'known in', 'dropped'],
    ...rows.map((r) => [
      r.peer,
      r.unknownSources,
      figure(r.floodPerSecond),
      figure(r.forgedAdmitted),
      figure(r.dataPerSecond),
      `${figure(r.dataLost)} of ${figure(r.dataSent)}`,
      `${r.strangersAdmitted} of ${r.strangers}`,
      `${r.knownAdmitted} of ${r.known}`,
      Object.entries(r.drops)
        .map(([reason, count]) => `${reason} ${count}`)
        .join(', '),
    ]),
  ]);
}

export function lnsTable(rows: readonly LnsRow[]): string {
  return table([
    ['peer', 'path', 'packet', 'offered kpps', 'kpps', 'loss', 'ns/packet', 'quartiles', 'ours costs', 'quartiles'],
    ...rows.map((r) => [
      r.peer,
      r.path,
      `${r.size} B`,
      r.offeredKpps === null ? 'saturation' : figure(r.offeredKpps),
      figure(r.kpps),
      percent(r.loss),
      figure(r.nsPerPacket),
      range(r.nsQuartiles),
      r.ratio === null ? '-' : `${r.ratio.toFixed(2)} of it`,
      range(r.ratioQuartiles, 2),
    ]),
  ]);
}

/** Issue 5: the data path is cheaper per packet than that of l2tpns in the same run. */
export function lnsVerdicts(rows: readonly LnsRow[]): string {
  return rows
    .flatMap(({ peer, path, size, offeredKpps, ratioQuartiles }) =>
      ratioQuartiles === null
        ? []
        : [
            `lns ${path} ${size} B at ${offeredKpps === null ? 'saturation' : `${offeredKpps} kpps`}: cheaper than ${peer}: ${verdictOf(ratioQuartiles, 1)}`,
          ],
    )
    .join('\n');
}

export function failoverTable(rows: readonly FailoverRow[]): string {
  return table([
    ['peer', 'process', 'sent', 'lost', 'outage ms', 'tunnels found'],
    ...rows.map((r) => [r.peer, r.event, figure(r.sent), figure(r.lost), figure(r.outageMs, 2), figure(r.adopted)]),
  ]);
}

export function serverDeathTable(rows: readonly ServerDeathRow[]): string {
  return table([
    ['a server dies, watched by', 'clients', 'its tunnels', 'noticed ms', 'clients told ms', 'all stand again ms'],
    ...rows.map((r) => [
      r.watched,
      figure(r.clients),
      figure(r.tunnels),
      figure(r.noticedMs),
      figure(r.toldMs),
      figure(r.againMs),
    ]),
  ]);
}

export function pairTable(rows: readonly PairRow[]): string {
  return table([
    ['peer', 'tunnels', 'address back ms', 'worst', 'sessions silent ms', 'worst', 'lost', 'bar ms', 'reached'],
    ...rows.map((r) => [
      r.peer,
      figure(r.tunnels),
      figure(r.electedMs),
      figure(r.electedMaxMs),
      figure(r.silentMs),
      figure(r.silentMaxMs),
      String(r.lost),
      figure(r.barMs),
      r.barMs === null ? '' : r.lost === 0 && r.electedMaxMs !== null && r.electedMaxMs <= r.barMs ? 'yes' : 'no',
    ]),
  ]);
}

const shares = (values: readonly number[]): string => values.map((value) => value.toFixed(0)).join(' / ');

export function gatewayTable(rows: readonly GatewayRow[]): string {
  return table([
    [
      'peer',
      'event',
      'switches',
      'hosts hit',
      'median ms',
      'worst ms',
      'lost',
      'twice',
      'share %',
      'bar ms',
      'reached',
    ],
    ...rows.map((r) => [
      r.peer,
      r.event,
      r.switches,
      `${r.affected} of ${r.hosts}`,
      figure(r.medianMs, 1),
      figure(r.maxMs, 1),
      String(r.lost),
      String(r.duplicates),
      shares(r.shares),
      figure(r.barMs),
      r.barMs === null ? '' : r.lost === 0 && (r.maxMs ?? 0) <= r.barMs ? 'yes' : 'no',
    ]),
  ]);
}

export function redistributionTable(rows: readonly RedistributionRow[]): string {
  return table([
    ['hosts of a dead gateway', 'given away in ms', 'longest gap ms', 'share % afterwards', 'bar ms', 'reached'],
    ...rows.map((r) => [
      `${r.moved} of ${r.hosts}`,
      figure(r.ms, 1),
      figure(r.gapMs, 1),
      shares(r.shares),
      figure(r.barMs),
      r.ms <= r.barMs ? 'yes' : 'no',
    ]),
  ]);
}

export function gatewayArpTable(rows: readonly GatewayArpRow[]): string {
  return table([
    [
      'gateways',
      'hosts',
      'requests/s',
      'sent/s',
      'answered',
      'twice',
      'p50 µs',
      'p99 µs',
      'max µs',
      'worst p99 µs',
      'share %',
      'bar µs',
      'reached',
    ],
    ...rows.map((r) => [
      figure(r.gateways),
      figure(r.sources),
      figure(r.rate),
      figure(r.sentRate),
      `${r.answered} of ${r.requests}`,
      String(r.surplus),
      figure(r.p50Micros),
      figure(r.p99Micros),
      figure(r.maxMicros),
      figure(r.worstMicros),
      shares(r.shares),
      figure(r.barMicros),
      arpVerdict(r),
    ]),
  ]);
}

/** A source that had no time to ask as often as it should says nothing about the bar. */
function arpVerdict(row: GatewayArpRow): string {
  if (row.barMicros === null) return '';
  if (row.answered < row.requests || row.p99Micros > row.barMicros) return 'no';
  return row.sentRate < 0.95 * row.rate ? 'too few asked' : 'yes';
}
