/**
 * What every algorithm does. State lives in the shared cells alone, so that any thread goes on where another stopped and
 * the sequence of servers is the same for any number of workers. Choosing and taking the turn are apart: `explain` only
 * chooses. `servers` are server indices in the order of the configuration; the caller holds the process-wide lock.
 */
export interface Algorithm {
  /** The server for a request of this client (4 address words) and channel, or −1 when none is eligible. Changes nothing. */
  choose(servers: Int32Array, vip: number, a0: number, a1: number, a2: number, a3: number, channel: number): number;
  /** The server that `choose` gave takes its turn. */
  take(server: number, servers: Int32Array, vip: number): void;
  /** Why `choose` gave this server, in words. */
  reason(server: number, servers: Int32Array, vip: number): string;
}
