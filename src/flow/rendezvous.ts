/**
 * Rendezvous hashing with weights (Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005): everybody who
 * knows the same names and weights puts them into the same order for a key, whatever the order of their lists. One of
 * weight w is first for w times as many keys as one of weight 1; when one goes, all others stay in their order.
 */

/** `of` in the key's order. `nameOf`: what it is known by everywhere. Weights: above 0. */
export function rendezvousOrder<T>(
  key: string,
  of: readonly T[],
  nameOf: (one: T) => string,
  weightOf: (one: T) => number,
): T[] {
  return of
    .map((one) => {
      const name = nameOf(one);
      // Exponentially distributed with the weight as rate: of several such the least is each one's with its share.
      return { one, name, score: -Math.log((hash(`${key}\0${name}`) + 0.5) / 2 ** 32) / weightOf(one) };
    })
    .sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1))
    .map(({ one }) => one);
}

/** FNV-1a over the UTF-16 words, stirred (Murmur3's end), since FNV's upper bits hardly follow the last ones. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
