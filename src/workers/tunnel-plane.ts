/**
 * The data path of an LNS or a LAC as the main thread sees it: sockets, TUN device or access lines, the session table,
 * and the workers that forward. Everything that is no plain data comes up as a punt; everything that the main thread sends
 * leaves in one native call.
 */
import { formatWords, parseAddress } from '../wire/address.js';
import { PLANE_COUNTERS, PLANE_DROPS } from '../flow/plane-drops.js';
import { PuntRing } from '../flow/punt-ring.js';
import {
  PLANE,
  PLANE_SOCKET_LIMIT,
  type PlaneLayout,
  PUNT,
  PUNT_KIND,
  PUNT_STRIDE,
  planeLayout,
  SOCKET,
  SOCKET_WORDS,
  STATISTIC_LIMIT,
} from '../flow/session-layout.js';
import { SessionTable } from '../flow/session-table.js';
import { DesignatorError } from '../errors.js';
import { native } from '../io/native.js';
import type { NativeAccess } from '../io/tunnel-native.js';
import { newControl } from './control.js';
import { ShardPool, type ShardStatus } from './pool.js';
import { SendBatch } from './send-batch.js';
import { tunnelWorkerFile } from './tunnel-file.js';
import type { TunnelTask } from './tunnel-task.js';

/** The far end of a datagram. `socket`: index of our own (addSocket). The same object for the same far end, as a rule. */
export interface PlanePeer {
  readonly address: string;
  readonly port: number;
  readonly socket: number;
}

export type PuntKind = 'control' | 'ppp' | 'access-ppp' | 'discovery' | 'ipv6-local' | 'unknown-access';

export interface Punt {
  readonly kind: PuntKind;
  /** Session, −1 where there is none. */
  readonly slot: number;
  /** A copy: the listener's to keep. See PUNT_KIND for where each kind begins. */
  readonly bytes: Uint8Array;
  /** Of what came by UDP. */
  readonly from: PlanePeer | null;
  /** Index of the access interface of 'discovery' and 'unknown-access', else −1. */
  readonly access: number;
}

export interface PlaneOptions {
  readonly workers: number;
  /** Places for sessions; fixed. */
  readonly sessions: number;
  /** Places for subscribers' routes besides their own address and network; default 4096. */
  readonly routes?: number;
  /** The device that subscribers' packets go through; absent for a LAC. */
  readonly tun?: { readonly name: string; readonly mtu: number };
  /** Interfaces with PPPoE customers. */
  readonly access?: readonly string[];
  /** What may wait for a session on hold; bytes in total are for each worker. */
  readonly hold?: { readonly bytesPerSession: number; readonly bytes: number; readonly milliseconds: number };
  /** The process cannot go on: a device has gone, a thread hangs. */
  readonly onFatal: (error: Error) => void;
  /** A worker has crashed and is started again. */
  readonly onCrash?: (worker: number, error: Error, restarts: number) => void;
}

export interface PlaneAccess {
  readonly name: string;
  readonly index: number;
  readonly mac: Uint8Array;
  readonly mtu: number;
}

export interface PlaneDatagram {
  readonly to: PlanePeer;
  readonly bytes: Uint8Array;
}

const DEFAULT_ROUTES = 4096;
const DEFAULT_HOLD = { bytesPerSession: 256 * 1024, bytes: 64 * 1024 * 1024, milliseconds: 5000 };
const PEERS_KEPT = 65536;
/** Punts that one visit of the event loop takes from a worker. */
const DRAIN_LIMIT = 4096;
const CLOSE_AFTER_MS = 200;
const TWO_32 = 4294967296;
const KIND_NAMES: Readonly<Record<number, PuntKind>> = {
  [PUNT_KIND.control]: 'control',
  [PUNT_KIND.ppp]: 'ppp',
  [PUNT_KIND.accessPpp]: 'access-ppp',
  [PUNT_KIND.discovery]: 'discovery',
  [PUNT_KIND.ipv6Local]: 'ipv6-local',
  [PUNT_KIND.unknownAccess]: 'unknown-access',
};

export class TunnelPlane {
  readonly table: SessionTable;
  readonly accesses: readonly PlaneAccess[];
  /** Name of the TUN device, null without one. */
  readonly tunName: string | null;
  readonly #layout: PlaneLayout;
  readonly #header: Int32Array;
  readonly #socketWords: Int32Array;
  readonly #statistics: Int32Array;
  readonly #sockets: ({ readonly address: string; readonly port: number } | null)[] = [];
  readonly #rings: PuntRing[] = [];
  readonly #peers = new Map<string, PlanePeer>();
  readonly #pool: ShardPool<TunnelTask, never, never>;
  readonly #batch: SendBatch;
  readonly #watch: { close(): void };
  readonly #fds: number[];
  #listener: (punts: readonly Punt[]) => void = () => {};
  #stopped = false;

  /** Opens devices and starts the workers. Errors: TD_NO_PERMISSION, TD_UNAVAILABLE, with what is missing. */
  static async open(options: PlaneOptions): Promise<TunnelPlane> {
    try {
      return new TunnelPlane(options);
    } catch (cause) {
      throw asDesignatorError(cause);
    }
  }

  private constructor(options: PlaneOptions) {
    const addon = native();
    const { workers, sessions, routes = DEFAULT_ROUTES, hold = DEFAULT_HOLD } = options;
    this.#layout = planeLayout({ sessions, routes, workers });
    const { length } = this.#layout;
    const { fd } = addon.openTable(null, length);
    const buffer = addon.mapTable(fd, length);
    this.#header = new Int32Array(buffer, 0, 64);
    this.#socketWords = new Int32Array(buffer, this.#layout.sockets, PLANE_SOCKET_LIMIT * SOCKET_WORDS);
    this.#statistics = new Int32Array(buffer, this.#layout.statistics, workers * STATISTIC_LIMIT * 2);
    this.#header[PLANE.holdBytesPerSession] = hold.bytesPerSession;
    this.#header[PLANE.holdBytes] = hold.bytes;
    this.#header[PLANE.holdMilliseconds] = hold.milliseconds;
    const seed = crypto.getRandomValues(new Int32Array(1))[0];
    this.table = new SessionTable(buffer, this.#layout, seed);
    const tun = options.tun === undefined ? null : addon.openTun(options.tun.name, workers, options.tun.mtu);
    this.tunName = tun?.name ?? null;
    const lines = (options.access ?? []).map((name) => ({ name, ...addon.openAccess(name, workers) }));
    this.accesses = lines.map(({ name }) => {
      const { index, mac, mtu } = addon.interfaceInfo(name);
      return { name, index, mac, mtu };
    });
    for (let worker = 0; worker < workers; worker++) {
      this.#rings.push(new PuntRing(buffer, this.#layout.rings + worker * PUNT_STRIDE));
    }
    const puntFd = addon.eventFd();
    const wakeFds = Array.from({ length: workers }, () => addon.eventFd());
    this.#fds = [fd, puntFd, ...wakeFds, ...(tun?.fds ?? [])];
    for (const { sessionFds, discoveryFd } of lines) this.#fds.push(...sessionFds, discoveryFd);
    const accessesOf = (worker: number): NativeAccess[] =>
      lines.map(({ sessionFds, discoveryFd }, i) => ({
        sessionFd: sessionFds[worker],
        discoveryFd: worker === 0 ? discoveryFd : -1,
        interfaceIndex: this.accesses[i].index,
        mac: this.accesses[i].mac,
      }));
    const controls = Array.from({ length: workers }, newControl);
    this.#batch = new SendBatch(new addon.TunnelSender({ buffer, layout: this.#layout, accesses: accessesOf(0) }));
    this.#watch = new addon.EventWatch(puntFd, () => this.#drain());
    this.#pool = new ShardPool<TunnelTask, never, never>({
      shards: workers,
      filename: tunnelWorkerFile(),
      task: (worker) => ({
        worker,
        control: controls[worker],
        memory: { fd, length, layout: this.#layout },
        tunFd: tun?.fds[worker] ?? -1,
        accesses: accessesOf(worker),
        wakeFd: wakeFds[worker],
        puntFd,
      }),
      onNotice: () => {},
      onCrash: (worker, error, restarts) => options.onCrash?.(worker, error, restarts),
      onFatal: (_worker, error) => options.onFatal(error),
      wake: (worker) => addon.signalEventFd(wakeFds[worker]),
    });
    this.#pool.start();
  }

  /**
   * Opens UDP sockets of that address and port, one for each worker; returns the index that peers and sessions name.
   * `port` 0: one that is free (see `sockets`). `freebind`: an address that the host does not have yet, or never will.
   */
  addSocket(address: string, port: number, freebind = false): number {
    const words = parseAddress(address);
    if (words === null) throw new DesignatorError('TD_CONFIG', `${address} is no IP address`);
    let index = this.#sockets.indexOf(null);
    if (index < 0) index = this.#sockets.length;
    if (index >= PLANE_SOCKET_LIMIT) {
      throw new DesignatorError('TD_CONFLICT', `no more than ${PLANE_SOCKET_LIMIT} addresses and ports can be open`);
    }
    try {
      const opened = native().openUdpGroup(Int32Array.from(words), port, this.#layout.workers, freebind);
      this.#sockets[index] = { address, port: opened.port };
      const at = index * SOCKET_WORDS;
      const w = this.#socketWords;
      w[at + SOCKET.port] = opened.port;
      for (let i = 0; i < 4; i++) w[at + SOCKET.address + i] = words[i];
      for (const [worker, fd] of opened.fds.entries()) w[at + SOCKET.descriptors + worker] = fd;
      Atomics.store(w, at + SOCKET.open, 1);
      Atomics.add(this.#header, PLANE.socketGeneration, 1);
      return index;
    } catch (cause) {
      throw asDesignatorError(cause);
    }
  }

  /** No more is read from it or sent by it; its number may be given again. */
  closeSocket(index: number): void {
    if (this.#sockets[index] == null) return;
    const at = index * SOCKET_WORDS;
    Atomics.store(this.#socketWords, at + SOCKET.open, 0);
    Atomics.add(this.#header, PLANE.socketGeneration, 1);
    const fds = Array.from({ length: this.#layout.workers }, (_, i) => this.#socketWords[at + SOCKET.descriptors + i]);
    // Workers look at the generation with every turn; until each has, the descriptors stay.
    setTimeout(() => {
      this.#sockets[index] = null;
      for (const fd of fds) native().closeFd(fd);
    }, CLOSE_AFTER_MS);
  }

  /** Address and port of a socket; null when there is none. */
  socket(index: number): { readonly address: string; readonly port: number } | null {
    return this.#sockets[index] ?? null;
  }

  /** L2TP messages, in order. What the kernel refuses is counted. */
  send(datagrams: Iterable<PlaneDatagram>): void {
    for (const { to, bytes } of datagrams) this.#batch.datagram(to, bytes);
    this.#batch.flush();
  }

  /** PPP frames of a session into its tunnel: from FF 03 or from the protocol field on. */
  sendPpp(slot: number, frames: Iterable<Uint8Array>): void {
    for (const frame of frames) this.#batch.ppp(slot, frame);
    this.#batch.flush();
  }

  /** PPP frames of a session to its customer. */
  sendAccessPpp(slot: number, frames: Iterable<Uint8Array>): void {
    for (const frame of frames) this.#batch.accessPpp(slot, frame);
    this.#batch.flush();
  }

  /** Whole Ethernet frames on an access interface (discovery). */
  sendFrames(access: number, frames: Iterable<Uint8Array>): void {
    for (const frame of frames) this.#batch.frame(access, frame);
    this.#batch.flush();
  }

  /** The batch itself, for those who collect in a turn what they send, of all kinds, and flush it at its end. */
  get batch(): SendBatch {
    return this.#batch;
  }

  /** The one listener; it gets what has come since the last time, in order for each worker. */
  onPunt(listener: (punts: readonly Punt[]) => void): void {
    this.#listener = listener;
  }

  /** Sums over the workers, by the names of PLANE_COUNTERS. */
  statistics(): Record<keyof typeof PLANE_COUNTERS, number> {
    const names = Object.keys(PLANE_COUNTERS) as (keyof typeof PLANE_COUNTERS)[];
    return Object.fromEntries(names.map((name) => [name, this.#sum(PLANE_COUNTERS[name])])) as Record<
      keyof typeof PLANE_COUNTERS,
      number
    >;
  }

  drops(): { reason: string; packets: number; description: string }[] {
    return PLANE_DROPS.map(({ reason, statistic, description }) => ({
      reason,
      description,
      packets: this.#sum(statistic) + (reason === 'send-failed' ? this.#batch.failed : 0),
    }));
  }

  workers(): (ShardStatus & { packets: number })[] {
    return this.#pool.status().map((status, worker) => ({
      ...status,
      packets: [
        PLANE_COUNTERS.datagramsIn,
        PLANE_COUNTERS.packetsFromTun,
        PLANE_COUNTERS.framesFromAccess,
      ].reduce<number>((sum, statistic) => sum + this.#statistic(worker, statistic), 0),
    }));
  }

  /** Ends the workers and closes everything. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#watch.close();
    await this.#pool.stop();
    this.#batch.close();
    const addon = native();
    for (const [index, socket] of this.#sockets.entries()) {
      if (socket === null || this.#socketWords[index * SOCKET_WORDS + SOCKET.open] === 0) continue;
      const at = index * SOCKET_WORDS + SOCKET.descriptors;
      for (let worker = 0; worker < this.#layout.workers; worker++) addon.closeFd(this.#socketWords[at + worker]);
    }
    for (const fd of this.#fds) addon.closeFd(fd);
  }

  #drain(): void {
    const punts: Punt[] = [];
    for (const ring of this.#rings) {
      ring.drain(DRAIN_LIMIT, (kind, slot, words, at, bytes) => {
        const socket = words[at + PUNT.socket];
        const line = kind === PUNT_KIND.discovery || kind === PUNT_KIND.unknownAccess;
        punts.push({
          kind: KIND_NAMES[kind] ?? 'control',
          slot,
          bytes,
          from: line || kind === PUNT_KIND.accessPpp ? null : this.#peer(words, at),
          access: line ? socket >>> 16 : -1,
        });
      });
    }
    if (punts.length > 0 && !this.#stopped) this.#listener(punts);
    // More than one visit may take: the descriptor has been read, so nobody else would wake us.
    if (!this.#stopped && this.#rings.some((ring) => ring.pending)) setImmediate(() => this.#drain());
  }

  #peer(words: Int32Array, at: number): PlanePeer {
    const from = at + PUNT.peer;
    const socket = words[at + PUNT.socket];
    const key = `${socket} ${words[from]} ${words[from + 1]} ${words[from + 2]} ${words[from + 3]}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (this.#peers.size >= PEERS_KEPT) this.#peers.clear();
      peer = { address: formatWords(words, from), port: socket & 0xffff, socket: socket >>> 16 };
      this.#peers.set(key, peer);
    }
    return peer;
  }

  #statistic(worker: number, statistic: number): number {
    const at = (worker * STATISTIC_LIMIT + statistic) * 2;
    const w = this.#statistics;
    for (;;) {
      const high = Atomics.load(w, at + 1) >>> 0;
      const low = Atomics.load(w, at) >>> 0;
      if (Atomics.load(w, at + 1) >>> 0 === high) return high * TWO_32 + low;
    }
  }

  #sum(statistic: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.#layout.workers; worker++) sum += this.#statistic(worker, statistic);
    return sum;
  }
}

function asDesignatorError(cause: unknown): DesignatorError {
  if (cause instanceof DesignatorError) return cause;
  const { code, message } = cause as { code?: string; message: string };
  const missing = code === 'EPERM' || code === 'EACCES';
  return new DesignatorError(
    missing ? 'TD_NO_PERMISSION' : code === 'EADDRINUSE' ? 'TD_CONFLICT' : 'TD_UNAVAILABLE',
    missing ? `${message} (needs CAP_NET_ADMIN and CAP_NET_RAW)` : message,
    { code },
    cause,
  );
}
