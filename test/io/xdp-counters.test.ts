import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { NativeBpf } from '../../src/io/native.js';
import { readXdpCounters, XDP_COUNTER, XDP_COUNTER_COUNT, xdpTotals } from '../../src/io/xdp-counters.js';

const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
const header = readFileSync(new URL('../../native/bpf/counters.h', import.meta.url), 'utf8');

describe('native/bpf/counters.h', () => {
  test('says the same as xdp-counters.ts', () => {
    const inC = [...header.matchAll(/^#define TD_COUNTER_(\w+) (\d+)$/gm)].map(([, name, value]) => [
      name,
      Number(value),
    ]);
    expect(inC).toEqual(Object.entries(XDP_COUNTER).map(([name, index]) => [snake(name), index]));
    expect(header).toContain(`#define TD_COUNTERS ${XDP_COUNTER_COUNT}\n`);
  });
  test('indices are 0 … count − 1, each once', () => {
    expect(Object.values(XDP_COUNTER)).toEqual(Array.from({ length: XDP_COUNTER_COUNT }, (_, index) => index));
  });
});

describe('reading', () => {
  /** Every counter has 10^index on its first CPU and 1 on its second. */
  const bpf = {
    possibleCpus: () => 2,
    lookUp: (_map: number, key: Uint8Array, length: number) => {
      expect(length).toBe(16);
      const value = new DataView(new ArrayBuffer(length));
      const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
      value.setBigUint64(0, 10n ** BigInt(index), true);
      value.setBigUint64(8, 1n, true);
      return index === 17 ? null : new Uint8Array(value.buffer);
    },
  } as unknown as NativeBpf;

  test('adds up the CPUs; a counter that an older program lacks is 0', () => {
    const counters = readXdpCounters(bpf, 3);
    expect(counters).toHaveLength(XDP_COUNTER_COUNT);
    expect(counters.slice(0, 8)).toEqual([2, 11, 101, 1001, 10001, 100001, 1000001, 10000001]);
    expect(counters[17]).toBe(0);
  });
  test('totals', () => {
    expect(xdpTotals([1, 2, 4, 8, 16, 32, 64, 128, ...new Array(11).fill(0)])).toEqual({
      packetsIn: 7,
      packetsOut: 56,
      bytesIn: 64,
      bytesOut: 128,
      redirected: [9, 18],
      transmitted: 36,
    });
  });
});
