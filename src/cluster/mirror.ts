/**
 * The records of one kind of a stream, by index: at its writer what it has told, at the others what they were told. Memory
 * comes in groups of GROUP_LENGTH indices, as they are used. Of every RANGE_LENGTH indices, and of every group, it keeps
 * a sum of hashes, so that two members find where they differ without sending what they have.
 *
 * Every index knows the position in the stream at which it was written last: what is older than that never overwrites it,
 * so frames may arrive in any order.
 */
export const RANGE_LENGTH = 16;
export const GROUP_RANGES = 64;
export const GROUP_LENGTH = RANGE_LENGTH * GROUP_RANGES;
/** An index with its record, and the ranges of a group with their sums, fit into a frame. */
const RANGE_SHIFT = 4;
const GROUP_SHIFT = 10;

const M1 = 0x9e3779b1 | 0;
const M2 = 0x85ebca6b | 0;
const M3 = 0xc2b2ae35 | 0;

export const UNCHANGED = 0;
export const WRITTEN = 1;
export const STALE = 2;
export const REFUSED = 3;

interface Group {
  readonly words: Int32Array;
  /** Position of the last writing of every index, and of every range. */
  readonly positions: Float64Array;
  readonly rangePositions: Float64Array;
  /** Two sums for every range. */
  readonly sums: Int32Array;
  /** Of all ranges. */
  low: number;
  high: number;
  position: number;
  used: number;
}

/** One more than needed, so that frames are read by one loop wherever their words end. */
const scratch = new Int32Array(64);

export class Mirror {
  readonly groupCount: number;
  readonly #groups: (Group | null)[];
  #used = 0;
  #low = 0;
  #high = 0;

  constructor(
    readonly capacity: number,
    readonly width: number,
  ) {
    this.groupCount = Math.ceil(capacity / GROUP_LENGTH);
    this.#groups = new Array<Group | null>(this.groupCount).fill(null);
  }

  /** Indices that have a record. */
  get used(): number {
    return this.#used;
  }

  /** Groups that have memory. */
  get groups(): number {
    return this.#groups.reduce((count, group) => count + (group === null ? 0 : 1), 0);
  }

  /** Word of a record; 0 where there is none. */
  word(index: number, word: number): number {
    const group = this.#groups[index >>> GROUP_SHIFT];
    return group == null ? 0 : group.words[(index & (GROUP_LENGTH - 1)) * this.width + word];
  }

  has(index: number): boolean {
    return this.word(index, 0) !== 0;
  }

  /** Where the words of an index stand; `offset(index)` says from which on. null: there never was one. */
  wordsOf(index: number): Int32Array | null {
    return this.#groups[index >>> GROUP_SHIFT]?.words ?? null;
  }

  offset(index: number): number {
    return (index & (GROUP_LENGTH - 1)) * this.width;
  }

  /** `words[from …]` at this position of the stream. UNCHANGED, WRITTEN, STALE (the index is newer), REFUSED (no such index). */
  write(index: number, words: Int32Array, from: number, position: number): number {
    if (index < 0 || index >= this.capacity || words[from] === 0) return REFUSED;
    const g = index >>> GROUP_SHIFT;
    const group = this.#groups[g] ?? this.#enlarge(g);
    const at = index & (GROUP_LENGTH - 1);
    if (group.positions[at] > position) return STALE;
    this.#note(group, at, position);
    const own = group.words;
    const base = at * this.width;
    const { width } = this;
    let difference = 0;
    for (let i = 0; i < width; i++) difference |= own[base + i] ^ words[from + i];
    if (difference === 0) return UNCHANGED;
    if (own[base] !== 0) this.#add(group, at, base, -1);
    else {
      group.used++;
      this.#used++;
    }
    for (let i = 0; i < width; i++) own[base + i] = words[from + i];
    this.#add(group, at, base, 1);
    return WRITTEN;
  }

  /** The same from a frame: words in network byte order from byte `at`. */
  writeFrame(index: number, view: DataView, at: number, position: number): number {
    const { width } = this;
    for (let i = 0; i < width; i++) scratch[i] = view.getInt32(at + 4 * i);
    return this.write(index, scratch, 0, position);
  }

  free(index: number, position: number): number {
    if (index < 0 || index >= this.capacity) return REFUSED;
    const g = index >>> GROUP_SHIFT;
    let group = this.#groups[g];
    if (group === null) {
      // That it is free at this position must be known when something older arrives.
      if (position === 0) return UNCHANGED;
      group = this.#enlarge(g);
    }
    const at = index & (GROUP_LENGTH - 1);
    if (group.positions[at] > position) return STALE;
    this.#note(group, at, position);
    const base = at * this.width;
    if (group.words[base] === 0) return UNCHANGED;
    this.#add(group, at, base, -1);
    group.words.fill(0, base, base + this.width);
    group.used--;
    this.#used--;
    return WRITTEN;
  }

  /** Position at which the index was written last. */
  position(index: number): number {
    return this.#groups[index >>> GROUP_SHIFT]?.positions[index & (GROUP_LENGTH - 1)] ?? 0;
  }

  /** Enters that an index that has not changed is told again at this position. */
  setPosition(index: number, position: number): void {
    const g = index >>> GROUP_SHIFT;
    this.#note(this.#groups[g] ?? this.#enlarge(g), index & (GROUP_LENGTH - 1), position);
  }

  /** Another writer, whose positions begin anew. */
  forgetPositions(): void {
    for (const group of this.#groups) {
      if (group === null) continue;
      group.positions.fill(0);
      group.rangePositions.fill(0);
      group.position = 0;
    }
  }

  groupLow(group: number): number {
    return this.#groups[group]?.low ?? 0;
  }

  groupHigh(group: number): number {
    return this.#groups[group]?.high ?? 0;
  }

  groupPosition(group: number): number {
    return this.#groups[group]?.position ?? 0;
  }

  groupUsed(group: number): number {
    return this.#groups[group]?.used ?? 0;
  }

  /** Of range 0 … of the whole. */
  rangeLow(range: number): number {
    return this.#groups[range >>> (GROUP_SHIFT - RANGE_SHIFT)]?.sums[(range & (GROUP_RANGES - 1)) * 2] ?? 0;
  }

  rangeHigh(range: number): number {
    return this.#groups[range >>> (GROUP_SHIFT - RANGE_SHIFT)]?.sums[(range & (GROUP_RANGES - 1)) * 2 + 1] ?? 0;
  }

  rangePosition(range: number): number {
    return this.#groups[range >>> (GROUP_SHIFT - RANGE_SHIFT)]?.rangePositions[range & (GROUP_RANGES - 1)] ?? 0;
  }

  /** Sum over all: equal at two members that have the same, and at no others but by a chance of 2⁻⁶⁴. */
  digest(): string {
    let low = 0;
    let high = 0;
    for (const group of this.#groups) {
      if (group === null) continue;
      low = (low + group.low) | 0;
      high = (high + group.high) | 0;
    }
    return `${this.#used}:${(low >>> 0).toString(16)}:${(high >>> 0).toString(16)}`;
  }

  #enlarge(g: number): Group {
    const group: Group = {
      words: new Int32Array(GROUP_LENGTH * this.width),
      positions: new Float64Array(GROUP_LENGTH),
      rangePositions: new Float64Array(GROUP_RANGES),
      sums: new Int32Array(GROUP_RANGES * 2),
      low: 0,
      high: 0,
      position: 0,
      used: 0,
    };
    this.#groups[g] = group;
    return group;
  }

  #note(group: Group, at: number, position: number): void {
    group.positions[at] = position;
    const range = at >>> RANGE_SHIFT;
    if (group.rangePositions[range] < position) group.rangePositions[range] = position;
    if (group.position < position) group.position = position;
  }

  /** Adds the hash of a record to its sums, or takes it away. */
  #add(group: Group, at: number, base: number, sign: number): void {
    this.#hash(at, group.words, base);
    const low = Math.imul(this.#low, sign);
    const high = Math.imul(this.#high, sign);
    const range = (at >>> RANGE_SHIFT) * 2;
    group.sums[range] += low;
    group.sums[range + 1] += high;
    group.low = (group.low + low) | 0;
    group.high = (group.high + high) | 0;
  }

  #hash(at: number, words: Int32Array, base: number): void {
    let low = Math.imul(at + 1, M1);
    let high = Math.imul(at + 1, M3);
    const end = base + this.width;
    for (let i = base; i < end; i++) {
      const word = words[i];
      low = Math.imul(low ^ word, M2);
      low ^= low >>> 15;
      high = Math.imul((high + word) | 0, M3);
      high ^= high >>> 13;
    }
    this.#low = Math.imul(low ^ (low >>> 13), M1);
    this.#high = Math.imul(high ^ (high >>> 16), M2);
  }
}
