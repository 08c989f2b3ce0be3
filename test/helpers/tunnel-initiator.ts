/**
 * A tunnel initiator of document 001 in a namespace: the LAC's own L2TP engine over a UDP socket, which keeps tunnels and
 * makes no calls, so that nothing but the figures' messages is on the wire.
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { L2tpEndpoint } from '../../src/protocol/l2tp/endpoint.js';
import type { TunnelProfile } from '../../src/protocol/l2tp/profile.js';
import type { L2tpTunnel } from '../../src/protocol/l2tp/tunnel.js';
import { type AgentSocket, UdpAgent } from './udp-agent.js';

const TURN_MS = 10;

export interface InitiatorOptions {
  readonly port?: number;
  /** Its socket is connected to this address, as go-l2tp's is: it hears nobody else. */
  readonly connectedTo?: string;
  /** Ids that it assigns, both included. Default 1 … 99. */
  readonly ids?: readonly [number, number];
}

export class TunnelInitiator {
  readonly endpoint: L2tpEndpoint;
  /** How tunnels that were set up have ended since, by their ids here. */
  readonly ended = new Map<number, string>();
  readonly #socket: AgentSocket;
  readonly #agent: UdpAgent;
  readonly #timer: NodeJS.Timeout;

  private constructor(agent: UdpAgent, socket: AgentSocket, ids: readonly [number, number]) {
    this.#agent = agent;
    this.#socket = socket;
    this.endpoint = new L2tpEndpoint({
      hostName: 'ti',
      random: (length) => new Uint8Array(randomBytes(length)),
      tunnelIds: ids,
      profile: () => null,
    });
    socket.onDatagram = ({ data, address, port }) => {
      this.endpoint.receive(new Uint8Array(data), { address, port, socket: 0 }, now());
      this.#turn();
    };
    this.#timer = setInterval(() => this.#turn(), TURN_MS);
  }

  static async start(namespace: Namespace, address: string, options: InitiatorOptions = {}): Promise<TunnelInitiator> {
    const agent = new UdpAgent(namespace);
    const { connectedTo } = options;
    const peer = connectedTo === undefined ? undefined : { address: connectedTo, port: 1701 };
    const socket = await agent.bind(address, options.port ?? 1701, peer);
    return new TunnelInitiator(agent, socket, options.ids ?? [1, 99]);
  }

  /** Dials; resolves when the tunnel stands and all that was said is acknowledged. */
  async dial(to: string, profile: TunnelProfile = {}): Promise<L2tpTunnel> {
    const tunnel = this.endpoint.open({ address: to, port: 1701, socket: 0 }, { tieBreaker: false, ...profile }, now());
    if (tunnel === null) throw new Error('no id is free');
    this.#turn();
    await waitFor(
      `a tunnel from ${this.#socket.address} through ${to}`,
      () => tunnel.state === 'established' && tunnel.unacknowledged === 0,
      20_000,
      () => `${tunnel.state} ${JSON.stringify(this.endpoint.counters)}`,
    );
    return tunnel;
  }

  /** A Hello through the tunnel is answered by whoever has it. */
  async ask(tunnel: L2tpTunnel): Promise<void> {
    tunnel.sendHello();
    this.#turn();
    await waitFor(
      `an answer in tunnel ${tunnel.localId}`,
      () => tunnel.unacknowledged === 0 && tunnel.state === 'established',
      20_000,
      () => `${tunnel.state} ${JSON.stringify(this.endpoint.counters)}`,
    );
  }

  /** A data message, of whatever session: RFC 2661 §3.1 without optional fields, an LCP echo inside. */
  data(tunnel: L2tpTunnel, session: number): void {
    const bytes = Uint8Array.of(0, 2, tunnel.peerId >> 8, tunnel.peerId & 0xff, session >> 8, session & 0xff);
    const frame = [0xff, 0x03, 0xc0, 0x21, 0x09, 1, 0, 8, 0, 0, 0, 0];
    this.#socket.send(Uint8Array.from([...bytes, ...frame]), tunnel.peer.address, tunnel.peer.port);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#agent.close();
  }

  #turn(): void {
    for (const event of this.endpoint.events())
      if (event.type === 'tunnel-down') this.ended.set(event.tunnel.localId, event.by);
    for (const { to, bytes } of this.endpoint.output(now())) this.#socket.send(bytes, to.address, to.port);
  }
}

function now(): number {
  return performance.now() / 1000;
}
