/** The page's tables of the gateway groups and the cluster that a designator is a member of; nothing where it is of none. */
import type {
  ClusterBusRow,
  ClusterMemberRow,
  ClusterStreamRow,
  EndpointTable,
  GatewayGroupRow,
  GatewayRow,
} from './endpoint.js';
import { type Cell, cell, duration, figure, plain, section } from './page-parts.js';

type Tables = ReadonlyMap<string, EndpointTable>;
type ClusterRow = ClusterBusRow | ClusterMemberRow | ClusterStreamRow;
type Grade = 'good' | 'warn' | 'bad';

/** Of streams: there may be one for each shard that a member ever had. */
const STREAMS_SHOWN = 64;
const UNKNOWN: Cell = { text: '–' };

export function clusterSections(tables: Tables | undefined): string {
  if (tables === undefined) return '';
  const cluster = rowsOf<ClusterRow>(tables, 'cluster');
  const members = cluster.filter((row) => row.kind === 'member');
  const parts = [
    ...cluster.filter((row) => row.kind === 'bus').map((row) => busSection(row, members)),
    ...(cluster.some(({ kind }) => kind === 'stream')
      ? [streamSection(cluster.filter((row) => row.kind === 'stream'))]
      : []),
    ...groupSections(rowsOf<GatewayGroupRow>(tables, 'groups'), rowsOf<GatewayRow>(tables, 'gateways')),
  ];
  return parts.join('\n');
}

function rowsOf<Row>(tables: Tables, name: string): Row[] {
  return [...(tables.get(name)?.rows({}) ?? [])].flat() as Row[];
}

function busSection({ cluster, driver, state, reason, duties }: ClusterBusRow, members: readonly ClusterMemberRow[]) {
  const words = [`bus ${driver}: ${state}${reason === null ? '' : ` (${reason})`}`];
  if (duties !== null && duties !== '') words.push(`does for all: ${duties}`);
  const rows = members.map((row) => [
    figure(row.number),
    plain(`${row.name ?? '–'}${row.self ? ' (this)' : ''}`),
    cell(row.state, memberGrade(row.state)),
    textOf(row.role),
    textOf(row.part),
    textOf(row.address),
    figureOf(row.tunnels),
    figureOf(row.sessions),
    figureOf(row.serversUp),
    since(row.self ? 0 : row.heardSecondsAgo),
    { text: row.reason ?? '', kind: 'wrap' as const },
  ]);
  const heads = [
    '#number',
    'member',
    'state',
    'role',
    'part',
    'address',
    '#tunnels',
    '#sessions',
    '#servers up',
    '#heard',
    'reason',
  ];
  return section(`Cluster ${cluster}: ${words.join(', ')}`, heads, rows, 'Nobody else is there.');
}

function streamSection(streams: readonly ClusterStreamRow[]): string {
  const heads = ['#origin', '#shard', '#writer', 'state', '#generation', '#tunnels', '#sessions', '#waiting'];
  return section(
    'Shared tunnels',
    heads,
    streams
      .slice(0, STREAMS_SHOWN)
      .map((row) => [
        figure(row.origin),
        figure(row.shard),
        { text: `${row.writer}${row.self ? ' (this)' : ''}`, kind: 'number' },
        cell(row.state, row.state === 'current' ? 'good' : row.state === 'silent' ? 'bad' : 'warn'),
        figure(row.generation),
        figure(row.tunnels),
        figure(row.sessions),
        figure(row.waiting),
      ]),
  );
}

function groupSections(groups: readonly GatewayGroupRow[], gateways: readonly GatewayRow[]): string[] {
  return groups.map(({ group, interface: device, addresses, master }) =>
    section(
      `Gateway group ${group} on ${device}: ${addresses}, ${master === null ? 'without a master' : `master ${master}`}`,
      ['#gateway', 'state', 'address', '#priority', 'serves', '#hosts', '#heard', 'reasons'],
      gateways
        .filter((row) => row.group === group)
        .map((row) => [
          { text: `${row.gateway}${row.self ? ' (this)' : ''}`, kind: 'number' },
          cell(row.state, gatewayGrade(row)),
          textOf(row.address),
          figure(row.priority),
          plain(row.serves),
          figure(row.hosts),
          since(row.self ? 0 : row.ageSeconds),
          { text: row.reasons, kind: 'wrap' },
        ]),
    ),
  );
}

function memberGrade(state: string): Grade {
  if (state === 'ready') return 'good';
  return state === 'refused' ? 'bad' : 'warn';
}

function gatewayGrade({ alive, able }: GatewayRow): Grade {
  if (!alive) return 'bad';
  return able ? 'good' : 'warn';
}

function textOf(text: string | null): Cell {
  return text === null ? UNKNOWN : plain(text);
}

function figureOf(value: number | null): Cell {
  return value === null ? { ...UNKNOWN, kind: 'number' } : figure(value);
}

function since(seconds: number): Cell {
  return { text: seconds < 1 ? 'now' : `${duration(seconds)} ago`, kind: 'number' };
}
