import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { register } from '../../src/cli/show.js';
import { FakeAppliance, ManyTunnels, tunnelRow } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let appliance: FakeAppliance;
let running: Running;
const show = (args: string, world: Parameters<typeof runCli>[2] = {}) =>
  runCli([register], ['show', ...args.split(' '), '--socket', running.socket], world);

beforeAll(async () => {
  appliance = new FakeAppliance();
  running = await startApi(appliance);
});
afterAll(() => running[Symbol.asyncDispose]());

describe('tables for people', () => {
  test('vips: the first table of document 003, then counts', async () => {
    expect((await show('vips')).stdout).toBe(
      [
        'Virtual IP address  Port  Real IP address  port  weight  algorithm',
        '200.200.100.1       1701  10.10.1.1        1701       1  Weighted round robin',
        '                          10.10.1.2        1701       2',
        '',
        'access: l2tp, 3 tunnels, 4 sessions, 2 of 2 servers up',
        '  answers come from 200.200.100.2; clients: 5 follow, 1 carried on, 0 refuse: 192.0.2.7 carried',
        '',
      ].join('\n'),
    );
  });

  test('nat: document 001’s table 1', async () => {
    expect((await show('nat')).stdout.split('\n').slice(0, 2)).toEqual([
      'far end       port  local end  port  seen as        port  far tunnel  local tunnel  server  sessions  packets in  out  state',
      '192.128.10.5  1701  10.10.1.1  1701  200.200.100.2  1701           7            99  lns1           2          10   12  established',
    ]);
  });

  test('servers', async () => {
    expect((await show('servers')).stdout).toBe(
      [
        'name  vip     address    port  state  weight  load  tunnels  sessions  since  reason',
        'lns1  access  10.10.1.1  1701  up          1     -        2         2    60m  -',
        'lns2  access  10.10.1.2  1701  up          2  0.25        1         2    45s  -',
        '',
      ].join('\n'),
    );
  });

  test('servers --wide: what they got and what they went through', async () => {
    expect((await show('servers --wide')).stdout).toBe(
      [
        'name  vip     address    port  state  weight  load  tunnels  sessions  requests  since  reason',
        'lns1  access  10.10.1.1  1701  up          1     -        2         2         7    60m  -',
        'lns2  access  10.10.1.2  1701  up          2  0.25        1         2        14    45s  -',
        '',
        'load status',
        'name  age  accepting  tunnels  sessions  cpu  memory  pkt/s in  out  bit/s in  out',
        'lns2   1s  yes              1         -  25%     50%      1.2k  900      1.5M    -',
        '',
        'lns2',
        '  2030-01-02 04:00:00  up    →  down  silent while tunnels ask: 3 tunnels',
        '  2030-01-02 04:01:00  down  →  up    heard from again',
        '',
      ].join('\n'),
    );
  });

  test('tunnels: both tables of document 003', async () => {
    expect((await show('tunnels --tunnel 11')).stdout).toBe(
      [
        'Virtual IP address  Port  Real IP address  port  weight  algorithm',
        '200.200.100.1       1701  10.10.1.1        1701       1  Weighted round robin',
        '                          10.10.1.2        1701       2',
        '',
        'packet    SrcIP         port  dstIP         dstPort  tunnel',
        'incoming  192.128.10.5  1701  10.10.1.2        5000      77',
        'outgoing  10.10.1.2     5000  192.128.10.5     1701      11',
        '',
      ].join('\n'),
    );
  });

  test('tunnels --wide: ids, state and counters', async () => {
    expect((await show('tunnels --wide --tunnel 11')).stdout).toBe(
      [
        'client             tunnel  virtual  vip     server  address    port  tunnel  state        sessions  packets in  out  bytes in   out  age  idle  shard  kernel  writer',
        '192.128.10.5:1701      11        -  access  lns2    10.10.1.2  5000      77  established         2         120   98     15000  9000  61s    0s      0  no      -',
        '',
      ].join('\n'),
    );
  });

  test('tunnels --map: the second table of document 003', async () => {
    expect((await show('tunnels --map --client 192.128.10.5:1701')).stdout).toBe(
      [
        'packet    SrcIP         port  dstIP         dstPort  tunnel',
        'incoming  192.128.10.5  1701  10.10.1.2        5000      77',
        'outgoing  10.10.1.2     5000  192.128.10.5     1701      11',
        'incoming  192.128.10.5  1701  10.10.1.1        1701       -',
        'outgoing  10.10.1.1     1701  192.128.10.5     1701      12',
        '',
      ].join('\n'),
    );
  });

  test('workers and drops', async () => {
    expect((await show('workers')).stdout).toBe(
      [
        'shard  state    io      packets  restarts  heartbeat  reason',
        '    0  running  packet     1000         0   0.1s ago  XDP is built for x64 only',
        '    1  running  packet     2000         1   0.2s ago  -',
        '',
      ].join('\n'),
    );
    expect((await show('drops')).stdout).toBe(
      [
        'reason     packets  description',
        'truncated        3  the frame is shorter than a header that it claims to carry',
        'no-server        0  no server of the VIP may take a new tunnel',
        '',
      ].join('\n'),
    );
  });

  test('heads are bold where colours are wanted, and the columns stand as before', async () => {
    const bold = (await show('workers', { color: true })).stdout;
    expect(bold).toMatch(/^\u001b\[1mshard\u001b\[22m  \u001b\[1mstate\u001b\[22m    \u001b\[1mio/);
    const plain = (await show('workers')).stdout;
    expect(bold.replaceAll(/\u001b\[\d+m/g, '')).toBe(plain);
  });

  test('a reason with control characters stays in its cell', async () => {
    const before = appliance.serverRows;
    appliance.serverRows = [{ ...before[0], reason: 'a\nb\u001b[2J' }];
    expect((await show('servers')).stdout.split('\n')[1]).toMatch(/a\?b\?\[2J$/);
    appliance.serverRows = before;
  });

  test('more tunnels than a screen: the first thousand, and a word on stderr', async () => {
    await using many = await startApi(new ManyTunnels(1500));
    const run = await runCli([register], ['show', 'tunnels', '--wide', '--socket', many.socket]);
    expect(run.stdout.split('\n').length).toBe(1 + 1000 + 1);
    expect(run.stderr).toBe('Only the first 1000 tunnels are shown; --limit or --json shows more.\n');
  });
});

describe('--json', () => {
  test.each([
    ['vips', () => appliance.vips()],
    ['servers', () => appliance.servers()],
    ['tunnels', () => appliance.tunnels()],
    ['workers', () => appliance.workers()],
    ['drops', () => appliance.drops()],
  ])('%s: exactly one array on stdout, nothing on stderr', async (what, rows) => {
    const run = await show(`${what} --json`);
    expect(JSON.parse(run.stdout)).toEqual(rows());
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
  });

  test('the rows of tunnels have the names of the contract, in its order', async () => {
    const [row] = JSON.parse((await show('tunnels --json --limit 1')).stdout);
    expect(Object.keys(row).join(', ')).toBe(
      'vip, protocol, client, clientTunnelId, virtualTunnelId, server, serverAddress, serverPort, serverTunnelId, state, sessions, ' +
        'packetsIn, packetsOut, bytesIn, bytesOut, ageSeconds, idleSeconds, shard, offloaded, writer',
    );
  });

  test('filters', async () => {
    const ids = async (args: string) =>
      JSON.parse((await show(`tunnels --json ${args}`)).stdout).map(
        (row: { clientTunnelId: number }) => row.clientTunnelId,
      );
    expect(await ids('--vip access --server lns1')).toEqual([12, 13]);
    expect(await ids('--client [2001:db8:0::5]:1701')).toEqual([13]);
    expect(await ids('--client 192.128.10.5:1701 --tunnel 12')).toEqual([12]);
    expect(await ids('--limit 2')).toEqual([11, 12]);
    expect(await ids('--vip other')).toEqual([]);
  });

  test('a table that breaks off is an error, not a success', async () => {
    const broken = new ManyTunnels(0);
    broken.tunnelSlices = function* () {
      yield [tunnelRow()];
      throw new Error('gone');
    };
    await using api = await startApi(broken);
    const run = await runCli([register], ['show', 'tunnels', '--json', '--socket', api.socket]);
    expect(run.status).toBe(69);
    expect(run.error?.message).toBe('the designator went away in the middle of its answer');
  });
});

describe('finding the designator', () => {
  test('-c FILE: its control.socket, even if the file has an error elsewhere', async () => {
    const file = join(running.directory, 'designator.yaml');
    writeFileSync(file, `vips: [ { name: x, weigth: 1 } ]\ncontrol: { socket: ${running.socket} }\n`);
    const run = await runCli([register], ['show', 'vips', '--json', '-c', file]);
    expect(JSON.parse(run.stdout)).toEqual(appliance.vips());
  });

  test('a relative path is meant against the working directory', async () => {
    writeFileSync(join(running.directory, 'r.yaml'), 'control: { socket: run/control.sock }\n');
    const run = await runCli([register], ['show', 'vips', '--json', '-c', 'r.yaml'], { cwd: running.directory });
    expect(run.status).toBe(0);
  });

  test('nobody there: exit 69 and a sentence', async () => {
    const socket = join(running.directory, 'nobody.sock');
    const run = await runCli([register], ['show', 'vips', '--socket', socket]);
    expect(run.status).toBe(69);
    expect(run.error).toMatchObject({
      code: 'TD_NOT_RUNNING',
      message: `no designator answers on ${socket}; is it running?`,
    });
    expect(run.stdout).toBe('');
  });

  test('a file that cannot be read: exit 78', async () => {
    const run = await runCli([register], ['show', 'vips', '-c', join(running.directory, 'none.yaml')]);
    expect(run.status).toBe(78);
    expect(run.error?.message).toMatch(/^cannot read .*none\.yaml: ENOENT$/);
  });

  test('a file that is no map: exit 78', async () => {
    const file = join(running.directory, 'list.yaml');
    writeFileSync(file, '- a\n');
    expect((await runCli([register], ['show', 'vips', '-c', file])).status).toBe(78);
  });

  test('something else answers there: exit 70, and it is said', async () => {
    const socket = join(running.directory, 'other.sock');
    const other = createServer((_request, response) => response.writeHead(500).end('<html>'));
    await new Promise<void>((resolve) => other.listen(socket, resolve));
    const run = await runCli([register], ['show', 'vips', '--socket', socket]);
    expect(run.status).toBe(70);
    expect(run.error?.message).toBe(`${socket} answered with HTTP 500: is it a designator?`);
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('wrong use: exit 64', () => {
  test.each([
    ['tunnels --limit 0', /whole number from 1 to/],
    ['tunnels --tunnel x', /whole number from 0 to 4294967295/],
    ['tunnels --client 10.0.0.1', /192\.0\.2\.1:1701/],
    ['tunnels --map --json', /cannot be used with/],
    ['tunnel', /unknown command|too many/],
    ['vips -c file.yaml', /cannot be used with/],
  ])('show %s', async (args, message) => {
    const run = await show(args);
    expect(run.status).toBe(64);
    expect(run.stderr).toMatch(message);
    expect(run.stdout).toBe('');
  });

  test('a table of another role: exit 69', async () => {
    for (const args of ['gateways', 'gateways --json', 'pools']) {
      const run = await show(args);
      expect(run.status).toBe(69);
      expect(run.error?.message).toMatch(/has no table "\w+": it has another role/);
    }
  });
});
