/**
 * Document 001, last page: endpoints are selected deterministically for connections with several origination points.
 * Related requests, of whatever clients and at whatever designator, go to one server.
 */
import { describe, expect, test } from 'vitest';
import { groupKey } from '../../src/dataplane/group-keys.js';
import { GroupMemory } from '../../src/flow/group-memory.js';
import { ServerTable } from '../../src/designation/servers.js';
import { formatTable, SERVER_REASON, SERVER_STATE, TableMemory, tableLayout } from '../../src/flow/layout.js';
import { PORT_INSIDE } from '../../src/io/port.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import { avp, text } from '../helpers/l2tp-builder.js';
import { scccn, sccrp, sccrq, stopccn, udpFrame } from '../helpers/packet-builder.js';

const VIP = '200.200.100.1';
const NAMES = ['lns1', 'lns2', 'lns3', 'lns4', 'lns5'];

interface Options {
  by?: string;
  algorithm?: string;
  reversed?: boolean;
  shards?: number;
  memory?: TableMemory;
  weights?: readonly number[];
}

function farm({
  by = 'host-name',
  algorithm = 'round-robin',
  reversed = false,
  shards = 1,
  memory,
  weights,
}: Options = {}) {
  const servers = NAMES.map((name, n) => `{ name: ${name}, address: 10.10.1.${n + 1}, weight: ${weights?.[n] ?? 1} }`);
  if (reversed) servers.reverse();
  const yaml = `vips: [{ name: access, address: ${VIP}, algorithm: ${algorithm}, groupBy: ${by}, servers: [${servers.join(', ')}] }]\ntable: { connections: 4096 }\n`;
  return new MemoryAppliance(yaml, { shards, ...(memory === undefined ? {} : { memory }) });
}

let id = 0;

/** Asks with this name from a client of its own: the server's name, and what is needed to go on. */
function ask(appliance: MemoryAppliance, host: string, options: { calling?: string; client?: number } = {}) {
  const n = options.client ?? ++id;
  const client = `192.128.${10 + (n >> 8)}.${n & 0xff}:1701`;
  const assigned = (id % 60_000) + 1;
  const more = options.calling === undefined ? [] : [avp(22, text(options.calling), { mandatory: false })];
  const { sent } = appliance.send(udpFrame(client, `${VIP}:1701`, sccrq({ assigned, host, more })));
  expect(sent).toHaveLength(1);
  const address = sent[0].frame.subarray(30, 34).join('.');
  const server = appliance.rows.servers().find((row) => row.address === address)?.name ?? '';
  return {
    server,
    establish: (serverId: number): void => {
      appliance.send(udpFrame(`${address}:1701`, client, sccrp({ tunnel: assigned, assigned: serverId })), PORT_INSIDE);
      appliance.send(udpFrame(client, `${VIP}:1701`, scccn({ tunnel: serverId })));
    },
    stop: (serverId: number): void => {
      appliance.send(udpFrame(client, `${VIP}:1701`, stopccn({ tunnel: serverId, assigned, ns: 2 })));
    },
  };
}

const enter = (appliance: MemoryAppliance, name: string, state: number): void => {
  const server = appliance.binding.servers.find((bound) => bound.name === name);
  appliance.binding.states.enter(server?.index ?? -1, state, SERVER_REASON.command);
};

const hosts = Array.from({ length: 300 }, (_, n) => `lac${n}.isp${n % 40}.example`);

describe('requests with one key go to one server', () => {
  test('of many clients and in several shards, and keys spread over all servers', () => {
    const appliance = farm({ shards: 3 });
    const first = hosts.map((host) => ask(appliance, host).server);
    const second = hosts.map((host) => ask(appliance, host).server);
    expect(second).toEqual(first);
    for (const name of NAMES) expect(first.filter((server) => server === name).length).toBeGreaterThan(30);
    expect(appliance.count('grouped')).toBe(600);
  });

  test('at two designators, in any order of the file and of the requests, before and after other tunnels', () => {
    const [a, b] = [farm(), farm({ reversed: true, algorithm: 'least-tunnels', shards: 2 })];
    for (let n = 0; n < 500; n++) ask(b, `other${n}`);
    const atA = hosts.map((host) => ask(a, host).server);
    const atB = [...hosts]
      .reverse()
      .map((host) => ask(b, host).server)
      .reverse();
    expect(atB).toEqual(atA);
  });

  test('weights count', () => {
    const appliance = farm({ weights: [1, 1, 1, 1, 6] });
    const servers = Array.from({ length: 1000 }, (_, n) => ask(appliance, `host${n}`).server);
    const share = servers.filter((server) => server === 'lns5').length;
    expect(share).toBeGreaterThan(520);
    expect(share).toBeLessThan(680);
  });

  test('names are compared without regard to case; a request without the key goes by the algorithm', () => {
    const appliance = farm();
    expect(ask(appliance, 'LAC7.Example').server).toBe(ask(appliance, 'lac7.example').server);
    const numbers = farm({ by: 'calling-number' });
    const plain = Array.from({ length: 5 }, () => ask(numbers, 'lac7').server);
    expect(plain).toEqual(NAMES); // round robin
    expect(numbers.count('grouped')).toBe(0);
    const calls = Array.from({ length: 5 }, () => ask(numbers, 'lac7', { calling: '49301234' }).server);
    expect(new Set(calls).size).toBe(1);
  });

  test('a realm is what follows the @, or else the first dot; a bare name has none', () => {
    const appliance = farm({ by: 'realm' });
    const isp = ask(appliance, 'lac1@isp.example').server;
    for (const host of ['lac2@isp.example', 'x.y@isp.example', 'lac9.isp.example', '@ISP.example'])
      expect(ask(appliance, host).server).toBe(isp);
    expect(appliance.count('grouped')).toBe(5);
    ask(appliance, 'lac');
    ask(appliance, 'lac@');
    expect(appliance.count('grouped')).toBe(5);
    expect(groupKey('realm', 'a@b', 7)).toBe(groupKey('realm', 'c.b', 7));
    expect(groupKey('host-name', 'a@b', 7)).not.toBe(groupKey('host-name', 'c.b', 7));
  });
});

describe('states', () => {
  test('a server that may take none: its groups go to others, the same at both, and all other groups stay', () => {
    const [a, b] = [farm(), farm({ reversed: true })];
    const before = hosts.map((host) => ask(a, host).server);
    for (const appliance of [a, b]) enter(appliance, 'lns3', SERVER_STATE.down);
    const after = hosts.map((host) => ask(a, host).server);
    expect(hosts.map((host) => ask(b, host).server)).toEqual(after);
    after.forEach((server, n) => {
      if (before[n] === 'lns3') expect(server).not.toBe('lns3');
      else expect(server).toBe(before[n]);
    });
  });

  test('a group goes where its tunnels are, also when its own server is back; with its last tunnel that is over', () => {
    const appliance = farm();
    const host = hosts.find((name) => ask(farm(), name).server === 'lns2') as string;
    enter(appliance, 'lns2', SERVER_STATE.down);
    const tunnel = ask(appliance, host);
    expect(tunnel.server).not.toBe('lns2');
    tunnel.establish(501);
    enter(appliance, 'lns2', SERVER_STATE.slowStart);
    expect(ask(appliance, host).server).toBe(tunnel.server);
    expect(appliance.count('groupsFollowed')).toBe(1);
    tunnel.stop(501);
    appliance.at(appliance.now + 120); // the half-open one is forgotten, too
    expect(ask(appliance, host).server).toBe('lns2');
  });

  test('a group whose tunnels are at a server that drains begins anew elsewhere', () => {
    const appliance = farm();
    const [host] = hosts;
    const home = ask(appliance, host).server;
    enter(appliance, home, SERVER_STATE.draining);
    const next = ask(appliance, host).server;
    expect(next).not.toBe(home);
    enter(appliance, home, SERVER_STATE.up);
    expect(ask(appliance, host).server).toBe(next);
  });

  test('another process knows where the groups are', () => {
    const appliance = farm();
    const host = hosts.find((name) => ask(farm(), name).server === 'lns2') as string;
    enter(appliance, 'lns2', SERVER_STATE.down);
    const tunnel = ask(appliance, host);
    tunnel.establish(501);
    enter(appliance, 'lns2', SERVER_STATE.up);
    const next = farm({ memory: appliance.memory });
    new ServerTable(next.memory).recount();
    expect(ask(next, host).server).toBe(tunnel.server);
  });
});

describe('the memory of groups', () => {
  const empty = (connections: number): TableMemory => {
    const memory = new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
    formatTable(memory, 1, new Int32Array(4));
    return memory;
  };

  test('has room for as many groups as tunnels, and says when there is none', () => {
    const memory = empty(64);
    const groups = new GroupMemory(memory);
    let kept = 0;
    for (let record = 0; record < 64; record++) if (groups.join(record, record * 7919 + 1)) kept++;
    expect(kept).toBeGreaterThan(50);
    expect(kept).toBeLessThanOrEqual(64);
    for (let record = 0; record < 64; record++) groups.leave(record);
    expect(memory.groups.every((word) => word === 0)).toBe(true);
    expect(memory.groupMembers.every((word) => word === 0)).toBe(true);
    groups.leave(3);
    expect(groups.serverOf(1)).toBe(-1);
  });

  test('who found no room takes nothing off the count of those who did later', () => {
    const groups = new GroupMemory(empty(64));
    const keys: number[] = [];
    let crowded = 0;
    for (let key = 1; crowded === 0; key++)
      if (groups.join(0, key)) keys.push(key);
      else crowded = key;
    // Record 0 has been given every key in turn; the last one that found room is taken off by hand of record 1.
    expect(groups.keyOf(0)).toBe(0);
    for (const key of keys) {
      groups.memory.groupMembers[1] = key;
      groups.leave(1);
    }
    expect(groups.join(2, crowded)).toBe(true);
    groups.leave(0);
    expect(groups.serverOf(crowded)).toBe(0);
  });

  test('a take-over moves the group', () => {
    const groups = new GroupMemory(empty(64));
    groups.join(1, 77);
    expect(groups.serverOf(77)).toBe(0);
    groups.move(1, 5);
    groups.move(2, 6);
    expect(groups.serverOf(77)).toBe(5);
  });
});
