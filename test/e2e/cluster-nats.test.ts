/** The bus over a cluster of three NATS servers, real ones on the loopback, of which some die. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { monotonicSeconds } from '../../src/cluster/drivers/carried-bus.js';
import { type NatsBus, openNatsBus } from '../../src/cluster/drivers/nats.js';
import { NatsStore } from '../../src/cluster/drivers/nats-store.js';
import { StateLink } from '../../src/cluster/drivers/state-link.js';
import { Replication } from '../../src/cluster/replication.js';
import type { StreamWriter } from '../../src/cluster/stream-writer.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab } from '../helpers/lab.js';

const KEY = new TextEncoder().encode('a key of sixteen bytes or more');
const CAPACITY = [20_000, 64] as const;

/** Ports of the loopback that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.close(() => done()))));
  return ports;
}

class NatsCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'td-nats-'));
  readonly #processes: (ChildProcess | null)[] = [null, null, null];
  #ports: number[] = [];

  async prepare(): Promise<void> {
    this.#ports = await freePorts(6);
    const routes = this.#ports.slice(3).map((port) => `nats://127.0.0.1:${port}`);
    for (let n = 0; n < 3; n++) {
      mkdirSync(join(this.folder, `${n}`));
      writeFileSync(
        join(this.folder, `${n}.conf`),
        `listen: 127.0.0.1:${this.#ports[n]}\nserver_name: n${n}\n` +
          `jetstream { store_dir: "${join(this.folder, `${n}`)}", max_mem: 64M, max_file: 64M }\n` +
          `cluster { name: lab, listen: 127.0.0.1:${this.#ports[3 + n]}, routes: [${routes.join(', ')}] }\n` +
          'authorization { user: td, password: secret }\n',
      );
    }
  }

  get servers(): string[] {
    return this.#ports.slice(0, 3).map((port) => `127.0.0.1:${port}`);
  }

  start(...numbers: number[]): void {
    for (const n of numbers)
      this.#processes[n] = spawn('nats-server', ['-c', join(this.folder, `${n}.conf`)], { stdio: 'ignore' });
  }

  kill(...numbers: number[]): void {
    for (const n of numbers) {
      this.#processes[n]?.kill('SIGKILL');
      this.#processes[n] = null;
    }
  }

  close(): void {
    this.kill(0, 1, 2);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describeLab('a cluster over NATS', ['nats-server'], () => {
  const nats = new NatsCluster();
  const buses: NatsBus[] = [];
  const links: StateLink[] = [];
  const stores: NatsStore[] = [];
  let writer: StreamWriter;

  const open = (number: number, password = 'secret'): NatsBus => {
    // Each knows one server first, and learns the others from it.
    const { servers } = nats;
    const own = [servers[(number - 1) % 3], ...servers];
    const bus = openNatsBus({ cluster: 'lab', number, key: KEY, servers: own, user: 'td', password, interval: 0.3 });
    buses.push(bus);
    return bus;
  };
  const put = (from: number, to: number, salt: number): void => {
    const words = new Int32Array(17);
    for (let index = from; index < to; index++)
      writer.put(0, index, words.fill(index * 7 + salt), 0, monotonicSeconds());
    links[0].soon();
  };
  const followers = (): boolean =>
    links
      .slice(1)
      .every(({ replication }) => replication.stream(1, 0)?.mirrors[0].digest() === writer.mirrors[0].digest());
  const isWhole = (): boolean =>
    buses.slice(0, 3).every((bus) => bus.state.state === 'up' && bus.members().length === 2);

  beforeAll(() => nats.prepare());
  afterAll(async () => {
    for (const link of links) link.close();
    await Promise.all(
      stores.map((store) => Promise.race([store.close(), new Promise((done) => setTimeout(done, 500))])),
    );
    await Promise.all(buses.map((bus) => bus.close()));
    nats.close();
  });

  test('NATS is away when members start: they are degraded and say why, and up as soon as it is there', async () => {
    for (const number of [1, 2, 3]) open(number);
    await waitFor('a state that names NATS', () =>
      buses.every(({ state }) => state.state === 'degraded' && state.reason.includes('NATS')),
    );
    nats.start(0, 1, 2);
    await waitFor('three members', isWhole, 20_000);
  });

  test('state travels over three servers to every member', async () => {
    for (const bus of buses) {
      const sink = { changed: () => undefined, counted: () => undefined };
      const replication = new Replication({ number: bus.number, facts: new Map(), capacity: CAPACITY, sink });
      links.push(new StateLink(bus, replication));
    }
    writer = links[0].replication.write(1, 0, monotonicSeconds());
    put(0, 20_000, 1);
    await waitFor('equal tables', followers, 10_000);
  });

  test('members that join late read who is there; one at a time holds what only one may do', async () => {
    const held = [false, false];
    for (const [n, bus] of buses.slice(0, 2).entries()) {
      let store: NatsStore | null = null;
      const connection = await bus.connection;
      // JetStream may have no leader in its first moments.
      await waitFor(
        'JetStream with a leader',
        async () => {
          store = await NatsStore.open(connection, { cluster: 'lab', number: bus.number, replicas: 3 }).catch(
            () => null,
          );
          return store !== null;
        },
        20_000,
      );
      if (store === null) throw new Error('no store');
      stores.push(store);
      await stores[n].join(new TextEncoder().encode(`node ${bus.number}`));
      stores[n].singleton('rebalancer', (has) => {
        held[n] = has;
      });
      if (n === 0) await waitFor('the first holder', () => held[0]);
    }
    expect(
      [...(await stores[1].members())].map(([number, text]) => `${number}: ${new TextDecoder().decode(text)}`).sort(),
    ).toEqual(['1: node 1', '2: node 2']);
    expect(held).toEqual([true, false]);
    await stores[0].close();
    await waitFor('the second holder', () => held[1]);
    expect(held).toEqual([false, true]);
    expect([...(await stores[1].members()).keys()]).toEqual([2]);
  });

  test('a NATS server is killed: its members go to another one, and nothing is lost', async () => {
    nats.kill(0);
    put(0, 5000, 2);
    await waitFor('equal tables without one server', () => followers() && isWhole(), 15_000);
  });

  test('all of them are away: degraded, what is known stays; they come back, and all tables are equal', async () => {
    nats.kill(1, 2);
    await waitFor('the degraded state', () => buses.every(({ state }) => state.state === 'degraded'));
    put(5000, 9000, 3);
    expect(links[1].replication.stream(1, 0)?.mirrors[0].used).toBe(20_000);
    nats.start(0, 1, 2);
    await waitFor('equal tables after all', () => followers() && isWhole(), 20_000);
    expect(buses[0].counters().sendDropped).toBeGreaterThan(0);
  });

  test('a wrong password is named', async () => {
    const stranger = open(9, 'wrong');
    await waitFor(
      'a reason that names it',
      () => stranger.state.state === 'degraded' && /uthoriz/.test(stranger.state.reason),
    );
  });
});
