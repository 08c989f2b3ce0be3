/**
 * The `offload` section of an LNS: its peer, what is told to it, and when this LNS hands its load over. The role puts
 * `offloadSchema` into its own schema and compiles the result with `compileOffload`.
 */
import { z } from 'zod';
import type { Secret } from './compiled.js';
import {
  compileSecret,
  type Endpoint,
  listenText,
  parseListenAddress,
  seconds,
  tunnelSecret,
  tunnelSecretFile,
  valid,
} from './endpoint-parts.js';
import { COUNT_MAX, duration, section } from './schema-parts.js';

const percent = z.int().min(1).max(100);
const VENDOR_MAX = 0xffff;
const TUNNELS_MAX = 65_535;
const SESSIONS_MAX = 1_000_000;
const MEBIBYTE = 1024 * 1024;

const countMarks = (what: string) =>
  z
    .strictObject({
      above: z.int().min(1).max(COUNT_MAX).describe(`Begins with more ${what} than this.`),
      below: z
        .int()
        .min(0)
        .max(COUNT_MAX)
        .optional()
        .describe('Ends at this or fewer; nine tenths of the other when absent.'),
    })
    .optional();

const shareMarks = (what: string) =>
  z
    .strictObject({
      above: percent.describe(`Begins with more percent of ${what} than this.`),
      below: percent.optional().describe('Ends at this or less; nine tenths of the other when absent.'),
    })
    .optional();

export const offloadSchema = z
  .strictObject({
    peer: listenText.describe('Address, and port if it is not 1701, of the peer LNS, for the tunnel between the two.'),
    announce: listenText
      .optional()
      .describe('Where LACs reach the peer, if that is another address than `peer` (document 002, FIG. 4).'),
    relay: z
      .boolean()
      .default(false)
      .describe('The two do not reach each other: our own LACs pass their messages on, as far as they have both.'),
    secret: tunnelSecret,
    secretFile: tunnelSecretFile,
    vendor: z
      .int()
      .min(1)
      .max(VENDOR_MAX)
      .default(32_473)
      .describe('Vendor id of the messages and AVPs of state offload; the same at both LNSs and their LACs.'),
    deadAfter: duration(0.5, 60)
      .default('2s')
      .describe('The peer is taken for dead when it has left control messages unacknowledged for so long.'),
    refresh: duration(0.5, 3600)
      .default('10s')
      .describe('Counters and whatever else changes without a message are told again so often.'),
    keep: duration(1, 3600)
      .default('2m')
      .describe('So long a dead peer’s state waits for LACs that bring their tunnels.'),
    waitForLac: duration(0, 60)
      .default('5s')
      .describe(
        'Tunnels of LACs that can move them by themselves are taken over at the network only after so long, the others at once.',
      ),
    foreign: z
      .enum(['take', 'leave'])
      .default('take')
      .describe(
        'What becomes of a dead peer’s tunnels to LACs that cannot move them: taken unchanged (see takeOver), or left.',
      ),
    limits: section({
      tunnels: z.int().min(1).max(TUNNELS_MAX).default(8192).describe('Tunnels of the peer whose state is kept.'),
      sessions: z.int().min(1).max(SESSIONS_MAX).default(131_072).describe('Sessions of the peer whose state is kept.'),
      memory: z.int().min(1).max(65_536).default(256).describe('Mebibytes of states that are kept.'),
    }).describe('What this LNS keeps for its peer; more is denied.'),
    overload: section({
      sessions: countMarks('sessions').describe('Sessions.'),
      tunnels: countMarks('tunnels').describe('Tunnels.'),
      memory: shareMarks('memory').describe('Memory in use.'),
      cpu: shareMarks('processor time').describe('Processor time.'),
      hold: duration(0, 600).default('3s').describe('A threshold must be exceeded for so long.'),
      again: duration(1, 86_400).default('30s').describe('Time between two requests while the load stays.'),
      type: z
        .enum(['all', 'new', 'some'])
        .default('some')
        .describe(
          'What LACs are asked to move: whole tunnels, new calls only, or as many sessions as are too many (STPLRQ).',
        ),
    }).describe('When this LNS is heavily loaded and asks its LACs to go to the peer.'),
  })
  .describe('State offload to a peer LNS, and switchover (document 002).');

export type OffloadInput = z.output<typeof offloadSchema>;

export interface CompiledMarks {
  readonly above: number;
  readonly below?: number;
}

export interface CompiledOffload {
  readonly peer: Endpoint;
  readonly announce: Endpoint;
  readonly relay: boolean;
  readonly secret: Secret | null;
  readonly vendor: number;
  readonly deadAfter: number;
  readonly refresh: number;
  readonly keep: number;
  readonly waitForLac: number;
  readonly takeForeign: boolean;
  readonly limits: { readonly tunnels: number; readonly sessions: number; readonly bytes: number };
  readonly overload: {
    /** Counts; shares of 0 … 1. */
    readonly marks: Partial<Record<'sessions' | 'tunnels' | 'memory' | 'cpu', CompiledMarks>>;
    readonly hold: number;
    readonly again: number;
    readonly type: 'all' | 'new' | 'some';
  };
}

/** What the schema alone cannot see: sentences with the key, below the section, that each is about. */
export function checkOffload(input: OffloadInput): { readonly key: keyof OffloadInput; readonly message: string }[] {
  const problems: { key: keyof OffloadInput; message: string }[] = [];
  if (input.secret !== undefined && input.secretFile !== undefined)
    problems.push({ key: 'secretFile', message: 'either secret or secretFile, not both' });
  for (const name of ['sessions', 'tunnels', 'memory', 'cpu'] as const) {
    const marks = input.overload[name];
    if (marks?.below !== undefined && marks.below > marks.above)
      problems.push({ key: 'overload', message: `${name}: below is more than above, it would never end` });
  }
  return problems;
}

/** `input` has passed the schema and `checkOffload`. */
export function compileOffload(input: OffloadInput): CompiledOffload {
  const { limits, overload } = input;
  const peer = valid(parseListenAddress(input.peer));
  const marks: CompiledOffload['overload']['marks'] = {};
  for (const name of ['sessions', 'tunnels', 'memory', 'cpu'] as const) {
    const written = overload[name];
    if (written === undefined) continue;
    const unit = name === 'memory' || name === 'cpu' ? 100 : 1;
    marks[name] = {
      above: written.above / unit,
      ...(written.below === undefined ? {} : { below: written.below / unit }),
    };
  }
  return {
    peer,
    announce: input.announce === undefined ? peer : valid(parseListenAddress(input.announce)),
    relay: input.relay,
    secret: compileSecret(input),
    vendor: input.vendor,
    deadAfter: seconds(input.deadAfter),
    refresh: seconds(input.refresh),
    keep: seconds(input.keep),
    waitForLac: seconds(input.waitForLac),
    takeForeign: input.foreign === 'take',
    limits: { tunnels: limits.tunnels, sessions: limits.sessions, bytes: limits.memory * MEBIBYTE },
    overload: {
      marks,
      hold: seconds(overload.hold),
      again: seconds(overload.again),
      type: overload.type,
    },
  };
}
