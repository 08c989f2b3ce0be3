/** The benchmarks at their smallest: all code runs and the figures make sense; how good they are is not for tests. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { describeLab } from '../helpers/lab.js';

const MAIN = path.join(import.meta.dirname, '..', '..', 'dist', 'main.js');

describeLab('designator bench', [], () => {
  test('--quick --json: one object with the machine and rows of several benchmarks', () => {
    const out = execFileSync(process.execPath, [MAIN, 'bench', 'micro', 'setup-rate', 'forward', '--quick', '--json'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { environment, rows } = JSON.parse(out) as {
      environment: Record<string, unknown>;
      rows: Record<string, unknown>[];
    };
    expect(Object.keys(environment)).toEqual(
      expect.arrayContaining(['cpu', 'kernel', 'node', 'v8', 'version', 'seed']),
    );
    const forward = rows.filter((row) => 'ratioToNft' in row);
    expect(forward.map((row) => [row.peer, row.load])).toEqual([
      ['designator', '90%'],
      ['nft-dnat', '90%'],
      ['designator', 'saturation'],
      ['nft-dnat', 'saturation'],
    ]);
    for (const row of forward) {
      expect(row).toMatchObject({ path: 'in', size: 64, flows: 1000 });
      // Something was forwarded, and it cost something.
      expect(row.kpps === null || (row.kpps as number) > 0).toBe(true);
      expect(row.nsPerPacket === null || (row.nsPerPacket as number) > 50).toBe(true);
    }
    expect(forward.some((row) => row.peer === 'designator' && row.nsPerPacket !== null)).toBe(true);
    expect(rows.filter((row) => row.benchmark === 'look-up').length).toBeGreaterThan(0);
    expect(rows.filter((row) => row.step === 'request to mapped entry')).toHaveLength(1);
  });

  test('cluster: a small VIP is taken over, and all of its tunnels flow on', () => {
    const out = execFileSync(
      process.execPath,
      [MAIN, 'bench', 'cluster', '--quick', '--peers', 'take-over-packet', '--json'],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const { rows } = JSON.parse(out) as { rows: { tunnels: number; flowing: number; silentMs: number }[] };
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ benchmark: 'cluster-take-over', io: 'packet', rounds: 1 });
    expect(rows[0].flowing).toBe(rows[0].tunnels);
    expect(rows[0].silentMs).toBeGreaterThan(0);
  });

  test('an unknown benchmark is a usage error', () => {
    expect(() => execFileSync(process.execPath, [MAIN, 'bench', 'speed'], { stdio: 'ignore' })).toThrow(
      expect.objectContaining({ status: 64 }),
    );
  });
});
