/**
 * The LNS: tunnels and PPP end here, subscribers' packets go through a TUN device. Composition only: the engines speak
 * the protocols, the workers forward, `Subscribers` has the sessions' lives. One process, one main thread, one owner.
 */
import { availableParallelism } from 'node:os';
import type { ConfigProblem } from '../../config/compiled.js';
import { diffLns } from '../../config/lns-diff.js';
import type { LnsConfig, ParsedLns } from '../../config/lns.js';
import { WORKERS_MAX } from '../../config/endpoint-parts.js';
import { isError } from '../../config/problem.js';
import { loadUsers, readUsers, type User } from '../../config/users.js';
import { DesignatorError } from '../../errors.js';
import { native } from '../../io/native.js';
import type { Endpoint, ReloadResult } from '../../ops/endpoint.js';
import { BusTeller } from '../cluster/bus-teller.js';
import { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { ERROR_CODE, STOP_RESULT } from '../../protocol/l2tp/codes.js';
import { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import { PppCounters } from '../../protocol/ppp/counters.js';
import type { PppOptions } from '../../protocol/ppp/options.js';
import { TunnelPlane } from '../../workers/tunnel-plane.js';
import type { Candidate } from '../candidate/candidate.js';
import { EndpointLoop, type LoopPunt } from '../endpoint/loop.js';
import { randomSource } from '../endpoint/random.js';
import { RadiusDynamicService } from '../radius-dynamic.js';
import { RadiusService } from '../radius-service.js';
import { RadiusAccounting } from './accounting.js';
import { FileJudge, type Judge, JudgeChain } from './authenticator.js';
import { LnsDesk } from './desk.js';
import { ListeningSockets } from './listening-sockets.js';
import { LnsCounters } from './lns-counters.js';
import { LoadTeller, MachineLoad, overloadOf } from './load-teller.js';
import type { LnsOffload } from './offload-face.js';
import { LnsOffloadHost } from './offload-host.js';
import { Pools } from './pools.js';
import { type PeerSettings, Profiles } from './profiles.js';
import { RadiusJudge } from './radius-judge.js';
import { obey } from './radius-requests.js';
import { Subscribers } from './subscribers.js';
import { routesOf, TunNetwork } from './tun-network.js';

/** RFC 5612: an enterprise number for examples; that of our own messages unless another is configured. */
export const DEFAULT_VENDOR = 32_473;
const LOAD_MS = 1000;
/** For the last words of an orderly end. */
const STOP_MS = 3000;
const STOP_POLL_MS = 20;

export interface LnsOptions {
  readonly config: LnsConfig;
  readonly logger: Logger;
  /** Reads the file again. */
  readonly reread: () => ParsedLns;
  /** The process cannot go on. */
  readonly onFatal: (error: Error) => void;
  /** Makes the part that shares state with a peer; null: this LNS is alone. */
  readonly offload?: (host: LnsOffloadHost, logger: Logger) => LnsOffload | null;
  /** Makes the master part that this endpoint carries; null: it carries none. */
  readonly candidate?: (events: EventLog) => Candidate | null;
}

/** What the LNS keeps of a tunnel. */
export interface TunnelNote {
  readonly since: number;
  readonly settings: PeerSettings | null;
}

export class Lns {
  readonly events = new EventLog();
  readonly counters = new LnsCounters();
  readonly pppCounters = new PppCounters();
  readonly load = new MachineLoad();
  readonly endpoint: Endpoint;
  readonly random = randomSource();
  config: LnsConfig;
  plane!: TunnelPlane;
  l2tp!: L2tpEndpoint;
  loop!: EndpointLoop;
  subscribers!: Subscribers;
  network!: TunNetwork;
  pools: Pools;
  radius: RadiusService | null = null;
  #radiusRequests: RadiusDynamicService | null = null;
  readonly offload: LnsOffload | null;
  readonly candidate: Candidate | null;
  started = false;
  readonly #options: LnsOptions;
  readonly #logger: Logger;
  #profiles: Profiles;
  readonly #users = new FileJudge(new Map<string, User>());
  #sockets!: ListeningSockets;
  #teller: LoadTeller | null = null;
  #bus: BusTeller | null = null;
  #loadTimer: NodeJS.Timeout | null = null;
  #trouble: string | null = null;

  /** Errors: TD_CONFIG a secret or the users cannot be read. */
  constructor(options: LnsOptions) {
    const { config } = options;
    this.#options = options;
    this.#logger = options.logger;
    this.config = config;
    this.#profiles = new Profiles(config);
    this.pools = new Pools(config.pools);
    if (config.usersFile !== null) this.#users.users = loadUsers(config.usersFile);
    // Its tables and commands are the API's before anything has started.
    this.offload = options.offload?.(new LnsOffloadHost(this), options.logger) ?? null;
    this.candidate = options.candidate?.(this.events) ?? null;
    this.endpoint = new LnsDesk(this);
  }

  now(): number {
    return native().monotonicSeconds();
  }

  /** Errors: TD_NO_PERMISSION, TD_UNAVAILABLE with what is missing. After an error `stop` frees what was taken. */
  async start(): Promise<Record<string, unknown>> {
    const { config } = this;
    const workers = config.workers ?? Math.min(availableParallelism(), WORKERS_MAX);
    this.plane = await TunnelPlane.open({
      workers,
      sessions: config.sessions.limit,
      tun: { name: config.tun.device, mtu: config.tun.mtu },
      onFatal: (error) => this.#options.onFatal(error),
      onCrash: (worker, error, restarts) => {
        this.#logger.error({ err: error, worker, restarts }, 'worker crashed; it is started again');
        this.events.emit('shard-crashed', { shard: worker, reason: error.message });
      },
    });
    this.#sockets = new ListeningSockets(config, this.plane);
    this.network = new TunNetwork(this.plane.tunName ?? config.tun.device);
    this.l2tp = new L2tpEndpoint({
      hostName: config.name,
      vendorName: 'tunnel-designator',
      random: this.random,
      tunnelIds: config.tunnels.ids,
      vendors: [config.offload?.vendor ?? DEFAULT_VENDOR],
      limits: { tunnels: config.tunnels.limit },
      // The peer of a pair is answered where it has asked: it knows this LNS by that address.
      answerFrom: (from) =>
        this.offload?.profileFor(from.address) == null ? this.#sockets.answering(from) : from.socket,
      profile: (peer, hostName) =>
        this.offload?.profileFor(peer.address) ?? this.#profiles.of(peer, hostName)?.profile ?? null,
    });
    if (config.radius !== null)
      this.radius = new RadiusService(config.radius, this.#logger, { nasIdentifier: config.name });
    this.subscribers = new Subscribers(
      {
        config,
        table: this.plane.table,
        batch: this.plane.batch,
        ppp: this.#pppOptions(),
        pools: this.pools,
        judge: this.#judge(),
        accounting: this.#accounting(),
        events: this.events,
        counters: this.counters,
        clock: Date.now,
        random: this.random,
        wake: () => this.loop.wake(),
        proxyOf: ({ tunnel }) => (tunnel.userData as TunnelNote | null)?.settings?.proxy ?? this.config.ppp.proxy,
        overload: () => this.overload(),
        localAddress: (socket) => this.plane.socket(socket)?.address ?? '',
        route: (words, length, on) => (on ? this.network.add(words, length) : this.network.remove(words, length)),
      },
      this.now(),
    );
    const { local } = this.subscribers.addressing;
    this.network.configure(local, config.tun.routes ? routesOf(config.pools) : []);
    this.loop = new EndpointLoop(this.plane, this.l2tp, this, () => this.now(), this.#failed);
    this.subscribers.offload = this.offload;
    this.#accounting()?.power('on');
    this.loop.start();
    this.offload?.start(this.now());
    this.load.measure();
    this.#loadTimer = setInterval(() => this.load.measure(), LOAD_MS);
    await this.#hearRadius(config);
    if (config.cluster !== null)
      this.#bus = await BusTeller.open(config.cluster, { role: 'lns', version: null }, this.#logger);
    this.#startTeller();
    this.started = true;
    // Last: a master whose own machine takes no tunnels yet would designate to it.
    this.candidate?.start();
    return {
      name: config.name,
      listen: config.listen.map(({ host, port }) => `${host} ${port}`),
      device: this.plane.tunName,
      workers,
    };
  }

  readonly #failed = (error: unknown): void => {
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#trouble = failure.message;
    this.#options.onFatal(new DesignatorError('TD_INTERNAL', 'the control plane failed', {}, failure));
  };

  #pppOptions(): PppOptions {
    const { ppp, name } = this.config;
    return {
      random: this.random,
      hostName: name,
      authenticate: ppp.authentication,
      lcp: { mru: ppp.mru },
      echo: { every: ppp.echoSeconds, failures: ppp.echoFailures },
      timers: { authenticate: ppp.authenticateSeconds, network: ppp.networkSeconds },
      network: 'server',
      protocols: { ipv4: this.pools.find(4, null) !== null, ipv6: this.config.ipv6.pool !== null },
      counters: this.pppCounters,
    };
  }

  #judge(): Judge {
    const judges = this.config.authenticate.map((who) =>
      who === 'users' ? this.#users : this.radius === null ? null : new RadiusJudge(this.radius),
    );
    return new JudgeChain(judges.filter((judge) => judge !== null));
  }

  #accounting(): RadiusAccounting | null {
    if (this.radius === null || this.config.radius === null) return null;
    return new RadiusAccounting(this.radius, this.config.radius.interim, Date.now);
  }

  #startTeller(): void {
    if (this.config.loadStatus === null) return;
    const source = {
      tunnels: () => this.l2tp.tunnels.size,
      sessions: () => this.subscribers.count,
      traffic: () => this.subscribers.traffic(),
    };
    const accepting = (): boolean => this.overload() === null;
    this.#teller = new LoadTeller(this.config, source, this.load, accepting, Date.now, this.#bus);
  }

  /** Why no tunnels and calls are taken now; null: they are. */
  overload(): string | null {
    return overloadOf(this.config, this.load, this.subscribers.count);
  }

  get profiles(): Profiles {
    return this.#profiles;
  }

  // ── turns of the loop ─────────────────────────────────────────────────────────────────────────────────────────────

  get nextTime(): number {
    return Math.min(this.subscribers.nextTime, this.offload?.nextTime ?? Number.POSITIVE_INFINITY);
  }

  punt(punt: LoopPunt, now: number): void {
    if (punt.kind === 'ppp') this.subscribers.frame(punt.slot, punt.bytes, now);
    else if (punt.kind === 'ipv6-local') this.subscribers.linkLocal(punt.slot, punt.bytes, now);
  }

  run(now: number): void {
    this.subscribers.run(now);
    this.offload?.run(now);
  }

  event(event: L2tpEvent, now: number): void {
    if (this.offload?.event(event, now) === true) return;
    switch (event.type) {
      case 'tunnel-request':
        return this.#request(event.tunnel, now);
      case 'tunnel-up':
        this.events.emit('tunnel-established', tunnelFacts(event.tunnel));
        this.offload?.changed(event.tunnel.localId, 0);
        return;
      case 'tunnel-down': {
        const { by, result, error, message } = event;
        this.events.emit('tunnel-closed', { ...tunnelFacts(event.tunnel), reason: by, result, error, message });
        this.offload?.removed(event.tunnel.localId, 0);
        return;
      }
      default:
        this.subscribers.event(event, now);
    }
  }

  #request(tunnel: L2tpTunnel, now: number): void {
    const trouble = this.overload();
    if (trouble !== null) {
      this.counters.refuse('overload');
      return tunnel.refuse(STOP_RESULT.error, ERROR_CODE.tryAnother, trouble);
    }
    const settings = this.#profiles.of(tunnel.peer, tunnel.hostName);
    const note: TunnelNote = { since: now, settings };
    tunnel.userData = note;
    this.events.emit('tunnel-request', tunnelFacts(tunnel));
    tunnel.accept(this.offload?.avpsFor(tunnel) ?? [], this.#sockets.floating.get(tunnel.peer.socket));
  }

  // ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async reload(): Promise<ReloadResult> {
    const { config: next, problems } = this.#options.reread();
    const failed = (found: readonly ConfigProblem[]): ReloadResult => ({ ok: false, problems: found, changes: [] });
    if (next === null) return failed(problems.filter(isError));
    const { changes, refused } = diffLns(this.config, next);
    if (refused.length > 0) return failed(refused);
    const users = next.usersFile === null ? null : readUsers(next.usersFile);
    if (users !== null && users.users === null) return failed(users.problems);
    // All that can fail comes before the first change.
    const profiles = new Profiles(next);
    const radius = await this.#newRadius(next);
    this.#profiles = profiles;
    if (users?.users != null) this.#users.users = users.users;
    const poolsChanged = JSON.stringify(this.config.pools) !== JSON.stringify(next.pools);
    this.config = next;
    this.radius = radius;
    if (poolsChanged) this.pools = new Pools(next.pools);
    this.subscribers.configure(next, this.#pppOptions(), this.pools, this.#judge(), this.#accounting());
    this.network.configure(this.subscribers.addressing.local, next.tun.routes ? routesOf(next.pools) : []);
    await this.#teller?.close();
    this.#teller = null;
    this.#startTeller();
    this.candidate?.reload();
    this.events.emit('reload', { ok: true, changes: changes.join(', ') });
    return { ok: true, problems: [...problems, ...(users?.problems ?? [])], changes };
  }

  /** The same service unless its section has changed. */
  async #newRadius(next: LnsConfig): Promise<RadiusService | null> {
    if (JSON.stringify(next.radius) === JSON.stringify(this.config.radius)) return this.radius;
    const fresh =
      next.radius === null ? null : new RadiusService(next.radius, this.#logger, { nasIdentifier: next.name });
    // Records that wait for the old servers get their time; nobody waits for that here.
    void this.radius?.stop();
    this.#radiusRequests?.stop();
    // The rest of the new configuration holds even if this address cannot be had.
    await this.#hearRadius(next).catch((error: unknown) => this.#logger.error({ err: error }, 'radius.dynamic'));
    return fresh;
  }

  /** Errors: TD_UNAVAILABLE the address of `radius.dynamic` cannot be bound. */
  async #hearRadius({ radius, name }: LnsConfig): Promise<void> {
    this.#radiusRequests = null;
    if (radius === null || radius.dynamic === null) return;
    const world = { nasIdentifier: name };
    const requests = new RadiusDynamicService(radius, (request) => obey(this, request), this.#logger, world);
    await requests.start();
    this.#radiusRequests = requests;
  }

  unhealthy(): string | null {
    if (this.#trouble !== null) return this.#trouble;
    if (!this.started) return 'not started';
    const ill = this.plane.workers().find(({ state }) => state !== 'running' && state !== 'up');
    return ill === undefined ? null : `worker ${ill.shard} is ${ill.state}`;
  }

  /** Tells every tunnel, waits for their acknowledgements a little, and frees the devices. */
  async stop(): Promise<void> {
    this.started = false;
    // First the office, which another endpoint takes at once; then the tunnels that are here.
    const handedOver = this.candidate?.stop();
    if (this.#loadTimer !== null) clearInterval(this.#loadTimer);
    await this.#teller?.close();
    await this.#bus?.close();
    await this.offload?.stop();
    if (this.loop !== undefined && this.l2tp !== undefined) await this.#sayGoodbye();
    this.loop?.stop();
    if (this.loop !== undefined) this.#accounting()?.power('off');
    this.#radiusRequests?.stop();
    await this.radius?.stop();
    this.network?.close();
    await this.plane?.stop();
    await handedOver;
    this.events.close();
  }

  async #sayGoodbye(): Promise<void> {
    const now = this.now();
    for (const subscriber of [...this.subscribers.all()]) this.subscribers.end(subscriber, 'shutdown', now);
    for (const tunnel of [...this.l2tp.tunnels.values()]) tunnel.stop(STOP_RESULT.shutdown);
    this.loop.flush();
    const until = this.now() + STOP_MS / 1000;
    while (!this.l2tp.quiet && this.now() < until) await new Promise((done) => setTimeout(done, STOP_POLL_MS));
  }
}

export function tunnelFacts(tunnel: L2tpTunnel): Record<string, string | number | null> {
  const { peer } = tunnel;
  const host = peer.address.includes(':') ? `[${peer.address}]` : peer.address;
  return {
    client: `${host}:${peer.port}`,
    hostName: tunnel.hostName,
    tunnelId: tunnel.localId,
    peerTunnelId: tunnel.peerId === 0 ? null : tunnel.peerId,
  };
}
