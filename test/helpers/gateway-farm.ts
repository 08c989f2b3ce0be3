/**
 * Gateways of one group and hosts on a simulated segment, and what an onlooker who sees everything can say about them:
 * who answers, which host has no living forwarder and for how long, whether the tables agree.
 */
import { GatewayGroup } from '../../src/gateway/group.js';
import { forwarderOf, type Mac, macText, readMac, virtualMac } from '../../src/gateway/mac.js';
import { type GatewayEvent, GROUP_DEFAULTS, type GroupOptions, type Tracking } from '../../src/gateway/types.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import { type HostOptions, ModelHost, TOLD } from './gateway-host.js';
import { isV4, readNeighbour, sameAddress } from './gateway-neighbours.js';
import { type LinkFaults, type Port, Segment, type SegmentOptions, type Station } from './gateway-segment.js';
import { randomOf } from './seeded-random.js';

export const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
export const SHARED = words('10.7.0.254');
export const SHARED6 = words('fe80::7:fe');
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1);
/** What a gateway without trouble is told. */
const WELL: Tracking = { priorityLoss: 0, weightLoss: 0, able: true, reasons: [] };

/** One machine: the engine, and its kernel, which holds virtual MACs and forwards. */
export class GatewayStation implements Station {
  readonly port: Port;
  engine: GatewayGroup;
  /** Does the process run? The kernel forwards without it. */
  running = true;
  /** Can it forward: its way out is up. */
  upstream = true;
  /** Virtual MACs that its kernel takes frames for. */
  readonly held = new Map<Mac, { number: number; serve: boolean }>();
  readonly events: GatewayEvent[] = [];
  /** Of its port. */
  readonly mac: Mac;
  #starts = 0;

  constructor(
    readonly farm: GatewayFarm,
    readonly number: number,
    readonly overrides: Partial<GroupOptions>,
    faults: Partial<LinkFaults> = {},
  ) {
    this.mac = 0x020000000000 + 0x10000 + number;
    this.engine = this.#start();
    this.port = farm.segment.attach(this, faults);
    this.flush();
  }

  #start(): GatewayGroup {
    const random = randomOf(this.farm.seed * 1000 + this.number * 37 + this.#starts++);
    return new GatewayGroup({
      ...GROUP_DEFAULTS,
      name: 'lan',
      group: 7,
      number: this.number,
      mac: Uint8Array.of(2, 0, 0, 1, 0, this.number),
      ownAddress: words(`10.7.0.${this.number}`),
      addresses: [SHARED],
      key: KEY,
      random: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)),
      ...this.farm.options.group,
      ...this.overrides,
    });
  }

  /** A gateway takes everything that the switch brings: the tap of a veth sees frames for others as well. */
  accepts(): boolean {
    return true;
  }

  get nextTime(): number {
    return this.running ? this.engine.nextTime : Number.POSITIVE_INFINITY;
  }

  receive(frame: Uint8Array, now: number, arrived: number): void {
    if (!this.running) return;
    this.engine.receive(frame, now, arrived);
    this.flush();
  }

  tick(now: number): void {
    if (!this.running) return;
    this.engine.tick(now);
    this.flush();
  }

  /** Does what the engine asks for; after every turn. */
  flush(): void {
    const { frames, actions, events } = this.engine.output();
    for (const { kind, number, mac, serve } of actions) {
      if (kind === 'hold') this.held.set(readMac(mac), { number, serve });
      else this.held.delete(readMac(mac));
    }
    for (const frame of frames) this.port.send(frame);
    this.events.push(...events);
    this.port?.schedule();
  }

  /** Something is done to the engine from outside: commands, tracking, load. */
  turn<T>(what: (engine: GatewayGroup, now: number) => T): T {
    const result = what(this.engine, this.farm.segment.now);
    this.flush();
    return result;
  }

  /** The machine is dead: process, kernel and link. */
  die(): void {
    this.running = false;
    this.held.clear();
    this.port.setUp(false);
  }

  /** kill −9 of the process: the kernel goes on with what it had. */
  killProcess(): void {
    this.running = false;
  }

  /** SIGTERM. */
  stopCleanly(): void {
    this.turn((engine, now) => engine.stop(now));
    this.running = false;
    this.held.clear();
  }

  /** A new process on this machine, link up. */
  restart(): void {
    if (this.port.stopped) this.port.resume();
    this.port.setUp(true);
    this.held.clear();
    this.engine = this.#start();
    this.running = true;
    this.flush();
  }

  linkDown(): void {
    this.port.setUp(false);
    if (this.running) this.turn((engine, now) => engine.setLink(false, now));
  }

  linkUp(): void {
    this.port.setUp(true);
    if (this.running) this.turn((engine, now) => engine.setLink(true, now));
  }

  /** Its way out fails or is back; tracking says so at once. */
  setUpstream(up: boolean): void {
    this.upstream = up;
    if (!this.running) return;
    const tracking = up ? WELL : { ...WELL, able: false, reasons: ['interface wan0 is down'] };
    this.turn((engine, now) => engine.setTracking(tracking, now));
  }

  get state(): string {
    return this.engine.status(this.farm.segment.now).state;
  }

  /** Master in its own eyes, and able to say so. */
  get isMaster(): boolean {
    return this.running && !this.port.stopped && this.port.up && this.state === 'master';
  }

  /** Would a packet for this MAC that reaches the port be forwarded? */
  forwards(mac: Mac): boolean {
    return this.port.up && this.upstream && this.held.has(mac);
  }

  vmac(number = this.number): Mac {
    return virtualMac(
      this.overrides.scheme ?? this.farm.options.group?.scheme ?? 'local',
      this.overrides.group ?? 7,
      number,
    );
  }
}

export interface FarmOptions extends SegmentOptions {
  readonly gateways?: number;
  readonly hosts?: number;
  /** Options of every member; `each` of one of them. */
  readonly group?: Partial<GroupOptions>;
  readonly each?: (number: number) => Partial<GroupOptions>;
  readonly gatewayFaults?: Partial<LinkFaults>;
  /** Hosts wake up within so many seconds from `hostsFrom`. Default: 1 s from 1 s on. */
  readonly hostsFrom?: number;
  readonly hostsWithin?: number;
  readonly host?: Partial<HostOptions>;
  readonly ipv6?: boolean;
}

export class GatewayFarm {
  readonly segment: Segment;
  readonly gateways: GatewayStation[] = [];
  readonly hosts: ModelHost[] = [];
  readonly seed: number;

  constructor(readonly options: FarmOptions = {}) {
    this.seed = options.seed ?? 1;
    this.segment = new Segment(options);
    for (let i = 1; i <= (options.gateways ?? 3); i++) this.addGateway(i);
    for (let i = 0; i < (options.hosts ?? 0); i++) this.addHost();
  }

  addGateway(number: number, overrides: Partial<GroupOptions> = {}): GatewayStation {
    const gateway = new GatewayStation(
      this,
      number,
      { ...this.options.each?.(number), ...overrides },
      this.options.gatewayFaults,
    );
    this.gateways.push(gateway);
    return gateway;
  }

  addHost(overrides: Partial<HostOptions> = {}): ModelHost {
    const index = this.hosts.length + 1;
    const { options, segment } = this;
    const six = options.ipv6 === true;
    const host = new ModelHost(segment, {
      mac: 0x020000100000 + index,
      address: six ? words(`fe80::1:${index.toString(16)}`) : [0, 0, 0xffff, (0x0a070000 + 0x100 + index) >>> 0],
      gateway: six ? SHARED6 : (options.group?.addresses?.[0] ?? SHARED),
      startAt: Math.max(segment.now, (options.hostsFrom ?? 1) + segment.random() * (options.hostsWithin ?? 1)),
      ...options.host,
      ...overrides,
    });
    this.hosts.push(host);
    return host;
  }

  get now(): number {
    return this.segment.now;
  }

  run(seconds: number): this {
    this.segment.runFor(seconds);
    return this;
  }

  /** The gateway with this number. */
  gateway(number: number): GatewayStation {
    const gateway = this.gateways.find((one) => one.number === number);
    if (gateway === undefined) throw new Error(`no gateway ${number}`);
    return gateway;
  }

  get masters(): GatewayStation[] {
    return this.gateways.filter((gateway) => gateway.isMaster);
  }

  /** The one master; throws when there is none or there are two. */
  get master(): GatewayStation {
    const { masters } = this;
    if (masters.length !== 1)
      throw new Error(`masters at ${this.now}: ${masters.map(({ number }) => number).join(', ') || 'none'}`);
    return masters[0];
  }

  get living(): GatewayStation[] {
    return this.gateways.filter(({ running, port }) => running && port.up && !port.stopped);
  }

  /** Who would forward a packet of this host now. */
  serversOf(host: ModelHost, mac: Mac | null = host.gatewayMac): GatewayStation[] {
    if (mac === null) return [];
    const ports = this.segment.route(host.port, mac);
    return this.gateways.filter(
      (gateway) =>
        ports.includes(gateway.port) && gateway.forwards(mac) && !this.segment.isCut(host.port, gateway.port),
    );
  }

  /** Number of the forwarder in the host's cache; 0: none. */
  forwarderOf(host: ModelHost): number {
    return host.gatewayMac === null ? 0 : forwarderOf(this.options.group?.scheme ?? 'local', 7, host.gatewayMac);
  }

  /** Hosts by forwarder, as the hosts' own caches say. */
  shares(): Map<number, number> {
    const shares = new Map<number, number>();
    for (const host of this.hosts) {
      const number = this.forwarderOf(host);
      shares.set(number, (shares.get(number) ?? 0) + 1);
    }
    return shares;
  }

  /** A gateway's host table as text, for comparisons: MAC and forwarder of each, sorted. */
  table(gateway: GatewayStation): string {
    return gateway.engine
      .hosts(this.now)
      .map(({ mac, forwarder }) => `${macText(mac)} ${forwarder}`)
      .sort()
      .join('\n');
  }

  /** How many different tables the living gateways have. */
  tables(): number {
    return new Set(this.living.map((gateway) => this.table(gateway))).size;
  }
}

/** A reply to a host that asked for the shared address, as the switch saw it. */
export interface SeenReply {
  readonly at: number;
  /** Whose port it came from. */
  readonly from: Port;
  readonly to: Mac;
  /** MAC that the reply names, and the Ethernet source of the frame. */
  readonly mac: Mac;
  readonly source: Mac;
}

/** Watches the replies for an address: who sent them, and how many each host got. Chains to an earlier watcher. */
export function watchReplies(farm: GatewayFarm, address: AddressWords = SHARED): SeenReply[] {
  const seen: SeenReply[] = [];
  /** Gratuitous requests to a host: the reply behind one is no answer. */
  const told = new Map<Mac, { mac: Mac; at: number }>();
  const { segment } = farm;
  const earlier = segment.onFrame;
  segment.onFrame = (frame, from, at) => {
    earlier?.(frame, from, at);
    const heard = readNeighbour(frame);
    if (heard?.kind !== 'tell' || !sameAddress(heard.address, address)) return;
    if (isV4(address) && heard.override) told.set(readMac(frame), { mac: heard.mac, at });
    if (!heard.reply || (isV4(address) && heard.override)) return;
    const to = readMac(frame);
    const before = told.get(to);
    told.delete(to);
    if (before !== undefined && before.mac === heard.mac && at - before.at < TOLD) return;
    seen.push({ at, from, to, mac: heard.mac, source: readMac(frame, 6) });
  };
  return seen;
}

/**
 * How long each virtual MAC that some host uses was without a living forwarder at a time. Looks every `step`; hosts that
 * cannot reach any gateway at all are left out.
 */
export class OutageWatch {
  /** Longest outage, and which MAC. */
  longest = 0;
  longestMac: Mac = 0;
  longestAt = 0;
  /** Looks at which more than one gateway would have forwarded one packet. */
  doubled = 0;
  looks = 0;
  /** By switch and MAC: since when nobody serves it, and one host that uses it. */
  readonly #since = new Map<number, number>();
  readonly #used = new Map<number, ModelHost>();
  #disturbedAt = 0;
  #on = true;

  constructor(
    readonly farm: GatewayFarm,
    readonly step = 0.01,
  ) {
    const look = (now: number): void => {
      if (!this.#on) return;
      this.#look(now);
      farm.segment.at(now + step, look);
    };
    farm.segment.at(farm.now, look);
  }

  stop(): this {
    this.#on = false;
    return this;
  }

  /** New trouble: what is out of service already has the whole time again. */
  disturbed(): void {
    this.#disturbedAt = this.farm.now;
  }

  #look(now: number): void {
    this.looks++;
    this.#used.clear();
    for (const host of this.farm.hosts) {
      const { gatewayMac, port } = host;
      if (gatewayMac !== null && port.up) this.#used.set(port.switch * 2 ** 48 + gatewayMac, host);
    }
    for (const key of this.#since.keys()) if (!this.#used.has(key)) this.#since.delete(key);
    // What one host of a switch finds for a MAC, all of them find.
    for (const [key, host] of this.#used) {
      const servers = this.farm.serversOf(host).length;
      if (servers > 1) this.doubled++;
      if (servers > 0) this.#since.delete(key);
      else this.#out(key, host.gatewayMac as Mac, now);
    }
  }

  #out(key: number, mac: Mac, now: number): void {
    const known = this.#since.get(key) ?? now;
    this.#since.set(key, known);
    const since = Math.max(known, this.#disturbedAt);
    if (now - since <= this.longest) return;
    this.longest = now - since;
    this.longestMac = mac;
    this.longestAt = since;
  }
}
