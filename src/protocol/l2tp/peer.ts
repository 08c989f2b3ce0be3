/** Whom a tunnel speaks with. */
export interface Peer {
  /** IPv4 or IPv6 address as text, as the socket gives it. */
  readonly address: string;
  /** UDP port. */
  readonly port: number;
  /** Index of the local UDP socket. */
  readonly socket: number;
}

/** One UDP payload to be sent. The bytes are the receiver's to keep: nothing writes to them any more. */
export interface Datagram {
  readonly to: Peer;
  readonly bytes: Uint8Array;
}

/** The same address and port; by which of our sockets it is reached does not matter. */
export function samePlace(a: Peer, b: Peer): boolean {
  return a.port === b.port && a.address === b.address;
}
