/**
 * The one door through which a server enters a state. It writes the cell that all shards read, keeps what happened
 * before, and tells whoever listens. Main thread only.
 *
 * What an operator has ordered (draining, disabled) is remembered in the cell beside what health finds, so that a server
 * that dies while it drains drains on when it is back.
 */
import { CELL_WORDS, SERVER_CELL, SERVER_REASON, SERVER_STATE, type TableMemory } from '../flow/layout.js';
import { markChanged } from './servers.js';

export type ServerStateName = 'free' | 'up' | 'slow-start' | 'suspect' | 'down' | 'draining' | 'disabled' | 'inactive';

const STATE_NAMES: readonly ServerStateName[] = (() => {
  const names: ServerStateName[] = [];
  names[SERVER_STATE.free] = 'free';
  names[SERVER_STATE.up] = 'up';
  names[SERVER_STATE.slowStart] = 'slow-start';
  names[SERVER_STATE.suspect] = 'suspect';
  names[SERVER_STATE.down] = 'down';
  names[SERVER_STATE.draining] = 'draining';
  names[SERVER_STATE.disabled] = 'disabled';
  names[SERVER_STATE.inactive] = 'inactive';
  return names;
})();

/** In words for people, by SERVER_REASON. */
const REASON_WORDS: Readonly<Record<number, string>> = {
  [SERVER_REASON.command]: 'command',
  [SERVER_REASON.removed]: 'removed from the configuration',
  [SERVER_REASON.unanswered]: 'control messages stay unanswered',
  [SERVER_REASON.silent]: 'silent while tunnels ask',
  [SERVER_REASON.unreachable]: 'ICMP says that it cannot be reached',
  [SERVER_REASON.probe]: 'the active check got no answer',
  [SERVER_REASON.heard]: 'heard from again',
  [SERVER_REASON.answered]: 'answered a request',
  [SERVER_REASON.probeAnswered]: 'the active check got an answer',
  [SERVER_REASON.slowStartOver]: 'slow start is over',
  [SERVER_REASON.takenOver]: 'its peer has taken over its tunnels',
  [SERVER_REASON.notNeeded]: 'not needed by the present load',
  [SERVER_REASON.repeated]: 'clients ask again and again',
  [SERVER_REASON.unheard]: 'its load status messages have stopped',
  [SERVER_REASON.needed]: 'needed by the load',
};

/** The contract's word for a SERVER_STATE. */
export function serverStateName(state: number): ServerStateName {
  return STATE_NAMES[state] ?? 'free';
}

/** Why a state was entered, in words; null where the configuration is the whole reason. */
export function serverReasonWords(reason: number): string | null {
  return REASON_WORDS[reason] ?? null;
}

export interface ServerStateChange {
  /** CLOCK_MONOTONIC seconds. */
  readonly at: number;
  readonly from: ServerStateName;
  readonly to: ServerStateName;
  /** In words; null: the configuration. */
  readonly reason: string | null;
  /** Particulars in words, '' without. */
  readonly detail: string;
}

export type ServerStateListener = (server: number, change: ServerStateChange) => void;

/** Changes kept of a server. */
export const HISTORY_LIMIT = 32;

const NONE: readonly ServerStateChange[] = [];

export class ServerStates {
  readonly #cells: Int32Array;
  readonly #histories = new Map<number, ServerStateChange[]>();
  readonly #listeners: ServerStateListener[] = [];
  /** Servers that come back begin slowly. */
  slowStart = false;

  /** `now`: CLOCK_MONOTONIC seconds. */
  constructor(
    readonly memory: TableMemory,
    readonly now: () => number = () => 0,
  ) {
    this.#cells = memory.servers;
  }

  /** Called after every change, in the order of registration. */
  listen(listener: ServerStateListener): void {
    this.#listeners.push(listener);
  }

  /** SERVER_STATE */
  state(server: number): number {
    return this.#cells[server * CELL_WORDS + SERVER_CELL.state];
  }

  /**
   * The server (a cell's index) is in this SERVER_STATE from now on, for a SERVER_REASON. Entering the state that it
   * has already changes nothing. Returns whether anything changed. `detail` is for people.
   */
  enter(server: number, state: number, reason: number, detail = '', at = this.now()): boolean {
    const cells = this.#cells;
    const cell = server * CELL_WORDS;
    const from = cells[cell + SERVER_CELL.state];
    if (from === state) return false;
    cells[cell + SERVER_CELL.reason] = reason;
    cells[cell + SERVER_CELL.since] = Math.floor(at);
    Atomics.store(cells, cell + SERVER_CELL.state, state);
    markChanged(this.memory, server);
    const change: ServerStateChange = {
      at,
      from: serverStateName(from),
      to: serverStateName(state),
      reason: serverReasonWords(reason),
      detail,
    };
    let history = this.#histories.get(server);
    if (history === undefined) {
      history = [];
      this.#histories.set(server, history);
    }
    history.push(change);
    if (history.length > HISTORY_LIMIT) history.shift();
    for (const listener of this.#listeners) listener(server, change);
    return true;
  }

  /**
   * What an operator orders: SERVER_STATE.up takes an earlier order back. A server that is down and not disabled stays
   * down, and does what was ordered when it is back.
   */
  order(server: number, state: number, reason: number, detail = ''): boolean {
    const cell = server * CELL_WORDS;
    this.#cells[cell + SERVER_CELL.ordered] = state === SERVER_STATE.up ? 0 : state;
    if (state === SERVER_STATE.draining && this.state(server) === SERVER_STATE.down) return false;
    return this.enter(server, state, reason, detail);
  }

  /** In service again, with a slow start where there is one. */
  comeBack(server: number, reason: number, detail = ''): boolean {
    this.withdraw(server);
    return this.enter(server, this.slowStart ? SERVER_STATE.slowStart : SERVER_STATE.up, reason, detail);
  }

  /** Takes an order back without another state: of a server that is down. */
  withdraw(server: number): void {
    this.#cells[server * CELL_WORDS + SERVER_CELL.ordered] = 0;
  }

  /** SERVER_REASON of the present state. */
  reason(server: number): number {
    return this.#cells[server * CELL_WORDS + SERVER_CELL.reason];
  }

  /** SERVER_STATE that an operator has ordered: draining, disabled, or 0 none. */
  ordered(server: number): number {
    return this.#cells[server * CELL_WORDS + SERVER_CELL.ordered];
  }

  /** The last changes, oldest first. */
  history(server: number): readonly ServerStateChange[] {
    return this.#histories.get(server) ?? NONE;
  }

  /** The cell belongs to another server from now on. */
  forget(server: number): void {
    this.#histories.delete(server);
    this.#cells[server * CELL_WORDS + SERVER_CELL.ordered] = 0;
  }
}
