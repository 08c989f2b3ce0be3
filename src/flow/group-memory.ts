/**
 * Which server the tunnels of a group are at: for every key that has tunnels, its server and their number, shared by all
 * threads. A group is the tunnels of a VIP whose requests had the same key (document 001: endpoints are selected
 * deterministically for connections that have several origination points). Every record says its group, so that the
 * rest can be counted anew. All of it under the process-wide lock.
 *
 * A group with tunnels at several servers is where its newest tunnel is: the order in which records are looked at,
 * by who counts anew or hears of them from another designator, says nothing.
 */
import { GROUP_MEMBER, GROUP_MEMBER_WORDS, RECORD, RECORD_STATE, RECORD_WORDS, type TableMemory } from './layout.js';

/** Slots that a key may have, from its first one on. */
const GROUP_REACH = 8;

export class GroupMemory {
  readonly #members: Int32Array;
  readonly #groups: Int32Array;
  readonly #records: Int32Array;
  readonly #slots: number;

  constructor(readonly memory: TableMemory) {
    this.#members = memory.groupMembers;
    this.#groups = memory.groups;
    this.#records = memory.records;
    this.#slots = memory.groups.length / GROUP_MEMBER_WORDS;
  }

  /** Server (index of its cell) that the group's tunnels are at; −1: it has none that are known. `key`: not 0. */
  serverOf(key: number): number {
    const at = this.#find(key);
    return at < 0 ? -1 : this.#groups[at + GROUP_MEMBER.server];
  }

  /**
   * The tunnel of this record, which has its server already, is one of the group's. False: there is no room for another
   * group, and the tunnel is of none: what was not counted must not be taken off the count of those that come later.
   */
  join(record: number, key: number): boolean {
    const joined = this.#count(record, key);
    this.#members[record] = joined ? key : 0;
    return joined;
  }

  /**
   * What another designator says of a record that stands here as it says: the key of its group, 0 none. Its server may be
   * another one than before. False as `join`.
   */
  assign(record: number, key: number): boolean {
    if (this.#members[record] !== key) {
      this.leave(record);
      return key === 0 || this.join(record, key);
    }
    const at = key === 0 ? -1 : this.#find(key);
    if (at >= 0) this.#gather(at, record);
    return true;
  }

  /** The tunnel has ended, if it ever was in a group. */
  leave(record: number): void {
    const key = this.#members[record];
    if (key === 0) return;
    this.#members[record] = 0;
    const at = this.#find(key);
    if (at >= 0 && --this.#groups[at + GROUP_MEMBER.count] <= 0) this.#groups.fill(0, at, at + GROUP_MEMBER_WORDS);
  }

  /** Key of the record's group, 0 none. */
  keyOf(record: number): number {
    return this.#members[record];
  }

  /** The record's tunnel is at this server from now on: its group's next ones go there. */
  move(record: number, server: number): void {
    const key = this.#members[record];
    const at = key === 0 ? -1 : this.#find(key);
    if (at >= 0) this.#groups[at + GROUP_MEMBER.server] = server;
  }

  /** Counts all groups anew from the records. */
  recount(): void {
    this.#groups.fill(0);
    for (let record = 0; record < this.memory.layout.recordCount; record++) {
      const key = this.#members[record];
      if (key === 0) continue;
      const at = record * RECORD_WORDS;
      const state = this.#records[at + RECORD.state] & 0xff;
      const lives = state !== RECORD_STATE.free && state !== RECORD_STATE.closing;
      if (!lives || !this.#count(record, key)) this.#members[record] = 0;
    }
  }

  #count(record: number, key: number): boolean {
    const found = this.#find(key);
    const at = found >= 0 ? found : this.#free(key);
    if (at < 0) return false;
    this.#groups[at + GROUP_MEMBER.key] = key;
    this.#gather(at, record);
    this.#groups[at + GROUP_MEMBER.count]++;
    return true;
  }

  /** A group that had to go elsewhere gathers where it went last. */
  #gather(at: number, record: number): void {
    const created = this.#records[record * RECORD_WORDS + RECORD.created];
    if (this.#groups[at + GROUP_MEMBER.count] > 0 && created < this.#groups[at + GROUP_MEMBER.newest]) return;
    this.#groups[at + GROUP_MEMBER.server] = this.#records[record * RECORD_WORDS + RECORD.place] & 0xffff;
    this.#groups[at + GROUP_MEMBER.newest] = created;
  }

  #find(key: number): number {
    for (let i = 0; i < GROUP_REACH; i++) {
      const at = this.#place(key, i);
      if (this.#groups[at + GROUP_MEMBER.key] === key) return at;
    }
    return -1;
  }

  #free(key: number): number {
    for (let i = 0; i < GROUP_REACH; i++) {
      const at = this.#place(key, i);
      if (this.#groups[at + GROUP_MEMBER.key] === 0) return at;
    }
    return -1;
  }

  /** Word of the slot that a key may have, `step` slots after its first. */
  #place(key: number, step: number): number {
    const mixed = Math.imul(key ^ (key >>> 15), 0x9e3779b1) >>> 8;
    return ((mixed + step) % this.#slots) * GROUP_MEMBER_WORDS;
  }
}
