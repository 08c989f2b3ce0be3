/**
 * Connection state as it travels between designators: records of 32-bit words, one for a tunnel and one for each of its
 * sessions. A tunnel's holds what `show tunnels` prints, what an observer needs to go on with the dialogue, and what the
 * keys of its entries are made of; VIP and server stand there by the hash of their names, since each machine numbers
 * them in its own way. What changes with every packet (counters, last seen) is not among it and travels apart.
 *
 * A record whose first word is 0 is free. Times are seconds of the stream's clock, which its writers hand on.
 */

export const TUNNEL_RECORD = {
  /** TUNNEL_RECORD_FLAG bits << 16 | protocol << 8 | RECORD_STATE */
  state: 0,
  /** 4 words, IPv4 mapped */
  client: 1,
  /** the client's own port << 16 | the port that the server sees instead, 0 none */
  clientPorts: 5,
  /** hashes of the names (VIP_CELL.identity, SERVER_CELL.identity) */
  vip: 6,
  server: 7,
  clientChannel: 8,
  serverChannel: 9,
  virtualChannel: 10,
  /** server port << 16 | port shown to the client */
  ports: 11,
  clientSequence: 12,
  serverSequence: 13,
  created: 14,
  /** what the request is known by while it may be repeated */
  requestKey: 15,
  /** client's port in the request's key << 16 | the VIP's own port */
  requestPorts: 16,
  /** key of the group that the request was of, 0 none: the group's next request goes where this tunnel is */
  group: 17,
} as const;
export const TUNNEL_RECORD_WORDS = 18;

export const TUNNEL_RECORD_FLAG = {
  halfOpen: 1, // these four: it has that entry
  reverse: 2,
  forward: 4,
  alias: 8,
  fromServer: 16, // the request came from the server
  hasPorts: 32, // the protocol has ports
  shownAtVip: 64, // its answers come from the VIP, although the VIP has a `natAddress`
  fullNat: 128, // its server sees the VIP's `localAddress` in place of the client
} as const;

export const SESSION_RECORD = {
  /** index of the tunnel's record + 1 */
  tunnel: 0,
  clientId: 1,
  serverId: 2,
  state: 3,
} as const;
export const SESSION_RECORD_WORDS = 4;

/** Which kind of record: index into PLANE_WORDS. */
export const PLANE = { tunnels: 0, sessions: 1 } as const;
export const PLANE_WORDS = [TUNNEL_RECORD_WORDS, SESSION_RECORD_WORDS] as const;
/** One more with every change of the records: members with another one refuse each other. */
export const RECORD_LAYOUT = 3;

/** Seconds and totals of one tunnel, beside its record. */
export interface TunnelCounters {
  index: number;
  /** `counterTag` of the record that they belong to: the index may have another tunnel by now. */
  tag: number;
  lastSeen: number;
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
}

/** What tells two tunnels apart that had one index one after the other. */
export function counterTag(created: number, clientChannel: number): number {
  return created ^ Math.imul(clientChannel, 0x9e3779b1);
}
