/**
 * Least load on the wire: l2tpns and xl2tpd, each with an agent that reads it, behind one virtual address. Loads here are
 * tunnels against a limit, so that real tunnels are all that is needed to load a server.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { Daemon } from '../../src/demo/lab/daemon.js';
import { L2tpns } from '../../src/demo/lab/l2tpns.js';
import { L2TPNS, USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, LAN_GATEWAY, SERVERS, type Topology } from '../../src/demo/lab/topology.js';
import { VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { buildLoadStatus, NOTHING_KNOWN } from '../../src/wire/load-status.js';
import { describeLab, SELF, startAppliance } from '../helpers/lab.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const SECRET = 'the secret of this lab';
const PORT = 7017;

describeLab('least load, by agents on real servers', [...USER_SPACE, ...L2TPNS], (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  const loads = async (): Promise<(number | null)[]> => (await appliance.servers()).map(({ load }) => load);
  const startAgent = (index: number, more: object): Daemon => {
    const file = join(net.lab.folder, `agent${index + 1}.yaml`);
    const common = { server: `lns${index + 1}`, designators: `${LAN_GATEWAY}:${PORT}`, secret: SECRET, every: '200ms' };
    writeFileSync(file, stringify({ ...common, ...more }));
    return net.servers[index].start(`agent${index + 1}`, SELF[0], [SELF[1], 'agent', '-c', file]);
  };

  test('the loaded server gets none; a silent one comes before a full one; forged and replayed messages count for nothing', async () => {
    const lab = await open();
    net = await buildTopology(lab);
    const first = new L2tpns(lab, net.servers[0], 'l2tpns1', {
      address: SERVERS[0],
      pool: '10.60.1',
      clusterAddress: '239.192.13.10',
    });
    const second = new Xl2tpdServer(lab, net.servers[1], 'xl2tpd2');
    const log = join(lab.folder, 'xl2tpd2.log');
    let written = 0;
    const collect = (): void => {
      appendFileSync(
        log,
        second.daemon.lines
          .slice(written)
          .map((line) => `${line}\n`)
          .join(''),
      );
      written = second.daemon.lines.length;
    };
    collect();
    appliance = await startAppliance(
      lab,
      net.designator,
      exampleConfig({
        weights: [1, 1],
        vip: { algorithm: 'least-load' },
        more: {
          loadStatus: { listen: `${LAN_GATEWAY}:${PORT}`, secret: SECRET, staleAfter: '2s', formula: { tunnels: 1 } },
        },
      }),
    );
    const client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP });
    await Promise.all([first.ready(), second.ready(), client.ready()]);
    const agents = [
      startAgent(0, { source: { l2tpns: {} }, tunnelLimit: 2 }),
      startAgent(1, { source: { xl2tpd: { log } }, tunnelLimit: 1000 }),
    ];
    const said = (): string => agents.map((agent) => agent.tail()).join('\n');
    await waitFor('both loads', async () => (await loads()).every((load) => load === 0), 15_000, said);

    await client.connect(1);
    await waitFor('l2tpns to say that it is half full', async () => (await loads())[0] === 0.5, 15_000, said);
    for (const number of [2, 3, 4]) {
      await client.connect(number);
      collect();
      // Until its server has told of a tunnel, one is expected to weigh as much as those of the other server.
      await waitFor('xl2tpd to tell of it', async () => (await loads())[1] === (number - 1) / 1000, 15_000, said);
    }
    const of = async (): Promise<string[]> => (await appliance.established()).map(({ server }) => server).sort();
    expect(await of()).toEqual(['lns1', 'lns2', 'lns2', 'lns2']);
    const told = JSON.parse(
      await appliance.command('explain', '--json', '--client', '192.128.10.5:1701', '--vip', 'access'),
    );
    expect(told).toMatchObject({ server: 'lns2', reason: 'least load: it reported 0.003, the lowest of 2' });

    const stranger = await new UdpAgent(net.servers[0]).bind(SERVERS[0], 4000);
    const forge = (sequence: number, timeMs: number, secret = SECRET): void => {
      const status = { ...NOTHING_KNOWN, server: 'lns1', sequence, timeMs, tunnels: 0, tunnelLimit: 9 };
      stranger.send(Buffer.from(buildLoadStatus(status, Buffer.from(secret))), LAN_GATEWAY, PORT);
    };
    const now = Date.now();
    forge(now + 1e6, now, 'a secret that is wrong');
    forge(1, now);
    forge(now + 1e6, now - 3_600_000);
    await waitFor('three refusals, each by its name', async () => {
      const drops = await appliance.drops();
      return ['bad-hmac', 'replayed', 'late'].every((fault) => drops[`load-status-${fault}`] === 1);
    });
    expect(await loads()).toEqual([0.5, 0.003]);

    await agents[1].kill();
    await waitFor('xl2tpd’s load to be unknown', async () => (await loads())[1] === null);
    await client.connect(5); // l2tpns still says that it has room
    await waitFor('l2tpns to be full', async () => (await loads())[0] === 1, 15_000, said);
    await client.connect(6); // … and now that it has none: the silent one
    expect(await of()).toEqual(['lns1', 'lns1', 'lns2', 'lns2', 'lns2', 'lns2']);
    expect(await agents[0].stop()).toBe(0);
    await waitFor('no load to be known', async () => (await loads()).every((load) => load === null));
    await client.connect(7); // the fewest tunnels decide
    expect((await of()).filter((name) => name === 'lns1')).toHaveLength(3);
    expect(agents[0].log()).toContain('"msg":"ready"');
    expect(agents[0].log()).toContain('"msg":"ended"');
  });
});
