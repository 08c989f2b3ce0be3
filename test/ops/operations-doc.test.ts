/** docs/operations.md says what the code does: metrics, routes and error codes. UPDATE=1 writes the metrics table. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { controlApp } from '../../src/ops/control-api.js';
import { EVENT_TYPES } from '../../src/ops/events.js';
import { createLogger } from '../../src/ops/log.js';
import { Metrics } from '../../src/ops/metrics.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { parseExposition } from './exposition.js';

const file = new URL('../../docs/operations.md', import.meta.url);
const build = { version: 'VERSION', node: 'VERSION' };

test('the table of metrics is that of /metrics', async () => {
  const families = parseExposition(await new Metrics(new FakeAppliance(), build).text());
  const rows = [...families.values()].map(({ name, type, help, samples }) => {
    const labels = [...new Set(samples.flatMap((sample) => Object.keys(sample.labels)))].map((label) => `\`${label}\``);
    return `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help.replace(/\.$/, '')} |`;
  });
  const table = ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const text = readFileSync(file, 'utf8');
  const expected = text.replace(
    /(<!-- metrics:[^>]*-->\n).*(<!-- \/metrics -->)/s,
    (_all, before, after) => `${before}${table}\n${after}`,
  );
  if (process.env.UPDATE === '1') writeFileSync(file, expected);
  else expect(text).toBe(expected);
  expect(expected).toContain(table);
});

test('every route is named', async () => {
  const appliance = new FakeAppliance();
  const options = {
    appliance,
    socket: '',
    http: null,
    logger: createLogger('error', { write() {} }),
    version: '1',
    nodeVersion: '1',
  };
  const app = await controlApp(options, new Metrics(appliance, build));
  const { paths } = app.swagger() as { paths: Record<string, object> };
  const text = readFileSync(file, 'utf8');
  for (const path of Object.keys(paths)) expect(text, path).toContain(path);
  await app.close();
});

test('every error code is named', () => {
  const source = readFileSync(new URL('../../src/errors.ts', import.meta.url), 'utf8');
  const text = readFileSync(file, 'utf8');
  const codes = new Set(source.match(/TD_[A-Z_]+/g));
  expect(codes.size).toBeGreaterThan(5);
  for (const code of codes) expect(text, code).toContain(`\`${code}\``);
});

test('the example unit runs the command of the contract with the rights that packet io needs', () => {
  const unit = readFileSync(new URL('../../docs/examples/designator.service', import.meta.url), 'utf8');
  expect(unit).toMatch(/^ExecStart=.*designator run -c \/etc\/designator\/designator\.yaml$/m);
  for (const right of ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_NICE', 'CAP_IPC_LOCK']) {
    expect(unit).toMatch(new RegExp(`^AmbientCapabilities=.*\\b${right}\\b`, 'm'));
    expect(unit).toMatch(new RegExp(`^CapabilityBoundingSet=.*\\b${right}\\b`, 'm'));
  }
});

test.each(['lns', 'agent'])('the unit of designator %s runs it with the rights that its master part needs', (role) => {
  const unit = readFileSync(new URL(`../../docs/examples/designator-${role}.service`, import.meta.url), 'utf8');
  expect(unit).toMatch(new RegExp(`^ExecStart=.*designator ${role} -c /etc/designator/${role}\\.yaml$`, 'm'));
  for (const right of ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_NICE', 'CAP_IPC_LOCK'])
    expect(unit).toMatch(new RegExp(`^AmbientCapabilities=.*\\b${right}\\b`, 'm'));
  // The carried process must not speak for the service.
  expect(unit).not.toMatch(/^NotifyAccess=(all|exec)$/m);
});

test('docs/observing.md names every type of event', () => {
  const text = readFileSync(new URL('../../docs/observing.md', import.meta.url), 'utf8');
  for (const type of Object.keys(EVENT_TYPES)) expect(text, type).toContain(`\`${type}\``);
});
