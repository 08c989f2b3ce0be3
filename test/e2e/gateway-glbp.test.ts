/** Three gateways that speak GLBP: what hosts have of it, a take-over, and what tshark reads on the wire. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Capture } from '../../src/demo/lab/capture.js';
import { command } from '../../src/demo/lab/command.js';
import { type LabEndpoint, startEndpoint } from '../../src/demo/lab/endpoint.js';
import { GatewayLan, SHARED, TARGET } from '../../src/demo/lab/gateway-lan.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { GatewayForwarderRow, GatewayRow } from '../../src/ops/endpoint.js';
import { describeLab, SELF } from '../helpers/lab.js';

describeLab('GLBP', ['ping', 'tcpdump', 'tshark'], (open) => {
  let lab: Lab;
  let scene: GatewayLan;
  let capture: Capture;
  const gateways: LabEndpoint[] = [];

  const configOf = (number: number) => ({
    groups: [
      {
        name: 'lan',
        group: 7,
        interface: 'eth0',
        number,
        addresses: [SHARED],
        key: { text: 'a key of the LAN' },
        priority: 100 + number,
        algorithm: 'round-robin',
        compatibility: 'glbp',
        // The vendor's defaults are 3 s and 10 s.
        glbp: { authentication: 'md5-chain', keyNumber: 3, hello: '150ms', hold: '700ms' },
      },
    ],
  });
  const table = <T>(gateway: LabEndpoint, name: string): Promise<T[]> => gateway.control('GET', `/v1/${name}`);
  const forwarders = (gateway: LabEndpoint): Promise<GatewayForwarderRow[]> => table(gateway, 'forwarders');
  const reach = (host: number) => scene.hosts[host].namespace.run('ping', ['-n', '-c', '1', '-W', '2', TARGET]);

  beforeAll(async () => {
    lab = await open();
    scene = await GatewayLan.open(lab, { gateways: 3, hosts: 3 });
    capture = await Capture.start(
      scene.lan.namespace,
      scene.lan.name,
      join(lab.folder, 'glbp.pcap'),
      'udp port 3222 or icmp',
    );
    gateways.push(
      ...(await Promise.all(
        scene.gateways.map(({ namespace, number }) =>
          startEndpoint(lab, namespace, { role: 'gateway', self: SELF, name: `g${number}`, config: configOf(number) }),
        ),
      )),
    );
  }, 60_000);
  afterAll(async () => {
    for (const gateway of gateways) await gateway.daemon?.stop();
  });

  test('the best is elected and numbers the forwarders; every host forwards through the one that it was told', async () => {
    const settled = async (): Promise<boolean> => {
      const [rows, members] = [await forwarders(gateways[2]), await table<GatewayRow>(gateways[2], 'gateways')];
      const own = members.find(({ self }) => self);
      return own?.master === true && rows.length === 3 && rows.every(({ state }) => state === 'active');
    };
    await waitFor('three forwarders', settled, 15_000, async () => JSON.stringify(await forwarders(gateways[2])));
    for (const host of [0, 1, 2]) expect(await reach(host)).toContain('1 received');
    const told = (await scene.neighbours()).map((neighbour) => neighbour?.mac);
    expect([...told].sort()).toEqual(['00:07:b4:00:07:01', '00:07:b4:00:07:02', '00:07:b4:00:07:03']);
    expect(await gateways[0].command('show', 'gateways')).toMatch(/backup|listen/);
  });

  test('the master dies: office and virtual MAC go to another, and its hosts forward again', async () => {
    await gateways[1].process.waitForLine(/"detail":"standby;/, 10_000);
    await scene.die(scene.gateways[2]);
    const both = async (): Promise<boolean> =>
      (await forwarders(gateways[1])).filter(({ served }) => served).length === 2;
    await waitFor('two virtual MACs at the successor', both, 10_000, async () =>
      JSON.stringify(await forwarders(gateways[1])),
    );
    for (const host of [0, 1, 2]) expect(await reach(host)).toContain('1 received');
  });

  test('tshark reads every message, and nothing is wrong with any', async () => {
    await capture.stop();
    const fields = [
      'ip.ttl',
      'ip.dst',
      'icmp.type',
      'glbp.group',
      'glbp.auth.authtype',
      'glbp.auth.md5chainindex',
      'glbp.hello.vgstate',
      'glbp.reqresp.forwarder',
      'glbp.reqresp.vfstate',
      'glbp.reqresp.priority',
      '_ws.expert',
      '_ws.malformed',
    ] as const;
    const words = [
      '-n',
      '-r',
      capture.file,
      '-Y',
      'glbp or icmp',
      '-T',
      'fields',
      ...fields.flatMap((field) => ['-e', field]),
    ];
    const lines = (await command(lab.env, 'tshark', words)).split('\n').filter(Boolean);
    const rows = lines.map((line) => Object.fromEntries(line.split('\t').map((value, i) => [fields[i], value])));
    const messages = rows.filter((row) => row['icmp.type'] === '');
    expect(messages.length).toBeGreaterThan(20);
    for (const row of messages)
      expect(row).toMatchObject({
        'ip.ttl': '255',
        'glbp.group': '7',
        'glbp.auth.authtype': '3',
        'glbp.auth.md5chainindex': '3',
        '_ws.expert': '',
        '_ws.malformed': '',
      });
    const said = (what: string, is: (row: Record<string, string>) => boolean): void =>
      expect(messages.filter(is).length, what).toBeGreaterThan(0);
    const multicast = (row: Record<string, string>): boolean => row['ip.dst'] === '224.0.0.102';
    said('hellos of an active gateway', (row) => row['glbp.hello.vgstate'] === '32' && multicast(row));
    said('hellos of a standby gateway', (row) => row['glbp.hello.vgstate'] === '16' && multicast(row));
    said('requests', (row) => row['glbp.reqresp.forwarder'] === '0' && !multicast(row));
    said('responses', (row) => /^[1-4]$/.test(row['glbp.reqresp.forwarder']) && !multicast(row));
    said('forwarders of owners', (row) => row['glbp.reqresp.priority'].includes('167'));
    said('forwarders of deputies', (row) => row['glbp.reqresp.priority'].includes('135'));
    // No kernel says that it knows no such port.
    expect(rows.filter((row) => row['icmp.type'] === '3')).toEqual([]);
  });
});
