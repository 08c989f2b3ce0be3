/** What groups tell, as events of the process and lines of its log; for every role that runs groups. */
import { macText } from '../../gateway/mac.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { EVENT_OF, isBad } from './event-words.js';
import type { RunnerHooks } from './runner.js';

export function groupReports(events: EventLog, logger: Logger): Pick<RunnerHooks, 'event' | 'tracked' | 'trouble'> {
  return {
    event: (group, { kind, number, mac, text }) => {
      const gateway = number === 0 ? null : number;
      const facts = { group, what: kind, gateway, host: mac === null ? null : macText(mac), detail: text };
      events.emit(EVENT_OF[kind], facts);
      logger[isBad(kind) ? 'warn' : 'info'](facts, 'gateway group');
    },
    tracked: (group, { name, good, reason }, { able }) => {
      const facts = { group, tracked: name, good: good === true, detail: reason, able };
      events.emit('gateway-tracking', facts);
      logger[good === true ? 'info' : 'warn'](facts, 'tracking');
    },
    trouble: (group, { what, ok, text }) => {
      events.emit('gateway-host', { group, what, good: ok, detail: text });
      logger[ok ? 'info' : 'error']({ group, what }, text);
    },
  };
}
