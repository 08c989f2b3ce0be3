/**
 * Empties the shards' capture rings into the hub while any capture is open. The shards' clock is monotonic and comes
 * modulo 2³² microseconds; here it becomes wall-clock time again, and the note of a frame a comment for people.
 */
import { RING_FRAME_LENGTH, RING_META, type FrameRing } from '../../flow/ring.js';
import { ALL_DROP_REASONS } from '../../dataplane/counters.js';
import { NOT_SENT, unpackNote } from '../../dataplane/capture-note.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import type { CaptureHub, FrameNote } from '../../ops/capture.js';
import type { Binding } from './binding.js';

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
    readonly binding: Pick<Binding, 'vips' | 'servers'>,
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
        const length = this.#meta[RING_META.length];
        const note = this.#meta[RING_META.note];
        this.hub.publish(this.#frame.subarray(0, length), seconds, this.#meta[RING_META.ingress], length, () =>
          describe(note, shard, this.binding),
        );
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

/**
 * The comment of a frame: `key=value` words, so that a display filter finds them (`frame.comment contains "server=lns1"`),
 * and the sentence of a drop reason behind them.
 */
export function describe(note: number, shard: number, binding: Pick<Binding, 'vips' | 'servers'>): FrameNote {
  const { inside, rewritten, dropped, server, vip } = unpackNote(note);
  const reason = dropped < 0 || dropped === NOT_SENT ? undefined : ALL_DROP_REASONS[dropped];
  const words = [
    `side=${rewritten ? 'after' : 'before'}`,
    `verdict=${dropped < 0 ? 'forward' : 'drop'}`,
    ...(dropped < 0 ? [] : [`reason=${reason?.[0] ?? 'rewriter'}`]),
    ...(vip < 0 ? [] : [`vip=${binding.vips.find(({ index }) => index === vip)?.name ?? '?'}`]),
    ...(server < 0 ? [] : [`server=${binding.servers.find(({ index }) => index === server)?.name ?? '?'}`]),
    `shard=${shard}`,
  ];
  const comment = words.join(' ') + (reason === undefined ? '' : ` (${reason[1]})`);
  return { port: inside ? PORT_INSIDE : PORT_OUTSIDE, outbound: rewritten, comment };
}
