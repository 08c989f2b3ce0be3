/**
 * Speaks in the name of one end of a tunnel: frames as the other end would get them from it, with the addresses, ports
 * and ids that this other end knows. The payload comes from the protocol's descriptor.
 */
import { RECORD } from '../flow/layout.js';
import type { NextHopTable } from '../flow/next-hop-table.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import { isIpv4 } from '../wire/address.js';
import { pseudoHeaderIpv4, pseudoHeaderIpv6 } from '../wire/checksum.js';
import { emitEthernet, ETHERNET_LENGTH, TYPE_IPV4, TYPE_IPV6 } from '../wire/ethernet.js';
import { emitIpv4, IPV4_DF, IPV4_HEADER_MIN, PROTOCOL_UDP } from '../wire/ipv4.js';
import { emitIpv6, IPV6_HEADER_LENGTH, ipv6DestinationOffset, ipv6SourceOffset } from '../wire/ipv6.js';
import { emitUdp, UDP_HEADER_LENGTH } from '../wire/udp.js';
import type { Directory } from './directory.js';
import type { TunnelStore } from './tunnel-store.js';

const TTL = 64;

/** The ends' ids as the listener of a message knows them. */
export interface Ids {
  /** The listener's own id, for the header. */
  readonly channel: number;
  /** The id that the apparent speaker is known by. */
  readonly assigned: number;
}

interface Place {
  readonly words: readonly [number, number, number, number];
  readonly port: number;
}

export class TunnelVoice {
  readonly #mac = new Uint8Array(6);

  /** `queue` takes a frame to be sent as it stands by a port. */
  constructor(
    readonly store: TunnelStore,
    readonly hops: NextHopTable,
    readonly macs: readonly [Uint8Array, Uint8Array],
    readonly queue: (port: number, frame: Uint8Array) => void,
  ) {}

  /**
   * The protocol of a tunnel in whose name something can be said, or null: a protocol without such messages, or not
   * over UDP.
   */
  speaks(record: number, directory: Directory): TunnelDescriptor | null {
    const descriptor = directory.descriptor(this.store.protocol(record));
    if (descriptor?.endMessage === undefined || descriptor.ackMessage === undefined) return null;
    return descriptor.ipProtocol === PROTOCOL_UDP && descriptor.hasPorts ? descriptor : null;
  }

  /** Ids for a message to the client, or to the server; null when the listener's id is not known. */
  ids(record: number, toClient: boolean): Ids | null {
    const { store } = this;
    const client = store.word(record, RECORD.clientChannel);
    const server = store.word(record, RECORD.serverChannel);
    const channel = toClient ? client : server;
    if (channel === 0) return null;
    return { channel, assigned: toClient ? store.word(record, RECORD.virtualChannel) || server : client };
  }

  /** Sends a payload to the client as if from its server, or the other way round. False where the way is not known. */
  say(record: number, directory: Directory, toClient: boolean, payload: Uint8Array): boolean {
    const { store } = this;
    const vip = directory.vip(store.vipIndex(record));
    const server = directory.server(store.serverIndex(record));
    const slot = store.anyEntry(record);
    if (vip === null || server === null || slot < 0) return false;
    const { table } = store;
    const client: Place = {
      words: [table.keyWord(slot, 0), table.keyWord(slot, 1), table.keyWord(slot, 2), table.keyWord(slot, 3)],
      port: store.clientPort(record),
    };
    const at = (index: number): Place['words'] => {
      const { addresses } = directory;
      return [addresses.word(index, 0), addresses.word(index, 1), addresses.word(index, 2), addresses.word(index, 3)];
    };
    const ports = store.word(record, RECORD.ports);
    if (toClient) {
      const shown: Place = { words: at(store.shownAddress(record, vip)), port: ports & 0xffff || vip.port };
      return this.#send(store.clientNextHop(record), shown, client, payload);
    }
    const forward = (store.word(record, RECORD.entryForward) || store.word(record, RECORD.entryHalfOpen)) - 1;
    if (forward < 0) return false;
    const real: Place = { words: at(server.address), port: ports >>> 16 || server.port };
    const local = store.localEntry(record);
    const word = (n: number): number => table.keyWord(local, n);
    const words: Place['words'] = local < 0 ? client.words : [word(0), word(1), word(2), word(3)];
    const seen: Place = { words, port: store.portTowardsServer(record) };
    return this.#send(table.targetOf(forward) & 0xffff, seen, real, payload);
  }

  #send(hop: number, source: Place, destination: Place, payload: Uint8Array): boolean {
    if (!this.hops.mac(hop, this.#mac)) return false;
    const port = this.hops.port(hop);
    const frame = udpFrame(this.macs[port] ?? this.macs[0], this.#mac, source, destination, payload);
    this.queue(port, frame);
    return true;
  }
}

/** An Ethernet frame with a UDP packet, all checksums in place. */
export function udpFrame(
  sourceMac: Uint8Array,
  destinationMac: Uint8Array,
  source: Place,
  destination: Place,
  payload: Uint8Array,
): Uint8Array {
  const v4 = isIpv4(destination.words[0], destination.words[1], destination.words[2]);
  const l4 = ETHERNET_LENGTH + (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_LENGTH);
  const length = UDP_HEADER_LENGTH + payload.length;
  const frame = new Uint8Array(l4 + length);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  const ip = emitEthernet(view, 0, sourceMac, v4 ? TYPE_IPV4 : TYPE_IPV6);
  frame.set(payload, l4 + UDP_HEADER_LENGTH);
  if (v4) {
    const total = IPV4_HEADER_MIN + length;
    emitIpv4(view, ip, 0, total, 0, IPV4_DF, TTL, PROTOCOL_UDP, source.words[3], destination.words[3]);
    emitUdp(view, l4, source.port, destination.port, length, pseudoHeaderIpv4(view, ip, PROTOCOL_UDP, length));
  } else {
    emitIpv6(view, ip, 0, length, PROTOCOL_UDP, TTL);
    for (let w = 0; w < 4; w++) {
      view.setInt32(ipv6SourceOffset(ip) + w * 4, source.words[w]);
      view.setInt32(ipv6DestinationOffset(ip) + w * 4, destination.words[w]);
    }
    emitUdp(view, l4, source.port, destination.port, length, pseudoHeaderIpv6(view, ip, PROTOCOL_UDP, length));
  }
  return frame;
}
