/** The main thread's part of the policy: what is shared by all shards, what they have counted, and what would happen. */
import type { CompiledConfig } from '../../config/compiled.js';
import { Directory } from '../../dataplane/directory.js';
import { Firewall, TUNNEL_DENIED, TUNNEL_UNDECIDED } from '../../dataplane/firewall.js';
import type { Plan } from '../../dataplane/plan.js';
import { newPolicyWords, POLICY_WORD } from '../../dataplane/policy-words.js';
import type { TableMemory } from '../../flow/layout.js';
import type { FirewallRow } from '../../ops/appliance.js';
import type { Logger } from '../../ops/log.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import type { BoundVip } from './binding.js';
import { FirewallRows, type KernelDrops } from './firewall-rows.js';
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
      logger.warn({}, 'a flood of tunnel requests: sources without a tunnel so far must repeat theirs');
    } else if (!this.flooded && this.#floodSince !== null) {
      logger.info({ seconds: Math.round(now() - this.#floodSince) }, 'the flood of tunnel requests is over');
      this.#floodSince = null;
    }
  }

  /** Why a new tunnel of this client would be refused before any server is asked for, or null. */
  refuses(words: readonly number[], vip: BoundVip): string | null {
    return this.#judge(words, vip) === TUNNEL_DENIED ? 'the firewall denies this client' : null;
  }

  /** What `explain` cannot know of a request that nobody has sent, or null. */
  doubts(words: readonly number[], vip: BoundVip): string | null {
    return this.#judge(words, vip) === TUNNEL_UNDECIDED
      ? 'unless a firewall rule refuses what the request says of itself'
      : null;
  }

  #judge([a0, a1, a2, a3]: readonly number[], vip: BoundVip): number {
    const directory = new Directory(this.#p.memory, this.#plan);
    const firewall = new Firewall();
    firewall.setPlan(this.#plan);
    const protocol = DESCRIPTORS.get(vip.protocols[0])?.id ?? 0;
    return firewall.judgeTunnel(a0 | 0, a1 | 0, a2 | 0, a3 | 0, vip, protocol, directory, null);
  }
}
