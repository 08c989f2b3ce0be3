/**
 * The tables that `show` prints, read from shared memory by the main thread while the shards write: a row may be a
 * packet old, never half of one tunnel and half of another (record versions are compared).
 */
import { ConnectionTable } from '../../flow/connection-table.js';
import {
  ADDRESS_WORDS,
  CELL_WORDS,
  FLAG_OFFLOADED,
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_FLAG,
  SERVER_STATE,
  type TableMemory,
  XDP,
  XDP_FLAG,
} from '../../flow/layout.js';
import { ownerSlot } from '../../flow/hash.js';
import { RecordPool } from '../../flow/record-pool.js';
import { serverReasonWords, serverStateName } from '../../designation/server-states.js';
import { clientEntryOf, clientPortOf } from '../../flow/client-port.js';
import type { NatRow, ServerRow, TunnelFilter, TunnelRow, VipMapRow, VipRow } from '../../ops/appliance.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import { formatAddress, formatEndpoint } from '../../wire/address.js';
import type { Binding, BoundServer, BoundVip } from './binding.js';
import type { FollowCounts } from './follow-desk.js';

const TUNNEL_STATES: Record<number, TunnelRow['state']> = {
  [RECORD_STATE.halfOpen]: 'half-open',
  [RECORD_STATE.established]: 'established',
  [RECORD_STATE.closing]: 'closing',
  [RECORD_STATE.passed]: 'half-open',
};
const PROTOCOL_NAMES = new Map([...DESCRIPTORS.values()].map((descriptor) => [descriptor.id, descriptor.name]));
/** Rows made at a time by `tunnelSlices`. */
const SLICE = 1024;

export class Rows {
  readonly #table: ConnectionTable;
  readonly #pool: RecordPool;

  /** Name of the member of the cluster that writes the record, null: this one. */
  writerOf: (record: number) => string | null = () => null;

  constructor(
    readonly memory: TableMemory,
    readonly binding: Binding,
    readonly now: () => number,
  ) {
    this.#table = new ConnectionTable(memory);
    this.#pool = new RecordPool(memory);
  }

  server(bound: BoundServer): ServerRow {
    const cell = (word: number): number => this.memory.servers[bound.index * CELL_WORDS + word];
    return {
      name: bound.name,
      vip: this.#vip(bound.vip)?.name ?? '',
      address: bound.text,
      port: bound.port,
      state: stateOf(cell(SERVER_CELL.state)),
      weight: cell(SERVER_CELL.weight),
      load: cell(SERVER_CELL.load) < 0 ? null : cell(SERVER_CELL.load) / 1000,
      tunnels: cell(SERVER_CELL.halfOpen) + cell(SERVER_CELL.established),
      sessions: cell(SERVER_CELL.sessions),
      reason: this.#reason(bound.index),
      sinceSeconds: Math.max(0, Math.floor(this.now()) - cell(SERVER_CELL.since)),
      requests: cell(SERVER_CELL.designated) >>> 0,
      history: this.#history(bound.index),
      loadStatus: this.loadStatus(bound.index),
    };
  }

  #reason(server: number): string | null {
    const underWay = this.underWay(server);
    if (underWay !== null) return underWay;
    const cell = (word: number): number => this.memory.servers[server * CELL_WORDS + word];
    const takesNone = (cell(SERVER_CELL.flags) & SERVER_FLAG.notAccepting) !== 0;
    if (takesNone && cell(SERVER_CELL.state) === SERVER_STATE.up) return 'its load status says: not accepting';
    return serverReasonWords(cell(SERVER_CELL.reason));
  }

  /** What is being done to a server that its state does not say; whoever does it says how to ask. */
  underWay: (server: number) => string | null = () => null;

  /** What a server's last load status said; whoever takes these messages says how to ask. */
  loadStatus: (server: number) => ServerRow['loadStatus'] = () => null;

  /** Oldest first, in wall-clock time. */
  #history(server: number): ServerRow['history'] {
    const wall = Date.now() / 1000 - this.now();
    return this.binding.states.history(server).map(({ at, from, to, reason, detail }) => ({
      at: new Date((wall + at) * 1000).toISOString(),
      from,
      to,
      reason,
      detail: detail === '' ? null : detail,
    }));
  }

  /** Sessions that a tunnel's record lists. */
  sessionsOf(record: number): number {
    return this.#pool.sessionsOf(record);
  }

  servers(): ServerRow[] {
    return this.binding.servers.map((server) => this.server(server));
  }

  vips(): VipRow[] {
    return this.binding.vips.map((vip) => {
      const servers = this.binding.servers.filter((server) => server.vip === vip.index);
      const rows = servers.map((server) => this.server(server));
      return {
        name: vip.name,
        address: vip.text,
        port: vip.port,
        protocols: vip.protocols.join(','),
        algorithm: vip.algorithm,
        tunnels: rows.reduce((sum, row) => sum + row.tunnels, 0),
        sessions: rows.reduce((sum, row) => sum + row.sessions, 0),
        servers: vip.servers.length,
        serversUp: rows.filter((row) => row.state === 'up' || row.state === 'slow-start').length,
        reply: vip.reply ?? 'vip',
        natAddress: (vip.natAddress ?? -1) < 0 ? null : this.#textOf(vip.natAddress as number),
        ...this.follow(vip.index),
      };
    });
  }

  /** What is known of the clients of a VIP; whoever is told says it. */
  follow: (vip: number) => FollowCounts = () => ({ following: 0, carried: 0, refusing: 0, notFollowing: null });

  /** Document 001's Table 1. A process that is the NAT server alone has nothing but such tunnels. */
  *natSlices(): Iterable<readonly NatRow[]> {
    const vips = new Set(this.binding.vips.filter(({ reply, oneWay }) => reply === 'nat' && oneWay !== true));
    let slice: NatRow[] = [];
    for (let record = 0; vips.size > 0 && record < this.memory.layout.recordCount; record++) {
      const row = this.#nat(record, vips);
      if (row === null) continue;
      slice.push(row);
      if (slice.length < SLICE) continue;
      yield slice;
      slice = [];
    }
    if (slice.length > 0) yield slice;
  }

  #nat(record: number, vips: ReadonlySet<BoundVip>): NatRow | null {
    const { records } = this.memory;
    const vip = this.#vip(records[record * RECORD_WORDS + RECORD.place] >>> 16);
    if (vip === undefined || !vips.has(vip)) return null;
    const reverse = records[record * RECORD_WORDS + RECORD.entryReverse] - 1;
    const shown = records[record * RECORD_WORDS + RECORD.ports] & 0xffff;
    const row = this.tunnel(record);
    // A request that is not answered yet is in no table of the document's.
    if (row === null || reverse < 0 || shown === 0) return null;
    const colon = row.client.lastIndexOf(':');
    return {
      vip: row.vip,
      farAddress: row.client.slice(0, colon).replace(/^\[|\]$/g, ''),
      farPort: Number(row.client.slice(colon + 1)),
      localAddress: row.serverAddress,
      localPort: row.serverPort,
      natAddress: this.#textOf(this.#table.targetOf(reverse) >>> 16),
      natPort: shown,
      farTunnelId: row.clientTunnelId,
      localTunnelId: row.serverTunnelId,
      server: row.server,
      sessions: row.sessions,
      packetsIn: row.packetsIn,
      packetsOut: row.packetsOut,
      bytesIn: row.bytesIn,
      bytesOut: row.bytesOut,
      state: row.state,
    };
  }

  #textOf(address: number): string {
    const { addresses } = this.memory;
    const at = address * ADDRESS_WORDS;
    return formatAddress(addresses[at], addresses[at + 1], addresses[at + 2], addresses[at + 3]);
  }

  /** Document 003's first table. */
  vipMap(): VipMapRow[] {
    return this.binding.vips.flatMap((vip) =>
      this.binding.servers
        .filter((server) => server.vip === vip.index)
        .map((server) => ({
          vip: vip.name,
          address: vip.text,
          port: vip.port,
          realAddress: server.text,
          realPort: server.port,
          weight: this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.weight],
          algorithm: vip.algorithm,
        })),
    );
  }

  tunnels(filter: TunnelFilter = {}): TunnelRow[] {
    const rows: TunnelRow[] = [];
    for (const slice of this.tunnelSlices(filter)) rows.push(...slice);
    return rows;
  }

  *tunnelSlices(filter: TunnelFilter): Iterable<readonly TunnelRow[]> {
    let slice: TunnelRow[] = [];
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    for (let record = 0; record < this.memory.layout.recordCount && left > 0; record++) {
      const row = this.tunnel(record);
      if (row === null || !matches(row, filter)) continue;
      slice.push(row);
      left--;
      if (slice.length === SLICE) {
        yield slice;
        slice = [];
      }
    }
    if (slice.length > 0) yield slice;
  }

  /** The tunnel of a record, or null when the record is free or was changing. */
  tunnel(record: number): TunnelRow | null {
    const { records } = this.memory;
    const at = record * RECORD_WORDS;
    const version = Atomics.load(records, at + RECORD.state);
    const state = TUNNEL_STATES[version & 0xff];
    if (state === undefined) return null;
    const vip = this.#vip(records[at + RECORD.place] >>> 16);
    const server = this.#server(records[at + RECORD.place] & 0xffff);
    const any = clientEntryOf(records, this.#table, record);
    if (any < 0 || vip === undefined || server === undefined) return null;
    const table = this.#table;
    const key = (word: number): number => table.keyWord(any, word);
    const counts = this.#counts(record);
    const now = Math.floor(this.now());
    const created = records[at + RECORD.created];
    const protocol = (version >>> 8) & 0xff;
    const serverPort = records[at + RECORD.ports] >>> 16;
    const owner = this.memory.ownerSlots[ownerSlot(key(0), key(1), key(2), key(3))];
    const row: TunnelRow = {
      vip: vip.name,
      protocol: PROTOCOL_NAMES.get(protocol) ?? String(protocol),
      client: formatEndpoint(key(0), key(1), key(2), key(3), clientPortOf(table, any)),
      clientTunnelId: records[at + RECORD.clientChannel] || null,
      virtualTunnelId: records[at + RECORD.virtualChannel] || null,
      server: server.name,
      serverAddress: server.text,
      serverPort: serverPort !== 0 ? serverPort : server.port,
      serverTunnelId: records[at + RECORD.serverChannel] || null,
      state,
      // A tunnel that has ended has none, though its list stays until the mapping goes.
      sessions: (version & 0xff) === RECORD_STATE.closing ? 0 : this.#pool.sessionsOf(record),
      ...counts.amounts,
      ageSeconds: Math.max(0, now - created),
      idleSeconds: Math.max(0, now - Math.max(created, counts.lastSeen)),
      shard: owner,
      offloaded: this.#isOffloaded(record),
      writer: this.writerOf(record),
    };
    return Atomics.load(records, at + RECORD.state) >>> 16 === version >>> 16 ? row : null;
  }

  /** The XDP program forwards its data, both ways, without any shard. */
  #isOffloaded(record: number): boolean {
    const { records, xdp } = this.memory;
    if ((xdp[XDP.flags] & XDP_FLAG.offload) === 0) return false;
    const at = record * RECORD_WORDS;
    const oneWay = this.#vip(records[at + RECORD.place] >>> 16)?.oneWay === true;
    if ((records[at + RECORD.entryReverse] === 0 && !oneWay) || records[at + RECORD.entryForward] === 0) return false;
    for (let word = RECORD.entryReverse; word <= RECORD.entryAlias; word++) {
      const slot = records[at + word] - 1;
      if (slot >= 0 && (this.#table.flagsOf(slot) & FLAG_OFFLOADED) === 0) return false;
    }
    return true;
  }

  #counts(record: number): {
    amounts: Pick<TunnelRow, 'packetsIn' | 'packetsOut' | 'bytesIn' | 'bytesOut'>;
    lastSeen: number;
  } {
    const { records } = this.memory;
    const at = record * RECORD_WORDS;
    const amounts = { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };
    let lastSeen = 0;
    for (let word = RECORD.entryHalfOpen; word <= RECORD.entryAlias; word++) {
      const slot = records[at + word] - 1;
      if (slot < 0) continue;
      lastSeen = Math.max(lastSeen, this.#table.lastSeen(slot));
      const out = (this.#table.flagsOf(slot) & 1) !== 0;
      if (out) {
        amounts.packetsOut += this.#table.packets(slot);
        amounts.bytesOut += this.#table.bytes(slot);
      } else {
        amounts.packetsIn += this.#table.packets(slot);
        amounts.bytesIn += this.#table.bytes(slot);
      }
    }
    return { amounts, lastSeen };
  }

  /** Tunnels by state of every VIP cell: [half-open, established, closing]. */
  tunnelStates(): Map<number, [number, number, number]> {
    const { records, layout } = this.memory;
    const states = new Map<number, [number, number, number]>();
    for (let record = 0; record < layout.recordCount; record++) {
      const state = records[record * RECORD_WORDS + RECORD.state] & 0xff;
      if (state === RECORD_STATE.free || state > RECORD_STATE.closing) continue;
      const vip = records[record * RECORD_WORDS + RECORD.place] >>> 16;
      const counts = states.get(vip) ?? [0, 0, 0];
      counts[state - 1]++;
      states.set(vip, counts);
    }
    return states;
  }

  /** (address index, port) of floating ports that tunnels use, as address << 16 | port. */
  floatingPorts(): Set<number> {
    const { records, layout } = this.memory;
    const places = new Set<number>();
    for (let record = 0; record < layout.recordCount; record++) {
      const at = record * RECORD_WORDS;
      if ((records[at + RECORD.state] & 0xff) === RECORD_STATE.free) continue;
      const port = records[at + RECORD.ports] >>> 16;
      const server = this.#server(records[at + RECORD.place] & 0xffff);
      if (server === undefined) continue;
      if (port !== 0 && port !== server.port) places.add((server.address << 16) | port);
      // The VIP's packets at a port of its own making have to be kept from the host as well.
      const shown = records[at + RECORD.ports] & 0xffff;
      const vip = this.#vip(records[at + RECORD.place] >>> 16);
      if (shown !== 0 && shown !== vip?.port && shown !== port) places.add((server.address << 16) | shown);
    }
    return places;
  }

  totals(): { entries: number; slots: number; tunnels: number; limit: number; sessions: number } {
    const { header, layout } = this.memory;
    return {
      entries: header[HEADER.entriesUsed],
      slots: layout.slotCount,
      tunnels: header[HEADER.recordsUsed],
      limit: layout.recordCount,
      sessions: header[HEADER.sessionsUsed],
    };
  }

  #vip(index: number): BoundVip | undefined {
    return this.binding.vips.find((vip) => vip.index === index);
  }

  #server(index: number): BoundServer | undefined {
    return this.binding.servers.find((server) => server.index === index);
  }
}

function stateOf(state: number): ServerRow['state'] {
  const name = serverStateName(state);
  return name === 'free' ? 'disabled' : name;
}

function matches(row: TunnelRow, filter: TunnelFilter): boolean {
  return (
    (filter.vip === undefined || row.vip === filter.vip) &&
    (filter.server === undefined || row.server === filter.server) &&
    (filter.tunnel === undefined || row.clientTunnelId === filter.tunnel) &&
    (filter.client === undefined || row.client === filter.client)
  );
}
