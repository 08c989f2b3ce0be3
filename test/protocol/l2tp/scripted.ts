/** One endpoint, and a peer that says what the test wants it to say. */
import { type EndpointOptions, L2tpEndpoint } from '../../../src/protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../../src/protocol/l2tp/events.js';
import type { Peer } from '../../../src/protocol/l2tp/peer.js';
import type { TunnelProfile } from '../../../src/protocol/l2tp/profile.js';
import type { L2tpTunnel } from '../../../src/protocol/l2tp/tunnel.js';
import type { AvpInput } from '../../../src/tunnels/l2tp/avp.js';
import { buildMessage, type L2tpMessage, type L2tpMessageInput } from '../../../src/tunnels/l2tp/message.js';
import { MESSAGE } from '../../helpers/l2tp-builder.js';
import { LAC, readAll, seededRandom } from './pair.js';

export const PEER_TUNNEL = 4711;
export const M = { ...MESSAGE, FSQ: 21, FSR: 22 } as const;

/** AVPs of an SCCRQ or SCCRP. */
export const start = (...more: AvpInput[]): AvpInput[] => [
  { type: 2, value: { version: 1, revision: 0 } },
  { type: 3, value: 3 },
  { type: 7, value: 'peer' },
  { type: 9, value: PEER_TUNNEL },
  ...more,
];
export const id = (session: number): AvpInput => ({ type: 14, value: session });
export const serial: AvpInput = { type: 15, value: 1 };
export const CONNECT: AvpInput[] = [
  { type: 24, value: 1000 },
  { type: 19, value: 1 },
];
export const result = (code: number, error?: number): AvpInput => ({
  type: 1,
  value: error === undefined ? { result: code } : { result: code, error },
});

export class Scripted {
  now = 0;
  readonly endpoint: L2tpEndpoint;
  readonly events: L2tpEvent[] = [];
  /** Everything that was sent, ZLBs included; `to` beside. */
  readonly sent: L2tpMessage[] = [];
  readonly sentTo: Peer[] = [];
  readonly raw: Uint8Array[] = [];
  act: (event: L2tpEvent) => void = (event) => {
    if (event.type === 'tunnel-request') event.tunnel.accept();
    if (event.type === 'call') event.session.accept();
  };
  ns = 0;
  /** Number of the endpoint's next message. */
  nr = 0;
  /** The id that the endpoint told, in its SCCRP or SCCRQ. */
  tunnel = 0;

  constructor(profile: TunnelProfile | null = {}, options: Partial<EndpointOptions> = {}) {
    this.endpoint = new L2tpEndpoint({
      hostName: 'us',
      random: seededRandom('scripted'),
      profile: () => profile,
      ...options,
    });
  }

  turn(): void {
    for (let events = this.endpoint.events(); events.length > 0; events = this.endpoint.events()) {
      for (const event of events) {
        this.events.push(event);
        this.act(event);
      }
    }
    for (const { to, bytes } of this.endpoint.output(this.now)) {
      this.raw.push(bytes);
      const message = readAll(bytes);
      this.sent.push(message);
      if (message.type >= 0 && message.ns === this.nr) this.nr++;
      this.sentTo.push(to);
    }
  }

  /** Time passes; all that is due happens. */
  pass(seconds: number): void {
    const until = this.now + seconds;
    this.turn();
    while (this.endpoint.nextTime <= until) {
      this.now = Math.max(this.now, this.endpoint.nextTime);
      this.turn();
    }
    this.now = until;
  }

  receive(bytes: Uint8Array, from: Peer = LAC): string {
    const word = this.endpoint.receive(bytes, from, this.now);
    this.turn();
    return word;
  }

  /** The peer says this next, and acknowledges everything. */
  say(message: L2tpMessageInput, from: Peer = LAC): string {
    return this.receive(buildMessage({ tunnel: this.tunnel, ns: this.ns++, nr: this.nr, ...message }), from);
  }

  /** The answers since the last call, by name, without ZLBs. */
  names(): string[] {
    return this.sent
      .splice(0)
      .map((message) => {
        const told = message.avps.find(({ type, vendor }) => type === 9 && vendor === 0)?.value;
        if (typeof told === 'number' && (message.type === M.SCCRP || message.type === M.SCCRQ)) this.tunnel = told;
        return message.name;
      })
      .filter((name) => name !== 'ZLB');
  }

  /** The peer dials and connects. */
  dialled(): L2tpTunnel {
    this.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start() });
    this.names();
    this.say({ type: M.SCCCN, nr: 1 });
    const tunnel = this.endpoint.tunnels.get(this.tunnel);
    if (tunnel?.state !== 'established') throw new Error('no tunnel');
    return tunnel;
  }
}
