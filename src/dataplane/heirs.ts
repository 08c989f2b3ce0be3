/**
 * Servers whose tunnels, or some of them, a peer has taken over: what the old one still sends in their name is not of an
 * unknown tunnel, and must not reach the client beside what the heir sends. Asked only about packets that no entry leads
 * to, so it costs a known tunnel nothing.
 */
import type { ConnectionTable } from '../flow/connection-table.js';
import { KEY_WORDS } from '../flow/layout.js';

/** Word of a key that holds address index << 16 | protocol << 8 | table. */
const TAG = 6;

export class Heirs {
  /** Address index of a server → those of its heirs. */
  readonly #of = new Map<number, number[]>();
  readonly #key = new Int32Array(KEY_WORDS + 1);

  constructor(readonly table: ConnectionTable) {}

  /** Address indices. An heir at the same address is told apart by nobody. */
  add(server: number, heir: number): void {
    if (server === heir) return;
    const heirs = this.#of.get(server) ?? [];
    if (!heirs.includes(heir)) this.#of.set(server, [...heirs, heir]);
  }

  /** The key `keys[base …]` of a server's packet finds nothing: would it, if an heir had sent the packet? */
  have(keys: Int32Array, base: number): boolean {
    if (this.#of.size === 0) return false;
    const heirs = this.#of.get(keys[base + TAG] >>> 16);
    if (heirs === undefined) return false;
    const key = this.#key;
    for (let w = 0; w < TAG; w++) key[w] = keys[base + w];
    for (const heir of heirs) {
      key[TAG] = (heir << 16) | (keys[base + TAG] & 0xffff);
      if (this.table.find(key, 0) >= 0) return true;
    }
    return false;
  }
}
