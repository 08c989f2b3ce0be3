/** docs/operations.md lists every drop reason with its sentence. UPDATE=1 writes the table. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ALL_DROP_REASONS } from '../../src/dataplane/counters.js';

const file = new URL('../../docs/operations.md', import.meta.url);

test('the table of drop reasons is that of the code', () => {
  const rows = ALL_DROP_REASONS.map(([name, description]) => `| \`${name}\` | ${description} |`);
  const table = ['| reason | meaning |', '| --- | --- |', ...rows].join('\n');
  const text = readFileSync(file, 'utf8');
  const expected = text.replace(
    /(<!-- drops:[^>]*-->\n).*(<!-- \/drops -->)/s,
    (_all, before, after) => `${before}${table}\n${after}`,
  );
  if (process.env.UPDATE === '1') writeFileSync(file, expected);
  else expect(text).toBe(expected);
  expect(expected).toContain(table);
});

test('reasons are metric labels: short, unique words with a sentence each', () => {
  const names = ALL_DROP_REASONS.map(([name]) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const [name, description] of ALL_DROP_REASONS) {
    expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(description.length, name).toBeGreaterThan(10);
  }
});
