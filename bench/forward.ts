/**
 * The cost of forwarding a packet: nanoseconds of the contestant's CPU for every packet that arrived at the far end,
 * side by side in one run (docs/performance.md has the method). Pairs with nftables DNAT are interleaved; a figure is
 * the median, a ratio the median of the ratios of pairs, with quartiles.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '#designator/demo/lab/lab.js';
import { type Contestant, openContestant, type Peer, PEERS } from './contestants.js';
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
  readonly loads?: readonly ('90%' | 'saturation')[];
  readonly pairs?: number;
  readonly workers?: readonly number[];
  /** Seconds of one measurement. */
  readonly seconds?: number;
  /** Highest rate that the search for the loss-free rate tries, packets a second. */
  readonly highest?: number;
  readonly progress?: (line: string) => void;
}

/** One cell of the result. `ratioToNft` below 1 is cheaper than nftables DNAT with connection tracking. */
export interface ForwardRow {
  readonly path: 'in' | 'out';
  readonly peer: string;
  readonly load: '90%' | 'saturation';
  readonly size: number;
  readonly flows: number;
  readonly workers: number | null;
  readonly nsPerPacket: number | null;
  readonly kpps: number | null;
  readonly loss: number | null;
  readonly ratioToNft: number | null;
  readonly quartiles: readonly [number, number] | null;
  /** What the designator costs in terms of this peer, pair by pair: below 1 it is the cheaper one. */
  readonly designatorToPeer: number | null;
  readonly designatorToPeerQuartiles: readonly [number, number] | null;
  readonly runs: number;
}

interface Sample {
  readonly ns: number;
  readonly kpps: number;
  readonly loss: number;
}

/** Rates that the paced source can keep, from high to low. */
const RATES = [380, 340, 300, 260, 220, 190, 160, 130, 105, 85, 65, 50, 35, 25].map((kpps) => kpps * 1000);
const LOSS_FREE = 0.001;
/** More loss than this at 90 % of the loss-free rate, and the run gives no figure. */
const LOSS_LIMIT = 0.01;
const RATE_TRIES = 4;
const RATE_STEP = 0.75;
const SETTLE_MS = 60;
/** After a run: the count stands still for so long, or this is the end of patience. */
const QUIET_MS = 25;
const DRAIN_LIMIT_MS = 1000;
/** A bar of 15 % or tighter, as that against the twin, wants so many pairs. */
const CLOSE_PAIRS = 15;
const LEAST_PAIRS = 5;

export async function forwardBench(options: ForwardOptions): Promise<ForwardRow[]> {
  const {
    sizes = [64, 1400],
    flows = [1000, 100_000],
    directions = ['in', 'out'],
    pairs = 5,
    workers = [1],
    seconds = 1,
  } = options;
  const peers = options.peers ?? PEERS;
  const say = options.progress ?? (() => {});
  const rows: ForwardRow[] = [];
  for (const count of flows) {
    const lab = await Lab.open({ pid: options.pid, env: options.env });
    const contestants: { contestant: Contestant; workers: number | null }[] = [];
    try {
      for (const peer of peers) {
        // A relay needs a socket for every flow; a hundred thousand are not what it is for.
        if (count > 2000 && (peer === 'nginx-stream' || peer === 'node-dgram')) continue;
        for (const threads of peer === 'designator' ? workers : [null]) {
          say(`${count} flows: starting ${peer}${threads === null ? '' : ` with ${threads} worker(s)`}`);
          const contestant = await openContestant(
            peer,
            { lab, self: options.self, flows: count, ...(threads === null ? {} : { workers: threads }) },
            (reason) => say(`${peer} is left out: ${reason}`),
          );
          if (contestant !== null) contestants.push({ contestant, workers: threads });
        }
      }
      for (const size of sizes) {
        for (const direction of directions) {
          for (const load of options.loads ?? (['90%', 'saturation'] as const)) {
            rows.push(
              ...(await compare(contestants, {
                size,
                direction,
                load,
                flows: count,
                pairs,
                seconds,
                highest: options.highest ?? RATES[0],
                say,
              })),
            );
          }
        }
      }
    } finally {
      for (const { contestant } of contestants) await contestant.bed.close();
      await lab.close();
    }
  }
  return rows;
}

interface Cell {
  readonly size: number;
  readonly direction: Direction;
  readonly load: '90%' | 'saturation';
  readonly flows: number;
  readonly pairs: number;
  readonly seconds: number;
  readonly highest: number;
  readonly say: (line: string) => void;
}

async function compare(
  contestants: readonly { contestant: Contestant; workers: number | null }[],
  cell: Cell,
): Promise<ForwardRow[]> {
  const { size, direction, load } = cell;
  const running: Running[] = [];
  for (const entry of contestants) {
    const set = await entry.contestant.frames(size, direction);
    if (set === null) continue;
    await entry.contestant.bed.source(direction).load(set);
    const rate =
      load === '90%' ? 0.9 * (await lossFreeRate(entry.contestant, direction, cell.highest)) : Number.POSITIVE_INFINITY;
    running.push({ ...entry, rate, samples: [] });
    cell.say(
      `${cell.flows} flows, ${size} B, ${direction}, ${load}: ${entry.contestant.peer}${load === '90%' ? ` at ${Math.round(rate / 1000)} kpps` : ''}`,
    );
  }
  // Interleaved: what disturbs the machine disturbs every contestant of a round.
  for (let round = 0; round < cell.pairs; round++) for (const entry of running) await sampleOnce(entry, cell);
  const ours = running.find(({ contestant }) => contestant.peer === 'designator');
  const close = running.filter((entry) => entry === ours || entry.contestant.peer === 'c-twin');
  for (let round = cell.pairs; cell.pairs >= LEAST_PAIRS && close.length > 1 && round < CLOSE_PAIRS; round++) {
    for (const entry of close) await sampleOnce(entry, cell);
  }
  const nft = running.find((entry) => entry.contestant.peer === 'nft-dnat');
  return running.map((entry) => {
    const good = entry.samples.filter((sample) => usable(sample, load));
    const toNft = ratios(entry, nft, load);
    const oursToIt = ratios(ours, entry, load);
    return {
      path: direction,
      peer: entry.contestant.peer,
      load,
      size,
      flows: cell.flows,
      workers: entry.workers,
      nsPerPacket: good.length === 0 ? null : Math.round(median(good.map((sample) => sample.ns))),
      kpps: good.length === 0 ? null : Math.round(median(good.map((sample) => sample.kpps))),
      loss: entry.samples.length === 0 ? null : Number(median(entry.samples.map((sample) => sample.loss)).toFixed(4)),
      ratioToNft: toNft.length === 0 ? null : Number(median(toNft).toFixed(3)),
      quartiles: toNft.length === 0 ? null : quartiles(toNft),
      designatorToPeer: oursToIt.length === 0 ? null : Number(median(oursToIt).toFixed(3)),
      designatorToPeerQuartiles: oursToIt.length === 0 ? null : quartiles(oursToIt),
      runs: good.length,
    };
  });
}

interface Running {
  readonly contestant: Contestant;
  readonly workers: number | null;
  rate: number;
  readonly samples: Sample[];
}

async function sampleOnce(entry: Running, { direction, load, seconds }: Cell): Promise<void> {
  let sample = await measure(entry.contestant, direction, entry.rate, seconds);
  // The search was short: a rate that proves too high in a longer run is lowered, for this round and those to come.
  for (let tries = 0; load === '90%' && sample.loss > LOSS_LIMIT && tries < RATE_TRIES; tries++) {
    entry.rate *= RATE_STEP;
    sample = await measure(entry.contestant, direction, entry.rate, seconds);
  }
  entry.samples.push(sample);
}

function usable(sample: Sample | undefined, load: Cell['load']): sample is Sample {
  return sample !== undefined && sample.kpps > 0 && (load === 'saturation' || sample.loss <= LOSS_LIMIT);
}

/** What `one` costs in terms of `other`, round by round. */
function ratios(one: Running | undefined, other: Running | undefined, load: Cell['load']): number[] {
  return (one?.samples ?? []).flatMap((sample, round) => {
    const beside = other?.samples[round];
    return usable(sample, load) && usable(beside, load) ? [sample.ns / beside.ns] : [];
  });
}

/** The highest rate of the grid at which nothing is lost, in a short run each. */
async function lossFreeRate(contestant: Contestant, direction: Direction, highest: number): Promise<number> {
  for (const rate of RATES) {
    if (rate > highest) continue;
    const { loss } = await measure(contestant, direction, rate, 0.25);
    if (loss <= LOSS_FREE) return rate;
  }
  return RATES[RATES.length - 1];
}

async function standingStill(count: () => Promise<number>): Promise<number> {
  const until = performance.now() + DRAIN_LIMIT_MS;
  for (let last = await count(); ; ) {
    await sleep(QUIET_MS);
    const now = await count();
    if (now === last || performance.now() > until) return now;
    last = now;
  }
}

/** One run; an infinite rate is the source's fastest. */
async function measure({ bed }: Contestant, direction: Direction, rate: number, seconds: number): Promise<Sample> {
  const account = bed.account();
  await sleep(SETTLE_MS);
  const before = await bed.arrived(direction);
  const cpu = account.nanos();
  const { sent, seconds: took } =
    rate === Number.POSITIVE_INFINITY
      ? await bed.source(direction).flat(seconds)
      : await bed.source(direction).paced(seconds, rate);
  const arrived = (await standingStill(() => bed.arrived(direction))) - before; // what is on its way arrives first
  const spent = account.nanos() - cpu;
  return {
    ns: arrived === 0 ? Number.POSITIVE_INFINITY : spent / arrived,
    kpps: arrived / took / 1000,
    loss: sent === 0 ? 1 : Math.max(0, 1 - arrived / sent),
  };
}

/** For the demo: under half a minute, 64-byte frames towards the server, our cost beside the kernel's NAT and a relay's. */
export function quickForwardBench(options?: Partial<ForwardOptions>): Promise<ForwardRow[]> {
  return forwardBench({
    self: [process.execPath, process.argv[1]],
    env: process.env,
    pid: process.pid,
    sizes: [64],
    flows: [1000],
    directions: ['in'],
    peers: ['designator', 'nft-dnat', 'node-dgram'],
    pairs: 3,
    seconds: 0.3,
    highest: 130_000,
    loads: ['90%'],
    ...options,
  });
}
