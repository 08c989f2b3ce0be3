/** What RADIUS servers ask of sessions that are there (RFC 5176): end them, or change their time-outs. */
import type { DynamicRequest, SessionMatch } from '../../protocol/radius/dynamic.js';
import { formatWords } from '../../wire/address.js';
import type { ErrorCause } from '../../wire/radius-attributes.js';
import type { Lns } from './lns.js';
import type { Subscriber } from './subscriber.js';

/** Does it to all sessions that fit. */
export function obey(lns: Lns, { kind, match, sessionTimeout, idleTimeout }: DynamicRequest): 'done' | ErrorCause {
  if (kind === 'change' && sessionTimeout === null && idleTimeout === null) return 'unsupportedAttribute';
  const chosen = [...lns.subscribers.all()].filter((subscriber) => fits(subscriber, match));
  if (chosen.length === 0) return 'sessionNotFound';
  const now = lns.now();
  for (const subscriber of chosen) {
    if (kind === 'disconnect') {
      lns.subscribers.end(subscriber, 'operator', now);
      continue;
    }
    // Session-Timeout counts from the beginning of the session (RFC 2865 §5.27).
    if (sessionTimeout !== null) subscriber.timeoutAt = Math.max(now, subscriber.since + sessionTimeout);
    if (idleTimeout !== null) subscriber.idleSeconds = idleTimeout;
    const { session } = subscriber;
    lns.offload?.changed(session.tunnel.localId, session.localId);
    lns.subscribers.pump(subscriber, now);
  }
  lns.loop.wake();
  return 'done';
}

/** Whatever the request says of the session holds of this one. */
export function fits(subscriber: Pick<Subscriber, 'user' | 'call' | 'ipv4' | 'prefix'>, match: SessionMatch): boolean {
  const { user, call, ipv4, prefix } = subscriber;
  const own: SessionMatch = {
    userName: user,
    sessionId: call.accountingId,
    // Nothing ties our sessions together.
    multiSessionId: null,
    framedAddress: ipv4 === null ? null : formatWords(ipv4.words),
    framedPrefix: prefix === null ? null : `${formatWords(prefix.words)}/${prefix.length}`,
    nasPort: call.port,
    callingStationId: call.calling,
    calledStationId: call.called,
  };
  return (Object.keys(own) as (keyof SessionMatch)[]).every((key) => match[key] === null || match[key] === own[key]);
}
