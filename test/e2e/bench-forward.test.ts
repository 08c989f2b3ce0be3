/** `designator bench` with traffic at its smallest, as a user calls it: traffic arrives, and is accounted for. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { FailoverRow } from '../../bench/failover.js';
import type { ForwardRow } from '../../bench/forward.js';
import type { HitRow } from '../../bench/hits.js';
import type { LatencyRow } from '../../bench/latency.js';
import { describeLab } from '../helpers/lab.js';

interface Output<T> {
  readonly environment: Record<string, unknown>;
  readonly rows: readonly T[];
}

function bench<T>(...words: string[]): Output<T> {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['dist/main.js', 'bench', ...words, '--quick', '--json'],
    { encoding: 'utf8', timeout: 120_000 },
  );
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Output<T>;
}

describeLab('designator bench with traffic', [], () => {
  test('forward: two contestants, both loads, one object of JSON', () => {
    const { environment, rows } = bench<ForwardRow>('forward');
    expect(environment).toMatchObject({ node: process.versions.node });
    expect(rows.map(({ peer, load }) => `${peer} ${load}`)).toEqual([
      'designator 90%',
      'nft-dnat 90%',
      'designator saturation',
      'nft-dnat saturation',
    ]);
    for (const row of rows) {
      expect(row).toMatchObject({ path: 'in', size: 64, flows: 1000, source: 'live' });
      expect(row.loss).toBeGreaterThanOrEqual(0);
      expect(row.loss).toBeLessThanOrEqual(1);
    }
    const saturated = rows.filter(({ load }) => load === 'saturation');
    for (const { nsPerPacket, kpps } of saturated) {
      expect(nsPerPacket).toBeGreaterThan(0);
      expect(kpps).toBeGreaterThan(0);
    }
    expect(saturated.find(({ peer }) => peer === 'nft-dnat')?.ratioToNft).toBe(1);
  });

  test('forward: both directions at once and long frames, beside the bare forwarder; and its report', () => {
    const { rows, environment } = bench<ForwardRow>(
      ...['forward', '--peers', 'xdp,xdp-bare,nft-dnat', '--directions', 'both'],
      ...['--sizes', '1400', '--loads', 'saturation', '--flows', '300'],
    );
    expect(rows.map(({ peer, path, size }) => [peer, path, size])).toEqual([
      ['xdp', 'both', 1400],
      ['xdp-bare', 'both', 1400],
      ['nft-dnat', 'both', 1400],
    ]);
    for (const { nsPerPacket, ratios, peer } of rows) {
      expect(nsPerPacket).toBeGreaterThan(0);
      if (peer !== 'xdp') expect(ratios).toMatchObject([{ ours: 'xdp', bar: expect.any(Number) }]);
    }
    const folder = mkdtempSync(join(tmpdir(), 'td-bench-'));
    try {
      const file = join(folder, 'run.json');
      writeFileSync(file, JSON.stringify({ environment, rows }));
      const made = spawnSync(process.execPath, ['dist/main.js', 'bench', '--from', file, '--report', folder]);
      expect(made.status).toBe(0);
      expect(readFileSync(join(folder, 'report.md'), 'utf8')).toMatch(/^xdp to xdp-bare .*(reached|missed|decidable)/m);
      expect(readFileSync(join(folder, 'report.svg'), 'utf8')).toContain('>xdp-bare</text>');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('forward: TypeScript on AF_XDP beside the same loop in C++', () => {
    const { rows } = bench<ForwardRow>(
      ...['forward', '--peers', 'af-xdp,af-xdp-twin', '--loads', 'saturation', '--flows', '300'],
    );
    expect(rows.map(({ peer }) => peer)).toEqual(['af-xdp', 'af-xdp-twin']);
    for (const { kpps } of rows) expect(kpps).toBeGreaterThan(0);
    expect(rows[1].ratios).toMatchObject([{ ours: 'af-xdp', bar: 1.1 }]);
  });

  test('latency: percentiles rise', () => {
    const { rows } = bench<LatencyRow>('latency');
    expect(rows.map(({ peer, load }) => [peer, load])).toEqual([
      ['xdp-bare', '10%'],
      ['xdp-bare', '50%'],
      ['xdp-bare', '90%'],
    ]);
    for (const { p50, p99, p999 } of rows) {
      expect(p50).toBeGreaterThan(0);
      expect(p99).toBeGreaterThanOrEqual(p50 ?? Number.NaN);
      expect(p999).toBeGreaterThanOrEqual(p99 ?? Number.NaN);
    }
  });

  test('hits: every part of the tunnels, and something arrives', () => {
    const { rows } = bench<HitRow>('hits');
    expect(rows.map(({ hits, load }) => [hits, load])).toEqual(
      [0, 0.5, 0.9, 1].flatMap((hits) => [
        [hits, '90%'],
        [hits, 'saturation'],
      ]),
    );
    for (const { kpps } of rows.filter(({ load }) => load === 'saturation')) expect(kpps).toBeGreaterThan(0);
  });

  test('failover: the next process finds the tunnels', () => {
    const { rows } = bench<FailoverRow>('failover');
    expect(rows.map(({ event, adopted }) => [event, adopted])).toEqual([
      ['nothing', null],
      ['killed', null],
      ['killed and started again', 100],
      ['upgraded', 100],
    ]);
    for (const { sent, arrived, lost } of rows) {
      expect(arrived).toBeGreaterThan(0);
      expect(sent - arrived).toBe(lost);
    }
  });
});
