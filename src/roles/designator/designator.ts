/**
 * The designator: configuration, host, shards and control API brought together. Everything that forwards packets is in
 * the shards; this is the main thread's part: it makes the keepers and desks, starts and ends them in order, takes plans
 * into force and passes on what shards say.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import type { Plan, ShardNotice } from '../../dataplane/plan.js';
import { Designator } from '../../designation/designate.js';
import { ServerStates } from '../../designation/server-states.js';
import { ServerTable } from '../../designation/servers.js';
import { SERVER_STATE } from '../../flow/layout.js';
import { HostFilter } from '../../io/host-filter.js';
import { type NativeAddon, native } from '../../io/native.js';
import type { ReloadResult } from '../../ops/appliance.js';
import type { Logger } from '../../ops/log.js';
import { AddressTable } from '../../flow/address-table.js';
import { Ability } from './ability.js';
import type { Announcer } from './announcer.js';
import { Binding } from './binding.js';
import { CaptureDesk } from './capture-desk.js';
import type { ClusterDesk } from './cluster/cluster-desk.js';
import { type ClusterParts, openCluster, openParts } from './cluster/open-cluster.js';
import { openShare, type TunnelShare } from './cluster/open-share.js';
import type { Bound, Datapath } from './datapath.js';
import { ServerCommands } from './drains.js';
import { EventDesk } from './event-desk.js';
import { FollowDesk } from './follow-desk.js';
import { ErrorSender } from './error-sender.js';
import { FloatingKeeper } from './floating-keeper.js';
import { type GatewayGroups, openGroups } from './gateway-groups.js';
import { FollowForecast } from './follow-forecast.js';
import { filterInput, tellFilterLost } from './filter-input.js';
import { HealthKeeper } from './health-keeper.js';
import { InactivationKeeper } from './inactivation-keeper.js';
import { HostDesk } from './host-desk.js';
import { LoadKeeper } from './load-keeper.js';
import { PolicyDesk } from './policy-desk.js';
import { Reloads } from './reloads.js';
import { Rows } from './rows.js';
import { ShardDesk, type ShardSurroundings } from './shard-desk.js';
import { shardCount } from './shard-count.js';
import { openAnnouncer } from './open-announcer.js';
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
  /** Of the product, which members of a cluster tell one another. */
  readonly version?: string;
}

const TICK_MS = 200;
/** States in which a server goes on with its tunnels. */
const CARRYING: ReadonlySet<number> = new Set([
  SERVER_STATE.up,
  SERVER_STATE.slowStart,
  SERVER_STATE.suspect,
  SERVER_STATE.draining,
]);

export class DesignatorProcess {
  readonly addon: NativeAddon = native();
  readonly startedAt = new Date();
  readonly shards: number;
  readonly datapath: Datapath;
  readonly table: OpenedTable;
  readonly states: ServerStates;
  readonly health: HealthKeeper;
  readonly #errors = new ErrorSender((err) => this.#o.logger.warn({ err }, 'no ICMP errors of our own'));
  readonly load: LoadKeeper;
  readonly takeOvers: TakeOverKeeper;
  readonly groups: GatewayGroups | null;
  readonly cluster: ClusterDesk | null;
  readonly clusterParts: ClusterParts | null;
  readonly share: TunnelShare | null;
  readonly ability: Ability;
  /** null: it makes no routes. */
  readonly announcer: Announcer | null;
  readonly binding: Binding;
  readonly rows: Rows;
  readonly captures: CaptureDesk;
  readonly events: EventDesk;
  readonly follow: FollowDesk;
  readonly commands: ServerCommands;
  readonly inactivation: InactivationKeeper;
  readonly designator: Designator;
  readonly followForecast: FollowForecast;
  readonly reloads: Reloads;
  readonly policy: PolicyDesk;
  readonly pool: ShardDesk;
  readonly host: HostDesk;
  readonly logger: Logger;
  config: CompiledConfig;
  #plan: Plan;
  readonly #o: DesignatorOptions;
  readonly #filter: HostFilter;
  readonly #floating: FloatingKeeper;
  #ticker: NodeJS.Timeout | null = null;
  #ticks = 0;
  #ready = false;
  #retreating = false;
  #stopping: Promise<void> | null = null;

  constructor(options: DesignatorOptions) {
    this.#o = options;
    this.logger = options.logger;
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
    this.pool = new ShardDesk({
      shards,
      addon,
      datapath: this.datapath,
      logger: options.logger,
      events: () => this.events.log,
      pin: options.pin,
      current: () => this.#surroundings(),
      onNotice: (shard, notice) => this.#notice(shard, notice),
      onLockTaken: () => this.designator.cells.forgetRankings(),
      onFatal: options.onFatal,
    });
    const { statistics } = this.pool;
    this.policy = new PolicyDesk({
      memory,
      plan: this.#plan,
      slots: this.binding.ruleSlots,
      statistics,
      kernel: () => this.datapath.totals(),
      now,
      logger: options.logger,
    });
    this.captures = new CaptureDesk({
      config: options.config,
      binding: this.binding,
      statistics,
      now,
      onChange: (captures) => this.pool.broadcast({ type: 'capture', captures }),
    });
    this.health = new HealthKeeper(this.binding, options.config, now, options.logger, () => this.pool);
    this.events = new EventDesk(shards, this.binding, this.states, now);
    this.follow = new FollowDesk(this.events.log, this.binding);
    this.rows.follow = (vip) => this.follow.counts(vip);
    this.load = new LoadKeeper({
      designator: this.designator,
      binding: this.binding,
      logger: options.logger,
      events: this.events.log,
      now,
      isMember: (options.config.cluster ?? null) !== null,
      onHeard: (server) => this.health.health.speaks(server),
      onSilent: (server, seconds) => this.health.health.fellSilent(server, seconds),
    });
    const closeTunnels = (server: number): void => this.pool.broadcast({ type: 'release', server });
    this.inactivation = new InactivationKeeper({
      binding: this.binding,
      states: this.states,
      logger: options.logger,
      events: this.events.log,
      now,
      closeTunnels,
      heardLoad: (server) => this.load.heard(server),
      hearsLoad: (server) => this.load.hears(server),
      answered: (server) => this.health.answeredAt(server),
      checksActively: () => this.health.checks !== null,
    });
    this.health.expects = (server) => this.inactivation.expects(server);
    this.rows.underWay = (server) => this.inactivation.words(server);
    this.commands = new ServerCommands(memory, this.binding, now, this.states, closeTunnels, this.inactivation);
    this.takeOvers = new TakeOverKeeper({
      binding: this.binding,
      logger: options.logger,
      events: this.events.log,
      health: this.health,
      shards,
      message: (shard, message) => this.pool.message(shard, message),
      file: takeOverFile(options.config.control.socket),
      now,
    });
    this.health.waitFor = (server) => this.takeOvers.waitFor(server);
    this.groups = openGroups(options.config, memory, options.logger, this.events.log, options.onFatal);
    this.ability = new Ability({
      shards: () => this.pool.status(),
      outside: options.config.outside.device,
      inside: options.config.inside.device,
      isUp: (device) => this.host.isUp(device),
      serves: () => this.#serves(),
      carries: () => this.#carries(),
      natOnly: options.config.part === 'nat',
    });
    this.announcer = openAnnouncer(this, options);
    this.health.mayMiss = () => this.groups?.missesAnswers() ?? false;
    this.cluster = openCluster(this, options);
    this.clusterParts = openParts(this);
    this.share = openShare(this, options, (ports) => this.#floating.register(ports));
    this.host = new HostDesk({
      addon,
      memory,
      binding: this.binding,
      logger: options.logger,
      config: () => this.config,
      transmit: (frames) => this.pool.message(0, { type: 'transmit', frames }),
      onChange: () => this.#hostChanged(),
      onRoutes: (routes) => {
        this.share?.desk?.setRoutes(routes);
        this.pool.broadcast({ type: 'routes', routes });
      },
      onNeighbour: (words) => this.health.neighbour(words),
    });
    this.#filter = new HostFilter(filterInput(options.config, this.binding, this.rows.floatingPorts()), {
      onLost: (error) => tellFilterLost(options.logger, error),
    });
    this.#floating = new FloatingKeeper(
      new AddressTable(memory),
      this.#filter,
      () => this.rows.floatingPorts(),
      (ports) => this.pool.broadcast({ type: 'floating', ports }),
      (ports) => this.pool.broadcast({ type: 'floating-forget', ports }),
      (error) => options.logger.error({ err: error }, 'floating port not registered'),
    );
    this.reloads = new Reloads({
      logger: options.logger,
      events: () => this.events.log,
      read: () => options.reload(this.config),
      apply: (config) => this.#apply(config),
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
    this.inactivation.setConfig(this.config);
    await this.takeOvers.start(this.config);
    await this.cluster?.open();
    await this.host.start();
    await this.#filter.install();
    await this.datapath.prepare(this.#bound());
    this.events.start();
    this.share?.start();
    await this.pool.start();
    await this.datapath.attach();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.health.start();
    await this.host.settle();
    await this.groups?.start();
    await this.announcer?.start();
    this.host.announceVips();
    this.#ready = true;
  }

  ready(): boolean {
    return this.#ready && this.#stopping === null;
  }

  /**
   * Before anything else ends: routers are told to send nothing more here, while what they have sent is still forwarded.
   */
  async retreat(): Promise<void> {
    this.#retreating = true;
    this.ability.look();
    await this.announcer?.retreat();
  }

  /** As the members of a cluster see it. */
  state(): 'starting' | 'ready' | 'unable' | 'ending' {
    if (this.#stopping !== null || this.#retreating) return 'ending';
    if (!this.#ready) return 'starting';
    return this.ability.trouble === null ? 'ready' : 'unable';
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
    await this.retreat();
    if (this.#ticker !== null) clearInterval(this.#ticker);
    await this.groups?.stop();
    this.health.stop();
    this.inactivation.stop();
    this.load.stop();
    this.takeOvers.stop();
    this.captures.stop();
    await this.pool.stop();
    // What the shards did last is told before the others hear that this one leaves.
    await this.share?.stop();
    this.events.stop();
    let unkept: unknown = null;
    if (!stays) {
      try {
        await this.datapath.stop();
      } catch (error) {
        // A table that finds no room on a full disk keeps nothing else from its end.
        unkept = error;
      }
      await this.#filter.remove();
    }
    await this.cluster?.close();
    this.announcer?.close();
    this.#errors.close();
    this.host.stop();
    this.pool.close();
    if (unkept !== null) throw unkept;
  }

  // ── shards ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #surroundings(): ShardSurroundings {
    return {
      config: this.config,
      plan: this.#plan,
      routes: this.host.routes,
      policy: this.policy.words,
      captures: this.captures.filters(),
      captureMemory: this.captures.memory,
      eventMemory: this.events.memory,
      floating: [...this.#floating.known],
      share: this.share?.table.shards ?? [],
    };
  }

  #notice(shard: number, notice: ShardNotice): void {
    switch (notice.type) {
      case 'up':
        this.pool.isUp(shard, notice);
        this.health.shardUp(shard);
        this.takeOvers.shardUp(shard);
        this.share?.desk?.shardUp(shard);
        return this.pool.told();
      case 'floating':
        return this.#floating.register(notice.ports);
      case 'foreign':
        return this.share?.foreign(notice.frames);
      case 'followed':
        return this.follow.told(notice.clients);
      case 're-pointed':
        return this.takeOvers.rePointed(shard, notice.done);
      case 'probe-answers':
        return this.health.heard(notice.payloads);
      case 'icmp':
        return this.#errors.send(notice.packets);
      case 'unresolved':
        return this.host.neighbours.wanted(notice.nextHops);
    }
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #carries(): boolean {
    const { cells } = this.designator;
    return this.binding.servers.some(({ index }) => CARRYING.has(cells.state(index)));
  }

  #serves(): boolean {
    return this.binding.servers.some(({ index }) => this.designator.cells.eligible(index));
  }

  /** What depends on links hears of them at once, not at the next turn. */
  #hostChanged(): void {
    if (this.state() === 'ending') return;
    this.ability.look();
    this.announcer?.look();
    this.cluster?.tick();
  }

  #lookAtGroups(): void {
    this.groups?.setBus(this.share !== null && this.cluster?.state.state === 'up');
    this.groups?.look(this.pool.status(), this.#serves());
  }

  #tick(): void {
    this.ability.look();
    this.announcer?.look();
    this.cluster?.tick();
    this.clusterParts?.orders.tick();
    this.commands.tick();
    this.load.tick();
    this.#lookAtGroups();
    if (++this.#ticks % 5 !== 0) return;
    this.inactivation.tick();
    this.groups?.measure();
    this.policy.tick();
    this.host.neighbours.tick();
    for (const sentence of this.datapath.tick()) {
      this.#o.logger.warn({ io: this.datapath.words }, sentence);
      this.pool.ioOf.fill(this.datapath.words);
    }
    if (this.#ticks % 50 !== 0) return;
    void this.#floating.prune();
    // Servers that the configuration no longer names and whose last tunnel has ended.
    if (this.binding.hasEmptyRetired()) this.reloads.again(() => this.config, 'retired servers could not be forgotten');
  }

  // ── configuration ─────────────────────────────────────────────────────────────────────────────────────────────────

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
    this.inactivation.setConfig(config);
    this.datapath.update(this.#bound());
    this.host.serversChanged();
    this.designator.setPlan(this.#plan);
    this.share?.desk?.planChanged();
    this.pool.broadcast({ type: 'plan', plan: this.#plan });
    if (this.#ready) this.host.announceVips();
    await this.load.apply(config);
    await this.takeOvers.apply(config);
    this.clusterParts?.orders.retry();
  }

  #bound(): Bound {
    return {
      config: this.config,
      binding: this.binding,
      plan: this.#plan,
      ownResolution: this.host.ownResolution(),
    };
  }
}
