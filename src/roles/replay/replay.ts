/**
 * `designator replay`: a capture through the true pipeline, offline. One shard, a table in memory, a virtual clock from
 * the capture's time stamps; link-layer addresses are made up, since a capture has no host behind it.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import { CAPTURE_SLOTS } from '../../dataplane/capture-tap.js';
import { ALL_DROP_REASONS, COUNTER, DROP_BASE, newStatistics } from '../../dataplane/counters.js';
import { Directory } from '../../dataplane/directory.js';
import { HandOver, handOverLength } from '../../dataplane/hand-over.js';
import { Shard } from '../../dataplane/shard.js';
import {
  CELL_WORDS,
  formatTable,
  NEXT_HOP_STATE,
  SERVER_CELL,
  SHARD_LIMIT,
  TableMemory,
  tableLayout,
} from '../../flow/layout.js';
import { AddressTable } from '../../flow/address-table.js';
import { NextHopTable } from '../../flow/next-hop-table.js';
import { FrameRing } from '../../flow/ring.js';
import type { RouteSnapshot } from '../../flow/route-table.js';
import { SpinLock } from '../../flow/spin-lock.js';
import { nativeCounters, nativeTable } from '../../workers/native-binding.js';
import { PcapPort } from '../../io/pcap.js';
import type { NativeCounters, NativePort, NativeTable } from '../../io/native.js';
import { type PacketPort, PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import type { DropRow, TunnelRow } from '../../ops/appliance.js';
import { Binding } from '../designator/binding.js';
import { Rows } from '../designator/rows.js';
import { ClientSide } from './client-side.js';

/** Locally administered, recognisable in a dissector: 02:74:64 is "td". */
const OUTSIDE_MAC = Uint8Array.of(0x02, 0x74, 0x64, 0xff, 0x00, 0x00);
const INSIDE_MAC = Uint8Array.of(0x02, 0x74, 0x64, 0xff, 0x00, 0x01);
const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const MAPPED = 0xffff;

export interface ReplayOptions {
  readonly config: CompiledConfig;
  readonly input: string;
  readonly output: string;
  /** What passes to the host, if wanted. */
  readonly passed?: string;
}

export interface ReplayResult {
  readonly frames: number;
  readonly sent: number;
  readonly passed: number;
  readonly answered: number;
  readonly requests: number;
  /** Frames from a VIP that stood for a server's answer. */
  readonly translated: number;
  /** Reasons with a count above 0. */
  readonly drops: readonly DropRow[];
  /** Tunnels at the end of the capture. */
  readonly tunnels: readonly TunnelRow[];
}

/** What an offline port is made of. */
export interface OfflineParts {
  readonly table: NativeTable;
  readonly counters: NativeCounters;
  readonly ports: readonly NativePort[];
  /** On which side a frame arrived, as far as its addresses tell. */
  readonly ingressOf: (view: DataView, offset: number, length: number) => number;
}

/** Errors: TD_USAGE no such capture or no Ethernet capture (PcapPort). */
export function replay(options: ReplayOptions): ReplayResult {
  return runOffline(
    options.config,
    (parts) =>
      new PcapPort({
        ...parts,
        input: options.input,
        output: options.output,
        ...(options.passed === undefined ? {} : { passed: options.passed }),
      }),
  );
}

/** The whole pipeline over a port without a network, until its source ends. */
export function runOffline(config: CompiledConfig, open: (parts: OfflineParts) => PacketPort): ReplayResult {
  const { connections } = config.table;
  const memory = new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
  formatTable(memory, 1, new Int32Array(4));
  const binding = new Binding(memory);
  binding.assignOwners(1);
  const plan = binding.bind(config, 1);
  resolveServers(memory, binding);
  const directory = new Directory(memory, plan);
  const clientSide = new ClientSide(memory, directory);
  const statistics = newStatistics();
  const port = open({
    ingressOf: (view, offset, length) => ingressOf(view, offset, length, directory, clientSide),
    table: nativeTable(memory),
    counters: nativeCounters(statistics),
    ports: [
      { device: 0, vlan: config.outside.vlan, mac: OUTSIDE_MAC },
      { device: 1, vlan: config.inside.vlan, mac: INSIDE_MAC },
    ],
  });
  try {
    const shard = new Shard({
      shard: 0,
      memory,
      port: clientSide.wrap(port),
      statistics,
      handOver: new HandOver(0, 1, new SharedArrayBuffer(handOverLength(1))),
      captureRing: new FrameRing(new SharedArrayBuffer(FrameRing.byteLength(CAPTURE_SLOTS)), 0, CAPTURE_SLOTS),
      macs: [OUTSIDE_MAC, INSIDE_MAC],
      oneArm: false,
      filterNeeded: false,
    });
    shard.message({ type: 'routes', routes: routesOf(config) });
    shard.message({ type: 'plan', plan });
    let frames = 0;
    const hops = new NextHopTable(memory);
    for (let received = shard.turn(0); received >= 0; received = shard.turn(0)) {
      frames += received;
      // What a host would resolve gets an address at once: the frame that needs it leaves with the next turn.
      for (const notice of shard.takeNotices()) {
        if (notice.type !== 'unresolved') continue;
        for (const hop of notice.nextHops) {
          if (hops.state(hop) === NEXT_HOP_STATE.unresolved)
            hops.setMac(hop, Uint8Array.of(0x02, 0x74, 0x64, 1, hop >> 8, hop & 0xff), 1);
        }
      }
    }
    if (shard.batch.scratch > 0) shard.turn(0); // answers to the last frames
    const rows = new Rows(memory, binding, () => port.clock[0]);
    return {
      frames,
      sent: statistics[COUNTER.packetsIn] + statistics[COUNTER.packetsOut] - natively(statistics),
      passed: statistics[COUNTER.passed],
      answered: statistics[COUNTER.answered],
      requests: statistics[COUNTER.requests],
      translated: clientSide.translated,
      drops: ALL_DROP_REASONS.map(([reason, description], index) => ({
        reason,
        packets: statistics[DROP_BASE + index],
        description,
      })).filter((row) => row.packets > 0),
      tunnels: rows.tunnels(),
    };
  } finally {
    port.close();
  }
}

/** Frames that were decided to go and then could not be rewritten. */
function natively(statistics: Float64Array): number {
  const reasons = ['entry-changed', 'ttl-expired', 'neighbour-unresolved', 'rewrite-failed'];
  return ALL_DROP_REASONS.reduce(
    (sum, [name], index) => sum + (reasons.includes(name) ? statistics[DROP_BASE + index] : 0),
    0,
  );
}

function resolveServers(memory: TableMemory, binding: Binding): void {
  const hops = new NextHopTable(memory);
  const addresses = new AddressTable(memory);
  const lock = new SpinLock(memory);
  lock.acquire(SHARD_LIMIT);
  for (const { index, address } of binding.servers) {
    const word = (w: number): number => addresses.word(address, w);
    const hop = hops.ensure(PORT_INSIDE, word(0), word(1), word(2), word(3));
    hops.setMac(hop, Uint8Array.of(0x02, 0x74, 0x64, 0, index >> 8, index & 0xff), 1);
    memory.servers[index * CELL_WORDS + SERVER_CELL.nextHop] = hop;
  }
  lock.release(SHARD_LIMIT);
}

/** Servers are inside, everything else is outside and on link. */
function routesOf(config: CompiledConfig): RouteSnapshot {
  const servers = config.vips.flatMap((vip) => vip.servers);
  const count = servers.length + 1;
  const prefixes = new Int32Array(count * 4);
  const lengths = new Uint8Array(count);
  const ports = new Uint8Array(count);
  servers.forEach((server, row) => {
    prefixes.set(server.words, row * 4);
    lengths[row] = 128;
    ports[row] = PORT_INSIDE;
  });
  ports[count - 1] = PORT_OUTSIDE;
  return { prefixes, lengths, ports, gateways: new Int32Array(count * 4) };
}

/** A capture does not say where a frame came in: what a server sends came from inside, all else from outside. */
function ingressOf(
  view: DataView,
  offset: number,
  length: number,
  directory: Directory,
  clientSide: ClientSide,
): number {
  if (length < 34) return PORT_OUTSIDE;
  if (clientSide.fromVip(view, offset, length)) return PORT_INSIDE;
  const type = view.getUint16(offset + 12);
  const ip = offset + 14;
  if (type === TYPE_IPV4)
    return directory.serverOf(0, 0, MAPPED, view.getInt32(ip + 12)) >= 0 ? PORT_INSIDE : PORT_OUTSIDE;
  if (type !== TYPE_IPV6 || length < 54) return PORT_OUTSIDE;
  const word = (w: number): number => view.getInt32(ip + 8 + w * 4);
  return directory.serverOf(word(0), word(1), word(2), word(3)) >= 0 ? PORT_INSIDE : PORT_OUTSIDE;
}
