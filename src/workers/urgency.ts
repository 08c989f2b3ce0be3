/**
 * A shard's thread must not wait for anybody else in the process: frames wait meanwhile, and a ring holds a few
 * milliseconds of them. Measured with the main thread and a shard on one CPU: garbage collections of heaps that only shrank
 * stopped forwarding for 20 to 50 ms each.
 */
import { constants, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/** Before the first thread starts: no collections whose only gain is a smaller heap while nothing is allocated. */
export function keepHeapsQuiet(): void {
  setFlagsFromString('--no-memory-reducer');
}

/**
 * Gives a thread five times the share of a CPU that the others of the process get, and the CPU as soon as it has something
 * to do. False where the process may not (CAP_SYS_NICE); it then runs as any other.
 */
export function makeUrgent(threadId: number): boolean {
  try {
    setPriority(threadId, constants.priority.PRIORITY_ABOVE_NORMAL);
    return true;
  } catch {
    return false;
  }
}
