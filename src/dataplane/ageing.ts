/**
 * Ends of tunnels that nobody announced, and the wheel's state after a restart. A tunnel half open too long, idle too
 * long, or closed for a retransmission cycle goes (DESIGN §8: timeouts). Deadlines are looked at lazily: traffic does
 * not touch the wheel, a due tunnel that was seen meanwhile is scheduled again.
 */
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import type { TimerWheel } from '../flow/timer-wheel.js';
import { CLOSE_REASON } from './event-tap.js';
import type { Plan } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

/** A record without entries that is older than this is what a crashed shard left half made. */
const ORPHAN_SECONDS = 5;

/** Why a tunnel goes whose time is over, by its state. */
const END_OF: Readonly<Record<number, number>> = {
  [RECORD_STATE.halfOpen]: CLOSE_REASON.halfOpen,
  [RECORD_STATE.passed]: CLOSE_REASON.elsewhere,
};

export class Ageing {
  #timeouts: Plan['timeouts'] = { halfOpen: 60, idle: 600, closing: 35 };
  #nowMs = 0;
  #nowSeconds = 0;
  readonly #due = (record: number): void => this.#judge(record);

  constructor(
    readonly shard: number,
    readonly store: TunnelStore,
    readonly wheel: TimerWheel,
  ) {}

  setPlan(plan: Plan): void {
    this.#timeouts = plan.timeouts;
  }

  advance(nowSeconds: number, nowMs: number): void {
    this.#nowSeconds = nowSeconds;
    this.#nowMs = nowMs;
    this.wheel.advance(nowSeconds, this.#due);
  }

  #judge(record: number): void {
    const { store } = this;
    // Whoever writes it ends it.
    if (store.isForeign(record)) return;
    const now = this.#nowSeconds;
    switch (store.state(record)) {
      case RECORD_STATE.free:
        return;
      case RECORD_STATE.closing:
        return store.release(record, this.#nowMs);
      case RECORD_STATE.passed:
      case RECORD_STATE.halfOpen:
        return this.#judgeAt(record, store.lastSeen(record) + this.#timeouts.halfOpen);
      default:
        // The first look at an established tunnel comes one retransmission cycle after it stood.
        if (
          store.word(record, RECORD.entryHalfOpen) !== 0 &&
          now - store.word(record, RECORD.created) >= this.#timeouts.closing
        ) {
          store.forgetRequest(record, this.#nowMs);
        }
        return this.#judgeAt(record, store.lastSeen(record) + this.#timeouts.idle);
    }
  }

  #judgeAt(record: number, deadline: number): void {
    if (deadline <= this.#nowSeconds) {
      this.store.release(record, this.#nowMs, END_OF[this.store.state(record)] ?? CLOSE_REASON.idle);
    } else this.wheel.schedule(record, deadline);
  }

  /** True when this shard owns the tunnel's client. */
  owns(record: number): boolean {
    return this.store.ownerOf(record, -1) === this.shard;
  }

  /** A tunnel that became ours is to end some day. True: it was not on the wheel, so it is new here. */
  take(record: number, nowSeconds: number): boolean {
    if (this.wheel.isScheduled(record)) return false;
    this.#await(record, nowSeconds);
    return true;
  }

  #await(record: number, nowSeconds: number): void {
    const state = this.store.state(record);
    const halfOpen = state === RECORD_STATE.halfOpen || state === RECORD_STATE.passed;
    this.wheel.schedule(record, nowSeconds + (halfOpen ? this.#timeouts.halfOpen : this.#timeouts.closing));
  }

  /** Takes over the tunnels that this shard owns after a start or a crash; returns how many. */
  adopt(nowSeconds: number, nowMs: number): number {
    const { store } = this;
    let adopted = 0;
    store.lock.acquire(this.shard);
    store.clients.clear(this.shard);
    store.lock.release(this.shard);
    for (let record = 0; record < store.memory.layout.recordCount; record++) {
      const state = store.state(record);
      if (state === RECORD_STATE.free) continue;
      if (store.anyEntry(record) < 0) {
        if (!store.isForeign(record) && nowSeconds - store.word(record, RECORD.created) >= ORPHAN_SECONDS) {
          store.clients.forget(record);
          store.release(record, nowMs);
        }
        continue;
      }
      if (!this.owns(record)) continue;
      if (!store.isForeign(record)) this.#await(record, nowSeconds);
      const slot = store.anyEntry(record);
      const { table } = store;
      const [a0, a1, a2, a3] = [0, 1, 2, 3].map((word) => table.keyWord(slot, word));
      store.lock.acquire(this.shard);
      store.clients.enter(record, a0, a1, a2, a3);
      store.lock.release(this.shard);
      adopted++;
    }
    return adopted;
  }
}
