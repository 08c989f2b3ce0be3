/**
 * An LNS's cost for a subscriber's packet: `designator lns` beside l2tpns (user space, a TUN device, as ours) in the same run.
 * Nanoseconds of the contestant's CPU for every packet that arrived; the method is that of forward.ts. One LAC with one
 * tunnel carries all sessions; the far ends are the LAC's wire (outside) and a host of the network (inside).
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { LabEndpoint } from '#designator/demo/lab/endpoint.js';
import { L2tpns } from '#designator/demo/lab/l2tpns.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { fromSubscribers, type LnsSession, toSubscribers } from './lns-frames.js';
import { measure, type Sample } from './measure.js';
import { median, quartiles } from './statistics.js';
import { CONTESTANT_CPU, Testbed, type Way } from './testbed.js';

export interface LnsOptions {
  /** The words that start the product. */
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly sizes?: readonly number[];
  readonly directions?: readonly Way[];
  readonly sessions?: number;
  readonly peers?: readonly LnsPeer[];
  readonly pairs?: number;
  readonly seconds?: number;
  /** Packets a second that the source sends; both contestants get the same. */
  readonly rates?: readonly number[];
  readonly progress?: (line: string) => void;
}

export const LNS_PEERS = ['designator-lns', 'l2tpns'] as const;
export type LnsPeer = (typeof LNS_PEERS)[number];

export interface LnsRow {
  readonly benchmark: 'lns';
  readonly peer: LnsPeer;
  readonly path: Way;
  readonly size: number;
  readonly sessions: number;
  /** Offered, thousands of packets a second; null: as many as the source can make. */
  readonly offeredKpps: number | null;
  readonly nsPerPacket: number | null;
  readonly nsQuartiles: readonly [number, number] | null;
  readonly kpps: number | null;
  readonly loss: number | null;
  /** Our cost in terms of this peer's, round by round. */
  readonly ratio: number | null;
  readonly ratioQuartiles: readonly [number, number] | null;
  readonly runs: number;
}

const LAC = '192.128.10.5';
const LNS = '192.128.10.1';
const HOST = '10.10.1.1';
const POOL = '10.60.16.0/20';
const USER = ['alice', 's3cret'] as const;
const SETUP_MS = 90_000;
/** More loss than this and a run below saturation gives no figure. */
const LOSS_LIMIT = 0.01;
const SATURATION = Number.POSITIVE_INFINITY;

interface Contestant {
  readonly peer: LnsPeer;
  readonly bed: Testbed;
  readonly sessions: readonly LnsSession[];
  readonly samples: Sample[];
}

export async function lnsBench(options: LnsOptions): Promise<LnsRow[]> {
  const { sizes = [64, 1400], directions = ['in', 'out'], sessions = 200, rates = [30_000, SATURATION] } = options;
  const say = options.progress ?? (() => {});
  const rows: LnsRow[] = [];
  // A set of its own for each cell: an LNS whose LAC does not answer gives its tunnel up after a while.
  for (const direction of directions)
    for (const size of sizes) {
      const lab = await Lab.open({ pid: options.pid, env: options.env });
      const entrants: Contestant[] = [];
      try {
        for (const peer of options.peers ?? LNS_PEERS) {
          if (peer === 'l2tpns' && !existsSync('/usr/sbin/l2tpns')) {
            say('l2tpns is not installed: nothing to compare with');
            continue;
          }
          say(`${size} B, ${direction}: setting up ${sessions} sessions with ${peer}`);
          entrants.push(await enter(peer, lab, sessions, options.self));
        }
        for (const rate of rates) rows.push(...(await compare(entrants, { ...options, direction, size, rate }, say)));
      } finally {
        for (const { bed } of entrants) await bed.close();
        await lab.close();
      }
    }
  return rows;
}

interface Cell extends LnsOptions {
  readonly direction: Way;
  readonly size: number;
  readonly rate: number;
}

async function compare(entrants: readonly Contestant[], cell: Cell, say: (line: string) => void): Promise<LnsRow[]> {
  const { direction, size, rate, pairs = 5, seconds = 1 } = cell;
  for (const { bed, sessions, samples } of entrants) {
    samples.length = 0;
    const macs = await bed.macs(direction);
    const set =
      direction === 'in'
        ? fromSubscribers(sessions, macs, size, { from: LAC, to: LNS }, HOST)
        : toSubscribers(sessions, macs, size, HOST);
    await bed.source(direction).load(set);
  }
  for (let round = 0; round < pairs; round++) {
    for (const entrant of entrants) {
      const contestant = { bed: entrant.bed } as Parameters<typeof measure>[0];
      const sample = await measure(contestant, { direction, rate, seconds });
      entrant.samples.push(sample);
      say(
        `${entrant.peer} ${direction} ${size} B: ${sample.ns.toFixed(0)} ns, ${sample.kpps.toFixed(0)} kpps, ${(sample.loss * 100).toFixed(1)} % lost`,
      );
    }
  }
  return entrants.map((entrant) => rowOf(entrant, entrants, cell));
}

function rowOf({ peer, samples, sessions }: Contestant, entrants: readonly Contestant[], cell: Cell): LnsRow {
  const { direction, size, rate } = cell;
  const usable = (sample: Sample | undefined): sample is Sample =>
    sample !== undefined && sample.arrived > 0 && (rate === SATURATION || sample.loss <= LOSS_LIMIT);
  const good = samples.filter(usable);
  const ours = entrants.find((entrant) => entrant.peer === 'designator-lns');
  const ratios = samples.flatMap((sample, round) => {
    const own = ours?.samples[round];
    return peer !== 'designator-lns' && usable(sample) && usable(own) ? [own.ns / sample.ns] : [];
  });
  const of = (values: readonly number[], digits = 0): number | null =>
    values.length === 0 ? null : Number(median(values).toFixed(digits));
  return {
    benchmark: 'lns',
    peer,
    path: direction,
    size,
    sessions: sessions.length,
    offeredKpps: rate === SATURATION ? null : rate / 1000,
    nsPerPacket: of(good.map(({ ns }) => ns)),
    nsQuartiles: good.length === 0 ? null : quartiles(good.map(({ ns }) => ns)),
    kpps: of(good.map(({ kpps }) => kpps)),
    loss: of(
      samples.map(({ loss }) => loss),
      4,
    ),
    ratio: of(ratios, 3),
    ratioQuartiles: ratios.length === 0 ? null : quartiles(ratios),
    runs: good.length,
  };
}

const script = (name: string): string => path.join(import.meta.dirname, name);
const onCpu = ['-c', String(CONTESTANT_CPU)];

/** Starts the program in the contestant's namespace; its process id. */
type Start = (lab: Lab, bed: Testbed, self: readonly [string, string]) => Promise<number>;

const START: Record<LnsPeer, Start> = {
  'designator-lns': async (lab, { middle, number }, self) => {
    const config = {
      name: 'bench',
      listen: LNS,
      workers: 1,
      tun: { device: 'tun0' },
      sessions: { limit: 32_768 },
      pools: [{ name: 'all', ipv4: POOL }],
      // The far end is silent while it is measured.
      tunnels: { hello: '1h' },
      ppp: { echo: '0s' },
    };
    const users = [{ name: USER[0], password: USER[1] }];
    const endpoint = new LabEndpoint(lab, middle, { role: 'lns', self, config, users, name: `lns${number}` });
    await endpoint.start();
    return endpoint.process.pid;
  },
  l2tpns: async (lab, { middle, number, inside }) => {
    const server = new L2tpns(lab, middle, `l2tpns${number}`, {
      address: LNS,
      pool: '10.60.0',
      network: POOL,
      user: USER,
      clusterAddress: `239.192.13.${number % 250}`,
      clusterInterface: inside,
      debug: 0,
    });
    await server.ready();
    return server.daemon.pid;
  },
};

/** Sessions are set up while the ends are hosts like others, with the same client for everybody. */
async function enter(peer: LnsPeer, lab: Lab, count: number, self: readonly [string, string]): Promise<Contestant> {
  let sessions: LnsSession[] = [];
  const bed = await Testbed.open(lab, true, async (opened) => {
    const { client, middle } = opened;
    await middle.sysctl('net.ipv4.ip_forward', 1);
    await middle.ip('link set lo up');
    const pid = await START[peer](lab, opened, self);
    await middle.run('taskset', ['-a', '-p', ...onCpu, String(pid)]);
    const words = [script('lns-client-child.js'), LAC, LNS, String(count), ...USER];
    sessions = JSON.parse(await client.run(process.execPath, words, { timeoutMs: SETUP_MS })) as LnsSession[];
    return [pid];
  });
  return { peer, bed, sessions, samples: [] };
}
