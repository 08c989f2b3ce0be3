/**
 * What a packet costs when the kernel may forward only a part of the tunnels and the rest goes through TypeScript. The part
 * is chosen by taking the mark of offloaded entries off the others, in the table that the product and the program read.
 */
import { ENTRY, ENTRY_WORDS, FLAG_OFFLOADED, type TableMemory } from '#designator/flow/layout.js';
import { loadFrames, lossFreeRate, measure, RATES, type Sample } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';
import { median, quartiles } from './statistics.js';
import { offloadedSlots } from './table-probe.js';

export interface HitRow {
  readonly benchmark: 'hits';
  /** Share of the tunnels that the kernel forwards. */
  readonly hits: number;
  readonly load: '90%' | 'saturation';
  readonly size: number;
  readonly flows: number;
  readonly nsPerPacket: number | null;
  readonly quartiles: readonly [number, number] | null;
  readonly kpps: number | null;
  readonly loss: number | null;
}

const SHARES = [0, 0.5, 0.9, 1];
const LOADS = ['90%', 'saturation'] as const;
const SIZE = 64;

export function hitsBench(options: ScenarioOptions & { readonly highest?: number }): Promise<HitRow[]> {
  const { seconds = 1, pairs = 5, flows = FLOWS, highest = RATES[RATES.length - 1] } = options;
  return withContestants(options, ['xdp'], async ([contestant], say) => {
    const memory = contestant?.table?.memory;
    if (contestant === undefined || memory === null || memory === undefined) return [];
    await loadFrames(contestant, SIZE, 'in');
    const slots = offloadedSlots(memory);
    const cells: { hits: number; load: (typeof LOADS)[number]; rate: number; samples: Sample[] }[] = [];
    for (const hits of SHARES) {
      choose(memory, slots, hits);
      const rate = 0.9 * (await lossFreeRate(contestant, 'in', highest));
      say(`hits: ${hits * 100} %: 90 % is ${Math.round(rate / 1000)} kpps`);
      for (const load of LOADS)
        cells.push({ hits, load, rate: load === '90%' ? rate : Number.POSITIVE_INFINITY, samples: [] });
    }
    for (let round = 0; round < pairs; round++) {
      for (const { hits, rate, samples } of cells) {
        choose(memory, slots, hits);
        samples.push(await measure(contestant, { direction: 'in', rate, seconds }));
        const left = offloadedSlots(memory).length;
        if (left > slots.length * hits + 1) throw new Error(`${left} entries were offloaded instead of ${hits}`);
      }
    }
    choose(memory, slots, 1);
    return cells.map(({ hits, load, samples }): HitRow => {
      const good = samples.filter(({ loss, arrived }) => arrived > 0 && (load === 'saturation' || loss <= 0.01));
      const of = (values: number[], digits: number): number | null =>
        values.length === 0 ? null : Number(median(values).toFixed(digits));
      const ns = good.map((sample) => sample.ns);
      return {
        benchmark: 'hits',
        hits,
        load,
        size: SIZE,
        flows,
        nsPerPacket: of(ns, 0),
        quartiles: ns.length === 0 ? null : quartiles(ns),
        kpps: of(
          good.map(({ kpps }) => kpps),
          0,
        ),
        loss: of(
          samples.map(({ loss }) => loss),
          4,
        ),
      };
    });
  });
}

/** Both entries of a tunnel have the same record, so its directions share its fate. */
function choose({ entries }: TableMemory, slots: readonly number[], share: number): void {
  const isChosen = (record: number): boolean => (record % 10) / 10 < share;
  for (const slot of slots) {
    const at = slot * ENTRY_WORDS + ENTRY.record;
    if (isChosen(entries[at] >>> 8)) Atomics.or(entries, at, FLAG_OFFLOADED);
    else Atomics.and(entries, at, ~FLAG_OFFLOADED);
  }
}
