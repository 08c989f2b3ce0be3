/**
 * Which counters a firewall rule has. A rule that a reload leaves as it was goes on counting, wherever it stands in the list
 * then; one that is changed is another rule and begins at nothing.
 */
import { DEFAULT_SLOT, RULE_SLOTS } from '../../dataplane/counters.js';
import type { RuleInput } from '../../flow/rule-list.js';

export class RuleSlots {
  #slots = new Map<string, number>();
  /** Free slots, the one that has been free longest first. */
  readonly #free: number[] = Array.from({ length: RULE_SLOTS - 1 }, (_, i) => i + 1).filter((s) => s !== DEFAULT_SLOT);
  /** By rule. */
  current: readonly number[] = [];
  #fresh = new Set<number>();

  /** The same rules with their slots; `names` in the same order. */
  assign(rules: readonly RuleInput[], names: readonly (string | null)[]): RuleInput[] {
    const before = this.#slots;
    const now = new Map<string, number>();
    const keys = rules.map((rule, i) => {
      const key = JSON.stringify([names[i], rule]);
      // A rule that is written twice is two rules.
      let copy = key;
      for (let n = 2; now.has(copy); n++) copy = `${key} ${n}`;
      now.set(copy, before.get(copy) ?? -1);
      return copy;
    });
    for (const [key, slot] of before) if (!now.has(key)) this.#free.push(slot);
    for (const [key, slot] of now) {
      if (slot >= 0) continue;
      const taken = this.#free.shift() as number;
      now.set(key, taken);
      this.#fresh.add(taken);
    }
    this.#slots = now;
    this.current = keys.map((key) => now.get(key) as number);
    return rules.map((rule, i) => ({ ...rule, slot: this.current[i] }));
  }

  /** Slots given out since the last call: what was counted in them before is another rule's. */
  takeFresh(): ReadonlySet<number> {
    const fresh = this.#fresh;
    this.#fresh = new Set();
    return fresh;
  }
}
