/**
 * The messages of a gateway group's members to one another: EtherType 0x88b5 (IEEE 802, local experimental), from port to
 * port, so that nothing from beyond the segment can pretend to be one.
 *
 * ```
 *  0  magic "TG"      8  incarnation of the sender (48 bit, random at its start)     24  body
 *  2  version 1      14  sequence (48 bit, rises within an incarnation)              ..  HMAC-SHA-256 (RFC 2104) over all
 *  3  type           20  length of header and body                                      that comes before it, its first
 *  4  group          22  0                                                              16 bytes (RFC 2104 §5)
 *  6  sender
 *  7  target; 0: all
 * ```
 *
 * Network byte order. Offsets count from behind the Ethernet header; padding may follow. What is read here is believed by
 * nobody before its seal is checked (gateway/seal.ts).
 */

export const GATEWAY_ETHERTYPE = 0x88b5;
export const GATEWAY_MESSAGE_VERSION = 1;
export const GATEWAY_HEADER_LENGTH = 24;
export const GATEWAY_TAG_LENGTH = 16;
/** The whole fits into an Ethernet payload of 1500 bytes. */
export const GATEWAY_BODY_LIMIT = 1500 - GATEWAY_HEADER_LENGTH - GATEWAY_TAG_LENGTH;

const MAGIC = 0x5447;
const ETHERNET_HEADER = 14;
const TWO32 = 2 ** 32;

/**
 * advert: state, what was heard of others, the forwarders. probe: say something now. hosts: of the host table. hand: a
 * frame of a host, for the master. emit: frames to send from the target's port. teach: the master has sent from these
 * virtual MACs, their servers show the switches where they are. tell: hosts to be told of their gateway. order: a command.
 */
export const GATEWAY_MESSAGE_TYPES = ['advert', 'probe', 'hosts', 'hand', 'emit', 'teach', 'tell', 'order'] as const;
export type GatewayMessageType = (typeof GATEWAY_MESSAGE_TYPES)[number];

export interface GatewayHeader {
  readonly type: GatewayMessageType;
  readonly group: number;
  readonly sender: number;
  readonly target: number;
  readonly incarnation: number;
  readonly sequence: number;
}

export type GatewayMessageFault = 'malformed' | 'version';

/** A number of 48 bits. */
export function readWide48(view: DataView, at: number): number {
  return view.getUint16(at) * TWO32 + view.getUint32(at + 2);
}

export function writeWide48(view: DataView, at: number, value: number): void {
  view.setUint16(at, Math.floor(value / TWO32));
  view.setUint32(at + 2, value % TWO32);
}

/** The header of a whole frame of the EtherType, and where its body ends in the frame. */
export function readGatewayHeader(
  frame: Uint8Array,
): { readonly header: GatewayHeader; readonly end: number } | GatewayMessageFault {
  const start = ETHERNET_HEADER;
  if (frame.length < start + GATEWAY_HEADER_LENGTH + GATEWAY_TAG_LENGTH) return 'malformed';
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(start) !== MAGIC) return 'malformed';
  if (view.getUint8(start + 2) !== GATEWAY_MESSAGE_VERSION) return 'version';
  const type = GATEWAY_MESSAGE_TYPES[view.getUint8(start + 3)];
  const end = start + view.getUint16(start + 20);
  const sender = view.getUint8(start + 6);
  if (type === undefined || sender === 0 || view.getUint16(start + 22) !== 0) return 'malformed';
  if (end < start + GATEWAY_HEADER_LENGTH || end + GATEWAY_TAG_LENGTH > frame.length) return 'malformed';
  const header = {
    type,
    group: view.getUint16(start + 4),
    sender,
    target: view.getUint8(start + 7),
    incarnation: readWide48(view, start + 8),
    sequence: readWide48(view, start + 14),
  };
  return { header, end };
}

/** A frame with header and body, and room for the tag at its end. The Ethernet addresses are the caller's to write. */
export function emitGatewayMessage(header: GatewayHeader, body: Uint8Array): Uint8Array {
  const start = ETHERNET_HEADER;
  const length = GATEWAY_HEADER_LENGTH + body.length;
  const frame = new Uint8Array(start + length + GATEWAY_TAG_LENGTH);
  const view = new DataView(frame.buffer);
  view.setUint16(12, GATEWAY_ETHERTYPE);
  view.setUint16(start, MAGIC);
  view.setUint8(start + 2, GATEWAY_MESSAGE_VERSION);
  view.setUint8(start + 3, GATEWAY_MESSAGE_TYPES.indexOf(header.type));
  view.setUint16(start + 4, header.group);
  view.setUint8(start + 6, header.sender);
  view.setUint8(start + 7, header.target);
  writeWide48(view, start + 8, header.incarnation);
  writeWide48(view, start + 14, header.sequence);
  view.setUint16(start + 20, length);
  frame.set(body, start + GATEWAY_HEADER_LENGTH);
  return frame;
}
