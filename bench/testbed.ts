/**
 * A contestant between a client's router and a server: three namespaces, two wires, a traffic source at each end, a
 * count at each end. Sources and sinks run on CPU 0, the contestant on CPU 1 (its process and the NAPI threads of its two
 * interfaces). The ends count and drop what arrives, alike for every contestant.
 */
import type { Lab } from '#designator/demo/lab/lab.js';
import type { Namespace } from '#designator/demo/lab/namespace.js';
import { CpuAccount, kernelThreads } from './cpu.js';
import { FarEnd } from './far-end.js';
import type { Macs } from './frames.js';

/** Where frames go. */
export type Way = 'in' | 'out';
export type Direction = Way | 'both';
export const SOURCE_CPU = 0;
export const CONTESTANT_CPU = 1;

export const waysOf = (direction: Direction): readonly Way[] => (direction === 'both' ? ['in', 'out'] : [direction]);

let beds = 0;

export class Testbed {
  readonly outside: string;
  readonly inside: string;
  /** Process ids of the contestant, to be charged. */
  processes: number[] = [];
  readonly #kernel: number[] = [];
  readonly #afterwards: (() => unknown)[] = [];
  #ends: Readonly<Record<Way, FarEnd>> | null = null;

  private constructor(
    readonly lab: Lab,
    readonly number: number,
    readonly client: Namespace,
    readonly middle: Namespace,
    readonly server: Namespace,
  ) {
    this.outside = `bo${number}`;
    this.inside = `bi${number}`;
  }

  /**
   * `xdp`: the ends make and count frames in the kernel, else by AF_PACKET and nftables. `before`: what is to happen while
   * the ends are hosts like others; it may tell which processes are the contestant.
   */
  static async open(lab: Lab, xdp: boolean, before?: (bed: Testbed) => Promise<readonly number[]>): Promise<Testbed> {
    const number = ++beds + (process.pid % 1000) * 10;
    const client = await lab.namespace(`c${number}`);
    const middle = await lab.namespace(`d${number}`);
    const server = await lab.namespace(`s${number}`);
    const bed = new Testbed(lab, number, client, middle, server);
    const { outside, inside } = bed;
    for (const namespace of [client, middle, server]) {
      await namespace.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
      await namespace.sysctl('net.ipv6.conf.default.disable_ipv6', 1);
    }
    await middle.ip(
      `link add ${outside} type veth peer name eth0 netns ${client.name}`,
      `link add ${inside} type veth peer name eth0 netns ${server.name}`,
    );
    const devices = [
      [client, 'eth0'],
      [middle, outside],
      [middle, inside],
      [server, 'eth0'],
    ] as const;
    // NAPI on a veth needs GRO or XDP; without it there is no thread to charge. A device learns whether its peer has it
    // when it is brought up, so all of them must have it before.
    for (const [namespace, device] of devices) await namespace.run('ethtool', ['-K', device, 'gro', 'on', 'tx', 'off']);
    for (const [namespace, device] of devices) await namespace.ip(`link set ${device} up`);
    await client.ip('addr add 192.128.10.5/24 dev eth0');
    await middle.ip(
      `addr add 192.128.10.1/24 dev ${outside}`,
      `addr add 10.10.1.254/24 dev ${inside}`,
      'route add 10.64.0.0/10 via 192.128.10.5',
    );
    await server.ip('addr add 10.10.1.1/24 dev eth0', 'route add default via 10.10.1.254');
    if (before !== undefined) bed.processes = [...(await before(bed))];
    const end = (namespace: Namespace, label: string): Promise<FarEnd> =>
      FarEnd.start({ lab, namespace, device: 'eth0', label: `${label}${number}`, cpu: SOURCE_CPU, xdp });
    bed.#ends = { in: await end(client, 'in'), out: await end(server, 'out') };
    if (xdp) await bed.#ends.in.join(bed.#ends.out);
    else {
      for (const namespace of [client, server]) {
        await namespace.nft(
          'table netdev sink {\n chain in {\n type filter hook ingress device "eth0" priority 0\n ip protocol udp drop\n }\n}\n',
        );
      }
    }
    await bed.#thread(client, 'eth0', SOURCE_CPU);
    await bed.#thread(server, 'eth0', SOURCE_CPU);
    await bed.#thread(middle, outside, CONTESTANT_CPU);
    await bed.#thread(middle, inside, CONTESTANT_CPU);
    // Neighbours are known before the first packet, for every contestant.
    await middle.run('ping', ['-c', '1', '-W', '1', '192.128.10.5']);
    await middle.run('ping', ['-c', '1', '-W', '1', '10.10.1.1']);
    return bed;
  }

  /** NAPI of a device into a thread of its own, on one CPU. */
  async #thread(namespace: Namespace, device: string, cpu: number): Promise<void> {
    const before = new Set(kernelThreads(`napi/${device}-`));
    await namespace.run('sh', ['-c', `echo 1 > /sys/class/net/${device}/threaded`]);
    const mine = kernelThreads(`napi/${device}-`).filter((pid) => !before.has(pid));
    for (const pid of mine) {
      await namespace.run('taskset', ['-p', '-c', String(cpu), String(pid)]);
      // A sink shares its CPU with a source that never sleeps: what has arrived is counted before more is sent.
      if (cpu === SOURCE_CPU) await namespace.run('chrt', ['-f', '-p', '1', String(pid)]);
    }
    if (cpu === CONTESTANT_CPU) this.#kernel.push(...mine);
  }

  /**
   * The contestant's NAPI threads stand for what is a soft interrupt elsewhere: it goes before every program, and under
   * overload it becomes a thread like any other (ksoftirqd). So below saturation they are urgent; else a veth's 256 frames
   * run over while a thread waits for its turn, at a tenth of the rate that the path carries.
   */
  async urgent(yes: boolean): Promise<void> {
    if (this.#urgent === yes) return;
    this.#urgent = yes;
    for (const pid of this.#kernel)
      await this.middle.run('chrt', [yes ? '-f' : '-o', '-p', yes ? '1' : '0', String(pid)]);
  }

  #urgent = false;

  /** Source and destination MACs of frames that go into the contestant. */
  async macs(way: Way): Promise<Macs> {
    const [namespace, device] = way === 'in' ? [this.client, this.outside] : [this.server, this.inside];
    return { source: await mac(namespace, 'eth0'), destination: await mac(this.middle, device) };
  }

  account(): CpuAccount {
    const shared = ['cpumap/', `ksoftirqd/${CONTESTANT_CPU}`].flatMap(kernelThreads);
    return new CpuAccount(this.processes, [...this.#kernel, ...shared]);
  }

  /** Where frames of that way come from. */
  source(way: Way): FarEnd {
    if (this.#ends === null) throw new Error('the ends are not there yet');
    return this.#ends[way];
  }

  /** Where they arrive. */
  sink(way: Way): FarEnd {
    return this.source(way === 'in' ? 'out' : 'in');
  }

  /** To be done when this bed is closed. */
  afterwards(undo: () => unknown): void {
    this.#afterwards.push(undo);
  }

  async close(): Promise<void> {
    if (this.#ends !== null) await Promise.all([this.#ends.in.close(), this.#ends.out.close()]);
    for (const undo of this.#afterwards.reverse()) await undo();
  }
}

async function mac(namespace: Namespace, device: string): Promise<Uint8Array> {
  const text = await namespace.run('cat', [`/sys/class/net/${device}/address`]);
  return Uint8Array.from(
    text
      .trim()
      .split(':')
      .map((byte) => Number.parseInt(byte, 16)),
  );
}
