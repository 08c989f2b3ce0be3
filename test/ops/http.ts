/** Small helpers of the ops and cli tests: a control API over a real socket, and requests to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Appliance } from '../../src/ops/appliance.js';
import { type ControlApi, startControlApi } from '../../src/ops/control-api.js';
import { createLogger } from '../../src/ops/log.js';

export interface Running extends AsyncDisposable {
  readonly api: ControlApi;
  readonly directory: string;
  readonly socket: string;
  readonly log: () => Record<string, unknown>[];
}

export async function startApi(
  appliance: Appliance,
  options: { http?: boolean; socket?: string } = {},
): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'td-ops-'));
  const socket = options.socket ?? join(directory, 'run', 'control.sock');
  const sink = new PassThrough();
  let text = '';
  sink.on('data', (chunk) => (text += chunk));
  const api = await startControlApi({
    appliance,
    socket,
    http: options.http === true ? { host: '127.0.0.1', port: 0 } : null,
    logger: createLogger('debug', sink),
    version: '1.2.3',
    nodeVersion: '20.0.0',
  });
  return {
    api,
    directory,
    socket,
    log: () =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    async [Symbol.asyncDispose]() {
      await api.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
  readonly json: () => any;
}

export function open(
  target: { socket: string } | { port: number },
  method: string,
  path: string,
  body?: unknown,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const outgoing = request(
      {
        ...('socket' in target ? { socketPath: target.socket } : { host: '127.0.0.1', port: target.port }),
        method,
        path,
        agent: false,
        headers:
          text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      },
      resolve,
    );
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

export async function ask(
  target: { socket: string } | { port: number },
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await open(target, method, path, body);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const whole = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    body: whole,
    json: () => JSON.parse(whole.toString()),
  };
}
