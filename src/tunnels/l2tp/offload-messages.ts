/**
 * LSORQ, LSORS, STPLRQ, STPLRP and the messages beside them, as objects and as AVPs (document 002, FIG. 5 to 7).
 *
 * An LSORQ carries one or more *entries*. Each begins with the Action AVP; what follows up to the next Action belongs to
 * it, in any order. An entry of FIG. 5a is Action add with LNS tunnel id, LAC tunnel id, LNS session id, LAC session id
 * and State Information; one of FIG. 5b is Action remove with LNS tunnel id and LNS session id. Session id 0 means the
 * tunnel itself. AVPs that are not known are skipped; bad ones make the whole message 'malformed'.
 */
import type { Avp, AvpInput } from './avp.js';
import { AVP_MESSAGE_TYPE } from './avp-table.js';
import {
  type BucketDigest,
  type MovedTunnel,
  OFFLOAD_AVP as AVP,
  readAddressBytes,
  readDigests,
  readIds,
  readMovedTunnel,
  readU16,
  readU32,
  vendorBytes,
  writeBytes,
  writeDigests,
  writeIds,
  writeMovedTunnel,
  writePieces,
  writeU16,
  writeU32,
} from './offload-avps.js';

/** What an entry asks for. */
export const ACTION = {
  /** FIG. 5a: keep this state. */
  add: 1,
  /** FIG. 5b: forget it. */
  remove: 2,
  /** State Information is the configuration of the sending LNS. */
  configuration: 3,
  /** Digests of everything that the sender believes the peer to hold; the last part closes the list. */
  digest: 4,
  digestEnd: 5,
  /** The sender serves these tunnels or sessions now, under the generation of the entry. */
  claim: 6,
  /** The sender wants the peer to serve these tunnels from now on. */
  handOver: 7,
} as const;
export type Action = (typeof ACTION)[keyof typeof ACTION];
const ACTIONS = new Set<number>(Object.values(ACTION));

/** Why something was denied; 0 with a grant. The names are counters and words of the log. */
export const DENIAL = {
  none: 0,
  notAllowed: 1,
  version: 2,
  malformed: 3,
  full: 4,
  fenced: 5,
  unknownTunnel: 6,
  busy: 7,
  wrongPeer: 8,
  idsOverlap: 9,
  unreachable: 10,
  internal: 11,
} as const;
export type Denial = (typeof DENIAL)[keyof typeof DENIAL];

export function denialName(code: number): string {
  return Object.entries(DENIAL).find(([, value]) => value === code)?.[0] ?? `reason ${code}`;
}

export const GRANTED = 1;
export const DENIED = 2;

export interface OffloadEntry {
  readonly action: Action;
  readonly lnsTunnel: number;
  readonly lacTunnel: number;
  /** 0: the tunnel itself. */
  readonly lnsSession: number;
  readonly lacSession: number;
  /** 0: that of the message. */
  readonly generation: number;
  readonly state: Uint8Array | null;
  readonly sessions: readonly number[];
  readonly digests: readonly BucketDigest[];
  /** The instance of the LNS whose tunnel it is; null: the sender's. Eight bytes. */
  readonly instance: Uint8Array | null;
}

/** LSORQ. */
export interface OffloadRequest {
  readonly sequence: number;
  readonly generation: number;
  readonly entries: readonly OffloadEntry[];
}

/** LSORS. `digests` names what the sender of a digest is to send again. */
export interface OffloadResponse {
  readonly sequence: number;
  readonly granted: boolean;
  readonly reason: number;
  readonly message: string;
  /** The higher generation, when the reason is `fenced`. */
  readonly generation: number;
  readonly lnsTunnel: number;
  readonly digests: readonly BucketDigest[];
}

export const SWITCHOVER_TYPE = { all: 1, new: 2, some: 3 } as const;
export type SwitchoverType = keyof typeof SWITCHOVER_TYPE;

/** STPLRQ (FIG. 6). An absent type means all; `some` carries the LAC's view of nobody: the session ids of the LNS. */
export interface SwitchoverRequest {
  readonly address: Uint8Array;
  /** 0: the port of L2TP. */
  readonly port: number;
  readonly type: SwitchoverType;
  readonly sessions: readonly number[];
  readonly generation: number;
}

/** STPLRP (FIG. 7) echoes what it answers. */
export interface SwitchoverResponse extends SwitchoverRequest {
  readonly granted: boolean;
  readonly reason: number;
  readonly message: string;
}

/** MTRQ: the tunnel that it comes in takes these sessions over. */
export interface MoveRequest {
  readonly moved: MovedTunnel;
  readonly sessions: readonly number[];
}

export interface MoveResponse extends MoveRequest {
  readonly granted: boolean;
  readonly reason: number;
  readonly message: string;
}

/** `target`: the LNS that it is for on its way there, the LNS that it comes from behind the LAC. */
export interface RelayedMessage {
  readonly target: Uint8Array;
  readonly type: number;
  readonly avps: Uint8Array;
}

/** An entry with everything empty that is not given. */
export function entry(action: Action, fields: Partial<OffloadEntry> = {}): OffloadEntry {
  return {
    action,
    lnsTunnel: 0,
    lacTunnel: 0,
    lnsSession: 0,
    lacSession: 0,
    generation: 0,
    state: null,
    sessions: [],
    digests: [],
    instance: null,
    ...fields,
  };
}

export function writeOffloadRequest(vendor: number, request: OffloadRequest): AvpInput[] {
  const avps = [writeU32(vendor, AVP.sequence, request.sequence), writeU32(vendor, AVP.generation, request.generation)];
  for (const part of request.entries) writeEntry(vendor, part, avps);
  return avps;
}

function writeEntry(vendor: number, part: OffloadEntry, avps: AvpInput[]): void {
  avps.push(writeU16(vendor, AVP.action, part.action));
  if (part.instance !== null) avps.push(writeBytes(vendor, AVP.instance, part.instance));
  if (part.generation !== 0) avps.push(writeU32(vendor, AVP.generation, part.generation));
  if (part.lnsTunnel !== 0) avps.push(writeU16(vendor, AVP.lnsTunnel, part.lnsTunnel));
  if (part.lacTunnel !== 0) avps.push(writeU16(vendor, AVP.lacTunnel, part.lacTunnel));
  if (part.lnsSession !== 0) avps.push(writeU16(vendor, AVP.lnsSession, part.lnsSession));
  if (part.lacSession !== 0) avps.push(writeU16(vendor, AVP.lacSession, part.lacSession));
  if (part.state !== null) avps.push(...writePieces(vendor, AVP.state, part.state));
  if (part.sessions.length > 0) avps.push(...writeIds(vendor, part.sessions));
  if (part.digests.length > 0) avps.push(...writeDigests(vendor, part.digests));
}

type Draft = { -readonly [K in keyof OffloadEntry]: OffloadEntry[K] };

/** Any AVPs as an LSORQ; null when they are malformed. */
export function readOffloadRequest(vendor: number, avps: readonly Avp[]): OffloadRequest | null {
  let sequence = 0;
  let generation = 0;
  const entries: Draft[] = [];
  for (const read of avps) {
    if (!isOurs(read, vendor)) continue;
    const value = vendorBytes(read);
    if (value === null) return null;
    const current = entries[entries.length - 1];
    if (read.type === AVP.action) {
      const action = readU16(value);
      if (action === null) return null;
      // An action of a later version is kept as one that nothing follows from: 'malformed' would lose its neighbours.
      if (ACTIONS.has(action)) entries.push(entry(action as Action));
      else entries.push(entry(0 as Action));
    } else if (read.type === AVP.sequence || (read.type === AVP.generation && current === undefined)) {
      const number = readU32(value);
      if (number === null) return null;
      if (read.type === AVP.sequence) sequence = number;
      else generation = number;
    } else if (current === undefined) {
      if (isEntryField(read.type)) return null;
    } else if (!readEntryField(current, read.type, value)) return null;
  }
  return { sequence, generation, entries };
}

function isOurs(read: Avp, vendor: number): boolean {
  return read.vendor === vendor && !read.reserved && read.type !== AVP_MESSAGE_TYPE;
}

function isEntryField(type: number): boolean {
  return type >= AVP.lnsTunnel && type <= AVP.state;
}

function readEntryField(current: Draft, type: number, value: Uint8Array): boolean {
  switch (type) {
    case AVP.lnsTunnel:
    case AVP.lacTunnel:
    case AVP.lnsSession:
    case AVP.lacSession: {
      const id = readU16(value);
      if (id === null) return false;
      if (type === AVP.lnsTunnel) current.lnsTunnel = id;
      else if (type === AVP.lacTunnel) current.lacTunnel = id;
      else if (type === AVP.lnsSession) current.lnsSession = id;
      else current.lacSession = id;
      return true;
    }
    case AVP.generation: {
      const number = readU32(value);
      current.generation = number ?? 0;
      return number !== null;
    }
    case AVP.instance:
      current.instance = value;
      return value.length === 8;
    case AVP.state:
      current.state = current.state === null ? value : joined(current.state, value);
      return current.state.length <= STATE_MAX;
    case AVP.sessionIds: {
      const ids = readIds(value);
      if (ids !== null) current.sessions = [...current.sessions, ...ids];
      return ids !== null;
    }
    case AVP.digests: {
      const digests = readDigests(value);
      if (digests !== null) current.digests = [...current.digests, ...digests];
      return digests !== null;
    }
    default:
      return true;
  }
}

/** A state that takes more than a UDP datagram cannot have come in one message. */
const STATE_MAX = 0xffff;

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function writeResult(vendor: number, granted: boolean, reason: number, message: string): AvpInput {
  const text = encoder.encode(message).subarray(0, 200);
  const value = new Uint8Array(4 + text.length);
  const view = new DataView(value.buffer);
  view.setUint16(0, granted ? GRANTED : DENIED);
  view.setUint16(2, reason);
  value.set(text, 4);
  return writeBytes(vendor, AVP.result, value);
}

export function writeOffloadResponse(vendor: number, response: OffloadResponse): AvpInput[] {
  return [
    writeU32(vendor, AVP.sequence, response.sequence),
    writeResult(vendor, response.granted, response.reason, response.message),
    ...(response.generation === 0 ? [] : [writeU32(vendor, AVP.generation, response.generation)]),
    ...(response.lnsTunnel === 0 ? [] : [writeU16(vendor, AVP.lnsTunnel, response.lnsTunnel)]),
    ...writeDigests(vendor, response.digests),
  ];
}

/** The fields of all messages that have no entries; later ones of the same type win, but lists are joined. */
interface Fields {
  numbers: Map<number, number>;
  address: Uint8Array | null;
  sessions: number[];
  digests: BucketDigest[];
  moved: MovedTunnel | null;
  result: { granted: boolean; reason: number; message: string } | null;
  origin: Uint8Array | null;
  relayed: Uint8Array | null;
}

const U16_FIELDS = new Set<number>([AVP.peerPort, AVP.lnsTunnel, AVP.switchoverType, AVP.action]);
const U32_FIELDS = new Set<number>([AVP.generation, AVP.sequence]);

function readFields(vendor: number, avps: readonly Avp[]): Fields | null {
  const fields: Fields = {
    numbers: new Map(),
    address: null,
    sessions: [],
    digests: [],
    moved: null,
    result: null,
    origin: null,
    relayed: null,
  };
  for (const read of avps) {
    if (!isOurs(read, vendor)) continue;
    const value = vendorBytes(read);
    if (value === null || !readField(fields, read.type, value)) return null;
  }
  return fields;
}

function readField(fields: Fields, type: number, value: Uint8Array): boolean {
  if (U16_FIELDS.has(type) || U32_FIELDS.has(type)) {
    const number = U16_FIELDS.has(type) ? readU16(value) : readU32(value);
    if (number !== null) fields.numbers.set(type, number);
    return number !== null;
  }
  switch (type) {
    case AVP.peerAddress:
      fields.address = readAddressBytes(value);
      return fields.address !== null;
    case AVP.origin:
      fields.origin = readAddressBytes(value);
      return fields.origin !== null;
    case AVP.sessionIds: {
      const ids = readIds(value);
      if (ids !== null) for (const id of ids) fields.sessions.push(id);
      return ids !== null;
    }
    case AVP.digests: {
      const digests = readDigests(value);
      if (digests !== null) for (const digest of digests) fields.digests.push(digest);
      return digests !== null;
    }
    case AVP.movedTunnel:
      fields.moved = readMovedTunnel(value);
      return fields.moved !== null;
    case AVP.result: {
      if (value.length < 4) return false;
      const result = (value[0] << 8) | value[1];
      if (result !== GRANTED && result !== DENIED) return false;
      const message = decoder.decode(value.subarray(4));
      fields.result = { granted: result === GRANTED, reason: (value[2] << 8) | value[3], message };
      return true;
    }
    case AVP.relayed:
      fields.relayed = fields.relayed === null ? value : joined(fields.relayed, value);
      return fields.relayed.length <= STATE_MAX;
    default:
      return true;
  }
}

export function readOffloadResponse(vendor: number, avps: readonly Avp[]): OffloadResponse | null {
  const fields = readFields(vendor, avps);
  const sequence = fields?.numbers.get(AVP.sequence);
  if (fields === null || fields.result === null || sequence === undefined) return null;
  return {
    sequence,
    ...fields.result,
    generation: fields.numbers.get(AVP.generation) ?? 0,
    lnsTunnel: fields.numbers.get(AVP.lnsTunnel) ?? 0,
    digests: fields.digests,
  };
}

export function writeSwitchoverRequest(vendor: number, request: SwitchoverRequest): AvpInput[] {
  return [
    writeBytes(vendor, AVP.peerAddress, request.address),
    ...(request.port === 0 ? [] : [writeU16(vendor, AVP.peerPort, request.port)]),
    writeU16(vendor, AVP.switchoverType, SWITCHOVER_TYPE[request.type]),
    writeU32(vendor, AVP.generation, request.generation),
    ...writeIds(vendor, request.sessions),
  ];
}

export function readSwitchoverRequest(vendor: number, avps: readonly Avp[]): SwitchoverRequest | null {
  const fields = readFields(vendor, avps);
  if (fields === null || fields.address === null) return null;
  const type = switchoverType(fields.numbers.get(AVP.switchoverType));
  if (type === null || (type === 'some') !== fields.sessions.length > 0) return null;
  return {
    address: fields.address,
    port: fields.numbers.get(AVP.peerPort) ?? 0,
    type,
    sessions: fields.sessions,
    generation: fields.numbers.get(AVP.generation) ?? 0,
  };
}

function switchoverType(number: number | undefined): SwitchoverType | null {
  if (number === undefined) return 'all';
  const found = Object.entries(SWITCHOVER_TYPE).find(([, value]) => value === number);
  return found === undefined ? null : (found[0] as SwitchoverType);
}

export function writeSwitchoverResponse(vendor: number, response: SwitchoverResponse): AvpInput[] {
  return [
    writeResult(vendor, response.granted, response.reason, response.message),
    ...writeSwitchoverRequest(vendor, response),
  ];
}

export function readSwitchoverResponse(vendor: number, avps: readonly Avp[]): SwitchoverResponse | null {
  const request = readSwitchoverRequest(vendor, avps);
  const result = readFields(vendor, avps)?.result ?? null;
  return request === null || result === null ? null : { ...request, ...result };
}

export function writeMoveRequest(vendor: number, request: MoveRequest): AvpInput[] {
  return [writeMovedTunnel(vendor, request.moved), ...writeIds(vendor, request.sessions)];
}

export function readMoveRequest(vendor: number, avps: readonly Avp[]): MoveRequest | null {
  const fields = readFields(vendor, avps);
  return fields === null || fields.moved === null ? null : { moved: fields.moved, sessions: fields.sessions };
}

export function writeMoveResponse(vendor: number, response: MoveResponse): AvpInput[] {
  return [
    writeResult(vendor, response.granted, response.reason, response.message),
    ...writeMoveRequest(vendor, response),
  ];
}

export function readMoveResponse(vendor: number, avps: readonly Avp[]): MoveResponse | null {
  const fields = readFields(vendor, avps);
  if (fields === null || fields.moved === null || fields.result === null) return null;
  return { moved: fields.moved, sessions: fields.sessions, ...fields.result };
}

export function writeRelay(vendor: number, relayed: RelayedMessage): AvpInput[] {
  return [
    writeBytes(vendor, AVP.origin, relayed.target),
    writeU16(vendor, AVP.action, relayed.type),
    ...writePieces(vendor, AVP.relayed, relayed.avps),
  ];
}

export function readRelay(vendor: number, avps: readonly Avp[]): RelayedMessage | null {
  const fields = readFields(vendor, avps);
  const type = fields?.numbers.get(AVP.action);
  if (fields === null || fields.origin === null || fields.relayed === null || type === undefined) return null;
  return { target: fields.origin, type, avps: fields.relayed };
}
