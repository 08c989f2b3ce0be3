/** Why sessions end and subscribers are refused: the engines' words in the LNS's. */
import type { PppEnd } from '../../protocol/ppp/events.js';
import type { Verdict } from './grant.js';
import type { EndReason } from './subscriber.js';

/** null: it is no refusal. */
export function reasonOf(verdict: Verdict): string | null {
  return verdict.kind === 'refuse' ? verdict.reason : verdict.kind === 'unknown' ? 'unknown-user' : null;
}

/** What an end of a link means for its session; absent: the subscriber's wish, or a fault here. */
export const END_REASONS: Partial<Record<PppEnd['reason'], EndReason>> = {
  'authentication-refused': 'authentication',
  'authentication-failed': 'authentication',
  'authentication-timeout': 'authentication',
  'echo-lost': 'lost-link',
  'no-answer': 'lost-link',
  'no-agreement': 'no-agreement',
  'no-network': 'no-agreement',
};
