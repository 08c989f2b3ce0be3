import { expect, test } from 'vitest';
import { PLANE_COUNTERS, PLANE_DROPS } from '../../src/flow/plane-drops.js';
import { PuntRing } from '../../src/flow/punt-ring.js';
import {
  FIRST_DROP,
  PUNT,
  PUNT_HEAD_LENGTH,
  PUNT_RECORD_LENGTH,
  PUNT_RING,
  PUNT_RING_LENGTH,
  PUNT_STRIDE,
  PUNT_WRAP,
  STATISTIC,
} from '../../src/flow/session-layout.js';

/** The worker's side, as native/punt_ring.h has it. */
class Producer {
  readonly words: Int32Array;
  readonly head: Int32Array;
  readonly bytes: Uint8Array;

  constructor(buffer: ArrayBuffer) {
    this.head = new Int32Array(buffer, 0, PUNT_HEAD_LENGTH / 4);
    this.words = new Int32Array(buffer, PUNT_HEAD_LENGTH);
    this.bytes = new Uint8Array(buffer, PUNT_HEAD_LENGTH);
  }

  push(kind: number, slot: number, bytes: Uint8Array): void {
    const length = (PUNT_RECORD_LENGTH + bytes.length + 7) & ~7;
    let tail = this.head[PUNT_RING.tail];
    let offset = (tail >>> 0) & (PUNT_RING_LENGTH - 1);
    if (offset + length > PUNT_RING_LENGTH) {
      this.words[offset >> 2] = PUNT_WRAP | 0;
      tail = (tail + PUNT_RING_LENGTH - offset) | 0;
      offset = 0;
    }
    this.words[(offset >> 2) + PUNT.length] = bytes.length;
    this.words[(offset >> 2) + PUNT.kind] = (kind << 24) | (slot + 1);
    this.bytes.set(bytes, offset + PUNT_RECORD_LENGTH);
    this.head[PUNT_RING.tail] = (tail + length) | 0;
  }
}

test('records come out as they went in, around the end of the ring and of the positions', () => {
  const buffer = new ArrayBuffer(PUNT_STRIDE);
  const producer = new Producer(buffer);
  // Just below 2³², and just before the end of the ring: both wrap while the test runs.
  producer.head[PUNT_RING.tail] = -4096;
  producer.head[PUNT_RING.head] = -4096;
  const ring = new PuntRing(buffer, 0);
  const seen: string[] = [];
  const expected: string[] = [];
  for (let i = 0; i < 200; i++) {
    const bytes = new Uint8Array(1 + ((i * 97) % 1500)).fill(i);
    producer.push((i % 6) + 1, i - 1, bytes);
    expected.push(`${(i % 6) + 1} ${i - 1} ${bytes.length} ${i}`);
    if (i % 5 !== 4) continue;
    ring.drain(100, (kind, slot, _words, _at, got) =>
      seen.push(`${kind} ${slot} ${got.length} ${got[got.length - 1]}`),
    );
  }
  expect(seen).toEqual(expected);
  expect(ring.pending).toBe(false);
});

test('every drop has a name of its own and a sentence, and every statistic one place', () => {
  const drops = Object.entries(STATISTIC).filter(([, word]) => word >= FIRST_DROP);
  expect(PLANE_DROPS.map(({ statistic }) => statistic).sort()).toEqual(drops.map(([, word]) => word).sort());
  expect(new Set(PLANE_DROPS.map(({ reason }) => reason)).size).toBe(PLANE_DROPS.length);
  expect(Object.keys(PLANE_COUNTERS).length + drops.length).toBe(Object.keys(STATISTIC).length);
});
