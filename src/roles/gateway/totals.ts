/** Counters of gateway groups, added up, by the names that operators see; for every role that runs groups. */
import { counterName } from './counter-words.js';
import type { GroupRunner } from './runner.js';

export function groupTotals(runners: readonly GroupRunner[]): [string, number][] {
  const totals = new Map<string, number>();
  const add = (name: string, count: number): void => void totals.set(name, (totals.get(name) ?? 0) + count);
  for (const runner of runners) {
    if (!runner.running) continue;
    for (const [name, count] of Object.entries(runner.group.counters())) add(counterName(name), count);
    for (const [name, count] of Object.entries(runner.port.statistics())) add(`port-${name}`, count);
  }
  return [...totals];
}
