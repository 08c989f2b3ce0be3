import { describe, expect, it } from 'vitest';
import { AddressTable } from '../../src/flow/address-table.js';
import { ADDRESS_LIMIT, ADDRESS_ROLE } from '../../src/flow/layout.js';
import { newMemory, numbers } from './memory.js';

describe('address table', () => {
  it('has every address once, with all its roles, and forgets it with the last one', () => {
    const memory = newMemory(4);
    const table = new AddressTable(memory);
    const vip = table.ensure(0, 0, 0xffff, 0xc8c86401, ADDRESS_ROLE.vip);
    const six = table.ensure(0x20010db8, 0, 0, 0xffffffff, ADDRESS_ROLE.server);
    expect(table.ensure(0, 0, 0xffff, 0xc8c86401, ADDRESS_ROLE.server)).toBe(vip);
    expect([table.family(vip), table.family(six), table.role(vip)]).toEqual([
      4,
      6,
      ADDRESS_ROLE.vip | ADDRESS_ROLE.server,
    ]);
    expect([0, 1, 2, 3].map((w) => table.word(six, w) >>> 0)).toEqual([0x20010db8, 0, 0, 0xffffffff]);
    expect(table.indexOf(0, 0, 0xffff, 0xc8c86401)).toBe(-1);
    table.refresh();
    expect(table.indexOf(0, 0, 0xffff, 0xc8c86401)).toBe(vip);
    expect(table.indexOf(0x20010db8, 0, 0, -1)).toBe(six);
    expect(table.indexOf(0, 0, 0xffff, 0xc8c86402)).toBe(-1);
    expect(new AddressTable(memory).indexOf(0, 0, 0xffff, 0xc8c86401)).toBe(vip);
    expect([table.release(vip, ADDRESS_ROLE.vip), table.release(vip, ADDRESS_ROLE.server)]).toEqual([false, true]);
    expect(table.find(0, 0, 0xffff, 0xc8c86401)).toBe(-1);
    expect(table.ensure(0, 0, 0xffff, 1, ADDRESS_ROLE.vip)).toBe(vip);
  });

  it('holds as many as the segment has, tells them all apart, and then refuses', () => {
    const memory = newMemory(4);
    const table = new AddressTable(memory);
    const next = numbers(5);
    const words = Array.from({ length: ADDRESS_LIMIT }, () => [next(), next() & 1, next() & 1, next()] as const);
    // Written straight into the segment: `ensure` looks through it all each time.
    words.forEach((w, i) => memory.addresses.set([...w, 6, ADDRESS_ROLE.server], i * 8));
    table.refresh();
    expect(words.every((w, i) => table.indexOf(...w) === i)).toBe(true);
    expect(table.ensure(1, 2, 3, 4, ADDRESS_ROLE.vip)).toBe(-1);
    expect(table.ensure(...words[77], ADDRESS_ROLE.vip)).toBe(77);
  });
});
