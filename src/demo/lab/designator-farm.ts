/**
 * Designators that share their VIPs and the servers' gateway address, in a network of namespaces:
 *
 *   clients 192.128.10.1x ── wan ── 192.128.10.n  designator n  10.10.1.25n ── lan ── servers 10.10.1.k
 *                                        10.99.0.n └── bus
 *
 * The bus has a wire of its own, so that it can be cut while everything else goes on. What the members are told beyond this
 * (VIPs, the section `cluster`) is for the caller to say.
 */
import { LabAppliance } from './appliance.js';
import { command, LabError } from './command.js';
import { unixSeconds } from './gateway-lan.js';
import type { Bridge, Lab } from './lab.js';
import type { Namespace } from './namespace.js';
import { waitFor } from './wait.js';

export const SHARED = '10.10.1.254';
export const vipAddress = (index: number): string => `192.128.10.${100 + index}`;
export const clientAddress = (index: number): string => `192.128.10.${11 + index}`;
export const serverAddress = (index: number): string => `10.10.1.${1 + index}`;
export const busAddress = (number: number): string => `10.99.0.${number}`;
const SETTLED_MS = 20_000;
const KEY = { text: 'a key of all designators' };

export interface FarmOptions {
  /** The words that start the program: Node and main.js. */
  readonly self: readonly [string, string];
  readonly members: number;
  readonly servers: number;
  readonly clients: number;
  /** Keys of each member's file, beyond interfaces and groups. */
  readonly config: (number: number) => Readonly<Record<string, unknown>>;
  /** More keys of both groups. */
  readonly group?: Readonly<Record<string, unknown>>;
  /** Sets scenes of one lab apart: part of the names of namespaces and files. */
  readonly prefix?: string;
}

/** Rows of `show gateways`, as far as a farm reads them. */
export interface FarmGatewayRow {
  readonly group: string;
  readonly gateway: number;
  readonly self: boolean;
  readonly master: boolean;
  readonly alive: boolean;
  readonly verified: boolean;
  readonly able: boolean;
  readonly serves: string;
}

export class DesignatorFarm {
  wan!: Bridge;
  lan!: Bridge;
  bus!: Bridge;
  /** Machines of the members, in the order of their numbers. */
  readonly boxes: Namespace[] = [];
  readonly members: LabAppliance[] = [];
  readonly servers: Namespace[] = [];
  readonly clients: Namespace[] = [];

  private constructor(
    readonly lab: Lab,
    readonly options: FarmOptions,
  ) {}

  /** Wires and namespaces; nothing runs yet. */
  static async open(lab: Lab, options: FarmOptions): Promise<DesignatorFarm> {
    const farm = new DesignatorFarm(lab, options);
    const { prefix = '' } = options;
    [farm.wan, farm.lan, farm.bus] = [
      await lab.bridge(`${prefix}wan`),
      await lab.bridge(`${prefix}lan`),
      await lab.bridge(`${prefix}bus`),
    ];
    for (let number = 1; number <= options.members; number++) await farm.#addMember(number, `${prefix}d${number}`);
    for (let index = 0; index < options.servers; index++) {
      const server = await lab.namespace(`${prefix}s${index + 1}`);
      await lab.plug(farm.lan, server, 'eth0', [`${serverAddress(index)}/24`]);
      await server.ip(`route add default via ${SHARED}`);
      farm.servers.push(server);
    }
    for (let index = 0; index < options.clients; index++) {
      const client = await lab.namespace(`${prefix}c${index + 1}`);
      await lab.plug(farm.wan, client, 'eth0', [`${clientAddress(index)}/24`]);
      farm.clients.push(client);
    }
    return farm;
  }

  async #addMember(number: number, short: string): Promise<void> {
    const { lab, options } = this;
    const box = await lab.namespace(short);
    await lab.plug(this.wan, box, 'wan0', [`192.128.10.${number}/24`], { checksums: false });
    await lab.plug(this.lan, box, 'lan0', [`10.10.1.${250 + number}/24`], { checksums: false });
    await lab.plug(this.bus, box, 'bus0', [`${busAddress(number)}/24`]);
    await box.sysctl('net.ipv4.ip_forward', 1);
    this.boxes.push(box);
    this.members.push(new LabAppliance(lab, box, { self: options.self, config: this.config(number), name: short }));
  }

  /** The whole file of a member, but for what the lab adds. Outside member 1 has the highest priority, inside the last one. */
  config(number: number): Record<string, unknown> {
    const { group = {}, config } = this.options;
    const each = { number, key: KEY, algorithm: 'round-robin', ...group };
    return {
      interfaces: { outside: 'wan0', inside: 'lan0' },
      workers: 1,
      gateway: {
        outside: { ...each, group: 7, priority: 110 - number },
        inside: { ...each, group: 8, priority: 100 + number, addresses: [SHARED] },
      },
      ...config(number),
    };
  }

  member(number: number): LabAppliance {
    return this.members[number - 1];
  }

  /** Starts all members, the first one before the others; resolves when each group knows all of them. */
  async start(): Promise<void> {
    const [first, ...others] = this.members;
    await first.start();
    await Promise.all(others.map((member) => member.start()));
    await this.settled();
  }

  gateways(number: number): Promise<FarmGatewayRow[]> {
    return this.member(number).control('GET', '/v1/gateways');
  }

  /** Resolves when every member of these (default: all) sees exactly these alive and able in each group, and one master. */
  async settled(numbers = this.members.map((_, index) => index + 1), timeoutMs = SETTLED_MS): Promise<void> {
    const wanted = numbers.join();
    let seen: unknown = null;
    await waitFor(
      `members ${wanted} to agree in both groups`,
      async () => {
        const tables = await Promise.all(numbers.map((number) => this.gateways(number).catch(() => [])));
        seen = tables;
        return tables.every((rows) =>
          ['outside', 'inside'].every((group) => {
            const alive = rows.filter((row) => row.group === group && row.alive && (row.self || row.verified));
            const ready = alive.filter(({ able }) => able).map(({ gateway }) => gateway);
            return ready.sort((a, b) => a - b).join() === wanted && alive.filter(({ master }) => master).length === 1;
          }),
        );
      },
      timeoutMs,
      () => JSON.stringify(seen),
    );
  }

  /** Who takes the frames of each virtual MAC outside, as one member sees it. */
  async outside(number: number): Promise<Map<number, number>> {
    const rows = (await this.gateways(number)).filter(({ group }) => group === 'outside');
    return new Map(
      rows.flatMap(({ gateway, serves }) =>
        serves
          .split(',')
          .filter(Boolean)
          .map((forwarder) => [Number(forwarder), gateway] as const),
      ),
    );
  }

  /** The member that takes what a client sends to a VIP, by the client's own ARP table. Errors: LabError, it knows none. */
  async memberOf(client: Namespace, vip = vipAddress(0), ask = this.living[0]): Promise<number> {
    const text = await client.run('ip', ['neigh', 'show', vip]);
    const forwarder = /lladdr 02:54:44:00:07:([0-9a-f]{2})/.exec(text)?.[1];
    if (forwarder === undefined) throw new LabError(`${client.short} has no virtual MAC for ${vip}: ${text.trim()}`);
    const member = (await this.outside(ask)).get(Number.parseInt(forwarder, 16));
    if (member === undefined) throw new LabError(`nobody serves the virtual MAC of ${vip} that ${client.short} has`);
    return member;
  }

  /** Numbers of members whose process runs. */
  get living(): number[] {
    return this.members.flatMap(({ daemon }, index) => (daemon?.running ? [index + 1] : []));
  }

  /** Cuts a member off the bus, or joins it again; its other wires stay. */
  async cut(number: number, cut = true): Promise<void> {
    await this.boxes[number - 1].ip(`link set bus0 ${cut ? 'down' : 'up'}`);
  }

  /** The machine is gone: no process, no link. Resolves with the moment, in Unix seconds. */
  async die(number: number): Promise<number> {
    const { name } = this.boxes[number - 1];
    const pids = (await command(this.lab.env, 'ip', ['netns', 'pids', name])).split('\n').filter(Boolean);
    const script = `[ $# -eq 0 ] || kill -KILL "$@"; exec ip -n ${name} -batch -`;
    const event = unixSeconds();
    // Children first: a program whose helper dies before it would take its leave in order.
    await command(this.lab.env, 'sh', ['-c', script, 'sh', ...pids.reverse()], {
      input: 'link set wan0 down\nlink set lan0 down\nlink set bus0 down\n',
    });
    return event;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ daemon }) => daemon?.stop(5000)));
  }
}
