/**
 * A farm in virtual time: the whole pipeline without a network, health in the main thread's place, and clients and
 * servers that keep a control connection as RFC 2661 §5.8 wants it, over ways that lose packets by a seeded chance.
 */
import type { ServerStateChange } from '../../src/designation/server-states.js';
import type { ServerStates } from '../../src/designation/server-states.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import type { ShardMessage } from '../../src/dataplane/plan.js';
import { HealthKeeper } from '../../src/roles/designator/health-keeper.js';
import type { ProbeHost } from '../../src/roles/designator/probe-host.js';
import { type L2tpMessage, readMessage } from '../../src/tunnels/l2tp/message.js';
import { INSIDE_MAC, MemoryAppliance } from './memory-appliance.js';
import { hello, l2tpData, scccn, sccrp, sccrq, udpFrame, viewOf, zlb } from './packet-builder.js';

const STEP = 0.02;
/** RFC 2661 §5.8. */
const TRIES = 6;
const retryAfter = (tries: number): number => Math.min(2 ** (tries - 1), 8);
const TYPE = { SCCRQ: 1, SCCRP: 2, SCCCN: 3, StopCCN: 4, Hello: 6 } as const;

export interface FarmOptions {
  readonly servers: number;
  /** Tunnels, each of a client address of its own unless `clients` says how many addresses there are. */
  readonly tunnels: number;
  readonly clients?: number;
  readonly seed: number;
  /** Chance that a packet is lost between client and designator, and between designator and server, each way. */
  readonly lossOutside?: number;
  readonly lossInside?: number;
  /** Seconds between a tunnel's Hellos, and between its data; 0 none. */
  readonly helloEvery?: number;
  readonly dataEvery?: number;
  /** Below `health:` of the configuration. */
  readonly health?: string;
  readonly algorithm?: string;
  /** Answers go from the servers to the clients, past the designator (`reply: direct`), and the clients follow. */
  readonly direct?: boolean;
  /** Tunnels that the table holds. Default 1024. */
  readonly connections?: number;
  /** A client whose tunnel was ended dials again. Default true. */
  readonly redial?: boolean;
}

/** One end of a control connection. */
class Dialogue {
  ns = 0;
  nr = 0;
  waiting: { build: (ns: number, nr: number) => Uint8Array; ns: number; tries: number; at: number } | null = null;

  say(now: number, build: (ns: number, nr: number) => Uint8Array): Uint8Array {
    this.waiting = { build, ns: this.ns++ & 0xffff, tries: 1, at: now + retryAfter(1) };
    return build(this.waiting.ns, this.nr);
  }

  /** What a message says about numbers; false for one that was had before or comes too early. */
  hear(message: L2tpMessage): boolean {
    if (this.waiting !== null && ((message.nr - this.waiting.ns) & 0xffff) === 1) this.waiting = null;
    if (message.type < 0) return true;
    if (message.ns !== this.nr) return false;
    this.nr = (this.nr + 1) & 0xffff;
    return true;
  }

  /** Bytes to send again now; null: nothing yet; 'given up'. */
  due(now: number): Uint8Array | null | 'given up' {
    const { waiting } = this;
    if (waiting === null || now < waiting.at) return null;
    if (waiting.tries >= TRIES) return 'given up';
    waiting.tries++;
    waiting.at = now + retryAfter(waiting.tries);
    return waiting.build(waiting.ns, this.nr);
  }
}

export class SimulatedClient {
  dialogue = new Dialogue();
  id = 0;
  serverId = 0;
  state: 'idle' | 'dialling' | 'established' = 'idle';
  helloAt = 0;
  dataAt = 0;
  dialAt: number;
  /** When it was told by a StopCCN that its tunnel has ended: time, result, error. */
  readonly told: { at: number; result: number; error: number }[] = [];
  readonly establishedAt: number[] = [];
  gaveUp = 0;

  constructor(
    readonly farm: Farm,
    readonly address: string,
    readonly port: number,
    dialAt: number,
  ) {
    this.dialAt = dialAt;
  }

  /** Where what it says goes: to whom has answered, where answers come from elsewhere. */
  peer = Farm.VIP;

  dial(): void {
    const { farm } = this;
    this.peer = Farm.VIP;
    this.dialogue = new Dialogue();
    this.serverId = 0;
    this.state = 'dialling';
    this.id = farm.nextId();
    const assigned = this.id;
    this.send(this.dialogue.say(farm.now, (ns, nr) => sccrq({ assigned, ns, nr })));
  }

  send(payload: Uint8Array): void {
    const { farm } = this;
    const frame = udpFrame(`${this.address}:${this.port}`, `${this.peer}:1701`, payload);
    if (this.peer === Farm.VIP) farm.fromClient(frame);
    else farm.toServer(frame);
  }

  receive(message: L2tpMessage, from: string): void {
    const { farm, dialogue } = this;
    if (message.tunnel !== this.id || this.state === 'idle') return;
    this.peer = from;
    const isNew = dialogue.hear(message);
    if (message.type < 0) return;
    if (isNew && message.type === TYPE.StopCCN) {
      const value = message.avps.find((avp) => avp.type === 1)?.value as { result: number; error?: number };
      this.told.push({ at: farm.now, result: value.result, error: value.error ?? 0 });
      this.acknowledge();
      this.state = 'idle';
      this.dialAt = farm.options.redial === false ? Number.POSITIVE_INFINITY : farm.now + 0.1;
      return;
    }
    if (isNew && message.type === TYPE.SCCRP && this.state === 'dialling') {
      const tunnel = Number(message.avps.find((avp) => avp.type === 9)?.value);
      this.serverId = tunnel;
      this.state = 'established';
      this.establishedAt.push(farm.now);
      this.helloAt = farm.now + farm.random() * (farm.options.helloEvery ?? 0);
      this.dataAt = farm.now;
      this.send(dialogue.say(farm.now, (ns, nr) => scccn({ tunnel, ns, nr })));
      return;
    }
    this.acknowledge();
  }

  acknowledge(): void {
    this.send(zlb({ tunnel: this.serverId, ns: this.dialogue.ns & 0xffff, nr: this.dialogue.nr }));
  }

  step(): void {
    const { farm, dialogue } = this;
    const { helloEvery = 0, dataEvery = 0 } = farm.options;
    if (this.state === 'idle') {
      if (farm.now >= this.dialAt) this.dial();
      return;
    }
    const due = dialogue.due(farm.now);
    if (due === 'given up') {
      this.gaveUp++;
      this.state = 'idle';
      this.dialAt = farm.now + 0.1;
      return;
    }
    if (due !== null) this.send(due);
    if (this.state !== 'established') return;
    if (helloEvery > 0 && farm.now >= this.helloAt && dialogue.waiting === null) {
      this.helloAt = farm.now + helloEvery;
      const tunnel = this.serverId;
      this.send(dialogue.say(farm.now, (ns, nr) => hello({ tunnel, ns, nr })));
    }
    if (dataEvery > 0 && farm.now >= this.dataAt) {
      this.dataAt = farm.now + dataEvery;
      this.send(l2tpData({ tunnel: this.serverId, session: 1 }));
    }
  }
}

export class SimulatedServer {
  /** Neither hears nor speaks. */
  dead = false;
  /** By client endpoint and the client's id, and by its own id. */
  tunnels = new Map<string, SimulatedTunnel>();
  byId = new Map<number, SimulatedTunnel>();
  requests = 0;
  stopped: number[] = [];
  #next: number;

  constructor(
    readonly farm: Farm,
    readonly address: string,
    index: number,
  ) {
    this.#next = index * 4096 + 1;
  }

  /** Forgets everything and says nothing of it. */
  reboot(): void {
    this.dead = false;
    this.tunnels = new Map();
    this.byId = new Map();
  }

  receive(source: string, message: L2tpMessage | null, tunnel: number): void {
    if (message === null) {
      const known = this.byId.get(tunnel);
      if (known !== undefined) this.send(source, l2tpData({ tunnel: known.clientId, session: 1 }));
      return;
    }
    if (message.type === TYPE.SCCRQ) {
      this.requests++;
      const clientId = Number(message.avps.find((avp) => avp.type === 9)?.value);
      const name = `${source}/${clientId}`;
      let known = this.tunnels.get(name);
      if (known === undefined) {
        known = { id: this.#next++, clientId, source, dialogue: new Dialogue() };
        this.tunnels.set(name, known);
        this.byId.set(known.id, known);
        known.dialogue.hear(message);
        const assigned = known.id;
        const answer = known.dialogue.say(this.farm.now, (ns, nr) => sccrp({ tunnel: clientId, assigned, ns, nr }));
        return this.send(source, answer);
      }
      known.dialogue.hear(message);
      return this.acknowledge(known);
    }
    const known = this.byId.get(message.tunnel);
    if (known === undefined) return;
    known.dialogue.hear(message);
    if (message.type < 0) return;
    this.acknowledge(known);
    if (message.type === TYPE.StopCCN) {
      this.stopped.push(known.id);
      known.dialogue.waiting = null;
    }
  }

  acknowledge({ source, clientId, dialogue }: SimulatedTunnel): void {
    this.send(source, zlb({ tunnel: clientId, ns: dialogue.ns & 0xffff, nr: dialogue.nr }));
  }

  step(): void {
    for (const tunnel of this.tunnels.values()) {
      const due = tunnel.dialogue.due(this.farm.now);
      if (due === 'given up') tunnel.dialogue.waiting = null;
      else if (due !== null) this.send(tunnel.source, due);
    }
  }

  send(to: string, payload: Uint8Array): void {
    if (!this.dead) this.farm.fromServer(udpFrame(`${this.address}:1701`, to, payload));
  }
}

interface SimulatedTunnel {
  readonly id: number;
  readonly clientId: number;
  readonly source: string;
  readonly dialogue: Dialogue;
}

export class Farm {
  static readonly VIP = '200.200.100.1';
  readonly appliance: MemoryAppliance;
  readonly states: ServerStates;
  readonly keeper: HealthKeeper;
  readonly servers: SimulatedServer[];
  readonly clients: SimulatedClient[] = [];
  readonly changes: (ServerStateChange & { server: string })[] = [];
  #read = [0, 0];
  #random: number;
  #id = 0;
  #judgeAt = 0;
  #ways: (() => void)[] = [];

  constructor(readonly options: FarmOptions) {
    this.#random = options.seed | 0;
    const list = Array.from({ length: options.servers }, (_, n) => `{ name: lns${n + 1}, address: 10.10.1.${n + 1} }`);
    this.appliance = new MemoryAppliance(
      `vips: [{ name: access, address: ${Farm.VIP}, algorithm: ${options.algorithm ?? 'round-robin'}, ${options.direct === true ? 'reply: direct, ' : ''}servers: [${list.join(', ')}] }]\n` +
        `table: { connections: ${options.connections ?? 1024} }\nhealth: ${options.health ?? '{}'}\n`,
    );
    const { appliance } = this;
    this.states = appliance.binding.states;
    const log = { warn: () => {}, info: () => {} };
    const mail = {
      broadcast: (message: ShardMessage): void => appliance.tell(message),
      message: (shard: number, message: ShardMessage): boolean => {
        appliance.shards[shard].message(message);
        return true;
      },
    };
    const host: ProbeHost = {
      addresses: () => [[0, 0, 0xffff, 0x0a0a01fe]],
      mac: () => INSIDE_MAC,
      echo: async () => null,
      close: () => {},
    };
    this.keeper = new HealthKeeper(
      appliance.binding,
      appliance.config,
      () => appliance.now,
      log,
      () => mail,
      host,
    );
    this.keeper.shardUp(0);
    this.states.listen((server, change) =>
      this.changes.push({ ...change, at: appliance.now, server: appliance.binding.servers[server].name }),
    );
    this.servers = list.map((_, n) => new SimulatedServer(this, `10.10.1.${n + 1}`, n));
    const addresses = options.clients ?? options.tunnels;
    for (let n = 0; n < options.tunnels; n++) {
      const client = n % addresses;
      const address = `192.128.${10 + (client >> 8)}.${client & 0xff}`;
      this.clients.push(new SimulatedClient(this, address, 1701, this.now + n * 0.01));
    }
  }

  get now(): number {
    return this.appliance.now;
  }

  nextId(): number {
    return (this.#id++ % 0xfffe) + 1;
  }

  /** mulberry32 */
  random(): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  state(server: number): string {
    return this.appliance.rows.servers()[server].state;
  }

  /** Tunnels that clients take for established, by server. */
  established(): number {
    return this.clients.filter(({ state }) => state === 'established').length;
  }

  run(seconds: number): void {
    this.runUntil(() => false, seconds);
  }

  /** Runs until it is so, at most so long; the seconds that it took. */
  runUntil(done: () => boolean, atMost: number): number {
    const start = this.now;
    while (this.now - start < atMost && !done()) {
      this.appliance.at(this.now + STEP);
      this.#deliver();
      for (const client of this.clients) client.step();
      for (const server of this.servers) if (!server.dead) server.step();
      this.#deliver();
      for (const notice of this.appliance.shards[0].takeNotices())
        if (notice.type === 'probe-answers') this.keeper.heard(notice.payloads);
      if (this.now >= this.#judgeAt) {
        this.#judgeAt = this.now + 0.1;
        this.keeper.tick();
      }
    }
    return this.now - start;
  }

  fromClient(frame: Uint8Array): void {
    if (this.random() < (this.options.lossOutside ?? 0)) return;
    this.#ways.push(() => this.appliance.send(frame, PORT_OUTSIDE));
  }

  /** Past the designator. */
  toServer(frame: Uint8Array): void {
    if (this.random() < (this.options.lossInside ?? 0)) return;
    this.#ways.push(() => this.#arrive(frame, PORT_INSIDE));
  }

  fromServer(frame: Uint8Array): void {
    if (this.random() < (this.options.lossInside ?? 0)) return;
    if (this.options.direct === true) {
      this.#ways.push(() => this.#arrive(frame, PORT_OUTSIDE));
      return;
    }
    this.#ways.push(() => this.appliance.send(frame, PORT_INSIDE));
  }

  #deliver(): void {
    const [port] = this.appliance.ports;
    for (;;) {
      const ways = this.#ways;
      this.#ways = [];
      for (const way of ways) way();
      const out = port.sent.slice(this.#read[0]);
      this.#read[0] = port.sent.length;
      for (const { frame, port: egress } of out) this.#arrive(frame, egress);
      if (out.length === 0 && this.#ways.length === 0) return;
    }
  }

  #arrive(frame: Uint8Array, egress: number): void {
    const inside = egress === PORT_INSIDE;
    if (this.random() < ((inside ? this.options.lossInside : this.options.lossOutside) ?? 0)) return;
    const view = viewOf(frame);
    if (frame.length < 42 || view.getUint16(12) !== 0x0800) return;
    const ip = (at: number): string => [0, 1, 2, 3].map((n) => frame[at + n]).join('.');
    const control = (frame[42] & 0x80) !== 0;
    const message = control ? readMessage(view, 42, 34 + view.getUint16(38)) : null;
    if (typeof message === 'number') throw new Error(`malformed: ${message}`);
    if (inside) {
      const server = this.servers.find(({ address }) => address === ip(30));
      if (server === undefined || server.dead) return;
      server.receive(
        `${ip(26)}:${view.getUint16(34)}`,
        message,
        view.getUint16(42 + ((frame[42] & 0x40) !== 0 ? 4 : 2)),
      );
    } else if (message !== null) {
      for (const client of this.clients) {
        if (client.address === ip(30) && client.id === message.tunnel) client.receive(message, ip(26));
      }
    }
  }
}
