/** What putting other members' tunnels into the table means for shards, servers' rankings and the host's filter. */
import type { Stream } from '../../../cluster/stream.js';
import type { ApplyHooks } from '../../../cluster/table-apply.js';
import type { ShardMessage } from '../../../dataplane/plan.js';
import { ServerTable } from '../../../designation/servers.js';
import { clientEntryOf } from '../../../flow/client-port.js';
import { ConnectionTable } from '../../../flow/connection-table.js';
import { ownerSlot } from '../../../flow/hash.js';
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_CELL, SERVER_FLAG } from '../../../flow/layout.js';
import { RecordPool } from '../../../flow/record-pool.js';
import { STREAM_FORMER } from '../../../flow/share-map.js';
import { TUNNEL_RECORD } from '../../../wire/cluster-record.js';
import type { SharedTable } from './share-memory.js';
import type { SharePlaces } from './share-places.js';

export class ShareHooks implements ApplyHooks {
  readonly counters = { looksLost: 0 };
  /** Server ports that are not the configured ones, address index << 16 | port; whoever tells the host's filter empties it. */
  readonly floats = new Set<number>();
  readonly #table: ConnectionTable;
  readonly #pool: RecordPool;
  readonly #servers: ServerTable;

  /** `numberOf`: of a stream, in the share map. */
  constructor(
    readonly shared: SharedTable,
    readonly places: SharePlaces,
    readonly message: (shard: number, message: ShardMessage) => boolean,
    readonly numberOf: (stream: Stream) => number,
  ) {
    this.#table = new ConnectionTable(shared.memory);
    this.#pool = new RecordPool(shared.memory);
    this.#servers = new ServerTable(shared.memory);
  }

  given(record: number, stream: Stream): void {
    this.shared.map.give(record, this.numberOf(stream));
  }

  belongs(record: number, stream: Stream): boolean {
    return this.shared.map.streamOf(record) === this.numberOf(stream);
  }

  mayReplace(record: number): boolean {
    return this.shared.map.isForeign(record);
  }

  isFormer(record: number): boolean {
    return this.shared.map.streamOf(record) === STREAM_FORMER;
  }

  laid(record: number): void {
    const port = this.#pool.get(record, RECORD.ports) >>> 16;
    const server = this.#pool.get(record, RECORD.place) & 0xffff;
    if (port !== 0 && port !== this.places.serverPort(server))
      this.floats.add((this.places.serverAddress(server) << 16) | port);
    if (this.#pool.state(record) !== RECORD_STATE.established) return;
    const owner = this.#ownerOf(record);
    if (owner >= 0 && this.shared.looks[owner]?.push(record) !== true) this.counters.looksLost++;
  }

  /** Ours may be of a copy of the request that came here: then the other one stands, ours never will, and it gives way. */
  collided(record: number, words: Int32Array, from: number): void {
    const standsThere = (words[from + TUNNEL_RECORD.state] & 0xff) === RECORD_STATE.established;
    const same = this.#pool.get(record, RECORD.clientChannel) === words[from + TUNNEL_RECORD.clientChannel];
    if (!standsThere || !same || this.#pool.state(record) !== RECORD_STATE.halfOpen) return;
    const owner = this.#ownerOf(record);
    if (owner >= 0) this.message(owner, { type: 'give-way', record, version: this.#pool.version(record) });
  }

  counted(server: number): void {
    const flags = this.shared.memory.servers[server * CELL_WORDS + SERVER_CELL.flags];
    if ((flags & (SERVER_FLAG.countsTunnels | SERVER_FLAG.countsSessions)) !== 0) this.#servers.counted(server);
  }

  /** The shard that owns the tunnel's client, −1: its client is not known (any more). */
  #ownerOf(record: number): number {
    const { memory } = this.shared;
    const slot = clientEntryOf(memory.records, this.#table, record);
    if (slot < 0) return -1;
    const word = (n: number): number => this.#table.keyWord(slot, n);
    return memory.ownerSlots[ownerSlot(word(0), word(1), word(2), word(3))];
  }
}
