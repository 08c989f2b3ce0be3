/**
 * Attracts the addresses of subscribers that were taken over (document 002: the peer answers for them towards the
 * network): the kernel answers ARP and neighbour solicitations for them, they are announced, each gets a route that a
 * routing daemon may tell others, and a hook is run. Whichever of these are configured; many addresses in slices, so that
 * the traffic goes on meanwhile.
 */
import type { AddressWords } from '../../wire/address.js';
import { formatWords, isIpv4 } from '../../wire/address.js';

/** The host, as far as it is changed; a test may be it. Errors of every call: the system's. */
export interface AttractionHost {
  indexOf(device: string): number;
  addProxy(index: number, words: AddressWords): boolean;
  removeProxy(index: number, words: AddressWords): boolean;
  addRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean;
  removeRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean;
  announce(device: string, addresses: readonly AddressWords[]): number;
  /** Resolves when it has ended well. */
  run(command: readonly string[], timeoutMs: number): Promise<void>;
}

export interface AttractionSettings {
  readonly device: string | null;
  readonly route: string | null;
  readonly metric: number;
  readonly hook: readonly string[] | null;
  readonly hookTimeout: number;
}

/** An address of a subscriber, or a network that was given to one (a delegated prefix, a framed route). */
export interface Subscriber {
  readonly words: AddressWords;
  /** Bits of the address itself: 32 or 128 for a single one. */
  readonly length: number;
}

export interface AttractionResult {
  /** Subscribers for whom all that is configured was done. */
  readonly done: number;
  readonly failed: number;
  /** The first thing that went wrong, in words. */
  readonly reason: string | null;
}

/** Addresses of one slice, and of one run of the hook. */
const SLICE = 256;

export class SubscriberAttraction {
  /** Text of a subscriber → it. */
  readonly #held = new Map<string, Subscriber>();
  /** One thing after the other: a release must not overtake the attraction that it takes back. */
  #last: Promise<unknown> = Promise.resolve();
  announced = 0;
  failures = 0;

  constructor(
    readonly host: AttractionHost,
    readonly settings: AttractionSettings,
  ) {}

  /** Nothing is configured: nothing would be done. */
  get idle(): boolean {
    const { device, route, hook } = this.settings;
    return device === null && route === null && hook === null;
  }

  get held(): number {
    return this.#held.size;
  }

  /** Those who are attracted already are announced again. Never rejects. */
  attract(subscribers: readonly Subscriber[]): Promise<AttractionResult> {
    return this.#next(subscribers, true);
  }

  /** Never rejects. Those who are not attracted are left alone. */
  release(subscribers: readonly Subscriber[]): Promise<AttractionResult> {
    return this.#next(
      subscribers.filter((subscriber) => this.#held.has(textOf(subscriber))),
      false,
    );
  }

  releaseAll(): Promise<AttractionResult> {
    return this.#last.then(() => this.#next([...this.#held.values()], false));
  }

  #next(subscribers: readonly Subscriber[], attract: boolean): Promise<AttractionResult> {
    const done = this.#last.then(() => this.#all(subscribers, attract));
    this.#last = done;
    return done;
  }

  async #all(subscribers: readonly Subscriber[], attract: boolean): Promise<AttractionResult> {
    let failed = 0;
    let reason: string | null = null;
    if (this.idle) return { done: subscribers.length, failed, reason };
    for (let from = 0; from < subscribers.length; from += SLICE) {
      const slice = subscribers.slice(from, from + SLICE);
      const good: Subscriber[] = [];
      for (const subscriber of slice) {
        const fault = this.#one(subscriber, attract);
        if (fault === null) good.push(subscriber);
        else reason ??= fault;
      }
      const fault = await this.#together(good, attract);
      reason ??= fault;
      failed += fault === null ? slice.length - good.length : slice.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.failures += failed;
    return { done: subscribers.length - failed, failed, reason };
  }

  /** What the kernel is told of each. Null, or why not. */
  #one(subscriber: Subscriber, attract: boolean): string | null {
    const { host, settings } = this;
    const { words, length } = subscriber;
    try {
      // A network cannot be answered for by single entries: routes and the hook are for that.
      if (settings.device !== null && isSingle(subscriber)) {
        const index = host.indexOf(settings.device);
        if (attract) host.addProxy(index, words);
        else host.removeProxy(index, words);
      }
      if (settings.route !== null) {
        const route = { words, length, index: host.indexOf(settings.route), metric: settings.metric };
        if (attract) host.addRoute(route);
        else host.removeRoute(route);
      }
    } catch (error) {
      return (error as Error).message;
    }
    if (attract) this.#held.set(textOf(subscriber), subscriber);
    else this.#held.delete(textOf(subscriber));
    return null;
  }

  async #together(subscribers: readonly Subscriber[], attract: boolean): Promise<string | null> {
    const { host, settings } = this;
    if (subscribers.length === 0) return null;
    try {
      if (attract && settings.device !== null) {
        const single = subscribers.filter(isSingle).map(({ words }) => words);
        const sent = host.announce(settings.device, single);
        this.announced += sent;
        if (sent < single.length) return `${single.length - sent} announcements could not be sent`;
      }
      if (settings.hook !== null) {
        const command = [...settings.hook, attract ? 'attract' : 'release', ...subscribers.map(textOf)];
        await host.run(command, settings.hookTimeout * 1000);
      }
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

function isSingle({ words, length }: Subscriber): boolean {
  return length === (isIpv4(words[0], words[1], words[2]) ? 32 : 128);
}

/** `10.64.0.7`, or `2001:db8:1::/56`. */
function textOf(subscriber: Subscriber): string {
  const address = formatWords(subscriber.words);
  return isSingle(subscriber) ? address : `${address}/${subscriber.length}`;
}
