/** What is told of sessions to whoever accounts for them. */
import type { SessionCounters } from '../../flow/session-table.js';
import type { TerminateCause } from '../../wire/radius-attributes.js';
import { PORT_TYPE } from '../../wire/radius-attributes.js';
import type { RadiusSession } from '../../protocol/radius/types.js';
import type { RadiusService } from '../radius-service.js';
import type { CallFacts } from './authenticator.js';
import type { EndReason, Subscriber } from './subscriber.js';

export interface Accounting {
  /** Seconds between interim records; null none. */
  readonly interimSeconds: number | null;
  start(subscriber: Subscriber): void;
  interim(subscriber: Subscriber, counters: SessionCounters): void;
  stop(subscriber: Subscriber, counters: SessionCounters, reason: EndReason): void;
}

const CAUSES: Readonly<Record<EndReason, TerminateCause>> = {
  subscriber: 'userRequest',
  lac: 'lostCarrier',
  'lost-link': 'lostService',
  authentication: 'userError',
  'no-address': 'nasError',
  'no-agreement': 'userError',
  idle: 'idleTimeout',
  timeout: 'sessionTimeout',
  replaced: 'portPreempted',
  operator: 'adminReset',
  limit: 'nasRequest',
  shutdown: 'nasReboot',
  tunnel: 'lostCarrier',
  error: 'nasError',
};

/** What access and accounting requests of a session have in common. */
export function radiusSession(call: CallFacts, user: string | null): RadiusSession {
  return {
    ...(user === null ? {} : { userName: user }),
    sessionId: call.accountingId,
    nasPort: call.port,
    nasPortId: `${call.tunnelId}/${call.sessionId}`,
    nasPortType: PORT_TYPE.virtual,
    ...(call.called === null || call.called === '' ? {} : { calledStationId: call.called }),
    ...(call.calling === null || call.calling === '' ? {} : { callingStationId: call.calling }),
  };
}

/** Records for RADIUS servers. */
export class RadiusAccounting implements Accounting {
  constructor(
    readonly service: RadiusService,
    readonly interimSeconds: number | null,
    /** Unix milliseconds. */
    readonly clock: () => number,
  ) {}

  /** The LNS begins, or ends: whatever sessions a server still knew of it are over. */
  power(status: 'on' | 'off'): void {
    // Every record has an id of its own (RFC 2866 §5.5), one that no session has.
    const session = { sessionId: `${status}-${this.clock().toString(16)}` };
    this.service.account({ status, session, ...(status === 'off' ? { cause: 'nasReboot' } : {}) });
  }

  start(subscriber: Subscriber): void {
    this.service.account({ status: 'start', ...this.#of(subscriber) });
  }

  interim(subscriber: Subscriber, counters: SessionCounters): void {
    const traffic = subscriber.totals(counters);
    this.service.account({ status: 'interim', ...this.#of(subscriber), seconds: this.#seconds(subscriber), traffic });
  }

  stop(subscriber: Subscriber, counters: SessionCounters, reason: EndReason): void {
    const traffic = subscriber.totals(counters);
    const cause = CAUSES[reason];
    this.service.account({
      status: 'stop',
      ...this.#of(subscriber),
      seconds: this.#seconds(subscriber),
      traffic,
      cause,
    });
  }

  #seconds({ sinceMs }: Subscriber): number {
    return Math.max(0, Math.round((this.clock() - sinceMs) / 1000));
  }

  #of({ call, user, ipv4, grant }: Subscriber) {
    const session = radiusSession(call, user);
    return {
      session: ipv4 === null ? session : { ...session, framedAddress: ipv4.words },
      classes: grant?.classes ?? [],
    };
  }
}
