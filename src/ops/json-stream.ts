/** Rows as one JSON array, a slice at a time: a million tunnels never stand in memory as one string. */
import type { Appliance, TunnelFilter, TunnelRow } from './appliance.js';

/** Rows turned into text in one turn of the event loop: about a millisecond of work. */
export const SLICE_ROWS = 512;

/** Cuts a list that exists already into slices. */
export function* slicesOf<T>(rows: readonly T[], size = SLICE_ROWS): Generator<readonly T[]> {
  for (let start = 0; start < rows.length; start += size) yield rows.slice(start, start + size);
}

/** The tunnels that match, in slices if the appliance can make them so. */
export function tunnelSlices(appliance: Appliance, filter: TunnelFilter): Iterable<readonly TunnelRow[]> {
  return appliance.tunnelSlices?.(filter) ?? slicesOf(appliance.tunnels(filter));
}

/**
 * The text of a JSON array, one row a line. Takes the next slice only when the consumer asks for it (back-pressure), and
 * lets the event loop turn between two slices.
 */
export async function* jsonArray(slices: Iterable<readonly unknown[]>): AsyncGenerator<string> {
  let before = '[\n';
  for (const slice of slices) {
    if (slice.length === 0) continue;
    let text = '';
    for (const row of slice) {
      text += before + JSON.stringify(row);
      before = ',\n';
    }
    yield text;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  yield before === '[\n' ? '[]\n' : '\n]\n';
}
