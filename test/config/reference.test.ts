/** The pages say what the schemas say. UPDATE=1 writes the tables of keys. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { ZodType } from 'zod';
import { gatewaySchema } from '../../src/config/gateway-schema.js';
import { parseGatewayConfig } from '../../src/config/gateway.js';
import { parseConfig } from '../../src/config/load.js';
import { lacSchema } from '../../src/config/lac-schema.js';
import { parseLacConfig } from '../../src/config/lac.js';
import { lnsSchema } from '../../src/config/lns-schema.js';
import { offloadSchema } from '../../src/config/lns-offload.js';
import { parseLnsConfig } from '../../src/config/lns.js';
import { radiusSchema } from '../../src/config/radius.js';
import { jsonSchema, keyRows } from '../../src/config/reference.js';
import { configSchema } from '../../src/config/schema.js';
import { parseUsers } from '../../src/config/users.js';

const page = (name: string): URL => new URL(`../../docs/${name}.md`, import.meta.url);
const file = page('configuration');

/** Page → schema, and where in the file its keys stand. */
const TABLES: readonly (readonly [name: string, schema: ZodType, prefix: string])[] = [
  ['configuration', configSchema, ''],
  ['radius', radiusSchema, 'radius'],
  ['switchover', offloadSchema, 'offload'],
  // Sections that have pages of their own.
  ['gateway', gatewaySchema, ''],
  ['lac', lacSchema.omit({ radius: true }), ''],
  ['lns', lnsSchema.omit({ radius: true, takeOver: true, offload: true }), ''],
];

test.each(TABLES)('the table of keys in docs/%s.md is that of the schema', (name, schema, prefix) => {
  const file = page(name);
  const rows = keyRows(schema, prefix).map(({ key, value, default: written, required, meaning }) => {
    const initial = required ? '**required**' : written === null ? '' : `\`${written}\``;
    return `| \`${key}\` | ${value} | ${initial} | ${meaning} |`;
  });
  const table = ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const text = readFileSync(file, 'utf8');
  const expected = text.replace(
    /(<!-- keys:[^>]*-->\n).*(<!-- \/keys -->)/s,
    (_all, before, after) => `${before}${table}\n${after}`,
  );
  if (process.env.UPDATE === '1') writeFileSync(file, expected);
  else expect(text).toBe(expected);
  expect(expected).toContain(table);
});

test.each(TABLES)('every key of docs/%s.md is explained', (_, schema, prefix) => {
  const rows = keyRows(schema, prefix);
  expect(rows.length).toBeGreaterThan(10);
  for (const { key, meaning } of rows) expect(meaning, key).toMatch(/^[A-Z].*\.$/);
});

test('defaults are told as they work', () => {
  const rows = keyRows();
  const of = (wanted: string) => rows.find(({ key }) => key === wanted);
  expect(of('vips[].address')).toMatchObject({ required: true, default: null });
  expect(of('vips[].servers[].weight')).toMatchObject({ required: false, default: '1', value: '0 … 1000' });
  expect(of('vips[].protocols')).toMatchObject({ default: '[l2tp]' });
  expect(of('workers')).toMatchObject({ value: 'auto or 1 … 64' });
});

test('the samples of the page are valid together with the shortest file', () => {
  const blocks = [...readFileSync(file, 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block);
  expect(blocks).toHaveLength(2);
  expect(parseConfig('page', blocks[0])).toMatchObject({ problems: [] });
  expect(parseConfig('page', blocks.join(''))).toMatchObject({ problems: [] });
});

test('the sample of an LNS is valid, and so are its users', () => {
  const [config, users] = [...readFileSync(page('lns'), 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(
    ([, block]) => block,
  );
  expect(parseLnsConfig('page', config)).toMatchObject({ problems: [] });
  expect(parseUsers('page', users)).toMatchObject({ problems: [] });
});

test('the sample of a gateway is valid', () => {
  const [sample] = [...readFileSync(page('gateway'), 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block);
  expect(parseGatewayConfig('page', sample)).toMatchObject({ problems: [] });
});

test('the samples of a LAC are valid, alone and together', () => {
  const blocks = [...readFileSync(page('lac'), 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block);
  expect(blocks.length).toBeGreaterThan(2);
  for (const block of blocks.slice(1))
    expect(parseLacConfig('page', blocks[0] + block)).toMatchObject({ problems: [] });
  expect(parseLacConfig('page', blocks[0])).toMatchObject({ problems: [] });
});

test('the JSON schema describes the file as it is written: nothing but interfaces and VIPs is needed', () => {
  const schema = jsonSchema();
  expect(schema).toMatchObject({ type: 'object', additionalProperties: false, required: ['interfaces', 'vips'] });
  expect(() => JSON.stringify(schema)).not.toThrow();
});
