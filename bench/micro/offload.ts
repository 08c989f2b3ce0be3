/**
 * State offload, both LNSs in one thread: the engines, states of the size and shape that the LNS makes, and every message
 * through its bytes. What the L2TP tunnel between them costs besides is in `l2tp control`.
 *
 *   full sync: a peer that has nothing gets all sessions; updates: every session changes, and the peer has it.
 */
import { OffloadPair } from '#designator/protocol/offload/pair.js';
import type { OffloadChannel } from '#designator/protocol/offload/channel.js';
import { encodeState } from '#designator/protocol/offload/state.js';
import { buildMessage, readMessage } from '#designator/tunnels/l2tp/message.js';
import { type Options, type Row, row } from './row.js';

const VENDOR = 32_473;
const TUNNELS = 16;
/** 20,000 updates a second. */
const UPDATE_BAR_NS = 50_000;
const SYNC_BAR_MS = 2000;

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff);

/** As an LNS describes a session with IPv4. */
function sessionState(tunnel: number, session: number, packets: number): Uint8Array {
  const lcp = { mru: 1500, accm: 0, magic: 0x1234_5678 + session, pfc: false, acfc: false, authentication: 'chap-md5' };
  return encodeState('session', {
    call: {
      localId: session,
      peerId: session,
      kind: 'incoming',
      ours: false,
      attributes: { serial: session, called: '100', calling: `+49${session}`, txSpeed: 1_000_000_000, framing: 1 },
    },
    ppp: {
      phase: 'network',
      lcp: {
        local: lcp,
        peer: lcp,
        required: { mru: 1500, mruMin: 576, authenticate: ['chap-md5'] },
        lastSent: bytes(15),
        lastReceived: bytes(10),
        nextId: 3,
      },
      auth: { method: 'chap-md5', name: `user${session}`, id: 1 },
      assignment: { ipv4: { local: bytes(4), peer: bytes(4), dns: [bytes(4)] } },
      ipv4: { open: true, local: bytes(4), peer: bytes(4), dns: [bytes(4)], vj: 'not-seen', nextId: 2 },
      ipv6: null,
      ccp: 'rejected',
      peerRejected: [],
    },
    method: 'chap-md5',
    grant: { user: `user${session}`, pool: null, idleSeconds: null, timeoutSeconds: null },
    ipv4: [0, 0, 0xffff, 0x0a50_0000 + session],
    prefix: null,
    ipv4Up: true,
    ipv6Up: false,
    interfaceId: null,
    sinceMs: 1_700_000_000_000,
    accountingId: '0123456789abcdef',
    secondsLeft: null,
    idleSeconds: 0,
    counters: { packetsIn: packets, bytesIn: packets * 100, packetsOut: packets, bytesOut: packets * 1400 },
    sendNs: 0,
    receiveNs: tunnel & 0,
  });
}

class Side {
  readonly queue: Uint8Array[] = [];
  packets = 0;
  readonly pair: OffloadPair;
  readonly channel: OffloadChannel = {
    send: (type, avps) => {
      if (this.queue.length >= 64) return false;
      this.queue.push(buildMessage({ vendor: VENDOR, mandatory: false, type, avps }));
      return true;
    },
  };

  constructor(id: number, perTunnel: number) {
    this.pair = new OffloadPair(
      {
        tunnels: () => (perTunnel === 0 ? [] : Array.from({ length: TUNNELS }, (_, n) => n + 1)),
        sessions: () => Array.from({ length: perTunnel }, (_, n) => n + 1),
        describe: (tunnel, session) => ({
          lacTunnel: tunnel,
          lacSession: session,
          generation: 1,
          state:
            session === 0
              ? encodeState('tunnel', { cooperating: true, tunnel: { localId: tunnel } })
              : sessionState(tunnel, session, this.packets),
        }),
        configuration: () => encodeState('configuration', { name: `lns${id}` }),
      },
      { vendor: VENDOR, instance: bytes(8).fill(id), generation: 1, refresh: 1e9 },
    );
  }

  deliver(to: Side, now: number): boolean {
    const waiting = this.queue.splice(0);
    for (const message of waiting) {
      const read = readMessage(new DataView(message.buffer), 0, message.length);
      if (typeof read === 'number') throw new Error('a message cannot be read');
      to.pair.receive(read.type, read.avps, now);
    }
    return waiting.length > 0;
  }
}

export async function run(options: Options = {}): Promise<Row[]> {
  const sessions = options.smoke ? 320 : 20_000;
  const rounds = options.smoke ? 1 : 5;
  const sync: number[] = [];
  const update: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const [primary, peer] = [new Side(1, sessions / TUNNELS), new Side(2, 0)];
    let now = 0;
    const settle = (): void => {
      for (let busy = true; busy; now += 0.05) {
        primary.pair.run(now);
        peer.pair.run(now);
        const there = primary.deliver(peer, now);
        busy = peer.deliver(primary, now) || there || !primary.pair.source.synchronised;
      }
    };
    let began = process.cpuUsage();
    const passed = (): number => {
      const { user, system } = process.cpuUsage(began);
      began = process.cpuUsage();
      return (user + system) / 1000;
    };
    primary.pair.connect(primary.channel, peer.pair.hello, now);
    peer.pair.connect(peer.channel, primary.pair.hello, now);
    settle();
    sync.push(passed());
    if (peer.pair.store.sessionCount !== sessions) throw new Error(`the peer has ${peer.pair.store.sessionCount}`);
    primary.packets++;
    for (let tunnel = 1; tunnel <= TUNNELS; tunnel++)
      for (let session = 1; session <= sessions / TUNNELS; session++) primary.pair.changed(tunnel, session, now);
    settle();
    update.push((passed() * 1e6) / sessions);
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];
  return [
    row('state offload', 'full sync, both LNSs', sessions, median(sync), 'ms', SYNC_BAR_MS),
    row('state offload', 'an update, told and kept', sessions, median(update), 'ns', UPDATE_BAR_NS),
  ];
}
