/** What an operator sees of the gateway role: tables, figures and commands. */
import { DesignatorError } from '../../errors.js';
import { type Mac, macText, readMac } from '../../gateway/mac.js';
import type { CommandResult, HostRow } from '../../gateway/types.js';
import type {
  Endpoint,
  EndpointCommand,
  EndpointCounterRow,
  EndpointDropRow,
  EndpointTable,
  GatewayForwarderRow,
  GatewayGroupRow,
  GatewayHostRow,
  GatewayRow,
  MetricReading,
  ReloadResult,
  TableFilter,
} from '../../ops/endpoint.js';
import type { EventLog } from '../../ops/events.js';
import { formatWords, parseAddress, parseMac } from '../../wire/address.js';
import { counterWords, isDrop } from './counter-words.js';
import type { Gateway } from './gateway.js';
import type { GroupRunner } from './runner.js';

const SLICE = 256;

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
    const each = (
      description: string,
      filters: EndpointTable['filters'],
      rows: (runner: GroupRunner, now: number, filter: TableFilter) => Iterable<readonly object[]>,
    ): EndpointTable => ({
      description,
      filters: ['group', ...filters],
      rows: (filter) => this.#perGroup(filter, rows),
    });
    return new Map<string, EndpointTable>([
      ['groups', each('gateway groups', [], (runner, now) => [[groupRow(runner, now)]])],
      ['gateways', each('members of the groups', [], (runner, now) => [gatewayRows(runner, now)])],
      ['forwarders', each('virtual MACs', [], (runner, now) => [forwarderRows(runner, now)])],
      ['hosts', each('hosts and their gateways', ['gateway', 'host'], hostRows)],
      ['tracks', each('what is tracked', [], (runner) => [trackRows(runner)])],
      ['drops', { description: 'what ended here, by reason', filters: [], rows: () => [this.#drops()] }],
      ['counters', { description: 'what happened', filters: [], rows: () => [this.#counters()] }],
    ]);
  }

  get commands(): ReadonlyMap<string, EndpointCommand> {
    const group = { type: 'string', minLength: 1, maxLength: 63 } as const;
    const gateway = { type: 'integer', minimum: 1, maximum: 255 } as const;
    const body = (properties: Record<string, unknown>, required: string[]) => ({
      type: 'object',
      additionalProperties: false,
      properties: { group, ...properties },
      required,
    });
    return new Map<string, EndpointCommand>([
      [
        'resign',
        {
          description: 'give up the office of master',
          body: body({}, []),
          run: (written) => {
            const runner = this.#runner(written);
            runner.resign();
            return { group: runner.name };
          },
        },
      ],
      [
        'move',
        {
          description: 'give a host, or all hosts, to a gateway',
          body: body({ host: { type: 'string', minLength: 1, maxLength: 45 }, gateway }, ['host', 'gateway']),
          run: (written) => {
            const runner = this.#runner(written);
            const host = this.#host(runner, String(written.host));
            return outcome(runner, runner.move(host, Number(written.gateway)));
          },
        },
      ],
      [
        'redistribute',
        {
          description: 'take a dead gateway for failed for good: its hosts are given to others now',
          body: body({ gateway }, ['gateway']),
          run: (written) => {
            const runner = this.#runner(written);
            return outcome(runner, runner.declareDead(Number(written.gateway)));
          },
        },
      ],
    ]);
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

  // ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────

  *#perGroup(
    filter: TableFilter,
    rows: (runner: GroupRunner, now: number, filter: TableFilter) => Iterable<readonly object[]>,
  ): Generator<readonly object[]> {
    const now = this.#gateway.now();
    for (const runner of this.#gateway.runners())
      if (runner.running && (filter.group === undefined || filter.group === runner.name))
        yield* rows(runner, now, filter);
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

  /** Counters of all groups, added up. */
  #totals(): [string, number][] {
    const totals = new Map<string, number>();
    const add = (name: string, count: number): void => void totals.set(name, (totals.get(name) ?? 0) + count);
    for (const runner of this.#gateway.runners()) {
      if (!runner.running) continue;
      for (const [name, count] of Object.entries(runner.group.counters())) add(name, count);
      for (const [name, count] of Object.entries(runner.port.statistics())) add(`port-${name}`, count);
    }
    return [...totals];
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

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The group that a command names, or the only one. Errors: TD_CONFLICT, TD_NOT_FOUND, TD_USAGE. */
  #runner({ group }: Readonly<Record<string, unknown>>): GroupRunner {
    const runners = this.#gateway.runners().filter(({ running }) => running);
    if (!this.#gateway.started || runners.length === 0)
      throw new DesignatorError('TD_CONFLICT', 'the gateway does not run yet, or not any more');
    const names = runners.map(({ name }) => name).join(', ');
    if (group === undefined) {
      if (runners.length === 1) return runners[0];
      throw new DesignatorError('TD_USAGE', `say which group: ${names}`);
    }
    const found = runners.find(({ name }) => name === group);
    if (found === undefined) throw new DesignatorError('TD_NOT_FOUND', `no group "${group}"; there are ${names}`);
    return found;
  }

  /** null: all. Errors: TD_NOT_FOUND, TD_USAGE. */
  #host(runner: GroupRunner, written: string): Mac | null {
    if (written === 'all') return null;
    const mac = parseMac(written);
    if (mac !== null) return readMac(mac);
    const words = parseAddress(written);
    if (words === null)
      throw new DesignatorError('TD_USAGE', `"${written}" is no MAC address, IP address or "all"`, { host: written });
    const row = runner.group.hosts(this.#gateway.now()).find((host) => hasAddress(host, formatWords(words)));
    if (row === undefined) throw new DesignatorError('TD_NOT_FOUND', `no host has the address ${written}`);
    return row.mac;
  }
}

function outcome(runner: GroupRunner, result: CommandResult): object {
  if (!result.ok) throw new DesignatorError('TD_CONFLICT', `group ${runner.name}: ${result.why}`);
  return { group: runner.name, hosts: result.hosts };
}

const hasAddress = ({ addresses }: HostRow, text: string): boolean =>
  addresses.some((words) => formatWords(words) === text);
const orNull = (number: number): number | null => (number === 0 ? null : number);

function groupRow(runner: GroupRunner, now: number): GatewayGroupRow {
  const status = runner.group.status(now);
  return {
    group: status.name,
    number: status.group,
    interface: runner.config.device,
    gateway: status.number,
    addresses: status.addresses.map((words) => formatWords(words)).join(','),
    state: status.state,
    master: orNull(status.master),
    members: runner.group.members(now).filter(({ alive }) => alive).length,
    hosts: status.hosts,
    term: status.term,
    version: status.version,
    sinceSeconds: Math.max(0, now - status.since),
  };
}

function gatewayRows(runner: GroupRunner, now: number): GatewayRow[] {
  const forwarders = runner.group.forwarders(now);
  return runner.group.members(now).map((member) => {
    const served = forwarders.filter(({ server }) => server === member.number);
    const own = forwarders.find(({ number }) => number === member.number);
    return {
      group: runner.name,
      gateway: member.number,
      self: member.self,
      state: member.alive ? member.state : 'dead',
      master: member.master,
      alive: member.alive,
      verified: member.verified,
      address: member.address === null ? null : formatWords(member.address),
      priority: member.priority,
      weight: member.weight,
      able: member.able,
      reasons: member.reasons.join('; '),
      load: member.load,
      bitsPerSecond: member.bitsPerSecond,
      packetsPerSecond: member.packetsPerSecond,
      virtualMac: macText(own?.mac ?? member.mac),
      serves: served.map(({ number }) => number).join(','),
      hosts: served.reduce((all, { hosts }) => all + hosts, 0),
      ageSeconds: member.age,
      term: member.term,
      version: member.version,
    };
  });
}

function forwarderRows(runner: GroupRunner, now: number): GatewayForwarderRow[] {
  return runner.group.forwarders(now).map((row) => ({
    group: runner.name,
    forwarder: row.number,
    virtualMac: macText(row.mac),
    state: row.state,
    server: orNull(row.server),
    givenOut: row.givenOut,
    weight: row.weight,
    load: row.load,
    hosts: row.hosts,
    held: row.held,
    served: row.served,
    bytes: row.bytes,
    packets: row.packets,
    ageSeconds: row.age,
  }));
}

function* hostRows(runner: GroupRunner, now: number, filter: TableFilter): Generator<GatewayHostRow[]> {
  const macs = new Map(runner.group.forwarders(now).map(({ number, mac }) => [number, macText(mac)]));
  const mac = filter.host === undefined ? null : parseMac(filter.host);
  const words = filter.host === undefined || mac !== null ? null : parseAddress(filter.host);
  if (filter.host !== undefined && mac === null && words === null)
    throw new DesignatorError('TD_USAGE', `"${filter.host}" is no MAC or IP address`, { host: filter.host });
  const rows = runner.group.hosts(now, {
    ...(mac === null ? {} : { mac: readMac(mac) }),
    ...(filter.gateway === undefined ? {} : { forwarder: filter.gateway }),
  });
  const address = words === null ? null : formatWords(words);
  let slice: GatewayHostRow[] = [];
  for (const row of rows) {
    if (address !== null && !hasAddress(row, address)) continue;
    slice.push({
      group: runner.name,
      host: macText(row.mac),
      addresses: row.addresses.map((entry) => formatWords(entry)).join(','),
      gateway: row.forwarder,
      server: orNull(row.server),
      virtualMac: macs.get(row.forwarder) ?? '',
      ageSeconds: row.age,
      idleSeconds: row.idle,
    });
    if (slice.length < SLICE) continue;
    yield slice;
    slice = [];
  }
  yield slice;
}

function trackRows(runner: GroupRunner): object[] {
  return runner.tracks().map(({ name, good, reason }) => ({ group: runner.name, tracked: name, good, reason }));
}
