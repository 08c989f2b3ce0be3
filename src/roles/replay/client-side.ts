/**
 * A capture taken in front of a single server, between client and VIP, shows answers that come from the VIP itself.
 * In a replay these stand for what the designated server would have sent: each is given that server's address, as the
 * table of the replay has it for the client and the id in the header. Without a tunnel there a frame stays as it is.
 */
import type { Directory } from '../../dataplane/directory.js';
import { RECORD, RECORD_STATE, RECORD_WORDS, type TableMemory } from '../../flow/layout.js';
import { ConnectionTable } from '../../flow/connection-table.js';
import type { PacketPort } from '../../io/port.js';
import { PORT_INSIDE } from '../../io/port.js';
import { adjust16, adjust32, asUdp } from '../../wire/checksum.js';
import { ETHERNET_LENGTH, etherType, TYPE_IPV4 } from '../../wire/ethernet.js';
import {
  checkIpv4,
  ipv4Destination,
  ipv4End,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_UDP,
} from '../../wire/ipv4.js';

const MAPPED = 0xffff;

export class ClientSide {
  readonly #table: ConnectionTable;
  readonly #channel = new Int32Array(2);
  /** Frames that were given a server's address. */
  translated = 0;

  constructor(
    readonly memory: TableMemory,
    readonly directory: Directory,
  ) {
    this.#table = new ConnectionTable(memory);
  }

  /** `port` with the frames of every turn translated. */
  wrap(port: PacketPort): PacketPort {
    const view = new DataView(port.frames);
    return {
      kind: port.kind,
      description: port.description,
      frames: port.frames,
      columns: port.columns,
      scratchOffset: port.scratchOffset,
      clock: port.clock,
      turn: (received, scratch, waitMs) => {
        const count = port.turn(received, scratch, waitMs);
        for (let i = 0; i < count; i++) {
          if (this.#translate(view, port.columns.offset[i], port.columns.length[i]))
            port.columns.ingress[i] = PORT_INSIDE;
        }
        return count;
      },
      rewrite: (received, scratch) => port.rewrite(received, scratch),
      statistics: () => port.statistics(),
      close: () => port.close(),
    };
  }

  /** Is this an IPv4 frame that comes from a VIP? */
  fromVip(view: DataView, offset: number, length: number): boolean {
    if (length < ETHERNET_LENGTH || etherType(view, offset) !== TYPE_IPV4) return false;
    const ip = offset + ETHERNET_LENGTH;
    return checkIpv4(view, ip, offset + length) !== 0 && this.directory.vipOf(0, 0, MAPPED, ipv4Source(view, ip)) >= 0;
  }

  #translate(view: DataView, offset: number, length: number): boolean {
    if (!this.fromVip(view, offset, length)) return false;
    const ip = offset + ETHERNET_LENGTH;
    const headerLength = checkIpv4(view, ip, offset + length);
    const l4 = ip + headerLength;
    const end = ipv4End(view, ip);
    if (ipv4IsFragment(view, ip) || ipv4Protocol(view, ip) !== PROTOCOL_UDP || end - l4 < 8) return false;
    const clientPort = view.getUint16(l4 + 2);
    for (const descriptor of this.directory.descriptorsOf(PROTOCOL_UDP)) {
      if (descriptor.classify(view, l4, end, this.#channel) <= 0) continue;
      const record = this.#recordOf(ipv4Destination(view, ip), clientPort, this.#channel[0]);
      const server =
        record < 0 ? null : this.directory.server(this.memory.records[record * RECORD_WORDS + RECORD.place] & 0xffff);
      const vip =
        record < 0 ? null : this.directory.vip(this.memory.records[record * RECORD_WORDS + RECORD.place] >>> 16);
      if (server === null || vip === null) continue;
      const before = ipv4Source(view, ip);
      const after = this.directory.addresses.word(server.address, 3);
      view.setInt32(ip + 12, after);
      view.setUint16(ip + 10, adjust32(view.getUint16(ip + 10), before, after));
      const port = view.getUint16(l4);
      const serverPort = port === vip.port ? server.port : port;
      view.setUint16(l4, serverPort);
      const checksum = view.getUint16(l4 + 6);
      if (checksum !== 0) view.setUint16(l4 + 6, asUdp(adjust16(adjust32(checksum, before, after), port, serverPort)));
      this.translated++;
      return true;
    }
    return false;
  }

  /** The tunnel of this client and port whose client-assigned id this is, closing ones last. */
  #recordOf(client: number, port: number, channel: number): number {
    let found = -1;
    for (let record = 0; record < this.memory.layout.recordCount; record++) {
      const at = record * RECORD_WORDS;
      const state = this.memory.records[at + RECORD.state] & 0xff;
      if (state === RECORD_STATE.free || this.memory.records[at + RECORD.clientChannel] !== channel) continue;
      const slot = this.memory.records[at + RECORD.entryReverse] - 1;
      if (slot < 0 || this.#table.keyWord(slot, 3) !== (client | 0) || this.#table.keyWord(slot, 4) >>> 16 !== port)
        continue;
      if (state !== RECORD_STATE.closing) return record;
      found = record;
    }
    return found;
  }
}
