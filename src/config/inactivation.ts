/**
 * The section `inactivate` of a VIP: which of its servers the present load needs, and what is run when one is powered off
 * or on (document 001: the cluster master "can inactivate one or more tunnel endpoint devices").
 */
import { z } from 'zod';
import type { ConfigProblem } from './compiled.js';
import { parseDuration } from './durations.js';
import { duration } from './schema-parts.js';
import type { Path } from './source.js';

const ARGUMENTS_MAX = 32;
const ARGUMENT_LENGTH_MAX = 1024;

/** All times in seconds. */
export interface CompiledInactivation {
  /** A server is emptied while the others would carry its load below this; 1 is full. */
  readonly below: number;
  /** One is brought back when the load of the serving ones is expected to be above this. */
  readonly above: number;
  readonly minimum: number;
  readonly after: number;
  /** null: tunnels are waited for without end. */
  readonly deadline: number | null;
  readonly boot: number;
  /** Program and arguments; null: nothing is run. */
  readonly off: readonly string[] | null;
  readonly on: readonly string[] | null;
  readonly commandTimeout: number;
}

const argv = z
  .array(z.string().min(1).max(ARGUMENT_LENGTH_MAX))
  .min(1)
  .max(ARGUMENTS_MAX)
  .superRefine((words, context) => {
    if (words[0] !== undefined && !words[0].startsWith('/'))
      context.addIssue({ code: 'custom', message: 'the program must be an absolute path', input: words[0] });
  });

const share = z.number({ error: 'it must be a number: write 0.5' }).min(0).max(1);

export const inactivationSchema = z
  .strictObject({
    below: share
      .default(0.4)
      .describe('A server is emptied when the others would carry its load and stay below this mean load; 1 is full.'),
    above: share
      .default(0.7)
      .describe('A server is brought back when the mean load of those that serve is expected to be above this.'),
    minimum: z.int().min(1).max(1024).default(1).describe('So many servers at least stay in service.'),
    after: duration(0.2, 86_400)
      .default('10m')
      .describe('The load must allow it for so long before a server is emptied.'),
    deadline: duration(1, 7 * 86_400)
      .optional()
      .describe('Tunnels that are left on a server so long after it is emptied are closed; waited for when absent.'),
    boot: duration(0.2, 3600)
      .default('3m')
      .describe(
        'Time from the command `on` until a server takes tunnels: the load is foreseen for so long, and a server of which nothing is heard after it has failed to come.',
      ),
    command: z
      .strictObject({
        off: argv.optional().describe('Program and arguments that power a server off when it is empty.'),
        on: argv.optional().describe('Program and arguments that power it on.'),
        timeout: duration(0.2, 600).default('30s').describe('A command that runs longer is ended and has failed.'),
      })
      .optional()
      .describe(
        'What is run, with no shell; DESIGNATOR_ACTION, DESIGNATOR_SERVER, DESIGNATOR_ADDRESS and DESIGNATOR_VIP are in its environment.',
      ),
  })
  .optional()
  .describe(
    'Servers that the present load does not need are emptied and inactivated, and brought back ahead of need; none is when absent.',
  );

type Input = z.output<typeof inactivationSchema>;

/** The schema has passed, so that every duration is one. */
export function compileInactivation(input: Input): CompiledInactivation | null {
  if (input === undefined) return null;
  const seconds = (text: string): number => parseDuration(text) ?? 0;
  const { command } = input;
  return {
    below: input.below,
    above: input.above,
    minimum: input.minimum,
    after: seconds(input.after),
    deadline: input.deadline === undefined ? null : seconds(input.deadline),
    boot: seconds(input.boot),
    off: command?.off ?? null,
    on: command?.on ?? null,
    commandTimeout: seconds(command?.timeout ?? '30s'),
  };
}

type Say = (severity: ConfigProblem['severity'], path: Path, message: string) => void;

/** What one value alone cannot tell. `data` is the file as it is written. */
export function checkInactivation(data: unknown, say: Say): void {
  // Other members, and servers themselves, tell it over the cluster's bus.
  const listens = at(data, 'loadStatus', 'listen') !== undefined || at(data, 'cluster') !== undefined;
  const vips = at(data, 'vips');
  (Array.isArray(vips) ? vips : []).forEach((vip: unknown, v) => {
    const section = at(vip, 'inactivate');
    if (!isRecord(section)) return;
    const path: Path = ['vips', v, 'inactivate'];
    const number = (key: string, otherwise: number): number => {
      const value = section[key] ?? otherwise;
      return typeof value === 'number' ? value : otherwise;
    };
    if (number('below', 0.4) >= number('above', 0.7))
      say('error', [...path, 'below'], 'it must be lower than above, or servers would go and come for ever');
    const servers = at(vip, 'servers');
    const list: unknown[] = Array.isArray(servers) ? servers : [];
    if (list.length > 0 && number('minimum', 1) >= list.length)
      say('warning', [...path, 'minimum'], `no server is ever inactivated: the VIP has ${list.length}`);
    const limits = list.every((server) => at(server, 'loadStatus', 'tunnels') !== undefined);
    if (!listens && !limits)
      say(
        'error',
        path,
        'no load would be known: it needs loadStatus.listen or cluster, or loadStatus.tunnels (how many tunnels fill it) at every server',
      );
    const reply = at(vip, 'reply');
    const oneWay = reply === 'direct' || (reply === 'nat' && at(data, 'part') === 'master');
    if (oneWay && !listens)
      say(
        'error',
        path,
        'answers do not cross this machine, so the servers’ loads must come by loadStatus.listen or cluster',
      );
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function at(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), value);
}
