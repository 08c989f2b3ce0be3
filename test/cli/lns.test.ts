import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { register } from '../../src/cli/lns.js';
import { DesignatorError } from '../../src/errors.js';
import type { ControlApi } from '../../src/ops/api-server.js';
import { startEndpointApi } from '../../src/ops/endpoint-api.js';
import { createLogger } from '../../src/ops/log.js';
import { FakeEndpoint } from '../helpers/fake-endpoint.js';
import { runCli } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'td-lns-'));
const socket = join(folder, 'lns.sock');
const asked: unknown[] = [];
let api: ControlApi;
const run = (args: string) => runCli([register], args.split(' '), { cwd: folder });

beforeAll(async () => {
  const endpoint = new FakeEndpoint();
  endpoint.commands.set('disconnect', {
    description: 'end sessions',
    body: { type: 'object', minProperties: 1, properties: { user: { type: 'string' } } },
    run: (body) => {
      asked.push(body);
      if (body.user === 'nobody') throw new DesignatorError('TD_NOT_FOUND', 'no such session');
      return { ended: 3 };
    },
  });
  const logger = createLogger('error');
  api = await startEndpointApi({ endpoint, socket, http: null, logger, version: '1', nodeVersion: '20' });
});
afterAll(async () => {
  await api.close();
  rmSync(folder, { recursive: true });
});

test('--check names what is wrong with the file, and with the users that it points to', async () => {
  const file = (users: string): string =>
    `name: lns1\nlisten: 10.0.0.1\nusers: { file: ${users} }\npools: [{ name: a, ipv4: 10.64.0.0/24 }]\n`;
  writeFileSync(join(folder, 'users.yaml'), 'users: [{ name: alice, password: a }]\n');
  writeFileSync(join(folder, 'wrong.yaml'), 'users: [{ name: alice }]\n');
  writeFileSync(join(folder, 'lns.yaml'), file(join(folder, 'users.yaml')));
  expect(await run('lns -c lns.yaml --check')).toMatchObject({ status: 0, stderr: 'lns.yaml: fine\n' });
  writeFileSync(join(folder, 'lns.yaml'), file(join(folder, 'wrong.yaml')));
  const wrong = await run('lns -c lns.yaml --check');
  expect([wrong.status, JSON.stringify((wrong.error as DesignatorError).context)]).toEqual([
    78,
    expect.stringContaining('users.0.password'),
  ]);
  expect((await run('lns -c nowhere.yaml --check')).status).toBe(78);
});

test('disconnect says how many sessions it ended; who is not there is an error', async () => {
  const one = await run(`disconnect --socket ${socket} --user alice --tunnel 7`);
  expect([one.status, one.stdout]).toEqual([0, '3 ended\n']);
  expect(asked).toEqual([{ user: 'alice', tunnel: 7 }]);
  expect((await run(`disconnect --socket ${socket} --user alice --json`)).stdout).toBe('{"ended":3}\n');
  expect((await run(`disconnect --socket ${socket} --user nobody`)).status).toBe(64);
  expect((await run(`disconnect --socket ${socket}`)).status).toBe(64);
  expect((await run(`disconnect --socket ${socket} --session 0`)).status).toBe(64);
});
