/**
 * A LAC in memory: its call desk over the true engines, PPPoE customers with true PPP on one side, LNSs with the true L2TP and
 * PPP engines on the other. What workers do (keep, forward) a few lines do here; time is virtual.
 */
import { type LacConfig, parseLacConfig } from '../../src/config/lac.js';
import { CALL_FLAG } from '../../src/flow/session-layout.js';
import type { SessionRow } from '../../src/flow/session-table.js';
import { L2tpEndpoint } from '../../src/protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../src/protocol/l2tp/events.js';
import type { Peer } from '../../src/protocol/l2tp/peer.js';
import type { L2tpSession } from '../../src/protocol/l2tp/session.js';
import { checkPassword } from '../../src/protocol/ppp/authentication.js';
import type { PppEvent } from '../../src/protocol/ppp/events.js';
import { PppLink } from '../../src/protocol/ppp/link.js';
import { PppoeAccess, type PppoePort } from '../../src/protocol/pppoe/access.js';
import type { LacCall } from '../../src/roles/lac/call.js';
import { CallDesk } from '../../src/roles/lac/call-desk.js';
import { moverHost } from '../../src/roles/lac/mover-host.js';
import type { Question, QuestionAnswer } from '../../src/roles/lac/radius-question.js';
import type { MoverHost } from '../../src/roles/lac/switchover-face.js';
import { TargetBook } from '../../src/roles/lac/targets.js';
import { TunnelKeeper } from '../../src/roles/lac/tunnel-keeper.js';
import {
  buildDiscovery,
  buildSession,
  PADI,
  PADO,
  PADR,
  PADS,
  PADT,
  type PppoePacket,
  type PppoeTag,
  readPppoe,
  readTags,
  TAG_AC_COOKIE,
  TAG_GENERIC_ERROR,
  TAG_HOST_UNIQ,
  TAG_SERVICE_NAME,
} from '../../src/wire/pppoe.js';

const LAC_ADDRESS = '192.0.2.100';
const PORT: PppoePort = { index: 0, name: 'eth1', mac: Uint8Array.of(2, 0, 0, 0, 0, 0xac), mtu: 1500 };
const BROADCAST = new Uint8Array(6).fill(0xff);
/** The longest that a scene may wait for anything, virtual seconds. */
const PATIENCE = 300;

/** Numbers that look random and are the same each time. */
export function seeded(seed: number): (length: number) => Uint8Array {
  let state = seed >>> 0;
  return (length) =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    });
}

/** An LNS: takes every call, judges by one password, gives addresses. */
export class SceneLns {
  readonly endpoint: L2tpEndpoint;
  readonly links = new Map<L2tpSession, PppLink>();
  readonly calls: L2tpSession[] = [];
  readonly ended: string[] = [];
  /** It hears nothing and says nothing. */
  isDead = false;
  /** Result with which calls are refused; 0: they are taken. */
  refuse = 0;
  /** Answers from here instead of where it was asked. */
  floating = 0;
  /** What data says that came out of the tunnel. */
  readonly data: string[] = [];

  constructor(
    readonly scene: LacScene,
    readonly address: string,
    readonly random: (length: number) => Uint8Array,
    secret: string | null = null,
    name = 'lns',
  ) {
    this.endpoint = new L2tpEndpoint({
      hostName: name,
      random,
      profile: () => ({ secret, reliable: { firstWait: 0.5, tries: 4 } }),
    });
  }

  act(event: L2tpEvent, now: number): void {
    if (event.type === 'tunnel-request') event.tunnel.accept();
    if (event.type === 'call') {
      if (this.refuse > 0) return event.session.refuse(this.refuse, 0, 'not now');
      event.session.accept();
    }
    if (event.type === 'session-up') this.#begin(event.session, now);
    if (event.type === 'session-down') {
      this.links.delete(event.session);
      this.ended.push(`${event.by} ${event.result} ${event.message}`);
    }
  }

  #begin(session: L2tpSession, now: number): void {
    this.calls.push(session);
    const link = new PppLink({
      random: this.random,
      hostName: 'lns',
      authenticate: ['chap-md5', 'pap'],
      network: 'server',
    });
    this.links.set(session, link);
    const { initialLcp, lastSentLcp, lastReceivedLcp, authType, authName, authChallenge, authId, authResponse } =
      session.attributes;
    if (initialLcp === undefined) link.start(now);
    else {
      const proxy = { initialReceived: initialLcp, lastSent: lastSentLcp, lastReceived: lastReceivedLcp };
      link.startFromProxy({ ...proxy, authType, authName, authChallenge, authId, authResponse }, now);
    }
  }

  settle(now: number): boolean {
    let moved = false;
    for (const [session, link] of this.links) {
      for (const event of link.events()) {
        moved = true;
        if (event.type === 'authenticate') link.authenticated(checkPassword(event, 'secret'), now);
        if (event.type === 'network-request')
          link.assign({ ipv4: { local: Uint8Array.of(10, 0, 0, 1), peer: Uint8Array.of(10, 0, 0, 2) } }, now);
        if (event.type === 'down') session.hangUp(3, 0, event.reason);
      }
      for (const frame of link.output(now)) {
        moved = true;
        this.scene.fromTunnel(this, session, frame);
      }
    }
    return moved;
  }

  get nextTime(): number {
    return Math.min(this.endpoint.nextTime, ...[...this.links.values()].map((link) => link.nextTime));
  }
}

/** A customer with PPPoE and PPP. */
export class SceneClient {
  readonly link: PppLink;
  readonly events: PppEvent[] = [];
  readonly mac: Uint8Array;
  session = 0;
  /** Generic-Error of the PADT that ended it, '' without one; null: it lives. */
  ended: string | null = null;

  constructor(
    readonly scene: LacScene,
    readonly number: number,
    readonly user: string,
    readonly service: string,
    password: string,
  ) {
    this.mac = Uint8Array.of(2, 0, 0, 1, number >> 8, number & 0xff);
    this.link = new PppLink({
      random: scene.random,
      hostName: 'client',
      authenticate: [],
      credentials: { name: user, password, methods: ['chap-md5', 'pap'] },
      network: 'client',
    });
  }

  discover(): void {
    this.#send(PADI, BROADCAST, []);
  }

  take(packet: PppoePacket, now: number): void {
    const tags = readTags(packet.payload) ?? [];
    const of = (wanted: number): Uint8Array | undefined => tags.find(({ type }) => type === wanted)?.value;
    if (packet.code === PADO)
      this.#send(PADR, PORT.mac, [{ type: TAG_AC_COOKIE, value: of(TAG_AC_COOKIE) as Uint8Array }]);
    if (packet.code === PADS && packet.session !== 0) {
      this.session = packet.session;
      this.link.start(now);
    }
    if (packet.code === PADT && packet.session === this.session)
      this.ended = Buffer.from(of(TAG_GENERIC_ERROR) ?? []).toString();
    if (packet.code === 0 && packet.session === this.session) this.link.receive(packet.payload.slice(), now);
  }

  padt(): void {
    this.#send(PADT, PORT.mac, [], this.session);
  }

  /** An IPv4 packet, as far as PPP can tell. */
  say(text: string): void {
    this.#ppp(Uint8Array.of(0, 0x21, ...Buffer.from(text)));
  }

  settle(now: number): boolean {
    if (this.ended !== null) return false;
    this.events.push(...this.link.events());
    const frames = this.link.output(now);
    for (const frame of frames) this.#ppp(frame[0] === 0xff ? frame.subarray(2) : frame);
    return frames.length > 0;
  }

  get isUp(): boolean {
    return this.ended === null && this.events.some(({ type }) => type === 'network-up');
  }

  /** How often LCP was negotiated. */
  get negotiations(): number {
    return this.events.filter(({ type }) => type === 'link-up').length;
  }

  #ppp(frame: Uint8Array): void {
    this.scene.fromClient(buildSession(PORT.mac, this.mac, this.session, frame));
  }

  #send(code: number, destination: Uint8Array, more: PppoeTag[], session = 0): void {
    const tags = [
      { type: TAG_SERVICE_NAME, value: new Uint8Array(Buffer.from(this.service)) },
      { type: TAG_HOST_UNIQ, value: Uint8Array.of(this.number >> 8, this.number & 0xff) },
      ...more,
    ];
    this.scene.fromClient(buildDiscovery({ destination, source: this.mac, code, session, tags }));
  }
}

export interface SceneOptions {
  readonly config: string;
  /** Answers to questions to RADIUS by user name, or how they are to be asked; absent: there is no RADIUS. */
  readonly radius?: (user: string | null, call: LacCall) => QuestionAnswer | null;
  readonly seed?: number;
}

export class LacScene {
  now = 1000;
  readonly random: (length: number) => Uint8Array;
  readonly endpoint: L2tpEndpoint;
  readonly desk: CallDesk;
  readonly keeper: TunnelKeeper;
  readonly access: PppoeAccess;
  readonly host: MoverHost;
  readonly lnses: SceneLns[] = [];
  readonly clients: SceneClient[] = [];
  readonly rows = new Map<number, SessionRow>();
  readonly told: string[] = [];
  /** Datagrams from the LAC that are lost. */
  loses: () => boolean = () => false;
  readonly #held = new Map<number, Uint8Array[]>();
  #frames: Uint8Array[] = [];
  #wire: (() => void)[] = [];
  #slots = 0;

  constructor({ config: text, radius, seed = 1 }: SceneOptions) {
    const { config, problems } = parseLacConfig('scene', text);
    if (config === null) throw new Error(JSON.stringify(problems));
    this.random = seeded(seed);
    const book = new TargetBook(config, (secret) => (secret as { text: string }).text);
    this.endpoint = new L2tpEndpoint({
      hostName: config.name,
      random: this.random,
      profile: (peer) => this.keeper.profileOf(peer.address, book),
    });
    this.keeper = new TunnelKeeper(
      config,
      this.endpoint,
      () => 0,
      () => [],
    );
    this.access = new PppoeAccess({
      acName: config.name,
      services: [],
      anyService: true,
      key: this.random(32),
      sessionLimit: (config as LacConfig & { pppoe: object }).pppoe?.sessions ?? 1000,
      perClient: 4,
      clientRate: { rate: 1e6, burst: 1e6 },
      portRate: { rate: 1e6, burst: 1e6 },
    });
    this.desk = new CallDesk({
      config,
      book,
      access: this.access,
      plane: this.#plane(),
      keeper: this.keeper,
      random: this.random,
      question: radius === undefined ? null : this.#question(radius),
      teller: {
        up: ({ target }) => this.told.push(`up ${target?.name}`),
        ended: (_call, reason) => this.told.push(`ended ${reason}`),
      },
    });
    const parts = { endpoint: this.endpoint, keeper: this.keeper, desk: this.desk, plane: this.#plane() };
    this.host = moverHost({ ...parts, loop: { wake: () => {} } }, () => this.now);
  }

  lns(address: string, secret: string | null = null, name = 'lns'): SceneLns {
    const lns = new SceneLns(this, address, this.random, secret, name);
    this.lnses.push(lns);
    return lns;
  }

  client(user = 'alice', service = '', password = 'secret'): SceneClient {
    const client = new SceneClient(this, this.clients.length + 1, user, service, password);
    this.clients.push(client);
    client.discover();
    return client;
  }

  /** Lets everybody speak until `done`, or until nobody has anything to say before the patience is over. */
  run(done: () => boolean = () => false, patience = PATIENCE): boolean {
    const until = this.now + patience;
    for (;;) {
      while (this.#round()) if (done()) return true;
      if (done()) return true;
      const next = Math.min(
        this.desk.nextTime,
        this.keeper.nextTime,
        this.endpoint.nextTime,
        ...this.lnses.filter(({ isDead }) => !isDead).map((lns) => lns.nextTime),
        ...this.clients.filter(({ ended }) => ended === null).map(({ link }) => link.nextTime),
      );
      if (next > until) {
        this.now = until;
        return done();
      }
      this.now = Math.max(next, this.now + 0.001);
    }
  }

  /** Everybody once; false when nobody did anything. */
  #round(): boolean {
    const before = this.told.length;
    let moved = this.#wire.length + this.#frames.length > 0;
    for (const deliver of this.#wire.splice(0)) deliver();
    for (const frame of this.#frames.splice(0)) this.#access(frame);
    for (const event of this.endpoint.events()) {
      moved = true;
      this.desk.event(event, this.now);
    }
    this.desk.run(this.now);
    this.keeper.run(this.now);
    for (const { to, bytes } of this.endpoint.output(this.now)) {
      const lns = this.lnses.find(({ address }) => address === to.address);
      const from: Peer = { address: LAC_ADDRESS, port: 1701, socket: 0 };
      if (lns === undefined || lns.isDead || this.loses()) continue;
      this.#wire.push(() => lns.endpoint.receive(bytes, { ...from, port: 1701 }, this.now));
    }
    for (const lns of this.lnses) {
      if (lns.isDead) continue;
      for (const event of lns.endpoint.events()) {
        moved = true;
        lns.act(event, this.now);
      }
      moved = lns.settle(this.now) || moved;
      const from: Peer = { address: lns.address, port: lns.floating || 1701, socket: 0 };
      for (const { bytes } of lns.endpoint.output(this.now))
        if (!this.loses()) this.#wire.push(() => this.endpoint.receive(bytes, from, this.now));
    }
    for (const client of this.clients) moved = client.settle(this.now) || moved;
    return moved || this.#wire.length + this.#frames.length > 0 || this.told.length > before;
  }

  fromClient(frame: Uint8Array): void {
    this.#frames.push(frame);
  }

  /** What a worker does with a customer's frame. */
  #access(frame: Uint8Array): void {
    const packet = readPppoe(frame);
    const known = typeof packet === 'string' || packet.code !== 0 ? null : this.#slotOf(packet);
    if (known === null || typeof packet === 'string') return this.desk.frame(frame, PORT, this.now);
    const [slot, row] = known;
    const ppp = packet.payload.slice();
    const isControl = ppp[0] >= 0x80;
    if (isControl && (row.flags & CALL_FLAG.puntAccess) !== 0) this.desk.accessPpp(slot, ppp, this.now);
    else if (row.state === 'hold') this.#held.set(slot, [...(this.#held.get(slot) ?? []), ppp]);
    else if (row.tunnel !== null) this.#intoTunnel(row, ppp);
  }

  #slotOf({ session, source }: PppoePacket): [number, SessionRow] | null {
    for (const [slot, row] of this.rows) {
      if (row.access?.sessionId === session && row.access.mac.every((byte, i) => byte === source[i]))
        return [slot, row];
    }
    return null;
  }

  /** Data takes as long as control messages do. */
  #intoTunnel(row: SessionRow, ppp: Uint8Array): void {
    this.#wire.push(() => this.#atLns(row, ppp));
  }

  #atLns({ tunnel }: SessionRow, ppp: Uint8Array): void {
    if (tunnel === null) return;
    for (const lns of this.lnses) {
      if (lns.isDead) continue;
      const session = lns.endpoint.tunnels.get(tunnel.peerTunnelId)?.sessions.get(tunnel.peerSessionId);
      const link = session === undefined ? undefined : lns.links.get(session);
      if (session === undefined || link === undefined || session.peerId !== tunnel.localSessionId) continue;
      if (ppp[0] === 0 && ppp[1] === 0x21) lns.data.push(Buffer.from(ppp.subarray(2)).toString());
      else link.receive(ppp, this.now);
    }
  }

  /** What a worker does with a frame out of a tunnel. */
  fromTunnel(lns: SceneLns, session: L2tpSession, frame: Uint8Array): void {
    for (const row of this.rows.values()) {
      const { tunnel } = row;
      if (tunnel?.localTunnelId !== session.tunnel.peerId || tunnel.localSessionId !== session.peerId) continue;
      if (`${tunnel.port}` !== `${lns.floating || 1701}`) continue;
      this.#toClient(row, frame);
    }
  }

  #toClient({ access }: SessionRow, frame: Uint8Array): void {
    if (access === null) return;
    const ppp = frame[0] === 0xff ? frame.subarray(2) : frame;
    this.#toAll(buildSession(access.mac, PORT.mac, access.sessionId, ppp));
  }

  #toAll(frame: Uint8Array): void {
    const packet = readPppoe(frame) as PppoePacket;
    const client = this.clients.find(({ mac }) => mac.every((byte, i) => byte === packet.destination[i]));
    this.#wire.push(() => client?.take(packet, this.now));
  }

  #plane() {
    const flush = (slot: number): void => {
      const row = this.rows.get(slot);
      if (row?.state !== 'forward') return;
      for (const ppp of this.#held.get(slot) ?? []) this.#intoTunnel(row, ppp);
      this.#held.delete(slot);
    };
    return {
      table: {
        refusal: 'full',
        add: (row: SessionRow): number => {
          this.rows.set(this.#slots, row);
          return this.#slots++;
        },
        update: (slot: number, changes: Partial<SessionRow>): boolean => {
          const row = this.rows.get(slot);
          if (row === undefined) return false;
          this.rows.set(slot, { ...row, ...changes });
          // Workers see it a moment later.
          this.#wire.push(() => flush(slot));
          return true;
        },
        remove: (slot: number): void => {
          this.rows.delete(slot);
          this.#held.delete(slot);
        },
      },
      batch: {
        ppp: (slot: number, frame: Uint8Array): void => this.#intoTunnel(this.rows.get(slot) as SessionRow, frame),
        accessPpp: (slot: number, frame: Uint8Array): void => this.#toClient(this.rows.get(slot) as SessionRow, frame),
        frame: (_access: number, frame: Uint8Array): void => this.#toAll(frame),
      },
    };
  }

  #question(radius: NonNullable<SceneOptions['radius']>): Question {
    let token = 0;
    const canceled = new Set<number>();
    return {
      ask: (_how, call, user, done) => {
        const answer = radius(user, call);
        if (answer === null) return 0;
        const mine = ++token;
        this.#wire.push(() => canceled.has(mine) || done(answer, this.now));
        return mine;
      },
      cancel: (which) => void canceled.add(which),
    };
  }
}
