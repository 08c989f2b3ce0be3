/** One benchmark run as people and as programs read it: the machine, then rows. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { ForwardRow } from './forward.js';
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
function table(lines: readonly (readonly string[])[]): string {
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

const figure = (value: number | null, digits = 0): string => (value === null ? '-' : value.toFixed(digits));

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

/** DESIGN §6 for this path: at most so much of the peer's cost. */
const BARS: Readonly<Record<string, number>> = {
  'nft-dnat': 1,
  'node-dgram': 1 / 4,
  'nginx-stream': 1 / 2.5,
  'c-twin': 1.1,
};

/** One line for each bar that a row can be held against: reached, missed, or not decidable from these pairs. */
export function verdicts(rows: readonly ForwardRow[]): string {
  const lines = rows.flatMap((r) => {
    const bar = BARS[r.peer];
    if (bar === undefined || r.designatorToPeer === null || r.designatorToPeerQuartiles === null) return [];
    const [low, high] = r.designatorToPeerQuartiles;
    const verdict = high <= bar ? 'reached' : low > bar ? 'missed' : 'not decidable here';
    const where = `${r.path}, ${r.load}, ${r.size} B, ${r.flows} flows`;
    return [
      [
        `designator to ${r.peer}`,
        where,
        r.designatorToPeer.toFixed(2),
        `${low.toFixed(2)} … ${high.toFixed(2)}`,
        bar.toFixed(2),
        verdict,
      ],
    ];
  });
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
