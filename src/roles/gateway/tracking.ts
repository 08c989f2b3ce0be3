/**
 * What the priority, the weight and the ability of a gateway depend on: interfaces, routes, scripts and its own load.
 * Interfaces and routes are looked at again as soon as the host says that something has changed, all of them at their
 * intervals. What was not seen yet counts as failing, so that a gateway is no master before it knows that it can forward.
 */
import { spawn } from 'node:child_process';
import type { TrackConfig } from '../../config/gateway.js';
import type { Tracking } from '../../gateway/types.js';
import type { RoutePrefix } from '../../io/host-watch.js';

/** The host, as far as it is watched; a test may be it. */
export interface TrackWorld {
  interfaceUp(device: string): boolean;
  /** One answer a prefix. May reject. */
  routesTo(prefixes: readonly RoutePrefix[]): Promise<boolean[]>;
  /** null: it ended well; else a word or two why not. Never rejects. */
  run(command: readonly string[], timeoutSeconds: number): Promise<string | null>;
  /** 0 … 1. */
  load(): number;
  /** Calls back after so many seconds; the answer forgets it. */
  after(seconds: number, act: () => void): () => void;
}

/** One line of what is tracked. */
export interface TrackState {
  readonly name: string;
  /** null: not seen yet. */
  readonly good: boolean | null;
  /** Why it fails; empty while it is good. */
  readonly reason: string;
}

class Item {
  /** null: not seen yet. */
  good: boolean | null = null;
  reason = 'not seen yet';
  /** Looks in a row that spoke against the present state. */
  against = 0;
  busy = false;
  forget: () => void = () => {};

  constructor(readonly config: TrackConfig) {}

  /** Takes what a look has found; true: the state is another one. */
  take(trouble: string | null): boolean {
    const good = trouble === null;
    const first = this.good === null;
    if (good === this.good) {
      this.against = 0;
      if (!good) this.reason = trouble;
      return false;
    }
    const needed = first ? 1 : good ? this.config.rise : this.config.fall;
    if (++this.against < needed) return false;
    this.against = 0;
    this.good = good;
    this.reason = trouble ?? '';
    return true;
  }
}

export class TrackKeeper {
  readonly #items: readonly Item[];
  readonly #world: TrackWorld;
  readonly #onChange: (tracking: Tracking, changed: TrackState) => void;
  #stopped = false;

  /** `onChange`: the sum is another one, and the item by which it is. */
  constructor(
    items: readonly TrackConfig[],
    world: TrackWorld,
    onChange: (tracking: Tracking, changed: TrackState) => void,
  ) {
    this.#items = items.map((config) => new Item(config));
    this.#world = world;
    this.#onChange = onChange;
  }

  start(): void {
    for (const item of this.#items) void this.#round(item);
  }

  /** Something of the host has changed: what can be looked at without running anything is looked at now. */
  hostChanged(): void {
    for (const item of this.#items)
      if (item.config.target.kind === 'interface' || item.config.target.kind === 'route') void this.#look(item);
  }

  /** The sum of all items. */
  tracking(): Tracking {
    const bad = this.#items.filter(({ good }) => good !== true);
    const sum = (read: (config: TrackConfig) => number): number =>
      bad.reduce((all, { config }) => all + read(config), 0);
    return {
      priorityLoss: sum(({ priorityLoss }) => priorityLoss),
      weightLoss: sum(({ weightLoss }) => weightLoss),
      able: !bad.some(({ config }) => config.blocks),
      reasons: bad.map(({ config, reason }) => `${config.name}: ${reason}`),
    };
  }

  states(): TrackState[] {
    return this.#items.map(stateOf);
  }

  stop(): void {
    this.#stopped = true;
    for (const item of this.#items) item.forget();
  }

  /** Looks now and then at the item's interval, counted from the end of a look: a slow script never runs twice at once. */
  async #round(item: Item): Promise<void> {
    await this.#look(item);
    if (this.#stopped) return;
    item.forget = this.#world.after(item.config.everySeconds, () => void this.#round(item));
  }

  async #look(item: Item): Promise<void> {
    if (item.busy || this.#stopped) return;
    item.busy = true;
    let trouble: string | null;
    try {
      trouble = await this.#troubleOf(item.config);
    } catch (error) {
      trouble = (error as Error).message;
    }
    item.busy = false;
    if (!this.#stopped && item.take(trouble)) this.#onChange(this.tracking(), stateOf(item));
  }

  async #troubleOf({ target }: TrackConfig): Promise<string | null> {
    const world = this.#world;
    switch (target.kind) {
      case 'interface':
        return world.interfaceUp(target.device) ? null : 'down';
      case 'route':
        return (await world.routesTo([target.prefix]))[0] ? null : 'missing';
      case 'script':
        return world.run(target.command, target.timeoutSeconds);
      case 'load': {
        const load = world.load();
        return load < target.share ? null : `${Math.round(load * 100)}%`;
      }
    }
  }
}

function stateOf({ config, good, reason }: Item): TrackState {
  return { name: config.name, good, reason: good === true ? '' : reason };
}

/** Runs a program without a shell; what it prints is not read. */
export function runScript(command: readonly string[], timeoutSeconds: number): Promise<string | null> {
  const [program, ...rest] = command;
  return new Promise((resolve) => {
    const child = spawn(program, rest, { stdio: 'ignore' });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    const end = (outcome: string | null): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    child.on('error', (error: NodeJS.ErrnoException) => end(`cannot be run: ${error.code ?? error.message}`));
    child.on('exit', (status, signal) => {
      if (late) end('took too long');
      else end(status === 0 ? null : signal === null ? `status ${status}` : `ended by ${signal}`);
    });
  });
}
