/**
 * Hidden AVPs, RFC 2661 §4.3. The value with its length before it (and padding behind) is combined with a chain of MD5
 * sums: the first is over the AVP's type, the tunnel secret and the Random Vector that stands before it in the message,
 * every further one over the secret and the 16 bytes of cipher text before. Whoever has the secret can read such an
 * AVP, and can put another value of the same length in its place without changing the length of the message.
 *
 * Only set-ups of tunnels and sessions have such ids, so this may allocate. The bytes may lie in shared memory, which
 * the hash is never given: what it sees are copies.
 */
import { createHash } from 'node:crypto';
import type { ControlEvent } from '../descriptor.js';
import { EVENT_SESSION_REQUEST } from '../descriptor.js';
import { AVP_HEADER_LENGTH, avpHidden, avpReserved, avpType, avpVendor, checkAvp } from './avp.js';
import { AVP_ASSIGNED_SESSION_ID, AVP_ASSIGNED_TUNNEL_ID, AVP_RANDOM_VECTOR } from './avp-table.js';
import { CONTROL_HEADER_LENGTH, checkHeader, isControl, messageLength } from './header.js';

/** Length of the original value, which is hidden with it. */
const LENGTH_FIELD = 2;
const ID_LENGTH = 2;
const BLOCK = 16;

/** Where a hidden AVP's value lies, and the Random Vector that counts for it. */
interface Place {
  readonly type: number;
  readonly start: number;
  readonly length: number;
  readonly vector: Uint8Array;
}

/** The value as it is before hiding: its length, itself, padding. */
export function hideValue(type: number, secret: Uint8Array, vector: Uint8Array, plain: Uint8Array): Uint8Array {
  return chain(type, secret, vector, plain, true);
}

/** The inverse of `hideValue`. A wrong secret gives other bytes, never an error. */
export function unhideValue(type: number, secret: Uint8Array, vector: Uint8Array, cipher: Uint8Array): Uint8Array {
  return chain(type, secret, vector, cipher, false);
}

function chain(type: number, secret: Uint8Array, vector: Uint8Array, from: Uint8Array, hiding: boolean): Uint8Array {
  const to = new Uint8Array(from.length);
  let sum = createHash('md5')
    .update(Uint8Array.of(type >> 8, type & 0xff))
    .update(secret)
    .update(vector)
    .digest();
  for (let at = 0; at < from.length; at += BLOCK) {
    const last = Math.min(at + BLOCK, from.length);
    for (let i = at; i < last; i++) to[i] = from[i] ^ sum[i - at];
    if (last === from.length) break;
    sum = createHash('md5')
      .update(secret)
      .update((hiding ? to : from).subarray(at, last))
      .digest();
  }
  return to;
}

/**
 * Reads the hidden Assigned Tunnel and Session ID of the message at `offset` into the event. True when the id that
 * `event.assignedHidden` stands for came out; it is cleared then. A value of another length than an id's, or an id of 0,
 * says that the secret is another.
 */
export function unhideIds(
  view: DataView,
  offset: number,
  end: number,
  secret: Uint8Array,
  event: ControlEvent,
): boolean {
  const wanted = event.kind >= EVENT_SESSION_REQUEST ? AVP_ASSIGNED_SESSION_ID : AVP_ASSIGNED_TUNNEL_ID;
  const place = find(view, offset, end, wanted);
  const id = place === null ? 0 : readId(view, place, secret);
  if (id === 0) return false;
  if (wanted === AVP_ASSIGNED_TUNNEL_ID) event.assigned = id;
  else event.assignedSession = id;
  event.assignedHidden = false;
  return true;
}

/** Hides `id` in place of the hidden Assigned Tunnel ID. False, and nothing changed, where the secret does not fit. */
export function rehideTunnelId(view: DataView, offset: number, end: number, secret: Uint8Array, id: number): boolean {
  const place = find(view, offset, end, AVP_ASSIGNED_TUNNEL_ID);
  if (place === null || readId(view, place, secret) === 0) return false;
  const { type, start, length, vector } = place;
  const plain = unhideValue(type, secret, vector, copy(view, start, length));
  plain[LENGTH_FIELD] = id >> 8;
  plain[LENGTH_FIELD + 1] = id & 0xff;
  const cipher = hideValue(type, secret, vector, plain);
  new Uint8Array(view.buffer, view.byteOffset + start, length).set(cipher);
  return true;
}

function readId(view: DataView, { type, start, length, vector }: Place, secret: Uint8Array): number {
  if (length < LENGTH_FIELD + ID_LENGTH) return 0;
  const plain = unhideValue(type, secret, vector, copy(view, start, length));
  if (((plain[0] << 8) | plain[1]) !== ID_LENGTH) return 0;
  return (plain[LENGTH_FIELD] << 8) | plain[LENGTH_FIELD + 1];
}

/** The hidden AVP of this type, or null: absent, in the clear, or without a Random Vector before it. */
function find(view: DataView, offset: number, end: number, type: number): Place | null {
  if (checkHeader(view, offset, end) < 0 || !isControl(view, offset)) return null;
  const messageEnd = offset + messageLength(view, offset, end);
  let vectorAt = -1;
  let vectorLength = 0;
  let length = 0;
  for (let at = offset + CONTROL_HEADER_LENGTH; at < messageEnd; at += length) {
    length = checkAvp(view, at, messageEnd);
    if (length < 0) return null;
    if (avpVendor(view, at) !== 0 || avpReserved(view, at)) continue;
    if (avpType(view, at) === AVP_RANDOM_VECTOR && !avpHidden(view, at)) {
      vectorAt = at + AVP_HEADER_LENGTH;
      vectorLength = length - AVP_HEADER_LENGTH;
    } else if (avpType(view, at) === type && avpHidden(view, at)) {
      if (vectorAt < 0) return null;
      const start = at + AVP_HEADER_LENGTH;
      return { type, start, length: length - AVP_HEADER_LENGTH, vector: copy(view, vectorAt, vectorLength) };
    }
  }
  return null;
}

function copy(view: DataView, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, length));
  return bytes;
}
