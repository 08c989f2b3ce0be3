/**
 * Binds a compiled configuration to the shared memory: every VIP and server gets a cell and an address index, found
 * again by identity after a reload or a restart, and the whole becomes a plan for the shards. A server or VIP that the
 * configuration no longer names stays, draining, until its last tunnel has gone.
 */
import type { CompiledAddress, CompiledConfig, CompiledServer, CompiledVip } from '../../config/compiled.js';
import type { Plan, PlanServer, PlanVip } from '../../dataplane/plan.js';
import { markChanged } from '../../designation/servers.js';
import { ServerStates } from '../../designation/server-states.js';
import { DesignatorError } from '../../errors.js';
import { AddressTable } from '../../flow/address-table.js';
import {
  ADDRESS_ROLE,
  CELL_WORDS,
  HEADER,
  OWNER_SLOT_COUNT,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_LIMIT,
  SERVER_REASON,
  SERVER_STATE,
  SHARD_LIMIT,
  type TableMemory,
  VIP_CELL,
  VIP_LIMIT,
} from '../../flow/layout.js';
import { ruleInputs } from '../../flow/rule-list.js';
import { SpinLock } from '../../flow/spin-lock.js';
import { DESCRIPTORS } from '../../tunnels/index.js';
import { formatAddress } from '../../wire/address.js';

import { RuleSlots } from './rule-slots.js';

/** A VIP or server that may no longer be in the configuration. */
export interface BoundServer extends PlanServer {
  readonly vip: number;
  readonly text: string;
  /** With `reply: direct`: where it answers clients from, if that is not its address. */
  readonly globalText?: string;
  readonly removed: boolean;
}
export interface BoundVip extends PlanVip {
  readonly text: string;
  /** The address that answers come from, where that is another one of this process's. */
  readonly natText?: string;
  /** Likewise its `localAddress`. */
  readonly localText?: string;
  readonly removed: boolean;
}

export class Binding {
  readonly #lock: SpinLock;
  readonly #addresses: AddressTable;
  #shards = 1;
  readonly ruleSlots = new RuleSlots();
  vips: BoundVip[] = [];
  servers: BoundServer[] = [];

  constructor(
    readonly memory: TableMemory,
    readonly states = new ServerStates(memory),
  ) {
    this.#lock = new SpinLock(memory);
    this.#addresses = new AddressTable(memory);
  }

  /** Answers of this server do not pass here: it is the server of a VIP of which none do. */
  isOneWay(server: number): boolean {
    const bound = this.servers.find(({ index }) => index === server);
    return this.vips.some(({ index, oneWay }) => oneWay === true && index === bound?.vip);
  }

  /** Spreads the ownership slots over `shards` threads. */
  assignOwners(shards: number): void {
    this.#shards = shards;
    for (let slot = 0; slot < OWNER_SLOT_COUNT; slot++) this.memory.ownerSlots[slot] = slot % shards;
  }

  /** `nowSeconds`: CLOCK_MONOTONIC, for the `since` of states. Errors: TD_CONFIG more VIPs or servers than cells. */
  bind(config: CompiledConfig, nowSeconds: number): Plan {
    this.#lock.acquire(SHARD_LIMIT);
    try {
      this.#retire(config, nowSeconds);
      this.vips = [];
      this.servers = [];
      for (const vip of config.vips) this.#bindVip(vip, config, nowSeconds);
      this.#keepRetired();
    } finally {
      this.#lock.release(SHARD_LIMIT);
    }
    return this.plan(config);
  }

  plan(config: CompiledConfig): Plan {
    const { firewall } = config;
    return {
      generation: Atomics.add(this.memory.header, HEADER.configGeneration, 1) + 1,
      part: config.part ?? 'all',
      vips: this.vips,
      servers: this.servers,
      rules: this.ruleSlots.assign(
        ruleInputs(firewall.rules, config.vips, (name) => {
          const descriptor = DESCRIPTORS.get(name);
          return { ipProtocol: descriptor?.ipProtocol ?? 0, hasPorts: descriptor?.hasPorts ?? false };
        }),
        firewall.rules.map(({ name }) => name),
      ),
      denyByDefault: firewall.default === 'deny',
      requestsPerSecond: firewall.requestsPerSecond,
      burst: firewall.burst,
      halfOpenLimit: firewall.halfOpen,
      health: {
        passive: config.health.passive,
        farewell: { ...config.health.onDown, pace: config.health.onDown.pace / Math.max(1, this.#shards) },
      },
      slowStartSeconds: config.health.slowStart,
      policy: firewall.policy,
      answeredByGroup: (config.gateway?.outside ?? null) !== null,
      timeouts: config.timeouts,
    };
  }

  #bindVip(vip: CompiledVip, config: CompiledConfig, nowSeconds: number): void {
    const { vips } = this.memory;
    const identity = identityOf(vip.name);
    const index = this.#cell(vips, VIP_LIMIT, VIP_CELL.state, VIP_CELL.identity, identity, 'VIPs');
    const at = index * CELL_WORDS;
    const address = this.#addresses.ensure(...vip.words, ADDRESS_ROLE.vip);
    if (address < 0) throw new DesignatorError('TD_CONFIG', 'more addresses than the address table holds');
    const natAddress = this.#also(vip.natAddress, ADDRESS_ROLE.vip);
    const localAddress = this.#also(vip.localAddress, ADDRESS_ROLE.local);
    vips[at + VIP_CELL.address] = address;
    vips[at + VIP_CELL.port] = vip.port;
    vips[at + VIP_CELL.identity] = identity;
    vips[at + VIP_CELL.state] = 1;
    vips[at + VIP_CELL.nat] = natAddress + 1;
    vips[at + VIP_CELL.local] = localAddress + 1;
    vips[at + VIP_CELL.oneWay] = vip.oneWay === true ? 1 : 0;
    const servers = vip.servers.map((server) => this.#bindServer(vip, index, server, nowSeconds));
    this.vips.push({
      index,
      name: vip.name,
      address,
      port: vip.port,
      protocols: vip.protocols,
      algorithm: vip.algorithm,
      bucket: vip.leakyBucket,
      loadFallback: config.loadStatus.fallback,
      hideServerPort: vip.serverPort === 'hide',
      clampMss: vip.clampMss ?? 0,
      ...(vip.tunnelSecret === null ? {} : { secret: new TextEncoder().encode(vip.tunnelSecret) }),
      hiddenByPort: vip.hiddenIds === 'port',
      distinctClientPorts: vip.clientPort === 'distinct',
      reply: vip.reply ?? 'vip',
      oneWay: vip.oneWay ?? false,
      natAddress,
      ...(natAddress < 0 || vip.oneWay === true ? {} : { natText: vip.natAddress?.address }),
      localAddress,
      ...(localAddress < 0 || vip.oneWay !== true ? {} : { localText: vip.localAddress?.address }),
      ...(vip.groupBy == null ? {} : { groupBy: vip.groupBy }),
      servers: Int32Array.from(servers),
      text: vip.address,
      removed: false,
    });
  }

  /** Index of a further address of a VIP or server, −1 when it has none. */
  #also(address: CompiledAddress | null | undefined, role: number): number {
    if (address === null || address === undefined) return -1;
    const index = this.#addresses.ensure(...address.words, role);
    if (index < 0) throw new DesignatorError('TD_CONFIG', 'more addresses than the address table holds');
    return index;
  }

  #bindServer(vip: CompiledVip, vipIndex: number, server: CompiledServer, nowSeconds: number): number {
    const { servers } = this.memory;
    const identity = serverIdentity(vip, server);
    const index = this.#cell(servers, SERVER_LIMIT, SERVER_CELL.state, SERVER_CELL.identity, identity, 'servers');
    const at = index * CELL_WORDS;
    const address = this.#addresses.ensure(...server.words, ADDRESS_ROLE.server);
    if (address < 0) throw new DesignatorError('TD_CONFIG', 'more addresses than the address table holds');
    const fresh = servers[at + SERVER_CELL.state] === SERVER_STATE.free;
    const returned = servers[at + SERVER_CELL.reason] === SERVER_REASON.removed;
    servers[at + SERVER_CELL.vip] = vipIndex;
    servers[at + SERVER_CELL.address] = address;
    // A weight set at run time stays until the configuration itself says another one, over a restart too.
    const reweighed = servers[at + SERVER_CELL.port] >>> 16 !== server.weight;
    servers[at + SERVER_CELL.port] = (server.weight << 16) | server.port;
    servers[at + SERVER_CELL.identity] = identity;
    if (fresh || returned) {
      if (fresh) {
        this.states.forget(index);
        servers[at + SERVER_CELL.load] = -1;
      }
      servers[at + SERVER_CELL.ordered] = 0;
      servers[at + SERVER_CELL.weight] = server.weight;
      this.states.enter(index, SERVER_STATE.up, SERVER_REASON.configured, '', nowSeconds);
    } else if (reweighed) servers[at + SERVER_CELL.weight] = server.weight;
    // A new cell may stand where another server's did: nothing that was known of the VIP's order holds.
    if (fresh) this.memory.vips[vipIndex * CELL_WORDS + VIP_CELL.ranking] = 0;
    markChanged(this.memory, index);
    this.servers.push({
      index,
      name: server.name,
      address,
      port: server.port,
      vip: vipIndex,
      text: server.address,
      ...(server.globalAddress == null ? {} : { globalText: server.globalAddress.address }),
      removed: false,
    });
    return index;
  }

  /** What the new configuration does not name gets no new tunnels from now on. */
  #retire(config: CompiledConfig, nowSeconds: number): void {
    const { servers } = this.memory;
    const named = new Set(config.vips.flatMap((vip) => vip.servers.map((server) => serverIdentity(vip, server))));
    for (let index = 0; index < SERVER_LIMIT; index++) {
      const at = index * CELL_WORDS;
      if (servers[at + SERVER_CELL.state] === SERVER_STATE.free || named.has(servers[at + SERVER_CELL.identity]))
        continue;
      if (servers[at + SERVER_CELL.reason] === SERVER_REASON.removed) continue;
      this.states.enter(index, SERVER_STATE.draining, SERVER_REASON.removed, '', nowSeconds);
      servers[at + SERVER_CELL.reason] = SERVER_REASON.removed; // of one that drained already, too
      servers[at + SERVER_CELL.ordered] = SERVER_STATE.draining;
    }
  }

  /** Retired servers and VIPs that still have tunnels are part of the plan, so that these go on. */
  #keepRetired(): void {
    const { servers, vips } = this.memory;
    const used = this.#usedServers();
    const bound = new Set(this.servers.map((server) => server.index));
    const boundVips = new Set(this.vips.map((vip) => vip.index));
    for (let index = 0; index < SERVER_LIMIT; index++) {
      const at = index * CELL_WORDS;
      if (servers[at + SERVER_CELL.state] === SERVER_STATE.free || bound.has(index)) continue;
      if (!used.has(index)) {
        servers.fill(0, at, at + CELL_WORDS);
        continue;
      }
      const address = servers[at + SERVER_CELL.address];
      const text = this.#text(address);
      const vip = servers[at + SERVER_CELL.vip];
      this.servers.push({
        index,
        name: `${text}:${servers[at + SERVER_CELL.port] & 0xffff}`,
        address,
        port: servers[at + SERVER_CELL.port] & 0xffff,
        vip,
        text,
        removed: true,
      });
      if (boundVips.has(vip)) continue;
      boundVips.add(vip);
      const cell = vip * CELL_WORDS;
      const vipAddress = vips[cell + VIP_CELL.address];
      this.vips.push({
        index: vip,
        name: `${this.#text(vipAddress)}:${vips[cell + VIP_CELL.port]}`,
        address: vipAddress,
        port: vips[cell + VIP_CELL.port],
        protocols: [...DESCRIPTORS.keys()],
        algorithm: 'round-robin',
        hideServerPort: false,
        reply: vips[cell + VIP_CELL.nat] !== 0 ? 'nat' : vips[cell + VIP_CELL.oneWay] !== 0 ? 'direct' : 'vip',
        oneWay: vips[cell + VIP_CELL.oneWay] !== 0,
        natAddress: vips[cell + VIP_CELL.nat] - 1,
        localAddress: vips[cell + VIP_CELL.local] - 1,
        ...(vips[cell + VIP_CELL.nat] === 0 || vips[cell + VIP_CELL.oneWay] !== 0
          ? {}
          : { natText: this.#text(vips[cell + VIP_CELL.nat] - 1) }),
        ...(vips[cell + VIP_CELL.local] === 0 ? {} : { localText: this.#text(vips[cell + VIP_CELL.local] - 1) }),
        servers: new Int32Array(0),
        text: this.#text(vipAddress),
        removed: true,
      });
    }
    for (let index = 0; index < VIP_LIMIT; index++) {
      if (!boundVips.has(index)) vips.fill(0, index * CELL_WORDS, (index + 1) * CELL_WORDS);
    }
  }

  /** True when a retired server or VIP is left without a tunnel: bind again to let it go. */
  hasEmptyRetired(): boolean {
    if (!this.servers.some((server) => server.removed)) return false;
    const used = this.#usedServers();
    return this.servers.some((server) => server.removed && !used.has(server.index));
  }

  /** Server cells that any tunnel record names. */
  #usedServers(): Set<number> {
    const { records, layout } = this.memory;
    const used = new Set<number>();
    for (let record = 0; record < layout.recordCount; record++) {
      const at = record * RECORD_WORDS;
      if ((records[at + RECORD.state] & 0xff) !== RECORD_STATE.free) used.add(records[at + RECORD.place] & 0xffff);
    }
    return used;
  }

  #cell(
    cells: Int32Array,
    limit: number,
    stateWord: number,
    identityWord: number,
    identity: number,
    what: string,
  ): number {
    let free = -1;
    for (let index = 0; index < limit; index++) {
      const at = index * CELL_WORDS;
      if (cells[at + stateWord] === 0) {
        if (free < 0) free = index;
      } else if (cells[at + identityWord] === identity) return index;
    }
    if (free < 0) throw new DesignatorError('TD_CONFIG', `more ${what} than ${limit}, those that still drain included`);
    cells.fill(0, free * CELL_WORDS, (free + 1) * CELL_WORDS);
    return free;
  }

  #text(address: number): string {
    const a = this.#addresses;
    return formatAddress(a.word(address, 0), a.word(address, 1), a.word(address, 2), a.word(address, 3));
  }
}

const serverIdentity = (vip: CompiledVip, server: CompiledServer): number =>
  identityOf(`${vip.name}/${server.name}/${server.address}/${server.port}`);

/** FNV-1a, 32 bit, never 0. */
function identityOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 1;
}
