/** What a host's `ping -D` has written: when which answer came, and for how long none did. */

export interface Answer {
  /** Seconds of Unix time. */
  readonly time: number;
  readonly sequence: number;
}

/** Answers in the order in which they came. Lines that are cut off or say something else are none. */
export function answersOf(log: string): Answer[] {
  const answers: Answer[] = [];
  for (const [, time, sequence] of log.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+) .*time=.*$/gm))
    answers.push({ time: Number(time), sequence: Number(sequence) });
  return answers;
}

export interface Outage {
  /** From the event to the first answer after the longest loss; 0: nothing was lost; null: no answer came again. */
  readonly recovered: number | null;
  /** Seconds between the answers around the longest loss; 0 when nothing was lost; to `until` without recovery. */
  readonly gap: number;
  /** Requests without an answer, before the last one that has one. */
  readonly missing: number;
}

/** The log may lie behind: answers are on their way when it is read. */
const SILENT_INTERVALS = 10;

/**
 * How an event was for one host that sends every `interval` seconds. Times in seconds, `event` and `until` (when the log
 * was read) of Unix time. Only answers that never came count: one that is late is none that is lost. Null: there was no
 * answer before the event, so that nothing can be said.
 */
export function outageOf(answers: readonly Answer[], event: number, interval: number, until: number): Outage | null {
  let last: Answer | null = null;
  let [gap, end, missing] = [0, event, 0];
  for (const answer of answers) {
    if (last !== null && answer.sequence <= last.sequence) continue; // came twice, or was overtaken
    if (last !== null && answer.time > event) {
      const lost = answer.sequence - last.sequence - 1;
      missing += lost;
      if (lost > 0 && answer.time - last.time > gap) [gap, end] = [answer.time - last.time, answer.time];
    } else if (answer.time > event) return null;
    last = answer;
  }
  if (last === null) return null;
  const silence = until - last.time;
  if (silence > interval * SILENT_INTERVALS && silence > gap) return { recovered: null, gap: silence, missing };
  return { recovered: gap === 0 ? 0 : end - event, gap, missing };
}
