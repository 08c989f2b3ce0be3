/** Questions to rtnetlink, one at a time: dumps, asked again when a change disturbed them, and requests without answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DesignatorError } from '../errors.js';
import type { NetlinkSocket } from './native.js';
import {
  dumpRequest,
  NETLINK_ROUTE,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_OVERRUN,
  readError,
  readMessages,
  useNeighbour,
} from './netlink.js';

/** Makes a socket; tests put a kernel of their own here. */
export type OpenNetlink = (protocol: number, groups: number, onReadable: () => void) => NetlinkSocket;

/** A kernel that does not answer within this time will not. */
const ANSWER_MS = 5000;
/** A dump that is disturbed so often is taken as it is; the change that disturbed it brings another one anyway. */
const ATTEMPTS = 5;
/** A dump of which a part was lost may still be running when it is asked for again. */
const EBUSY = 16;
const BUSY_MS = 20;

interface Pending {
  readonly sequence: number;
  readonly each: (body: DataView) => void;
  readonly settle: (outcome: 'whole' | 'disturbed' | number) => void;
  disturbed: boolean;
}

export class NetlinkQuery {
  readonly #socket: NetlinkSocket;
  #sequence = 0;
  #pending: Pending | null = null;

  constructor(open: OpenNetlink) {
    this.#socket = open(NETLINK_ROUTE, 0, () => this.#read());
  }

  /**
   * Calls `each` with the body of every message of a dump. `restart` is called before it is asked for again: what came so
   * far does not count. Not to be called while another dump runs. Errors: TD_UNAVAILABLE, the kernel refuses or is silent.
   */
  async dump(type: number, family: number, restart: () => void, each: (body: DataView) => void): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      restart();
      const outcome = await this.#once(type, family, each);
      if (outcome === 'whole' || (outcome === 'disturbed' && attempt === ATTEMPTS)) return;
      if (outcome === EBUSY && attempt < ATTEMPTS) await sleep(BUSY_MS);
      else if (outcome !== 'disturbed') {
        throw new DesignatorError('TD_UNAVAILABLE', `rtnetlink refuses a dump (errno ${outcome})`, {
          type,
          family,
          errno: outcome,
        });
      }
    }
  }

  #once(type: number, family: number, each: (body: DataView) => void): Promise<'whole' | 'disturbed' | number> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pending = null;
      };
      const timer = setTimeout(() => {
        end();
        reject(new DesignatorError('TD_UNAVAILABLE', 'rtnetlink does not answer', { type, family }));
      }, ANSWER_MS);
      const sequence = this.#next();
      const settle: Pending['settle'] = (outcome) => {
        end();
        resolve(outcome);
      };
      this.#pending = { sequence, each, settle, disturbed: false };
      try {
        this.#socket.send(dumpRequest(type, family, sequence));
      } catch (cause) {
        end();
        reject(new DesignatorError('TD_UNAVAILABLE', 'rtnetlink cannot be asked', { type, family }, cause));
      }
    });
  }

  /** Has the kernel resolve or confirm a neighbour. What comes of it is told to the monitors; throws when not sent. */
  useNeighbour(index: number, words: readonly number[]): void {
    this.#socket.send(useNeighbour(index, words, this.#next()));
  }

  close(): void {
    this.#pending?.settle('disturbed');
    this.#socket.close();
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  #read(): void {
    for (;;) {
      let datagram: Uint8Array | null;
      try {
        datagram = this.#socket.receive();
      } catch {
        this.#pending?.settle('disturbed'); // ENOBUFS: a part of the answer is lost
        continue;
      }
      if (datagram === null) return;
      for (const message of readMessages(datagram)) {
        const pending = this.#pending;
        if (pending === null || message.sequence !== pending.sequence) continue; // an answer that nobody waits for
        if (message.interrupted || message.type === NLMSG_OVERRUN) pending.disturbed = true;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const error = readError(message.body);
          pending.settle(error !== 0 ? error : pending.disturbed ? 'disturbed' : 'whole');
        } else if (message.type !== NLMSG_OVERRUN) pending.each(message.body);
      }
    }
  }
}
