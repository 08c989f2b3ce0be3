/**
 * What the host knows of the network around it: routes, neighbours, links, read through rtnetlink and followed as they
 * change. The host's tables decide where packets go (docs/decisions/0003); this only reads them, and asks the kernel to
 * resolve a neighbour.
 */
import { EventEmitter } from 'node:events';
import { DesignatorError } from '../errors.js';
import type { RouteSnapshot } from '../flow/route-table.js';
import { formatMac } from '../wire/address.js';
import { NetlinkQuery, type OpenNetlink } from './host-query.js';
import { isForwarding, routeSnapshot, serversInside } from './host-routes.js';
import { type NetlinkSocket, native } from './native.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  type LinkMessage,
  MONITOR_GROUPS,
  NETLINK_ROUTE,
  type NetlinkMessage,
  readAddress,
  readLink,
  readMessages,
  readNeighbour,
  readRoute,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  type RouteMessage,
  TABLE_MAIN,
  type Words,
} from './netlink.js';
import { PORT_INSIDE, PORT_OUTSIDE } from './port.js';

/** An interface as the configuration names it: `wan0.100` is device wan0 with VLAN 100; 0 = untagged. */
export interface HostInterface {
  readonly name: string;
  readonly device: string;
  readonly vlan: number;
}

/** The part of a logger that is used here. */
export interface HostLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export interface HostNetworkOptions {
  readonly outside: HostInterface;
  readonly inside: HostInterface;
  readonly logger: HostLogger;
  /** Default: the addon's sockets. */
  readonly openNetlink?: OpenNetlink;
}

export interface Neighbour {
  readonly port: number;
  readonly words: Words;
  /** null: the host does not know it, or no longer. */
  readonly mac: Uint8Array | null;
}

export interface LinkFacts {
  readonly port: number;
  readonly name: string;
  readonly up: boolean;
  readonly mac: string;
  readonly mtu: number;
}

export interface HostNetworkEvents {
  routes: [RouteSnapshot];
  neighbour: [Neighbour];
  link: [LinkFacts];
}

/** Changes within this time make one snapshot. */
const COALESCE_MS = 50;
/** A snapshot of a large table is not made again before this many times as long as it took has passed. */
const REST_FACTOR = 4;
const RETRY_MS = 1000;
const NEIGHBOUR_LIMIT = 131_072;
const ROUTE_LIMIT = 1_048_576;
/** RTM_NEWNEXTHOP, RTM_DELNEXTHOP: routes that point at next-hop objects change without a message of their own. */
const NEXTHOP_CHANGES = [104, 105];

export class HostNetwork extends EventEmitter<HostNetworkEvents> {
  readonly #logger: HostLogger;
  readonly #interfaces: readonly HostInterface[];
  readonly #open: OpenNetlink;
  #query: NetlinkQuery | null = null;
  #monitor: NetlinkSocket | null = null;
  /** Per port: its link, null = gone. */
  readonly #links: (LinkMessage | null)[];
  readonly #portOf = new Map<number, number>();
  readonly #neighbours = new Map<string, Neighbour>();
  #addresses: { port: number; words: Words }[] = [];
  #servers: readonly Readonly<Words>[] = [];
  /** What has changed since it was read. */
  readonly #stale = { links: true, addresses: true, routes: true, neighbours: true };
  /** While neighbours are dumped: those that a newer message has told of. */
  #newer: Set<string> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #notBefore = 0;
  #stopped = false;
  /** The last question for a neighbour could not be sent: said once, not for each. */
  #refused = false;
  /** Neighbours and routes beyond the limits, which were not taken. */
  readonly lost = { neighbours: 0, routes: 0 };

  constructor(options: HostNetworkOptions) {
    super();
    this.#logger = options.logger;
    this.#open =
      options.openNetlink ??
      ((protocol, groups, onReadable) => new (native().NetlinkSocket)(protocol, groups, onReadable));
    const oneArm = options.outside.name === options.inside.name;
    this.#interfaces = oneArm ? [options.outside] : [options.outside, options.inside];
    this.#links = this.#interfaces.map(() => null);
  }

  /**
   * Reads everything once; `routes` has been emitted when it resolves. Errors: TD_CONFIG an interface does not exist,
   * TD_UNAVAILABLE rtnetlink does not answer.
   */
  async start(): Promise<void> {
    // First listen, then read: no change can fall in between.
    this.#monitor = this.#open(NETLINK_ROUTE, MONITOR_GROUPS, () => this.#hear());
    this.#query = new NetlinkQuery(this.#open);
    const reading = this.#readLinks(true).then(() => this.#synchronise());
    // Changes that come meanwhile wait: a socket has one dump at a time.
    this.#running = reading.catch(() => {});
    try {
      await reading;
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      this.#running = null;
    }
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#query?.close();
    this.#monitor?.close();
    this.#query = null;
    this.#monitor = null;
  }

  /** Those that the host knows now. */
  neighbours(): Neighbour[] {
    return [...this.#neighbours.values()];
  }

  /** The host's own addresses on our interfaces. */
  addresses(): readonly { readonly port: number; readonly words: Words }[] {
    return this.#addresses;
  }

  /** The configured VLAN has no device, so the host has no neighbour table for it: ask by a frame of our own. */
  needsOwnResolution(port: number): boolean {
    const wanted = this.#interfaces[port];
    const link = this.#links[port];
    return wanted !== undefined && wanted.vlan !== 0 && link?.name !== wanted.name;
  }

  /**
   * Addresses that stand inside, which only matters where both sides are VLANs of one device: see `serversInside`. The
   * snapshot that says so follows as a `routes` event, or with `start`.
   */
  setServers(servers: readonly Readonly<Words>[]): void {
    this.#servers = servers;
    if (!this.#sidesShareLink()) return;
    this.#stale.routes = true;
    this.#schedule();
  }

  #sidesShareLink(): boolean {
    const [outside, inside] = this.#links;
    return outside !== null && inside !== undefined && inside !== null && outside.index === inside.index;
  }

  /**
   * Starts a resolution, or confirms what is known; what the host knows already is emitted at once. Does nothing where
   * `needsOwnResolution`.
   */
  resolve(port: number, words: Readonly<Words>): void {
    if (this.#stopped || this.#query === null || this.needsOwnResolution(port)) return;
    const known = this.#neighbours.get(keyOf(port, words));
    if (known !== undefined) this.emit('neighbour', known);
    const link = this.#links[port];
    if (link === null || link === undefined || !link.up) return;
    try {
      this.#query.useNeighbour(
        link.index,
        words.map((word) => word >>> 0),
      );
      this.#refused = false;
    } catch (error) {
      if (!this.#refused) this.#logger.warn({ err: error, port }, 'the kernel cannot be asked for neighbours');
      this.#refused = true;
    }
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #hear(): void {
    for (;;) {
      if (this.#monitor === null) return;
      let datagram: Uint8Array | null;
      try {
        datagram = this.#monitor.receive();
      } catch {
        // ENOBUFS: messages are lost, so everything may have changed.
        this.#stale.links = this.#stale.addresses = this.#stale.routes = this.#stale.neighbours = true;
        this.#schedule();
        continue;
      }
      if (datagram === null) return;
      for (const message of readMessages(datagram)) this.#change(message);
    }
  }

  #change({ type, body }: NetlinkMessage): void {
    if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) return this.#neighbourChanged(type, body);
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      const link = readLink(body);
      const ours =
        link === null ||
        this.#portOf.has(link.index) ||
        this.#interfaces.some(({ name, device }) => name === link.name || device === link.name);
      if (ours) this.#stale.links = true;
      // The kernel takes IPv4 routes away with their link without a word about each.
      this.#stale.routes = true;
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) this.#stale.addresses = this.#stale.routes = true;
    else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const route = readRoute(body);
      if (route !== null && (route.table !== TABLE_MAIN || route.special)) return;
      this.#stale.routes = true;
    } else if (NEXTHOP_CHANGES.includes(type)) this.#stale.routes = true;
    else return;
    this.#schedule();
  }

  #neighbourChanged(type: number, body: DataView): void {
    const told = readNeighbour(body);
    if (told === null) return;
    const port = this.#portOf.get(told.index);
    if (port === undefined) return;
    const key = keyOf(port, told.words);
    this.#newer?.add(key);
    this.#setNeighbour(key, { port, words: told.words, mac: type === RTM_DELNEIGH ? null : told.mac });
  }

  #setNeighbour(key: string, neighbour: Neighbour): void {
    const before = this.#neighbours.get(key);
    if (neighbour.mac === null) {
      if (!this.#neighbours.delete(key)) return; // it was not known and still is not
    } else if (before !== undefined || this.#neighbours.size < NEIGHBOUR_LIMIT) this.#neighbours.set(key, neighbour);
    else this.lost.neighbours++;
    this.emit('neighbour', neighbour);
  }

  // ── reading again ─────────────────────────────────────────────────────────────────────────────────────────────────

  #schedule(): void {
    const { links, addresses, routes, neighbours } = this.#stale;
    if (this.#stopped || this.#timer !== null || this.#running !== null || this.#query === null) return;
    if (!(links || addresses || routes || neighbours)) return;
    const wait = Math.max(COALESCE_MS, this.#notBefore - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#running = this.#synchronise()
        .catch((error: unknown) => {
          if (this.#stopped) return;
          this.#stale.links = this.#stale.addresses = this.#stale.routes = this.#stale.neighbours = true;
          this.#notBefore = performance.now() + RETRY_MS;
          this.#logger.error({ err: error }, "the host's network could not be read; trying again");
        })
        .finally(() => {
          this.#running = null;
          this.#schedule();
        });
    }, wait);
    this.#timer.unref();
  }

  async #synchronise(): Promise<void> {
    const begun = performance.now();
    const stale = this.#stale;
    if (stale.links) await this.#readLinks(false);
    if (stale.addresses) await this.#readAddresses();
    if (stale.neighbours) await this.#readNeighbours();
    if (stale.routes) await this.#readRoutes();
    const now = performance.now();
    this.#notBefore = now + REST_FACTOR * (now - begun);
  }

  async #dump(type: number, family: number, restart: () => void, each: (body: DataView) => void): Promise<void> {
    const query = this.#query;
    if (query === null) throw new DesignatorError('TD_UNAVAILABLE', "the host's network is no longer followed");
    await query.dump(type, family, restart, each);
    if (this.#stopped) throw new DesignatorError('TD_UNAVAILABLE', "the host's network is no longer followed");
  }

  async #readLinks(first: boolean): Promise<void> {
    this.#stale.links = false;
    const byName = new Map<string, LinkMessage>();
    await this.#dump(
      RTM_GETLINK,
      AF_UNSPEC,
      () => byName.clear(),
      (body) => {
        const link = readLink(body);
        if (link !== null) byName.set(link.name, link);
      },
    );
    this.#portOf.clear();
    this.#interfaces.forEach((wanted, port) => {
      const device = byName.get(wanted.device);
      if (device === undefined && first) throw missing(port, wanted);
      const link = (wanted.vlan !== 0 ? byName.get(wanted.name) : undefined) ?? device ?? null;
      const before = this.#links[port];
      this.#links[port] = link;
      // Two VLANs without devices on one parent: the host's tables cannot tell them apart. What is not a server's is
      // the outside's.
      if (link !== null && !this.#portOf.has(link.index)) this.#portOf.set(link.index, port);
      this.#tellLink(port, before, link, first);
      if (before !== null && before.index !== link?.index) this.#forget(port);
    });
  }

  #tellLink(port: number, before: LinkMessage | null, link: LinkMessage | null, first: boolean): void {
    const { name } = this.#interfaces[port];
    const facts = (of: LinkMessage | null): LinkFacts => ({
      port,
      name,
      up: of?.up ?? false,
      mac: of === null || of.mac === null ? '' : formatMac(of.mac),
      mtu: of?.mtu ?? 0,
    });
    const now = facts(link);
    const then = facts(before);
    if (link === null && before !== null) this.#logger.error({ interface: name }, 'the interface is gone');
    else if (link !== null && !now.up && (first || then.up))
      this.#logger.warn({ interface: name }, 'the interface is down');
    if (!first && (now.up !== then.up || now.mac !== then.mac || now.mtu !== then.mtu)) this.emit('link', now);
  }

  /** Another device has the port now: its neighbours are others, also where their addresses are the same. */
  #forget(port: number): void {
    for (const [key, neighbour] of this.#neighbours) {
      if (neighbour.port === port) this.#setNeighbour(key, { ...neighbour, mac: null });
    }
    this.#stale.neighbours = this.#stale.addresses = this.#stale.routes = true;
  }

  async #readAddresses(): Promise<void> {
    this.#stale.addresses = false;
    let found: { port: number; words: Words }[] = [];
    await this.#dump(
      RTM_GETADDR,
      AF_UNSPEC,
      () => (found = []),
      (body) => {
        const address = readAddress(body);
        const port = address === null ? undefined : this.#portOf.get(address.index);
        if (address !== null && port !== undefined) found.push({ port, words: address.words });
      },
    );
    this.#addresses = found;
  }

  async #readNeighbours(): Promise<void> {
    this.#stale.neighbours = false;
    const found = new Map<string, Neighbour>();
    this.#newer = new Set();
    try {
      await this.#dump(
        RTM_GETNEIGH,
        AF_UNSPEC,
        () => found.clear(),
        (body) => {
          const told = readNeighbour(body);
          const port = told === null ? undefined : this.#portOf.get(told.index);
          if (told === null || told.mac === null || port === undefined || found.size >= NEIGHBOUR_LIMIT) return;
          found.set(keyOf(port, told.words), { port, words: told.words, mac: told.mac });
        },
      );
      for (const [key, known] of this.#neighbours) {
        if (!found.has(key) && !this.#newer.has(key)) this.#setNeighbour(key, { ...known, mac: null });
      }
      for (const [key, neighbour] of found) if (!this.#newer.has(key)) this.#setNeighbour(key, neighbour);
    } finally {
      this.#newer = null;
    }
  }

  async #readRoutes(): Promise<void> {
    this.#stale.routes = false;
    const routes: RouteMessage[] = [];
    for (const family of [AF_INET, AF_INET6]) {
      const already = routes.length;
      await this.#dump(
        RTM_GETROUTE,
        family,
        () => (routes.length = already),
        (body) => {
          const route = readRoute(body);
          if (route === null || !isForwarding(route)) return;
          if (routes.length < ROUTE_LIMIT) routes.push(route);
          else this.lost.routes++;
        },
      );
    }
    if (routes.length === ROUTE_LIMIT)
      this.#logger.error({ limit: ROUTE_LIMIT }, 'the host has more routes than are taken');
    const snapshot = routeSnapshot(routes, (index) => this.#portOf.get(index) ?? -1);
    this.emit('routes', this.#sidesShareLink() ? serversInside(snapshot, this.#servers) : snapshot);
  }
}

function missing(port: number, wanted: HostInterface): DesignatorError {
  const side = port === PORT_OUTSIDE ? 'outside' : 'inside';
  return new DesignatorError('TD_CONFIG', `interfaces.${side}: no such interface "${wanted.device}"`, {
    interface: wanted.name,
    port: port === PORT_OUTSIDE ? PORT_OUTSIDE : PORT_INSIDE,
  });
}

function keyOf(port: number, words: Readonly<Words>): string {
  return `${port} ${words[0] >>> 0} ${words[1] >>> 0} ${words[2] >>> 0} ${words[3] >>> 0}`;
}
