import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { register } from '../../src/cli/top.js';
import { newTopState, pressKey } from '../../src/cli/top-state.js';
import { rate, topScreen } from '../../src/cli/top-text.js';
import { FakeAppliance, tunnelRow } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let appliance: FakeAppliance;
let running: Running;
beforeEach(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterEach(() => running[Symbol.asyncDispose]());

const top = (args: string, world: Parameters<typeof runCli>[2] = {}) =>
  runCli([register], ['top', ...args.split(' '), '--socket', running.socket], world);

describe('designator top without a terminal', () => {
  it('prints as many tables as asked for, the first when there are rates', async () => {
    const { stdout, status } = await top('-n 2 -d 0.02');
    expect(status).toBe(0);
    expect(appliance.topQueries).toHaveLength(3);
    expect(appliance.topQueries[0]).toMatchObject({ view: 'tunnels', sort: 'traffic', limit: 50 });
    const [head, traffic, gap, columns, row] = stdout.split('\n');
    expect(head).toMatch(/^\d\d:\d\d:\d\d {2}3 of 512 tunnels, 2 established, 3 requests\/s {2}\(over 2\.0 s\)$/);
    expect(traffic).toBe('in 1.5k pkt/s 12.3Mbit/s, out 20 pkt/s 900bit/s, dropped 0 pkt/s');
    expect(gap).toBe('');
    expect(columns.split(/ {2,}/)).toEqual([
      'client',
      'tunnel',
      'server',
      'tunnel',
      'state',
      'pkt/s in',
      'out',
      'bit/s in',
      'out',
      'sessions',
      'age',
      'idle',
      'shard',
      'vip',
    ]);
    expect(row.split(/ {2,}/)).toEqual([
      '192.128.10.5:1701',
      '11',
      'lns2',
      '77',
      'established',
      '1.5k',
      '20',
      '12.3M',
      '900',
      '2',
      '61s',
      '0s',
      '0',
      'access',
    ]);
    expect(stdout.match(/requests\/s/g)).toHaveLength(2);
  });

  it.each([
    ['servers', 'requests', ['lns1', 'lns2']],
    ['shards', 'drops', ['0', 'kernel']],
  ])('shows %s', async (view, sort, names) => {
    const { stdout } = await top(`-n 1 --view ${view} --sort ${sort} --reverse`);
    expect(appliance.topQueries.at(-1)).toMatchObject({ view, sort, reverse: true });
    for (const name of names) expect(stdout).toMatch(new RegExp(`^${name} `, 'm'));
  });

  it('--json: one object a line', async () => {
    const { stdout } = await top('-n 2 -d 0.02 --json --server lns2 --limit 1');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({
      view: 'tunnels',
      seconds: 2,
      totals: { tunnels: 3 },
      rows: [{ clientTunnelId: 11 }],
    });
    expect(lines[0].rows).toHaveLength(1);
  });

  it('a figure that the view does not have is a usage error', async () => {
    expect((await top('--view shards --sort sessions -n 1')).error?.message).toMatch(
      /shards are not sorted by "sessions"/,
    );
    expect((await top('--view nonsense -n 1')).status).toBe(64);
  });

  it('goes on until an interrupt', async () => {
    const signals = new EventEmitter();
    const run = top('-d 0.01', { signals });
    while (appliance.topQueries.length < 4) await new Promise((resolve) => setImmediate(resolve));
    signals.emit('SIGINT');
    const { status, stdout } = await run;
    expect(status).toBe(0);
    expect(stdout.match(/requests\/s/g)?.length).toBeGreaterThanOrEqual(2);
  });
});

describe('designator top on a terminal', () => {
  it('leaves the screen as it found it', async () => {
    const signals = new EventEmitter();
    const run = top('-d 0.01', { signals, isTty: true });
    while (appliance.topQueries.length < 3) await new Promise((resolve) => setImmediate(resolve));
    signals.emit('SIGTERM');
    const { stdout, status } = await run;
    expect(status).toBe(0);
    expect(stdout.startsWith('\u001b[?1049h\u001b[?25l')).toBe(true);
    expect(stdout.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
  });

  it('leaves it so after an error, too', async () => {
    const run = top('-d 0.01', { isTty: true });
    while (appliance.topQueries.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await running.api.close();
    const { stdout, status } = await run;
    expect(status).not.toBe(0);
    expect(stdout.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
  });

  it('does not touch the screen when nobody answers', async () => {
    await running.api.close();
    const { stdout, status } = await top('-d 0.01', { isTty: true });
    expect(status).toBe(69);
    expect(stdout).toBe('');
  });

  it('never draws beyond the screen, nor lets a name move the cursor', async () => {
    appliance.tunnelRows = Array.from({ length: 40 }, (_, n) => tunnelRow({ clientTunnelId: n, server: 'x\u001b[2J' }));
    const answer = await appliance.top({ view: 'tunnels', sort: 'traffic', limit: 40 });
    const state = newTopState({ view: 'tunnels' });
    for (const [columns, rows] of [
      [80, 24],
      [20, 3],
      [1, 1],
      [300, 100],
    ]) {
      for (const help of [false, true]) {
        state.help = help;
        const lines = topScreen(answer, state, columns, rows, new Date(), true)
          .replace(/^\u001b\[H/, '')
          .split('\r\n');
        expect(lines.length).toBeLessThanOrEqual(rows);
        for (const line of lines)
          expect([...line.replace(/\u001b\[(7m|27m|K|J)/g, '')].length).toBeLessThanOrEqual(columns);
      }
    }
  });
});

describe('keys', () => {
  const typed = (text: string) => {
    const state = newTopState({ view: 'tunnels' });
    const did = [...text].map((key) => pressKey(state, key));
    return { state, did };
  };

  it('choose the view and keep a figure that it has', () => {
    expect(typed('s').state).toMatchObject({ view: 'servers', sort: 'traffic' });
    expect(typed('w').state).toMatchObject({ view: 'shards', sort: 'packets' });
    expect(typed('\t\t\t').state.view).toBe('tunnels');
  });

  it('choose the figure, round and round', () => {
    expect(typed('>').state.sort).toBe('in');
    expect(typed('<').state.sort).toBe('age');
    const state = newTopState({ view: 'tunnels' });
    pressKey(state, '\u001b[C');
    pressKey(state, '\u001b[D');
    expect(state.sort).toBe('traffic');
    expect(typed('r').state.reverse).toBe(true);
  });

  it.each([
    ['flns2\r', { server: 'lns2', client: undefined }],
    ['f10.0.0.1:1701\r', { client: '10.0.0.1:1701', server: undefined }],
    ['fvip=access server=lns1\r', { vip: 'access', server: 'lns1' }],
    ['flnsx\u007f2\r', { server: 'lns2' }],
    ['flns2\rf\r', { server: undefined }],
    ['flns2\u001b', { server: undefined, typing: null }],
    ['fq\r', { server: 'q' }],
  ])('%j filters', (keys, expected) => {
    expect(typed(keys).state).toMatchObject(expected);
  });

  it('say what is no client, and keep the filter', () => {
    const { state } = typed('flns2\rf1.2.3.4:x\r');
    expect(state).toMatchObject({ server: 'lns2', complaint: expect.stringContaining('is no client') });
  });

  it('end it', () => {
    expect(typed('q').did).toEqual(['quit']);
    expect(typed('f\u0003').did).toEqual(['draw', 'quit']);
  });
});

it.each([
  [0, '0'],
  [0.04, '0'],
  [0.5, '0.5'],
  [3, '3'],
  [12.3, '12'],
  [999, '999'],
  [999.6, '1.0k'],
  [12_345, '12.3k'],
  [150_000, '150k'],
  [1_234_567, '1.2M'],
  [9.9e9, '9.9G'],
  [5e15, '5000T'],
])('%s is written as %s', (value, text) => {
  expect(rate(value)).toBe(text);
});
