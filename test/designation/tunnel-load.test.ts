import { expect, test } from 'vitest';
import { TunnelLoads } from '../../src/designation/tunnel-load.js';

test('an empty server is expected to take what tunnels of its VIP weigh, a full one its own', () => {
  const loads = new TunnelLoads();
  const report = (server: number, load: number, tunnels: number, vip = 0): number =>
    loads.report(server, vip, load, tunnels, 1000);
  expect(report(1, 0, 0)).toBe(1000); // nothing is known at all
  expect(report(2, 500_000, 100)).toBeCloseTo(5000);
  expect(report(1, 0, 0)).toBeCloseTo(5000);
  expect(report(1, 0, 0, 7)).toBe(1000); // another VIP
  expect(report(3, 1_600_000, 1600)).toBeGreaterThan(1000);
  expect(report(3, 1_600_000, 1600)).toBeLessThan(1020); // so many of its own
  loads.forget(3);
  loads.forget(3);
  expect(report(1, 0, 0)).toBeCloseTo(5000);
});
