/** The state of one interface by its name, told whenever it changes: down, up, gone, back as another one. */
import type { LinkState } from './gateway-types.js';
import type { NativeAddon, NetlinkSocket } from './native.js';
import {
  type LinkMessage,
  NETLINK_ROUTE,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  readLink,
  readMessages,
} from './netlink.js';
import { attribute, join, NetlinkAsker, NetlinkRefusal } from './netlink-request.js';

const LINK_GROUP = 1;
const LINK_LENGTH = 16; // struct ifinfomsg
const IFLA_IFNAME = 3;
const ENODEV = 19;

export const NO_LINK: LinkState = { present: false, up: false, index: 0, mac: new Uint8Array(6), mtu: 0 };

export class LinkWatch {
  readonly #asker = new NetlinkAsker();
  readonly #query: NetlinkSocket;
  readonly #monitor: NetlinkSocket;
  readonly #name: string;
  #state: LinkState;
  #closed = false;

  /** Errors: NetlinkRefusal, and those of netlink sockets. */
  constructor(
    addon: Pick<NativeAddon, 'NetlinkSocket'>,
    name: string,
    readonly onChange: (state: LinkState) => void,
  ) {
    this.#name = name;
    this.#query = new addon.NetlinkSocket(NETLINK_ROUTE, 0, () => {});
    this.#monitor = new addon.NetlinkSocket(NETLINK_ROUTE, LINK_GROUP, () => this.#hear());
    try {
      this.#state = this.#ask();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get state(): LinkState {
    return this.#state;
  }

  close(): void {
    this.#closed = true;
    this.#query.close();
    this.#monitor.close();
  }

  /** A notice says that something changed; what it is now is asked for, because several notices may be on their way. */
  #hear(): void {
    let ours = false;
    while (!this.#closed) {
      let datagram: Uint8Array | null;
      try {
        datagram = this.#monitor.receive();
      } catch {
        ours = true; // ENOBUFS: notices are lost
        continue;
      }
      if (datagram === null) break;
      for (const { type, body } of readMessages(datagram)) {
        if (type !== RTM_NEWLINK && type !== RTM_DELLINK) continue;
        const link = readLink(body);
        ours ||= link === null || link.name === this.#name || link.index === this.#state.index;
      }
    }
    if (!ours || this.#closed) return;
    let now: LinkState;
    try {
      now = this.#ask();
    } catch {
      return; // the kernel is out of memory; the next change tells
    }
    const then = this.#state;
    this.#state = now;
    if (!same(now, then)) this.onChange(now);
  }

  #ask(): LinkState {
    const name = attribute(IFLA_IFNAME, new TextEncoder().encode(`${this.#name}\0`));
    try {
      const body = join([new Uint8Array(LINK_LENGTH), name]);
      const answer = this.#asker.ask(this.#query, `interface ${this.#name}`, RTM_GETLINK, 0, body);
      return answer === null ? NO_LINK : stateOf(readLink(answer));
    } catch (error) {
      if (error instanceof NetlinkRefusal && error.errno === ENODEV) return NO_LINK;
      throw error;
    }
  }
}

function stateOf(link: LinkMessage | null): LinkState {
  if (link === null) return NO_LINK;
  return { present: true, up: link.up, index: link.index, mac: link.mac ?? new Uint8Array(6), mtu: link.mtu };
}

function same(a: LinkState, b: LinkState): boolean {
  return (
    a.present === b.present &&
    a.up === b.up &&
    a.index === b.index &&
    a.mtu === b.mtu &&
    a.mac.every((byte, i) => byte === b.mac[i])
  );
}
