/**
 * What a member of a cluster tells of itself in its status messages: a JSON object in STATUS_TEXT_LIMIT bytes. Whatever of
 * it cannot be read is taken for unknown, so that members of different versions see one another.
 */
import { STATUS_TEXT_LIMIT } from './cluster-status.js';

export const MEMBER_ROLES = ['designator', 'lns', 'agent'] as const;
export const MEMBER_PARTS = ['all', 'master', 'nat'] as const;
export const MEMBER_STATES = ['starting', 'ready', 'unable', 'ending'] as const;

export interface MemberText {
  readonly name: string | null;
  readonly role: (typeof MEMBER_ROLES)[number] | null;
  /** Of a designator. */
  readonly part: (typeof MEMBER_PARTS)[number] | null;
  /** `unable`: it runs and cannot forward; `reason` says why. */
  readonly state: (typeof MEMBER_STATES)[number] | null;
  readonly reason: string | null;
  readonly version: string | null;
  readonly address: string | null;
  readonly tunnels: number | null;
  readonly sessions: number | null;
  readonly shards: number | null;
  /** Servers that take tunnels. */
  readonly serversUp: number | null;
}

export const UNKNOWN_MEMBER: MemberText = {
  name: null,
  role: null,
  part: null,
  state: null,
  reason: null,
  version: null,
  address: null,
  tunnels: null,
  sessions: null,
  shards: null,
  serversUp: null,
};

const TEXTS = { name: 63, version: 32, address: 64, reason: 160 } as const;
const COUNTS = ['tunnels', 'sessions', 'shards', 'serversUp'] as const;
const encoder = new TextEncoder();

/** At most STATUS_TEXT_LIMIT bytes: if it does not fit, all that is for people alone is left out. */
export function emitMemberText(member: MemberText): Uint8Array {
  const told = Object.fromEntries(
    Object.entries(member).map(([key, value]) => [
      key,
      typeof value === 'string' && key in TEXTS ? value.slice(0, TEXTS[key as keyof typeof TEXTS]) : value,
    ]),
  );
  const bytes = encoder.encode(JSON.stringify(told));
  if (bytes.length <= STATUS_TEXT_LIMIT) return bytes;
  return encoder
    .encode(JSON.stringify({ ...told, reason: null, name: null, address: null }))
    .subarray(0, STATUS_TEXT_LIMIT);
}

/** Any bytes. */
export function readMemberText(bytes: Uint8Array): MemberText {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return UNKNOWN_MEMBER;
  }
  if (typeof value !== 'object' || value === null) return UNKNOWN_MEMBER;
  const told = value as Readonly<Record<string, unknown>>;
  const text = (key: keyof typeof TEXTS): string | null => {
    const found = told[key];
    return typeof found === 'string' && found.length <= TEXTS[key] && !hasControls(found) ? found : null;
  };
  const word = <Word extends string>(key: string, words: readonly Word[]): Word | null =>
    words.find((known) => known === told[key]) ?? null;
  const count = (key: (typeof COUNTS)[number]): number | null => {
    const found = told[key];
    return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : null;
  };
  return {
    name: text('name'),
    role: word('role', MEMBER_ROLES),
    part: word('part', MEMBER_PARTS),
    state: word('state', MEMBER_STATES),
    reason: text('reason'),
    version: text('version'),
    address: text('address'),
    tunnels: count('tunnels'),
    sessions: count('sessions'),
    shards: count('shards'),
    serversUp: count('serversUp'),
  };
}

/** It is shown on terminals. */
function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
