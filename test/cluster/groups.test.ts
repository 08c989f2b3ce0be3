/**
 * A group (document 001, last page: endpoints are selected deterministically for connections with several origination
 * points) is where its tunnels are, also at a designator that knows these only from another one.
 */
import { describe, expect, test } from 'vitest';
import { GroupMemory } from '../../src/flow/group-memory.js';
import {
  GROUP_MEMBER,
  GROUP_MEMBER_WORDS,
  RECORD,
  RECORD_WORDS,
  SERVER_REASON,
  SERVER_STATE,
  type TableMemory,
} from '../../src/flow/layout.js';
import { ClusterPair } from '../helpers/cluster-pair.js';
import type { MemoryAppliance } from '../helpers/memory-appliance.js';
import { scccn, sccrp, sccrq, stopccn, udpFrame } from '../helpers/packet-builder.js';

const VIP = '200.200.100.1:1701';
const NAMES = ['lns1', 'lns2', 'lns3', 'lns4'];
const SERVERS = NAMES.map((name, n) => `{ name: ${name}, address: 10.10.1.${n + 1} }`).join(', ');
const FARM = `vips: [{ name: access, address: 200.200.100.1, groupBy: host-name, servers: [${SERVERS}] }]\ntable: { connections: 1024 }\n`;
const HOST = 'lac7.example';

const clientOf = (id: number): string => `192.128.10.${id}:1701`;

/** A request of the group's next client: name of the server that it gets. */
function ask(pair: ClusterPair, at: MemoryAppliance, id: number, host = HOST): string {
  const sent = pair.send(udpFrame(clientOf(id), VIP, sccrq({ assigned: id, host })), at);
  expect(sent).toHaveLength(1);
  return NAMES[sent[0].frame[33] - 1];
}

function establish(pair: ClusterPair, id: number, server: string): void {
  const from = `10.10.1.${NAMES.indexOf(server) + 1}:1701`;
  pair.send(udpFrame(from, clientOf(id), sccrp({ tunnel: id, assigned: id + 1000 })));
  pair.send(udpFrame(clientOf(id), VIP, scccn({ tunnel: id + 1000 })));
}

function enter(appliance: MemoryAppliance, name: string, state: number): void {
  const server = appliance.binding.servers.find((bound) => bound.name === name);
  appliance.binding.states.enter(server?.index ?? -1, state, SERVER_REASON.command);
}

/** Groups that are remembered: tunnels of each. */
function groupsOf({ groups }: TableMemory): number[] {
  const counts: number[] = [];
  for (let at = 0; at < groups.length; at += GROUP_MEMBER_WORDS)
    if (groups[at + GROUP_MEMBER.key] !== 0) counts.push(groups[at + GROUP_MEMBER.count]);
  return counts.sort();
}

/** A group with one tunnel, at the active designator, and at a server that the table would not choose. */
function atSecondChoice(): { pair: ClusterPair; own: string; second: string } {
  const pair = new ClusterPair(FARM);
  const other = new ClusterPair(FARM);
  const own = ask(other, other.active, 1);
  enter(pair.active, own, SERVER_STATE.down);
  const second = ask(pair, pair.active, 2);
  expect(second).not.toBe(own);
  establish(pair, 2, second);
  enter(pair.active, own, SERVER_STATE.up);
  return { pair, own, second };
}

describe('a group at a server that the table would not choose', () => {
  test('the other designator sends its next request there', () => {
    const { pair, own, second } = atSecondChoice();
    pair.carry();
    expect(ask(pair, pair.standby, 3)).toBe(second);
    expect(pair.standby.count('groupsFollowed')).toBe(1);
    expect(ask(pair, pair.active, 4)).toBe(second);
    // One that has not heard of the tunnel is what the test would see else.
    expect(ask(pair, new ClusterPair(FARM).active, 5)).toBe(own);
  });

  test('with its last tunnel that is over, there as here', () => {
    const { pair, own, second } = atSecondChoice();
    pair.carry();
    expect(groupsOf(pair.standby.memory)).toEqual([1]);
    pair.send(udpFrame(clientOf(2), VIP, stopccn({ tunnel: 1002, assigned: 2, ns: 2, nr: 1 })));
    pair.carry();
    expect(groupsOf(pair.standby.memory)).toEqual([]);
    expect(ask(pair, pair.standby, 3)).toBe(own);
    expect(own).not.toBe(second);
    expect(groupsOf(pair.standby.memory)).toEqual([1]);
  });

  test('a stream that is dropped leaves no group behind', () => {
    const { pair } = atSecondChoice();
    pair.carry();
    pair.apply.drop(pair.stream);
    expect(groupsOf(pair.standby.memory)).toEqual([]);
    expect(pair.standby.memory.groupMembers.every((word) => word === 0)).toBe(true);
  });

  test('a take-over between servers moves the group there too', () => {
    const { pair, own, second } = atSecondChoice();
    pair.carry();
    const key = pair.active.memory.groupMembers.find((word) => word !== 0) as number;
    const indexOf = (name: string): number =>
      pair.standby.binding.servers.find((one) => one.name === name)?.index ?? -1;
    const groups = new GroupMemory(pair.standby.memory);
    expect(groups.serverOf(key)).toBe(indexOf(second));
    const record = pair.active.memory.groupMembers.indexOf(key);
    const heir = pair.active.binding.servers.find((one) => one.name === own)?.index ?? -1;
    const { records } = pair.active.memory;
    const place = record * RECORD_WORDS + RECORD.place;
    records[place] = (records[place] & ~0xffff) | heir;
    new GroupMemory(pair.active.memory).move(record, heir);
    pair.carry();
    expect(groups.serverOf(key)).toBe(indexOf(own));
  });
});

describe('a group with tunnels at two servers is where its newest one is', () => {
  test('in whatever order its tunnels are heard of, and after a process that counts anew', () => {
    const { pair, own, second } = atSecondChoice();
    pair.at(pair.active.now + 10);
    enter(pair.active, second, SERVER_STATE.draining);
    const third = ask(pair, pair.active, 3);
    establish(pair, 3, third);
    enter(pair.active, second, SERVER_STATE.up);
    expect(third).toBe(own);
    pair.carry();
    expect(ask(pair, pair.standby, 4)).toBe(third);
    // The older one once more, as when a snapshot comes.
    const [older] = Array.from({ length: pair.stream.capacity[0] }, (_, i) => i).filter((i) =>
      pair.stream.mirrors[0].has(i),
    );
    pair.apply.changed(pair.stream, 0, older);
    expect(ask(pair, pair.standby, 5)).toBe(third);
    new GroupMemory(pair.standby.memory).recount();
    expect(ask(pair, pair.standby, 6)).toBe(third);
    expect(groupsOf(pair.standby.memory)).toEqual([5]);
  });
});
