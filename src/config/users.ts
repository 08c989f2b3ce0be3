/** The file of users: read, checked as a whole, and kept by name. */
import type { AddressWords, ConfigProblem, Prefix } from './compiled.js';
import { seconds, valid } from './endpoint-parts.js';
import { usersSchema } from './lns-schema.js';
import { readFileText } from './file-text.js';
import { configError } from './load.js';
import { isError } from './problem.js';
import { checkShapeOf } from './shape.js';
import { ConfigSource } from './source.js';
import { familyOf, parsePrefix, parseUnicast } from './values.js';

const LENGTH_LIMIT = 256 * 1024 * 1024;

export interface User {
  readonly name: string;
  readonly password: string;
  readonly address: AddressWords | null;
  readonly prefix: Prefix | null;
  readonly pool: string | null;
  readonly pool6: string | null;
  readonly routes: readonly Prefix[];
  /** null: as for everybody; 0 never. */
  readonly idleSeconds: number | null;
  readonly timeoutSeconds: number | null;
  readonly sessions: number | null;
  readonly disabled: boolean;
}

export interface ParsedUsers {
  /** null: there is an error. */
  readonly users: ReadonlyMap<string, User> | null;
  readonly problems: readonly ConfigProblem[];
}

export function parseUsers(file: string, content: string): ParsedUsers {
  const source = new ConfigSource(file, content);
  if (source.data === undefined) return { users: null, problems: source.problems };
  const { input, problems: shape } = checkShapeOf(source, usersSchema);
  const problems = [...source.problems, ...shape];
  const users = new Map<string, User>();
  const addresses = new Map<string, string>();
  for (const [index, user] of (input?.users ?? []).entries()) {
    const path = ['users', index];
    if (users.has(user.name)) problems.push(source.problem('error', [...path, 'name'], `${user.name} is there twice`));
    const address = user.address === undefined ? null : parseUnicast(user.address);
    if (address !== null && ('error' in address || familyOf(address.value) !== 4))
      problems.push(source.problem('error', [...path, 'address'], `${user.address} is no IPv4 address of a host`));
    const other = user.address === undefined ? undefined : addresses.get(user.address);
    if (user.address !== undefined && other !== undefined)
      problems.push(source.problem('error', [...path, 'address'], `${other} has this address already`));
    if (user.address !== undefined) addresses.set(user.address, user.name);
    const optional = (text: string | undefined): number | null => (text === undefined ? null : seconds(text));
    users.set(user.name, {
      name: user.name,
      password: user.password,
      address: address !== null && 'value' in address ? address.value : null,
      prefix: user.prefix === undefined ? null : valid(parsePrefix(user.prefix)),
      pool: user.pool ?? null,
      pool6: user.pool6 ?? null,
      routes: user.routes.map((text) => valid(parsePrefix(text))),
      idleSeconds: optional(user.idle),
      timeoutSeconds: optional(user.timeout),
      sessions: user.sessions ?? null,
      disabled: user.disabled,
    });
  }
  return { users: input === null || problems.some(isError) ? null : users, problems };
}

/** Reads and parses; a file that cannot be read is a problem without a line. */
export function readUsers(file: string): ParsedUsers {
  const content = readFileText(file, file, LENGTH_LIMIT);
  return typeof content === 'string' ? parseUsers(file, content) : { users: null, problems: [content] };
}

/** Errors: TD_CONFIG with all problems in `context.problems`. */
export function loadUsers(file: string): ReadonlyMap<string, User> {
  const { users, problems } = readUsers(file);
  if (users === null) throw configError(file, problems);
  return users;
}
