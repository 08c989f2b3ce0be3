/** The product as a process in a namespace, started and asked as an operator would. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ServerRow, TunnelFilter, TunnelRow, WorkerRow } from '../../ops/appliance.js';
import { type CommandResult, LabError } from './command.js';
import { askSocket } from './control-request.js';
import type { Daemon } from './daemon.js';
import type { Lab } from './lab.js';
import type { Namespace } from './namespace.js';
import { waitFor } from './wait.js';

/** The longest path that a unix socket can have is 107 bytes. */
const SOCKET_NAME = 'control.sock';

/** Adapters that a run of the tests may ask for by TD_TEST_IO; else the product chooses. */
const IO: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  packet: { io: 'packet' },
  xdp: { io: 'xdp' },
  'af-xdp': { io: 'xdp', offload: false },
};

export interface ReadyLine {
  readonly msg: 'ready';
  readonly shards: number;
  readonly io: string;
  /** What was found of the process before: tunnels. */
  readonly tunnels: number;
}

export interface ApplianceOptions {
  /** The words that start the program: Node and main.js. */
  readonly self: readonly [string, string];
  /** As in the file, without `control`, which the lab adds. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Tells several of one lab apart. */
  readonly name?: string;
}

export class LabAppliance {
  readonly file: string;
  readonly socket: string;
  /** Folder of the kernel's objects that outlive the process. */
  readonly pin: string;
  daemon: Daemon | null = null;
  readonly #name: string;

  constructor(
    readonly lab: Lab,
    readonly namespace: Namespace,
    readonly options: ApplianceOptions,
  ) {
    this.#name = options.name ?? 'designator';
    this.file = join(lab.folder, `${this.#name}.yaml`);
    this.socket = join(lab.folder, this.#name, SOCKET_NAME);
    this.pin = join(lab.folder, this.#name, 'bpf');
    this.write(options.config);
  }

  /** Another configuration; it counts from the next reload or start on. */
  write(config: Readonly<Record<string, unknown>>): void {
    const io = IO[this.lab.env.TD_TEST_IO ?? ''] ?? {};
    this.writeText(stringify({ state: { pin: this.pin }, ...io, ...config, control: { socket: this.socket } }));
  }

  writeText(text: string): void {
    writeFileSync(this.file, text);
  }

  text(): string {
    return readFileSync(this.file, 'utf8');
  }

  /** Starts the process; resolves when traffic flows. LabError with its log when it ends before. */
  async start(env: Readonly<Record<string, string>> = {}, timeoutMs = 20_000): Promise<ReadyLine> {
    const [node, main] = this.options.self;
    this.daemon = this.namespace.start(this.#name, node, [main, 'run', '-c', this.file], {
      env: { TD_TEST_COMMANDS: '1', ...env },
    });
    return JSON.parse(await this.daemon.waitForLine(/"msg":"ready"/, timeoutMs)) as ReadyLine;
  }

  get process(): Daemon {
    if (this.daemon === null) throw new LabError(`${this.#name} was not started`);
    return this.daemon;
  }

  /** One of the product's commands for people: `command('show', 'vips')`. */
  async command(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.tryCommand(...words);
    if (status !== 0) throw new LabError(`designator ${words.join(' ')}: status ${status}: ${stderr.trim()}`);
    return stdout;
  }

  tryCommand(...words: string[]): Promise<CommandResult> {
    const [node, main] = this.options.self;
    return this.namespace.tryRun(node, [main, ...words, '-c', this.file]);
  }

  tunnels(filter: TunnelFilter = {}): Promise<TunnelRow[]> {
    const fields = Object.entries(filter).map(([key, value]): [string, string] => [key, String(value)]);
    return this.control('GET', `/v1/tunnels?${new URLSearchParams(fields)}`);
  }

  /** Tunnels that can carry sessions: neither half open nor closing. */
  async established(filter: TunnelFilter = {}): Promise<TunnelRow[]> {
    return (await this.tunnels(filter)).filter(({ state }) => state === 'established');
  }

  servers(): Promise<ServerRow[]> {
    return this.control('GET', '/v1/servers');
  }

  workers(): Promise<WorkerRow[]> {
    return this.control('GET', '/v1/workers');
  }

  /** Drop counters that are not zero, by reason. */
  async drops(): Promise<Record<string, number>> {
    const rows = await this.control<{ reason: string; packets: number }[]>('GET', '/v1/drops');
    return Object.fromEntries(
      rows.filter(({ packets }) => packets > 0).map(({ reason, packets }) => [reason, packets]),
    );
  }

  /** Makes a shard throw and waits until its successor runs. */
  async crash(shard: number): Promise<void> {
    const restartsOf = async (): Promise<WorkerRow | undefined> =>
      (await this.workers()).find((row) => row.shard === shard);
    const before = (await restartsOf())?.restarts ?? 0;
    await this.control('POST', `/v1/test/crash?shard=${shard}`);
    await waitFor(
      `shard ${shard} to run again`,
      async () => {
        const row = await restartsOf();
        return row !== undefined && row.restarts > before && row.state === 'running';
      },
      10_000,
      () => this.process.tail(),
    );
  }

  /** SIGHUP, and what the log says of it. */
  async hangUp(): Promise<string> {
    const from = this.process.lines.length;
    this.process.signal('SIGHUP');
    return this.process.waitForLine(/"msg":"(reloaded|reload refused|reload failed)/, 5000, from);
  }

  /** One request to the control socket; LabError unless the answer is 200. */
  control<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    return askSocket(this.socket, method, path, body, () => this.daemon?.tail() ?? '');
  }
}
