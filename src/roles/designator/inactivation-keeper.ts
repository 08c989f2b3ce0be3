/**
 * Inactivation in the main thread: what the engine says is done to the servers' states, their tunnels and their power, and
 * an operator's orders of the kind are given to it.
 */
import type { CompiledConfig, CompiledVip } from '../../config/compiled.js';
import type { CompiledInactivation } from '../../config/inactivation.js';
import {
  Inactivation,
  type InactivationServer,
  type InactivationSettings,
  type InactivationStep,
} from '../../designation/inactivation.js';
import type { ServerStates } from '../../designation/server-states.js';
import { CELL_WORDS, SERVER_CELL, SERVER_FLAG, SERVER_REASON, SERVER_STATE } from '../../flow/layout.js';
import { type CounterRow, counterRow } from '../../ops/appliance.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import type { Binding, BoundServer } from './binding.js';
import { PowerCommands } from './power-command.js';

/** What is known of a server by its load status messages. */
export interface HeardLoad {
  /** CLOCK_MONOTONIC seconds of the last one. */
  readonly at: number;
  readonly accepting: boolean;
  readonly tunnels: number | null;
}

export interface InactivationOptions {
  readonly binding: Binding;
  readonly states: ServerStates;
  readonly logger: Logger;
  readonly events: EventLog;
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /** Closes every tunnel of a server. */
  readonly closeTunnels: (server: number) => void;
  /** null: no message, or too long ago. */
  readonly heardLoad: (server: number) => HeardLoad | null;
  /** Such messages of it are taken. */
  readonly hearsLoad: (server: number) => boolean;
  /** CLOCK_MONOTONIC seconds of its last answer to the active check; null: none. */
  readonly answered: (server: number) => number | null;
  readonly checksActively: () => boolean;
  readonly power?: Pick<PowerCommands, 'run' | 'stop'>;
}

/** Of a VIP without the section: what was inactivated before is brought back, nothing else is done. */
const NOT_SET: CompiledInactivation = {
  below: 0,
  above: 1,
  minimum: Number.POSITIVE_INFINITY,
  after: 60,
  deadline: null,
  boot: 180,
  off: null,
  on: null,
  commandTimeout: 30,
};

interface Vip {
  readonly name: string;
  settings: CompiledInactivation;
  readonly engine: Inactivation;
  /** By name: tunnels that fill a server, where its messages do not say its load. */
  limits: ReadonlyMap<string, number>;
  /** Answers do not cross this process, so it cannot count tunnels. */
  oneWay: boolean;
}

/** What others of a cluster are to know of a step. */
export const INACTIVATION_FACTS = ['emptied', 'closed', 'off', 'back', 'spared'] as const;
export type InactivationFact = (typeof INACTIVATION_FACTS)[number];

const FACT_OF: Partial<Record<InactivationStep['kind'], InactivationFact>> = {
  empty: 'emptied',
  close: 'closed',
  off: 'off',
  back: 'back',
  serve: 'spared',
};

export class InactivationKeeper {
  readonly #o: InactivationOptions;
  readonly #power: Pick<PowerCommands, 'run' | 'stop'>;
  /** By VIP index. */
  readonly #vips = new Map<number, Vip>();
  readonly #counts = { emptied: 0, inactivated: 0, activated: 0, calledOff: 0, failed: 0, commandsFailed: 0 };
  #stopped = false;

  /** Whether this process decides by the load; in a cluster only one does. */
  decides: () => boolean = () => true;
  /** A step was done here that the other members of a cluster are to follow. */
  onFact: ((server: string, fact: InactivationFact) => void) | null = null;

  constructor(options: InactivationOptions) {
    this.#o = options;
    this.#power = options.power ?? new PowerCommands();
  }

  setConfig(config: CompiledConfig): void {
    const { binding } = this.#o;
    const present = new Set<number>();
    for (const vip of config.vips) {
      const bound = binding.vips.find(({ name, removed }) => name === vip.name && !removed);
      if (bound === undefined) continue;
      present.add(bound.index);
      const settings = vip.inactivate ?? NOT_SET;
      const known = this.#vips.get(bound.index);
      if (known === undefined) this.#vips.set(bound.index, newVip(vip, settings));
      else {
        known.engine.setSettings(settings);
        Object.assign(known, { settings, limits: limitsOf(vip), oneWay: vip.oneWay ?? false });
      }
    }
    for (const index of this.#vips.keys()) if (!present.has(index)) this.#vips.delete(index);
    this.#adopt();
  }

  stop(): void {
    this.#stopped = true;
    this.#power.stop();
  }

  /** About once a second. */
  tick(): void {
    const now = this.#o.now();
    const decides = this.decides();
    for (const [index, vip] of this.#vips) {
      const servers = this.#o.binding.servers.filter((server) => server.vip === index && !server.removed);
      const facts = servers.map((server) => this.#facts(server, vip));
      this.#do(vip, vip.engine.tick(facts, now, decides));
    }
  }

  /** A waiting server is to be asked by the active check although it is inactive. */
  expects(server: number): boolean {
    return this.#engineOf(server)?.phase(server) === 'waking';
  }

  // ── an operator's orders ──────────────────────────────────────────────────────────────────────────────────────────

  /** `deadline`: seconds. */
  inactivate(server: number, deadline?: number): void {
    const vip = this.#vipOf(server);
    if (vip !== null) this.#do(vip, vip.engine.empty(server, this.#o.now(), deadline));
  }

  /** False: there is nothing to be brought back. */
  activate(server: number): boolean {
    const vip = this.#vipOf(server);
    if (vip === null) return false;
    // After a reboot of this machine one that is powered off is only known to be down.
    const { states, now } = this.#o;
    if (vip.engine.phase(server) === null && states.state(server) === SERVER_STATE.down) {
      states.order(server, SERVER_STATE.inactive, SERVER_REASON.command);
      vip.engine.adopt(server, 'inactive', true, now());
    }
    if (vip.engine.phase(server) === null) return false;
    this.#do(vip, vip.engine.activate(server, this.#o.now()));
    return true;
  }

  /** Another order than these has been given for it. */
  overruled(server: number): void {
    this.#engineOf(server)?.forget(server);
  }

  /**
   * Another member has done this: the same state here, and nothing powered on or off. Who decides later goes on from it.
   * False: there is no such server.
   */
  follow(name: string, fact: InactivationFact): boolean {
    const { binding, states, closeTunnels, now } = this.#o;
    const index = binding.servers.find((server) => server.name === name && !server.removed)?.index;
    const engine = index === undefined ? null : this.#engineOf(index);
    if (index === undefined || engine === null) return false;
    switch (fact) {
      case 'emptied':
      case 'closed':
        states.order(index, SERVER_STATE.draining, SERVER_REASON.notNeeded);
        engine.adopt(index, 'emptying', false, now());
        if (fact === 'closed') closeTunnels(index);
        return true;
      case 'off':
        states.order(index, SERVER_STATE.inactive, SERVER_REASON.notNeeded);
        engine.adopt(index, 'inactive', false, now());
        return true;
      case 'spared':
        states.order(index, SERVER_STATE.up, SERVER_REASON.needed);
        engine.forget(index);
        return true;
      case 'back':
        states.comeBack(index, SERVER_REASON.needed, '');
        engine.forget(index);
        return true;
    }
  }

  // ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What is under way, where the state alone does not say it; null: nothing. */
  words(server: number): string | null {
    return this.expects(server) ? 'it is being powered on' : null;
  }

  counters(): CounterRow[] {
    const { emptied, inactivated, activated, calledOff, failed, commandsFailed } = this.#counts;
    return [
      counterRow(
        'servers-emptied',
        emptied,
        'servers that got no new tunnels because the load did not need them, or by command',
      ),
      counterRow('servers-inactivated', inactivated, 'servers that were empty and became inactive'),
      counterRow('servers-activated', activated, 'inactive servers that were brought back'),
      counterRow('servers-kept', calledOff, 'servers that were being emptied when the load needed them again'),
      counterRow('activations-failed', failed, 'servers that were powered on and did not come'),
      counterRow('power-commands-failed', commandsFailed, 'commands to power servers off or on that failed'),
    ];
  }

  // ── what is ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #facts({ index, name }: BoundServer, vip: Vip): InactivationServer {
    const { states, heardLoad, hearsLoad, answered, checksActively } = this.#o;
    const heard = heardLoad(index);
    const here = this.#cell(index, SERVER_CELL.halfOpen) + this.#cell(index, SERVER_CELL.established);
    const told = heard?.tunnels ?? null;
    const tunnels = vip.oneWay ? told : Math.max(here, told ?? 0);
    const limit = vip.limits.get(name);
    const isReported = (this.#cell(index, SERVER_CELL.flags) & SERVER_FLAG.reported) !== 0;
    const counted = limit === undefined || tunnels === null ? null : tunnels / limit;
    const phase = vip.engine.phase(index);
    const times = [heard?.accepting === true ? heard.at : null, answered(index)].filter((time) => time !== null);
    return {
      index,
      state: states.state(index),
      ordered: states.ordered(index) !== 0 && phase === null,
      capacity: this.#cell(index, SERVER_CELL.weight),
      load: isReported ? this.#cell(index, SERVER_CELL.reportedLoad) / 1e6 : counted,
      tunnels,
      heard: times.length === 0 ? null : Math.max(...times),
      audible: hearsLoad(index) || checksActively(),
    };
  }

  /** States that a process before this one has made. */
  #adopt(): void {
    const { binding, states, now } = this.#o;
    for (const { index, removed } of binding.servers) {
      const engine = this.#engineOf(index);
      if (removed || engine === null || engine.phase(index) !== null) continue;
      const state = states.state(index);
      const byCommand = states.reason(index) !== SERVER_REASON.notNeeded;
      if (state === SERVER_STATE.inactive) engine.adopt(index, 'inactive', byCommand, now());
      else if (state === SERVER_STATE.draining && !byCommand) engine.adopt(index, 'emptying', false, now());
    }
  }

  // ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────

  #do(vip: Vip, steps: readonly InactivationStep[]): void {
    for (const step of steps) this.#step(vip, step);
  }

  #step(vip: Vip, { kind, server, detail }: InactivationStep): void {
    const { states, logger, events, closeTunnels, binding } = this.#o;
    const name = binding.servers.find(({ index }) => index === server)?.name ?? '';
    const isCommand = vip.engine.isCommanded(server) || detail === 'command';
    const reason = isCommand ? SERVER_REASON.command : SERVER_REASON.notNeeded;
    const words = detail === 'command' ? '' : detail;
    logger.info({ server: name, vip: vip.name, step: kind, detail: words || undefined }, 'inactivation');
    if (kind !== 'retry-off')
      events.emit('inactivation', { server: name, vip: vip.name, what: kind, detail: words || undefined });
    const fact = FACT_OF[kind];
    if (fact !== undefined) this.onFact?.(name, fact);
    switch (kind) {
      case 'empty':
        this.#counts.emptied++;
        states.order(server, SERVER_STATE.draining, reason, words);
        return;
      case 'serve':
        this.#counts.calledOff++;
        states.order(server, SERVER_STATE.up, isCommand ? SERVER_REASON.command : SERVER_REASON.needed, words);
        return;
      case 'withdraw':
        states.withdraw(server);
        return;
      case 'close':
        closeTunnels(server);
        return;
      case 'off':
        this.#counts.inactivated++;
        states.order(server, SERVER_STATE.inactive, reason, words);
        return this.#run(vip, server, 'off');
      case 'retry-off':
        return this.#run(vip, server, 'off');
      case 'on':
        return this.#run(vip, server, 'on');
      case 'back':
        this.#counts.activated++;
        states.comeBack(server, SERVER_REASON.needed, words);
        return;
      case 'failed':
        this.#counts.failed++;
        logger.warn({ server: name, vip: vip.name, detail: words }, 'the server was powered on and has not come');
    }
  }

  #run(vip: Vip, server: number, action: 'on' | 'off'): void {
    const { logger, events, binding, now } = this.#o;
    const bound = binding.servers.find(({ index }) => index === server);
    const argv = vip.settings[action];
    if (argv === null || bound === undefined) return this.#do(vip, vip.engine.ran(server, action, true, now()));
    const facts = { action, server: bound.name, address: bound.text, vip: vip.name };
    const begun = now();
    void this.#power.run(argv, facts, vip.settings.commandTimeout).then(({ fault, output }) => {
      if (this.#stopped) return;
      const seconds = Math.round((now() - begun) * 1000) / 1000;
      const story = { server: bound.name, vip: vip.name, action, seconds, fault: fault ?? undefined };
      if (fault === null) logger.info({ ...story, output }, 'power command');
      else {
        this.#counts.commandsFailed++;
        logger.error({ ...story, output }, 'the power command failed');
      }
      events.emit('server-power', { ...story, ok: fault === null });
      this.#do(vip, vip.engine.ran(server, action, fault === null, now()));
    });
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #cell(server: number, word: number): number {
    return this.#o.binding.memory.servers[server * CELL_WORDS + word];
  }

  #vipOf(server: number): Vip | null {
    return this.#vips.get(this.#cell(server, SERVER_CELL.vip)) ?? null;
  }

  #engineOf(server: number): Inactivation | null {
    return this.#vipOf(server)?.engine ?? null;
  }
}

function newVip(vip: CompiledVip, settings: InactivationSettings & CompiledInactivation): Vip {
  return {
    name: vip.name,
    settings,
    engine: new Inactivation(settings),
    limits: limitsOf(vip),
    oneWay: vip.oneWay ?? false,
  };
}

function limitsOf(vip: CompiledVip): ReadonlyMap<string, number> {
  return new Map(
    vip.servers.flatMap(({ name, loadStatus }) =>
      loadStatus.tunnelLimit === null ? [] : [[name, loadStatus.tunnelLimit]],
    ),
  );
}
