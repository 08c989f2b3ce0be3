/**
 * Firewall rules as numbers, evaluated first match wins. `ruleInputs` binds compiled rules to the addresses of VIPs and
 * to IP protocol numbers; the result survives a structured clone; `RuleList` is the flat form that packets are held
 * against, without an allocation.
 */

import { Glob } from './glob.js';

type Words = readonly [number, number, number, number];

export interface RulePrefix {
  readonly words: Words;
  /** 0 … 128 over the IPv4-mapped 128 bits. */
  readonly length: number;
}

/** A place that tunnel traffic goes to. */
export interface RuleService {
  readonly words: Words;
  readonly ipProtocol: number;
  /** 0 for a protocol without ports. */
  readonly port: number;
}

/** A VIP: its address and what it takes there. */
export interface RuleVip {
  readonly words: Words;
  readonly services: readonly RuleService[];
}

/** A test of the packet's protocol: an IP protocol number, or (number null) tunnel traffic to one of the services. */
export interface RuleProtocolInput {
  readonly number: number | null;
  readonly services: readonly RuleService[];
}

/** What a tunnel request says of who asks; −1 in a length or number = there, and unreadable (tunnels/descriptor.ts). */
export interface RequestAttributes {
  readonly view: DataView;
  readonly hostAt: number;
  readonly hostLength: number;
  readonly vendorAt: number;
  readonly vendorLength: number;
  readonly protocolVersion: number;
  readonly framing: number;
  readonly bearer: number;
  readonly channel: number;
}

/** Tests of a tunnel request's attributes; an absent one matches everything, of a list any may hold. */
export interface RuleAttributes {
  /** Patterns (glob.ts). */
  readonly hostName?: readonly string[];
  readonly vendorName?: readonly string[];
  /** version << 8 | revision. */
  readonly protocolVersion?: readonly number[];
  /** Sets of bits of which one must be there; 0 = none is. */
  readonly framing?: readonly number[];
  readonly bearer?: readonly number[];
  /** Ids that the asker assigned, [least, greatest]. */
  readonly channel?: readonly (readonly [number, number])[];
}

/** Requests a second of a rule with the action `limit`: of all that it matches, and of each source; null = no limit. */
export interface RuleLimit {
  readonly rate: number | null;
  readonly burst: number;
  readonly perSource: number | null;
  readonly perSourceBurst: number;
}

export type RuleAction = 'allow' | 'deny' | 'limit';

/**
 * One rule; an empty list of tests matches everything. With attributes or a limit it judges tunnel requests only; to
 * every other packet it is as if it were not there.
 */
export interface RuleInput {
  readonly action: RuleAction;
  readonly from: readonly RulePrefix[];
  readonly to: readonly RulePrefix[];
  /** The packet goes to the address of one, and, if it is of the IP protocol of one of its services, to that port. */
  readonly vips: readonly RuleVip[];
  readonly protocols: readonly RuleProtocolInput[];
  readonly attributes?: RuleAttributes | null;
  /** With the action `limit`. */
  readonly limit?: RuleLimit | null;
  /** Where its counters stand (dataplane/counters.ts); absent = nowhere. */
  readonly slot?: number;
}

/** Only tunnel requests are held against it. */
export function isRequestRule(rule: Pick<RuleInput, 'action' | 'attributes'>): boolean {
  return rule.action === 'limit' || (rule.attributes !== undefined && rule.attributes !== null);
}

/** What `ruleInputs` needs of a rule of the compiled configuration. */
export interface NamedRule {
  readonly action: RuleAction;
  readonly from: readonly RulePrefix[];
  readonly to: readonly RulePrefix[];
  readonly vips: readonly string[];
  readonly protocols: readonly { readonly tunnel: string | null; readonly number: number | null }[];
  readonly attributes?: RuleAttributes | null;
  readonly limit?: RuleLimit | null;
}

export interface NamedVip {
  readonly name: string;
  readonly words: Words;
  readonly port: number;
  readonly protocols: readonly string[];
}

/**
 * Throws RangeError when a rule names a VIP that is not there.
 * `transportOf`: IP protocol of a tunnel protocol, and whether it has ports (its descriptor's `hasPorts`).
 */
export function ruleInputs(
  rules: readonly NamedRule[],
  vips: readonly NamedVip[],
  transportOf: (protocol: string) => { readonly ipProtocol: number; readonly hasPorts: boolean },
): RuleInput[] {
  const service = (vip: NamedVip, protocol: string): RuleService => {
    const transport = transportOf(protocol);
    return { words: vip.words, ipProtocol: transport.ipProtocol, port: transport.hasPorts ? vip.port : 0 };
  };
  return rules.map((rule) => ({
    action: rule.action,
    ...(rule.attributes === undefined || rule.attributes === null ? {} : { attributes: rule.attributes }),
    ...(rule.limit === undefined || rule.limit === null ? {} : { limit: rule.limit }),
    from: rule.from.map(({ words, length }) => ({ words, length })),
    to: rule.to.map(({ words, length }) => ({ words, length })),
    vips: rule.vips.map((name) => {
      const vip = vips.find((candidate) => candidate.name === name);
      if (vip === undefined) throw new RangeError(`firewall: no VIP ${name}`); // an empty list would match everything
      return { words: vip.words, services: vip.protocols.map((protocol) => service(vip, protocol)) };
    }),
    protocols: rule.protocols.map(({ tunnel, number }) => ({
      number,
      services:
        tunnel === null ? [] : vips.filter((vip) => vip.protocols.includes(tunnel)).map((vip) => service(vip, tunnel)),
    })),
  }));
}

const MAPPED = 0xffff; // third word of an IPv4-mapped address
const TEST_WORDS = 12; // kind, then its operands
/** IP protocols that the services of a VIP may differ in. */
const VIP_TRANSPORTS = 7;
const NO_TRANSPORT = -1;
const KIND_FROM = 1; // words, masks
const KIND_TO = 2; // words, masks
const KIND_VIP = 3; // words, IP protocols that are not meant (its services have tests of their own)
const KIND_VIP_SERVICE = 4; // words, IP protocol, port
const KIND_SERVICE = 5; // words, IP protocol, port
const KIND_PROTOCOL = 6; // IP protocol

/** Answers of `evaluate` and `evaluateRequest` beside an index. */
export const NO_RULE = -1; // the default applies
export const UNDECIDED = -2; // a rule that would decide asks for attributes that are not known

export class RuleList {
  readonly count: number;
  /** A rule asks for attributes of requests. */
  readonly readsAttributes: boolean;
  readonly #denies: Uint8Array;
  /** Rules for requests only. */
  readonly #requestOnly: Uint8Array;
  readonly #attributes: readonly (AttributeTests | null)[];
  /**
   * Tests of all rules end to end; rule r has #tests[#starts[r] … #starts[r + 1]). Neighbours of one group are
   * alternatives; every group of the rule must have one that holds.
   */
  readonly #starts: Int32Array;
  readonly #tests: Int32Array;

  constructor(rules: readonly RuleInput[]) {
    this.count = rules.length;
    this.#denies = Uint8Array.from(rules, (rule) => (rule.action === 'deny' ? 1 : 0));
    this.#requestOnly = Uint8Array.from(rules, (rule) => (isRequestRule(rule) ? 1 : 0));
    this.#attributes = rules.map(({ attributes, action }) =>
      attributes === undefined || attributes === null ? null : new AttributeTests(attributes, action !== 'allow'),
    );
    this.readsAttributes = this.#attributes.some((tests) => tests !== null);
    const starts = [0];
    const tests: number[] = [];
    const add = (...operands: number[]): void => {
      for (let i = 0; i < TEST_WORDS; i++) tests.push(operands[i] ?? 0);
    };
    for (const rule of rules) {
      for (const prefix of rule.from) add(KIND_FROM, ...masked(prefix));
      for (const prefix of rule.to) add(KIND_TO, ...masked(prefix));
      for (const vip of rule.vips) {
        const transports = [...new Set(vip.services.map((service) => service.ipProtocol))];
        if (transports.length > VIP_TRANSPORTS)
          throw new RangeError(`firewall: a VIP of ${transports.length} IP protocols`);
        while (transports.length < VIP_TRANSPORTS) transports.push(NO_TRANSPORT);
        add(KIND_VIP, ...vip.words, ...transports);
        for (const service of vip.services) add(KIND_VIP_SERVICE, ...service.words, service.ipProtocol, service.port);
      }
      for (const protocol of rule.protocols) {
        if (protocol.number !== null) add(KIND_PROTOCOL, protocol.number);
        for (const service of protocol.services) add(KIND_SERVICE, ...service.words, service.ipProtocol, service.port);
        // A protocol test that nothing can meet (a tunnel protocol of no VIP) still is a test.
        if (protocol.number === null && protocol.services.length === 0) add(KIND_PROTOCOL, -1);
      }
      starts.push(tests.length / TEST_WORDS);
    }
    this.#starts = Int32Array.from(starts);
    this.#tests = Int32Array.from(tests);
  }

  /** Row `index` denies. */
  denies(index: number): boolean {
    return this.#denies[index] !== 0;
  }

  /**
   * Index of the first rule that matches a packet which is no tunnel request, −1 = none, the default applies. `port` is
   * the destination port; −1 when it cannot be seen (a later fragment): then a test of the port holds in a deny rule and
   * fails in an allow rule.
   */
  evaluate(
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    ipProtocol: number,
    port: number,
  ): number {
    return this.#evaluate(0, s0, s1, s2, s3, d0, d1, d2, d3, ipProtocol, port);
  }

  /**
   * The same of a tunnel request: all rules are asked, and then the attributes. An attribute that cannot be read is what
   * the rule fears: its test holds in rules that deny or limit and fails in those that allow. `attributes` null: they are
   * not known any more; UNDECIDED when they would decide.
   */
  evaluateRequest(
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    ipProtocol: number,
    port: number,
    attributes: RequestAttributes | null,
  ): number {
    for (let from = 0; ; from++) {
      from = this.#evaluate(from, s0, s1, s2, s3, d0, d1, d2, d3, ipProtocol, port, true);
      if (from < 0) return NO_RULE;
      const tests = this.#attributes[from];
      if (tests === null) return from;
      if (attributes === null) return UNDECIDED;
      if (tests.match(attributes)) return from;
    }
  }

  /** The first rule from `first` on that matches, attributes apart. */
  #evaluate(
    first: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    ipProtocol: number,
    port: number,
    request = false,
  ): number {
    const tests = this.#tests;
    for (let rule = first; rule < this.count; rule++) {
      if (!request && this.#requestOnly[rule] !== 0) continue;
      const end = this.#starts[rule + 1];
      let matches = true;
      let test = this.#starts[rule];
      while (test < end && matches) {
        const group = groupOf(tests[test * TEST_WORDS]);
        matches = false;
        for (; test < end && groupOf(tests[test * TEST_WORDS]) === group; test++) {
          if (matches) continue;
          const at = test * TEST_WORDS + 1;
          switch (tests[at - 1]) {
            case KIND_FROM:
              matches = within(tests, at, s0, s1, s2, s3);
              break;
            case KIND_TO:
              matches = within(tests, at, d0, d1, d2, d3);
              break;
            case KIND_VIP:
              matches = same(tests, at, d0, d1, d2, d3) && !hasTransport(tests, at + 4, ipProtocol);
              break;
            case KIND_VIP_SERVICE:
            case KIND_SERVICE:
              matches =
                same(tests, at, d0, d1, d2, d3) &&
                ipProtocol === tests[at + 4] &&
                this.#portMatches(tests[at + 5], port, rule);
              break;
            default:
              matches = ipProtocol === tests[at];
          }
        }
      }
      if (matches) return rule;
    }
    return NO_RULE;
  }

  #portMatches(wanted: number, port: number, rule: number): boolean {
    if (wanted === 0) return true;
    return port < 0 ? this.#denies[rule] !== 0 : port === wanted;
  }
}

/** The attribute tests of one rule. */
class AttributeTests {
  readonly #hostName: readonly Glob[] | null;
  readonly #vendorName: readonly Glob[] | null;
  readonly #tests: RuleAttributes;

  constructor(
    tests: RuleAttributes,
    /** What an unreadable attribute counts as. */
    readonly unreadable: boolean,
  ) {
    this.#tests = tests;
    this.#hostName = tests.hostName?.map((pattern) => new Glob(pattern)) ?? null;
    this.#vendorName = tests.vendorName?.map((pattern) => new Glob(pattern)) ?? null;
  }

  match(a: RequestAttributes): boolean {
    const { protocolVersion, framing, bearer, channel } = this.#tests;
    return (
      this.#text(this.#hostName, a.view, a.hostAt, a.hostLength) &&
      this.#text(this.#vendorName, a.view, a.vendorAt, a.vendorLength) &&
      (protocolVersion === undefined || this.#number(a.protocolVersion, protocolVersion)) &&
      (framing === undefined || this.#bits(a.framing, framing)) &&
      (bearer === undefined || this.#bits(a.bearer, bearer)) &&
      (channel === undefined || this.#range(a.channel, channel))
    );
  }

  #text(patterns: readonly Glob[] | null, view: DataView, at: number, length: number): boolean {
    if (patterns === null) return true;
    if (length < 0) return this.unreadable;
    for (const pattern of patterns) if (pattern.matches(view, at, length)) return true;
    return false;
  }

  #number(value: number, wanted: readonly number[]): boolean {
    return value < 0 ? this.unreadable : wanted.includes(value);
  }

  #bits(value: number, wanted: readonly number[]): boolean {
    if (value < 0) return this.unreadable;
    for (const bits of wanted) if (bits === 0 ? value === 0 : (value & bits) !== 0) return true;
    return false;
  }

  #range(value: number, wanted: readonly (readonly [number, number])[]): boolean {
    if (value < 0) return this.unreadable;
    for (const [least, greatest] of wanted) if (value >= least && value <= greatest) return true;
    return false;
  }
}

/** Kinds that are alternatives of each other share a group. */
function groupOf(kind: number): number {
  return kind === KIND_SERVICE ? KIND_PROTOCOL : kind === KIND_VIP_SERVICE ? KIND_VIP : kind;
}

function hasTransport(tests: Int32Array, at: number, ipProtocol: number): boolean {
  for (let i = at; i < at + VIP_TRANSPORTS; i++) if (tests[i] === ipProtocol) return true;
  return false;
}

function masked(prefix: RulePrefix): number[] {
  const masks = prefix.words.map((_, word) => {
    const bits = Math.min(32, Math.max(0, prefix.length - word * 32));
    return bits === 0 ? 0 : -1 << (32 - bits);
  });
  return [...prefix.words.map((value, word) => value & masks[word]), ...masks];
}

function within(tests: Int32Array, at: number, a0: number, a1: number, a2: number, a3: number): boolean {
  // A prefix shorter than the mapped one is IPv6's: ::/0 is all of IPv6 and nothing of IPv4.
  if (tests[at + 6] !== -1 && a2 === MAPPED && a1 === 0 && a0 === 0) return false;
  return (
    (a3 & tests[at + 7]) === tests[at + 3] &&
    (a2 & tests[at + 6]) === tests[at + 2] &&
    (a1 & tests[at + 5]) === tests[at + 1] &&
    (a0 & tests[at + 4]) === tests[at]
  );
}

function same(tests: Int32Array, at: number, a0: number, a1: number, a2: number, a3: number): boolean {
  return (
    tests[at + 3] === (a3 | 0) && tests[at + 2] === (a2 | 0) && tests[at + 1] === (a1 | 0) && tests[at] === (a0 | 0)
  );
}
