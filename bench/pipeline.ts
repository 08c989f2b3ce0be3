/**
 * The product's pipeline without a network: one shard over a port that takes its frames from a prepared set, with the
 * addon's rewriter behind it. What goes in and what comes out is counted; nothing is allocated while it runs.
 */
import { parseConfig } from '#designator/config/load.js';
import { CAPTURE_SLOTS } from '#designator/dataplane/capture-tap.js';
import { ALL_DROP_REASONS, COUNTER, DROP_BASE, newStatistics } from '#designator/dataplane/counters.js';
import { HandOver, handOverLength } from '#designator/dataplane/hand-over.js';
import type { Plan } from '#designator/dataplane/plan.js';
import { Shard } from '#designator/dataplane/shard.js';
import {
  CELL_WORDS,
  formatTable,
  HEADER,
  SERVER_CELL,
  SHARD_LIMIT,
  TableMemory,
  tableLayout,
} from '#designator/flow/layout.js';
import { NextHopTable } from '#designator/flow/next-hop-table.js';
import { EVENT_RING_SLOTS, EventRing } from '#designator/flow/event-ring.js';
import { FrameRing } from '#designator/flow/ring.js';
import { SpinLock } from '#designator/flow/spin-lock.js';
import { native, type Rewriter } from '#designator/io/native.js';
import {
  BATCH_CAPACITY,
  COLUMN_LENGTH,
  type FrameColumns,
  type PacketPort,
  PORT_INSIDE,
  PORT_OUTSIDE,
  SCRATCH_SLOT_LENGTH,
  SCRATCH_SLOTS,
  VERDICT_DROP,
} from '#designator/io/port.js';
import { Binding } from '#designator/roles/designator/binding.js';
import { nativeCounters, nativeTable } from '#designator/workers/native-binding.js';
import type { FrameSet } from './frames.js';

const OUTSIDE_MAC = Uint8Array.of(2, 0, 0, 0, 0x0d, 1);
const INSIDE_MAC = Uint8Array.of(2, 0, 0, 0, 0x0d, 2);
export const MACS = { source: Uint8Array.of(2, 0, 0, 0, 0x0c, 1), destination: OUTSIDE_MAC } as const;
const SECONDS = 1000;
const HASH_SEED = 0x5eed;
const CONFIG = (connections: number): string => `
interfaces: { outside: wan0, inside: lan0 }
table: { connections: ${connections} }
timeouts: { idle: 1h, halfOpen: 10m }
vips:
  - { name: access, address: 200.200.100.1, servers: [{ name: lns1, address: 10.10.1.1 }] }
`;

/** A batch at a time of a prepared set, round and round, as if the wire had brought them. */
export class PreparedPort implements PacketPort {
  readonly kind = 'memory';
  readonly description = 'prepared frames';
  readonly scratchOffset = BATCH_CAPACITY * SCRATCH_SLOT_LENGTH;
  readonly frames = new ArrayBuffer((BATCH_CAPACITY + SCRATCH_SLOTS) * SCRATCH_SLOT_LENGTH);
  readonly clock: Float64Array;
  readonly columns: FrameColumns = {
    offset: new Int32Array(COLUMN_LENGTH),
    length: new Int32Array(COLUMN_LENGTH),
    ingress: new Uint8Array(COLUMN_LENGTH),
    egress: new Uint8Array(COLUMN_LENGTH),
    flags: new Uint8Array(COLUMN_LENGTH),
    verdict: new Int32Array(COLUMN_LENGTH),
  };
  readonly #bytes = new Uint8Array(this.frames);
  readonly #rewriter: Rewriter;
  #set: FrameSet = { frames: new Uint8Array(0), frameLength: 64 };
  #ingress = PORT_OUTSIDE;
  #at = 0;
  readonly #began = performance.now();

  constructor(
    memory: TableMemory,
    statistics: Float64Array,
    readonly since = SECONDS,
  ) {
    this.clock = new Float64Array([since, 0]);
    this.#rewriter = new (native().Rewriter)({
      frames: this.frames,
      columns: this.columns,
      table: nativeTable(memory),
      counters: nativeCounters(statistics),
      ports: [
        { device: 0, vlan: 0, mac: OUTSIDE_MAC },
        { device: 1, vlan: 0, mac: INSIDE_MAC },
      ],
      clock: this.clock,
    });
  }

  /** The frames of the next turns; none when absent. */
  use(set: FrameSet = { frames: new Uint8Array(0), frameLength: 64 }, ingress = PORT_OUTSIDE): void {
    this.#set = set;
    this.#ingress = ingress;
    this.#at = 0;
  }

  turn(received: number, scratch: number): number {
    this.#rewriter.rewrite(received, scratch);
    this.clock[0] = this.since + (performance.now() - this.#began) / 1000; // slots that were freed may be used 100 ms later
    const { frames, frameLength } = this.#set;
    const count = Math.min(BATCH_CAPACITY, (frames.length - this.#at) / frameLength);
    const { offset, length, ingress, flags, verdict } = this.columns;
    for (let i = 0; i < count; i++) {
      const to = i * SCRATCH_SLOT_LENGTH;
      this.#bytes.set(frames.subarray(this.#at, this.#at + frameLength), to);
      this.#at += frameLength;
      offset[i] = to;
      length[i] = frameLength;
      ingress[i] = this.#ingress;
      flags[i] = 0;
      verdict[i] = VERDICT_DROP;
    }
    return count;
  }

  rewrite(received: number, scratch: number): void {
    this.#rewriter.rewrite(received, scratch);
  }

  statistics(): { received: number; lost: number } {
    return { received: 0, lost: 0 };
  }

  close(): void {}
}

export class Pipeline {
  readonly memory: TableMemory;
  /** What the shard tells of tunnels. */
  readonly events = new EventRing(new SharedArrayBuffer(EventRing.byteLength(EVENT_RING_SLOTS)));
  readonly port: PreparedPort;
  readonly shard: Shard;
  readonly plan: Plan;
  readonly statistics = newStatistics();

  /** `since`: what the clock (CLOCK_MONOTONIC, seconds) begins with. */
  constructor(connections: number, since = SECONDS) {
    const { config } = parseConfig('bench.yaml', CONFIG(connections));
    if (config === null) throw new Error('the configuration of the benchmark is wrong');
    const { length } = tableLayout(connections);
    const addon = native();
    this.memory = new TableMemory(addon.mapTable(addon.openTable(null, length).fd, length), connections);
    formatTable(this.memory, HASH_SEED, new Int32Array(4));
    const binding = new Binding(this.memory);
    binding.assignOwners(1);
    this.plan = binding.bind(config, since);
    this.#resolve(binding);
    this.port = new PreparedPort(this.memory, this.statistics, since);
    this.shard = new Shard({
      shard: 0,
      memory: this.memory,
      port: this.port,
      statistics: this.statistics,
      handOver: new HandOver(0, 1, new SharedArrayBuffer(handOverLength(1))),
      eventRing: this.events,
      captureRing: new FrameRing(new SharedArrayBuffer(FrameRing.byteLength(CAPTURE_SLOTS)), 0, CAPTURE_SLOTS),
      macs: [OUTSIDE_MAC, INSIDE_MAC],
      oneArm: false,
      filterNeeded: false,
    });
    this.shard.message({ type: 'routes', routes: routes() });
    this.shard.message({ type: 'plan', plan: this.plan });
  }

  /** Servers and the clients' gateway have answered ARP. */
  #resolve(binding: Binding): void {
    const hops = new NextHopTable(this.memory);
    const lock = new SpinLock(this.memory);
    lock.acquire(SHARD_LIMIT);
    for (const server of binding.servers) {
      const hop = hops.ensure(PORT_INSIDE, 0, 0, 0xffff, 0x0a0a0101);
      hops.setMac(hop, Uint8Array.of(2, 0, 0, 0, 0x0e, 1), SECONDS);
      this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop] = hop;
    }
    hops.setMac(hops.ensure(PORT_OUTSIDE, 0, 0, 0xffff, GATEWAY), MACS.source, SECONDS);
    lock.release(SHARD_LIMIT);
  }

  /** Sends a whole set through; nanoseconds that it took. */
  run(set: FrameSet, ingress = PORT_OUTSIDE): number {
    this.port.use(set, ingress);
    const began = performance.now();
    // Emptied as the main thread does it, on another CPU: here that costs nothing.
    while (this.shard.turn(0) > 0) this.events.discard();
    this.shard.turn(0); // the last batch is rewritten
    return (performance.now() - began) * 1e6;
  }

  get established(): number {
    return this.memory.header[HEADER.recordsUsed] - this.memory.header[HEADER.halfOpen];
  }

  get requests(): number {
    return this.statistics[COUNTER.requests];
  }

  drops(): Record<string, number> {
    const counted = ALL_DROP_REASONS.map(([name], index) => [name, this.statistics[DROP_BASE + index]] as const);
    return Object.fromEntries(counted.filter(([, count]) => count > 0));
  }
}

const GATEWAY = 0xc0800a05 | 0; // 192.128.10.5

/** 10.10.0.0/16 inside, on link; everything else outside, behind the gateway. */
function routes() {
  return {
    prefixes: Int32Array.of(0, 0, 0xffff, 0x0a0a0000, 0, 0, 0xffff, 0),
    lengths: Uint8Array.of(112, 96),
    ports: Uint8Array.of(PORT_INSIDE, PORT_OUTSIDE),
    gateways: Int32Array.of(0, 0, 0, 0, 0, 0, 0xffff, GATEWAY),
  };
}
