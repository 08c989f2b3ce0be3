/**
 * A router between two networks, in namespaces of its own, for tests of what the host does with frames: frames go in as
 * they are and are recognised again by a mark, so that nothing waits for a time to pass.
 *
 *   client c0 ── wan0 router (ip_forward) lan0 ── s0 server
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export const ROUTER_OUTSIDE = '198.51.100.1';
export const CLIENT = '198.51.100.2';
export const DENIED = '198.51.100.66';
export const SERVER = '10.0.0.10';
export const VIP = '203.0.113.1';
/** The router has no way to this one and says so. */
export const VIP_UNREACHABLE = '203.0.114.1';
export const CLIENT6 = '2001:db8:1::2';
export const SERVER6 = '2001:db8:2::10';
export const VIP6 = '2001:db8:3::1';

const WAN_MAC = '02:00:00:00:01:01';
const LAN_MAC = '02:00:00:00:01:02';
const CLIENT_MAC = '02:00:00:00:02:01';
const SERVER_MAC = '02:00:00:00:02:02';
const PATIENCE_MS = 20_000;

/** Ethernet addresses for frames that go to the router. */
export const FROM_CLIENT = { src: CLIENT_MAC, dst: WAN_MAC };
export const FROM_SERVER = { src: SERVER_MAC, dst: LAN_MAC };

/** The first CPU that this process may use. */
const CPU = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';

let labs = 0;

export class HostLab {
  readonly name = `hl${process.pid}n${labs++}`;
  readonly client = `${this.name}c`;
  readonly router = `${this.name}r`;
  readonly server = `${this.name}s`;
  readonly #children: ChildProcess[] = [];

  constructor() {
    try {
      this.#build();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #build(): void {
    const { client, router, server } = this;
    for (const name of [client, router, server]) this.run(`ip netns add ${name}`);
    this.run(
      `ip link add wan0 netns ${router} address ${WAN_MAC} type veth peer name c0 netns ${client} address ${CLIENT_MAC}`,
    );
    this.run(
      `ip link add lan0 netns ${router} address ${LAN_MAC} type veth peer name s0 netns ${server} address ${SERVER_MAC}`,
    );
    // The ends are wires only: no stack answers there.
    for (const [space, device] of [
      [client, 'c0'],
      [server, 's0'],
    ]) {
      this.run(`ip netns exec ${space} sysctl -qw net.ipv6.conf.all.disable_ipv6=1`);
      this.run(`ip -n ${space} link set ${device} arp off up`);
    }
    const inRouter = [
      'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.accept_dad=0',
      'sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0',
      'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0',
      'ip link set lo up',
      'ip link set wan0 up',
      'ip link set lan0 up',
      'sysctl -qw net.ipv4.conf.wan0.rp_filter=0 net.ipv4.conf.lan0.rp_filter=0 net.ipv4.conf.wan0.proxy_arp=1',
      `ip addr add ${ROUTER_OUTSIDE}/24 dev wan0`,
      'ip addr add 10.0.0.1/24 dev lan0',
      'ip addr add 2001:db8:1::1/64 dev wan0 nodad',
      'ip addr add 2001:db8:2::1/64 dev lan0 nodad',
      `ip neigh add ${CLIENT} lladdr ${CLIENT_MAC} dev wan0`,
      `ip neigh add ${CLIENT6} lladdr ${CLIENT_MAC} dev wan0`,
      `ip neigh add ${SERVER} lladdr ${SERVER_MAC} dev lan0`,
      `ip neigh add ${SERVER6} lladdr ${SERVER_MAC} dev lan0`,
      // Without a filter the router sends what is for a VIP on to the server.
      `ip route add ${VIP}/32 via ${SERVER}`,
      `ip route add unreachable ${VIP_UNREACHABLE}/32`,
      `ip -6 route add ${VIP6}/128 via ${SERVER6}`,
    ];
    for (const command of inRouter) this.run(`ip netns exec ${router} ${command}`);
  }

  /** Runs a command of words without blanks. Returns what it prints; throws with its complaint. */
  run(command: string, input?: Uint8Array): string {
    const [program, ...words] = command.split(' ');
    return execFileSync(program, words, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  }

  inRouter(command: string): string {
    return this.run(`ip netns exec ${this.router} ${command}`);
  }

  /** Puts a frame on the wire at an end. All from one CPU: a veth queues per CPU, so frames cannot overtake each other. */
  inject(from: 'client' | 'server', frame: Uint8Array): void {
    const [space, device] = from === 'client' ? [this.client, 'c0'] : [this.server, 's0'];
    this.run(`ip netns exec ${space} taskset -c ${CPU} socat -u STDIN INTERFACE:${device}`, frame);
  }

  /** Follows what arrives at an end, or at the router's outside as a tap there sees it. */
  async watch(where: 'client' | 'server' | 'tap'): Promise<Watch> {
    const [space, device] =
      where === 'client' ? [this.client, 'c0'] : where === 'server' ? [this.server, 's0'] : [this.router, 'wan0'];
    const words = ['netns', 'exec', space, 'tcpdump', '-i', device, '-Q', 'in', '-U', '--immediate-mode', '-w', '-'];
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    const watch = new Watch(child);
    await watch.begun;
    return watch;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const name of [this.client, this.router, this.server]) {
      try {
        this.run(`ip netns del ${name}`);
      } catch {
        // It was never made.
      }
    }
  }
}

/** Frames as tcpdump writes them out. */
export class Watch {
  readonly frames: Uint8Array[] = [];
  readonly begun: Promise<void>;
  #rest = Buffer.alloc(0);
  #wake: (() => void) | null = null;

  constructor(child: ChildProcess) {
    let said = '';
    this.begun = new Promise((resolve, reject) => {
      child.stderr?.on('data', (text: Buffer) => {
        said += text.toString();
        if (said.includes('listening on')) resolve();
      });
      child.on('close', () => reject(new Error(`tcpdump ended: ${said}`)));
    });
    let header = true;
    child.stdout?.on('data', (data: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, data]);
      if (header && this.#rest.length >= 24) {
        this.#rest = this.#rest.subarray(24);
        header = false;
      }
      while (!header && this.#rest.length >= 16 && this.#rest.length >= 16 + this.#rest.readUInt32LE(8)) {
        const length = this.#rest.readUInt32LE(8);
        this.frames.push(Uint8Array.from(this.#rest.subarray(16, 16 + length)));
        this.#rest = this.#rest.subarray(16 + length);
      }
      this.#wake?.();
    });
  }

  /** Waits until a frame is there that meets the test; all frames until then are in `frames`. */
  async until(test: (frame: Uint8Array) => boolean): Promise<Uint8Array> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.frames.find(test);
      if (found !== undefined) return found;
      const left = end - performance.now();
      if (left <= 0) throw new Error(`the awaited frame is not among ${this.frames.length}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  marks(): number[] {
    return this.frames.map(markOf);
  }
}

/** The mark of a frame: identification (IPv4) or flow label (IPv6), −1 of others. */
export function markOf(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 22) return -1;
  const l3 = view.getUint16(12) === 0x8100 ? 18 : 14;
  const type = view.getUint16(l3 - 2);
  return type === 0x0800 ? view.getUint16(l3 + 4) : type === 0x86dd ? view.getUint32(l3) & 0xfffff : -1;
}
