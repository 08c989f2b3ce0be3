/** Sections that the configurations of an LNS and a LAC have in common. */
import { z } from 'zod';
import type { Secret } from './compiled.js';
import { parseDuration } from './durations.js';
import { duration, section, text } from './schema-parts.js';
import { type Parsed, parseHost, parseListen, parsePath, parseSocketPath } from './values.js';

export const WORKERS_MAX = 64;
export const DEFAULT_L2TP_PORT = 1701;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface ControlConfig {
  readonly socket: string;
  readonly http: Endpoint | null;
}

/** How a control connection is kept, RFC 2661 §5.5 and §5.8. Seconds and counts. */
export interface TunnelTimers {
  readonly hello: number;
  readonly firstWait: number;
  readonly longestWait: number;
  readonly tries: number;
  readonly window: number;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** `control:`; the socket's default differs, so that roles can live on one machine. */
export function controlSection(socket: string) {
  return section({
    socket: text(parseSocketPath).default(socket).describe('Unix socket that the commands use. Fixed until a restart.'),
    http: text(parseListen)
      .optional()
      .describe(
        'Address and port of metrics and health, which change nothing; none when absent. Fixed until a restart.',
      ),
  }).describe('How the running process is reached.');
}

export const logSection = section({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('Least important level to log.'),
}).describe('Logging, as JSON lines on standard output.');

export const workersKey = z
  .union([z.literal('auto'), z.int().min(1).max(WORKERS_MAX)])
  .default('auto')
  .describe(`Threads that forward: 1 to ${WORKERS_MAX}, auto = available cores. Fixed until a restart.`);

/** The keys of a control connection's timers, to be spread into a section. */
export const tunnelTimerKeys = {
  hello: duration(0, 3600)
    .default('60s')
    .describe('A Hello is sent when nothing was heard of the other end for so long; 0s never (RFC 2661 §5.5).'),
  firstWait: duration(0.05, 8)
    .default('1s')
    .describe('An unacknowledged control message is repeated after this, then after twice as long, and so on.'),
  longestWait: duration(0.05, 60).default('8s').describe('The longest such wait.'),
  tries: z
    .int()
    .min(1)
    .max(100)
    .default(8)
    .describe('The tunnel is given up when a message was sent so often without an answer.'),
  window: z
    .int()
    .min(1)
    .max(1024)
    .default(16)
    .describe('Control messages that the other end may send unacknowledged (RFC 2661 §5.8).'),
} as const;

/** A shared secret of tunnels, as text. */
export const tunnelSecret = z
  .string()
  .min(1)
  .max(255)
  .optional()
  .describe('Secret that both ends share: authenticates them and hides attributes (RFC 2661 §5.1.1, §4.3).');
export const tunnelSecretFile = text(parsePath)
  .optional()
  .describe('File that holds the secret instead; white space at its end is ignored.');

/** An address to listen on, with or without a port. */
export const listenText = text((written) => parseListenAddress(written));

/** `192.0.2.1`, `192.0.2.1:1701`, `2001:db8::1`, `[2001:db8::1]:1701`. */
export function parseListenAddress(written: string, port = DEFAULT_L2TP_PORT): Parsed<Endpoint> {
  const alone = parseHost(written);
  if ('value' in alone) return { value: { host: alone.value, port } };
  return parseListen(written);
}

export function compileControl(input: { readonly socket: string; readonly http?: string | undefined }): ControlConfig {
  return { socket: input.socket, http: input.http === undefined ? null : valid(parseListen(input.http)) };
}

export function compileTimers(input: {
  readonly hello: string;
  readonly firstWait: string;
  readonly longestWait: string;
  readonly tries: number;
  readonly window: number;
}): TunnelTimers {
  return {
    hello: seconds(input.hello),
    firstWait: seconds(input.firstWait),
    longestWait: seconds(input.longestWait),
    tries: input.tries,
    window: input.window,
  };
}

/** null: there is none. */
export function compileSecret(input: {
  readonly secret?: string | undefined;
  readonly secretFile?: string | undefined;
}): Secret | null {
  if (input.secret !== undefined) return { text: input.secret };
  return input.secretFile === undefined ? null : { file: input.secretFile };
}

/** Seconds of a text that the schema has accepted. */
export function seconds(written: string): number {
  return parseDuration(written) as number;
}

/** The value of a text that the schema has accepted. */
export function valid<T>(result: Parsed<T>): T {
  if ('error' in result) throw new TypeError(`a value has passed the schema: ${result.error}`);
  return result.value;
}
