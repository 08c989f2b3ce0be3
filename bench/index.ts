/** `designator bench`: which benchmarks there are, and how a command line becomes a run. */
import { DesignatorError } from '#designator/errors.js';
import { type Peer, PEERS } from './contestants.js';
import * as decision from './decision.js';
import { type ForwardRow, forwardBench } from './forward.js';
import { run as runMicro } from './micro/index.js';
import type { Row } from './micro/row.js';
import type { Direction } from './testbed.js';
import { environment, environmentLine, forwardTable, microTable, setupTable, verdicts } from './report.js';
import { type SetupRow, setupRateBench } from './setup-rate.js';

export const BENCHMARKS = ['micro', 'forward', 'setup-rate'] as const;
export type Benchmark = (typeof BENCHMARKS)[number];

export interface BenchRequest {
  readonly benchmarks: readonly Benchmark[];
  readonly quick: boolean;
  readonly pairs?: number;
  readonly sizes?: readonly number[];
  readonly flows?: readonly number[];
  readonly workers?: readonly number[];
  readonly peers?: readonly string[];
  readonly directions?: readonly string[];
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly version: string;
  readonly progress: (line: string) => void;
}

export interface BenchResult {
  readonly environment: ReturnType<typeof environment>;
  readonly rows: readonly (ForwardRow | Row | SetupRow)[];
  /** For people. */
  readonly text: string;
}

/** Errors: TD_NO_PERMISSION `forward` without root; TD_USAGE a peer that there is not. */
export async function bench(request: BenchRequest): Promise<BenchResult> {
  const stranger = request.peers?.find((peer) => !(PEERS as readonly string[]).includes(peer));
  if (stranger !== undefined) throw new DesignatorError('TD_USAGE', `no peer "${stranger}": ${PEERS.join(', ')}`);
  const machine = environment(request.version);
  const parts = [environmentLine(machine)];
  const rows: (ForwardRow | Row | SetupRow)[] = [];
  for (const name of request.benchmarks) {
    request.progress(name);
    if (name === 'micro') {
      const micro = [...decision.run({ smoke: request.quick }), ...(await runMicro({ smoke: request.quick }))];
      rows.push(...micro);
      parts.push(microTable(micro));
    } else if (name === 'setup-rate') {
      const setup = setupRateBench(request.quick ? { tunnels: 2000, runs: 2 } : { progress: request.progress });
      rows.push(...setup);
      parts.push(setupTable(setup));
    } else {
      const forward = await forwardBench(forwardOptions(request));
      rows.push(...forward);
      parts.push(forwardTable(forward), verdicts(forward));
    }
  }
  return { environment: machine, rows, text: `${parts.filter((part) => part !== '').join('\n\n')}\n` };
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
    ...(request.directions === undefined ? {} : { directions: request.directions as Direction[] }),
    ...(request.peers === undefined ? {} : { peers: request.peers as Peer[] }),
  };
}
