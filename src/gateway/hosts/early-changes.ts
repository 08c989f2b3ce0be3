/** Changes that came before those that they follow: they wait, a bounded number of them, and of one term only. */
import type { HostRecord } from '../../wire/gateway-hosts.js';

const LIMIT = 4096;

export class EarlyChanges {
  readonly #records = new Map<number, HostRecord>();
  #term = 0;

  get size(): number {
    return this.#records.size;
  }

  /** A change of a later term than those that wait takes their place. */
  keep(term: number, version: number, record: HostRecord): 'kept' | 'known' | 'full' {
    if (term !== this.#term) {
      this.#records.clear();
      this.#term = term;
    }
    if (this.#records.has(version)) return 'known';
    if (this.#records.size >= LIMIT) return 'full';
    this.#records.set(version, record);
    return 'kept';
  }

  /** The table stands at this version of this term: what came with it is no news any more. */
  reached(term: number, version: number): void {
    if (this.#term < term) this.#records.clear();
    if (this.#term !== term) return;
    for (const early of this.#records.keys()) if (early <= version) this.#records.delete(early);
  }

  /** The change with this version, which does not wait any longer. */
  take(term: number, version: number): HostRecord | undefined {
    if (term !== this.#term) return undefined;
    const record = this.#records.get(version);
    this.#records.delete(version);
    return record;
  }

  /** All of them, in order, as they are: what lacks in between is not known. They do not wait any longer. */
  takeAll(): HostRecord[] {
    const inOrder = [...this.#records].sort(([a], [b]) => a - b).map(([, record]) => record);
    this.#records.clear();
    return inOrder;
  }
}
