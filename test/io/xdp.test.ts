/** What the kernel's refusals become, and what a port's errors say; test/e2e/xsk.test.ts has the sockets themselves. */
import { describe, expect, test, vi } from 'vitest';
import type { NativeAddon, XskRingOptions, XskSetOptions } from '../../src/io/native.js';
import { openXdpPort, openXskSet } from '../../src/io/xdp.js';
import { newCounters, NO_TABLE, PORTS } from '../helpers/offline-port.js';

const kernel = vi.hoisted(() => ({
  refusal: null as Error | null,
  made: [] as unknown[],
  closed: 0,
}));

vi.mock(import('../../src/io/native.js'), async (original) => {
  const real = await original();
  class XskSet {
    readonly handle = 5;
    constructor(options: unknown) {
      if (kernel.refusal !== null) throw kernel.refusal;
      kernel.made.push(options);
    }
  }
  class XskRing {
    readonly frames = new ArrayBuffer(64);
    readonly columns = { offset: new Int32Array(1) };
    readonly scratchOffset = 32;
    readonly said: unknown[] = [];
    turn(...words: number[]): number {
      if (kernel.refusal !== null) throw kernel.refusal;
      this.said.push(words);
      return 7;
    }
    rewrite(...words: number[]): void {
      kernel.made.push(words);
    }
    statistics() {
      return { received: 3, lost: 1 };
    }
    close(): void {
      kernel.closed++;
    }
  }
  return { ...real, native: () => ({ XskSet, XskRing }) as unknown as NativeAddon };
});

const SET: XskSetOptions = {
  devices: [{ name: 'wan0', queues: 2 }],
  shards: 1,
  chunkLength: 2048,
  framesPerQueue: 512,
  copy: 'auto',
};
const RING: XskRingOptions = {
  handle: 5,
  shard: 0,
  table: NO_TABLE,
  counters: newCounters(),
  ports: PORTS,
  clock: new Float64Array(1),
};
const systemError = (code: string): Error => Object.assign(new Error(`bind to wan0 queue 1: ${code}`), { code });

function refused(refusal: Error, call: () => unknown): unknown {
  kernel.refusal = refusal;
  try {
    call();
  } catch (error) {
    return error;
  } finally {
    kernel.refusal = null;
  }
  throw new Error('nothing was thrown');
}

describe('opening the sockets', () => {
  test('gives the options to the addon as they are', () => {
    expect(openXskSet(SET).handle).toBe(5);
    expect(kernel.made.at(-1)).toBe(SET);
  });

  test.each([
    ['EPERM', 'TD_NO_PERMISSION', 77, /CAP_NET_RAW/],
    ['EACCES', 'TD_NO_PERMISSION', 77, /CAP_NET_RAW/],
    ['ENODEV', 'TD_CONFIG', 78, /wan0/],
    ['EBUSY', 'TD_CONFLICT', 69, /another process/],
    ['ENOMEM', 'TD_UNAVAILABLE', 69, /locked memory/],
    ['ENOBUFS', 'TD_UNAVAILABLE', 69, /locked memory/],
    ['EOPNOTSUPP', 'TD_UNAVAILABLE', 69, /zero-copy/],
    ['EINVAL', 'TD_UNAVAILABLE', 69, /AF_XDP/],
  ])('%s is %s', (code, expected, exitStatus, message) => {
    const cause = systemError(code);
    const error = refused(cause, () => openXskSet(SET));
    expect(error).toMatchObject({ name: 'DesignatorError', code: expected, exitStatus, cause });
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(cause.message);
  });

  test('a wrong option is a mistake in the program and stays what it is', () => {
    const mistake = new RangeError('shards: at least 1');
    expect(refused(mistake, () => openXskSet(SET))).toBe(mistake);
  });
});

describe("a shard's port", () => {
  test('passes on what it is asked', () => {
    const port = openXdpPort(RING, 'xdp-native copy');
    expect(port).toMatchObject({ kind: 'xdp', description: 'xdp-native copy', scratchOffset: 32, clock: RING.clock });
    expect(port.frames.byteLength).toBe(64);
    expect(port.turn(1, 2, 3)).toBe(7);
    port.rewrite(4, 5);
    expect(kernel.made.at(-1)).toEqual([4, 5]);
    expect(port.statistics()).toEqual({ received: 3, lost: 1 });
    port.close();
    expect(kernel.closed).toBe(1);
  });

  test('an interface that has gone ends the port, anything else stays what it is', () => {
    const port = openXdpPort(RING, 'xdp');
    const gone = systemError('ENODEV');
    const turn = (): number => port.turn(0, 0, 0);
    expect(refused(gone, turn)).toMatchObject({ code: 'TD_UNAVAILABLE', cause: gone });
    const closed = systemError('EBADF');
    expect(refused(closed, turn)).toBe(closed);
    expect(turn()).toBe(7);
  });
});
