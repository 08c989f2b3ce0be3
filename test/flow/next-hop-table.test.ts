import { describe, expect, it } from 'vitest';
import { HEADER, NEXT_HOP, NEXT_HOP_STATE, NEXT_HOP_WORDS } from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { newMemory } from './memory.js';

const MAC = Uint8Array.of(0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54);

describe('next-hop table', () => {
  it('enters a neighbour once and shows it to other threads', () => {
    const memory = newMemory(4);
    const table = new NextHopTable(memory);
    expect(table.find(0, 0, 0, 0xffff, 0x0a000001)).toBe(-1);
    const index = table.ensure(0, 0, 0, 0xffff, 0x0a000001);
    expect(index).toBeGreaterThan(0);
    expect(table.ensure(0, 0, 0, 0xffff, 0x0a000001)).toBe(index);
    const elsewhere = table.ensure(1, 0, 0, 0xffff, 0x0a000001);
    expect(elsewhere).not.toBe(index);
    const other = new NextHopTable(memory);
    expect([other.find(0, 0, 0, 0xffff, 0x0a000001), other.find(1, 0, 0, 0xffff, 0x0a000001)]).toEqual([
      index,
      elsewhere,
    ]);
    expect([other.port(index), other.port(elsewhere), other.state(index)]).toEqual([0, 1, NEXT_HOP_STATE.unresolved]);
    expect([0, 1, 2, 3].map((w) => other.addressWord(index, w))).toEqual([0, 0, 0xffff, 0x0a000001]);
    expect(table.count()).toBe(2);
    const seen: number[] = [];
    table.forEach((i) => seen.push(i));
    expect(seen.toSorted()).toEqual([index, elsewhere].toSorted());
  });

  it('keeps the MAC in the words that the rewriter reads', () => {
    const memory = newMemory(4);
    const table = new NextHopTable(memory);
    const index = table.ensure(1, 0xfe800000, 0, 0, -1);
    const out = new Uint8Array(6).fill(0xa5);
    expect([table.mac(index, out), ...out]).toEqual([false, 0, 0, 0, 0, 0, 0]);
    expect(table.setMac(index, MAC, 12.7)).toBe(true);
    const at = index * NEXT_HOP_WORDS;
    expect(memory.nextHops[at + NEXT_HOP.macHigh] >>> 0).toBe(0xfedcba98);
    expect(memory.nextHops[at + NEXT_HOP.macLow] >>> 0).toBe(0x76540102);
    expect(memory.nextHops[at + NEXT_HOP.version] & 1).toBe(0);
    expect([table.mac(index, out), ...out]).toEqual([true, ...MAC]);
    expect([table.confirmed(index), table.port(index), table.state(index)]).toEqual([12, 1, NEXT_HOP_STATE.resolved]);
    expect(table.setUnresolved(index)).toBe(true);
    expect([table.mac(index, out), table.port(index), table.state(index)]).toEqual([
      false,
      1,
      NEXT_HOP_STATE.unresolved,
    ]);
    expect(table.find(1, 0xfe800000, 0, 0, -1)).toBe(index);
  });

  it('leaves a neighbour alone that another thread is writing', () => {
    const memory = newMemory(4);
    const table = new NextHopTable(memory);
    const index = table.ensure(0, 0, 0, 0xffff, 7);
    memory.nextHops[index * NEXT_HOP_WORDS + NEXT_HOP.version]++;
    expect([table.setMac(index, MAC, 1), table.setUnresolved(index)]).toEqual([false, false]);
    expect(table.state(index)).toBe(NEXT_HOP_STATE.unresolved);
  });

  it('holds tens of thousands of neighbours, and says when there is no room', () => {
    const table = new NextHopTable(newMemory(4));
    const count = 40_000;
    const indices = new Set<number>();
    for (let i = 0; i < count; i++) indices.add(table.ensure(0, 0, 0, 0xffff, 0x0a000000 + i));
    expect(indices.has(-1)).toBe(false);
    expect(indices.has(0)).toBe(false);
    expect(indices.size).toBe(count);
    for (let i = 0; i < count; i += 97) expect(indices.has(table.find(0, 0, 0, 0xffff, 0x0a000000 + i))).toBe(true);
    let refused = 0;
    for (let i = count; i < 70_000; i++) if (table.ensure(0, 0, 0, 0xffff, 0x0a000000 + i) < 0) refused++;
    expect(refused).toBeGreaterThanOrEqual(70_000 - 65_535);
    expect(table.count()).toBe(70_000 - refused);
  });

  it('is put in order after a crash in the middle of a change', () => {
    const memory = newMemory(4);
    const table = new NextHopTable(memory);
    const whole = table.ensure(0, 0, 0, 0xffff, 1);
    const torn = table.ensure(0, 0, 0, 0xffff, 2);
    table.setMac(whole, MAC, 1);
    table.setMac(torn, MAC, 1);
    memory.nextHops[torn * NEXT_HOP_WORDS + NEXT_HOP.version]++;
    const half = 60_001; // an entry that was claimed and not yet published
    memory.nextHops[half * NEXT_HOP_WORDS + NEXT_HOP.version] = 1;
    memory.header[HEADER.nextHopsUsed] = 0;
    expect(table.adopt()).toEqual({ kept: 2, repaired: 2 });
    expect([table.count(), table.state(whole), table.state(torn), table.state(half)]).toEqual([
      2,
      NEXT_HOP_STATE.resolved,
      NEXT_HOP_STATE.unresolved,
      NEXT_HOP_STATE.free,
    ]);
    expect(table.adopt()).toEqual({ kept: 2, repaired: 0 });
  });
});
