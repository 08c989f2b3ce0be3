/**
 * Router Advertisements of the group, from its shared link-local address (RFC 4861 §6.2). All hosts have one router, the
 * group; which gateway that is for a host is told in the answer to its Neighbour Solicitation. So no advertisement has a
 * source link-layer option, which would move all hosts to one virtual MAC. Only the master advertises; a change of master
 * is none to the hosts.
 */
import type { AddressWords } from '../../wire/address.js';
import { lanRouterAdvertisement } from '../../wire/lan-router-advertisement.js';
import { type Mac, type MacScheme, macBytes, virtualMac } from '../mac.js';
import type { RouterAdvertisementOptions } from '../types.js';

export interface RouterAdvertiserOptions {
  readonly scheme: MacScheme;
  readonly group: number;
  /** The shared link-local address; null: there is none, and nothing can be advertised. */
  readonly source: AddressWords | null;
  readonly advertise: RouterAdvertisementOptions | null;
  readonly random: (count: number) => Uint8Array;
}

/** RFC 4861 §10. */
const INITIAL_INTERVAL_MAX = 16;
const INITIAL_COUNT = 3;
const MIN_DELAY_BETWEEN = 3;
const DELAY_MAX = 0.5;
/** Advertisements that may be lost before a route that they tell of ends, where there is no lifetime to go by. */
const ROUTE_INTERVALS = 3;
/** A new master of a group that leads nowhere: gateways that are just starting get so long. */
const STARTING = 5;
/** §6.2.1: the shortest interval is a third of the longest. */
const SHORTEST = 0.33;
/** Hosts that wait for an answer of their own; beyond them one answer to all is cheaper. */
const WAITING_LIMIT = 32;

const ALL_NODES: AddressWords = [0xff020000, 0, 0, 1];
const ALL_NODES_MAC: Mac = 0x333300000001;

interface Waiting {
  readonly host: Mac;
  readonly address: AddressWords;
  readonly at: number;
}

export interface RouterAdvertiserCounters {
  /** Solicitations heard as master. */
  solicited: number;
  /** Advertisements to all nodes, and to one. */
  periodic: number;
  unicast: number;
  /** Answered to all since too many asked at once. */
  crowds: number;
}

export class RouterAdvertiser {
  readonly #options: RouterAdvertiserOptions;
  #advertise: RouterAdvertisementOptions | null;
  /** Forwarder whose virtual MAC the frames come from; 0: we are not master. */
  #forwarder = 0;
  #initial = 0;
  /** Some gateway of the group can forward. Otherwise it is advertised as no router, so that hosts take another. */
  #open = true;
  /** When the next one to all is due. */
  #next = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;
  readonly #waiting = new Map<Mac, Waiting>();
  readonly #counters: RouterAdvertiserCounters = { solicited: 0, periodic: 0, unicast: 0, crowds: 0 };

  constructor(options: RouterAdvertiserOptions) {
    this.#options = options;
    this.#advertise = options.advertise;
  }

  /** When `tick` is due. */
  get nextTime(): number {
    let next = this.#next;
    for (const { at } of this.#waiting.values()) next = Math.min(next, at);
    return next;
  }

  /** We are master now, and advertise from the virtual MAC of `forwarder`, which we serve. */
  start(forwarder: number, now: number): void {
    this.stop();
    this.#forwarder = forwarder;
    if (!this.#active) return;
    this.#initial = INITIAL_COUNT;
    this.#next = now + (this.#open ? this.#chance() * DELAY_MAX : STARTING);
  }

  /**
   * Whether the group leads anywhere. When it does no more hosts are told at once, and again with every advertisement
   * (§6.2.5: lifetime 0), until it does.
   */
  setOpen(open: boolean, now: number): Uint8Array[] {
    if (open === this.#open) return [];
    this.#open = open;
    if (!this.#active) return [];
    this.#initial = INITIAL_COUNT;
    this.#waiting.clear();
    if (open) {
      this.#next = now + this.#chance() * DELAY_MAX;
      return [];
    }
    this.#last = now;
    this.#next = now + this.#interval(MIN_DELAY_BETWEEN);
    return this.farewell();
  }

  /** We are master no more; another advertises. */
  stop(): void {
    this.#forwarder = 0;
    this.#next = Number.POSITIVE_INFINITY;
    this.#waiting.clear();
  }

  /** A host asks for one (§6.2.6): it alone is answered where it has an address, since others need not wake up (RFC 7772). */
  solicited(host: Mac, address: AddressWords | null, now: number): void {
    if (!this.#active) return;
    this.#counters.solicited++;
    const at = now + this.#chance() * DELAY_MAX;
    if (address !== null && (this.#waiting.size < WAITING_LIMIT || this.#waiting.has(host))) {
      if (!this.#waiting.has(host)) this.#waiting.set(host, { host, address, at });
      return;
    }
    if (address !== null) this.#counters.crowds++;
    this.#next = Math.min(this.#next, Math.max(at, this.#last + MIN_DELAY_BETWEEN));
  }

  /** A reload: what is told changes now. Without advertisements hosts are told that there is no router here any more. */
  configure(advertise: RouterAdvertisementOptions | null, now: number): Uint8Array[] {
    const frames = advertise === null ? this.farewell() : [];
    const forwarder = this.#forwarder;
    this.#advertise = advertise;
    if (forwarder !== 0) this.start(forwarder, now);
    return frames;
  }

  /** Frames to send now. */
  tick(now: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    if (!this.#active || this.#advertise === null) return frames;
    if (now >= this.#next) {
      frames.push(this.#frame(ALL_NODES_MAC, ALL_NODES, this.#open));
      this.#counters.periodic++;
      this.#last = now;
      this.#waiting.clear();
      this.#next = now + this.#interval(this.#advertise.interval);
    }
    for (const { host, address, at } of this.#waiting.values()) {
      if (now < at) continue;
      frames.push(this.#frame(host, address, this.#open));
      this.#counters.unicast++;
      this.#waiting.delete(host);
    }
    return frames;
  }

  /** The last gateway of the group ends: an advertisement with lifetime 0 (§6.2.5), none where we do not advertise. */
  farewell(): Uint8Array[] {
    return this.#active ? [this.#frame(ALL_NODES_MAC, ALL_NODES, false)] : [];
  }

  counters(): RouterAdvertiserCounters {
    return { ...this.#counters };
  }

  get #active(): boolean {
    return this.#forwarder !== 0 && this.#advertise !== null && this.#options.source !== null;
  }

  #interval(longest: number): number {
    const interval = longest * (SHORTEST + this.#chance() * (1 - SHORTEST));
    if (this.#initial === 0) return interval;
    this.#initial--;
    return Math.max(MIN_DELAY_BETWEEN, Math.min(interval, INITIAL_INTERVAL_MAX));
  }

  /** 0 ≤ chance < 1. */
  #chance(): number {
    const bytes = this.#options.random(2);
    return ((bytes[0] << 8) | bytes[1]) / 0x10000;
  }

  #frame(to: Mac, destination: AddressWords, open: boolean): Uint8Array {
    const { scheme, group, source } = this.#options;
    const {
      managed,
      other,
      mtu,
      prefixes,
      routes = [],
      resolvers,
      lifetime,
      interval,
    } = this.#advertise as RouterAdvertisementOptions;
    return lanRouterAdvertisement(macBytes(virtualMac(scheme, group, this.#forwarder)), macBytes(to), {
      source: source as AddressWords,
      destination,
      lifetime: open ? lifetime : 0,
      managed,
      other,
      mtu,
      prefixes,
      routes,
      // Routes hold also where the group is to be no default router.
      routeLifetime: open ? lifetime || ROUTE_INTERVALS * interval : 0,
      resolvers,
      // Resolvers are servers of their own: they do not go with the router.
      resolverLifetime: lifetime,
    });
  }
}
