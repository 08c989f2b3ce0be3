/** A server that is back gets its share of new tunnels little by little, from everything that goes by weight. */
import { describe, expect, test } from 'vitest';
import { SERVER_CELL, SERVER_FLAG, SERVER_REASON, SERVER_STATE } from '../../src/flow/layout.js';
import { newMemory } from '../flow/memory.js';
import { type Farm, newFarm } from './farm.js';

const DURATION = 30;

/** Two servers that have as much; the second came back just now, with nothing. */
function returned(algorithm: string): Farm {
  const farm = newFarm(algorithm, [1, 1], newMemory(64), {
    slowStartSeconds: DURATION,
    bucket: { rate: 600, burst: 600 },
  });
  for (const server of farm.servers) {
    farm.cells.set(server, SERVER_CELL.tunnelLoad, 1000);
    farm.cells.setFlag(server, SERVER_FLAG.reported, algorithm === 'least-load');
  }
  farm.cells.setState(farm.servers[1], SERVER_STATE.slowStart, SERVER_REASON.heard, 100);
  return farm;
}

/** The share of 400 requests that the second server gets at so many seconds of its slow start. */
function share(farm: Farm, seconds: number, counts = true): number {
  const { cells, servers, designator } = farm;
  let own = 0;
  for (let i = 0; i < 400; i++) {
    designator.setTime(100 + seconds + i / 1000);
    cells.changed(servers[1]); // as the main thread does several times a second
    const chosen = farm.next(i);
    if (chosen === 1) own++;
    if (counts) cells.addEstablished(servers[chosen], 1);
  }
  return own / 400;
}

describe.each(['weighted-round-robin', 'least-load', 'least-tunnels', 'least-sessions', 'leaky-bucket', 'maglev'])(
  '%s',
  (algorithm) => {
    test('a little at first, half of it half way, its full share at the end', () => {
      const at = (seconds: number): number => share(returned(algorithm), seconds);
      const [early, half, over] = [at(1.5), at(DURATION / 2), at(DURATION)];
      expect(early).toBeLessThan(0.25);
      expect(half).toBeGreaterThan(early);
      expect(half).toBeGreaterThan(0.25);
      expect(half).toBeLessThan(0.42);
      expect(over).toBeGreaterThan(0.46);
      expect(over).toBeLessThan(0.54);
    });
  },
);

test('without a duration a server in slow start counts in full', () => {
  const farm = returned('weighted-round-robin');
  farm.designator.setPlan({ ...farm.plan, slowStartSeconds: 0 });
  expect(share(farm, 0)).toBe(0.5);
});
