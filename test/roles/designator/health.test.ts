/** Health as a whole, in virtual time: what servers do, what clients notice, how long it takes. */
import { describe, expect, test } from 'vitest';
import { Farm, type FarmOptions } from '../../helpers/farm-simulation.js';

/** A farm whose tunnels stand. */
function standing(options: Partial<FarmOptions> = {}): Farm {
  const farm = new Farm({ servers: 2, tunnels: 12, seed: 1, helloEvery: 2, ...options });
  farm.run(5);
  expect(farm.established()).toBe(farm.options.tunnels);
  return farm;
}
const tunnelsOf = (farm: Farm, server: number): number => farm.appliance.rows.servers()[server].tunnels;
const story = (farm: Farm, server: string): string[] =>
  farm.changes.filter((change) => change.server === server).map(({ from, to }) => `${from} → ${to}`);

describe('a server that dies', () => {
  test('is noticed from traffic alone in three seconds, its clients know within one more and stand elsewhere', () => {
    const farm = standing();
    const [dead, other] = farm.servers;
    expect(tunnelsOf(farm, 0)).toBe(6);
    dead.dead = true;
    const died = farm.now;
    // The clock starts when somebody first asks.
    const asked = farm.runUntil(() => farm.appliance.memory.servers[25] !== 0, 5);
    const noticed = farm.runUntil(() => farm.state(0) === 'down', 10);
    expect(noticed).toBeLessThanOrEqual(3);
    expect(asked).toBeLessThan(1);
    const told = farm.runUntil(() => farm.clients.filter((client) => client.told.length > 0).length === 6, 5);
    expect(told).toBeLessThanOrEqual(1);
    farm.run(1);
    expect(farm.established()).toBe(12);
    expect(tunnelsOf(farm, 1)).toBe(12);
    expect(other.requests).toBe(12);
    for (const { told } of farm.clients) for (const { result, error } of told) expect([result, error]).toEqual([2, 7]);
    expect(story(farm, 'lns1')).toEqual(['up → suspect', 'suspect → down']);
    expect(story(farm, 'lns2')).toEqual([]);
    expect(farm.states.history(0).at(-1)?.detail).toMatch(/^\d+ control messages of \d tunnels or more unanswered/);
    expect(farm.now - died).toBeLessThan(6);
    // Nobody had to say anything twice, and the mappings go when their time has come.
    expect(farm.appliance.count('tunnelsEnded')).toBe(6);
    farm.run(40);
    expect(farm.appliance.rows.tunnels()).toHaveLength(12);
  });
});
