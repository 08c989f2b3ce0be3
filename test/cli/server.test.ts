import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { register as registerReload } from '../../src/cli/reload.js';
import { register } from '../../src/cli/server.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let appliance: FakeAppliance;
let running: Running;
const run = (args: string) => runCli([register, registerReload], [...args.split(' '), '--socket', running.socket]);

beforeEach(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterEach(() => running[Symbol.asyncDispose]());

describe('server', () => {
  test('drain with a deadline prints the rows as they are then', async () => {
    const result = await run('server drain lns1 lns2 --deadline 2m');
    expect(appliance.commands).toEqual([{ action: 'drain', names: ['lns1', 'lns2'], deadlineSeconds: 120 }]);
    expect(result.stdout).toBe(
      [
        'name  vip     address    port  state     weight  load  tunnels  sessions  since  reason',
        'lns1  access  10.10.1.1  1701  draining       1     -        2         2    60m  -',
        'lns2  access  10.10.1.2  1701  draining       2  0.25        1         2    45s  -',
        '',
      ].join('\n'),
    );
  });

  test('disable, enable and weight, as JSON', async () => {
    expect(JSON.parse((await run('server disable lns1 --json')).stdout)).toMatchObject([
      { name: 'lns1', state: 'disabled' },
    ]);
    expect(JSON.parse((await run('server enable lns1 --json')).stdout)).toMatchObject([{ name: 'lns1', state: 'up' }]);
    expect(JSON.parse((await run('server weight lns2 9 --json')).stdout)).toMatchObject([{ name: 'lns2', weight: 9 }]);
    expect(appliance.commands.map(({ action }) => action)).toEqual(['disable', 'enable', 'weight']);
  });

  test('an unknown server: exit 64, the designator’s own sentence, nothing changed', async () => {
    const result = await run('server drain lns1 lns9');
    expect(result.status).toBe(64);
    expect(result.error).toMatchObject({ code: 'TD_NOT_FOUND', message: 'no server named "lns9"' });
    expect(result.stdout).toBe('');
    expect(appliance.commands).toEqual([]);
  });

  test.each([
    'server weight lns1',
    'server weight lns1 x',
    'server weight lns1 -1',
    'server weight lns1 1001',
    'server drain',
    'server drain lns1 --deadline 30',
    'server drain lns1 --deadline 0s',
    'server enable lns1 --deadline 30s',
    'server stop lns1',
  ])('%s: exit 64', async (args) => {
    expect((await run(args)).status).toBe(64);
    expect(appliance.commands).toEqual([]);
  });
});

describe('reload', () => {
  test('tells what has changed', async () => {
    expect(await run('reload')).toMatchObject({ status: 0, stdout: 'applied: server lns3 added\n', stderr: '' });
    appliance.reloadResult = { ok: true, problems: [], changes: [] };
    expect((await run('reload')).stdout).toBe('applied: nothing has changed\n');
    expect(JSON.parse((await run('reload --json')).stdout)).toEqual({ ok: true, problems: [], changes: [] });
  });

  test('a refused file: exit 78, and its problems for the frame to print', async () => {
    const problem = {
      severity: 'error',
      file: 'd.yaml',
      line: 3,
      column: 5,
      path: 'vips.0',
      message: 'Required',
    } as const;
    appliance.reloadResult = {
      ok: false,
      problems: [problem, { ...problem, severity: 'warning', path: '', message: 'odd' }],
      changes: [],
    };
    const result = await run('reload');
    expect(result.status).toBe(78);
    expect(result.error).toMatchObject({ context: { problems: appliance.reloadResult.problems } });
    expect(result.stdout).toBe('');
  });
});
