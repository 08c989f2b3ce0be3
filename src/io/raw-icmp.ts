/**
 * ICMP and ICMPv6 of the appliance's own, through the raw-socket package: errors with any source address, and echo as a
 * probe. Only the main thread may use it, since the package is not context-aware. At most some hundred packets a second
 * are ever wanted here, so everything is limited and what goes over a limit is counted, not queued.
 *
 * Errors leave as whole IP packets (IPPROTO_RAW: the header is ours, its source is a VIP that the host does not have);
 * the host's routes decide where they go. Sockets are opened when they are first needed and receive nothing but echo
 * replies, which the kernel's ICMP filter sees to.
 */
import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { DesignatorError } from '../errors.js';
import { TokenBuckets } from '../flow/token-bucket.js';
import { type AddressWords, formatAddress, isIpv4 } from '../wire/address.js';
import { emitIcmp, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, ICMP_HEADER_LENGTH } from '../wire/icmp.js';
import { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from '../wire/icmpv6.js';
import { checkIpv4, PROTOCOL_ICMP } from '../wire/ipv4.js';
import { NEXT_ICMPV6 } from '../wire/ipv6.js';

/** What is used of a socket of raw-socket 1.8. */
export interface RawSocket {
  on(event: 'message', listener: (packet: Uint8Array, source: string) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  setOption(level: number, option: number, value: Uint8Array, length: number): void;
  send(
    packet: Uint8Array,
    offset: number,
    length: number,
    address: string,
    done: (error: Error | null, bytes: number) => void,
  ): unknown;
  close(): unknown;
}

export type RawSocketFactory = (options: { protocol: number; addressFamily: 1 | 2 }) => RawSocket;

export interface RawIcmpOptions {
  /** Errors a second and at once, all destinations together; default 1000 and 100. */
  readonly rate?: number;
  readonly burst?: number;
  /** Seconds that never go backwards; default CLOCK_MONOTONIC. */
  readonly now?: () => number;
  readonly open?: RawSocketFactory;
}

/** What became of a probe. `unsent`: the host has no route, or a limit is reached. */
export type EchoResult =
  | { readonly result: 'reply'; readonly roundTripMs: number }
  | { readonly result: 'timeout' }
  | { readonly result: 'unsent'; readonly reason: string };

interface Probe {
  readonly address: string;
  readonly sentAt: number;
  readonly timer: NodeJS.Timeout;
  readonly settle: (result: EchoResult) => void;
}

/** Packets given to the package and not yet sent: it sends one in a turn of the event loop. */
const QUEUE_LIMIT = 256;
/** Probes that wait for a reply at a time. */
const PROBE_LIMIT = 1024;
const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;
const IPPROTO_RAW = 255;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const ICMP6_FILTER = 1;
const ECHO_DATA_LENGTH = 16;

export class RawIcmp {
  readonly counters = {
    /** Errors that the kernel took. */
    sent: 0,
    /** … that the rate or the queue did not allow. */
    suppressed: 0,
    /** … that the kernel refused (no route, for instance). */
    failed: 0,
    probes: 0,
    replies: 0,
    /** Echo replies that answer no probe of ours. */
    strayReplies: 0,
  };
  readonly #open: RawSocketFactory;
  readonly #now: () => number;
  readonly #bucket: TokenBuckets;
  /** The package closes a socket that nobody refers to. */
  readonly #sockets = new Map<string, RawSocket>();
  readonly #probes = new Map<number, Probe>();
  readonly #identifier = randomInt(0x10000);
  #sequence = 0;
  #queued = 0;
  #closed = false;

  constructor(options: RawIcmpOptions = {}) {
    this.#open = options.open ?? openRawSocket;
    this.#now = options.now ?? (() => performance.now() / 1000);
    this.#bucket = new TokenBuckets({ rate: options.rate ?? 1000, burst: options.burst ?? 100, capacity: 4 });
  }

  /**
   * Opens the sockets that errors of this family leave by, so that a missing permission is known at start. Errors:
   * TD_NO_PERMISSION without CAP_NET_RAW, TD_UNAVAILABLE without the package or the address family.
   */
  prepare(family: 4 | 6): void {
    this.#socket(IPPROTO_RAW, family === 4 ? FAMILY_IPV4 : FAMILY_IPV6);
  }

  /** Sends a whole IP packet. False when a limit did not allow it. Errors as of `prepare`. */
  send(packet: Uint8Array): boolean {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const v4 = packet.length > 0 && packet[0] >> 4 === 4;
    if (v4 ? checkIpv4(view, 0, packet.length) === 0 : packet.length < 40 || packet[0] >> 4 !== 6)
      throw new DesignatorError('TD_INTERNAL', 'RawIcmp.send: no IP packet', { length: packet.length });
    if (this.#closed || this.#queued >= QUEUE_LIMIT || !this.#bucket.take(0, 0, 0, 0, this.#now())) {
      this.counters.suppressed++;
      return false;
    }
    const at = (offset: number): number => view.getUint32(offset);
    const address = v4 ? formatAddress(0, 0, 0xffff, at(16)) : formatAddress(at(24), at(28), at(32), at(36));
    this.#transmit(this.#socket(IPPROTO_RAW, v4 ? FAMILY_IPV4 : FAMILY_IPV6), packet, address, (error) => {
      if (error === null) this.counters.sent++;
      else this.counters.failed++;
    });
    return true;
  }

  /**
   * Asks an address for an echo and waits for the reply that carries our identifier, sequence number and data. Resolves
   * in any case, after `timeoutMs` at the latest. Errors as of `prepare`.
   */
  async echo(words: AddressWords, timeoutMs: number): Promise<EchoResult> {
    if (this.#closed) return { result: 'unsent', reason: 'closed' };
    if (this.#probes.size >= PROBE_LIMIT || this.#queued >= QUEUE_LIMIT)
      return { result: 'unsent', reason: 'too many probes are under way' };
    const v4 = isIpv4(words[0], words[1], words[2]);
    const address = formatAddress(...words);
    const socket = v4 ? this.#socket(PROTOCOL_ICMP, FAMILY_IPV4) : this.#socket(NEXT_ICMPV6, FAMILY_IPV6);
    const sequence = this.#freeSequence();
    const packet = this.#echoRequest(v4, sequence);
    this.counters.probes++;
    return new Promise((resolve) => {
      const settle = (result: EchoResult): void => {
        clearTimeout(timer);
        if (this.#probes.delete(sequence)) resolve(result);
      };
      const timer = setTimeout(() => settle({ result: 'timeout' }), timeoutMs);
      this.#probes.set(sequence, { address, sentAt: performance.now(), timer, settle });
      this.#transmit(socket, packet, address, (error) => {
        if (error !== null) settle({ result: 'unsent', reason: error.message });
      });
    });
  }

  /** Ends all probes and closes the sockets; an open one keeps the process alive. */
  close(): void {
    this.#closed = true;
    for (const probe of [...this.#probes.values()]) probe.settle({ result: 'unsent', reason: 'closed' });
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #freeSequence(): number {
    do this.#sequence = (this.#sequence + 1) & 0xffff;
    while (this.#probes.has(this.#sequence));
    return this.#sequence;
  }

  #echoRequest(v4: boolean, sequence: number): Uint8Array {
    const packet = Buffer.alloc(ICMP_HEADER_LENGTH + ECHO_DATA_LENGTH, 'designator');
    packet.writeUInt16BE(this.#identifier, 4);
    packet.writeUInt16BE(sequence, 6);
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    // The kernel writes the checksum of ICMPv6 itself, which covers a source address that only it knows.
    emitIcmp(view, 0, packet.length, v4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST, 0);
    return packet;
  }

  #transmit(socket: RawSocket, packet: Uint8Array, address: string, done: (error: Error | null) => void): void {
    this.#queued++;
    // The package keeps the buffer until it sends, so it gets one of its own.
    socket.send(Buffer.from(packet), 0, packet.length, address, (error) => {
      this.#queued--;
      done(error);
    });
  }

  #socket(protocol: number, family: 1 | 2): RawSocket {
    const name = `${protocol}/${family}`;
    const known = this.#sockets.get(name);
    if (known !== undefined) return known;
    const socket = this.#open({ protocol, addressFamily: family });
    // A socket that failed is opened anew by the next packet.
    socket.on('error', () => this.#sockets.delete(name));
    if (protocol === PROTOCOL_ICMP) {
      const filter = Buffer.alloc(4);
      filter.writeUInt32LE(~(1 << ICMP_ECHO_REPLY) >>> 0); // a set bit blocks the type
      socket.setOption(SOL_RAW, ICMP_FILTER, filter, filter.length);
      socket.on('message', (packet, source) => this.#heard(packet, source, true));
    } else if (protocol === NEXT_ICMPV6) {
      const filter = Buffer.alloc(32, 0xff);
      filter[ICMPV6_ECHO_REPLY >> 3] &= ~(1 << (ICMPV6_ECHO_REPLY & 7)); // RFC 3542 §3.2, a set bit blocks in Linux
      socket.setOption(NEXT_ICMPV6, ICMP6_FILTER, filter, filter.length);
      socket.on('message', (packet, source) => this.#heard(packet, source, false));
    }
    this.#sockets.set(name, socket);
    return socket;
  }

  #heard(packet: Uint8Array, source: string, v4: boolean): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const icmp = v4 ? checkIpv4(view, 0, packet.length) : 0;
    if ((v4 && icmp === 0) || packet.length - icmp < ICMP_HEADER_LENGTH) return;
    const type = view.getUint8(icmp);
    if (type !== (v4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY) || view.getUint16(icmp + 4) !== this.#identifier) return;
    const probe = this.#probes.get(view.getUint16(icmp + 6));
    if (probe === undefined || probe.address !== source) {
      this.counters.strayReplies++;
      return;
    }
    this.counters.replies++;
    probe.settle({ result: 'reply', roundTripMs: performance.now() - probe.sentAt });
  }
}

/** Opens a socket of the raw-socket package, with the errors that RawIcmp names. */
function openRawSocket(options: { protocol: number; addressFamily: 1 | 2 }): RawSocket {
  let createSocket: RawSocketFactory;
  try {
    ({ createSocket } = createRequire(import.meta.url)('raw-socket') as { createSocket: RawSocketFactory });
  } catch (error) {
    throw new DesignatorError(
      'TD_UNAVAILABLE',
      'the package raw-socket is missing or not built: npm ci builds it',
      { package: 'raw-socket' },
      error,
    );
  }
  try {
    return createSocket(options);
  } catch (error) {
    const { message } = error as Error;
    if (/not permitted|permission denied/i.test(message))
      throw new DesignatorError(
        'TD_NO_PERMISSION',
        'ICMP of our own needs a raw socket: the capability CAP_NET_RAW is missing',
        { capability: 'CAP_NET_RAW' },
        error,
      );
    throw new DesignatorError('TD_UNAVAILABLE', `no raw socket for ICMP: ${message}`, { ...options }, error);
  }
}
