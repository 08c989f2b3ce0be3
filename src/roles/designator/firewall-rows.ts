/** The rows of `show firewall`: rules in words, with what the shards have counted. */
import type { CompiledConfig, CompiledRule } from '../../config/compiled.js';
import { DEFAULT_SLOT, RULE_COUNTER, ruleCounter } from '../../dataplane/counters.js';
import type { RuleAttributes } from '../../flow/rule-list.js';
import type { FirewallRow } from '../../ops/appliance.js';
import type { RuleSlots } from './rule-slots.js';

/** What the XDP program dropped, by reason. */
export type KernelDrops = { readonly drops: Readonly<Record<string, number>> } | null;

export class FirewallRows {
  /** Counts of a slot's former rule, by counter. */
  readonly #former = new Map<number, number>();

  constructor(
    readonly slots: RuleSlots,
    readonly statistics: readonly Float64Array[],
    readonly kernel: () => KernelDrops,
  ) {
    this.rebase();
  }

  /** The rules have been given slots anew, and the shards do not know yet: a new rule begins at nothing. */
  rebase(): void {
    for (const slot of this.slots.takeFresh()) {
      for (const counter of Object.values(RULE_COUNTER)) {
        const index = ruleCounter(slot, counter);
        this.#former.set(index, this.#sum(index));
      }
    }
  }

  rows(config: CompiledConfig): FirewallRow[] {
    const { firewall } = config;
    const kernel = this.kernel();
    return [
      ...firewall.rules.map((rule, index): FirewallRow => {
        const slot = this.slots.current[index] ?? DEFAULT_SLOT;
        return {
          rule: index,
          name: ruleName(rule, index),
          action: rule.action,
          match: matchText(rule),
          limit: limitText(rule),
          matched: this.#count(slot, RULE_COUNTER.matched),
          refused: this.#count(slot, RULE_COUNTER.refused),
        };
      }),
      {
        rule: null,
        name: 'default',
        action: firewall.default,
        match: 'everything else',
        limit: null,
        matched: this.#count(DEFAULT_SLOT, RULE_COUNTER.matched),
        refused: 0,
      },
      ...(kernel === null
        ? []
        : [
            {
              rule: null,
              name: 'xdp-deny-list',
              action: 'deny' as const,
              match: 'sources that the rules deny whatever they send, in the driver',
              limit: null,
              matched: kernel.drops['firewall-denied'] ?? 0,
              refused: 0,
            },
          ]),
    ];
  }

  #count(slot: number, counter: number): number {
    const index = ruleCounter(slot, counter);
    return this.#sum(index) - (this.#former.get(index) ?? 0);
  }

  #sum(index: number): number {
    return this.statistics.reduce((sum, statistics) => sum + statistics[index], 0);
  }
}

/** As in messages and metrics; a rule without a name has its place for one. */
export function ruleName({ name }: Pick<CompiledRule, 'name'>, index: number): string {
  return name ?? `rules[${index}]`;
}

/** The tests of a rule, as they are written. */
export function matchText(rule: CompiledRule): string {
  const part = (key: string, values: readonly (string | number)[]): string[] =>
    values.length === 0 ? [] : [`${key} ${values.join(', ')}`];
  const parts = [
    ...part(
      'from',
      rule.from.map(({ text }) => text),
    ),
    ...part(
      'to',
      rule.to.map(({ text }) => text),
    ),
    ...part('vip', rule.vips),
    ...part(
      'protocol',
      rule.protocols.map(({ text }) => text),
    ),
    ...attributeTexts(rule.attributes ?? {}),
  ];
  return parts.length === 0 ? 'everything' : parts.join('; ');
}

const FRAMING = ['none', 'synchronous', 'asynchronous'];
const BEARER = ['none', 'digital', 'analog'];

function attributeTexts(tests: RuleAttributes): string[] {
  const { hostName, vendorName, protocolVersion, framing, bearer, channel } = tests;
  const part = (key: string, values: readonly string[] | undefined): string[] =>
    values === undefined ? [] : [`${key} ${values.join(', ')}`];
  return [
    ...part('hostName', hostName),
    ...part('vendorName', vendorName),
    ...part(
      'protocolVersion',
      protocolVersion?.map((version) => `${version >> 8}.${version & 0xff}`),
    ),
    ...part(
      'framing',
      framing?.map((bits) => FRAMING[bits]),
    ),
    ...part(
      'bearer',
      bearer?.map((bits) => BEARER[bits]),
    ),
    ...part(
      'clientTunnelId',
      channel?.map(([least, most]) => (least === most ? String(least) : `${least}-${most}`)),
    ),
  ];
}

function limitText({ limit }: CompiledRule): string | null {
  if (limit === undefined || limit === null) return null;
  const { rate, burst, perSource, perSourceBurst } = limit;
  return [
    ...(rate === null ? [] : [`${rate}/s (burst ${burst})`]),
    ...(perSource === null ? [] : [`${perSource}/s per source (burst ${perSourceBurst})`]),
  ].join(', ');
}
