/** The LAC at work: data path, L2TP endpoint, PPPoE access, calls, and what operators see of them. Main thread only. */
import { randomFillSync } from 'node:crypto';
import type { LacConfig } from '../../config/lac.js';
import { parseLacConfig } from '../../config/lac.js';
import { readFileSync } from 'node:fs';
import { DesignatorError } from '../../errors.js';
import type { Endpoint, EndpointCommand, EndpointTable, MetricReading, ReloadResult } from '../../ops/endpoint.js';
import { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { STOP_RESULT } from '../../protocol/l2tp/codes.js';
import { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import { PppoeAccess, type PppoePort } from '../../protocol/pppoe/access.js';
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import { TunnelPlane } from '../../workers/tunnel-plane.js';
import { EndpointLoop, type LoopPlane, type LoopPunt } from '../endpoint/loop.js';
import { RadiusService } from '../radius-service.js';
import { tunnelSecretOf } from '../secret.js';
import type { LacCall } from './call.js';
import { CallDesk, type CallPlane } from './call-desk.js';
import { lacMetrics, lacTables } from './lac-tables.js';
import { moverHost } from './mover-host.js';
import { RadiusQuestion } from './radius-question.js';
import type { LacSwitchover, MoverHost } from './switchover-face.js';
import { TargetBook } from './targets.js';
import { native } from '../../io/native.js';
import { TunnelKeeper, type TunnelNote } from './tunnel-keeper.js';

export interface LacOptions {
  readonly config: LacConfig;
  readonly logger: Logger;
  readonly onFatal: (error: Error) => void;
  /** Cores, for `workers: auto`. */
  readonly cores: number;
  /** The path of the configuration for `reload`, and its name in messages. */
  readonly file: string;
  readonly shownAs: string;
  /** Moves calls to other LNSs; absent: calls die with their LNS. */
  readonly switchover?: (host: MoverHost, config: LacConfig, events: EventLog) => LacSwitchover;
}

/** Names and numbers of vendors whose messages a switchover is made of. */
const VENDOR_NAME = 'tunnel-designator';
const RANDOM_POOL = 4096;
const CLOSING_MS = 1500;
const CLOSING_POLL_MS = 20;

export class Lac implements Endpoint {
  readonly role = 'lac';
  readonly events = new EventLog();
  readonly tables = new Map<string, EndpointTable>();
  readonly commands = new Map<string, EndpointCommand>();
  readonly #o: LacOptions;
  /** CLOCK_MONOTONIC, as the stamps of the data path. */
  readonly #clock = (): number => native().monotonicSeconds();
  #config: LacConfig;
  #book: TargetBook;
  readonly #parts: LacParts;
  #plane: TunnelPlane | null = null;
  #sockets: readonly number[] = [];
  #ports: readonly PppoePort[] = [];
  #isRunning = false;
  #fatal: string | null = null;

  /** Errors: TD_CONFIG a secret's file cannot be read. */
  constructor(options: LacOptions) {
    this.#o = options;
    this.#config = options.config;
    this.#book = new TargetBook(options.config, tunnelSecretOf);
    this.#parts = this.#assemble();
    const { switchover } = this.#parts;
    for (const [name, table] of lacTables(this.#parts, this.#clock)) this.tables.set(name, table);
    for (const [name, table] of switchover?.tables ?? []) this.tables.set(name, table);
    for (const [name, command] of switchover?.commands ?? []) this.commands.set(name, command);
  }

  /** Takes calls when it resolves. Errors: TD_NO_PERMISSION, TD_UNAVAILABLE, TD_CONFIG, with what is missing. */
  async start(): Promise<Record<string, unknown>> {
    const { config, logger } = this.#o;
    const { pppoe, buffer, listen } = config;
    const workers = config.workers === 0 ? this.#o.cores : config.workers;
    const plane = await TunnelPlane.open({
      workers,
      sessions: pppoe?.sessions ?? 1,
      access: pppoe?.interfaces ?? [],
      hold: {
        bytesPerSession: buffer.session,
        bytes: Math.ceil(buffer.total / workers),
        milliseconds: Math.round(buffer.time * 1000),
      },
      onFatal: (error) => this.#fail(error),
      onCrash: (worker, error, restarts) => {
        logger.error({ worker, restarts, err: error }, 'a worker crashed and is started again');
        this.events.emit('shard-crashed', { shard: worker, reason: error.message });
      },
    });
    try {
      this.#sockets = listen.map(({ host, port }) => plane.addSocket(host, port));
    } catch (error) {
      await plane.stop();
      throw error;
    }
    this.#plane = plane;
    this.#ports = plane.accesses.map(({ name, mac, mtu }, index) => ({ index, name, mac, mtu }));
    this.#isRunning = true;
    this.#parts.loop.start();
    return {
      name: config.name,
      interfaces: plane.accesses.map(({ name }) => name),
      listen: listen.map(({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)),
      lns: config.lns.map(({ name }) => name),
      workers,
    };
  }

  /** The data path, once there is one: nothing asks for it before the start. */
  #running(): TunnelPlane {
    if (this.#plane === null) throw new DesignatorError('TD_INTERNAL', 'the data path is not open');
    return this.#plane;
  }

  /** Index of the socket that an address is dialled from, −1: none of its family. */
  #socketFor(address: string): number {
    const { listen } = this.#o.config;
    return this.#sockets[listen.findIndex(({ host }) => host.includes(':') === address.includes(':'))] ?? -1;
  }

  #assemble(): LacParts {
    const { config, logger } = this.#o;
    const { pppoe } = config;
    const random = randomBytes();
    const running = (): TunnelPlane => this.#running();
    const plane: LacPlane = {
      get table() {
        return running().table;
      },
      get batch() {
        return running().batch;
      },
      onPunt: (listener) => running().onPunt(listener),
    };
    const endpoint = new L2tpEndpoint({
      hostName: config.name,
      vendorName: VENDOR_NAME,
      random,
      vendors: [config.switchover.vendor],
      limits: { tunnels: config.tunnels.limit },
      profile: (peer) => keeper.profileOf(peer.address, this.#book),
    });
    const avps = (): readonly AvpInput[] => switchover?.avpsFor() ?? [];
    const keeper: TunnelKeeper = new TunnelKeeper(config, endpoint, (address) => this.#socketFor(address), avps);
    const access = new PppoeAccess({
      acName: pppoe?.acName ?? config.name,
      services: pppoe?.services ?? [],
      anyService: pppoe?.anyService ?? false,
      key: random(32),
      sessionLimit: pppoe?.sessions ?? 0,
      perClient: pppoe?.perClient ?? 0,
      clientRate: pppoe?.clientRequests ?? { rate: 1, burst: 1 },
      portRate: pppoe?.requests ?? { rate: 1, burst: 1 },
    });
    const radius = config.radius === null ? null : new RadiusService(config.radius, logger, { clock: this.#clock });
    const desk = new CallDesk({
      config,
      book: this.#book,
      access,
      plane,
      keeper,
      random,
      question: radius === null ? null : new RadiusQuestion(radius, this.#clock, () => loop.wake()),
      teller: {
        up: (call) => this.events.emit('session-established', facts(call)),
        ended: (call, reason) => this.events.emit('session-closed', { ...facts(call), reason }),
      },
    });
    const loop = new EndpointLoop(
      plane,
      endpoint,
      {
        punt: (punt, now) => this.#punt(punt, desk, now),
        event: (event, now) => this.#event(event, desk, switchover, now),
        run: (now) => {
          desk.run(now);
          keeper.run(now);
          switchover?.run(now);
        },
        get nextTime(): number {
          return Math.min(desk.nextTime, keeper.nextTime, switchover?.nextTime ?? Number.POSITIVE_INFINITY);
        },
      },
      this.#clock,
      (error) => this.#fail(error instanceof Error ? error : new Error(String(error))),
    );
    const host = moverHost({ endpoint, keeper, desk, plane, loop }, this.#clock);
    const switchover: LacSwitchover | null = this.#o.switchover?.(host, config, this.events) ?? null;
    return { plane: () => this.#plane, endpoint, keeper, access, desk, loop, radius, switchover };
  }

  #punt(punt: LoopPunt, desk: CallDesk, now: number): void {
    if (punt.kind === 'access-ppp') desk.accessPpp(punt.slot, punt.bytes, now);
    else if (punt.kind === 'discovery' || punt.kind === 'unknown-access') {
      const port = this.#ports[punt.access];
      if (port !== undefined) desk.frame(punt.bytes, port, now);
    }
  }

  #event(event: L2tpEvent, desk: CallDesk, switchover: LacSwitchover | null, now: number): void {
    if (event.type === 'tunnel-up') this.events.emit('tunnel-established', tunnelFacts(event.tunnel));
    if (event.type === 'tunnel-down') {
      const { by, result, error, message } = event;
      this.#o.logger.info({ ...tunnelFacts(event.tunnel), by, result, error, message }, 'a tunnel ended');
      this.events.emit('tunnel-closed', { ...tunnelFacts(event.tunnel), reason: by, result, error });
    }
    if (switchover?.event(event, now) === true) return;
    desk.event(event, now);
  }

  ready(): boolean {
    return this.#isRunning && this.#fatal === null;
  }

  unhealthy(): string | null {
    return this.#fatal ?? (this.#isRunning ? null : 'not started');
  }

  metrics(): readonly MetricReading[] {
    return lacMetrics(this.#parts);
  }

  /** Whatever is said about calls and LNSs holds for calls to come; what is open already stays. */
  async reload(): Promise<ReloadResult> {
    const { file, shownAs } = this.#o;
    let content: string;
    try {
      content = readFileSync(file, 'utf8');
    } catch (error) {
      const message = `cannot be read: ${(error as NodeJS.ErrnoException).code}`;
      const problem = { severity: 'error', file: shownAs, line: 0, column: 0, path: '', message } as const;
      return { ok: false, problems: [problem], changes: [] };
    }
    const { config, problems } = parseLacConfig(shownAs, content);
    if (config === null) return { ok: false, problems, changes: [] };
    const fixed = FIXED.filter((key) => JSON.stringify(config[key]) !== JSON.stringify(this.#config[key]));
    if (fixed.length > 0) {
      const message = `${fixed.join(', ')} cannot change while calls are open: restart`;
      const problem = { severity: 'error', file: shownAs, line: 0, column: 0, path: fixed[0], message } as const;
      return { ok: false, problems: [...problems, problem], changes: [] };
    }
    let book: TargetBook;
    try {
      book = new TargetBook(config, tunnelSecretOf);
    } catch (error) {
      const message = error instanceof DesignatorError ? error.message : String(error);
      const problem = { severity: 'error', file: shownAs, line: 0, column: 0, path: 'lns', message } as const;
      return { ok: false, problems: [...problems, problem], changes: [] };
    }
    const changes = (Object.keys(config) as (keyof LacConfig)[]).filter(
      (key) => JSON.stringify(config[key]) !== JSON.stringify(this.#config[key]),
    );
    this.#config = config;
    this.#book = book;
    this.#parts.desk.configure(config, book);
    this.#parts.keeper.configure(config);
    this.events.emit('reload', { ok: true });
    return { ok: true, problems, changes };
  }

  /** Tells LNSs and clients, and waits a moment for the former to hear it. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    const { desk, endpoint, loop, radius } = this.#parts;
    const now = this.#clock();
    for (const call of [...desk.calls.values()])
      desk.end(call, 'shutdown', 'the concentrator goes out of service', now);
    for (const tunnel of [...endpoint.tunnels.values()]) tunnel.stop(STOP_RESULT.shutdown);
    loop.flush();
    const until = performance.now() + CLOSING_MS;
    while (!endpoint.quiet && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, CLOSING_POLL_MS));
    loop.stop();
    await radius?.stop(0);
    await this.#plane?.stop();
  }

  #fail(error: Error): void {
    this.#fatal = error.message;
    this.#o.onFatal(error);
  }
}

/** What the data path is to a LAC. */
type LacPlane = CallPlane & LoopPlane;

export interface LacParts {
  /** null: not open yet. */
  readonly plane: () => TunnelPlane | null;
  readonly endpoint: L2tpEndpoint;
  readonly keeper: TunnelKeeper;
  readonly access: PppoeAccess;
  readonly desk: CallDesk;
  readonly loop: EndpointLoop;
  readonly radius: RadiusService | null;
  readonly switchover: LacSwitchover | null;
}

const FIXED = ['name', 'listen', 'pppoe', 'buffer', 'switchover', 'radius', 'control', 'workers', 'logLevel'] as const;

function facts(call: LacCall): Record<string, string | number | null> {
  const { pppoe, user, session, target } = call;
  return {
    client: pppoe.client,
    clientPort: `${pppoe.port.name}:${pppoe.id}`,
    user,
    lns: target?.name ?? null,
    tunnel: session?.tunnel.localId ?? null,
    session: session?.localId ?? null,
  };
}

function tunnelFacts(tunnel: L2tpTunnel): Record<string, string | number | null> {
  const note = tunnel.userData as TunnelNote | null;
  return {
    lns: note?.target.name ?? null,
    farEnd: `${tunnel.peer.address}:${tunnel.peer.port}`,
    farEndHostName: tunnel.hostName,
    tunnel: tunnel.localId,
    farEndTunnel: tunnel.peerId,
  };
}

/** Unpredictable bytes without a system call for each handful. */
function randomBytes(): (length: number) => Uint8Array {
  const pool = new Uint8Array(RANDOM_POOL);
  let used = pool.length;
  return (length) => {
    if (length > pool.length) return randomFillSync(new Uint8Array(length));
    if (used + length > pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += length;
    return pool.slice(used - length, used);
  };
}
