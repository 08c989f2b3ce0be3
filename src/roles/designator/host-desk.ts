/**
 * The host as the appliance's neighbour: its routes, links and neighbour table, the next hops made of them, and the
 * questions and announcements that the appliance sends itself.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import type { TableMemory } from '../../flow/layout.js';
import type { RouteSnapshot } from '../../flow/route-table.js';
import { hostAddresses } from '../../io/host-addresses.js';
import { HostNetwork } from '../../io/host-network.js';
import { HostWatch } from '../../io/host-watch.js';
import type { NativeAddon } from '../../io/native.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import type { Logger } from '../../ops/log.js';
import { type AddressWords, parseAddress } from '../../wire/address.js';
import type { Binding } from './binding.js';
import { NeighbourKeeper, type Unreachable } from './neighbour-keeper.js';
import { announcements, type OwnFrame, question } from './own-frames.js';

export interface HostDeskParts {
  readonly addon: NativeAddon;
  readonly memory: TableMemory;
  readonly binding: Binding;
  readonly logger: Logger;
  readonly config: () => CompiledConfig;
  /** Through a shard's port. */
  readonly transmit: (frames: OwnFrame[]) => void;
  readonly onRoutes: (routes: RouteSnapshot) => void;
  /** A link, an address or a route is another than before. */
  readonly onChange: () => void;
  /** A neighbour on the LAN is known to live. */
  readonly onNeighbour: (words: AddressWords) => void;
}

/** `settle` waits so long for the link-layer addresses of servers; after that it warns and goes on. */
const SETTLE_MS = 1500;

export class HostDesk {
  readonly neighbours: NeighbourKeeper;
  readonly #parts: HostDeskParts;
  readonly #network: HostNetwork;
  readonly #watch: HostWatch;
  #routes: RouteSnapshot | null = null;
  /** Addresses of this host. */
  #own: readonly AddressWords[] = hostAddresses();

  constructor(parts: HostDeskParts) {
    this.#parts = parts;
    const { outside, inside } = parts.config();
    this.#network = new HostNetwork({ outside, inside, logger: parts.logger });
    this.#watch = new HostWatch(parts.addon, () => {
      this.#lookAtAddresses();
      parts.onChange();
    });
    this.neighbours = new NeighbourKeeper(parts.memory, {
      resolve: (port, words) => this.#resolve(port, words),
      own: () => this.#own,
      mayBeOwn: ({ index }) => parts.binding.isOneWay(index),
    });
  }

  /** Errors: see HostNetwork. */
  async start(): Promise<void> {
    const { logger, onNeighbour } = this.#parts;
    this.#network.on('routes', (routes: RouteSnapshot) => this.#setRoutes(routes));
    this.#network.on('neighbour', ({ port, words, mac }) => {
      if (mac === null) return;
      this.neighbours.learnt(port, words, mac, this.#seconds());
      onNeighbour(words);
    });
    this.#network.on('link', (link) => logger.info(link, 'link changed'));
    this.#network.setServers(this.#serverAddresses());
    await this.#network.start();
  }

  stop(): void {
    this.#watch.close();
    this.#network.stop();
  }

  /** Is the device there, up, and with a carrier? */
  isUp(device: string): boolean {
    return this.#watch.interfaceUp(device);
  }

  /** Known once `start` has ended. */
  get routes(): RouteSnapshot {
    return this.#routes as RouteSnapshot;
  }

  /** Other servers than before. */
  serversChanged(): void {
    this.#network.setServers(this.#serverAddresses());
    if (this.#routes !== null) this.#tell(this.neighbours.setRoutes(this.#routes, this.#parts.binding.servers));
  }

  /** Waits for the next hops that every tunnel needs. */
  async settle(): Promise<void> {
    if (await this.neighbours.settle(SETTLE_MS)) return;
    const text = 'some servers or gateways do not answer ARP or ND yet; their packets are dropped until they do';
    this.#parts.logger.warn({}, text);
  }

  /** Every VIP is here. */
  announceVips(): void {
    const config = this.#parts.config();
    const { mac } = this.#parts.addon.interfaceInfo(config.outside.device);
    const inside = this.#parts.addon.interfaceInfo(config.inside.device).mac;
    this.#parts.transmit(announcements(config, mac, inside));
  }

  /** By port: whether the host has no device that could ask for neighbours there. */
  ownResolution(): [boolean, boolean] {
    return [this.#network.needsOwnResolution(PORT_OUTSIDE), this.#network.needsOwnResolution(PORT_INSIDE)];
  }

  #setRoutes(routes: RouteSnapshot): void {
    this.#routes = routes;
    const { binding, onRoutes } = this.#parts;
    this.#tell(this.neighbours.setRoutes(routes, binding.servers));
    for (const { port, words, mac } of this.#network.neighbours()) {
      if (mac !== null) this.neighbours.learnt(port, words, mac, this.#seconds());
    }
    onRoutes(routes);
  }

  /** A server may be this host itself, or no longer: standing tunnels follow as they follow a route. */
  #lookAtAddresses(): void {
    const own = hostAddresses();
    if (own.join() === this.#own.join()) return;
    this.#own = own;
    if (this.#routes !== null) this.#setRoutes(this.#routes);
  }

  #tell({ routes, own }: Unreachable): void {
    const { logger } = this.#parts;
    if (routes.length > 0)
      logger.warn({ servers: routes }, 'the host has no route to these servers through outside or inside');
    if (own.length > 0)
      logger.error(
        { servers: own },
        'these servers are this host itself: that is possible only where answers do not pass the designator (reply: direct, part: master)',
      );
  }

  #seconds(): number {
    return Math.floor(this.#parts.addon.monotonicSeconds());
  }

  #serverAddresses(): AddressWords[] {
    return this.#parts.binding.servers.map(({ text }) => parseAddress(text)).filter((words) => words !== null);
  }

  /** By the host where it can; on a VLAN that the host has no device for, by a question of our own. */
  #resolve(port: number, words: readonly [number, number, number, number]): void {
    if (!this.#network.needsOwnResolution(port)) return this.#network.resolve(port, words);
    const { addon, config, transmit } = this.#parts;
    const { outside, inside } = config();
    const { mac } = addon.interfaceInfo(port === PORT_OUTSIDE ? outside.device : inside.device);
    transmit([question(config(), port, words, mac)]);
  }
}
