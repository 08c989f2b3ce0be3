/** `designator gateway` in the gateways of a LAN: one file each, started and asked as an operator would. */
import type { Daemon } from './daemon.js';
import { type EndpointOptions, LabEndpoint } from './endpoint.js';
import { type GatewayLan, type LanGateway, SHARED, SHARED6 } from './gateway-lan.js';
import { waitFor } from './wait.js';

export const GROUP = 7;
const SETTLED_MS = 20_000;

export interface MemberOptions {
  /** The words that start the program: Node and main.js. */
  readonly self: EndpointOptions['self'];
  /** More keys of the group, over those that all have. */
  readonly group?: Readonly<Record<string, unknown>>;
  /** More keys of one member's group. */
  readonly each?: (number: number) => Readonly<Record<string, unknown>>;
}

/** Rows of `show gateways`, as far as the lab reads them. */
export interface MemberRow {
  readonly gateway: number;
  readonly self: boolean;
  readonly state: string;
  readonly alive: boolean;
  readonly verified: boolean;
  readonly master: boolean;
  readonly able: boolean;
  /** Numbers with commas. */
  readonly serves: string;
  readonly hosts: number;
  readonly term: number;
}

/** Rows of `show hosts`, as far as the lab reads them. */
export interface HostRow {
  readonly host: string;
  readonly gateway: number;
  readonly server: number | null;
}

export class GatewayMembers {
  /** In the order of the gateways. */
  readonly members: LabEndpoint[] = [];

  constructor(
    readonly lan: GatewayLan,
    readonly options: MemberOptions,
  ) {
    const { prefix = '' } = lan.options;
    for (const gateway of lan.gateways)
      this.members.push(
        new LabEndpoint(lan.lab, gateway.namespace, {
          role: 'gateway',
          self: options.self,
          config: this.config(gateway),
          name: `${prefix}gateway${gateway.number}`,
        }),
      );
  }

  /** All members run and serve their own hosts, and the first one, which begins before the others, is master. */
  static async start(lan: GatewayLan, options: MemberOptions): Promise<GatewayMembers> {
    const members = new GatewayMembers(lan, options);
    const [first, ...others] = members.members;
    await first.start();
    await Promise.all(others.map((member) => member.start()));
    await members.settled();
    await members.untilServed(1, Object.fromEntries(lan.gateways.map(({ number }) => [number, number])));
    return members;
  }

  /** Priorities fall with the numbers: gateway 1 becomes master. */
  config({ number }: LanGateway, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    const { group = {}, each } = this.options;
    return {
      groups: [
        {
          name: 'lan',
          group: GROUP,
          interface: 'eth0',
          number,
          addresses: this.lan.options.ipv6 ? [SHARED, SHARED6] : [SHARED],
          priority: 200 - number * 10,
          key: { text: 'a key that only this laboratory has' },
          ...group,
          ...each?.(number),
          ...more,
        },
      ],
    };
  }

  member(number: number): LabEndpoint {
    return this.members[number - 1];
  }

  daemon(number: number): Daemon {
    return this.member(number).process;
  }

  /** What one member says of all; LabError when it does not answer. */
  rows(number: number): Promise<MemberRow[]> {
    return this.member(number).control('GET', '/v1/gateways');
  }

  /** The host table of one member. */
  hosts(number: number): Promise<HostRow[]> {
    return this.member(number).control('GET', '/v1/hosts');
  }

  /** Who takes the frames of each gateway's virtual MAC, as one member sees it; by number. */
  async servers(number: number): Promise<Map<number, number>> {
    const rows = await this.rows(number);
    return new Map(
      rows.flatMap(({ gateway, serves }) =>
        serves
          .split(',')
          .filter(Boolean)
          .map((forwarder) => [Number(forwarder), gateway] as const),
      ),
    );
  }

  /** Resolves when one member sees these virtual MACs served so: `{ 1: 1, 3: 1 }`. */
  async untilServed(number: number, wanted: Readonly<Record<number, number>>, timeoutMs = SETTLED_MS): Promise<void> {
    let seen = new Map<number, number>();
    await waitFor(
      `virtual MACs to be served as ${JSON.stringify(wanted)}`,
      async () => {
        seen = await this.servers(number);
        return Object.entries(wanted).every(([forwarder, server]) => seen.get(Number(forwarder)) === server);
      },
      timeoutMs,
      () => `${JSON.stringify([...seen])}\n${this.daemon(number).tail(12)}`,
    );
  }

  /** Members whose process runs. */
  get living(): number[] {
    return this.lan.gateways.map(({ number }) => number).filter((number) => this.member(number).daemon?.running);
  }

  /**
   * Resolves with the master's number when these members agree on it, know each other to live, and know nobody else to.
   * Default: all whose process runs.
   */
  async settled(numbers?: readonly number[], timeoutMs = SETTLED_MS): Promise<number> {
    let wanted: readonly number[] = [];
    let seen: unknown = null;
    return waitFor(
      'the gateways to agree on a master',
      async () => {
        // That a process has ended is heard a moment later.
        wanted = [...(numbers ?? this.living)].sort((a, b) => a - b);
        const views = await Promise.all(wanted.map((number) => this.rows(number).catch(() => [])));
        seen = views;
        const alive = views.map((rows) => rows.filter(isAlive).map(({ gateway }) => gateway));
        const masters = views.map((rows) => rows.filter((row) => row.master).map(({ gateway }) => gateway));
        const agreed = alive.every((list) => [...list].sort((a, b) => a - b).join() === wanted.join());
        const [[master] = []] = masters;
        return agreed && masters.every((list) => list.length === 1 && list[0] === master) ? master : null;
      },
      timeoutMs,
      () =>
        `${wanted.join()}: ${JSON.stringify(seen)}\n${wanted.map((number) => this.daemon(number).tail(8)).join('\n')}`,
    );
  }

  /** The forwarder whose virtual MAC each host has for the shared address; 0: none of the group's. */
  async forwarders(address = SHARED): Promise<number[]> {
    const known = await this.lan.neighbours(address);
    return known.map((entry) => forwarderOf(entry?.mac ?? ''));
  }

  /** How many hosts have each gateway's virtual MAC, in the order of the gateways. */
  async shares(address = SHARED): Promise<number[]> {
    const known = await this.forwarders(address);
    return this.lan.gateways.map(({ number }) => known.filter((forwarder) => forwarder === number).length);
  }

  /** Ends all processes in order. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ daemon }) => daemon?.stop(5000)));
  }
}

const isAlive = ({ alive, self, verified }: MemberRow): boolean => alive && (self || verified);

/** The virtual MAC of forwarder `number` in the lab's group, as `ip neigh` writes it. */
export const virtualMac = (number: number, group = GROUP): string =>
  ['02', '54', '44', hex(group >> 8), hex(group & 255), hex(number)].join(':');

/** 0 when it is no virtual MAC of the lab's group. */
export const forwarderOf = (mac: string): number =>
  mac.startsWith(virtualMac(0).slice(0, -2)) ? Number.parseInt(mac.slice(-2), 16) : 0;

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
