/**
 * What a role watches of its host by rtnetlink: whether interfaces have a carrier, which routes there are, which
 * addresses an interface has; and a call soon after any of it has changed.
 *
 * A question to rtnetlink waits for the kernel's one lock of all networks, which somebody who makes and removes interfaces may
 * hold for tens of milliseconds. So what is asked again and again is answered from what the kernel has told, and asked
 * anew only after a change: an interface by the message itself, routes by a dump. A lost message is a change of everything.
 */
import type { NativeAddon, NetlinkSocket } from './native.js';
import { NetlinkQuery } from './host-query.js';
import {
  AF_UNSPEC,
  type LinkMessage,
  NETLINK_ROUTE,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWLINK,
  ROUTE_UNICAST,
  readAddress,
  readLink,
  readMessages,
  readRoute,
  TABLE_MAIN,
  type Words,
} from './netlink.js';
import { attribute, join, NetlinkAsker, NetlinkRefusal } from './netlink-request.js';

/** Links, addresses, routes of both families, next hops (linux/rtnetlink.h, RTMGRP_*). */
const GROUPS = 0x1 + 0x10 + 0x40 + 0x100 + 0x400 + 0x8000_0000;
/** Changes come in swarms; a look after the first and one after the last are enough. */
const COALESCE_MS = 20;
const LINK_LENGTH = 16; // struct ifinfomsg
const IFLA_IFNAME = 3;

/** A prefix: four words, IPv4 mapped, and bits of 128. */
export interface RoutePrefix {
  readonly words: readonly number[];
  readonly length: number;
}

export class HostWatch {
  readonly #asker = new NetlinkAsker();
  readonly #links: NetlinkSocket;
  readonly #monitor: NetlinkSocket;
  readonly #query: NetlinkQuery;
  readonly #onChange: () => void;
  /** Interfaces that were asked for, by name. */
  readonly #up = new Map<string, boolean>();
  /** Index of every interface that the kernel has told of, by name. */
  readonly #indexes = new Map<string, number>();
  /** Prefixes that were asked for since the last change of a link, an address or a route. */
  readonly #routes = new Map<string, boolean>();
  /** Counts changes, so that a dump from before one is not kept. */
  #change = 0;
  /** Dumps are one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(addon: Pick<NativeAddon, 'NetlinkSocket'>, onChange: () => void) {
    this.#onChange = onChange;
    this.#links = new addon.NetlinkSocket(NETLINK_ROUTE, 0, () => {});
    this.#query = new NetlinkQuery((protocol, groups, readable) => new addon.NetlinkSocket(protocol, groups, readable));
    this.#monitor = new addon.NetlinkSocket(NETLINK_ROUTE, GROUPS, () => this.#changed());
  }

  /** Is the interface there, up, and with a carrier? */
  interfaceUp(device: string): boolean {
    const known = this.#up.get(device) ?? this.#ask(device);
    this.#up.set(device, known);
    return known;
  }

  /** Which of the prefixes the main table has a route to that leads somewhere. Errors: TD_UNAVAILABLE. */
  async routesTo(prefixes: readonly RoutePrefix[]): Promise<boolean[]> {
    const missing = prefixes.filter((prefix) => !this.#routes.has(keyOf(prefix)));
    if (missing.length > 0) {
      const change = this.#change;
      const found = await this.#dumpRoutes(missing);
      // What was read while something changed is good for this answer, and not for later ones.
      if (change !== this.#change) return this.#dumpRoutes(prefixes);
      missing.forEach((prefix, index) => void this.#routes.set(keyOf(prefix), found[index]));
    }
    return prefixes.map((prefix) => this.#routes.get(keyOf(prefix)) ?? false);
  }

  #dumpRoutes(prefixes: readonly RoutePrefix[]): Promise<boolean[]> {
    return this.#alone(async () => {
      const found = prefixes.map(() => false);
      await this.#query.dump(
        RTM_GETROUTE,
        AF_UNSPEC,
        () => found.fill(false),
        (body) => {
          const route = readRoute(body);
          if (route === null || route.table !== TABLE_MAIN || route.type !== ROUTE_UNICAST || route.special) return;
          // A route whose only hop is dead leads nowhere; the kernel keeps it so while an interface has no carrier.
          if (route.hops.length === 0) return;
          prefixes.forEach(({ words, length }, index) => {
            if (length === route.length && words.every((word, n) => word === route.words[n])) found[index] = true;
          });
        },
      );
      return found;
    });
  }

  /** Addresses of an interface, up or not, in the kernel's order. Errors: TD_UNAVAILABLE. */
  addressesOf(index: number): Promise<Words[]> {
    return this.#alone(async () => {
      let found: Words[] = [];
      await this.#query.dump(
        RTM_GETADDR,
        AF_UNSPEC,
        () => {
          found = [];
        },
        (body) => {
          const address = readAddress(body);
          if (address?.index === index) found.push(address.words);
        },
      );
      return found;
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#monitor.close();
    this.#links.close();
    this.#query.close();
  }

  #alone<T>(ask: () => Promise<T>): Promise<T> {
    const next = this.#last.then(ask, ask);
    this.#last = next.catch(() => {});
    return next;
  }

  #ask(device: string): boolean {
    const name = attribute(IFLA_IFNAME, Buffer.from(`${device}\0`));
    try {
      const body = this.#asker.ask(this.#links, device, RTM_GETLINK, 0, join([new Uint8Array(LINK_LENGTH), name]));
      return body !== null && (readLink(body)?.up ?? false);
    } catch (error) {
      if (error instanceof NetlinkRefusal) return false;
      throw error;
    }
  }

  #changed(): void {
    for (;;) {
      let datagram: Uint8Array | null;
      try {
        datagram = this.#monitor.receive();
      } catch {
        // Messages are lost (ENOBUFS): nothing that is known is sure.
        this.#up.clear();
        continue;
      }
      if (datagram === null) break;
      for (const { type, body } of readMessages(datagram)) {
        const link = type === RTM_NEWLINK || type === RTM_DELLINK ? readLink(body) : null;
        // A port that leaves a bridge is told as the end of a link of another family.
        if (link !== null && body.getUint8(0) !== AF_UNSPEC) this.#up.delete(link.name);
        else if (link !== null) this.#hearLink(link, type === RTM_NEWLINK);
      }
    }
    this.#change++;
    this.#routes.clear();
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#onChange();
    }, COALESCE_MS);
  }

  #hearLink({ index, name, up }: LinkMessage, isThere: boolean): void {
    // An interface that was given another name is told under the new one alone.
    for (const [device, known] of this.#indexes) if (known === index && device !== name) this.#up.delete(device);
    this.#indexes.set(name, index);
    if (!isThere) this.#indexes.delete(name);
    if (this.#up.has(name)) this.#up.set(name, isThere && up);
  }
}

function keyOf({ words, length }: RoutePrefix): string {
  return `${words.join()}/${length}`;
}
