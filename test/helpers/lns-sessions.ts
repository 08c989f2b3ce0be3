/**
 * An LNS's sessions and their subscribers without a network: two L2TP endpoints, PPP links of both ends and the session
 * table in plain memory, under a clock of the test's. Nothing is lost on the way; `step` runs until nobody has anything
 * to say.
 */
import { type LnsConfig, parseLnsConfig } from '../../src/config/lns.js';
import { parseUsers, type User } from '../../src/config/users.js';
import { planeLayout } from '../../src/flow/session-layout.js';
import { SessionTable } from '../../src/flow/session-table.js';
import { type ApplianceEvent, EventLog } from '../../src/ops/events.js';
import { L2tpEndpoint } from '../../src/protocol/l2tp/endpoint.js';
import type { Peer } from '../../src/protocol/l2tp/peer.js';
import type { L2tpSession } from '../../src/protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import type { PppEvent } from '../../src/protocol/ppp/events.js';
import { PppLink } from '../../src/protocol/ppp/link.js';
import type { PppOptions } from '../../src/protocol/ppp/options.js';
import { FileJudge, type Judge } from '../../src/roles/lns/authenticator.js';
import { LnsCounters } from '../../src/roles/lns/lns-counters.js';
import { Pools } from '../../src/roles/lns/pools.js';
import type { Subscriber } from '../../src/roles/lns/subscriber.js';
import { Subscribers } from '../../src/roles/lns/subscribers.js';
import { formatIpv4 } from '../../src/wire/address.js';

const LNS: Peer = { address: '10.10.1.1', port: 1701, socket: 0 };
const LAC: Peer = { address: '192.0.2.9', port: 1701, socket: 0 };
const START = 1000;

/** Random bytes by a seed. */
export function seeded(seed: number): (length: number) => Uint8Array {
  let state = seed >>> 0;
  return (length) =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    });
}

/** One subscriber behind the LAC. */
export interface Dialled {
  readonly session: L2tpSession;
  readonly link: PppLink;
  readonly said: PppEvent[];
  /** Its call was ended: the message. */
  ended: string | null;
  /** Address that IPCP gave. */
  readonly address: () => string | null;
}

export interface SceneOptions {
  /** More keys of the configuration, as YAML. */
  readonly config?: string;
  /** As YAML: items of `users`. */
  readonly users?: string;
  readonly judge?: Judge;
  readonly sessions?: number;
  readonly seed?: number;
  /** Another LNS for the same LAC and its subscribers: what they say goes to this one from now on. */
  readonly after?: LnsScene;
}

export class LnsScene {
  now: number;
  readonly events = new EventLog();
  readonly counters = new LnsCounters();
  readonly table: SessionTable;
  readonly subscribers: Subscribers;
  readonly lns: L2tpEndpoint;
  readonly lac: L2tpEndpoint;
  readonly pools: Pools;
  readonly routes = new Set<string>();
  readonly accounted: string[] = [];
  readonly ppp: PppOptions;
  overload: string | null = null;
  readonly #dialled: Map<L2tpSession, Dialled>;
  readonly config: LnsConfig;
  readonly #queue: { slot: number; frame: Uint8Array }[] = [];
  readonly #random: (length: number) => Uint8Array;
  #tunnel: L2tpTunnel | null = null;

  constructor({ config = '', users = '', judge, sessions = 16, seed = 1, after }: SceneOptions = {}) {
    this.#dialled = after === undefined ? new Map<L2tpSession, Dialled>() : after.#dialled;
    this.now = after?.now ?? START;
    const pools = config.includes('pools:') ? '' : 'pools: [{ name: home, ipv4: 10.64.0.0/24 }]\n';
    const text = `name: lns1\nlisten: 10.10.1.1\nusers: { file: /u }\n${pools}${config}`;
    const parsed = parseLnsConfig('lns.yaml', text);
    if (parsed.config === null) throw new Error(JSON.stringify(parsed.problems));
    const settings = parsed.config;
    this.config = settings;
    this.#random = seeded(seed);
    const layout = planeLayout({ sessions, routes: 16, workers: 1 });
    this.table = new SessionTable(new SharedArrayBuffer(layout.length), layout, 7);
    this.pools = new Pools(settings.pools);
    this.ppp = {
      random: this.#random,
      hostName: 'lns1',
      authenticate: settings.ppp.authentication,
      lcp: { mru: settings.ppp.mru },
      echo: { every: settings.ppp.echoSeconds, failures: settings.ppp.echoFailures },
      network: 'server',
      protocols: { ipv4: true, ipv6: settings.ipv6.pool !== null },
    };
    this.subscribers = new Subscribers(
      {
        config: settings,
        table: this.table,
        batch: { ppp: (slot, frame) => void this.#queue.push({ slot, frame }), flush: () => this.#deliver() },
        ppp: this.ppp,
        pools: this.pools,
        judge: judge ?? new FileJudge(usersOf(users)),
        accounting: {
          interimSeconds: null,
          start: ({ user }) => void this.accounted.push(`start ${user}`),
          interim: ({ user }) => void this.accounted.push(`interim ${user}`),
          stop: ({ user }, _counters, reason) => void this.accounted.push(`stop ${user} ${reason}`),
        },
        events: this.events,
        counters: this.counters,
        clock: () => this.now * 1000,
        random: this.#random,
        wake: () => {},
        proxyOf: () => settings.ppp.proxy,
        overload: () => this.overload,
        localAddress: () => LNS.address,
        route: (words, length, on) => {
          const key = `${words.join('.')}/${length}`;
          if (on) this.routes.add(key);
          else this.routes.delete(key);
        },
      },
      this.now,
    );
    this.lns = new L2tpEndpoint({ hostName: 'lns1', random: this.#random, profile: () => ({}) });
    this.lac = after?.lac ?? new L2tpEndpoint({ hostName: 'lac1', random: this.#random, profile: () => ({}) });
  }

  /** A call with a subscriber that dials in; run `step` for what comes of it. */
  dial(name: string, password: string, more: Partial<PppOptions> = {}): Dialled {
    this.#tunnel ??= this.lac.open(LNS, {}, this.now);
    const session = this.#tunnel?.call('incoming', { called: '100', calling: name });
    if (session == null) throw new Error('no call');
    const link = new PppLink({
      random: this.#random,
      hostName: name,
      authenticate: [],
      credentials: { name, password, methods: ['chap-md5', 'ms-chap-v2', 'pap'] },
      network: 'client',
      ...more,
    });
    const said: PppEvent[] = [];
    const address = (): string | null => {
      const up = said.findLast((event) => event.type === 'network-up' && event.protocol === 'ipv4');
      if (up?.type !== 'network-up') return null;
      return formatIpv4(new DataView(Uint8Array.from(up.local).buffer).getUint32(0));
    };
    const dialled: Dialled = { session, link, said, ended: null, address };
    this.#dialled.set(session, dialled);
    return dialled;
  }

  of(dialled: Dialled): Subscriber | null {
    const slot = this.slotOf(dialled);
    return slot < 0 ? null : this.subscribers.at(slot);
  }

  slotOf({ session }: Dialled): number {
    return this.table.find(session.tunnel.peerId, session.peerId);
  }

  /** Later, with everything that is due on the way, a second at a time. */
  wait(seconds: number): void {
    for (const end = this.now + seconds; this.now < end; ) {
      this.now = Math.min(end, this.now + 1);
      this.step();
    }
  }

  /** Until nobody says anything more. */
  step(): void {
    for (let round = 0; round < 200; round++) {
      let busy = false;
      for (const event of this.lns.events()) {
        busy = true;
        if (event.type === 'tunnel-request') event.tunnel.accept();
        else this.subscribers.event(event, this.now);
      }
      for (const event of this.lac.events()) {
        busy = true;
        if (event.type === 'call-answered') event.session.connect({});
        if (event.type === 'session-up') this.#dialled.get(event.session)?.link.start(this.now);
        const dialled = event.type === 'session-down' ? this.#dialled.get(event.session) : undefined;
        if (event.type === 'session-down' && dialled !== undefined) dialled.ended = event.message;
      }
      this.subscribers.run(this.now);
      busy = this.#deliver() || busy;
      busy = this.#clients() || busy;
      for (const { bytes } of this.lac.output(this.now)) {
        busy = true;
        this.lns.receive(bytes, LAC, this.now);
      }
      for (const { bytes } of this.lns.output(this.now)) {
        busy = true;
        this.lac.receive(bytes, LNS, this.now);
      }
      if (!busy) return;
    }
    throw new Error('they never stop talking');
  }

  /** Frames of the LNS to the subscribers' links. */
  #deliver(): boolean {
    const frames = this.#queue.splice(0);
    for (const { slot, frame } of frames) {
      const tunnel = this.table.row(slot)?.tunnel;
      for (const dialled of this.#dialled.values()) {
        if (tunnel != null && dialled.session.localId === tunnel.peerSessionId) dialled.link.receive(frame, this.now);
      }
    }
    return frames.length > 0;
  }

  /** Frames of the subscribers' links to the LNS, as the data path hands them up: without FF 03. */
  #clients(): boolean {
    let busy = false;
    for (const dialled of this.#dialled.values()) {
      dialled.said.push(...dialled.link.events());
      for (const frame of dialled.link.output(this.now)) {
        busy = true;
        const slot = this.slotOf(dialled);
        if (slot >= 0) this.subscribers.frame(slot, frame[0] === 0xff ? frame.subarray(2) : frame, this.now);
      }
      dialled.said.push(...dialled.link.events());
    }
    return busy;
  }

  told(type: string): ApplianceEvent[] {
    return this.events.recent().filter((event) => event.type === type);
  }
}

export function usersOf(text: string): ReadonlyMap<string, User> {
  const { users, problems } = parseUsers('users.yaml', `users: [${text}]`);
  if (users === null) throw new Error(JSON.stringify(problems));
  return users;
}
