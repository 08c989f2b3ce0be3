/**
 * A control message of a tunnel on its way to the member that writes the tunnel, as a message of the bus:
 *
 * ```
 *  0  version 1     2  flags (1: its checksum is not filled in yet)    4  link-layer source, 6 bytes
 *  1  side          3  0                                              10  the IP packet
 * ```
 *
 * `side`: 0 it came from outside, 1 from inside.
 */
export const CONTROL_HEADER_LENGTH = 10;
const VERSION = 1;
const PARTIAL = 1;
/** An IPv4 header with a UDP header behind it: what is shorter is no control message. */
const PACKET_MIN = 28;

export interface CarriedPacket {
  readonly side: 0 | 1;
  readonly partial: boolean;
  readonly source: Uint8Array;
  readonly packet: Uint8Array;
}

export function emitCarried({ side, partial, source, packet }: CarriedPacket): Uint8Array {
  const body = new Uint8Array(CONTROL_HEADER_LENGTH + packet.length);
  body[0] = VERSION;
  body[1] = side;
  body[2] = partial ? PARTIAL : 0;
  body.set(source.subarray(0, 6), 4);
  body.set(packet, CONTROL_HEADER_LENGTH);
  return body;
}

/** Copies of what is in the message; null: it is none. */
export function readCarried(body: Uint8Array): CarriedPacket | null {
  if (body.length < CONTROL_HEADER_LENGTH + PACKET_MIN || body[0] !== VERSION || body[1] > 1) return null;
  if ((body[2] & ~PARTIAL) !== 0 || body[3] !== 0) return null;
  const version = body[CONTROL_HEADER_LENGTH] >>> 4;
  if (version !== 4 && version !== 6) return null;
  return {
    side: body[1] as 0 | 1,
    partial: body[2] === PARTIAL,
    source: body.slice(4, CONTROL_HEADER_LENGTH),
    packet: body.slice(CONTROL_HEADER_LENGTH),
  };
}
