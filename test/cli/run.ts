/** Runs a command line against a set of registered commands, with strings for stdout and stderr. */
import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import type { CliContext } from '../../src/cli/context.js';
import { DesignatorError, EXIT } from '../../src/errors.js';

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
  readonly error: Error | null;
}

type Register = (program: Command, context: CliContext) => void;

export async function runCli(
  registers: readonly Register[],
  args: readonly string[],
  world: { isTty?: boolean; color?: boolean; cwd?: string; signals?: EventEmitter } = {},
): Promise<Run> {
  let status: number = EXIT.ok;
  const [stdout, stderr] = [collector(), collector()];
  const signals = world.signals ?? new EventEmitter();
  const context: CliContext = {
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin: Readable.from([]),
    env: {},
    cwd: world.cwd ?? '/',
    version: '0.0.0',
    nodeVersion: '20.20.2',
    pid: 1,
    self: ['node', 'main.js'],
    isTty: world.isTty ?? false,
    color: world.color ?? false,
    onSignal(signal, listener) {
      signals.on(signal, listener);
      return () => signals.off(signal, listener);
    },
    setExitStatus: (value) => (status = value),
  };
  const program = new Command('designator');
  program
    .exitOverride()
    .configureOutput({ writeOut: (text) => stdout.stream.write(text), writeErr: (text) => stderr.stream.write(text) });
  for (const register of registers) register(program, context);
  let failure: Error | null = null;
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    failure = error as Error;
    status =
      error instanceof DesignatorError
        ? error.exitStatus
        : error instanceof CommanderError
          ? EXIT.usage
          : EXIT.internal;
  }
  return {
    status,
    stdout: stdout.bytes().toString(),
    stderr: stderr.bytes().toString(),
    bytes: stdout.bytes(),
    error: failure,
  };
}

function collector() {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream: stream, bytes: () => Buffer.concat(chunks) };
}
