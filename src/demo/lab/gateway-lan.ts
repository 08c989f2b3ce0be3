/**
 * A LAN with several gateways and many hosts on one switch, and a target behind the gateways. Hosts are namespaces with
 * Linux's own ARP and one default route, through the address that the gateways share. Each gateway translates what it
 * forwards to its own address upstream, so that answers come back through it: alike for every program that is put there.
 *
 *   host n  10.7.1.n ── switch ── 10.7.0.n  gateway n  10.6.0.n ── switch ── 10.6.0.100  target
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './command.js';
import type { Daemon } from './daemon.js';
import type { Bridge, Lab, WireEnd } from './lab.js';
import type { Namespace } from './namespace.js';
import { type Answer, answersOf, type Outage, outageOf } from './ping-log.js';
import { waitFor } from './wait.js';

export const SHARED = '10.7.0.254';
export const SHARED6 = 'fe80::7:fe';
export const TARGET = '10.6.0.100';
export const TARGET6 = 'fd06::100';
/** Hosts that a scene can have: their number is the last byte of their address. */
export const HOSTS_MAX = 250;
const MANY_MS = 60_000;

export interface LanGateway {
  /** From 1. */
  readonly number: number;
  readonly namespace: Namespace;
  /** On the hosts' segment, on `eth0`; upstream is `eth1`. */
  readonly address: string;
  readonly mac: string;
}

export interface LanHost {
  readonly number: number;
  readonly namespace: Namespace;
  readonly address: string;
  readonly address6: string;
  readonly mac: string;
}

export interface GatewayLanOptions {
  readonly gateways: number;
  readonly hosts: number;
  /** Hosts and gateways speak IPv6 as well. Default: not at all, so that nothing but IPv4 moves. */
  readonly ipv6?: boolean;
  /**
   * What the hosts' segment is made of. `one`: a single switch, which forgets a port's addresses when its link falls and
   * then floods. `own`: each gateway stands behind a switch of its own, so that the hosts' switch does not see it die and
   * goes on sending there: the harder case. Default: one.
   */
  readonly switches?: 'one' | 'own';
  /** Sets scenes of one lab apart: part of the names of namespaces. */
  readonly prefix?: string;
}

export interface Neighbour {
  readonly mac: string;
  /** REACHABLE, STALE … */
  readonly state: string;
}

export class GatewayLan {
  readonly gateways: LanGateway[] = [];
  readonly hosts: LanHost[] = [];
  /** Ports of the hosts' switch, in `lan`: those of the gateways, then those of the hosts. */
  readonly ports: string[] = [];
  lan!: Bridge;
  up!: Bridge;
  target!: Namespace;

  private constructor(
    readonly lab: Lab,
    readonly options: GatewayLanOptions,
  ) {}

  static async open(lab: Lab, options: GatewayLanOptions): Promise<GatewayLan> {
    const scene = new GatewayLan(lab, options);
    const { prefix = '', gateways, hosts } = options;
    [scene.lan, scene.up] = [await lab.bridge(`${prefix}lan`), await lab.bridge(`${prefix}up`)];
    const count = (name: string, total: number): string[] =>
      Array.from({ length: total }, (_, index) => `${prefix}${name}${index + 1}`);
    const [target, ...rest] = await lab.manyNamespaces([`${prefix}t`, ...count('g', gateways), ...count('h', hosts)]);
    scene.target = target;
    for (const [index, namespace] of rest.entries()) {
      if (index < gateways) scene.#addGateway(index + 1, namespace);
      else scene.#addHost(index - gateways + 1, namespace);
    }
    await scene.#wire();
    return scene;
  }

  #addGateway(number: number, namespace: Namespace): void {
    this.gateways.push({ number, namespace, address: `10.7.0.${number}`, mac: mac(0xa0, number) });
  }

  #addHost(number: number, namespace: Namespace): void {
    const addresses = { address: `10.7.1.${number}`, address6: `fd07::1:${number.toString(16)}` };
    this.hosts.push({ number, namespace, ...addresses, mac: mac(0x01, number) });
  }

  async #wire(): Promise<void> {
    const { ipv6 = false } = this.options;
    const quiet = (more: readonly string[] = []): string[] =>
      ipv6 ? ['net/ipv6/conf/default/accept_dad=0', ...more] : ['net/ipv6/conf/default/disable_ipv6=1'];
    const six = (...lines: string[]): string[] => (ipv6 ? lines : []);
    const lan: WireEnd[] = [
      ...this.gateways.map(({ namespace, number, mac, address }) => ({
        to: namespace,
        name: 'eth0',
        mac,
        settings: [...quiet(['net/ipv6/conf/all/forwarding=1']), 'net/ipv4/ip_forward=1'],
        lines: [`addr add ${address}/16 dev eth0`, ...six(`addr add fd07::${number}/64 dev eth0 nodad`)],
      })),
      ...this.hosts.map(({ namespace, mac, address, address6 }) => ({
        to: namespace,
        name: 'eth0',
        mac,
        settings: quiet(['net/ipv6/conf/default/accept_ra=0']),
        lines: [
          `addr add ${address}/16 dev eth0`,
          `route add default via ${SHARED}`,
          ...six(`addr add ${address6}/64 dev eth0 nodad`, `route add default via ${SHARED6} dev eth0`),
        ],
      })),
    ];
    if (this.options.switches === 'own') {
      for (const [index, { number }] of this.gateways.entries()) {
        await this.lan.namespace.ip(
          `link add br${number} type bridge stp_state 0 forward_delay 0`,
          `link add up${number} type veth peer name down${number}`,
          `link set up${number} master br0 up`,
          `link set down${number} master br${number} up`,
          `link set br${number} up`,
        );
        const own = { namespace: this.lan.namespace, name: `br${number}` };
        this.ports.push(...(await this.lab.plugMany(own, [lan[index]])));
      }
      this.ports.push(...(await this.lab.plugMany(this.lan, lan.slice(this.gateways.length))));
    } else this.ports.push(...(await this.lab.plugMany(this.lan, lan)));
    await this.lab.plugMany(this.up, [
      {
        to: this.target,
        name: 'eth0',
        mac: mac(0xf0, 1),
        settings: quiet(),
        lines: [`addr add ${TARGET}/24 dev eth0`, ...six(`addr add ${TARGET6}/64 dev eth0 nodad`)],
      },
      ...this.gateways.map(({ namespace, number }) => ({
        to: namespace,
        name: 'eth1',
        mac: mac(0xb0, number),
        lines: [`addr add 10.6.0.${number}/24 dev eth1`, ...six(`addr add fd06::${number}/64 dev eth1 nodad`)],
      })),
    ]);
    for (const { namespace } of this.gateways) await namespace.nft(TRANSLATE);
  }

  gateway(number: number): LanGateway {
    return this.gateways[number - 1];
  }

  /** What each host knows of the shared address; null where it knows nothing. In the order of the hosts. */
  async neighbours(address = SHARED): Promise<(Neighbour | null)[]> {
    const each = `ip -n "$n" neigh show to ${address} dev eth0; echo ,`;
    const text = await this.#forHosts(each);
    return text
      .split(',\n')
      .slice(0, this.hosts.length)
      .map((line) => {
        const [, mac, state] = /lladdr (\S+)(?: .*)? ([A-Z]+)\s*$/.exec(line.trim()) ?? [];
        return mac === undefined ? null : { mac, state };
      });
  }

  /** Hosts forget what they know, as after a long silence. */
  async forget(): Promise<void> {
    await this.#forHosts('ip -n "$n" neigh flush dev eth0');
  }

  #forHosts(each: string): Promise<string> {
    const names = this.hosts.map(({ namespace }) => namespace.name);
    return command(this.lab.env, 'sh', ['-c', `for n; do ${each}; done`, 'sh', ...names], { timeoutMs: MANY_MS });
  }

  /** Packets that each gateway has sent upstream since it was made, in the order of the gateways. */
  async forwarded(): Promise<number[]> {
    const counters = this.gateways.map(async ({ namespace }) =>
      Number(await namespace.run('cat', ['/sys/class/net/eth1/statistics/tx_packets'])),
    );
    return Promise.all(counters);
  }

  /** Every host pings the target until `stop`. */
  async ping(intervalMs: number, target = TARGET): Promise<Pings> {
    return Pings.start(this, intervalMs, target);
  }

  /**
   * The machine is gone: no process, no link. Resolves with the moment of the event, in Unix seconds. Whatever runs there is
   * killed at once, children first: a program whose helper dies before it would take its leave in order.
   */
  async die({ namespace }: LanGateway): Promise<number> {
    const pids = (await command(this.lab.env, 'ip', ['netns', 'pids', namespace.name])).split('\n').filter(Boolean);
    const script = `[ $# -eq 0 ] || kill -KILL "$@"; exec ip -n ${namespace.name} -batch -`;
    const event = unixSeconds();
    await command(this.lab.env, 'sh', ['-c', script, 'sh', ...pids.reverse()], {
      input: 'link set eth0 down\nlink set eth1 down\n',
    });
    return event;
  }

  /**
   * The hosts' switch is cut between these gateways and the others; hosts hear both sides, which is the worst that can be:
   * two masters that do not know of each other. `hosts`: hosts of the first side alone hear it, the others the other one.
   */
  async cut(side: readonly number[], hosts?: readonly number[]): Promise<void> {
    const first = [...side.map((n) => n - 1), ...(hosts ?? []).map((n) => this.gateways.length + n - 1)];
    const limit = hosts === undefined ? this.gateways.length : this.ports.length;
    const names = (wanted: boolean): string =>
      this.ports
        .slice(0, limit)
        .filter((_, index) => first.includes(index) === wanted)
        .map((port) => `"${port}"`)
        .join(', ');
    const [one, other] = [`{ ${names(true)} }`, `{ ${names(false)} }`];
    await this.lan.namespace.nft(
      `table bridge cut {\n chain forward {\n type filter hook forward priority 0\n iifname ${one} oifname ${other} drop\n iifname ${other} oifname ${one} drop\n }\n}\n`,
    );
  }

  async heal(): Promise<void> {
    await this.lan.namespace.nft('delete table bridge cut\n');
  }

  /** The machine's links are back; what was started in it is not. Addresses stay through a link's fall, routes do not matter. */
  async revive(gateway: LanGateway): Promise<void> {
    await gateway.namespace.ip('link set eth0 up', 'link set eth1 up');
  }
}

let runs = 0;

/** A `ping` in each host, with the time of each answer. */
export class Pings {
  private constructor(
    private readonly scene: GatewayLan,
    private readonly daemon: Daemon,
    readonly intervalMs: number,
    private readonly run: number,
  ) {}

  static async start(scene: GatewayLan, intervalMs: number, target: string): Promise<Pings> {
    const run = ++runs;
    const words = `ping -n -D -i ${intervalMs / 1000} ${target}`;
    const [first] = scene.hosts;
    const start = scene.hosts.map(
      ({ namespace }) => `ip netns exec ${namespace.name} ${words} > ${logOf(scene, run, namespace)} 2>&1 &`,
    );
    // One shell for all: it passes the end on to what it has started. Programs in the background of a shell do not hear
    // SIGINT, and ping writes each line at once, so that nothing is lost by SIGTERM.
    const script = `trap 'trap "" TERM; kill 0' TERM\n${start.join('\n')}\nwait`;
    const daemon = first.namespace.start('pings', 'sh', ['-c', script]);
    const pings = new Pings(scene, daemon, intervalMs, run);
    return pings;
  }

  /** So far, in the order of the hosts. */
  answers(): Answer[][] {
    return this.#logs().map(answersOf);
  }

  /** Answers so far that had come before: more than one gateway has forwarded a packet. */
  duplicates(): number {
    return this.#logs().reduce((sum, log) => sum + log.split('(DUP!)').length - 1, 0);
  }

  /** What is left of the time to live of each host's last answer; 64 is what the target sends. */
  hops(): number[] {
    return this.#logs().map((log) => Number([...log.matchAll(/ ttl=(\d+) /g)].at(-1)?.[1]));
  }

  #logs(): string[] {
    return this.scene.hosts.map(({ namespace }) => {
      try {
        return readFileSync(logOf(this.scene, this.run, namespace), 'utf8');
      } catch {
        return '';
      }
    });
  }

  /** Resolves when every host has got an answer that came after `since` (Unix seconds). */
  async flowing(since = unixSeconds(), timeoutMs = 20_000): Promise<void> {
    const silent = (): number[] =>
      this.answers().flatMap((answers, index) => ((answers.at(-1)?.time ?? 0) > since ? [] : [index + 1]));
    await waitFor(
      'every host to get answers',
      () => silent().length === 0,
      timeoutMs,
      () => `silent: hosts ${silent().join(', ')}`,
    );
  }

  /** How an event was for each host; null for one that had got no answer before. */
  outages(event: number): (Outage | null)[] {
    const until = unixSeconds();
    return this.answers().map((answers) => outageOf(answers, event, this.intervalMs / 1000, until));
  }

  /**
   * How an event was, when all hosts that can recover have: answers come again for everybody, `settleMs` after the event
   * at the earliest, or `timeoutMs` have passed.
   */
  async outagesOnceSettled(event: number, settleMs: number, timeoutMs: number): Promise<(Outage | null)[]> {
    const [earliest, latest] = [event + settleMs / 1000, event + timeoutMs / 1000];
    return waitFor(
      'hosts to recover',
      () => {
        const now = unixSeconds();
        if (now < earliest) return null;
        const outages = this.outages(event);
        return now > latest || outages.every((outage) => outage !== null && outage.recovered !== null) ? outages : null;
      },
      timeoutMs + 20_000,
    );
  }

  async stop(): Promise<void> {
    this.daemon.signal('SIGTERM');
    await this.daemon.ended;
  }
}

const logOf = (scene: GatewayLan, run: number, { short }: Namespace): string =>
  join(scene.lab.folder, `ping-${run}-${short}.log`);

/** The clock that ping stamps its answers with. */
export const unixSeconds = (): number => Date.now() / 1000;

const mac = (kind: number, number: number): string =>
  `02:07:00:00:${kind.toString(16).padStart(2, '0')}:${number.toString(16).padStart(2, '0')}`;

const TRANSLATE = ['ip', 'ip6']
  .map(
    (family) =>
      `table ${family} upstream {\n chain out {\n type nat hook postrouting priority srcnat\n oifname "eth1" masquerade\n }\n}\n`,
  )
  .join('');
