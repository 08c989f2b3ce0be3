/** A group as rows of tables. */
import type { Election } from './election.js';
import type { GroupParts } from './group-parts.js';
import { readMac, virtualMac } from './mac.js';
import type { ForwarderRow, MemberRow } from './types.js';

/** By number; this gateway is one of them. */
export function memberRows(
  { options, self, members, hosts }: GroupParts,
  election: Election,
  now: number,
): MemberRow[] {
  const position = hosts.position();
  const rows: MemberRow[] = [
    {
      number: options.number,
      self: true,
      alive: election.state !== 'stopped',
      verified: true,
      state: election.state,
      master: election.state === 'master',
      priority: self.priority,
      weight: self.weight,
      able: self.tracking.able,
      reasons: self.tracking.reasons,
      load: self.load.share,
      bitsPerSecond: self.load.bitsPerSecond,
      packetsPerSecond: self.load.packetsPerSecond,
      address: options.ownAddress,
      mac: readMac(options.mac),
      age: 0,
      term: position.term,
      version: position.version,
    },
  ];
  for (const { number, alive, incarnation, advert, direct } of members.all()) {
    if (advert === null || number === options.number) continue;
    rows.push({
      number,
      self: false,
      alive,
      verified: incarnation !== 0,
      state: advert.state,
      master: alive && election.master === number && advert.state === 'master',
      priority: advert.priority,
      weight: advert.weight,
      able: advert.able,
      reasons: advert.reasons,
      load: advert.load,
      bitsPerSecond: advert.bitsPerSecond,
      packetsPerSecond: advert.packetsPerSecond,
      address: advert.address,
      mac: advert.mac,
      age: Math.max(0, now - direct),
      term: advert.position.term,
      version: advert.position.version,
    });
  }
  return rows.sort((a, b) => a.number - b.number);
}

/** By number. */
export function forwarderRows(parts: GroupParts, now: number): ForwarderRow[] {
  const { options, self, roster, forwarders, holdings, hosts } = parts;
  return [...forwarders.rows()]
    .map((row) => {
      const traffic = self.load.perForwarder?.get(row.number);
      return {
        number: row.number,
        mac: virtualMac(options.scheme, options.group, row.number),
        state: forwarders.stateOf(row),
        server: row.server,
        givenOut: row.givenOut,
        weight: Math.round(roster.weightOf(row.number) * hosts.factorOf(row.number)),
        load: roster.loadOf(row.server),
        hosts: hosts.countOf(row.number),
        held: holdings.holds(row.number),
        served: holdings.serves(row.number),
        bytes: traffic?.bytes ?? 0,
        packets: traffic?.packets ?? 0,
        age: Math.max(0, now - row.since),
      };
    })
    .sort((a, b) => a.number - b.number);
}

export function partCounters({ courier, members, log, desk, hosts }: GroupParts): Record<string, number> {
  const { replayed, unproven, probes } = members.counters;
  return {
    'messages.replayed': replayed,
    'messages.unproven': unproven,
    'messages.overflow': courier.counters.overflow,
    'messages.unreachable': courier.counters.unreachable,
    'events.overflow': log.overflow,
    probes,
    ...desk.allCounters(),
    ...Object.fromEntries(Object.entries(hosts.counters()).map(([name, value]) => [`hosts.${name}`, value])),
  };
}
