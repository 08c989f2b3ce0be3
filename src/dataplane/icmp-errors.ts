/**
 * ICMP and ICMPv6 errors about packets of tunnels, translated like the packets themselves: outside they name the VIP,
 * inside the server, in the header and in the packet that they carry (RFC 5508 §4, REQ-4 to REQ-5). The one that matters most is
 * "fragmentation needed": without it a server never learns that a path is narrower than its own.
 *
 * An error from outside shows the ports, seldom the tunnel id. With the id it goes to that tunnel's server; without it to
 * every server that has a tunnel of that client's address and port, since one of them sent the packet. Any shard may do
 * this: it only reads the table.
 */
import { CELL_WORDS, RECORD, SERVER_CELL, TABLE_FORWARD, TABLE_LOCAL, TABLE_REVERSE } from '../flow/layout.js';
import { ownerSlot } from '../flow/hash.js';
import type { NextHopTable } from '../flow/next-hop-table.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { SCRATCH_SLOT_LENGTH, VERDICT_RAW } from '../io/port.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import { adjust16, adjust32, asUdp, checksum, pseudoHeaderIpv6 } from '../wire/checksum.js';
import { writeMac } from '../wire/ethernet.js';
import { ICMP_DESTINATION_UNREACHABLE } from '../wire/icmp.js';
import {
  type Embedded,
  ICMPV6_DESTINATION_UNREACHABLE,
  isTooBig,
  newEmbedded,
  readEmbedded,
  tooBigMtu,
} from '../wire/icmp-error.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { drop, wasHanded } from './classify.js';
import { COUNTER, DROP_BASE } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import type { Firewall } from './firewall.js';
import type { Followers } from './followers.js';
import type { HandOver } from './hand-over.js';
import { finish } from './recall.js';
import type { ServerWatch } from './server-watch.js';
import type { TunnelStore } from './tunnel-store.js';

/** Errors a second from one address, and at once. */
const RATE = 100;
const BURST = 100;
/** Servers that one error without a tunnel id is copied to. */
export const COPY_LIMIT = 32;
/** Tunnels of a client that are looked at for one error. */
const STEP_LIMIT = 4096;
const UDP = 17;
const NEXT_ICMPV6 = 58;
const MAPPED = 0xffff;
/** Least MTU of a link: RFC 791 §3.2, RFC 8200 §5. An error that names less is a lie that would do harm (RFC 8021). */
const LEAST_MTU_V4 = 68;
const LEAST_MTU_V6 = 1280;
/** Codes of ICMP and ICMPv6 "destination unreachable" for host and port (RFC 792, RFC 4443 §3.1). */
const REFUSALS: readonly (readonly number[])[] = [
  [1, 3],
  [3, 4],
];
/** Bytes of an L2TP header up to the tunnel id, whether it has a length or not. */
const CHANNEL_MIN = 8 + 6;

export class IcmpErrors {
  readonly #embedded: Embedded = newEmbedded();
  readonly #sources = new TokenBuckets({ rate: RATE, burst: BURST, capacity: 1024 });
  readonly #client = new Int32Array(4);
  readonly #key = new Int32Array(KEY_STRIDE);
  readonly #ends = new Int32Array(4);
  readonly #mac = new Uint8Array(6);
  readonly #told = new Int32Array(COPY_LIMIT);
  #toldCount = 0;
  #nowSeconds = 0;

  constructor(
    readonly store: TunnelStore,
    readonly hops: NextHopTable,
    readonly macs: readonly [Uint8Array, Uint8Array],
    readonly statistics: Float64Array,
    readonly watch: ServerWatch | null,
    /** To learn from errors about answers from a NAT address; absent: nothing is learnt. */
    readonly learns: { readonly handOver: HandOver; readonly followers: Followers } | null = null,
  ) {}

  setTime(seconds: number): void {
    this.#nowSeconds = seconds;
  }

  /** An error that classify took for one about a tunnel's packet. Gives it a verdict. */
  translate(batch: Batch, i: number, directory: Directory, firewall: Firewall): void {
    const { view } = batch;
    const l3 = batch.l3[i];
    const icmp = batch.l4[i];
    const v6 = view.getUint8(l3) >> 4 === 6;
    const { statistics } = this;
    const reason = this.#refuses(batch, i, v6, directory, firewall);
    if (reason >= 0) return drop(batch, i, statistics, reason);
    const inner = this.#embedded;
    const tooBig = isTooBig(view, icmp, v6);
    if (tooBig) {
      const mtu = tooBigMtu(view, icmp, v6);
      if (mtu < (v6 ? LEAST_MTU_V6 : LEAST_MTU_V4) && (v6 || mtu !== 0))
        return drop(batch, i, statistics, DROP['icmp-mtu']);
    }
    const vip = addressOf(batch, directory, l3, v6, true, true);
    const descriptor = directory.descriptorsOf(inner.protocol).find(({ hasPorts }) => hasPorts);
    if (descriptor === undefined) return drop(batch, i, statistics, DROP['icmp-inner']);
    const unreachable =
      !tooBig && view.getUint8(icmp) === (v6 ? ICMPV6_DESTINATION_UNREACHABLE : ICMP_DESTINATION_UNREACHABLE);
    let told = 0;
    if (vip >= 0) {
      if (addressOf(batch, directory, inner.l3, v6, false, true) !== vip)
        return drop(batch, i, statistics, DROP['icmp-inner']);
      this.#readClient(batch, inner.l3, v6, true);
      // What refuses an answer is the client's own shard's to know.
      const refusal = unreachable && REFUSALS[v6 ? 1 : 0].includes(view.getUint8(icmp + 1));
      if (refusal && directory.vipsOfNat(vip).length > 0 && this.#handOver(batch, i)) return finish(batch, i);
      told = this.#fromOutside(batch, i, v6, vip, directory, descriptor, refusal);
    } else {
      const server = addressOf(batch, directory, inner.l3, v6, true, false);
      told = this.#fromInside(batch, i, v6, server, directory, descriptor, unreachable);
    }
    if (told === 0) return drop(batch, i, statistics, DROP['icmp-unknown']);
    if (told < 0) return drop(batch, i, statistics, -1 - told);
    statistics[COUNTER.icmpTranslated]++;
    finish(batch, i); // its copies are on their way
  }

  /** True: the shard that owns the client has it. Where its ring is full, the error is translated here, and says no more. */
  #handOver(batch: Batch, i: number): boolean {
    const { learns, store } = this;
    const [a0, a1, a2, a3] = this.#client;
    const owner = store.memory.ownerSlots[ownerSlot(a0, a1, a2, a3)];
    if (learns === null || owner === store.shard || wasHanded(batch, i)) return false;
    if (!learns.handOver.push(owner, batch, i)) return false;
    this.statistics[COUNTER.handedOver]++;
    return true;
  }

  /** A drop reason, or −1. */
  #refuses(batch: Batch, i: number, v6: boolean, directory: Directory, firewall: Firewall): number {
    const { view } = batch;
    const l3 = batch.l3[i];
    const icmp = batch.l4[i];
    const end = batch.end[i];
    if (batch.columns.length[i] > SCRATCH_SLOT_LENGTH) return DROP['icmp-inner'];
    if (firewall.denies(batch, i, directory)) return DROP['firewall-denied'];
    const word = (n: number): number => view.getInt32(l3 + 8 + n * 4);
    const allowed = v6
      ? this.#sources.take(word(0), word(1), word(2), word(3), this.#nowSeconds)
      : this.#sources.take(0, 0, MAPPED, view.getInt32(l3 + 12), this.#nowSeconds);
    if (!allowed) return DROP['icmp-rate'];
    const pseudo = v6 ? pseudoHeaderIpv6(view, l3, NEXT_ICMPV6, end - icmp) : 0;
    if (checksum(view, icmp, end, pseudo) !== 0) return DROP['icmp-checksum'];
    if (!readEmbedded(view, icmp, end, v6, this.#embedded)) return DROP['icmp-inner'];
    return view.getUint8(l3 + (v6 ? 7 : 8)) <= 1 ? DROP['ttl-expired'] : -1;
  }

  /** Tunnel id in the embedded packet, 0 when it is not there. */
  #channel(batch: Batch, descriptor: TunnelDescriptor): number {
    const { l4, end } = this.#embedded;
    if (end - l4 < CHANNEL_MIN) return 0;
    const at = l4 + descriptor.channelOffset(batch.view, l4, end);
    return at + 2 <= end ? batch.view.getUint16(at) : 0;
  }

  // ── from outside: about what a server sent to a client ────────────────────────────────────────────────────────────

  #fromOutside(
    batch: Batch,
    i: number,
    v6: boolean,
    vip: number,
    directory: Directory,
    descriptor: TunnelDescriptor,
    refusal: boolean,
  ): number {
    const { store } = this;
    const { l4 } = this.#embedded;
    const shown = batch.view.getUint16(l4);
    const clientPort = batch.view.getUint16(l4 + 2);
    const channel = this.#channel(batch, descriptor);
    const [a0, a1, a2, a3] = this.#client;
    this.#toldCount = 0;
    if (channel !== 0) {
      for (const server of directory.plan.servers) {
        const record = this.#find(clientPort << 16, channel, server.address, descriptor.id, TABLE_REVERSE);
        if (record >= 0 && this.#isShownAs(record, vip, shown, directory)) {
          if (refusal) this.#refused(record, vip, directory);
          const failed = this.#tellServer(batch, i, v6, record, directory);
          if (failed < 0) return this.#toldCount > 0 ? this.#toldCount : failed;
        }
      }
      if (this.#toldCount > 0) return this.#toldCount;
      // The server of a tunnel with a virtual client port is found by going through the client's tunnels.
    }
    let steps = STEP_LIMIT;
    for (let r = store.clients.first(a0, a1, a2, a3); r >= 0 && steps-- > 0; r = store.clients.next(r)) {
      if (!this.#isOf(r) || store.clientPort(r) !== clientPort || !this.#isShownAs(r, vip, shown, directory)) continue;
      if (channel !== 0 && store.word(r, RECORD.clientChannel) !== channel) continue;
      if (refusal && channel !== 0) this.#refused(r, vip, directory);
      const failed = this.#tellServer(batch, i, v6, r, directory);
      if (failed < 0) return this.#toldCount > 0 ? this.#toldCount : failed;
    }
    return this.#toldCount;
  }

  /** The client's host refuses what came to this tunnel from that address. */
  #refused(record: number, address: number, directory: Directory): void {
    const vip = directory.vip(this.store.vipIndex(record));
    if (vip === null || vip.natAddress !== address || this.store.ownerOf(record, -1) !== this.store.shard) return;
    this.learns?.followers.unreachable(record, vip);
  }

  /** The record's server gets a copy, once. 0, or −1 − reason. */
  #tellServer(batch: Batch, i: number, v6: boolean, record: number, directory: Directory): number {
    const { store } = this;
    const index = store.serverIndex(record);
    const server = directory.server(index);
    if (server === null || this.#told.subarray(0, this.#toldCount).includes(index)) return 0;
    if (this.#toldCount === COPY_LIMIT) {
      this.statistics[DROP_BASE + DROP['icmp-copies']]++;
      return 0;
    }
    const hop = store.memory.servers[index * CELL_WORDS + SERVER_CELL.nextHop];
    const copy = this.#copy(batch, i, hop);
    if (copy < 0) return copy;
    const port = store.word(record, RECORD.ports) >>> 16 || server.port;
    const ends = store.localEntry(record) < 0 ? null : this.#keyOf(store.localEntry(record));
    this.#rewrite(
      batch,
      i,
      copy,
      v6,
      true,
      server.address,
      port,
      store.portTowardsServer(record),
      0,
      directory,
      0,
      ends,
    );
    this.#told[this.#toldCount++] = index;
    return 0;
  }

  // ── from inside: about what a client sent to a server ─────────────────────────────────────────────────────────────

  #fromInside(
    batch: Batch,
    i: number,
    v6: boolean,
    address: number,
    directory: Directory,
    descriptor: TunnelDescriptor,
    unreachable: boolean,
  ): number {
    const { store } = this;
    const { l3, l4 } = this.#embedded;
    this.#readClient(batch, l3, v6, false);
    const clientPort = batch.view.getUint16(l4);
    const serverPort = batch.view.getUint16(l4 + 2);
    const channel = this.#channel(batch, descriptor);
    const isServers = (r: number): boolean => {
      const server = directory.server(store.serverIndex(r));
      return (
        server !== null &&
        server.address === address &&
        (store.word(r, RECORD.ports) >>> 16 || server.port) === serverPort
      );
    };
    let record = -1;
    for (const vip of channel === 0 ? [] : directory.plan.vips) {
      const ports = (clientPort << 16) | vip.port;
      const found = this.#find(ports, channel, vip.address, descriptor.id, TABLE_FORWARD);
      // With a virtual id the client's packets have another one than the server's.
      if (found >= 0 && store.word(found, RECORD.serverChannel) === channel && isServers(found)) record = found;
    }
    let steps = STEP_LIMIT;
    const [a0, a1, a2, a3] = this.#client;
    const local = directory.hasLocal && directory.localOf(a0, a1, a2, a3) >= 0;
    if (local) record = this.#find(clientPort << 16, 0, address, descriptor.id, TABLE_LOCAL);
    let r = local || record >= 0 ? -1 : store.clients.first(a0, a1, a2, a3);
    for (; r >= 0 && steps-- > 0; r = store.clients.next(r)) {
      if (!this.#isOf(r) || store.portTowardsServer(r) !== clientPort || !isServers(r)) continue;
      record = r;
      if (channel === 0 || store.word(r, RECORD.serverChannel) === channel) break;
    }
    const vip = record < 0 ? null : directory.vip(store.vipIndex(record));
    if (vip === null) return 0;
    if (unreachable) this.watch?.unreachable(store.serverIndex(record));
    const entry = local ? store.anyEntry(record) : -1;
    if (local && entry < 0) return 0;
    const ends = local ? this.#keyOf(entry) : null;
    const copy = this.#copy(batch, i, store.clientNextHop(record));
    if (copy < 0) return copy;
    const shown = store.word(record, RECORD.ports) & 0xffff || vip.port;
    const virtual =
      store.word(record, RECORD.serverChannel) === channel ? store.word(record, RECORD.virtualChannel) : 0;
    if (virtual !== 0) {
      const at = this.#embedded.l4 + descriptor.channelOffset(batch.view, this.#embedded.l4, this.#embedded.end);
      this.#rewrite(
        batch,
        i,
        copy,
        v6,
        false,
        vip.address,
        shown,
        store.clientPort(record),
        at,
        directory,
        virtual,
        ends,
      );
    } else
      this.#rewrite(batch, i, copy, v6, false, vip.address, shown, store.clientPort(record), 0, directory, 0, ends);
    return 1;
  }

  // ── tunnels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #readClient(batch: Batch, l3: number, v6: boolean, destination: boolean): void {
    const { view } = batch;
    if (v6) for (let w = 0; w < 4; w++) this.#client[w] = view.getInt32(l3 + (destination ? 24 : 8) + w * 4);
    else {
      this.#client.fill(0);
      this.#client[2] = MAPPED;
      this.#client[3] = view.getInt32(l3 + (destination ? 16 : 12));
    }
  }

  /** Record of the entry with this key and the client's address, or −1. */
  #find(ports: number, channel: number, address: number, protocol: number, table: number): number {
    const key = this.#key;
    key.set(this.#client);
    key[4] = ports;
    key[5] = channel;
    key[6] = (address << 16) | (protocol << 8) | table;
    const slot = this.store.table.find(key, 0);
    return slot < 0 ? -1 : this.store.table.recordOf(slot);
  }

  /** The client in the key of an entry. */
  #keyOf(slot: number): Int32Array {
    this.store.table.clientWords(slot, this.#ends, 0);
    return this.#ends;
  }

  /** Is the tunnel one of this client's address? */
  #isOf(record: number): boolean {
    const slot = this.store.anyEntry(record);
    if (slot < 0) return false;
    const { table } = this.store;
    for (let w = 0; w < 4; w++) if (table.keyWord(slot, w) !== this.#client[w]) return false;
    return true;
  }

  /** Does the client see this tunnel at that VIP and port, or did it, before it was known to refuse the NAT address? */
  #isShownAs(record: number, address: number, port: number, directory: Directory): boolean {
    const vip = directory.vip(this.store.vipIndex(record));
    if (vip === null) return false;
    const isNat = vip.reply === 'nat' && vip.natAddress === address;
    if (!isNat && vip.address !== address && this.store.shownAddress(record, vip) !== address) return false;
    return port === vip.port || port === (this.store.word(record, RECORD.ports) & 0xffff);
  }

  // ── the packet ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A scratch frame with a copy of frame i, addressed to that next hop; or −1 − reason. */
  #copy(batch: Batch, i: number, hop: number): number {
    if (!this.hops.mac(hop, this.#mac)) return -1 - DROP['neighbour-unresolved'];
    const copy = batch.takeScratch();
    if (copy < 0) return -1 - DROP['send-failed'];
    const { offset, length, ingress, egress, verdict } = batch.columns;
    const port = this.hops.port(hop);
    batch.bytes.copyWithin(offset[copy], offset[i], offset[i] + length[i]);
    batch.bytes.set(this.#mac, offset[copy]);
    writeMac(batch.view, offset[copy] + 6, this.macs[port] ?? this.macs[0]);
    length[copy] = length[i];
    ingress[copy] = ingress[i];
    egress[copy] = port;
    verdict[copy] = VERDICT_RAW;
    return copy;
  }

  /**
   * Gives the copy the other side's address: outwards as source, inwards as destination, and in the embedded packet, which
   * went the other way, at the other end; with `port` there, `clientPort` at the client's end, and with `virtual` in place of the tunnel id at `channelAt`.
   * `ends`: with full NAT the address at the client's end as the other side knows it.
   */
  #rewrite(
    batch: Batch,
    i: number,
    copy: number,
    v6: boolean,
    inwards: boolean,
    address: number,
    port: number,
    clientPort: number,
    channelAt: number,
    directory: Directory,
    virtual = 0,
    ends: Int32Array | null = null,
  ): void {
    const { view } = batch;
    const shift = batch.columns.offset[copy] - batch.columns.offset[i];
    const ip = batch.l3[i] + shift;
    const icmp = batch.l4[i] + shift;
    const end = batch.end[i] + shift;
    const inner = this.#embedded.l3 + shift;
    const udp = this.#embedded.l4 + shift;
    // Outside the embedded source is the VIP, inside the embedded destination is the server.
    const outerField = ip + (v6 ? (inwards ? 24 : 8) : inwards ? 16 : 12);
    const innerField = inner + (v6 ? (inwards ? 8 : 24) : inwards ? 12 : 16);
    let sum = this.#embedded.protocol === UDP ? view.getUint16(udp + 6) : 0;
    const has = sum !== 0;
    for (let w = v6 ? 0 : 3; w < 4; w++) {
      const after = directory.addresses.word(address, w);
      const at = innerField + (v6 ? w * 4 : 0);
      const before = view.getInt32(at);
      sum = adjust32(sum, before, after);
      if (!v6) view.setUint16(inner + 10, adjust32(view.getUint16(inner + 10), before, after));
      view.setInt32(at, after);
      view.setInt32(outerField + (v6 ? w * 4 : 0), after);
    }
    // Full NAT: at the client's end, too, each side knows another address.
    const clientAt = inner + (v6 ? (inwards ? 24 : 8) : inwards ? 16 : 12);
    for (let w = ends === null ? 4 : v6 ? 0 : 3; ends !== null && w < 4; w++) {
      const at = clientAt + (v6 ? w * 4 : 0);
      const before = view.getInt32(at);
      sum = adjust32(sum, before, ends[w]);
      if (!v6) view.setUint16(inner + 10, adjust32(view.getUint16(inner + 10), before, ends[w]));
      view.setInt32(at, ends[w]);
      if (!inwards) view.setInt32(ip + (v6 ? 24 + w * 4 : 16), ends[w]);
    }
    const portField = udp + (inwards ? 0 : 2);
    sum = adjust16(sum, view.getUint16(portField), port);
    view.setUint16(portField, port);
    const clientField = udp + (inwards ? 2 : 0);
    sum = adjust16(sum, view.getUint16(clientField), clientPort);
    view.setUint16(clientField, clientPort);
    if (channelAt !== 0) {
      sum = adjust16(sum, view.getUint16(channelAt + shift), virtual);
      view.setUint16(channelAt + shift, virtual);
    }
    if (has) view.setUint16(udp + 6, asUdp(sum));
    view.setUint8(ip + (v6 ? 7 : 8), view.getUint8(ip + (v6 ? 7 : 8)) - 1);
    if (!v6) {
      view.setUint16(ip + 10, 0);
      view.setUint16(ip + 10, checksum(view, ip, ip + ((view.getUint8(ip) & 15) << 2)));
    }
    view.setUint16(icmp + 2, 0);
    view.setUint16(icmp + 2, checksum(view, icmp, end, v6 ? pseudoHeaderIpv6(view, ip, NEXT_ICMPV6, end - icmp) : 0));
  }
}

/** Index of the source or destination in an IP header, where it is a VIP (or else a server), or −1. */
function addressOf(
  batch: Batch,
  directory: Directory,
  l3: number,
  v6: boolean,
  destination: boolean,
  vip: boolean,
): number {
  const at = l3 + (v6 ? (destination ? 24 : 8) : destination ? 16 : 12);
  const word = (n: number): number => batch.view.getInt32(at + n * 4);
  const [a0, a1, a2, a3] = v6 ? [word(0), word(1), word(2), word(3)] : [0, 0, MAPPED, word(0)];
  return vip ? directory.vipOf(a0, a1, a2, a3) : directory.endpointOf(a0, a1, a2, a3);
}
