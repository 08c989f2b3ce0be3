/** The RADIUS client at work: its sockets, its timer, and who waits for which answer. Main thread only. */
import { randomFillSync } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { RADIUS_SECRET_LENGTH, type RadiusSettings } from '../config/radius.js';
import type { Logger } from '../ops/log.js';
import { RadiusClient } from '../protocol/radius/client.js';
import type { AccessReply } from '../protocol/radius/reply.js';
import type { AccessRequest, AccountingRecord, RadiusServerOptions } from '../protocol/radius/types.js';
import { keyOf } from './secret.js';

/** What became of an access request. */
export type RadiusAnswer =
  | { readonly type: 'accepted' | 'rejected'; readonly server: string; readonly reply: AccessReply }
  | { readonly type: 'no-answer'; readonly reason: 'timeout' | 'no-server' | 'busy' | 'unsendable' };

export interface RadiusWorld {
  /** Seconds, monotonic. Default: the process's. */
  readonly clock?: () => number;
  /** Default: host name. */
  readonly nasIdentifier?: string;
}

/** Answers of a busy server come in bursts. */
const RECEIVE_BUFFER = 4 * 1024 * 1024;
const MAX_TIMER_MS = 60_000;
const FLUSH_POLL_MS = 20;
const RANDOM_POOL = 4096;

export class RadiusService {
  readonly client: RadiusClient;
  readonly #clock: () => number;
  readonly #sockets = new Map<string, Promise<Socket | null>>();
  readonly #waiting = new Map<number, (answer: RadiusAnswer) => void>();
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  /** Errors: TD_CONFIG a secret's file cannot be read. */
  constructor(
    readonly settings: RadiusSettings,
    private readonly logger: Logger,
    world: RadiusWorld = {},
  ) {
    this.#clock = world.clock ?? ((): number => performance.now() / 1000);
    const servers = settings.servers.map((server) => ({ ...server, key: keyOf(server.secret, RADIUS_SECRET_LENGTH) }));
    const withPort = (port: 'authenticationPort' | 'accountingPort'): RadiusServerOptions[] =>
      servers.flatMap((server) => {
        const { name, address, key } = server;
        const number = server[port];
        return number === null ? [] : [{ name, address, port: number, secret: key }];
      });
    this.client = new RadiusClient({
      authentication: withPort('authenticationPort'),
      accounting: withPort('accountingPort'),
      nas: {
        identifier: settings.nasIdentifier ?? world.nasIdentifier ?? hostname(),
        ...(settings.nasAddress === null ? {} : { address: settings.nasAddress }),
      },
      random: randomBytes(),
      firstWait: settings.timeout,
      tries: settings.tries,
      deadTime: settings.deadTime,
      messageAuthenticator: settings.messageAuthenticator,
      recordLifetime: settings.recordLifetime,
      epoch: Date.now() / 1000 - this.#clock(),
      limits: { records: settings.recordLimit },
    });
  }

  /** Asks; `done` is called once, later, unless the request is cancelled. Answers a token for `cancel`. */
  access(request: AccessRequest, done: (answer: RadiusAnswer) => void): number {
    const token = this.client.access(request, this.#clock());
    this.#waiting.set(token, done);
    // Even a refusal for want of a server comes later: nobody expects his call-back to run inside his call.
    setImmediate(() => this.#turn());
    return token;
  }

  cancel(token: number): void {
    this.#waiting.delete(token);
    this.client.cancel(token);
  }

  /** Nothing happens when no server does accounting. */
  account(record: AccountingRecord): void {
    this.client.account(record, this.#clock());
    this.#turn();
  }

  /**
   * Ends; users and accounting records get so long to be answered. Whoever still waits then has no answer. Resolves with the
   * number of records that were not taken.
   */
  async stop(graceSeconds = 2): Promise<number> {
    const until = this.#clock() + graceSeconds;
    const isBusy = (): boolean => this.client.pendingRecords > 0 || this.#waiting.size > 0;
    while (isBusy() && this.#clock() < until) await sleep(FLUSH_POLL_MS);
    this.#stopped = true;
    for (const done of this.#waiting.values()) done({ type: 'no-answer', reason: 'no-server' });
    this.#waiting.clear();
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const opening of this.#sockets.values()) (await opening)?.close();
    return this.client.pendingRecords;
  }

  #turn(): void {
    if (this.#stopped) return;
    for (const { socket, address, port, bytes } of this.client.output(this.#clock())) {
      this.#socket(socket, address.includes(':'))
        .then((open) => {
          if (open !== null && !this.#stopped) open.send(bytes, port, address, () => {});
        })
        // What cannot be sent is repeated like what got lost; then the next server is asked.
        .catch(() => {});
    }
    for (const event of this.client.events()) this.#tell(event);
    this.#schedule();
  }

  #tell(event: ReturnType<RadiusClient['events']>[number]): void {
    switch (event.type) {
      case 'server':
        if (event.state === 'up') this.logger.info({ server: event.server, kind: event.kind }, 'RADIUS server answers');
        else this.logger.warn({ server: event.server, kind: event.kind }, 'RADIUS server does not answer');
        return;
      case 'record-lost':
        this.logger.warn(
          { reason: event.reason, session: event.record.session.sessionId, status: event.record.status },
          'accounting record lost',
        );
        return;
      default: {
        const done = this.#waiting.get(event.token);
        this.#waiting.delete(event.token);
        done?.(event);
      }
    }
  }

  #schedule(): void {
    const next = this.client.nextTime;
    if (next === Number.POSITIVE_INFINITY || (this.#timer !== null && this.#timerAt <= next)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = next;
    const wait = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil((next - this.#clock()) * 1000)));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#turn();
    }, wait);
    // Outstanding requests do not keep a process alive that wants to end.
    this.#timer.unref();
  }

  #socket(index: number, v6: boolean): Promise<Socket | null> {
    const key = `${index}/${v6 ? 6 : 4}`;
    let opening = this.#sockets.get(key);
    if (opening === undefined) {
      opening = this.#open(index, v6);
      this.#sockets.set(key, opening);
    }
    return opening;
  }

  #open(index: number, v6: boolean): Promise<Socket | null> {
    const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER });
    const { source } = this.settings;
    const own = source !== null && source.includes(':') === v6 ? source : undefined;
    return new Promise((resolve) => {
      socket.on('error', (error) => {
        this.logger.warn({ reason: error.message }, 'RADIUS socket');
        // The next datagram opens another one.
        this.#sockets.delete(`${index}/${v6 ? 6 : 4}`);
        socket.close();
        resolve(null);
      });
      socket.on('message', (bytes, { address, port }) => {
        this.client.receive(bytes, { socket: index, address, port }, this.#clock());
        this.#turn();
      });
      socket.bind({ port: 0, address: own }, () => resolve(socket));
    });
  }
}

/** Random bytes from a pool: one call of the generator for hundreds of requests. */
function randomBytes(): (length: number) => Uint8Array {
  const pool = new Uint8Array(RANDOM_POOL);
  let at = RANDOM_POOL;
  return (length) => {
    if (at + length > RANDOM_POOL) {
      randomFillSync(pool);
      at = 0;
    }
    at += length;
    return pool.slice(at - length, at);
  };
}
