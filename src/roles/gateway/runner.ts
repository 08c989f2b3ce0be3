/**
 * One group of this process: its engine between the port of the host and the clock. One turn a batch of frames, a timer or
 * a command: what the engine wants done to virtual MACs is done first, then its frames leave in one call, in its order.
 */
import type { GatewayGroupConfig } from '../../config/gateway.js';
import { changedKeys } from '../../config/gateway-diff.js';
import { DesignatorError } from '../../errors.js';
import { type Mac, macBytes, macText, messagesMac, readMac, virtualMac } from '../../gateway/mac.js';
import type { CommandResult, GatewayEvent, Tracking } from '../../gateway/types.js';
import type {
  GatewayPort,
  GatewayPortOptions,
  HostProblem,
  HostTrouble,
  LanFrames,
  LinkState,
} from '../../io/gateway-types.js';
import type { Logger } from '../../ops/log.js';
import type { AddressWords } from '../../wire/address.js';
import { GATEWAY_ETHERTYPE } from '../../wire/gateway-message.js';
import { type EngineHost, engineOf, type GroupEngine, LIVE_KEYS, schemeOf, settingsOf } from './group-options.js';
import { TrafficRates } from './load.js';
import { TrackKeeper, type TrackState, type TrackWorld } from './tracking.js';

/** After the good-bye: heirs hold the virtual MACs within milliseconds, on a busy machine within tens. */
const LINGER_SECONDS = 0.2;
/** Timers of the event loop are no finer. */
const LEAST_MS = 1;
const LONGEST_MS = 60_000;
/** A turn makes output, which may be due at once again; beyond this the rest waits for the next turn. */
const ROUNDS = 8;

/** A device takes about a millisecond to make, and as long as somebody else changes the kernel's networks. */
const PREPARED_AT_ONCE = 2;

/** What the group needs of the host; a test may be it. */
export interface RunnerWorld extends TrackWorld {
  /** Errors: DesignatorError. */
  openPort(options: GatewayPortOptions): Promise<GatewayPort>;
  problems(device: string, addresses: readonly AddressWords[], forwarding: 'macvlan' | 'none'): HostProblem[];
  addressesOf(index: number): Promise<readonly AddressWords[]>;
  /** Monotonic seconds. */
  now(): number;
  random(length: number): Uint8Array;
  /** Share of processor time, 0 … 1. */
  processor(): number;
  /** The bytes of a group's key. Errors: TD_CONFIG. */
  keyOf(config: GatewayGroupConfig): Uint8Array;
}

export interface RunnerHooks {
  readonly logger: Logger;
  event(group: string, event: GatewayEvent): void;
  tracked(group: string, state: TrackState, tracking: Tracking): void;
  trouble(group: string, trouble: HostTrouble): void;
  /** After a turn in which virtual MACs or the state of the group changed. */
  turned?(group: string): void;
  /** A bug, or a host that cannot be worked with: the process is to end. */
  failed(error: unknown): void;
}

/** A frame of a member of the group, by its EtherType. */
function isMessage(frame: Uint8Array): boolean {
  return frame.length > 14 && ((frame[12] << 8) | frame[13]) === GATEWAY_ETHERTYPE;
}

export class GroupRunner {
  config: GatewayGroupConfig;
  /** Since `start`. */
  group!: GroupEngine;
  port!: GatewayPort;
  turns = 0;
  readonly #world: RunnerWorld;
  readonly #hooks: RunnerHooks;
  readonly #rates = new TrafficRates();
  #tracks: TrackKeeper;
  #timer: NodeJS.Timeout | null = null;
  /** What the timer waits for. */
  #due = 0;
  #started = false;
  #stopped = false;
  #engineHost: Omit<EngineHost, 'mac'> | null = null;
  /** Virtual MACs whose devices were made in advance. */
  readonly #prepared = new Set<number>();
  /** Of the interface, as the engine has it. */
  #mac = '';
  #load = 0;
  #unable: readonly string[] = [];
  /** Troubles of the host that last, by what they are of. */
  readonly #troubles = new Map<HostTrouble['what'], string>();

  constructor(config: GatewayGroupConfig, world: RunnerWorld, hooks: RunnerHooks) {
    this.config = config;
    this.#world = world;
    this.#hooks = hooks;
    this.#tracks = this.#newTracks();
  }

  get name(): string {
    return this.config.name;
  }

  /** Errors: TD_CONFIG no such interface, or no key; TD_CONFLICT; TD_NO_PERMISSION; TD_UNAVAILABLE what the host lacks. */
  async start(): Promise<void> {
    const { config } = this;
    const world = this.#world;
    const key = world.keyOf(config);
    this.#refuseProblems(world.problems(config.device, config.addresses, 'macvlan'));
    this.port = await world.openPort({
      device: config.device,
      group: config.group,
      addresses: config.addresses,
      messages: macBytes(messagesMac(config.group)),
      virtualMac: macBytes(virtualMac(schemeOf(config), config.group, 0)),
      accept: config.accept,
      forwarding: 'macvlan',
      glbp: config.glbp !== null,
      onFrames: (frames) => this.#guarded(() => this.#take(frames)),
      onLink: (link) => this.#guarded(() => this.#linked(link)),
      onTrouble: (trouble) => this.#troubled(trouble),
    });
    const { index } = this.port.link;
    const ownAddress = await this.#ownAddress(index);
    this.#engineHost = { ownAddress, key, random: (length) => world.random(length) };
    this.#begin();
    this.#started = true;
    this.#tracks.start();
    this.measure();
  }

  /** A new engine, for the interface as it is now. */
  #begin(): void {
    const { mac, up } = this.port.link;
    const now = this.#world.now();
    this.#mac = macText(readMac(mac));
    this.group = engineOf(this.config, { ...(this.#engineHost as EngineHost), mac }, now);
    this.group.setLink(up, now);
    this.group.setTracking(this.tracking(), now);
    this.#settle(now);
  }

  /**
   * Says good-bye, lets go of everything. Switches bring the hosts' frames here until the heirs have spoken, so that the
   * kernel goes on forwarding them for a moment.
   */
  async stop(): Promise<void> {
    this.#tracks.stop();
    const leaves = this.running;
    if (leaves) {
      this.group.stop(this.#world.now());
      this.#drain(false);
    }
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (leaves) await new Promise<void>((done) => void this.#world.after(LINGER_SECONDS, done));
    await this.port?.close();
  }

  get running(): boolean {
    return this.#started && !this.#stopped;
  }

  /** What is wrong with the host at this group, or null. */
  trouble(): string | null {
    for (const text of this.#troubles.values()) return text;
    return null;
  }

  tracks(): TrackState[] {
    return this.#tracks.states();
  }

  /** Why the role itself cannot forward, besides what is tracked; none: it can. May come before the start. */
  setAble(reasons: readonly string[]): void {
    if (reasons.join('\n') === this.#unable.join('\n')) return;
    this.#unable = [...reasons];
    if (this.running) this.#guarded(() => this.#act((now) => this.group.setTracking(this.tracking(), now)));
  }

  /** What is tracked and what the role says of itself, together. */
  tracking(): Tracking {
    const tracked = this.#tracks.tracking();
    const reasons = [...this.#unable, ...tracked.reasons];
    return { ...tracked, able: tracked.able && this.#unable.length === 0, reasons };
  }

  /** Takes the counters of the virtual MACs and tells the engine the load; at a steady pace. */
  measure(): void {
    if (!this.running) return;
    this.#guarded(() => {
      const now = this.#world.now();
      const load = this.#rates.look(this.port.traffic(), now, this.#world.processor(), this.config.capacity);
      this.#load = load.share;
      this.group.setLoad(load, now);
      this.#settle(now);
      this.#prepare(now);
    });
  }

  /** Has the devices of other members' virtual MACs made before they are needed: at a take-over they only go up. */
  #prepare(now: number): void {
    const missing = this.group.forwarders(now).filter(({ number, held }) => !held && !this.#prepared.has(number));
    for (const { number, mac } of missing.slice(0, PREPARED_AT_ONCE)) {
      this.#prepared.add(number);
      this.port.apply([{ kind: 'let-go', number, mac: macBytes(mac) }]);
    }
  }

  /** Links, addresses or routes of the host have changed. */
  hostChanged(): void {
    this.#tracks.hostChanged();
  }

  /** Can this configuration be taken without beginning anew? */
  canTake(next: GatewayGroupConfig): boolean {
    return changedKeys(this.config, next).every(
      (key) => LIVE_KEYS.has(key) || (key === 'hosts' && next.hosts.limit === this.config.hosts.limit),
    );
  }

  /** Does the group run with this key? */
  hasKey(key: Uint8Array): boolean {
    return this.#engineHost !== null && Buffer.compare(this.#engineHost.key, key) === 0;
  }

  /** `next`: of which `canTake` holds. */
  take(next: GatewayGroupConfig): void {
    const tracksChanged = changedKeys(this.config, next).includes('track');
    this.config = next;
    const now = this.#world.now();
    this.group.configure(settingsOf(next), now);
    if (tracksChanged) {
      this.#tracks.stop();
      this.#tracks = this.#newTracks();
      this.group.setTracking(this.tracking(), now);
      this.#tracks.start();
    }
    this.#settle(now);
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  resign(): CommandResult {
    return this.#act((now) => this.group.resign(now));
  }

  move(host: Mac | null, to: number): CommandResult {
    return this.#act((now) => this.group.move(host, to, now));
  }

  declareDead(number: number): CommandResult {
    return this.#act((now) => this.group.declareDead(number, now));
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #take(frames: LanFrames): void {
    if (!this.running) return;
    // What members say first: of what waited together nothing is answered that another has taken over by now.
    for (const members of [true, false]) {
      for (let index = 0; index < frames.count; index++) {
        const frame = frames.frame(index);
        if (isMessage(frame) === members) this.group.receive(frame, frames.now, frames.arrived(index));
      }
    }
    this.#settle(frames.now);
  }

  #act<T>(act: (now: number) => T): T {
    const now = this.#world.now();
    const result = act(now);
    this.#settle(now);
    return result;
  }

  #settle(now: number): void {
    this.turns++;
    for (let round = 0; round < ROUNDS && this.group.nextTime <= now; round++) this.group.tick(now);
    this.#drain();
    this.#arm();
  }

  /** `hold`: what is to be held and let go of is; else it stays as it is. */
  #drain(hold = true): void {
    const { frames, actions, events } = this.group.output();
    // A virtual MAC is held before a frame tells the switches where it is.
    if (hold && actions.length > 0) this.port.apply(actions);
    if (frames.length > 0) this.port.send(frames);
    for (const event of events) this.#hooks.event(this.name, event);
    if (actions.length > 0 || events.length > 0) this.#hooks.turned?.(this.name);
  }

  #arm(): void {
    const next = this.group.nextTime;
    // A timer that comes too early looks again; that is cheaper than another timer for every frame.
    if (this.#timer !== null && this.#due <= next && !this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#stopped || next === Number.POSITIVE_INFINITY) return;
    this.#due = next;
    const wait = Math.min(LONGEST_MS, Math.max(LEAST_MS, Math.ceil((next - this.#world.now()) * 1000)));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#guarded(() => this.#settle(this.#world.now()));
    }, wait);
  }

  #linked(link: LinkState): void {
    if (!this.running) return;
    // An interface that went away and came back may be another one: whoever has another MAC is another station.
    if (link.present && macText(readMac(link.mac)) !== this.#mac) return this.#begin();
    this.#act((now) => this.group.setLink(link.up, now));
  }

  #troubled(trouble: HostTrouble): void {
    if (trouble.ok) this.#troubles.delete(trouble.what);
    else this.#troubles.set(trouble.what, trouble.text);
    this.#hooks.trouble(this.name, trouble);
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#hooks.failed(error);
    }
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #newTracks(): TrackKeeper {
    const world: TrackWorld = { ...trackWorld(this.#world), load: () => this.#load };
    return new TrackKeeper(this.config.track, world, (_tracking, changed) => {
      if (!this.running) return;
      this.#hooks.tracked(this.name, changed, this.tracking());
      this.#guarded(() => this.#act((now) => this.group.setTracking(this.tracking(), now)));
    });
  }

  #refuseProblems(problems: readonly HostProblem[]): void {
    const { logger } = this.#hooks;
    for (const { severity, text, remedy } of problems)
      if (severity === 'warning') logger.warn({ group: this.name, remedy }, text);
    const fatal = problems.find(({ severity }) => severity === 'fatal');
    if (fatal === undefined) return;
    const code = fatal.permission ? 'TD_NO_PERMISSION' : 'TD_UNAVAILABLE';
    throw new DesignatorError(code, `group ${this.name}: ${fatal.text}: ${fatal.remedy}`, { group: this.name });
  }

  /** The address that breaks ties, not a shared one: of the family of the first shared address if there is one. */
  async #ownAddress(index: number): Promise<AddressWords | null> {
    const shared = new Set(this.config.addresses.map(String));
    const own = (await this.#world.addressesOf(index)).filter((words) => !shared.has(String(words)));
    const isIpv4 = (words: AddressWords): boolean => words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
    const wanted = isIpv4(this.config.addresses[0]);
    return own.find((words) => isIpv4(words) === wanted) ?? own[0] ?? null;
  }
}

function trackWorld(world: RunnerWorld): TrackWorld {
  return {
    interfaceUp: (device) => world.interfaceUp(device),
    routesTo: (prefixes) => world.routesTo(prefixes),
    run: (command, seconds) => world.run(command, seconds),
    load: () => world.load(),
    after: (seconds, act) => world.after(seconds, act),
  };
}
