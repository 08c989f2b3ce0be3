/** What a group that speaks GLBP is told besides what every group is told. */
import { GLBP_KEY_LIMIT, GLBP_TEXT_LIMIT, type GlbpSecret } from '../../wire/glbp.js';
import type { GroupOptions } from '../types.js';

export type GlbpAuthentication = GlbpSecret['kind'];
export const GLBP_AUTHENTICATIONS: readonly GlbpAuthentication[] = ['none', 'text', 'md5', 'md5-chain'];

export interface GlbpTimers {
  /** Seconds between two hellos, 0.05…60. */
  readonly hello: number;
  /** Seconds of silence after which a gateway counts as dead, 0.1…180. */
  readonly hold: number;
}

export interface GlbpOptions extends GroupOptions {
  readonly glbp: GlbpTimers & {
    readonly secret: GlbpSecret;
    /** Take the timers that the active gateway tells for one's own, as its vendor's gateways do. */
    readonly learnTimers: boolean;
    /** Seconds that an owner waits before it takes its virtual MAC back from a deputy. */
    readonly forwarderDelay: number;
  };
}

/** Those of the vendor. */
export const GLBP_DEFAULTS = { hello: 3, hold: 10, learnTimers: true, forwarderDelay: 30 } as const;

/** Null: the key does not fit, too short or too long. `number` is that of the key in its chain. */
export function glbpSecret(kind: GlbpAuthentication, key: Uint8Array, number = 1): GlbpSecret | null {
  if (kind === 'none') return { kind };
  if (key.length === 0 || key.length > (kind === 'text' ? GLBP_TEXT_LIMIT : GLBP_KEY_LIMIT)) return null;
  if (kind === 'text') return { kind, text: key };
  return kind === 'md5' ? { kind, key } : { kind, number, key };
}

/** Timers that another gateway tells, within sensible bounds, or null. */
export function learntTimers(helloMs: number, holdMs: number): GlbpTimers | null {
  const sensible = helloMs >= 50 && helloMs <= 60_000 && holdMs > helloMs && holdMs <= 180_000;
  return sensible ? { hello: helloMs / 1000, hold: holdMs / 1000 } : null;
}
