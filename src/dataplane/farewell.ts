/**
 * Ending a tunnel in both ends' name (a drain whose deadline has come): the client gets a message as if from its server,
 * the server one as if from its client, each continuing the dialogue at the numbers that were seen last. Sent once: the
 * mapping stays for a retransmission cycle, so acknowledgements pass; a lost message leaves that end to its own timers.
 */
import { RECORD } from '../flow/layout.js';
import type { NextHopTable } from '../flow/next-hop-table.js';
import { isIpv4 } from '../wire/address.js';
import { pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../wire/checksum.js';
import { emitEthernet, ETHERNET_LENGTH, TYPE_IPV4, TYPE_IPV6 } from '../wire/ethernet.js';
import { emitIpv4, IPV4_DF, IPV4_HEADER_MIN, PROTOCOL_UDP } from '../wire/ipv4.js';
import { emitIpv6, IPV6_HEADER_LENGTH, ipv6DestinationOffset, ipv6SourceOffset } from '../wire/ipv6.js';
import { emitUdp, UDP_HEADER_LENGTH } from '../wire/udp.js';
import type { Directory } from './directory.js';
import type { TunnelStore } from './tunnel-store.js';

const TTL = 64;

interface End {
  readonly words: readonly number[];
  readonly port: number;
}
export interface FarewellFrame {
  readonly port: number;
  readonly frame: Uint8Array;
}

export class Farewell {
  readonly #mac = new Uint8Array(6);

  constructor(
    readonly store: TunnelStore,
    readonly hops: NextHopTable,
    readonly macs: readonly [Uint8Array, Uint8Array],
  ) {}

  /** None for a protocol without such a message, or where an end's id or link-layer address is not known. */
  frames(record: number, directory: Directory): FarewellFrame[] {
    const { store } = this;
    const vip = directory.vip(store.vipIndex(record));
    const server = directory.server(store.serverIndex(record));
    const descriptor = directory.descriptor(store.protocol(record));
    const slot = store.anyEntry(record);
    if (
      vip === null ||
      server === null ||
      slot < 0 ||
      descriptor.endMessage === undefined ||
      descriptor.ipProtocol !== PROTOCOL_UDP
    )
      return [];
    const { table } = store;
    const client: End = { words: [0, 1, 2, 3].map((w) => table.keyWord(slot, w)), port: table.keyWord(slot, 4) >>> 16 };
    const at = (index: number): number[] => [0, 1, 2, 3].map((w) => directory.addresses.word(index, w));
    const ports = store.word(record, RECORD.ports);
    const shown: End = { words: at(vip.address), port: ports & 0xffff || vip.port };
    const real: End = { words: at(server.address), port: ports >>> 16 || server.port };
    const clientId = store.word(record, RECORD.clientChannel);
    const serverId = store.word(record, RECORD.serverChannel);
    const shownId = store.word(record, RECORD.virtualChannel) || serverId;
    // What one end expects next is what it acknowledged last.
    const fromClient = store.word(record, RECORD.clientSequence) & 0xffff;
    const fromServer = store.word(record, RECORD.serverSequence) & 0xffff;
    const frames: FarewellFrame[] = [];
    const forward = (store.word(record, RECORD.entryForward) || store.word(record, RECORD.entryHalfOpen)) - 1;
    if (clientId !== 0) {
      this.#add(
        frames,
        store.clientNextHop(record),
        shown,
        client,
        descriptor.endMessage(clientId, shownId, fromClient, fromServer),
      );
    }
    if (serverId !== 0 && forward >= 0) {
      this.#add(
        frames,
        table.targetOf(forward) & 0xffff,
        client,
        real,
        descriptor.endMessage(serverId, clientId, fromServer, fromClient),
      );
    }
    return frames;
  }

  #add(frames: FarewellFrame[], hop: number, source: End, destination: End, payload: Uint8Array): void {
    if (!this.hops.mac(hop, this.#mac)) return;
    const port = this.hops.port(hop);
    const v4 = isIpv4(destination.words[0], destination.words[1], destination.words[2]);
    const l4 = ETHERNET_LENGTH + (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_LENGTH);
    const length = UDP_HEADER_LENGTH + payload.length;
    const frame = new Uint8Array(l4 + length);
    const view = new DataView(frame.buffer);
    frame.set(this.#mac, 0);
    const ip = emitEthernet(view, 0, this.macs[port] ?? this.macs[0], v4 ? TYPE_IPV4 : TYPE_IPV6);
    frame.set(payload, l4 + UDP_HEADER_LENGTH);
    if (v4) {
      emitIpv4(
        view,
        ip,
        0,
        IPV4_HEADER_MIN + length,
        0,
        IPV4_DF,
        TTL,
        PROTOCOL_UDP,
        source.words[3],
        destination.words[3],
      );
      emitUdp(view, l4, source.port, destination.port, length, pseudoHeaderIpv4(view, ip, PROTOCOL_UDP, length));
    } else {
      emitIpv6(view, ip, 0, length, PROTOCOL_UDP, TTL);
      for (let w = 0; w < 4; w++) {
        view.setInt32(ipv6SourceOffset(ip) + w * 4, source.words[w]);
        view.setInt32(ipv6DestinationOffset(ip) + w * 4, destination.words[w]);
      }
      emitUdp(view, l4, source.port, destination.port, length, pseudoHeaderIpv6(view, ip, PROTOCOL_UDP, length));
    }
    frames.push({ port, frame });
  }
}
