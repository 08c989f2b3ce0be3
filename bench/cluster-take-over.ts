/**
 * The death of the designator that has a VIP with all its tunnels: kill -9 and its wires down, under traffic in both directions
 * that goes through all tunnels in turn. How long neither end hears anything, what was lost of what was sent, and whether
 * every single tunnel flows afterwards.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '#designator/demo/lab/lab.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import { ClusterFarm, type Io, VIPS } from './cluster-farm.js';
import { dataIn, dataOut, turnOrder } from './frames.js';
import { standingStill } from './measure.js';
import { median } from './statistics.js';
import type { Way } from './testbed.js';
import { setUpTunnels, waitForOffload } from './tunnels.js';

export interface TakeOverOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly tunnels?: number;
  readonly rounds?: number;
  readonly ios?: readonly Io[];
  /** Of the traffic around the death. */
  readonly seconds?: number;
  readonly progress?: (line: string) => void;
}

export interface TakeOverRow {
  readonly benchmark: 'cluster-take-over';
  readonly io: Io;
  readonly tunnels: number;
  readonly rounds: number;
  /** Milliseconds from the first request until all tunnels stood, at the active one; and from then until the other had all. */
  readonly setUpMs: number;
  readonly followedMs: number;
  /** The longest time without a packet, to the server and to the client, before the death: what the rig itself brings. */
  readonly quietMs: number;
  /** … around the death: median and worst of the rounds, the worse of both directions. */
  readonly silentMs: number;
  readonly silentMaxMs: number;
  /** Packets lost, as milliseconds of what was sent: median and worst. */
  readonly outageMs: number;
  readonly outageMaxMs: number;
  /** Tunnels through which a packet came in each direction afterwards: the fewest of the rounds. */
  readonly flowing: number;
  readonly barMs: number;
}

const BAR_MS = 500;
/** Packets a second in each direction: below what the slower path takes while another process starts to work. */
const RATE = 20_000;
const SIZE = 64;
/** Two processes work at it on two CPUs: portions that can be sent again without much ado. */
const SET_UP = { rate: 30_000, chunk: 10_000 } as const;
const QUIET_SECONDS = 1;
const DEATH_SECONDS = 3;
/** Into the run. */
const DEATH_MS = 600;
const TRIES = 3;
const PATIENCE_MS = 10_000;
const FOLLOW_MS = 30_000;
const WAYS = ['in', 'out'] as const;

export async function takeOverBench(options: TakeOverOptions): Promise<TakeOverRow[]> {
  const { rounds = 3, ios = ['packet', 'xdp'], progress: say = () => {} } = options;
  const played = new Map<Io, Round[]>(ios.map((io) => [io, []]));
  for (let round = 0; round < rounds; round++)
    for (const io of ios) {
      const result = await play(io, options);
      played.get(io)?.push(result);
      say(
        `take-over: ${io}, round ${round + 1} of ${rounds}: silent ${result.silent.toFixed(0)} ms, ${result.flowing} flow on`,
      );
    }
  return ios.map((io) => rowOf(io, options.tunnels ?? TUNNELS, played.get(io) ?? []));
}

const TUNNELS = 100_000;

interface Round {
  readonly setUp: number;
  readonly followed: number;
  readonly quiet: number;
  readonly silent: number;
  readonly outage: number;
  readonly flowing: number;
}

async function play(
  io: Io,
  { self, env, pid, tunnels = TUNNELS, seconds = DEATH_SECONDS }: TakeOverOptions,
): Promise<Round> {
  const lab = await Lab.open({ pid, env: { ...env, TD_TEST_IO: io } });
  let pair: ClusterFarm | null = null;
  try {
    pair = await ClusterFarm.open(lab, self, io, Math.max(65_536, Math.ceil(tunnels * 1.5)));
    const { farm } = pair;
    await farm.start();
    await pair.openEnds();
    // The one that began first is the master of both groups, and is to die.
    const taken = await farm.memberOf(farm.clients[0], VIPS[0].address);
    if (taken !== 1) throw new Error(`the VIP is at member ${taken}`);
    const [active, standby] = [await pair.table(1), await pair.table(2)];
    const began = performance.now();
    await setUpTunnels(pair, active, tunnels, async () => JSON.stringify(await farm.member(1).drops()), SET_UP);
    const stood = performance.now();
    await waitFor(
      'the other to have all tunnels',
      () => standby.established() >= tunnels,
      FOLLOW_MS,
      () => String(standby.established()),
    );
    const followed = performance.now();
    if (io === 'xdp') for (const table of [active, standby]) await waitForOffload(table, tunnels);
    const order = turnOrder(tunnels);
    await pair.source('in').load(dataIn(order, await pair.macs('in'), SIZE));
    await pair.source('out').load(dataOut(order, await pair.macs('out'), SIZE));
    const quiet = await traffic(pair, Math.min(QUIET_SECONDS, seconds / 3), async () => undefined);
    const death = await traffic(pair, seconds, async () => {
      await sleep(DEATH_MS);
      await farm.die(1);
    });
    const flowing = Math.min(...(await Promise.all(WAYS.map((way) => through(pair as ClusterFarm, way, tunnels)))));
    for (const table of [active, standby]) table.close();
    return {
      setUp: stood - began,
      followed: followed - stood,
      quiet: quiet.silent,
      silent: death.silent,
      outage: death.outage,
      flowing,
    };
  } finally {
    await pair?.close();
    await lab.close();
  }
}

/** Both ends send and listen; what the worse direction missed, in milliseconds. */
async function traffic(
  pair: ClusterFarm,
  seconds: number,
  meanwhile: () => Promise<void>,
): Promise<{ silent: number; outage: number }> {
  const happening = meanwhile();
  const ways = await Promise.all(
    WAYS.map(async (way) => {
      const sink = pair.sink(way);
      const before = await sink.arrived();
      const sending = pair.source(way).send({ seconds, rate: RATE });
      await sink.startSilence();
      const { sent } = await sending;
      const silent = await sink.endSilence();
      const arrived = (await standingStill(() => sink.arrived())) - before;
      return { silent, outage: ((sent - arrived) / RATE) * 1000 };
    }),
  );
  await happening;
  return { silent: Math.max(...ways.map((w) => w.silent)), outage: Math.max(...ways.map((w) => w.outage)) };
}

/**
 * A packet through every tunnel: so many arrive. What a busy machine drops is no tunnel that ended, so it is tried again; where
 * nobody goes on with the VIP at all, nothing arrives for as long as patience lasts.
 */
async function through(pair: ClusterFarm, way: Way, tunnels: number): Promise<number> {
  let best = 0;
  const until = performance.now() + PATIENCE_MS;
  for (let attempt = 0; best < tunnels && (attempt < TRIES || best === 0) && performance.now() < until; attempt++) {
    const before = await pair.sink(way).arrived();
    await pair.source(way).send({ seconds: 30, rate: RATE, limit: tunnels });
    best = Math.max(best, (await standingStill(() => pair.sink(way).arrived())) - before);
  }
  return Math.min(best, tunnels);
}

function rowOf(io: Io, tunnels: number, rounds: readonly Round[]): TakeOverRow {
  const middle = (of: (round: Round) => number): number => Math.round(median(rounds.map(of)));
  const worst = (of: (round: Round) => number): number => Math.round(Math.max(...rounds.map(of)));
  return {
    benchmark: 'cluster-take-over',
    io,
    tunnels,
    rounds: rounds.length,
    setUpMs: middle(({ setUp }) => setUp),
    followedMs: middle(({ followed }) => followed),
    quietMs: middle(({ quiet }) => quiet),
    silentMs: middle(({ silent }) => silent),
    silentMaxMs: worst(({ silent }) => silent),
    outageMs: middle(({ outage }) => outage),
    outageMaxMs: worst(({ outage }) => outage),
    flowing: Math.min(...rounds.map(({ flowing }) => flowing)),
    barMs: BAR_MS,
  };
}
