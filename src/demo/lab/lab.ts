/**
 * Network namespaces with wires between them and programs in them, which leave nothing behind. Names begin with
 * `td<pid>-<number>-`, so that what a killed process has left is known by its dead pid and swept away by the next lab.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DesignatorError } from '../../errors.js';
import { command, type Environment, tryCommand } from './command.js';
import type { Daemon } from './daemon.js';
import { removeFolder } from './folder.js';
import { Namespace } from './namespace.js';

const OWN = /^td(\d+)-\d+-/;
const RUN_NETNS = '/run/netns';
/** Programs that were asked to end get so long before they are killed. */
const GRACE_MS = 1500;
/** For one program that sets up or takes down hundreds of namespaces. */
const MANY_MS = 60_000;

export interface LabOptions {
  /** Of the process that this lab belongs to. */
  readonly pid: number;
  readonly env: Environment;
}

/** A bridge and the namespace that it is in. */
export interface Bridge {
  readonly namespace: Namespace;
  readonly name: string;
}

/** One end of many wires that are made at once. */
export interface WireEnd {
  readonly to: Namespace;
  /** Of the interface. */
  readonly name: string;
  readonly mac: string;
  readonly lines: readonly string[];
  readonly settings?: readonly string[];
}

let labs = 0;
const open = new Set<Lab>();

export class Lab {
  /** For configurations, sockets and logs; removed at the end. */
  readonly folder: string;
  readonly env: Environment;
  readonly namespaces: Namespace[] = [];
  readonly daemons: Daemon[] = [];
  readonly #prefix: string;
  #wires = 0;
  #closing: Promise<void> | null = null;

  private constructor(options: LabOptions) {
    this.#prefix = `td${options.pid}-${++labs}-`;
    this.env = options.env;
    this.folder = join(tmpdir(), this.#prefix.slice(0, -1));
    removeFolder(this.folder);
    mkdirSync(this.folder, { recursive: true, mode: 0o755 });
  }

  /** Errors: TD_NO_PERMISSION without root, TD_UNAVAILABLE where no namespace can be made. */
  static async open(options: LabOptions): Promise<Lab> {
    const problem = labProblem();
    if (problem !== null) throw new DesignatorError('TD_NO_PERMISSION', problem);
    await sweep(options.env);
    const lab = new Lab(options);
    open.add(lab);
    return lab;
  }

  /** Every lab of this process, whoever opened it: for the end in the middle of things. */
  static async closeAll(): Promise<void> {
    await Promise.all([...open].map((lab) => lab.close()));
  }

  async namespace(short: string): Promise<Namespace> {
    const name = this.#prefix + short;
    const { status, stderr } = await tryCommand(this.env, 'ip', ['netns', 'add', name]);
    if (status !== 0) {
      throw new DesignatorError('TD_UNAVAILABLE', `cannot make a network namespace: ${stderr.trim()}`, { name });
    }
    const namespace = new Namespace(name, short, this.env, (daemon) => this.daemons.push(daemon));
    this.namespaces.push(namespace);
    await namespace.ip('link set lo up');
    return namespace;
  }

  /** Many namespaces by one program; a lab of two hundred hosts is made in two seconds. Errors: LabError. */
  async manyNamespaces(shorts: readonly string[]): Promise<Namespace[]> {
    const made = shorts.map(
      (short) => new Namespace(this.#prefix + short, short, this.env, (daemon) => this.daemons.push(daemon)),
    );
    // Known before they are there, so that they are removed although only some of them could be made.
    this.namespaces.push(...made);
    await command(this.env, 'ip', ['-batch', '-'], { input: made.map(({ name }) => `netns add ${name}\n`).join('') });
    return made;
  }

  /**
   * Wires from a bridge to `eth0` of many namespaces. `lines` are for `ip -batch` in the namespace when the wire is there,
   * `settings` for sysctl (`net/ipv6/conf/all/forwarding=1`) before. Checksums are left to the kernel. Resolves with the
   * names of the bridge's ports, in the order of the ends.
   */
  async plugMany(bridge: Bridge, ends: readonly WireEnd[]): Promise<string[]> {
    const wires = ends.map((end) => ({ ...end, wire: `p${++this.#wires}` }));
    await bridge.namespace.ip(
      ...wires.flatMap(({ wire, to, name, mac }) => [
        `link add ${wire} type veth peer name ${name} address ${mac} netns ${to.name}`,
        `link set ${wire} master ${bridge.name} up`,
      ]),
    );
    const script = wires.map(({ to, name, settings = [], lines }) => {
      const writes = settings.map((text) => `echo ${text.split('=')[1]} > /proc/sys/${text.split('=')[0]}`);
      const inside = [...writes, 'exec ip -batch -'].join('; ');
      const batch = ['link set lo up', `link set ${name} up`, ...lines];
      return `ip netns exec ${to.name} sh -c '${inside}' <<END\n${batch.join('\n')}\nEND\n`;
    });
    await command(this.env, 'sh', ['-e'], { input: script.join(''), timeoutMs: MANY_MS });
    return wires.map(({ wire }) => wire);
  }

  /** A switch: a bridge without spanning tree in a namespace of its own. */
  async bridge(short: string): Promise<Bridge> {
    const namespace = await this.namespace(short);
    await namespace.ip('link add br0 type bridge stp_state 0 forward_delay 0', 'link set br0 up');
    return { namespace, name: 'br0' };
  }

  /**
   * A wire from a bridge to an interface with these addresses (`192.0.2.1/24`, `2001:db8::1/64`). `checksums`: the
   * endpoint writes real checksums, as a frame that comes from a network card has them. Default true.
   */
  async plug(
    bridge: Bridge,
    to: Namespace,
    name: string,
    addresses: readonly string[] = [],
    { checksums = true, mac }: { readonly checksums?: boolean; readonly mac?: string } = {},
  ): Promise<void> {
    const wire = `p${++this.#wires}`;
    const address = mac === undefined ? '' : `address ${mac} `;
    await bridge.namespace.ip(
      `link add ${wire} type veth peer name ${name} ${address}netns ${to.name}`,
      `link set ${wire} master ${bridge.name} up`,
    );
    if (checksums) await to.run('ethtool', ['-K', name, 'tx', 'off']);
    // A veth takes redirected frames only while its own end polls (NAPI), which GRO or an XDP program turns on.
    // And XDP reads a VLAN tag only where the sender has written it into the frame.
    if (this.env.TD_TEST_IO?.endsWith('xdp'))
      await bridge.namespace.run('ethtool', ['-K', wire, 'gro', 'on', 'txvlan', 'off', 'tso', 'off']);
    await to.ip(
      `link set ${name} up`,
      ...addresses.map((text) => `addr add ${text} dev ${name}${text.includes(':') ? ' nodad' : ''}`),
    );
  }

  /** Ends all programs and removes all that was made. May be called twice; never throws. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    open.delete(this);
    for (const daemon of this.daemons) if (daemon.running) daemon.signal('SIGTERM');
    await Promise.race([Promise.all(this.daemons.map((daemon) => daemon.ended)), sleep(GRACE_MS)]);
    await removeNamespaces(this.env, this.namespaces.map(({ name }) => name).reverse());
    await Promise.race([Promise.all(this.daemons.map((daemon) => daemon.ended)), sleep(GRACE_MS)]);
    removeFolder(this.folder);
  }
}

/** Why there can be no lab here, or null. */
export function labProblem(): string | null {
  return userInfo().uid === 0 ? null : 'needs root: it makes network namespaces (CAP_NET_ADMIN, CAP_SYS_ADMIN)';
}

/** Removes labs of processes that are gone. */
async function sweep(env: Environment): Promise<void> {
  if (!existsSync(RUN_NETNS)) return;
  const dead = (name: string): boolean => {
    const pid = OWN.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  await removeNamespaces(env, readdirSync(RUN_NETNS).filter(dead));
  for (const name of readdirSync(tmpdir()).filter((text) => /^td\d+-\d+$/.test(text) && dead(`${text}-`))) {
    removeFolder(join(tmpdir(), name));
  }
}

/** All that still runs in them is ours, started there by a lab. */
async function removeNamespaces(env: Environment, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const each = 'p=$(ip netns pids "$n"); [ -z "$p" ] || kill -KILL $p; ip netns del "$n"';
  await tryCommand(env, 'sh', ['-c', `for n; do ${each}; done`, 'sh', ...names], { timeoutMs: MANY_MS });
}
