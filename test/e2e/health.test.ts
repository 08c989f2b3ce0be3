/**
 * Servers that die under real clients: how long until it is noticed, until the clients know and until they stand again,
 * by the designator's log and by xl2tpd's own.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LabAppliance } from '../../src/demo/lab/appliance.js';
import { USER_SPACE } from '../../src/demo/lab/packages.js';
import { buildTopology, exampleConfig, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import { ScriptedClient } from '../helpers/l2tp-peer.js';
import { describeLab, startAppliance } from '../helpers/lab.js';
import { UdpAgent } from '../helpers/udp-agent.js';

const OTHERS = Array.from({ length: 10 }, (_, n) => `192.128.10.${100 + n}`);
const BLACK_HOLE =
  'table inet hole {\n chain in {\n type filter hook prerouting priority -300\n drop\n }\n chain out {\n type filter hook output priority -300\n drop\n }\n}\n';

interface StateLine {
  readonly time: number;
  readonly server: string;
  readonly to: string;
  readonly reason: string;
  readonly detail?: string;
}

describeLab('servers that die', USER_SPACE, (open) => {
  let net: Topology;
  let appliance: LabAppliance;
  let client: Xl2tpdClient;
  let servers: Xl2tpdServer[];
  let agent: UdpAgent;
  let others: ScriptedClient[];
  let nextId = 1000;
  const figures: Record<string, number> = {};

  /** States of a server, as the log tells them. */
  const changes = (server: string, from = 0): StateLine[] =>
    appliance.process.lines
      .slice(from)
      .filter((line) => line.includes('"msg":"server is '))
      .map((line) => JSON.parse(line) as Omit<StateLine, 'time'> & { time: string })
      .map((line) => ({ ...line, time: Date.parse(line.time) }))
      .filter((line) => line.server === server);
  /** Other clients ask for tunnels, now and again when nobody answers (RFC 2661 §5.8: after a second). */
  const ask = ({ anew = false } = {}): NodeJS.Timeout => {
    let ids = others.map(() => nextId++);
    const again = (): void => {
      if (anew) ids = others.map(() => nextId++);
      others.forEach((other, n) => other.request(ids[n]));
    };
    again();
    return setInterval(again, 1000);
  };
  const rows = async (server: string) => (await appliance.established({ server })).length;

  beforeAll(async () => {
    const lab = await open();
    net = await buildTopology(lab);
    await net.client.ip(...OTHERS.map((address) => `addr add ${address}/24 dev eth0`));
    servers = net.servers.map(
      (namespace, index) => new Xl2tpdServer(lab, namespace, `lns${index + 1}`, { pool: `10.50.${index + 1}` }),
    );
    client = new Xl2tpdClient(lab, net.client, 'lac', { lns: VIP, port: 1702, redialSeconds: 1 });
    appliance = await startAppliance(
      lab,
      net.designator,
      exampleConfig({
        weights: [1, 1],
        more: { timeouts: { closing: '2s' }, health: { slowStart: '1s', lendFirst: '1s' } },
      }),
    );
    for (const program of [...servers, client]) await program.ready();
    agent = new UdpAgent(net.client);
    others = [];
    for (const address of OTHERS) others.push(new ScriptedClient(await agent.bind(address, 1701), VIP));
    for (let number = 1; number <= 4; number++) await client.connect(number);
  }, 40_000);

  afterAll(() => process.stdout.write(`health: ${JSON.stringify(figures)}\n`));

  test('one that is black-holed: noticed in three seconds, told within one, dialled anew by the client', async () => {
    expect([await rows('lns1'), await rows('lns2')]).toEqual([2, 2]);
    const from = client.daemon.lines.length;
    const before = client.established().length;
    await net.servers[0].nft(BLACK_HOLE);
    const asked = Date.now();
    const asking = ask();
    try {
      await waitFor('lns1 to be down', () => changes('lns1').some(({ to }) => to === 'down'), 10_000);
    } finally {
      clearInterval(asking);
    }
    const down = changes('lns1').find(({ to }) => to === 'down') as StateLine;
    expect(down.reason).toBe('silent while tunnels ask');
    await client.daemon.waitForLine(/StopCCN|Connection closed/i, 5000, from);
    figures.blackHoleTold = Date.now() - down.time;
    await waitFor('two new tunnels', () => client.established().length === before + 2, 10_000);
    figures.blackHoleNoticed = down.time - asked;
    figures.blackHoleDialledAgain = Date.now() - asked;
    expect(figures.blackHoleNoticed).toBeLessThan(4000);
    await waitFor('all four at lns2', async () => (await rows('lns2')) >= 4);
    expect(await appliance.servers()).toMatchObject([{ name: 'lns1', state: 'down', tunnels: 0 }, { state: 'up' }]);
  });

  test('it comes back without a word, and a request that it is lent finds it', async () => {
    await net.servers[0].nft('delete table inet hole');
    // The first that it is lent may have come too early.
    const asking = ask({ anew: true });
    try {
      await waitFor('lns1 to be back', () => changes('lns1').at(-1)?.to === 'up', 15_000);
    } finally {
      clearInterval(asking);
    }
    expect(changes('lns1').map(({ to }) => to)).toEqual(['suspect', 'down', 'slow-start', 'up']);
    expect(changes('lns1').map(({ reason }) => reason)[2]).toMatch(/answered a request|heard from again/);
  });

  test('a drain with a deadline ends its tunnels in good order, and the client stands elsewhere', async () => {
    const before = client.established().length;
    const from = client.daemon.lines.length;
    const there = (await appliance.established({ server: 'lns2' })).filter((row) =>
      row.client.endsWith(':1702'),
    ).length;
    expect(there).toBe(4);
    await appliance.command('server', 'drain', 'lns2', '--deadline', '200ms');
    const drained = Date.now();
    await waitFor('four new tunnels', () => client.established().length === before + 4, 10_000);
    figures.drainDialledAgain = Date.now() - drained;
    expect(client.daemon.lines.slice(from).join('\n')).toMatch(/Connection closed|StopCCN/i);
    expect(servers[1].daemon.lines.join('\n')).toMatch(/Connection closed|StopCCN/i);
    await waitFor('none left at lns2', async () => (await rows('lns2')) === 0);
    await appliance.command('server', 'enable', 'lns2');
  });

  test('one that is killed', async () => {
    const before = client.established().length;
    const there = (await appliance.established({ server: 'lns1' })).filter((row) =>
      row.client.endsWith(':1702'),
    ).length;
    expect(there).toBe(4);
    await servers[0].daemon.kill();
    const killed = Date.now();
    const asking = ask();
    try {
      await waitFor('lns1 to be down', () => changes('lns1').at(-1)?.to === 'down', 10_000);
    } finally {
      clearInterval(asking);
    }
    figures.killedNoticed = (changes('lns1').at(-1) as StateLine).time - killed;
    await waitFor('four new tunnels', () => client.established().length === before + 4, 10_000);
    figures.killedDialledAgain = Date.now() - killed;
    expect(figures.killedNoticed).toBeLessThan(4000);
  });
  test('checked actively, an idle one is noticed within a second, and found again', async () => {
    appliance.write(
      exampleConfig({
        weights: [1, 1],
        more: {
          timeouts: { closing: '2s' },
          health: { slowStart: '0s', active: { every: '300ms', timeout: '250ms', failures: 2 } },
        },
      }),
    );
    expect(await appliance.hangUp()).toContain('"msg":"reloaded"');
    const asked = servers[1].daemon.lines.length;
    await waitFor('the check to ask lns2', () =>
      servers[1].daemon.lines.slice(asked).some((line) => line.includes('Connection closed to 10.10.1.254')),
    );
    await net.servers[1].nft(BLACK_HOLE);
    const died = Date.now();
    await waitFor('lns2 to be down', () => changes('lns2').at(-1)?.to === 'down', 10_000);
    const down = changes('lns2').at(-1) as StateLine;
    expect(down.reason).toBe('the active check got no answer');
    figures.activeNoticed = down.time - died;
    expect(figures.activeNoticed).toBeLessThan(2000);
    await net.servers[1].nft('delete table inet hole');
    await waitFor('lns2 to be back', () => changes('lns2').at(-1)?.to === 'up', 10_000);
    expect(changes('lns2').at(-1)?.reason).toMatch(/the active check got an answer|heard from again/);
  });
});
