import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameRing, RING_FRAME_LENGTH, RING_META } from '../../src/flow/ring.js';
import { RUNS } from './memory.js';
import { inThread } from './thread.js';

const newRing = (slots: number) => new FrameRing(new SharedArrayBuffer(FrameRing.byteLength(slots)), 0, slots);

describe('frame ring', () => {
  it('agrees with a queue of limited length', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.option(fc.nat(RING_FRAME_LENGTH + 2)), { maxLength: 60 }),
        (slots, steps) => {
          const ring = newRing(slots);
          const queue: { length: number; fill: number }[] = [];
          const meta = new Int32Array(3);
          const out = new Uint8Array(RING_FRAME_LENGTH + 3);
          let refused = 0;
          for (const [step, length] of steps.entries()) {
            if (length !== null) {
              const fits = queue.length < slots && length <= RING_FRAME_LENGTH;
              const frame = new Uint8Array(length + 4).fill((step % 255) + 1);
              expect(ring.push(frame, 2, length, 1, step)).toBe(fits);
              if (fits) queue.push({ length, fill: step });
              else refused++;
            } else {
              const expected = queue.shift();
              out.fill(0);
              expect(ring.pop(out, 2, meta)).toBe(expected !== undefined);
              if (expected === undefined) continue;
              expect([...meta]).toEqual([expected.length, 1, expected.fill]);
              const frame = out.subarray(2, 2 + expected.length);
              expect(frame.every((byte) => byte === (expected.fill % 255) + 1)).toBe(true);
              expect([out[1], out[2 + expected.length]]).toEqual([0, 0]);
            }
            expect(ring.pending()).toBe(queue.length);
            expect(ring.refused()).toBe(refused);
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('keeps several rings apart in one buffer', () => {
    const length = FrameRing.byteLength(2);
    const buffer = new SharedArrayBuffer(2 * length);
    const [a, b] = [new FrameRing(buffer, 0, 2), new FrameRing(buffer, length, 2)];
    const frame = new Uint8Array(RING_FRAME_LENGTH).fill(9);
    for (let i = 0; i < 3; i++) a.push(frame, 0, frame.length, 0, 0);
    expect([a.pending(), b.pending(), a.refused(), b.refused()]).toEqual([2, 0, 1, 0]);
  });

  it('carries every frame in order from another thread', async () => {
    const frames = 20_000;
    const slots = 16;
    const buffer = new SharedArrayBuffer(FrameRing.byteLength(slots));
    const ring = new FrameRing(buffer, 0, slots);
    const producer = inThread(new URL('ring.thread.ts', import.meta.url), { buffer, slots, frames });
    let failure: unknown;
    producer.catch((error: unknown) => {
      failure = error;
    });
    const out = new Uint8Array(RING_FRAME_LENGTH);
    const view = new DataView(out.buffer);
    const meta = new Int32Array(3);
    let wrong = 0;
    for (let i = 0; i < frames; ) {
      if (!ring.pop(out, 0, meta)) {
        if (failure !== undefined) throw failure;
        await new Promise(setImmediate);
        continue;
      }
      const length = 4 + (i % 300);
      if (meta[RING_META.length] !== length || meta[RING_META.ingress] !== (i & 1) || meta[RING_META.flags] !== (i & 3))
        wrong++;
      if (view.getUint32(0) !== i || (length > 4 && out[length - 1] !== (i & 0xff))) wrong++;
      i++;
    }
    expect(wrong).toBe(0);
    expect(await producer).toBe('done');
    expect(ring.pending()).toBe(0);
  });
});
