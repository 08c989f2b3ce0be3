/** The addon's packet socket for the frames of a gateway group, typed. `native.ts` loads it. */

/** Frames of one call, at most, both ways. */
export const LAN_BATCH = 64;

export interface NativeLanSocketOptions {
  readonly device: string;
  /** Four words for each shared address, at most 32 of them. */
  readonly addresses: Int32Array;
  /** Six bytes for each Ethernet group that is to be received. */
  readonly groups: Uint8Array;
  /** UDP to this port is received as well, of either family; 0 none. */
  readonly udpPort: number;
  /** SO_MARK of what is sent; 0 none. */
  readonly mark: number;
  /** Bytes of a frame's place. */
  readonly slotLength: number;
  /** LAN_BATCH places each. */
  readonly received: Uint8Array;
  readonly outgoing: Uint8Array;
  /** Place and length of each frame received: 2 × LAN_BATCH items. */
  readonly columns: Int32Array;
  /** Arrival of each, CLOCK_MONOTONIC in seconds; [LAN_BATCH]: when they were read. */
  readonly times: Float64Array;
  /** Of the frames to be sent: LAN_BATCH items. */
  readonly lengths: Int32Array;
}

export interface NativeLanSocket {
  /** Reads a batch; returns how many frames. */
  receive(): number;
  /** Sends the first `count` places of `outgoing`; returns how many left. */
  send(count: number): number;
  setAddresses(addresses: Int32Array): void;
  /** The device takes frames to this station address, or does no more. Throws with `code`. */
  setStation(mac: Uint8Array, taken: boolean): void;
  /** Since it was opened; also after `close`. */
  statistics(): { received: number; dropped: number; truncated: number; sent: number; refused: number };
  close(): void;
}

export interface NativeLanAddon {
  /** Throws with `code`: EPERM without CAP_NET_RAW, ENODEV no such device. `onReadable` is called from the event loop. */
  LanSocket: new (
    options: NativeLanSocketOptions,
    onReadable: () => void,
  ) => NativeLanSocket;
}
