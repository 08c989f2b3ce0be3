/** Table memory for tests: private, formatted, with a fixed hash seed. */
import { TableMemory, formatTable, tableLayout } from '../../src/flow/layout.js';

export const BOOT_ID = Int32Array.of(1, 2, 3, 4);

export function newMemory(connections: number, seed = 0x5eed): TableMemory {
  const memory = new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
  formatTable(memory, seed, BOOT_ID);
  return memory;
}

export function newSharedMemory(connections: number, seed = 0x5eed): TableMemory {
  const memory = new TableMemory(new SharedArrayBuffer(tableLayout(connections).length), connections);
  formatTable(memory, seed, BOOT_ID);
  return memory;
}

/** FUZZ_RUNS raises the count of property runs. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 200);

/** A small deterministic source of 32-bit numbers (xorshift). */
export function numbers(seed: number): () => number {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  };
}

/** Key of tunnel i as traffic has it: few VIPs, clients in sequence, small ids. */
export function realisticKey(i: number, keys: Int32Array, base: number): void {
  keys[base] = 0;
  keys[base + 1] = 0;
  keys[base + 2] = 0xffff;
  keys[base + 3] = 0x0a000000 + (i >>> 4);
  keys[base + 4] = (1701 << 16) | 1701;
  keys[base + 5] = i & 15;
  keys[base + 6] = (1 << 16) | (1 << 8) | 3;
}
