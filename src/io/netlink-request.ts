/**
 * Requests to netlink families that are answered at once: the kernel works on a request while it is being sent, so the
 * answer can be read without waiting.
 */
import type { NetlinkSocket } from './native.js';
import { NLMSG_ERROR, type NetlinkMessage, readError, readMessages } from './netlink.js';

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
const TYPE_MASK = 0x3fff;
const HEADER_LENGTH = 16;

/** Kernel's errno of a request, by number. */
export class NetlinkRefusal extends Error {
  constructor(
    what: string,
    readonly errno: number,
    /** The kernel's own sentence, if it sent one. */
    readonly extended: string,
  ) {
    super(`${what}: ${extended === '' ? `errno ${errno}` : extended}`);
  }
}

export type Attributes = Map<number, DataView>;

/** Asks over one socket, one question at a time. */
export class NetlinkAsker {
  #sequence = 0;

  /** The body of the answer, null when the kernel only confirms. Errors: NetlinkRefusal, with `what` in its sentence. */
  ask(socket: NetlinkSocket, what: string, type: number, flags: number, body: Uint8Array): DataView | null {
    const sequence = ++this.#sequence;
    const header = new DataView(new ArrayBuffer(HEADER_LENGTH));
    header.setUint32(0, HEADER_LENGTH + body.length, true);
    header.setUint16(4, type, true);
    header.setUint16(6, NLM_F_REQUEST | flags, true);
    header.setUint32(8, sequence, true);
    socket.send(join([new Uint8Array(header.buffer), body]));
    for (let datagram = socket.receive(); datagram !== null; datagram = socket.receive()) {
      const message = readMessages(datagram).find((candidate) => candidate.sequence === sequence);
      if (message === undefined) continue;
      if (message.type !== NLMSG_ERROR) return copy(message);
      const error = readError(message.body);
      if (error === 0) return null;
      throw new NetlinkRefusal(what, error, extendedOf(message.body));
    }
    throw new NetlinkRefusal(what, 5, 'the kernel does not answer');
  }
}

/** The receive buffer is used again by the next answer. */
function copy(message: NetlinkMessage): DataView {
  const { buffer, byteOffset, byteLength } = message.body;
  return new DataView(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
}

/** NLMSGERR_ATTR_MSG: behind the errno and the request's header (NETLINK_EXT_ACK, capped), or the whole request. */
function extendedOf(body: DataView): string {
  if (body.byteLength < 4 + HEADER_LENGTH) return '';
  const request = body.getUint32(4, true);
  for (const from of [4 + HEADER_LENGTH, 4 + ((request + 3) & ~3)]) {
    const text = attributesOf(body, from).get(1);
    if (text === undefined || text.byteLength < 2) continue;
    const bytes = new Uint8Array(text.buffer, text.byteOffset, text.byteLength - 1);
    if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return new TextDecoder().decode(bytes);
  }
  return '';
}

export function attributesOf(view: DataView, from: number): Attributes {
  const found: Attributes = new Map();
  for (let at = from; at + 4 <= view.byteLength; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > view.byteLength) break;
    const type = view.getUint16(at + 2, true) & TYPE_MASK;
    found.set(type, new DataView(view.buffer, view.byteOffset + at + 4, length - 4));
    at += (length + 3) & ~3;
  }
  return found;
}

export function attribute(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + payload.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + payload.length, true);
  view.setUint16(2, type, true);
  bytes.set(payload, 4);
  return bytes;
}

export function signed(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
