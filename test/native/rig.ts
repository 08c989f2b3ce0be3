/** A rewriter of the addon with table, frames and columns around it, and words to fill them with. */
import {
  ADDRESS,
  ADDRESS_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_DECREMENT_TTL,
  formatTable,
  NEXT_HOP,
  NEXT_HOP_STATE,
  NEXT_HOP_WORDS,
  TABLE_FORWARD,
  TableMemory,
  tableLayout,
} from '../../src/flow/layout.js';
import { type NativeTable, native, type Rewriter, type RewriterOptions } from '../../src/io/native.js';
import { COLUMN_LENGTH, type FrameColumns } from '../../src/io/port.js';
import { isIpv4, parseAddress } from '../../src/wire/address.js';
import { BOOT_ID } from '../flow/memory.js';
import { newCounters, PORTS } from '../helpers/offline-port.js';

export const SLOT_LENGTH = 2048;
export const FRAME_SLOTS = 8;
/** Resolved, leaves by port 1. */
export const HOP = 1;
export const HOP_UNRESOLVED = 2;
export const L2TP = 1;

export interface EntryOptions {
  readonly address: number;
  readonly flags?: number;
  readonly hop?: number;
  readonly ports?: number;
  readonly table?: number;
  readonly record?: number;
}

/** `share`: makes the buffers; SharedArrayBuffer to show that these work too. */
type MakeBuffer = (length: number) => ArrayBuffer | SharedArrayBuffer;
const plain: MakeBuffer = (length) => new ArrayBuffer(length);

export function newColumns(make: MakeBuffer = plain): FrameColumns {
  const words = () => new Int32Array(make(COLUMN_LENGTH * 4));
  const bytes = () => new Uint8Array(make(COLUMN_LENGTH));
  return { offset: words(), length: words(), ingress: bytes(), egress: bytes(), flags: bytes(), verdict: words() };
}

export function nativeTable(memory: TableMemory): NativeTable {
  const { entries, slotCount, records, recordCount, addresses, nextHops } = memory.layout;
  return { buffer: memory.buffer as ArrayBuffer, entries, slotCount, records, recordCount, addresses, nextHops };
}

export class Rig {
  readonly memory: TableMemory;
  readonly options: RewriterOptions;
  readonly rewriter: Rewriter;
  readonly frames: Uint8Array;

  constructor(make: MakeBuffer = plain, options: Partial<RewriterOptions> = {}) {
    const { length } = tableLayout(16);
    this.memory = new TableMemory(make(length), 16);
    formatTable(this.memory, 1, BOOT_ID);
    const { nextHops } = this.memory;
    nextHops[HOP * NEXT_HOP_WORDS + NEXT_HOP.macHigh] = 0x02112233;
    nextHops[HOP * NEXT_HOP_WORDS + NEXT_HOP.macLow] = (0x4455 << 16) | (1 << 8) | NEXT_HOP_STATE.resolved;
    nextHops[HOP_UNRESOLVED * NEXT_HOP_WORDS + NEXT_HOP.macLow] = (1 << 8) | NEXT_HOP_STATE.unresolved;
    const statistics = new Float64Array(make(9 * 8));
    this.options = {
      frames: make(FRAME_SLOTS * SLOT_LENGTH) as ArrayBuffer,
      columns: newColumns(make),
      table: nativeTable(this.memory),
      counters: { ...newCounters(), statistics },
      ports: PORTS,
      clock: new Float64Array(make(8)).fill(1000.75),
      ...options,
    };
    this.frames = new Uint8Array(this.options.frames);
    this.rewriter = new (native().Rewriter)(this.options);
  }

  address(index: number, text: string): number {
    const words = parseAddress(text);
    if (words === null) throw new Error(`not an address: ${text}`);
    this.memory.addresses.set(words, index * ADDRESS_WORDS);
    this.memory.addresses[index * ADDRESS_WORDS + ADDRESS.family] = isIpv4(words[0], words[1], words[2]) ? 4 : 6;
    return index;
  }

  entry(slot: number, { address, flags, hop, ports, table, record }: EntryOptions): void {
    const at = slot * ENTRY_WORDS;
    const { entries } = this.memory;
    entries[at + ENTRY.tag] = (L2TP << 8) | (table ?? TABLE_FORWARD);
    entries[at + ENTRY.target] = (address << 16) | (hop ?? HOP);
    entries[at + ENTRY.ports] = ports ?? 0;
    entries[at + ENTRY.record] = ((record ?? 0) << 8) | (flags ?? FLAG_DECREMENT_TTL);
  }

  /** Lays a frame into column `index` (its own frame slot) with an entry as verdict. */
  put(index: number, frame: Uint8Array, verdict = 0, flags = 0): void {
    const { columns } = this.options;
    const slot = index % FRAME_SLOTS;
    this.frames.set(frame, slot * SLOT_LENGTH);
    columns.offset[index] = slot * SLOT_LENGTH;
    columns.length[index] = frame.length;
    columns.flags[index] = flags;
    columns.egress[index] = 255;
    columns.verdict[index] = verdict;
  }

  /** The frame of a column as it is now. */
  at(index: number): Uint8Array {
    const { columns } = this.options;
    return this.frames.slice(columns.offset[index], columns.offset[index] + columns.length[index]);
  }

  /** Rewrites one frame by slot 0; what became of it. */
  one(frame: Uint8Array, flags = 0): { frame: Uint8Array; verdict: number; egress: number } {
    this.put(0, frame, 0, flags);
    this.rewriter.rewrite(1, 0);
    const { verdict, egress } = this.options.columns;
    return { frame: this.at(0), verdict: verdict[0], egress: egress[0] };
  }

  word(slot: number, word: number): number {
    return this.memory.entries[slot * ENTRY_WORDS + word];
  }

  counted(name: 'entryChanged' | 'ttlExpired' | 'neighbourUnresolved' | 'rewriteFailed'): number {
    const { counters } = this.options;
    return counters.statistics[counters[name]];
  }
}
