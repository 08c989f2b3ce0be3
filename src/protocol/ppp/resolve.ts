/** Options with all defaults in place, made once for an options object and shared by its links. */
import type { ControlTimers } from './control-protocol.js';
import { PppCounters } from './counters.js';
import type { PppOptions } from './options.js';

export interface Resolved {
  readonly timers: ControlTimers & {
    readonly authenticate: number;
    readonly network: number;
    readonly challengeAgain: number;
  };
  readonly counters: PppCounters;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly echoEvery: number;
  readonly echoFailures: number;
}

const DEFAULT_TIMERS = {
  restart: 3,
  maxConfigure: 10,
  maxTerminate: 2,
  maxFailure: 10,
  authenticate: 30,
  network: 60,
  challengeAgain: 0,
};

const known = new WeakMap<PppOptions, Resolved>();

export function resolveOptions(options: PppOptions): Resolved {
  const before = known.get(options);
  if (before !== undefined) return before;
  const resolved: Resolved = {
    timers: { ...DEFAULT_TIMERS, ...options.timers },
    counters: options.counters ?? new PppCounters(),
    ipv4: options.protocols?.ipv4 ?? true,
    ipv6: options.protocols?.ipv6 ?? false,
    echoEvery: options.echo?.every ?? 0,
    echoFailures: options.echo?.failures ?? 3,
  };
  known.set(options, resolved);
  return resolved;
}
