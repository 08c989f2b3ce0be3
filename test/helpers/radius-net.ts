/** RADIUS servers of a test, and a network with a virtual clock between them and the client that is tested. */
import { RadiusClient } from '../../src/protocol/radius/client.js';
import type {
  AccessRequest,
  AccountingRecord,
  RadiusClientOptions,
  RadiusDatagram,
  RadiusEvent,
} from '../../src/protocol/radius/types.js';
import { parseAddress } from '../../src/wire/address.js';
import { TestRadiusServer } from './radius-server.js';

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const SECRET = bytes('a secret');
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
export class Net {
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

export const pap = (userName: string, password = 'p'): AccessRequest => ({
  session: { userName },
  credentials: { method: 'pap', password: bytes(password) },
});
export const record = (
  status: AccountingRecord['status'],
  sessionId: string,
  more: Partial<AccountingRecord> = {},
): AccountingRecord => ({
  status,
  session: { userName: 'alice', sessionId },
  ...more,
});
export const server = (users = {}): TestRadiusServer =>
  new TestRadiusServer(SECRET, { alice: { password: 'p' }, ...users });
