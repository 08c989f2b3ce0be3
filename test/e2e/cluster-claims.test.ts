/**
 * The claims of document 000 on the wire, each by its number: our LNSs are the tunnel endpoint devices, one machine of ours
 * is cluster master and NAT server (FIG. 2), and the tunnel initiator is the LAC's engine. A second virtual address has
 * endpoints that say what the test wants of their traffic. The tests go on where the one before has ended.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { NatRow, ServerRow } from '../../src/ops/appliance.js';
import type { LnsTunnelRow } from '../../src/ops/endpoint.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { buildLoadStatus, NOTHING_KNOWN } from '../../src/wire/load-status.js';
import { readLoad } from '../helpers/load-reader.js';
import { lines, type Seen } from '../helpers/figure-capture.js';
import { CM, FigureScene, LOCAL, NAT, TI } from '../helpers/figure-scene.js';
import type { ScriptedClient, ScriptedServer } from '../helpers/l2tp-peer.js';
import { describeLab, scriptedClient, scriptedServer } from '../helpers/lab.js';
import { TunnelInitiator } from '../helpers/tunnel-initiator.js';
import { type AgentSocket, type Datagram, UdpAgent } from '../helpers/udp-agent.js';

/** Of the second virtual address: its own, its endpoints'. */
const CM_2 = '200.200.100.2';
const TRAFFIC = ['10.10.1.3', '10.10.1.4'] as const;
const STATUS_PORT = 7017;
/** Where the machine of master and NAT server hears load status messages; and one more listener, which only looks. */
const MASTER_LAN = '10.10.1.253';
const ONLOOKER = '10.10.1.200';
const SECRET = 'the secret of this lab';
/** Tunnels that each LNS takes: its load is a quarter for each. */
const LIMIT = 4;

describeLab('claims of document 000', ['tcpdump'], (open) => {
  let scene: FigureScene;
  let cluster: LabAppliance;
  let endpoints: LabEndpoint[];
  let ti: TunnelInitiator;
  let first: L2tpTunnel;
  let seen: Record<string, Seen[]>;
  let status: AgentSocket;
  let scripted: ScriptedServer[];
  let client: ScriptedClient;
  /** Load status messages that the onlooker got. */
  const heard: Datagram[] = [];
  let sequence = Date.now();

  const server = async (name: string): Promise<ServerRow> => {
    const row = (await cluster.servers()).find((one) => one.name === name);
    if (row === undefined) throw new Error(`no server ${name}`);
    return row;
  };
  const loads = async (names: readonly string[]): Promise<(number | null)[]> =>
    (await Promise.all(names.map(server))).map(({ load }) => load);
  /** What the endpoints of the second virtual address say, over and over: bits a second of the 1,000 that they can carry. */
  let traffic: readonly number[] = [0, 0];
  const say = (): void => {
    for (const [index, bitsIn] of traffic.entries()) {
      const report = { ...NOTHING_KNOWN, accepting: true, bitsIn, bitsOut: 0, bitCapacity: 1000 };
      const said = { ...report, server: `traffic${index + 1}`, sequence: ++sequence, timeMs: Date.now() };
      status.send(Buffer.from(buildLoadStatus(said, Buffer.from(SECRET))), MASTER_LAN, STATUS_PORT);
    }
  };
  let saying: NodeJS.Timeout;
  const sayTraffic = async (...bits: readonly [number, number]): Promise<void> => {
    traffic = bits;
    say();
    await waitFor(
      'the traffic to be known',
      async () => String(await loads(['traffic1', 'traffic2'])) === String(bits.map((n) => n / 1000)),
    );
  };
  /** The endpoint of a tunnel that the second client asks for, by whose SCCRQs came. */
  const chosen = async (id: number): Promise<number> => {
    const before = scripted.map(({ requests }) => requests.length);
    await client.connect(id);
    return scripted.findIndex(({ requests }, index) => requests.length > before[index]);
  };
  const found = (place: string, message: string): Seen => {
    const one = seen[place].find(({ line }) => line.includes(` ${message} `));
    if (one === undefined) throw new Error(`no ${message} at ${place}: ${lines(seen[place]).join('; ')}`);
    return one;
  };

  beforeAll(async () => {
    scene = await FigureScene.open(await open(), { machines: 'one', endpoints: 2 });
    await scene.endpoints[1].ip(
      ...TRAFFIC.map((address) => `addr add ${address}/24 dev eth0`),
      `addr add ${ONLOOKER}/24 dev eth0`,
    );
    await scene.ti.ip(`route add ${CM_2}/32 via 192.128.10.1`, `addr add 192.128.10.6/24 dev eth0`);
    const agent = new UdpAgent(scene.endpoints[1]);
    const onlooker = await agent.bind(ONLOOKER, STATUS_PORT);
    onlooker.onDatagram = (datagram) => void heard.push(datagram);
    status = await agent.bind(TRAFFIC[0], 7018);
    saying = setInterval(say, 200);
    const second = {
      name: 'traffic',
      address: CM_2,
      protocols: ['l2tp'],
      algorithm: 'least-load',
      servers: TRAFFIC.map((address, index) => ({ name: `traffic${index + 1}`, address })),
    };
    const loadStatus = {
      listen: `${MASTER_LAN}:${STATUS_PORT}`,
      secret: SECRET,
      staleAfter: '3s',
      formula: { traffic: 1, tunnels: 1, combine: 'max' },
    };
    [cluster, ...endpoints] = await Promise.all([
      scene.start('all', { reply: 'nat', natAddress: NAT, algorithm: 'least-load' }, { loadStatus }, [second]),
      ...LOCAL.map((_, index) =>
        scene.startEndpoint(index, index === 0 ? '2-99' : '100-199', {
          tunnels: { ids: index === 0 ? '2-99' : '100-199', limit: LIMIT },
          loadStatus: {
            designators: [`${MASTER_LAN}:${STATUS_PORT}`, `${ONLOOKER}:${STATUS_PORT}`],
            secret: SECRET,
            every: '100ms',
          },
        }),
      ),
    ]);
    ti = await TunnelInitiator.start(scene.ti, TI, { ids: [1, 9] });
    [scripted, client] = [
      await Promise.all(TRAFFIC.map((address) => scriptedServer(scene.endpoints[1], address))),
      await scriptedClient(scene.ti, '192.128.10.6', CM_2),
    ];
    await scene.gatewayAnswers();
    await waitFor('load status messages of both', async () =>
      (await loads(['te1', 'te2'])).every((load) => load === 0),
    );
    const figure = await scene.watch();
    first = await ti.dial(CM);
    seen = await figure.seen();
  });
  afterAll(() => {
    clearInterval(saying);
    ti?.close();
  });

  const t1 = (): number => first.localId;
  const t2 = (): number => first.peerId;

  test('FIG. 3 on one machine: messages 102 to 116 have the figure’s addresses and ids at each place', () => {
    const [s102, s104] = [`TI > CM SCCRQ tunnel 0 assigned ${t1()}`, `TI > TE SCCRQ tunnel 0 assigned ${t1()}`];
    const [s106, s108] = ['TE', 'NAT'].map((from) => `${from} > TI SCCRP tunnel ${t1()} assigned ${t2()}`);
    const [s110, s112] = ['NAT', 'TE'].map((to) => `TI > ${to} SCCCN tunnel ${t2()}`);
    const [s114, s116] = ['TE', 'NAT'].map((from) => `${from} > TI ZLB tunnel ${t1()}`);
    expect(lines(seen.ti)).toEqual([s102, s108, s110, s116]);
    expect(lines(seen['master-wan'])).toEqual([s102, s108, s110, s116]);
    expect(lines(seen['master-lan'])).toEqual([s104, s106, s112, s114]);
    expect(lines(seen.te)).toEqual([s104, s106, s112, s114]);
  });

  test('claim 1: the endpoint gets an SCCRQ with its local address put in and the initiator’s tunnel id, and sends an SCCRP with address and id of the initiator and its own id to the NAT server', async () => {
    expect(found('te', 'SCCRQ').line).toBe(`TI > TE SCCRQ tunnel 0 assigned ${t1()}`);
    expect(found('te', 'SCCRP').line).toBe(`TE > TI SCCRP tunnel ${t1()} assigned ${t2()}`);
    // On the LAN it goes to the NAT server's link-layer address, not to anybody who has the initiator's.
    const gateway = /lladdr (\S+)/.exec(await scene.endpoints[0].run('ip', ['neigh', 'show', '10.10.1.254']))?.[1];
    expect(gateway).toMatch(/^02:54:44:00:08:/);
    expect(found('te', 'SCCRP').destination).toBe(gateway);
    expect(found('nat-lan', 'SCCRP').line).toBe(found('te', 'SCCRP').line);
  });

  test('claim 2: the endpoint gets the SCCCN, which establishes the tunnel between initiator and endpoint', async () => {
    expect(found('te', 'SCCCN').line).toBe(`TI > TE SCCCN tunnel ${t2()}`);
    expect(await endpoints[0].tunnels<LnsTunnelRow>()).toMatchObject([
      { peer: `${TI}:1701`, tunnelId: t2(), peerTunnelId: t1(), state: 'established' },
    ]);
  });

  test('claim 3: the endpoint forms load status messages that indicate its current traffic load', async () => {
    const told = await waitFor('a message that counts the tunnel', () =>
      heard
        .map(({ data }) => readLoad(data, SECRET))
        .find(({ server: name, tunnels }) => name === 'te1' && tunnels > 0),
    );
    expect(told).toMatchObject({ server: 'te1', tunnels: 1, tunnelLimit: LIMIT });
    expect(told.bitsIn).toBeGreaterThanOrEqual(0);
    expect(heard.map(({ address }) => address)).toContain(LOCAL[0]);
  });

  test('claim 4: the master, with a global address of its own between two networks, selects a device for each request, inserts its local address, and sends the request onto the first network', async () => {
    expect(found('master-wan', 'SCCRQ').line).toBe(`TI > CM SCCRQ tunnel 0 assigned ${t1()}`);
    expect(found('master-lan', 'SCCRQ').line).toBe(`TI > TE SCCRQ tunnel 0 assigned ${t1()}`);
    expect(found('master-lan', 'SCCRQ').payload).toBe(found('master-wan', 'SCCRQ').payload);
    // The address is unique on the second network: no endpoint has it, and nobody else answers for it.
    for (const endpoint of scene.endpoints) expect(await endpoint.run('ip', ['-o', 'addr'])).not.toContain(`${CM}/`);
    for (const message of ['SCCRP', 'SCCCN', 'ZLB'])
      expect(lines(seen['master-wan']).filter((line) => line.startsWith('CM >') && line.includes(message))).toEqual([]);
  });

  test('claims 5 and 17: it selects by the traffic load of each device', async () => {
    await sayTraffic(900, 100);
    expect(await chosen(11)).toBe(1);
    await sayTraffic(100, 900);
    expect(await chosen(12)).toBe(0);
  });

  test('claim 6: it gets load status messages from each device and assigns the request to the one with the lowest load by them', async () => {
    await waitFor('te1’s message of its first tunnel', async () => String(await loads(['te1', 'te2'])) === '0.25,0');
    await ti.dial(CM);
    expect(await endpoints[1].tunnels()).toHaveLength(1);
    await waitFor('both messages', async () => String(await loads(['te1', 'te2'])) === '0.25,0.25');
  });

  test('claims 7 and 20: the tunnel connections are L2TP connections', async () => {
    for (const { payload } of [found('master-wan', 'SCCRQ'), found('master-lan', 'SCCRQ')]) {
      const bytes = Buffer.from(payload, 'hex');
      // Control message with length and sequence, version 2 (RFC 2661 §3.1), and an SCCRQ as its first AVP.
      expect([bytes.readUInt16BE(0), bytes.readUInt16BE(2)]).toEqual([0xc802, bytes.length]);
      expect([bytes.readUInt16BE(14), bytes.readUInt16BE(16), bytes.readUInt16BE(18)]).toEqual([0, 0, 1]);
    }
    expect((await cluster.tunnels()).map(({ protocol }) => protocol)).toContain('l2tp');
  });

  test('claim 8: the first network is a LAN and the second one an IP network', async () => {
    const route = async (from: 'endpoints' | 'ti', to: string): Promise<string> =>
      (from === 'ti' ? scene.ti : scene.endpoints[0]).run('ip', ['route', 'get', to]);
    // Neighbours on one segment; and reached through a router.
    expect(await route('endpoints', '10.10.1.253')).not.toContain('via');
    expect(await route('ti', CM)).toContain('via 192.128.10.1');
    expect(found('master-lan', 'SCCRQ').source).not.toBe(found('master-wan', 'SCCRQ').source);
  });

  test('claim 9: requests have the initiator’s IP address as source, and the tunnel id that it has assigned', () => {
    expect(found('master-wan', 'SCCRQ').line).toMatch(new RegExp(`^TI > CM SCCRQ .* assigned ${t1()}$`));
    expect(found('master-lan', 'SCCRQ').line).toMatch(new RegExp(`^TI > TE SCCRQ .* assigned ${t1()}$`));
  });

  test('claim 11: a request comes, load status messages of all endpoints come; by these an endpoint is selected and the request assigned to it', async () => {
    await sayTraffic(400, 300);
    const explained = JSON.parse(
      await cluster.command('explain', '--json', '--client', '192.128.10.6:1701', '--vip', 'traffic'),
    );
    expect(explained).toMatchObject({ server: 'traffic2', reason: expect.stringContaining('least load') });
    expect(await chosen(13)).toBe(1);
  });

  test('claim 12: which endpoint has the lowest load is determined by the messages, and that one is selected', async () => {
    await sayTraffic(10, 20);
    expect(await chosen(14)).toBe(0);
    await sayTraffic(999, 998);
    expect(await chosen(15)).toBe(1);
  });

  test('claim 13: the selected endpoint’s local address is inserted into the destination field, and the request sent onto the network', () => {
    expect(scripted[1].requests.map(({ from, clientTunnel }) => [from, clientTunnel])).toContainEqual([
      '192.128.10.6:1701',
      15,
    ]);
    expect(lines(seen['master-lan'])[0]).toBe(`TI > TE SCCRQ tunnel 0 assigned ${t1()}`);
  });

  test('claim 14: for each request to the master’s address a device is selected, its local address inserted, the request sent on', async () => {
    const figure = await scene.watch();
    const more = [await ti.dial(CM), await ti.dial(CM)];
    const asked = (await figure.seen())['master-lan'].filter(({ line }) => line.includes('SCCRQ'));
    expect(asked.map(({ line }) => line.replace('TE2', 'TE')).sort()).toEqual(
      more.map(({ localId }) => `TI > TE SCCRQ tunnel 0 assigned ${localId}`).sort(),
    );
  });

  test('claim 15: the set-up reply is sent over the network with the selected device’s address as its source', () => {
    expect(found('nat-lan', 'SCCRP').line).toBe(`TE > TI SCCRP tunnel ${t1()} assigned ${t2()}`);
  });

  test('claim 16: the NAT server replaces the source by its global address, stores an entry that relates it to the device, and sends the reply on', async () => {
    expect(found('nat-wan', 'SCCRP').line).toBe(`NAT > TI SCCRP tunnel ${t1()} assigned ${t2()}`);
    expect(found('ti', 'SCCRP').payload).toBe(found('te', 'SCCRP').payload);
    // Table 1 of document 001: far end address and port, local end address and port, and the global address between them.
    const row = (await cluster.control<NatRow[]>('GET', '/v1/nat')).find(({ farTunnelId }) => farTunnelId === t1());
    expect(row).toMatchObject({
      farAddress: TI,
      farPort: 1701,
      localAddress: LOCAL[0],
      localPort: 1701,
      natAddress: NAT,
      natPort: 1701,
      localTunnelId: t2(),
      server: 'te1',
    });
    expect(await cluster.command('show', 'nat')).toContain(NAT);
    // Table 2, at the initiator: the far end is the NAT server.
    expect(first).toMatchObject({ peer: { address: NAT, port: 1701 }, peerId: t2(), localId: t1() });
    await ti.ask(first);
  });

  test('claim 18: load status messages come from each of the devices', async () => {
    const from = new Set(heard.map(({ data }) => readLoad(data, SECRET).server));
    expect([...from].sort()).toEqual(['te1', 'te2']);
    expect((await loads(['te1', 'te2', 'traffic1', 'traffic2'])).every((load) => load !== null)).toBe(true);
  });

  test('claim 19: the device with the currently lowest load is selected: what was lowest before counts no more', async () => {
    await sayTraffic(0, 500);
    expect(await chosen(16)).toBe(0);
    await sayTraffic(600, 500);
    expect(await chosen(17)).toBe(1);
  });

  test('claim 10: it keeps track of devices that are out of service or temporarily inactive', async () => {
    await sayTraffic(0, 500);
    for (const [words, state] of [
      [['disable'], 'disabled'],
      [['drain'], 'draining'],
      [['inactivate', '--deadline', '100ms'], 'inactive'],
    ] as const) {
      await cluster.command('server', ...words, 'traffic1');
      await waitFor(`traffic1 to be ${state}`, async () => (await server('traffic1')).state === state);
      expect(await chosen(20 + state.length)).toBe(1);
    }
    // Without being told: one that is heard no more.
    await endpoints[1].kill();
    await waitFor(
      'te2 to be out of service',
      async () => (await server('te2')).load === null || (await server('te2')).state === 'down',
      20_000,
    );
    await ti.dial(CM);
    const row = (await cluster.tunnels()).filter(({ server: name }) => name === 'te1');
    expect(row.length).toBeGreaterThanOrEqual(2);
  });
});
