/**
 * Packets lost when the process is killed, when another one takes its place, and when it is exchanged for an upgrade, while
 * traffic of established tunnels runs: what was sent less what arrived. NAPI of the contestant's interfaces is a soft interrupt
 * here, as it is elsewhere by default: a thread of whatever class waits behind a starting process's long system calls on a kernel that
 * does not preempt itself, until the interface's 256 places have overflowed, which has nothing to do with the product.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant, Peer } from './contestants.js';
import { arrivals, loadFrames, standingStill } from './measure.js';
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
        await bed.middle.run('sh', ['-c', `echo 0 > /sys/class/net/${device}/threaded`]);
      await loadFrames(contestant, SIZE, 'in');
      for (const event of EVENTS) {
        say(`failover: ${peer}, ${event}`);
        const before = await arrivals(bed, 'in');
        const [{ sent, seconds: took }, adopted] = await Promise.all([
          bed.source('in').send({ seconds, rate: RATE }),
          sleep(EVENT_MS).then(() => happen(contestant, event)),
        ]);
        const arrived = (await standingStill(() => arrivals(bed, 'in'))) - before;
        rows.push({
          benchmark: 'failover',
          peer,
          event,
          size: SIZE,
          flows,
          kpps: Math.round(arrived / took / 1000),
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
