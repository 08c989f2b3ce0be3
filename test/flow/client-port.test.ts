/** Both ends' view of a client's port, from entries of either direction. */
import { expect, test } from 'vitest';
import { clientPortOf, virtualPortOf } from '../../src/flow/client-port.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import {
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  formatTable,
  TableMemory,
  tableLayout,
} from '../../src/flow/layout.js';

/** An entry with this port in its key, which orders these ports. */
function entry(keyPort: number, ports: number, flags: number): [ConnectionTable, number] {
  const memory = new TableMemory(new ArrayBuffer(tableLayout(16).length), 16);
  formatTable(memory, 1, new Int32Array(4));
  const table = new ConnectionTable(memory);
  const key = Int32Array.of(0, 0, 0xffff, 0x0a000001, keyPort << 16, 7, 3);
  return [table, table.insert(key, 0, 0, ports, 0, flags | FLAG_REWRITE_PORTS, 0)];
}

test.each([
  ['client → server, its own port', entry(1701, 1701, 0), 1701, 0],
  ['client → server, another shown', entry(1701, (40000 << 16) | 1701, 0), 1701, 40000],
  ['server → client, its own port', entry(1701, 1701 << 16, FLAG_REWRITE_SOURCE), 1701, 0],
  ['server → client, another shown', entry(40000, (1701 << 16) | 5000, FLAG_REWRITE_SOURCE), 5000, 40000],
])('%s', (_what, [table, slot], own, virtual) => {
  expect(clientPortOf(table, slot)).toBe(own);
  expect(virtualPortOf(table, slot)).toBe(virtual);
});
