/**
 * macvlan devices by rtnetlink: made, named, brought up and down, counted, removed; and addresses on them. One request, one
 * answer, nothing waits. Numbers: linux/if_link.h, linux/if_addr.h.
 */
import type { AddressWords } from '../wire/address.js';
import { isIpv4 } from '../wire/address.js';
import type { NativeAddon, NetlinkSocket } from './native.js';
import {
  type AddressMessage,
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  dumpRequest,
  NETLINK_ROUTE,
  NLMSG_DONE,
  NLMSG_ERROR,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  readAddress,
  readMessages,
} from './netlink.js';
import {
  type Attributes,
  attribute,
  attributesOf,
  join,
  NetlinkAsker,
  NetlinkRefusal,
  NLM_F_ACK,
  signed,
} from './netlink-request.js';

const RTM_SETLINK = 19;
const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const NLA_F_NESTED = 0x8000;
const LINK_LENGTH = 16; // struct ifinfomsg
const ADDRESS_LENGTH = 8; // struct ifaddrmsg
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;
const MACVLAN_MODE_PRIVATE = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;
const FOREVER = 0xffffffff;
const ENODEV = 19;
const EEXIST = 17;
const EADDRNOTAVAIL = 99;

export interface LinkFact {
  readonly index: number;
  /** ARPHRD_…, 1 is Ethernet. */
  readonly type: number;
  readonly name: string;
  readonly alias: string;
  readonly kind: string;
  /** Index of the device below; 0 none. */
  readonly below: number;
  /** Index of the bridge or bond that it is a port of; 0 none. */
  readonly master: number;
}

/** Errors of all methods: NetlinkRefusal, with the kernel's errno. */
export class VirtualLinks {
  readonly #socket: NetlinkSocket;
  readonly #asker = new NetlinkAsker();
  #sequence = 0x40000000;

  constructor(addon: Pick<NativeAddon, 'NetlinkSocket'>) {
    this.#socket = new addon.NetlinkSocket(NETLINK_ROUTE, 0, () => {});
  }

  /**
   * A macvlan device that is down, in private mode: it takes what is sent to `mac`, and none of its neighbours on the same
   * device hears it. No IPv6 address comes by itself. Returns its index, or null when the name is taken.
   */
  create(name: string, below: number, mac: Uint8Array, alias: string): number | null {
    const mode = attribute(IFLA_INFO_DATA | NLA_F_NESTED, attribute(IFLA_MACVLAN_MODE, signed(MACVLAN_MODE_PRIVATE)));
    const body = join([
      linkHeader(0),
      attribute(IFLA_IFNAME, text(name)),
      attribute(IFLA_ADDRESS, mac),
      attribute(IFLA_LINK, signed(below)),
      attribute(IFLA_LINKINFO | NLA_F_NESTED, join([attribute(IFLA_INFO_KIND, text('macvlan')), mode])),
    ]);
    try {
      this.#ask(`virtual MAC device ${name}`, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body);
    } catch (error) {
      if (error instanceof NetlinkRefusal && error.errno === EEXIST) return null;
      throw error;
    }
    const index = this.byName(name)?.index ?? 0;
    try {
      this.#ask(`alias of ${name}`, RTM_SETLINK, 0, join([linkHeader(index), attribute(IFLA_IFALIAS, text(alias))]));
    } catch (error) {
      this.remove(index);
      throw error;
    }
    this.#noAutomaticAddress(index);
    return index;
  }

  /** Up or down. `silent`: the kernel neither asks for neighbours on it nor answers (IFF_NOARP). */
  setUp(index: number, up: boolean, silent: boolean): void {
    const flags = (up ? IFF_UP : 0) | (silent ? IFF_NOARP : 0);
    const change = IFF_UP | IFF_NOARP;
    this.#ask(`state of interface ${index}`, RTM_SETLINK, 0, linkHeader(index, flags, change));
  }

  /** It may have gone already, with the device below it. */
  remove(index: number): void {
    try {
      this.#ask(`removal of interface ${index}`, RTM_DELLINK, 0, linkHeader(index));
    } catch (error) {
      if (!(error instanceof NetlinkRefusal && error.errno === ENODEV)) throw error;
    }
  }

  /**
   * Gives a shared address to a device so that the host takes packets for it as its own. Nobody else uses it: it makes no
   * route, is not probed for, and is no source of the host's own packets (IPv4: scope host; IPv6: deprecated at once).
   */
  addAddress(index: number, words: AddressWords): void {
    this.#ask('shared address', RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, addressBody(index, words));
  }

  removeAddress(index: number, words: AddressWords): void {
    try {
      this.#ask('shared address', RTM_DELADDR, 0, addressBody(index, words));
    } catch (error) {
      const gone = error instanceof NetlinkRefusal && [ENODEV, EADDRNOTAVAIL].includes(error.errno);
      if (!gone) throw error;
    }
  }

  byName(name: string): LinkFact | null {
    const body = join([linkHeader(0), attribute(IFLA_IFNAME, text(name))]);
    return this.#get(`interface ${name}`, body);
  }

  byIndex(index: number): LinkFact | null {
    return this.#get(`interface ${index}`, linkHeader(index));
  }

  /** All interfaces. */
  all(): LinkFact[] {
    return this.#dump(RTM_GETLINK, RTM_NEWLINK).map(factOf);
  }

  /** All addresses of the host. */
  addresses(): AddressMessage[] {
    return this.#dump(RTM_GETADDR, RTM_NEWADDR).flatMap((body) => readAddress(body) ?? []);
  }

  #dump(type: number, wanted: number): DataView[] {
    const sequence = this.#sequence++;
    const found: DataView[] = [];
    this.#socket.send(dumpRequest(type, AF_UNSPEC, sequence));
    // The kernel goes on with the dump whenever a part of it is read.
    for (let datagram = this.#socket.receive(); datagram !== null; datagram = this.#socket.receive()) {
      for (const message of readMessages(datagram)) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) return found;
        if (message.type === wanted) found.push(message.body);
      }
    }
    return found;
  }

  close(): void {
    this.#socket.close();
  }

  #get(what: string, body: Uint8Array): LinkFact | null {
    try {
      const answer = this.#asker.ask(this.#socket, what, RTM_GETLINK, 0, body);
      return answer === null ? null : factOf(answer);
    } catch (error) {
      if (error instanceof NetlinkRefusal && error.errno === ENODEV) return null;
      throw error;
    }
  }

  /** Without IPv6 on the host there is nothing to set. */
  #noAutomaticAddress(index: number): void {
    const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
    const spec = attribute(IFLA_AF_SPEC | NLA_F_NESTED, attribute(AF_INET6 | NLA_F_NESTED, mode));
    try {
      this.#ask(`IPv6 of interface ${index}`, RTM_SETLINK, 0, join([linkHeader(index), spec]));
    } catch (error) {
      if (!(error instanceof NetlinkRefusal)) throw error;
    }
  }

  #ask(what: string, type: number, flags: number, body: Uint8Array): void {
    this.#asker.ask(this.#socket, what, type, NLM_F_ACK | flags, body);
  }
}

function factOf(body: DataView): LinkFact {
  const found = attributesOf(body, LINK_LENGTH);
  const info = found.get(IFLA_LINKINFO);
  return {
    index: body.getInt32(4, true),
    type: body.getUint16(2, true),
    name: textOf(found, IFLA_IFNAME),
    alias: textOf(found, IFLA_IFALIAS),
    kind: info === undefined ? '' : textOf(attributesOf(info, 0), IFLA_INFO_KIND),
    below: found.get(IFLA_LINK)?.getInt32(0, true) ?? 0,
    master: found.get(IFLA_MASTER)?.getInt32(0, true) ?? 0,
  };
}

function textOf(attributes: Attributes, type: number): string {
  const found = attributes.get(type);
  if (found === undefined) return '';
  return new TextDecoder().decode(new Uint8Array(found.buffer, found.byteOffset, found.byteLength)).replace(/\0+$/, '');
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

function linkHeader(index: number, flags = 0, change = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(LINK_LENGTH));
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return new Uint8Array(view.buffer);
}

function addressBody(index: number, words: AddressWords): Uint8Array {
  const v4 = isIpv4(words[0], words[1], words[2]);
  const linkLocal = !v4 && words[0] >>> 22 === 0x3fa; // fe80::/10
  const bytes = new Uint8Array(v4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  if (v4) view.setUint32(0, words[3]);
  else words.forEach((word, i) => view.setUint32(4 * i, word));
  const header = new DataView(new ArrayBuffer(ADDRESS_LENGTH));
  header.setUint8(0, v4 ? AF_INET : AF_INET6);
  // A link-local address needs its network: each device has one of its own, which answers leave by.
  header.setUint8(1, v4 ? 32 : linkLocal ? 64 : 128);
  header.setUint8(3, v4 ? RT_SCOPE_HOST : linkLocal ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  header.setUint32(4, index, true);
  const parts = [new Uint8Array(header.buffer), attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)];
  const flags = (linkLocal ? 0 : IFA_F_NOPREFIXROUTE) | (v4 ? 0 : IFA_F_NODAD);
  parts.push(attribute(IFA_FLAGS, signed(flags)));
  // Preferred for no time at all, valid for ever.
  if (!v4) parts.push(attribute(IFA_CACHEINFO, new Uint8Array(Uint32Array.of(0, FOREVER, 0, 0).buffer)));
  return join(parts);
}
