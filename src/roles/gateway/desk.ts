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
    const gauge = (name: string, help: string, value: number): MetricReading => ({
      name: `gateway_${name}`,
      help,
      kind: 'gauge',
      value,
    });
    const total = (name: string, help: string, value: number, reason?: string): MetricReading => ({
      name: `gateway_${name}_total`,
      help,
      kind: 'counter',
      value,
      ...(reason === undefined ? {} : { reason }),
    });
    const now = gateway.now();
    const runners = gateway.runners().filter(({ running }) => running);
    const statuses = runners.map(({ group }) => group.status(now));
    const members = runners.flatMap(({ group }) => group.members(now));
    const forwarders = runners.flatMap(({ group }) => group.forwarders(now));
    const traffic = runners.flatMap(({ port }) => [...port.traffic().values()]);
    const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
    const count = (values: readonly boolean[]): number => values.filter(Boolean).length;
    return [
      { name: 'ready', help: '1 while the groups run, else 0.', kind: 'gauge', value: gateway.started ? 1 : 0 },
      {
        name: 'healthy',
        help: '1 while the host does what the groups need of it, else 0.',
        kind: 'gauge',
        value: gateway.unhealthy() === null ? 1 : 0,
      },
      gauge('groups', 'Groups that this machine is a gateway of.', runners.length),
      gauge('masters', 'Groups whose master this gateway is.', count(statuses.map(({ state }) => state === 'master'))),
      gauge(
        'groups_without_master',
        'Groups of which this gateway knows no master.',
        count(statuses.map(({ master }) => master === 0)),
      ),
      gauge('members', 'Gateways that are alive, over all groups.', count(members.map(({ alive }) => alive))),
      gauge('members_dead', 'Gateways that were known and are not heard.', count(members.map(({ alive }) => !alive))),
      gauge(
        'tracked_failing',
        'Tracked things that fail here.',
        count(runners.flatMap((runner) => runner.tracks()).map(({ good }) => good !== true)),
      ),
      gauge('hosts', 'Hosts that are known, over all groups.', sum(statuses.map(({ hosts }) => hosts))),
      gauge('forwarders_held', 'Virtual MACs that this gateway has.', count(forwarders.map(({ held }) => held))),
      gauge('forwarders_served', 'Virtual MACs whose server it is.', count(forwarders.map(({ served }) => served))),
      gauge(
        'hosts_served',
        'Hosts whose frames come here.',
        sum(forwarders.filter(({ served }) => served).map(({ hosts }) => hosts)),
      ),
      total('received_bytes', 'Bytes that came for virtual MACs.', sum(traffic.map(({ bytes }) => bytes))),
      total('received_packets', 'Packets that came for virtual MACs.', sum(traffic.map(({ packets }) => packets))),
      ...this.#drops().map(({ reason, packets }) =>
        total('dropped', 'Frames and messages that ended here.', packets, reason),
      ),
      ...this.#counters().map(({ counter, count: value }) =>
        total('operations', 'What the groups did.', value, counter),
      ),
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
