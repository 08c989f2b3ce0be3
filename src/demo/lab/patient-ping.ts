/**
 * A `ping` of a number of requests that waits for late answers: told only a number, ping gives up one interval after the last
 * request, and what a busy machine answers later counts as lost.
 */

/** For answers that a busy machine is late with, seconds. */
const PATIENCE = 10;

/** The words after `ping`. It goes on until `count` answers came or its time is over; `repliesOf` counts. `interval`: seconds. */
export function patientPing(count: number, interval: number): string[] {
  return ['-n', '-c', `${count}`, '-i', `${interval}`, '-w', `${Math.ceil(count * interval) + PATIENCE}`];
}

/** How many of the first `count` requests were answered. Later ones were sent while answers were waited for. */
export function repliesOf(output: string, count: number): number {
  const answered = new Set<number>();
  for (const [, text] of output.matchAll(/ bytes from .*icmp_seq=(\d+) /g))
    if (Number(text) <= count) answered.add(Number(text));
  return answered.size;
}
