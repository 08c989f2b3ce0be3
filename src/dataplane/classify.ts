/**
 * Block 308 and 310 of document 003: is it tunnel traffic, and of which tunnel? Reads Ethernet and IP headers, finds
 * out by the address tables (never by the interface) whether a client or a server speaks, asks the protocol's
 * descriptor for the channel, and lays out the key. What is not tunnel traffic becomes KIND_HOST or KIND_LOCAL.
 */
import { TABLE_FORWARD, TABLE_REVERSE } from '../flow/layout.js';
import { FRAME_HANDED, PORT_NONE, VERDICT_DROP, VERDICT_PASS } from '../io/port.js';
import { CLASS_CONTROL, CLASS_CONTROL_UNBOUND, CLASS_DATA, CLASS_NOT_MINE } from '../tunnels/descriptor.js';
import { ICMP_HEADER_LENGTH } from '../wire/icmp.js';
import { isIcmpError, newEmbedded, readEmbedded } from '../wire/icmp-error.js';
import {
  type Batch,
  KEY_STRIDE,
  KIND_CONTROL_IN,
  KIND_CONTROL_OUT,
  KIND_DATA_IN,
  KIND_DATA_OUT,
  KIND_DONE,
  KIND_FRAGMENT,
  KIND_HOST,
  KIND_ICMP_ERROR,
  KIND_LOCAL,
  KIND_UNBOUND_IN,
  KIND_UNBOUND_OUT,
} from './batch.js';
import { DROP_BASE, MALFORMED_BASE } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import { classifyPlain, KIND_OPEN } from './plain.js';

const ETHERNET_LENGTH = 14;
const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const TYPE_IPV6 = 0x86dd;
const MAPPED = 0xffff; // third word of an IPv4-mapped address
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const EXTENSION_LIMIT = 8;
/** Byte offsets in the IP header. */
const TTL_IPV4 = 8;
const HOP_LIMIT_IPV6 = 7;
const ROLE_NONE = 0;
const ROLE_CLIENT = 1; // the packet comes from a client: its destination is a VIP (FRAGMENT_FROM_CLIENT)
const ROLE_SERVER = 2; // FRAGMENT_FROM_SERVER

const channel = new Int32Array(2);
const embedded = newEmbedded();

/** Classifies columns [from, to). `statistics` takes the drops. */
export function classify(batch: Batch, from: number, to: number, directory: Directory, statistics: Float64Array): void {
  const { view, columns, kind } = batch;
  const { plain } = directory;
  if (from === 0) batch.wide = false;
  batch.expiring = false;
  if (plain !== null) classifyPlain(batch, from, to, plain);
  for (let i = from; i < to; i++) {
    if (plain !== null && kind[i] !== KIND_OPEN) continue;
    if (columns.ingress[i] === PORT_NONE) {
      kind[i] = KIND_DONE;
      columns.verdict[i] = VERDICT_PASS;
      continue;
    }
    const l2 = columns.offset[i];
    const frameEnd = l2 + columns.length[i];
    if (columns.length[i] < ETHERNET_LENGTH) {
      drop(batch, i, statistics, DROP.truncated);
      continue;
    }
    const type = view.getUint16(l2 + 12);
    if (type === TYPE_IPV4) classifyIpv4(batch, i, l2 + ETHERNET_LENGTH, frameEnd, directory, statistics);
    else if (type === TYPE_IPV6) classifyIpv6(batch, i, l2 + ETHERNET_LENGTH, frameEnd, directory, statistics);
    else kind[i] = type === TYPE_ARP ? KIND_LOCAL : KIND_HOST;
  }
}

/** Counts a drop by reason and closes the frame. */
export function drop(batch: Batch, i: number, statistics: Float64Array, reason: number): void {
  statistics[DROP_BASE + reason]++;
  batch.dropped[i] = reason + 1;
  batch.kind[i] = KIND_DONE;
  batch.columns.verdict[i] = VERDICT_DROP;
}

/** Counts a frame of which a tunnel protocol says that it is malformed (`index` in its list), and closes it. */
export function dropMalformed(
  batch: Batch,
  i: number,
  statistics: Float64Array,
  protocol: number,
  index: number,
): void {
  statistics[MALFORMED_BASE[protocol] + index]++;
  batch.dropped[i] = MALFORMED_BASE[protocol] - DROP_BASE + index + 1;
  batch.kind[i] = KIND_DONE;
  batch.columns.verdict[i] = VERDICT_DROP;
}

function classifyIpv4(
  batch: Batch,
  i: number,
  l3: number,
  frameEnd: number,
  directory: Directory,
  statistics: Float64Array,
): void {
  const { view, kind } = batch;
  batch.l3[i] = l3;
  if (frameEnd - l3 < 20) return drop(batch, i, statistics, DROP.truncated);
  const source = view.getInt32(l3 + 12);
  const destination = view.getInt32(l3 + 16);
  let address = directory.vipOf(0, 0, MAPPED, destination);
  let role = ROLE_CLIENT;
  if (address < 0) {
    address = directory.serverOf(0, 0, MAPPED, source);
    if (directory.hasLocal && address < 0 && directory.localOf(0, 0, MAPPED, destination) >= 0)
      address = directory.endpointOf(0, 0, MAPPED, source);
    role = address < 0 ? ROLE_NONE : ROLE_SERVER;
  }
  const headerLength = (view.getUint8(l3) & 0x0f) << 2;
  const totalLength = view.getUint16(l3 + 2);
  const valid =
    headerLength >= 20 && totalLength >= headerLength && l3 + totalLength <= frameEnd && view.getUint8(l3) >> 4 === 4;
  batch.ipProtocol[i] = view.getUint8(l3 + 9);
  if (!valid) {
    // A broken header to a VIP is ours to count; to anybody else it is the host's to judge.
    if (role === ROLE_CLIENT) return drop(batch, i, statistics, DROP['ip-header']);
    batch.l4[i] = l3;
    batch.end[i] = l3;
    layKey(batch, i, 0, 0, MAPPED, role === ROLE_SERVER ? destination : source);
    kind[i] = KIND_HOST;
    return;
  }
  const l4 = l3 + headerLength;
  batch.l4[i] = l4;
  batch.end[i] = l3 + totalLength;
  layKey(batch, i, 0, 0, MAPPED, role === ROLE_SERVER ? destination : source);
  if (batch.ipProtocol[i] === IPPROTO_ICMP) {
    const own = role === ROLE_CLIENT || (directory.hasLocal && directory.localOf(0, 0, MAPPED, destination) >= 0);
    kind[i] = own ? KIND_LOCAL : KIND_HOST;
    if ((view.getUint16(l3 + 6) & 0x3fff) === 0 && isTunnelError(batch, i, own, false, directory))
      kind[i] = KIND_ICMP_ERROR;
    return;
  }
  if (role === ROLE_NONE) {
    kind[i] = KIND_HOST;
    return;
  }
  if ((view.getUint16(l3 + 6) & 0x3fff) !== 0) {
    kind[i] = classifyFragment(batch, i, role, address, directory);
    if (kind[i] === KIND_DONE) drop(batch, i, statistics, DROP.fragment);
    return;
  }
  classifyPayload(batch, i, role, address, directory, statistics);
}

function classifyIpv6(
  batch: Batch,
  i: number,
  l3: number,
  frameEnd: number,
  directory: Directory,
  statistics: Float64Array,
): void {
  const { view, kind } = batch;
  batch.wide = true;
  batch.l3[i] = l3;
  if (frameEnd - l3 < 40) return drop(batch, i, statistics, DROP.truncated);
  const s0 = view.getInt32(l3 + 8);
  const s1 = view.getInt32(l3 + 12);
  const s2 = view.getInt32(l3 + 16);
  const s3 = view.getInt32(l3 + 20);
  const d0 = view.getInt32(l3 + 24);
  const d1 = view.getInt32(l3 + 28);
  const d2 = view.getInt32(l3 + 32);
  const d3 = view.getInt32(l3 + 36);
  let address = directory.vipOf(d0, d1, d2, d3);
  let role = ROLE_CLIENT;
  if (address < 0) {
    address = directory.serverOf(s0, s1, s2, s3);
    if (directory.hasLocal && address < 0 && directory.localOf(d0, d1, d2, d3) >= 0)
      address = directory.endpointOf(s0, s1, s2, s3);
    role = address < 0 ? ROLE_NONE : ROLE_SERVER;
  }
  if (role === ROLE_SERVER) layKey(batch, i, d0, d1, d2, d3);
  else layKey(batch, i, s0, s1, s2, s3);
  const end = l3 + 40 + view.getUint16(l3 + 4);
  let next = view.getUint8(l3 + 6);
  let l4 = l3 + 40;
  batch.ipProtocol[i] = next;
  batch.l4[i] = l4;
  batch.end[i] = Math.min(end, frameEnd);
  if (end > frameEnd || view.getUint8(l3) >> 4 !== 6) {
    if (role === ROLE_CLIENT) return drop(batch, i, statistics, DROP['ip-header']);
    kind[i] = KIND_HOST;
    return;
  }
  // Hop-by-hop 0, routing 43, destination options 60 are stepped over; a fragment header (44) is noted (RFC 8200 §4).
  for (let n = 0; next === 0 || next === 43 || next === 60; n++) {
    if (n === EXTENSION_LIMIT || end - l4 < 8) {
      if (role === ROLE_CLIENT) return drop(batch, i, statistics, DROP['ip-header']);
      kind[i] = KIND_HOST;
      return;
    }
    next = view.getUint8(l4);
    l4 += (view.getUint8(l4 + 1) + 1) << 3;
    if (l4 > end) {
      if (role === ROLE_CLIENT) return drop(batch, i, statistics, DROP['ip-header']);
      kind[i] = KIND_HOST;
      return;
    }
  }
  batch.ipProtocol[i] = next;
  batch.l4[i] = l4;
  if (next === IPPROTO_ICMPV6) {
    // Neighbour Solicitations go to a multicast address, so a question about a VIP need not be addressed to it.
    const own = role === ROLE_CLIENT || (directory.hasLocal && directory.localOf(d0, d1, d2, d3) >= 0);
    kind[i] = role === ROLE_SERVER && !own ? KIND_HOST : KIND_LOCAL;
    if (isTunnelError(batch, i, own, true, directory)) kind[i] = KIND_ICMP_ERROR;
    return;
  }
  if (role === ROLE_NONE) {
    kind[i] = KIND_HOST;
    return;
  }
  if (next === 44) {
    if (end - l4 < 8) return drop(batch, i, statistics, DROP['ip-header']);
    batch.ipProtocol[i] = view.getUint8(l4);
    batch.l4[i] = l4 + 8;
    // Offset 0 and nothing to follow: a whole packet, though it has the header (RFC 6946).
    if ((view.getUint16(l4 + 2) & 0xfff9) !== 0) {
      kind[i] = classifyFragment(batch, i, role, address, directory);
      if (kind[i] === KIND_DONE) drop(batch, i, statistics, DROP.fragment);
      return;
    }
  }
  classifyPayload(batch, i, role, address, directory, statistics);
}

/** Client address into words 0..3 of the key row; the rest is filled when the channel is known. */
function layKey(batch: Batch, i: number, a0: number, a1: number, a2: number, a3: number): void {
  const keys = batch.keys;
  const row = i * KEY_STRIDE;
  keys[row] = a0;
  keys[row + 1] = a1;
  keys[row + 2] = a2;
  keys[row + 3] = a3;
}

/**
 * A fragment of tunnel traffic cannot be looked up alone: `Fragments` finds out about it, in the shard that owns the
 * client. From a server it may be ours only where the destination is a client with tunnels (or has the hash of one);
 * everything else that servers send in fragments is the host's.
 */
function classifyFragment(batch: Batch, i: number, role: number, address: number, directory: Directory): number {
  const { keys } = batch;
  const row = i * KEY_STRIDE;
  if (directory.descriptorsOf(batch.ipProtocol[i]).length === 0) return role === ROLE_CLIENT ? KIND_DONE : KIND_HOST;
  if (
    role === ROLE_SERVER &&
    !directory.clients.mayHave(keys[row], keys[row + 1], keys[row + 2], keys[row + 3]) &&
    !(directory.hasLocal && directory.localOf(keys[row], keys[row + 1], keys[row + 2], keys[row + 3]) >= 0) &&
    !showsServerPort(batch, i, address, directory)
  )
    return KIND_HOST;
  keys[row + 6] = (address << 16) | (batch.ipProtocol[i] << 8) | role;
  return KIND_FRAGMENT;
}

/**
 * An ICMP error that may be about a tunnel's packet: any that an address of our own gets (`own`), from inside one about a packet
 * that went from a client with tunnels to a server (`IcmpErrors`).
 */
function isTunnelError(batch: Batch, i: number, own: boolean, v6: boolean, directory: Directory): boolean {
  const { view } = batch;
  const icmp = batch.l4[i];
  const end = batch.end[i];
  if (end - icmp < ICMP_HEADER_LENGTH || !isIcmpError(view.getUint8(icmp), v6)) return false;
  if (own) return true;
  if (!readEmbedded(view, icmp, end, v6, embedded)) return false;
  if (directory.descriptorsOf(embedded.protocol).length === 0) return false;
  const at = embedded.l3;
  if (!v6)
    return (
      directory.serverOf(0, 0, MAPPED, view.getInt32(at + 16)) >= 0 &&
      directory.clients.mayHave(0, 0, MAPPED, view.getInt32(at + 12))
    );
  const word = (n: number): number => view.getInt32(at + 8 + n * 4);
  return (
    directory.serverOf(word(4), word(5), word(6), word(7)) >= 0 &&
    directory.clients.mayHave(word(0), word(1), word(2), word(3))
  );
}

/** A first fragment that shows the port of a configured server: what is on it is ours whoever it is for. */
function showsServerPort(batch: Batch, i: number, address: number, directory: Directory): boolean {
  const { view } = batch;
  const l4 = batch.l4[i];
  if (batch.end[i] - l4 < 8) return false;
  const word = view.getUint8(batch.l3[i]) >> 4 === 4 ? view.getUint16(batch.l3[i] + 6) << 3 : view.getUint16(l4 - 6);
  return (word & 0xfff8) === 0 && directory.serverAt(address, view.getUint16(l4)) !== null;
}

function classifyPayload(
  batch: Batch,
  i: number,
  role: number,
  address: number,
  directory: Directory,
  statistics: Float64Array,
): void {
  const { view, keys } = batch;
  const l4 = batch.l4[i];
  let end = batch.end[i];
  const descriptors = directory.descriptorsOf(batch.ipProtocol[i]);
  for (let d = 0; d < descriptors.length; d++) {
    const descriptor = descriptors[d];
    let source = 0;
    let destination = 0;
    if (descriptor.hasPorts) {
      if (end - l4 < 8) return drop(batch, i, statistics, DROP.truncated);
      source = view.getUint16(l4);
      destination = view.getUint16(l4 + 2);
    }
    const fromClient = role === ROLE_CLIENT;
    const vip = fromClient ? directory.vipAt(address, destination) : null;
    const known = fromClient ? vip !== null : directory.serverAt(address, source) !== null;
    if (!known && descriptor.looksLike !== undefined && !descriptor.looksLike(view, l4, end)) continue;
    if (descriptor.ipProtocol === 17) {
      const udpLength = view.getUint16(l4 + 4);
      if (udpLength < 8 || l4 + udpLength > end) {
        if (!known) continue;
        return drop(batch, i, statistics, DROP['udp-length']);
      }
      end = l4 + udpLength;
      batch.end[i] = end;
    }
    const answer = descriptor.classify(view, l4, end, channel);
    if (answer === CLASS_NOT_MINE) continue;
    if (answer < 0) {
      if (!known) continue;
      return dropMalformed(batch, i, statistics, descriptor.id, -1 - answer);
    }
    const row = i * KEY_STRIDE;
    batch.protocol[i] = descriptor.id;
    batch.local[i] = known ? (vip !== null ? vip.index : address) : -1;
    keys[row + 5] = channel[0];
    if (fromClient) {
      keys[row + 4] = (source << 16) | destination;
      keys[row + 6] = (address << 16) | (descriptor.id << 8) | TABLE_FORWARD;
    } else {
      keys[row + 4] = destination << 16;
      keys[row + 6] = (address << 16) | (descriptor.id << 8) | TABLE_REVERSE;
    }
    const l3 = batch.l3[i];
    if (view.getUint8(l3 + (view.getUint8(l3) >> 4 === 4 ? TTL_IPV4 : HOP_LIMIT_IPV6)) <= 1) batch.expiring = true;
    if (answer === CLASS_DATA) batch.kind[i] = fromClient ? KIND_DATA_IN : KIND_DATA_OUT;
    else if (answer === CLASS_CONTROL) batch.kind[i] = fromClient ? KIND_CONTROL_IN : KIND_CONTROL_OUT;
    else if (answer === CLASS_CONTROL_UNBOUND) batch.kind[i] = fromClient ? KIND_UNBOUND_IN : KIND_UNBOUND_OUT;
    return;
  }
  batch.kind[i] = KIND_HOST;
}

/** True for a frame that came through the hand-over ring: it must not be handed on again. */
export function wasHanded(batch: Batch, i: number): boolean {
  return (batch.columns.flags[i] & FRAME_HANDED) !== 0;
}
