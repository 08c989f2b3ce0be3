/** What a benchmark gives back: one measurement, with the bar it is held against where there is one. */
export interface Row {
  readonly benchmark: string;
  readonly variant: string;
  readonly entries: number;
  readonly value: number;
  readonly unit: 'ns' | 'ms' | 'MiB';
  /** At most this. */
  readonly bar: number | null;
  readonly reached: boolean | null;
}

export interface Options {
  /** Small and short, for the test suite: figures mean nothing, but all code runs. */
  readonly smoke?: boolean;
}

export function row(
  benchmark: string,
  variant: string,
  entries: number,
  value: number,
  unit: Row['unit'],
  bar: number | null = null,
): Row {
  return { benchmark, variant, entries, value, unit, bar, reached: bar === null ? null : value <= bar };
}
