/**
 * Packets lost when the process is killed, when another one takes its place, and when it is exchanged for an upgrade, while
 * traffic of established tunnels runs: what was sent less what arrived. The NAPI threads have a real-time class here, because on
 * two CPUs a starting process would otherwise keep them from the rings, which has nothing to do with the product.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant, Peer } from './contestants.js';
import { kernelThreads } from './cpu.js';
import { loadFrames, measure } from './measure.js';
import { FLOWS, type ScenarioOptions, withContestants } from './scenario.js';

export interface FailoverRow {
  readonly benchmark: 'failover';
  readonly peer: string;
  readonly event: 'nothing' | 'killed' | 'killed and started again' | 'upgraded';
  readonly size: number;
  readonly flows: number;
  readonly kpps: number;
  readonly sent: number;
  readonly arrived: number;
  readonly lost: number;
  /** Lost packets as time, at the rate that was sent. */
  readonly outageMs: number;
  /** Tunnels that the next process says it has found; null when there is none. */
  readonly adopted: number | null;
}

const PEERS: readonly Peer[] = ['xdp', 'designator'];
const SIZE = 64;
const RATE = 100_000;
const EVENTS = ['nothing', 'killed', 'killed and started again', 'upgraded'] as const;
/** Into the run. */
const EVENT_MS = 700;

export function failoverBench(options: ScenarioOptions): Promise<FailoverRow[]> {
  const { flows = FLOWS, seconds = 5 } = options;
  return withContestants(options, options.peers ?? PEERS, async (contestants, say) => {
    const rows: FailoverRow[] = [];
    for (const contestant of contestants) {
      const { bed, peer } = contestant;
      for (const device of [bed.outside, bed.inside])
        for (const pid of kernelThreads(`napi/${device}-`))
          await bed.middle.run('chrt', ['-f', '-p', '1', String(pid)]);
      await loadFrames(contestant, SIZE, 'in');
      for (const event of EVENTS) {
        say(`failover: ${peer}, ${event}`);
        const [sample, adopted] = await Promise.all([
          measure(contestant, { direction: 'in', rate: RATE, seconds }),
          sleep(EVENT_MS).then(() => happen(contestant, event)),
        ]);
        const { sent, arrived, kpps } = sample;
        rows.push({
          benchmark: 'failover',
          peer,
          event,
          size: SIZE,
          flows,
          kpps: Math.round(kpps),
          sent,
          arrived,
          lost: sent - arrived,
          outageMs: Number((((sent - arrived) / RATE) * 1000).toFixed(2)),
          adopted,
        });
        // The next event needs a process to happen to.
        if (event === 'killed') await contestant.appliance?.start();
      }
    }
    return rows;
  });
}

async function happen({ appliance }: Contestant, event: FailoverRow['event']): Promise<number | null> {
  if (appliance === null || event === 'nothing') return null;
  if (event === 'upgraded') {
    // The old one leaves everything to the kernel; it is gone when the new one starts.
    appliance.process.signal('SIGUSR1');
    await appliance.process.ended;
  } else {
    await appliance.process.kill();
    if (event === 'killed') return null;
  }
  return (await appliance.start()).tunnels;
}
