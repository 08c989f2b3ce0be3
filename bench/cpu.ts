/**
 * CPU time that a contestant costs: all threads of its processes, the NAPI threads of both of its interfaces, and the
 * soft-interrupt thread of its CPU (DESIGN §8, "Accounting of a benchmark"). Nanoseconds from /proc/…/schedstat.
 */
import { readdirSync, readFileSync } from 'node:fs';

function onCpu(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[0]);
  } catch {
    return 0; // it has ended
  }
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}/schedstat`);
  } catch {
    return [];
  }
}

/** CPU time of one thread so far. */
export const threadNanos = (pid: number, thread: number): number => onCpu(`/proc/${pid}/task/${thread}/schedstat`);

/** Kernel threads whose name begins so. */
export function kernelThreads(prefix: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith(prefix);
      } catch {
        return false;
      }
    });
}

export class CpuAccount {
  constructor(
    readonly processes: readonly number[],
    readonly kernel: readonly number[],
  ) {}

  nanos(): number {
    let sum = 0;
    for (const pid of this.processes) for (const file of threads(pid)) sum += onCpu(file);
    for (const pid of this.kernel) sum += onCpu(`/proc/${pid}/schedstat`);
    return sum;
  }
}
