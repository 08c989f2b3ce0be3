import { describe, expect, it } from 'vitest';
import { HEADER, SHARD_LIMIT } from '../../src/flow/layout.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { newMemory, newSharedMemory } from './memory.js';
import { inThread } from './thread.js';

describe('spin lock', () => {
  it('keeps two threads apart', async () => {
    const memory = newSharedMemory(4);
    const rounds = 100_000;
    const cell = 20;
    await Promise.all(
      [0, 1].map((shard) =>
        inThread(new URL('spin-lock.thread.ts', import.meta.url), {
          buffer: memory.buffer,
          connections: 4,
          shard,
          rounds,
          cell,
        }),
      ),
    );
    expect(memory.records[cell]).toBe(2 * rounds);
    expect(memory.header[HEADER.lock]).toBe(0);
  });

  it('tells who holds it, with the generation of the process', () => {
    const memory = newMemory(4);
    memory.header[HEADER.generation] = 7;
    const lock = new SpinLock(memory);
    expect(lock.holder()).toBe(-1);
    lock.acquire(SHARD_LIMIT);
    expect(lock.holder()).toBe(SHARD_LIMIT);
    expect(memory.header[HEADER.lock]).toBe((SHARD_LIMIT + 1) | (7 << 8));
    expect(lock.release(3)).toBe(false);
    expect(lock.release(SHARD_LIMIT)).toBe(true);
    expect(lock.holder()).toBe(-1);
  });

  it('is taken from a dead shard, and from no other, and the dead one cannot give it back any more', () => {
    const memory = newMemory(4);
    const lock = new SpinLock(memory);
    lock.acquire(2);
    expect(lock.repair(1)).toBe(false);
    expect(lock.repair(2)).toBe(true);
    expect(lock.repair(2)).toBe(false);
    expect(memory.header[HEADER.lockRepairs]).toBe(1);
    lock.acquire(1);
    expect(lock.release(2)).toBe(false);
    expect(lock.holder()).toBe(1);
    expect([lock.adopt(), lock.adopt(), memory.header[HEADER.lockRepairs]]).toEqual([true, false, 2]);
  });

  it('passes from a dead shard to the supervisor without being free in between', () => {
    const memory = newMemory(4);
    const lock = new SpinLock(memory);
    lock.acquire(2);
    expect(lock.takeOver(1, SHARD_LIMIT)).toBe(false);
    expect(lock.takeOver(2, SHARD_LIMIT)).toBe(true);
    expect([lock.holder(), memory.header[HEADER.lockRepairs]]).toEqual([SHARD_LIMIT, 1]);
    expect([lock.release(2), lock.release(SHARD_LIMIT), lock.takeOver(2, SHARD_LIMIT)]).toEqual([false, true, false]);
  });

  it('gives up, naming the holder, when the lock is not had within the deadline', () => {
    const memory = newMemory(4);
    const lock = new SpinLock(memory, 5);
    lock.acquire(3);
    expect(() => lock.acquire(0)).toThrow('held by shard 3');
  });
});
