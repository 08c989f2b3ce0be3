/** Real clients, judged by what they say of themselves; and a real client that dials while a flood of requests comes. */
import { beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { addClient, buildTopology, exampleConfig, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import type { FirewallRow } from '../../src/ops/appliance.js';
import { describeLab, startAppliance } from '../helpers/lab.js';
import { sccrq } from '../helpers/packet-builder.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const FLOOD = 400;
const HALF_OPEN = 200;
const RULES = [
  { allow: { hostName: 'lac-*', vendorName: 'xelerance*' }, name: 'ours' },
  { deny: { hostName: 'guest*' }, name: 'guests' },
  { limit: { hostName: 'CPE-?' }, perSource: '0.001/s', perSourceBurst: 1, name: 'cpe' },
];
const config = (more: object = {}): Record<string, unknown> =>
  exampleConfig({
    more: {
      firewall: { rules: RULES, tunnelRequestRate: { halfOpen: HALF_OPEN } },
      health: { passive: false },
      ...more,
    },
  });

describeLab('policy of tunnel requests', USER_SPACE, (open) => {
  let net: Topology;
  let appliance: LabAppliance;

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    const servers = net.servers.map(
      (namespace, index) => new Xl2tpdServer(lab, namespace, `lns${index + 1}`, { pool: `10.50.${index + 1}` }),
    );
    appliance = await startAppliance(lab, net.designator, config());
    for (const server of servers) await server.ready();
  });

  const client = async (label: string, address: string): Promise<Xl2tpdClient> => {
    const program = new Xl2tpdClient(net.lab, await addClient(net.lab, net.wan, label, address), label, { lns: VIP });
    await program.ready();
    return program;
  };
  const rules = async (): Promise<Record<string, FirewallRow>> =>
    Object.fromEntries((await appliance.control<FirewallRow[]>('GET', '/v1/firewall')).map((row) => [row.name, row]));

  test('one host name is allowed, another denied, a third gets one tunnel', async () => {
    const [lac, guest, cpe] = [
      await client('lac-1', '192.128.10.31'),
      await client('guest1', '192.128.10.32'),
      await client('cpe-1', '192.128.10.33'),
    ];
    guest.dial(1);
    await lac.connect(1);
    await lac.connect(2);
    await cpe.connect(1);
    cpe.dial(2);
    await waitFor('both to be refused', async () => {
      const { guests, cpe: limited } = await rules();
      return guests.matched > 0 && limited.refused > 0;
    });
    expect((await appliance.established()).map((row) => row.client).sort()).toEqual([
      '192.128.10.31:1701',
      '192.128.10.31:1701',
      '192.128.10.33:1701',
    ]);
    expect(guest.established()).toEqual([]);
    expect(await rules()).toMatchObject({ ours: { matched: 2, refused: 0 } });
    const shown = (await appliance.command('show', 'firewall')).split('\n');
    expect(shown[0]).toMatch(/^rule +name +action +match +limit +matched +refused$/);
    expect(shown[3]).toMatch(/^ *2 +cpe +limit +hostName CPE-\? +0\.001\/s per source \(burst 1\) +\d+ +\d+$/);
  });

  test('a reload ends the traffic of a tunnel whose client is now denied, by the name that it gave', async () => {
    const denied = { deny: { hostName: 'cpe-1' }, name: 'no more' };
    appliance.write(config({ firewall: { rules: [denied, ...RULES], tunnelRequestRate: { halfOpen: HALF_OPEN } } }));
    await appliance.command('reload');
    const before = (await appliance.drops())['firewall-denied'] ?? 0;
    // Its session asks for an echo five times a second.
    await waitFor(
      'its data to be dropped',
      async () => ((await appliance.drops())['firewall-denied'] ?? 0) > before + 3,
    );
    appliance.write(config());
    await appliance.command('reload');
  });

  test('in a flood from sources that nobody knows, a client gets in by its retransmission', async () => {
    const flooder = await addClient(net.lab, net.wan, 'flooder', '192.128.10.99');
    const socket = await new UdpAgent(flooder).bind('192.128.10.99', 1701);
    const forge = (from: number): void =>
      socket.sendAll(
        Array.from({ length: FLOOD }, (_, i) => ({
          data: sccrq({ assigned: from + i, host: 'x' }),
          address: VIP,
          port: 1701,
        })),
      );
    const unproven = async (): Promise<number> => (await appliance.drops())['request-unproven'] ?? 0;
    // A machine that is busy loses a part of a burst, and what is half open ends by time: again, until it is enough.
    let [from, again] = [1, 0];
    await waitFor('the flood to be noticed', async () => {
      if (performance.now() >= again) {
        forge(from);
        [from, again] = [from + FLOOD, performance.now() + 500];
      }
      return (await unproven()) > 0;
    });
    const late = await client('lac-2', '192.128.10.34');
    const before = await unproven();
    const flood = setInterval(() => forge(10_000 + Math.floor(Math.random() * 40_000)), 500);
    await late.connect(1).finally(() => clearInterval(flood));
    expect(await unproven()).toBeGreaterThan(before);
    // Half of what may be half open is all that the flood has.
    const halfOpen = (await appliance.tunnels()).filter(({ state }) => state === 'half-open').length;
    expect(halfOpen).toBeLessThanOrEqual(HALF_OPEN / 2 + 1);
    expect((await appliance.established({ client: '192.128.10.34:1701' })).length).toBe(1);
    await waitFor('the log to tell', () => appliance.process.count(/a flood of tunnel requests/) === 1);
  });
});
