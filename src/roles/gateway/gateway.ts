/**
 * The gateway role: the groups of one machine, each with its engine and its port. Composition only. One process, one main
 * thread: a group needs a few microseconds a frame, and its messages must not wait for anything else.
 */
import type { ConfigProblem } from '../../config/compiled.js';
import type { GatewayConfig, GatewayGroupConfig, ParsedGateway } from '../../config/gateway.js';
import { diffGateway } from '../../config/gateway-diff.js';
import { isError } from '../../config/problem.js';
import { DesignatorError } from '../../errors.js';
import type { Endpoint, ReloadResult } from '../../ops/endpoint.js';
import { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { GatewayDesk } from './desk.js';
import { groupReports } from './report.js';
import { GroupRunner, type RunnerHooks, type RunnerWorld } from './runner.js';

/** Load and traffic are measured so often. */
const MEASURE_MS = 1000;

const NOT_URGENT =
  'CAP_SYS_NICE is missing: when other programs keep the processor busy, late adverts look like a death';

export interface GatewayWorld extends RunnerWorld {
  /** Reads how busy the processor was since the last time. */
  measure(): void;
  /** Gets the processor before others; false: it may not. */
  hurry(): boolean;
  close(): void;
}

export interface GatewayOptions {
  readonly config: GatewayConfig;
  readonly logger: Logger;
  /** Reads the file again. */
  readonly reread: () => ParsedGateway;
  /** The process cannot go on. */
  readonly onFatal: (error: Error) => void;
  /** Makes the host; `onChange` is called when its links, addresses or routes have changed. */
  readonly world: (onChange: () => void) => GatewayWorld;
}

export class Gateway {
  readonly events = new EventLog();
  readonly endpoint: Endpoint;
  config: GatewayConfig;
  started = false;
  readonly #options: GatewayOptions;
  readonly #logger: Logger;
  readonly #world: GatewayWorld;
  readonly #runners = new Map<string, GroupRunner>();
  #timer: NodeJS.Timeout | null = null;
  #trouble: string | null = null;
  /** Reloads and the end are one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.config = options.config;
    this.#world = options.world(() => {
      for (const runner of this.#runners.values()) runner.hostChanged();
    });
    this.endpoint = new GatewayDesk(this);
  }

  now(): number {
    return this.#world.now();
  }

  /** In the order of the file. */
  runners(): GroupRunner[] {
    return this.config.groups.map(({ name }) => this.#runners.get(name)).filter((runner) => runner !== undefined);
  }

  /** Errors: of GroupRunner.start. After an error `stop` frees what was taken. */
  async start(): Promise<Record<string, unknown>> {
    if (!this.#world.hurry()) this.#logger.warn({}, NOT_URGENT);
    this.#world.measure();
    for (const group of this.config.groups) await this.#open(group);
    this.#timer = setInterval(() => this.#measure(), MEASURE_MS);
    this.started = true;
    return {
      groups: this.config.groups.map(({ name, group, device, number }) => ({ name, group, interface: device, number })),
    };
  }

  reload(): Promise<ReloadResult> {
    return this.#alone(() => this.#reload());
  }

  unhealthy(): string | null {
    if (this.#trouble !== null) return this.#trouble;
    if (!this.started) return 'not started';
    for (const runner of this.#runners.values()) {
      const trouble = runner.trouble();
      if (trouble !== null) return `group ${runner.name}: ${trouble}`;
    }
    return null;
  }

  /** Hands office and hosts to others, and leaves the host as it was. */
  stop(): Promise<void> {
    this.started = false;
    if (this.#timer !== null) clearInterval(this.#timer);
    return this.#alone(async () => {
      await Promise.all([...this.#runners.values()].map((runner) => runner.stop()));
      this.#runners.clear();
      this.#world.close();
      this.events.close();
    });
  }

  async #open(config: GatewayGroupConfig): Promise<void> {
    const runner = new GroupRunner(config, this.#world, this.#hooks());
    this.#runners.set(config.name, runner);
    await runner.start();
  }

  async #close(name: string): Promise<void> {
    const runner = this.#runners.get(name);
    this.#runners.delete(name);
    await runner?.stop();
  }

  async #reload(): Promise<ReloadResult> {
    const failed = (problems: readonly ConfigProblem[]): ReloadResult => ({ ok: false, problems, changes: [] });
    if (!this.started) throw new DesignatorError('TD_CONFLICT', 'the gateway is ending');
    const { config: next, problems } = this.#options.reread();
    if (next === null) return failed(problems.filter(isError));
    const { changes: written, added, removed, changed, refused } = diffGateway(this.config, next);
    if (refused.length > 0) return failed(refused);
    let rekeyed: ReadonlySet<GatewayGroupConfig>;
    try {
      rekeyed = this.#rekeyed(next);
    } catch (error) {
      return failed([problemOf(next.file, error)]);
    }
    const changes = [...written, ...[...rekeyed].map(({ name }) => `group ${name}: another key`)];
    const isLive = (group: GatewayGroupConfig): boolean =>
      !rekeyed.has(group) && this.#runners.get(group.name)?.canTake(group) === true;
    const live = changed.filter(isLive);
    const anew = next.groups.filter((group) => rekeyed.has(group) || (changed.includes(group) && !isLive(group)));
    const old = new Map(this.config.groups.map((group) => [group.name, group]));
    // What cannot be had is found out with the groups that begin anew; only then the others change.
    for (const name of [...removed, ...anew.map(({ name }) => name)]) await this.#close(name);
    const opened: string[] = [];
    try {
      for (const group of [...anew, ...added]) {
        opened.push(group.name);
        await this.#open(group);
      }
    } catch (error) {
      for (const name of opened) await this.#close(name);
      for (const name of [...removed, ...anew.map(({ name }) => name)]) {
        const former = old.get(name);
        // The process cannot be what either file says: it ends, and is started again.
        if (former !== undefined) await this.#open(former).catch((failure: unknown) => this.#failed(failure));
      }
      return failed([problemOf(next.file, error)]);
    }
    for (const group of live) this.#runners.get(group.name)?.take(group);
    this.config = next;
    this.#logger.level = next.logLevel;
    this.events.emit('reload', { ok: true, changes: changes.join(', ') });
    return { ok: true, problems, changes };
  }

  /** Groups that run with another key than the one that they are to have now. Errors: TD_CONFIG a key cannot be read. */
  #rekeyed(next: GatewayConfig): ReadonlySet<GatewayGroupConfig> {
    const keys = next.groups.map((group) => [group, this.#world.keyOf(group)] as const);
    return new Set(
      keys.filter(([{ name }, key]) => this.#runners.get(name)?.hasKey(key) === false).map(([group]) => group),
    );
  }

  #measure(): void {
    this.#world.measure();
    for (const runner of this.#runners.values()) runner.measure();
  }

  #alone<T>(act: () => Promise<T>): Promise<T> {
    const next = this.#last.then(act, act);
    this.#last = next.catch(() => {});
    return next;
  }

  #hooks(): RunnerHooks {
    return {
      logger: this.#logger,
      ...groupReports(this.events, this.#logger),
      failed: (error) => this.#failed(error),
    };
  }

  #failed(error: unknown): void {
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#trouble = failure.message;
    this.#options.onFatal(
      failure instanceof DesignatorError
        ? failure
        : new DesignatorError('TD_INTERNAL', 'the gateway group failed', {}, failure),
    );
  }
}

function problemOf(file: string, error: unknown): ConfigProblem {
  const message = error instanceof Error ? error.message : String(error);
  return { severity: 'error', file, line: 0, column: 0, path: 'groups', message };
}
