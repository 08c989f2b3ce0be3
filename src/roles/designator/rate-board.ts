/**
 * Rates for `designator top`: what tunnels, servers and shards carry now, from their counters. Nothing is kept for it
 * until somebody asks; then one pass over the records a second at most, in slices, whoever and how many ask. A request
 * costs the pass, a selection of the first rows by one number each, and the words for just these rows.
 */
import { ALL_DROP_REASONS, COUNTER, DROP_BASE } from '../../dataplane/counters.js';
import { clientEntryOf, clientPortOf } from '../../flow/client-port.js';
import { ConnectionTable } from '../../flow/connection-table.js';
import {
  CELL_WORDS,
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_LIMIT,
  type TableMemory,
} from '../../flow/layout.js';
import type { Rates, TopAnswer, TopQuery, TopSort, TotalsRow } from '../../ops/top.js';
import { parseEndpoint } from '../../wire/address.js';
import type { Binding } from './binding.js';
import type { Rows } from './rows.js';

/** Records looked at in one turn of the event loop: about a millisecond. */
const SLICE = 2048;
/** Asked sooner than this after a pass, the same rates are told again. */
const FRESH_SECONDS = 0.5;
/** Counters older than this are no base for a rate. */
const STALE_SECONDS = 30;
/** Packets and bytes, in and out. */
const AMOUNTS = 4;
const [PACKETS_IN, PACKETS_OUT, BYTES_IN, BYTES_OUT] = [0, 1, 2, 3];

interface Snapshot {
  readonly at: number;
  /** Per record: packets in, out, bytes in, out. */
  readonly amounts: Float64Array;
  /** What tells one tunnel of a record from the next. */
  readonly identity: Int32Array;
  /** Requests designated, per server cell. */
  readonly designated: Float64Array;
  /** Per shard (the last is the kernel): received, packets in, out, bytes in, out, drops. */
  readonly shards: Float64Array;
}

const SHARD_AMOUNTS = 6;

export interface RateSources {
  readonly memory: TableMemory;
  readonly binding: Binding;
  readonly rows: Rows;
  readonly statistics: readonly Float64Array[];
  /** What the kernel forwarded by itself; null: nothing does. */
  readonly kernel: () => { packetsIn: number; packetsOut: number; bytesIn: number; bytesOut: number } | null;
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
}

export class RateBoard {
  readonly #s: RateSources;
  readonly #table: ConnectionTable;
  #last: Snapshot | null = null;
  /** Memory of the snapshot before the last, for the next one. */
  #spare: Snapshot | null = null;
  #running: Promise<void> | null = null;
  #seconds: number | null = null;
  /** Per record, in a second. */
  #rates: Float64Array = new Float64Array(0);
  #serverRates: Float64Array = new Float64Array(0);
  #shardRates: Float64Array = new Float64Array(0);
  #requestRates: Float64Array = new Float64Array(0);
  #tunnels = 0;
  #established = 0;

  constructor(sources: RateSources) {
    this.#s = sources;
    this.#table = new ConnectionTable(sources.memory);
  }

  async top(query: TopQuery): Promise<TopAnswer> {
    await this.#refresh();
    const rows =
      query.view === 'servers'
        ? this.#servers(query)
        : query.view === 'shards'
          ? this.#shards(query)
          : this.#tunnelRows(query);
    return { view: query.view, seconds: this.#seconds, totals: this.#totals(), rows };
  }

  /** One pass at a time; who asks meanwhile waits for it. */
  #refresh(): Promise<void> {
    const now = this.#s.now();
    if (this.#running === null && (this.#last === null || now - this.#last.at >= FRESH_SECONDS)) {
      this.#running = this.#pass().finally(() => (this.#running = null));
    }
    return this.#running ?? Promise.resolve();
  }

  async #pass(): Promise<void> {
    const { memory, statistics, now } = this.#s;
    const { recordCount } = memory.layout;
    const previous = this.#last !== null && now() - this.#last.at <= STALE_SECONDS ? this.#last : null;
    const next: Snapshot = {
      at: now(),
      amounts: this.#spare?.amounts.fill(0) ?? new Float64Array(recordCount * AMOUNTS),
      identity: this.#spare?.identity.fill(0) ?? new Int32Array(recordCount),
      designated: new Float64Array(SERVER_LIMIT),
      shards: new Float64Array((statistics.length + 1) * SHARD_AMOUNTS),
    };
    if (this.#rates.length === 0) this.#rates = new Float64Array(recordCount * AMOUNTS);
    const rates = this.#rates.fill(0);
    const serverRates = new Float64Array(SERVER_LIMIT * AMOUNTS);
    const seconds = previous === null ? null : Math.max(0.001, next.at - previous.at);
    let tunnels = 0;
    let established = 0;
    for (let record = 0; record < recordCount; record++) {
      if (record % SLICE === SLICE - 1) await new Promise<void>((resolve) => setImmediate(resolve));
      const at = record * RECORD_WORDS;
      const state = memory.records[at + RECORD.state] & 0xff;
      if (state === RECORD_STATE.free) continue;
      if (state !== RECORD_STATE.closing) tunnels++;
      if (state === RECORD_STATE.established) established++;
      this.#count(record, next.amounts);
      const identity =
        Math.imul(memory.records[at + RECORD.created], 0x9e3779b1) ^ memory.records[at + RECORD.clientChannel];
      next.identity[record] = identity | 1;
      if (previous === null || seconds === null) continue;
      const known = previous.identity[record] === next.identity[record];
      const server = memory.records[at + RECORD.place] & 0xffff;
      for (let a = 0; a < AMOUNTS; a++) {
        const before = known ? previous.amounts[record * AMOUNTS + a] : 0;
        const rate = Math.max(0, next.amounts[record * AMOUNTS + a] - before) / seconds;
        rates[record * AMOUNTS + a] = rate;
        if (server < SERVER_LIMIT) serverRates[server * AMOUNTS + a] += rate;
      }
    }
    for (let server = 0; server < SERVER_LIMIT; server++) {
      next.designated[server] = memory.servers[server * CELL_WORDS + SERVER_CELL.designated] >>> 0;
    }
    this.#countShards(next.shards);
    this.#serverRates = serverRates;
    this.#shardRates = difference(next.shards, previous?.shards, seconds);
    this.#requestRates = difference(next.designated, previous?.designated, seconds);
    this.#tunnels = tunnels;
    this.#established = established;
    this.#seconds = seconds;
    this.#spare = this.#last;
    this.#last = next;
  }

  #count(record: number, amounts: Float64Array): void {
    const { records } = this.#s.memory;
    const at = record * AMOUNTS;
    for (let word = RECORD.entryHalfOpen; word <= RECORD.entryAlias; word++) {
      const slot = records[record * RECORD_WORDS + word] - 1;
      if (slot < 0) continue;
      const out = (this.#table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0;
      amounts[at + (out ? PACKETS_OUT : PACKETS_IN)] += this.#table.packets(slot);
      amounts[at + (out ? BYTES_OUT : BYTES_IN)] += this.#table.bytes(slot);
    }
  }

  #countShards(amounts: Float64Array): void {
    const { statistics, kernel } = this.#s;
    statistics.forEach((s, shard) => {
      let drops = 0;
      for (let counter = DROP_BASE; counter < DROP_BASE + ALL_DROP_REASONS.length; counter++) drops += s[counter];
      const { framesReceived, packetsIn, packetsOut, bytesIn, bytesOut } = COUNTER;
      const own = [s[framesReceived], s[packetsIn], s[packetsOut], s[bytesIn], s[bytesOut], drops];
      amounts.set(own, shard * SHARD_AMOUNTS);
    });
    const k = kernel();
    if (k === null) return;
    const { packetsIn, packetsOut, bytesIn, bytesOut } = k;
    amounts.set(
      [packetsIn + packetsOut, packetsIn, packetsOut, bytesIn, bytesOut, 0],
      statistics.length * SHARD_AMOUNTS,
    );
  }

  #totals(): TotalsRow {
    const sum = (from: Float64Array, offset: number, stride: number): number => {
      let total = 0;
      for (let at = offset; at < from.length; at += stride) total += from[at];
      return total;
    };
    const { packetsInPerSecond, packetsOutPerSecond, bitsInPerSecond, bitsOutPerSecond } = ratesOf(
      [1, 2, 3, 4].map((a) => sum(this.#shardRates, a, SHARD_AMOUNTS)),
    );
    return {
      tunnels: this.#tunnels,
      established: this.#established,
      limit: this.#s.memory.layout.recordCount,
      requestsPerSecond: sum(this.#requestRates, 0, 1),
      dropsPerSecond: sum(this.#shardRates, 5, SHARD_AMOUNTS),
      packetsInPerSecond,
      packetsOutPerSecond,
      bitsInPerSecond,
      bitsOutPerSecond,
    };
  }

  #tunnelRows(query: TopQuery): TopAnswer['rows'] {
    const { memory, rows, now } = this.#s;
    const { recordCount } = memory.layout;
    const wanted = this.#filter(query);
    const key = this.#sortKey(query.sort, Math.floor(now()));
    const sign = query.reverse === true ? -1 : 1;
    // The best so far, worst first: a new one is looked at only when it beats that.
    const best: { record: number; value: number }[] = [];
    for (let record = 0; record < recordCount; record++) {
      const state = memory.records[record * RECORD_WORDS + RECORD.state] & 0xff;
      if (state === RECORD_STATE.free) continue;
      const value = key(record) * sign;
      if (best.length === query.limit && value <= best[0].value) continue;
      if (!wanted(record)) continue;
      let at = 0;
      while (at < best.length && best[at].value < value) at++;
      best.splice(at, 0, { record, value });
      if (best.length > query.limit) best.shift();
    }
    return best.reverse().flatMap(({ record }) => {
      const row = rows.tunnel(record);
      return row === null
        ? []
        : [{ ...row, ...ratesOf(this.#rates.subarray(record * AMOUNTS, (record + 1) * AMOUNTS)) }];
    });
  }

  #sortKey(sort: TopSort, now: number): (record: number) => number {
    const rates = this.#rates;
    const { records } = this.#s.memory;
    const rate = (record: number, a: number): number => rates[record * AMOUNTS + a] ?? 0;
    switch (sort) {
      case 'packets':
        return (record) => rate(record, PACKETS_IN) + rate(record, PACKETS_OUT);
      case 'packets-in':
        return (record) => rate(record, PACKETS_IN);
      case 'packets-out':
        return (record) => rate(record, PACKETS_OUT);
      case 'in':
        return (record) => rate(record, BYTES_IN);
      case 'out':
        return (record) => rate(record, BYTES_OUT);
      case 'age':
        return (record) => now - records[record * RECORD_WORDS + RECORD.created];
      case 'sessions':
        return (record) => this.#s.rows.sessionsOf(record);
      default:
        return (record) => rate(record, BYTES_IN) + rate(record, BYTES_OUT);
    }
  }

  /** Compares words, so that a filter costs no text per tunnel. */
  #filter({ vip, server, client }: TopQuery): (record: number) => boolean {
    const { memory, binding } = this.#s;
    const cells = (list: readonly { index: number; name: string }[], name: string): Set<number> =>
      new Set(list.filter((cell) => cell.name === name).map(({ index }) => index));
    const vips = vip === undefined ? null : cells(binding.vips, vip);
    const servers = server === undefined ? null : cells(binding.servers, server);
    const endpoint = client === undefined ? null : parseEndpoint(client);
    return (record) => {
      const at = record * RECORD_WORDS;
      const place = memory.records[at + RECORD.place];
      if (vips !== null && !vips.has(place >>> 16)) return false;
      if (servers !== null && !servers.has(place & 0xffff)) return false;
      if (endpoint === null) return true;
      const slot = clientEntryOf(memory.records, this.#table, record);
      if (slot < 0) return false;
      const same = endpoint.words.every((value, w) => this.#table.keyWord(slot, w) === (value | 0));
      return same && clientPortOf(this.#table, slot) === endpoint.port;
    };
  }

  #servers(query: TopQuery): TopAnswer['rows'] {
    const list = this.#s.binding.servers
      .map((bound) => ({
        ...this.#s.rows.server(bound),
        requestsPerSecond: this.#requestRates[bound.index] ?? 0,
        ...ratesOf(this.#serverRates.subarray(bound.index * AMOUNTS, (bound.index + 1) * AMOUNTS)),
      }))
      .filter(
        (row) =>
          (query.vip === undefined || row.vip === query.vip) &&
          (query.server === undefined || row.name === query.server),
      );
    return sorted(list, query, {
      tunnels: (row) => row.tunnels,
      sessions: (row) => row.sessions,
      requests: (row) => row.requestsPerSecond,
      load: (row) => row.load ?? -1,
      age: (row) => row.sinceSeconds,
    });
  }

  #shards(query: TopQuery): TopAnswer['rows'] {
    const count = this.#s.statistics.length;
    const list = Array.from({ length: count + (this.#s.kernel() === null ? 0 : 1) }, (_, shard) => {
      const own = this.#shardRates.subarray(shard * SHARD_AMOUNTS, (shard + 1) * SHARD_AMOUNTS);
      return {
        shard: shard === count ? ('kernel' as const) : shard,
        receivedPerSecond: own[0] ?? 0,
        ...ratesOf(own.subarray(1, 5)),
        dropsPerSecond: own[5] ?? 0,
      };
    });
    return sorted(list, query, { drops: (row) => row.dropsPerSecond, packets: (row) => row.receivedPerSecond });
  }
}

function difference(next: Float64Array, previous: Float64Array | undefined, seconds: number | null): Float64Array {
  if (previous === undefined || seconds === null) return new Float64Array(next.length);
  return next.map((value, at) => Math.max(0, value - previous[at]) / seconds);
}

/** From packets in, packets out, bytes in, bytes out in a second. */
function ratesOf(amounts: ArrayLike<number>): Rates {
  return {
    packetsInPerSecond: tidy(amounts[PACKETS_IN]),
    packetsOutPerSecond: tidy(amounts[PACKETS_OUT]),
    bitsInPerSecond: tidy((amounts[BYTES_IN] ?? 0) * 8),
    bitsOutPerSecond: tidy((amounts[BYTES_OUT] ?? 0) * 8),
  };
}

function tidy(value: number | undefined): number {
  return Math.round((value ?? 0) * 100) / 100;
}

function sorted<Row extends Rates>(
  list: readonly Row[],
  query: TopQuery,
  own: Partial<Record<TopSort, (row: Row) => number>>,
): Row[] {
  const key =
    own[query.sort] ??
    {
      packets: (row: Rates) => row.packetsInPerSecond + row.packetsOutPerSecond,
      'packets-in': (row: Rates) => row.packetsInPerSecond,
      'packets-out': (row: Rates) => row.packetsOutPerSecond,
      in: (row: Rates) => row.bitsInPerSecond,
      out: (row: Rates) => row.bitsOutPerSecond,
    }[query.sort as string] ??
    ((row: Rates) => row.bitsInPerSecond + row.bitsOutPerSecond);
  const sign = query.reverse === true ? 1 : -1;
  return [...list].sort((a, b) => sign * (key(a) - key(b))).slice(0, query.limit);
}
