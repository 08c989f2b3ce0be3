/**
 * For `explain`: would a request follow an older tunnel instead of the algorithm? The same question as a shard asks, of the
 * same memory, by the main thread; the shards write meanwhile, so the answer may be a packet old.
 */
import { FOLLOW_HIDDEN, FOLLOW_RECOVERY, Following, type FollowRequest } from '../../dataplane/following.js';
import { TunnelStore } from '../../dataplane/tunnel-store.js';
import type { ServerTable } from '../../designation/servers.js';
import { ConnectionTable } from '../../flow/connection-table.js';
import { RECORD, SHARD_LIMIT, type TableMemory } from '../../flow/layout.js';
import { RecordPool } from '../../flow/record-pool.js';
import { SpinLock } from '../../flow/spin-lock.js';
import type { BoundVip } from './binding.js';

export interface Forecast {
  /** Server cell index, −1: the algorithm decides. */
  readonly server: number;
  /** Why; with −1 what there is to say besides, '' nothing. */
  readonly reason: string;
}

export class FollowForecast {
  readonly #store: TunnelStore;
  readonly #following: Following;

  constructor(memory: TableMemory, servers: ServerTable) {
    const table = new ConnectionTable(memory);
    this.#store = new TunnelStore(memory, SHARD_LIMIT, table, new RecordPool(memory), new SpinLock(memory), servers);
    this.#following = new Following(this.#store, servers);
  }

  /** `words` and `port`: the client's. `together`: its tunnels stay at one server, since answers do not pass here. */
  of(
    vip: BoundVip,
    request: FollowRequest,
    words: readonly number[],
    port: number,
    nowSeconds: number,
    together = false,
  ): Forecast {
    const [a0, a1, a2, a3] = words.map((word) => word | 0);
    const following = this.#following;
    const server = following.server(vip, request, a0, a1, a2, a3, port, Math.floor(nowSeconds), together);
    if (server < 0) {
      const { recoverOwn, recoverPeer } = request;
      const lost = `tunnel ${recoverOwn}/${recoverPeer} to be recovered is not in the table, or its server is down; `;
      return { server, reason: following.lost ? lost : '' };
    }
    return { server, reason: this.#words(following.why, following.record, together) };
  }

  #words(why: number, record: number, together: boolean): string {
    const own = this.#store.word(record, RECORD.clientChannel);
    if (why === FOLLOW_RECOVERY) return `recovery: it has tunnel ${own}, which the request recovers (RFC 4951)`;
    if (why === FOLLOW_HIDDEN && together)
      return `affinity: answers do not pass here, and it has the client’s tunnel ${own || 'with a hidden id'}: until a client is known to follow them, tunnels of one port stay together`;
    if (why === FOLLOW_HIDDEN)
      return `affinity: the servers hide their tunnel ids, and it has the client’s tunnel ${own || 'with a hidden id'}`;
    return 'tie breaker: it dials this client at the moment (RFC 2661 §4.4.3)';
  }
}
