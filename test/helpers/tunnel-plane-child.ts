/**
 * What the test of the tunnel plane does inside its network namespace: a plane with a TUN device and an access line, a far
 * end of tunnels on a UDP socket, and a customer on the other end of the access line's wire. Bytes are hexadecimal.
 */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { CALL_FLAG } from '../../src/flow/session-layout.js';
import type { SessionRow, Words } from '../../src/flow/session-table.js';
import { type PlaneOptions, type Punt, TunnelPlane } from '../../src/workers/tunnel-plane.js';
import { parseAddress } from '../../src/wire/address.js';
import { bytes, hex } from './packet-builder.js';
import { End, macOf } from './packet-wire.js';

const PATIENCE_MS = 8000;
export const TUN = 'tun0';

const run = (command: string): void => {
  const [program, ...words] = command.split(' ');
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'inherit'] });
};
const words = (address: string): Words => parseAddress(address) as Words;

async function until(what: string, done: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !done(); await sleep(5)) {
    if (Date.now() > end) throw new Error(`${what} did not happen`);
  }
}

/** The far end of tunnels. */
class FarEnd {
  readonly heard: string[] = [];
  readonly #socket: Socket;

  private constructor(
    socket: Socket,
    readonly address: string,
  ) {
    this.#socket = socket;
    socket.on('message', (message) => this.heard.push(hex(message)));
  }

  static async open(address: string): Promise<FarEnd> {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
    await new Promise<void>((resolve) => socket.bind(0, address, resolve));
    return new FarEnd(socket, address);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async send(port: number, messages: readonly string[]): Promise<void> {
    for (const message of messages) {
      await new Promise((resolve) => this.#socket.send(bytes(message), port, this.address, resolve));
    }
  }

  close(): void {
    this.#socket.close();
  }
}

class Scene {
  readonly punts: Punt[] = [];
  readonly fatal: string[] = [];

  private constructor(
    readonly plane: TunnelPlane,
    readonly far: FarEnd,
    readonly port: number,
    readonly socket: number,
  ) {
    plane.onPunt((punts) => this.punts.push(...punts));
  }

  static async open(options: Partial<PlaneOptions> = {}, address = '127.0.0.1'): Promise<Scene> {
    const fatal: Error[] = [];
    const plane = await TunnelPlane.open({
      workers: 2,
      sessions: 256,
      routes: 16,
      tun: { name: TUN, mtu: 1500 },
      onFatal: (error) => fatal.push(error),
      ...options,
    });
    if (plane.tunName !== null) {
      run(`ip addr add 10.60.0.1/24 dev ${TUN}`);
      run(`ip -6 addr add fd60::1/48 dev ${TUN} nodad`);
      run(`ip route add 10.77.7.0/24 dev ${TUN}`);
    }
    const socket = plane.addSocket(address, 0);
    await until('the workers', () => plane.workers().every(({ state }) => state === 'running'));
    return new Scene(plane, await FarEnd.open(address), plane.socket(socket)?.port ?? 0, socket);
  }

  row(id: number, more: Partial<SessionRow> = {}): SessionRow {
    return {
      kind: 'lns',
      state: 'forward',
      tunnel: {
        socket: this.socket,
        address: words(this.far.address),
        port: this.far.port,
        localTunnelId: 7,
        localSessionId: id,
        peerTunnelId: 9,
        peerSessionId: 1000 + id,
      },
      access: null,
      flags: CALL_FLAG.ipv4 | CALL_FLAG.ipv6 | CALL_FLAG.checkPeer | CALL_FLAG.antiSpoof,
      ipv4: words(`10.60.0.${100 + id}`)[3],
      prefix: [words('fd60::')[0], id],
      routes: [],
      mru: 0,
      clampMss: 0,
      ...more,
    };
  }

  add(id: number, more: Partial<SessionRow> = {}): number {
    const slot = this.plane.table.add(this.row(id, more));
    if (slot < 0) throw new Error(`session ${id}: ${this.plane.table.refusal}`);
    return slot;
  }

  dropped(): Record<string, number> {
    const drops = this.plane.drops().filter(({ packets, reason }) => packets > 0 && reason !== 'link-local');
    return Object.fromEntries(drops.map(({ reason, packets }) => [reason, packets]));
  }

  async heard(count: number): Promise<string[]> {
    await until(`${count} messages at the far end (${this.far.heard.length})`, () => this.far.heard.length >= count);
    return this.far.heard.splice(0);
  }

  async close(): Promise<void> {
    this.far.close();
    await this.plane.stop();
  }
}

async function inScene<T>(open: Promise<Scene>, body: (scene: Scene) => Promise<T>): Promise<T> {
  const scene = await open;
  try {
    return await body(scene);
  } finally {
    await scene.close();
  }
}

export interface Session {
  readonly id: number;
  readonly flags?: number;
  readonly mru?: number;
  readonly clampMss?: number;
  readonly state?: SessionRow['state'];
  /** 'address/length' of the mapped address. */
  readonly routes?: readonly string[];
}

const rowOf = ({ flags, mru, clampMss, state, routes }: Session): Partial<SessionRow> => ({
  ...(flags === undefined ? {} : { flags }),
  ...(mru === undefined ? {} : { mru }),
  ...(clampMss === undefined ? {} : { clampMss }),
  ...(state === undefined ? {} : { state }),
  ...(routes === undefined
    ? {}
    : { routes: routes.map((r) => ({ address: words(r.split('/')[0]), length: Number(r.split('/')[1]) })) }),
});

const puntsOf = (punts: readonly Punt[]) =>
  punts.map(({ kind, slot, bytes: got, access, from }) => ({ kind, slot, bytes: hex(got), access, by: from?.address }));

const scenarios = {
  /** Sends messages to the plane, waits for as many answers and punts as said, and tells what came of it. */
  exchange: (input: {
    readonly sessions: readonly Session[];
    readonly send: readonly string[];
    readonly answers: number;
    readonly punts?: number;
    /** So many drops are waited for. */
    readonly drops?: number;
    readonly address?: string;
  }) =>
    inScene(Scene.open({}, input.address), async (scene) => {
      const slots = input.sessions.map((session) => scene.add(session.id, rowOf(session)));
      await scene.far.send(scene.port, input.send);
      const answers = await scene.heard(input.answers);
      await until('the punts', () => scene.punts.length >= (input.punts ?? 0));
      const sum = (): number => Object.values(scene.dropped()).reduce((all, n) => all + n, 0);
      await until('the drops', () => sum() >= (input.drops ?? 0));
      return {
        answers,
        punts: puntsOf(scene.punts),
        drops: scene.dropped(),
        counters: slots.map((slot) => scene.plane.table.counters(slot)),
        seen: slots.map((slot) => scene.plane.table.lastSeen(slot) > 0),
      };
    }),

  /** From the network: datagrams of so many bytes to an address, by a socket of this host. */
  fromNetwork: (input: {
    readonly session: Session;
    readonly to: string;
    readonly lengths: readonly number[];
    readonly answers: number;
    readonly fragment?: boolean;
    readonly pmtu?: boolean;
  }) =>
    inScene(Scene.open(), async (scene) => {
      run(`sysctl -qw net.ipv4.ip_no_pmtu_disc=${input.fragment ? 1 : 0}`);
      const slot = scene.add(input.session.id, rowOf(input.session));
      const host = createSocket(input.to.includes(':') ? 'udp6' : 'udp4');
      for (const length of input.lengths) {
        await new Promise((resolve) => host.send(new Uint8Array(length), 9, input.to, resolve));
        if (input.pmtu) await until('the report', () => (scene.dropped()['too-big'] ?? 0) > 0);
      }
      const answers = await scene.heard(input.answers);
      host.close();
      return { answers, drops: scene.dropped(), counters: scene.plane.table.counters(slot) };
    }),

  /** So many datagrams to each of so many subscribers: which payloads arrived for each session, in order. */
  order: (input: { readonly sessions: number; readonly rounds: number }) =>
    inScene(Scene.open(), async (scene) => {
      const ids = Array.from({ length: input.sessions }, (_, i) => i + 1);
      for (const id of ids) scene.add(id);
      const host = createSocket('udp4');
      for (let round = 0; round < input.rounds; round++) {
        const payload = Uint8Array.of(round);
        for (const id of ids) {
          // Another port each time: a subscriber's packets stay in order although they are of different flows.
          await new Promise((resolve) => host.send(payload, 1000 + round, `10.60.0.${100 + id}`, resolve));
        }
      }
      const heard = await scene.heard(input.sessions * input.rounds);
      host.close();
      // The session id is at byte 4; the payload is the last byte.
      const bySession = new Map<string, number[]>();
      for (const message of heard) {
        const id = message.slice(8, 12);
        bySession.set(id, [...(bySession.get(id) ?? []), Number.parseInt(message.slice(-2), 16)]);
      }
      const workers = scene.plane.workers().map(({ packets }) => packets);
      return { orders: [...bySession.values()], statistics: scene.plane.statistics(), workers };
    }),

  /** A session on hold, its tunnel moved meanwhile; what reached the far end before and after. */
  hold: (input: {
    readonly packets: number;
    readonly limits: NonNullable<PlaneOptions['hold']>;
    readonly expire?: boolean;
  }) =>
    inScene(Scene.open({ hold: input.limits }), async (scene) => {
      const slot = scene.add(1, { state: 'hold' });
      const host = createSocket('udp4');
      for (let i = 0; i < input.packets; i++) {
        await new Promise((resolve) => host.send(Uint8Array.of(i), 9, '10.60.0.101', resolve));
      }
      const { table } = scene.plane;
      const taken = (): number => scene.plane.statistics().held + table.counters(slot).hold;
      await until('the packets', () => taken() >= input.packets);
      if (input.expire) await until('the end of patience', () => table.counters(slot).hold >= input.packets);
      const before = scene.far.heard.length;
      const { tunnel } = scene.row(1);
      if (tunnel === null) throw new Error('the row has a tunnel');
      table.update(slot, { state: 'forward', tunnel: { ...tunnel, peerTunnelId: 0xabcd, localTunnelId: 8 } });
      await new Promise((resolve) => host.send(Uint8Array.of(255), 9, '10.60.0.101', resolve));
      await until('the last', () => scene.far.heard.some((message) => message.endsWith('ff')));
      host.close();
      return { before, after: scene.far.heard, counters: table.counters(slot), drops: scene.dropped() };
    }),

  /** A LAC: what a customer says arrives in the tunnel, and the other way. */
  access: (input: {
    readonly flags: number;
    readonly frames: readonly string[];
    readonly messages: readonly string[];
    readonly answers: number;
    readonly back: number;
    readonly punts: number;
  }) =>
    inScene(Scene.open({ tun: undefined, access: ['d0'] }), async (scene) => {
      const customer = new End('c0');
      try {
        const access = { access: 0, sessionId: 0x55, mac: macOf('c0') };
        const slot = scene.add(3, { kind: 'lac', access, flags: input.flags, ipv4: 0, prefix: null });
        customer.put(input.frames.map((frame) => bytes(frame)));
        const answers = await scene.heard(input.answers);
        await scene.far.send(scene.port, input.messages);
        scene.plane.sendAccessPpp(slot, [bytes('ff03 c021 09010004 00000000')]);
        scene.plane.sendFrames(0, [bytes('0200 0000 0c00 0200 0000 0d00 8863 1107 0000 0000')]);
        const back = customer.hear(input.back).map(({ bytes: frame }) => hex(frame));
        await until('the punts', () => scene.punts.length >= input.punts);
        return {
          answers,
          back,
          punts: puntsOf(scene.punts),
          drops: scene.dropped(),
          counters: scene.plane.table.counters(slot),
        };
      } finally {
        customer.close();
      }
    }),

  /** What cannot be opened says why, in words and with a code. */
  refusals: async () => {
    const told = async (what: () => Promise<unknown>): Promise<{ code: string; message: string }> => {
      try {
        await what();
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        return { code, message };
      }
      throw new Error('it was not refused');
    };
    const onFatal = (): void => {};
    const line = await told(() => TunnelPlane.open({ workers: 1, sessions: 8, access: ['none0'], onFatal }));
    return inScene(Scene.open(), async (scene) => {
      const busy = createSocket('udp4');
      await new Promise<void>((resolve) => busy.bind(0, '127.0.0.1', resolve));
      const { port } = busy.address();
      const inUse = await told(async () => scene.plane.addSocket('127.0.0.1', port));
      const foreign = await told(async () => scene.plane.addSocket('192.0.2.77', 1701));
      const free = scene.plane.addSocket('192.0.2.77', 1701, true);
      scene.plane.closeSocket(free);
      busy.close();
      return { line, inUse, foreign };
    });
  },
};

export type Scenarios = typeof scenarios;

process.on('message', ({ name, input }: { name: keyof Scenarios; input: never }) => {
  Promise.resolve()
    .then((): unknown => scenarios[name](input))
    .then(
      (result) => process.send?.({ result }),
      (error: Error) => process.send?.({ error: error.stack }),
    );
});
run('ip link set lo up');
process.send?.({ result: 'ready' });
