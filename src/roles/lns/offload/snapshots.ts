/**
 * States of tunnels and sessions as this LNS tells and reads them. What another program has written is looked at before
 * anything is made of it: what is not whole is no snapshot.
 */
import type { SessionSnapshot, TunnelSnapshot } from '../../../protocol/l2tp/snapshot.js';
import { decodeState, encodeState, type PlainObject } from '../../../protocol/offload/state.js';
import type { StoredSession, StoredTunnel } from '../../../protocol/offload/store.js';
import type { AddressWords } from '../../../wire/address.js';

const isObject = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
const isId = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff;
const isWords = (value: unknown): value is AddressWords =>
  Array.isArray(value) && value.length === 4 && value.every((word) => Number.isInteger(word));

/** `cooperating`: the LAC at the other end can move it by itself. */
export function writeTunnel(tunnel: PlainObject, cooperating: boolean): Uint8Array {
  return encodeState('tunnel', { cooperating, tunnel });
}

/** What a tunnel's state says. */
export interface RestoredTunnel {
  readonly snapshot: TunnelSnapshot;
  readonly cooperating: boolean;
}

/** Or why it says nothing. */
export function readTunnel({ state }: StoredTunnel): RestoredTunnel | string {
  const data = decodeState('tunnel', state);
  if (typeof data === 'string') return data;
  const { tunnel, cooperating } = data;
  if (!isObject(tunnel)) return 'malformed';
  const { peer, pending, peerAvps } = tunnel;
  const whole =
    [tunnel.localId, tunnel.peerId, tunnel.ns, tunnel.nr].every(isId) &&
    [tunnel.peerWindow, tunnel.nextSerial].every((value) => Number.isInteger(value)) &&
    [tunnel.hostName, tunnel.vendorName].every((value) => typeof value === 'string') &&
    typeof tunnel.ours === 'boolean' &&
    isObject(peer) &&
    typeof peer.address === 'string' &&
    isId(peer.port) &&
    Array.isArray(pending) &&
    pending.every((bytes) => bytes instanceof Uint8Array) &&
    Array.isArray(peerAvps) &&
    peerAvps.every((avp) => isObject(avp) && isId(avp.vendor) && isId(avp.type));
  if (!whole) return 'malformed';
  return { snapshot: { ...(tunnel as unknown as TunnelSnapshot), sessions: [] }, cooperating: cooperating === true };
}

/** What the other LNS needs no more, and what is a secret: LCP and authentication that the LAC did for us. */
const LEFT_OUT = [
  'initialLcp',
  'lastSentLcp',
  'lastReceivedLcp',
  'authType',
  'authName',
  'authChallenge',
  'authId',
  'authResponse',
];

/** `data`: what the LNS says of the session, its call as `call`. */
export function writeSession(data: PlainObject): Uint8Array {
  const { call } = data;
  if (!isObject(call) || !isObject(call.attributes)) return encodeState('session', data);
  const attributes = { ...call.attributes };
  for (const name of LEFT_OUT) delete attributes[name];
  return encodeState('session', { ...data, call: { ...call, attributes } });
}

/** What a session's state says: the call, and everything that the LNS keeps of it. */
export interface RestoredSession {
  readonly snapshot: SessionSnapshot;
  readonly data: PlainObject;
  /** Of the subscriber: hosts and prefixes, lengths in bits of the address's family. */
  readonly addresses: readonly { readonly words: AddressWords; readonly length: number }[];
}

export function readSession({ state }: StoredSession): RestoredSession | string {
  const data = decodeState('session', state);
  if (typeof data === 'string') return data;
  const { call, ipv4, prefix } = data;
  const whole =
    isObject(call) &&
    isId(call.localId) &&
    isId(call.peerId) &&
    (call.kind === 'incoming' || call.kind === 'outgoing') &&
    typeof call.ours === 'boolean' &&
    isObject(call.attributes) &&
    isObject(data.ppp);
  if (!whole) return 'malformed';
  const addresses: { words: AddressWords; length: number }[] = [];
  if (isWords(ipv4)) addresses.push({ words: ipv4, length: 32 });
  if (isObject(prefix) && isWords(prefix.words) && typeof prefix.length === 'number')
    addresses.push({ words: prefix.words, length: prefix.length });
  return { snapshot: call as unknown as SessionSnapshot, data, addresses };
}
