/**
 * The `takeOver` section of an LNS: what it does to the network when it has a dead peer's tunnels. The role puts
 * `takeOverSchema` into its own schema and compiles the result with `compileTakeOver`.
 */
import { z } from 'zod';
import type { AddressWords, Secret } from './compiled.js';
import { parseDuration } from './durations.js';
import { name, secretFile } from './schema.js';
import { duration, listOf, text } from './schema-parts.js';
import { familyOf, type Parsed, parseListen, parseUnicast } from './values.js';

const DEVICE_LIMIT = 15;
const METRIC_MAX = 2 ** 31 - 1;

/** `192.0.2.11/24`; the length of the whole address when it is left out. */
export function parseOwnAddress(written: string): Parsed<{ words: AddressWords; length: number }> {
  const [address, bits, rest] = written.split('/');
  const parsed = parseUnicast(address);
  if ('error' in parsed) return parsed;
  const most = familyOf(parsed.value) === 4 ? 32 : 128;
  if (bits === undefined) return { value: { words: parsed.value, length: most } };
  const length = /^\d{1,3}$/.test(bits) && rest === undefined ? Number(bits) : -1;
  if (length < 1 || length > most)
    return { error: `${JSON.stringify(written)}: the length of a network is 1 to ${most}` };
  return { value: { words: parsed.value, length } };
}

const device = z.string().min(1).max(DEVICE_LIMIT);

const subscribersSchema = z
  .strictObject({
    interface: device
      .optional()
      .describe(
        'Interface towards the network where subscribers’ addresses are announced, and where the kernel answers ARP and neighbour solicitations for them from then on. None when absent.',
      ),
    route: device
      .optional()
      .describe(
        'Interface that a route for each subscriber is made to, for a routing daemon to tell others. None when absent.',
      ),
    metric: z.int().min(0).max(METRIC_MAX).default(0).describe('Metric of these routes; 0 is the kernel’s own.'),
    hook: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        'Program and arguments, no shell, run with `attract` or `release` and up to 256 addresses behind them. It must end by itself.',
      ),
    hookTimeout: duration(0.1, 600).default('10s').describe('A hook that takes longer is ended.'),
  })
  .describe('How the addresses of subscribers that were taken over find their way here.');

export const takeOverSchema = z
  .strictObject({
    designators: listOf(text(parseListen))
      .optional()
      .describe('Address and port of `takeOver.listen` of each designator in front; none when absent.'),
    names: z
      .array(
        z.strictObject({
          name: name.describe('Name of this server in the designator’s configuration.'),
          peer: name.describe('Name of its peer there, of the same VIP.'),
        }),
      )
      .min(1)
      .optional()
      .describe('Who is who in the designators’ configuration: one entry for each VIP that this server is behind.'),
    secret: z.string().min(16).max(256).optional().describe('Secret of the take-over messages, 16 to 256 characters.'),
    secretFile,
    repeat: duration(0.05, 10)
      .default('200ms')
      .describe('Time between two messages to a designator that has not answered.'),
    giveUp: duration(0.5, 600).default('10s').describe('After this a designator without an answer is no longer asked.'),
    addresses: z
      .array(
        z.strictObject({
          address: text(parseOwnAddress).describe(
            'Address of the peer that is taken over, with the length of its network.',
          ),
          interface: device.describe('Interface that gets it.'),
        }),
      )
      .default([])
      .describe('Addresses that this server takes when its peer is dead, where no designator is in front.'),
    announceEvery: duration(0.5, 3600)
      .default('10s')
      .describe('Addresses that were taken over are announced again so often, for those who heard the dead one last.'),
    subscribers: subscribersSchema.prefault({}),
  })
  .describe('What becomes of the network when this server takes over its peer’s tunnels.');

export interface CompiledTakeOver {
  readonly designators: readonly { readonly host: string; readonly port: number }[];
  readonly names: readonly { readonly name: string; readonly peer: string }[];
  readonly secret: Secret | null;
  /** Seconds, as all times here. */
  readonly repeat: number;
  readonly giveUp: number;
  readonly addresses: readonly { readonly words: AddressWords; readonly length: number; readonly device: string }[];
  readonly announceEvery: number;
  readonly subscribers: {
    readonly device: string | null;
    readonly route: string | null;
    readonly metric: number;
    readonly hook: readonly string[] | null;
    readonly hookTimeout: number;
  };
}

export type TakeOverInput = z.output<typeof takeOverSchema>;

/** What the schema alone cannot see: sentences with the key, below the section, that each is about. */
export function checkTakeOver(input: TakeOverInput): { readonly key: keyof TakeOverInput; readonly message: string }[] {
  const problems: { key: keyof TakeOverInput; message: string }[] = [];
  const hasSecret = input.secret !== undefined || input.secretFile !== undefined;
  if (input.secret !== undefined && input.secretFile !== undefined)
    problems.push({ key: 'secretFile', message: 'either secret or secretFile, not both' });
  if (input.designators !== undefined && !hasSecret)
    problems.push({ key: 'designators', message: 'take-over messages are authenticated: write secret or secretFile' });
  if (input.designators !== undefined && input.names === undefined)
    problems.push({ key: 'designators', message: 'names says who this server and its peer are there' });
  return problems;
}

/** `input` has passed the schema and `checkTakeOver`. */
export function compileTakeOver(input: TakeOverInput): CompiledTakeOver {
  const { subscribers } = input;
  const list = input.designators === undefined ? [] : [input.designators].flat();
  return {
    designators: list.map((written) => valid(parseListen(written))),
    names: input.names ?? [],
    secret:
      input.secret !== undefined
        ? { text: input.secret }
        : input.secretFile !== undefined
          ? { file: input.secretFile }
          : null,
    repeat: parseDuration(input.repeat) ?? 0,
    giveUp: parseDuration(input.giveUp) ?? 0,
    addresses: input.addresses.map((item) => ({ ...valid(parseOwnAddress(item.address)), device: item.interface })),
    announceEvery: parseDuration(input.announceEvery) ?? 0,
    subscribers: {
      device: subscribers.interface ?? null,
      route: subscribers.route ?? null,
      metric: subscribers.metric,
      hook: subscribers.hook ?? null,
      hookTimeout: parseDuration(subscribers.hookTimeout) ?? 0,
    },
  };
}

function valid<T>(result: Parsed<T>): T {
  if ('error' in result) throw new TypeError(`a value has passed the schema: ${result.error}`);
  return result.value;
}
