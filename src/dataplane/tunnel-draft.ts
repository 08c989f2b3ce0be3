/** A tunnel before it is in the table. */
import type { PlanServer, PlanVip } from './plan.js';

/** Everything that a new tunnel is made of; filled by the tracker, read by `create`. One instance per shard. */
export class TunnelDraft {
  vip!: PlanVip;
  server!: PlanServer;
  protocol = 0;
  hasPorts = true;
  a0 = 0;
  a1 = 0;
  a2 = 0;
  a3 = 0;
  clientPort = 0;
  /** The server asks and the client is to answer. */
  fromServer = false;
  /** What the request is known by while it is repeated: the assigned id, or something else where that is hidden. */
  requestKey = 0;
  clientChannel = 0;
  serverChannel = 0;
  virtualChannel = 0;
  /** Full NAT: index of the address that the server sees instead of the client's (a VIP's `localAddress`), −1 none. */
  localAddress = -1;
  /** Port that the server sees instead of the client's own, 0 none; with full NAT one of `localAddress`, never 0. */
  virtualPort = 0;
  /** Index of the address that the client sees the server's packets come from: the VIP's, or its `natAddress`. */
  shownAddress = 0;
  /** The server's packets do not pass here: there is no entry for them. */
  oneWay = false;
  clientNextHop = 0;
  serverNextHop = 0;
  denied = false;

  /** A new tunnel of this VIP's with the client of a key row; everything else is as it is for most. */
  begin(vip: PlanVip, protocol: number, hasPorts: boolean, keys: Int32Array, row: number): void {
    this.vip = vip;
    this.protocol = protocol;
    this.hasPorts = hasPorts;
    this.a0 = keys[row];
    this.a1 = keys[row + 1];
    this.a2 = keys[row + 2];
    this.a3 = keys[row + 3];
    this.clientPort = hasPorts ? keys[row + 4] >>> 16 : 0;
    this.fromServer = false;
    this.requestKey = 0;
    this.clientChannel = 0;
    this.serverChannel = 0;
    this.virtualChannel = 0;
    this.virtualPort = 0;
    this.localAddress = -1;
    this.shownAddress = vip.address;
    this.oneWay = false;
    this.denied = false;
  }
}
