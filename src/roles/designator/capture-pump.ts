/**
 * Empties the shards' capture rings into the hub while any capture is open. The shards' clock is monotonic and comes
 * modulo 2³² microseconds; here it becomes wall-clock time again.
 */
import { RING_FRAME_LENGTH, RING_META, type FrameRing } from '../../flow/ring.js';
import type { CaptureHub } from '../../ops/capture.js';

const POLL_MS = 10;
/** Frames taken from one ring at a time, so that the main thread's other work goes on. */
const TAKE_LIMIT = 1024;
const TWO_32 = 4294967296;

export class CapturePump {
  readonly #frame = new Uint8Array(RING_FRAME_LENGTH);
  readonly #meta = new Int32Array(4);
  readonly #lost: number[];
  #timer: NodeJS.Timeout | null = null;

  constructor(
    readonly hub: CaptureHub,
    readonly rings: readonly FrameRing[],
    readonly monotonic: () => number,
    readonly lostOf: (shard: number) => number,
  ) {
    this.#lost = rings.map((_, shard) => lostOf(shard));
  }

  /** Runs while `active`; the last frames are taken when it ends. */
  setActive(active: boolean): void {
    if (active && this.#timer === null) this.#timer = setInterval(() => this.poll(), POLL_MS);
    if (!active && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
      this.poll();
    }
  }

  poll(): void {
    const monotonic = this.monotonic();
    const wall = Date.now() / 1000 - monotonic;
    const micros = Math.floor(monotonic * 1e6);
    for (let shard = 0; shard < this.rings.length; shard++) {
      const ring = this.rings[shard];
      for (let n = 0; n < TAKE_LIMIT && ring.pop(this.#frame, 0, this.#meta); n++) {
        const age = (((micros % TWO_32) - (this.#meta[RING_META.flags] >>> 0) + TWO_32) % TWO_32) / 1e6;
        // A stamp a little ahead of this thread's clock would look 71 minutes old.
        const seconds = wall + monotonic - (age > TWO_32 / 2e6 ? 0 : age);
        this.hub.publish(this.#frame.slice(0, this.#meta[RING_META.length]), seconds, this.#meta[RING_META.ingress]);
      }
      const lost = this.lostOf(shard);
      if (lost > this.#lost[shard]) {
        this.hub.lost(lost - this.#lost[shard]);
        this.#lost[shard] = lost;
      }
    }
    this.hub.flush();
  }
}
