/**
 * What the owner shard does about clients that do not follow answers from another address than the VIP (document 001,
 * FIG. 2 and 4): those that stay are carried on, those that refuse the answer hear it from the VIP.
 */
import { RECORD_STATE } from '../flow/layout.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import type { Answers } from './answers.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import { FOLLOW } from './follow-class.js';
import type { PlanVip } from './plan.js';
import type { TrackerParts } from './tracker.js';

type Parts = Pick<TrackerParts, 'shard' | 'store' | 'followers' | 'fullNat' | 'hops' | 'statistics'>;

export class ReplyWays {
  readonly #p: Parts;
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

  /** A client repeats its request, though it has been answered as far as anybody can tell. */
  insists(
    batch: Batch,
    i: number,
    descriptor: TunnelDescriptor,
    record: number,
    vip: PlanVip,
    directory: Directory,
  ): void {
    const { store, followers, fullNat, hops, statistics } = this.#p;
    if (!followers.repeated(record)) return;
    if (vip.oneWay !== true) {
      followers.learn(vip, record, FOLLOW.refuses);
      return this.answers.showVip(batch, i, descriptor, record, vip);
    }
    if (store.state(record) !== RECORD_STATE.passed) return;
    const local = vip.localAddress ?? -1;
    if (local < 0) {
      statistics[COUNTER.refusalsUnhelped]++;
      return followers.learn(vip, record, FOLLOW.refuses);
    }
    // Whether it is the client or a dead server is told by the answer, which comes here from now on.
    const server = directory.server(store.serverIndex(record));
    store.lock.acquire(this.#p.shard);
    const hop = hops.ofFrame(batch, i, this.#nowSeconds);
    store.lock.release(this.#p.shard);
    if (server === null || hop < 0) return;
    if (fullNat.put(record, vip, server, local, hop, this.#nowSeconds, this.#nowMs)) store.expect(record);
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
