/**
 * What a shard does with tunnels that came from elsewhere. Those that other members write are put into the table by the
 * main thread; the shard that owns their client gives them the firewall's verdict and lets the XDP program forward by
 * them, long before anybody needs them. Those whose writer is gone become ours: they get a deadline, like any.
 */
import { RECORD_STATE } from '../flow/layout.js';
import type { Ageing } from './ageing.js';
import { CLOSE_REASON } from './event-tap.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import type { Followers } from './followers.js';
import type { Review } from './review.js';
import type { Share } from './share.js';
import type { TunnelStore } from './tunnel-store.js';

/** Records looked at in a turn. */
const SLICE = 16_384;
/** Tunnels that the main thread has put in, looked at in a turn. */
const LOOKS = 256;

const DONE = -1;

export class SharedTunnels {
  #cursor = DONE;

  constructor(
    readonly share: Share,
    readonly store: TunnelStore,
    readonly ageing: Ageing,
    readonly review: Review,
    readonly followers: Followers,
    readonly statistics: Float64Array,
  ) {}

  /** What is ours may be more than it was. */
  restart(): void {
    this.#cursor = 0;
  }

  /** The record is of a copy of a request whose tunnel another member has: it goes. `version`: as it was when that was seen. */
  giveWay(record: number, version: number, nowMs: number): void {
    const { store, ageing } = this;
    if (store.pool.version(record) !== version || store.state(record) !== RECORD_STATE.halfOpen) return;
    if (store.isForeign(record) || !ageing.owns(record)) return;
    ageing.wheel.cancel(record);
    store.release(record, nowMs, CLOSE_REASON.moved);
  }

  /** There is something to do without waiting for traffic. */
  get busy(): boolean {
    return this.#cursor >= 0 || this.share.busy || this.share.looks.pending() > 0;
  }

  /** Once a turn. */
  step(directory: Directory, nowSeconds: number): void {
    for (let n = 0; n < LOOKS; n++) {
      const record = this.share.looks.pop();
      if (record < 0) break;
      if (this.store.state(record) !== RECORD_STATE.free && this.ageing.owns(record))
        this.review.look(record, directory);
    }
    if (this.share.looks.takeLost() > 0) this.review.restart(true);
    if (this.#cursor >= 0) this.#takeSlice(directory, nowSeconds);
  }

  #takeSlice(directory: Directory, nowSeconds: number): void {
    const { share, store, ageing, followers, statistics } = this;
    const count = store.memory.layout.recordCount;
    const limit = Math.min(this.#cursor + SLICE, count);
    for (let record = this.#cursor; record < limit; record++) {
      if (store.state(record) === RECORD_STATE.free || share.isForeign(record) || !ageing.owns(record)) continue;
      if (!ageing.take(record, nowSeconds)) continue;
      statistics[COUNTER.tunnelsAdopted]++;
      const vip = directory.vip(store.vipIndex(record));
      if (vip !== null) followers.adopt(record, vip);
    }
    this.#cursor = limit === count ? DONE : limit;
  }
}
