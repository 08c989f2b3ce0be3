/**
 * Floating server ports on their way into the host's drop filter: shards ask, the filter is told, the shards go on. Ports
 * that no tunnel uses any more are taken out again, slowly.
 */
import type { AddressTable } from '../../flow/address-table.js';
import { formatAddress } from '../../wire/address.js';

export interface PortFilter {
  addServerPorts(ports: readonly { address: string; port: number }[]): Promise<void>;
  removeServerPorts(ports: readonly { address: string; port: number }[]): Promise<void>;
}

/** Rounds (10 s each) that an unused port stays: its tunnel may just be coming up. */
const IDLE_ROUNDS = 3;
/** Shards read their mail within a turn. */
const FORGET_MS = 200;

export class FloatingKeeper {
  /** Registered places, address index << 16 | port → rounds without a tunnel. */
  readonly #registered = new Map<number, number>();

  constructor(
    readonly addresses: AddressTable,
    readonly filter: PortFilter,
    readonly inUse: () => Set<number>,
    readonly ready: (places: readonly number[]) => void,
    readonly forget: (places: readonly number[]) => void,
    readonly failed: (error: Error) => void,
  ) {
    for (const place of inUse()) this.#registered.set(place, 0); // adopted tunnels: the filter was made with them
  }

  get known(): Iterable<number> {
    return this.#registered.keys();
  }

  register(places: readonly number[]): void {
    this.filter.addServerPorts(places.map((place) => this.#port(place))).then(() => {
      for (const place of places) this.#registered.set(place, 0);
      this.ready(places);
    }, this.failed);
  }

  async prune(): Promise<void> {
    const used = this.inUse();
    const gone: number[] = [];
    for (const [place, rounds] of this.#registered) {
      if (used.has(place)) this.#registered.set(place, 0);
      else if (rounds + 1 < IDLE_ROUNDS) this.#registered.set(place, rounds + 1);
      else gone.push(place);
    }
    if (gone.length === 0) return;
    // Shards forget first, so that a tunnel which uses the port again asks for it anew; what came in between stays.
    for (const place of gone) this.#registered.delete(place);
    this.forget(gone);
    await new Promise((resolve) => setTimeout(resolve, FORGET_MS));
    const again = this.inUse();
    const unused = gone.filter((place) => !again.has(place) && !this.#registered.has(place));
    for (const place of gone) if (again.has(place)) this.#registered.set(place, 0);
    await this.filter.removeServerPorts(unused.map((place) => this.#port(place))).catch(this.failed);
  }

  #port(place: number): { address: string; port: number } {
    const index = place >>> 16;
    const a = this.addresses;
    return {
      address: formatAddress(a.word(index, 0), a.word(index, 1), a.word(index, 2), a.word(index, 3)),
      port: place & 0xffff,
    };
  }
}
