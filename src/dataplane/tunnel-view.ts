/** Tunnels as their records and entries say: questions that anybody may ask, in any thread. Changes nothing. */
import { clientEntryOf, clientPortOf, virtualPortOf } from '../flow/client-port.js';
import type { ConnectionTable } from '../flow/connection-table.js';
import { ownerSlot } from '../flow/hash.js';
import {
  CELL_WORDS,
  FLAG_REWRITE_BOTH,
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_WORDS,
  SERVER_CELL,
  type TableMemory,
  VIP_CELL,
} from '../flow/layout.js';
import type { PlanVip } from './plan.js';

export class TunnelView {
  constructor(
    readonly memory: TableMemory,
    readonly table: ConnectionTable,
  ) {}

  word(record: number, word: number): number {
    return this.memory.records[record * RECORD_WORDS + word];
  }

  state(record: number): number {
    return this.word(record, RECORD.state) & 0xff;
  }

  protocol(record: number): number {
    return (this.word(record, RECORD.state) >>> 8) & 0xff;
  }

  vipIndex(record: number): number {
    return this.word(record, RECORD.place) >>> 16;
  }

  serverIndex(record: number): number {
    return this.word(record, RECORD.place) & 0xffff;
  }

  /** An entry of the tunnel that has the client's address in its key, −1 when it has none (being made). */
  anyEntry(record: number): number {
    return clientEntryOf(this.memory.records, this.table, record);
  }

  /** The entry that keeps its port of a VIP's `localAddress`, −1 without full NAT. */
  localEntry(record: number): number {
    const slot = this.word(record, RECORD.entryAlias) - 1;
    return slot >= 0 && (this.table.flagsOf(slot) & FLAG_REWRITE_BOTH) !== 0 ? slot : -1;
  }

  /** The client's own port, 0 where the protocol has none. */
  clientPort(record: number): number {
    const slot = this.anyEntry(record);
    return slot < 0 ? 0 : clientPortOf(this.table, slot);
  }

  /** The next hop towards the server, as a client → server entry has it. */
  serverNextHop(record: number): number {
    const slot = (this.word(record, RECORD.entryForward) || this.word(record, RECORD.entryHalfOpen)) - 1;
    return slot < 0 ? 0 : this.table.targetOf(slot) & 0xffff;
  }

  /** The next hop towards the client, as its server → client entry has it. */
  clientNextHop(record: number): number {
    const slot = (this.word(record, RECORD.entryReverse) || this.word(record, RECORD.entryHalfOpen)) - 1;
    // The request's own entry leads to the client only where the server asks.
    if (slot < 0 || (this.table.flagsOf(slot) & FLAG_REWRITE_SOURCE) === 0) return 0;
    return this.table.targetOf(slot) & 0xffff;
  }

  /** The port that the server sees the client at. */
  portTowardsServer(record: number): number {
    const slot = this.anyEntry(record);
    return slot < 0 ? 0 : virtualPortOf(this.table, slot) || clientPortOf(this.table, slot);
  }

  /** The shard that owns the tunnel's client; `otherwise` where no entry says who that is. */
  ownerOf(record: number, otherwise: number): number {
    const slot = this.anyEntry(record);
    if (slot < 0) return otherwise;
    const { table } = this;
    const word = (n: number): number => table.keyWord(slot, n);
    return this.memory.ownerSlots[ownerSlot(word(0), word(1), word(2), word(3))];
  }

  isClient(record: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const slot = this.anyEntry(record);
    const { table } = this;
    return (
      slot >= 0 &&
      table.keyWord(slot, 3) === a3 &&
      table.keyWord(slot, 2) === a2 &&
      table.keyWord(slot, 1) === a1 &&
      table.keyWord(slot, 0) === a0
    );
  }

  /** Index of the server's address, of the VIP's. */
  serverAddress(record: number): number {
    return this.memory.servers[this.serverIndex(record) * CELL_WORDS + SERVER_CELL.address];
  }

  /** What its server sends does not pass here: there is an entry for the client's packets alone, or none yet. */
  isOneWay(record: number): boolean {
    const vip = this.vipIndex(record) * CELL_WORDS;
    return this.word(record, RECORD.entryReverse) === 0 && this.memory.vips[vip + VIP_CELL.oneWay] !== 0;
  }

  vipAddress(record: number): number {
    return this.memory.vips[this.vipIndex(record) * CELL_WORDS + VIP_CELL.address];
  }

  /** Index of the address that the client is shown this tunnel at: the VIP's own, or another one of it. */
  shownAddress(record: number, vip: PlanVip): number {
    const nat = vip.natAddress ?? -1;
    if (vip.reply !== 'nat' || vip.oneWay === true || nat < 0) return vip.address;
    const slot = this.word(record, RECORD.entryReverse) - 1;
    return slot >= 0 && this.table.targetOf(slot) >>> 16 === vip.address ? vip.address : nat;
  }

  /** Seconds of the last packet in either direction, at least the time of creation. */
  lastSeen(record: number): number {
    let last = this.word(record, RECORD.created);
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = this.word(record, w) - 1;
      if (slot >= 0) last = Math.max(last, this.table.lastSeen(slot));
    }
    return last;
  }
}
