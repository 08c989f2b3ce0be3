/**
 * State offload and switchover with two of our LNSs as processes: the three ways in which sessions outlive their server,
 * under traffic, and the planned ones. The figures of each are printed.
 */
import { afterAll, expect, test } from 'vitest';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { buildTopology, exampleConfig, LAN_GATEWAY, SERVERS, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { GeneratorResults } from '../../src/roles/lac/generator/results.js';
import type { OffloadPeerRow } from '../../src/roles/lns/offload/rows.js';
import { describeLab, SELF, startAppliance, startLns } from '../helpers/lab.js';

const SECRET = 'a secret that all of them share';
const ADDRESSES = ['10.99.0.1', '10.99.0.2'] as const;
const SERVICE = '10.99.0.10';
/** TD_SESSIONS=1000 for the figures of docs/performance.md. */
const SESSIONS = Number(process.env.TD_SESSIONS ?? 200);
const PORT = 7018;
const figures: Record<string, unknown> = {};

const users = Array.from({ length: SESSIONS }, (_, n) => ({ name: `user${n + 1}`, password: 'pw' }));

/** One of two LNSs; `index` 0 or 1. */
const config = (index: number, addresses: readonly string[], more: object = {}): Record<string, unknown> => ({
  name: `lns${index + 1}`,
  listen: addresses[index],
  workers: 1,
  tunnels: { ids: index === 0 ? '1-30000' : '30001-60000' },
  ppp: { authentication: 'chap-md5' },
  pools: [{ name: 'home', ipv4: `10.${80 + index}.0.0/16` }],
  ipv4: { local: '10.64.0.1' },
  tun: { device: 'lns0' },
  sessions: { limit: SESSIONS + 64 },
  offload: { peer: addresses[1 - index], secret: SECRET },
  ...more,
});

const peerOf = async (lns: LabEndpoint): Promise<OffloadPeerRow> =>
  (await lns.control<OffloadPeerRow[]>('GET', '/v1/peers'))[0];

const kept = (lns: LabEndpoint, count: number): Promise<unknown> =>
  waitFor(
    `the state of ${count} sessions at ${lns.name}`,
    async () => (await peerOf(lns)).keptSessions === count,
    30_000,
  );

function generate(namespace: Namespace, lns: string, ...words: string[]): Promise<GeneratorResults> {
  const load = ['--tunnels', '2', '--sessions', String(SESSIONS), '--rate', '1000', '--traffic', 'ping:64@10'];
  const who = ['--password', 'pw', '--methods', 'chap-md5', '--json'];
  const args = [...SELF.slice(1), 'lac', '--generate', '--lns', lns, ...load, ...who, ...words];
  return namespace.run(SELF[0], args, { timeoutMs: 90_000 }).then((text) => JSON.parse(text) as GeneratorResults);
}

function note(what: string, { sessions, traffic, moves }: GeneratorResults): void {
  const [{ sent, lost, gapMs }] = traffic;
  figures[what] = { held: sessions.held, lostSessions: sessions.lost, sent, lost, gapMs, moves };
}

interface Pair {
  readonly lab: Lab;
  readonly client: Namespace;
  readonly hosts: readonly Namespace[];
  readonly lns: readonly [LabEndpoint, LabEndpoint];
}

async function startPair(lab: Lab, more: (index: number) => object, service = false): Promise<Pair> {
  const bridge = await lab.bridge('lan');
  const client = await lab.namespace('gen');
  await lab.plug(bridge, client, 'eth0', ['10.99.0.9/24'], { checksums: false });
  const hosts: Namespace[] = [];
  for (const [index, address] of ADDRESSES.entries()) {
    const host = await lab.namespace(`lns${index + 1}`);
    const own = service && index === 0 ? [`${address}/24`, `${SERVICE}/24`] : [`${address}/24`];
    await lab.plug(bridge, host, 'eth0', own, { checksums: false });
    hosts.push(host);
  }
  const [first, second] = await Promise.all(
    hosts.map((host, index) =>
      startLns(lab, host, config(index, ADDRESSES, more(index)), { users, name: `lns${index + 1}` }),
    ),
  );
  await waitFor('the tunnel between the LNSs', async () => (await peerOf(second)).state === 'connected');
  return { lab, client, hosts, lns: [first, second] };
}

afterAll(() => void process.stdout.write(`switchover: ${JSON.stringify(figures)}\n`));

describeLab('a LAC that cooperates', [], (open) => {
  test('document 002, FIG. 2 and 3: a planned switchover and the way back lose no packet; then the primary is killed', async () => {
    const { client, lns } = await startPair(await open(), () => ({}));
    const [first, second] = lns;
    const planned = generate(client, ADDRESSES[0], '--switchover', '--seconds', '4');
    await kept(second, SESSIONS);
    expect(await first.command('switchover')).toMatch(/all\s+moved/);
    await kept(first, SESSIONS);
    expect((await first.sessions()).length).toBe(0);
    expect((await second.untilSessions(SESSIONS)).every(({ address }) => address?.startsWith('10.80.'))).toBe(true);
    // And back again, as an operator would once the first one has been looked after.
    expect(await second.command('failback')).toMatch(/all\s+moved/);
    await kept(second, SESSIONS);
    expect((await first.untilSessions(SESSIONS)).every(({ address }) => address?.startsWith('10.80.'))).toBe(true);
    const one = await planned;
    note('planned', one);
    expect(one.sessions).toMatchObject({ up: SESSIONS, lost: 0, held: SESSIONS });
    expect(one.traffic[0]).toMatchObject({ lost: 0, outOfOrder: 0 });
    expect(one.moves).toEqual({ moved: 4, failed: 0, lostSessions: 0, notHeld: 0 });

    const unplanned = generate(client, ADDRESSES[0], '--switchover', '--seconds', '6');
    await kept(second, SESSIONS);
    await first.kill();
    await second.untilSessions(SESSIONS);
    const two = await unplanned;
    note('killed', two);
    expect(two.sessions).toMatchObject({ up: SESSIONS, lost: 0, held: SESSIONS });
    expect(two.moves).toMatchObject({ moved: 2, failed: 0, lostSessions: 0 });
    expect(two.traffic[0].received).toBeGreaterThan(0);
    // PPP was not negotiated anew: that would have taken the sessions through another state, and other addresses.
    expect((await second.drops())['no-session'] ?? 0).toBe(0);
  }, 90_000);
});

describeLab('two LNSs that do not reach each other', [], (open) => {
  test('their state goes through the LAC, which has a tunnel to both; then the primary is killed', async () => {
    const lab = await open();
    const client = await lab.namespace('gen');
    const apart = ['10.99.1.1', '10.99.2.1'];
    const hosts: Namespace[] = [];
    for (const [index, address] of apart.entries()) {
      const [bridge, host] = [await lab.bridge(`lan${index}`), await lab.namespace(`lns${index + 1}`)];
      await lab.plug(bridge, host, 'eth0', [`${address}/24`], { checksums: false });
      await lab.plug(bridge, client, `eth${index}`, [`10.99.${index + 1}.9/24`], { checksums: false });
      hosts.push(host);
    }
    const lns = await Promise.all(
      hosts.map((host, index) => {
        const offload = { peer: apart[1 - index], relay: true };
        return startLns(lab, host, config(index, apart, { offload }), { users, name: `lns${index + 1}` });
      }),
    );
    const [first, second] = lns;
    const run = generate(client, apart[0], '--standby', '--seconds', '6');
    await kept(second, SESSIONS);
    expect(await first.namespace.ping(apart[1], { count: 1 }).catch(() => 0)).toBe(0);
    await first.kill();
    await second.untilSessions(SESSIONS);
    const results = await run;
    note('relayed', results);
    expect(results.sessions).toMatchObject({ up: SESSIONS, lost: 0, held: SESSIONS });
    expect(results.moves).toMatchObject({ moved: 2, failed: 0 });
  }, 60_000);
});

describeLab('a LAC that knows nothing, no designator', [], (open) => {
  test('the peer takes the dead server’s address, ids, numbers and PPP, and the client goes on', async () => {
    const { client, hosts, lns } = await startPair(
      await open(),
      (index) => ({
        listen: index === 0 ? [ADDRESSES[0], SERVICE] : ADDRESSES[1],
        takeOver: index === 0 ? {} : { addresses: [{ address: `${SERVICE}/24`, interface: 'eth0' }] },
      }),
      true,
    );
    const [first, second] = lns;
    const run = generate(client, SERVICE, '--seconds', '5');
    await kept(second, SESSIONS);
    await first.kill();
    await hosts[0].ip('link set eth0 down');
    await second.untilSessions(SESSIONS);
    const results = await run;
    note('address', results);
    expect(results.sessions).toMatchObject({ up: SESSIONS, lost: 0, held: SESSIONS });
    expect(results.failures).toEqual([]);
    expect((await peerOf(second)).takenSessions).toBe(SESSIONS);
  }, 60_000);
});

describeLab('a LAC that knows nothing, our designator inline', [], (open) => {
  test('the peer takes the dead server’s tunnels, the designator brings the client’s packets there, and back on command', async () => {
    const lab = await open();
    const net = await buildTopology(lab);
    const takeOver = (name: string, peer: string): object => ({
      designators: `${LAN_GATEWAY}:${PORT}`,
      names: [{ name, peer }],
      secret: SECRET,
    });
    const [one, two] = SERVERS.map((address, index) => ({ name: `lns${index + 1}`, address, weight: 1 - index }));
    const [appliance, first, second] = await Promise.all([
      startAppliance(
        lab,
        net.designator,
        exampleConfig({
          vip: { servers: [{ ...one, peer: 'lns2' }, two] },
          more: { takeOver: { listen: `${LAN_GATEWAY}:${PORT}`, secret: SECRET, quiet: '500ms' } },
        }),
      ),
      ...net.servers.map((host, index) =>
        startLns(lab, host, config(index, SERVERS, { takeOver: takeOver(`lns${index + 1}`, `lns${2 - index}`) }), {
          users,
          name: `lns${index + 1}`,
        }),
      ),
    ] as const);
    await waitFor('the tunnel between the LNSs', async () => (await peerOf(second)).state === 'connected');
    const run = generate(net.client, VIP, '--seconds', '11');
    await kept(second, SESSIONS);
    await first.kill();
    await second.untilSessions(SESSIONS);
    await waitFor('the designator to bring both tunnels to the peer', async () => {
      const [dead, heir] = await appliance.servers();
      return dead.tunnels === 0 && heir.tunnels === 2;
    });
    // The dead one comes back, gets the state of what it had, and then all of it again, by command.
    await first.start();
    await kept(first, SESSIONS);
    expect(await second.command('failback')).toMatch(/all\s+moved[^]*all\s+moved/);
    await first.untilSessions(SESSIONS);
    expect((await second.sessions()).length).toBe(0);
    const results = await run;
    note('designator', results);
    expect(results.sessions).toMatchObject({ up: SESSIONS, lost: 0, held: SESSIONS });
    expect(results.failures).toEqual([]);
    appliance.process.signal('SIGTERM');
    await appliance.process.ended;
  }, 60_000);
});
