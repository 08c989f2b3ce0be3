/**
 * How evenly does each algorithm load a farm? A simulation with the product's own designation and an honest model of what
 * it knows: tunnels of very unequal traffic (log-normal, a few are a hundred times the average) come at random times, stay
 * for a random while, and go; a server's load is the sum of its tunnels' traffic against its capacity; each server
 * reports it once an interval, at a moment of its own, late by a random delay on the way, and nobody knows anything in
 * between. Nothing here knows a tunnel's traffic before its server reports it.
 */
import { Designator } from '#designator/designation/designate.js';
import { LOAD_FULL } from '#designator/designation/least-load.js';
import { cellIdentity, ServerTable } from '#designator/designation/servers.js';
import { TunnelLoads } from '#designator/designation/tunnel-load.js';
import { SERVER_CELL, SERVER_FLAG } from '#designator/flow/layout.js';
import { newTable } from './micro/table.js';

export interface BalanceOptions {
  readonly servers?: number;
  /** Tunnels in all. */
  readonly tunnels?: number;
  /** Requests a second. */
  readonly arrivals?: number;
  /** Seconds between two reports of a server. */
  readonly interval?: number;
  /** Longest time of a report on its way, seconds. */
  readonly delay?: number;
  /** Sigma of the logarithm of a tunnel's traffic. */
  readonly sigma?: number;
  readonly seed?: number;
  readonly algorithms?: readonly string[];
}

export interface BalanceRow {
  readonly benchmark: 'balance';
  readonly algorithm: string;
  readonly servers: number;
  readonly tunnels: number;
  /** Greatest load of a server against the mean of all, when all tunnels have come. */
  readonly atEnd: number;
  /** … the mean of that over the second half of the time. */
  readonly average: number;
  readonly worst: number;
  readonly bar: number | null;
  readonly reached: boolean | null;
}

const BAR = 1.1;
/** loadStatus.tunnelLoad, millionths. */
const LEAST = 1000;
/** Beside the product's algorithms: any server, blindly. */
const RANDOM = 'random';
export const BALANCED: readonly string[] = [
  'least-load',
  'round-robin',
  RANDOM,
  'power-of-two',
  'least-tunnels',
  'least-sessions',
  'weighted-round-robin',
  'least-recent-use',
  'leaky-bucket',
  'maglev',
];
/** Tunnels stay so many times as long as all take to come, on average: few of the first go before the last come. */
const STAY = 4;

interface Happening {
  readonly at: number;
  readonly run: () => void;
}

export function balanceBench(options: BalanceOptions = {}): BalanceRow[] {
  return (options.algorithms ?? BALANCED).map((algorithm) => simulate(algorithm, options));
}

function simulate(algorithm: string, options: BalanceOptions): BalanceRow {
  const { servers: count = 20, tunnels = 10_000, arrivals = 100, interval = 1, delay = 0.05, sigma = 1.5 } = options;
  const random = generator(options.seed ?? 7);
  const { memory } = newTable(100);
  const cells = new ServerTable(memory);
  const vip = cells.ensureVip(cellIdentity('access'), 0, 1701);
  const servers = Int32Array.from({ length: count }, (_, i) =>
    cells.ensureServer(cellIdentity('access', `lns${i}`), { vip, address: i, port: 1701, nextHop: 0, weight: 1 }, 0),
  );
  const designator = new Designator(memory, cells);
  const plan = algorithm === RANDOM ? 'round-robin' : algorithm;
  designator.setPlan({ vips: [{ index: vip, algorithm: plan, servers, bucket: { rate: arrivals, burst: arrivals } }] });

  const traffic = new Float64Array(count);
  const loads = new TunnelLoads();
  const queue = new Queue();
  const duration = tunnels / arrivals;
  // The mean of a log-normal is exp(sigma² / 2); all together fill 60 % of the farm.
  const capacity = (tunnels * Math.exp(sigma ** 2 / 2)) / count / 0.6;
  const report = (i: number): void => {
    const load = Math.round((traffic[i] / capacity) * LOAD_FULL);
    const held = cells.tunnels(servers[i]);
    queue.add(designator.cells.now + random() * delay, () => tell(cells, loads, servers[i], load, held));
    queue.add(designator.cells.now + interval, () => report(i));
  };
  for (let i = 0; i < count; i++) queue.add(random() * interval, () => report(i));

  let made = 0;
  const arrive = (): void => {
    const server =
      algorithm === RANDOM
        ? servers[Math.floor(random() * count)]
        : designator.designate(vip, 0, 0, 0xffff, made, 1 + (made & 0xff));
    made++;
    const i = servers.indexOf(server);
    const weight = Math.exp(sigma * normal(random));
    traffic[i] += weight;
    cells.addEstablished(server, 1);
    cells.addSessions(server, 1);
    queue.add(cells.now - Math.log(1 - random()) * duration * STAY, () => {
      traffic[i] -= weight;
      cells.addEstablished(server, -1);
      cells.addSessions(server, -1);
    });
    if (made < tunnels) queue.add(cells.now - Math.log(1 - random()) / arrivals, arrive);
  };
  queue.add(interval, arrive);

  const ratios: number[] = [];
  let next = duration / 2;
  while (made < tunnels) {
    const { at, run } = queue.take();
    designator.setTime(at);
    if (at >= next) {
      ratios.push(ratio(traffic));
      next += interval / 2;
    }
    run();
  }
  const atEnd = ratio(traffic);
  const average = ratios.reduce((sum, value) => sum + value, 0) / Math.max(1, ratios.length);
  const bar = algorithm === 'least-load' ? BAR : null;
  return {
    benchmark: 'balance',
    algorithm,
    servers: count,
    tunnels,
    atEnd,
    average,
    worst: Math.max(atEnd, ...ratios),
    bar,
    reached: bar === null ? null : Math.max(atEnd, average) <= bar,
  };
}

/** What the designator does with a load status message. */
function tell(cells: ServerTable, loads: TunnelLoads, server: number, load: number, tunnels: number): void {
  cells.set(server, SERVER_CELL.reportedLoad, load);
  cells.set(server, SERVER_CELL.tunnelLoad, Math.round(loads.report(server, 0, load, tunnels, LEAST)));
  cells.set(server, SERVER_CELL.predictedLoad, 0);
  cells.setFlag(server, SERVER_FLAG.reported, true);
  cells.changed(server);
}

function ratio(traffic: Float64Array): number {
  const sum = traffic.reduce((total, value) => total + value, 0);
  return Math.max(...traffic) / (sum / traffic.length);
}

/** A heap by time; of equals the first that was added. */
class Queue {
  readonly #items: (Happening & { readonly order: number })[] = [];
  #order = 0;

  add(at: number, run: () => void): void {
    const items = this.#items;
    const item = { at, run, order: this.#order++ };
    let i = items.length;
    items.push(item);
    for (let up = (i - 1) >> 1; i > 0 && isBefore(item, items[up]); up = (i - 1) >> 1) {
      items[i] = items[up];
      i = up;
    }
    items[i] = item;
  }

  take(): Happening {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length > 0 && last !== undefined) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child + 1 < items.length && isBefore(items[child + 1], items[child])) child++;
        if (child >= items.length || !isBefore(items[child], last)) break;
        items[i] = items[child];
        i = child;
      }
      items[i] = last;
    }
    return first;
  }
}

type Item = Happening & { readonly order: number };
const isBefore = (a: Item, b: Item): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** mulberry32: the same tunnels for every algorithm and on every machine. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
