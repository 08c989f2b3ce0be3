/** The commands' way to a running designator: HTTP over its unix socket. */
import { readFileSync } from 'node:fs';
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { isMap, parseDocument } from 'yaml';
import { DEFAULT_SOCKETS, roleOf } from '../config/role-of.js';
import { DesignatorError, type ErrorCode } from '../errors.js';
import type { CliContext } from './context.js';

export const DEFAULT_SOCKET = '/run/designator/control.sock';

/** A designator that says nothing for so long is not answering; a reload of a large file takes a fraction of it. */
const SILENCE_LIMIT_MS = 30_000;
/** An error answer is a sentence and some facts. */
const ERROR_BODY_LIMIT = 1024 * 1024;

const CODES: readonly ErrorCode[] = [
  'TD_USAGE',
  'TD_CONFIG',
  'TD_UNAVAILABLE',
  'TD_NO_PERMISSION',
  'TD_NOT_RUNNING',
  'TD_NOT_FOUND',
  'TD_CONFLICT',
  'TD_INTERNAL',
];

export interface Target {
  readonly config?: string;
  readonly socket?: string;
}

/** Adds the two options by which a command finds the designator that it speaks to. */
export function withTarget(command: Command): Command {
  return command
    .addOption(new Option('-c, --config <file>', 'configuration file, which names the control socket'))
    .addOption(
      new Option('--socket <path>', `control socket of the running designator (default: ${DEFAULT_SOCKET})`).conflicts(
        'config',
      ),
    );
}

/**
 * The socket of the target. Of a configuration file only `control.socket` is read, or whose file it is: a file that is being edited, with an
 * error elsewhere, still leads to the process that runs. Errors: TD_CONFIG the file cannot be read or is no YAML map.
 */
export function socketOf(target: Target, cwd: string): string {
  if (target.socket !== undefined) return resolve(cwd, target.socket);
  if (target.config === undefined) return DEFAULT_SOCKET;
  let text: string;
  try {
    text = readFileSync(resolve(cwd, target.config), 'utf8');
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    throw new DesignatorError(
      'TD_CONFIG',
      `cannot read ${target.config}: ${errno}`,
      { file: target.config, errno },
      error,
    );
  }
  const document = parseDocument(text);
  if (!isMap(document.contents)) {
    throw new DesignatorError('TD_CONFIG', `${target.config} is no configuration file`, { file: target.config });
  }
  const socket = document.getIn(['control', 'socket']);
  if (typeof socket === 'string' && socket !== '') return resolve(cwd, socket);
  return DEFAULT_SOCKETS[roleOf(document.toJS())] ?? DEFAULT_SOCKET;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

/**
 * Errors of every call: TD_NOT_RUNNING nobody answers, TD_NO_PERMISSION, TD_UNAVAILABLE it went away in the middle, and
 * whatever the designator answered, with its own code.
 */
export class ControlClient {
  readonly #socket: string;

  constructor(target: Target, { cwd }: Pick<CliContext, 'cwd'>) {
    this.#socket = socketOf(target, cwd);
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json<T>(await this.stream(path, query));
  }

  /** A table and the role of the process that has it: `designator`, `lns` or `lac`. */
  async table<T>(path: string, query: Query = {}): Promise<{ role: string; rows: T[] }> {
    const response = await this.stream(path, query);
    const role = response.headers['x-designator-role'];
    return { role: typeof role === 'string' ? role : 'designator', rows: await this.#json<T[]>(response) };
  }

  /** The whole answer as text. */
  async text(path: string, query: Query = {}): Promise<string> {
    return readText(await this.stream(path, query), Number.POSITIVE_INFINITY);
  }

  async post<T>(path: string, body?: unknown): Promise<T> {
    return this.#json<T>(await this.#open('POST', path, body));
  }

  /** The answer as it comes, for long tables and captures; `signal` ends it. */
  stream(path: string, query: Query = {}, signal?: AbortSignal): Promise<IncomingMessage> {
    const fields = Object.entries(query).flatMap(([key, value]): [string, string][] =>
      value === undefined ? [] : [[key, String(value)]],
    );
    const text = new URLSearchParams(fields).toString();
    return this.#open('GET', text === '' ? path : `${path}?${text}`, undefined, signal);
  }

  async #open(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const options: RequestOptions = { socketPath: this.#socket, method, path, headers, agent: false, signal };
    const response = await new Promise<IncomingMessage>((take, reject) => {
      const outgoing = request(options, (incoming) => {
        outgoing.setTimeout(0);
        take(incoming);
      });
      outgoing.setTimeout(SILENCE_LIMIT_MS, () => {
        const message = `the designator on ${this.#socket} accepts connections but does not answer`;
        outgoing.destroy(new DesignatorError('TD_UNAVAILABLE', message, { socket: this.#socket }));
      });
      outgoing.on('error', (error) => reject(this.#explain(error)));
      outgoing.end(text);
    });
    if (response.statusCode === 200) return response;
    throw await this.#refusal(response);
  }

  async #json<T>(response: IncomingMessage): Promise<T> {
    try {
      return JSON.parse(await readText(response, Number.POSITIVE_INFINITY)) as T;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async #refusal(response: IncomingMessage): Promise<Error> {
    try {
      const { code, message, context } = JSON.parse(await readText(response, ERROR_BODY_LIMIT));
      if (CODES.includes(code)) return new DesignatorError(code, String(message), context ?? {});
    } catch {
      // Not one of our answers: what follows says so.
    }
    return new DesignatorError(
      'TD_INTERNAL',
      `${this.#socket} answered with HTTP ${response.statusCode}: is it a designator?`,
      {
        socket: this.#socket,
        status: response.statusCode,
      },
    );
  }

  /** A system error as a sentence; errors that are ours already stay as they are. */
  #explain(error: unknown): unknown {
    const errno = (error as NodeJS.ErrnoException).code;
    const facts = { socket: this.#socket, errno };
    switch (errno) {
      case 'ENOENT':
      case 'ECONNREFUSED':
      case 'ENOTSOCK':
        return new DesignatorError(
          'TD_NOT_RUNNING',
          `no designator answers on ${this.#socket}; is it running?`,
          facts,
          error,
        );
      case 'EACCES':
      case 'EPERM':
        return new DesignatorError(
          'TD_NO_PERMISSION',
          `no permission for ${this.#socket}: the control socket is for its owner and group`,
          facts,
          error,
        );
      case 'ECONNRESET':
      case 'EPIPE':
        return new DesignatorError(
          'TD_UNAVAILABLE',
          `the designator on ${this.#socket} went away before it had answered`,
          facts,
          error,
        );
      default:
        return error;
    }
  }
}

/** What a stream of `stream` fails with when the designator ended in the middle of it; other errors stay as they are. */
export function brokenOff(error: unknown, what: string): unknown {
  const errno = (error as NodeJS.ErrnoException).code;
  if (errno !== 'ECONNRESET' && errno !== 'ERR_STREAM_PREMATURE_CLOSE') return error;
  return new DesignatorError('TD_UNAVAILABLE', `the designator went away in the middle of ${what}`, {}, error);
}

async function readText(response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
