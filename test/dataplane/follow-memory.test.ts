/** The memory of what clients do with answers from another address. */
import { describe, expect, test } from 'vitest';
import { FOLLOW, FOLLOW_WORDS } from '../../src/dataplane/follow-class.js';
import { FollowMemory } from '../../src/dataplane/follow-memory.js';

describe('the classes of clients', () => {
  test('every class has its word', () => {
    expect(Object.keys(FOLLOW)).toEqual([...FOLLOW_WORDS]);
    expect(Object.values(FOLLOW)).toEqual([0, 1, 2, 3]);
  });

  test('a client has a class for each VIP, and changes it', () => {
    const memory = new FollowMemory();
    expect(memory.classOf(3, 0, 0, 0xffff, 9)).toBe(FOLLOW.unknown);
    expect(memory.set(3, 0, 0, 0xffff, 9, FOLLOW.follows)).toBe(FOLLOW.unknown);
    expect(memory.set(4, 0, 0, 0xffff, 9, FOLLOW.refuses)).toBe(FOLLOW.unknown);
    expect([memory.classOf(3, 0, 0, 0xffff, 9), memory.classOf(4, 0, 0, 0xffff, 9)]).toEqual([1, 3]);
    expect(memory.set(3, 0, 0, 0xffff, 9, FOLLOW.carried)).toBe(FOLLOW.follows);
    expect([1, 2, 3].map((follow) => memory.count(3, follow))).toEqual([0, 1, 0]);
    expect(memory.set(3, 0, 0, 0xffff, 9, FOLLOW.unknown)).toBe(FOLLOW.carried);
    expect([1, 2, 3].map((follow) => memory.count(3, follow))).toEqual([0, 0, 0]);
  });

  test('of more clients than the limit the one that was seen longest ago is forgotten, and counted', () => {
    const memory = new FollowMemory(2);
    memory.set(12, 0, 0, 0xffff, 1, FOLLOW.follows);
    memory.set(12, 0, 0, 0xffff, 2, FOLLOW.carried);
    memory.set(12, 0, 0, 0xffff, 1, FOLLOW.follows);
    memory.set(12, 0, 0, 0xffff, 3, FOLLOW.refuses);
    expect([1, 2, 3].map((client) => memory.classOf(12, 0, 0, 0xffff, client))).toEqual([1, 0, 3]);
    expect([1, 2, 3].map((follow) => memory.count(12, follow))).toEqual([1, 0, 1]);
    expect(memory.forgotten).toBe(1);
  });
});
