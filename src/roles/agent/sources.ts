/** Where tunnels and sessions are counted: a reader for each program that the agent knows. */
import { execFile } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { connect } from 'node:net';
import type { AgentSource, Endpoint } from '../../config/agent.js';
import type { LoadReport } from '../../wire/load-status.js';
import { readAccelPppStat, readL2tpnsTunnels, type TunnelCounts, Xl2tpdLog } from './readings.js';

export interface TunnelSource {
  /** What is known now. Rejects with a sentence when the program cannot be asked. */
  read(): Promise<Partial<LoadReport>>;
  close(): Promise<void>;
}

const CLI_TIMEOUT_MS = 2000;
const ANSWER_LIMIT = 4 * 1024 * 1024;
/** A log is followed in pieces of this size. */
const PIECE = 1024 * 1024;
const LINE_LIMIT = 4096;

export function openSource(source: AgentSource): TunnelSource {
  switch (source.kind) {
    case 'none':
      return { read: async () => ({}), close: async () => {} };
    case 'xl2tpd':
      return new LogSource(source.log);
    case 'l2tpns': {
      const login = [source.username, source.password].filter((word) => word !== null);
      return cliSource(source.cli, [...login, 'show tunnels'], '\r\n', (answer, isEnd) =>
        // The prompt that follows the table says that it is whole.
        isEnd || /> ?$/.test(answer) ? readL2tpnsTunnels(answer) : null,
      );
    }
    case 'accel-ppp': {
      // It prompts for nothing over TCP; after `exit` it ends what it has to say and closes.
      const login = source.password === null ? [] : [source.password];
      return cliSource(source.cli, [...login, 'show stat', 'exit'], '\n', (answer, isEnd) =>
        isEnd ? readAccelPppStat(answer) : null,
      );
    }
    case 'command':
      return { read: () => runCommand(source.run, source.timeoutSeconds), close: async () => {} };
  }
}

/** xl2tpd's log, from its beginning and then as it grows; a new file of the same name is read from its beginning. */
class LogSource implements TunnelSource {
  readonly #log = new Xl2tpdLog();
  readonly #buffer = Buffer.alloc(PIECE);
  #file: FileHandle | null = null;
  #inode = 0;
  #at = 0;
  #rest = '';

  constructor(readonly path: string) {}

  async read(): Promise<Partial<LoadReport>> {
    await this.#reopen();
    const file = this.#file as FileHandle;
    for (;;) {
      const { bytesRead } = await file.read(this.#buffer, 0, PIECE, this.#at);
      if (bytesRead === 0) return this.#log.counts;
      this.#at += bytesRead;
      const lines = (this.#rest + this.#buffer.toString('latin1', 0, bytesRead)).split('\n');
      this.#rest = (lines.pop() ?? '').slice(-LINE_LIMIT);
      for (const line of lines) this.#log.line(line);
    }
  }

  async #reopen(): Promise<void> {
    const file = await open(this.path, 'r');
    const { ino, size } = await file.stat();
    if (this.#file !== null && ino === this.#inode && size >= this.#at) return file.close();
    await this.#file?.close();
    this.#file = file;
    this.#inode = ino;
    this.#at = 0;
    this.#rest = '';
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}

type ReadAnswer = (answer: string, isEnd: boolean) => TunnelCounts | null;

function cliSource(cli: Endpoint, lines: readonly string[], ending: string, read: ReadAnswer): TunnelSource {
  const words = lines.map((line) => line + ending).join('');
  return { read: () => ask(cli, words, read), close: async () => {} };
}

/** Says words to a command line over TCP and reads until `read` has its counts. Telnet negotiation is left unanswered. */
function ask({ host, port }: Endpoint, words: string, read: ReadAnswer): Promise<TunnelCounts> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    let answer = '';
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(`${host}:${port} ${why}`));
    };
    const look = (isEnd: boolean): boolean => {
      const found = read(answer, isEnd);
      if (found === null) return false;
      resolve(found);
      socket.destroy();
      return true;
    };
    // A slow drip of bytes is no answer either.
    const late = setTimeout(() => fail('did not answer in time'), CLI_TIMEOUT_MS);
    socket.on('connect', () => socket.write(words));
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
      if (!look(false) && answer.length > ANSWER_LIMIT) fail('answers without an end');
    });
    socket.on('error', (error) => fail((error as NodeJS.ErrnoException).code ?? error.message));
    socket.on('close', () => {
      clearTimeout(late);
      // After an answer or a failure this changes nothing any more.
      if (!look(true)) fail('closed the connection without an answer');
    });
  });
}

const FIELDS = [
  'tunnels',
  'sessions',
  'tunnelLimit',
  'sessionLimit',
  'cpu',
  'memory',
  'packetsIn',
  'packetsOut',
  'bitsIn',
  'bitsOut',
  'packetCapacity',
  'bitCapacity',
] as const;

function runCommand(run: readonly string[], timeoutSeconds: number): Promise<Partial<LoadReport>> {
  const [program, ...args] = run;
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutSeconds * 1000, killSignal: 'SIGKILL', maxBuffer: ANSWER_LIMIT } as const;
    execFile(program, args, options, (error, stdout) => {
      if (error !== null) {
        const why = error.killed ? `took longer than ${timeoutSeconds} s` : error.message.split('\n')[0];
        return reject(new Error(`${program}: ${why}`));
      }
      try {
        resolve(readFields(stdout));
      } catch (problem) {
        reject(new Error(`${program}: ${(problem as Error).message}`));
      }
    });
  });
}

/** One JSON object of fields of the load status message. Errors: a sentence that names the field. */
export function readFields(text: string): Partial<LoadReport> {
  const data: unknown = JSON.parse(text);
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new Error('it prints no JSON object');
  const report: Record<string, number | boolean> = {};
  for (const [key, value] of Object.entries(data)) {
    if (value === null) continue;
    if (key === 'accepting' && typeof value === 'boolean') report.accepting = value;
    else if (!(FIELDS as readonly string[]).includes(key)) throw new Error(`${JSON.stringify(key)} is no field`);
    else if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value))
      throw new Error(`${key} is no number of at least 0`);
    else report[key] = value;
  }
  return report;
}
