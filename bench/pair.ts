/**
 * Two machines with one virtual address in front of two LNSs, and the death of the active one under traffic: designators that
 * share their tables, beside what one builds from keepalived (VRRP) and nftables (DNAT by the hash of address and port) in the
 * same run. How long the address answered nobody is told by ping, what the tunnels noticed by the sessions in them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  busAddress,
  DesignatorFarm,
  type FarmOptions,
  SHARED,
  serverAddress,
  vipAddress,
} from '#designator/demo/lab/designator-farm.js';
import type { Daemon } from '#designator/demo/lab/daemon.js';
import { LabEndpoint } from '#designator/demo/lab/endpoint.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { missingPackages, type Program } from '#designator/demo/lab/packages.js';
import { answersOf, type Outage, outageOf } from '#designator/demo/lab/ping-log.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import type { GeneratorResults } from '#designator/roles/lac/generator/results.js';
import { median } from './statistics.js';

export interface PairBenchOptions {
  readonly self: readonly [string, string];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly rounds?: number;
  readonly tunnels?: number;
  readonly peers?: readonly PairPeer[];
  readonly progress?: (line: string) => void;
}

interface PairKind {
  readonly io: 'packet' | 'xdp' | null;
  readonly program: Program | null;
  /** Seconds between adverts. */
  readonly interval: number;
  /** All clients have the master: the other one stands by, as a cluster master’s candidates do. */
  readonly oneMaster?: boolean;
}

export const PAIR_PEERS = {
  'pair-packet': { io: 'packet', program: null, interval: 0.1 },
  'pair-xdp': { io: 'xdp', program: null, interval: 0.1 },
  'pair-one-master': { io: 'packet', program: null, interval: 0.1, oneMaster: true },
  'keepalived-nft': { io: null, program: 'keepalived', interval: 1 },
  'keepalived-nft-100ms': { io: null, program: 'keepalived', interval: 0.1 },
} as const satisfies Record<string, PairKind>;
export type PairPeer = keyof typeof PAIR_PEERS;

export interface PairRow {
  readonly benchmark: 'pair';
  readonly peer: PairPeer;
  readonly rounds: number;
  readonly tunnels: number;
  /** From the death to the first echo reply of the virtual address; null: none came again. */
  readonly electedMs: number | null;
  readonly electedMaxMs: number | null;
  /** The longest silence of a session above its own rhythm: median and maximum over sessions and rounds. */
  readonly silentMs: number;
  readonly silentMaxMs: number;
  /** Sessions that were up and did not reach the end of the round. */
  readonly lost: number;
  readonly barMs: number | null;
}

const BAR_MS = 350;
const PING_MS = 10;
/** Echo requests of each session in a second. */
const RATE = 20;
const USER = { name: 'user', password: 'password' };
const SETTLE_MS = 2500;
const PATIENCE_MS = 15_000;
const KEY = 'a key of all designators';

export async function pairBench(options: PairBenchOptions): Promise<PairRow[]> {
  const { rounds = 5, tunnels = 40 } = options;
  const say = options.progress ?? (() => {});
  const peers = (options.peers ?? (Object.keys(PAIR_PEERS) as PairPeer[])).filter((peer) => {
    const { program } = PAIR_PEERS[peer];
    const missing = program === null ? [] : missingPackages(options.env, [program]);
    if (missing.length > 0) say(`${peer} is left out: apt-get install ${missing.join(' ')}`);
    return missing.length === 0;
  });
  const played = new Map<PairPeer, Round[]>(peers.map((peer) => [peer, []]));
  // Peers take turns, so that whatever else the machine does meets all of them.
  for (let round = 0; round < rounds; round++)
    for (const peer of peers) {
      const result = await play(peer, options, tunnels);
      played.get(peer)?.push(result);
      const elected = result.elected === null ? 'never again' : `${result.elected.toFixed(0)} ms`;
      say(`${peer}: address ${elected}, sessions ${result.silentMax.toFixed(0)} ms at most, ${result.lost} lost`);
    }
  return peers.map((peer) => rowOf(peer, played.get(peer) ?? [], tunnels));
}

interface Round {
  /** Milliseconds; null: never. */
  readonly elected: number | null;
  readonly silent: number;
  readonly silentMax: number;
  readonly lost: number;
}

async function play(peer: PairPeer, options: PairBenchOptions, tunnels: number): Promise<Round> {
  const kind: PairKind = PAIR_PEERS[peer];
  const lab = await Lab.open({ pid: options.pid, env: { ...options.env, TD_TEST_IO: kind.io ?? 'packet' } });
  try {
    const farm = await DesignatorFarm.open(lab, farmOptions(kind, options));
    await Promise.all([enter(kind, farm), ...farm.servers.map((_, n) => startServer(farm, n, options))]);
    const log = join(lab.folder, 'ping.log');
    const [client] = farm.clients;
    writeFileSync(log, '');
    client.start('ping', 'sh', ['-c', `exec ping -n -D -i ${PING_MS / 1000} ${vipAddress(0)} >> ${log} 2>&1`]);
    const answered = (after: number): boolean => (answersOf(readFileSync(log, 'utf8')).at(-1)?.time ?? 0) > after;
    await waitFor('the address to answer', () => answered(0), PATIENCE_MS);
    const generator = await generate(farm, tunnels, options);
    // The group of designators says which of them this client's packets go to, VRRP that it is the first one.
    const active = kind.program === null ? await farm.memberOf(client) : 1;
    if (kind.program === null) await shared(farm, tunnels);
    const event = await farm.die(active);
    await sleep(SETTLE_MS);
    const outage = await settled(log, event);
    generator.signal('SIGINT');
    const results = JSON.parse(await generator.waitForLine(/^\{"tunnels"/, PATIENCE_MS)) as GeneratorResults;
    const rhythm = 1000 / RATE;
    const [{ gapMs }] = results.traffic;
    return {
      elected: outage?.recovered == null ? null : outage.recovered * 1000,
      silent: Math.max(0, (gapMs?.median ?? 0) - rhythm),
      silentMax: Math.max(0, (gapMs?.max ?? 0) - rhythm),
      lost: tunnels - results.sessions.held,
    };
  } finally {
    await lab.close();
  }
}

/** A member that has just started shares nothing for a second and a half: every one must have every tunnel. */
async function shared(farm: DesignatorFarm, tunnels: number): Promise<void> {
  const counts = (): Promise<number[]> =>
    Promise.all(farm.members.map(async (member) => (await member.established()).length));
  await waitFor(
    'every member to have every tunnel',
    async () => (await counts()).every((n) => n === tunnels),
    PATIENCE_MS,
  );
}

/** How the event was for the client's pings, when answers come again or patience is over. */
async function settled(log: string, event: number): Promise<Outage | null> {
  const now = (): Outage | null => outageOf(answersOf(readFileSync(log, 'utf8')), event, PING_MS / 1000, unix());
  const until = performance.now() + PATIENCE_MS;
  await waitFor(
    'the address to answer again',
    () => (now()?.recovered ?? null) !== null || performance.now() > until,
    PATIENCE_MS + 5000,
  );
  return now();
}

const unix = (): number => Date.now() / 1000;

function farmOptions(kind: PairKind, { self }: PairBenchOptions): FarmOptions {
  return {
    self,
    members: 2,
    servers: 2,
    clients: 1,
    group: {
      adverts: { interval: `${kind.interval * 1000}ms` },
      ...(kind.oneMaster === true ? { algorithm: 'master' } : {}),
    },
    config: (number) => ({
      vips: [
        {
          name: 'access',
          address: vipAddress(0),
          protocols: ['l2tp'],
          algorithm: 'maglev',
          servers: [0, 1].map((n) => ({ name: `lns${n + 1}`, address: serverAddress(n) })),
        },
      ],
      cluster: {
        name: 'bench',
        number,
        bus: {
          driver: 'udp',
          address: busAddress(number),
          peers: [{ number: 3 - number, address: busAddress(3 - number) }],
          secret: KEY,
        },
      },
    }),
  };
}

async function enter(kind: PairKind, farm: DesignatorFarm): Promise<void> {
  if (kind.program === null) return farm.start();
  for (const [index, box] of farm.boxes.entries()) {
    const name = `vrrp${index + 1}`;
    const folder = join(farm.lab.folder, name);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'keepalived.conf');
    writeFileSync(file, vrrpConfig(index + 1, kind.interval));
    await box.nft(DNAT);
    // It keeps files below /run whose names do not tell instances apart.
    const run = 'mount -t tmpfs tmpfs /run && exec keepalived -n -l -P -f "$1" -p "$2/pid" -r "$2/vrrp-pid"';
    box.start(name, 'unshare', ['-m', 'sh', '-c', run, 'sh', file, folder]);
  }
  // Both begin at once, and may both believe to be master for a moment.
  const holders = async (): Promise<string> => {
    const texts = await Promise.all(farm.boxes.map((box) => box.run('ip', ['-4', 'addr', 'show'])));
    return texts.map((text) => [vipAddress(0), SHARED].filter((one) => text.includes(` ${one}/`)).length).join();
  };
  let since = Number.POSITIVE_INFINITY;
  await waitFor(
    'the first machine to be the only master for a while',
    async () => {
      if ((await holders()) !== '2,0') since = Number.POSITIVE_INFINITY;
      else since = Math.min(since, performance.now());
      return performance.now() - since > SETTLE_MS;
    },
    PATIENCE_MS * 2,
  );
}

function vrrpConfig(number: number, interval: number): string {
  const instance = (name: string, device: string, id: number, address: string): string => `vrrp_instance ${name} {
 state BACKUP
 interface ${device}
 use_vmac vr${id}
 vmac_xmit_base
 virtual_router_id ${id}
 priority ${210 - number * 10}
 advert_int ${interval}
 virtual_ipaddress {
  ${address}/24
 }
}
`;
  return `global_defs {
 router_id d${number}
 vrrp_version ${interval < 1 ? 3 : 2}
 vrrp_garp_master_delay 1
}
vrrp_sync_group both {
 group {
  outside
  inside
 }
}
${instance('outside', 'wan0', 7, vipAddress(0))}${instance('inside', 'lan0', 8, SHARED)}`;
}

/** The same server for an address and port at either machine, so that a tunnel may find its server again. */
const DNAT = `table ip farm {
 chain in {
  type nat hook prerouting priority dstnat
  ip daddr ${vipAddress(0)} udp dport 1701 dnat to jhash ip saddr . udp sport mod 2 map { 0 : ${serverAddress(0)}, 1 : ${serverAddress(1)} }
 }
}
`;

async function startServer(farm: DesignatorFarm, index: number, { self }: PairBenchOptions): Promise<void> {
  const config = {
    name: `lns${index + 1}`,
    listen: serverAddress(index),
    workers: 1,
    pools: [{ name: 'all', ipv4: `10.${70 + index}.0.0/19` }],
  };
  const name = `lns${index + 1}`;
  await new LabEndpoint(farm.lab, farm.servers[index], { role: 'lns', self, config, users: [USER], name }).start();
}

async function generate(farm: DesignatorFarm, tunnels: number, { self }: PairBenchOptions): Promise<Daemon> {
  const size = ['--tunnels', `${tunnels}`, '--sessions', `${tunnels}`, '--sockets', '8', '--seconds', '120'];
  const who = ['--user', USER.name, '--password', USER.password, '--methods', 'chap-md5'];
  const words = ['lac', '--generate', '--json', '--lns', vipAddress(0), '--traffic', `ping:64@${RATE}`];
  const generator = farm.clients[0].start('generator', self[0], [self[1], ...words, ...size, ...who]);
  const line = await generator.waitForLine(/hold: /, PATIENCE_MS * 2);
  if (!line.endsWith(`sessions ${tunnels}/${tunnels}`)) throw new Error(`the generator: ${line}`);
  return generator;
}

function rowOf(peer: PairPeer, rounds: readonly Round[], tunnels: number): PairRow {
  const elected = rounds.flatMap((round) => (round.elected === null ? [] : [round.elected]));
  const whole = elected.length === rounds.length && rounds.length > 0;
  return {
    benchmark: 'pair',
    peer,
    rounds: rounds.length,
    tunnels,
    electedMs: whole ? Math.round(median(elected)) : null,
    electedMaxMs: whole ? Math.round(Math.max(...elected)) : null,
    silentMs: Math.round(median(rounds.map(({ silent }) => silent))),
    silentMaxMs: Math.round(Math.max(...rounds.map(({ silentMax }) => silentMax))),
    lost: rounds.reduce((sum, { lost }) => sum + lost, 0),
    barMs: PAIR_PEERS[peer].program === null ? BAR_MS : null,
  };
}
