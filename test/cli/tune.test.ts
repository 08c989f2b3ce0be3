import { describe, expect, test } from 'vitest';
import { doublings, register } from '../../src/cli/tune.js';
import { runCli } from './run.js';

test('worker counts double up to the CPUs', () => {
  expect(doublings(1)).toEqual([1]);
  expect(doublings(2)).toEqual([1, 2]);
  expect(doublings(6)).toEqual([1, 2, 4, 6]);
  expect(doublings(64)).toEqual([1, 2, 4, 8, 16, 32, 64]);
  expect(doublings(200).at(-1)).toBe(64);
});

describe('refused before anything is measured', () => {
  test.each([
    ['--mix', '64:0'],
    ['--mix', 'small'],
    ['--flows', '0'],
    ['--workers', '1,x'],
    ['--pairs', '1.5'],
  ])('%s %s', async (option, value) => {
    const { status, stderr, stdout } = await runCli([register], ['tune', option, value]);
    expect(status).toBe(64);
    expect(stderr).toMatch(/Write /);
    expect(stdout).toBe('');
  });
});
