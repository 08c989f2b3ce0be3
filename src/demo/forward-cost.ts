/** The cost of forwarding a packet, beside others on the same machine: the benchmark's short form, where it is built. */

/** One row of the benchmark, as `designator bench forward --json` prints it. */
export interface ForwardRow {
  readonly path: string;
  readonly peer: string;
  readonly size: number;
  readonly flows: number;
  readonly nsPerPacket: number | null;
  readonly kpps: number | null;
  readonly loss: number | null;
  readonly ratioToNft: number | null;
}

type QuickForwardBench = () => Promise<readonly ForwardRow[]>;

/** The benchmark is no part of src: it is compiled beside it, and a package may come without. */
export async function loadForwardBench(): Promise<QuickForwardBench | null> {
  const url = new URL('../bench/forward.js', import.meta.url).href;
  try {
    const { quickForwardBench } = (await import(url)) as { quickForwardBench?: QuickForwardBench };
    return quickForwardBench ?? null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return null;
    throw error;
  }
}

const HEADS = ['peer', 'size', 'ns/packet', 'kpps', 'to nft'];

export function forwardTable(rows: readonly ForwardRow[]): string {
  const figure = (value: number | null, digits: number): string => (value === null ? '-' : value.toFixed(digits));
  const lines = [
    HEADS,
    ...rows.map((row) => [
      row.peer,
      `${row.size}`,
      figure(row.nsPerPacket, 0),
      figure(row.kpps, 0),
      row.ratioToNft === null ? '-' : `${row.ratioToNft.toFixed(2)}×`,
    ]),
  ];
  const widths = HEADS.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines
    .map((line) =>
      line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  '),
    )
    .join('\n');
}
