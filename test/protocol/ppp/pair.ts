/** Two PPP links joined by a path that loses, repeats, delays and so reorders, under a virtual clock. */
import type { AuthenticateRequest, PppEvent } from '../../../src/protocol/ppp/events.js';
import { type AuthResult, PppLink } from '../../../src/protocol/ppp/link.js';
import { checkPassword } from '../../../src/protocol/ppp/authentication.js';
import type { NetworkAssignment, PppOptions } from '../../../src/protocol/ppp/options.js';
import { randomOf } from '../../helpers/seeded-random.js';

export function bytesOf(throwDice: () => number): (length: number) => Uint8Array {
  return (length) => Uint8Array.from({ length }, () => Math.floor(throwDice() * 256));
}

export interface PathOptions {
  readonly seed: number;
  readonly loss?: number;
  readonly repeat?: number;
  /** Seconds; a frame takes up to this long. */
  readonly delay?: number;
}

export interface PairOptions {
  readonly server: PppOptions;
  readonly client: PppOptions;
  readonly path: PathOptions;
  /** What the server's owner says. By default the password must be 's3cret'. */
  readonly judge?: (request: AuthenticateRequest) => AuthResult;
  readonly assignment?: NetworkAssignment;
}

interface InFlight {
  readonly at: number;
  readonly order: number;
  readonly to: 'server' | 'client';
  readonly frame: Uint8Array;
}

export const PASSWORD = 's3cret';
export const ASSIGNMENT: NetworkAssignment = {
  ipv4: { local: Uint8Array.of(10, 0, 0, 1), peer: Uint8Array.of(10, 0, 0, 42), dns: [Uint8Array.of(10, 0, 0, 53)] },
  ipv6: {},
};

export class Pair {
  now = 0;
  readonly server: PppLink;
  readonly client: PppLink;
  readonly events = { server: [] as PppEvent[], client: [] as PppEvent[] };
  /** Every frame that an end has sent. */
  readonly wire: { readonly from: 'server' | 'client'; readonly frame: Uint8Array }[] = [];
  /** False: everything that is sent is lost. */
  connected = true;
  #flying: InFlight[] = [];
  #count = 0;
  readonly #throw: () => number;

  constructor(readonly o: PairOptions) {
    this.#throw = randomOf(o.path.seed);
    this.server = new PppLink(o.server);
    this.client = new PppLink(o.client);
  }

  start(): this {
    this.server.start(this.now);
    this.client.start(this.now);
    return this;
  }

  /** Runs until nothing is left to happen, or `until` (seconds) has come. */
  run(until = 600): this {
    for (let turns = 0; turns < 100_000; turns++) {
      this.#collect('server');
      this.#collect('client');
      const next = Math.min(this.#nextArrival(), this.server.nextTime, this.client.nextTime);
      if (next === Number.NEGATIVE_INFINITY) continue;
      if (next > until || next === Number.POSITIVE_INFINITY) return this;
      this.now = Math.max(this.now, next);
      this.#deliver();
    }
    throw new Error('the dialogue does not end');
  }

  #nextArrival(): number {
    return this.#flying.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
  }

  #collect(who: 'server' | 'client'): void {
    const link = this[who];
    for (const frame of link.output(this.now)) {
      this.wire.push({ from: who, frame });
      this.#send(who === 'server' ? 'client' : 'server', frame);
    }
    for (const event of link.events()) {
      this.events[who].push(event);
      if (event.type === 'authenticate') {
        link.authenticated((this.o.judge ?? ((request) => checkPassword(request, PASSWORD)))(event), this.now);
      } else if (event.type === 'network-request') link.assign(this.o.assignment ?? ASSIGNMENT, this.now);
    }
  }

  #send(to: 'server' | 'client', frame: Uint8Array): void {
    const { loss = 0, repeat = 0, delay = 0 } = this.o.path;
    if (!this.connected) return;
    if (this.#throw() >= loss) this.#fly(to, frame, delay);
    if (this.#throw() < repeat) this.#fly(to, frame, delay);
  }

  #fly(to: 'server' | 'client', frame: Uint8Array, delay: number): void {
    this.#flying.push({ at: this.now + 0.001 + this.#throw() * delay, order: this.#count++, to, frame });
  }

  #deliver(): void {
    const due = this.#flying.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at || a.order - b.order);
    this.#flying = this.#flying.filter(({ at }) => at > this.now);
    for (const { to, frame } of due) this[to].receive(frame, this.now);
  }

  types(who: 'server' | 'client'): string[] {
    return this.events[who].map(({ type }) => type);
  }
}

export function options(more: Partial<PppOptions>, seed = 1): PppOptions {
  return { random: bytesOf(randomOf(seed)), hostName: 'here', authenticate: [], network: 'server', ...more };
}

export function clientOptions(more: Partial<PppOptions> = {}, seed = 2): PppOptions {
  const credentials = { name: 'alice', password: PASSWORD, methods: ['ms-chap-v2', 'chap-md5', 'pap'] as const };
  return options({ network: 'client', hostName: 'alice', credentials, ...more }, seed);
}
