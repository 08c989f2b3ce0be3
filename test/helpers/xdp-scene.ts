/** The example's network with scripted ends and the product in it, for what is special about XDP. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAppliance, type ReadyLine } from '../../src/demo/lab/appliance.js';
import type { Lab } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { addClient, buildTopology, exampleConfig, SERVERS, type Topology, VIP } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { TunnelRow } from '../../src/ops/appliance.js';
import type { ScriptedClient, ScriptedServer, Stream } from './l2tp-peer.js';
import { scriptedClient, scriptedServer, SELF } from './lab.js';

export interface SceneOptions {
  /** Over those of the example. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The far ends of the designator's veths poll, so that they take what XDP redirects. Default true. */
  readonly gro?: boolean;
  /** Default 2. */
  readonly clients?: number;
  /** Default 2. */
  readonly tunnelsEach?: number;
}

/** An end's own wire gets a queue. The kernel passes it by where the sender of the frame would let a card segment TCP. */
async function poll(space: Namespace): Promise<void> {
  await space.run('ethtool', ['-K', 'eth0', 'gro', 'on']);
}

export class Scene {
  readonly clients: ScriptedClient[] = [];
  readonly servers: ScriptedServer[] = [];
  ready: ReadyLine | null = null;

  private constructor(
    readonly lab: Lab,
    readonly net: Topology,
    readonly appliance: LabAppliance,
  ) {}

  /** The network, the servers and the configuration; the product is not started. */
  static async prepare(lab: Lab, { config = {}, gro = true }: SceneOptions): Promise<Scene> {
    process.env.TD_TEST_IO = gro ? 'xdp' : 'packet'; // tells the lab's wires
    const net = await buildTopology(lab);
    const appliance = new LabAppliance(lab, net.designator, { self: SELF, config: { ...exampleConfig(), ...config } });
    const scene = new Scene(lab, net, appliance);
    if (gro) for (const name of ['wan0', 'lan0']) await net.designator.run('ethtool', ['-K', name, 'tso', 'off']);
    for (const [index, address] of SERVERS.entries()) {
      const assign = (count: number): number => 1000 * (index + 1) + count;
      scene.servers.push(await scriptedServer(net.servers[index], address, { assign }));
      if (gro) await poll(net.servers[index]);
    }
    return scene;
  }

  /** All of it, with tunnels that stand. */
  static async open(lab: Lab, options: SceneOptions = {}): Promise<Scene> {
    const scene = await Scene.prepare(lab, options);
    scene.ready = await scene.appliance.start();
    await scene.connect(options.clients ?? 2, options.tunnelsEach ?? 2);
    return scene;
  }

  async connect(clients: number, tunnelsEach: number): Promise<void> {
    const { lab, net } = this;
    for (let index = 0; index < clients; index++) {
      const address = `192.128.10.${20 + this.clients.length}`;
      const space = await addClient(lab, net.wan, `c${this.clients.length}`, address);
      if (process.env.TD_TEST_IO === 'xdp') await poll(space);
      const client = await scriptedClient(space, address, VIP);
      for (let id = 1; id <= tunnelsEach; id++) await client.connect(id);
      this.clients.push(client);
    }
  }

  get tunnels(): number {
    return this.clients.reduce((sum, client) => sum + client.tunnels.length, 0);
  }

  /** Established tunnels that the kernel forwards. */
  async offloaded(): Promise<TunnelRow[]> {
    return (await this.appliance.established()).filter((row) => row.offloaded);
  }

  async untilOffloaded(count = this.tunnels, timeoutMs = 5000): Promise<void> {
    await waitFor(
      `${count} tunnels in the kernel`,
      async () => (await this.offloaded()).length === count,
      timeoutMs,
      async () => JSON.stringify(await this.appliance.tunnels()),
    );
  }

  /** Numbered data of all clients, and back. */
  async stream(perSecond: number, during: () => Promise<unknown> = () => sleep(400)): Promise<Stream> {
    const action = sleep(100)
      .then(during)
      .then(() => sleep(100));
    const all = await Promise.all(this.clients.map((client) => client.stream(perSecond, () => action)));
    const sum = (key: keyof Stream): number => all.reduce((total, stream) => total + stream[key], 0);
    return {
      sent: sum('sent'),
      returned: sum('returned'),
      lost: sum('lost'),
      repeated: sum('repeated'),
      late: sum('late'),
    };
  }

  /** Packets that the shards took, with control messages and neighbours. */
  async seenByShards(): Promise<number> {
    return (await this.appliance.workers()).reduce((sum, worker) => sum + worker.packets, 0);
  }

  /** What the shards see of `run`. */
  async seenDuring<T>(run: () => Promise<T>): Promise<{ readonly seen: number; readonly result: T }> {
    const before = await this.seenByShards();
    const result = await run();
    return { seen: (await this.seenByShards()) - before, result };
  }

  async stop(): Promise<void> {
    if (this.appliance.daemon?.running !== true) return;
    this.appliance.process.signal('SIGTERM');
    await this.appliance.process.ended;
  }

  /** Feature of the far end of the designator's wire to the clients or to the servers. */
  async farEnd(side: 'wan' | 'lan', feature: string, on: boolean): Promise<void> {
    const wire = side === 'wan' ? 'p1' : 'p2'; // the first two wires of a topology
    await this.net[side].namespace.run('ethtool', ['-K', wire, feature, on ? 'on' : 'off']);
  }
}

/** What every stream through a healthy designator is. */
export const NOTHING_LOST = { lost: 0, repeated: 0 } as const;
/** And where all the lab's wires have queues of their own (`gro`): a veth without one leaves the order to the CPUs. */
export const IN_ORDER = { ...NOTHING_LOST, late: 0 } as const;
