/**
 * The bus between three designators and an agent, as processes in namespaces, with each driver: who is there, what all of
 * them do, what is refused, and that forwarding does not depend on it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import type { Bridge, Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { ClusterBusRow, ClusterMemberRow } from '../../src/ops/endpoint.js';
import { describeLab, SELF } from '../helpers/lab.js';

const SECRET = 'a secret of the whole cluster';
const LOAD_SECRET = 'a secret of all the servers';
const WAIT_MS = 20_000;
const NATS = '10.99.0.9';
const busAddress = (number: number): string => `10.99.0.${number}`;

type Row = ClusterBusRow | ClusterMemberRow | { readonly kind: 'stream' };

describeLab('the bus of a cluster', ['nats-server'], (open) => {
  let lab: Lab;
  let bus: Bridge;
  let natsBox: Namespace;
  let nats: Daemon | null = null;
  const boxes: Namespace[] = [];
  const members: LabAppliance[] = [];

  const udp = (number: number): object => ({
    driver: 'udp',
    address: busAddress(number),
    secret: SECRET,
    peers: [1, 2, 3, 4].map((peer) => ({ number: peer, address: busAddress(peer) })),
  });
  const local = (): object => ({ driver: 'local', folder: join(lab.folder, 'cluster') });
  const overNats = (): object => ({ driver: 'nats', servers: [`${NATS}:4222`], user: 'td', password: 'secret' });

  const config = (number: number, driver: object, vip = '192.0.2.100'): Record<string, unknown> => ({
    interfaces: { outside: 'wan0', inside: 'lan0' },
    workers: 1,
    table: { connections: 64 },
    vips: [
      {
        name: 'access',
        address: vip,
        algorithm: 'least-load',
        servers: [
          { name: 'lns1', address: '10.10.1.1' },
          { name: 'lns2', address: '10.10.1.2' },
        ],
      },
    ],
    loadStatus: {
      secret: LOAD_SECRET,
      formula: { memory: 1 },
      ...(number === 1 ? { listen: `${busAddress(1)}:7017` } : {}),
    },
    cluster: { name: 'pop1', number, member: `td${number}`, bus: driver },
  });

  const rows = (number: number): Promise<Row[]> => members[number - 1].control('GET', '/v1/cluster');
  const membersSeen = async (number: number): Promise<ClusterMemberRow[]> =>
    (await rows(number)).filter((row): row is ClusterMemberRow => row.kind === 'member');
  const busSeen = async (number: number): Promise<ClusterBusRow> => {
    const found = (await rows(number)).find((row): row is ClusterBusRow => row.kind === 'bus');
    if (found === undefined) throw new Error('there is no row of the bus');
    return found;
  };
  const meet = (states: Readonly<Record<number, string>>): Promise<unknown> =>
    waitFor(
      `members to see ${JSON.stringify(states)}`,
      async () => {
        const seen = await Promise.all([1, 2, 3].map((number) => membersSeen(number)));
        return seen.every(
          (each) =>
            JSON.stringify(Object.fromEntries(each.map(({ number, state }) => [number, state]))) ===
            JSON.stringify(states),
        );
      },
      WAIT_MS,
      async () => JSON.stringify(await Promise.all([1, 2, 3].map((number) => membersSeen(number)))),
    );
  const all = { 1: 'ready', 2: 'ready', 3: 'ready' };
  /** `other`: the VIP of member 3, when it is to differ. */
  const restart = async (driver: (number: number) => object, other?: string): Promise<void> => {
    await Promise.all(members.map(({ daemon }) => daemon?.stop(10_000)));
    members.forEach((member, index) =>
      member.write(config(index + 1, driver(index + 1), index === 2 ? other : undefined)),
    );
    await Promise.all(members.map((member) => member.start()));
  };
  const startNats = (): void => {
    nats = natsBox.start('nats', 'nats-server', ['-c', join(lab.folder, 'nats.conf')]);
  };
  const healthOf = (number: number): Promise<{ status: string; reason: string | null }> =>
    members[number - 1].control('GET', '/healthz');

  beforeAll(async () => {
    lab = await open();
    const [outside, inside] = [await lab.bridge('wan'), await lab.bridge('lan')];
    bus = await lab.bridge('bus');
    const server = await lab.namespace('s');
    await lab.plug(inside, server, 'eth0', ['10.10.1.1/24', '10.10.1.2/24']);
    await lab.plug(bus, server, 'bus0', [`${busAddress(4)}/24`]);
    boxes.push(server);
    for (let number = 1; number <= 3; number++) {
      const box = await lab.namespace(`d${number}`);
      await lab.plug(outside, box, 'wan0', [`192.0.2.${number}/24`], { checksums: false });
      await lab.plug(inside, box, 'lan0', [`10.10.1.${250 + number}/24`], { checksums: false });
      await lab.plug(bus, box, 'bus0', [`${busAddress(number)}/24`]);
      members.push(new LabAppliance(lab, box, { self: SELF, config: config(number, udp(number)), name: `d${number}` }));
    }
    natsBox = await lab.namespace('n');
    await lab.plug(bus, natsBox, 'eth0', [`${NATS}/24`]);
    mkdirSync(join(lab.folder, 'nats'));
    writeFileSync(
      join(lab.folder, 'nats.conf'),
      `listen: ${NATS}:4222\njetstream { store_dir: "${join(lab.folder, 'nats')}", max_mem: 16M, max_file: 16M }\n` +
        'authorization { user: td, password: secret }\n',
    );
    await Promise.all(members.map((member) => member.start()));
  });

  test('udp: members see one another; an order of one operator is done by all', async () => {
    await meet(all);
    expect(await membersSeen(2)).toMatchObject([
      { number: 1, name: 'td1', self: false, role: 'designator', part: 'all', serversUp: 2, hearsUs: true },
      { number: 2, name: 'td2', self: true },
      { number: 3, name: 'td3', self: false },
    ]);
    await members[2].control('POST', '/v1/servers/command', { action: 'drain', names: ['lns2'] });
    await members[2].control('POST', '/v1/servers/command', { action: 'weight', names: ['lns1'], weight: 7 });
    const done = async (number: number): Promise<boolean> => {
      const [first, second] = await members[number - 1].servers();
      return second.state === 'draining' && first.weight === 7;
    };
    await waitFor('the orders to be done everywhere', async () => (await done(1)) && (await done(2)), WAIT_MS);
    const text = await members[0].command('show', 'cluster');
    expect(text).toMatch(/^Cluster pop1, bus udp: up\./);
    expect(text).toMatch(/3\s.*td3\s.*designator/);
  });

  test('what a server tells one designator all of them know, and a server may tell the bus alone', async () => {
    const agent = (name: string, more: object): Daemon => {
      const file = join(lab.folder, `${name}.yaml`);
      writeFileSync(file, JSON.stringify({ server: name, secret: LOAD_SECRET, every: '200ms', ...more }));
      return boxes[0].start(`agent-${name}`, SELF[0], [SELF[1], 'agent', '-c', file]);
    };
    agent('lns1', { designators: `${busAddress(1)}:7017` });
    agent('lns2', { cluster: { name: 'pop1', number: 4, member: 'host4', bus: udp(4) } });
    await waitFor(
      'loads of both servers everywhere',
      async () => {
        const seen = await Promise.all(members.map((member) => member.servers()));
        return seen.every((servers) => servers.every(({ loadStatus }) => loadStatus?.accepting === true));
      },
      WAIT_MS,
    );
    await waitFor(
      'the agent to be a member',
      async () => (await membersSeen(3)).some(({ role, name }) => role === 'agent' && name === 'host4'),
      WAIT_MS,
    );
    for (const member of members) {
      const drops = Object.keys(await member.drops());
      expect(drops.filter((reason) => reason.startsWith('load-status'))).toEqual([]);
    }
  });

  test('local: the same without a network; a member of another configuration is refused, and the difference is named', async () => {
    await restart(local, '192.0.2.99');
    await waitFor(
      'it to be refused',
      async () => {
        const [ours, theirs] = [await membersSeen(1), await membersSeen(3)];
        return ours[1]?.state === 'ready' && ours[2]?.state === 'refused' && theirs[1]?.state === 'refused';
      },
      WAIT_MS,
    );
    expect((await membersSeen(1))[2].reason).toBe(
      'vip access: 192.0.2.100:1701 l2tp vip here, 192.0.2.99:1701 l2tp vip there',
    );
    expect(await healthOf(1)).toMatchObject({
      status: 'degraded',
      reason: expect.stringMatching(/^cluster: member 3 is refused: vip access/),
    });
    const said = await members[0].command('events', '--json', '--no-follow', '--type', 'cluster-member');
    const events = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.filter(({ what }) => what === 'refused')).toMatchObject([{ number: 3 }]);
  });

  test('nats: nobody waits for it, and when it is away everything goes on, degraded', async () => {
    await restart(overNats);
    expect(await busSeen(1)).toMatchObject({ driver: 'nats', state: 'degraded' });
    expect(await healthOf(1)).toMatchObject({ status: 'degraded', reason: expect.stringMatching(/^cluster: no NATS/) });
    startNats();
    await meet(all);
    expect(await busSeen(1)).toMatchObject({ state: 'up', reason: null });
    await nats?.kill();
    await waitFor('it to be noticed', async () => (await busSeen(1)).state === 'degraded', WAIT_MS);
    expect(await healthOf(1)).toMatchObject({ status: 'degraded' });
    expect(await members[0].control('GET', '/readyz')).toMatchObject({ status: 'ok' });
    startNats();
    await waitFor('the bus to be up', async () => (await healthOf(1)).status === 'ok', WAIT_MS);
    await meet(all);
  });
});
