/** What all shards share of the policy: words of one SharedArrayBuffer, 0 at the start; rates are flow/shared-rate.ts's. */
import { RULE_SLOTS } from './counters.js';

export const POLICY_WORD = {
  total: 0, // requests admitted
  offered: 1, // requests that came
  busyUntil: 2, // seconds of CLOCK_MONOTONIC: until then strangers have to ask twice
  rules: 16, // one word a rule's slot
} as const;

export function newPolicyWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer((POLICY_WORD.rules + RULE_SLOTS) * 4));
}
