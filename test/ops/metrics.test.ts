import { expect, test } from 'vitest';
import { Metrics } from '../../src/ops/metrics.js';
import { parseCpuSeconds, parseResidentBytes, readProcessFacts } from '../../src/ops/process-facts.js';
import { FakeAppliance } from '../helpers/fake-appliance.js';
import { parseExposition } from './exposition.js';

const build = { version: '1.2.3', node: '20.0.0' };

async function scrape(appliance: FakeAppliance, metrics = new Metrics(appliance, build)) {
  return parseExposition(await metrics.text());
}

function value(families: Awaited<ReturnType<typeof scrape>>, name: string, labels: Record<string, string> = {}) {
  const family = families.get(`designator_${name}`);
  return family?.samples.find((sample) => Object.entries(labels).every(([key, text]) => sample.labels[key] === text))
    ?.value;
}

test('the text parses; every family has the prefix, a sentence as HELP and a unit that fits its type', async () => {
  const families = await scrape(new FakeAppliance());
  expect(families.size).toBeGreaterThan(35);
  for (const { name, help, type } of families.values()) {
    expect(name).toMatch(/^designator_[a-z0-9_]+$/);
    expect(help, name).toMatch(/\.$/);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(name).not.toMatch(/_(ms|millis|milliseconds|kb|kilobytes|minutes|percent)(_|$)/);
  }
});

test('labels are vip, server, reason, shard and protocol only', async () => {
  const families = await scrape(new FakeAppliance());
  const labels = new Set(
    [...families.values()].flatMap(({ samples }) => samples.flatMap((sample) => Object.keys(sample.labels))),
  );
  expect([...labels].sort()).toEqual(['protocol', 'reason', 'server', 'shard', 'vip']);
});

test('values are those of the appliance', async () => {
  const families = await scrape(new FakeAppliance());
  expect(value(families, 'packets_in_total', { shard: '0' })).toBe(500);
  expect(value(families, 'bytes_out_total', { shard: '1' })).toBe(40000);
  expect(value(families, 'packets_handed_over_total', { shard: '1' })).toBe(5);
  expect(value(families, 'shard_restarts_total', { shard: '1' })).toBe(1);
  expect(value(families, 'shard_heartbeat_age_seconds', { shard: '1' })).toBe(0.2);
  expect(value(families, 'dropped_packets_total', { reason: 'truncated' })).toBe(3);
  expect(value(families, 'dropped_packets_total', { reason: 'no-server' })).toBe(0);
  expect(value(families, 'tunnels_half_open', { vip: 'access', protocol: 'l2tp' })).toBe(1);
  expect(value(families, 'tunnels_established', { vip: 'access' })).toBe(2);
  expect(value(families, 'sessions', { vip: 'access' })).toBe(4);
  expect(value(families, 'requests_total', { vip: 'access' })).toBe(3);
  expect(value(families, 'server_up', { server: 'lns1' })).toBe(1);
  expect(value(families, 'server_weight', { vip: 'access', server: 'lns2' })).toBe(2);
  expect(families.get('designator_server_load')?.samples).toEqual([
    { labels: { vip: 'access', server: 'lns2' }, value: 0.25 },
  ]);
  expect(value(families, 'table_tunnels_limit')).toBe(512);
  expect(value(families, 'config_reloads_failed_total')).toBe(1);
  expect(value(families, 'config_last_reload_success_timestamp_seconds')).toBe(1_893_553_445);
  expect(value(families, 'start_time_seconds')).toBe(1_893_553_445);
  expect(families.get('designator_build_info')).toMatchObject({
    help: expect.stringContaining('tunnel-designator 1.2.3 on Node 20.0.0'),
  });
});

test('figures of gateway groups stand behind those of a designator that is in any, and nowhere else', async () => {
  const appliance = new FakeAppliance();
  const reading = { name: 'gateway_members', help: 'Gateways that are alive.', kind: 'gauge', value: 3 } as const;
  const dropped = { name: 'gateway_dropped_total', help: 'Ended here.', kind: 'counter' } as const;
  const groups = () => ({
    tables: new Map(),
    commands: new Map(),
    metrics: () => [reading, { ...dropped, value: 5, reason: 'forged' }, { ...dropped, value: 7, reason: 'late' }],
  });
  expect((await scrape(appliance)).has('designator_gateway_members')).toBe(false);
  const families = await scrape(Object.assign(appliance, { groups }));
  expect(value(families, 'gateway_members')).toBe(3);
  expect(value(families, 'gateway_dropped_total', { reason: 'forged' })).toBe(5);
  expect(value(families, 'gateway_dropped_total', { reason: 'late' })).toBe(7);
  expect(value(families, 'packets_in_total', { shard: '0' })).toBe(500);
});

test('a second scrape tells totals, not sums of scrapes, and forgets what is gone', async () => {
  const appliance = new FakeAppliance();
  const metrics = new Metrics(appliance, build);
  await scrape(appliance, metrics);
  appliance.command({ action: 'disable', names: ['lns1'] });
  appliance.serverRows = appliance.serverRows.filter(({ name }) => name === 'lns1');
  appliance.trouble = 'something';
  const families = await scrape(appliance, metrics);
  expect(value(families, 'packets_in_total', { shard: '0' })).toBe(500);
  expect(value(families, 'server_up', { server: 'lns1' })).toBe(0);
  expect(value(families, 'server_up', { server: 'lns2' })).toBeUndefined();
  expect(value(families, 'healthy')).toBe(0);
});

test('names with quotes, backslashes and line ends are escaped', async () => {
  const appliance = new FakeAppliance();
  const odd = 'a "b" \\ c\nd';
  appliance.serverRows = [{ ...appliance.serverRows[0], name: odd }];
  const families = await scrape(appliance);
  expect(value(families, 'server_up', { server: odd })).toBe(1);
});

test.each([
  ['# TYPE a counter\na 1\n', /without its HELP/],
  ['# HELP a x\n# TYPE a counter\na{b="1",b="2"} 1\n', /label stands twice/],
  ['# HELP a x\n# TYPE a counter\na{b="1"} 1\na{b="1"} 2\n', /series stands twice/],
  ['# HELP a x\n# TYPE a counter\nb 1\n', /outside its family/],
  ['# HELP a x\n# TYPE a counter\na one\n', /bad value/],
  ['# HELP a x\n# TYPE a counter\na 1', /does not end/],
])('the reader of these tests refuses %j', (text, message) => {
  expect(() => parseExposition(text)).toThrow(message);
});

test('process facts: an odd command name does not shift the fields of /proc/self/stat', () => {
  const tail = `S 1 2 3 4 5 6 7 8 9 10 250 50 ${'0 '.repeat(30)}`;
  expect(parseCpuSeconds(`42 (a) b (c)) ${tail}`)).toBe(3);
  expect(parseResidentBytes('VmPeak:\t  9 kB\nVmRSS:\t    2048 kB\n')).toBe(2 * 1024 * 1024);
  const facts = readProcessFacts();
  expect(facts.heapUsedBytes).toBeGreaterThan(0);
  expect(facts.residentBytes).toBeGreaterThan(facts.heapUsedBytes / 4);
});
