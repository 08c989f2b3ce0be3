import { describe, expect, test } from 'vitest';
import { advise, parseMix, type TuningRow } from '../../src/ops/tuning.js';

const row = (peer: string, workers: number, kpps: number | null, nsPerPacket: number | null, more = {}): TuningRow => ({
  peer,
  workers,
  size: 64,
  path: 'in',
  nsPerPacket,
  kpps,
  ...more,
});
const only64 = [{ size: 64, share: 1 }];

describe('a mix', () => {
  test('is sizes with shares', () => {
    expect(parseMix('64:7,576:4,1400')).toEqual([
      { size: 64, share: 7 },
      { size: 576, share: 4 },
      { size: 1400, share: 1 },
    ]);
  });
  test.each(['', '64:', '63', '9001', '64,64', '64:0', 'x', '64:1;576:1'])('%j is none', (text) => {
    expect(parseMix(text)).toBeNull();
  });
  test('is weighed by the time that its packets take', () => {
    const rows = [row('designator', 1, 300, 2000), row('designator', 1, 100, 4000, { size: 1400 })];
    const mix = [
      { size: 64, share: 3 },
      { size: 1400, share: 1 },
    ];
    // 3 packets at 300 and one at 100 thousand a second: four in 0.02 ms.
    expect(advise(rows, mix)?.best).toMatchObject({ kpps: 200, nsPerPacket: 2500 });
  });
});

describe('advice', () => {
  test('the highest rate wins', () => {
    const advice = advise(
      [row('designator', 1, 300, 2000), row('xdp', 1, 3000, 200), row('af-xdp', 1, 600, 900)],
      only64,
    );
    expect(advice?.best.settings).toEqual({ io: 'xdp', offload: true, workers: 1 });
    expect(advice?.yaml).toBe('io: xdp\noffload: true\nworkers: 1\n');
    expect(advice?.candidates.map(({ name }) => name)).toEqual([
      'xdp, 1 worker',
      'xdp without offload, 1 worker',
      'packet, 1 worker',
    ]);
    expect(advice?.reasons.join('\n')).toMatch(/0\.20 times the rate, 4\.50 times the CPU time/);
  });
  test('of about the same rate the cheaper one wins, and of the same cost the one with fewer workers', () => {
    const costly = [row('designator', 2, 310, 3000), row('designator', 1, 300, 2000)];
    expect(advise(costly, only64)?.best.settings.workers).toBe(1);
    const alike = [row('xdp', 4, 3000, 200), row('xdp', 1, 2950, 200), row('xdp', 2, 3010, 200)];
    expect(advise(alike, only64)?.best.settings.workers).toBe(1);
  });
  test('more workers win where they carry more', () => {
    const advice = advise([row('designator', 1, 300, 2000), row('designator', 4, 900, 2600)], only64);
    expect(advice?.yaml).toBe('io: packet\nworkers: 4\n');
  });
  test('what gave no figure in some part is no candidate; peers that are not ours are left out', () => {
    const rows = [
      row('xdp', 1, null, null),
      row('designator', 1, 300, 2000),
      row('designator', 1, 200, 2200, { path: 'out' }),
      row('af-xdp', 1, 800, 900),
      row('af-xdp', 1, null, null, { path: 'out' }),
      row('nft-dnat', 1, 9000, 1),
    ];
    expect(advise(rows, only64)?.candidates).toHaveLength(1);
    expect(advise(rows, only64)?.best.kpps).toBeCloseTo(240);
    expect(advise([row('xdp', 1, null, null)], only64)).toBeNull();
    expect(advise([], only64)).toBeNull();
    expect(advise(rows, [{ size: 1400, share: 1 }])).toBeNull();
  });
});
