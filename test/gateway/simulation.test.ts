/**
 * Sixteen gateways and two thousand hosts under a virtual clock, with every trouble that a segment can have; seeded, so
 * that what fails once fails again. TD_SEEDS=n runs n seeds of each kind, TD_SEED=n just that one.
 */
import { describe, expect, test } from 'vitest';
import { ALGORITHMS } from '../../src/gateway/types.js';
import { Chaos, type ChaosOptions, refreshStrays, unwell } from '../helpers/gateway-chaos.js';
import { type FarmOptions, GatewayFarm } from '../helpers/gateway-farm.js';

const COUNT = Number(process.env.TD_SEEDS ?? 1);
const FIRST = Number(process.env.TD_SEED ?? 1);
const seeds = (count: number): number[] => Array.from({ length: Math.max(1, count) }, (_, i) => FIRST + i);

function simulate(
  farmOptions: FarmOptions,
  chaosOptions: ChaosOptions,
  quiet = 12,
): { farm: GatewayFarm; chaos: Chaos } {
  const farm = new GatewayFarm({ hostsFrom: 1.5, hostsWithin: 1, ...farmOptions, seed: chaosOptions.seed });
  farm.run(3);
  const chaos = new Chaos(farm, chaosOptions);
  chaos.rage();
  farm.run(quiet);
  const broken = chaos.verdict();
  // A host that a master on the other side of a partition could not reach learns its gateway when it refreshes its entry.
  for (let i = 0; i < 3; i++) refreshStrays(farm);
  // With losses a change may be under way at any moment: it arrives with the next adverts.
  farm.segment.runUntil(() => farm.tables() === 1, 1, 0.02);
  const wrong = [...broken, ...unwell(farm, chaosOptions.lossy ? 40 : 0)];
  if (wrong.length > 0)
    throw new Error([`seed ${chaosOptions.seed}`, ...wrong, 'what happened:', ...chaos.log].join('\n'));
  return { farm, chaos };
}

describe('sixteen gateways, two thousand hosts', { timeout: 240_000 }, () => {
  test.each(seeds(COUNT))('all troubles, lossless links, seed %i', (seed) => {
    const { chaos } = simulate({ gateways: 16, hosts: 2000 }, { seed, seconds: 12, every: 0.8 });
    expect(chaos.log.length).toBeGreaterThan(15);
    expect(chaos.outages.looks).toBeGreaterThan(1500);
  });

  test.each(seeds(COUNT))('two per cent loss, delay and reordering, seed %i', (seed) => {
    simulate(
      {
        gateways: 16,
        hosts: 2000,
        faults: { lossIn: 0.01, lossOut: 0.01, delay: 0.0005, jitter: 0.002, repeat: 0.01 },
      },
      { seed, seconds: 8, every: 1, lossy: true },
    );
  });
});

describe('six gateways', () => {
  test.each(
    (['die', 'kill', 'stop', 'freeze', 'link', 'upstream', 'partition', 'cut', 'priority', 'resign'] as const).flatMap(
      (stroke) => seeds(COUNT).map((seed) => [stroke, seed] as const),
    ),
  )('%s, seed %i', (stroke, seed) => {
    simulate({ gateways: 6, hosts: 30 }, { seed, seconds: 20, every: 2, strokes: [stroke] });
  });

  // Trouble that comes before the last one is over has more time.
  test.each(seeds(2 * COUNT))('all troubles close together, seed %i', (seed) => {
    simulate({ gateways: 6, hosts: 30 }, { seed, seconds: 15, every: 0.5, detection: 0.5 });
  });

  test.each(seeds(2 * COUNT))('settings by the seed, seed %i', (seed) => {
    simulate(
      {
        gateways: 6,
        hosts: 30,
        group: {
          algorithm: ALGORITHMS[seed % 4],
          replies: seed % 3 === 0 ? 'forwarder' : 'master',
          takeover: seed % 2 === 0 ? 'least-loaded' : 'master',
          return: (['gradual', 'stay', 'at-once'] as const)[seed % 3],
          permanentAfter: seed % 5 === 0 ? 2 : 30,
          preempt: seed % 7 === 0 ? null : { delay: seed % 4 },
          scheme: seed % 2 === 0 ? 'cisco' : 'local',
          sticky: seed % 6 !== 0,
        },
      },
      { seed, seconds: 20, every: 1.5 },
    );
  });

  test.each(seeds(COUNT))('tuned timers, seed %i: the detection time follows the interval', (seed) => {
    simulate(
      { gateways: 6, hosts: 30, group: { interval: 0.03 } },
      { seed, seconds: 20, every: 1.5, strokes: ['die', 'link', 'stop', 'upstream'], interval: 0.03, detection: 0.1 },
    );
  });

  test.each(seeds(COUNT))('replies by the forwarder, seed %i', (seed) => {
    simulate({ gateways: 6, hosts: 30, group: { replies: 'forwarder' } }, { seed, seconds: 20, every: 2 });
  });

  test.each(seeds(COUNT))('IPv6, seed %i', (seed) => {
    simulate(
      { gateways: 6, hosts: 30, ipv6: true, group: { addresses: [[0xfe800000, 0, 0, 0x700fe]] } },
      { seed, seconds: 20, every: 2 },
    );
  });
});
