/**
 * Three designators in front of four real servers, two of ours and two xl2tpd, with two call generators and an xl2tpd client:
 * two thousand tunnels, each with a session that says something all the time, so that of every single one it can be said
 * whether it has gone on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DesignatorFarm, type FarmOptions, serverAddress, vipAddress } from '../../src/demo/lab/designator-farm.js';
import type { LabEndpoint } from '../../src/demo/lab/endpoint.js';

import type { Lab } from '../../src/demo/lab/lab.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { Xl2tpdClient, Xl2tpdServer } from '../../src/demo/lab/xl2tpd.js';
import type { TunnelRow } from '../../src/ops/appliance.js';
import type { GeneratorResults } from '../../src/roles/lac/generator/results.js';
import { Watch } from './lab-watch.js';
import { SELF, startLns } from './lab.js';
import { LabGenerator } from './lab-generator.js';

const OURS = 2;
/** Tunnels that the xl2tpd client may dial later. */
const MORE = 8;
const USER = { name: 'user', password: 's3cret' };
/** One echo of every session in so many seconds. */
const PING_SECONDS = 2;
/** Tables of thousands of rows are asked for so often at most. */
const LOOK_MS = 400;
/** A machine that does many things at once may let a second pass between a packet and its answer. */
const ANSWERED_MS = 20_000;

export interface ClusterSceneOptions {
  /** Tunnels of each of the two generators. */
  readonly tunnels: number;
  /** Tunnels of the xl2tpd client. */
  readonly dialled: number;
  /** Section `cluster` of a member's file, and whatever else it is to have. */
  readonly config?: FarmOptions['config'];
  readonly members?: number;
  readonly group?: FarmOptions['group'];
  /** Called when the wires are there and no designator runs yet. */
  readonly prepare?: (farm: DesignatorFarm) => Promise<void>;
}

/** What names a tunnel for ever: who has it with whom, and the ids of both. */
const nameOf = (row: TunnelRow): string =>
  [row.client, row.clientTunnelId, row.virtualTunnelId ?? '', row.server, row.serverTunnelId].join(' ');

export class ClusterScene {
  /** Our LNSs, in the order of their addresses. */
  readonly endpoints: LabEndpoint[] = [];
  readonly generators: LabGenerator[] = [];
  xl2tpd!: Xl2tpdClient;
  readonly #watches: Watch<string>[] = [];
  #dialled = 0;
  #names: readonly string[] = [];

  private constructor(
    readonly farm: DesignatorFarm,
    readonly options: ClusterSceneOptions,
  ) {}

  /** All tunnels are up and carry data when it resolves. */
  static async open(lab: Lab, options: ClusterSceneOptions): Promise<ClusterScene> {
    const farm = await DesignatorFarm.open(lab, {
      self: SELF,
      members: options.members ?? 3,
      servers: 4,
      clients: 3,
      group: { adverts: { interval: '500ms' }, preempt: { delay: '300ms' }, ...options.group },
      config: (number) => ({ vips: ClusterScene.vips(), ...options.config?.(number) }),
    });
    await options.prepare?.(farm);
    const scene = new ClusterScene(farm, options);
    const servers = scene.#startServers();
    await Promise.all([farm.start(), servers]);
    await scene.#dial();
    return scene;
  }

  static vips(): object[] {
    const vip = (index: number, name: string, kind: string): object => ({
      name,
      address: vipAddress(index),
      protocols: ['l2tp'],
      algorithm: 'maglev',
      servers: Array.from({ length: 2 }, (_, n) => ({
        name: `${kind}${n + 1}`,
        address: serverAddress(index * OURS + n),
      })),
    });
    return [vip(0, 'access', 'ours'), vip(1, 'wholesale', 'xl2tpd')];
  }

  async #startServers(): Promise<void> {
    const { farm } = this;
    const { lab } = farm;
    const others = farm.servers
      .slice(OURS)
      .map((space, n) => new Xl2tpdServer(lab, space, `xl2tpd${n + 1}`, { pool: `10.51.${n}` }));
    const ours = farm.servers.slice(0, OURS).map((space, n) =>
      startLns(
        lab,
        space,
        {
          name: `ours${n + 1}`,
          listen: serverAddress(n),
          workers: 1,
          sessions: { limit: 8192 },
          pools: [{ name: 'all', ipv4: `10.${70 + n}.0.0/19` }],
        },
        { name: `ours${n + 1}`, users: [USER] },
      ),
    );
    this.endpoints.push(...(await Promise.all(ours)));
    for (const server of others) await server.ready();
  }

  async #dial(): Promise<void> {
    const { farm, options } = this;
    const [first, second, third] = farm.clients;
    for (const [n, space] of [first, second].entries())
      this.generators.push(
        new LabGenerator(space, `generator${n + 1}`, {
          self: SELF,
          lns: vipAddress(0),
          tunnels: options.tunnels,
          traffic: `ping:64@${1 / PING_SECONDS}`,
          password: USER.password,
          more: ['--user', USER.name, '--methods', 'chap-md5', '--rate', '800', '--in-flight', '200'],
        }),
      );
    this.xl2tpd = new Xl2tpdClient(farm.lab, third, 'customer', {
      lns: vipAddress(1),
      tunnels: options.dialled + MORE,
    });
    await this.xl2tpd.ready();
    const ids: number[] = [];
    for (let number = 1; number <= options.dialled; number++) ids.push((await this.xl2tpd.connect(number)).local);
    this.#dialled = options.dialled;
    await this.#listen(ids);
    await Promise.all(this.generators.map((generator) => generator.held()));
    // A server opens a session a moment after its client.
    await waitFor('all sessions at the servers', async () => {
      await sleep(LOOK_MS);
      return (await this.#marks()).size === this.total;
    });
    this.#names = await this.names();
    if (this.#names.length !== this.total) throw new Error(`${this.#names.length} tunnels of ${this.total}`);
  }

  /** A packet to the xl2tpd client in tunnel id n is one that has crossed to the server and was answered from there. */
  async #listen(ids: readonly number[]): Promise<void> {
    const what = ids.map((id) => [
      `t${id}`,
      { hook: 'prerouting', match: `udp sport 1701 @th,64,1 0 @th,96,16 ${id}` },
    ]);
    this.#watches.push(
      await Watch.start(this.farm.clients[2], Object.fromEntries(what), `watch${this.#watches.length}`),
    );
  }

  get total(): number {
    return 2 * this.options.tunnels + this.#dialled;
  }

  /** Established tunnels by all ids and both ends, over all living members, each once. */
  async names(): Promise<string[]> {
    const { farm } = this;
    const tables = await Promise.all(farm.living.map((number) => farm.member(number).established()));
    return [...new Set(tables.flat().map(nameOf))].sort();
  }

  /** How many established tunnels each living member has in its table. */
  async counts(): Promise<number[]> {
    const { farm } = this;
    const tables = await Promise.all(farm.living.map((number) => farm.member(number).established()));
    return tables.map(({ length }) => length);
  }

  /** Resolves when every living member has each of the tunnels that there were at the start. LabError names some it has not. */
  async replicated(timeoutMs = 20_000): Promise<void> {
    const { farm } = this;
    let missing: string[] = [];
    await waitFor(
      `${this.total} tunnels at every member`,
      async () => {
        await sleep(LOOK_MS);
        const tables = await Promise.all(farm.living.map((number) => farm.member(number).established()));
        missing = tables.flatMap((rows, index) => {
          const there = new Set(rows.map(nameOf));
          return this.#names.filter((name) => !there.has(name)).map((name) => `${farm.living[index]}: ${name}`);
        });
        return missing.length === 0;
      },
      timeoutMs,
      async () => {
        // What else those members know of the first of them says more than that it is missing.
        const [first] = missing;
        const [number, name] = [Number(first?.split(': ')[0]), first?.split(': ')[1] ?? ''];
        const [client, id] = name.split(' ');
        const rows = Number.isNaN(number) ? [] : await farm.member(number).tunnels({ client, tunnel: Number(id) });
        return `${missing.length} missing, as ${missing.slice(0, 4).join('; ')}; of the first one there is ${JSON.stringify(rows)}`;
      },
    );
  }

  /** Packets of each session: at our LNSs from the client, and of each xl2tpd tunnel at the client. */
  async #marks(): Promise<Map<string, number>> {
    const tables = await Promise.all(this.endpoints.map((endpoint) => endpoint.sessions()));
    const marks = new Map<string, number>();
    for (const [n, rows] of tables.entries())
      for (const row of rows)
        if (row.state === 'up') marks.set(`ours${n + 1} ${row.tunnelId}/${row.sessionId}`, row.packetsIn);
    const watched = await Promise.all(this.#watches.map((watch) => watch.packets()));
    for (const [name, packets] of watched.flatMap((counts) => Object.entries(counts)))
      marks.set(`xl2tpd ${name}`, packets);
    return marks;
  }

  /**
   * Resolves when every tunnel has carried more than now: that each session of our LNSs has got two more echo requests, and
   * the client of each xl2tpd tunnel an answer. LabError names those that have not.
   */
  async flowing(timeoutMs = ANSWERED_MS): Promise<void> {
    const before = await this.#marks();
    if (before.size !== this.total) throw new Error(`${before.size} sessions are up, there were ${this.total}`);
    let silent: string[] = [];
    await waitFor(
      'data in every tunnel',
      async () => {
        await sleep(LOOK_MS);
        const now = await this.#marks();
        silent = [...before].filter(([name, packets]) => (now.get(name) ?? 0) < packets + 2).map(([name]) => name);
        return silent.length === 0;
      },
      timeoutMs,
      () => `${silent.length} of ${before.size} are silent, as ${silent.slice(0, 5).join(', ')}`,
    );
  }

  /** The designator that a client's packets go to: 0 and 1 have the generators, 2 is the xl2tpd client. */
  activeOf(client: number): Promise<number> {
    return this.farm.memberOf(this.farm.clients[client], vipAddress(client < 2 ? 0 : 1));
  }

  /** One more tunnel of the xl2tpd client, which is to go on like the others from now on. */
  async dialOne(): Promise<void> {
    const { local } = await this.xl2tpd.connect(++this.#dialled);
    await this.#listen([local]);
    await waitFor('the new tunnel in a table', async () => {
      await sleep(LOOK_MS);
      this.#names = await this.names();
      return this.#names.length === this.total;
    });
  }

  /** Rows of `show cluster` of one kind. */
  async cluster<Row>(number: number, kind: 'bus' | 'member' | 'stream'): Promise<Row[]> {
    const rows = await this.farm.member(number).control<{ kind: string }[]>('GET', '/v1/cluster');
    return rows.filter((row) => row.kind === kind) as Row[];
  }

  async busState(number: number, wanted: string): Promise<void> {
    let seen: { state: string }[] = [];
    await waitFor(
      `the bus of ${number} to be ${wanted}`,
      async () => {
        seen = await this.cluster(number, 'bus');
        return seen.every(({ state }) => state === wanted);
      },
      20_000,
      () => JSON.stringify(seen),
    );
  }

  /** Resolves when every living member has its bus and sees each other one on it. */
  async wholeBus(): Promise<void> {
    const { living } = this.farm;
    let seen: unknown = null;
    await waitFor(
      'all members on the bus',
      async () => {
        const tables = await Promise.all(
          living.map(async (number) => ({
            bus: await this.cluster<{ state: string }>(number, 'bus'),
            members: await this.cluster<{ number: number; state: string }>(number, 'member'),
          })),
        );
        seen = tables;
        return tables.every(
          ({ bus, members }) =>
            bus.every(({ state }) => state === 'up') &&
            living.every((number) => members.some((row) => row.number === number && row.state === 'ready')),
        );
      },
      20_000,
      () => JSON.stringify(seen),
    );
  }

  /** Ends both generators, each of which says what became of each of its calls. */
  async end(): Promise<GeneratorResults[]> {
    return Promise.all(this.generators.map((generator) => generator.end()));
  }
}
