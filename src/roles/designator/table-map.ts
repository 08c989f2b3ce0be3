/**
 * The table in a BPF array, which the XDP program reads. While the process lives, and after a crash, the tunnels are in
 * the map; an orderly end leaves them in the file that a table of AF_PACKET lives in, so that the next process finds
 * them whatever its adapter is.
 */
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import { DesignatorError } from '../../errors.js';
import { adoptTable, clearOffload } from '../../flow/adoption.js';
import { formatTable, HEADER, inspectTable, type TableCondition, TableMemory, tableLayout } from '../../flow/layout.js';
import type { NativeAddon } from '../../io/native.js';
import { asTableError, type OpenedTable, readBootId } from './table-file.js';

/** Why the table that a process left pinned cannot be gone on with, or null. */
export function refusalOf(condition: TableCondition, pin: string): DesignatorError | null {
  const advice = `Its tunnels are being forwarded now; \`designator unpin\` ends that and lets this version start anew (${pin}).`;
  switch (condition) {
    case 'other-layout':
      return new DesignatorError('TD_CONFLICT', `the pinned table has another layout than this version's. ${advice}`, {
        pin,
      });
    case 'other-size':
      return new DesignatorError(
        'TD_CONFLICT',
        `the pinned table has another size than table.connections asks for. ${advice}`,
        { pin },
      );
    default:
      return null;
  }
}

export interface TableMapOrder {
  readonly fd: number;
  readonly connections: number;
  /** Another process made the map: its program may be forwarding by it at this moment. */
  readonly found: boolean;
  readonly file: string;
  readonly pin: string;
}

/** Errors: TD_CONFLICT the map is of another layout or size. */
export function openTableMap(addon: NativeAddon, order: TableMapOrder): OpenedTable {
  const { fd, connections, file } = order;
  const { length } = tableLayout(connections);
  const memory = new TableMemory(addon.mapTable(fd, length), connections);
  const bootId = readBootId();
  const nowMs = Math.floor(addon.monotonicSeconds() * 1000) | 0;
  const opened = (story: string, tunnels: number): OpenedTable => {
    Atomics.add(memory.header, HEADER.generation, 1);
    return { memory, fd, length, file, adopted: tunnels, story };
  };
  const adopt = (whence: string): OpenedTable => {
    const found = adoptTable(memory, nowMs);
    const freed = found.freedEntries + found.freedRecords;
    return opened(
      `adopted ${found.tunnels} tunnels, ${found.sessions} sessions ${whence}; freed ${freed} half-written pieces`,
      found.tunnels,
    );
  };
  if (order.found) {
    const condition = inspectTable(memory, bootId);
    const refusal = refusalOf(condition, order.pin);
    if (refusal !== null) throw refusal;
    if (condition === 'adoptable') return adopt('that the kernel went on forwarding');
  } else {
    const whence = restore(memory, file, bootId);
    if (whence === null) return adopt('of the process before');
    formatTable(memory, randomInt(0x7fffffff), bootId);
    return opened(whence, 0);
  }
  formatTable(memory, randomInt(0x7fffffff), bootId);
  return opened('new table: the pinned one was never used', 0);
}

/** Copies the file's tunnels into the memory: null, or why there are none. The file is empty afterwards. */
function restore(memory: TableMemory, file: string, bootId: Int32Array): string | null {
  const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return 'new table';
  try {
    if (size !== memory.layout.length) return `new table: ${file} was of another size`;
    const bytes = fs.readFileSync(file);
    const old = new TableMemory(
      bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + size),
      memory.layout.connections,
    );
    const condition = inspectTable(old, bootId);
    if (condition === 'other-layout') return `new table: ${file} has another layout`;
    if (condition === 'other-boot') return 'new table: the old one is of another boot';
    if (condition !== 'adoptable') return 'new table';
    new Uint8Array(memory.buffer, 0, size).set(new Uint8Array(old.buffer));
    return null;
  } finally {
    // What it holds grows old from now on, and must not be taken for the truth by anybody.
    fs.truncateSync(file, 0);
  }
}

/**
 * Leaves the tunnels for the next process: the same file, whatever adapter it has. Errors: as `openTableFile`, also when
 * the disk is full; then the file is as empty as before.
 */
export function saveTable(addon: NativeAddon, memory: TableMemory, file: string): void {
  const { length } = memory.layout;
  let fd: number;
  try {
    ({ fd } = addon.openTable(file, length));
  } catch (cause) {
    throw asTableError(cause as NodeJS.ErrnoException, file, length);
  }
  try {
    const copy = addon.mapTable(fd, length);
    new Uint8Array(copy).set(new Uint8Array(memory.buffer, 0, length));
    addon.unmapTable(copy);
  } finally {
    addon.closeFd(fd);
  }
}

/**
 * Brings the tunnels of a pinned table into the table file's fresh memory: a process with another adapter goes on where one
 * with XDP was killed. `pinned` is not written any more. Errors: TD_CONFLICT another layout or size.
 */
export function importPinned(
  addon: NativeAddon,
  opened: OpenedTable,
  pinned: { readonly fd: number; readonly length: number },
  pin: string,
): OpenedTable {
  const { memory, length } = opened;
  if (pinned.length !== length) throw refusalOf('other-size', pin) as DesignatorError;
  const copy = addon.mapTable(pinned.fd, length);
  const old = new TableMemory(copy, memory.layout.connections);
  try {
    const condition = inspectTable(old, readBootId());
    const refusal = refusalOf(condition, pin);
    if (refusal !== null) throw refusal;
    if (condition !== 'adoptable') return opened;
    new Uint8Array(memory.buffer, 0, length).set(new Uint8Array(copy));
  } finally {
    addon.unmapTable(copy);
  }
  Atomics.add(memory.header, HEADER.generation, 1);
  clearOffload(memory);
  const found = adoptTable(memory, Math.floor(addon.monotonicSeconds() * 1000) | 0);
  const story = `adopted ${found.tunnels} tunnels, ${found.sessions} sessions that the kernel went on forwarding, which it does no more`;
  return { ...opened, adopted: found.tunnels, story };
}
