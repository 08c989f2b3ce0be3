/**
 * The active check: every server is asked now and then, and at once when the traffic makes it doubtful. Asked is either
 * for a control connection, which is ended as soon as the server has answered (SCCRQ, SCCRP, StopCCN), or for an echo.
 * Any answer counts, a refusal too. Time is given; what is sent and heard goes through whoever owns this.
 */
import { ControlConnection } from '../../protocol/l2tp/control-connection.js';

export interface ActiveCheckSettings {
  readonly type: 'l2tp' | 'icmp';
  /** Seconds. */
  readonly every: number;
  readonly timeout: number;
  /** Questions in a row without an answer that make it dead. */
  readonly failures: number;
}

export interface ActiveCheckOptions {
  readonly settings: ActiveCheckSettings;
  /** Sends a UDP payload to the server's tunnel port. False: there is no way to send. */
  readonly send: (server: number, payload: Uint8Array) => boolean;
  /** Asks for an echo; resolves with whether there was an answer, null: it could not be asked. */
  readonly echo: (server: number, timeout: number) => Promise<boolean | null>;
  /** A number from 1 to 65535 that nobody can guess. */
  readonly randomId: () => number;
  readonly answered: (server: number) => void;
  /** `since`: when the first of the unanswered questions was asked. */
  readonly failed: (server: number, since: number, detail: string) => void;
}

/** A question's connection is kept for late answers, which are sent away. */
const LINGER = 4;
/** Connections that are known at a time, all servers. */
const CONNECTION_LIMIT = 8192;
const HOST_NAME = 'designator';

interface Server {
  nextAt: number;
  failures: number;
  /** When the first of the unanswered questions was asked. */
  since: number;
  askedAt: number;
  /** Under way: the connection's id, or below 0 an echo; 0: none. */
  asking: number;
}

interface Known {
  readonly connection: ControlConnection;
  readonly server: number;
  readonly until: number;
}

export class ActiveCheck {
  readonly counters = { asked: 0, answered: 0, unanswered: 0, unsent: 0 };
  readonly #o: ActiveCheckOptions;
  readonly #servers = new Map<number, Server>();
  readonly #known = new Map<number, Known>();
  #now = 0;
  #echoes = 0;
  #closed = false;

  constructor(options: ActiveCheckOptions) {
    this.#o = options;
  }

  /** Several times a second, with the servers to be checked. */
  tick(now: number, servers: readonly number[]): void {
    this.#now = now;
    const { every, timeout } = this.#o.settings;
    for (const [n, server] of servers.entries()) {
      // Servers take their turns instead of being asked all at once.
      const of = this.#of(server, now + (every * n) / servers.length);
      if (of.asking !== 0 && now - of.askedAt >= timeout) this.#unanswered(server, of);
      if (of.asking === 0 && now >= of.nextAt) this.#begin(server, of);
    }
    if (this.#servers.size > servers.length) this.#prune(servers);
    for (const [id, { connection, server, until }] of this.#known) {
      if (connection.nextTime <= now) this.#flush(server, connection);
      if (now >= until) this.#known.delete(id);
    }
  }

  /** Asks now, unless an answer is being waited for. False: the server cannot be asked. */
  ask(server: number): boolean {
    const of = this.#of(server, this.#now);
    return of.asking !== 0 || this.#begin(server, of);
  }

  /** A UDP payload that came for us from a server. */
  received(payload: Uint8Array): void {
    if (payload.length < 6) return;
    const id = (payload[4] << 8) | payload[5]; // a control message has its length in bytes 2 and 3
    const known = this.#known.get(id);
    if (known === undefined || !known.connection.receive(payload, this.#now)) return;
    const { connection, server } = known;
    for (const { type } of connection.outcomes()) {
      if (type === 'replied') connection.stop();
      if (type !== 'replied' && connection.state !== 'closed') continue;
      const of = this.#servers.get(server);
      if (of?.asking === id) this.#answered(server, of);
    }
    this.#flush(server, connection);
  }

  close(): void {
    this.#closed = true;
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #of(server: number, firstAt: number): Server {
    let of = this.#servers.get(server);
    if (of === undefined) {
      of = { nextAt: firstAt, failures: 0, since: 0, askedAt: 0, asking: 0 };
      this.#servers.set(server, of);
    }
    return of;
  }

  #prune(servers: readonly number[]): void {
    const wanted = new Set(servers);
    for (const server of this.#servers.keys()) if (!wanted.has(server)) this.#servers.delete(server);
  }

  #begin(server: number, of: Server): boolean {
    const { settings } = this.#o;
    of.nextAt = this.#now + settings.every;
    const sent = settings.type === 'icmp' ? this.#askEcho(server, of) : this.#askConnection(server, of);
    if (!sent) {
      this.counters.unsent++;
      return false;
    }
    this.counters.asked++;
    of.askedAt = this.#now;
    if (of.failures === 0) of.since = this.#now;
    return true;
  }

  #askConnection(server: number, of: Server): boolean {
    if (this.#known.size >= CONNECTION_LIMIT) return false;
    let id = this.#o.randomId();
    while (id === 0 || this.#known.has(id)) id = (id + 1) & 0xffff;
    const connection = new ControlConnection({ localId: id, hostName: HOST_NAME, reliable: { tries: 3 } });
    connection.open();
    if (!this.#flush(server, connection)) return false;
    this.#known.set(id, { connection, server, until: this.#now + LINGER });
    of.asking = id;
    return true;
  }

  #askEcho(server: number, of: Server): boolean {
    const question = --this.#echoes;
    of.asking = question;
    void this.#o.echo(server, this.#o.settings.timeout).then((answered) => {
      if (this.#closed || of.asking !== question) return;
      if (answered === true) this.#answered(server, of);
      else if (answered === false) this.#unanswered(server, of);
      else {
        of.asking = 0;
        this.counters.unsent++;
      }
    });
    return true;
  }

  #flush(server: number, connection: ControlConnection): boolean {
    let sent = true;
    for (const payload of connection.output(this.#now)) sent = this.#o.send(server, payload) && sent;
    return sent;
  }

  #answered(server: number, of: Server): void {
    of.asking = 0;
    of.failures = 0;
    of.nextAt = this.#now + this.#o.settings.every;
    this.counters.answered++;
    this.#o.answered(server);
  }

  #unanswered(server: number, of: Server): void {
    const { type, timeout, failures } = this.#o.settings;
    of.asking = 0;
    of.failures++;
    this.counters.unanswered++;
    if (of.failures < failures) {
      this.#begin(server, of);
      return;
    }
    if (of.failures === failures) {
      const what = type === 'icmp' ? 'echo' : 'tunnel request';
      const times = failures === 1 ? '' : `, ${failures} times`;
      this.#o.failed(server, of.since, `${what} unanswered for ${Math.round(timeout * 1000)} ms${times}`);
    }
    // Known to be dead, it is asked on without haste.
    of.failures = failures - 1;
    of.since = this.#now;
  }
}
