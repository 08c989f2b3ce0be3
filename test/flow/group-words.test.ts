import { expect, test } from 'vitest';
import { GroupWords } from '../../src/flow/group-words.js';
import { formatTable, GROUP, GROUP_INSIDE, GROUP_OUTSIDE, TableMemory, tableLayout } from '../../src/flow/layout.js';

const memory = (): TableMemory => {
  const made = new TableMemory(new SharedArrayBuffer(tableLayout(64).length), 64);
  formatTable(made, 1, new Int32Array(4));
  return made;
};
const MAC = Uint8Array.of(0x02, 0x54, 0x44, 0x01, 0xfe, 0x00);

test('every number of the 255 has a bit of its own, and the sides have words of their own', () => {
  const table = memory();
  const outside = new GroupWords(table, 'outside');
  const inside = new GroupWords(table, 'inside');
  outside.begin(MAC);
  for (let number = 1; number <= 255; number++) {
    outside.hold(number, true);
    for (let other = 0; other <= 255; other++) expect(outside.holds(other)).toBe(other === number);
    expect(inside.holds(number)).toBe(false);
    outside.hold(number, false);
  }
  expect(table.xdp[GROUP_OUTSIDE + GROUP.macHigh]).toBe(0x02544401);
  expect(table.xdp[GROUP_OUTSIDE + GROUP.macLow]).toBe(0xfe);
  expect(table.xdp[GROUP_INSIDE + GROUP.macHigh]).toBe(0);
});

test('peers are bytes in their order; clear leaves nothing', () => {
  const table = memory();
  const words = new GroupWords(table, 'inside');
  words.begin(MAC);
  words.setPeers(7, [1, 2, 255, 4, 5]);
  const at = GROUP_INSIDE + GROUP.peers;
  expect(table.xdp[GROUP_INSIDE + GROUP.own]).toBe(7);
  expect([...table.xdp.subarray(at, at + 4)].map((word) => word >>> 0)).toEqual([0x04ff0201, 5, 0, 0]);
  words.hold(9, true);
  words.clear();
  expect([...table.xdp.subarray(GROUP_INSIDE, GROUP_INSIDE + 16)]).toEqual(new Array(16).fill(0));
});
