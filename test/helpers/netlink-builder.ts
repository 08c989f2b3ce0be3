/** rtnetlink messages as a kernel sends them, for tests; written from linux/rtnetlink.h, not from the product. */
import { concat } from './packet-builder.js';

const le16 = (value: number): number[] => [value & 255, (value >> 8) & 255];
const le32 = (value: number): number[] => [...le16(value & 0xffff), ...le16((value >>> 16) & 0xffff)];
const padded = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(-bytes.length & 3));

export function attribute(type: number, value: Uint8Array | readonly number[]): Uint8Array {
  return padded(concat(le16(4 + value.length), le16(type), value));
}
export const number = (type: number, value: number): Uint8Array => attribute(type, le32(value));
export const name = (type: number, text: string): Uint8Array => attribute(type, [...Buffer.from(text), 0]);

export function message(type: number, body: Uint8Array | readonly number[], flags = 2, sequence = 1): Uint8Array {
  return padded(concat(le32(16 + body.length), le16(type), le16(flags), le32(sequence), le32(0), body));
}
export const done = (sequence: number, flags = 2): Uint8Array => message(3, le32(0), flags, sequence);
export const refusal = (sequence: number, errno: number): Uint8Array =>
  message(2, [...le32(-errno), ...new Array(16).fill(0)], 0, sequence);

export function link(
  index: number,
  text: string,
  options: { up?: boolean; mac?: readonly number[]; mtu?: number } = {},
): Uint8Array {
  const flags = (options.up ?? true) ? 0x1 | 0x10000 : 0;
  const mac = options.mac ?? [2, 0, 0, 0, 0, index];
  return concat(
    [0, 0],
    le16(1),
    le32(index),
    le32(flags),
    le32(0),
    name(3, text),
    attribute(1, mac),
    number(4, options.mtu ?? 1500),
  );
}

export interface RouteFields {
  family?: 2 | 10;
  length: number;
  destination?: readonly number[];
  table?: number;
  type?: number;
  flags?: number;
  tos?: number;
  attributes?: readonly Uint8Array[];
}
export function route(fields: RouteFields): Uint8Array {
  const { family = 2, length, destination, table = 254, type = 1, flags = 0, tos = 0, attributes = [] } = fields;
  const head = [family, length, 0, tos, Math.min(table, 252) === 252 ? table & 255 : table, 3, 0, type, ...le32(flags)];
  return concat(
    head,
    ...(destination === undefined ? [] : [attribute(1, destination)]),
    number(15, table),
    ...attributes,
  );
}
/** One hop of RTA_MULTIPATH. */
export function hop(index: number, attributes: readonly Uint8Array[], flags = 0): Uint8Array {
  const rest = concat(...attributes);
  return concat(le16(8 + rest.length), [flags, 0], le32(index), rest);
}

export function neighbour(
  index: number,
  address: readonly number[],
  mac: readonly number[] | null,
  state = 2,
  flags = 0,
): Uint8Array {
  const family = address.length === 4 ? 2 : 10;
  const link = mac === null ? [] : [attribute(2, mac)];
  return concat([family, 0, 0, 0], le32(index), le16(state), [flags, 1], attribute(1, address), ...link);
}
export function address(index: number, attributes: readonly Uint8Array[], family: 2 | 10 = 2): Uint8Array {
  return concat([family, 24, 0, 0], le32(index), ...attributes);
}
