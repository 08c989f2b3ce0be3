/**
 * The host's filter: AF_PACKET is only a tap, so what the designator handles, and what its firewall denies, reaches the
 * host as well. One nftables table at the ingress of both devices, behind the tap, takes it away (docs/decisions/0004).
 * Runs of nft never overlap; what is asked for while one is in flight goes together into the next one.
 */
import {
  type FilterPlace,
  type HostFilterInput,
  renderHostFilter,
  renderPlaces,
  renderRemoval,
  tableName,
} from './host-filter-text.js';
import { type FilterGuard, guardTable } from './host-filter-guard.js';
import { runNft } from './host-nft.js';

export { type FilterPlace, type HostFilterInput, renderHostFilter, tableName } from './host-filter-text.js';

export interface HostFilterOptions {
  /** Words in front of nft: `['ip', 'netns', 'exec', name]`. */
  readonly prefix?: readonly string[];
  /** Runs a script of nft; default: nft(8). */
  readonly run?: (script: string) => Promise<void>;
  /** Watches over the table; default: by the kernel's notices, and not at all with a `prefix` or a `run`. */
  readonly guard?: (table: string, onGone: () => void) => FilterGuard;
  /** Somebody took the table away. null: it is back; else it could not be written again. */
  readonly onLost?: (error: Error | null) => void;
}

/** What waits for the next run. */
interface Batch {
  /** The table as a whole is written; else only the sets change. */
  whole: boolean;
  removed: boolean;
  /** Wanted state of a place, by its key. */
  readonly places: Map<string, { readonly place: FilterPlace; readonly wanted: boolean }>;
  readonly done: Promise<void>;
}

export class HostFilter {
  readonly table: string;
  readonly #run: (script: string) => Promise<void>;
  #input: HostFilterInput;
  /** Ports in the sets, by "address port": of the input and those added since. */
  #places: Map<string, FilterPlace>;
  /** The table should be there: without it a change of ports is only remembered. */
  #installed = false;
  #next: Batch | null = null;
  #tail: Promise<void> = Promise.resolve();
  readonly #openGuard: HostFilterOptions['guard'];
  readonly #onLost: (error: Error | null) => void;
  #guard: FilterGuard | null = null;

  constructor(input: HostFilterInput, options: HostFilterOptions = {}) {
    this.table = tableName(input.outside);
    this.#run = options.run ?? ((script) => runNft(script, options.prefix));
    this.#input = input;
    this.#places = byKey(input.floating);
    this.#openGuard =
      options.guard ?? (options.prefix === undefined && options.run === undefined ? guardTable : undefined);
    this.#onLost = options.onLost ?? (() => {});
  }

  /** Writes the table, in place of one that a dead process left. Errors as of `runNft`. */
  install(): Promise<void> {
    const batch = this.#batch();
    batch.whole = true;
    batch.removed = false;
    return batch.done;
  }

  /**
   * New contents in one transaction: no packet sees the table half made. Ports that were added since and are not in the
   * new input stay, their tunnels may just be coming up.
   */
  update(input: HostFilterInput): Promise<void> {
    this.#input = input;
    const batch = this.#batch();
    for (const [key, place] of byKey(input.floating)) batch.places.set(key, { place, wanted: true });
    batch.whole = true;
    batch.removed = false;
    return batch.done;
  }

  /** Resolves when the host gets nothing from these ports any more. */
  addServerPorts(places: readonly FilterPlace[]): Promise<void> {
    return this.#change(places, true);
  }

  removeServerPorts(places: readonly FilterPlace[]): Promise<void> {
    return this.#change(places, false);
  }

  /** The host gets everything again. */
  remove(): Promise<void> {
    const batch = this.#batch();
    batch.removed = true;
    return batch.done;
  }

  #restore(): void {
    if (!this.#installed) return;
    this.install().then(() => this.#onLost(null), this.#onLost);
  }

  #change(places: readonly FilterPlace[], wanted: boolean): Promise<void> {
    if (places.length === 0) return Promise.resolve();
    const batch = this.#batch();
    for (const place of places) batch.places.set(keyOf(place), { place, wanted });
    return batch.done;
  }

  /** The batch that has not begun; a new one begins when the run before it has ended. */
  #batch(): Batch {
    if (this.#next !== null) return this.#next;
    const done = this.#tail.then(() => this.#perform());
    this.#tail = done.catch(() => {}); // the callers hear of it; the next run does not depend on it
    this.#next = { whole: false, removed: false, places: new Map(), done };
    return this.#next;
  }

  async #perform(): Promise<void> {
    const batch = this.#next as Batch;
    this.#next = null;
    const before = this.#places;
    const after = new Map(before);
    for (const [key, { place, wanted }] of batch.places) {
      if (wanted) after.set(key, place);
      else after.delete(key);
    }
    const whole = (): Promise<void> => this.#run(renderHostFilter({ ...this.#input, floating: [...after.values()] }));
    if (batch.removed) {
      this.#installed = false;
      this.#guard?.close();
      this.#guard = null;
      await this.#run([...renderRemoval(this.table), ''].join('\n'));
    } else if (batch.whole) {
      await whole();
      this.#installed = true;
      this.#guard ??= this.#openGuard?.(this.table, () => this.#restore()) ?? null;
    } else if (this.#installed) {
      const script = difference(this.table, before, after);
      // Somebody may have flushed the ruleset: then the elements have no table, and the table is written anew.
      if (script !== '') await this.#run(script).catch(whole);
    }
    this.#places = after;
  }
}

/** The script that leads from one state of the sets to another, '' when there is nothing to do. */
function difference(
  table: string,
  before: ReadonlyMap<string, FilterPlace>,
  after: ReadonlyMap<string, FilterPlace>,
): string {
  const portsOf = (places: ReadonlyMap<string, FilterPlace>): Set<number> =>
    new Set([...places.values()].map(({ port }) => port));
  const missing = (from: ReadonlyMap<string, FilterPlace>, to: ReadonlyMap<string, FilterPlace>): FilterPlace[] =>
    [...from].flatMap(([key, place]) => (to.has(key) ? [] : [place]));
  const added = missing(after, before);
  const gone = missing(before, after);
  if (added.length === 0 && gone.length === 0) return '';
  const portsBefore = portsOf(before);
  const portsAfter = portsOf(after);
  return (
    renderPlaces(
      'add',
      table,
      added,
      [...portsAfter].filter((port) => !portsBefore.has(port)),
    ) +
    renderPlaces(
      'delete',
      table,
      gone,
      [...portsBefore].filter((port) => !portsAfter.has(port)),
    )
  );
}

function byKey(places: readonly FilterPlace[]): Map<string, FilterPlace> {
  return new Map(places.map((place) => [keyOf(place), place]));
}

function keyOf({ address, port }: FilterPlace): string {
  return `${address} ${port}`;
}

/** Takes away the table that a dead process left; false when there is none. Errors: those of `runNft`. */
export async function removeHostFilter(
  outside: HostFilterInput['outside'],
  run: (script: string) => Promise<void> = runNft,
): Promise<boolean> {
  try {
    await run(`delete table netdev ${tableName(outside)}\n`);
    return true;
  } catch (error) {
    if (/No such file or directory/.test(String((error as { context?: { complaint?: string } }).context?.complaint)))
      return false;
    throw error;
  }
}
