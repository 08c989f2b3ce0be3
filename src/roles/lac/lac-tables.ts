/** The tables and metrics of a LAC's control API. */
import type { EndpointCounterRow, EndpointDropRow, EndpointTable, MetricReading } from '../../ops/endpoint.js';
import { ENDPOINT_COUNTERS } from '../../protocol/l2tp/counters.js';
import { PPP_DISCARDS } from '../../protocol/ppp/counters.js';
import { PPPOE_DROPS, PPPOE_TAKEN, type PppoeOutcome } from '../../protocol/pppoe/outcomes.js';
import { CALL_ENDS, type CallEnd } from './call-ends.js';
import type { LacParts } from './lac.js';
import { placeRows, sessionRows, sliced, tunnelRows } from './rows.js';

export function lacTables(parts: LacParts, clock: () => number): Map<string, EndpointTable> {
  const { endpoint, desk, keeper } = parts;
  return new Map<string, EndpointTable>([
    [
      'tunnels',
      {
        description: 'clients and the tunnels that they are in: client address, tunnel id, far end',
        filters: ['tunnel', 'client'],
        rows: (filter) => sliced(tunnelRows(endpoint.tunnels.values(), clock(), filter)),
      },
    ],
    [
      'sessions',
      {
        description: 'calls',
        filters: ['tunnel', 'session', 'user', 'client'],
        rows: (filter) => {
          const plane = parts.plane();
          return plane === null ? [] : sliced(sessionRows(desk.calls.values(), plane.table, clock(), filter));
        },
      },
    ],
    [
      'lns',
      {
        description: 'LNSs that calls went to',
        filters: [],
        rows: () => sliced(placeRows(keeper, clock())),
      },
    ],
    ['drops', { description: 'frames and messages that ended here', filters: [], rows: () => sliced(dropRows(parts)) }],
    ['counters', { description: 'what the LAC did', filters: [], rows: () => sliced(counterRows(parts)) }],
    [
      'workers',
      {
        description: 'threads that forward',
        filters: [],
        rows: () =>
          sliced(
            (parts.plane()?.workers() ?? []).map(({ shard, state, restarts, packets, heartbeatAgeSeconds }) => ({
              worker: shard,
              state,
              packets,
              restarts,
              heartbeatAgeSeconds,
            })),
          ),
      },
    ],
  ]);
}

function* dropRows({ plane, access, desk, loop }: LacParts): Iterable<EndpointDropRow> {
  yield* plane()?.drops() ?? [];
  for (const [reason, description] of Object.entries(PPPOE_DROPS)) {
    yield { reason: `pppoe-${reason}`, packets: access.counters.get(reason as PppoeOutcome) ?? 0, description };
  }
  for (const [reason, description] of PPP_DISCARDS) {
    yield { reason: `ppp-${reason}`, packets: desk.counters.of(reason), description };
  }
  for (const [reason, packets] of loop.refused) {
    yield { reason: `l2tp-${reason}`, packets, description: 'a control message that the L2TP engine did not take' };
  }
}

function* counterRows({ plane, access, desk, endpoint, keeper, radius }: LacParts): Iterable<EndpointCounterRow> {
  for (const [name, description] of Object.entries(PPPOE_TAKEN)) {
    yield { counter: `pppoe-${name}`, count: access.counters.get(name as PppoeOutcome) ?? 0, description };
  }
  for (const [end, description] of Object.entries(CALL_ENDS)) {
    yield { counter: `call-ended-${end}`, count: desk.ends.get(end as CallEnd) ?? 0, description };
  }
  yield {
    counter: 'tunnels-refused',
    count: keeper.refused,
    description: 'tunnels that could not be dialled: too many, or no address of that family in `listen`',
  };
  yield {
    counter: 'radius-unusable-endpoints',
    count: desk.unusableEndpoints,
    description: 'tunnels of RADIUS answers that lead to no LNS: another protocol, or a name that is not configured',
  };
  for (const [name, description] of ENDPOINT_COUNTERS) {
    yield { counter: `l2tp-${name}`, count: endpoint.counters[name], description };
  }
  for (const [name, count] of Object.entries(plane()?.statistics() ?? {})) {
    yield { counter: `plane-${name}`, count, description: 'of the data path' };
  }
  if (radius === null) return;
  for (const name of ['accepted', 'rejected', 'noAnswer', 'busy'] as const) {
    yield { counter: `radius-${name}`, count: radius.client.counters[name], description: 'answers of RADIUS' };
  }
}

export function lacMetrics(parts: LacParts): MetricReading[] {
  const { endpoint, desk } = parts;
  let up = 0;
  for (const { state } of desk.calls.values()) if (state === 'up') up++;
  return [
    { name: 'lac_tunnels', help: 'Tunnels.', kind: 'gauge', value: endpoint.tunnels.size },
    { name: 'lac_sessions', help: 'Calls that stand.', kind: 'gauge', value: up },
    { name: 'lac_calls', help: 'Calls, those being set up included.', kind: 'gauge', value: desk.calls.size },
    ...Object.keys(CALL_ENDS).map(
      (end): MetricReading => ({
        name: 'lac_calls_ended_total',
        help: 'Calls that ended, by why.',
        kind: 'counter',
        value: desk.ends.get(end as CallEnd) ?? 0,
        reason: end,
      }),
    ),
    ...[...dropRows(parts)].map(
      ({ reason, packets }): MetricReading => ({
        name: 'lac_drops_total',
        help: 'Frames and messages that ended here.',
        kind: 'counter',
        value: packets,
        reason,
      }),
    ),
  ];
}
