/** Tunnels set up through the product itself, over the wire: SCCRQ, SCCRP, SCCCN, and again what was lost on the way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connects, replies, requests } from './frames.js';
import type { TableProbe } from './table-probe.js';
import type { Testbed } from './testbed.js';

/** Messages a second; below what any of the paths takes. */
const FEW_RATE = 20_000;
const MANY_RATE = 100_000;
const MANY = 20_000;
/** Tunnels that are half open at the same time at most. */
const CHUNK = 50_000;
/** A message that was lost is sent again, as L2TP does; so many times at most. */
const ROUNDS = 10;

/** A tunnel is offloaded a moment after it stands; patience for each, and for the first. */
const OFFLOAD_MS = { each: 0.2, first: 5000 } as const;

/** All tunnels, both directions, are the kernel's now. Throws when they are not in time. */
export async function waitForOffload(table: TableProbe, flows: number): Promise<void> {
  const until = performance.now() + OFFLOAD_MS.first + OFFLOAD_MS.each * flows;
  while (table.offloaded() < flows * 2) {
    if (performance.now() > until) throw new Error(`only ${table.offloaded()} of ${flows * 2} entries are offloaded`);
    await sleep(100);
  }
}

/** Throws with `why()` when they do not stand in the end. */
export async function setUpTunnels(
  bed: Pick<Testbed, 'macs' | 'source'>,
  table: TableProbe,
  flows: number,
  why: () => Promise<string>,
  { rate = flows > MANY ? MANY_RATE : FEW_RATE, chunk = CHUNK }: { rate?: number; chunk?: number } = {},
): Promise<void> {
  const [client, server] = [await bed.macs('in'), await bed.macs('out')];
  for (let from = 0; from < flows; from += chunk) {
    const until = Math.min(flows, from + chunk);
    const chosen = Array.from({ length: until - from }, (_, i) => from + i);
    const dialogue = [
      ['in', requests(chosen, client)],
      ['out', replies(chosen, server)],
      ['in', connects(chosen, client)],
    ] as const;
    for (let round = 0; round < ROUNDS && table.established() < until; round++) {
      for (const [way, set] of dialogue) {
        await bed.source(way).load(set);
        await bed.source(way).send({ seconds: 60, rate, limit: chosen.length });
        await sleep(100);
      }
    }
    // One whose message came twice may have made a second one; that one of them is missing is seen when all are asked for.
    if (table.established() < until)
      throw new Error(`only ${table.established()} of ${until} tunnels stand; drops: ${await why()}`);
  }
}
