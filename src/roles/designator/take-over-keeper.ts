/**
 * Take-over messages of servers (`wire/take-over.ts`): which are believed, what becomes of them, and what a later process
 * has to know of it. The main thread's part of take-over; `TakeOverDesk` decides.
 */
import { createSocket, type Socket } from 'node:dgram';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CompiledConfig, CompiledTakeOverDesk } from '../../config/compiled.js';
import type { ShardMessage } from '../../dataplane/plan.js';
import type { RePointed } from '../../dataplane/re-pointing.js';
import { ReplayGuard } from '../../designation/replay-guard.js';
import { DesignatorError } from '../../errors.js';
import { RECORD, RECORD_STATE, RECORD_WORDS, SERVER_STATE, type TableMemory } from '../../flow/layout.js';
import type { DropRow, TakeOverRow } from '../../ops/appliance.js';
import type { EventLog } from '../../ops/events.js';
import { limited, type LimitedLogger, type Logger } from '../../ops/log.js';
import { formatEndpoint, parseAddress } from '../../wire/address.js';
import {
  buildTakeOver,
  type IdRange,
  inRanges,
  isAuthenticTakeOver,
  readTakeOver,
  TAKE_OVER_LENGTH_LIMIT,
  type TakeOverAnswer,
  type TakeOverOrder,
} from '../../wire/take-over.js';
import { keyOf } from '../secret.js';
import type { Binding } from './binding.js';
import { TakeOverDesk, type TakeOverMemory } from './take-over-desk.js';

type Fault = 'malformed' | 'version' | 'unknown-sender' | 'bad-hmac' | 'late' | 'early' | 'replayed';
/** Why a take-over message was not believed, with its sentence: rows of `show drops`. */
export const TAKE_OVER_FAULTS: readonly (readonly [Fault, string])[] = [
  ['malformed', 'take-over message: no such message, or its lengths do not fit'],
  ['version', 'take-over message: a version of the message that this program does not know'],
  ['unknown-sender', 'take-over message: its sender is no server of the configuration'],
  ['bad-hmac', 'take-over message: its HMAC is not that of the secret: forged, or the secrets differ'],
  ['late', 'take-over message: its time is longer ago than takeOver.clockSkew'],
  ['early', 'take-over message: its time is further ahead than takeOver.clockSkew'],
  ['replayed', 'take-over message: its sequence is not above that of the last one: replayed, or overtaken on its way'],
];
const FAULT_PREFIX = 'take-over-';

const REJECTIONS_PER_SECOND = 5;
const SETTLED: ReadonlySet<string> = new Set(['taken', 'known', 'incomplete']);

/** The health keeper, as far as it is asked. */
export interface HealthVoice {
  heardSince(server: number, second: number): boolean;
  confirmDead(server: number): boolean;
  readonly health: {
    declareDown(server: number, detail: string): void;
    declareAlive(server: number): void;
  };
}

export interface TakeOverKeeperOptions {
  readonly binding: Binding;
  readonly logger: Logger;
  readonly events: EventLog;
  readonly health: HealthVoice;
  readonly shards: number;
  readonly message: (shard: number, message: ShardMessage) => void;
  /** Where the generations are kept; null: nowhere. */
  readonly file: string | null;
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly clock?: () => number;
}

/** /run/designator/control.sock → /run/designator/control.take-over.json */
export function takeOverFile(socket: string): string {
  return path.join(path.dirname(socket), `${path.basename(socket).replace(/\.sock$/, '')}.take-over.json`);
}

export class TakeOverKeeper {
  readonly desk: TakeOverDesk;
  readonly #o: TakeOverKeeperOptions;
  readonly #clock: () => number;
  readonly #guard = new ReplayGuard(0);
  readonly #counts = new Map<Fault, number>(TAKE_OVER_FAULTS.map(([fault]) => [fault, 0]));
  readonly #log: LimitedLogger;
  #config: CompiledTakeOverDesk | null = null;
  #key: Uint8Array | null = null;
  #unwritten: string | null = null;
  #senders = new Set<string>();
  #socket: Socket | null = null;
  #rejectedSecond = Number.NaN;
  #rejected = 0;
  /** Orders that were believed, whatever the answer. */
  accepted = 0;

  constructor(options: TakeOverKeeperOptions) {
    this.#o = options;
    this.#clock = options.clock ?? Date.now;
    this.#log = limited(options.logger, 'take-over', REJECTIONS_PER_SECOND);
    const { binding, health, message, shards } = options;
    this.desk = new TakeOverDesk({
      now: options.now,
      shards: () => Array.from({ length: shards }, (_, shard) => shard),
      send: (shard, order) => message(shard, { type: 're-point', order }),
      heardSince: (server, second) => health.heardSince(server, second),
      confirmDead: (server) => health.confirmDead(server),
      hasTunnels: (server, ranges) => hasTunnels(binding.memory, server, ranges),
      isDown: (server) => binding.states.state(server) === SERVER_STATE.down,
      declareDown: (server, heir) => health.health.declareDown(server, `${heir} has its tunnels`),
      declareAlive: (server) => health.health.declareAlive(server),
      changed: () => this.#save(),
      done: (row) => this.#done(row),
    });
  }

  /** Errors: TD_CONFIG a secret that cannot be read, TD_CONFLICT the port. */
  async start(config: CompiledConfig): Promise<void> {
    this.#load();
    this.#configure(config);
    await this.#listen(this.#config?.listen ?? null);
  }

  /** A new configuration: what cannot be had stays as it was, and the log says so. */
  async apply(config: CompiledConfig): Promise<void> {
    const before = this.#config?.listen ?? null;
    try {
      this.#configure(config);
      const listen = this.#config?.listen ?? null;
      if (before?.host === listen?.host && before?.port === listen?.port) return;
      this.stop();
      await this.#listen(listen);
    } catch (error) {
      this.#o.logger.error({ err: error }, 'take-over messages: the old settings stay');
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

  /** A shard has started. */
  shardUp(shard: number): void {
    const pairs = this.desk.heirPairs();
    if (pairs.length > 0) this.#o.message(shard, { type: 'heirs', pairs });
    this.desk.shardUp(shard);
  }

  rePointed(shard: number, done: readonly RePointed[]): void {
    this.desk.rePointed(shard, done);
  }

  /** Seconds that the tunnels of this server, which is down, wait for its peer. */
  waitFor(server: number): number {
    if (this.#config === null || this.#config.listen === null) return 0;
    return this.desk.hasPeer(server) ? this.#config.wait : 0;
  }

  rows(): TakeOverRow[] {
    return this.desk.rows();
  }

  drops(): DropRow[] {
    return TAKE_OVER_FAULTS.map(([fault, description]) => ({
      reason: FAULT_PREFIX + fault,
      packets: this.#counts.get(fault) ?? 0,
      description,
    }));
  }

  /** One datagram; `reply` sends bytes back to where it came from. `from` is for the log. */
  receive(bytes: Uint8Array, reply: (bytes: Uint8Array) => void, from = ''): void {
    const key = this.#key;
    const message = bytes.length > TAKE_OVER_LENGTH_LIMIT ? 'malformed' : readTakeOver(bytes);
    if (key === null || typeof message === 'string' || message.kind === 'answer')
      return this.#reject(typeof message === 'string' ? message : 'malformed', null, from);
    const { sender } = message;
    if (!this.#senders.has(sender)) return this.#reject('unknown-sender', null, from);
    if (!isAuthenticTakeOver(bytes, key)) return this.#reject('bad-hmac', sender, from);
    const stale = this.#guard.judge(sender, message.sequence, message.timeMs, this.#clock());
    if (stale !== null) return this.#reject(stale, sender, from);
    this.accepted++;
    this.desk.order(message, (answer) => {
      this.#tell(message, answer, from);
      reply(buildTakeOver(answer, key));
    });
  }

  #tell(order: TakeOverOrder, { result, generation }: TakeOverAnswer, from: string): void {
    if (SETTLED.has(result)) return;
    const { kind, sender, server, heir } = order;
    const facts = { kind, sender, server, heir, result, generation: order.generation, known: generation, from };
    this.#log.warn(facts, 'take-over refused');
    this.#event({ kind, sender, server, heir, reason: result, generation: order.generation });
  }

  #done(row: TakeOverRow): void {
    const { server, heir, kind, generation, tunnels, left } = row;
    this.#o.logger.info({ server, heir, kind, generation, tunnels, left }, 'tunnels taken over');
    this.#o.events.emit('take-over', { server, heir, kind, generation, tunnels, left });
  }

  #reject(fault: Fault, sender: string | null, from: string): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
    this.#log.warn({ fault, sender, from }, 'take-over message not believed');
    this.#event({ sender, reason: fault });
  }

  #event(fields: Readonly<Record<string, string | number | null>>): void {
    const second = Math.floor(this.#clock() / 1000);
    if (second !== this.#rejectedSecond) {
      this.#rejectedSecond = second;
      this.#rejected = 0;
    }
    if (++this.#rejected <= REJECTIONS_PER_SECOND) this.#o.events.emit('take-over-refused', fields);
  }

  // ── configuration and memory ──────────────────────────────────────────────────────────────────────────────────────

  #configure(config: CompiledConfig): void {
    const desk = config.takeOver ?? null;
    const key = desk === null || desk.listen === null || desk.secret === null ? null : keyOf(desk.secret);
    const { servers } = this.#o.binding;
    const bound = config.vips.flatMap((vip) =>
      vip.servers.flatMap(({ name, peer = null }) => {
        const cell = servers.find((server) => server.name === name && !server.removed);
        return cell === undefined ? [] : [{ name, index: cell.index, address: cell.address, vip: cell.vip, peer }];
      }),
    );
    this.#config = desk;
    this.#key = key;
    this.#senders = new Set(bound.map(({ name }) => name));
    this.#guard.skewMs = (desk?.clockSkew ?? 0) * 1000;
    this.#guard.keep(this.#senders);
    this.desk.configure(bound, desk?.quiet ?? 1);
  }

  #load(): void {
    const { file, logger } = this.#o;
    if (file === null) return;
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      // Without a file nothing was ever taken over; one that cannot be read is a fence that is not there.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        logger.error({ err: error, file }, 'generations of servers cannot be read: they begin anew');
      return;
    }
    const memory = parseMemory(text);
    if (memory === null) logger.warn({ file }, 'generations of servers cannot be read: they begin anew');
    else this.desk.recall(memory);
  }

  /** What the next process would not know, and why; null: the file has it all. */
  degraded(): string | null {
    return this.#unwritten;
  }

  /** Whole or not at all. What cannot be written is not known to the next process, and to this one nevertheless. */
  #save(): void {
    const { file, logger } = this.#o;
    if (file === null) return;
    try {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(`${file}.new`, JSON.stringify({ version: 1, ...this.desk.remember() }), { mode: 0o600 });
      renameSync(`${file}.new`, file);
      this.#unwritten = null;
    } catch (error) {
      this.#unwritten = `generations of servers cannot be written: ${(error as Error).message}`;
      logger.error({ err: error, file }, 'generations of servers cannot be written');
    }
  }

  async #listen(listen: { readonly host: string; readonly port: number } | null): Promise<void> {
    if (listen === null) return;
    const { host, port } = listen;
    const words = parseAddress(host);
    const where = words === null ? host : formatEndpoint(...words, port);
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) =>
        reject(
          new DesignatorError(
            'TD_CONFLICT',
            `cannot take take-over messages on ${where}: ${(error as NodeJS.ErrnoException).code}`,
            { listen: where },
            error,
          ),
        ),
      );
      socket.bind(port, host, resolve);
    });
    socket.removeAllListeners('error');
    socket.on('error', (error) => this.#o.logger.error({ err: error }, 'take-over socket'));
    socket.on('message', (bytes, from) => {
      // An answer that cannot be sent is asked for again; the socket may have been closed by a reload meanwhile.
      const reply = (answer: Uint8Array): void => {
        if (this.#socket === socket) socket.send(answer, from.port, from.address, () => {});
      };
      this.receive(bytes, reply, from.address);
    });
    this.#socket = socket;
    this.#o.logger.info({ listen: where, servers: this.#senders.size }, 'take-over messages are taken');
  }
}

/** An established tunnel of this server, with such an id. Looks at every record, which takes milliseconds at the most. */
function hasTunnels({ records, layout }: TableMemory, server: number, ranges: readonly IdRange[]): boolean {
  for (let record = 0, at = 0; record < layout.recordCount; record++, at += RECORD_WORDS) {
    if ((records[at + RECORD.place] & 0xffff) !== server) continue;
    if ((records[at + RECORD.state] & 0xff) !== RECORD_STATE.established) continue;
    if (inRanges(ranges, records[at + RECORD.serverChannel])) return true;
  }
  return false;
}

/** Null: nothing that a process has written. */
function parseMemory(text: string): TakeOverMemory | null {
  try {
    const { version, pairs, heirs } = JSON.parse(text) as { version: unknown } & TakeOverMemory;
    const isText = (value: unknown): boolean => typeof value === 'string';
    const good =
      version === 1 &&
      pairs.every(
        ({ names, generation }) => names.length === 2 && names.every(isText) && Number.isSafeInteger(generation),
      ) &&
      heirs.every(({ server, heir }) => isText(server) && isText(heir));
    return good ? { pairs, heirs } : null;
  } catch {
    return null;
  }
}
