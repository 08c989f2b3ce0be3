/**
 * The XDP program without a network: maps, the table as a BPF array that this thread maps too, and single frames through
 * BPF_PROG_TEST_RUN. The interface that frames seem to come in on must exist: `lo` does, in every namespace.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { ELEMENT_LENGTH, formatTable, TableMemory, tableLayout } from '../../src/flow/layout.js';
import { writeXdpWords, type XdpSides } from '../../src/flow/xdp-words.js';
import { type NativeBpf, native } from '../../src/io/native.js';
import { readXdpCounters, XDP_COUNTER, XDP_COUNTER_COUNT, type XdpCounterName } from '../../src/io/xdp-counters.js';
import { INSIDE_MAC, OUTSIDE_MAC } from './memory-appliance.js';
import { MAC_B } from './packet-builder.js';

export const XDP_ABORTED = 0;
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const XDP_TX = 3;
export const XDP_REDIRECT = 4;

const HASH = 1;
const ARRAY = 2;
const PERCPU_ARRAY = 6;
const LPM_TRIE = 11;
const DEVMAP = 14;
const CPUMAP = 16;
const XSKMAP = 17;
const NO_PREALLOC = 1;
const MMAPABLE = 1 << 10;
const BPF_XDP_CPUMAP = 35;

/** Why programs cannot be loaded here, or null. */
export function xdpProblem(): string | null {
  try {
    const { bpf, closeFd } = native();
    closeFd(
      bpf.createMap({ type: ARRAY, keyLength: 4, valueLength: 8, entries: 1, flags: MMAPABLE, name: 'td_probe' }),
    );
    return networkInterfaces().lo === undefined ? 'needs an interface lo that is up' : null;
  } catch (error) {
    return `needs bpf(2): ${(error as Error).message}`;
  }
}

export interface XdpRun {
  readonly action: number;
  readonly data: Uint8Array;
  /** Counters that moved, by name. */
  readonly counted: Partial<Record<XdpCounterName, number>>;
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

export class XdpRig {
  readonly bpf: NativeBpf = native().bpf;
  readonly maps: Record<string, number>;
  readonly program: number;
  readonly memory: TableMemory;
  /** `lo`, which stands for both devices with one arm, and a number that stands for the other. */
  readonly interface = 1;
  #sides: XdpSides;

  constructor(connections: number, object = resolve(import.meta.dirname, '../../build/bpf/designator.o')) {
    const { bpf } = this;
    const layout = tableLayout(connections);
    const map = (name: string, type: number, keyLength: number, valueLength: number, entries: number, flags = 0) =>
      bpf.createMap({ name, type, keyLength, valueLength, entries, flags });
    this.maps = {
      td_table: map('td_table', ARRAY, 4, ELEMENT_LENGTH, layout.length / ELEMENT_LENGTH, MMAPABLE),
      td_devices: map('td_devices', DEVMAP, 4, 4, 2),
      td_sockets: map('td_sockets', XSKMAP, 4, 4, 16),
      td_cpus: map('td_cpus', CPUMAP, 4, 8, 2),
      td_deny: map('td_deny', LPM_TRIE, 20, 4, 64, NO_PREALLOC),
      td_places: map('td_places', HASH, 4, 4, 64),
      td_counters: map('td_counters', PERCPU_ARRAY, 4, 8, XDP_COUNTER_COUNT),
    };
    const file = readFileSync(object);
    const load = (section: string, name: string, expectedAttachType: number): number => {
      const used = bpf.mapNames(file, section);
      const maps = Object.fromEntries(used.map((wanted) => [wanted, this.maps[wanted]]));
      return bpf.load({ object: file, section, name, expectedAttachType, maps });
    };
    this.program = load('xdp', 'td_ingress', 0);
    const spread = load('xdp/cpumap', 'td_spread', BPF_XDP_CPUMAP);
    this.maps.spread = spread;
    const buffer = native().mapTable(this.maps.td_table, layout.length);
    this.memory = new TableMemory(buffer, connections);
    formatTable(this.memory, 1, new Int32Array(4));
    this.#sides = {
      outsideInterface: this.interface,
      insideInterface: this.interface,
      outsideVlan: 0,
      insideVlan: 0,
      outsideMac: OUTSIDE_MAC,
      insideMac: INSIDE_MAC,
      shards: 1,
      queues: 1,
      spread: 0,
      flags: 0,
    };
    for (const port of [0, 1]) bpf.update(this.maps.td_devices, u32(port), u32(this.interface));
  }

  /** Control words; what is not named stays as it was. */
  sides(change: Partial<XdpSides>): void {
    this.#sides = { ...this.#sides, ...change };
    writeXdpWords(this.memory, this.#sides);
  }

  place(address: number, port: number, role: number): void {
    this.bpf.update(this.maps.td_places, u32((address << 16) | port), u32(role));
  }

  /** `words`: a prefix, IPv4 mapped, `length` of 128 bits. `said`: 1 allow, 2 deny. */
  deny(words: readonly number[], length: number, said: number): void {
    const key = new DataView(new ArrayBuffer(20));
    key.setUint32(0, length, true);
    words.forEach((word, i) => key.setInt32(4 + 4 * i, word));
    this.bpf.update(this.maps.td_deny, new Uint8Array(key.buffer), u32(said));
  }

  counters(): number[] {
    return readXdpCounters(this.bpf, this.maps.td_counters);
  }

  run(frame: Uint8Array, program = this.program): XdpRun {
    const before = this.counters();
    const addressed = this.#addressed(frame);
    const { action, data } = this.bpf.testRun({ program, data: addressed, ingressInterface: this.interface });
    // What stands there still is compared as the fixtures have it.
    if (Buffer.from(data.subarray(0, 6)).equals(addressed.subarray(0, 6))) data.set(frame.subarray(0, 6));
    const after = this.counters();
    const counted: Partial<Record<XdpCounterName, number>> = {};
    for (const [name, index] of Object.entries(XDP_COUNTER)) {
      if (after[index] !== before[index]) counted[name as XdpCounterName] = after[index] - before[index];
    }
    return { action, data, counted };
  }

  /** Frames of the fixtures go to MAC_B; here they have to go to the port that they come in on. */
  #addressed(frame: Uint8Array): Uint8Array {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (frame.length < 14 || Buffer.from(frame.subarray(0, 6)).toString('hex') !== MAC_B.replaceAll(':', ''))
      return frame;
    const { outsideInterface, outsideVlan, outsideMac, insideMac } = this.#sides;
    const vlan = frame.length >= 16 && view.getUint16(12) === 0x8100 ? view.getUint16(14) & 0xfff : 0;
    const copy = Uint8Array.from(frame);
    copy.set(outsideInterface === this.interface && vlan === outsideVlan ? outsideMac : insideMac);
    return copy;
  }

  close(): void {
    const { unmapTable, closeFd } = native();
    unmapTable(this.memory.buffer as ArrayBuffer);
    for (const fd of Object.values(this.maps)) closeFd(fd);
    closeFd(this.program);
  }
}
