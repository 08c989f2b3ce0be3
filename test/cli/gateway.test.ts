/** `designator gateway` and its tables: what is asked of a running one, and what it says when it cannot. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { register } from '../../src/cli/gateway.js';
import { register as show } from '../../src/cli/show.js';
import { DesignatorError } from '../../src/errors.js';
import type { ControlApi } from '../../src/ops/api-server.js';
import { startEndpointApi } from '../../src/ops/endpoint-api.js';
import type { Endpoint, EndpointTable, GatewayHostRow, GatewayRow, TableFilter } from '../../src/ops/endpoint.js';
import { EventLog } from '../../src/ops/events.js';
import { createLogger } from '../../src/ops/log.js';
import { runCli } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'td-gateway-'));
const socket = join(folder, 'gateway.sock');
const asked: unknown[] = [];
const filters: TableFilter[] = [];
let api: ControlApi;
const run = (args: string) => runCli([register, show], args.split(' '), { cwd: folder });

const member = (values: Partial<GatewayRow>): GatewayRow => ({
  group: 'lan',
  gateway: 1,
  self: false,
  state: 'backup',
  master: false,
  alive: true,
  verified: true,
  address: '10.7.0.1',
  priority: 100,
  weight: 100,
  able: true,
  reasons: '',
  load: 0.125,
  bitsPerSecond: 1_500_000,
  packetsPerSecond: 300,
  virtualMac: '02:54:44:00:07:01',
  serves: '1',
  hosts: 12,
  ageSeconds: 0.04,
  term: 3,
  version: 40,
  ...values,
});
const host: GatewayHostRow = {
  group: 'lan',
  host: '02:00:00:00:00:07',
  addresses: '10.7.0.11',
  gateway: 2,
  server: null,
  virtualMac: '02:54:44:00:07:02',
  ageSeconds: 61,
  idleSeconds: 1,
};

function table(names: EndpointTable['filters'], rows: readonly object[]): EndpointTable {
  return {
    description: 'rows',
    filters: names,
    rows: (filter) => {
      filters.push(filter);
      return [rows];
    },
  };
}

beforeAll(async () => {
  const command = (fail: boolean) => ({
    description: 'a command',
    body: { type: 'object' },
    run: (body: Readonly<Record<string, unknown>>) => {
      asked.push(body);
      if (fail || body.gateway === 9)
        throw new DesignatorError('TD_CONFLICT', 'group lan: this gateway is not the master');
      return { group: 'lan', hosts: 3 };
    },
  });
  const endpoint: Endpoint = {
    role: 'gateway',
    events: new EventLog(),
    tables: new Map([
      [
        'gateways',
        table(
          ['group'],
          [member({ self: true, state: 'master', master: true }), member({ gateway: 2, serves: '2,3' })],
        ),
      ],
      ['hosts', table(['group', 'gateway', 'host'], [host])],
    ]),
    commands: new Map([
      ['resign', command(false)],
      ['move', command(false)],
      ['redistribute', command(false)],
    ]),
    metrics: () => [],
    reload: () => Promise.reject(new Error('not here')),
    ready: () => true,
    unhealthy: () => null,
  };
  const logger = createLogger('error');
  api = await startEndpointApi({ endpoint, socket, http: null, logger, version: '1', nodeVersion: '20' });
});
afterAll(async () => {
  await api.close();
  rmSync(folder, { recursive: true });
});

test('commands find the process by the file of its groups', async () => {
  writeFileSync(
    join(folder, 'gateway.yaml'),
    `groups: [{ name: lan, group: 7, interface: eth0, number: 1, addresses: [10.7.0.254], key: { text: sixteen letters! } }]\ncontrol: { socket: ${socket} }\n`,
  );
  expect(await run('gateway -c gateway.yaml --check')).toMatchObject({ status: 0, stderr: 'gateway.yaml: fine\n' });
  expect((await run('gateway resign -c gateway.yaml')).stdout).toBe('lan: resigned\n');
  expect((await run('gateway --check -c nowhere.yaml')).status).toBe(78);
});

test('resign, move and redistribute say what they are asked', async () => {
  asked.length = 0;
  const at = `--socket ${socket}`;
  expect((await run(`gateway resign ${at} --group lan`)).stdout).toBe('lan: resigned\n');
  expect((await run(`gateway move 02:00:00:00:00:07 2 ${at}`)).stdout).toBe('lan: 3 hosts are given another gateway\n');
  expect((await run(`gateway move all 3 ${at} --json`)).stdout).toBe('{"group":"lan","hosts":3}\n');
  expect((await run(`gateway redistribute 1 ${at}`)).status).toBe(0);
  expect(asked).toEqual([
    { group: 'lan' },
    { host: '02:00:00:00:00:07', gateway: 2 },
    { host: 'all', gateway: 3 },
    { gateway: 1 },
  ]);
  const refused = await run(`gateway redistribute 9 ${at}`);
  expect([refused.status, refused.error?.message]).toEqual([69, 'group lan: this gateway is not the master']);
});

test.each([
  ['gateway', /required option '-c, --config <file>'/],
  ['gateway move nobody 1', /MAC address/],
  ['gateway move all 256', /whole number from 1 to 255/],
  ['gateway redistribute 0', /whole number from 1 to 255/],
])('wrong use, exit 64: %s', async (args, message) => {
  const wrong = await run(args);
  expect([wrong.status, `${wrong.stderr}${wrong.error?.message ?? ''}`]).toEqual([64, expect.stringMatching(message)]);
});

test('show gateways names the one that was asked, and the virtual MACs that each serves', async () => {
  const { stdout } = await run(`show gateways --socket ${socket}`);
  const lines = stdout.split('\n').map((line) => line.split(/ {2,}/));
  expect(lines[0]).toEqual(
    expect.arrayContaining(['group', 'gateway', 'state', 'serves', 'virtual MAC', 'able', 'heard']),
  );
  expect(lines[1]).toEqual(expect.arrayContaining(['1 (this)', 'master', '13%', '1.5M', '02:54:44:00:07:01', 'yes']));
  expect(lines[2]).toEqual(expect.arrayContaining(['2', 'backup', '2,3', '0.0s ago']));
  expect(JSON.parse((await run(`show gateways --json --socket ${socket}`)).stdout)).toMatchObject([
    { gateway: 1, self: true },
    { gateway: 2, self: false },
  ]);
});

test('show hosts is narrowed by group, gateway and host, and bounded where people read it', async () => {
  filters.length = 0;
  const text = (await run(`show hosts --socket ${socket} --gateway 2 --host 10.7.0.11 --group lan`)).stdout;
  expect(text).toMatch(/lan +02:00:00:00:00:07 +10\.7\.0\.11 +2 +- +02:54:44:00:07:02 +61s +1s/);
  await run(`show hosts --socket ${socket} --json`);
  expect(filters).toEqual([{ group: 'lan', gateway: 2, host: '10.7.0.11', limit: 1000 }, {}]);
});
