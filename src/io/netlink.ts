/**
 * rtnetlink messages (rtnetlink(7), netlink(7), linux/rtnetlink.h, linux/neighbour.h) as bytes in and values out. Pure:
 * no socket here. Numbers of netlink headers are in host byte order, which is little endian on every machine that the
 * addon is built for; addresses are in network order. A message that is cut or lies about its lengths reads as null.
 */

export const NETLINK_ROUTE = 0;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** Multicast groups as a mask, group g is bit g − 1: link, neighbour, addresses and routes of both families, next hops. */
export const MONITOR_GROUPS = 0x1 + 0x4 + 0x10 + 0x40 + 0x100 + 0x400 + 0x8000_0000;

const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE = 0x400;

export const TABLE_MAIN = 254;
const RTM_F_CLONED = 0x200;
const RTNH_F_DEAD = 1;

export const ROUTE_UNICAST = 1;
export const ROUTE_BLACKHOLE = 6;
export const ROUTE_UNREACHABLE = 7;
export const ROUTE_PROHIBIT = 8;
export const ROUTE_THROW = 9;

const NTF_USE = 0x1;
const NTF_PROXY = 0x8;
/** Reachable, stale, delay, probe, no ARP, permanent: the link-layer address may be used (NUD_VALID). */
const NEIGHBOUR_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;

const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;

const HEADER_LENGTH = 16;
const MAPPED = 0xffff;

/** Four words ≥ 0, IPv4 mapped. */
export type Words = [number, number, number, number];

/** One message of a datagram; `body` is a view into the datagram. */
export interface NetlinkMessage {
  readonly type: number;
  readonly sequence: number;
  /** The dump was disturbed by a change: it must be asked for again. */
  readonly interrupted: boolean;
  readonly body: DataView;
}

export interface LinkMessage {
  readonly index: number;
  readonly name: string;
  /** Administratively up, with carrier. */
  readonly up: boolean;
  /** Six bytes, or none for a link that is not Ethernet. */
  readonly mac: Uint8Array | null;
  readonly mtu: number;
}

export interface AddressMessage {
  readonly index: number;
  readonly words: Words;
}

export interface NextHop {
  /** Interface index, 0 = none. */
  readonly index: number;
  /** All 0 = on link. */
  readonly gateway: Words;
}

export interface RouteMessage {
  readonly table: number;
  /** ROUTE_…; others do not leave the host. */
  readonly type: number;
  readonly words: Words;
  /** 0 … 128, counted over the mapped 128 bits. */
  readonly length: number;
  readonly metric: number;
  /** The kernel's own copy or a route for one type of service: not for the snapshot. */
  readonly special: boolean;
  /** Living next hops, in the kernel's order. */
  readonly hops: readonly NextHop[];
}

export interface NeighbourMessage {
  readonly index: number;
  readonly words: Words;
  /** null: not known, or no longer. */
  readonly mac: Uint8Array | null;
}

// ── building ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Length of the fixed part behind the header; the kernel's strict checking wants exactly that of the dumped kind. */
const DUMP_BODY: Readonly<Record<number, number>> = {
  [RTM_GETLINK]: 16,
  [RTM_GETADDR]: 8,
  [RTM_GETROUTE]: 12,
  [RTM_GETNEIGH]: 12,
};

/** Asks for all of RTM_GETLINK, _GETADDR, _GETROUTE or _GETNEIGH. Throws RangeError for another type. */
export function dumpRequest(type: number, family: number, sequence: number): Uint8Array {
  const body = DUMP_BODY[type];
  if (body === undefined) throw new RangeError(`netlink: no dump of type ${type}`);
  const view = message(type, NLM_F_REQUEST | NLM_F_DUMP, sequence, body);
  view.setUint8(HEADER_LENGTH, family);
  return new Uint8Array(view.buffer);
}

/** "I want to send to this neighbour": the kernel resolves or confirms it, as it would for a packet of its own. */
export function useNeighbour(index: number, words: readonly number[], sequence: number): Uint8Array {
  const v4 = isMapped(words);
  const size = v4 ? 4 : 16;
  const view = message(RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_CREATE, sequence, 12 + 4 + size);
  const at = HEADER_LENGTH;
  view.setUint8(at, v4 ? AF_INET : AF_INET6);
  view.setInt32(at + 4, index, true);
  view.setUint8(at + 10, NTF_USE);
  view.setUint16(at + 12, 4 + size, true);
  view.setUint16(at + 14, 1, true); // NDA_DST
  if (v4) view.setUint32(at + 16, words[3]);
  else for (let i = 0; i < 4; i++) view.setUint32(at + 16 + i * 4, words[i]);
  return new Uint8Array(view.buffer);
}

function message(type: number, flags: number, sequence: number, body: number): DataView {
  const view = new DataView(new ArrayBuffer(HEADER_LENGTH + body));
  view.setUint32(0, HEADER_LENGTH + body, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence >>> 0, true);
  return view;
}

function isMapped(words: readonly number[]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED;
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The messages of a datagram, as far as they are whole. */
export function readMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const found: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_LENGTH <= view.byteLength; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_LENGTH || at + length > view.byteLength) break;
    found.push({
      type: view.getUint16(at + 4, true),
      interrupted: (view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0,
      sequence: view.getUint32(at + 8, true),
      body: new DataView(view.buffer, view.byteOffset + at + HEADER_LENGTH, length - HEADER_LENGTH),
    });
    at += align(length);
  }
  return found;
}

/** Error number of NLMSG_ERROR and NLMSG_DONE, ≥ 0; 0 = none. */
export function readError(body: DataView): number {
  return body.byteLength < 4 ? 0 : Math.max(0, -body.getInt32(0, true));
}

/** RTM_NEWLINK and RTM_DELLINK. */
export function readLink(body: DataView): LinkMessage | null {
  if (body.byteLength < 16) return null;
  const flags = body.getUint32(8, true);
  const up = (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0;
  let name = '';
  let mac: Uint8Array | null = null;
  let mtu = 0;
  const whole = attributes(body, 16, body.byteLength, (type, at, length) => {
    if (type === 1) mac = macOf(body, at, length);
    else if (type === 3) name = text(body, at, length);
    else if (type === 4 && length >= 4) mtu = body.getUint32(at, true);
  });
  return whole ? { index: body.getInt32(4, true), name, up, mac, mtu } : null;
}

/** RTM_NEWADDR and RTM_DELADDR; the host's own address, also where the link is point to point. */
export function readAddress(body: DataView): AddressMessage | null {
  if (body.byteLength < 8) return null;
  const family = body.getUint8(0);
  let local: Words | null = null;
  let address: Words | null = null;
  const whole = attributes(body, 8, body.byteLength, (type, at, length) => {
    if (type === 1) address = wordsOf(body, at, length, family);
    else if (type === 2) local = wordsOf(body, at, length, family);
  });
  const words = local ?? address;
  return whole && words !== null ? { index: body.getUint32(4, true), words } : null;
}

/** RTM_NEWROUTE and RTM_DELROUTE; null for families other than IP too. */
export function readRoute(body: DataView): RouteMessage | null {
  if (body.byteLength < 12) return null;
  const family = body.getUint8(0);
  const bits = family === AF_INET ? 32 : family === AF_INET6 ? 128 : -1;
  const prefix = body.getUint8(1);
  if (prefix > bits) return null;
  let table = body.getUint8(4);
  const type = body.getUint8(7);
  const flags = body.getUint32(8, true);
  let words: Words | null = null;
  let gateway: Words | null = null;
  let index = 0;
  let metric = 0;
  let several: NextHop[] | null = null;
  let good = true;
  const whole = attributes(body, 12, body.byteLength, (kind, at, length) => {
    if (kind === 1) words = wordsOf(body, at, length, family);
    else if (kind === 4 && length >= 4) index = body.getUint32(at, true);
    else if (kind === 5) good = (gateway = wordsOf(body, at, length, family)) !== null && good;
    else if (kind === 6 && length >= 4) metric = body.getUint32(at, true);
    else if (kind === 9) good = (several = nextHops(body, at, at + length, family)) !== null && good;
    else if (kind === 15 && length >= 4) table = body.getUint32(at, true);
    else if (kind === 18) good = (gateway = via(body, at, length)) !== null && good;
  });
  if (!whole || !good || (words === null && prefix !== 0)) return null;
  const alone = (flags & RTNH_F_DEAD) !== 0 || index === 0 ? [] : [{ index, gateway: gateway ?? zero() }];
  return {
    table,
    type,
    words: words ?? (family === AF_INET ? [0, 0, MAPPED, 0] : zero()),
    length: family === AF_INET ? 96 + prefix : prefix,
    metric,
    special: (flags & RTM_F_CLONED) !== 0 || body.getUint8(3) !== 0 || body.getUint8(2) !== 0,
    hops: several ?? alone,
  };
}

/** RTM_NEWNEIGH; for RTM_DELNEIGH the address is what counts. Null for bridges' and proxies' entries. */
export function readNeighbour(body: DataView): NeighbourMessage | null {
  if (body.byteLength < 12) return null;
  const family = body.getUint8(0);
  if ((body.getUint8(10) & NTF_PROXY) !== 0) return null;
  let words: Words | null = null;
  let mac: Uint8Array | null = null;
  const whole = attributes(body, 12, body.byteLength, (type, at, length) => {
    if (type === 1) words = wordsOf(body, at, length, family);
    else if (type === 2) mac = macOf(body, at, length);
  });
  if (!whole || words === null) return null;
  const valid = (body.getUint16(8, true) & NEIGHBOUR_VALID) !== 0;
  return { index: body.getInt32(4, true), words, mac: valid ? mac : null };
}

/** Calls `each` with the payload's place of every attribute; false when one is cut. */
function attributes(
  view: DataView,
  from: number,
  end: number,
  each: (type: number, at: number, length: number) => void,
): boolean {
  let at = from;
  while (at + 4 <= end) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > end) return false;
    each(view.getUint16(at + 2, true) & 0x3fff, at + 4, length - 4); // two flag bits stand above the type
    at += align(length);
  }
  return at >= end;
}

/** RTA_MULTIPATH: rtnexthop headers, each with attributes of its own. */
function nextHops(view: DataView, from: number, end: number, family: number): NextHop[] | null {
  const found: NextHop[] = [];
  let at = from;
  while (at + 8 <= end) {
    const length = view.getUint16(at, true);
    if (length < 8 || at + length > end) return null;
    const index = view.getInt32(at + 4, true);
    const dead = (view.getUint8(at + 2) & RTNH_F_DEAD) !== 0;
    let gateway: Words | null = zero();
    const whole = attributes(view, at + 8, at + length, (type, place, size) => {
      if (type === 5) gateway = wordsOf(view, place, size, family);
      else if (type === 18) gateway = via(view, place, size);
    });
    if (!whole || gateway === null) return null;
    if (!dead) found.push({ index, gateway });
    at += align(length);
  }
  return at >= end ? found : null;
}

/** RTA_VIA: a gateway of the other family (RFC 5549). */
function via(view: DataView, at: number, length: number): Words | null {
  return length < 2 ? null : wordsOf(view, at + 2, length - 2, view.getUint16(at, true));
}

function wordsOf(view: DataView, at: number, length: number, family: number): Words | null {
  if (family === AF_INET && length === 4) return [0, 0, MAPPED, view.getUint32(at)];
  if (family !== AF_INET6 || length !== 16) return null;
  return [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)];
}

function macOf(view: DataView, at: number, length: number): Uint8Array | null {
  return length === 6 ? new Uint8Array(view.buffer, view.byteOffset + at, 6).slice() : null;
}

function text(view: DataView, at: number, length: number): string {
  let result = '';
  for (let i = 0; i < length; i++) {
    const byte = view.getUint8(at + i);
    if (byte === 0) break;
    result += String.fromCharCode(byte);
  }
  return result;
}

function zero(): Words {
  return [0, 0, 0, 0];
}

function align(length: number): number {
  return (length + 3) & ~3;
}
