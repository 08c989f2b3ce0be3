/**
 * The hosts of a gateway group as one member knows them: which forwarder each has, the same table at every member, the
 * selection at the master, and the moves that hosts are to be told of (document 004). No I/O and no clock.
 */
import type { AddressWords } from '../../wire/address.js';
import type { Mac } from '../mac.js';
import type { CommandResult, HostFilter, HostRow } from '../types.js';
import type {
  Asked,
  ForwarderView,
  HostEvent,
  HostMessage,
  HostsOptions,
  HostsSettings,
  Move,
  Position,
} from './types.js';

const EMPTY = new Uint8Array(0);

export class Hosts {
  readonly #options: HostsOptions;

  constructor(options: HostsOptions) {
    this.#options = options;
  }

  configure(_settings: Partial<HostsSettings>, _now: number): void {}

  /** The forwarders, all of them, whenever something about one changes (loads: whenever they are reported). */
  setForwarders(_list: readonly ForwarderView[], _now: number): void {}

  /** Who is master as this member sees it; its own number: it takes the office now; 0: nobody. Idempotent. */
  follow(_master: number, _now: number): void {}

  /** Master only: the forwarder that the reply to this host names; null when none is served. */
  choose(_host: Mac, _about: Asked, _now: number): number | null {
    return null;
  }

  /** The present forwarder of a host, 0 when it is not known or its forwarder is not served. */
  forwarderOf(_host: Mac): number {
    return 0;
  }

  /** An address of a host that is known, seen otherwise than in a request. */
  learn(_host: Mac, _address: AddressWords, _now: number): void {}

  /** True while a successor fetches what another member knows and it does not: unknown hosts better wait (≤ 50 ms). */
  settling(_now: number): boolean {
    return false;
  }

  /** A body that another member, proven to be one, sent by `messages`. */
  receive(_from: number, _body: Uint8Array, _now: number): void {}

  /** The position in another member's advert. */
  heard(_from: number, _position: Position, _now: number): void {}

  /** What to send in this turn, before the replies that were chosen in it. */
  messages(_now: number): HostMessage[] {
    return [];
  }

  /** The changes of the last intervals for the master's advert, as a body that `receive` takes; empty: none. */
  recent(_now: number): Uint8Array {
    return EMPTY;
  }

  position(): Position {
    return { term: 0, version: 0, digest: [0, 0], count: 0 };
  }

  /** Does a member whose advert has this position have the table as it is here, but for changes under way? For a hand-over. */
  inSync(_position: Position): boolean {
    return false;
  }

  /** Hosts to be told now, at most as many as the pace allows. Their entries are changed with it. */
  moves(_now: number): Move[] {
    return [];
  }

  /** Gives a host (null: every host) to a forwarder. The hosts are told at the pace of moves. */
  move(_host: Mac | null, _to: number, _now: number): CommandResult {
    return { ok: false, why: 'not running' };
  }

  /** Gives all hosts of a forwarder to others: its gateway has failed for good. Returns how many. */
  redistribute(_number: number, _now: number): number {
    return 0;
  }

  /** Gives all hosts of a forwarder to another, `to`, before the forwarder goes back to its owner. Returns how many. */
  vacate(_number: number, _to: number, _now: number): number {
    return 0;
  }

  /** Moves that are still to be made away from a forwarder. 0: done. */
  leaving(_number: number): number {
    return 0;
  }

  /** The owner of a forwarder serves it again: hosts that it lost come back as `return` says. Returns how many. */
  returned(_number: number, _now: number): number {
    return 0;
  }

  /** Traffic still comes for a forwarder that its hosts have left: they are told again, three times at most. */
  straggling(_number: number, _now: number): void {}

  tick(_now: number): void {}

  /** When `tick` (or `moves`) is due. */
  get nextTime(): number {
    return Number.POSITIVE_INFINITY;
  }

  rows(_now: number, _filter: HostFilter = {}): HostRow[] {
    return [];
  }

  get size(): number {
    return 0;
  }

  /** Hosts of a forwarder. */
  countOf(_number: number): number {
    return 0;
  }

  counters(): Record<string, number> {
    return {};
  }

  events(): HostEvent[] {
    return [];
  }

  get number(): number {
    return this.#options.number;
  }
}
