/**
 * What a role watches of its host by rtnetlink: whether interfaces have a carrier, which routes there are, which
 * addresses an interface has; and a call soon after any of it has changed. Every question is asked anew, so nothing that
 * was missed is wrong for longer than until the next one.
 */
import type { NativeAddon, NetlinkSocket } from './native.js';
import { NetlinkQuery } from './host-query.js';
import {
  AF_UNSPEC,
  NETLINK_ROUTE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  ROUTE_UNICAST,
  readAddress,
  readLink,
  readRoute,
  TABLE_MAIN,
  type Words,
} from './netlink.js';
import { attribute, join, NetlinkAsker, NetlinkRefusal } from './netlink-request.js';

/** Links, addresses and routes of both families (linux/rtnetlink.h, RTMGRP_*). */
const GROUPS = 0x1 + 0x10 + 0x40 + 0x100 + 0x400;
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
    const name = attribute(IFLA_IFNAME, Buffer.from(`${device}\0`));
    try {
      const body = this.#asker.ask(this.#links, device, RTM_GETLINK, 0, join([new Uint8Array(LINK_LENGTH), name]));
      return body !== null && (readLink(body)?.up ?? false);
    } catch (error) {
      if (error instanceof NetlinkRefusal) return false;
      throw error;
    }
  }

  /** Which of the prefixes the main table has a route to that leads somewhere. Errors: TD_UNAVAILABLE. */
  routesTo(prefixes: readonly RoutePrefix[]): Promise<boolean[]> {
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

  #changed(): void {
    // What the messages say is asked again, so that a lost one (ENOBUFS) matters no more than one that came.
    for (;;) {
      try {
        if (this.#monitor.receive() === null) break;
      } catch {
        // Lost messages are a change as well.
      }
    }
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#onChange();
    }, COALESCE_MS);
  }
}
