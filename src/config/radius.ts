/** The `radius` section of `designator lns` and `designator lac`. */
import { z } from 'zod';
import type { AddressWords, ConfigProblem, Secret } from './compiled.js';
import { parseDuration } from './durations.js';
import { COUNT_MAX, duration, text } from './schema-parts.js';
import type { ConfigSource } from './source.js';
import { parseAddressOnly, parseListen, parseName, parsePath, parsePrefix } from './values.js';

/** RADIUS secrets are what the server has: many are short. */
export const RADIUS_SECRET_LENGTH = { min: 1, max: 256 } as const;
const port = z.int().min(1).max(65_535);
const radiusSecret = z
  .string()
  .min(RADIUS_SECRET_LENGTH.min)
  .max(RADIUS_SECRET_LENGTH.max)
  .optional()
  .describe('Secret shared with the server.');
const radiusSecretFile = text(parsePath).optional().describe('File that holds the secret instead.');

const serverSchema = z.strictObject({
  name: text(parseName).optional().describe('For logs and metrics; its address when absent.'),
  address: text(parseAddressOnly).describe('Address of the server.'),
  secret: radiusSecret,
  secretFile: radiusSecretFile,
  use: z
    .enum(['both', 'authentication', 'accounting'])
    .default('both')
    .describe('What the server is asked: who a user is, told what users do, or both.'),
  authenticationPort: port.default(1812).describe('UDP port for access requests.'),
  accountingPort: port.default(1813).describe('UDP port for accounting.'),
});

export const radiusSchema = z
  .strictObject({
    servers: z
      .array(serverSchema)
      .min(1)
      .max(16)
      .describe('In order of preference; the next one is asked when one does not answer.'),
    timeout: duration(0.1, 30).default('1s').describe('Until the first repetition; doubled each time, at most 4 s.'),
    tries: z.int().min(1).max(10).default(3).describe('How often a request is sent to one server.'),
    deadTime: duration(1, 3600).default('30s').describe('How long a server that does not answer is left out.'),
    source: text(parseAddressOnly).optional().describe('Our address towards the servers; the route’s when absent.'),
    nasIdentifier: z.string().min(1).max(253).optional().describe('NAS-Identifier; the host name when absent.'),
    nasAddress: text(parseAddressOnly).optional().describe('NAS-IP-Address or NAS-IPv6-Address.'),
    messageAuthenticator: z
      .enum(['auto', 'require', 'ignore'])
      .default('auto')
      .describe('Answers without Message-Authenticator: auto refuses them once the server has sent one.'),
    interim: duration(60, 86_400)
      .optional()
      .describe('Time between interim accounting records, where the server says nothing else; none when absent.'),
    recordLifetime: duration(1, 7 * 86_400)
      .default('1h')
      .describe('How long an accounting record is tried.'),
    recordLimit: z.int().min(1).max(COUNT_MAX).default(50_000).describe('Accounting records that may wait.'),
    dynamic: z
      .strictObject({
        listen: text(parseListen).describe('Address and port that Disconnect-Requests come to (port 3799).'),
        clients: z
          .array(
            z.strictObject({
              from: text(parsePrefix).describe('Address or prefix of who may ask.'),
              secret: radiusSecret,
              secretFile: radiusSecretFile,
            }),
          )
          .min(1)
          .describe('Who may end or change sessions.'),
      })
      .optional()
      .describe('Disconnect-Messages and changes of authorization (RFC 5176).'),
  })
  .describe('RADIUS servers that know the users.');

export interface RadiusServerSettings {
  readonly name: string;
  readonly address: string;
  readonly secret: Secret;
  /** null: not asked for that. */
  readonly authenticationPort: number | null;
  readonly accountingPort: number | null;
}

export interface RadiusDynamicSettings {
  readonly host: string;
  readonly port: number;
  readonly clients: readonly { readonly words: AddressWords; readonly length: number; readonly secret: Secret }[];
}

/** Times in seconds. */
export interface RadiusSettings {
  readonly servers: readonly RadiusServerSettings[];
  readonly timeout: number;
  readonly tries: number;
  readonly deadTime: number;
  readonly source: string | null;
  readonly nasIdentifier: string | null;
  readonly nasAddress: AddressWords | null;
  readonly messageAuthenticator: 'auto' | 'require' | 'ignore';
  readonly interim: number | null;
  readonly recordLifetime: number;
  readonly recordLimit: number;
  readonly dynamic: RadiusDynamicSettings | null;
}

export type RadiusInput = z.output<typeof radiusSchema>;
type WithSecret = { readonly secret?: string; readonly secretFile?: string };

/** What the schema cannot say. `path` leads to the section. */
export function radiusProblems(
  source: ConfigSource,
  input: RadiusInput,
  path: readonly (string | number)[] = ['radius'],
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const say = (where: readonly (string | number)[], message: string): void => {
    problems.push(source.problem('error', [...path, ...where], message));
  };
  const checkSecret = ({ secret, secretFile }: WithSecret, where: readonly (string | number)[]): void => {
    if ((secret === undefined) === (secretFile === undefined))
      say([...where, 'secret'], 'write either secret or secretFile');
  };
  const seen = new Set<string>();
  input.servers.forEach((server, index) => {
    checkSecret(server, ['servers', index]);
    for (const place of placesOf(server)) {
      if (seen.has(place)) say(['servers', index, 'address'], `${place} stands here twice`);
      seen.add(place);
    }
  });
  input.dynamic?.clients.forEach((client, index) => {
    checkSecret(client, ['dynamic', 'clients', index]);
  });
  return problems;
}

function placesOf({ address, use, authenticationPort, accountingPort }: RadiusInput['servers'][number]): string[] {
  const places: string[] = [];
  if (use !== 'accounting') places.push(`${address} port ${authenticationPort}`);
  if (use !== 'authentication') places.push(`${address} port ${accountingPort}`);
  return places;
}

/** Of input without problems. */
export function compileRadius(input: RadiusInput): RadiusSettings {
  const seconds = (written: string): number => parseDuration(written) as number;
  return {
    servers: input.servers.map((server) => ({
      name: server.name ?? server.address,
      address: server.address,
      secret: secretOf(server),
      authenticationPort: server.use === 'accounting' ? null : server.authenticationPort,
      accountingPort: server.use === 'authentication' ? null : server.accountingPort,
    })),
    timeout: seconds(input.timeout),
    tries: input.tries,
    deadTime: seconds(input.deadTime),
    source: input.source ?? null,
    nasIdentifier: input.nasIdentifier ?? null,
    nasAddress: input.nasAddress === undefined ? null : valid(parseAddressOnly(input.nasAddress)),
    messageAuthenticator: input.messageAuthenticator,
    interim: input.interim === undefined ? null : seconds(input.interim),
    recordLifetime: seconds(input.recordLifetime),
    recordLimit: input.recordLimit,
    dynamic: input.dynamic === undefined ? null : compileDynamic(input.dynamic),
  };
}

function compileDynamic({ listen, clients }: NonNullable<RadiusInput['dynamic']>): RadiusDynamicSettings {
  return {
    ...valid(parseListen(listen)),
    clients: clients.map((client) => {
      const { words, length } = valid(parsePrefix(client.from));
      return { words, length, secret: secretOf(client) };
    }),
  };
}

const secretOf = ({ secret, secretFile }: WithSecret): Secret =>
  secret === undefined ? { file: secretFile as string } : { text: secret };

function valid<T>(result: { readonly value: T } | { readonly error: string }): T {
  if ('error' in result) throw new TypeError(`a value has passed the schema: ${result.error}`);
  return result.value;
}
