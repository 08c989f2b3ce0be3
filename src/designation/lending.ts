/**
 * Requests for servers that no algorithm would choose. One that is down or suspect is lent a client's request now and
 * then, when the main thread wants to know whether it is back; the client's next copy of it goes to another server. And
 * where no server is left that may be chosen, a doubtful one is better than none. The caller holds the process-wide lock.
 */
import { CELL_WORDS, HEADER, LEND, SERVER_CELL, SERVER_STATE, type TableMemory } from '../flow/layout.js';
import type { ServerTable } from './servers.js';

export class Lending {
  readonly #header: Int32Array;
  readonly #cells: Int32Array;

  constructor(
    memory: TableMemory,
    readonly servers: ServerTable,
  ) {
    this.#header = memory.header;
    this.#cells = memory.servers;
  }

  /** A server of the list that is to be lent a request, or −1; it has been lent this one then. */
  take(servers: Int32Array): number {
    if (this.#header[HEADER.lending] <= 0) return -1;
    for (let i = 0; i < servers.length; i++) {
      const word = servers[i] * CELL_WORDS + SERVER_CELL.lend;
      if (this.#cells[word] !== LEND.wanted) continue;
      if (Atomics.compareExchange(this.#cells, word, LEND.wanted, LEND.lent) !== LEND.wanted) continue;
      Atomics.sub(this.#header, HEADER.lending, 1);
      this.servers.use(servers[i]);
      return servers[i];
    }
    return -1;
  }

  /** The suspect server, or else the one that is down, whose last turn is longest ago; −1 when there is neither. */
  lastResort(servers: Int32Array): number {
    let best = -1;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i];
      const state = this.servers.state(server);
      if ((state !== SERVER_STATE.suspect && state !== SERVER_STATE.down) || this.servers.weight(server) === 0)
        continue;
      if (best >= 0 && state !== this.servers.state(best)) {
        if (state === SERVER_STATE.suspect) best = server;
      } else if (best < 0 || this.servers.usedBefore(server, best)) best = server;
    }
    if (best >= 0) this.servers.use(best);
    return best;
  }
}
