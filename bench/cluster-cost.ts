/**
 * What telling others every tunnel costs the designator that makes them: the same data and the same set-ups a second, with
 * `cluster.share.tunnels` on and off, turn about, beside a second member that runs in both cases. CPU time of the first alone.
 *
 * Telling is done by the main thread, and by nobody else but for a mark that a shard leaves. So its CPU time for each set-up
 * tells what it costs, whatever became of the pace meanwhile: the sources and the second member share a CPU, and with more
 * to do there they send less. The whole with both, which depends on the pace, is shown beside it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAppliance } from '#designator/demo/lab/appliance.js';
import { busAddress } from '#designator/demo/lab/designator-farm.js';
import { clusterSection, type Io, VIPS } from './cluster-farm.js';
import type { Contestant, Peer } from './contestants.js';
import { threadNanos } from './cpu.js';
import { FarEnd } from './far-end.js';
import { connects, farewells, replies, requests } from './frames.js';
import { loadFrames, measure } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';
import { median } from './statistics.js';
import { SOURCE_CPU, type Testbed, type Way } from './testbed.js';

export interface ClusterCostRow {
  readonly benchmark: 'cluster-cost';
  readonly io: Io;
  readonly shares: boolean;
  readonly pairs: number;
  /** Tunnels set up (and torn down again) a second, as the product counted them. */
  readonly setUpsPerSecond: number;
  readonly kpps: number;
  /** Of one core: with data alone, and with data and set-ups. Medians. */
  readonly forwardingCpu: number;
  readonly cpu: number;
  /** Of one core: the main thread, with data and set-ups. */
  readonly mainCpu: number;
  /** CPU time of telling one tunnel that comes and goes, µs. Null without sharing. */
  readonly tellingUs: number | null;
  /** … at 10,000 set-ups a second, in percent of what forwarding and setting up cost without sharing. */
  readonly more: number | null;
  /** Percent of the whole. */
  readonly bar: number;
}

export interface ClusterCostOptions extends ScenarioOptions {
  /** Set-ups a second. */
  readonly rate?: number;
  readonly ios?: readonly Io[];
}

const BAR = 5;
const SIZE = 64;
const RATE = 10_000;
/** Data packets a second: what the path takes beside the set-ups. */
const DATA_RATE: Readonly<Record<Io, number>> = { packet: 20_000, xdp: 200_000 };
const PEER: Readonly<Record<Io, Peer>> = { packet: 'designator', xdp: 'xdp' };
/** Tunnels that take turns: none comes back before it is forgotten. */
const TURNS = 60_000;
/** Set-ups begin before a measurement and go on after it. */
const MARGIN_SECONDS = 0.7;
const STEP_MS = 60;
const FAREWELL_MS = 300;

export async function clusterCostBench(options: ClusterCostOptions): Promise<ClusterCostRow[]> {
  const rows: ClusterCostRow[] = [];
  for (const io of options.ios ?? (['packet', 'xdp'] as const)) rows.push(...(await compare(io, options)));
  return rows;
}

interface Sample {
  readonly cpu: number;
  readonly main: number;
  readonly kpps: number;
  readonly rate: number;
}

function compare(io: Io, options: ClusterCostOptions): Promise<ClusterCostRow[]> {
  const { pairs = 5, seconds = 2, flows = FLOWS, rate = RATE } = options;
  let opened = 0;
  const prepare = (bed: Testbed): Promise<Readonly<Record<string, unknown>>> => standby(bed, options, opened++ > 0);
  return withContestants(
    options,
    [PEER[io], PEER[io]],
    async (contestants, say) => {
      if (contestants.length < 2) return [];
      const members = await Promise.all(contestants.map((each) => SetUps.open(each, flows)));
      const quiet: Sample[][] = [[], []];
      const busy: Sample[][] = [[], []];
      for (let pair = 0; pair < pairs; pair++) {
        say(`cluster: ${io}, what sharing costs, pair ${pair + 1} of ${pairs}`);
        for (const [shares, member] of members.entries()) {
          const { contestant } = member;
          await loadFrames(contestant, SIZE, 'in');
          const order = { direction: 'in', rate: DATA_RATE[io], seconds } as const;
          quiet[shares].push(await sampled(contestant, order));
          const running = member.run(rate, seconds + MARGIN_SECONDS * 2);
          await sleep(MARGIN_SECONDS * 1000);
          const sample = await sampled(contestant, order);
          await running;
          if (sample.rate === 0) throw new Error('no tunnel was set up in the time that was measured');
          busy[shares].push(sample);
        }
      }
      for (const member of members) await member.close();
      const own = quiet[0].map(({ cpu }, pair) => wholeAt(RATE, cpu, busy[0][pair]));
      const telling = busy[1].map(
        ({ main, rate: shared }, pair) => main / shared - busy[0][pair].main / busy[0][pair].rate,
      );
      return [false, true].map((shares): ClusterCostRow => {
        const samples = busy[shares ? 1 : 0];
        const of = (value: (sample: Sample) => number, digits: number): number =>
          Number(median(samples.map(value)).toFixed(digits));
        const more = median(telling.map((each, pair) => (each * RATE * 100) / own[pair]));
        return {
          benchmark: 'cluster-cost',
          io,
          shares,
          pairs,
          setUpsPerSecond: of(({ rate }) => rate, 0),
          kpps: of(({ kpps }) => kpps, 0),
          forwardingCpu: Number(median(quiet[shares ? 1 : 0].map(({ cpu }) => cpu)).toFixed(3)),
          cpu: of(({ cpu }) => cpu, 3),
          mainCpu: of(({ main }) => main, 3),
          tellingUs: shares ? Number((median(telling) * 1e6).toFixed(1)) : null,
          more: shares ? Number(more.toFixed(1)) : null,
          bar: BAR,
        };
      });
    },
    { timeouts: { idle: '1h', halfOpen: '10s', closing: '1s' }, connections: CONNECTIONS, prepare },
  );
}

const CONNECTIONS = 131_072;

/** Cores for data and that many set-ups a second, from the data alone and from a pace that was reached. */
const wholeAt = (pace: number, forwarding: number, { cpu, rate }: Sample): number =>
  forwarding + Math.max(0, cpu - forwarding) * (pace / rate);

/** Cores that the contestant used, and tunnels that it set up a second meanwhile. */
async function sampled(contestant: Contestant, order: Parameters<typeof measure>[1]): Promise<Sample> {
  const before = await designated(contestant);
  const [began, mainBefore] = [performance.now(), mainNanos(contestant)];
  const { ns, kpps } = await measure(contestant, order);
  const [took, main] = [(performance.now() - began) / 1000, mainNanos(contestant) - mainBefore];
  const rate = ((await designated(contestant)) - before) / took;
  return { cpu: (ns * kpps) / 1e6, kpps, rate, main: main / 1e9 / took };
}

function mainNanos({ appliance, peer }: Contestant): number {
  if (appliance === null) throw new Error(`${peer} is not the product`);
  const { pid } = appliance.process;
  return threadNanos(pid, pid);
}

async function designated({ appliance }: Contestant): Promise<number> {
  const rows = await appliance?.control<{ counter: string; count: number }[]>('GET', '/v1/counters');
  return rows?.find(({ counter }) => counter === 'requests')?.count ?? 0;
}

/** A second member on a wire of its own, with everything but traffic. The sections of the first. */
async function standby(
  bed: Testbed,
  { self }: ClusterCostOptions,
  shares: boolean,
): Promise<Readonly<Record<string, unknown>>> {
  const box = await bed.lab.namespace(`m${bed.number}`);
  await bed.middle.ip(`link add bus0 type veth peer name bus0 netns ${box.name}`);
  for (const [index, namespace] of [bed.middle, box].entries())
    await namespace.ip(`addr add ${busAddress(index + 1)}/24 dev bus0`, 'link set bus0 up');
  for (const device of ['wan0', 'lan0'])
    await box.ip(
      `link add ${device} type veth peer name ${device}x`,
      `link set ${device}x up`,
      `link set ${device} up`,
    );
  await box.ip(
    'addr add 192.128.10.2/24 dev wan0',
    'addr add 10.10.1.253/24 dev lan0',
    'route add 10.64.0.0/10 via 192.128.10.5',
  );
  const member = new LabAppliance(bed.lab, box, {
    self,
    name: `member${bed.number}`,
    config: {
      interfaces: { outside: 'wan0', inside: 'lan0' },
      io: 'packet',
      workers: 1,
      table: { connections: CONNECTIONS },
      health: { passive: false },
      vips: VIPS,
      cluster: clusterSection(2, shares),
    },
  });
  await member.start();
  // What it costs is nobody's here, and it takes nothing from the one that is looked at.
  await box.run('taskset', ['-a', '-p', '-c', String(SOURCE_CPU), String(member.process.pid)]);
  return { cluster: clusterSection(1, shares) };
}

/** Tunnels that come and go at an even pace: a source for each message of the dialogue, each a moment behind the one before. */
class SetUps {
  private constructor(
    readonly contestant: Contestant,
    readonly ends: readonly FarEnd[],
  ) {}

  /** Flows from `first` on are this one's. */
  static async open(contestant: Contestant, first: number): Promise<SetUps> {
    const { bed } = contestant;
    const [client, server] = [await bed.macs('in'), await bed.macs('out')];
    const flows = Array.from({ length: TURNS }, (_, i) => first + i);
    const messages = [
      ['in', requests(flows, client)],
      ['out', replies(flows, server)],
      ['in', connects(flows, client)],
      ['in', farewells(flows, client)],
    ] as const;
    const ends: FarEnd[] = [];
    for (const [index, [way, set]] of messages.entries()) {
      const end = await FarEnd.start({
        lab: bed.lab,
        namespace: namespaceOf(bed, way),
        device: 'eth0',
        label: `set-up${index}-${bed.number}`,
        cpu: SOURCE_CPU,
        xdp: false,
      });
      await end.load(set);
      ends.push(end);
    }
    return new SetUps(contestant, ends);
  }

  /** Every source sends as many as the others, so that the next run begins where all of them are. */
  async run(rate: number, seconds: number): Promise<void> {
    const limit = Math.round(rate * seconds);
    const sending: Promise<unknown>[] = [];
    for (const [index, end] of this.ends.entries()) {
      if (index > 0) await sleep(index === this.ends.length - 1 ? FAREWELL_MS : STEP_MS);
      sending.push(end.send({ seconds: seconds * 3, rate, limit }));
    }
    await Promise.all(sending);
  }

  async close(): Promise<void> {
    await Promise.all(this.ends.map((end) => end.close()));
  }
}

const namespaceOf = (bed: Testbed, way: Way) => (way === 'in' ? bed.client : bed.server);
