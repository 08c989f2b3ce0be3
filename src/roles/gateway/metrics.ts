/** Figures of gateway groups for `/metrics`, of every role that runs groups. */
import type { MetricReading } from '../../ops/endpoint.js';
import { isDrop } from './counter-words.js';
import type { GroupRunner } from './runner.js';
import { groupTotals } from './totals.js';

/** `now`: of the groups' clock. Names begin with `gateway_`; counters are added up over all groups that run. */
export function groupMetrics(all: readonly GroupRunner[], now: number): MetricReading[] {
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
  const runners = all.filter(({ running }) => running);
  const statuses = runners.map(({ group }) => group.status(now));
  const members = runners.flatMap(({ group }) => group.members(now));
  const forwarders = runners.flatMap(({ group }) => group.forwarders(now));
  const traffic = runners.flatMap(({ port }) => [...port.traffic().values()]);
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const count = (values: readonly boolean[]): number => values.filter(Boolean).length;
  return [
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
    ...groupTotals(runners).map(([name, value]) =>
      isDrop(name)
        ? total('dropped', 'Frames and messages that ended here.', value, name)
        : total('operations', 'What the groups did.', value, name),
    ),
  ];
}
