/**
 * L2TPv2 messages for tests (RFC 2661 §3.1, §4, §6), written without the product's codec. Every function returns the UDP
 * payload. `tunnel` and `session` are the header's ids, those of the receiver; `assigned` is the sender's own.
 */
import { type BytesLike, bytes, concat, viewOf } from './packet-builder.js';

export const MESSAGE = {
  SCCRQ: 1,
  SCCRP: 2,
  SCCCN: 3,
  StopCCN: 4,
  Hello: 6,
  OCRQ: 7,
  OCRP: 8,
  OCCN: 9,
  ICRQ: 10,
  ICRP: 11,
  ICCN: 12,
  CDN: 14,
  WEN: 15,
  SLI: 16,
} as const;

export interface AvpOptions {
  /** Default true. */
  mandatory?: boolean;
  /** Sets the H bit; the value is written as given. */
  hidden?: boolean;
  vendor?: number;
  /** Overrides the length field. */
  length?: number;
}

/** `value`: a number is a 16-bit word, text in quotes is *hexadecimal*; use `text()` for characters. */
export function avp(type: number, value: number | BytesLike = '', options: AvpOptions = {}): Uint8Array {
  const { mandatory = true, hidden = false, vendor = 0 } = options;
  const data = typeof value === 'number' ? u16(value) : bytes(value);
  const length = options.length ?? 6 + data.length;
  const flags = (mandatory ? 0x8000 : 0) | (hidden ? 0x4000 : 0) | length;
  return concat(u16(flags), u16(vendor), u16(type), data);
}

export const u16 = (value: number): Uint8Array => Uint8Array.of((value >> 8) & 0xff, value & 0xff);
export const u32 = (value: number): Uint8Array => concat(u16(value >>> 16), u16(value & 0xffff));
export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

export interface ControlOptions {
  /** Default 0. */
  tunnel?: number;
  session?: number;
  ns?: number;
  nr?: number;
  /** In order, message type first. */
  avps?: readonly Uint8Array[];
  /** Overrides the length field. */
  length?: number;
  /** Overrides the first two bytes; default 0xc802. */
  flags?: number;
}

export function l2tpControl(options: ControlOptions): Uint8Array {
  const body = concat(...(options.avps ?? []));
  return concat(
    u16(options.flags ?? 0xc802),
    u16(options.length ?? 12 + body.length),
    u16(options.tunnel ?? 0),
    u16(options.session ?? 0),
    u16(options.ns ?? 0),
    u16(options.nr ?? 0),
    body,
  );
}

type Message = Omit<ControlOptions, 'avps'> & {
  /** AVPs behind those that the message must have. */
  extra?: readonly Uint8Array[];
};
type Assigning = Message & {
  assigned: number;
  /** The assigned id as a hidden AVP, its value not readable. */
  hidden?: boolean;
};

const typed = (type: number, options: Message, ...avps: Uint8Array[]): Uint8Array =>
  l2tpControl({ ...options, avps: [avp(0, type), ...avps, ...(options.extra ?? [])] });

/** Assigned Tunnel ID (9) or Assigned Session ID (14). */
const assignedId = (type: number, { assigned, hidden }: Assigning): Uint8Array =>
  hidden ? avp(type, [0xde, 0xad, 0xbe, 0xef], { hidden: true }) : avp(type, assigned);

/** `more`: AVPs behind the usual ones. */
type Starting = Assigning & { host?: string; more?: readonly Uint8Array[] };

const start = (type: number, options: Starting): Uint8Array =>
  typed(
    type,
    options,
    avp(2, [1, 0]), // protocol version 1.0
    avp(3, u32(3)), // framing: both
    avp(7, text(options.host ?? 'test')),
    assignedId(9, options),
    avp(10, 4), // receive window
    ...(options.more ?? []),
  );

/** Header ids 0, Ns 0, Nr 0 unless told otherwise. */
export const sccrq = (options: Starting): Uint8Array => start(MESSAGE.SCCRQ, options);
export const sccrp = (options: Assigning & { tunnel: number; host?: string }): Uint8Array =>
  start(MESSAGE.SCCRP, { nr: 1, ...options });
export const scccn = (options: Message & { tunnel: number }): Uint8Array =>
  typed(MESSAGE.SCCCN, { ns: 1, nr: 1, ...options });
export const icrq = (options: Assigning & { tunnel: number; serial?: number }): Uint8Array =>
  typed(MESSAGE.ICRQ, { ns: 2, nr: 1, ...options }, assignedId(14, options), avp(15, u32(options.serial ?? 1)));
export const icrp = (options: Assigning & { tunnel: number; session: number }): Uint8Array =>
  typed(MESSAGE.ICRP, { ns: 1, nr: 3, ...options }, assignedId(14, options));
export const iccn = (options: Message & { tunnel: number; session: number; speed?: number }): Uint8Array =>
  typed(MESSAGE.ICCN, { ns: 3, nr: 2, ...options }, avp(24, u32(options.speed ?? 10_000_000)), avp(19, u32(1)));
export const hello = (options: Message & { tunnel: number }): Uint8Array => typed(MESSAGE.Hello, options);
/** A control header alone; takes no sequence number. */
export const zlb = (options: Message & { tunnel: number }): Uint8Array => l2tpControl(options);
export const cdn = (options: Assigning & { tunnel: number; session: number; result?: number }): Uint8Array =>
  typed(MESSAGE.CDN, options, avp(1, options.result ?? 3), assignedId(14, options));
export const stopccn = (options: Assigning & { result?: number }): Uint8Array =>
  typed(MESSAGE.StopCCN, options, assignedId(9, options), avp(1, options.result ?? 1));

export interface DataOptions {
  tunnel: number;
  session: number;
  /** Sets L; `true` writes the right length. */
  length?: boolean | number;
  /** Sets S: Ns, Nr. */
  sequence?: readonly [number, number];
  /** Sets O: offset size; that many zero bytes follow. */
  offset?: number;
  priority?: boolean;
  /** Default: an LCP Echo-Request, `ff03 c021 09 01 0008 00000000`. */
  payload?: BytesLike;
}

export function l2tpData(options: DataOptions): Uint8Array {
  const { length, sequence, offset, priority } = options;
  const withLength = length !== undefined && length !== false;
  const first =
    (withLength ? 0x40 : 0) | (sequence ? 0x08 : 0) | (offset === undefined ? 0 : 0x02) | (priority ? 0x01 : 0);
  const message = concat(
    [first, 2],
    withLength ? [0, 0] : [],
    u16(options.tunnel),
    u16(options.session),
    sequence ? concat(u16(sequence[0]), u16(sequence[1])) : [],
    offset === undefined ? [] : concat(u16(offset), new Uint8Array(offset)),
    options.payload ?? 'ff03c021 09010008 00000000',
  );
  if (withLength) viewOf(message).setUint16(2, length === true ? message.length : (length as number));
  return message;
}
