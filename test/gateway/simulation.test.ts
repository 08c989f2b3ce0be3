/**
 * Sixteen gateways and two thousand hosts under a virtual clock, with every trouble that a segment can have; seeded, so
 * that what fails once fails again. TD_SEEDS=n runs n seeds of each kind, TD_SEED=n just that one.
 */
import { describe, expect, test } from 'vitest';
import { Chaos, type ChaosOptions, unwell } from '../helpers/gateway-chaos.js';
import { type FarmOptions, GatewayFarm } from '../helpers/gateway-farm.js';

const COUNT = Number(process.env.TD_SEEDS ?? 1);
const FIRST = Number(process.env.TD_SEED ?? 1);
const seeds = (count: number): number[] => Array.from({ length: Math.max(1, count) }, (_, i) => FIRST + i);

function simulate(farmOptions: FarmOptions, chaosOptions: ChaosOptions): { farm: GatewayFarm; chaos: Chaos } {
  const farm = new GatewayFarm({ hostsFrom: 1.5, hostsWithin: 1, ...farmOptions, seed: chaosOptions.seed });
  farm.run(3);
  const chaos = new Chaos(farm, chaosOptions);
  chaos.rage();
  farm.run(15);
  const broken = chaos.verdict();
  const wrong = [...broken, ...unwell(farm)];
  if (wrong.length > 0) expect({ seed: chaosOptions.seed, wrong, log: chaos.log }).toEqual('all promises kept');
  return { farm, chaos };
}

describe('sixteen gateways, two thousand hosts', () => {
  test.each(seeds(COUNT))('all troubles, lossless links, seed %i', (seed) => {
    const { chaos } = simulate({ gateways: 16, hosts: 2000 }, { seed, seconds: 30, every: 1.5 });
    expect(chaos.log.length).toBeGreaterThan(20);
    expect(chaos.outages.looks).toBeGreaterThan(3000);
  });

  test.each(seeds(COUNT))('two per cent loss, delay and reordering, seed %i', (seed) => {
    simulate(
      {
        gateways: 16,
        hosts: 2000,
        faults: { lossIn: 0.01, lossOut: 0.01, delay: 0.0005, jitter: 0.002, repeat: 0.01 },
      },
      { seed, seconds: 20, every: 2, lossy: true },
    );
  });
});

describe('five gateways, one trouble after the other', () => {
  test.each(
    (['die', 'kill', 'stop', 'freeze', 'link', 'upstream', 'partition', 'cut', 'priority', 'resign'] as const).flatMap(
      (stroke) => seeds(2 * COUNT).map((seed) => [stroke, seed] as const),
    ),
  )('%s, seed %i', (stroke, seed) => {
    simulate({ gateways: 6, hosts: 30 }, { seed, seconds: 20, every: 2, strokes: [stroke] });
  });

  test.each(seeds(2 * COUNT))('tuned timers, seed %i: the detection time follows the interval', (seed) => {
    simulate(
      { gateways: 6, hosts: 30, group: { interval: 0.03 } },
      { seed, seconds: 20, every: 1.5, strokes: ['die', 'link', 'stop', 'upstream'], interval: 0.03, detection: 0.1 },
    );
  });

  test.each(seeds(2 * COUNT))('replies by the forwarder, seed %i', (seed) => {
    simulate({ gateways: 6, hosts: 30, group: { replies: 'forwarder' } }, { seed, seconds: 20, every: 2 });
  });

  test.each(seeds(COUNT))('IPv6, seed %i', (seed) => {
    simulate(
      { gateways: 6, hosts: 30, ipv6: true, group: { addresses: [[0xfe800000, 0, 0, 0x700fe]] } },
      { seed, seconds: 20, every: 2 },
    );
  });
});
