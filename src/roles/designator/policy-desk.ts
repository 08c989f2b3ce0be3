/** The main thread's part of the policy: what is shared by all shards, what they have counted, and what would happen. */
import type { CompiledConfig } from '../../config/compiled.js';
import { Directory } from '../../dataplane/directory.js';
import { Firewall } from '../../dataplane/firewall.js';
import type { Plan } from '../../dataplane/plan.js';
import { newPolicyWords, POLICY_WORD } from '../../dataplane/policy-words.js';
import type { TableMemory } from '../../flow/layout.js';
import { UNDECIDED } from '../../flow/rule-list.js';
import type { FirewallRow } from '../../ops/appliance.js';
import type { Logger } from '../../ops/log.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import type { BoundVip } from './binding.js';
import { FirewallRows, type KernelDrops, ruleName } from './firewall-rows.js';
import type { RuleSlots } from './rule-slots.js';

export interface PolicyDeskParts {
  readonly memory: TableMemory;
  readonly plan: Plan;
  readonly slots: RuleSlots;
  readonly statistics: readonly Float64Array[];
  readonly kernel: () => KernelDrops;
  /** CLOCK_MONOTONIC, seconds. */
  readonly now: () => number;
  readonly logger: Logger;
}

export class PolicyDesk {
  /** POLICY_WORD, for every shard. */
  readonly words = newPolicyWords();
  readonly #p: PolicyDeskParts;
  readonly #rows: FirewallRows;
  #plan: Plan;
  #floodSince: number | null = null;
  /** Told when a flood begins, and, with its seconds, when it ends. */
  onFlood: (seconds: number | null) => void = () => {};

  constructor(parts: PolicyDeskParts) {
    this.#p = parts;
    this.#plan = parts.plan;
    this.#rows = new FirewallRows(parts.slots, parts.statistics, parts.kernel);
  }

  rows(config: CompiledConfig): FirewallRow[] {
    return this.#rows.rows(config);
  }

  /** Of a reload, before a shard has it. */
  setPlan(plan: Plan): void {
    this.#plan = plan;
    this.#rows.rebase();
  }

  /** A flood of tunnel requests is on: strangers have to ask twice. */
  get flooded(): boolean {
    return this.#p.now() < Atomics.load(this.words, POLICY_WORD.busyUntil);
  }

  /** Says in the log when a flood begins and ends. */
  tick(): void {
    const { logger, now } = this.#p;
    if (this.flooded && this.#floodSince === null) {
      this.#floodSince = now();
      this.onFlood(null);
      logger.warn({}, 'a flood of tunnel requests: sources without a tunnel so far must repeat theirs');
    } else if (!this.flooded && this.#floodSince !== null) {
      const seconds = Math.round(now() - this.#floodSince);
      this.onFlood(seconds);
      logger.info({ seconds }, 'the flood of tunnel requests is over');
      this.#floodSince = null;
    }
  }

  /** Why a new tunnel of this client would be refused before any server is asked for, or null. */
  refuses(words: readonly number[], vip: BoundVip, config: CompiledConfig): string | null {
    const rule = this.#rule(words, vip);
    if (rule === UNDECIDED || !this.#firewall().deniesRule(rule)) return null;
    const name = this.ruleName(rule, config);
    return name === null ? 'the firewall denies what no rule allows' : `firewall rule "${name}" denies this client`;
  }

  /** The name of a rule of this configuration, by its place; null: there is none. */
  ruleName(rule: number, config: CompiledConfig): string | null {
    const found = config.firewall.rules[rule];
    return found === undefined ? null : ruleName(found, rule);
  }

  /** What `explain` cannot know of a request that nobody has sent, or null. */
  doubts(words: readonly number[], vip: BoundVip): string | null {
    return this.#rule(words, vip) === UNDECIDED
      ? 'unless a firewall rule refuses what the request says of itself'
      : null;
  }

  /** The rule that decides, UNDECIDED where it would have to see the request. */
  #rule([a0, a1, a2, a3]: readonly number[], vip: BoundVip): number {
    const directory = new Directory(this.#p.memory, this.#plan);
    const protocol = DESCRIPTORS.get(vip.protocols[0])?.id ?? 0;
    return this.#firewall().tunnelRule(a0 | 0, a1 | 0, a2 | 0, a3 | 0, vip, protocol, directory, null);
  }

  #firewall(): Firewall {
    const firewall = new Firewall();
    firewall.setPlan(this.#plan);
    return firewall;
  }
}
