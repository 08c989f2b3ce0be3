import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readFileText } from '../../src/config/file-text.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'file-text-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('the whole file; one byte too many and it is refused, never cut', () => {
  const file = join(folder, 'users.yaml');
  writeFileSync(file, 'users: []\n');
  expect(readFileText(file, file, 10)).toBe('users: []\n');
  expect(readFileText(file, 'users', 9)).toEqual({
    severity: 'error',
    file: 'users',
    line: 0,
    column: 0,
    path: '',
    message: 'has 10 bytes, at most 9 are read',
  });
});

test('a file that is not there, and a folder, are problems of the file', () => {
  expect(readFileText(join(folder, 'none'), 'x', 10)).toMatchObject({ message: 'cannot be read: ENOENT' });
  expect(readFileText(folder, 'x', 10)).toMatchObject({ message: 'cannot be read: EISDIR' });
});
