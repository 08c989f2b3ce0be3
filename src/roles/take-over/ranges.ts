/** Tunnel ids as the take-over message carries them: ranges, and no more than it has room for. */
import { type IdRange, TAKE_OVER_RANGE_LIMIT } from '../../wire/take-over.js';

/** One list of ranges for each message that these ids need; none for no ids. */
export function rangesOf(ids: readonly number[], limit = TAKE_OVER_RANGE_LIMIT): IdRange[][] {
  const sorted = [...new Set(ids)].sort((a, b) => a - b);
  const ranges: { low: number; high: number }[] = [];
  for (const id of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && last.high + 1 === id) last.high = id;
    else ranges.push({ low: id, high: id });
  }
  const messages: IdRange[][] = [];
  for (let at = 0; at < ranges.length; at += limit) messages.push(ranges.slice(at, at + limit));
  return messages;
}
