/**
 * Who is compared: our appliance with each of its adapters, its loops in C++, a bare XDP forwarder, the kernel's router, its NAT, nginx, and a relay in a few lines of
 * Node.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAppliance } from '#designator/demo/lab/appliance.js';
import { command, tryCommand } from '#designator/demo/lab/command.js';
import type { Lab } from '#designator/demo/lab/lab.js';
import { widenConntrack } from './conntrack.js';
import { dataIn, dataOut, type FrameSet, interleaved, SERVER, turnOrder } from './frames.js';
import { fileTable, kernelTable, programOn, type TableProbe } from './table-probe.js';
import { CONTESTANT_CPU, type Direction, Testbed, type Way } from './testbed.js';
import { setUpTunnels, waitForOffload } from './tunnels.js';

export const PEERS = [
  'xdp',
  'af-xdp',
  'xdp-bare',
  'af-xdp-twin',
  'designator',
  'c-twin',
  'nft-dnat',
  'ip-forward',
  'nginx-stream',
  'node-dgram',
  'xdp-policy',
  'af-xdp-policy',
  'packet-policy',
] as const;
/** Ours under other conditions: compared when they are asked for, with what they are without. */
export const VARIANTS = ['xdp-virtual', 'af-xdp-virtual', 'designator-virtual'] as const;
export type Peer = (typeof PEERS)[number] | (typeof VARIANTS)[number];
/** The product, by adapter: the kernel forwards, TypeScript forwards on AF_XDP, TypeScript forwards on AF_PACKET. */
export const OURS: readonly Peer[] = [
  'xdp',
  'af-xdp',
  'designator',
  'xdp-policy',
  'af-xdp-policy',
  'packet-policy',
  ...VARIANTS,
];
/** The product with a long list of rules and every limit, to be compared with itself; only when it is asked for. */
export const isPolicy = (peer: Peer): boolean => peer.endsWith('-policy');

/** More flows than this take sockets or patience that a relay does not have. */
const RELAY_FLOWS = 2000;
const isRelay = (peer: Peer): boolean => peer === 'nginx-stream' || peer === 'node-dgram';

export interface Contestant {
  readonly peer: Peer;
  readonly bed: Testbed;
  readonly flows: number;
  /** Null where the peer is not the product. */
  readonly appliance: LabAppliance | null;
  /** The table of the product. */
  readonly table: TableProbe | null;
  /** Frames of one size and direction; null where the contestant has no such direction. */
  frames(size: number, direction: Direction): Promise<FrameSet | null>;
}

export interface ContestantOptions {
  readonly lab: Lab;
  readonly self: readonly [string, string];
  readonly flows: number;
  readonly workers?: number;
  /** The ends make and count frames in the kernel. */
  readonly live: boolean;
  /** Of the product, where they are not the usual ones. */
  readonly timeouts?: Readonly<Record<string, string>>;
  readonly connections?: number;
  /** Of the product: more sections of its configuration. */
  readonly sections?: Readonly<Record<string, unknown>>;
  /** Of the product: what must be there before it starts, and sections that follow from it. */
  readonly prepare?: (bed: Testbed) => Promise<Readonly<Record<string, unknown>>>;
}

interface Started {
  readonly appliance?: LabAppliance;
  readonly table?: TableProbe;
}

/** Null when the peer cannot run here, with the reason in `missing`. */
export async function openContestant(
  peer: Peer,
  options: ContestantOptions,
  missing: (reason: string) => void,
): Promise<Contestant | null> {
  const { flows, live } = options;
  const problem =
    isRelay(peer) && flows > RELAY_FLOWS
      ? `it needs a socket for each of ${flows} flows`
      : peer === 'nginx-stream' && !existsSync('/usr/sbin/nginx')
        ? 'nginx is not installed'
        : peer === 'xdp-bare' && !live
          ? 'its program cannot be compiled here'
          : null;
  if (problem !== null) {
    missing(problem);
    return null;
  }
  const bed = await Testbed.open(options.lab, live);
  const sets = new Map<string, FrameSet>();
  let started: Started;
  try {
    started = (await START[peer](bed, options)) ?? {};
  } catch (error) {
    await bed.close();
    // A machine without XDP still has the others to compare.
    if (!peer.includes('xdp')) throw error;
    missing((error as Error).message);
    return null;
  }
  const { appliance = null, table = null } = started;
  const made = async (size: number, way: Way): Promise<FrameSet> => {
    const macs = await bed.macs(way);
    const order = turnOrder(flows);
    if (way === 'out') return dataOut(order, macs, size);
    return dataIn(order, macs, size, peer === 'ip-forward' ? SERVER : undefined);
  };
  return {
    peer,
    bed,
    flows,
    appliance,
    table,
    async frames(size, direction) {
      // A relay answers a client only on the flow that it opened itself, which frames made in advance cannot know.
      if (direction !== 'in' && isRelay(peer)) return null;
      if (direction === 'both' && !live) return null;
      const key = `${size} ${direction}`;
      const set =
        sets.get(key) ??
        (direction === 'both'
          ? interleaved(await made(size, 'in'), await made(size, 'out'))
          : await made(size, direction));
      if (flows <= KEPT_FLOWS) sets.set(key, set);
      return set;
    },
  };
}

/** Frames of more flows than this are made again when they are wanted again. */
const KEPT_FLOWS = 200_000;

type Start = (bed: Testbed, options: ContestantOptions) => Promise<Started | undefined>;
const START: Record<Peer, Start> = {
  xdp: (bed, options) => startDesignator(bed, options, { io: 'xdp' }),
  'af-xdp': (bed, options) => startDesignator(bed, options, { io: 'xdp', offload: false }),
  'xdp-bare': startBare,
  'af-xdp-twin': startXdpTwin,
  designator: (bed, options) => startDesignator(bed, options, { io: 'packet' }),
  'xdp-virtual': (bed, options) => startVirtual(bed, options, { io: 'xdp' }),
  'af-xdp-virtual': (bed, options) => startVirtual(bed, options, { io: 'xdp', offload: false }),
  'designator-virtual': (bed, options) => startVirtual(bed, options, { io: 'packet' }),
  'c-twin': startTwin,
  'nft-dnat': startNft,
  'ip-forward': async (bed) => {
    await bed.middle.sysctl('net.ipv4.ip_forward', 1);
    return undefined;
  },
  'nginx-stream': startNginx,
  'node-dgram': startDgram,
  'xdp-policy': (bed, options) => startDesignator(bed, withPolicy(options), { io: 'xdp' }),
  'af-xdp-policy': (bed, options) => startDesignator(bed, withPolicy(options), { io: 'xdp', offload: false }),
  'packet-policy': (bed, options) => startDesignator(bed, withPolicy(options), { io: 'packet' }),
};

const withPolicy = (options: ContestantOptions): ContestantOptions => ({ ...options, sections: { firewall: POLICY } });

/** What a carrier may have: bad neighbourhoods, kinds of clients with rates of their own, the rest by default; limits. */
const POLICY = {
  default: 'deny',
  rules: [
    ...Array.from({ length: 200 }, (_, i) => ({ deny: { from: `203.${i}.0.0/16` }, name: `neighbourhood-${i}` })),
    { deny: { hostName: ['test-*', '*.invalid'] }, name: 'tests' },
    ...Array.from({ length: 20 }, (_, i) => ({ deny: { vendorName: `maker-${i} *`, protocolVersion: '1.0' } })),
    { limit: { hostName: 'cpe-*', framing: 'synchronous' }, rate: '1000/s', perSource: '2/s', name: 'cpe' },
    { allow: { from: '10.64.0.0/10', vip: 'access' }, name: 'clients' },
  ],
  tunnelRequestRate: { perSource: '200000/s', total: '200000/s', halfOpen: 500_000, duplicates: '100ms' },
};

async function startDesignator(
  bed: Testbed,
  { lab, self, flows, workers = 1, timeouts, connections, sections, prepare }: ContestantOptions,
  io: { readonly io: 'xdp' | 'packet'; readonly offload?: boolean },
): Promise<Required<Started>> {
  const appliance = new LabAppliance(lab, bed.middle, {
    self,
    name: `designator${bed.number}`,
    config: {
      interfaces: { outside: bed.outside, inside: bed.inside },
      ...io,
      workers,
      // Half as much again: a tunnel that is being set up has three entries.
      table: { connections: connections ?? Math.max(65536, Math.ceil(flows * 1.5)) },
      timeouts: timeouts ?? { idle: '1h', halfOpen: '10m' },
      // The far end counts and answers nobody, which must not be taken for the death of a server.
      health: { passive: false },
      ...sections,
      ...(await prepare?.(bed)),
      vips: [{ name: 'access', address: '200.200.100.1', servers: [{ name: 'lns1', address: '10.10.1.1' }] }],
    },
  });
  if (io.io === 'xdp') await mountPins(bed, appliance);
  await appliance.start();
  const { pid } = appliance.process;
  bed.processes = [pid];
  if (workers === 1) await bed.middle.run('taskset', ['-a', '-p', '-c', String(CONTESTANT_CPU), String(pid)]);
  const table = io.io === 'xdp' ? await kernelTable(bed) : fileTable(tablePath(appliance));
  bed.afterwards(() => table.close());
  await setUpTunnels(bed, table, flows, async () => JSON.stringify(await appliance.drops()));
  if (io.io === 'xdp' && io.offload !== false) await waitForOffload(table, flows);
  return { appliance, table };
}

/** Every tunnel has a virtual id, which costs what clients send; servers' packets carry the client's own id. */
async function startVirtual(
  bed: Testbed,
  options: ContestantOptions,
  io: { readonly io: 'xdp' | 'packet'; readonly offload?: boolean },
): Promise<Required<Started>> {
  const started = await startDesignator(bed, options, io);
  const changed = started.table.orderChannels();
  if (changed < options.flows) throw new Error(`only ${changed} of ${options.flows} tunnels got virtual ids`);
  return started;
}

/**
 * `ip netns exec` gives the process a mount namespace of its own, whose mounts end with it; what is mounted before does not.
 */
async function mountPins(bed: Testbed, appliance: LabAppliance): Promise<void> {
  mkdirSync(appliance.pin, { recursive: true });
  await command(bed.lab.env, 'mount', ['-t', 'bpf', 'bpf', appliance.pin]);
  bed.afterwards(async () => {
    const daemon = appliance.daemon;
    if (daemon?.running === true) {
      daemon.signal('SIGTERM');
      await Promise.race([daemon.ended, sleep(END_MS)]);
    }
    await tryCommand(bed.lab.env, 'umount', ['-l', appliance.pin]);
  });
}

const END_MS = 5000;

export const tablePath = (appliance: LabAppliance): string => appliance.socket.replace(/\.sock$/, '.table');

async function startBare(bed: Testbed, { flows }: ContestantOptions): Promise<undefined> {
  const hex = async (way: Way): Promise<string> => Buffer.from((await bed.macs(way)).source).toString('hex');
  const program = path.join(import.meta.dirname, 'bare-child.js');
  const daemon = bed.middle.start('bare', 'taskset', [
    ...['-c', String(CONTESTANT_CPU), process.execPath, program],
    ...[String(flows), bed.outside, bed.inside, await hex('in'), await hex('out')],
  ]);
  await daemon.waitForLine(/ready/, BARE_START_MS);
  bed.processes = [daemon.pid];
  return undefined;
}

/** Two million entries, a system call each. */
const BARE_START_MS = 60_000;

/** Takes a designator's place: its table, and its filter, which outlives a process that is killed. */
async function startTwin(bed: Testbed, options: ContestantOptions): Promise<undefined> {
  const { appliance } = await startDesignator(bed, { ...options, workers: 1 }, { io: 'packet' });
  await appliance.process.kill();
  const program = path.join(import.meta.dirname, 'twin-child.js');
  const daemon = bed.middle.start('twin', 'taskset', [
    '-c',
    String(CONTESTANT_CPU),
    process.execPath,
    program,
    tablePath(appliance),
    bed.outside,
    bed.inside,
  ]);
  await daemon.waitForLine(/ready/);
  bed.processes = [daemon.pid];
  return undefined;
}

async function startNft(bed: Testbed, { flows, live }: ContestantOptions): Promise<undefined> {
  const { middle } = bed;
  await middle.sysctl('net.ipv4.ip_forward', 1);
  bed.afterwards(widenConntrack(flows));
  await bed.middle.nft(
    'table ip nat {\n chain pre {\n type nat hook prerouting priority -100\n ip daddr 200.200.100.1 udp dport 1701 dnat to 10.10.1.1\n }\n}\n',
  );
  // Established means established, here too: flows are known before the first measurement and are not forgotten.
  await middle.sysctl('net.netfilter.nf_conntrack_udp_timeout', 3600);
  await middle.sysctl('net.netfilter.nf_conntrack_udp_timeout_stream', 3600);
  await bed.source('in').load(dataIn(flows, await bed.macs('in'), 64), live);
  await bed.source('in').send({ seconds: 60, rate: CONNTRACK_RATE, limit: flows });
  return undefined;
}

/** New connections a second that connection tracking takes without loss. */
const CONNTRACK_RATE = 60_000;

/** Takes the place of a killed designator that forwarded in TypeScript: its table, its program, its sockets' places. */
async function startXdpTwin(bed: Testbed, options: ContestantOptions): Promise<undefined> {
  const { appliance } = await startDesignator(bed, { ...options, workers: 1 }, { io: 'xdp', offload: false });
  const program = await programOn(bed);
  await appliance.process.kill();
  const daemon = bed.middle.start('xdp-twin', 'taskset', [
    ...['-c', String(CONTESTANT_CPU), process.execPath, path.join(import.meta.dirname, 'xdp-twin-child.js')],
    ...[String(program), bed.outside, bed.inside],
  ]);
  await daemon.waitForLine(/ready/);
  bed.processes = [daemon.pid];
  return undefined;
}

async function startNginx(bed: Testbed, { lab, flows }: ContestantOptions): Promise<undefined> {
  await bed.middle.ip('addr add 200.200.100.1/32 dev lo');
  const file = path.join(lab.folder, `nginx${bed.number}.conf`);
  const module = '/usr/lib/nginx/modules/ngx_stream_module.so';
  writeFileSync(
    file,
    [
      ...(existsSync(module) ? [`load_module ${module};`] : []),
      `daemon off; worker_processes 1; pid ${lab.folder}/nginx${bed.number}.pid; error_log /dev/null crit; worker_rlimit_nofile 200000;`,
      `events { worker_connections ${Math.max(4096, flows * 2 + 64)}; }`,
      'stream { server { listen 200.200.100.1:1701 udp; proxy_pass 10.10.1.1:1701; proxy_timeout 1h; } }',
      '',
    ].join('\n'),
  );
  const daemon = bed.middle.start('nginx', 'taskset', ['-c', String(CONTESTANT_CPU), 'nginx', '-c', file]);
  await sleep(500);
  if (!daemon.running) throw new Error(`nginx: ${daemon.tail()}`);
  const children = await bed.middle.tryRun('pgrep', ['-P', String(daemon.pid)]);
  bed.processes = [
    daemon.pid,
    ...children.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number),
  ];
  return undefined;
}

const RELAY = `
const dgram = require('node:dgram');
const outside = dgram.createSocket({ type: 'udp4', recvBufferSize: 1 << 22 });
const inside = dgram.createSocket({ type: 'udp4', sendBufferSize: 1 << 22 });
outside.on('message', (message) => inside.send(message, 1701, '10.10.1.1'));
outside.bind(1701, '200.200.100.1', () => console.log('ready'));
`;

async function startDgram(bed: Testbed): Promise<undefined> {
  await bed.middle.ip('addr add 200.200.100.1/32 dev lo');
  const daemon = bed.middle.start('relay', 'taskset', ['-c', String(CONTESTANT_CPU), process.execPath, '-e', RELAY]);
  await daemon.waitForLine(/ready/);
  bed.processes = [daemon.pid];
  return undefined;
}
