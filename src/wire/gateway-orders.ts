/**
 * Small bodies between the members of a gateway group.
 *
 *   emit    frames, each with its length (16) before it
 *   teach   numbers of forwarders, a byte each
 *   tell    hosts: forwarder, number of addresses (8 each), MAC (6), addresses (16 each)
 *   order   kind (8), number (8), MAC (6): ff:ff:ff:ff:ff:ff for every host
 */
import type { AddressWords } from './address.js';
import { readWide48, writeWide48 } from './gateway-message.js';

/** A host to be told that its gateway is this forwarder. */
export interface TellEntry {
  readonly forwarder: number;
  /** A number of 48 bits. */
  readonly host: number;
  readonly addresses: readonly AddressWords[];
}

/** straggling: packets still come for a forwarder that is given out no more. */
export const ORDER_KINDS = ['move', 'declare-dead', 'straggling'] as const;
export type OrderKind = (typeof ORDER_KINDS)[number];

export interface GatewayOrder {
  readonly kind: OrderKind;
  readonly number: number;
  /** Null: every host. */
  readonly host: number | null;
}

const EVERY = 0xffffffffffff;
const TELL = 8;
const ADDRESS = 16;
export const TELL_ADDRESS_LIMIT = 8;

/** Bodies of at most `limit` bytes with these frames, in order. Frames that fit into none are left out. */
export function emitFrameBodies(frames: readonly Uint8Array[], limit: number): Uint8Array[] {
  return packed(
    frames.map((frame) => {
      const item = new Uint8Array(2 + frame.length);
      item[0] = frame.length >> 8;
      item[1] = frame.length;
      item.set(frame, 2);
      return item;
    }),
    limit,
  );
}

/** Null: malformed. The frames are copies. */
export function readFrameBody(body: Uint8Array): Uint8Array[] | null {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    if (body.length - at < 2) return null;
    const end = at + 2 + ((body[at] << 8) | body[at + 1]);
    if (end > body.length) return null;
    frames.push(body.slice(at + 2, end));
    at = end;
  }
  return frames;
}

export function emitTellBodies(entries: readonly TellEntry[], limit: number): Uint8Array[] {
  return packed(
    entries.map((entry) => {
      const addresses = entry.addresses.slice(0, TELL_ADDRESS_LIMIT);
      const item = new Uint8Array(TELL + addresses.length * ADDRESS);
      const view = new DataView(item.buffer);
      view.setUint8(0, entry.forwarder);
      view.setUint8(1, addresses.length);
      writeWide48(view, 2, entry.host);
      addresses.forEach((words, i) => {
        for (let word = 0; word < 4; word++) view.setUint32(TELL + i * ADDRESS + word * 4, words[word]);
      });
      return item;
    }),
    limit,
  );
}

/** Null: malformed. */
export function readTellBody(body: Uint8Array): TellEntry[] | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const entries: TellEntry[] = [];
  for (let at = 0; at < body.length; ) {
    if (body.length - at < TELL) return null;
    const count = view.getUint8(at + 1);
    const start = at + TELL;
    const end = start + count * ADDRESS;
    const forwarder = view.getUint8(at);
    if (forwarder === 0 || count > TELL_ADDRESS_LIMIT || end > body.length) return null;
    const addresses: AddressWords[] = [];
    for (let a = start; a < end; a += ADDRESS)
      addresses.push([view.getUint32(a), view.getUint32(a + 4), view.getUint32(a + 8), view.getUint32(a + 12)]);
    entries.push({ forwarder, host: readWide48(view, at + 2), addresses });
    at = end;
  }
  return entries;
}

export function emitOrder(order: GatewayOrder): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint8(0, ORDER_KINDS.indexOf(order.kind));
  view.setUint8(1, order.number);
  writeWide48(view, 2, order.host ?? EVERY);
  return body;
}

/** Null: malformed. */
export function readOrder(body: Uint8Array): GatewayOrder | null {
  if (body.length !== 8) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const kind = ORDER_KINDS[view.getUint8(0)];
  const host = readWide48(view, 2);
  return kind === undefined ? null : { kind, number: view.getUint8(1), host: host === EVERY ? null : host };
}

/** Items put together into bodies of at most `limit` bytes. */
function packed(items: readonly Uint8Array[], limit: number): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  let group: Uint8Array[] = [];
  let length = 0;
  const close = (): void => {
    if (length === 0) return;
    const body = new Uint8Array(length);
    let at = 0;
    for (const item of group) {
      body.set(item, at);
      at += item.length;
    }
    bodies.push(body);
    group = [];
    length = 0;
  };
  for (const item of items) {
    if (item.length > limit) continue;
    if (length + item.length > limit) close();
    group.push(item);
    length += item.length;
  }
  close();
  return bodies;
}
