/**
 * A 64-bit counter as two words, low word first, as the entries have them. The addon and the XDP program add to it in one
 * step; TypeScript, without 64-bit atomics on numbers, in two.
 */

const TWO_32 = 4294967296;

/**
 * Adds `amount` (whole, 0 … 2⁵³) to the counter at `at`: its low word first, then its high word with the carry of this
 * very addition. Whatever others add in between, the sum is right in the end; a reader in between may see it 2³² too low,
 * once in so many.
 */
export function addWide(words: Int32Array, at: number, amount: number): void {
  const low = amount % TWO_32;
  const before = Atomics.add(words, at, low | 0) >>> 0;
  const high = Math.floor(amount / TWO_32) + (before + low >= TWO_32 ? 1 : 0);
  if (high > 0) Atomics.add(words, at + 1, high);
}
