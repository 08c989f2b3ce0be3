import { afterAll, beforeAll, expect, test } from 'vitest';
import { explainText, register } from '../../src/cli/explain.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { type Running, startApi } from '../ops/http.js';
import { runCli } from './run.js';

let running: Running;
const appliance = new FakeAppliance();
const explain = (args: string) => runCli([register], ['explain', ...args.split(' '), '--socket', running.socket]);

beforeAll(async () => {
  running = await startApi(appliance);
});
afterAll(() => running[Symbol.asyncDispose]());

test('for people', async () => {
  const servers = [
    'server  state  since  weight  load  tunnels  new tunnels',
    'lns1    up       60m       1     -        2  yes',
    'lns2    down     45s       2  0.25        1  no, down: silent',
    '',
  ].join('\n');
  appliance.serverRows[1].state = 'down';
  expect((await explain('--client 192.0.2.9:1701 --vip access')).stdout).toBe(
    `lns2\na new tunnel: weighted-round-robin: its turn\n- a note\n\n${servers}`,
  );
  expect((await explain('--client 192.128.10.5:1701 --tunnel 12 --vip access')).stdout).toBe(
    `lns1\na tunnel of the table: tunnel is in the table\n\n${servers}`,
  );
});

test('a refusal with the reason that it is counted under', () => {
  const row = {
    server: null,
    reason: '7 are half open',
    existing: false,
    refusal: 'half-open-limit',
    candidates: [],
    notes: [],
  };
  expect(explainText(row, false)).toBe(
    'no server\na new tunnel: 7 are half open (dropped, counted as half-open-limit)\n',
  );
});

test('--json: exactly one object with server, reason, existing and what is behind them', async () => {
  const run = await explain('--client 192.0.2.9:1701 --vip access --json');
  const { candidates, ...row } = JSON.parse(run.stdout);
  expect(row).toEqual({
    server: 'lns2',
    reason: 'weighted-round-robin: its turn',
    existing: false,
    refusal: null,
    notes: ['a note'],
  });
  expect(candidates).toHaveLength(2);
});

test('--drop: what a reason means, how often, and who was refused last', async () => {
  expect((await explain('--drop truncated')).stdout).toBe(
    'truncated: 3 packets\nthe frame is shorter than a header that it claims to carry\n',
  );
  const refusal = { client: '192.0.2.1:1701', vip: 'access', reason: 'no-server', suppressed: 0 };
  appliance.events.emit('request-refused', { ...refusal, reason: 'request-rate' });
  for (let n = 0; n < 7; n++) appliance.events.emit('request-refused', { ...refusal, suppressed: n });
  const { stdout } = await explain('--drop no-server');
  expect(stdout).toContain('The last tunnel requests that ended so:\n');
  expect(stdout.match(/192\.0\.2\.1:1701 → access: no-server/g)).toHaveLength(5);
  expect(stdout).not.toContain('request-rate');
  expect(JSON.parse((await explain('--drop no-server --json')).stdout)).toMatchObject({
    packets: 0,
    last: { length: 5 },
  });
  expect((await explain('--drop nonsense')).error?.message).toMatch(/no drop reason "nonsense"; there are truncated, /);
  expect((await explain('--drop truncated --vip access')).status).toBe(64);
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
