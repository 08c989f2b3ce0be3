/**
 * A flood of tunnel requests, every one from another forged source, while a thousand tunnels carry data: what the tunnels
 * lose, how many forged requests reach the servers, and whether clients that dial meanwhile get in: strangers, which repeat
 * their request after a second as every client does, and clients that have had a tunnel.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant, Peer } from './contestants.js';
import { flowOf, type MixedFrame, mixture } from './frames.js';
import { standingStill } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';

export interface FloodRow {
  readonly benchmark: 'flood';
  readonly peer: string;
  /** firewall.tunnelRequestRate.unknownSources. */
  readonly unknownSources: 'repeat' | 'admit';
  readonly tunnels: number;
  /** As they left the source. */
  readonly floodPerSecond: number;
  readonly dataPerSecond: number;
  readonly seconds: number;
  readonly dataSent: number;
  readonly dataLost: number;
  /** Forged requests that went to the server. */
  readonly forgedAdmitted: number;
  readonly strangers: number;
  readonly strangersAdmitted: number;
  readonly known: number;
  readonly knownAdmitted: number;
  readonly drops: Readonly<Record<string, number>>;
}

export interface FloodOptions extends ScenarioOptions {
  /** Forged requests a second. */
  readonly rate?: number;
}

const PEERS: readonly Peer[] = ['xdp', 'designator'];
/** The source falls short of what it is told by a fifth: 100,000 a second arrive at least. */
const RATE = 123_000;
/** Of the tunnels' data, one frame for so many of the flood. */
const FLOOD_FOR_DATA = 4;
const STRANGERS = 100;
const KNOWN = 50;
/** A client's second request comes after this. */
const REPEAT_SECONDS = 1;
const TOTAL = 2000;
const HALF_OPEN = 4000;

/** 10.80.0.0/12 is the flood's, 10.100.0.0/16 the honest strangers'; the bed routes both to the client's end. */
const FORGED_NET = 0x0a500000;
const STRANGER_NET = 0x0a640000;
const STRANGER = '10.100.';
/** Ports of new requests from addresses that have tunnels; no tunnel has such a port. */
const KNOWN_PORT = 60_000;
/** A busy machine sends more slowly than it is told. */
const PATIENCE_SECONDS = 30;

export function floodBench(options: FloodOptions): Promise<FloodRow[]> {
  const { flows = FLOWS, seconds = 4, rate = RATE } = options;
  const firewall = (unknownSources: string) => ({
    tunnelRequestRate: { total: `${TOTAL}/s`, halfOpen: HALF_OPEN, unknownSources },
  });
  return withContestants(
    options,
    options.peers ?? PEERS,
    async (contestants, say) => {
      const rows: FloodRow[] = [];
      for (const contestant of contestants) {
        const { appliance, peer } = contestant;
        if (appliance === null) continue;
        let run = 0;
        for (const unknownSources of ['repeat', 'admit'] as const) {
          say(`flood: ${peer}, strangers ${unknownSources}`);
          if (run > 0) {
            appliance.write({ ...appliance.options.config, firewall: firewall(unknownSources) });
            await appliance.command('reload');
          }
          rows.push({ peer, unknownSources, ...(await flood(contestant, { flows, seconds, rate, run: run++ })) });
        }
      }
      return rows;
    },
    { sections: { firewall: firewall('repeat') } },
  );
}

interface Order {
  readonly flows: number;
  readonly seconds: number;
  readonly rate: number;
  /** Every run has forged sources and strangers of its own. */
  readonly run: number;
}

type Outcome = Omit<FloodRow, 'peer' | 'unknownSources'>;

async function flood({ bed, appliance, table }: Contestant, order: Order): Promise<Outcome> {
  if (appliance === null || table === null) throw new Error('only the product has a policy');
  const { flows, seconds } = order;
  const frames = planned(order);
  const total = frames.length / seconds;
  // As in failover: a thread would wait behind long system calls of the shard on a kernel that does not preempt itself.
  for (const device of [bed.outside, bed.inside])
    await bed.middle.run('sh', ['-c', `echo 0 > /sys/class/net/${device}/threaded`]);
  await bed.source('in').load(mixture(frames, await bed.macs('in')), true);
  const isNew = (client: string): boolean => Number(client.slice(client.indexOf(':') + 1)) >= KNOWN_PORT;
  const before = { drops: await appliance.drops(), arrived: await bed.sink('in').arrived(), asking: table.halfOpen() };
  const listed = new Set((await appliance.tunnels()).map(({ client }) => client));
  const { sent, seconds: took } = await bed
    .source('in')
    .send({ seconds: PATIENCE_SECONDS, rate: total, limit: frames.length });
  const arrived = (await standingStill(() => bed.sink('in').arrived())) - before.arrived;
  await sleep(100);
  const fresh = (await appliance.tunnels()).filter(({ client, state }) => state === 'half-open' && !listed.has(client));
  const strangersAdmitted = fresh.filter(({ client }) => client.startsWith(STRANGER)).length;
  const knownAdmitted = fresh.filter(({ client }) => !client.startsWith(STRANGER) && isNew(client)).length;
  const admitted = table.halfOpen() - before.asking;
  const after = await appliance.drops();
  const dataSent = frames.slice(0, sent).filter((frame) => 'flow' in frame).length;
  const forged = frames.slice(0, sent).length - dataSent;
  return {
    benchmark: 'flood',
    tunnels: flows,
    floodPerSecond: Math.round(forged / took),
    dataPerSecond: Math.round(dataSent / took),
    seconds: Number(took.toFixed(2)),
    dataSent,
    dataLost: dataSent - arrived,
    forgedAdmitted: admitted - strangersAdmitted - knownAdmitted,
    strangers: STRANGERS,
    strangersAdmitted,
    known: KNOWN,
    knownAdmitted,
    drops: Object.fromEntries(
      Object.entries(after)
        .map(([reason, count]): [string, number] => [reason, count - (before.drops[reason] ?? 0)])
        .filter(([, count]) => count > 0),
    ),
  };
}

/** What is sent, in its order. */
function planned({ flows, seconds, rate, run }: Order): MixedFrame[] {
  const count = Math.round(seconds * rate);
  const mixed: MixedFrame[] = [];
  for (let i = 0; i < count; i++) {
    const n = run * count + i;
    mixed.push({ client: (FORGED_NET + n) >>> 0, port: 1024 + (n % 50_000) });
    if (i % FLOOD_FOR_DATA === 0) mixed.push({ flow: (i / FLOOD_FOR_DATA) % flows });
  }
  const perSecond = mixed.length / seconds;
  const put = (at: number, frame: MixedFrame): void => {
    mixed[nextForged(mixed, Math.min(mixed.length - 1, Math.round(at * perSecond)))] = frame;
  };
  // Clients dial when the flood has been on for a while, and those whom nobody answers dial once more.
  const first = seconds / 4;
  const gap = seconds / 4 / Math.max(STRANGERS, KNOWN);
  for (let i = 0; i < STRANGERS; i++) {
    const stranger = { client: (STRANGER_NET + run * 1024 + i + 1) >>> 0, port: 1701 };
    put(first + i * gap, stranger);
    put(first + i * gap + REPEAT_SECONDS, stranger);
  }
  for (let i = 0; i < KNOWN; i++)
    put(first + i * gap, { client: flowOf(i * 7).client, port: KNOWN_PORT + run * 1000 + i });
  return mixed;
}

/** The first frame of the flood from there on: data stays where it is. */
function nextForged(frames: readonly MixedFrame[], from: number): number {
  for (let i = from; i < frames.length; i++) {
    const frame = frames[i];
    if ('client' in frame && frame.client >>> 20 === FORGED_NET >>> 20) return i;
  }
  throw new Error('the run is too short for its clients');
}
