/**
 * A bounded memory of addresses: those that were noted last, by their hash. Sets of four; a new one replaces the one of its
 * set that was noted longest ago. A stranger is taken for known by about one chance in two billion for each way in use.
 */

const WAYS = 4;

export class SourceMemory {
  readonly #tags: Int32Array;
  readonly #seen: Int32Array;
  readonly #mask: number;

  /** `capacity` addresses, rounded up to a power of two. `seed`: so that nobody can choose whom to displace. */
  constructor(
    capacity: number,
    readonly seed: number,
  ) {
    let size = WAYS;
    while (size < capacity) size *= 2;
    this.#tags = new Int32Array(size);
    this.#seen = new Int32Array(size);
    this.#mask = size / WAYS - 1;
  }

  note(a0: number, a1: number, a2: number, a3: number, nowSeconds: number): void {
    const set = (mix(a0, a1, a2, a3, this.seed) & this.#mask) * WAYS;
    const tag = tagOf(a0, a1, a2, a3, this.seed);
    let chosen = set;
    for (let way = set; way < set + WAYS; way++) {
      if (this.#tags[way] === tag || this.#tags[way] === 0) {
        chosen = way;
        break;
      }
      if (this.#seen[way] < this.#seen[chosen]) chosen = way;
    }
    this.#tags[chosen] = tag;
    this.#seen[chosen] = nowSeconds;
  }

  has(a0: number, a1: number, a2: number, a3: number): boolean {
    const set = (mix(a0, a1, a2, a3, this.seed) & this.#mask) * WAYS;
    const tag = tagOf(a0, a1, a2, a3, this.seed);
    const tags = this.#tags;
    return tags[set] === tag || tags[set + 1] === tag || tags[set + 2] === tag || tags[set + 3] === tag;
  }
}

/** Never 0, which is an empty way. */
function tagOf(a0: number, a1: number, a2: number, a3: number, seed: number): number {
  return mix(a0, a1, a2, a3, ~seed) | 1;
}

/** 32 well mixed bits of four words. */
export function mix(a0: number, a1: number, a2: number, a3: number, seed: number): number {
  let h = seed | 0;
  h = round(h, a0);
  h = round(h, a1);
  h = round(h, a2);
  h = round(h, a3);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function round(h: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  const r = h ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  return (Math.imul((r << 13) | (r >>> 19), 5) + 0xe6546b64) | 0;
}
