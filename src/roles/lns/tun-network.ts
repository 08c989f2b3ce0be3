/** What the LNS changes of the host's network: its own address on the TUN device, and the routes of its pools to it. */
import { HostChanges, type HostRoute } from '../../io/host-changes.js';
import { native } from '../../io/native.js';
import type { AddressWords } from '../../config/compiled.js';
import type { LnsPool } from '../../config/lns.js';
import type { AddressRange } from '../../config/values.js';

const IPV4_OFFSET = 96;

/** Prefixes of the host's routing table, without the interface. */
export type PoolRoute = Pick<HostRoute, 'words' | 'length'>;

/** A range as the fewest prefixes that cover it and nothing else. */
export function prefixesOf({ first, last }: AddressRange): PoolRoute[] {
  const found: PoolRoute[] = [];
  let at = first[3];
  const end = last[3];
  while (at <= end) {
    let bits = 0;
    // As large as the alignment of its beginning and the rest of the range allow.
    while (bits < 32 && at % 2 ** (bits + 1) === 0 && at + 2 ** (bits + 1) - 1 <= end) bits++;
    found.push({ words: [0, 0, 0xffff, at], length: 32 - bits });
    at += 2 ** bits;
  }
  return found;
}

export function routesOf(pools: readonly LnsPool[]): PoolRoute[] {
  return pools.flatMap(({ ipv4, ipv6 }) => [
    ...ipv4.flatMap(prefixesOf),
    ...ipv6.map(({ words, length }) => ({ words, length })),
  ]);
}

/** The device's address and routes; those of subscribers' own networks come and go. */
export class TunNetwork {
  readonly #changes = new HostChanges(native());
  readonly #index: number;
  #local: AddressWords | null = null;
  #pools: PoolRoute[] = [];
  readonly #own = new Map<string, { route: PoolRoute; users: number }>();

  constructor(device: string) {
    this.#index = native().interfaceInfo(device).index;
  }

  /** Address and pool routes as they are to be now. Errors: what the kernel refuses. */
  configure(local: AddressWords | null, routes: readonly PoolRoute[]): void {
    if (local !== null && String(local) !== String(this.#local)) {
      if (this.#local !== null) this.#changes.removeAddress(this.#index, this.#local, 32);
      this.#changes.addAddress(this.#index, local, 32);
      this.#local = local;
    }
    const keys = new Set(routes.map(keyOf));
    for (const route of this.#pools) if (!keys.has(keyOf(route))) this.#changes.removeRoute(this.#route(route));
    for (const route of routes) this.#changes.addRoute(this.#route(route));
    this.#pools = [...routes];
  }

  /** A network behind a subscriber, or an address of no pool. `length` of the mapped address. False: refused. */
  add(words: AddressWords, length: number): boolean {
    const route = plain(words, length);
    const entry = this.#own.get(keyOf(route));
    if (entry !== undefined) {
      entry.users++;
      return true;
    }
    try {
      this.#changes.addRoute(this.#route(route));
    } catch {
      return false;
    }
    this.#own.set(keyOf(route), { route, users: 1 });
    return true;
  }

  remove(words: AddressWords, length: number): void {
    const key = keyOf(plain(words, length));
    const entry = this.#own.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#own.delete(key);
    try {
      this.#changes.removeRoute(this.#route(entry.route));
    } catch {
      // The device may have gone, and the route with it.
    }
  }

  /** The device goes with its process, and everything on it. */
  close(): void {
    this.#changes.close();
  }

  #route(route: PoolRoute): HostRoute {
    return { ...route, index: this.#index, metric: 0 };
  }
}

function plain(words: AddressWords, length: number): PoolRoute {
  const isIpv4 = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return { words, length: isIpv4 ? length - IPV4_OFFSET : length };
}

function keyOf({ words, length }: PoolRoute): string {
  return `${words.join(',')}/${length}`;
}
