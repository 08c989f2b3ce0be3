/** `designator tune`: measures adapters and worker counts on this machine, and says what to write into the configuration. */
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { DesignatorError } from '../errors.js';
import { advise, type MixPart, parseMix, type TuningRow } from '../ops/tuning.js';
import { type BenchModule, loadBench } from './bench.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';
import { renderTable } from './table.js';

/** What `xdp`, `xdp` without offload and `packet` are called by the benchmarks. */
const PEERS = ['xdp', 'af-xdp', 'designator'];
/** About what carriers see: many small packets, some middling, some full ones. */
const MIX = '64:7,576:4,1400:1';
const WORKERS_MAX = 64;

interface TuneOptions {
  readonly mix: readonly MixPart[];
  readonly flows: number;
  readonly workers?: readonly number[];
  readonly pairs: number;
  readonly quick?: boolean;
  readonly json?: boolean;
}

const mix = (text: string): MixPart[] => {
  const parts = parseMix(text);
  if (parts === null) throw new InvalidArgumentError('Write sizes in bytes with their shares, as 64:7,576:4,1400:1.');
  return parts;
};

const whole = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Write a whole number.');
  return value;
};

export function register(program: Command, context: CliContext): void {
  program
    .command('tune')
    .description(
      'measure adapters and worker counts on this machine and recommend settings; needs root and some minutes',
    )
    .option('--mix <sizes>', 'frame sizes with their shares of the packets', mix, mix(MIX))
    .option('--flows <n>', 'tunnels', whole, 1000)
    .option('--workers <counts>', 'worker counts to try: 1,2,4; default: 1, 2, 4 … up to the CPUs', (text) =>
      text.split(',').map(whole),
    )
    .option('--pairs <n>', 'rounds; the median counts', whole, 3)
    .option('--quick', 'short: everything runs, the advice means little')
    .option('--json', 'one object: candidates, reasons, settings')
    .action((options: TuneOptions) => tune(options, context));
}

async function tune(options: TuneOptions, context: CliContext): Promise<void> {
  const { quick = false, json = false } = options;
  const workers = options.workers ?? doublings(availableParallelism());
  const bench = await loadBench();
  const rows = await measure(bench, { ...options, workers, quick }, context);
  const advice = advise(rows, options.mix);
  if (advice === null) {
    throw new DesignatorError('TD_UNAVAILABLE', 'nothing could be measured: see the lines above for the reasons');
  }
  if (json) {
    const { candidates, best, reasons, yaml } = advice;
    return await writeJson(context.stdout, { mix: options.mix, flows: options.flows, candidates, best, reasons, yaml });
  }
  const table = renderTable(
    [
      { head: 'settings', value: (row) => row.name },
      { head: 'kpps', value: (row) => Math.round(row.kpps) },
      { head: 'ns of CPU a packet', value: (row) => Math.round(row.nsPerPacket) },
    ],
    advice.candidates,
    context.color,
  );
  const reasons = advice.reasons.map((reason) => `- ${reason}\n`).join('');
  await write(context.stdout, `${table}\nRecommended, because of these measurements:\n${reasons}\n${advice.yaml}`);
}

async function measure(
  { bench }: BenchModule,
  options: Omit<TuneOptions, 'json'>,
  context: CliContext,
): Promise<TuningRow[]> {
  const live = context.stdout.isTTY === true && context.stderr.isTTY === true && context.env.TERM !== 'dumb';
  const progress = (line: string): void =>
    void context.stderr.write(live ? `\r\u001b[Ktune: ${line}` : `tune: ${line}\n`);
  const { rows } = await bench({
    benchmarks: ['forward'],
    quick: options.quick,
    peers: PEERS,
    sizes: options.mix.map(({ size }) => size),
    flows: [options.flows],
    workers: options.workers,
    directions: ['in', 'out'],
    loads: ['90%'],
    pairs: options.quick === true ? 1 : options.pairs,
    self: context.self,
    env: context.env,
    pid: context.pid,
    version: context.version,
    progress,
  });
  if (live) context.stderr.write('\r\u001b[K');
  return rows as TuningRow[];
}

/** 1, 2, 4 … and `limit` itself. */
export function doublings(limit: number): number[] {
  const counts: number[] = [];
  for (let count = 1; count < Math.min(limit, WORKERS_MAX); count *= 2) counts.push(count);
  return [...counts, Math.min(limit, WORKERS_MAX)];
}
