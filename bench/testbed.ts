/**
 * One contestant between a client's router and a server: three namespaces, two wires, a traffic source at each end, a
 * count at each end. Source and sink run on CPU 0, the contestant on CPU 1 (its process and the NAPI threads of its two
 * interfaces). The ends drop what arrives at ingress, alike for every contestant; what arrived is the interface's count.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '#designator/demo/lab/lab.js';
import type { Namespace } from '#designator/demo/lab/namespace.js';
import { CpuAccount, kernelThreads } from './cpu.js';
import type { FrameSet, Macs } from './frames.js';

export type Direction = 'in' | 'out';
const SOURCE_CPU = 0;
export const CONTESTANT_CPU = 1;

let beds = 0;

/** A traffic source in a namespace. */
class Source {
  readonly #child;
  readonly #lines: Interface;
  readonly #answers: string[] = [];
  #waiting: ((line: string) => void) | null = null;
  #loaded: FrameSet | null = null;
  /** Rejects when the process ends; one listener for its whole life. */
  readonly #ended: Promise<never>;

  constructor(
    readonly lab: Lab,
    namespace: Namespace,
    device: string,
    readonly label: string,
  ) {
    const script = path.join(import.meta.dirname, 'flood-child.js');
    this.#child = spawn(
      'ip',
      ['netns', 'exec', namespace.name, 'taskset', '-c', String(SOURCE_CPU), process.execPath, script, device],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    this.#ended = new Promise((_, reject) => {
      this.#child.once('close', () => reject(new Error(`traffic source ${label} has ended`)));
    });
    this.#ended.catch(() => {}); // an end that nobody waits for is no error
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on('line', (line) => {
      if (this.#waiting === null) this.#answers.push(line);
      else this.#waiting(line);
    });
  }

  async #ask(command: object): Promise<{ sent: number; seconds: number }> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const line =
      this.#answers.shift() ??
      (await Promise.race([
        new Promise<string>((resolve) => {
          this.#waiting = resolve;
        }),
        this.#ended,
      ]));
    this.#waiting = null;
    const answer = JSON.parse(line) as { sent: number; seconds: number; error?: string };
    if (answer.error !== undefined) throw new Error(`traffic source ${this.label}: ${answer.error}`);
    return answer;
  }

  async load(set: FrameSet): Promise<void> {
    if (this.#loaded === set) return;
    const file = path.join(this.lab.folder, `${this.label}.frames`);
    writeFileSync(file, set.frames);
    await this.#ask({ load: { file, frameLength: set.frameLength } });
    this.#loaded = set;
  }

  /** `limit`: no more frames than this. */
  paced(seconds: number, rate: number, limit?: number): Promise<{ sent: number; seconds: number }> {
    return this.#ask({ paced: { seconds, rate, limit } });
  }

  /** As fast as it goes. */
  flat(seconds: number): Promise<{ sent: number; seconds: number }> {
    return this.#ask({ flat: { seconds } });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.stdin.end();
    await Promise.race([ended, sleep(2000)]);
    this.#child.kill('SIGKILL');
  }
}

export class Testbed {
  readonly client: Namespace;
  readonly middle: Namespace;
  readonly server: Namespace;
  readonly outside: string;
  readonly inside: string;
  readonly #sources: Record<Direction, Source>;
  /** Process ids of the contestant, to be charged. */
  processes: number[] = [];
  #kernel: number[] = [];

  private constructor(
    readonly lab: Lab,
    readonly number: number,
    client: Namespace,
    middle: Namespace,
    server: Namespace,
  ) {
    this.client = client;
    this.middle = middle;
    this.server = server;
    this.outside = `bo${number}`;
    this.inside = `bi${number}`;
    this.#sources = {
      in: new Source(lab, client, 'eth0', `in${number}`),
      out: new Source(lab, server, 'eth0', `out${number}`),
    };
  }

  static async open(lab: Lab): Promise<Testbed> {
    const number = ++beds + (process.pid % 1000) * 10;
    const client = await lab.namespace(`c${number}`);
    const middle = await lab.namespace(`d${number}`);
    const server = await lab.namespace(`s${number}`);
    const [outside, inside] = [`bo${number}`, `bi${number}`];
    for (const namespace of [client, middle, server]) {
      await namespace.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
      await namespace.sysctl('net.ipv6.conf.default.disable_ipv6', 1);
    }
    await middle.ip(
      `link add ${outside} type veth peer name eth0 netns ${client.name}`,
      `link add ${inside} type veth peer name eth0 netns ${server.name}`,
    );
    for (const [namespace, device] of [
      [client, 'eth0'],
      [middle, outside],
      [middle, inside],
      [server, 'eth0'],
    ] as const) {
      // NAPI on a veth needs GRO or XDP; without it there is no thread to charge.
      await namespace.run('ethtool', ['-K', device, 'gro', 'on', 'tx', 'off']);
      await namespace.ip(`link set ${device} up`);
    }
    await client.ip('addr add 192.128.10.5/24 dev eth0');
    await middle.ip(
      `addr add 192.128.10.1/24 dev ${outside}`,
      `addr add 10.10.1.254/24 dev ${inside}`,
      'route add 10.64.0.0/10 via 192.128.10.5',
    );
    await server.ip('addr add 10.10.1.1/24 dev eth0', 'route add default via 10.10.1.254');
    for (const namespace of [client, server]) {
      await namespace.nft(
        'table netdev sink {\n chain in {\n type filter hook ingress device "eth0" priority 0\n ip protocol udp drop\n }\n}\n',
      );
    }
    const bed = new Testbed(lab, number, client, middle, server);
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
    for (const pid of mine) await namespace.run('taskset', ['-p', '-c', String(cpu), String(pid)]);
    if (cpu === CONTESTANT_CPU) this.#kernel.push(...mine);
  }

  /** Source and destination MACs of frames that go into the contestant. */
  async macs(direction: Direction): Promise<Macs> {
    const [namespace, device] = direction === 'in' ? [this.client, this.outside] : [this.server, this.inside];
    return { source: await mac(namespace, 'eth0'), destination: await mac(this.middle, device) };
  }

  account(): CpuAccount {
    return new CpuAccount(this.processes, [...this.#kernel, ...kernelThreads(`ksoftirqd/${CONTESTANT_CPU}`)]);
  }

  source(direction: Direction): Source {
    return this.#sources[direction];
  }

  /** Frames that the far end of a direction has received since it was made. */
  async arrived(direction: Direction): Promise<number> {
    const sink = direction === 'in' ? this.server : this.client;
    return Number(await sink.run('cat', ['/sys/class/net/eth0/statistics/rx_packets']));
  }

  async close(): Promise<void> {
    await Promise.all([this.#sources.in.close(), this.#sources.out.close()]);
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

/** The machine, for the record. */
export function environment(commit: string): Record<string, string | number> {
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
  return {
    cpu,
    cpus: readFileSync('/proc/cpuinfo', 'utf8').match(/^processor/gm)?.length ?? 0,
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    node: process.versions.node,
    v8: process.versions.v8,
    commit,
  };
}
