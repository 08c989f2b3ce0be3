/** The carried process as a real one: its lines, its environment, its end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { candidateWorld } from '../../../src/roles/candidate/world.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'candidate-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly lines: string[];
  readonly process: { readonly pid: number | null; signal(name: 'SIGTERM' | 'SIGHUP' | 'SIGKILL'): void };
  readonly ended: Promise<{ status: number | null; why: string }>;
  /** Resolves with the first line that has this text. */
  line(text: string): Promise<string>;
}

function run(program: string, env: Record<string, string | undefined> = { PATH: '/usr/bin:/bin' }): Run {
  const script = join(folder, 'program.mjs');
  writeFileSync(script, program);
  const lines: string[] = [];
  const waiting: { text: string; settle: (line: string) => void }[] = [];
  let settleEnd: (end: { status: number | null; why: string }) => void = () => {};
  const ended = new Promise<{ status: number | null; why: string }>((settle) => {
    settleEnd = settle;
  });
  const carried = candidateWorld([process.execPath, script], env).spawn('/etc/master.yaml', {
    line: (text) => {
      lines.push(text);
      for (const one of waiting) if (text.includes(one.text)) one.settle(text);
    },
    ended: (status, why) => settleEnd({ status, why }),
  });
  const line = (text: string): Promise<string> =>
    new Promise((settle) => {
      const there = lines.find((one) => one.includes(text));
      if (there !== undefined) settle(there);
      else waiting.push({ text, settle });
    });
  return { lines, process: carried, ended, line };
}

test('it is told what to run, what is said to it is passed on line by line, and its status', async () => {
  const { lines, ended } = run(`
    process.stdout.write(process.argv.slice(2).join(' ') + '\\n\\nfirst\\nsec');
    setTimeout(() => { process.stdout.write('ond\\n'); process.stderr.write('without an end'); process.exitCode = 78; process.stdin.destroy(); }, 50);
  `);
  expect(await ended).toEqual({ status: 78, why: 'it ended with status 78' });
  expect(lines).toEqual(['run --attached -c /etc/master.yaml', 'first', 'second', 'without an end']);
});

test('what systemd says to the endpoint is not for it', async () => {
  const { lines, ended } = run(
    `process.stdout.write(Object.keys(process.env).filter((name) => /NOTIFY|WATCHDOG|MARK/.test(name)).sort().join(' '));`,
    { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '1', WATCHDOG_PID: '2', MARK: 'yes' },
  );
  await ended;
  expect(lines).toEqual(['MARK']);
});

test('signals reach it', async () => {
  const one = run(`process.stdin.resume(); process.on('SIGHUP', () => console.log('again')); console.log('up');`);
  await one.line('up');
  one.process.signal('SIGHUP');
  await one.line('again');
  one.process.signal('SIGKILL');
  expect(await one.ended).toEqual({ status: null, why: 'it was ended by SIGKILL' });
});

test('a line without an end takes no memory without an end', async () => {
  const { lines, ended } = run(`
    process.stdout.write('x'.repeat(300000) + '\\nafter\\n');
  `);
  await ended;
  expect(lines).toHaveLength(2);
  expect(lines[0].length).toBeLessThan(200_000);
  expect(lines[1]).toBe('after');
});

test('a program that is not there has ended', async () => {
  const world = candidateWorld(['/does/not/exist', 'x'], {});
  const ended = await new Promise<string>((settle) => {
    world.spawn('/etc/master.yaml', { line: () => {}, ended: (status, why) => settle(`${status} ${why}`) });
  });
  expect(ended).toMatch(/^null it cannot be started: .*ENOENT/);
});
