/**
 * The death of a server under real clients (xl2tpd), from the traffic alone and with the active check: how long until the
 * designator notices, until the last client has been told, and until all stand again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAppliance } from '#designator/demo/lab/appliance.js';
import { Lab } from '#designator/demo/lab/lab.js';
import { missingPackages, USER_SPACE } from '#designator/demo/lab/packages.js';
import { addClient, buildTopology, exampleConfig, VIP } from '#designator/demo/lab/topology.js';
import { waitFor } from '#designator/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '#designator/demo/lab/xl2tpd.js';
import type { ScenarioOptions } from './scenario.js';

export interface ServerDeathRow {
  readonly benchmark: 'server-death';
  readonly watched: 'traffic' | 'traffic and active check';
  readonly clients: number;
  /** Tunnels of the server when it died. */
  readonly tunnels: number;
  /** Milliseconds from the first message that the dead server did not answer. */
  readonly noticedMs: number;
  /** … from then until the last of its clients knew. */
  readonly toldMs: number;
  /** … from its death until all of its clients had another tunnel; xl2tpd waits for a second before it dials. */
  readonly againMs: number;
}

const CLIENTS = 12;
const BLACK_HOLE =
  'table inet hole {\n chain in {\n type filter hook prerouting priority -300\n drop\n }\n chain out {\n type filter hook output priority -300\n drop\n }\n}\n';
const CLOSED = /Connection closed to/;
const POLL_MS = 10;
const WAIT_MS = 30_000;

export async function serverDeathBench(options: ScenarioOptions): Promise<ServerDeathRow[]> {
  const say = options.progress ?? (() => {});
  const missing = missingPackages(options.env, [...USER_SPACE]);
  if (missing.length > 0) {
    say(`server death is left out: it needs ${missing.join(' ')}`);
    return [];
  }
  const rows: ServerDeathRow[] = [];
  for (const watched of ['traffic', 'traffic and active check'] as const) {
    say(`server death: ${watched}`);
    rows.push(await die(options, watched));
  }
  return rows;
}

async function die(options: ScenarioOptions, watched: ServerDeathRow['watched']): Promise<ServerDeathRow> {
  const lab = await Lab.open({ pid: options.pid, env: options.env });
  try {
    const net = await buildTopology(lab);
    const servers = net.servers.map(
      (namespace, n) => new Xl2tpdServer(lab, namespace, `lns${n + 1}`, { pool: `10.50.${n + 1}`, silent: true }),
    );
    const clients: Xl2tpdClient[] = [];
    for (let n = 0; n < CLIENTS; n++) {
      const namespace = await addClient(lab, net.wan, `c${n}`, `192.128.10.${20 + n}`);
      clients.push(
        new Xl2tpdClient(lab, namespace, `lac${n}`, { lns: VIP, tunnels: 2, silent: true, redialSeconds: 1 }),
      );
    }
    const active = watched === 'traffic' ? {} : { active: { every: '500ms', timeout: '200ms' } };
    const config = exampleConfig({ weights: [1, 1], vip: { algorithm: 'round-robin' }, more: { health: active } });
    const appliance = new LabAppliance(lab, net.designator, { self: options.self, config });
    await appliance.start();
    for (const program of [...servers, ...clients]) await program.ready();
    for (const client of clients) await client.connect(1);
    const tunnels = (await appliance.established({ server: 'lns1' })).length;
    const sum = (of: (client: Xl2tpdClient) => number): number =>
      clients.reduce((total, client) => total + of(client), 0);
    const closed = (): number => sum(({ daemon }) => daemon.count(CLOSED));
    const standing = (): number => sum((client) => client.established().length);
    const [closedBefore, standingBefore] = [closed(), standing()];
    await net.servers[0].nft(BLACK_HOLE);
    const died = Date.now();
    for (const client of clients) client.dial(2);
    const until = async (what: string, done: () => boolean): Promise<number> => {
      await waitFor(
        what,
        () => sleep(POLL_MS).then(done),
        WAIT_MS,
        () => appliance.process.tail(),
      );
      return Date.now();
    };
    const line = await appliance.process.waitForLine(/"to":"down"/, WAIT_MS);
    const noticed = Date.parse((JSON.parse(line) as { time: string }).time);
    const told = await until('the clients to know', () => closed() >= closedBefore + tunnels);
    const again = await until('new tunnels', () => standing() >= standingBefore + CLIENTS + tunnels);
    return {
      benchmark: 'server-death',
      watched,
      clients: CLIENTS,
      tunnels,
      noticedMs: noticed - died,
      toldMs: told - noticed,
      againMs: again - died,
    };
  } finally {
    await lab.close();
  }
}
