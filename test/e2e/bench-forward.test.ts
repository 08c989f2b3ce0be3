/** `designator bench forward` at its smallest, as a user calls it: traffic arrives, all of it, and is accounted for. */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import type { ForwardRow } from '../../bench/forward.js';
import { labProblem } from '../../src/demo/lab/lab.js';

const problem = labProblem();

test.skipIf(problem !== null)(
  `two contestants, both loads, one object of JSON${problem === null ? '' : ` (${problem})`}`,
  () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['dist/main.js', 'bench', 'forward', '--quick', '--json'],
      {
        encoding: 'utf8',
        timeout: 120_000,
      },
    );
    expect(status, stderr).toBe(0);
    const { environment, rows } = JSON.parse(stdout) as { environment: Record<string, unknown>; rows: ForwardRow[] };
    expect(environment).toMatchObject({ node: process.versions.node });
    expect(rows.map(({ peer, load }) => `${peer} ${load}`)).toEqual([
      'designator 90%',
      'nft-dnat 90%',
      'designator saturation',
      'nft-dnat saturation',
    ]);
    for (const row of rows) {
      expect(row).toMatchObject({ path: 'in', size: 64, flows: 1000 });
      expect(row.loss).toBeGreaterThanOrEqual(0);
      expect(row.loss).toBeLessThanOrEqual(1);
    }
    const saturated = rows.filter(({ load }) => load === 'saturation');
    for (const { nsPerPacket, kpps } of saturated) {
      expect(nsPerPacket).toBeGreaterThan(0);
      expect(kpps).toBeGreaterThan(0);
    }
    expect(saturated.find(({ peer }) => peer === 'nft-dnat')?.ratioToNft).toBe(1);
  },
);
