/**
 * Two wires in one network namespace, for tests of the packet ring: what goes in at `c0` arrives at `d0`, what the ring
 * sends out of `d1` arrives at `s0`, and back.
 *
 *   c0 ── d0  ring  d1 ── s0
 */
import { ADDRESS, ADDRESS_WORDS, ENTRY, ENTRY_WORDS } from '../../src/flow/layout.js';
import { NEXT_HOP, NEXT_HOP_STATE, NEXT_HOP_WORDS, TableMemory, tableLayout } from '../../src/flow/layout.js';
import { type NativeCounters, native, type PacketRingOptions } from '../../src/io/native.js';
import { openPacketPort } from '../../src/io/packet.js';
import { BATCH_CAPACITY, type PacketPort, SCRATCH_SLOT_LENGTH, VERDICT_DROP, VERDICT_RAW } from '../../src/io/port.js';
import { parseAddress, parseMac } from '../../src/wire/address.js';
import { newCounters } from './offline-port.js';

export const MAC = {
  c0: '02:00:00:00:0c:00',
  d0: '02:00:00:00:0d:00',
  d1: '02:00:00:00:0d:01',
  s0: '02:00:00:00:05:00',
} as const;
export type Wire = keyof typeof MAC;
/** A test that hears nothing for this long has failed. */
const PATIENCE_MS = 5000;
const CONNECTIONS = 64;

export const macOf = (wire: Wire): Uint8Array => parseMac(MAC[wire]) as Uint8Array;

/** What a hand-made entry orders. */
export interface Order {
  readonly slot: number;
  readonly tag: number;
  readonly flags: number;
  /** The new source or destination. */
  readonly address: string;
  /** New source port << 16 | new destination port. */
  readonly ports?: number;
  /** Index into the test's next hops. */
  readonly hop: number;
}

/** Table memory of the addon's own mapping, written by hand. */
export class HandMadeTable {
  readonly #layout = tableLayout(CONNECTIONS);
  readonly #fd = native().openTable(null, this.#layout.length).fd;
  readonly memory = new TableMemory(native().mapTable(this.#fd, this.#layout.length), CONNECTIONS);
  #addresses = 0;

  get native(): PacketRingOptions['table'] {
    const { entries, slotCount, records, recordCount, addresses, nextHops } = this.#layout;
    return {
      buffer: this.memory.buffer as ArrayBuffer,
      entries,
      slotCount,
      records,
      recordCount,
      addresses,
      nextHops,
    };
  }

  hop(index: number, mac: Uint8Array, port: number): void {
    const view = new DataView(mac.buffer, mac.byteOffset);
    const at = index * NEXT_HOP_WORDS;
    this.memory.nextHops[at + NEXT_HOP.macHigh] = view.getInt32(0);
    this.memory.nextHops[at + NEXT_HOP.macLow] = (view.getUint16(4) << 16) | (port << 8) | NEXT_HOP_STATE.resolved;
  }

  entry({ slot, tag, flags, address, ports = 0, hop }: Order): void {
    const words = parseAddress(address);
    if (words === null) throw new Error(`not an address: ${address}`);
    const index = this.#addresses++;
    this.memory.addresses.set(words, index * ADDRESS_WORDS + ADDRESS.words);
    this.memory.addresses[index * ADDRESS_WORDS + ADDRESS.family] = address.includes(':') ? 6 : 4;
    const at = slot * ENTRY_WORDS;
    this.memory.entries[at + ENTRY.version] = 2;
    this.memory.entries[at + ENTRY.tag] = tag;
    this.memory.entries[at + ENTRY.target] = (index << 16) | hop;
    this.memory.entries[at + ENTRY.ports] = ports;
    this.memory.entries[at + ENTRY.record] = flags;
  }

  packets(slot: number): number {
    return this.memory.entries[slot * ENTRY_WORDS + ENTRY.packets];
  }

  close(): void {
    native().unmapTable(this.memory.buffer as ArrayBuffer);
    native().closeFd(this.#fd);
  }
}

export interface Opened {
  readonly port: PacketPort;
  readonly counters: NativeCounters;
}

/** A packet port with counters of its own. */
export function openPort(
  table: HandMadeTable,
  options: Omit<PacketRingOptions, 'table' | 'counters' | 'clock'>,
): Opened {
  const counters = newCounters();
  return { counters, port: openPacketPort({ ...options, table: table.native, counters, clock: new Float64Array(1) }) };
}

export interface Heard {
  readonly bytes: Uint8Array;
  readonly ingress: number;
  readonly flags: number;
}

/** Frame `i` of the present batch, copied. */
export function heard({ frames, columns }: PacketPort, i: number): Heard {
  const bytes = new Uint8Array(frames, columns.offset[i], columns.length[i]).slice();
  return { bytes, ingress: columns.ingress[i], flags: columns.flags[i] };
}

/** Turns until `count` frames have come or patience ends; `decide` gives each its verdict. */
export function collect(port: PacketPort, count: number, decide: (i: number) => void = () => {}): Heard[] {
  const out: Heard[] = [];
  let n = 0;
  for (const until = Date.now() + PATIENCE_MS; out.length < count && Date.now() < until; ) {
    n = port.turn(n, 0, 20);
    for (let i = 0; i < n; i++) {
      out.push(heard(port, i));
      port.columns.verdict[i] = VERDICT_DROP;
      decide(i);
    }
  }
  port.turn(n, 0, 0);
  return out;
}

/** The far end of a wire: puts frames on it and hears what arrives. */
export class End {
  readonly port: PacketPort;
  readonly #table = new HandMadeTable();

  constructor(wire: Wire, vlan = 0) {
    this.port = openPort(this.#table, {
      devices: [{ name: wire, role: 'both' }],
      ports: [{ device: 0, vlan, mac: macOf(wire) }],
      fanout: { group: -1, shards: 1 },
    }).port;
  }

  /** In order, as they are; what has arrived meanwhile is forgotten. */
  put(frames: readonly Uint8Array[]): void {
    const { port } = this;
    for (let first = 0; first < frames.length; first += 128) {
      const some = frames.slice(first, first + 128);
      some.forEach((bytes, slot) => {
        const offset = port.scratchOffset + slot * SCRATCH_SLOT_LENGTH;
        new Uint8Array(port.frames).set(bytes, offset);
        port.columns.offset[BATCH_CAPACITY + slot] = offset;
        port.columns.length[BATCH_CAPACITY + slot] = bytes.length;
        port.columns.egress[BATCH_CAPACITY + slot] = 0;
        port.columns.verdict[BATCH_CAPACITY + slot] = VERDICT_RAW;
      });
      port.turn(0, some.length, 0);
    }
  }

  hear(count: number): Heard[] {
    return collect(this.port, count);
  }

  close(): void {
    this.port.close();
    this.#table.close();
  }
}
