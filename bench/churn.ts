/** Forwarding while other tunnels come and go: what a data packet costs, how many are lost, how many tunnels were made. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CELL_WORDS, SERVER_CELL } from '#designator/flow/layout.js';
import type { Contestant, Peer } from './contestants.js';
import { FarEnd } from './far-end.js';
import { connects, farewells, type FrameSet, replies, requests } from './frames.js';
import { loadFrames, measure, type Sample } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';
import { median, quartiles } from './statistics.js';
import { SOURCE_CPU, type Way } from './testbed.js';

export interface ChurnRow {
  readonly benchmark: 'churn';
  readonly peer: string;
  /** Tunnels set up and torn down a second meanwhile, counted by the product. */
  readonly tunnelsPerSecond: number;
  readonly size: number;
  readonly flows: number;
  readonly kpps: number;
  readonly nsPerPacket: number;
  readonly quartiles: readonly [number, number];
  readonly loss: number;
}

const PEERS: readonly Peer[] = ['xdp', 'af-xdp'];
const SIZE = 64;
/** Data packets a second: what every one of them can take. */
const DATA_RATE = 200_000;
/** Tunnels that come and go together. */
const GROUP = 500;
/** Groups that take turns, so that none comes back before the last one of its name is forgotten. */
const GROUPS = 60;
const CONTROL_RATE = 50_000;

export function churnBench(options: ScenarioOptions): Promise<ChurnRow[]> {
  const { seconds = 2, pairs = 3, flows = FLOWS } = options;
  return withContestants(
    options,
    options.peers ?? PEERS,
    async (contestants, say) => {
      const rows: ChurnRow[] = [];
      for (const contestant of contestants) {
        await loadFrames(contestant, SIZE, 'in');
        const churn = await Churn.open(contestant, flows);
        const quiet: Sample[] = [];
        const busy: Sample[] = [];
        const made: number[] = [];
        for (let round = 0; round < pairs; round++) {
          say(`churn: ${contestant.peer}, round ${round + 1} of ${pairs}`);
          const order = { direction: 'in', rate: DATA_RATE, seconds } as const;
          quiet.push(await measure(contestant, order));
          churn.start();
          busy.push(await measure(contestant, order));
          made.push(await churn.stop());
        }
        await churn.close();
        for (const [samples, rate] of [
          [quiet, 0],
          [busy, median(made)],
        ] as const) {
          rows.push({
            benchmark: 'churn',
            peer: contestant.peer,
            tunnelsPerSecond: Math.round(rate),
            size: SIZE,
            flows,
            kpps: Math.round(median(samples.map(({ kpps }) => kpps))),
            nsPerPacket: Math.round(median(samples.map(({ ns }) => ns))),
            quartiles: quartiles(samples.map(({ ns }) => ns)),
            loss: Number(median(samples.map(({ loss }) => loss)).toFixed(5)),
          });
        }
      }
      return rows;
    },
    { timeouts: { idle: '1h', halfOpen: '10s', closing: '1s' }, connections: 131_072 },
  );
}

/** Sets tunnels up and tears them down until it is told to stop, by sources of its own. */
class Churn {
  #running: Promise<void> | null = null;
  #stopping = false;
  #began = 0;
  #before = 0;
  #group = 0;

  private constructor(
    readonly contestant: Contestant,
    readonly ends: Readonly<Record<Way, FarEnd>>,
    readonly groups: readonly (readonly (readonly [Way, FrameSet])[])[],
  ) {}

  /** Flows from `first` on are this one's. */
  static async open(contestant: Contestant, first: number): Promise<Churn> {
    const { bed } = contestant;
    const end = (way: Way): Promise<FarEnd> =>
      FarEnd.start({
        lab: bed.lab,
        namespace: way === 'in' ? bed.client : bed.server,
        device: 'eth0',
        label: `churn-${way}${bed.number}`,
        cpu: SOURCE_CPU,
        xdp: false,
      });
    const [client, server] = [await bed.macs('in'), await bed.macs('out')];
    const groups = Array.from({ length: GROUPS }, (_, group) => {
      const flows = Array.from({ length: GROUP }, (_zero, i) => first + group * GROUP + i);
      return [
        ['in', requests(flows, client)],
        ['out', replies(flows, server)],
        ['in', connects(flows, client)],
        ['in', farewells(flows, client)],
      ] as const;
    });
    return new Churn(contestant, { in: await end('in'), out: await end('out') }, groups);
  }

  start(): void {
    this.#stopping = false;
    this.#began = performance.now();
    this.#before = this.#designated();
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      for (const [way, set] of this.groups[this.#group++ % GROUPS]) {
        await this.ends[way].load(set);
        await this.ends[way].send({ seconds: 1, rate: CONTROL_RATE, limit: GROUP });
      }
      await sleep(1);
    }
  }

  /** Tunnels a second since the start. */
  async stop(): Promise<number> {
    this.#stopping = true;
    await this.#running;
    return ((this.#designated() - this.#before) / (performance.now() - this.#began)) * 1000;
  }

  /** Requests that the only server was given. */
  #designated(): number {
    const cells = this.contestant.table?.memory?.servers;
    return cells === undefined ? 0 : cells.subarray(0, CELL_WORDS)[SERVER_CELL.designated];
  }

  async close(): Promise<void> {
    await Promise.all([this.ends.in.close(), this.ends.out.close()]);
  }
}
