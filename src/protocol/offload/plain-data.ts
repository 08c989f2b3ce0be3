/**
 * Plain data as bytes: a subset of CBOR (RFC 8949) in its deterministic form, with member names of a fixed table as
 * integers. It carries snapshots between LNSs, so it must take any bytes without harm and must let shapes grow: a
 * reader keeps members that it does not need and misses those that the writer did not know.
 */

/** Members that are undefined are left out. Numbers that are no safe integers travel as 64-bit floats. */
export type PlainData =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly PlainData[]
  | { readonly [name: string]: PlainData | undefined };

/**
 * Names that a state has often: one or two bytes instead of the text. Positions are part of the wire format, so this
 * list only grows at its end; a number that a reader does not know is a member that it leaves out.
 */
const NAMES: readonly string[] = [
  'localId',
  'peerId',
  'state',
  'kind',
  'attributes',
  'sequencing',
  'ns',
  'nr',
  'peer',
  'address',
  'port',
  'socket',
  'hostName',
  'vendorName',
  'sessions',
  'window',
  'profile',
  'peerAvps',
  'l2tp',
  'ppp',
  'user',
  'ipv4',
  'ipv6',
  'dns',
  'local',
  'mru',
  'accm',
  'magic',
  'pfc',
  'acfc',
  'authentication',
  'method',
  'name',
  'id',
  'phase',
  'parameters',
  'required',
  'negotiated',
  'options',
  'rejected',
  'vj',
  'ccp',
  'lcp',
  'ipcp',
  'ipv6cp',
  'counters',
  'packetsIn',
  'packetsOut',
  'bytesIn',
  'bytesOut',
  'startedAt',
  'accountingId',
  'class',
  'idleTimeout',
  'sessionTimeout',
  'pool',
  'prefix',
  'interfaceId',
  'routes',
  'callSerialNumber',
  'bearerType',
  'framingType',
  'calledNumber',
  'callingNumber',
  'subAddress',
  'txSpeed',
  'rxSpeed',
  'physicalChannelId',
  'proxy',
  'identifier',
  'opened',
  'identity',
  'call',
  'grant',
  'sinceMs',
  'secondsLeft',
  'idleSeconds',
  'sendNs',
  'receiveNs',
  'ipv4Up',
  'ipv6Up',
  'mruMin',
  'authenticate',
  'lastSent',
  'lastReceived',
  'nextId',
  'auth',
  'assignment',
  'open',
  'peerRejected',
  'ours',
  'serial',
  'called',
  'calling',
  'framing',
  'bearer',
  'words',
  'length',
  'cooperating',
  'tunnel',
  'pending',
  'peerWindow',
  'nextSerial',
  'vendor',
  'type',
  'mandatory',
  'hidden',
  'reserved',
  'value',
  'timeoutSeconds',
  'interimSeconds',
  'pool6',
  'reply',
  'radius',
  'physicalChannel',
];
const NUMBER_OF = new Map(NAMES.map((name, i) => [name, i]));

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, simple: 7 } as const;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
const FLOAT64 = 0xfb;
const TWO32 = 2 ** 32;
/** Snapshots are flat; what nests deeper is no snapshot. */
const DEPTH_MAX = 24;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Writes into one buffer that grows and is used again: `encode` copies what it made. */
class Writer {
  bytes = new Uint8Array(4096);
  view = new DataView(this.bytes.buffer);
  at = 0;

  reserve(length: number): void {
    if (this.at + length <= this.bytes.length) return;
    const wider = new Uint8Array(Math.max(this.bytes.length * 2, this.at + length));
    wider.set(this.bytes.subarray(0, this.at));
    this.bytes = wider;
    this.view = new DataView(wider.buffer);
  }

  head(major: number, value: number): void {
    this.reserve(9);
    const first = major << 5;
    if (value < 24) this.bytes[this.at++] = first | value;
    else if (value < 0x100) {
      this.bytes[this.at++] = first | 24;
      this.bytes[this.at++] = value;
    } else if (value < 0x10000) {
      this.bytes[this.at++] = first | 25;
      this.view.setUint16(this.at, value);
      this.at += 2;
    } else if (value < TWO32) {
      this.bytes[this.at++] = first | 26;
      this.view.setUint32(this.at, value);
      this.at += 4;
    } else {
      this.bytes[this.at++] = first | 27;
      this.view.setUint32(this.at, Math.floor(value / TWO32));
      this.view.setUint32(this.at + 4, value % TWO32);
      this.at += 8;
    }
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  text(value: string): void {
    // Most texts are ASCII names: those are written without a detour.
    const length = value.length;
    this.reserve(length * 3 + 9);
    for (let i = 0; i < length; i++) {
      if (value.charCodeAt(i) > 0x7f) {
        const bytes = encoder.encode(value);
        this.head(MAJOR.text, bytes.length);
        this.raw(bytes);
        return;
      }
    }
    this.head(MAJOR.text, length);
    for (let i = 0; i < length; i++) this.bytes[this.at++] = value.charCodeAt(i);
  }

  value(value: PlainData): void {
    if (value === null) this.byte(NULL);
    else if (typeof value === 'number') this.number(value);
    else if (typeof value === 'string') this.text(value);
    else if (typeof value === 'boolean') this.byte(value ? TRUE : FALSE);
    else if (value instanceof Uint8Array) {
      this.head(MAJOR.bytes, value.length);
      this.raw(value);
    } else if (Array.isArray(value)) {
      this.head(MAJOR.array, value.length);
      for (const item of value as readonly PlainData[]) this.value(item);
    } else this.members(value as { readonly [name: string]: PlainData | undefined });
  }

  members(value: { readonly [name: string]: PlainData | undefined }): void {
    let count = 0;
    for (const name in value) if (value[name] !== undefined) count++;
    this.head(MAJOR.map, count);
    for (const name in value) {
      const member = value[name];
      if (member === undefined) continue;
      const number = NUMBER_OF.get(name);
      if (number === undefined) this.text(name);
      else this.head(MAJOR.unsigned, number);
      this.value(member);
    }
  }

  number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0) this.head(MAJOR.unsigned, value);
      else this.head(MAJOR.negative, -1 - value);
      return;
    }
    this.reserve(9);
    this.bytes[this.at++] = FLOAT64;
    this.view.setFloat64(this.at, value);
    this.at += 8;
  }
}

const writer = new Writer();

/** Bytes of plain data after `prefix`, in memory of their own. Throws RangeError (stack) only for cyclic data. */
export function encodePlain(value: PlainData, prefix: Uint8Array = new Uint8Array(0)): Uint8Array {
  writer.at = 0;
  writer.raw(prefix);
  writer.value(value);
  return writer.bytes.slice(0, writer.at);
}

/** What ends the reading of malformed bytes; never leaves this file. */
class Malformed extends Error {}

class Reader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  get done(): boolean {
    return this.at === this.#bytes.length;
  }

  #need(length: number): number {
    const at = this.at;
    if (length > this.#bytes.length - at) throw new Malformed();
    this.at += length;
    return at;
  }

  #argument(low: number): number {
    if (low < 24) return low;
    if (low === 24) return this.#bytes[this.#need(1)];
    if (low === 25) return this.#view.getUint16(this.#need(2));
    if (low === 26) return this.#view.getUint32(this.#need(4));
    if (low !== 27) throw new Malformed();
    const at = this.#need(8);
    const value = this.#view.getUint32(at) * TWO32 + this.#view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) throw new Malformed();
    return value;
  }

  value(depth: number): PlainData {
    if (depth > DEPTH_MAX) throw new Malformed();
    const first = this.#bytes[this.#need(1)];
    if (first === NULL) return null;
    if (first === TRUE || first === FALSE) return first === TRUE;
    if (first === FLOAT64) return this.#view.getFloat64(this.#need(8));
    const argument = this.#argument(first & 0x1f);
    switch (first >> 5) {
      case MAJOR.unsigned:
        return argument;
      case MAJOR.negative:
        return -1 - argument;
      case MAJOR.bytes: {
        const at = this.#need(argument);
        return this.#bytes.slice(at, at + argument);
      }
      case MAJOR.text:
        return this.#text(argument);
      case MAJOR.array: {
        if (argument > this.#bytes.length - this.at) throw new Malformed();
        const items: PlainData[] = [];
        for (let i = 0; i < argument; i++) items.push(this.value(depth + 1));
        return items;
      }
      case MAJOR.map:
        return this.#members(argument, depth);
      default:
        throw new Malformed();
    }
  }

  #members(count: number, depth: number): PlainData {
    if (count > this.#bytes.length - this.at) throw new Malformed();
    const members: Record<string, PlainData> = {};
    for (let i = 0; i < count; i++) {
      const first = this.#bytes[this.#need(1)];
      const argument = this.#argument(first & 0x1f);
      const name = first >> 5 === MAJOR.unsigned ? NAMES[argument] : this.#name(first, argument);
      const value = this.value(depth + 1);
      // A member of this name would change what the object is, instead of what it holds.
      if (name !== undefined && name !== '__proto__') members[name] = value;
    }
    return members;
  }

  #name(first: number, length: number): string {
    if (first >> 5 !== MAJOR.text) throw new Malformed();
    return this.#text(length);
  }

  #text(length: number): string {
    const at = this.#need(length);
    let text = '';
    if (length <= 32) {
      for (let i = at; i < at + length; i++) {
        const byte = this.#bytes[i];
        if (byte > 0x7f) return this.#wide(at, length);
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return this.#wide(at, length);
  }

  #wide(at: number, length: number): string {
    try {
      return decoder.decode(this.#bytes.slice(at, at + length));
    } catch {
      throw new Malformed();
    }
  }
}

/** Reads what `encodePlain` writes, from `offset` to the end; undefined for anything else. */
export function decodePlain(bytes: Uint8Array, offset = 0): PlainData | undefined {
  const reader = new Reader(bytes, offset);
  try {
    const value = reader.value(0);
    return reader.done ? value : undefined;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}
