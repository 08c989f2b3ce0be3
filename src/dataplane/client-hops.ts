/**
 * Where a packet for a client goes next: the host's routes decide, as for the host's own packets. An on-link client's
 * link-layer address is taken from the frame that asked, so that the first answer need not wait; the host's neighbour
 * table confirms or corrects it later (docs/decisions/0003).
 */
import type { NextHopTable } from '../flow/next-hop-table.js';
import { NEXT_HOP_STATE } from '../flow/layout.js';
import { type RouteSnapshot, RouteTable } from '../flow/route-table.js';
import { PORT_INSIDE } from '../io/port.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { DROP } from './drop-reasons.js';

/** Unresolved next hops remembered until the shard reports them. */
const UNRESOLVED_LIMIT = 1024;
const EMPTY: RouteSnapshot = {
  prefixes: new Int32Array(0),
  lengths: new Uint8Array(0),
  ports: new Uint8Array(0),
  gateways: new Int32Array(0),
};

export class ClientHops {
  #snapshot = EMPTY;
  #routes = new RouteTable(EMPTY);
  readonly #mac = new Uint8Array(6);
  /** Next hops to be resolved by the main thread; taken and emptied by the shard. */
  unresolved: number[] = [];

  constructor(readonly table: NextHopTable) {}

  setRoutes(snapshot: RouteSnapshot): void {
    this.#snapshot = snapshot;
    this.#routes = new RouteTable(snapshot);
  }

  /** The same for the client whose frame this is; its address begins the key row. */
  ofFrame(batch: Batch, i: number, nowSeconds: number): number {
    const { keys, bytes, columns } = batch;
    const row = i * KEY_STRIDE;
    const { offset, ingress } = columns;
    return this.find(keys[row], keys[row + 1], keys[row + 2], keys[row + 3], bytes, offset[i], ingress[i], nowSeconds);
  }

  /**
   * Next-hop index for a client, or −1 − drop reason (`no-route`, `next-hop-limit`). The caller holds the lock.
   * `frame` and `offset` are the frame that came from there (`ingress`), or null when there is none.
   */
  find(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    frame: Uint8Array | null,
    offset: number,
    ingress: number,
    nowSeconds: number,
  ): number {
    const row = this.#routes.lookup(a0, a1, a2, a3);
    if (row < 0) return -1 - DROP['no-route'];
    const port = this.#snapshot.ports[row];
    if (port > PORT_INSIDE) return -1 - DROP['no-route'];
    const g = this.#snapshot.gateways;
    const at = row * 4;
    const onLink = (g[at] | g[at + 1] | g[at + 2] | g[at + 3]) === 0;
    const h0 = onLink ? a0 : g[at];
    const h1 = onLink ? a1 : g[at + 1];
    const h2 = onLink ? a2 : g[at + 2];
    const h3 = onLink ? a3 : g[at + 3];
    let hop = this.table.find(port, h0, h1, h2, h3);
    if (hop < 0) {
      hop = this.table.ensure(port, h0, h1, h2, h3);
      if (hop < 0) return -1 - DROP['next-hop-limit'];
    }
    if (this.table.state(hop) !== NEXT_HOP_STATE.resolved) {
      if (onLink && frame !== null && ingress === port) {
        for (let b = 0; b < 6; b++) this.#mac[b] = frame[offset + 6 + b];
        this.table.setMac(hop, this.#mac, nowSeconds);
      }
      if (this.unresolved.length < UNRESOLVED_LIMIT) this.unresolved.push(hop);
    }
    return hop;
  }
}
