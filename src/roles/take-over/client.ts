/**
 * A server's end of the take-over messages: tells every designator, again and again until it answers, and hands back what
 * each of them said. One socket, opened with the first order.
 */
import { createSocket, type Socket } from 'node:dgram';
import {
  buildTakeOver,
  type IdRange,
  isAuthenticTakeOver,
  readTakeOver,
  type TakeOverAnswer,
  type TakeOverOrderKind,
  type TakeOverResult,
} from '../../wire/take-over.js';

export interface DesignatorPlace {
  readonly host: string;
  readonly port: number;
}

export interface TakeOverClientOptions {
  readonly designators: readonly DesignatorPlace[];
  /** The secret's bytes. */
  readonly key: Uint8Array;
  /** Milliseconds between two messages to one that has not given its last word. */
  readonly repeatMs: number;
  /** After so long its last word is what it said last, or `no-answer`. */
  readonly giveUpMs: number;
  /** Unix milliseconds. */
  readonly clock?: () => number;
}

export interface Order {
  readonly kind: TakeOverOrderKind;
  /** The server that gives the order, by its name there. */
  readonly sender: string;
  /** Whose tunnels, and who gets them. */
  readonly server: string;
  readonly heir: string;
  readonly generation: number;
  /** Tunnel ids; none: all. */
  readonly ranges?: readonly IdRange[];
}

/** What one designator said. */
export interface DesignatorAnswer extends DesignatorPlace {
  readonly result: TakeOverResult | 'no-answer';
  /** The last generation that it believes, 0 unknown. With `old-generation` the sender has been overtaken by it. */
  readonly generation: number;
  readonly tunnels: number;
}

/** Answers after which it is worth asking again. */
const AGAIN: ReadonlySet<string> = new Set(['working', 'still-heard', 'busy']);

interface Waiting {
  readonly order: Order;
  readonly place: DesignatorPlace;
  readonly until: number;
  readonly done: (answer: DesignatorAnswer) => void;
  /** Sequences of the messages that were sent. */
  readonly sequences: Set<number>;
  last: TakeOverAnswer | null;
  timer: NodeJS.Timeout | null;
}

export class TakeOverClient {
  readonly #o: TakeOverClientOptions;
  readonly #clock: () => number;
  readonly #sockets = new Map<'udp4' | 'udp6', Socket>();
  readonly #waiting = new Set<Waiting>();
  #sequence = 0;
  #closed = false;
  /** Datagrams that were no answer to anything asked, or not authentic. */
  ignored = 0;

  constructor(options: TakeOverClientOptions) {
    this.#o = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** Resolves when every designator has given its last word or `giveUpMs` are over. Never rejects. */
  order(order: Order): Promise<DesignatorAnswer[]> {
    const until = this.#clock() + this.#o.giveUpMs;
    return Promise.all(
      this.#o.designators.map(
        (place) =>
          new Promise<DesignatorAnswer>((done) => {
            const waiting: Waiting = { order, place, until, done, sequences: new Set(), last: null, timer: null };
            this.#waiting.add(waiting);
            this.#ask(waiting);
          }),
      ),
    );
  }

  /** What is still waited for ends with what is known. */
  close(): void {
    this.#closed = true;
    for (const waiting of [...this.#waiting]) this.#finish(waiting);
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #ask(waiting: Waiting): void {
    const timeMs = this.#clock();
    if (this.#closed || timeMs >= waiting.until) return this.#finish(waiting);
    // Milliseconds: above those of a run before, whatever their number.
    this.#sequence = Math.max(this.#sequence + 1, timeMs);
    waiting.sequences.add(this.#sequence);
    const { kind, sender, server, heir, generation, ranges = [] } = waiting.order;
    const { host, port } = waiting.place;
    const bytes = buildTakeOver(
      { kind, sequence: this.#sequence, timeMs, sender, server, heir, generation, ranges },
      this.#o.key,
    );
    // A message that cannot leave is a message lost: the next one may find a way.
    this.#socket(host).send(bytes, port, host, () => {});
    waiting.timer = setTimeout(() => this.#ask(waiting), this.#o.repeatMs);
  }

  #socket(host: string): Socket {
    const type = host.includes(':') ? 'udp6' : 'udp4';
    let socket = this.#sockets.get(type);
    if (socket === undefined) {
      socket = createSocket(type);
      socket.on('error', () => this.ignored++);
      socket.on('message', (bytes) => this.#received(bytes));
      // Whoever waits for an answer has timers; a socket alone is no reason to go on.
      socket.unref();
      this.#sockets.set(type, socket);
    }
    return socket;
  }

  #received(bytes: Uint8Array): void {
    const message = readTakeOver(bytes);
    if (typeof message === 'string' || message.kind !== 'answer' || !isAuthenticTakeOver(bytes, this.#o.key)) {
      this.ignored++;
      return;
    }
    for (const waiting of this.#waiting) {
      if (!waiting.sequences.has(message.sequence)) continue;
      waiting.last = message;
      if (!AGAIN.has(message.result)) this.#finish(waiting);
      return;
    }
    this.ignored++;
  }

  #finish(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting)) return;
    if (waiting.timer !== null) clearTimeout(waiting.timer);
    const { place, last } = waiting;
    waiting.done({
      ...place,
      result: last?.result ?? 'no-answer',
      generation: last?.generation ?? 0,
      tunnels: last?.tunnels ?? 0,
    });
  }
}
