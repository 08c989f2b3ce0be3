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
  clientNextHop = 0;
  serverNextHop = 0;
  denied = false;
}
