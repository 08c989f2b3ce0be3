/**
 * Tunnels set up a second: by one shard from SCCRQ to mapped entry (the whole pipeline and the addon's rewriter, no
 * network), and the whole dialogue of SCCRQ, SCCRP and SCCCN. Every client of the set is another one.
 */
import { PORT_INSIDE, PORT_OUTSIDE } from '#designator/io/port.js';
import { connects, replies, requests } from './frames.js';
import { MACS, Pipeline } from './pipeline.js';
import { median, quartiles } from './statistics.js';

export interface SetupOptions {
  /** Tunnels of a run. */
  readonly tunnels?: number;
  readonly runs?: number;
  readonly progress?: (line: string) => void;
}

export interface SetupRow {
  readonly step: 'request to mapped entry' | 'whole dialogue';
  readonly tunnels: number;
  readonly perSecond: number;
  readonly quartiles: readonly [number, number];
  readonly nsPerTunnel: number;
  /** At least this. */
  readonly bar: number | null;
  readonly reached: boolean | null;
}

const BAR = 50_000;

export function setupRateBench({ tunnels = 50_000, runs = 5, progress = () => {} }: SetupOptions = {}): SetupRow[] {
  const asked = requests(tunnels, MACS);
  const answered = replies(tunnels, MACS);
  const connected = connects(tunnels, MACS);
  const request: number[] = [];
  const dialogue: number[] = [];
  for (let run = 0; run < runs; run++) {
    progress(`setup-rate: run ${run + 1} of ${runs}`);
    // While both sides have not agreed a tunnel has three entries: twice the room, as all of them are half open at once.
    const pipeline = new Pipeline(tunnels * 2);
    const first = pipeline.run(asked, PORT_OUTSIDE);
    if (pipeline.requests !== tunnels)
      throw new Error(`${pipeline.requests} of ${tunnels} requests were mapped: ${JSON.stringify(pipeline.drops())}`);
    const rest = pipeline.run(answered, PORT_INSIDE) + pipeline.run(connected, PORT_OUTSIDE);
    if (pipeline.established !== tunnels)
      throw new Error(`${pipeline.established} of ${tunnels} tunnels stand: ${JSON.stringify(pipeline.drops())}`);
    request.push(first / tunnels);
    dialogue.push((first + rest) / tunnels);
  }
  return [row('request to mapped entry', tunnels, request, BAR), row('whole dialogue', tunnels, dialogue, null)];
}

function row(step: SetupRow['step'], tunnels: number, ns: readonly number[], bar: number | null): SetupRow {
  const rates = ns.map((each) => 1e9 / each);
  const perSecond = Math.round(median(rates));
  const [low, high] = quartiles(rates);
  return {
    step,
    tunnels,
    perSecond,
    quartiles: [Math.round(low), Math.round(high)],
    nsPerTunnel: Math.round(median(ns)),
    bar,
    reached: bar === null ? null : perSecond >= bar,
  };
}
