/**
 * The firewall's rules as a list that can be asked by source address alone, longest prefix first: what the XDP program
 * holds, so that a flood dies in the driver. The rules are the first match's, and may ask for more than the source.
 *
 * What the list denies, the rules deny, whatever destination, protocol and port. The other way round holds while the list
 * is `exact`; else what the list lets pass is judged by the rules as before. Why one walk over the rules is enough:
 *
 * - A prefix goes into the list unless an earlier one covers it. Earlier prefixes inside it are longer, so they win in
 *   the list as they do in the rules.
 * - An allow rule with more tests than the source may let anything of its sources pass: it counts as if it had none.
 * - A deny rule with more tests denies some of its sources' packets and leaves the others to the rules that follow. If
 *   these deny as well, all are denied: it counts as if it were not there.
 * - A rule that judges tunnel requests only (by their attributes, or by a limit) has more tests than the source: allowing
 *   or limiting, it may let requests pass, so their sources are left to the rules; denying, it counts as if it were not
 *   there.
 */
import { isRequestRule, type RuleInput, type RulePrefix } from './rule-list.js';

export type AddressWords = readonly [number, number, number, number];

/** Values in the program's map. */
export const DENY_LIST_ALLOW = 1;
export const DENY_LIST_DENY = 2;

/** Entries of a list. The program's map has room for two, since a change enters new ones before old ones go. */
export const DENY_LIST_LIMIT = 65536;

export interface DenyEntry {
  /** Signed; bits beyond the prefix are 0. IPv4 is IPv4-mapped. */
  readonly words: AddressWords;
  /** 0 … 128 */
  readonly length: number;
  /** DENY_LIST_ALLOW or DENY_LIST_DENY */
  readonly action: number;
}

export interface DenyList {
  readonly entries: readonly DenyEntry[];
  /** A source that no entry covers is denied. */
  readonly denyByDefault: boolean;
  /** It denies all that the rules deny, of sources that are not exempt. */
  readonly exact: boolean;
}

const FULL_LENGTH = 128;
/** IPv4 begins here: ::ffff:0:0/96. */
const MAPPED_LENGTH = 96;
const MAPPED_WORD = 0xffff;
const EVERYTHING: readonly RulePrefix[] = [
  { words: [0, 0, 0, 0], length: 0 },
  { words: [0, 0, MAPPED_WORD, 0], length: MAPPED_LENGTH },
];

/**
 * `exempt`: addresses that are never judged, whatever the rules say (servers, where they share the outside with clients).
 * `limit`: entries that the list may have; what does not fit is left to the rules, and nothing is denied by default then.
 */
export function compileDenyList(
  rules: readonly RuleInput[],
  denyByDefault: boolean,
  exempt: readonly AddressWords[] = [],
  limit: number = DENY_LIST_LIMIT,
): DenyList {
  const list = new PrefixList(limit);
  for (const words of exempt) list.add({ words, length: FULL_LENGTH }, DENY_LIST_ALLOW);
  let exact = true;
  for (const rule of rules) {
    const more = rule.to.length > 0 || rule.vips.length > 0 || rule.protocols.length > 0 || isRequestRule(rule);
    const prefixes = rule.from.length > 0 ? rule.from : EVERYTHING;
    // What earlier rules have decided, this one does not touch.
    if (more && prefixes.some((prefix) => !list.covers(prefix))) exact = false;
    if (more && rule.action === 'deny') continue;
    for (const prefix of prefixes) list.add(prefix, rule.action === 'deny' ? DENY_LIST_DENY : DENY_LIST_ALLOW);
  }
  const byDefault = denyByDefault && !list.full;
  return {
    entries: list.entries(byDefault ? DENY_LIST_DENY : DENY_LIST_ALLOW),
    denyByDefault: byDefault,
    exact: exact && !list.full,
  };
}

/** Distinct prefixes, none of them inside an earlier one. */
class PrefixList {
  /** Something did not fit; from then on nothing is added, since what follows counts only behind what is missing. */
  full = false;
  readonly #byKey = new Map<string, DenyEntry>();
  /** Lengths in use, to be asked for. */
  readonly #lengths = new Set<number>();
  #hidesIpv4 = false;

  constructor(readonly limit: number) {}

  add(prefix: RulePrefix, action: number): void {
    if (this.full || this.covers(prefix)) return;
    const words = masked(prefix.words, prefix.length);
    const short = !isIpv4(words, prefix.length) && reachesIpv4(words, prefix.length);
    const needed = this.#byKey.size + 1 + (short || this.#hidesIpv4 ? 1 : 0);
    if (needed > this.limit) {
      this.full = true;
      return;
    }
    if (short) this.#hidesIpv4 = true;
    this.#byKey.set(keyOf(words, prefix.length), { words, length: prefix.length, action });
    this.#lengths.add(prefix.length);
  }

  /** An earlier prefix decides for every address of this one. */
  covers(prefix: RulePrefix): boolean {
    const ipv4 = isIpv4(prefix.words, prefix.length);
    for (const length of this.#lengths) {
      // A prefix that is shorter than the mapped one is IPv6's, also around the mapped addresses (rule-list.ts).
      if (length > prefix.length || (ipv4 && length < MAPPED_LENGTH)) continue;
      if (this.#byKey.has(keyOf(masked(prefix.words, length), length))) return true;
    }
    return false;
  }

  entries(byDefault: number): DenyEntry[] {
    const entries = [...this.#byKey.values()];
    // In the list, unlike in the rules, ::/0 would be IPv4's too: an entry in between says what IPv4 gets by default.
    const mapped = masked([0, 0, MAPPED_WORD, 0], MAPPED_LENGTH);
    if (this.#hidesIpv4 && !this.#byKey.has(keyOf(mapped, MAPPED_LENGTH))) {
      entries.push({ words: mapped, length: MAPPED_LENGTH, action: byDefault });
    }
    return entries;
  }
}

/** All its addresses are IPv4's. */
function isIpv4(words: AddressWords, length: number): boolean {
  return length >= MAPPED_LENGTH && words[0] === 0 && words[1] === 0 && words[2] === MAPPED_WORD;
}

/** IPv4's addresses are among its own. */
function reachesIpv4(words: AddressWords, length: number): boolean {
  const mapped = masked([0, 0, MAPPED_WORD, 0], length);
  return mapped.every((word, i) => word === words[i]);
}

function masked(words: AddressWords, length: number): AddressWords {
  const cut = (word: number): number => {
    const bits = Math.min(32, Math.max(0, length - word * 32));
    return bits === 0 ? 0 : words[word] & (-1 << (32 - bits));
  };
  return [cut(0), cut(1), cut(2), cut(3)];
}

function keyOf(words: AddressWords, length: number): string {
  return `${words.join('.')}/${length}`;
}

/**
 * What turns one list into another in place, to be done in this order: denying entries that the other one has not are
 * removed, allowing ones entered, denying ones entered, allowing ones removed. So at no time is anybody denied whom both
 * lists allow.
 */
export interface DenyListChange {
  readonly removeFirst: readonly DenyEntry[];
  readonly put: readonly DenyEntry[];
  readonly removeLast: readonly DenyEntry[];
}

export function denyListChange(before: readonly DenyEntry[], after: readonly DenyEntry[]): DenyListChange {
  const old = new Map(before.map((entry) => [keyOf(entry.words, entry.length), entry]));
  const put: DenyEntry[] = [];
  for (const entry of after) {
    const key = keyOf(entry.words, entry.length);
    if (old.get(key)?.action !== entry.action) put.push(entry);
    old.delete(key);
  }
  put.sort((a, b) => a.action - b.action);
  const gone = [...old.values()];
  return {
    removeFirst: gone.filter(({ action }) => action === DENY_LIST_DENY),
    put,
    removeLast: gone.filter(({ action }) => action !== DENY_LIST_DENY),
  };
}
