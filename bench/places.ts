/** Where VIPs listen and servers answer, as a table that somebody else has filled says it. */
import {
  CELL_WORDS,
  SERVER_CELL,
  SERVER_LIMIT,
  type TableMemory,
  VIP_CELL,
  VIP_LIMIT,
} from '#designator/flow/layout.js';

interface Place {
  /** Index of the address. */
  readonly address: number;
  readonly port: number;
}

export function placesOf(memory: TableMemory): { readonly vips: Place[]; readonly servers: Place[] } {
  return {
    vips: places(memory.vips, VIP_LIMIT, VIP_CELL),
    servers: places(memory.servers, SERVER_LIMIT, SERVER_CELL),
  };
}

/** Cells in use: where VIPs listen, where servers answer. */
function places(
  cells: Int32Array,
  limit: number,
  word: { readonly state: number; readonly address: number; readonly port: number },
): { address: number; port: number }[] {
  const used = Array.from({ length: limit }, (_, index) => index * CELL_WORDS).filter(
    (at) => cells[at + word.state] !== 0,
  );
  return used.map((at) => ({ address: cells[at + word.address], port: cells[at + word.port] & 0xffff }));
}
