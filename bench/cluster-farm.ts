/** Two designators that share their tunnels, one of them the master of everything, with a source and a sink of frames at each end. */
import { DesignatorFarm, SHARED, busAddress } from '#designator/demo/lab/designator-farm.js';
import { LabError } from '#designator/demo/lab/command.js';
import type { Lab } from '#designator/demo/lab/lab.js';
import type { Namespace } from '#designator/demo/lab/namespace.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import type { ClusterBusRow, ClusterMemberRow, ClusterStreamRow } from '#designator/ops/endpoint.js';
import { tablePath } from './contestants.js';
import { FarEnd } from './far-end.js';
import type { Macs } from './frames.js';
import { fileTable, kernelTable, type TableProbe } from './table-probe.js';
import { SOURCE_CPU, type Way } from './testbed.js';

export type Io = 'packet' | 'xdp';
export type ClusterRow = ClusterBusRow | ClusterMemberRow | ClusterStreamRow;

const VIP_TEXT = '200.200.100.1';
const SERVER_TEXT = '10.10.1.1';
const CLIENT_NET = '10.64.0.0/10';
const ROUTER = '192.128.10.11';
const SECRET = 'a secret of all members';
const PATIENCE_MS = 10_000;
/** The place of the virtual MAC in what `ip neigh` says. */
const VIRTUAL = /lladdr (02:54:44:00:[0-9a-f:]+)/;

/** The section `cluster` of a member of two, on UDP. */
export const clusterSection = (number: number, tunnels = true): Readonly<Record<string, unknown>> => ({
  name: 'bench',
  number,
  share: { tunnels },
  bus: {
    driver: 'udp',
    address: busAddress(number),
    secret: SECRET,
    peers: [{ number: 3 - number, address: busAddress(3 - number) }],
  },
});

export const VIPS = [{ name: 'access', address: VIP_TEXT, servers: [{ name: 'lns1', address: SERVER_TEXT }] }];

export class ClusterFarm {
  readonly #sources = new Map<Way, FarEnd>();
  readonly #sinks = new Map<Way, FarEnd>();
  readonly #macs = new Map<Way, Macs>();

  private constructor(
    readonly farm: DesignatorFarm,
    readonly io: Io,
  ) {}

  /** Nobody runs yet. `lab` must have been opened with TD_TEST_IO of this io. */
  static async open(lab: Lab, self: readonly [string, string], io: Io, connections: number): Promise<ClusterFarm> {
    const farm = await DesignatorFarm.open(lab, {
      self,
      members: 2,
      servers: 1,
      clients: 1,
      config: (number) => {
        const gateway = { number, key: { text: SECRET }, algorithm: 'master', priority: 110 - number };
        return {
          io,
          table: { connections },
          timeouts: { idle: '24h', halfOpen: '10m' },
          health: { passive: false },
          vips: VIPS,
          gateway: { outside: { ...gateway, group: 7 }, inside: { ...gateway, group: 8, addresses: [SHARED] } },
          cluster: clusterSection(number),
        };
      },
    });
    for (const box of farm.boxes) await box.ip(`route add ${CLIENT_NET} via ${ROUTER}`);
    await farm.clients[0].ip(`route add ${VIP_TEXT} dev eth0`);
    return new ClusterFarm(farm, io);
  }

  /** The ends, once the members have answered for their addresses. */
  async openEnds(): Promise<void> {
    const [client] = this.farm.clients;
    const [server] = this.farm.servers;
    const end = (namespace: Namespace, label: string, xdp: boolean): Promise<FarEnd> =>
      FarEnd.start({ lab: this.farm.lab, namespace, device: 'eth0', label, cpu: SOURCE_CPU, xdp });
    // One that sends looks at nothing meanwhile: sinks are programs of their own.
    const [macsIn, macsOut, ...ends] = await Promise.all([
      macsTo(client, VIP_TEXT),
      macsTo(server, SHARED),
      end(client, 'source-in', false),
      end(server, 'source-out', false),
      end(server, 'sink-in', true),
      end(client, 'sink-out', true),
    ]);
    this.#macs.set('in', macsIn).set('out', macsOut);
    this.#sources.set('in', ends[0]).set('out', ends[1]);
    this.#sinks.set('in', ends[2]).set('out', ends[3]);
  }

  async macs(way: Way): Promise<Macs> {
    return found(this.#macs.get(way));
  }

  source(way: Way): FarEnd {
    return found(this.#sources.get(way));
  }

  sink(way: Way): FarEnd {
    return found(this.#sinks.get(way));
  }

  /** The table of a member that runs. */
  async table(number: number): Promise<TableProbe> {
    const member = this.farm.member(number);
    if (this.io === 'packet') return fileTable(tablePath(member));
    return kernelTable({ middle: this.farm.boxes[number - 1], outside: 'wan0' });
  }

  streams(number: number): Promise<ClusterStreamRow[]> {
    return this.farm
      .member(number)
      .control<ClusterRow[]>('GET', '/v1/cluster')
      .then((rows) => rows.filter((row): row is ClusterStreamRow => row.kind === 'stream'));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values(), ...this.#sinks.values()].map((end) => end.close()));
  }
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new LabError('the ends are not there yet');
  return value;
}

const bytes = (mac: string): Uint8Array =>
  Uint8Array.from(
    mac
      .trim()
      .split(':')
      .map((byte) => Number.parseInt(byte, 16)),
  );

/** From an end to an address that a group of designators has. */
async function macsTo(namespace: Namespace, address: string): Promise<Macs> {
  let destination = '';
  await waitFor(
    `the virtual MAC of ${address}`,
    async () => {
      await namespace.tryRun('ping', ['-c', '1', '-W', '1', address]);
      destination = VIRTUAL.exec(await namespace.run('ip', ['neigh', 'show', address]))?.[1] ?? '';
      return destination !== '';
    },
    PATIENCE_MS,
  );
  const source = await namespace.run('cat', ['/sys/class/net/eth0/address']);
  return { source: bytes(source), destination: bytes(destination) };
}
