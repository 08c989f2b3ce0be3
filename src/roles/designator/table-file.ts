/**
 * The table's memory: a file in the run directory (beside the control socket), so that it outlives the process. A new
 * process adopts what it finds when layout, size and boot are the same, and says clearly when they are not.
 */
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '../../errors.js';
import { adoptTable, clearOffload } from '../../flow/adoption.js';
import { formatTable, HEADER, inspectTable, LAYOUT_VERSION, TableMemory, tableLayout } from '../../flow/layout.js';
import type { NativeAddon } from '../../io/native.js';

export interface OpenedTable {
  readonly memory: TableMemory;
  readonly fd: number;
  readonly length: number;
  readonly file: string | null;
  /** Tunnels found, 0 for a new table. */
  readonly adopted: number;
  /** For the log: what happened to the memory. */
  readonly story: string;
}

/** /run/designator/control.sock → /run/designator/control.table */
export function tableFile(socket: string): string {
  return path.join(path.dirname(socket), `${path.basename(socket).replace(/\.sock$/, '')}.table`);
}

/** /run/designator/control.vlan: devices whose rx-vlan-offload a process has turned off. */
export function tagFile(socket: string): string {
  return tableFile(socket).replace(/\.table$/, '.vlan');
}

/** Errors: TD_CONFLICT a living process has it; TD_NO_PERMISSION; TD_UNAVAILABLE no memory or no directory. */
export function openTableFile(addon: NativeAddon, file: string | null, connections: number): OpenedTable {
  const { length } = tableLayout(connections);
  let story = 'new table';
  let fd: number;
  let buffer: ArrayBuffer;
  try {
    if (file !== null) fs.mkdirSync(path.dirname(file), { recursive: true });
    const old = file === null ? undefined : fs.statSync(file, { throwIfNoEntry: false });
    if (file !== null && old !== undefined && old.size !== 0 && old.size !== length) {
      // Opened at its own size first: a table that a living process holds is locked, and must stay.
      addon.closeFd(addon.openTable(file, old.size).fd);
      story = `new table: ${file} was of another size`;
      fs.rmSync(file);
    }
    ({ fd } = addon.openTable(file, length));
    buffer = addon.mapTable(fd, length);
  } catch (cause) {
    throw asTableError(cause as NodeJS.ErrnoException, file, length);
  }
  const memory = new TableMemory(buffer, connections);
  const bootId = readBootId();
  const condition = inspectTable(memory, bootId);
  if (condition === 'adoptable') {
    const nowMs = Math.floor(addon.monotonicSeconds() * 1000) | 0;
    Atomics.add(memory.header, HEADER.generation, 1);
    clearOffload(memory); // this table is no XDP program's
    const found = adoptTable(memory, nowMs);
    const freed = found.freedEntries + found.freedRecords;
    story = `adopted ${found.tunnels} tunnels, ${found.sessions} sessions; freed ${freed} half-written pieces`;
    return { memory, fd, length, file, adopted: found.tunnels, story };
  }
  if (condition === 'other-layout') story = `new table: ${file} has another layout than version ${LAYOUT_VERSION}`;
  if (condition === 'other-boot') story = 'new table: the old one is of another boot';
  formatTable(memory, randomInt(0x7fffffff), bootId);
  memory.header[HEADER.generation] = 1;
  return { memory, fd, length, file, adopted: 0, story };
}

/** An errno of the table's file or memory as something that an operator can act on. */
export function asTableError(cause: NodeJS.ErrnoException, file: string | null, length: number): DesignatorError {
  const facts = { file, length };
  switch (cause.code) {
    case 'EAGAIN':
      return new DesignatorError('TD_CONFLICT', `another designator uses the table ${file}`, facts, cause);
    case 'EACCES':
    case 'EPERM':
      return new DesignatorError(
        'TD_NO_PERMISSION',
        `the table ${file} cannot be made: ${cause.message}`,
        facts,
        cause,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new DesignatorError(
        'TD_UNAVAILABLE',
        file === null
          ? `no memory for the connection table (${length} bytes)`
          : `no room for the table ${file} (${length} bytes): make room there, move it with control.socket, or lower table.connections`,
        facts,
        cause,
      );
    default:
      return new DesignatorError(
        'TD_UNAVAILABLE',
        `no memory for the connection table (${length} bytes): ${cause.message}`,
        facts,
        cause,
      );
  }
}

export function readBootId(): Int32Array {
  const words = new Int32Array(4);
  const text = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').replace(/[^0-9a-f]/g, '');
  for (let i = 0; i < 4; i++) words[i] = Number.parseInt(text.slice(i * 8, i * 8 + 8), 16) | 0;
  return words;
}
