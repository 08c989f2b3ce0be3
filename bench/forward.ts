/**
 * The cost of forwarding a packet: nanoseconds of the contestant's CPU for every packet that arrived at the far end,
 * side by side in one run (docs/performance.md has the method). Contestants are interleaved round by round; a figure is
 * the median, a ratio the median of the ratios within rounds, with quartiles.
 */
import { Lab } from '#designator/demo/lab/lab.js';
import { barOf, isClose, type Verdict, verdictOf } from './bars.js';
import { benchObjectProblem } from './bpf-object.js';
import { type Contestant, isPolicy, OURS, openContestant, type Peer, PEERS } from './contestants.js';
import { loadFrames, lossFreeRate, measure, PACKET_SOURCE_RATE, RATES, type Sample } from './measure.js';
import { median, quartiles } from './statistics.js';
import type { Direction } from './testbed.js';

export interface ForwardOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly sizes?: readonly number[];
  readonly flows?: readonly number[];
  readonly peers?: readonly Peer[];
  readonly directions?: readonly Direction[];
  readonly loads?: readonly Load[];
  readonly pairs?: number;
  readonly workers?: readonly number[];
  /** Seconds of one measurement. */
  readonly seconds?: number;
  /** Highest rate that the search for the loss-free rate tries, packets a second. */
  readonly highest?: number;
  /** Who makes the frames: the kernel (the default, where it can be), or an AF_PACKET socket. */
  readonly source?: 'live' | 'packet';
  readonly progress?: (line: string) => void;
}

export type Load = '90%' | 'saturation';

/** What one of ours costs in terms of a peer, round by round: below 1 it is the cheaper one. */
export interface Ratio {
  readonly ours: string;
  readonly median: number;
  readonly quartiles: readonly [number, number];
  readonly bar: number | null;
  readonly verdict: Verdict | null;
}

/** One cell of the result. `ratioToNft` below 1 is cheaper than nftables DNAT with connection tracking. */
export interface ForwardRow {
  readonly benchmark: 'forward';
  readonly path: Direction;
  readonly peer: string;
  readonly load: Load;
  readonly size: number;
  readonly flows: number;
  readonly workers: number | null;
  readonly source: 'live' | 'packet';
  readonly nsPerPacket: number | null;
  readonly nsQuartiles: readonly [number, number] | null;
  readonly kpps: number | null;
  readonly loss: number | null;
  readonly ratioToNft: number | null;
  readonly quartiles: readonly [number, number] | null;
  readonly ratios: readonly Ratio[];
  readonly runs: number;
}

/** More loss than this at 90 % of the loss-free rate, and the run gives no figure. */
const LOSS_LIMIT = 0.01;
const RATE_TRIES = 4;
const RATE_STEP = 0.75;
/** A bar of 15 % or tighter, as that against a twin, wants so many pairs. */
const CLOSE_PAIRS = 15;
const LEAST_PAIRS = 5;

interface Entrant {
  readonly contestant: Contestant;
  readonly workers: number | null;
}

export async function forwardBench(options: ForwardOptions): Promise<ForwardRow[]> {
  const {
    sizes = [64, 1400],
    flows = [1000, 100_000],
    directions = ['in', 'out'],
    loads = ['90%', 'saturation'],
  } = options;
  const say = options.progress ?? (() => {});
  const source = options.source ?? sourceHere(say);
  const cell = {
    pairs: options.pairs ?? LEAST_PAIRS,
    seconds: options.seconds ?? 1,
    highest: Math.min(options.highest ?? RATES[RATES.length - 1], source === 'live' ? Infinity : PACKET_SOURCE_RATE),
    source,
    say,
  };
  const rows: ForwardRow[] = [];
  for (const count of flows) {
    const lab = await Lab.open({ pid: options.pid, env: options.env });
    const entrants: Entrant[] = [];
    try {
      await enter(entrants, lab, count, options, source === 'live', say);
      for (const size of sizes)
        for (const direction of directions)
          for (const load of loads)
            rows.push(...(await compare(entrants, { ...cell, size, direction, load, flows: count })));
    } finally {
      for (const { contestant } of entrants) await contestant.bed.close();
      await lab.close();
    }
  }
  return rows;
}

/** Frames made by the kernel are ten times as fast; their programs must have been built. */
export function sourceHere(say: (line: string) => void): 'live' | 'packet' {
  const problem = benchObjectProblem();
  if (problem === null) return 'live';
  say(`traffic comes from an AF_PACKET socket: ${problem}`);
  return 'packet';
}

async function enter(
  entrants: Entrant[],
  lab: Lab,
  flows: number,
  options: ForwardOptions,
  live: boolean,
  say: (line: string) => void,
): Promise<void> {
  for (const peer of options.peers ?? PEERS.filter((name) => !isPolicy(name))) {
    for (const workers of OURS.includes(peer) ? (options.workers ?? [1]) : [null]) {
      say(`${flows} flows: starting ${peer}${workers === null ? '' : ` with ${workers} worker(s)`}`);
      const contestant = await openContestant(
        peer,
        { lab, self: options.self, flows, live, ...(workers === null ? {} : { workers }) },
        (reason) => say(`${peer} is left out: ${reason}`),
      );
      if (contestant !== null) entrants.push({ contestant, workers });
    }
  }
}

interface Cell {
  readonly size: number;
  readonly direction: Direction;
  readonly load: Load;
  readonly flows: number;
  readonly pairs: number;
  readonly seconds: number;
  readonly highest: number;
  readonly source: 'live' | 'packet';
  readonly say: (line: string) => void;
}

interface Running extends Entrant {
  rate: number;
  readonly samples: Sample[];
}

async function compare(entrants: readonly Entrant[], cell: Cell): Promise<ForwardRow[]> {
  const { size, direction, load, flows } = cell;
  const running: Running[] = [];
  for (const entry of entrants) {
    const { contestant } = entry;
    if (!(await loadFrames(contestant, size, direction))) continue;
    const rate = load === '90%' ? 0.9 * (await lossFreeRate(contestant, direction, cell.highest)) : Infinity;
    running.push({ ...entry, rate, samples: [] });
    const at = load === '90%' ? ` at ${Math.round(rate / 1000)} kpps` : '';
    cell.say(`${flows} flows, ${size} B, ${direction}, ${load}: ${contestant.peer}${at}`);
  }
  // Interleaved: what disturbs the machine disturbs every contestant of a round.
  for (let round = 0; round < cell.pairs; round++) for (const entry of running) await sampleOnce(entry, cell);
  const close = cell.pairs >= LEAST_PAIRS ? closePairs(running, flows) : [];
  for (let round = cell.pairs; round < CLOSE_PAIRS; round++) for (const entry of close) await sampleOnce(entry, cell);
  return running.map((entry) => rowOf(entry, running, cell));
}

/** Everybody who is held against a tight bar, or is the bar. */
function closePairs(running: readonly Running[], flows: number): Running[] {
  const isTight = (one: Running, other: Running): boolean =>
    isClose(barOf(one.contestant.peer, other.contestant.peer, flows)) && other.contestant.peer !== 'nft-dnat';
  return running.filter((one) => running.some((other) => isTight(one, other) || isTight(other, one)));
}

function rowOf(entry: Running, running: readonly Running[], cell: Cell): ForwardRow {
  const { size, direction, load, flows, source } = cell;
  const good = entry.samples.filter((sample) => usable(sample, load));
  const { peer } = entry.contestant;
  const nft = running.find(({ contestant }) => contestant.peer === 'nft-dnat');
  const toNft = ratiosBetween(entry, nft, load);
  const of = (values: readonly number[], digits: number): number | null =>
    values.length === 0 ? null : Number(median(values).toFixed(digits));
  return {
    benchmark: 'forward',
    path: direction,
    peer,
    load,
    size,
    flows,
    workers: entry.workers,
    source,
    nsPerPacket: of(
      good.map(({ ns }) => ns),
      0,
    ),
    nsQuartiles: good.length === 0 ? null : quartiles(good.map(({ ns }) => ns)),
    kpps: of(
      good.map(({ kpps }) => kpps),
      0,
    ),
    loss: of(
      entry.samples.map(({ loss }) => loss),
      4,
    ),
    ratioToNft: of(toNft, 3),
    quartiles: toNft.length === 0 ? null : quartiles(toNft),
    ratios: running.flatMap((ours): Ratio[] => {
      if (ours === entry || !OURS.includes(ours.contestant.peer)) return [];
      const values = ratiosBetween(ours, entry, load);
      if (values.length === 0) return [];
      const bar = barOf(ours.contestant.peer, peer, flows);
      const range = quartiles(values);
      return [
        {
          ours: ours.workers === 1 ? ours.contestant.peer : `${ours.contestant.peer} with ${ours.workers} workers`,
          median: Number(median(values).toFixed(3)),
          quartiles: range,
          bar,
          verdict: bar === null ? null : verdictOf(range, bar),
        },
      ];
    }),
    runs: good.length,
  };
}

async function sampleOnce(entry: Running, { direction, load, seconds }: Cell): Promise<void> {
  let sample = await measure(entry.contestant, { direction, rate: entry.rate, seconds });
  // The search was short: a rate that proves too high in a longer run is lowered, for this round and those to come.
  for (let tries = 0; load === '90%' && sample.loss > LOSS_LIMIT && tries < RATE_TRIES; tries++) {
    entry.rate *= RATE_STEP;
    sample = await measure(entry.contestant, { direction, rate: entry.rate, seconds });
  }
  entry.samples.push(sample);
}

function usable(sample: Sample | undefined, load: Load): sample is Sample {
  return sample !== undefined && sample.kpps > 0 && (load === 'saturation' || sample.loss <= LOSS_LIMIT);
}

/** What `one` costs in terms of `other`, round by round. */
function ratiosBetween(one: Running, other: Running | undefined, load: Load): number[] {
  return one.samples.flatMap((sample, round) => {
    const beside = other?.samples[round];
    return usable(sample, load) && usable(beside, load) ? [sample.ns / beside.ns] : [];
  });
}

/** For the demo: under half a minute, 64-byte frames towards the server as fast as they come, beside the kernel's ways. */
export function quickForwardBench(options?: Partial<ForwardOptions>): Promise<ForwardRow[]> {
  return forwardBench({
    self: [process.execPath, process.argv[1]],
    env: process.env,
    pid: process.pid,
    sizes: [64],
    flows: [1000],
    directions: ['in'],
    peers: ['xdp', 'nft-dnat', 'ip-forward', 'node-dgram'],
    pairs: 3,
    seconds: 0.3,
    loads: ['saturation'],
    ...options,
  });
}
