/**
 * Block 306 of document 003: the rules apply to every packet from outside, tunnel traffic or not, before it is
 * classified. Verdicts for tunnels are cached in their entries (FLAG_DENIED); here the rules themselves are asked, for
 * new tunnels, for non-tunnel traffic, and for all tunnels again when the rules change.
 */
import { NO_RULE, type RequestAttributes, RuleList, UNDECIDED } from '../flow/rule-list.js';
import { PORT_OUTSIDE } from '../io/port.js';
import type { Batch } from './batch.js';
import { DEFAULT_SLOT, RULE_COUNTER, ruleCounter } from './counters.js';
import type { Directory } from './directory.js';
import type { Plan, PlanVip } from './plan.js';

const TYPE_IPV6 = 0x86dd;
const MAPPED = 0xffff;
const IPPROTO_ICMPV6 = 58;
/** Not the firewall's: from inside, neighbour discovery, servers with one arm. */
const EXEMPT = -3;

/** Verdicts on a tunnel that stands. */
export const TUNNEL_ALLOWED = 0;
export const TUNNEL_DENIED = 1;
/** A rule asks for attributes that nobody knows any more: the tunnel keeps the verdict that it has. */
export const TUNNEL_UNDECIDED = 2;

export class Firewall {
  #rules = new RuleList([]);
  #slots = new Int32Array(0);
  #denyByDefault = false;
  /** Everything is allowed. */
  trivial = true;

  /**
   * `oneArm`: servers stand on the outside too; what they send is never filtered. `statistics`: where matches are
   * counted, null nowhere.
   */
  constructor(
    readonly oneArm = false,
    readonly statistics: Float64Array | null = null,
  ) {}

  setPlan(plan: Plan): void {
    this.#rules = new RuleList(plan.rules);
    this.#slots = Int32Array.from(plan.rules, ({ slot }) => slot ?? DEFAULT_SLOT);
    this.#denyByDefault = plan.denyByDefault;
    this.trivial = plan.rules.length === 0 && !plan.denyByDefault;
  }

  /** Requests must be read for their attributes before they are judged. */
  get readsAttributes(): boolean {
    return this.#rules.readsAttributes;
  }

  /** Is this frame, an IP packet from outside, denied? Column data of `classify` must be there. */
  denies(batch: Batch, i: number, directory: Directory): boolean {
    return !this.trivial && this.deniesRule(this.#ruleOf(batch, i, directory, null, false));
  }

  /** The rule that decides about this frame, a tunnel request; NO_RULE = the default, EXEMPT = none is asked. */
  requestRule(batch: Batch, i: number, directory: Directory, attributes: RequestAttributes): number {
    return this.#ruleOf(batch, i, directory, attributes, true);
  }

  /** Does the rule deny, or the default where there is none? */
  deniesRule(rule: number): boolean {
    if (rule === EXEMPT) return false;
    return rule < 0 ? this.#denyByDefault : this.#rules.denies(rule);
  }

  #ruleOf(
    batch: Batch,
    i: number,
    directory: Directory,
    attributes: RequestAttributes | null,
    request: boolean,
  ): number {
    if (batch.columns.ingress[i] !== PORT_OUTSIDE) return EXEMPT;
    const { view } = batch;
    const l3 = batch.l3[i];
    const v6 = view.getUint16(l3 - 2) === TYPE_IPV6;
    const protocol = batch.ipProtocol[i];
    // Neighbour discovery is to IPv6 what ARP is to IPv4: never filtered (RFC 4890 §4.4.1).
    if (v6 && protocol === IPPROTO_ICMPV6 && isNeighbourDiscovery(view, batch.l4[i], batch.end[i])) return EXEMPT;
    const s0 = v6 ? view.getInt32(l3 + 8) : 0;
    const s1 = v6 ? view.getInt32(l3 + 12) : 0;
    const s2 = v6 ? view.getInt32(l3 + 16) : MAPPED;
    const s3 = v6 ? view.getInt32(l3 + 20) : view.getInt32(l3 + 12);
    if (this.oneArm && directory.serverOf(s0, s1, s2, s3) >= 0) return EXEMPT;
    const d0 = v6 ? view.getInt32(l3 + 24) : 0;
    const d1 = v6 ? view.getInt32(l3 + 28) : 0;
    const d2 = v6 ? view.getInt32(l3 + 32) : MAPPED;
    const d3 = v6 ? view.getInt32(l3 + 36) : view.getInt32(l3 + 16);
    const hasPorts = (protocol === 6 || protocol === 17) && batch.end[i] - batch.l4[i] >= 4;
    const port = hasPorts ? view.getUint16(batch.l4[i] + 2) : 0;
    const rules = this.#rules;
    const rule = request
      ? rules.evaluateRequest(s0, s1, s2, s3, d0, d1, d2, d3, protocol, port, attributes)
      : rules.evaluate(s0, s1, s2, s3, d0, d1, d2, d3, protocol, port);
    this.#count(rule);
    return rule;
  }

  #count(rule: number): void {
    if (this.statistics === null) return;
    const slot = rule < 0 ? DEFAULT_SLOT : this.#slots[rule];
    this.statistics[ruleCounter(slot, RULE_COUNTER.matched)]++;
  }

  /**
   * TUNNEL_* for what this client sends to this VIP. `attributes`: what its request said of itself, null when that is not
   * known. Limits count requests, so a tunnel that stands meets none.
   */
  judgeTunnel(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    vip: PlanVip,
    protocol: number,
    directory: Directory,
    attributes: RequestAttributes | null,
  ): number {
    const rule = this.tunnelRule(a0, a1, a2, a3, vip, protocol, directory, attributes);
    if (rule === UNDECIDED) return TUNNEL_UNDECIDED;
    return this.deniesRule(rule) ? TUNNEL_DENIED : TUNNEL_ALLOWED;
  }

  /** The rule that decides about requests of this client for this VIP: its index, NO_RULE or UNDECIDED. */
  tunnelRule(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    vip: PlanVip,
    protocol: number,
    directory: Directory,
    attributes: RequestAttributes | null,
  ): number {
    if (this.trivial) return NO_RULE;
    const { addresses } = directory;
    const at = vip.address;
    const descriptor = directory.descriptor(protocol);
    return this.#rules.evaluateRequest(
      a0,
      a1,
      a2,
      a3,
      addresses.word(at, 0),
      addresses.word(at, 1),
      addresses.word(at, 2),
      addresses.word(at, 3),
      descriptor.ipProtocol,
      descriptor.hasPorts ? vip.port : 0,
      attributes,
    );
  }
}

/** Router and neighbour solicitations and advertisements, redirect: types 133 … 137 (RFC 4861 §4). */
function isNeighbourDiscovery(view: DataView, offset: number, end: number): boolean {
  if (end - offset < 4) return false;
  const type = view.getUint8(offset);
  return type >= 133 && type <= 137;
}
