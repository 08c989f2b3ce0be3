/**
 * Consistent hashing by a look-up table (Eisenbud et al., "Maglev", NSDI 2016, §3.4): every server walks the table in
 * its own order and takes the next free place when it is its turn; a server of weight w gets w turns for each turn of a
 * server of weight 1. When a server leaves, nearly all other places stay as they were.
 */

/** Places; a prime, well above 100 for each of some hundreds of servers. */
export const MAGLEV_SIZE = 65537;
/** In the table when no server has a weight. */
export const MAGLEV_NONE = 0xffff;

/**
 * Fills a table with positions 0 … identities.length − 1. `identities`: one 32-bit word for each server, made from its
 * name, so that the table depends on names and weights alone and not on the order of the configuration. Weight ≤ 0: none.
 */
export function buildMaglev(
  identities: Int32Array,
  weights: Int32Array,
  into: Uint16Array = new Uint16Array(MAGLEV_SIZE),
): Uint16Array {
  into.fill(MAGLEV_NONE);
  const order = Array.from(identities.keys())
    .filter((i) => weights[i] > 0)
    .sort((a, b) => identities[a] - identities[b] || a - b);
  if (order.length === 0) return into;
  const greatest = order.reduce((most, i) => Math.max(most, weights[i]), 0);
  const place = new Int32Array(identities.length); // next place to try
  const skip = new Int32Array(identities.length);
  const credit = new Float64Array(identities.length);
  for (const i of order) {
    place[i] = mix(identities[i], 0x2545f491) % MAGLEV_SIZE;
    skip[i] = (mix(identities[i], 0x6c078965) % (MAGLEV_SIZE - 1)) + 1;
  }
  let filled = 0;
  for (;;) {
    for (const i of order) {
      credit[i] += weights[i];
      if (credit[i] < greatest) continue;
      credit[i] -= greatest;
      while (into[place[i]] !== MAGLEV_NONE) place[i] = (place[i] + skip[i]) % MAGLEV_SIZE;
      into[place[i]] = i;
      if (++filled === MAGLEV_SIZE) return into;
    }
  }
}

/** Place of a key: its words (client address, channel) mixed. 0 … MAGLEV_SIZE − 1. */
export function maglevPlace(a0: number, a1: number, a2: number, a3: number, channel: number): number {
  let h = mix(a3, 0x9e3779b1) ^ a2;
  h = mix(h, 0x85ebca6b) ^ a1;
  h = mix(h, 0xc2b2ae35) ^ a0;
  return mix(mix(h, 0x27d4eb2f) ^ channel, 0x165667b1) % MAGLEV_SIZE;
}

function mix(word: number, factor: number): number {
  let h = Math.imul(word ^ (word >>> 16), factor);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
