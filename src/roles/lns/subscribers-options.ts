/** What the sessions of an LNS need of it. */
import type { LnsConfig, ProxyTrust } from '../../config/lns.js';
import type { SessionTable } from '../../flow/session-table.js';
import type { EventLog } from '../../ops/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { PppOptions } from '../../protocol/ppp/options.js';
import type { AddressWords } from '../../wire/address.js';
import type { Accounting } from './accounting.js';
import type { Judge } from './authenticator.js';
import type { LnsCounters } from './lns-counters.js';
import type { Pools } from './pools.js';

export interface SubscribersOptions {
  readonly config: LnsConfig;
  readonly table: SessionTable;
  readonly batch: { ppp(slot: number, frame: Uint8Array): void; flush(): void };
  readonly ppp: PppOptions;
  readonly pools: Pools;
  readonly judge: Judge;
  readonly accounting: Accounting | null;
  readonly events: EventLog;
  readonly counters: LnsCounters;
  /** Unix milliseconds. */
  readonly clock: () => number;
  readonly random: (length: number) => Uint8Array;
  /** A turn soon. */
  readonly wake: () => void;
  /** What is believed of a tunnel's LAC. */
  readonly proxyOf: (session: L2tpSession) => ProxyTrust;
  /** Why no call is taken now; null: it is. */
  readonly overload: () => string | null;
  /** The host's route to a network of a subscriber. */
  readonly route: (words: AddressWords, length: number, on: boolean) => void;
  /** Address of a local socket, for accounting. */
  readonly localAddress: (socket: number) => string;
}
