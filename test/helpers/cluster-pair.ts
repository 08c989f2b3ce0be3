/** A designator whose table is replicated to another one's, both without a network: what goes in here comes out there. */
import { Replication } from '../../src/cluster/replication.js';
import type { Stream } from '../../src/cluster/stream.js';
import type { StreamWriter } from '../../src/cluster/stream-writer.js';
import { type Places, TableApply } from '../../src/cluster/table-apply.js';
import { TableFeed } from '../../src/cluster/table-feed.js';
import {
  ADDRESS_WORDS,
  CELL_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_DENIED,
  FLAG_IPV4,
  FLAG_OFFLOADED,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SHARD_LIMIT,
  type TableMemory,
  VIP_CELL,
} from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { MemoryAppliance } from './memory-appliance.js';

/** What the designator's wiring will say, read from the cells. */
export function placesOf(memory: TableMemory): Places {
  const cellOf = (cells: Int32Array, field: number, identity: number): number => {
    for (let i = 0; i * CELL_WORDS < cells.length; i++)
      if (cells[i * CELL_WORDS] !== 0 && cells[i * CELL_WORDS + field] === identity) return i;
    return -1;
  };
  const server = (index: number, word: number): number => memory.servers[index * CELL_WORDS + word];
  const hops = new NextHopTable(memory);
  const lock = new SpinLock(memory);
  return {
    vip: (identity) => cellOf(memory.vips, VIP_CELL.identity, identity),
    server: (identity) => cellOf(memory.servers, SERVER_CELL.identity, identity),
    serverAddress: (index) => server(index, SERVER_CELL.address),
    serverPort: (index) => server(index, SERVER_CELL.port) & 0xffff,
    clientNextHop: (a0, a1, a2, a3) => {
      lock.acquire(SHARD_LIMIT);
      const hop = hops.ensure(PORT_OUTSIDE, a0, a1, a2, a3);
      hops.setMac(hop, Uint8Array.of(2, 0, 0, 0, 0x0c, a3 & 0xff), 1000);
      lock.release(SHARD_LIMIT);
      return hop;
    },
    serverNextHop: (index) => server(index, SERVER_CELL.nextHop),
  };
}

/** Every entry in words that mean the same in any table. */
export function entriesOf(memory: TableMemory): string[] {
  const { records, entries, addresses, layout } = memory;
  const address = (index: number): string =>
    `${[...addresses.subarray(index * ADDRESS_WORDS, index * ADDRESS_WORDS + 4)]}`;
  const found: string[] = [];
  for (let record = 0; record < layout.recordCount; record++) {
    const at = record * RECORD_WORDS;
    if ((records[at + RECORD.state] & 0xff) === RECORD_STATE.free) continue;
    for (let field = RECORD.entryHalfOpen; field <= RECORD.entryAlias; field++) {
      const e = (records[at + field] - 1) * ENTRY_WORDS;
      if (e < 0) continue;
      const flags = entries[e + ENTRY.record] & 0xff & ~(FLAG_DENIED | FLAG_OFFLOADED | FLAG_IPV4);
      const tag = entries[e + ENTRY.tag];
      found.push(
        [
          field,
          [...entries.subarray(e + ENTRY.client, e + ENTRY.client + 6)],
          address(tag >>> 16),
          tag & 0xffff,
          address(entries[e + ENTRY.target] >>> 16),
          entries[e + ENTRY.ports],
          flags,
          [...records.subarray(at + RECORD.clientChannel, at + RECORD.ports + 1)],
          [...records.subarray(at + RECORD.clientSequence, at + RECORD.serverSequence + 1)],
        ].join(' | '),
      );
    }
  }
  return found.sort();
}

/** Rows of `show tunnels`, without what is one machine's own. */
export function rowsOf(appliance: MemoryAppliance, counters: boolean): string[] {
  return appliance.rows
    .tunnels()
    .map(({ shard: _shard, offloaded: _offloaded, idleSeconds, packetsIn, packetsOut, bytesIn, bytesOut, ...row }) =>
      JSON.stringify(counters ? { ...row, packetsIn, packetsOut, bytesIn, bytesOut, idleSeconds } : row),
    )
    .sort();
}

export class ClusterPair {
  readonly active: MemoryAppliance;
  readonly standby: MemoryAppliance;
  readonly feed: TableFeed;
  readonly apply: TableApply;
  readonly writer: StreamWriter;
  readonly #out: Replication;
  readonly #in: Replication;
  /** Replication's clock goes on while the tables' stands. */
  #time = 0;

  /** The standby's clock shows another time, and it has numbered VIPs and servers in another way. */
  constructor(
    readonly yaml: string,
    readonly ahead = 5000,
  ) {
    this.active = new MemoryAppliance(yaml);
    this.standby = new MemoryAppliance(
      `vips: [{ name: first, address: 200.200.99.1, servers: [{ name: former, address: 10.99.1.1 }] }]\n` +
        (/^table: .*$/m.exec(yaml)?.[0] ?? ''),
    );
    this.standby.at(this.active.now + ahead);
    this.standby.reload(yaml);
    const { recordCount, sessionCount } = this.active.memory.layout;
    const capacity = [recordCount, sessionCount] as const;
    this.apply = new TableApply(this.standby.memory, placesOf(this.standby.memory));
    const nobody = { changed: () => undefined, counted: () => undefined };
    const common = { facts: new Map(), capacity, timing: { counterInterval: 0.05 }, rate: 1e6, burst: 1e4 };
    this.#out = new Replication({ number: 1, sink: nobody, ...common });
    this.#in = new Replication({ number: 2, sink: this.apply, ...common });
    this.writer = this.#out.write(1, 0, this.active.now);
    this.feed = new TableFeed(this.active.memory, this.writer);
    this.carry();
  }

  get stream(): Stream {
    const stream = this.#in.stream(1, 0);
    if (stream === undefined) throw new Error('the stream was not heard of');
    return stream;
  }

  get replication(): Replication {
    return this.#in;
  }

  /** A frame into the active one, on the side that its source is on. */
  send(frame: Uint8Array, to = this.active): readonly { readonly frame: Uint8Array }[] {
    const inside = frame[12] === 0x86 ? frame[22] === 0xfd : frame[26] === 10;
    return to.send(frame, inside ? PORT_INSIDE : PORT_OUTSIDE).sent;
  }

  at(seconds: number): void {
    this.active.at(seconds);
    this.standby.at(seconds + this.ahead);
  }

  /** All that is in the table goes over. */
  carry(): void {
    this.#time = Math.max(this.#time, this.active.now);
    this.feed?.all(this.#time);
    for (let i = 0; i < 40; i++) {
      this.#time += 0.01;
      const now = this.#time;
      const then = now + this.ahead;
      this.apply.setTime(Math.floor(this.standby.now), Math.floor(then * 1000) | 0);
      this.#out.turn(now, (_target, body) => this.#in.receive(1, 1, body, then));
      this.#in.turn(then, (_target, body) => this.#out.receive(2, 1, body, now));
    }
  }
}
