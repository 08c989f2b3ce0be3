/** What a session of another LNS brings with it. */
import type { SessionState } from './offload-host.js';
import type { Subscriber } from './subscriber.js';

/** Its prefix is advertised again soon: the subscriber's router may have another address now. */
const ADVERTISE_LATER = 60;

export interface RestoreNotes {
  /** CALL_FLAG bits of the call and its link. */
  readonly flags: number;
  readonly silent: boolean;
  /** Monotonic seconds and Unix milliseconds. */
  readonly now: number;
  readonly clockMs: number;
}

/** Everything but its grant, its link and its addresses. */
export function fillRestored(subscriber: Subscriber, state: SessionState, notes: RestoreNotes): void {
  const { flags, silent, now, clockMs } = notes;
  Object.assign(subscriber.before, state.counters);
  subscriber.early = null;
  subscriber.flags = flags;
  subscriber.method = state.method;
  subscriber.since = now - Math.max(0, (clockMs - state.sinceMs) / 1000);
  subscriber.sinceMs = state.sinceMs;
  subscriber.interfaceId = state.interfaceId;
  subscriber.ipv4Up = state.ipv4Up;
  subscriber.ipv6Up = state.ipv6Up;
  subscriber.idleSeconds = state.idleSeconds;
  if (state.secondsLeft !== null) subscriber.timeoutAt = now + state.secondsLeft;
  if (state.ipv6Up) subscriber.advertiseAt = now + (silent ? ADVERTISE_LATER : 1);
}
