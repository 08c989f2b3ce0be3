/** The cost of forwarding a packet, beside others on the same machine: the benchmark's short form, where it is built. */
import type { Environment } from './lab/command.js';

/** One row of the benchmark, as `designator bench forward --json` prints it; there is more in it than is used here. */
export interface ForwardRow {
  readonly peer: string;
  /** Bytes of a frame. */
  readonly size: number;
  /** CPU time; null where too much was lost to tell. */
  readonly nsPerPacket: number | null;
  readonly kpps: number | null;
  /** Share that was lost, 0 to 1. */
  readonly loss: number | null;
  readonly ratioToNft: number | null;
}

interface BenchOptions {
  readonly self: readonly [string, string];
  readonly env: Environment;
  readonly pid: number;
}
type QuickForwardBench = (options: BenchOptions) => Promise<readonly ForwardRow[]>;

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
