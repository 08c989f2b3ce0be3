/** One network namespace of a lab, and what is done in it. */
import { type CommandOptions, type CommandResult, command, type Environment, tryCommand } from './command.js';
import { Daemon, type DaemonOptions } from './daemon.js';

export interface StartOptions extends DaemonOptions {
  /** Files or folders to put over others, for this program only: [what, over which]. */
  readonly binds?: readonly (readonly [string, string])[];
}

/** `ip netns exec` gives a mount namespace of its own, so a mount made there is seen by the program alone. */
const MOUNT_AND_RUN =
  'n=$1; shift; while [ "$n" -gt 0 ]; do mount --bind "$1" "$2" || exit 126; shift 2; n=$((n-1)); done; exec "$@"';

export class Namespace {
  constructor(
    /** As `ip netns` knows it. */
    readonly name: string,
    /** As the lab knows it. */
    readonly short: string,
    readonly env: Environment,
    private readonly onStart: (daemon: Daemon) => void,
  ) {}

  /** Lines for `ip -batch`: `addr add 192.0.2.1/24 dev eth0` … */
  async ip(...lines: string[]): Promise<string> {
    return command(this.env, 'ip', ['-n', this.name, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return command(this.env, 'ip', ['netns', 'exec', this.name, program, ...args], options);
  }

  tryRun(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return tryCommand(this.env, 'ip', ['netns', 'exec', this.name, program, ...args], options);
  }

  nft(ruleset: string): Promise<string> {
    return this.run('nft', ['-f', '-'], { input: ruleset });
  }

  /** `net.ipv4.ip_forward`, 1 */
  async sysctl(key: string, value: string | number): Promise<void> {
    await this.run('sysctl', ['-qw', `${key}=${value}`]);
  }

  /** A program that keeps running; the lab ends it at the latest when it closes. */
  start(label: string, program: string, args: readonly string[], options: StartOptions = {}): Daemon {
    const { binds = [], ...rest } = options;
    const words = [program, ...args];
    const line =
      binds.length === 0 ? words : ['sh', '-c', MOUNT_AND_RUN, 'sh', String(binds.length), ...binds.flat(), ...words];
    const daemon = new Daemon(label, this.env, 'ip', ['netns', 'exec', this.name, ...line], rest);
    this.onStart(daemon);
    return daemon;
  }

  /** Replies until there are `count`, or time is over: a lost request is made up for. */
  async ping(address: string, options: PingOptions = {}): Promise<number> {
    const { count = 3, intervalMs = 50, size, from, device } = options;
    const words = ['-n', '-c', `${count}`, '-i', `${intervalMs / 1000}`];
    words.push('-W', '1', '-w', `${Math.ceil((count * intervalMs) / 1000) + 2}`);
    if (size !== undefined) words.push('-s', `${size}`);
    if (from !== undefined) words.push('-I', from);
    if (device !== undefined) words.push('-I', device);
    const { stdout } = await this.tryRun('ping', [...words, address], { timeoutMs: count * intervalMs + 20_000 });
    return pingReplies(stdout);
  }
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalMs?: number;
  /** Bytes behind the ICMP header. */
  readonly size?: number;
  readonly from?: string;
  readonly device?: string;
}

/** What ping says in its last lines: `3 packets transmitted, 3 received, …`. */
function pingReplies(output: string): number {
  return Number(/(\d+) received/.exec(output)?.[1] ?? 0);
}
