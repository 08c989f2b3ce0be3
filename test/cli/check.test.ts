import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { register } from '../../src/cli/check.js';
import { MINIMAL } from '../config/sample.js';
import { runCli } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'designator-check-'));
afterAll(() => rmSync(folder, { recursive: true }));

function check(text: string, ...more: string[]) {
  writeFileSync(join(folder, 'd.yaml'), text);
  return runCli([register], ['check', '-c', 'd.yaml', ...more], { cwd: folder });
}

test('a good file: nothing on stdout, 0', async () => {
  expect(await check(MINIMAL)).toMatchObject({ status: 0, stdout: '', stderr: 'd.yaml: fine\n' });
});

test('all errors on stdout with the name as it was given, 78', async () => {
  expect(await check(`${MINIMAL}io: tap\nworkers: 0\n`)).toMatchObject({
    status: 78,
    error: null,
    stdout:
      'd.yaml:7:5: io: it must be auto, xdp or packet, not "tap"\nd.yaml:8:10: workers: it must be at least 1, not 0\n',
    stderr: 'd.yaml: 2 errors\n',
  });
});

test('warnings do not fail', async () => {
  const { status, stdout, stderr } = await check(`${MINIMAL}firewall: { default: deny }\ntimeouts: { closing: 1s }\n`);
  expect({ status, stderr }).toEqual({ status: 0, stderr: 'd.yaml: fine, 2 warnings\n' });
  expect(stdout).toMatch(
    /^d\.yaml:7:22: firewall\.default: warning: cuts every TCP.*\nd\.yaml:8:22: timeouts\.closing: warning: .*\n$/,
  );
});

test('--json prints an array, empty when all is well', async () => {
  expect(JSON.parse((await check(MINIMAL, '--json')).stdout)).toEqual([]);
  const { status, stdout, stderr } = await check(`${MINIMAL}workers: 0\n`, '--json');
  expect({ status, stderr }).toEqual({ status: 78, stderr: '' });
  expect(JSON.parse(stdout)).toEqual([
    {
      severity: 'error',
      file: 'd.yaml',
      line: 7,
      column: 10,
      path: 'workers',
      message: 'it must be at least 1, not 0',
    },
  ]);
});

test('a file that is not there is a configuration error', async () => {
  const { status, stdout } = await runCli([register], ['check', '-c', 'none.yaml'], { cwd: folder });
  expect({ status, stdout }).toEqual({ status: 78, stdout: 'none.yaml: cannot be read: ENOENT\n' });
});

test('schema prints the JSON schema', async () => {
  const { status, stdout } = await runCli([register], ['schema']);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    additionalProperties: false,
    required: ['interfaces', 'vips'],
    properties: { table: { properties: { connections: { default: 65_536, maximum: 16_000_000 } } } },
  });
});
