/** `designator demo` as a user runs it, and as a user stops it. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { describeLab, SELF } from '../helpers/lab.js';

/** Starts the demo; `onText` sees its progress as it comes. */
function demo(
  words: readonly string[],
  onText: (text: string, pid: number) => void = () => {},
): Promise<{ status: number | null; stdout: string; stderr: string; pid: number }> {
  const child = spawn(SELF[0], [SELF[1], 'demo', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const pid = child.pid as number;
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    onText(stdout, pid);
  });
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr, pid })));
}

const leftBy = (pid: number): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`td${pid}-`));

describeLab('the demo', USER_SPACE, () => {
  test('every step holds, it says how long it took, and nothing is left', async () => {
    const { status, stdout, stderr, pid } = await demo(['--json']);
    expect(stderr).not.toContain('✗');
    const { ok, seconds, steps } = JSON.parse(stdout) as {
      ok: boolean;
      seconds: number;
      steps: { step: string; outcome: string }[];
    };
    expect(status).toBe(0);
    expect(ok).toBe(true);
    expect(seconds).toBeGreaterThan(0);
    expect(steps.filter(({ outcome }) => outcome === 'ok').length).toBeGreaterThanOrEqual(14);
    expect(stderr).not.toContain('\u001b');
    expect(leftBy(pid)).toEqual([]);
  });

  test('Ctrl-C in the middle takes everything down, with the status of a shell', async () => {
    let sent = false;
    const { status, stdout, pid } = await demo([], (text, child) => {
      if (sent || !text.includes('dials')) return;
      sent = true;
      spawn('kill', ['-INT', `${child}`]);
    });
    expect(status).toBe(130);
    expect(stdout).toMatch(/stopped; everything is taken down/);
    expect(leftBy(pid)).toEqual([]);
  });
});
