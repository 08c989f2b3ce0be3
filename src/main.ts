#!/usr/bin/env node
/** The one file that touches the process: argv, streams, signals and the exit status become a `CliContext`. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CliContext, Signal } from './cli/context.js';
import { runCommandLine } from './cli/program.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const context: CliContext = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  cwd: process.cwd(),
  version,
  nodeVersion: process.versions.node,
  pid: process.pid,
  self: [process.execPath, fileURLToPath(import.meta.url)],
  isTty: process.stdout.isTTY === true,
  color: process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
  onSignal(signal: Signal, listener: () => void) {
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  },
  setExitStatus(status: number) {
    process.exitCode = status;
  },
};

// A reader that has gone (`| head`) ends the output and is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const status = await runCommandLine(process.argv.slice(2), context);
// What is still in the pipes must get out; then nothing that a command left behind may keep the process.
process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
