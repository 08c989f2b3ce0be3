/** `designator bench`: measurements beside yardsticks in the same run. The benchmarks are compiled beside the program. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DesignatorError } from '../errors.js';
import type { CliContext } from './context.js';
import { write, writeJson } from './output.js';

const NAMES = [
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
];
/** What a report is made of, and how, unless it is said: a quarter of an hour. */
const REPORTED = ['forward', 'latency', 'hits', 'churn', 'failover'];
const MODERATE = { sizes: [64], directions: ['in', 'both'], seconds: 0.5 } as const;
const PEERS =
  'xdp,af-xdp,xdp-bare,af-xdp-twin,designator,c-twin,nft-dnat,ip-forward,nginx-stream,node-dgram,xdp-policy,af-xdp-policy,packet-policy';

interface BenchOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly pairs?: number;
  readonly sizes?: readonly number[];
  readonly flows?: readonly number[];
  readonly workers?: readonly number[];
  readonly peers?: readonly string[];
  readonly directions?: readonly string[];
  readonly loads?: readonly string[];
  readonly seconds?: number;
  readonly source?: string;
  readonly report?: string;
  readonly from?: string;
}
interface Result {
  readonly environment: object;
  readonly rows: readonly object[];
  readonly text: string;
}
export interface BenchModule {
  bench(request: object): Promise<Result>;
  readRun(file: string): Omit<Result, 'text'>;
  writeReport(folder: string, run: object): string[];
}

const numbers = (text: string): number[] =>
  text.split(',').map((part) => {
    const value = Number(part);
    if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Write whole numbers with commas.');
    return value;
  });

const words =
  (...known: readonly string[]) =>
  (text: string): string[] =>
    text.split(',').map((part) => {
      if (!known.includes(part)) throw new InvalidArgumentError(`Write some of ${known.join(', ')} with commas.`);
      return part;
    });

const duration = (text: string): number => {
  const value = Number(text);
  if (!(value > 0 && value <= 60)) throw new InvalidArgumentError('Write a number of seconds up to 60.');
  return value;
};

export function register(program: Command, context: CliContext): void {
  program
    .command('bench')
    .description(
      'measure: forwarding beside the kernel, nginx and a relay; latency; look-ups and tables; set-up; failover; floods; an LNS beside another; gateways beside keepalived and ucarp; a pair of designators beside keepalived with nftables; a cluster’s take-over, cost and newcomers',
    )
    .argument('[name...]', `${NAMES.join(', ')}; all when none is named`)
    .option('--quick', 'small and short: everything runs, figures mean little')
    .option('--json', 'one object: environment and rows')
    .option('--pairs <n>', 'interleaved rounds of forward', (text) => numbers(text)[0])
    .option('--sizes <bytes>', 'frame sizes of forward: 64,1400', numbers)
    .option('--flows <counts>', 'tunnels of forward: 1000,100000', numbers)
    .option('--workers <counts>', 'worker counts of ours in forward: 1,2', numbers)
    .option(
      '--peers <names>',
      `${PEERS}; also xdp-virtual, af-xdp-virtual, designator-virtual; the parts of cluster`,
      (text) => text.split(','),
    )
    .addOption(
      new Option('--directions <ways>', 'towards servers, towards clients, both at once: in,out,both').argParser(
        words('in', 'out', 'both'),
      ),
    )
    .addOption(new Option('--loads <loads>', 'of forward: 90%,saturation').argParser(words('90%', 'saturation')))
    .option('--seconds <n>', 'length of one measurement of forward', duration)
    .addOption(
      new Option('--source <kind>', 'who makes the frames of forward: the kernel, or an AF_PACKET socket').choices([
        'live',
        'packet',
      ]),
    )
    .option('--report <folder>', 'write report.md and report.svg there as well')
    .option('--from <file>', 'with --report: no new run, but what --json printed of an earlier one')
    .action((names: string[], options: BenchOptions) => run(names, options, context));
}

async function run(names: readonly string[], options: BenchOptions, context: CliContext): Promise<void> {
  const unknown = names.find((name) => !NAMES.includes(name) && name !== 'all');
  if (unknown !== undefined) throw new DesignatorError('TD_USAGE', `no benchmark "${unknown}": ${NAMES.join(', ')}`);
  const { quick = false, json = false, report, from, ...chosen } = options;
  const isWhole = names.length === 0 || names.includes('all');
  const isReport = report !== undefined && names.length === 0;
  const { bench, readRun, writeReport } = await loadBench();
  const files = (run: object): Promise<void> =>
    write(context.stderr, `bench: ${writeReport(report ?? '.', run).join(', ')}\n`);
  if (from !== undefined) {
    if (report === undefined) throw new DesignatorError('TD_USAGE', '--from needs --report FOLDER');
    return files(readRun(from));
  }
  const result = await bench({
    ...(isReport && !quick ? MODERATE : {}),
    ...chosen,
    benchmarks: isReport ? REPORTED : isWhole ? NAMES : names,
    quick,
    self: context.self,
    env: context.env,
    pid: context.pid,
    version: context.version,
    progress: (line: string) => void context.stderr.write(`bench: ${line}\n`),
  });
  if (report !== undefined) await files(result);
  if (json) await writeJson(context.stdout, { environment: result.environment, rows: result.rows });
  else await write(context.stdout, result.text);
}

/** Errors: TD_UNAVAILABLE the benchmarks are not built. */
export async function loadBench(): Promise<BenchModule> {
  const url = new URL('../bench/index.js', import.meta.url).href;
  try {
    return (await import(url)) as BenchModule;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new DesignatorError('TD_UNAVAILABLE', 'the benchmarks are not built: run `npm run setup`', {}, error);
  }
}
