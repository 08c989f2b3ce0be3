/**
 * The shard's end of a capture: copies of the frames of chosen tunnels, before and after the rewrite, into a ring that
 * the main thread empties. Off, it costs one comparison a turn.
 */
import type { FrameRing } from '../flow/ring.js';
import { RECORD } from '../flow/layout.js';
import { BATCH_CAPACITY, COLUMN_LENGTH, VERDICT_RAW } from '../io/port.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import type { CaptureFilter } from './plan.js';
import type { TunnelStore } from './tunnel-store.js';

export const CAPTURE_SLOTS = 1024;

export class CaptureTap {
  captures: readonly CaptureFilter[] = [];
  readonly #wanted: number[] = [];
  /** Which captures want frame i: one bit each. */
  readonly #masks = new Int32Array(COLUMN_LENGTH);

  constructor(
    readonly ring: FrameRing,
    readonly store: TunnelStore,
    readonly statistics: Float64Array,
  ) {}

  /** Copies both sides of every chosen frame. Leaves the frames rewritten, their verdict VERDICT_RAW. */
  run(batch: Batch): void {
    if (this.captures.length === 0) return;
    this.#wanted.length = 0;
    this.#choose(batch, 0, batch.received);
    this.#choose(batch, BATCH_CAPACITY, BATCH_CAPACITY + batch.scratch);
    const micros = Math.floor((batch.port.clock[0] * 1e6) % 4294967296) | 0;
    for (const i of this.#wanted) this.#push(batch, i, micros);
    batch.port.rewrite(batch.received, batch.scratch);
    for (const i of this.#wanted) {
      if (batch.columns.verdict[i] === VERDICT_RAW) this.#push(batch, i, micros);
    }
  }

  #choose(batch: Batch, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const slot = batch.columns.verdict[i];
      if (slot < 0) continue;
      const record = this.store.table.recordOf(slot);
      let mask = 0;
      for (const capture of this.captures) if (this.#wants(capture, batch, i, record)) mask |= 1 << capture.slot;
      if (mask === 0) continue;
      this.#masks[i] = mask;
      this.#wanted.push(i);
    }
  }

  #wants(capture: CaptureFilter, batch: Batch, i: number, record: number): boolean {
    if (
      capture.clientTunnelId !== undefined &&
      this.store.word(record, RECORD.clientChannel) !== capture.clientTunnelId
    )
      return false;
    const { client } = capture;
    if (client === undefined) return true;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    for (let w = 0; w < 4; w++) if (keys[row + w] !== (client[w] | 0)) return false;
    return capture.clientPort === undefined || keys[row + 4] >>> 16 === capture.clientPort;
  }

  /** The ring's `ingress` word carries the mask, its `flags` word CLOCK_MONOTONIC microseconds modulo 2³². */
  #push(batch: Batch, i: number, micros: number): void {
    const { offset, length } = batch.columns;
    if (!this.ring.push(batch.bytes, offset[i], length[i], this.#masks[i], micros))
      this.statistics[COUNTER.captureLost]++;
  }
}
