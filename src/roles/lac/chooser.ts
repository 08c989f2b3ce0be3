/** Which LNS a call goes to, as far as the configuration says: the client's statement, numbers, and the table. */
import type { LacConfig, LacChoice, LnsOrder } from '../../config/lac.js';
import { Glob } from '../../flow/glob.js';
import type { LnsTarget, TargetBook, TargetOrder } from './targets.js';

/** What is known of a call when its LNS is chosen. */
export interface CallFacts {
  /** As the client gave it; null with relay. */
  readonly user: string | null;
  readonly service: string;
  readonly interface: string;
  /** The client's MAC address. */
  readonly client: string;
  readonly called: string;
  readonly calling: string;
}

/** What a source says: where to, nothing, or that the call is to be refused. */
export type Choice = TargetOrder | null | { readonly refused: string };

/** `choose` without what has to be asked for elsewhere. */
export type LocalChoice = Exclude<LacChoice, 'radius'>;

type Condition = (value: string | null) => boolean;

interface Row {
  readonly conditions: readonly (readonly [field: (facts: CallFacts) => string | null, condition: Condition])[];
  readonly order: TargetOrder;
}

const encoder = new TextEncoder();

export class Chooser {
  readonly #config: LacConfig;
  readonly #book: TargetBook;
  readonly #table: readonly Row[];
  readonly #numbers: readonly Row[];
  readonly #allowed: ReadonlySet<string>;

  constructor(config: LacConfig, book: TargetBook) {
    this.#config = config;
    this.#book = book;
    this.#allowed = new Set(config.statement.allow);
    this.#table = config.table.map((row) => ({
      conditions: [
        [({ user }) => realmOf(user === null ? null : this.#bare(user)), matching(row.realm)],
        [({ user }) => user, matching(row.user)],
        [({ service }) => service, matching(row.service)],
        [(facts) => facts.interface, matching(row.interface)],
        [({ client }) => client, matching(row.client)],
      ],
      order: this.#targets(row.lns),
    }));
    this.#numbers = config.numbers.map((row) => ({
      conditions: [
        [({ called }) => called, matching(row.called)],
        [({ calling }) => calling, matching(row.calling)],
      ],
      order: this.#targets(row.lns),
    }));
  }

  choose(source: LocalChoice, facts: CallFacts): Choice {
    if (source === 'client') return this.#stated(facts);
    const rows = source === 'table' ? this.#table : this.#numbers;
    const found = rows.find(({ conditions }) => conditions.every(([field, condition]) => condition(field(facts))));
    return found?.order ?? null;
  }

  /** Key of the group that a call is of (`groupBy`), small letters; null: none, or not known. */
  groupOf({ user, calling }: Pick<CallFacts, 'user' | 'calling'>): string | null {
    const { groupBy } = this.#config;
    if (groupBy === null) return null;
    const name = user === null ? null : this.#bare(user);
    const key = groupBy === 'calling-number' ? calling : groupBy === 'user' ? name : realmOf(name);
    return key === null || key === '' ? null : key.toLowerCase();
  }

  /** The user name as RADIUS and the LNS are told it. */
  tellName(user: string): string {
    return this.#config.statement.strip ? this.#bare(user) : user;
  }

  /** A realm ends where a statement begins. */
  #bare(user: string): string {
    const at = this.#config.statement.in === 'user' ? this.#statementAt(user) : -1;
    return at < 0 ? user : user.slice(0, at);
  }

  #stated(facts: CallFacts): Choice {
    const text = this.#config.statement.in === 'user' ? facts.user : facts.service;
    const at = text === null ? -1 : this.#statementAt(text);
    if (text === null || at < 0) return null;
    const wanted = text.slice(at + this.#config.statement.separator.length);
    const target = this.#book.byName.get(wanted) as LnsTarget;
    return this.#allowed.has(wanted) ? [[target]] : { refused: 'the client asked for an LNS that it may not have' };
  }

  /** Only the name of an LNS is a statement: separators may stand in names for other reasons. */
  #statementAt(text: string): number {
    if (this.#allowed.size === 0) return -1;
    const { separator } = this.#config.statement;
    const at = text.lastIndexOf(separator);
    return at >= 0 && this.#book.byName.has(text.slice(at + separator.length)) ? at : -1;
  }

  #targets(order: LnsOrder): TargetOrder {
    return order.map((names) => names.map((name) => this.#book.byName.get(name) as LnsTarget));
  }
}

/** What follows the last @, or stands before a backslash (`ISP\alice`); null when there is neither. */
export function realmOf(user: string | null): string | null {
  if (user === null) return null;
  const at = user.lastIndexOf('@');
  if (at >= 0) return user.slice(at + 1);
  const back = user.indexOf('\\');
  return back > 0 ? user.slice(0, back) : null;
}

/** Without patterns everything matches, also what is not known. */
function matching(patterns: readonly string[] | null): Condition {
  if (patterns === null) return () => true;
  const globs = patterns.map((pattern) => new Glob(pattern));
  return (value) => {
    if (value === null) return false;
    const bytes = encoder.encode(value);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return globs.some((glob) => glob.matches(view, 0, bytes.length));
  };
}
