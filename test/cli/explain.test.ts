import { afterAll, beforeAll, expect, test } from 'vitest';
import { register } from '../../src/cli/explain.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let running: Running;
const explain = (args: string) => runCli([register], ['explain', ...args.split(' '), '--socket', running.socket]);

beforeAll(async () => {
  running = await startApi(new FakeAppliance());
});
afterAll(() => running[Symbol.asyncDispose]());

test('for people', async () => {
  expect((await explain('--client 192.0.2.9:1701 --vip access')).stdout).toBe(
    'lns2\na new tunnel: weighted-round-robin: its turn\n',
  );
  expect((await explain('--client 192.128.10.5:1701 --tunnel 12 --vip access')).stdout).toBe(
    'lns1\na tunnel of the table: tunnel is in the table\n',
  );
});

test('--json: exactly one object with server, reason, existing', async () => {
  const run = await explain('--client 192.0.2.9:1701 --vip access --json');
  expect(JSON.parse(run.stdout)).toEqual({ server: 'lns2', reason: 'weighted-round-robin: its turn', existing: false });
});

test('an unknown VIP, a client that is none, options that are missing: exit 64', async () => {
  expect(await explain('--client 192.0.2.9:1701 --vip nobody')).toMatchObject({
    status: 64,
    error: { message: 'no VIP named "nobody"' },
  });
  for (const args of ['--client 192.0.2.9 --vip access', '--client 192.0.2.9:1701', '--vip access']) {
    expect((await explain(args)).status, args).toBe(64);
  }
});
