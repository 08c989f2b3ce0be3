/** What an operator sees of the gateway role: tables, figures and commands. */
import type {
  Endpoint,
  EndpointCommand,
  EndpointCounterRow,
  EndpointDropRow,
  EndpointTable,
  MetricReading,
  ReloadResult,
} from '../../ops/endpoint.js';
import type { EventLog } from '../../ops/events.js';
import { counterWords, isDrop } from './counter-words.js';
import { groupCommands } from './commands.js';
import type { Gateway } from './gateway.js';
import { groupTables } from './tables.js';
import { groupMetrics } from './metrics.js';
import { groupTotals } from './totals.js';

export class GatewayDesk implements Endpoint {
  readonly role = 'gateway';
  readonly #gateway: Gateway;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get events(): EventLog {
    return this.#gateway.events;
  }

  get tables(): ReadonlyMap<string, EndpointTable> {
    return new Map<string, EndpointTable>([
      ...groupTables(this.#gateway),
      ['drops', { description: 'what ended here, by reason', filters: [], rows: () => [this.#drops()] }],
      ['counters', { description: 'what happened', filters: [], rows: () => [this.#counters()] }],
    ]);
  }

  get commands(): ReadonlyMap<string, EndpointCommand> {
    return groupCommands(this.#gateway);
  }

  reload(): Promise<ReloadResult> {
    return this.#gateway.reload();
  }

  ready(): boolean {
    return this.#gateway.started;
  }

  unhealthy(): string | null {
    return this.#gateway.unhealthy();
  }

  #drops(): EndpointDropRow[] {
    return this.#totals()
      .filter(([name]) => isDrop(name))
      .map(([name, packets]) => ({ reason: name, packets, description: counterWords(name) }));
  }

  #counters(): EndpointCounterRow[] {
    return this.#totals()
      .filter(([name]) => !isDrop(name))
      .map(([name, count]) => ({ counter: name, count, description: counterWords(name) }));
  }

  #totals(): [string, number][] {
    return groupTotals(this.#gateway.runners());
  }

  // ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────

  metrics(): MetricReading[] {
    const gateway = this.#gateway;
    return [
      { name: 'ready', help: '1 while the groups run, else 0.', kind: 'gauge', value: gateway.started ? 1 : 0 },
      {
        name: 'healthy',
        help: '1 while the host does what the groups need of it, else 0.',
        kind: 'gauge',
        value: gateway.unhealthy() === null ? 1 : 0,
      },
      ...groupMetrics(gateway.runners(), gateway.now()),
      ...this.events.totals().byType.map(
        ({ type, count: value }): MetricReading => ({
          name: 'events_total',
          help: 'What happened.',
          kind: 'counter',
          value,
          reason: type,
        }),
      ),
    ];
  }
}
