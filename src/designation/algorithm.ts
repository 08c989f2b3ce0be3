/**
 * What every algorithm does. State lives in the shared cells alone, so that any thread goes on where another stopped and
 * the sequence of servers is the same for any number of workers. Choosing and taking the turn are apart: `explain` only
 * chooses. The caller holds the process-wide lock, and the ranking of the VIP's servers is up to date.
 */
import type { RankingKind } from './ranking.js';
import type { VipServers } from './vip-servers.js';

/** Answers of `choose` below 0. */
export const NO_SERVER = -1;
/** There are servers, but each has had as many tunnels as its bucket lets through for now. */
export const NO_ROOM = -2;

export interface Algorithm {
  /** What it needs to know of the servers in advance. */
  readonly ranking: RankingKind;
  /** SERVER_FLAG bits: counts of a server that move it in the ranking. */
  readonly counts: number;
  /** The same for one server, where that differs, and SERVER_FLAG.heldBack. */
  flags?(server: number): number;
  /** Does server a go before server b? Both may take a tunnel. Of equals the first of the configuration does. */
  before(a: number, b: number): boolean;
  /** With a kinetic ranking: in how many rounds b, which is behind a now, goes before it; Infinity for never. */
  overtakenIn?(a: number, b: number, isEarlier: boolean): number;
  /**
   * The server's state, weight, load or counts may have changed, or the ranking is made anew: the algorithm's own words of
   * the cell follow. `isNew`: these words are another algorithm's.
   */
  update?(server: number, of: VipServers, isNew: boolean): void;
  /** The server for a request of this client (4 address words) and channel, NO_SERVER or NO_ROOM. Takes no turn. */
  choose(of: VipServers, a0: number, a1: number, a2: number, a3: number, channel: number): number;
  /** The server that `choose` gave takes its turn. */
  take?(server: number, of: VipServers): void;
  /** Why `choose` gave this server, in words. */
  reason(server: number, of: VipServers): string;
}
