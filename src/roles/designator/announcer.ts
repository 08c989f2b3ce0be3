/**
 * Routes by which a routing daemon (bird2) learns what routers are to send here: the addresses of VIPs while this designator
 * can forward, and prefixes for those inside while the way out is there. They stand in tables of their own, which the
 * host itself does not look into, so no address is the host's and no packet of it goes another way. They lead to a device
 * of this process: however it ends, the kernel takes device and routes away at that moment.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { AnnounceConfig } from '../../config/announce.js';
import type { Prefix } from '../../config/compiled.js';
import { DesignatorError } from '../../errors.js';
import { HostChanges, type HostRoute } from '../../io/host-changes.js';
import type { NativeAddon } from '../../io/native.js';
import { NetlinkRefusal } from '../../io/netlink-request.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';

/** As `ip route` shows their maker. */
export const ROUTE_PROTOCOL = 84;
const MTU = 1500;
const MAPPED_BITS = 96;
/** What somebody else has taken away is put back within this. */
const LOOK_AGAIN_SECONDS = 5;
const OPEN_TRIES = 20;
const OPEN_AGAIN_MS = 100;
/** `addr_gen_mode`: no link-local address of its own, so the device never speaks. */
const NO_ADDRESS = '1';

/** The kernel, as far as it is needed here. */
export interface RouteHost {
  /** Makes the device; returns its index. Errors: TD_CONFLICT it is somebody else's, TD_NO_PERMISSION, TD_UNAVAILABLE. */
  open(device: string): Promise<number>;
  /** False: it was there, or was not. Errors: NetlinkRefusal. */
  add(route: HostRoute): boolean;
  remove(route: HostRoute): boolean;
  close(): void;
}

export interface AnnouncerParts {
  readonly config: AnnounceConfig;
  readonly host: RouteHost;
  readonly logger: Logger;
  readonly events: EventLog;
  /** Why nothing can be forwarded, or nothing from inside; empty: it can. */
  readonly reasons: () => readonly string[];
  readonly insideReasons: () => readonly string[];
  /** Seconds that only rise. */
  readonly now: () => number;
}

interface Side {
  readonly name: 'outside' | 'inside';
  readonly prefixes: readonly Prefix[];
  readonly table: number;
  readonly reasons: () => readonly string[];
  /** Since when it can; null: it cannot. */
  ableSince: number | null;
  put: boolean;
  lookedAt: number;
}

export class Announcer {
  readonly counters = { put: 0, withdrawn: 0, refused: 0, restored: 0 };
  readonly #parts: AnnouncerParts;
  readonly #sides: readonly Side[];
  #index = 0;
  #open = false;
  #ending = false;

  constructor(parts: AnnouncerParts) {
    this.#parts = parts;
    const { addresses, inside, table, insideTable } = parts.config;
    const none = { ableSince: null, put: false, lookedAt: Number.NEGATIVE_INFINITY };
    this.#sides = [
      { name: 'outside' as const, prefixes: addresses, table, reasons: parts.reasons, ...none },
      { name: 'inside' as const, prefixes: inside, table: insideTable, reasons: parts.insideReasons, ...none },
    ].filter(({ prefixes }) => prefixes.length > 0);
  }

  /** Makes the device; nothing is announced yet. Errors: of `RouteHost.open`. */
  async start(): Promise<void> {
    this.#index = await this.#parts.host.open(this.#parts.config.device);
    this.#open = true;
  }

  /** Several times a second, and at once when a link has changed. */
  look(): void {
    if (!this.#open || this.#ending) return;
    const { config, now } = this.#parts;
    const at = now();
    for (const side of this.#sides) {
      const reasons = side.reasons();
      if (reasons.length > 0) {
        side.ableSince = null;
        this.#withdraw(side, reasons.join('; '));
        continue;
      }
      side.ableSince ??= at;
      if (at < side.ableSince + (side.put ? 0 : config.settle)) continue;
      if (!side.put || at >= side.lookedAt + LOOK_AGAIN_SECONDS) this.#put(side, at);
    }
  }

  /** Nothing is announced from now on. Resolves when routers have had time to hear of it. */
  async retreat(reason = 'this designator ends'): Promise<void> {
    this.#ending = true;
    const stood = this.#sides.some(({ put }) => put);
    for (const side of this.#sides) this.#withdraw(side, reason);
    const { linger } = this.#parts.config;
    if (stood && linger > 0) await new Promise((resolve) => setTimeout(resolve, linger * 1000));
  }

  /** The device goes, and whatever leads to it. */
  close(): void {
    this.#ending = true;
    if (this.#open) this.#parts.host.close();
    this.#open = false;
  }

  /** What stands now, as `ip route` writes it. */
  announced(): string[] {
    return this.#sides.flatMap(({ put, prefixes }) => (put ? prefixes.map(({ text }) => text) : []));
  }

  #put(side: Side, at: number): void {
    const { host, logger, events } = this.#parts;
    side.lookedAt = at;
    let restored = 0;
    try {
      for (const prefix of side.prefixes) if (host.add(this.#route(side, prefix))) restored++;
    } catch (error) {
      if (!(error instanceof NetlinkRefusal)) throw error;
      this.counters.refused++;
      if (this.counters.refused === 1 || side.put)
        logger.error({ err: error, table: side.table }, 'a route cannot be made; it is tried again');
      return;
    }
    if (!side.put) {
      side.put = true;
      this.counters.put++;
      const routes = textOf(side);
      logger.info({ side: side.name, routes, table: side.table }, 'routes are announced');
      events.emit('announced', { what: 'put', side: side.name, routes });
    } else if (restored > 0) {
      this.counters.restored += restored;
      logger.warn({ side: side.name, routes: restored }, 'somebody had taken routes away; they are there again');
    }
  }

  #withdraw(side: Side, reason: string): void {
    if (!side.put) return;
    const { host, logger, events } = this.#parts;
    let left = false;
    for (const prefix of side.prefixes) {
      try {
        host.remove(this.#route(side, prefix));
      } catch (error) {
        if (!(error instanceof NetlinkRefusal)) throw error;
        left = true;
        this.counters.refused++;
        logger.error({ err: error, route: prefix.text }, 'a route cannot be taken away; it is tried again');
      }
    }
    // One that is left is tried again at the next look.
    if (left && !this.#ending) return;
    side.put = false;
    side.lookedAt = Number.NEGATIVE_INFINITY;
    this.counters.withdrawn++;
    const routes = textOf(side);
    logger.info({ side: side.name, routes, reason }, 'routes are withdrawn');
    events.emit('announced', { what: 'withdrawn', side: side.name, routes, reason });
  }

  #route({ table }: Side, { words, length, family }: Prefix): HostRoute {
    return {
      words,
      length: family === 4 ? length - MAPPED_BITS : length,
      index: this.#index,
      metric: 0,
      table,
      protocol: ROUTE_PROTOCOL,
    };
  }
}

const textOf = ({ prefixes }: Side): string => prefixes.map(({ text }) => text).join(', ');

/** The kernel itself. */
export class KernelRoutes implements RouteHost {
  readonly #addon: NativeAddon;
  #changes: HostChanges | null = null;
  #fds: readonly number[] = [];

  constructor(addon: NativeAddon) {
    this.#addon = addon;
  }

  async open(device: string): Promise<number> {
    // One process may still be ending while the next one begins.
    for (let tried = 0; this.#exists(device); tried++) {
      if (tried === OPEN_TRIES)
        throw new DesignatorError('TD_CONFLICT', `there is a device ${device} already: announce.device must be ours`, {
          device,
        });
      await new Promise((resolve) => setTimeout(resolve, OPEN_AGAIN_MS));
    }
    try {
      this.#fds = this.#addon.openTun(device, 1, MTU).fds;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      throw new DesignatorError(
        code === 'EPERM' || code === 'EACCES' ? 'TD_NO_PERMISSION' : 'TD_UNAVAILABLE',
        `the device ${device} for announced routes cannot be made: ${(error as Error).message}`,
        { device },
        error,
      );
    }
    quieten(device);
    this.#changes = new HostChanges(this.#addon);
    return this.#addon.interfaceInfo(device).index;
  }

  add(route: HostRoute): boolean {
    return this.#opened.addRoute(route);
  }

  remove(route: HostRoute): boolean {
    return this.#opened.removeRoute(route);
  }

  close(): void {
    this.#changes?.close();
    this.#changes = null;
    for (const fd of this.#fds) this.#addon.closeFd(fd);
    this.#fds = [];
  }

  get #opened(): HostChanges {
    if (this.#changes === null) throw new TypeError('the device is not open');
    return this.#changes;
  }

  #exists(device: string): boolean {
    try {
      this.#addon.interfaceInfo(device);
      return true;
    } catch {
      return false;
    }
  }
}

/** Where IPv6 is off there is nothing to quieten. */
function quieten(device: string): void {
  const path = `/proc/sys/net/ipv6/conf/${device}/addr_gen_mode`;
  try {
    if (readFileSync(path, 'utf8').trim() !== NO_ADDRESS) writeFileSync(path, NO_ADDRESS);
  } catch {
    // Its link-local address harms nobody: nothing is ever read from the device.
  }
}
