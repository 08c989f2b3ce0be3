/**
 * Takes over a dead peer's own addresses, where no designator is in front (document 002: the peer takes its place): gives
 * them to an interface, says so to the LAN, and says it again as long as they are held, for those who heard the dead one
 * last. Only what was not there before is taken away again.
 */
import type { AddressWords } from '../../wire/address.js';
import { formatWords } from '../../wire/address.js';

export interface TakenAddress {
  readonly words: AddressWords;
  /** Bits of its network. */
  readonly length: number;
  /** Name of the interface. */
  readonly device: string;
}

/** The host, as far as it is changed; a test may be it. */
export interface AddressHost {
  indexOf(device: string): number;
  /** False: it is there already. Errors: the kernel's. */
  addAddress(index: number, words: AddressWords, length: number): boolean;
  removeAddress(index: number, words: AddressWords, length: number): boolean;
  /** Returns how many announcements left. Errors: the system's. */
  announce(device: string, addresses: readonly AddressWords[]): number;
}

export interface AddressResult {
  readonly address: string;
  readonly device: string;
  /** `held`: the interface had it already, and keeps it. */
  readonly state: 'taken' | 'held' | 'failed';
  readonly reason: string | null;
}

/** After the first announcement: a single frame may be lost, and caches that were just filled refuse changes for a second. */
const AGAIN_MS = [100, 300, 1100, 3000] as const;

export class AddressTakeOver {
  /** Addresses that are held, and whether they were added here. */
  readonly #held = new Map<TakenAddress, boolean>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #repeat: NodeJS.Timeout | null = null;
  /** Announcements that left. */
  announced = 0;
  /** … and that could not leave. */
  unsent = 0;

  constructor(
    readonly host: AddressHost,
    readonly announceEveryMs: number,
  ) {}

  /** Takes them at once; the announcements go on by themselves. Never throws: a failure is one address's. */
  take(addresses: readonly TakenAddress[]): AddressResult[] {
    const results = addresses.map((address) => this.#take(address));
    this.#announce();
    for (const ms of AGAIN_MS) this.#later(ms);
    if (this.#repeat === null && this.#held.size > 0) {
      this.#repeat = setInterval(() => this.#announce(), this.announceEveryMs);
      this.#repeat.unref();
    }
    return results;
  }

  /** Gives back what was taken. */
  release(): AddressResult[] {
    this.#stopAnnouncing();
    const results: AddressResult[] = [];
    for (const [address, added] of this.#held) {
      let reason: string | null = null;
      try {
        if (added) this.host.removeAddress(this.host.indexOf(address.device), address.words, address.length);
      } catch (error) {
        reason = (error as Error).message;
      }
      const state = reason !== null ? 'failed' : added ? 'taken' : 'held';
      results.push({ address: formatWords(address.words), device: address.device, state, reason });
    }
    this.#held.clear();
    return results;
  }

  /** As text. */
  get held(): readonly string[] {
    return [...this.#held.keys()].map(({ words }) => formatWords(words));
  }

  #take(address: TakenAddress): AddressResult {
    const { words, length, device } = address;
    const row = { address: formatWords(words), device };
    const same = [...this.#held.keys()].some(
      (other) => other.device === device && formatWords(other.words) === row.address,
    );
    if (same) return { ...row, state: 'held', reason: null };
    try {
      const added = this.host.addAddress(this.host.indexOf(device), words, length);
      this.#held.set(address, added);
      return { ...row, state: added ? 'taken' : 'held', reason: null };
    } catch (error) {
      return { ...row, state: 'failed', reason: (error as Error).message };
    }
  }

  #announce(): void {
    const byDevice = new Map<string, AddressWords[]>();
    for (const { device, words } of this.#held.keys()) byDevice.set(device, [...(byDevice.get(device) ?? []), words]);
    for (const [device, words] of byDevice) {
      let sent = 0;
      try {
        sent = this.host.announce(device, words);
      } catch {
        sent = 0; // the interface may be down for a moment: the next round tells
      }
      this.announced += sent;
      this.unsent += words.length - sent;
    }
  }

  #later(ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#announce();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }

  #stopAnnouncing(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (this.#repeat !== null) clearInterval(this.#repeat);
    this.#repeat = null;
  }
}
