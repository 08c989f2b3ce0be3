/** Durations (`250ms`, `5s`, `2m`, `1h`), rates (`50/s`) and bandwidths (`10Gbit/s`) as they are written in configuration. */

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Seconds, or null when the text is no duration. Fractions are allowed: `1.5s`. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)$/.exec(text);
  return match === null ? null : Number((Number(match[1]) * UNIT_SECONDS[match[2]]).toFixed(6));
}

/** The shortest form with one unit: 90 → `90s`, 120 → `2m`, 0.25 → `250ms`. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return `${Number((seconds * 1000).toFixed(3))}ms`;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return `${seconds}s`;
}

/** Events a second, or null when the text is no rate. */
export function parseRate(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)\/s$/.exec(text);
  return match === null ? null : Number(match[1]);
}

const UNIT_BITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** Bits a second, or null when the text is no bandwidth: `100Mbit/s`, `2.5Gbit/s`. */
export function parseBandwidth(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)([kMGT]?)bit\/s$/.exec(text);
  return match === null ? null : Math.round(Number(match[1]) * UNIT_BITS[match[2]]);
}
