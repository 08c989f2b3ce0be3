/**
 * What an LNS does to the network when it has a peer's tunnels: tells the designators in front, takes the peer's own
 * addresses, attracts its subscribers' (document 002). And the way back.
 */
import type { CompiledTakeOver } from '../../config/take-over.js';
import type { Logger } from '../../ops/log.js';
import type { IdRange } from '../../wire/take-over.js';
import { keyOf } from '../secret.js';
import { type AddressResult, AddressTakeOver } from './addresses.js';
import { type AttractionResult, SubscriberAttraction, type Subscriber } from './attraction.js';
import { type DesignatorAnswer, type Order, TakeOverClient } from './client.js';
import { TakeOverHost } from './host.js';
import { rangesOf } from './ranges.js';

export interface TakeOverRequest {
  /** Above every one that was used between the two servers. */
  readonly generation: number;
  /** Tunnel ids; none: all. */
  readonly ranges?: readonly IdRange[];
}

/** An answer, and the name that the asking server has at that VIP. */
export interface NamedAnswer extends DesignatorAnswer {
  readonly name: string;
}

export class NetworkTakeOver {
  readonly addresses: AddressTakeOver;
  readonly subscribers: SubscriberAttraction;
  readonly #client: TakeOverClient | null;
  readonly #host: TakeOverHost;

  /** Errors: TD_CONFIG a secret file that cannot be read. */
  constructor(
    readonly settings: CompiledTakeOver,
    readonly logger: Pick<Logger, 'info' | 'warn'>,
    host = new TakeOverHost(),
  ) {
    this.#host = host;
    this.addresses = new AddressTakeOver(host, settings.announceEvery * 1000);
    this.subscribers = new SubscriberAttraction(host, settings.subscribers);
    const { designators, secret, repeat, giveUp } = settings;
    this.#client =
      designators.length === 0 || secret === null
        ? null
        : new TakeOverClient({
            designators,
            key: keyOf(secret),
            repeatMs: repeat * 1000,
            giveUpMs: giveUp * 1000,
          });
  }

  /** The peer is dead and its tunnels are adopted: packets of its clients are to come here. Never rejects. */
  claim(request: TakeOverRequest): Promise<NamedAnswer[]> {
    return this.#order((name, peer) => ({ kind: 'claim', sender: name, server: peer, heir: name, ...request }));
  }

  /**
   * `claim` for exactly these tunnels, in as many orders as it takes, each with a generation of its own. An answer for
   * each name and designator: the first that is no success, and how many tunnels all of its orders have moved. Never rejects.
   */
  async claimTunnels(ids: readonly number[], nextGeneration: () => number): Promise<NamedAnswer[]> {
    const sums = new Map<string, NamedAnswer>();
    for (const ranges of rangesOf(ids)) {
      for (const answer of await this.claim({ generation: nextGeneration(), ranges })) {
        const key = `${answer.name} ${answer.host} ${answer.port}`;
        const before = sums.get(key);
        if (before === undefined) sums.set(key, answer);
        else
          sums.set(key, {
            ...(before.result === 'taken' ? answer : before),
            tunnels: before.tunnels + answer.tunnels,
          });
      }
    }
    return [...sums.values()];
  }

  /** The peer has these tunnels of ours from now on (a planned switchover; after a failure the way back). Never rejects. */
  yield(request: TakeOverRequest): Promise<NamedAnswer[]> {
    return this.#order((name, peer) => ({ kind: 'yield', sender: name, server: name, heir: peer, ...request }));
  }

  /** Which generation do the designators believe? One above ours means that the peer has our tunnels. Never rejects. */
  ask(): Promise<NamedAnswer[]> {
    return this.#order((name, peer) => ({ kind: 'ask', sender: name, server: name, heir: peer, generation: 0 }));
  }

  /** The peer's own addresses, as configured: then sockets may be bound to them. */
  takeAddresses(): AddressResult[] {
    const results = this.addresses.take(this.settings.addresses);
    for (const result of results) {
      if (result.state === 'failed') this.logger.warn(result, 'an address could not be taken over');
      else this.logger.info(result, 'address taken over');
    }
    return results;
  }

  releaseAddresses(): AddressResult[] {
    return this.addresses.release();
  }

  /** Never rejects. */
  async attract(subscribers: readonly Subscriber[]): Promise<AttractionResult> {
    const result = await this.subscribers.attract(subscribers);
    if (result.failed > 0) this.logger.warn(result, 'some subscribers’ addresses could not be attracted');
    return result;
  }

  release(subscribers: readonly Subscriber[]): Promise<AttractionResult> {
    return this.subscribers.release(subscribers);
  }

  /** The host as it was. */
  async stop(): Promise<void> {
    this.#client?.close();
    this.addresses.release();
    await this.subscribers.releaseAll();
    this.#host.close();
  }

  async #order(make: (name: string, peer: string) => Order): Promise<NamedAnswer[]> {
    const client = this.#client;
    if (client === null) return [];
    const all = await Promise.all(
      this.settings.names.map(async ({ name, peer }) => {
        const answers = await client.order(make(name, peer));
        return answers.map((answer) => ({ ...answer, name }));
      }),
    );
    for (const answer of all.flat()) {
      if (answer.result === 'taken' || answer.result === 'known') this.logger.info(answer, 'designator answered');
      else this.logger.warn(answer, 'designator did not do as it was told');
    }
    return all.flat();
  }
}
