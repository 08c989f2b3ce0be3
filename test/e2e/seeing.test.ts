/** What an operator sees of real tunnels: events, captures with their decisions, rates, explanations. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { describeLab, SELF, startAppliance } from '../helpers/lab.js';

describeLab('seeing', [...USER_SPACE, 'tshark'], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let client: Xl2tpdClient;
  let folder: string;

  const events = async (...words: string[]) =>
    (await appliance.command('events', '--no-follow', ...words))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));

  beforeAll(async () => {
    const lab = await open();
    folder = lab.folder;
    net = await buildTopology(lab);
    const servers = net.servers.map(
      (namespace, index) => new Xl2tpdServer(lab, namespace, `lns${index + 1}`, { pool: `10.50.${index + 1}` }),
    );
    client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP });
    appliance = await startAppliance(lab, net.designator, exampleConfig());
    for (const program of [...servers, client]) await program.ready();
  });

  test('the life of a tunnel as events, and its packets with the decision as comments', async () => {
    const file = join(folder, 'decisions.pcapng');
    const [node, main] = SELF;
    const capture = net.designator.start('capture', node, [main, 'capture', '-c', appliance.file, '-w', file]);
    await waitFor('the capture', () => existsSync(file)); // opened when the designator has answered
    const tunnel = await client.connect(1);
    await waitFor('data both ways', async () => {
      const [row] = await appliance.established();
      return row !== undefined && row.packetsIn > 10 && row.packetsOut > 10;
    });
    const life = (await events('--client', '192.128.10.5:1701')).filter(({ type }) => !type.startsWith('session-req'));
    expect(life.map(({ type }) => type)).toEqual(['tunnel-request', 'tunnel-established', 'session-established']);
    expect(life[1]).toMatchObject({
      vip: 'access',
      server: 'lns2',
      serverAddress: '10.10.1.2',
      clientTunnelId: tunnel.local,
      serverTunnelId: tunnel.remote,
    });
    capture.signal('SIGINT');
    await capture.ended;
    const fields = [
      '-T',
      'fields',
      '-e',
      'frame.interface_name',
      '-e',
      'ip.src',
      '-e',
      'ip.dst',
      '-e',
      'frame.comment',
    ];
    const lines = execFileSync('tshark', ['-r', file, '-Y', 'l2tp', ...fields], { encoding: 'utf8' }).split('\n');
    for (const words of [
      'wan0\t192.128.10.5\t200.200.100.1\tside=before verdict=forward vip=access server=lns2 shard=',
      'lan0\t192.128.10.5\t10.10.1.2\tside=after verdict=forward vip=access server=lns2 shard=',
      'lan0\t10.10.1.2\t192.128.10.5\tside=before verdict=forward vip=access server=lns2 shard=',
      'wan0\t200.200.100.1\t192.128.10.5\tside=after verdict=forward vip=access server=lns2 shard=',
    ]) {
      expect(lines.filter((line) => line.startsWith(words)).length, words).toBeGreaterThan(0);
    }
  });

  test('rates of a tunnel, its server and the shards', async () => {
    const look = async (view: string) =>
      JSON.parse(await appliance.command('top', '-n', '1', '--json', '--view', view)) as {
        rows: Record<string, number | string>[];
        totals: Record<string, number>;
      };
    const { rows, totals } = await look('tunnels');
    expect(totals).toMatchObject({ tunnels: 1, established: 1 });
    expect(rows).toMatchObject([{ client: '192.128.10.5:1701', server: 'lns2' }]);
    expect((await look('servers')).rows.map(({ name }) => name).sort()).toEqual(['lns1', 'lns2']);
    expect((await look('shards')).rows.length).toBeGreaterThan(0);
  });

  test('a server that is drained has a history, and its events', async () => {
    await appliance.command('server', 'drain', 'lns1');
    const wide = await appliance.command('show', 'servers', '--wide');
    expect(wide).toMatch(/lns1\n.*\n? {2}.* up +→ {2}draining {2}command/s);
    expect(await events('--type', 'server-state', '--server', 'lns1')).toMatchObject([
      { from: 'up', to: 'draining', reason: 'command', vip: 'access' },
    ]);
  });
});
