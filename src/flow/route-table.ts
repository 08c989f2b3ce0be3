/**
 * Longest-prefix match over a snapshot of the host's routes. The prefixes are cut once into intervals that do not
 * overlap, each with its longest prefix; a look-up is one binary search, 17 steps for 100,000 routes.
 */

/** Port of a route through an interface of neither side. */
export const ROUTE_OTHER_INTERFACE = 255;

/** The host's routes as the main thread hands them out; survives a structured clone. Row = index. */
export interface RouteSnapshot {
  /** count × 4 words; bits beyond the length do not matter. */
  readonly prefixes: Int32Array;
  /** 0 … 128 over the IPv4-mapped 128 bits. */
  readonly lengths: Uint8Array;
  /** PORT_OUTSIDE, PORT_INSIDE or ROUTE_OTHER_INTERFACE. */
  readonly ports: Uint8Array;
  /** count × 4 words; all 0 = on link. */
  readonly gateways: Int32Array;
}

export class RouteTable {
  /** Interval i begins at words 4 i … 4 i + 3 (unsigned, ascending) and belongs to row `#rows[i]`, −1 = no route. */
  readonly #starts: Uint32Array;
  readonly #rows: Int32Array;
  readonly #count: number;

  /** Of two rows with the same prefix and length the first one counts: the snapshot lists the preferred route first. */
  constructor(readonly snapshot: RouteSnapshot) {
    const count = snapshot.lengths.length;
    const first = new Uint32Array(count * 4);
    const last = new Uint32Array(count * 4);
    for (let row = 0; row < count; row++) {
      for (let word = 0; word < 4; word++) {
        const bits = Math.min(32, Math.max(0, snapshot.lengths[row] - word * 32));
        const mask = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
        const value = snapshot.prefixes[row * 4 + word] & mask;
        first[row * 4 + word] = value;
        last[row * 4 + word] = value | ~mask;
      }
    }
    const order = Uint32Array.from({ length: count }, (_, row) => row).sort(
      (a, b) => compare(first, a, first, b) || snapshot.lengths[a] - snapshot.lengths[b] || a - b,
    );
    // Every prefix begins one interval and ends another one at most.
    this.#starts = new Uint32Array((count * 2 + 1) * 4);
    this.#rows = new Int32Array(count * 2 + 1);
    this.#rows[0] = -1;
    let used = 1;
    const emit = (words: Uint32Array, at: number, row: number): void => {
      if (compare(this.#starts, used - 1, words, at) === 0) used--;
      this.#starts.set(words.subarray(at * 4, at * 4 + 4), used * 4);
      this.#rows[used++] = row;
    };
    const open: number[] = []; // prefixes around the present place, longest last
    const after = new Uint32Array(4);
    const close = (): void => {
      const row = open.pop() as number;
      if (increment(last, row, after)) emit(after, 0, open.length > 0 ? (open.at(-1) as number) : -1);
    };
    let previous = -1;
    for (const row of order) {
      const twin =
        previous >= 0 &&
        snapshot.lengths[previous] === snapshot.lengths[row] &&
        compare(first, previous, first, row) === 0;
      if (twin) continue;
      while (open.length > 0 && compare(last, open.at(-1) as number, first, row) < 0) close();
      emit(first, row, row);
      open.push(row);
      previous = row;
    }
    while (open.length > 0) close();
    this.#count = used;
  }

  /** Row of the longest prefix that has the address, or −1. */
  lookup(a0: number, a1: number, a2: number, a3: number): number {
    const starts = this.#starts;
    const w0 = a0 >>> 0;
    const w1 = a1 >>> 0;
    const w2 = a2 >>> 0;
    const w3 = a3 >>> 0;
    let low = 0; // starts at or below the address
    let high = this.#count; // starts above it
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const at = middle * 4;
      const below =
        starts[at] !== w0
          ? starts[at] < w0
          : starts[at + 1] !== w1
            ? starts[at + 1] < w1
            : starts[at + 2] !== w2
              ? starts[at + 2] < w2
              : starts[at + 3] <= w3;
      if (below) low = middle;
      else high = middle;
    }
    return this.#rows[low];
  }

  /** Port of a row. */
  port(row: number): number {
    return this.snapshot.ports[row];
  }

  /** Word 0 … 3 of a row's gateway; all 0 = on link. */
  gatewayWord(row: number, word: number): number {
    return this.snapshot.gateways[row * 4 + word];
  }

  /** The destinations of the row are neighbours themselves. */
  onLink(row: number): boolean {
    const g = this.snapshot.gateways;
    return (g[row * 4] | g[row * 4 + 1] | g[row * 4 + 2] | g[row * 4 + 3]) === 0;
  }
}

function compare(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  for (let word = 0; word < 4; word++) {
    const difference = a[i * 4 + word] - b[j * 4 + word];
    if (difference !== 0) return difference;
  }
  return 0;
}

/** out = words + 1; false when that is beyond the last address. */
function increment(words: Uint32Array, at: number, out: Uint32Array): boolean {
  out.set(words.subarray(at * 4, at * 4 + 4));
  for (let word = 3; word >= 0; word--) {
    out[word]++;
    if (out[word] !== 0) return true;
  }
  return false;
}
