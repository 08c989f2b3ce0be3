/** Unpredictable bytes for engines, drawn from the kernel some thousand at a time. */
import { randomFillSync } from 'node:crypto';

const POOL_LENGTH = 16_384;

/** The answer is the caller's to keep. */
export function randomSource(): (length: number) => Uint8Array {
  const pool = new Uint8Array(POOL_LENGTH);
  let at = POOL_LENGTH;
  return (length) => {
    if (length > POOL_LENGTH) return randomFillSync(new Uint8Array(length));
    if (at + length > POOL_LENGTH) {
      randomFillSync(pool);
      at = 0;
    }
    const bytes = pool.slice(at, at + length);
    // What was given out is not kept, lest it be read here.
    pool.fill(0, at, at + length);
    at += length;
    return bytes;
  };
}
