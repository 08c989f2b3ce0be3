import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { native } from '../../src/io/native.js';
import { keepTags, restoreTags } from '../../src/io/rx-vlan.js';

const folder = mkdtempSync(join(tmpdir(), 'td-rx-vlan-'));
const file = join(folder, 'control.vlan');
afterAll(() => rmSync(folder, { recursive: true }));

describe('VLAN tags of received frames', () => {
  test('a device that leaves them in frames is not touched, and nothing is noted', () => {
    keepTags(native(), file, ['lo']);
    expect(existsSync(file)).toBe(false);
    expect(restoreTags(native(), file)).toEqual([]);
  });

  test('a device that has gone is forgotten', () => {
    writeFileSync(file, '["td-gone0"]');
    expect(restoreTags(native(), file)).toEqual([]);
    expect(existsSync(file)).toBe(false);
  });

  test('a file that was cut short says nothing', () => {
    writeFileSync(file, '["wan');
    expect(restoreTags(native(), file)).toEqual([]);
  });

  test('an interface that is not there is an error', () => {
    expect(() => keepTags(native(), file, ['td-gone0'])).toThrow(/td-gone0|No such device/);
  });
});
