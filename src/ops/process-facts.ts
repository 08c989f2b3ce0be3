/**
 * What the kernel and V8 say about this process, read from /proc and node:v8, so that a metric costs no global state.
 * An absent or odd /proc (another system, a tight container) makes a fact null and never an error.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';

/** The unit of utime and stime in /proc/self/stat: USER_HZ, 100 on every architecture that Linux runs Node on. */
const CLOCK_TICKS_PER_SECOND = 100;

export interface ProcessFacts {
  readonly cpuSeconds: number | null;
  readonly residentBytes: number | null;
  readonly openFileDescriptors: number | null;
  readonly heapUsedBytes: number;
  readonly heapLimitBytes: number;
}

export function readProcessFacts(): ProcessFacts {
  const heap = getHeapStatistics();
  return {
    cpuSeconds: attempt(() => parseCpuSeconds(readFileSync('/proc/self/stat', 'latin1'))),
    residentBytes: attempt(() => parseResidentBytes(readFileSync('/proc/self/status', 'latin1'))),
    openFileDescriptors: attempt(() => readdirSync('/proc/self/fd').length),
    heapUsedBytes: heap.used_heap_size,
    heapLimitBytes: heap.heap_size_limit,
  };
}

/** proc(5): utime and stime are fields 14 and 15; the command in field 2 may itself hold spaces and brackets. */
export function parseCpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

export function parseResidentBytes(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function attempt(read: () => number): number | null {
  try {
    const value = read();
    return Number.isFinite(value) ? value : null;
  } catch {
    return null;
  }
}
