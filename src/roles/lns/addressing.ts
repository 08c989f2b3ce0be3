/** Addresses of subscribers: what they are told, what the data path lets through, and router advertisements. */
import type { LnsConfig } from '../../config/lns.js';
import { CALL_FLAG } from '../../flow/session-layout.js';
import type { SessionRoute, SessionTable } from '../../flow/session-table.js';
import type { NetworkAssignment } from '../../protocol/ppp/options.js';
import type { AddressWords } from '../../wire/address.js';
import {
  buildRouterAdvertisement,
  isRouterSolicitation,
  RDNSS_LIMIT,
  solicitedBy,
} from '../../wire/router-advertisement.js';
import type { SessionState } from './offload-host.js';
import type { Lease, Pool, Pools } from './pools.js';
import type { Subscriber } from './subscriber.js';

export interface AddressingOptions {
  readonly config: LnsConfig;
  readonly table: SessionTable;
  readonly batch: { ppp(slot: number, frame: Uint8Array): void };
  readonly pools: Pools;
  /** The host's route to a network of a subscriber; `length` of the mapped address. */
  readonly route: (words: AddressWords, length: number, on: boolean) => void;
}

const NEVER = Number.POSITIVE_INFINITY;
const PREFIX_BITS = 64;
const PPP_IPV6 = Uint8Array.of(0x00, 0x57);
/** RFC 4861 §6.2.1: a third of the lifetime, so that two may get lost. */
const LIFETIME_SECONDS = 1800;
const ADVERTISE_SECONDS = 600;
/** RFC 4861 §10, MIN_DELAY_BETWEEN_RAS. */
const LEAST_SECONDS = 3;

export class Addressing {
  readonly #table: SessionTable;
  readonly #batch: AddressingOptions['batch'];
  readonly #route: AddressingOptions['route'];
  #config: LnsConfig;
  #pools: Pools;
  #local: AddressWords | null = null;

  constructor({ config, table, batch, pools, route }: AddressingOptions) {
    this.#route = route;
    this.#table = table;
    this.#batch = batch;
    this.#config = config;
    this.#pools = pools;
    this.#reserve();
  }

  configure(config: LnsConfig, pools: Pools): void {
    this.#config = config;
    this.#pools = pools;
    this.#reserve();
  }

  /** Address of this end of every link; null without IPv4. */
  get local(): AddressWords | null {
    return this.#local;
  }

  get pools(): Pools {
    return this.#pools;
  }

  /** Our own address is nobody else's. */
  #reserve(): void {
    const { local, pool: name } = this.#config.ipv4;
    const pool = this.#pools.find(4, name);
    this.#local = local;
    if (local !== null) this.#pools.take(local);
    else if (pool !== null) this.#local = this.#pools.allocate(pool)?.words ?? null;
  }

  /** Slot of the session that has the address which this subscriber is to have; −1 none. */
  rivalOf({ grant }: Subscriber): number {
    return grant?.address == null ? -1 : this.#table.findIpv4(grant.address[3]);
  }

  /** Takes addresses for a subscriber that is let in; null: there is none. What it has already it keeps. */
  assign(subscriber: Subscriber): NetworkAssignment | null {
    const { grant } = subscriber;
    if (grant === null) return null;
    subscriber.ipv4 ??= this.#ipv4Of(subscriber);
    subscriber.prefix ??= this.#prefixOf(subscriber);
    const { ipv4, prefix } = subscriber;
    const wantsIpv4 = grant.address !== null || grant.pool !== null || this.#pools.find(4, this.#config.ipv4.pool);
    if (wantsIpv4 && ipv4 === null) return null;
    if (ipv4 === null && prefix === null) return null;
    const local = this.#local;
    const dns = (grant.dns ?? this.#config.ipv4.dns).slice(0, 2).map(ipv4Bytes);
    return {
      ...(ipv4 === null || local === null
        ? {}
        : { ipv4: { local: ipv4Bytes(local), peer: ipv4Bytes(ipv4.words), dns } }),
      ...(prefix === null ? {} : { ipv6: {} }),
    };
  }

  #ipv4Of({ grant }: Subscriber): Lease | null {
    if (grant === null) return null;
    if (grant.address !== null) return this.#pools.take(grant.address);
    return this.#fromPool(4, grant.pool ?? this.#config.ipv4.pool, grant.pool !== null);
  }

  #prefixOf({ grant }: Subscriber): Lease | null {
    if (grant === null) return null;
    if (grant.prefix !== null) return this.#pools.takePrefix(grant.prefix);
    const name = grant.pool6 ?? this.#config.ipv6.pool;
    return name === null ? null : this.#fromPool(6, name, true);
  }

  #fromPool(family: 4 | 6, name: string | null, named: boolean): Lease | null {
    const pool: Pool | null = this.#pools.find(family, named || name !== null ? name : null);
    return pool === null ? null : this.#pools.allocate(pool);
  }

  /** Tells the data path what is open. False: somebody else has an address or a route of the subscriber. */
  apply(subscriber: Subscriber, now: number): boolean {
    const { slot, ipv4, prefix, grant, ipv4Up, ipv6Up } = subscriber;
    let flags = subscriber.flags & ~(CALL_FLAG.ipv4 | CALL_FLAG.ipv6);
    if (ipv4Up) flags |= CALL_FLAG.ipv4;
    if (ipv6Up) flags |= CALL_FLAG.ipv6;
    const routes: SessionRoute[] = [];
    for (const { words, length, family } of grant?.routes ?? []) {
      if (family === 4 ? ipv4Up : ipv6Up) routes.push({ address: words, length });
    }
    // A prefix shorter than /64 is routed as a whole; its first /64 is what is advertised on the link.
    const whole = ipv6Up && prefix !== null && prefix.length < PREFIX_BITS ? [prefix] : [];
    routes.push(...whole.map(({ words, length }) => ({ address: words, length })));
    const done = this.#table.update(slot, {
      flags,
      ipv4: ipv4Up && ipv4 !== null ? ipv4.words[3] : 0,
      prefix: ipv6Up && prefix !== null ? [prefix.words[0], prefix.words[1]] : null,
      routes,
    });
    if (!done) return false;
    subscriber.flags = flags;
    const own = routes.slice(0, routes.length - whole.length);
    this.#hostRoutes(subscriber, [...own, ...outside(ipv4Up ? ipv4 : null), ...outside(ipv6Up ? prefix : null)]);
    if (!ipv6Up) subscriber.advertiseAt = NEVER;
    else if (subscriber.advertiseAt === NEVER) this.advertise(subscriber, now);
    return true;
  }

  /** Pools have routes of their own; whatever else is a subscriber's gets one while it is there. */
  #hostRoutes(subscriber: Subscriber, wanted: readonly SessionRoute[]): void {
    for (const { address, length } of wanted) this.#route(address, length, true);
    for (const { address, length } of subscriber.hostRoutes) this.#route(address, length, false);
    subscriber.hostRoutes = wanted;
  }

  release(subscriber: Subscriber): void {
    this.#hostRoutes(subscriber, []);
    for (const lease of [subscriber.ipv4, subscriber.prefix]) if (lease !== null) this.#pools.release(lease);
    subscriber.ipv4 = null;
    subscriber.prefix = null;
  }

  /** Addresses that another LNS gave. False: somebody has one of them here. */
  adopt(subscriber: Subscriber, state: Pick<SessionState, 'ipv4' | 'prefix'>, now: number): boolean {
    if (state.ipv4 !== null) subscriber.ipv4 = this.#pools.take(state.ipv4);
    if (state.prefix !== null) subscriber.prefix = this.#pools.take(state.prefix.words, state.prefix.length);
    if ((subscriber.ipv4 === null) !== (state.ipv4 === null)) return false;
    if ((subscriber.prefix === null) !== (state.prefix === null)) return false;
    return this.apply(subscriber, now);
  }

  /** The same addresses out of other pools (after a reload). */
  retake(subscriber: Subscriber): void {
    const again = (lease: Lease | null): Lease | null =>
      lease === null ? null : (this.#pools.take(lease.words, lease.length) ?? { ...lease, pool: null, index: -1 });
    subscriber.ipv4 = again(subscriber.ipv4);
    subscriber.prefix = again(subscriber.prefix);
  }

  /** A packet of a subscriber to its link: solicitations are answered, nothing else is. */
  linkLocal(subscriber: Subscriber, packet: Uint8Array, now: number): void {
    if (!subscriber.ipv6Up || now - subscriber.advertisedAt < LEAST_SECONDS || !isRouterSolicitation(packet)) return;
    this.advertise(subscriber, now, solicitedBy(packet));
  }

  advertise(subscriber: Subscriber, now: number, to: Uint8Array | null = null): void {
    const { interfaceId, prefix, link, slot } = subscriber;
    subscriber.advertiseAt = now + ADVERTISE_SECONDS;
    subscriber.advertisedAt = now;
    if (interfaceId === null) return;
    const packet = buildRouterAdvertisement({
      interfaceId,
      prefix: prefix === null ? null : { high: prefix.words[0], low: prefix.words[1] },
      lifetimeSeconds: LIFETIME_SECONDS,
      mtu: link?.parameters.peer.mru ?? null,
      dns: this.#config.ipv6.dns.slice(0, RDNSS_LIMIT),
      to,
    });
    const frame = new Uint8Array(PPP_IPV6.length + packet.length);
    frame.set(PPP_IPV6);
    frame.set(packet, PPP_IPV6.length);
    this.#batch.ppp(slot, frame);
  }
}

export function ipv4Bytes(words: AddressWords): Uint8Array {
  const word = words[3];
  return Uint8Array.of(word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff);
}

/** What a lease of no pool needs of the host. */
function outside(lease: Lease | null): SessionRoute[] {
  return lease === null || lease.pool !== null ? [] : [{ address: lease.words, length: lease.length }];
}
