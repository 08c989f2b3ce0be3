/** The addon's part for the data path of an LNS and a LAC, typed. `native.ts` loads it. */

/** Where the shared memory is and what a worker's forwarder reads and writes besides. */
export interface TunnelForwarderOptions {
  /** The memory of src/flow/session-layout.ts. */
  readonly buffer: ArrayBuffer;
  /** Byte offsets, as planeLayout gives them. */
  readonly layout: {
    readonly sockets: number;
    readonly calls: number;
    readonly routeRows: number;
    readonly index: number;
    readonly counts: number;
    readonly statistics: number;
    readonly rings: number;
  };
  readonly worker: number;
  /** This worker's queue of the TUN device; −1 none. */
  readonly tunFd: number;
  /** This worker's packet sockets, by access index. */
  readonly accesses: readonly NativeAccess[];
  /** Ends a wait early; −1 none. */
  readonly wakeFd: number;
  /** Written to when something was punted. */
  readonly puntFd: number;
}

export interface NativeAccess {
  /** PPPoE session frames. */
  readonly sessionFd: number;
  /** PPPoE discovery frames; −1 where another worker reads them. */
  readonly discoveryFd: number;
  readonly interfaceIndex: number;
  readonly mac: Uint8Array;
}

/** One worker's data path. */
export interface TunnelForwarder {
  /**
   * Reads everything there is, forwards, sends; at most for about 20 ms, then returns. Waits up to `waitMs` when there is
   * nothing. Returns how many packets it took. Throws with `code` when the TUN device or an access line has gone.
   */
  turn(waitMs: number): number;
  /** Packets and bytes that wait for a session on hold. */
  held(): { packets: number; bytes: number };
  close(): void;
}

/** What the main thread sends: the same encapsulation as the workers', from the same memory. */
export interface TunnelSender {
  /**
   * `rows` of SEND_ROW words, `count` of them; the bytes of each at its offset of `bytes`. Returns how many went out; the
   * rest is counted (statistics of worker 0's row are not touched: `failed`).
   */
  send(rows: Int32Array, count: number, bytes: Uint8Array): number;
  readonly failed: number;
  close(): void;
}

/** Words of a row of TunnelSender.send. */
export const SEND_ROW_WORDS = 8;
export const SEND_ROW = {
  kind: 0, // SEND_KIND
  offset: 1,
  length: 2,
  /** datagram: socket << 16 | port. ppp, access-ppp: slot. frame: access index. */
  target: 3,
  address: 4, // 4 words, of a datagram
} as const;
export const SEND_KIND = { datagram: 1, ppp: 2, accessPpp: 3, frame: 4 } as const;

export interface NativeTunnelAddon {
  TunnelForwarder: new (options: TunnelForwarderOptions) => TunnelForwarder;
  TunnelSender: new (options: Pick<TunnelForwarderOptions, 'buffer' | 'layout' | 'accesses'>) => TunnelSender;
  /**
   * A TUN device with so many queues (made when it is not there), up, with that MTU. `steered`: all packets to one address
   * come out of one queue, else those of one flow. Throws with `code`.
   */
  openTun(name: string, queues: number, mtu: number): { name: string; steered: boolean; fds: number[] };
  /**
   * UDP sockets of one address and port (SO_REUSEPORT), one for each worker; the kernel gives all messages of a session to
   * the same one. `freebind`: the address need not be there yet. Throws with `code`: EADDRINUSE, EADDRNOTAVAIL.
   */
  openUdpGroup(address: Int32Array, port: number, workers: number, freebind: boolean): { port: number; fds: number[] };
  /** Packet sockets for PPPoE on an interface: one for sessions for each worker, one for discovery. */
  openAccess(name: string, workers: number): { sessionFds: number[]; discoveryFd: number };
  /** Calls `onReadable` from the event loop whenever the eventfd has been written to. */
  EventWatch: new (
    fd: number,
    onReadable: () => void,
  ) => { close(): void };
}
