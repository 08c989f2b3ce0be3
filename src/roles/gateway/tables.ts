/** Tables of gateway groups, by their names in `show`; for every role that runs groups. */
import { DesignatorError } from '../../errors.js';
import { macText, readMac } from '../../gateway/mac.js';
import type { HostRow } from '../../gateway/types.js';
import type {
  EndpointTable,
  GatewayForwarderRow,
  GatewayGroupRow,
  GatewayHostRow,
  GatewayRow,
  TableFilter,
} from '../../ops/endpoint.js';
import { formatWords, parseAddress, parseMac } from '../../wire/address.js';
import type { GroupRunner } from './runner.js';

const SLICE = 256;

/** Whoever runs groups. */
export interface GroupsHost {
  /** In the order of the file. */
  runners(): readonly GroupRunner[];
  /** Monotonic seconds. */
  now(): number;
}

type Rows = (runner: GroupRunner, now: number, filter: TableFilter) => Iterable<readonly object[]>;

export function groupTables(host: GroupsHost): Map<string, EndpointTable> {
  const each = (description: string, filters: EndpointTable['filters'], rows: Rows): EndpointTable => ({
    description,
    filters: ['group', ...filters],
    rows: (filter) => perGroup(host, filter, rows),
  });
  return new Map<string, EndpointTable>([
    ['groups', each('gateway groups', [], (runner, now) => [[groupRow(runner, now)]])],
    ['gateways', each('members of the groups', [], (runner, now) => [gatewayRows(runner, now)])],
    ['forwarders', each('virtual MACs', [], (runner, now) => [forwarderRows(runner, now)])],
    ['hosts', each('hosts and their gateways', ['gateway', 'host'], hostRows)],
    ['tracks', each('what is tracked', [], (runner) => [trackRows(runner)])],
  ]);
}

function* perGroup(host: GroupsHost, filter: TableFilter, rows: Rows): Generator<readonly object[]> {
  const now = host.now();
  for (const runner of host.runners())
    if (runner.running && (filter.group === undefined || filter.group === runner.name))
      yield* rows(runner, now, filter);
}

export const hasAddress = ({ addresses }: HostRow, text: string): boolean =>
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
