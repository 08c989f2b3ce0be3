/**
 * The whole pipeline without a network: one or several shards over one table, each with a memory port whose rewriting
 * is the addon's own. Configured by the YAML that an operator would write. Servers are inside, everything else is
 * outside and on link, and every server's link-layer address is known.
 */
import type { CompiledConfig } from '../../src/config/compiled.js';
import { parseConfig } from '../../src/config/load.js';
import { ALL_DROP_REASONS, COUNTER, DROP_BASE, newStatistics } from '../../src/dataplane/counters.js';
import { HandOver, handOverLength } from '../../src/dataplane/hand-over.js';
import type { Plan, ShardMessage } from '../../src/dataplane/plan.js';
import { Shard } from '../../src/dataplane/shard.js';
import { ServerStates } from '../../src/designation/server-states.js';
import { CELL_WORDS, formatTable, SERVER_CELL, SHARD_LIMIT, TableMemory, tableLayout } from '../../src/flow/layout.js';
import { NextHopTable } from '../../src/flow/next-hop-table.js';
import { FrameRing } from '../../src/flow/ring.js';
import type { RouteSnapshot } from '../../src/flow/route-table.js';
import { SpinLock } from '../../src/flow/spin-lock.js';
import { MemoryPort, type PassedFrame, type SentFrame } from '../../src/io/memory.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { Binding } from '../../src/roles/designator/binding.js';
import { SharedTable } from '../../src/roles/designator/cluster/share-memory.js';
import { Rows } from '../../src/roles/designator/rows.js';
import { parseAddress } from '../../src/wire/address.js';
import { nativeCounters, nativeTable } from '../../src/workers/native-binding.js';

export const OUTSIDE_MAC = Uint8Array.of(2, 0, 0, 0, 0x0d, 1);
export const INSIDE_MAC = Uint8Array.of(2, 0, 0, 0, 0x0d, 2);
const START_SECONDS = 1000;

/** A configuration from what stands below `interfaces`. Errors: those of the configuration, as one text. */
export function configOf(yaml: string): CompiledConfig {
  const { config, problems } = parseConfig('test.yaml', `interfaces: { outside: wan0, inside: lan0 }\n${yaml}`);
  if (config === null) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
  return config;
}

export interface MemoryApplianceOptions {
  readonly shards?: number;
  /** A table that another appliance has used: it is adopted as after a restart. */
  readonly memory?: TableMemory;
  /** As with AF_PACKET: floating ports have to be registered before they are used. */
  readonly filterNeeded?: boolean;
  /** MTUs of outside and inside, when they differ. */
  readonly mtus?: readonly [number, number];
  /** The table is shared with other designators, by whoever drives `shared`. */
  readonly share?: boolean;
  /** As if there were an XDP program that forwards by what the shards let it. */
  readonly offload?: boolean;
  /** Frames that a shard's capture ring holds. */
  readonly captureSlots?: number;
}

export interface Outcome {
  readonly sent: SentFrame[];
  readonly passed: PassedFrame[];
}

export class MemoryAppliance {
  readonly memory: TableMemory;
  readonly binding: Binding;
  readonly ports: MemoryPort[];
  readonly shards: Shard[];
  readonly statistics: Float64Array[];
  readonly captureRings: FrameRing[];
  readonly rows: Rows;
  readonly shared: SharedTable | null;
  /** Tunnels taken over from `options.memory`. */
  readonly adopted: number;
  config: CompiledConfig;
  plan: Plan;
  #now = START_SECONDS;

  constructor(config: CompiledConfig | string, options: MemoryApplianceOptions = {}) {
    const { shards: count = 1, captureSlots = 16, filterNeeded = false } = options;
    this.config = typeof config === 'string' ? configOf(config) : config;
    const { connections } = this.config.table;
    this.memory = options.memory ?? new TableMemory(new ArrayBuffer(tableLayout(connections).length), connections);
    if (options.memory === undefined) formatTable(this.memory, 1, new Int32Array(4));
    this.binding = new Binding(this.memory, new ServerStates(this.memory, () => this.#now));
    this.binding.assignOwners(count);
    this.plan = this.#bind();
    this.shared = options.share === true ? new SharedTable(this.memory, count) : null;
    const { shared } = this;
    const handOver = new SharedArrayBuffer(handOverLength(count));
    this.statistics = Array.from({ length: count }, newStatistics);
    this.captureRings = this.statistics.map(
      () => new FrameRing(new SharedArrayBuffer(FrameRing.byteLength(captureSlots)), 0, captureSlots),
    );
    this.ports = this.statistics.map((statistics) => this.#port(statistics));
    this.shards = this.ports.map(
      (port, shard) =>
        new Shard({
          shard,
          memory: this.memory,
          port,
          statistics: this.statistics[shard],
          handOver: new HandOver(shard, count, handOver),
          captureRing: this.captureRings[shard],
          macs: [OUTSIDE_MAC, INSIDE_MAC],
          oneArm: false,
          mtus: options.mtus,
          filterNeeded,
          ...(options.offload === true ? { offload: true } : {}),
          ...(shared === null ? {} : { share: shared.shards[shard] }),
        }),
    );
    this.rows = new Rows(this.memory, this.binding, () => this.#now);
    this.tell({ type: 'routes', routes: this.routes() });
    this.tell({ type: 'plan', plan: this.plan });
    this.adopted = options.memory === undefined ? 0 : this.shards.reduce((sum, shard) => sum + shard.adopt(), 0);
  }

  #port(statistics: Float64Array): MemoryPort {
    const port = new MemoryPort({
      table: nativeTable(this.memory),
      counters: nativeCounters(statistics),
      ports: [
        { device: 0, vlan: this.config.outside.vlan, mac: OUTSIDE_MAC },
        { device: 1, vlan: this.config.inside.vlan, mac: INSIDE_MAC },
      ],
    });
    port.setTime(this.#now);
    return port;
  }

  /** What the main thread does at a start and at every reload. */
  #bind(): Plan {
    const plan = this.binding.bind(this.config, this.#now);
    const hops = new NextHopTable(this.memory);
    const lock = new SpinLock(this.memory);
    lock.acquire(SHARD_LIMIT);
    for (const { index, text } of this.binding.servers) {
      const hop = hops.ensure(PORT_INSIDE, ...words(text));
      hops.setMac(hop, Uint8Array.of(2, 0, 0, 0, 0x0e, index), this.#now);
      this.memory.servers[index * CELL_WORDS + SERVER_CELL.nextHop] = hop;
    }
    lock.release(SHARD_LIMIT);
    return plan;
  }

  /** Every server inside, all else outside, nothing behind a gateway. */
  routes(): RouteSnapshot {
    const count = this.binding.servers.length + 1;
    const prefixes = new Int32Array(count * 4);
    const lengths = new Uint8Array(count);
    const ports = new Uint8Array(count);
    this.binding.servers.forEach(({ text }, row) => {
      prefixes.set(words(text), row * 4);
      lengths[row] = 128;
      ports[row] = PORT_INSIDE;
    });
    ports[count - 1] = PORT_OUTSIDE;
    return { prefixes, lengths, ports, gateways: new Int32Array(count * 4) };
  }

  /** As SIGHUP does; without an argument as the main thread does by itself to let go of what is no longer used. */
  reload(yaml?: string): void {
    if (yaml !== undefined) this.config = configOf(yaml);
    this.plan = this.#bind();
    this.tell({ type: 'routes', routes: this.routes() });
    this.tell({ type: 'plan', plan: this.plan });
    this.settle();
  }

  tell(message: ShardMessage): void {
    for (const shard of this.shards) shard.message(message);
  }

  get now(): number {
    return this.#now;
  }

  at(seconds: number): void {
    this.#now = seconds;
    for (const port of this.ports) port.setTime(seconds);
    this.settle();
  }

  /** Turns every shard until nothing has been on its way for three rounds. */
  settle(): void {
    let quiet = 0;
    while (quiet < 3) {
      for (const shard of this.shards) shard.turn(0);
      const moving = this.shards.some(
        (shard, s) => shard.batch.received > 0 || shard.batch.scratch > 0 || shard.busy || this.ports[s].waiting > 0,
      );
      quiet = moving ? 0 : quiet + 1;
    }
  }

  /** One frame into one shard: what came out of all of them. */
  send(frame: Uint8Array, ingress: number = PORT_OUTSIDE, shard = 0): Outcome {
    const marks = this.ports.map((port) => [port.sent.length, port.passed.length]);
    this.ports[shard].inject(frame, ingress);
    this.settle();
    return {
      sent: this.ports.flatMap((port, p) => port.sent.slice(marks[p][0])),
      passed: this.ports.flatMap((port, p) => port.passed.slice(marks[p][1])),
    };
  }

  /** Drops by reason, all shards, those above 0. */
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

function words(text: string): [number, number, number, number] {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(`not an address: "${text}"`);
  return parsed as [number, number, number, number];
}
