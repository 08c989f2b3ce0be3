/** What the call generator is asked to do. */
import { parseAddress } from '../../../wire/address.js';
import type { Logger } from '../../../ops/log.js';
import type { AuthMethod } from '../../../protocol/ppp/options.js';

/** One kind of packets that every session sends while its network is up. */
export interface TrafficSpec {
  /**
   * `ping`: ICMP echo to the server's end of the PPP link, or to `target`; the latency is that of the whole way.
   * `pairs`: UDP from each session to its neighbour's address through the server; the latency is that of one way.
   */
  readonly kind: 'ping' | 'pairs';
  /** Lengths of the IP packets, bytes, one after the other. */
  readonly sizes: readonly number[];
  /** As it was written, for the results. */
  readonly name: string;
  /** Packets a second of each session. */
  readonly rate: number;
}

export interface GeneratorSettings {
  /** Servers; tunnels go to them in turn. */
  readonly lns: readonly { readonly address: string; readonly port: number }[];
  readonly tunnels: number;
  /** In all tunnels together. */
  readonly sessions: number;
  /** Calls, and tunnels, begun each second. */
  readonly rate: number;
  /** How long the sessions are held, and carry traffic, once all are up. */
  readonly seconds: number;
  /** Calls that may be under way at a time; a slow server is not buried. */
  readonly inFlight: number;
  /** Each call is hung up after so many seconds and dialled again; null: it stays. */
  readonly lifetime: number | null;
  /** UDP sockets, each with a port of its own; tunnels are spread over them. */
  readonly sockets: number;
  /** Local address; null: the kernel chooses. */
  readonly source: string | null;
  readonly hostName: string;
  /** Of the tunnel; null none. */
  readonly secret: string | null;
  /** `{n}` becomes the number of the call, from 1 on. */
  readonly user: string;
  readonly password: string;
  readonly methods: readonly AuthMethod[];
  readonly mru: number;
  readonly ipv6: boolean;
  readonly called: string | null;
  readonly calling: string | null;
  readonly traffic: readonly TrafficSpec[];
  /** Whom pings go to; null: the server's end of each link. */
  readonly target: Uint8Array | null;
  readonly workers: number;
  /** Tell LNSs that tunnels can be moved to a peer, and move them (document 002). */
  readonly switchover: boolean;
  /** Open a tunnel to an LNS's peer in advance. */
  readonly standby: boolean;
  readonly logger: Logger;
}

/** Simple IMIX: 7 small, 4 middle, 1 long. */
const IMIX = [64, 64, 576, 64, 64, 576, 64, 576, 64, 64, 576, 1500];
/** Headers and what the generator writes into a packet. */
export const LEAST_PACKET = 52;
const LONGEST_PACKET = 1500;
const RATE_LIMIT = 100_000;

/**
 * `ping`, `ping:1400`, `pairs:imix@100`: kind, length of the IP packet (64) and packets a second of each session (1).
 * The text of what is wrong with it otherwise.
 */
export function parseTraffic(text: string): TrafficSpec | string {
  const match = /^(ping|pairs)(?::(imix|\d{1,5}))?(?:@(\d{1,6}(?:\.\d{1,3})?))?$/.exec(text);
  if (match === null) return 'write ping or pairs, then :LENGTH or :imix, then @PACKETS-A-SECOND';
  const [, kind, size = '64', rate = '1'] = match;
  const sizes = size === 'imix' ? IMIX : [Number(size)];
  if (sizes[0] < LEAST_PACKET || sizes[0] > LONGEST_PACKET) {
    return `a packet has from ${LEAST_PACKET} to ${LONGEST_PACKET} bytes`;
  }
  if (Number(rate) <= 0 || Number(rate) > RATE_LIMIT) return `a session sends up to ${RATE_LIMIT} packets a second`;
  return { kind: kind as 'ping' | 'pairs', sizes, name: text, rate: Number(rate) };
}

/** `192.0.2.1`, `192.0.2.1:1701`, `2001:db8::1` or `[2001:db8::1]:1701`; null when it is none of them. */
export function parseFarEnd(text: string, defaultPort: number): { address: string; port: number } | null {
  const match = /^(?:\[([^\]]+)\](?::(\d{1,5}))?|([^:]+)(?::(\d{1,5}))?|([0-9a-fA-F:.]+))$/.exec(text);
  if (match === null) return null;
  const address = match[1] ?? match[3] ?? match[5];
  const port = Number(match[2] ?? match[4] ?? defaultPort);
  return parseAddress(address) === null || port < 1 || port > 65_535 ? null : { address, port };
}

/** The 4 bytes of an IPv4 address; null when it is none. */
export function ipv4Of(text: string): Uint8Array | null {
  const words = text.includes(':') ? null : parseAddress(text);
  if (words === null) return null;
  const address = words[3];
  return Uint8Array.of(address >>> 24, (address >>> 16) & 0xff, (address >>> 8) & 0xff, address & 0xff);
}
