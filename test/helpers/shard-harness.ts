/**
 * Shards without a network: a port that keeps what comes out, over a table in plain memory, with a rewriter of its own
 * (written from the layout, not from the addon) that leaves checksums alone. One or several shards over one table.
 */
import { COUNTER, DROP_BASE, ALL_DROP_REASONS, newStatistics } from '../../src/dataplane/counters.js';
import { CAPTURE_SLOTS } from '../../src/dataplane/capture-tap.js';
import { HandOver, handOverLength } from '../../src/dataplane/hand-over.js';
import type { Plan, PlanPolicy, ShardMessage } from '../../src/dataplane/plan.js';
import { newPolicyWords } from '../../src/dataplane/policy-words.js';
import { Shard } from '../../src/dataplane/shard.js';
import type { CompiledConfig, CompiledRule } from '../../src/config/compiled.js';
import {
  ADDRESS_WORDS,
  ENTRY,
  ENTRY_WORDS,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  NEXT_HOP,
  NEXT_HOP_WORDS,
  RECORD,
  RECORD_WORDS,
  CELL_WORDS,
  SERVER_CELL,
  SHARD_LIMIT,
  TableMemory,
  formatTable,
  tableLayout,
} from '../../src/flow/layout.js';
import { EventRing } from '../../src/flow/event-ring.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { FrameRing } from '../../src/flow/ring.js';
import type { RouteSnapshot } from '../../src/flow/route-table.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import {
  BATCH_CAPACITY,
  COLUMN_LENGTH,
  type FrameColumns,
  type PacketPort,
  PORT_INSIDE,
  PORT_OUTSIDE,
  SCRATCH_SLOT_LENGTH,
  SCRATCH_SLOTS,
  VERDICT_PASS,
  VERDICT_RAW,
} from '../../src/io/port.js';
import { Binding } from '../../src/roles/designator/binding.js';
import { Rows } from '../../src/roles/designator/rows.js';
import type { TunnelDescriptor } from '../../src/tunnels/descriptor.js';
import { parseAddress } from '../../src/wire/address.js';

export interface Out {
  frame: Uint8Array;
  port: number;
  verdict: number;
}

export class TestPort implements PacketPort {
  readonly description = 'test';
  readonly frames = new ArrayBuffer((BATCH_CAPACITY + SCRATCH_SLOTS) * SCRATCH_SLOT_LENGTH);
  readonly scratchOffset = BATCH_CAPACITY * SCRATCH_SLOT_LENGTH;
  readonly clock = new Float64Array([1000, 0]);
  readonly columns: FrameColumns = {
    offset: new Int32Array(COLUMN_LENGTH),
    length: new Int32Array(COLUMN_LENGTH),
    ingress: new Uint8Array(COLUMN_LENGTH),
    egress: new Uint8Array(COLUMN_LENGTH),
    flags: new Uint8Array(COLUMN_LENGTH),
    verdict: new Int32Array(COLUMN_LENGTH),
  };
  readonly waiting: { frame: Uint8Array; ingress: number }[] = [];
  readonly sent: Out[] = [];
  readonly passed: Out[] = [];

  constructor(
    readonly memory: TableMemory,
    readonly kind: PacketPort['kind'] = 'memory',
  ) {}

  turn(received: number, scratch: number): number {
    this.rewrite(received, scratch);
    this.#collect(0, received);
    this.#collect(BATCH_CAPACITY, BATCH_CAPACITY + scratch);
    const bytes = new Uint8Array(this.frames);
    const count = Math.min(this.waiting.length, BATCH_CAPACITY);
    for (let i = 0; i < count; i++) {
      const { frame, ingress } = this.waiting.shift() as { frame: Uint8Array; ingress: number };
      this.columns.offset[i] = i * SCRATCH_SLOT_LENGTH;
      this.columns.length[i] = frame.length;
      this.columns.ingress[i] = ingress;
      this.columns.flags[i] = 0;
      this.columns.verdict[i] = -99;
      bytes.set(frame, i * SCRATCH_SLOT_LENGTH);
    }
    return count;
  }

  rewrite(received: number, scratch: number): void {
    for (let i = 0; i < received; i++) this.#rewriteOne(i);
    for (let i = BATCH_CAPACITY; i < BATCH_CAPACITY + scratch; i++) this.#rewriteOne(i);
  }

  #rewriteOne(i: number): void {
    const slot = this.columns.verdict[i];
    if (slot < 0) return;
    const { entries, addresses, nextHops, records } = this.memory;
    const e = slot * ENTRY_WORDS;
    const view = new DataView(this.frames, this.columns.offset[i], this.columns.length[i]);
    const flags = entries[e + ENTRY.record] & 0xff;
    const record = entries[e + ENTRY.record] >>> 8;
    const address = (entries[e + ENTRY.target] >>> 16) * ADDRESS_WORDS;
    const hop = (entries[e + ENTRY.target] & 0xffff) * NEXT_HOP_WORDS;
    const v6 = view.getUint16(12) === 0x86dd;
    const source = (flags & FLAG_REWRITE_SOURCE) !== 0;
    if (v6) for (let w = 0; w < 4; w++) view.setInt32(14 + (source ? 8 : 24) + w * 4, addresses[address + w]);
    else view.setInt32(14 + (source ? 12 : 16), addresses[address + 3]);
    const l4 = 14 + (v6 ? 40 : (view.getUint8(14) & 15) * 4);
    if ((flags & FLAG_REWRITE_PORTS) !== 0) {
      const ports = entries[e + ENTRY.ports];
      if (ports >>> 16 !== 0) view.setUint16(l4, ports >>> 16);
      if ((ports & 0xffff) !== 0) view.setUint16(l4 + 2, ports & 0xffff);
    }
    if ((flags & FLAG_REWRITE_CHANNEL) !== 0) {
      const field = l4 + 8 + ((view.getUint8(l4 + 8) & 0x40) !== 0 ? 4 : 2);
      view.setUint16(field, records[record * RECORD_WORDS + RECORD.serverChannel]);
    }
    this.columns.egress[i] = (nextHops[hop + NEXT_HOP.macLow] >>> 8) & 0xff;
    entries[e + ENTRY.packets]++;
    entries[e + ENTRY.bytes] += this.columns.length[i] - 14;
    entries[e + ENTRY.lastSeen] = Math.floor(this.clock[0]);
    this.columns.verdict[i] = VERDICT_RAW;
  }

  #collect(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const verdict = this.columns.verdict[i];
      const frame = new Uint8Array(
        this.frames.slice(this.columns.offset[i], this.columns.offset[i] + this.columns.length[i]),
      );
      if (verdict === VERDICT_RAW) this.sent.push({ frame, port: this.columns.egress[i], verdict });
      else if (verdict === VERDICT_PASS) this.passed.push({ frame, port: this.columns.ingress[i], verdict });
    }
  }

  statistics() {
    return { received: 0, lost: 0 };
  }

  close(): void {}
}

const words = (text: string) => parseAddress(text) as unknown as [number, number, number, number];

export interface HarnessOptions {
  shards?: number;
  connections?: number;
  servers?: { name: string; address: string; port?: number; weight?: number }[];
  vips?: CompiledConfig['vips'];
  part?: CompiledConfig['part'];
  algorithm?: CompiledConfig['vips'][number]['algorithm'];
  leakyBucket?: { rate: number; burst: number };
  serverPort?: 'expose' | 'hide';
  tunnelSecret?: string;
  hiddenIds?: 'affinity' | 'port';
  clientPort?: 'shared' | 'distinct';
  rules?: CompiledRule[];
  denyByDefault?: boolean;
  requestsPerSecond?: number | null;
  burst?: number | null;
  halfOpen?: number | null;
  policy?: Partial<PlanPolicy>;
  filterNeeded?: boolean;
  routes?: RouteSnapshot;
  descriptors?: ReadonlyMap<string, TunnelDescriptor>;
  memory?: TableMemory;
  /** What the shards take their ports for. */
  kind?: PacketPort['kind'];
  offload?: boolean;
  /** Slots of every shard's event ring (a power of two); absent: nobody is told. */
  eventSlots?: number;
}

/** The defaults of the configuration, but no copy of a request is dropped. */
export const NO_POLICY: PlanPolicy = {
  totalPerSecond: null,
  totalBurst: 1,
  prefixIpv4: 32,
  prefixIpv6: 64,
  unknownSources: 'repeat',
  duplicatesMs: 0,
};

export const VIP = '200.200.100.1';
export const CLIENT = '192.128.10.5';
export const SERVER_1 = '10.10.1.1';
export const SERVER_2 = '10.10.1.2';
export const CLIENT_MAC = '02:00:00:00:0c:05';
export const OUTSIDE_MAC = '02:00:00:00:0d:01';
export const INSIDE_MAC = '02:00:00:00:0d:02';

export function vipOf(
  options: HarnessOptions,
  name = 'access',
  address = VIP,
  port = 1701,
): CompiledConfig['vips'][number] {
  const servers = options.servers ?? [
    { name: 'lns1', address: SERVER_1, weight: 1 },
    { name: 'lns2', address: SERVER_2, weight: 2 },
  ];
  return {
    name,
    address,
    words: words(address),
    family: address.includes(':') ? 6 : 4,
    port,
    protocols: ['l2tp'],
    algorithm: options.algorithm ?? 'weighted-round-robin',
    leakyBucket: options.leakyBucket ?? { rate: 50, burst: 50 },
    serverPort: options.serverPort ?? 'expose',
    tunnelSecret: options.tunnelSecret ?? null,
    hiddenIds: options.hiddenIds ?? 'affinity',
    clientPort: options.clientPort ?? 'shared',
    servers: servers.map((s) => ({
      name: s.name,
      address: s.address,
      words: words(s.address),
      family: s.address.includes(':') ? 6 : 4,
      port: s.port ?? 1701,
      weight: s.weight ?? 1,
      loadStatus: { secret: null, capacityBits: null, tunnelLimit: null, sessionLimit: null },
    })),
  };
}

/** Everything outside except 10.0.0.0/8 and fd00::/8, on link. */
export function defaultRoutes(): RouteSnapshot {
  const prefixes = new Int32Array(16);
  prefixes.set(words('10.0.0.0'), 0);
  prefixes.set(words('0.0.0.0'), 4);
  prefixes.set(words('fd00::'), 8);
  return {
    prefixes,
    lengths: Uint8Array.of(104, 96, 8, 0),
    ports: Uint8Array.of(PORT_INSIDE, PORT_OUTSIDE, PORT_INSIDE, PORT_OUTSIDE),
    gateways: new Int32Array(16),
  };
}

export class Harness {
  readonly memory: TableMemory;
  readonly binding: Binding;
  readonly ports: TestPort[];
  readonly shards: Shard[];
  readonly statistics: Float64Array[];
  readonly rows: Rows;
  readonly eventRings: EventRing[];
  readonly captureRings: FrameRing[];
  config: CompiledConfig;
  plan: Plan;

  constructor(readonly options: HarnessOptions = {}) {
    const count = options.shards ?? 1;
    const connections = options.connections ?? 256;
    if (options.memory === undefined) {
      this.memory = new TableMemory(new SharedArrayBuffer(tableLayout(connections).length), connections);
      formatTable(this.memory, 1, new Int32Array(4));
    } else this.memory = options.memory;
    this.binding = new Binding(this.memory);
    this.binding.assignOwners(count);
    this.config = this.configOf(options);
    this.plan = this.bind();
    const handOver = new SharedArrayBuffer(handOverLength(count));
    const policy = newPolicyWords();
    this.ports = Array.from({ length: count }, () => new TestPort(this.memory, options.kind));
    this.statistics = Array.from({ length: count }, newStatistics);
    const captureLength = FrameRing.byteLength(CAPTURE_SLOTS);
    this.captureRings = this.ports.map(() => new FrameRing(new SharedArrayBuffer(captureLength), 0, CAPTURE_SLOTS));
    const slots = options.eventSlots ?? 0;
    this.eventRings =
      slots === 0 ? [] : this.ports.map(() => new EventRing(new SharedArrayBuffer(EventRing.byteLength(slots)), slots));
    this.shards = this.ports.map(
      (port, shard) =>
        new Shard({
          shard,
          memory: this.memory,
          port,
          statistics: this.statistics[shard],
          handOver: new HandOver(shard, count, handOver),
          captureRing: this.captureRings[shard],
          ...(slots === 0 ? {} : { eventRing: this.eventRings[shard] }),
          macs: [mac(OUTSIDE_MAC), mac(INSIDE_MAC)],
          oneArm: false,
          filterNeeded: options.filterNeeded ?? false,
          offload: options.offload ?? false,
          policy,
          ...(options.descriptors === undefined ? {} : { descriptors: options.descriptors }),
        }),
    );
    this.rows = new Rows(this.memory, this.binding, () => this.ports[0].clock[0]);
    this.tell({ type: 'routes', routes: options.routes ?? defaultRoutes() });
    this.tell({ type: 'plan', plan: this.plan });
  }

  configOf(options: HarnessOptions): CompiledConfig {
    const spec = (name: string) => ({ name, device: name, vlan: 0 });
    return {
      file: 'test.yaml',
      outside: spec('wan0'),
      inside: spec('lan0'),
      io: 'packet',
      offload: true,
      spread: 0,
      workers: options.shards ?? 1,
      ...(options.part === undefined ? {} : { part: options.part }),
      vips: options.vips ?? [vipOf(options)],
      firewall: {
        default: options.denyByDefault === true ? 'deny' : 'allow',
        rules: options.rules ?? [],
        requestsPerSecond: options.requestsPerSecond ?? null,
        burst: options.burst ?? null,
        halfOpen: options.halfOpen ?? null,
        policy: { ...NO_POLICY, ...options.policy },
      },
      timeouts: { halfOpen: 60, idle: 600, closing: 35 },
      health: {
        passive: true,
        suspectAfter: 0.8,
        downAfter: 2.5,
        downAfterAlone: 20,
        slowStart: 30,
        lendFirst: 2,
        lendMost: 60,
        onDown: { close: true, result: 2, error: 7, pace: 1000 },
        active: null,
      },
      loadStatus: {
        listen: null,
        secret: null,
        staleAfter: 5,
        clockSkew: 30,
        fallback: 'least-tunnels',
        tunnelLoad: 0.001,
        formula: { traffic: 1, cpu: 0, memory: 0, tunnels: 0, sessions: 0, combine: 'mean' },
      },
      table: { connections: options.connections ?? 256 },
      control: { socket: '/none', http: null },
      state: { pin: '/none' },
      log: { level: 'info' },
    };
  }

  /** Binds the configuration and gives every server a resolved next hop. */
  bind(): Plan {
    const plan = this.binding.bind(this.config, 1000);
    const hops = new NextHopTable(this.memory);
    const lock = new SpinLock(this.memory);
    lock.acquire(SHARD_LIMIT);
    for (const server of this.binding.servers) {
      const hop = hops.ensure(PORT_INSIDE, ...words(server.text));
      hops.setMac(hop, Uint8Array.of(2, 0, 0, 0, 0x0e, server.index), 1000);
      this.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop] = hop;
    }
    lock.release(SHARD_LIMIT);
    return plan;
  }

  reconfigure(options: Partial<HarnessOptions>): void {
    this.config = this.configOf({ ...this.options, ...options });
    this.plan = this.bind();
    this.tell({ type: 'plan', plan: this.plan });
    this.settle();
  }

  tell(message: ShardMessage): void {
    for (const shard of this.shards) shard.message(message);
  }

  at(seconds: number): void {
    for (const port of this.ports) port.clock[0] = seconds;
    this.settle();
  }

  get now(): number {
    return this.ports[0].clock[0];
  }

  /** Turns every shard until nothing waits. */
  settle(): void {
    for (let round = 0; round < 6; round++) for (const shard of this.shards) shard.turn(0);
  }

  /** One frame through shard `shard`; what came out of all shards. */
  send(frame: Uint8Array, ingress = PORT_OUTSIDE, shard = 0): { sent: Out[]; passed: Out[] } {
    const before = this.ports.map((port) => [port.sent.length, port.passed.length]);
    this.ports[shard].waiting.push({ frame, ingress });
    this.settle();
    return {
      sent: this.ports.flatMap((port, p) => port.sent.slice(before[p][0])),
      passed: this.ports.flatMap((port, p) => port.passed.slice(before[p][1])),
    };
  }

  /** Drops by reason, all shards, only those that are not zero. */
  drops(): Record<string, number> {
    const drops: Record<string, number> = {};
    ALL_DROP_REASONS.forEach(([name], index) => {
      const count = this.statistics.reduce((sum, s) => sum + s[DROP_BASE + index], 0);
      if (count > 0) drops[name] = count;
    });
    return drops;
  }

  count(name: keyof typeof COUNTER): number {
    return this.statistics.reduce((sum, s) => sum + s[COUNTER[name]], 0);
  }
}

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((byte) => Number.parseInt(byte, 16)));
}
