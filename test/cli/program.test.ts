import { Readable, Writable } from 'node:stream';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import type { CliContext } from '../../src/cli/context.js';
import { buildProgram, runCommandLine } from '../../src/cli/program.js';
import { DesignatorError, type ErrorCode } from '../../src/errors.js';

function world(env: Record<string, string> = {}) {
  const text = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof text) =>
    new Writable({
      write(chunk, _encoding, done) {
        text[name] += chunk;
        done();
      },
    });
  const context: CliContext = {
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    stdin: Readable.from([]),
    env,
    cwd: '/',
    version: '1.2.3',
    nodeVersion: '20.20.2',
    pid: 1,
    self: ['node', 'main.js'],
    isTty: false,
    color: false,
    onSignal: () => () => {},
    setExitStatus: () => expect.fail('the frame keeps the status to itself'),
  };
  return { context, text };
}

async function run(...args: string[]) {
  const { context, text } = world();
  return { status: await runCommandLine(args, context), ...text };
}

async function failing(error: unknown, env: Record<string, string> = {}) {
  const { context, text } = world(env);
  const build = () => {
    const program = new Command('designator');
    program.command('fail').action(() => {
      throw error;
    });
    return program;
  };
  return { status: await runCommandLine(['fail'], context, build), ...text };
}

describe('what was asked for', () => {
  test('--help lists the commands of the contract', async () => {
    const { status, stdout, stderr } = await run('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of ['run', 'check', 'show', 'explain', 'server', 'capture', 'reload'])
      expect(stdout).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
  });

  test('--version', async () => expect(await run('--version')).toEqual({ status: 0, stdout: '1.2.3\n', stderr: '' }));

  test('help of one command', async () => {
    expect((await run('help', 'check')).stdout).toContain('-c, --config <file>');
    expect((await run('check', '--help')).stdout).toContain('-c, --config <file>');
  });
});

describe('usage errors end with 64 on stderr, in subcommands too', () => {
  test.each([
    [[], /^Usage: designator/],
    [['chek'], /^designator: unknown command 'chek'\n\(Did you mean check\?\)/],
    [['check'], /^designator: required option '-c, --config <file>' not specified/],
    [['check', '-c'], /^designator: option '-c, --config <file>' argument missing/],
    [['check', '-c', 'f', '--jsn'], /^designator: unknown option '--jsn'\n\(Did you mean --json\?\)/],
    [['check', '-c', 'f', 'surplus'], /^designator: too many arguments/],
    [['show', 'vip'], /^designator: /],
    [['server', 'drain'], /^designator: /],
  ])('%j', async (args, message) => {
    const { status, stdout, stderr } = await run(...args);
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

describe('errors of a command', () => {
  test.each<[ErrorCode, number]>([
    ['TD_USAGE', 64],
    ['TD_CONFIG', 78],
    ['TD_UNAVAILABLE', 69],
    ['TD_NO_PERMISSION', 77],
    ['TD_NOT_RUNNING', 69],
    ['TD_NOT_FOUND', 64],
    ['TD_CONFLICT', 69],
    ['TD_INTERNAL', 70],
  ])('%s ends with %d', async (code, status) => {
    expect(await failing(new DesignatorError(code, 'a sentence'))).toEqual({
      status,
      stdout: '',
      stderr: 'designator: a sentence\n',
    });
  });

  test('problems of a configuration come before the sentence', async () => {
    const problems = [
      { severity: 'error', file: 'd.yaml', line: 3, column: 5, path: 'io', message: 'wrong' },
      { severity: 'warning', file: 'd.yaml', line: 9, column: 1, path: '', message: 'odd' },
    ];
    const { stderr } = await failing(new DesignatorError('TD_CONFIG', 'd.yaml has 1 error', { problems }));
    expect(stderr).toBe('d.yaml:3:5: io: wrong\nd.yaml:9:1: warning: odd\ndesignator: d.yaml has 1 error\n');
  });

  test('TD_DEBUG=1 shows the cause', async () => {
    const error = new DesignatorError('TD_UNAVAILABLE', 'a sentence', {}, new Error('EIO'));
    expect((await failing(error)).stderr).not.toContain('EIO');
    expect((await failing(error, { TD_DEBUG: '1' })).stderr).toContain('Error: EIO\n    at ');
  });

  test('what is not ours is an internal error, with its stack', async () => {
    const { status, stderr } = await failing(new TypeError('no such thing'));
    expect(status).toBe(70);
    expect(stderr).toMatch(/^designator: internal error: TypeError: no such thing\n {4}at /);
    expect((await failing('text')).stderr).toBe('designator: internal error: text\n');
  });
});

test('every command and every option explains itself', () => {
  const walk = (command: Command): Command[] => [
    command,
    ...command.commands.flatMap((child) => walk(child as Command)),
  ];
  for (const command of walk(buildProgram(world().context))) {
    expect(command.description(), command.name()).not.toBe('');
    for (const option of command.options) expect(option.description, `${command.name()} ${option.flags}`).not.toBe('');
  }
});
