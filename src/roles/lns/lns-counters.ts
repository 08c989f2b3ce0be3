/** What the LNS counts besides the data path and the engines. */
import type { EndReason } from './subscriber.js';

/** Why a call was not taken or a subscriber not let in; name = metric label, sentence = documentation. */
export const REFUSALS = [
  ['overload', 'a call or tunnel refused because a threshold of refuseAbove is exceeded'],
  ['sessions-full', 'a call refused because sessions.limit is reached'],
  ['table', 'a call refused because its ids or addresses are in the session table already'],
  ['outgoing-call', 'an outgoing call asked for by a peer: this LNS dials for nobody'],
  ['authentication', 'a subscriber that could not prove who it is, is unknown, or has too many sessions'],
  ['no-address', 'a subscriber for whom no address was free'],
  ['address-in-use', 'a subscriber whose address or route another session has'],
] as const;

export type Refusal = (typeof REFUSALS)[number][0];

export class LnsCounters {
  calls = 0;
  established = 0;
  /** Links that began with what a LAC had negotiated. */
  proxied = 0;
  /** PPP frames of no session, or too many before its call was connected. */
  strayFrames = 0;
  readonly refusals = new Map<Refusal, number>(REFUSALS.map(([name]) => [name, 0]));
  readonly ends = new Map<EndReason, number>();

  refuse(reason: Refusal): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
  }
}
