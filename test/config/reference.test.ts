/** docs/configuration.md says what the schema says. UPDATE=1 writes the table of keys. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import { jsonSchema, keyRows } from '../../src/config/reference.js';

const file = new URL('../../docs/configuration.md', import.meta.url);

test('the table of keys is that of the schema', () => {
  const rows = keyRows().map(({ key, value, default: written, required, meaning }) => {
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

test('every key is explained, with its default as it works', () => {
  const rows = keyRows();
  expect(rows.length).toBeGreaterThan(30);
  for (const { key, meaning } of rows) expect(meaning, key).toMatch(/^[A-Z].*\.$/);
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

test('the JSON schema describes the file as it is written: nothing but interfaces and VIPs is needed', () => {
  const schema = jsonSchema();
  expect(schema).toMatchObject({ type: 'object', additionalProperties: false, required: ['interfaces', 'vips'] });
  expect(() => JSON.stringify(schema)).not.toThrow();
});
