/**
 * Who is compared: our appliance, its loop in C++, the kernel's router, its NAT, nginx, and a relay in a few lines of
 * Node.
 */
import { closeSync, existsSync, openSync, readSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAppliance } from '#designator/demo/lab/appliance.js';
import type { Lab } from '#designator/demo/lab/lab.js';
import { HEADER, PAGE_LENGTH } from '#designator/flow/layout.js';
import { connects, dataIn, dataOut, type FrameSet, replies, requests, SERVER } from './frames.js';
import { CONTESTANT_CPU, type Direction, Testbed } from './testbed.js';

export const PEERS = ['designator', 'c-twin', 'nft-dnat', 'ip-forward', 'nginx-stream', 'node-dgram'] as const;
export type Peer = (typeof PEERS)[number];

/** Frames a second while tunnels are set up; well below what any of the paths takes. */
const SETUP_RATE = 20_000;
/** A message that was lost is sent again, as L2TP does; so many times at most. */
const SETUP_ROUNDS = 10;

export interface Contestant {
  readonly peer: Peer;
  readonly bed: Testbed;
  readonly flows: number;
  /** Frames of one size and direction; null where the contestant has no such direction. */
  frames(size: number, direction: Direction): Promise<FrameSet | null>;
}

export interface ContestantOptions {
  readonly lab: Lab;
  readonly self: readonly [string, string];
  readonly flows: number;
  readonly workers?: number;
}

/** Null when the peer cannot run here, with the reason in `missing`. */
export async function openContestant(
  peer: Peer,
  options: ContestantOptions,
  missing: (reason: string) => void,
): Promise<Contestant | null> {
  if (peer === 'nginx-stream' && !existsSync('/usr/sbin/nginx')) {
    missing('nginx is not installed');
    return null;
  }
  const bed = await Testbed.open(options.lab);
  const sets = new Map<string, FrameSet>();
  const { flows } = options;
  await START[peer](bed, options);
  return {
    peer,
    bed,
    flows,
    async frames(size, direction) {
      // A relay answers a client only on the flow that it opened itself, which frames made in advance cannot know.
      if (direction === 'out' && (peer === 'nginx-stream' || peer === 'node-dgram')) return null;
      const key = `${size} ${direction}`;
      const macs = await bed.macs(direction);
      const set =
        sets.get(key) ??
        (direction === 'in'
          ? dataIn(flows, macs, size, peer === 'ip-forward' ? SERVER : undefined)
          : dataOut(flows, macs, size));
      sets.set(key, set);
      return set;
    },
  };
}

const START: Record<Peer, (bed: Testbed, options: ContestantOptions) => Promise<void>> = {
  designator: async (bed, options) => void (await startDesignator(bed, options)),
  'c-twin': startTwin,
  'nft-dnat': startNft,
  'ip-forward': async (bed) => bed.middle.sysctl('net.ipv4.ip_forward', 1),
  'nginx-stream': startNginx,
  'node-dgram': startDgram,
};

async function startDesignator(
  bed: Testbed,
  { lab, self, flows, workers = 1 }: ContestantOptions,
): Promise<LabAppliance> {
  const appliance = new LabAppliance(lab, bed.middle, {
    self,
    name: `designator${bed.number}`,
    config: {
      interfaces: { outside: bed.outside, inside: bed.inside },
      io: 'packet',
      workers,
      table: { connections: Math.max(65536, flows * 2) },
      timeouts: { idle: '1h', halfOpen: '10m' },
      vips: [{ name: 'access', address: '200.200.100.1', servers: [{ name: 'lns1', address: '10.10.1.1' }] }],
    },
  });
  await appliance.start();
  const { pid } = appliance.process;
  bed.processes = [pid];
  if (workers === 1) await bed.middle.run('taskset', ['-a', '-p', '-c', String(CONTESTANT_CPU), String(pid)]);
  await setUp(bed, appliance, flows);
  return appliance;
}

/** Every tunnel is set up through the product itself: SCCRQ, SCCRP, SCCCN, and again what was lost on the way. */
async function setUp(bed: Testbed, appliance: LabAppliance, flows: number): Promise<void> {
  const [client, server] = [await bed.macs('in'), await bed.macs('out')];
  const dialogue = [
    ['in', requests(flows, client)],
    ['out', replies(flows, server)],
    ['in', connects(flows, client)],
  ] as const;
  for (let round = 0; round < SETUP_ROUNDS && establishedTunnels(appliance) < flows; round++) {
    for (const [direction, set] of dialogue) {
      await bed.source(direction).load(set);
      await bed.source(direction).paced(60, SETUP_RATE, flows);
      await sleep(100);
    }
  }
  const standing = establishedTunnels(appliance);
  if (standing === flows) return;
  throw new Error(`only ${standing} of ${flows} tunnels stand; drops: ${JSON.stringify(await appliance.drops())}`);
}

/** Read from the table's own header: a hundred thousand rows need not be made for it. */
function establishedTunnels(appliance: LabAppliance): number {
  const header = new Int32Array(PAGE_LENGTH / 4);
  const fd = openSync(tablePath(appliance), 'r');
  readSync(fd, header, 0, PAGE_LENGTH, 0);
  closeSync(fd);
  return header[HEADER.recordsUsed] - header[HEADER.halfOpen];
}

const tablePath = (appliance: LabAppliance): string => appliance.socket.replace(/\.sock$/, '.table');

/** Takes a designator's place: its table, and its filter, which outlives a process that is killed. */
async function startTwin(bed: Testbed, options: ContestantOptions): Promise<void> {
  const appliance = await startDesignator(bed, { ...options, workers: 1 });
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
}

async function startNft(bed: Testbed): Promise<void> {
  await bed.middle.sysctl('net.ipv4.ip_forward', 1);
  await bed.middle.nft(
    'table ip nat {\n chain pre {\n type nat hook prerouting priority -100\n ip daddr 200.200.100.1 udp dport 1701 dnat to 10.10.1.1\n }\n}\n',
  );
}

async function startNginx(bed: Testbed, { lab, flows }: ContestantOptions): Promise<void> {
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
}

const RELAY = `
const dgram = require('node:dgram');
const outside = dgram.createSocket({ type: 'udp4', recvBufferSize: 1 << 22 });
const inside = dgram.createSocket({ type: 'udp4', sendBufferSize: 1 << 22 });
outside.on('message', (message) => inside.send(message, 1701, '10.10.1.1'));
outside.bind(1701, '200.200.100.1', () => console.log('ready'));
`;

async function startDgram(bed: Testbed): Promise<void> {
  await bed.middle.ip('addr add 200.200.100.1/32 dev lo');
  const daemon = bed.middle.start('relay', 'taskset', ['-c', String(CONTESTANT_CPU), process.execPath, '-e', RELAY]);
  await daemon.waitForLine(/ready/);
  bed.processes = [daemon.pid];
}
