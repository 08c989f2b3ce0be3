/**
 * Which clients follow answers that come from another address than the VIP (document 001, FIG. 2 and 4), told from what
 * they send here; nothing is asked of them.
 *
 * - Where answers pass here (`reply: nat`), the first message after the answer says it: it goes to the NAT address or to
 *   the VIP. A client that has been answered and goes on asking takes no answer from there.
 * - Where they do not (`reply: direct`, or another machine's NAT), a client that has its answer and follows is not heard of
 *   again; one that does not move sends its next message to the VIP; one that refuses the answer repeats its request.
 *
 * All of it is presumption from silence and repetition, so later evidence corrects it.
 */
import { DelayQueue } from '../flow/delay-queue.js';
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import { COUNTER } from './counters.js';
import { FOLLOW } from './follow-class.js';
import { FollowMemory } from './follow-memory.js';
import type { PlanVip } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** Copies of a request after its answer was sent, or should have been, that make a client one that refuses. */
export const REFUSAL_REPEATS = 2;
/** A client that says nothing to the VIP for so long after its request has followed its answer. */
export const SILENCE_SECONDS = 5;
/** Requests that are looked at again after that time; of more, clients' classes are told later, by other requests. */
const WAIT_LIMIT = 16_384;
/** Of those, looked at in a turn. */
const LOOKS_PER_TURN = 256;
/** Changes that wait for the main thread. */
const NOTICE_LIMIT = 1024;

/** A client's class at a VIP cell, as it is now. */
export interface FollowNotice {
  readonly vip: number;
  readonly client: readonly [number, number, number, number];
  readonly follow: number;
}

export class Followers {
  readonly memory: FollowMemory;
  /** Copies of the request, by record, and which version of the record they are of. */
  #repeats: Uint8Array | null = null;
  readonly #recordCount: number;
  readonly #waiting = new DelayQueue(SILENCE_SECONDS, WAIT_LIMIT);
  /** Created when, in whole seconds: a record that is another tunnel's by now is left alone. */
  readonly #created = new DelayQueue(SILENCE_SECONDS, WAIT_LIMIT);
  #notices: FollowNotice[] = [];

  constructor(
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
    memory = new FollowMemory(),
  ) {
    this.memory = memory;
    this.#recordCount = store.memory.layout.recordCount;
  }

  classOf(vip: PlanVip, a0: number, a1: number, a2: number, a3: number): number {
    if (vip.reply === undefined || vip.reply === 'vip') return FOLLOW.unknown;
    return this.memory.classOf(vip.index, a0, a1, a2, a3);
  }

  /** The tunnel's client is known to refuse answers: that it asks again says nothing of its server. */
  refuses(record: number): boolean {
    const { store } = this;
    const slot = store.anyEntry(record);
    if (slot < 0) return false;
    const key = (word: number): number => store.table.keyWord(slot, word);
    return this.memory.classOf(store.vipIndex(record), key(0), key(1), key(2), key(3)) === FOLLOW.refuses;
  }

  /** The address that this client is to see answers come from, as far as they pass here. */
  addressFor(vip: PlanVip, a0: number, a1: number, a2: number, a3: number): number {
    const nat = vip.natAddress ?? -1;
    if (vip.reply !== 'nat' || vip.oneWay === true || nat < 0) return vip.address;
    return this.memory.classOf(vip.index, a0, a1, a2, a3) === FOLLOW.refuses ? vip.address : nat;
  }

  /** A request has made a tunnel. */
  requested(record: number, now: number): void {
    if (this.#repeats !== null) this.#repeats[record] = 0;
    if (this.store.state(record) !== RECORD_STATE.passed) return;
    if (this.#waiting.push(record, now)) this.#created.push(this.store.word(record, RECORD.created), now);
    else this.statistics[COUNTER.followUnwatched]++;
  }

  /**
   * The client's host says that nobody there takes what came from the NAT address. Who says so knows the tunnel's ids, but
   * it is no more than the client's own repetition would say: its next copy of the request settles it.
   */
  unreachable(record: number, vip: PlanVip): void {
    const { store } = this;
    if (vip.reply !== 'nat' || vip.oneWay === true || store.isForeign(record)) return;
    if (store.state(record) !== RECORD_STATE.halfOpen || store.word(record, RECORD.ports) === 0) return;
    if (store.shownAddress(record, vip) === vip.address) return;
    this.#repeats ??= new Uint8Array(this.#recordCount);
    this.#repeats[record] = Math.max(this.#repeats[record], REFUSAL_REPEATS);
    this.statistics[COUNTER.refusalsTold]++;
  }

  /** A copy of a tunnel's request has come. True: the client takes no answer that it could have had by now. */
  repeated(record: number): boolean {
    const { store } = this;
    const passed = store.state(record) === RECORD_STATE.passed;
    // Before the server has answered nobody could take anything.
    if (!passed && store.word(record, RECORD.ports) === 0) return false;
    this.#repeats ??= new Uint8Array(this.#recordCount);
    if (this.#repeats[record] < 255) this.#repeats[record]++;
    return this.#repeats[record] >= REFUSAL_REPEATS;
  }

  /** What the client of a tunnel does. A class that is known is young again. */
  learn(vip: PlanVip, record: number, follow: number): void {
    const slot = this.store.anyEntry(record);
    if (slot < 0) return;
    const { table } = this.store;
    this.set(
      vip.index,
      table.keyWord(slot, 0),
      table.keyWord(slot, 1),
      table.keyWord(slot, 2),
      table.keyWord(slot, 3),
      follow,
    );
  }

  set(vip: number, a0: number, a1: number, a2: number, a3: number, follow: number): void {
    const before = this.memory.set(vip, a0, a1, a2, a3, follow);
    this.statistics[COUNTER.followForgotten] = this.memory.forgotten;
    if (before === follow) return;
    this.statistics[COUNTER.followChanges]++;
    if (this.#notices.length < NOTICE_LIMIT) this.#notices.push({ vip, client: [a0, a1, a2, a3], follow });
    else this.statistics[COUNTER.followUntold]++;
  }

  /** What a tunnel that was there before this shard says of its client. */
  adopt(record: number, vip: PlanVip): void {
    const { store } = this;
    if (vip.reply === undefined || vip.reply === 'vip' || store.state(record) !== RECORD_STATE.established) return;
    const learn = (follow: number): void => this.learn(vip, record, follow);
    if (vip.oneWay === true) return learn(store.isOneWay(record) ? FOLLOW.carried : FOLLOW.refuses);
    if (store.shownAddress(record, vip) === vip.address) return learn(FOLLOW.refuses);
    const packets = (word: number): number => {
      const slot = store.word(record, word) - 1;
      return slot < 0 ? 0 : store.table.packets(slot);
    };
    const [moved, stayed] = [packets(RECORD.entryForward), packets(RECORD.entryAlias)];
    if (moved > 0 || stayed > 0) learn(moved > 0 ? FOLLOW.follows : FOLLOW.carried);
  }

  /** Once a turn: clients that have been silent long enough. */
  setTime(now: number): void {
    for (let looks = LOOKS_PER_TURN; looks > 0; looks--) {
      const record = this.#waiting.take(now);
      if (record < 0) return;
      this.#silent(record, this.#created.take(now));
    }
  }

  #silent(record: number, created: number): void {
    const { store } = this;
    if (store.state(record) !== RECORD_STATE.passed || store.word(record, RECORD.created) !== created) return;
    if (this.#repeats !== null && this.#repeats[record] >= REFUSAL_REPEATS) return;
    const slot = store.anyEntry(record);
    if (slot < 0) return;
    const { table } = store;
    const [a0, a1, a2, a3] = [0, 1, 2, 3].map((word) => table.keyWord(slot, word));
    const vip = store.vipIndex(record);
    if (this.memory.classOf(vip, a0, a1, a2, a3) === FOLLOW.carried) return;
    this.set(vip, a0, a1, a2, a3, FOLLOW.follows);
  }

  /** What the main thread should know; empties the list. */
  takeNotices(): FollowNotice[] {
    const notices = this.#notices;
    if (notices.length > 0) this.#notices = [];
    return notices;
  }
}
