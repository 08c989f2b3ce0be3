/** Tables of an LNS, a LAC and a gateway for people. */
import type {
  ClusterBusRow,
  ClusterMemberRow,
  ClusterStreamRow,
  GatewayForwarderRow,
  GatewayGroupRow,
  GatewayHostRow,
  GatewayRow,
  LacTunnelRow,
  LnsTunnelRow,
  PoolRow,
  SessionRow,
} from '../ops/endpoint.js';
import { briefDuration, type Column, renderTable } from './table.js';
import { rate } from './top-text.js';

const LNS_TUNNELS: readonly Column<LnsTunnelRow>[] = [
  { head: 'peer', value: (row) => row.peer },
  { head: 'host name', value: (row) => row.peerHostName },
  { head: 'tunnel', value: (row) => row.tunnelId },
  { head: 'peer tunnel', value: (row) => row.peerTunnelId, align: 'right' },
  { head: 'local', value: (row) => row.local },
  { head: 'state', value: (row) => row.state },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'Ns', value: (row) => row.ns },
  { head: 'Nr', value: (row) => row.nr },
  { head: 'age', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
];

/** Document 001, Tables 2 and 3, in their order. */
const LAC_TUNNELS: readonly Column<LacTunnelRow>[] = [
  { head: 'client address', value: (row) => row.client },
  { head: 'port', value: (row) => row.clientPort },
  { head: 'tunnel id', value: (row) => row.tunnelId },
  { head: 'far end address', value: (row) => row.farEndAddress },
  { head: 'port', value: (row) => row.farEndPort },
  { head: 'far end tunnel id', value: (row) => row.farEndTunnelId, align: 'right' },
  { head: 'LNS', value: (row) => row.lns },
  { head: 'state', value: (row) => row.state },
  { head: 'calls', value: (row) => row.sessions },
  { head: 'age', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
];

const SESSIONS: readonly Column<SessionRow>[] = [
  { head: 'user', value: (row) => row.user },
  { head: 'address', value: (row) => row.address },
  { head: 'prefix', value: (row) => row.prefix },
  { head: 'peer', value: (row) => row.peer },
  { head: 'tunnel', value: (row) => row.tunnelId },
  { head: 'session', value: (row) => row.sessionId },
  { head: 'state', value: (row) => row.state },
  { head: 'packets in', value: (row) => row.packetsIn },
  { head: 'out', value: (row) => row.packetsOut },
  { head: 'bytes in', value: (row) => row.bytesIn },
  { head: 'out', value: (row) => row.bytesOut },
  { head: 'dropped', value: (row) => row.dropped },
  { head: 'age', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
  { head: 'idle', value: (row) => briefDuration(row.idleSeconds), align: 'right' },
];

const POOLS: readonly Column<PoolRow>[] = [
  { head: 'pool', value: (row) => row.pool },
  { head: 'range', value: (row) => row.range },
  { head: 'size', value: (row) => row.size },
  { head: 'used', value: (row) => row.used },
  { head: 'free', value: (row) => row.free },
  { head: 'exhausted', value: (row) => row.exhausted },
];

const GATEWAYS: readonly Column<GatewayRow>[] = [
  { head: 'group', value: (row) => row.group },
  { head: 'gateway', value: (row) => (row.self ? `${row.gateway} (this)` : String(row.gateway)) },
  { head: 'state', value: (row) => row.state },
  { head: 'priority', value: (row) => row.priority },
  { head: 'weight', value: (row) => row.weight },
  { head: 'load', value: (row) => `${Math.round(row.load * 100)}%`, align: 'right' },
  { head: 'bit/s', value: (row) => rate(row.bitsPerSecond), align: 'right' },
  { head: 'hosts', value: (row) => row.hosts },
  { head: 'serves', value: (row) => row.serves },
  { head: 'virtual MAC', value: (row) => row.virtualMac },
  { head: 'address', value: (row) => row.address },
  { head: 'able', value: (row) => row.able },
  { head: 'heard', value: (row) => (row.self ? null : `${row.ageSeconds.toFixed(1)}s ago`), align: 'right' },
  { head: 'reasons', value: (row) => row.reasons },
];

const GROUPS: readonly Column<GatewayGroupRow>[] = [
  { head: 'group', value: (row) => row.group },
  { head: 'number', value: (row) => row.number },
  { head: 'interface', value: (row) => row.interface },
  { head: 'gateway', value: (row) => row.gateway },
  { head: 'addresses', value: (row) => row.addresses },
  { head: 'state', value: (row) => row.state },
  { head: 'master', value: (row) => row.master, align: 'right' },
  { head: 'members', value: (row) => row.members },
  { head: 'hosts', value: (row) => row.hosts },
  { head: 'since', value: (row) => briefDuration(row.sinceSeconds), align: 'right' },
];

const FORWARDERS: readonly Column<GatewayForwarderRow>[] = [
  { head: 'group', value: (row) => row.group },
  { head: 'forwarder', value: (row) => row.forwarder },
  { head: 'virtual MAC', value: (row) => row.virtualMac },
  { head: 'state', value: (row) => row.state },
  { head: 'server', value: (row) => row.server, align: 'right' },
  { head: 'given out', value: (row) => row.givenOut },
  { head: 'weight', value: (row) => row.weight },
  { head: 'hosts', value: (row) => row.hosts },
  { head: 'held here', value: (row) => row.held },
  { head: 'packets', value: (row) => row.packets },
  { head: 'bytes', value: (row) => row.bytes },
  { head: 'since', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
];

const HOSTS: readonly Column<GatewayHostRow>[] = [
  { head: 'group', value: (row) => row.group },
  { head: 'host', value: (row) => row.host },
  { head: 'addresses', value: (row) => row.addresses },
  { head: 'gateway', value: (row) => row.gateway },
  { head: 'served by', value: (row) => row.server, align: 'right' },
  { head: 'virtual MAC', value: (row) => row.virtualMac },
  { head: 'since', value: (row) => briefDuration(row.ageSeconds), align: 'right' },
  { head: 'idle', value: (row) => briefDuration(row.idleSeconds), align: 'right' },
];

/** Tables of gateway groups, which a designator may have as well. */
const GROUP_COLUMNS: Readonly<Record<string, readonly Column<never>[]>> = {
  gateways: GATEWAYS,
  groups: GROUPS,
  forwarders: FORWARDERS,
  hosts: HOSTS,
};

const COLUMNS: Readonly<Record<string, readonly Column<never>[]>> = {
  'lns tunnels': LNS_TUNNELS,
  'lac tunnels': LAC_TUNNELS,
  'lns sessions': SESSIONS,
  'lac sessions': SESSIONS,
  'lns pools': POOLS,
};

export type FlatRow = Readonly<Record<string, string | number | boolean | null>>;

const CLUSTER_MEMBERS: readonly Column<ClusterMemberRow>[] = [
  { head: 'member', value: (row) => (row.self ? `${row.number} (this)` : String(row.number)) },
  { head: 'name', value: (row) => row.name },
  { head: 'role', value: (row) => row.role },
  { head: 'part', value: (row) => row.part },
  { head: 'state', value: (row) => row.state },
  { head: 'tunnels', value: (row) => row.tunnels, align: 'right' },
  { head: 'sessions', value: (row) => row.sessions, align: 'right' },
  { head: 'servers up', value: (row) => row.serversUp, align: 'right' },
  { head: 'version', value: (row) => row.version },
  { head: 'heard', value: (row) => (row.self ? null : `${row.heardSecondsAgo.toFixed(1)}s ago`), align: 'right' },
  { head: 'since', value: (row) => briefDuration(row.memberSeconds), align: 'right' },
  { head: 'reason', value: (row) => row.reason },
];

const CLUSTER_STREAMS: readonly Column<ClusterStreamRow>[] = [
  { head: 'tunnels of', value: (row) => `${row.origin}.${row.shard}` },
  { head: 'writer', value: (row) => (row.self ? `${row.writer} (this)` : String(row.writer)) },
  { head: 'state', value: (row) => row.state },
  { head: 'tunnels', value: (row) => row.tunnels },
  { head: 'sessions', value: (row) => row.sessions },
  { head: 'waiting', value: (row) => row.waiting },
  { head: 'generation', value: (row) => row.generation },
  { head: 'position', value: (row) => row.position },
];

type ClusterRow = ClusterBusRow | ClusterMemberRow | ClusterStreamRow;

/** `show cluster`: the bus in a sentence, then its members, then the streams that are here. */
function clusterText(rows: readonly ClusterRow[], style: boolean): string {
  const of = <Kind extends ClusterRow['kind']>(kind: Kind) =>
    rows.filter((row): row is Extract<ClusterRow, { kind: Kind }> => row.kind === kind);
  const sentences = of('bus').map(
    ({ cluster, driver, state, reason, duties }) =>
      `Cluster ${cluster}, bus ${driver}: ${state}${reason === null ? '' : `, ${reason}`}.${
        duties === null ? '' : ` This member does for all: ${duties}.`
      }\n`,
  );
  const streams = of('stream');
  return [
    ...sentences,
    renderTable(CLUSTER_MEMBERS, of('member'), style),
    ...(streams.length === 0 ? [] : [renderTable(CLUSTER_STREAMS, streams, style)]),
  ].join('\n');
}

/** A table of a role. One that has no columns of its own shows every field of its rows under the field's name. */
export function endpointTable(role: string, table: string, rows: readonly FlatRow[], style: boolean): string {
  if (table === 'cluster') return clusterText(rows as unknown as ClusterRow[], style);
  const own = (COLUMNS[`${role} ${table}`] ?? GROUP_COLUMNS[table]) as readonly Column<FlatRow>[] | undefined;
  return renderTable(own ?? plainColumns(rows), rows, style);
}

function plainColumns(rows: readonly FlatRow[]): Column<FlatRow>[] {
  return Object.keys(rows[0] ?? {}).map((key) => ({
    head: key.replace(/Seconds$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
    value: (row) => {
      const value = row[key] ?? null;
      return key.endsWith('Seconds') && typeof value === 'number' ? briefDuration(value) : value;
    },
  }));
}
