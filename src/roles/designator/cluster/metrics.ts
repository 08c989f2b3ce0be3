/** Figures of the cluster for `/metrics`, and counters for `show counters` and `show drops`. */
import type { DropRow } from '../../../ops/appliance.js';
import type { MetricReading } from '../../../ops/endpoint.js';
import type { ClusterDesk } from './cluster-desk.js';

/** Frames that were not believed, or were lost here: `show drops`, prefixed by `cluster-`. */
const DROPS: readonly (readonly [counter: string, reason: string, description: string])[] = [
  ['malformed', 'malformed', 'cluster: no frame of a cluster, or its lengths do not fit'],
  ['version', 'version', 'cluster: a frame of a version that this program does not know'],
  ['otherCluster', 'other-cluster', 'cluster: a frame of a cluster of another name'],
  ['otherTarget', 'other-target', 'cluster: a frame for another member'],
  ['forged', 'forged', 'cluster: a frame whose HMAC is not that of the secret: forged, or the secrets differ'],
  ['flood', 'flood', 'cluster: frames that were not looked at, since very many before them were forged'],
  ['replayed', 'replayed', 'cluster: a frame that came before, or comes too late'],
  ['unproven', 'unproven', 'cluster: a frame of a member that has not shown yet that it is of now'],
  ['badStatus', 'bad-status', 'cluster: a status message that cannot be read'],
  ['sendDropped', 'send', 'cluster: frames that could not be sent: nobody takes them, or not fast enough'],
  ['sendErrors', 'send-error', 'cluster: frames that the kernel or the server refused to send'],
  ['cut', 'cut', 'cluster: connections of members that sent no frames'],
  ['duplicateNumber', 'duplicate-number', 'cluster: a frame of another process with the number of this member'],
  ['noticesTooLong', 'notice-length', 'cluster: words to all members that fit into no frame'],
  ['noticesUnknown', 'notice', 'cluster: notices of a kind that this program does not know'],
];

export function clusterDrops(desk: ClusterDesk): DropRow[] {
  const counters: Readonly<Record<string, number>> = { ...desk.busCounters(), ...desk.counters };
  return DROPS.map(([counter, reason, description]) => ({
    reason: `cluster-${reason}`,
    packets: counters[counter] ?? 0,
    description,
  }));
}

export function clusterMetrics(desk: ClusterDesk): MetricReading[] {
  const gauge = (name: string, help: string, value: number): MetricReading => ({
    name: `cluster_${name}`,
    help,
    kind: 'gauge',
    value,
  });
  const total = (name: string, help: string, value: number, reason?: string): MetricReading => ({
    name: `cluster_${name}_total`,
    help,
    kind: 'counter',
    value,
    ...(reason === undefined ? {} : { reason }),
  });
  const counters = desk.busCounters();
  const streams = [...(desk.shared?.rows(desk.now()) ?? [])];
  const mine = streams.filter(({ role }) => role === 'writer');
  const others = streams.filter(({ role }) => role === 'reader');
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  return [
    gauge('up', '1: the bus works; 0: it is degraded.', desk.state.state === 'up' ? 1 : 0),
    gauge('members', 'Members that are heard, this one among them.', desk.members().length + 1),
    gauge(
      'members_refused',
      'Members that connection state is not shared with.',
      [...(desk.shared?.refused() ?? [])].length,
    ),
    gauge('duties', 'What this member does for the whole cluster.', desk.duties.held().length),
    gauge('streams_written', 'Streams of connection state that this member writes.', mine.length),
    gauge('streams_followed', 'Streams of others that it holds.', others.length),
    gauge(
      'streams_behind',
      'Streams of others that are not current here.',
      others.filter(({ state }) => state !== 'current').length,
    ),
    gauge('tunnels_written', 'Tunnels in the streams that it writes.', sum(mine.map(({ tunnels }) => tunnels))),
    gauge('tunnels_followed', 'Tunnels of others that it holds.', sum(others.map(({ tunnels }) => tunnels))),
    gauge(
      'changes_waiting',
      'Changes that are to be told, or to be had, yet.',
      sum(streams.map(({ waiting }) => waiting)),
    ),
    total('frames_sent', 'Frames that were sent.', counters.sent ?? 0),
    total('frames_received', 'Frames that came.', counters.received ?? 0),
    total('notices', 'Words to all members that came.', desk.counters.notices),
    ...clusterDrops(desk).map(({ reason, packets }) =>
      total('dropped', 'Frames that ended here.', packets, reason.slice('cluster-'.length)),
    ),
    ...Object.entries(desk.shared?.counters() ?? {}).map(([name, value]) =>
      total('replication', 'What the sharing of connection state did.', value, name),
    ),
  ];
}
