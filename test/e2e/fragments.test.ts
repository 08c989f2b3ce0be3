/** Frames too long for their path, and what is said about them: real kernels at both ends, IPv4 and IPv6. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleConfig, SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { formatAddress, parseAddress } from '../../src/wire/address.js';
import { fragments } from '../helpers/fragmenter.js';
import { numbered, type ScriptedClient, type ScriptedServer } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer } from '../helpers/lab.js';
import { frame, l2tpData, udpFrame } from '../helpers/packet-builder.js';
import { UdpAgent } from '../helpers/udp-agent.js';
import { NOTHING_LOST, Scene } from '../helpers/xdp-scene.js';

const VIP_V6 = '2001:db8:200::1';
const SERVERS_V6 = SERVERS.map((address) => `2001:db8:1::${address.slice(address.lastIndexOf('.') + 1)}`);
const CLIENT = '192.128.10.5';
const CLIENT_V6 = '2001:db8:10::5';
const ROUTER = '192.128.10.1';
const ROUTER_V6 = '2001:db8:10::1';
/** With all headers it takes two packets on a path of 1,500 bytes. */
const LONG = 1490;

const at = (address: string): string => (address.includes(':') ? `[${address}]:1701` : `${address}:1701`);

describeLab('fragments and errors', ['tcpdump'], (open) => {
  for (const io of ['packet', 'xdp'] as const) {
    let scene: Scene;
    const clients = new Map<string, ScriptedClient>();
    const servers: ScriptedServer[] = [];
    let raw: UdpAgent;

    beforeAll(async () => {
      const example = exampleConfig() as { vips: Record<string, unknown>[] };
      const six = {
        name: 'six',
        address: VIP_V6,
        servers: SERVERS_V6.map((address, index) => ({ name: `six${index + 1}`, address })),
      };
      scene = await Scene.prepare(await open(), {
        config: { io, vips: [...example.vips, six] },
        gro: io === 'xdp',
      });
      servers.length = 0;
      servers.push(...scene.servers);
      for (const [index, address] of SERVERS_V6.entries())
        servers.push(
          await scriptedServer(scene.net.servers[index], address, { assign: (n) => 5000 * (index + 1) + n }),
        );
      if (io === 'xdp') await scene.net.client.run('ethtool', ['-K', 'eth0', 'gro', 'on']);
      await scene.appliance.start();
      for (const [address, vip] of [
        [CLIENT, VIP],
        [CLIENT_V6, VIP_V6],
      ]) {
        const client = await scriptedClient(scene.net.client, address, vip);
        for (let id = 1; id <= 4; id++) await client.connect(id);
        clients.set(vip, client);
      }
      raw = new UdpAgent(scene.net.client);
    });
    afterAll(() => scene?.stop());

    test.each([
      ['IPv4', VIP],
      ['IPv6', VIP_V6],
    ])(`${io}: %s datagrams that the ends’ kernels cut arrive whole, both ways`, async (_family, vip) => {
      const client = clients.get(vip) as ScriptedClient;
      const stream = await client.stream(200, () => sleep(300), LONG);
      expect(stream.sent).toBeGreaterThan(20);
      expect(stream).toMatchObject(NOTHING_LOST);
      const short = await client.stream(200, () => sleep(200));
      expect(short).toMatchObject(NOTHING_LOST);
    });

    test.each([
      ['IPv4', VIP, CLIENT],
      ['IPv6', VIP_V6, CLIENT_V6],
    ])(`${io}: %s fragments in any order arrive whole`, async (_family, vip, address) => {
      const [end] = (clients.get(vip) as ScriptedClient).tunnels;
      const has = (number: number) => (): boolean =>
        servers.some(({ received }) => received.some((mark) => mark.tunnel === end.remote && mark.number === number));
      const orders = [
        [3, 2, 1, 0],
        [1, 0, 3, 2],
        [2, 3, 0, 1],
        [0, 3, 1, 2],
      ];
      for (const [n, order] of orders.entries()) {
        const number = 70_000 + n;
        const whole = udpFrame(at(address), at(vip), numbered(end, number, LONG));
        const pieces = fragments(whole, 384, 0x4000 + n).map((piece) => piece.subarray(14));
        raw.sendRaw(order.map((piece) => ({ packet: pieces[piece], address: vip })));
        await waitFor(`datagram ${n}`, has(number), 5000, async () => JSON.stringify(await scene.appliance.drops()));
      }
    });

    test.each([
      ['IPv4', VIP, CLIENT, ROUTER],
      ['IPv6', VIP_V6, CLIENT_V6, ROUTER_V6],
    ])(
      `${io}: %s too big reaches the server that it is for, and the server believes it`,
      async (family, vip, address, router) => {
        const v6 = family === 'IPv6';
        const client = clients.get(vip) as ScriptedClient;
        const rows = (await scene.appliance.tunnels()).filter((row) => row.client === at(address));
        const told = rows[0];
        const about = udpFrame(
          at(vip),
          at(address),
          l2tpData({ tunnel: told.clientTunnelId as number, session: 1, payload: '00'.repeat(LONG) }),
        );
        const error = frame({
          ip: { src: v6 ? '2001:db8:10::77' : '192.128.10.77', dst: vip },
          icmp: v6 ? { type: 2, code: 0, rest: 1400 } : { type: 3, code: 4, rest: 1400 },
          payload: about.subarray(14, 14 + 200),
        });
        raw.sendRaw([{ packet: error.subarray(14), address: vip }]);
        const words = parseAddress(address) as readonly number[];
        const target = formatAddress(words[0], words[1], words[2], words[3]);
        const mtuOf = async (index: number): Promise<string> =>
          scene.net.servers[index].run('ip', [v6 ? '-6' : '-4', 'route', 'get', target]);
        const index = (v6 ? SERVERS_V6 : ([...SERVERS] as string[])).indexOf(told.serverAddress);
        await waitFor(
          `lns${index + 1} to know a path of 1400`,
          async () => (await mtuOf(index)).includes('mtu 1400'),
          5000,
          async () => `${await mtuOf(index)} ${JSON.stringify(await scene.appliance.drops())} via ${router}`,
        );
        expect(await mtuOf(1 - index)).not.toContain('mtu 1400');
        expect(await client.stream(100, () => sleep(200), LONG)).toMatchObject(NOTHING_LOST);
      },
    );

    test.each([
      ['IPv4', VIP, CLIENT, '/proc/net/snmp'],
      ['IPv6', VIP_V6, CLIENT_V6, '/proc/net/snmp6'],
    ])(`${io}: %s packets whose time has run out are answered`, async (_family, vip, address, statistics) => {
      const [end] = (clients.get(vip) as ScriptedClient).tunnels;
      const heard = async (): Promise<number> => timesExceeded(await scene.net.client.run('cat', [statistics]));
      const before = await heard();
      const data = udpFrame(at(address), at(vip), numbered(end, 90_000, 100), { ip: { ttl: 1 } });
      raw.sendRaw([{ packet: data.subarray(14), address: vip }]);
      await waitFor(
        'time exceeded',
        async () => (await heard()) > before,
        5000,
        async () => JSON.stringify(await scene.appliance.drops()),
      );
    });
  }
});

/** ICMP or ICMPv6 "time exceeded" that a host has received, of its statistics. */
function timesExceeded(text: string): number {
  const six = /^Icmp6InTimeExcds\s+(\d+)$/m.exec(text);
  if (six !== null) return Number(six[1]);
  const [names, values] = text
    .split('\n')
    .filter((line) => line.startsWith('Icmp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('InTimeExcds')]);
}
