/**
 * A second look at whether redirected frames arrive. A device may swallow them without a word (a veth whose peer has
 * neither GRO nor an XDP program): no counter moves but the program's own. Once a second the program's count of
 * redirects into a device is held against what the device says that it sent.
 */

/** Fewer redirects than this in a second say nothing. */
const LEAST = 50;
/** Seconds in a row that must look bad: both counts are read one after the other, and batches are on their way. */
const PATIENCE = 2;

interface Side {
  redirected: number;
  sent: number;
  bad: number;
}

export class RedirectGuard {
  readonly #sides: (Side | null)[];

  constructor(sides: number) {
    this.#sides = new Array(sides).fill(null);
  }

  /**
   * Totals of one side, once a second. Returns true when less than half of what was redirected into the device left it,
   * for the second time in a row.
   */
  look(side: number, redirected: number, sent: number): boolean {
    const before = this.#sides[side];
    this.#sides[side] = { redirected, sent, bad: 0 };
    if (before === null || redirected < before.redirected || sent < before.sent) return false;
    const wanted = redirected - before.redirected;
    const swallowed = wanted >= LEAST && (sent - before.sent) * 2 < wanted;
    const bad = swallowed ? before.bad + 1 : 0;
    (this.#sides[side] as Side).bad = bad;
    return bad >= PATIENCE;
  }
}

/** tx_packets of a device out of /proc/self/net/dev, or null when it is not there. */
export function sentPackets(text: string, device: string): number | null {
  const line = text.split('\n').find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  if (line === undefined) return null;
  const fields = line
    .slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  const sent = Number(fields[9]);
  return Number.isFinite(sent) ? sent : null;
}
