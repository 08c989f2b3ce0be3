import { expect, test } from 'vitest';
import { PORT_INSIDE } from '../../../src/io/port.js';
import { ServerCommands } from '../../../src/roles/designator/drains.js';
import { MemoryAppliance } from '../../helpers/memory-appliance.js';
import { l2tpData, scccn, sccrp, sccrq, udpFrame } from '../../helpers/packet-builder.js';
import { brokenInvariants } from '../../helpers/table-invariants.js';

const VIP = '200.200.100.1:1701';
const CLIENT = '192.128.10.5:1701';
const yaml = (...servers: readonly [name: string, address: string, weight: number][]): string =>
  `vips: [{ name: access, address: 200.200.100.1, servers: [${servers
    .map(([name, address, weight]) => `{ name: ${name}, address: ${address}, weight: ${weight} }`)
    .join(', ')}] }]\ntable: { connections: 16 }`;
const ONE = ['lns1', '10.10.1.1', 1] as const;
const TWO = ['lns2', '10.10.1.2', 2] as const;

const serverOf = (appliance: MemoryAppliance, id: number): string => {
  const { sent } = appliance.send(udpFrame(CLIENT, VIP, sccrq({ assigned: id })));
  return [...(sent[0]?.frame.subarray(30, 34) ?? [])].join('.');
};
const carries = (appliance: MemoryAppliance, tunnel: number): number =>
  appliance.send(udpFrame(CLIENT, VIP, l2tpData({ tunnel, session: 1 }))).sent.length;
function establish(appliance: MemoryAppliance, id: number, serverId: number): void {
  const server = serverOf(appliance, id);
  appliance.send(udpFrame(`${server}:1701`, CLIENT, sccrp({ tunnel: id, assigned: serverId })), PORT_INSIDE);
  appliance.send(udpFrame(CLIENT, VIP, scccn({ tunnel: serverId })));
}
const rowsOf = (appliance: MemoryAppliance): [name: string, state: string, weight: number, tunnels: number][] =>
  appliance.rows.servers().map((row) => [row.name, row.state, row.weight, row.tunnels]);
const weigh = (appliance: MemoryAppliance, name: string, weight: number): void => {
  const commands = new ServerCommands(
    appliance.memory,
    appliance.binding,
    () => appliance.now,
    appliance.binding.states,
    () => {},
    { inactivate: () => {}, activate: () => false, overruled: () => {} },
  );
  commands.run({ action: 'weight', names: [name], weight });
};

test('a server that the configuration no longer names drains and goes with its last tunnel; one that comes takes part', () => {
  const appliance = new MemoryAppliance(yaml([...ONE]));
  establish(appliance, 7, 99);
  appliance.reload(yaml([...TWO]));
  expect(rowsOf(appliance)).toEqual([
    ['lns2', 'up', 2, 0],
    ['10.10.1.1:1701', 'draining', 1, 1],
  ]);
  expect(carries(appliance, 99)).toBe(1);
  expect([8, 9].map((id) => serverOf(appliance, id))).toEqual(['10.10.1.2', '10.10.1.2']);
  expect(appliance.binding.hasEmptyRetired()).toBe(false);
  appliance.at(appliance.now + 601);
  expect(appliance.binding.hasEmptyRetired()).toBe(true);
  appliance.reload();
  expect(rowsOf(appliance)).toEqual([['lns2', 'up', 2, 0]]);
  expect(brokenInvariants(appliance.memory)).toEqual([]);
});

test('a weight set at run time stays over a reload that does not change it, and yields to one that does', () => {
  const appliance = new MemoryAppliance(yaml([...ONE], [...TWO]));
  weigh(appliance, 'lns1', 0);
  appliance.reload(yaml([...ONE], ['lns2', '10.10.1.2', 3]));
  expect(rowsOf(appliance).map(([, , weight]) => weight)).toEqual([0, 3]);
  appliance.reload(yaml(['lns1', '10.10.1.1', 5], ['lns2', '10.10.1.2', 3]));
  expect(rowsOf(appliance).map(([, , weight]) => weight)).toEqual([5, 3]);
});

test('a restart with the same configuration takes over tunnels, turns and run-time weights', () => {
  const before = new MemoryAppliance(yaml([...ONE], [...TWO]));
  establish(before, 7, 99);
  weigh(before, 'lns1', 4);
  const after = new MemoryAppliance(yaml([...ONE], [...TWO]), { memory: before.memory, shards: 2 });
  expect(after.adopted).toBe(1);
  expect(rowsOf(after)).toEqual([
    ['lns1', 'up', 4, 0],
    ['lns2', 'up', 2, 1],
  ]);
  expect(carries(after, 99)).toBe(1);
  expect(brokenInvariants(after.memory)).toEqual([]);
  after.at(after.now + 700);
  after.at(after.now + 700);
  expect(after.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
});

test('a restart with another configuration: its weights count, and what it does not name drains', () => {
  const before = new MemoryAppliance(yaml([...ONE], [...TWO]));
  establish(before, 7, 99); // lns2
  const after = new MemoryAppliance(yaml(['lns1', '10.10.1.1', 6], ['lns3', '10.10.1.3', 1]), {
    memory: before.memory,
  });
  expect(rowsOf(after)).toEqual([
    ['lns1', 'up', 6, 0],
    ['lns3', 'up', 1, 0],
    ['10.10.1.2:1701', 'draining', 2, 1],
  ]);
  expect(carries(after, 99)).toBe(1);
  expect(after.rows.tunnels()[0]).toMatchObject({ vip: 'access', serverAddress: '10.10.1.2', state: 'established' });
});
