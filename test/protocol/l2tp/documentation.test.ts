import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ENDPOINT_COUNTERS } from '../../../src/protocol/l2tp/counters.js';

test('docs/l2tp.md has every counter, with its meaning', () => {
  const text = readFileSync(new URL('../../../docs/l2tp.md', import.meta.url), 'utf8');
  const rows = text.slice(text.indexOf('## Counters')).match(/^\| `.*$/gm);
  expect(rows).toEqual(ENDPOINT_COUNTERS.map(([name, meaning]) => `| \`${name}\` | ${meaning} |`));
});
