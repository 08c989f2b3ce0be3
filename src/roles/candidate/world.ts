/** The candidate's process on a real machine. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { CandidateWorld, CarriedListener, CarriedProcess } from './candidate.js';

/** Of one line of the log; what is beyond is cut off. */
const LINE_LIMIT = 64 * 1024;
/** What systemd tells a service is for the endpoint alone: the carried process is none. */
const SERVICE_WORDS: ReadonlySet<string> = new Set(['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']);

/**
 * `self`: the words that start this program, Node and main.js. `env`: what the process is given, without what systemd
 * says to the endpoint.
 */
export function candidateWorld(
  self: readonly [string, string],
  env: Readonly<Record<string, string | undefined>>,
): CandidateWorld {
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => !SERVICE_WORDS.has(name)));
  return {
    spawn: (file, listener) => carry([...self, 'run', '--attached', '-c', file], kept, listener),
    now: () => performance.now() / 1000,
    after: (seconds, run) => {
      const timer = setTimeout(run, seconds * 1000);
      return () => clearTimeout(timer);
    },
  };
}

function carry(
  [program, ...words]: readonly string[],
  env: Record<string, string | undefined>,
  listener: CarriedListener,
): CarriedProcess {
  // Its standard input is never written to: that it ends is the sign that we are gone, even by SIGKILL.
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
  child.stdin.on('error', () => {
    // Told by its end, which follows.
  });
  eachLine(child.stdout, (text) => listener.line(text));
  eachLine(child.stderr, (text) => listener.line(text));
  let over = false;
  const end = (status: number | null, why: string): void => {
    if (over) return;
    over = true;
    listener.ended(status, why);
  };
  child.on('error', (error) => {
    // Also of a signal that could not be sent; only a process that never was has no number.
    if (child.pid === undefined) end(null, `it cannot be started: ${error.message}`);
  });
  child.on('close', (status, signal) =>
    end(status, signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`),
  );
  return {
    pid: child.pid ?? null,
    signal: (name) => void child.kill(name),
  };
}

/** Whole lines without their ends; one that is too long is told in its beginning. */
function eachLine(stream: Readable, line: (text: string) => void): void {
  let rest = '';
  let skipping = false;
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const text of parts) {
      if (!skipping && text !== '') line(text);
      skipping = false;
    }
    if (rest.length <= LINE_LIMIT) return;
    if (!skipping) line(`${rest.slice(0, LINE_LIMIT)}…`);
    skipping = true;
    rest = '';
  });
  stream.on('end', () => {
    if (rest !== '' && !skipping) line(rest);
  });
}
