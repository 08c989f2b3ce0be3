/** The program as a process: what only `main.ts` does. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

const MAIN = ['--import', 'tsx', 'src/main.ts'];

function designator(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...MAIN, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
  });
  return { status, stdout, stderr };
}

test('the version is that of the package', () => {
  expect(designator('--version')).toEqual({ status: 0, stdout: '0.1.0\n', stderr: '' });
});

test('streams and exit status: problems of a file on stdout, 78', () => {
  expect(designator('check', '-c', '/nonexistent.yaml')).toEqual({
    status: 78,
    stdout: '/nonexistent.yaml: cannot be read: ENOENT\n',
    stderr: '/nonexistent.yaml: 1 error\n',
  });
});

test('a command line that is none: 64 and one line on stderr', () => {
  expect(designator('chek')).toEqual({
    status: 64,
    stdout: '',
    stderr: "designator: unknown command 'chek'\n(Did you mean check?)\n",
  });
});

test('nobody runs: 69', () => {
  const { status, stderr } = designator('show', 'vips', '--socket', '/nonexistent/control.sock');
  expect(status).toBe(69);
  expect(stderr).toMatch(/^designator: no designator answers on \/nonexistent\/control\.sock/);
});

test('a reader that goes away early is no error', async () => {
  const child = spawn(process.execPath, [...MAIN, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [status] = await once(child, 'close');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
