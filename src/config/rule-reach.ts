/**
 * Rules that can never match: what they ask for excludes itself, or earlier rules have decided about all of it. Where this
 * is not certain nothing is said.
 */
import { Glob } from '../flow/glob.js';
import { isRequestRule, type RuleAttributes } from '../flow/rule-list.js';
import type { AddressWords, CompiledConfig, CompiledRule, CompiledVip, Prefix, RuleProtocol } from './compiled.js';
import { parsePrefix } from './values.js';

const UDP = 17;

/** A finding, with its place in the file. */
export interface ReachWarning {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What no packet comes from: RFC 1122 §3.2.1.3, RFC 4291 §2.5 and §2.7. */
const NO_SOURCES: readonly Prefix[] = ['127.0.0.0/8', '224.0.0.0/4', '255.255.255.255', '::', '::1', 'ff00::/8'].map(
  (text) => (parsePrefix(text) as { value: Prefix }).value,
);

export function checkRuleReach({ firewall, vips }: CompiledConfig): ReachWarning[] {
  const warnings: ReachWarning[] = [];
  const earlier: { rule: CompiledRule; index: number }[] = [];
  firewall.rules.forEach((rule, index) => {
    const path = ['firewall', 'rules', index];
    const impossible = contradiction(rule, vips);
    if (impossible !== null) {
      warnings.push({ path: [...path, rule.action], message: `never matches: ${impossible}` });
      return;
    }
    const decided = deciders(rule, earlier, vips);
    if (decided !== null) warnings.push({ path, message: `never reached: ${decided}` });
    else earlier.push({ rule, index });
  });
  return warnings;
}

// ── what excludes itself ────────────────────────────────────────────────────────────────────────────────────────────

function contradiction(rule: CompiledRule, vips: readonly CompiledVip[]): string | null {
  const { from, to } = rule;
  if (from.length > 0 && from.every((prefix) => NO_SOURCES.some((none) => holds(none, prefix))))
    return 'no packet comes from there';
  if (from.length > 0 && to.length > 0 && !from.some(({ family }) => to.some((other) => other.family === family)))
    return 'from and to are of different IP families';
  const request = isRequestRule(rule);
  if (request && rule.protocols.length > 0 && !rule.protocols.some(carriesRequests))
    return `it is for tunnel requests, which are no ${rule.protocols.map(({ text }) => text).join(' or ')}`;
  if (!meansVips(rule)) return null;
  let left = vips.filter(({ name }) => rule.vips.length === 0 || rule.vips.includes(name));
  const what = rule.vips.length === 0 ? 'any VIP' : `VIP ${rule.vips.join(' or ')}`;
  if (request || rule.protocols.every(({ tunnel }) => tunnel !== null)) {
    left = left.filter((vip) => rule.protocols.length === 0 || rule.protocols.some((p) => takes(vip, p)));
    if (left.length === 0) return `${what} does not take ${rule.protocols.map(({ text }) => text).join(' or ')}`;
  }
  left = left.filter((vip) => to.length === 0 || to.some((prefix) => contains(prefix, vip.words)));
  if (left.length === 0) return `to does not hold the address of ${what}`;
  left = left.filter((vip) => from.length === 0 || from.some(({ family }) => family === vip.family));
  return left.length === 0 ? `from is not of the IP family of ${what}` : null;
}

const carriesRequests = ({ tunnel, number }: RuleProtocol): boolean => tunnel !== null || number === UDP;

const takes = (vip: CompiledVip, protocol: RuleProtocol): boolean =>
  protocol.tunnel === null ? protocol.number === UDP : vip.protocols.includes(protocol.tunnel);

/** All that it matches goes to VIPs. */
function meansVips(rule: CompiledRule): boolean {
  return isRequestRule(rule) || rule.vips.length > 0 || isTunnelsOnly(rule);
}

function isTunnelsOnly({ protocols }: CompiledRule): boolean {
  return protocols.length > 0 && protocols.every(({ tunnel }) => tunnel !== null);
}

// ── what is decided before ──────────────────────────────────────────────────────────────────────────────────────────

/** In words, which earlier rules decide about all that `rule` matches; null when they do not. */
function deciders(
  rule: CompiledRule,
  earlier: readonly { rule: CompiledRule; index: number }[],
  vips: readonly CompiledVip[],
): string | null {
  const wide = earlier.filter((other) => coversApartFromSource(other.rule, rule, vips));
  const whole = wide.find((other) => coversSource([other.rule], rule));
  if (whole !== undefined) {
    const all = matchesEverything(whole.rule);
    return `rule ${whole.index} already matches ${all ? 'every packet' : 'all that it matches'}`;
  }
  if (
    wide.length < 2 ||
    !coversSource(
      wide.map((other) => other.rule),
      rule,
    )
  )
    return null;
  return `rules ${wide.map(({ index }) => index).join(', ')} together already match all that it matches`;
}

function matchesEverything(rule: CompiledRule): boolean {
  return (
    !isRequestRule(rule) &&
    [rule.from, rule.to, rule.vips, rule.protocols].every((tests: readonly unknown[]) => tests.length === 0)
  );
}

function coversApartFromSource(one: CompiledRule, other: CompiledRule, vips: readonly CompiledVip[]): boolean {
  const request = isRequestRule(other);
  if (isRequestRule(one) && !request) return false;
  const places = meansVips(other)
    ? vips.filter(
        (vip) =>
          (other.vips.length === 0 || other.vips.includes(vip.name)) &&
          (other.to.length === 0 || other.to.some((prefix) => contains(prefix, vip.words))),
      )
    : null;
  if (one.vips.length > 0 && !(places?.every(({ name }) => one.vips.includes(name)) ?? false)) return false;
  const within = (prefix: Prefix): boolean => one.to.some((wider) => holds(wider, prefix));
  const toIsCovered =
    one.to.length === 0 ||
    (other.to.length > 0 && other.to.every(within)) ||
    (places?.every((vip) => one.to.some((prefix) => contains(prefix, vip.words))) ?? false);
  return toIsCovered && coversProtocols(one, other, request) && coversAttributes(one, other);
}

function coversProtocols(one: CompiledRule, other: CompiledRule, request: boolean): boolean {
  if (one.protocols.length === 0) return true;
  // All tunnel requests there are: of each protocol that this version can do, over UDP.
  if (request && one.protocols.some(carriesRequests)) {
    const tunnels = other.protocols.filter(({ tunnel }) => tunnel !== null);
    if (one.protocols.some(({ number }) => number === UDP)) return true;
    return tunnels.length > 0 && tunnels.length === other.protocols.length && tunnels.every((p) => named(one, p));
  }
  if (other.protocols.length === 0) return false;
  return other.protocols.every(
    (p) => named(one, p) || (p.tunnel !== null && one.protocols.some(({ number }) => number === UDP)),
  );
}

const named = (rule: CompiledRule, { tunnel, number }: RuleProtocol): boolean =>
  rule.protocols.some((own) => own.tunnel === tunnel && own.number === number);

function coversAttributes(one: CompiledRule, other: CompiledRule): boolean {
  const wanted = one.attributes ?? null;
  if (wanted === null) return true;
  const has: RuleAttributes = other.attributes ?? {};
  // What cannot be read meets the tests of a rule that denies or limits, and not those of one that allows.
  if (one.action === 'allow' && other.action !== 'allow') return false;
  const texts = (a?: readonly string[], b?: readonly string[]): boolean =>
    a === undefined || (b?.every((pattern) => a.some((wide) => new Glob(wide).covers(new Glob(pattern)))) ?? false);
  const numbers = (a?: readonly number[], b?: readonly number[]): boolean =>
    a === undefined || (b?.every((value) => a.includes(value)) ?? false);
  const ranges = (a: RuleAttributes['channel'], b: RuleAttributes['channel']): boolean =>
    a === undefined || (b?.every(([from, to]) => a.some(([least, most]) => least <= from && to <= most)) ?? false);
  return (
    texts(wanted.hostName, has.hostName) &&
    texts(wanted.vendorName, has.vendorName) &&
    numbers(wanted.protocolVersion, has.protocolVersion) &&
    numbers(wanted.framing, has.framing) &&
    numbers(wanted.bearer, has.bearer) &&
    ranges(wanted.channel, has.channel)
  );
}

// ── prefixes ────────────────────────────────────────────────────────────────────────────────────────────────────────

const EVERYWHERE: readonly Prefix[] = ['0.0.0.0/0', '::/0'].map(
  (text) => (parsePrefix(text) as { value: Prefix }).value,
);

/** Does every source of `rule` belong to one of these rules? */
function coversSource(rules: readonly CompiledRule[], rule: CompiledRule): boolean {
  if (rules.some(({ from }) => from.length === 0)) return true;
  const wide = rules.flatMap(({ from }) => from);
  return (rule.from.length === 0 ? EVERYWHERE : rule.from).every((prefix) =>
    isFilled(
      prefix,
      wide.filter(({ family }) => family === prefix.family),
    ),
  );
}

/** Do these prefixes of its family fill all of it? Halves are looked at as long as there is a prefix inside. */
function isFilled(prefix: Pick<Prefix, 'words' | 'length'>, by: readonly Prefix[]): boolean {
  if (by.some((wide) => holds(wide, prefix))) return true;
  const inside = by.filter((narrow) => holds(prefix, narrow));
  if (inside.length === 0) return false;
  const length = prefix.length + 1;
  return [0, 1].every((bit) => {
    const words = prefix.words.map((word, i) =>
      bit === 1 && i === prefix.length >>> 5 ? (word | (1 << (31 - (prefix.length & 31)))) >>> 0 : word,
    ) as unknown as AddressWords;
    return isFilled({ words, length }, inside);
  });
}

/** `wide` holds all of `narrow`. Prefixes of IPv6 that are shorter than the mapped one hold no IPv4. */
function holds(wide: Pick<Prefix, 'words' | 'length'>, narrow: Pick<Prefix, 'words' | 'length'>): boolean {
  return wide.length <= narrow.length && contains(wide, narrow.words);
}

function contains({ words, length }: Pick<Prefix, 'words' | 'length'>, address: AddressWords): boolean {
  const ipv4 = address[0] === 0 && address[1] === 0 && address[2] === 0xffff;
  if (ipv4 && length < 96) return false;
  return words.every((word, i) => {
    const bits = Math.min(32, Math.max(0, length - i * 32));
    return bits === 0 || ((word ^ address[i]) & (-1 << (32 - bits))) === 0;
  });
}
