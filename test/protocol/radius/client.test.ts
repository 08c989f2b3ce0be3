import { describe, expect, test } from 'vitest';
import { RadiusClient } from '../../../src/protocol/radius/client.js';
import type {
  AccessRequest,
  RadiusClientOptions,
  RadiusDatagram,
  RadiusEvent,
} from '../../../src/protocol/radius/types.js';
import { parseAddress } from '../../../src/wire/address.js';
import { ATTRIBUTE, MICROSOFT, MICROSOFT_ATTRIBUTE } from '../../../src/wire/radius-attributes.js';
import { attribute, numberAttribute, textAttribute } from '../../../src/wire/radius-values.js';
import { TestRadiusServer } from '../../helpers/radius-server.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const SECRET = bytes('a secret');
const PORTS = { authentication: 1812, accounting: 1813 };

/** A seeded generator (mulberry32): the same network in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Servers 10.0.0.1, 10.0.0.2 … and a network between them and the client that loses, delays and repeats. */
class Net {
  now = 0;
  readonly events: RadiusEvent[] = [];
  readonly sent: RadiusDatagram[] = [];
  readonly client: RadiusClient;
  readonly #dice: () => number;
  #flying: { at: number; act: () => void }[] = [];

  constructor(
    readonly servers: readonly TestRadiusServer[],
    options: Partial<RadiusClientOptions> = {},
    readonly loss = 0,
    seed = 1,
  ) {
    this.#dice = seeded(seed);
    const places = (port: number) =>
      servers.map(({ secret }, i) => ({ name: `s${i + 1}`, address: `10.0.0.${i + 1}`, port, secret }));
    this.client = new RadiusClient({
      authentication: places(PORTS.authentication),
      accounting: places(PORTS.accounting),
      nas: { identifier: 'nas', address: parseAddress('10.1.1.1') ?? undefined },
      random: (length) => Uint8Array.from({ length }, () => Math.floor(this.#dice() * 256)),
      ...options,
    });
  }

  /** Lets so many seconds pass. */
  run(seconds: number): void {
    const until = this.now + seconds;
    for (;;) {
      for (const datagram of this.client.output(this.now)) this.#carry(datagram);
      this.events.push(...this.client.events());
      this.#flying.sort((a, b) => a.at - b.at);
      const next = Math.min(this.#flying[0]?.at ?? Number.POSITIVE_INFINITY, this.client.nextTime);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      while (this.#flying.length > 0 && this.#flying[0].at <= this.now) this.#flying.shift()?.act();
    }
    this.now = until;
  }

  of<T extends RadiusEvent['type']>(type: T): Extract<RadiusEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<RadiusEvent, { type: T }> => event.type === type);
  }

  #carry(datagram: RadiusDatagram): void {
    this.sent.push(datagram);
    const server = this.servers[Number(datagram.address.split('.')[3]) - 1];
    this.#fly(() => {
      const answer = server.receive(datagram.bytes);
      if (answer === null) return;
      const { socket, address, port } = datagram;
      this.#fly(() => this.client.receive(answer, { socket, address, port }, this.now));
    });
  }

  #fly(act: () => void): void {
    if (this.#dice() < this.loss) return;
    const copies = this.#dice() < this.loss / 2 ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#flying.push({ at: this.now + 0.001 + this.#dice() * 0.05, act });
  }
}

const pap = (userName: string, password = 'p'): AccessRequest => ({
  session: { userName },
  credentials: { method: 'pap', password: bytes(password) },
});
const server = (users = {}): TestRadiusServer => new TestRadiusServer(SECRET, { alice: { password: 'p' }, ...users });

describe('access', () => {
  test('who is right is accepted, who is not is rejected', () => {
    const net = new Net([server()]);
    const [right, wrong, nobody] = [pap('alice'), pap('alice', 'q'), pap('bob')].map((one) =>
      net.client.access(one, 0),
    );
    net.run(1);
    expect(net.events.map(({ type, ...rest }) => [type, 'token' in rest ? rest.token : 0]).sort()).toEqual(
      [
        ['accepted', right],
        ['rejected', wrong],
        ['rejected', nobody],
      ].sort(),
    );
    expect(net.servers[0].forged).toBe(0);
    expect(net.sent).toHaveLength(3);
    expect(net.client.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a reply in fields', () => {
    const net = new Net([
      server({
        carol: {
          password: 'p',
          reply: [
            attribute(ATTRIBUTE.framedIpAddress, Uint8Array.of(10, 9, 8, 7)),
            textAttribute(ATTRIBUTE.framedPool, 'gold'),
            numberAttribute(ATTRIBUTE.sessionTimeout, 3600),
            attribute(ATTRIBUTE.class, Uint8Array.of(1, 0, 255)),
            attribute(ATTRIBUTE.class, Uint8Array.of(2)),
            attribute(ATTRIBUTE.idleTimeout, Uint8Array.of(1)),
            attribute(MICROSOFT_ATTRIBUTE.primaryDnsServer, Uint8Array.of(10, 0, 0, 53), MICROSOFT),
            attribute(MICROSOFT_ATTRIBUTE.chap2Success, bytes('\u0001S=0123'), MICROSOFT),
            attribute(ATTRIBUTE.framedIpv6Prefix, Uint8Array.of(0, 32, 0x20, 1, 0x0d, 0xb8)),
          ],
        },
      }),
    ]);
    net.client.access(pap('carol'), 0);
    net.run(1);
    const { reply } = net.of('accepted')[0];
    expect(reply).toMatchObject({
      address: '10.9.8.7',
      pool: 'gold',
      sessionTimeout: 3600,
      idleTimeout: null,
      dns: ['10.0.0.53'],
      msChapSuccess: 'S=0123',
      ipv6Prefix: '2001:db8::/32',
      unreadable: 1,
      tunnels: [],
    });
    expect(reply.classes).toEqual([Uint8Array.of(1, 0, 255), Uint8Array.of(2)]);
    expect(net.client.counters.unreadableAttributes).toBe(1);
  });

  test.each([
    ['255.255.255.254', 'any'],
    ['255.255.255.255', 'client'],
  ])('the address %s means %s', (text, meaning) => {
    const reply = [attribute(ATTRIBUTE.framedIpAddress, Uint8Array.from(text.split('.').map(Number)))];
    const net = new Net([server({ carol: { password: 'p', reply } })]);
    net.client.access(pap('carol'), 0);
    net.run(1);
    expect(net.of('accepted')[0].reply.address).toBe(meaning);
  });
});
