/** ARP and Neighbour Discovery frames as hosts send them, byte by byte from the RFCs and not by the codecs under test. */

export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/[\s:]/g, ''), 'hex'));

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const mac = (value: number | string): string => (typeof value === 'number' ? hex(value, 12) : value.replace(/:/g, ''));
const ipv4 = (text: string): string =>
  text
    .split('.')
    .map((part) => hex(Number(part), 2))
    .join('');

/** All 32 digits of an IPv6 address that may have one "::". */
export function ipv6(text: string): string {
  const [head, tail] = text.split('::');
  const groups = (part: string | undefined): string[] => (part === undefined || part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const middle = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...middle, ...right].map((group) => group.padStart(4, '0')).join('');
}

export interface ArpText {
  readonly to?: number | string;
  readonly from: number | string;
  readonly operation?: number;
  /** Default: `from`. */
  readonly senderMac?: number | string;
  readonly sender: string;
  readonly targetMac?: number | string;
  readonly target: string;
  /** A VLAN tag in the frame. */
  readonly tag?: number;
  readonly padded?: boolean;
}

export function arp(told: ArpText): Uint8Array {
  const { to = 0xffffffffffff, from, operation = 1, senderMac = from, sender, targetMac = 0, target, tag } = told;
  const text =
    `${mac(to)}${mac(from)}${tag === undefined ? '' : `8100${hex(tag, 4)}`}0806` +
    `0001080006 04${hex(operation, 4)}${mac(senderMac)}${ipv4(sender)}${mac(targetMac)}${ipv4(target)}`;
  const frame = bytes(text);
  if (told.padded !== true) return frame;
  const padded = new Uint8Array(60).fill(0xa5);
  padded.set(frame);
  return padded;
}

/** The Internet checksum over a pseudo-header and a message, in plain arithmetic. */
function checksum(source: string, destination: string, message: string): string {
  const all = `${source}${destination}${hex(message.length / 2, 8)}0000003a${message}`;
  let sum = 0;
  for (let at = 0; at < all.length; at += 4) sum += Number.parseInt(all.slice(at, at + 4).padEnd(4, '0'), 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return hex(~sum & 0xffff, 4);
}

export interface NeighbourText {
  readonly to?: number | string;
  readonly from: number | string;
  readonly source: string;
  readonly destination?: string;
  readonly hopLimit?: number;
  readonly type: 133 | 134 | 135 | 136 | 128;
  readonly code?: number;
  /** First byte behind the checksum. */
  readonly flags?: number;
  /** All that stands between the checksum and the options, as hex, instead of flags and target. */
  readonly words?: string;
  /** Absent: no target, as in a Router Solicitation. */
  readonly target?: string;
  /** Options as hex. */
  readonly options?: string;
  readonly wrongChecksum?: boolean;
}

export function neighbour(told: NeighbourText): Uint8Array {
  const { to, from, type, code = 0, flags = 0, target, options = '', hopLimit = 255 } = told;
  const source = ipv6(told.source);
  const destination = ipv6(told.destination ?? (target === undefined ? 'ff02::2' : solicitedNode(target)));
  const ethernet = to ?? (destination.startsWith('ff') ? `3333${destination.slice(24)}` : 0);
  const fixed = told.words ?? `${hex(flags, 2)}000000${target === undefined ? '' : ipv6(target)}`;
  const body = `${fixed}${options.replace(/[\s:]/g, '')}`;
  const start = `${hex(type, 2)}${hex(code, 2)}`;
  const right = checksum(source, destination, `${start}0000${body}`);
  const message = `${start}${told.wrongChecksum === true ? hex(Number.parseInt(right, 16) ^ 1, 4) : right}${body}`;
  return bytes(
    `${mac(ethernet)}${mac(from)}86dd60000000${hex(message.length / 2, 4)}3a${hex(hopLimit, 2)}` +
      `${source}${destination}${message}`,
  );
}

/** ff02::1:ffXX:XXXX (RFC 4291 §2.7.1). */
export function solicitedNode(address: string): string {
  const digits = ipv6(address);
  return `ff02::1:ff${digits.slice(26, 28)}:${digits.slice(28)}`;
}

/** Source (1) or target (2) link-layer option. */
export const linkLayer = (type: 1 | 2, of: number | string): string => `0${type}01${mac(of)}`;
