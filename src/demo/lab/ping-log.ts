/** What a host's `ping -D` has written: when each answer came, and for how long none did. */

/** Seconds of Unix time at which answers came, in their order. Lines that are cut off or say something else are none. */
export function pingTimes(log: string): number[] {
  const times: number[] = [];
  for (const [, time] of log.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* time=.*$/gm)) times.push(Number(time));
  return times;
}

export interface Outage {
  /** From the event to the first answer after the longest gap; 0 when the host lost nothing, null when none came again. */
  readonly recovered: number | null;
  /** Seconds between two answers, at most; to the end of the log for one that did not recover. */
  readonly gap: number;
}

/** One answer may come late and the next in time, which is no loss. */
const LOST_INTERVALS = 1.9;

/**
 * How an event was for one host that sends every `interval` seconds; `until` is when the log was read. All in seconds,
 * `times`, `event` and `until` of Unix time. Null: no answer came before the event, so that nothing can be said. A host
 * lost something when a gap that reaches beyond the event is longer than almost two intervals: then an answer is missing.
 */
export function outageOf(times: readonly number[], event: number, interval: number, until: number): Outage | null {
  const before = times.filter((time) => time <= event);
  if (before.length === 0) return null;
  const after = [before[before.length - 1], ...times.slice(before.length)];
  let [gap, end] = [0, event];
  for (let i = 1; i < after.length; i++) {
    if (after[i] - after[i - 1] <= gap) continue;
    gap = after[i] - after[i - 1];
    end = after[i];
  }
  const silence = until - after[after.length - 1];
  if (silence > Math.max(gap, interval * SILENT_INTERVALS)) return { recovered: null, gap: silence };
  return { recovered: gap < interval * LOST_INTERVALS ? 0 : end - event, gap };
}

/** The log may lie behind: answers are on their way when it is read. */
const SILENT_INTERVALS = 10;
