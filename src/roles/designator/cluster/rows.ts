/** `show cluster`: one table whose rows are of three kinds, the bus, the members and the streams of connection state. */
import type { ClusterBusRow, ClusterMemberRow, ClusterStreamRow, EndpointTable } from '../../../ops/endpoint.js';
import type { ClusterDesk } from './cluster-desk.js';

export function clusterTables(desk: ClusterDesk): Map<string, EndpointTable> {
  return new Map<string, EndpointTable>([
    [
      'cluster',
      {
        description: 'the cluster: its bus, its members, and whose connection state is here',
        filters: [],
        rows: () => [[busRow(desk), ...memberRows(desk), ...streamRows(desk)]],
      },
    ],
  ]);
}

export function busRow(desk: ClusterDesk): ClusterBusRow {
  const { state } = desk;
  const { name, number, bus } = desk.config;
  return {
    kind: 'bus',
    cluster: name,
    number,
    driver: bus.driver,
    state: state.state,
    reason: state.state === 'up' ? null : state.reason,
    duties: desk.duties.held().join(',') || null,
  };
}

export function memberRows(desk: ClusterDesk): ClusterMemberRow[] {
  const refused = new Map(
    [...(desk.shared?.refused() ?? [])].map(({ number, differences }) => [number, differences.join('; ')]),
  );
  const self = desk.self();
  const own: ClusterMemberRow = {
    kind: 'member',
    number: desk.number,
    name: self.name,
    self: true,
    role: self.role,
    part: self.part,
    state: self.state ?? 'unknown',
    reason: self.reason,
    address: self.address,
    version: self.version,
    tunnels: self.tunnels,
    sessions: self.sessions,
    serversUp: self.serversUp,
    hearsUs: true,
    incarnation: desk.incarnation,
    heardSecondsAgo: 0,
    memberSeconds: round(desk.memberSeconds),
  };
  const others = desk.members().map((member): ClusterMemberRow => {
    const { told } = member;
    const difference = refused.get(member.number);
    return {
      kind: 'member',
      number: member.number,
      name: told.name,
      self: false,
      role: told.role,
      part: told.part,
      state: difference === undefined ? (told.state ?? 'unknown') : 'refused',
      reason: difference ?? told.reason,
      address: told.address,
      version: told.version,
      tunnels: told.tunnels,
      sessions: told.sessions,
      serversUp: told.serversUp,
      hearsUs: member.hearsUs,
      incarnation: hex(member.incarnation),
      heardSecondsAgo: round(member.age),
      memberSeconds: round(member.since),
    };
  });
  return [own, ...others].sort((a, b) => a.number - b.number);
}

export function streamRows(desk: ClusterDesk): ClusterStreamRow[] {
  return [...(desk.shared?.rows(desk.now()) ?? [])]
    .map(
      (row): ClusterStreamRow => ({
        kind: 'stream',
        origin: row.origin,
        shard: row.shard,
        writer: row.writer,
        self: row.role === 'writer',
        state: row.state,
        generation: row.generation,
        position: row.position,
        tunnels: row.tunnels,
        sessions: row.sessions,
        waiting: row.waiting,
      }),
    )
    .sort((a, b) => a.origin - b.origin || a.shard - b.shard);
}

const round = (seconds: number): number => Math.round(seconds * 10) / 10;
export const hex = (incarnation: number): string => incarnation.toString(16).padStart(12, '0');
