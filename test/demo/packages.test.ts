import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PACKAGES } from '../../src/demo/lab/packages.js';

test('the set-up installs whatever a lab may ask for', () => {
  const setup = readFileSync(join(import.meta.dirname, '../../scripts/setup.mjs'), 'utf8');
  const essential = ['util-linux']; // on every Debian machine
  const missing = Object.values(PACKAGES).filter((name) => !setup.includes(`package: '${name}'`));
  expect(missing.filter((name) => !essential.includes(name))).toEqual([]);
});
