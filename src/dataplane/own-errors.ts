/**
 * ICMP errors of the designator's own: it is a router on the tunnels' way, so it says when a packet's time has run out
 * (RFC 792, RFC 4443 §3.3) and when one does not fit the other side's link (RFC 1191, RFC 8201). It speaks as the VIP, the one address
 * of it that both sides know. Packets are made here and sent by the main thread (io/raw-icmp.ts), few at a time: each
 * destination gets ten a second, each shard two hundred in all (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).
 */
import { RECORD } from '../flow/layout.js';
import type { NextHopTable } from '../flow/next-hop-table.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { pseudoHeaderIpv6 } from '../wire/checksum.js';
import { emitIcmp, ICMP_DESTINATION_UNREACHABLE, ICMP_HEADER_LENGTH } from '../wire/icmp.js';
import {
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_TIME_EXCEEDED,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_TIME_EXCEEDED,
} from '../wire/icmp-error.js';
import { emitIpv4, ipv4IsUnicast, IPV4_HEADER_MIN, PROTOCOL_ICMP } from '../wire/ipv4.js';
import { emitIpv6, IPV6_HEADER_LENGTH, ipv6DestinationOffset, ipv6SourceOffset, NEXT_ICMPV6 } from '../wire/ipv6.js';
import type { Batch } from './batch.js';
import { drop } from './classify.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import type { TunnelStore } from './tunnel-store.js';

/** Packets that wait for the main thread. */
const PENDING_LIMIT = 64;
const PER_DESTINATION = { rate: 10, burst: 10, capacity: 1024 };
const ALL = { rate: 200, burst: 50, capacity: 4 };
const TTL = 64;
/** Longest error: RFC 1812 §4.3.2.3, RFC 4443 §2.4 (c). */
const LENGTH_V4 = 576;
const LENGTH_V6 = 1280;

export class OwnErrors {
  /** Whole IP packets for the main thread, which takes and empties the list. */
  pending: Uint8Array[] = [];
  readonly #destinations = new TokenBuckets(PER_DESTINATION);
  readonly #all = new TokenBuckets(ALL);
  /** Both sides have one MTU: what came in goes out. */
  readonly #oneMtu: boolean;
  #nowSeconds = 0;

  constructor(
    readonly store: TunnelStore,
    readonly hops: NextHopTable,
    /** Of outside and inside, bytes from the IP header on. */
    readonly mtus: readonly [number, number],
    readonly statistics: Float64Array,
  ) {
    this.#oneMtu = mtus[0] === mtus[1];
  }

  setTime(seconds: number): void {
    this.#nowSeconds = seconds;
  }

  /** Goes over columns [from, to) before they are sent: what must not or cannot go on is dropped, its sender is told. */
  run(batch: Batch, from: number, to: number, directory: Directory): void {
    if (!batch.expiring && this.#oneMtu) return;
    const { view } = batch;
    const { verdict } = batch.columns;
    for (let i = from; i < to; i++) {
      const slot = verdict[i];
      if (slot < 0) continue;
      const l3 = batch.l3[i];
      const v6 = view.getUint8(l3) >> 4 === 6;
      if (view.getUint8(l3 + (v6 ? 7 : 8)) <= 1) {
        this.#tell(batch, i, slot, v6, directory, v6 ? ICMPV6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED, 0, 0);
        drop(batch, i, this.statistics, DROP['ttl-expired']);
        continue;
      }
      if (this.#oneMtu) continue;
      const mtu = this.mtus[this.hops.port(this.store.table.targetOf(slot) & 0xffff)] ?? this.mtus[0];
      // The packet's own length: the UDP datagram in it may be shorter.
      const length = v6 ? IPV6_HEADER_LENGTH + view.getUint16(l3 + 4) : view.getUint16(l3 + 2);
      if (length <= mtu) continue;
      const [type, code] = v6 ? [ICMPV6_PACKET_TOO_BIG, 0] : [ICMP_DESTINATION_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED];
      this.#tell(batch, i, slot, v6, directory, type, code, mtu);
      drop(batch, i, this.statistics, DROP['too-big']);
    }
  }

  /** An error about frame i towards its sender; not where a limit forbids it or nobody could be meant. */
  #tell(
    batch: Batch,
    i: number,
    slot: number,
    v6: boolean,
    directory: Directory,
    type: number,
    code: number,
    rest: number,
  ): void {
    const { view } = batch;
    const l3 = batch.l3[i];
    const at = l3 + (v6 ? 8 : 12);
    const word = (n: number): number => view.getInt32(at + n * 4);
    const [a0, a1, a2, a3] = v6 ? [word(0), word(1), word(2), word(3)] : [0, 0, 0xffff, word(0)];
    if (v6 ? (a0 | a1 | a2 | a3) === 0 || a0 >>> 24 === 0xff : !ipv4IsUnicast(a3)) return;
    const { store } = this;
    const vip = directory.vip(store.word(store.table.recordOf(slot), RECORD.place) >>> 16);
    if (vip === null) return;
    if (
      this.pending.length >= PENDING_LIMIT ||
      !this.#destinations.take(a0, a1, a2, a3, this.#nowSeconds) ||
      !this.#all.take(0, 0, 0, 0, this.#nowSeconds)
    ) {
      this.statistics[COUNTER.icmpWithheld]++;
      return;
    }
    const header = v6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_MIN;
    const about = Math.min(batch.end[i] - l3, (v6 ? LENGTH_V6 : LENGTH_V4) - header - ICMP_HEADER_LENGTH);
    const packet = new Uint8Array(header + ICMP_HEADER_LENGTH + about);
    const out = new DataView(packet.buffer);
    packet.set(batch.bytes.subarray(l3, l3 + about), header + ICMP_HEADER_LENGTH);
    out.setUint32(header + 4, rest);
    const { addresses } = directory;
    if (v6) {
      emitIpv6(out, 0, 0, packet.length - header, NEXT_ICMPV6, TTL);
      for (let w = 0; w < 4; w++) {
        out.setInt32(ipv6SourceOffset(0) + w * 4, addresses.word(vip.address, w));
        out.setInt32(ipv6DestinationOffset(0) + w * 4, word(w));
      }
    } else emitIpv4(out, 0, 0, packet.length, 0, 0, TTL, PROTOCOL_ICMP, addresses.word(vip.address, 3), a3);
    const pseudo = v6 ? pseudoHeaderIpv6(out, 0, NEXT_ICMPV6, packet.length - header) : 0;
    emitIcmp(out, header, packet.length, type, code, pseudo);
    this.pending.push(packet);
    this.statistics[COUNTER.icmpMade]++;
  }
}
