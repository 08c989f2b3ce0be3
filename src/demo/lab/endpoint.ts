/** `designator lns`, `lac` or `gateway` as a process in a namespace, started and asked as an operator would. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { SessionRow } from '../../ops/endpoint.js';
import { type CommandResult, LabError } from './command.js';
import { askSocket } from './control-request.js';
import type { Daemon } from './daemon.js';
import type { Lab } from './lab.js';
import type { Namespace } from './namespace.js';
import { waitFor } from './wait.js';

const START_MS = 20_000;

export interface EndpointOptions {
  readonly role: 'lns' | 'lac' | 'gateway';
  /** The words that start the program: Node and main.js. */
  readonly self: readonly [string, string];
  /** As in the file, without `control`, which the lab adds. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of an LNS: the users file, to which the configuration then points. */
  readonly users?: readonly Readonly<Record<string, unknown>>[];
  /** Tells several of one lab apart; names logs, too. Default: the role. */
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class LabEndpoint {
  readonly name: string;
  readonly file: string;
  readonly socket: string;
  readonly usersFile: string;
  daemon: Daemon | null = null;

  constructor(
    readonly lab: Lab,
    readonly namespace: Namespace,
    readonly options: EndpointOptions,
  ) {
    this.name = options.name ?? options.role;
    const folder = join(lab.folder, this.name);
    mkdirSync(folder, { recursive: true });
    this.file = join(folder, `${options.role}.yaml`);
    this.usersFile = join(folder, 'users.yaml');
    this.socket = join(folder, 'control.sock');
    this.write(options.config, options.users);
  }

  /** Another configuration; it counts from the next reload or start on. */
  write(config: Readonly<Record<string, unknown>>, users = this.options.users): void {
    if (users !== undefined) writeFileSync(this.usersFile, stringify({ users }));
    const more = users === undefined ? {} : { users: { file: this.usersFile } };
    writeFileSync(this.file, stringify({ ...more, ...config, control: { socket: this.socket } }));
  }

  /** Starts the process; resolves with its ready line when calls are taken. LabError with its log when it ends before. */
  async start(): Promise<Record<string, unknown>> {
    const { role, self, env = {} } = this.options;
    this.daemon = this.namespace.start(this.name, self[0], [self[1], role, '-c', this.file], { env });
    return JSON.parse(await this.daemon.waitForLine(/"msg":"ready"/, START_MS)) as Record<string, unknown>;
  }

  get process(): Daemon {
    if (this.daemon === null) throw new LabError(`${this.name} was not started`);
    return this.daemon;
  }

  /** SIGKILL to the program itself and not to `ip` that has started it. Resolves when it is gone. */
  async kill(): Promise<void> {
    // `ip netns exec` turns into the program, so that the process id is the same.
    await this.process.kill();
  }

  /** One of the commands for people, with this one's socket: `command('show', 'sessions')`. */
  async command(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.tryCommand(...words);
    if (status !== 0) throw new LabError(`designator ${words.join(' ')}: status ${status}: ${stderr.trim()}`);
    return stdout;
  }

  tryCommand(...words: string[]): Promise<CommandResult> {
    const [node, main] = this.options.self;
    return this.namespace.tryRun(node, [main, ...words, '--socket', this.socket]);
  }

  /** One request to the control socket; LabError unless the answer is 200. */
  control<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    return askSocket(this.socket, method, path, body, () => this.daemon?.tail() ?? '');
  }

  sessions(): Promise<SessionRow[]> {
    return this.control('GET', '/v1/sessions');
  }

  /** Rows of `show tunnels`: LnsTunnelRow or LacTunnelRow of ops/endpoint. */
  tunnels<T = Record<string, unknown>>(): Promise<T[]> {
    return this.control('GET', '/v1/tunnels');
  }

  /** Drop counters that are not zero, by reason. */
  async drops(): Promise<Record<string, number>> {
    const rows = await this.control<{ reason: string; packets: number }[]>('GET', '/v1/drops');
    return Object.fromEntries(
      rows.filter(({ packets }) => packets > 0).map(({ reason, packets }) => [reason, packets]),
    );
  }

  /** Resolves when so many sessions are up; 0: when there is none at all, not even one that is closing. */
  async untilSessions(count: number, timeoutMs = 30_000): Promise<SessionRow[]> {
    let last: SessionRow[] = [];
    return waitFor(
      `${count} sessions of ${this.name} to be up`,
      async () => {
        last = await this.sessions();
        const up = last.filter(({ state }) => state === 'up');
        return up.length === count && (count > 0 || last.length === 0) ? up : null;
      },
      timeoutMs,
      () => `${JSON.stringify(last.slice(0, 5))}\n${this.process.tail()}`,
    );
  }
}

/** Started, and ready for calls. */
export async function startEndpoint(lab: Lab, namespace: Namespace, options: EndpointOptions): Promise<LabEndpoint> {
  const endpoint = new LabEndpoint(lab, namespace, options);
  await endpoint.start();
  return endpoint;
}
