/** What `designator top` asks for and gets: rates of tunnels, servers or shards, the first of them by one of these. */
import type { ServerRow, TunnelRow } from './appliance.js';

export const TOP_VIEWS = ['tunnels', 'servers', 'shards'] as const;
export type TopView = (typeof TOP_VIEWS)[number];

/** What a view can be sorted by; the first is its default. Largest first. */
export const TOP_SORTS = {
  tunnels: ['traffic', 'in', 'out', 'packets', 'packets-in', 'packets-out', 'sessions', 'age'],
  servers: [
    'traffic',
    'in',
    'out',
    'packets',
    'packets-in',
    'packets-out',
    'tunnels',
    'sessions',
    'requests',
    'load',
    'age',
  ],
  shards: ['packets', 'traffic', 'in', 'out', 'packets-in', 'packets-out', 'drops'],
} as const satisfies Record<TopView, readonly string[]>;
export type TopSort = (typeof TOP_SORTS)[TopView][number];

export const TOP_LIMIT_MAX = 1000;

export interface TopQuery {
  readonly view: TopView;
  readonly sort: TopSort;
  readonly limit: number;
  /** Smallest first. */
  readonly reverse?: boolean;
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
}

/** In a second, over the time since the last look; bits from the outer IP header on. */
export interface Rates {
  readonly packetsInPerSecond: number;
  readonly packetsOutPerSecond: number;
  readonly bitsInPerSecond: number;
  readonly bitsOutPerSecond: number;
}

export interface TotalsRow extends Rates {
  /** Half open and established. */
  readonly tunnels: number;
  readonly established: number;
  /** Tunnels that the table has room for. */
  readonly limit: number;
  readonly requestsPerSecond: number;
  readonly dropsPerSecond: number;
}
export interface TunnelRates extends TunnelRow, Rates {}
export interface ServerRates extends ServerRow, Rates {
  readonly requestsPerSecond: number;
}
export interface ShardRates extends Rates {
  /** `kernel`: what the XDP program forwards by itself. */
  readonly shard: number | 'kernel';
  readonly receivedPerSecond: number;
  readonly dropsPerSecond: number;
}

export interface TopAnswer {
  readonly view: TopView;
  /** The time that the rates are taken over; null: the first look, there are none yet and all are 0. */
  readonly seconds: number | null;
  readonly totals: TotalsRow;
  readonly rows: readonly (TunnelRates | ServerRates | ShardRates)[];
}
