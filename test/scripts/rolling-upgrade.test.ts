/** scripts/rolling-upgrade.mjs against members that exist only as files; with real ones: test/e2e/cluster-scene.test.ts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const MEMBERS = ['d1', 'd2', 'd3'];
type Member = Record<string, unknown>;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'td-rolling-'));
  writeFileSync(join(folder, 'log'), '');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(more: Readonly<Record<string, Member>> = {}): void {
  for (const [index, name] of MEMBERS.entries()) {
    const member = { number: index + 1, version: '1.0', incarnation: 1, tunnels: 2000, master: index === 0 };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ ...member, ...more[name] }));
  }
}

function run(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  const via = `${process.execPath} ${join(ROOT, 'test/helpers/fake-members.mjs')} ${folder} {member}`;
  return spawnSync(
    process.execPath,
    [join(ROOT, 'scripts/rolling-upgrade.mjs'), '--via', via, '--restart', 'restart', '--patience', '60', ...words],
    { encoding: 'utf8' },
  );
}

/** What was done at members, without what was only asked. */
const orders = (): string[] =>
  readFileSync(join(folder, 'log'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.includes(' show '));

describe('rolling upgrade', () => {
  test('one after the other: install, check, the master resigns, restart; the next one when this one has all tunnels again', () => {
    write();
    const { status, stdout, stderr } = run('--install', 'install {member}.tgz', ...MEMBERS);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(orders()).toEqual([
      'd1: install d1.tgz',
      'd1: designator check -c /etc/designator/designator.yaml',
      'd1: designator gateway resign --group outside -c /etc/designator/designator.yaml',
      'd1: restart',
      'd2: install d2.tgz',
      'd2: designator check -c /etc/designator/designator.yaml',
      'd2: restart',
      'd3: install d3.tgz',
      'd3: designator check -c /etc/designator/designator.yaml',
      'd3: restart',
    ]);
    expect(stdout).toMatch(/^3 members, 2000 tunnels/);
    expect(stdout).toMatch(/d2: 1\.0 → 2\.0, 2000 tunnels/);
    expect(stdout).toMatch(/done: 2000 tunnels, 2000 at the beginning\n$/);
  });

  test('--dry-run looks and does nothing', () => {
    write();
    expect(run('--dry-run', ...MEMBERS).status).toBe(0);
    expect(orders()).toEqual([]);
  });

  test.each<[string, Readonly<Record<string, Member>>, RegExp]>([
    ['a member does not answer', { d2: { silent: true } }, /d2: .*nobody answers/],
    ['the bus is degraded', { d3: { bus: 'degraded' } }, /d3: bus degraded: no answer/],
    ['a member cannot forward', { d1: { state: 'unable' } }, /member 1 is unable/],
    ['a stream is not current', { d1: { catchingUp: 99 } }, /d1: stream 2\/0 is catching-up/],
    ['a member lacks tunnels', { d2: { tunnels: 1500 } }, /d2: 1500 tunnels of 2000/],
  ])('%s: nothing is done, and it is named', (_, more, reason) => {
    write(more);
    const { status, stderr } = run(...MEMBERS);
    expect(status).toBe(69);
    expect(stderr).toMatch(/the cluster is not whole, nothing was done/);
    expect(stderr).toMatch(reason);
    expect(orders()).toEqual([]);
  });

  test('a member of the cluster that is not named: nothing is done', () => {
    write();
    expect(run('d1', 'd2').stderr).toMatch(/3 members in the cluster, 2 named/);
    expect(orders()).toEqual([]);
  });

  test('the new version does not take the file: 78, nothing was restarted', () => {
    write({ d1: { broken: true } });
    const { status, stderr } = run('--install', 'install', ...MEMBERS);
    expect(status).toBe(78);
    expect(stderr).toMatch(/d1: check: .*no such key/);
    expect(orders().filter((line) => line.includes('restart'))).toEqual([]);
  });

  test('a member that does not come back whole ends it there: the others are not touched', () => {
    write({ d1: { forgets: true, slow: 0 } });
    const { status, stderr } = run('--patience', '1', ...MEMBERS);
    expect(status).toBe(69);
    expect(stderr).toMatch(/after the restart of d1: d1: 0 tunnels of 2000/);
    expect(orders().filter((line) => !line.startsWith('d1'))).toEqual([]);
  });

  test('a restart that restarted nothing is seen', () => {
    write({ d1: { stuck: true } });
    const { status, stderr } = run('--patience', '1', ...MEMBERS);
    expect(status).toBe(69);
    expect(stderr).toMatch(/d1: the old process still runs/);
  });

  test.each([[['d1']], [['d1', 'd1']], [['--patience', 'x', 'd1', 'd2']], [['--no-such', 'd1', 'd2']]])(
    '%j is no order',
    (words) => {
      write();
      const { status, stderr } = run(...words);
      expect(status).toBe(64);
      expect(stderr).toMatch(/usage: rolling-upgrade/);
    },
  );
});
