/**
 * The designator: configuration, host, shards and control API brought together. Everything that forwards packets is in
 * the shards; this is the main thread's part: it binds plans, resolves neighbours, keeps the host's filter, supervises.
 */
import { availableParallelism } from 'node:os';
import type { CompiledConfig } from '../../config/compiled.js';
import { newStatistics } from '../../dataplane/counters.js';
import { handOverLength } from '../../dataplane/hand-over.js';
import type { Plan, ShardNotice } from '../../dataplane/plan.js';
import { Designator } from '../../designation/designate.js';
import { ServerStates } from '../../designation/server-states.js';
import { ServerTable } from '../../designation/servers.js';
import { DesignatorError } from '../../errors.js';
import { SHARD_LIMIT } from '../../flow/layout.js';
import { RecordPool } from '../../flow/record-pool.js';
import type { RouteSnapshot } from '../../flow/route-table.js';
import { SpinLock } from '../../flow/spin-lock.js';
import { HostFilter } from '../../io/host-filter.js';
import { HostNetwork } from '../../io/host-network.js';
import { type NativeAddon, native } from '../../io/native.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import type { ReloadResult } from '../../ops/appliance.js';
import type { Logger } from '../../ops/log.js';
import { AddressTable } from '../../flow/address-table.js';
import { type AddressWords, parseAddress } from '../../wire/address.js';
import { newControl } from '../../workers/control.js';
import { ShardPool } from '../../workers/pool.js';
import type { ShardTask } from '../../workers/shard-task.js';
import { Binding } from './binding.js';
import { CaptureDesk } from './capture-desk.js';
import type { Bound, Datapath } from './datapath.js';
import { ServerCommands } from './drains.js';
import { EventDesk } from './event-desk.js';
import { ErrorSender } from './error-sender.js';
import { FloatingKeeper } from './floating-keeper.js';
import { type GatewayGroups, openGroups } from './gateway-groups.js';
import { FollowForecast } from './follow-forecast.js';
import { filterInput, tellFilterLost } from './filter-input.js';
import { HealthKeeper } from './health-keeper.js';
import { NeighbourKeeper } from './neighbour-keeper.js';
import { LoadKeeper } from './load-keeper.js';
import { announcements, question } from './own-frames.js';
import { PolicyDesk } from './policy-desk.js';
import { Rows } from './rows.js';
import { shardCount } from './shard-count.js';
import type { OpenedTable } from './table-file.js';
import { TakeOverKeeper, takeOverFile } from './take-over-keeper.js';

export interface DesignatorOptions {
  readonly config: CompiledConfig;
  readonly logger: Logger;
  /** Reads the configuration again for a reload. */
  readonly reload: (current: CompiledConfig) => Promise<{ config: CompiledConfig | null; result: ReloadResult }>;
  /** The process must end with this error: nothing can go on. */
  readonly onFatal: (error: Error) => void;
  /** What carries the packets (`openDatapath`). */
  readonly datapath: Datapath;
  /** Pin shards to CPUs. */
  readonly pin: boolean;
}

const TICK_MS = 200;
/** `ready` waits so long for the link-layer addresses of servers; after that it warns and goes on. */
const SETTLE_MS = 1500;

export class DesignatorProcess {
  readonly addon: NativeAddon = native();
  readonly startedAt = new Date();
  readonly shards: number;
  readonly datapath: Datapath;
  readonly statistics: Float64Array[];
  readonly table: OpenedTable;
  readonly states: ServerStates;
  readonly health: HealthKeeper;
  readonly #errors = new ErrorSender((err) => this.#o.logger.warn({ err }, 'no ICMP errors of our own'));
  readonly load: LoadKeeper;
  readonly takeOvers: TakeOverKeeper;
  readonly groups: GatewayGroups | null;
  readonly binding: Binding;
  readonly rows: Rows;
  readonly captures: CaptureDesk;
  readonly events: EventDesk;
  readonly commands: ServerCommands;
  readonly designator: Designator;
  readonly followForecast: FollowForecast;
  readonly reloads = { ok: 0, failed: 0, lastOkSeconds: Date.now() / 1000 };
  readonly policy: PolicyDesk;
  readonly ioOf: string[];
  config: CompiledConfig;
  #plan: Plan;
  #routes: RouteSnapshot | null = null;
  readonly #o: DesignatorOptions;
  readonly #network: HostNetwork;
  readonly #filter: HostFilter;
  readonly #neighbours: NeighbourKeeper;
  readonly #floating: FloatingKeeper;
  readonly #pool: ShardPool;
  readonly #wakeFds: number[];
  readonly #controls: Int32Array[];
  readonly #handOver: SharedArrayBuffer;
  readonly #up = new Set<number>();
  #upListener: (() => void) | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #ticks = 0;
  #ready = false;
  #stopping: Promise<void> | null = null;

  constructor(options: DesignatorOptions) {
    this.#o = options;
    this.config = options.config;
    this.datapath = options.datapath;
    this.shards = shardCount(options.config);
    const { addon, shards } = this;
    this.table = this.datapath.table;
    const { memory } = this.table;
    const now = (): number => addon.monotonicSeconds();
    this.states = new ServerStates(memory, now);
    this.binding = new Binding(memory, this.states);
    this.binding.assignOwners(shards);
    this.#plan = this.binding.bind(options.config, Math.floor(now()));
    const servers = new ServerTable(memory);
    servers.recount();
    this.designator = new Designator(memory, servers);
    this.designator.setPlan(this.#plan);
    this.followForecast = new FollowForecast(memory, servers);
    this.rows = new Rows(memory, this.binding, now);
    this.statistics = Array.from({ length: shards }, newStatistics);
    this.policy = new PolicyDesk({
      memory,
      plan: this.#plan,
      slots: this.binding.ruleSlots,
      statistics: this.statistics,
      kernel: () => this.datapath.totals(),
      now,
      logger: options.logger,
    });
    this.ioOf = new Array(shards).fill(this.datapath.words);
    this.#controls = Array.from({ length: shards }, newControl);
    this.#wakeFds = Array.from({ length: shards }, () => addon.eventFd());
    this.#handOver = new SharedArrayBuffer(handOverLength(shards));
    this.captures = new CaptureDesk({
      config: options.config,
      binding: this.binding,
      statistics: this.statistics,
      now,
      onChange: (captures) => this.#pool.broadcast({ type: 'capture', captures }),
    });
    this.commands = new ServerCommands(memory, this.binding, now, this.states, (server) =>
      this.#pool.broadcast({ type: 'release', server }),
    );
    this.health = new HealthKeeper(this.binding, options.config, now, options.logger, () => this.#pool);
    this.events = new EventDesk(shards, this.binding, this.states, now);
    this.load = new LoadKeeper({
      designator: this.designator,
      binding: this.binding,
      logger: options.logger,
      events: this.events.log,
      now,
      onHeard: (server) => this.health.health.stirs(server),
    });
    this.takeOvers = new TakeOverKeeper({
      binding: this.binding,
      logger: options.logger,
      events: this.events.log,
      health: this.health,
      shards,
      message: (shard, message) => this.#pool.message(shard, message),
      file: takeOverFile(options.config.control.socket),
      now,
    });
    this.health.waitFor = (server) => this.takeOvers.waitFor(server);
    this.groups = openGroups(options.config, memory, options.logger, this.events.log, options.onFatal);
    this.#network = new HostNetwork({
      outside: options.config.outside,
      inside: options.config.inside,
      logger: options.logger,
    });
    this.#filter = new HostFilter(filterInput(options.config, this.binding, this.rows.floatingPorts()), {
      onLost: (error) => tellFilterLost(options.logger, error),
    });
    this.#neighbours = new NeighbourKeeper(memory, { resolve: (port, words) => this.#resolve(port, words) });
    this.#floating = new FloatingKeeper(
      new AddressTable(memory),
      this.#filter,
      () => this.rows.floatingPorts(),
      (ports) => this.#pool.broadcast({ type: 'floating', ports }),
      (ports) => this.#pool.broadcast({ type: 'floating-forget', ports }),
      (error) => options.logger.error({ err: error }, 'floating port not registered'),
    );
    this.#pool = new ShardPool({
      shards,
      task: (shard) => this.#task(shard),
      onNotice: (shard, notice) => this.#notice(shard, notice),
      onCrash: (shard, error, restarts) => this.#crashed(shard, error, restarts),
      onFatal: (shard, error) =>
        options.onFatal(new DesignatorError('TD_INTERNAL', `shard ${shard}: ${error.message}`, { shard }, error)),
      wake: (shard) => addon.signalEventFd(this.#wakeFds[shard]),
    });
  }

  // ── start and stop ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Resolves when traffic flows. Errors: see HostNetwork, HostFilter and the packet port. */
  async start(): Promise<void> {
    const { logger } = this.#o;
    logger.info(
      { table: this.table.file, connections: this.config.table.connections, story: this.table.story },
      'table opened',
    );
    await this.load.start(this.config);
    await this.takeOvers.start(this.config);
    this.#network.on('routes', (routes: RouteSnapshot) => this.#setRoutes(routes));
    this.#network.on('neighbour', ({ port, words, mac }) => {
      if (mac !== null) this.#neighbours.learnt(port, words, mac, Math.floor(this.addon.monotonicSeconds()));
      if (mac !== null) this.health.neighbour(words);
    });
    this.#network.on('link', (link) => logger.info(link, 'link changed'));
    this.#network.setServers(this.#serverAddresses());
    await this.#network.start();
    await this.#filter.install();
    await this.datapath.prepare(this.#bound());
    const started = new Promise<void>((resolve, reject) => {
      this.#upListener = () => this.#up.size === this.shards && resolve();
      this.#startFailure = reject;
    });
    this.events.start();
    this.#pool.start();
    await started;
    this.#startFailure = null;
    await this.datapath.attach();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.health.start();
    await this.#settle();
    await this.groups?.start();
    this.#announceVips();
    this.#ready = true;
  }

  #startFailure: ((error: Error) => void) | null = null;

  async #settle(): Promise<void> {
    if (await this.#neighbours.settle(SETTLE_MS)) return;
    const text = 'some servers or gateways do not answer ARP or ND yet; their packets are dropped until they do';
    this.#o.logger.warn({}, text);
  }

  ready(): boolean {
    return this.#ready && this.#stopping === null;
  }

  /** Ends the shards and leaves the interfaces as they were. The tunnels stay for the next process. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop(false);
    return this.#stopping;
  }

  /**
   * Ends the shards and lets the kernel go on forwarding until the next process takes over, where the adapter can; else
   * as `stop`. Returns which.
   */
  async leave(): Promise<boolean> {
    const stays = this.#stopping === null && this.datapath.leave();
    this.#stopping ??= this.#stop(stays);
    await this.#stopping;
    return stays;
  }

  async #stop(stays: boolean): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    await this.groups?.stop();
    this.health.stop();
    this.load.stop();
    this.takeOvers.stop();
    this.captures.stop();
    await this.#pool.stop();
    this.events.stop();
    if (!stays) {
      await this.datapath.stop();
      await this.#filter.remove();
    }
    this.#errors.close();
    this.#network.stop();
    for (const fd of this.#wakeFds) this.addon.closeFd(fd);
  }

  // ── shards ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #task(shard: number): ShardTask {
    const { config } = this;
    const oneArm = config.outside.name === config.inside.name;
    const sameDevice = config.outside.device === config.inside.device;
    const io = this.datapath.shardIo();
    const mac = (name: string): Uint8Array => this.addon.interfaceInfo(name).mac;
    const [{ mtu }, { mtu: mtuInside }] = [config.outside, config.inside].map((at) =>
      this.addon.interfaceInfo(at.device),
    );
    return {
      mtus: [mtu, mtuInside],
      shard,
      shards: this.shards,
      control: this.#controls[shard],
      statistics: this.statistics[shard],
      handOver: this.#handOver,
      capture: this.captures.memory[shard],
      events: this.events.memory[shard],
      policy: this.policy.words,
      wakeFds: this.#wakeFds,
      table: { fd: this.table.fd, length: this.table.length, connections: config.table.connections },
      io,
      ports: oneArm
        ? [{ device: 0, vlan: config.outside.vlan, mac: mac(config.outside.device) }]
        : [
            { device: 0, vlan: config.outside.vlan, mac: mac(config.outside.device) },
            { device: sameDevice ? 0 : 1, vlan: config.inside.vlan, mac: mac(config.inside.device) },
          ],
      oneArm,
      cpu: this.#o.pin ? shard % availableParallelism() : -1,
      plan: this.#plan,
      routes: this.#routes as RouteSnapshot,
      floating: [...this.#floating.known],
      captures: this.captures.filters(),
    };
  }

  #notice(shard: number, notice: ShardNotice): void {
    switch (notice.type) {
      case 'up':
        this.#up.add(shard);
        this.ioOf[shard] = notice.description;
        this.#o.logger.info({ shard, io: notice.description, adopted: notice.adopted }, 'shard up');
        this.events.log.emit('shard-up', { shard, io: notice.description, adopted: notice.adopted });
        this.health.shardUp(shard);
        this.takeOvers.shardUp(shard);
        this.#upListener?.();
        return;
      case 'floating':
        return this.#floating.register(notice.ports);
      case 're-pointed':
        return this.takeOvers.rePointed(shard, notice.done);
      case 'probe-answers':
        return this.health.heard(notice.payloads);
      case 'icmp':
        return this.#errors.send(notice.packets);
      case 'unresolved':
        return this.#neighbours.wanted(notice.nextHops);
    }
  }

  /** What the dead thread held is freed before its successor starts. */
  #crashed(shard: number, error: Error, restarts: number): void {
    const { memory } = this.table;
    const lock = new SpinLock(memory);
    if (lock.takeOver(shard, SHARD_LIMIT)) {
      new RecordPool(memory).adopt();
      this.designator.cells.forgetRankings();
      lock.release(SHARD_LIMIT);
    }
    this.datapath.shardEnded(shard);
    this.#o.logger.error({ shard, restarts, err: error }, 'shard crashed, starting it again');
    this.events.log.emit('shard-crashed', { shard, restarts, error: error.message });
    if (this.#startFailure !== null && !this.#up.has(shard)) this.#startFailure(error);
  }

  crashShard(shard: number): void {
    if (!this.#pool.message(shard, { type: 'crash' }))
      throw new DesignatorError('TD_NOT_FOUND', `no running shard ${shard}`);
  }

  shardStatus() {
    return this.#pool.status();
  }

  // ── host ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #setRoutes(routes: RouteSnapshot): void {
    this.#routes = routes;
    const unreachable = this.#neighbours.setRoutes(routes, this.binding.servers);
    if (unreachable.length > 0)
      this.#o.logger.warn({ servers: unreachable }, 'the host has no route to these servers through outside or inside');
    for (const { port, words, mac } of this.#network.neighbours()) {
      if (mac !== null) this.#neighbours.learnt(port, words, mac, Math.floor(this.addon.monotonicSeconds()));
    }
    this.#pool.broadcast({ type: 'routes', routes });
  }

  #serverAddresses(): AddressWords[] {
    return this.binding.servers.map(({ text }) => parseAddress(text)).filter((words) => words !== null);
  }

  /** By the host where it can; on a VLAN that the host has no device for, by a question of our own. */
  #resolve(port: number, words: readonly [number, number, number, number]): void {
    if (!this.#network.needsOwnResolution(port)) return this.#network.resolve(port, words);
    const outside = port === PORT_OUTSIDE;
    const mac = this.addon.interfaceInfo(outside ? this.config.outside.device : this.config.inside.device).mac;
    this.#pool.message(0, { type: 'transmit', frames: [question(this.config, port, words, mac)] });
  }

  #announceVips(): void {
    const { mac } = this.addon.interfaceInfo(this.config.outside.device);
    this.#pool.message(0, { type: 'transmit', frames: announcements(this.config, mac) });
  }

  #lookAtGroups(): void {
    const serves = (): boolean => this.binding.servers.some(({ index }) => this.designator.cells.eligible(index));
    this.groups?.look(this.#pool.status(), serves());
  }

  #tick(): void {
    this.commands.tick();
    this.load.tick();
    this.#lookAtGroups();
    if (++this.#ticks % 5 !== 0) return;
    this.groups?.measure();
    this.policy.tick();
    this.#neighbours.tick();
    for (const sentence of this.datapath.tick()) {
      this.#o.logger.warn({ io: this.datapath.words }, sentence);
      this.ioOf.fill(this.datapath.words);
    }
    if (this.#ticks % 50 !== 0) return;
    void this.#floating.prune();
    if (this.binding.hasEmptyRetired()) this.#forgetRetired();
  }

  /** Servers that the configuration no longer names and whose last tunnel has ended. */
  #forgetRetired(): void {
    const done = this.#reloading.then(() => this.#apply(this.config));
    this.#reloading = done.catch((error: unknown) =>
      this.#o.logger.error({ err: error }, 'retired servers could not be forgotten'),
    );
  }

  // ── configuration ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** One after the other: a second request waits for the first. */
  reload(): Promise<ReloadResult> {
    const next = this.#reloading.then(() => this.#reload());
    this.#reloading = next.catch(() => {});
    return next;
  }

  #reloading: Promise<unknown> = Promise.resolve();

  async #reload(): Promise<ReloadResult> {
    const { logger } = this.#o;
    const { config, result } = await this.#o.reload(this.config);
    if (config === null) {
      this.reloads.failed++;
      for (const problem of result.problems) logger.error({ problem }, 'reload refused: the old configuration stays');
      this.events.log.emit('reload', { ok: false, changes: '', problems: result.problems.length });
      return result;
    }
    try {
      await this.#apply(config);
    } catch (error) {
      this.reloads.failed++;
      throw error;
    }
    this.reloads.ok++;
    this.reloads.lastOkSeconds = Date.now() / 1000;
    logger.info({ changes: result.changes }, 'reloaded');
    this.events.log.emit('reload', { ok: true, changes: result.changes.join('; '), problems: 0 });
    return result;
  }

  /** Filter before plan: what a new plan forwards the host must not see first. Without the filter nothing changes. */
  async #apply(config: CompiledConfig): Promise<void> {
    const previous = this.config;
    const now = (): number => Math.floor(this.addon.monotonicSeconds());
    const plan = this.binding.bind(config, now());
    try {
      await this.#filter.update(filterInput(config, this.binding, this.rows.floatingPorts()));
    } catch (error) {
      this.#plan = this.binding.bind(previous, now());
      throw error;
    }
    this.config = config;
    this.#plan = plan;
    this.policy.setPlan(plan);
    this.health.setConfig(config);
    this.datapath.update(this.#bound());
    this.#network.setServers(this.#serverAddresses());
    if (this.#routes !== null) this.#neighbours.setRoutes(this.#routes, this.binding.servers);
    this.designator.setPlan(this.#plan);
    this.#pool.broadcast({ type: 'plan', plan: this.#plan });
    if (this.#ready) this.#announceVips();
    await this.load.apply(config);
    await this.takeOvers.apply(config);
  }

  #bound(): Bound {
    const asks = (port: number): boolean => this.#network.needsOwnResolution(port);
    return {
      config: this.config,
      binding: this.binding,
      plan: this.#plan,
      ownResolution: [asks(PORT_OUTSIDE), asks(PORT_INSIDE)],
    };
  }
}
