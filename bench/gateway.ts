/**
 * Gateways behind one address, beside keepalived (VRRP) and ucarp (CARP) in the same run: how long hosts are without a way
 * out when a gateway dies, what share of the hosts each gateway carries, and how long it takes to give a dead gateway's
 * hosts away for good. Hosts are namespaces with Linux's own ARP, and what is measured are their pings.
 */
import { GatewayLan } from '#designator/demo/lab/gateway-lan.js';
import { GatewayMembers } from '#designator/demo/lab/gateway-members.js';
import { startKeepalived } from '#designator/demo/lab/keepalived.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { missingPackages, type Program } from '#designator/demo/lab/packages.js';
import { startUcarp } from '#designator/demo/lab/ucarp.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import { measureShares, ms, type RedistributionRow, redistribution } from './gateway-redistribution.js';
import { median } from './statistics.js';

export interface GatewayBenchOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly gateways?: number;
  readonly hosts?: number;
  readonly rounds?: number;
  readonly peers?: readonly GatewayPeer[];
  readonly switches?: readonly Switches[];
  /** Hosts of a dead gateway that are given away; 0: this part is left out. */
  readonly redistributed?: number;
  readonly progress?: (line: string) => void;
}

type Switches = 'own' | 'one';

/** The program and its time between adverts, in seconds. */
export const GATEWAY_PEERS = {
  designator: { program: null, interval: 0.1 },
  'designator-20ms': { program: null, interval: 0.02 },
  keepalived: { program: 'keepalived', interval: 1 },
  'keepalived-100ms': { program: 'keepalived', interval: 0.1 },
  'keepalived-20ms': { program: 'keepalived', interval: 0.02 },
  ucarp: { program: 'ucarp', interval: 1 },
} as const satisfies Record<string, { program: Program | null; interval: number }>;
export type GatewayPeer = keyof typeof GATEWAY_PEERS;

export interface GatewayRow {
  readonly benchmark: 'gateway';
  readonly peer: GatewayPeer;
  /** The first gateway is the master, the last one is not. */
  readonly event: 'the last gateway dies' | 'the first gateway dies';
  /** `one`: the hosts' switch sees the link fall, forgets and floods. `own`: it does not. */
  readonly switches: Switches;
  readonly gateways: number;
  readonly hosts: number;
  readonly rounds: number;
  /** Hosts that lost at least one answer: the mean of the rounds. */
  readonly affected: number;
  /** From the death to an affected host's next answer, over hosts and rounds; null: nobody was affected. */
  readonly medianMs: number | null;
  readonly maxMs: number | null;
  /** Hosts that had no answer again when the round was given up. */
  readonly lost: number;
  /** Answers that came twice: two gateways forwarded one packet. */
  readonly duplicates: number;
  /** Share of the hosts' packets that each gateway carried before, in percent, in the last round. */
  readonly shares: readonly number[];
  /** The bar of the project, for ours. */
  readonly barMs: number | null;
}

const PING_MS = 10;
/** From the death on: what is not over then is waited for. */
const SETTLE_MS = 1500;
/** A master that stays for so long is one. */
const STEADY_MS = 2500;
const PATIENCE_MS = 20_000;
const BAR_MS: Partial<Record<GatewayPeer, number>> = { designator: 300, 'designator-20ms': 100 };

export async function gatewayBench(options: GatewayBenchOptions): Promise<(GatewayRow | RedistributionRow)[]> {
  const { rounds = 5, switches = ['own', 'one'], redistributed = 200 } = options;
  const say = options.progress ?? (() => {});
  const peers = (options.peers ?? (Object.keys(GATEWAY_PEERS) as GatewayPeer[])).filter((peer) => {
    const { program } = GATEWAY_PEERS[peer];
    const missing = program === null ? [] : missingPackages(options.env, [program]);
    if (missing.length > 0) say(`${peer} is left out: apt-get install ${missing.join(' ')}`);
    return missing.length === 0;
  });
  const rows: (GatewayRow | RedistributionRow)[] = [];
  for (const kind of switches) {
    const results = new Map<GatewayPeer, Round[]>(peers.map((peer) => [peer, []]));
    // Peers take turns, so that whatever else the machine does meets all of them.
    for (let round = 0; round < rounds; round++)
      for (const peer of peers) results.get(peer)?.push(await play(peer, kind, options, say));
    for (const peer of peers)
      for (const event of ['the last gateway dies', 'the first gateway dies'] as const)
        rows.push(rowOf(peer, event, kind, results.get(peer) ?? [], options));
  }
  if (redistributed > 0 && peers.includes('designator')) rows.push(await redistribution(redistributed, options));
  return rows;
}

interface Death {
  /** Seconds, of each host that lost something; null for one that did not recover. */
  readonly recovered: readonly (number | null)[];
  readonly duplicates: number;
}

interface Round {
  readonly last: Death;
  readonly first: Death;
  readonly shares: readonly number[];
}

async function play(
  peer: GatewayPeer,
  switches: Switches,
  options: GatewayBenchOptions,
  say: (line: string) => void,
): Promise<Round> {
  const { gateways = 3, hosts = 30 } = options;
  const lab = await Lab.open({ pid: options.pid, env: options.env });
  try {
    const lan = await GatewayLan.open(lab, { gateways, hosts, switches });
    await enter(peer, lab, lan, options.self);
    const pings = await lan.ping(PING_MS);
    await pings.flowing();
    const shares = await measureShares(lan);
    const die = async (number: number): Promise<Death> => {
      const before = pings.duplicates();
      const event = await lan.die(lan.gateway(number));
      const outages = await pings.outagesOnceSettled(event, SETTLE_MS, PATIENCE_MS);
      const recovered = outages.flatMap((outage) =>
        outage === null || outage.recovered === 0 ? [] : outage.recovered,
      );
      const longest = Math.max(0, ...recovered.map((time) => time ?? Number.POSITIVE_INFINITY));
      say(`${peer}, ${switches}: gateway ${number} dies: ${recovered.length} hosts, at most ${ms(longest)} ms`);
      return { recovered, duplicates: pings.duplicates() - before };
    };
    const last = await die(gateways);
    const first = await die(1);
    await pings.stop();
    return { last, first, shares };
  } finally {
    await lab.close();
  }
}

/** Starts the program in every gateway; resolves when the first one is master. */
async function enter(peer: GatewayPeer, lab: Lab, lan: GatewayLan, self: readonly [string, string]): Promise<void> {
  const { program, interval } = GATEWAY_PEERS[peer];
  if (program === null) {
    await GatewayMembers.start(lan, { self, group: { adverts: { interval: `${interval * 1000}ms` } } });
    return;
  }
  for (const gateway of lan.gateways) {
    if (program === 'ucarp') startUcarp(lab, gateway, { interval, deadRatio: 3, name: peer });
    else startKeepalived(lab, gateway, { interval, name: peer });
  }
  const holders = async (): Promise<number[]> => {
    const texts = await Promise.all(lan.gateways.map(({ namespace }) => namespace.run('ip', ['-4', 'addr', 'show'])));
    return texts.flatMap((text, index) => (/\b10\.7\.0\.254\b/.test(text) ? [index + 1] : []));
  };
  // All begin at once, and may all believe to be master for a moment.
  let since = Number.POSITIVE_INFINITY;
  await waitFor(
    'the first gateway to be the only master for a while',
    async () => {
      if ((await holders()).join() !== '1') since = Number.POSITIVE_INFINITY;
      else since = Math.min(since, performance.now());
      return performance.now() - since > STEADY_MS;
    },
    PATIENCE_MS,
  );
}

function rowOf(
  peer: GatewayPeer,
  event: GatewayRow['event'],
  switches: Switches,
  rounds: readonly Round[],
  { gateways = 3, hosts = 30 }: GatewayBenchOptions,
): GatewayRow {
  const deaths = rounds.map(({ last, first }) => (event === 'the last gateway dies' ? last : first));
  const all = deaths.flatMap(({ recovered }) => recovered);
  const times = all.filter((time): time is number => time !== null);
  return {
    benchmark: 'gateway',
    peer,
    event,
    switches,
    gateways,
    hosts,
    rounds: rounds.length,
    affected: Math.round((all.length / Math.max(1, rounds.length)) * 10) / 10,
    medianMs: times.length === 0 ? null : ms(median(times)),
    maxMs: times.length === 0 ? null : ms(Math.max(...times)),
    lost: all.length - times.length,
    duplicates: deaths.reduce((sum, { duplicates }) => sum + duplicates, 0),
    shares: rounds.at(-1)?.shares ?? [],
    barMs: BAR_MS[peer] ?? null,
  };
}
