/**
 * Changes to the host's own network by rtnetlink, for a role that takes over addresses: an interface's addresses, routes,
 * and entries for which the kernel answers ARP and neighbour solicitations in somebody's name (proxy). Each call is one
 * request, answered at once. Doing what is done already is no error, and says so.
 */
import type { NativeAddon, NetlinkSocket } from './native.js';
import {
  AF_INET,
  AF_INET6,
  NETLINK_ROUTE,
  RTM_DELADDR,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  TABLE_MAIN,
} from './netlink.js';
import { attribute, join, NetlinkAsker, NetlinkRefusal, NLM_F_ACK, signed } from './netlink-request.js';

const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
/** Usable at once: whoever takes over an address cannot wait for duplicate address detection. */
const IFA_F_NODAD = 0x02;
/** The address alone, without a route to its network: that route may be there by another address of ours. */
const IFA_F_NOPREFIXROUTE = 0x200;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
/** In the header, when the table's number needs an attribute. */
const TABLE_UNSPECIFIED = 0;
const RTPROT_STATIC = 4;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const NDA_DST = 1;
const NTF_PROXY = 0x8;
const NUD_PERMANENT = 0x80;

const ESRCH = 3;
const ENOENT = 2;
const EEXIST = 17;
const EADDRNOTAVAIL = 99;

/** Four words ≥ 0, IPv4 mapped. */
type Words = readonly [number, number, number, number];

export interface HostRoute {
  readonly words: Words;
  /** Bits of the address itself: 0 … 32 or 0 … 128. */
  readonly length: number;
  /** Interface index. */
  readonly index: number;
  readonly metric: number;
  /** Table of the kernel; absent: main. */
  readonly table?: number;
  /** Who made it (rtm_protocol); absent: `static`. */
  readonly protocol?: number;
}

/** Errors of every call: NetlinkRefusal. */
export class HostChanges {
  readonly #socket: NetlinkSocket;
  readonly #asker = new NetlinkAsker();

  constructor(addon: Pick<NativeAddon, 'NetlinkSocket'>) {
    this.#socket = new addon.NetlinkSocket(NETLINK_ROUTE, 0, () => {});
  }

  /** False: the interface has the address already. `length`: bits of its network. */
  addAddress(index: number, words: Words, length: number): boolean {
    const body = join([
      addressHeader(index, words, length),
      attribute(IFA_LOCAL, bytesOf(words)),
      attribute(IFA_ADDRESS, bytesOf(words)),
      attribute(IFA_FLAGS, signed(IFA_F_NODAD | IFA_F_NOPREFIXROUTE)),
    ]);
    return this.#do('address', RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, [EEXIST]);
  }

  /** False: it had no such address. */
  removeAddress(index: number, words: Words, length: number): boolean {
    const body = join([addressHeader(index, words, length), attribute(IFA_LOCAL, bytesOf(words))]);
    return this.#do('address', RTM_DELADDR, 0, body, [EADDRNOTAVAIL]);
  }

  /** False: there is such a route already. */
  addRoute(route: HostRoute): boolean {
    return this.#do('route', RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, routeBody(route), [EEXIST]);
  }

  /** False: there was none. */
  removeRoute(route: HostRoute): boolean {
    return this.#do('route', RTM_DELROUTE, 0, routeBody(route), [ESRCH]);
  }

  /** From now on the kernel answers for this address on that interface, where it forwards (and, IPv6, `proxy_ndp` is on). */
  addProxy(index: number, words: Words): boolean {
    return this.#do('proxy entry', RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, proxyBody(index, words), [EEXIST]);
  }

  removeProxy(index: number, words: Words): boolean {
    return this.#do('proxy entry', RTM_DELNEIGH, 0, proxyBody(index, words), [ENOENT, ESRCH]);
  }

  close(): void {
    this.#socket.close();
  }

  #do(what: string, type: number, flags: number, body: Uint8Array, harmless: readonly number[]): boolean {
    try {
      this.#asker.ask(this.#socket, what, type, NLM_F_ACK | flags, body);
      return true;
    } catch (error) {
      if (error instanceof NetlinkRefusal && harmless.includes(error.errno)) return false;
      throw error;
    }
  }
}

const isMapped = (words: Words): boolean => words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
const familyOf = (words: Words): number => (isMapped(words) ? AF_INET : AF_INET6);

function bytesOf(words: Words): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  words.forEach((word, w) => {
    view.setUint32(w * 4, word);
  });
  return new Uint8Array(view.buffer, isMapped(words) ? 12 : 0);
}

/** struct ifaddrmsg. */
function addressHeader(index: number, words: Words, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint8(0, familyOf(words));
  view.setUint8(1, length);
  view.setUint32(4, index, true);
  return new Uint8Array(view.buffer);
}

/** struct rtmsg and its attributes. */
function routeBody({
  words,
  length,
  index,
  metric,
  table = TABLE_MAIN,
  protocol = RTPROT_STATIC,
}: HostRoute): Uint8Array {
  const v4 = isMapped(words);
  const header = Uint8Array.of(
    familyOf(words),
    length,
    0,
    0,
    table > 0xff ? TABLE_UNSPECIFIED : table,
    protocol,
    v4 ? SCOPE_LINK : SCOPE_UNIVERSE,
    RTN_UNICAST,
    0,
    0,
    0,
    0,
  );
  const parts = [header, attribute(RTA_DST, bytesOf(words)), attribute(RTA_OIF, signed(index))];
  if (table > 0xff) parts.push(attribute(RTA_TABLE, signed(table)));
  if (metric > 0) parts.push(attribute(RTA_PRIORITY, signed(metric)));
  return join(parts);
}

/** struct ndmsg and the address. */
function proxyBody(index: number, words: Words): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setUint8(0, familyOf(words));
  view.setInt32(4, index, true);
  view.setUint16(8, NUD_PERMANENT, true);
  view.setUint8(10, NTF_PROXY);
  return join([new Uint8Array(view.buffer), attribute(NDA_DST, bytesOf(words))]);
}
