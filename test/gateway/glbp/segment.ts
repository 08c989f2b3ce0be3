/** GLBP gateways on one segment in virtual time: a frame arrives a millisecond later at whom it is addressed to. */
import type { GlbpHeard } from '../../../src/gateway/glbp/messages.js';
import { readGlbpFrame } from '../../../src/gateway/glbp/frame.js';
import { GlbpGroup } from '../../../src/gateway/glbp/group.js';
import { GLBP_DEFAULTS, type GlbpOptions } from '../../../src/gateway/glbp/options.js';
import { macText, readMac } from '../../../src/gateway/mac.js';
import { type GatewayEvent, GROUP_DEFAULTS } from '../../../src/gateway/types.js';
import { type AddressWords, parseAddress } from '../../../src/wire/address.js';
import { readGlbp } from '../../../src/wire/glbp.js';
import { arp } from '../../helpers/neighbour-frames.js';

const DELAY = 0.001;
export const SHARED = '10.7.0.254';
export const address = (text: string): AddressWords => parseAddress(text) as AddressWords;

export class Gateway {
  readonly group: GlbpGroup;
  readonly mac: Uint8Array;
  readonly holds = new Set<number>();
  readonly events: GatewayEvent[] = [];
  readonly sent: Uint8Array[] = [];
  dead = false;
  /** Only those on the same side hear each other. */
  side = 0;

  constructor(
    readonly index: number,
    options: Partial<GlbpOptions>,
    now: number,
  ) {
    this.mac = Uint8Array.of(2, 0, 0, 0, 0, index);
    this.group = new GlbpGroup(
      {
        ...GROUP_DEFAULTS,
        name: 'lan',
        group: 7,
        number: index,
        mac: this.mac,
        ownAddress: address(`10.7.0.${index}`),
        addresses: [address(SHARED)],
        key: new Uint8Array(0),
        preempt: null,
        random: (count) => new Uint8Array(count),
        ...options,
        glbp: { ...GLBP_DEFAULTS, secret: { kind: 'none' }, ...options.glbp },
      },
      now,
    );
  }

  get row() {
    return this.group.members(0)[0];
  }
}

interface Flying {
  readonly at: number;
  readonly frame: Uint8Array;
  readonly from: Gateway | null;
}

export class Segment {
  now = 0;
  readonly gateways: Gateway[] = [];
  readonly #flying: Flying[] = [];
  /** What reached hosts: the replies. */
  replies: Uint8Array[] = [];

  add(options: Partial<GlbpOptions> = {}, index = this.gateways.length + 1): Gateway {
    const gateway = new Gateway(index, options, this.now);
    this.gateways.push(gateway);
    return gateway;
  }

  /** To all gateways, as a switch does with what is addressed to all. */
  inject(frame: Uint8Array): void {
    this.#flying.push({ at: this.now + DELAY, frame, from: null });
  }

  ask(host: number, sender = `10.7.1.${host}`): void {
    this.inject(arp({ from: 0x020000001000 + host, sender, target: SHARED }));
  }

  run(until: number): void {
    for (;;) {
      const flying = this.#flying[0]?.at ?? Number.POSITIVE_INFINITY;
      const due = Math.min(flying, ...this.gateways.filter(({ dead }) => !dead).map(({ group }) => group.nextTime));
      if (due > until) break;
      this.now = Math.max(this.now, due);
      if (flying <= this.now) {
        const { frame, from } = this.#flying.shift() as Flying;
        this.#deliver(frame, from);
        continue;
      }
      for (const gateway of this.gateways) {
        if (gateway.dead || gateway.group.nextTime > this.now) continue;
        gateway.group.tick(this.now);
        this.#drain(gateway);
      }
      this.#turns++;
      if (this.#turns > 200_000) throw new Error('no progress');
    }
    this.now = until;
  }

  #turns = 0;

  #deliver(frame: Uint8Array, from: Gateway | null): void {
    const to = readMac(frame);
    for (const gateway of this.gateways) {
      if (gateway === from || gateway.dead || (from !== null && from.side !== gateway.side)) continue;
      const toHim = (frame[0] & 1) !== 0 || to === readMac(gateway.mac) || gateway.holds.has(to);
      if (!toHim) continue;
      gateway.group.receive(frame, this.now);
      this.#drain(gateway);
    }
    if (from !== null && frame[0] === 2 && frame[4] !== 0) this.replies.push(frame);
  }

  /** What the caller has made a gateway say. */
  take(gateway: Gateway): void {
    this.#drain(gateway);
  }

  #drain(gateway: Gateway): void {
    const { frames, actions, events } = gateway.group.output();
    gateway.events.push(...events);
    for (const { kind, mac } of actions) {
      if (kind === 'hold') gateway.holds.add(readMac(mac));
      else gateway.holds.delete(readMac(mac));
    }
    for (const frame of frames) {
      gateway.sent.push(frame.slice());
      this.#flying.push({ at: this.now + DELAY, frame, from: gateway });
    }
  }

  /** Virtual MACs and who holds each. */
  get held(): Record<string, number[]> {
    const held: Record<string, number[]> = {};
    for (const gateway of this.gateways) {
      if (gateway.dead) continue;
      for (const mac of gateway.holds) (held[macText(mac)] ??= []).push(gateway.index);
    }
    return Object.fromEntries(Object.entries(held).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  get masters(): number[] {
    return this.gateways.filter(({ dead, row }) => !dead && row.master).map(({ index }) => index);
  }
}

export function messageOf(frame: Uint8Array): GlbpHeard['message'] | null {
  const datagram = readGlbpFrame(frame);
  if (datagram === null || typeof datagram === 'string') return null;
  const message = readGlbp(datagram.payload);
  return typeof message === 'string' ? null : message;
}
