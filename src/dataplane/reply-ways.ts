/**
 * What the owner shard does about clients that do not follow answers from another address than the VIP (document 001,
 * FIG. 2 and 4): those that stay are carried on, those that refuse the answer hear it from the VIP.
 */
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_CELL } from '../flow/layout.js';
import { PORT_HOST } from '../io/port.js';
import { EVENT_CONNECTED, type TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Answers } from './answers.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import { CLOSE_REASON } from './event-tap.js';
import { FOLLOW } from './follow-class.js';
import { passedTo } from './passed.js';
import type { PlanVip } from './plan.js';
import type { TrackerParts } from './tracker.js';
import type { TunnelDraft } from './tunnel-draft.js';

type Parts = Pick<
  TrackerParts,
  'shard' | 'store' | 'followers' | 'fullNat' | 'hops' | 'designator' | 'wheel' | 'statistics'
>;

export class ReplyWays {
  readonly #p: Parts;
  /** Address index of what the request is put from instead of its client, −1: nothing. */
  local = -1;
  /** What such a client sends to the VIP must lead to its server, whatever id it names: its tunnels go to one. */
  together = false;
  #nowSeconds = 0;
  #nowMs = 0;

  constructor(
    parts: Parts,
    readonly answers: Pick<Answers, 'showVip'>,
  ) {
    this.#p = parts;
  }

  setTime(nowSeconds: number, nowMs: number): void {
    this.#nowSeconds = nowSeconds;
    this.#nowMs = nowMs;
  }

  /**
   * The entry of a message of this kind, or −1. Where answers do not pass here, nothing but a client's SCCCN tells that a
   * server has given an id again: the tunnel that had it gives way to the one that waits for its id.
   */
  entry(batch: Batch, i: number, kind: number, directory: Directory): number {
    const { store, wheel, designator, statistics } = this.#p;
    const row = i * KEY_STRIDE;
    const slot = store.table.find(batch.keys, row);
    const vip = slot < 0 || kind !== EVENT_CONNECTED ? null : directory.vip(batch.local[i]);
    if (vip?.oneWay !== true) return slot;
    const record = store.table.recordOf(slot);
    // Within a cycle of retransmissions it may be a copy of the tunnel's own.
    const age = this.#nowSeconds - store.word(record, RECORD.created);
    if (store.state(record) !== RECORD_STATE.closing && age <= directory.plan.timeouts.closing) return slot;
    if (store.isForeign(record) || !store.isOneWay(record)) return slot;
    if (passedTo(store, vip, batch.keys, row, designator.cells) < 0) return slot;
    statistics[COUNTER.idsReused]++;
    wheel.cancel(record);
    store.release(record, this.#nowMs);
    return -1;
  }

  /** A client ends a tunnel that it knows by the NAT address: the half-open entry under the VIP's own, or −1. */
  atVip(batch: Batch, i: number, directory: Directory): number {
    const { table } = this.#p.store;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    const rest = keys[row + 6] & 0xffff;
    for (const { address } of directory.vipsOfNat(keys[row + 6] >>> 16)) {
      keys[row + 6] = (address << 16) | rest;
      const slot = table.find(keys, row);
      if (slot >= 0) return slot;
    }
    return -1;
  }

  /** The class of its client says how a new tunnel is answered, and with it what `local` and `together` are. */
  prepare(draft: TunnelDraft): void {
    const { followers } = this.#p;
    const { vip, a0, a1, a2, a3 } = draft;
    const oneWay = vip.oneWay === true;
    const follow = followers.classOf(vip, a0, a1, a2, a3);
    this.local = oneWay && follow === FOLLOW.refuses ? (vip.localAddress ?? -1) : -1;
    draft.shownAddress = followers.addressFor(vip, a0, a1, a2, a3);
    draft.oneWay = oneWay && this.local < 0;
    this.together = draft.oneWay && (follow === FOLLOW.unknown || follow === FOLLOW.carried);
  }

  /** Its server is the machine that this designator runs on: what it answers cannot be made to pass here. */
  isHere(server: number): boolean {
    const { store, hops } = this.#p;
    return hops.table.port(store.memory.servers[server * CELL_WORDS + SERVER_CELL.nextHop]) === PORT_HOST;
  }

  /**
   * The server for a request that is put from the VIP's `localAddress`: the chosen one, unless that is this machine. −1:
   * there is no other one. The caller holds the lock.
   */
  away(server: number, { a0, a1, a2, a3, vip }: TunnelDraft): number {
    if (server < 0 || !this.isHere(server)) return server;
    return this.#p.designator.designateBesidesLocked(vip.index, (other) => this.isHere(other), a0, a1, a2, a3);
  }

  /** Some server of the VIP takes tunnels, and is another machine. */
  #hasOther(vip: PlanVip): boolean {
    const { cells } = this.#p.designator;
    return vip.servers.some((server) => cells.eligible(server) && !this.isHere(server));
  }

  /**
   * A client repeats its request, though it has been answered as far as anybody can tell. True: the tunnel is gone, and the
   * request is to be designated anew, to a server that can be helped.
   */
  insists(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number, directory: Directory): boolean {
    const { store, followers, fullNat, hops, wheel, statistics } = this.#p;
    const vip = directory.vip(batch.local[i]);
    if (vip === null || vip.reply === 'vip' || !followers.repeated(record)) return false;
    if (vip.oneWay !== true) {
      followers.learn(vip, record, FOLLOW.refuses);
      this.answers.showVip(batch, i, descriptor, record, vip);
      return false;
    }
    if (store.state(record) !== RECORD_STATE.passed) return false;
    const local = vip.localAddress ?? -1;
    if (local < 0) {
      statistics[COUNTER.refusalsUnhelped]++;
      followers.learn(vip, record, FOLLOW.refuses);
      return false;
    }
    if (this.isHere(store.serverIndex(record))) {
      followers.learn(vip, record, FOLLOW.refuses);
      if (!this.#hasOther(vip)) {
        statistics[COUNTER.refusalsUnhelped]++;
        return false;
      }
      wheel.cancel(record);
      store.release(record, this.#nowMs, CLOSE_REASON.moved);
      statistics[COUNTER.requestsMoved]++;
      return true;
    }
    // Whether it is the client or a dead server is told by the answer, which comes here from now on.
    const server = directory.server(store.serverIndex(record));
    store.lock.acquire(this.#p.shard);
    const hop = hops.ofFrame(batch, i, this.#nowSeconds);
    store.lock.release(this.#p.shard);
    if (server === null || hop < 0) return false;
    if (fullNat.put(record, vip, server, local, hop, this.#nowSeconds, this.#nowMs)) store.expect(record);
    return false;
  }

  /** The first message after an answer from the NAT address: where to? */
  moved(batch: Batch, i: number, record: number, vip: PlanVip): void {
    const { store, followers, statistics } = this.#p;
    if (store.state(record) !== RECORD_STATE.halfOpen || store.shownAddress(record, vip) === vip.address) return;
    const follows = batch.keys[i * KEY_STRIDE + 6] >>> 16 !== vip.address;
    if (!follows) statistics[COUNTER.carriedOn]++;
    followers.learn(vip, record, follows ? FOLLOW.follows : FOLLOW.carried);
  }
}
