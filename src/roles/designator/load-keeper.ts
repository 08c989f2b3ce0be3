/**
 * Loads of servers: takes load status messages (documents 000 and 001), writes what they say where every shard designates
 * by it, and forgets what has become stale. The main thread's part of least-load.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { CompiledConfig, CompiledServer, LoadFormula, Secret } from '../../config/compiled.js';
import type { Designator } from '../../designation/designate.js';
import { loadOf } from '../../designation/load-formula.js';
import { LOAD_FULL, LOAD_MOST } from '../../designation/least-load.js';
import { TunnelLoads } from '../../designation/tunnel-load.js';
import { DesignatorError } from '../../errors.js';
import { SERVER_CELL, SERVER_FLAG, SERVER_STATE } from '../../flow/layout.js';
import type { DropRow, ServerLoadStatus } from '../../ops/appliance.js';
import type { EventLog } from '../../ops/events.js';
import { limited, type LimitedLogger, type Logger } from '../../ops/log.js';
import { formatEndpoint, parseAddress } from '../../wire/address.js';
import { LOAD_STATUS_LENGTH_LIMIT, type LoadStatus, readLoadStatus } from '../../wire/load-status.js';
import { keyOf } from '../secret.js';
import type { Binding } from './binding.js';
import { LOAD_FAULT_PREFIX, LOAD_FAULTS, type LoadFault, LoadVerifier } from './load-verifier.js';

export interface LoadKeeperOptions {
  readonly designator: Designator;
  readonly binding: Binding;
  readonly logger: Logger;
  readonly events: EventLog;
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly clock?: () => number;
  /** A server's own message has come: it lives. */
  readonly onHeard?: (server: number) => void;
  /** Messages may come over a cluster's bus, also where none are listened for. */
  readonly isMember?: boolean;
  /** It has not come for so many seconds, while some other server's has. */
  readonly onSilent?: (server: number, seconds: number) => void;
}

/** Lines and events a second about messages that are not believed. */
const REJECTIONS_PER_SECOND = 5;
/** Two slow seconds of a thousand servers; what comes faster the kernel drops. */
const RECEIVE_BUFFER_BYTES = 512 * 1024;

interface Known {
  readonly index: number;
  readonly settings: CompiledServer['loadStatus'];
}

export class LoadKeeper {
  readonly #o: LoadKeeperOptions;
  readonly #clock: () => number;
  readonly #verifier = new LoadVerifier();
  readonly #counts = new Map<LoadFault, number>(LOAD_FAULTS.map(([fault]) => [fault, 0]));
  readonly #log: LimitedLogger;
  /** Server index → CLOCK_MONOTONIC seconds of its last message. */
  readonly #heard = new Map<number, number>();
  readonly #said = new Map<number, LoadStatus>();
  readonly #tunnelLoads = new TunnelLoads();
  #servers = new Map<string, Known>();
  #config: CompiledConfig['loadStatus'] | null = null;
  #socket: Socket | null = null;
  #rejectedSecond = Number.NaN;
  #rejected = 0;
  /** Servers by name → sequence of the last message that came over a cluster's bus. */
  readonly #lastRelayed = new Map<string, number>();
  /** Messages that were believed. */
  accepted = 0;
  /** Of these, such that came over a cluster's bus. */
  relays = 0;
  /** Messages that had come the other way before. */
  twice = 0;
  /** A message was believed that came straight from its server. The bytes are only valid during the call. */
  onDirect: ((bytes: Uint8Array) => void) | null = null;

  constructor(options: LoadKeeperOptions) {
    this.#o = options;
    this.#clock = options.clock ?? Date.now;
    this.#log = limited(options.logger, 'load-status', REJECTIONS_PER_SECOND);
  }

  /** What another process was told is not believed. Errors: TD_CONFIG a secret that cannot be read, TD_CONFLICT the port. */
  async start(config: CompiledConfig): Promise<void> {
    for (const { index } of this.#o.binding.servers) this.#forget(index);
    this.#configure(config);
    await this.#listen(config.loadStatus.listen);
  }

  /** A new configuration: what cannot be had stays as it was, and the log says so. */
  async apply(config: CompiledConfig): Promise<void> {
    const before = this.#config?.listen ?? null;
    try {
      this.#configure(config);
      const { listen } = config.loadStatus;
      if (before?.host === listen?.host && before?.port === listen?.port) return;
      this.stop();
      await this.#listen(listen);
    } catch (error) {
      this.#o.logger.error({ err: error }, 'load status messages: the old settings stay');
    }
  }

  stop(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  /** The port that messages are taken on, null none. */
  get port(): number | null {
    return this.#socket?.address().port ?? null;
  }

  /** Several times a second: stale loads go, slow starts go on. */
  tick(): void {
    const now = this.#o.now();
    const { designator, binding } = this.#o;
    const { cells } = designator;
    designator.setTime(now);
    for (const { index } of binding.servers) if (cells.state(index) === SERVER_STATE.slowStart) cells.changed(index);
    const staleAfter = this.#config?.staleAfter ?? 0;
    for (const [index, heard] of this.#heard) {
      if (now - heard < staleAfter) continue;
      this.#forget(index);
      const server = binding.servers.find((bound) => bound.index === index)?.name;
      this.#log.warn({ server, seconds: staleAfter }, 'no load status: the server’s load is unknown');
      // If nobody's come, it may well be that they do not reach us.
      if ([...this.#heard.values()].some((at) => now - at < staleAfter / 2)) this.#o.onSilent?.(index, staleAfter);
    }
  }

  /** What a server said last, for `show servers`; null: nothing, or too long ago. */
  said(index: number): ServerLoadStatus | null {
    const status = this.#said.get(index);
    const heard = this.#heard.get(index);
    if (status === undefined || heard === undefined) return null;
    const { accepting, tunnels, sessions, cpu, memory, packetsIn, packetsOut, bitsIn, bitsOut } = status;
    const ageSeconds = Math.max(0, Math.round((this.#o.now() - heard) * 10) / 10);
    return { ageSeconds, accepting, tunnels, sessions, cpu, memory, packetsIn, packetsOut, bitsIn, bitsOut };
  }

  /** Messages of this server are taken, wherever they come from. */
  hears(index: number): boolean {
    const listens = this.#config?.listen != null || this.#o.isMember === true;
    return listens && [...this.#servers.values()].some((known) => known.index === index);
  }

  /** Its last message and when it came, CLOCK_MONOTONIC seconds; null: none, or too long ago. */
  heard(index: number): { at: number; accepting: boolean; tunnels: number | null } | null {
    const at = this.#heard.get(index);
    const status = this.#said.get(index);
    if (at === undefined || status === undefined) return null;
    return { at, accepting: status.accepting, tunnels: status.tunnels };
  }

  /** Rows for `show drops`. */
  drops(): DropRow[] {
    return LOAD_FAULTS.map(([fault, description]) => ({
      reason: LOAD_FAULT_PREFIX + fault,
      packets: this.#counts.get(fault) ?? 0,
      description,
    }));
  }

  /** One datagram. `from` is for the log. */
  receive(bytes: Uint8Array, from = ''): void {
    const { status, fault, server } = this.#verifier.verify(bytes, this.#clock());
    if (status !== null) {
      this.#take(status, from);
      this.onDirect?.(bytes);
    } else if (fault === 'replayed' && this.#wasRelayed(bytes)) this.twice++;
    else this.#reject(fault ?? 'malformed', server, from);
  }

  /** One that another member of a cluster has heard, or its server has put on the bus. */
  relayed(bytes: Uint8Array, from: string): void {
    const { status, fault, server } = this.#verifier.verify(bytes, this.#clock());
    if (status === null) {
      // It has come straight, or from a third member: no news, and no attack.
      if (fault === 'replayed') this.twice++;
      else this.#reject(fault ?? 'malformed', server, from);
      return;
    }
    this.relays++;
    this.#lastRelayed.set(status.server, status.sequence);
    this.#take(status, from);
  }

  #wasRelayed(bytes: Uint8Array): boolean {
    const status = readLoadStatus(bytes);
    return typeof status !== 'string' && status.sequence <= (this.#lastRelayed.get(status.server) ?? -1);
  }

  #take(status: LoadStatus, from: string): void {
    const known = this.#servers.get(status.server);
    if (known === undefined) return this.#reject('unknown-server', null, from);
    this.accepted++;
    const formula = this.#config?.formula as LoadFormula;
    const load = loadOf(status, known.settings, formula);
    if (load === null) this.#reject('incomplete', status.server, from);
    this.#write(known.index, status, load);
    this.#heard.set(known.index, this.#o.now());
    this.#said.set(known.index, status);
    this.#o.onHeard?.(known.index);
  }

  #write(index: number, status: LoadStatus, load: number | null): void {
    const { designator } = this.#o;
    const { cells } = designator;
    const exact = Math.min(LOAD_MOST, Math.round((load ?? 0) * LOAD_FULL));
    const tunnels = status.tunnels ?? cells.tunnels(index);
    const least = (this.#config?.tunnelLoad ?? 0) * LOAD_FULL;
    const vip = cells.get(index, SERVER_CELL.vip);
    const each = load === null ? least : this.#tunnelLoads.report(index, vip, exact, tunnels, least);
    this.#count(index, status);
    designator.lock.acquire(designator.shard);
    cells.setFlag(index, SERVER_FLAG.told, status.tunnels !== null && this.#o.binding.isOneWay(index));
    cells.set(index, SERVER_CELL.load, load === null ? -1 : Math.round(exact / 1000));
    cells.set(index, SERVER_CELL.reportedLoad, exact);
    cells.set(index, SERVER_CELL.tunnelLoad, Math.min(LOAD_FULL, Math.round(each)));
    cells.set(index, SERVER_CELL.predictedLoad, 0);
    cells.setFlag(index, SERVER_FLAG.reported, load !== null);
    cells.setFlag(index, SERVER_FLAG.notAccepting, !status.accepting);
    cells.changed(index);
    designator.lock.release(designator.shard);
  }

  /**
   * Where its answers do not pass here, nobody but the server knows how many tunnels it has. What is designated from now
   * on counts on top of that until the next message (`ServerTable.use`).
   */
  #count(index: number, { tunnels, sessions }: LoadStatus): void {
    if (!this.#o.binding.isOneWay(index)) return;
    const { cells } = this.#o.designator;
    if (tunnels !== null) cells.addEstablished(index, tunnels - cells.tunnels(index));
    if (sessions !== null) cells.addSessions(index, sessions - cells.get(index, SERVER_CELL.sessions));
  }

  /** Nothing is known of the server's load from now on. */
  #forget(index: number): void {
    const { designator } = this.#o;
    this.#heard.delete(index);
    this.#said.delete(index);
    designator.lock.acquire(designator.shard);
    designator.cells.set(index, SERVER_CELL.load, -1);
    const wasTold = designator.cells.has(index, SERVER_FLAG.told);
    designator.cells.setFlag(index, SERVER_FLAG.reported | SERVER_FLAG.notAccepting | SERVER_FLAG.told, false);
    // What passes here is all that is known again.
    if (wasTold) designator.cells.recountServer(index);
    designator.cells.changed(index);
    designator.lock.release(designator.shard);
  }

  #reject(fault: LoadFault, server: string | null, from: string): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
    const facts = { fault, server, from };
    this.#log.warn(facts, 'load status not believed');
    const second = Math.floor(this.#clock() / 1000);
    if (second !== this.#rejectedSecond) {
      this.#rejectedSecond = second;
      this.#rejected = 0;
    }
    if (++this.#rejected <= REJECTIONS_PER_SECOND) this.#o.events.emit('load-status-rejected', facts);
  }

  #configure(config: CompiledConfig): void {
    const { loadStatus } = config;
    const keys = new Map<string, Uint8Array>();
    const servers = new Map<string, Known>();
    const read = (secret: Secret | null): Uint8Array | null =>
      (loadStatus.listen === null && this.#o.isMember !== true) || secret === null ? null : keyOf(secret);
    const common = read(loadStatus.secret);
    for (const server of config.vips.flatMap((vip) => vip.servers)) {
      const index = this.#o.binding.servers.find(({ name, removed }) => name === server.name && !removed)?.index;
      const key = read(server.loadStatus.secret) ?? common;
      if (index === undefined || key === null) continue;
      keys.set(server.name, key);
      servers.set(server.name, { index, settings: server.loadStatus });
    }
    this.#verifier.configure(keys, loadStatus.clockSkew * 1000);
    this.#config = loadStatus;
    this.#servers = servers;
    for (const name of this.#lastRelayed.keys()) if (!servers.has(name)) this.#lastRelayed.delete(name);
    const indices = new Set([...servers.values()].map(({ index }) => index));
    for (const index of this.#heard.keys()) if (!indices.has(index)) this.#forget(index);
  }

  async #listen(listen: { readonly host: string; readonly port: number } | null): Promise<void> {
    if (listen === null) return;
    const { host, port } = listen;
    const words = parseAddress(host);
    const where = words === null ? host : formatEndpoint(...words, port);
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) =>
        reject(
          new DesignatorError(
            'TD_CONFLICT',
            `cannot take load status messages on ${where}: ${(error as NodeJS.ErrnoException).code}`,
            { listen: where },
            error,
          ),
        ),
      );
      socket.bind(port, host, resolve);
    });
    socket.removeAllListeners('error');
    socket.on('error', (error) => this.#o.logger.error({ err: error }, 'load status socket'));
    socket.on('message', (bytes, from) => {
      // Longer than any such message can be: told apart from those that only claim so.
      if (bytes.length > LOAD_STATUS_LENGTH_LIMIT) return this.#reject('malformed', null, from.address);
      this.receive(bytes, from.address);
    });
    this.#socket = socket;
    this.#o.logger.info({ listen: where, servers: this.#servers.size }, 'load status messages are taken');
  }
}
