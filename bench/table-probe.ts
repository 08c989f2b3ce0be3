/** The product's table, looked at from outside while it runs: how many tunnels stand, which the kernel may forward. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import {
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_FIRST,
  FLAG_OFFLOADED,
  FLAG_REWRITE_CHANNEL,
  HEADER,
  PAGE_LENGTH,
  TABLE_FORWARD,
  TableMemory,
  tableLayout,
} from '#designator/flow/layout.js';
import { native } from '#designator/io/native.js';
import type { Testbed } from './testbed.js';

export interface TableProbe {
  /** Read from the header: a hundred thousand rows need not be made for it. */
  established(): number;
  halfOpen(): number;
  /** Entries that the kernel may forward by. */
  offloaded(): number;
  /**
   * Lets every tunnel have a virtual id, as far as its data packets are concerned: the entries of what clients send order
   * the server's id to be written in place of the header's. It is the same id, so that frames need not be others.
   * Returns how many.
   */
  orderChannels(): number;
  /** The whole of it, in the same memory. Null where it is a file: then it is nobody's business. */
  readonly memory: TableMemory | null;
  close(): void;
}

const asking = (header: Int32Array): number => header[HEADER.halfOpen];
const standing = (header: Int32Array): number => header[HEADER.recordsUsed] - header[HEADER.halfOpen];

export function fileTable(path: string): TableProbe {
  const header = (): Int32Array => {
    const words = new Int32Array(PAGE_LENGTH / 4);
    const fd = openSync(path, 'r');
    readSync(fd, words, 0, PAGE_LENGTH, 0);
    closeSync(fd);
    return words;
  };
  return {
    memory: null,
    established: () => standing(header()),
    halfOpen: () => asking(header()),
    offloaded: () => 0,
    orderChannels() {
      const fd = openSync(path, 'r+');
      const page = new Int32Array(PAGE_LENGTH / 4);
      readSync(fd, page, 0, PAGE_LENGTH, 0);
      const { entries: at, slotCount } = tableLayout(page[HEADER.connections]);
      const entries = new Int32Array(slotCount * ENTRY_WORDS);
      readSync(fd, entries, 0, entries.byteLength, at);
      const word = new Int32Array(1);
      const changed = ordered(entries, slotCount, (index, value) => {
        word[0] = value;
        writeSync(fd, word, 0, 4, at + index * 4);
      });
      closeSync(fd);
      return changed;
    },
    close() {},
  };
}

/** Adds the order to every entry of what clients send. */
function ordered(entries: Int32Array, slotCount: number, store: (index: number, value: number) => void): number {
  let changed = 0;
  for (let slot = 0; slot < slotCount; slot++) {
    const at = slot * ENTRY_WORDS;
    const isForward = (entries[at + ENTRY.tag] & 0xff) === TABLE_FORWARD;
    // A slot that no tunnel has keeps what the last one left; its version says nothing, and nobody finds it.
    if (!isForward) continue;
    store(at + ENTRY.record, entries[at + ENTRY.record] | FLAG_REWRITE_CHANNEL);
    changed++;
  }
  return changed;
}

/** Where a program is looked for. */
export type OutsideDevice = Pick<Testbed, 'middle' | 'outside'>;

/** The table of the program that is on the outside interface. */
export async function kernelTable(bed: OutsideDevice): Promise<TableProbe> {
  const addon = native();
  const { fd, memory } = openKernelTable(await programOn(bed));
  addon.closeFd(fd);
  return {
    memory,
    established: () => standing(memory.header),
    halfOpen: () => asking(memory.header),
    offloaded: () => offloadedSlots(memory).length,
    orderChannels: () =>
      ordered(memory.entries, memory.layout.slotCount, (index, value) => Atomics.store(memory.entries, index, value)),
    close: () => addon.unmapTable(memory.buffer as ArrayBuffer),
  };
}

/** The table of an XDP program, mapped. */
export function openKernelTable(programId: number): { fd: number; memory: TableMemory } {
  const addon = native();
  const fd = openMap(programId, 'td_table');
  const page = addon.mapTable(fd, PAGE_LENGTH);
  const connections = new Int32Array(page)[HEADER.connections];
  addon.unmapTable(page);
  return { fd, memory: new TableMemory(addon.mapTable(fd, tableLayout(connections).length), connections) };
}

/** Slots of entries that the kernel may forward by. */
export function offloadedSlots({ entries, fingerprints, layout }: TableMemory): number[] {
  const slots: number[] = [];
  for (let slot = 0; slot < layout.slotCount; slot++) {
    if (fingerprints[slot] < FINGERPRINT_FIRST) continue;
    if ((entries[slot * ENTRY_WORDS + ENTRY.record] & FLAG_OFFLOADED) !== 0) slots.push(slot);
  }
  return slots;
}

/** Number of the XDP program that is on the outside interface. */
export async function programOn(bed: OutsideDevice): Promise<number> {
  const text = await bed.middle.run('ip', ['-j', 'link', 'show', 'dev', bed.outside]);
  const id = (JSON.parse(text) as { xdp?: { prog?: { id: number } } }[])[0]?.xdp?.prog?.id;
  if (id === undefined) throw new Error(`no XDP program on ${bed.outside}: ${text}`);
  return id;
}

/** A descriptor of one of the program's maps. */
export function openMap(programId: number, name: string): number {
  const { bpf, closeFd } = native();
  const program = bpf.openProgramById(programId);
  const { maps } = bpf.programInfo(program);
  closeFd(program);
  for (const id of maps) {
    const fd = bpf.openMapById(id);
    if (bpf.mapInfo(fd).name === name) return fd;
    closeFd(fd);
  }
  throw new Error(`program ${programId} has no map ${name}`);
}
