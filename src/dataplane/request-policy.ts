/**
 * Block 306 of document 003 for tunnel requests: the firewall's rules, with the attributes that a request tells of itself,
 * the rates of rules, and admission. Its verdict is cached: with the table's entry, which later packets of the tunnel find
 * before they come here. Costs nothing for a data packet.
 */
import { RECORD_STATE, type TableMemory } from '../flow/layout.js';
import { SharedRate } from '../flow/shared-rate.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { newTunnelAttributes, type TunnelAttributes, type TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Admission } from './admission.js';
import type { Ageing } from './ageing.js';
import { AttributeCache } from './attribute-cache.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { RULE_COUNTER, ruleCounter } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import type { Firewall } from './firewall.js';
import type { Plan } from './plan.js';
import { POLICY_WORD } from './policy-words.js';
import type { TunnelStore } from './tunnel-store.js';

/** Sources that a rule's own limit knows at a time. */
const RULE_SOURCES = 4096;

interface Limiter {
  readonly slot: number;
  readonly all: SharedRate | null;
  readonly sources: TokenBuckets | null;
}

export class RequestPolicy {
  /** By rule; null where there is no limit. */
  #limiters: (Limiter | null)[] = [];
  #duplicatesMs = 0;
  #cache: AttributeCache | null = null;
  /** Milliseconds at which a copy of the request was last forwarded, by record. */
  readonly #forwarded: Int32Array;
  readonly #attributes: TunnelAttributes = newTunnelAttributes();
  #attributesRead = false;

  /** Place of the rule that refused the request judged last, −1 none did. */
  refusingRule = -1;

  /** `words`: POLICY_WORD. */
  constructor(
    readonly memory: TableMemory,
    readonly firewall: Firewall,
    readonly admission: Admission,
    readonly statistics: Float64Array,
    readonly words: Int32Array,
  ) {
    this.#forwarded = new Int32Array(memory.layout.recordCount);
  }

  setPlan(plan: Plan): void {
    this.firewall.setPlan(plan);
    this.admission.setPlan(plan);
    this.#duplicatesMs = plan.policy.duplicatesMs;
    const before = new Map(this.#limiters.flatMap((limiter) => (limiter === null ? [] : [[limiter.slot, limiter]])));
    this.#limiters = plan.rules.map(({ limit, slot = 0 }) => {
      if (limit === undefined || limit === null) return null;
      const { rate, burst, perSource, perSourceBurst } = limit;
      const old = before.get(slot);
      const sources = old?.sources ?? null;
      return {
        slot,
        all: rate === null ? null : new SharedRate(this.words, POLICY_WORD.rules + slot, rate, burst),
        sources:
          perSource === null
            ? null
            : sources?.rate === perSource && sources.burst === perSourceBurst
              ? sources // what the sources have used stays
              : new TokenBuckets({ rate: perSource, burst: perSourceBurst, capacity: RULE_SOURCES }),
      };
    });
  }

  /**
   * −1, or the drop reason of a request that would make a new tunnel. Tokens are taken in the order rule, source, all, and
   * only when nothing else refuses. `moved`: it has made a tunnel before and now gets another server.
   */
  judge(
    batch: Batch,
    i: number,
    descriptor: TunnelDescriptor,
    directory: Directory,
    channel: number,
    moved: boolean,
    now: number,
  ): number {
    const { firewall, admission } = this;
    this.#attributesRead = false;
    this.refusingRule = -1;
    if (moved) return -1;
    let limiter: Limiter | null = null;
    if (!firewall.trivial) {
      if (firewall.readsAttributes) this.#read(batch, i, descriptor);
      const rule = firewall.requestRule(batch, i, directory, this.#attributes);
      if (firewall.deniesRule(rule)) {
        this.refusingRule = rule;
        return DROP['firewall-denied'];
      }
      limiter = rule < 0 ? null : this.#limiters[rule];
    }
    const row = i * KEY_STRIDE;
    const keys = batch.keys;
    const [a0, a1, a2, a3] = [keys[row], keys[row + 1], keys[row + 2], keys[row + 3]];
    const oneWay = directory.vip(batch.local[i])?.oneWay === true;
    const refused = admission.refuses(a0, a1, a2, a3, keys[row + 4] >>> 16, channel, now, oneWay);
    if (refused >= 0) return refused;
    if (limiter !== null && !this.#take(limiter, a0, a1, a2, a3, now)) {
      this.statistics[ruleCounter(limiter.slot, RULE_COUNTER.refused)]++;
      this.refusingRule = this.#limiters.indexOf(limiter);
      return DROP['rule-rate'];
    }
    return admission.take(a0, a1, a2, a3, now);
  }

  #take(limiter: Limiter, a0: number, a1: number, a2: number, a3: number, now: number): boolean {
    if (limiter.sources !== null) {
      const source = this.admission.sourceOf(a0, a1, a2, a3);
      if (!limiter.sources.take(source[0], source[1], source[2], source[3], now)) return false;
    }
    return limiter.all === null || limiter.all.take(now);
  }

  #read(batch: Batch, i: number, descriptor: TunnelDescriptor): void {
    this.#attributesRead = true;
    if (descriptor.attributes === undefined) Object.assign(this.#attributes, newTunnelAttributes());
    else descriptor.attributes(batch.view, batch.l4[i], batch.end[i], this.#attributes);
  }

  /** The request of this frame, which `judge` let through, has made a tunnel. */
  made(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number, created: number, nowMs: number): void {
    this.#forwarded[record] = nowMs;
    if (descriptor.attributes === undefined) return;
    if (!this.#attributesRead) this.#read(batch, i, descriptor);
    this.#cache ??= new AttributeCache(this.memory.layout.recordCount);
    this.#cache.keep(record, created, this.#attributes);
  }

  /**
   * A copy of the request of a tunnel that there is: false when the last one has only just been forwarded. One that comes
   * for a tunnel that ends asks for another tunnel.
   */
  mayRepeat(record: number, state: number, nowMs: number): boolean {
    if (state === RECORD_STATE.closing) return true;
    const since = (nowMs - this.#forwarded[record]) | 0;
    if (since >= 0 && since < this.#duplicatesMs) return false;
    this.#forwarded[record] = nowMs;
    return true;
  }

  /** Sources of tunnels that stand already are no strangers. */
  adopt(store: TunnelStore, ageing: Ageing, now: number): void {
    for (let record = 0; record < this.memory.layout.recordCount; record++) {
      if (store.state(record) !== RECORD_STATE.established || !ageing.owns(record)) continue;
      const slot = store.anyEntry(record);
      const { table } = store;
      const word = (n: number): number => table.keyWord(slot, n);
      this.admission.stands(word(0), word(1), word(2), word(3), now);
    }
  }

  /** A tunnel of this client (4 words of `keys` from `row` on) stands. */
  stands(keys: Int32Array, row: number, now: number): void {
    this.admission.stands(keys[row], keys[row + 1], keys[row + 2], keys[row + 3], now);
  }

  /** What a tunnel's request said of itself, or null. */
  attributesOf(record: number, created: number): TunnelAttributes | null {
    return this.#cache?.find(record, created) ?? null;
  }
}
