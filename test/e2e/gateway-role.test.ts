/** The gateway role as an operator has it: three gateways of a LAN, their tables and commands, reload, tracking, the end. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type LabEndpoint, startEndpoint } from '../../src/demo/lab/endpoint.js';
import { GatewayLan, type LanGateway, SHARED, TARGET } from '../../src/demo/lab/gateway-lan.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { GatewayForwarderRow, GatewayGroupRow, GatewayHostRow, GatewayRow } from '../../src/ops/endpoint.js';
import { describeLab, SELF } from '../helpers/lab.js';

describeLab('a gateway group as its operator has it', ['ping'], (open) => {
  let lab: Lab;
  let scene: GatewayLan;
  const gateways: LabEndpoint[] = [];

  const configOf = (number: number, more: Readonly<Record<string, unknown>> = {}) => ({
    groups: [
      {
        name: 'lan',
        group: 7,
        interface: 'eth0',
        number,
        addresses: [SHARED],
        key: { file: join(lab.folder, 'lan.key') },
        // On a busy machine a process may not run for a fifth of a second, which by default is a standstill.
        adverts: { interval: '200ms' },
        priority: 100 + number,
        preempt: { delay: '500ms' },
        track: [{ interface: 'eth1', forward: false }],
        ...more,
      },
    ],
  });
  const start = (gateway: LanGateway, name = `g${gateway.number}`) =>
    startEndpoint(lab, gateway.namespace, { role: 'gateway', self: SELF, name, config: configOf(gateway.number) });
  const table = async <T>(gateway: LabEndpoint, name: string): Promise<T[]> =>
    gateway.control<T[]>('GET', `/v1/${name}`);
  const until = async (what: string, gateway: LabEndpoint, number: number, state: string): Promise<void> => {
    await waitFor(
      what,
      async () => (await table<GatewayRow>(gateway, 'gateways')).find((row) => row.gateway === number)?.state === state,
      15_000,
      async () => JSON.stringify(await table<GatewayRow>(gateway, 'gateways')),
    );
  };

  beforeAll(async () => {
    lab = await open();
    writeFileSync(join(lab.folder, 'lan.key'), 'a key of the laboratory\n', { mode: 0o600 });
    scene = await GatewayLan.open(lab, { gateways: 3, hosts: 6 });
    gateways.push(...(await Promise.all(scene.gateways.map((gateway) => start(gateway)))));
    await until('the best to be master', gateways[0], 3, 'master');
    // A host that asks before the others are there is given the one that is.
    await waitFor(
      'all virtual MACs to be served',
      async () => {
        const rows = await table<GatewayForwarderRow>(gateways[2], 'forwarders');
        return rows.filter(({ state, givenOut }) => state === 'active' && givenOut).length === 3;
      },
      15_000,
    );
  }, 60_000);

  const reach = (host: number) => scene.hosts[host].namespace.run('ping', ['-n', '-c', '1', '-W', '2', TARGET]);

  test('hosts forward through all of them, and every table says the same', async () => {
    for (let host = 0; host < 6; host++) expect(await reach(host)).toContain('1 received');
    const hosts = await waitFor(
      'all gateways to know all hosts',
      async () => {
        const found = await Promise.all(gateways.map((gateway) => table<GatewayHostRow>(gateway, 'hosts')));
        return found.every((rows) => rows.length === 6) ? found : null;
      },
      5000,
    );
    const given = (rows: GatewayHostRow[]) => Object.fromEntries(rows.map(({ host, gateway }) => [host, gateway]));
    expect(given(hosts[1])).toEqual(given(hosts[0]));
    expect(given(hosts[2])).toEqual(given(hosts[0]));
    expect([1, 2, 3].map((n) => hosts[0].filter(({ gateway }) => gateway === n).length)).toEqual([2, 2, 2]);
    const neighbours = await scene.neighbours();
    for (const [index, { mac }] of scene.hosts.entries())
      expect(neighbours[index]?.mac).toBe(hosts[0].find(({ host }) => host === mac)?.virtualMac);
    // The first packet may have met the master, who stands in until the switch knows better; the next ones do not.
    const before = await scene.forwarded();
    for (let host = 0; host < 6; host++) expect(await reach(host)).toContain('1 received');
    const forwarded = await scene.forwarded();
    expect(forwarded.map((packets, index) => packets - before[index] >= 2)).toEqual([true, true, true]);
    const rows = await table<GatewayRow>(gateways[0], 'gateways');
    expect(rows).toMatchObject([
      { gateway: 1, self: true, state: 'backup', priority: 101, serves: '1', hosts: 2, address: '10.7.0.1' },
      { gateway: 2, self: false, state: 'backup', priority: 102, serves: '2', hosts: 2, alive: true, able: true },
      { gateway: 3, state: 'master', master: true, priority: 103, serves: '3', hosts: 2, verified: true },
    ]);
    expect(await table<GatewayGroupRow>(gateways[1], 'groups')).toMatchObject([
      { group: 'lan', number: 7, interface: 'eth0', gateway: 2, state: 'backup', master: 3, members: 3, hosts: 6 },
    ]);
    expect(await gateways[1].command('show', 'gateways')).toMatch(/lan +2 \(this\) +backup +102/);
    expect(await gateways[1].command('show', 'forwarders')).toMatch(/02:54:44:00:07:03 +active +3 +yes/);
    expect(JSON.parse(await gateways[1].command('show', 'hosts', '--json'))).toHaveLength(6);
    // The gateway itself answers for the address.
    expect(await scene.hosts[0].namespace.run('ping', ['-n', '-c', '1', '-W', '2', SHARED])).toContain('1 received');
  });

  test('traffic is counted for the virtual MAC that it came to', async () => {
    const [{ gateway, addresses }] = await table<GatewayHostRow>(gateways[0], 'hosts');
    const host = scene.hosts.findIndex(({ address }) => address === addresses);
    const packets = async () =>
      (await table<GatewayForwarderRow>(gateways[gateway - 1], 'forwarders')).find(
        ({ forwarder }) => forwarder === gateway,
      )?.packets ?? 0;
    const before = await packets();
    await scene.hosts[host].namespace.run('ping', ['-n', '-c', '5', '-i', '0.02', '-W', '2', TARGET]);
    // A gateway that stands in for others hears their messages, which are no traffic of hosts.
    const strangers = async () =>
      (await table<GatewayForwarderRow>(gateways[2], 'forwarders'))
        .filter(({ forwarder, held }) => held && forwarder !== 3)
        .map(({ packets: count }) => count);
    const quiet = await strangers();
    expect(quiet).toHaveLength(2);
    // They are read once a second.
    await waitFor('the packets to be counted', async () => (await packets()) >= before + 5, 5000);
    expect(await strangers()).toEqual(quiet);
  });

  test('move gives a host another gateway, now', async () => {
    const [{ host, addresses, gateway }] = await table<GatewayHostRow>(gateways[2], 'hosts');
    const to = (gateway % 3) + 1;
    expect(await gateways[2].command('gateway', 'move', addresses, String(to))).toBe(
      'lan: 1 host is given another gateway\n',
    );
    const index = scene.hosts.findIndex(({ mac }) => mac === host);
    await waitFor(
      'the host to believe it',
      async () => (await scene.neighbours())[index]?.mac === `02:54:44:00:07:0${to}`,
      5000,
      async () => JSON.stringify(await scene.neighbours()),
    );
    expect(await reach(index)).toContain('1 received');
    const refused = await gateways[0].tryCommand('gateway', 'move', addresses, '9');
    expect(refused.status).not.toBe(0);
  });

  test('what is tracked takes the office away, and gives it back', async () => {
    await scene.gateway(3).namespace.ip('link set eth1 down');
    await until('another master', gateways[0], 2, 'master');
    expect(await table<GatewayRow>(gateways[0], 'gateways')).toMatchObject([
      { gateway: 1 },
      { gateway: 2 },
      { gateway: 3, able: false, reasons: 'interface eth1: down', serves: '' },
    ]);
    expect(await gateways[2].command('show', 'tracks')).toMatch(/lan +interface eth1 +no +down/);
    for (let host = 0; host < 6; host++) expect(await reach(host)).toContain('1 received');
    await scene.gateway(3).namespace.ip('link set eth1 up');
    await until('the best to be master again', gateways[0], 3, 'master');
    const events = await gateways[2].command('events', '--json', '--no-follow', '--since', '60s');
    expect(events).toContain('"type":"gateway-tracking"');
    expect(events).toContain('"type":"gateway-state"');
  });

  test('a reload takes another priority without an end; what is wrong changes nothing', async () => {
    gateways[0].write(configOf(1, { priority: 200 }));
    expect(await gateways[0].command('reload')).toBe('applied: group lan: priority\n');
    await until('the new best to be master', gateways[1], 1, 'master');
    gateways[0].write(configOf(1, { priority: 255 }));
    const refused = await gateways[0].tryCommand('reload');
    expect([refused.status, refused.stderr]).toEqual([78, expect.stringContaining('groups.0.priority')]);
    gateways[0].write(configOf(1));
    await gateways[0].command('reload');
    await until('the former best to be master', gateways[1], 3, 'master');
  });

  test('a route and a script are tracked: priority and weight follow them at once', async () => {
    const { namespace } = scene.gateway(1);
    const flag = join(lab.folder, 'well');
    writeFileSync(flag, '');
    const track = [
      { route: '10.9.0.0/24', priority: 50 },
      { name: 'flag', script: ['/usr/bin/test', '-e', flag], interval: '100ms', weight: 30 },
    ];
    gateways[0].write(configOf(1, { track }));
    expect(await gateways[0].command('reload')).toBe('applied: group lan: track\n');
    const tracked = async (): Promise<unknown> => {
      const [tracks, [self]] = [
        await table<{ good: boolean }>(gateways[0], 'tracks'),
        await table<GatewayRow>(gateways[0], 'gateways'),
      ];
      return [...tracks.map(({ good }) => good), self.priority, self.weight];
    };
    const come = (what: string, expected: unknown) =>
      waitFor(
        what,
        async () => JSON.stringify(await tracked()) === JSON.stringify(expected),
        5000,
        async () => JSON.stringify(await tracked()),
      );
    await come('a route to be missing', [false, true, 51, 100]);
    await namespace.ip('route add 10.9.0.0/24 via 10.6.0.100');
    await come('the route to be seen', [true, true, 101, 100]);
    rmSync(flag);
    await come('the script to fail', [true, false, 101, 70]);
    // The kernel says nothing of routes that go with their interface.
    await namespace.ip('link set eth1 down');
    await come('the route to be gone with its interface', [false, false, 51, 70]);
    await namespace.ip('link set eth1 up');
    gateways[0].write(configOf(1));
    await gateways[0].command('reload');
  });

  test('resign hands the office over', async () => {
    expect(await gateways[2].command('gateway', 'resign')).toBe('lan: resigned\n');
    await until('another master', gateways[0], 2, 'master');
    expect((await table<GatewayRow>(gateways[0], 'gateways')).filter(({ master }) => master)).toHaveLength(1);
  });

  test('two processes for one group and interface: the second one says so and ends', async () => {
    await expect(start(scene.gateway(1), 'again')).rejects.toThrow(/another process/);
  });

  test('SIGTERM: the others have office and hosts at once, and the host is as it was', async () => {
    const { namespace } = scene.gateway(2);
    gateways[1].process.signal('SIGTERM');
    expect(await gateways[1].process.ended).toBe(0);
    const rows = await table<GatewayForwarderRow>(gateways[0], 'forwarders');
    expect(rows.find(({ forwarder }) => forwarder === 2)).toMatchObject({ givenOut: true });
    for (let host = 0; host < 6; host++) expect(await reach(host)).toContain('1 received');
    expect(await namespace.run('ip', ['-br', 'link'])).not.toMatch(/td7-/);
    expect(await namespace.run('ip', ['addr'])).not.toContain(SHARED);
    expect(await namespace.run('nft', ['list', 'tables'])).not.toContain('designator');
  });

  test('metrics and health', async () => {
    const text = await gateways[0].command('show', 'counters');
    expect(text).toContain('port-received');
    expect(await gateways[0].control('GET', '/healthz')).toMatchObject({ status: 'ok' });
    const health = await gateways[0].control('GET', '/readyz');
    expect(health).toMatchObject({ status: 'ok' });
  });
});
