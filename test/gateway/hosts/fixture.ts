/** Members' host tables joined by a network that loses, delays and reorders, under a virtual clock; all from one seed. */
import { randomOf } from '../../helpers/seeded-random.js';
import { Hosts } from '../../../src/gateway/hosts/hosts.js';
import type { ForwarderView, HostsOptions, Move } from '../../../src/gateway/hosts/types.js';
import type { AddressWords } from '../../../src/wire/address.js';
import type { Position } from '../../../src/wire/gateway-hosts.js';

export const OPTIONS: HostsOptions = {
  number: 1,
  algorithm: 'weighted',
  sticky: true,
  hostLimit: 4096,
  hostIdle: 14_400,
  return: 'gradual',
  rebalance: null,
};

/** The MAC and the address of host i. */
export const macOf = (i: number): number => 0x020000000000 + i;
export const addressOf = (i: number): AddressWords => [0, 0, 0xffff, (0x0a000000 + i) >>> 0];
export const asked = (i: number, turn = true) => ({ address: addressOf(i), turn });

/** Forwarders served by their owners. */
export function views(...weights: readonly number[]): ForwarderView[] {
  return weights.map((weight, i) => ({ number: i + 1, server: i + 1, givenOut: true, weight, load: 0 }));
}

/** A master with these forwarders. */
export function master(
  options: Partial<HostsOptions> = {},
  forwarders: readonly ForwarderView[] = views(100, 100, 100),
) {
  const hosts = new Hosts({ ...OPTIONS, ...options });
  hosts.setForwarders(forwarders, 0);
  hosts.follow(hosts.number, 0);
  return hosts;
}

/** Lets hosts 0 … count − 1 ask and returns how many each forwarder got. */
export function ask(hosts: Hosts, count: number, now = 0): Map<number, number> {
  const got = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const forwarder = hosts.choose(macOf(i), asked(i), now) ?? 0;
    got.set(forwarder, (got.get(forwarder) ?? 0) + 1);
  }
  return got;
}

/** Runs the clock until nothing is due or the time is over; returns what was told, with its time. */
export function run(hosts: Hosts, from: number, until: number): { at: number; move: Move }[] {
  const told: { at: number; move: Move }[] = [];
  for (let now = from; now <= until; ) {
    hosts.tick(now);
    for (const move of hosts.moves(now)) told.push({ at: now, move });
    hosts.messages(now);
    now = Math.max(now + 0.001, Math.min(hosts.nextTime, until + 1));
  }
  return told;
}

interface Packet {
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly body: Uint8Array | null;
  readonly position: Position | null;
}

export class Net {
  now = 0;
  bytes = 0;
  packets = 0;
  loss = 0;
  jitter = 0;
  /** Which of two members hear each other. */
  hears: (from: number, to: number) => boolean = () => true;
  readonly members: Hosts[];
  readonly #random: () => number;
  readonly #interval: number;
  #onTheWay: Packet[] = [];
  #nextAdvert = 0;

  constructor(count: number, seed: number, options: Partial<HostsOptions> = {}, interval = 0.1) {
    this.#random = randomOf(seed);
    this.#interval = interval;
    const forwarders = views(...Array.from({ length: count }, () => 100));
    this.members = forwarders.map(({ number }) => {
      const hosts = new Hosts({ ...OPTIONS, ...options, number });
      hosts.setForwarders(forwarders, 0);
      return hosts;
    });
  }

  member(number: number): Hosts {
    return this.members[number - 1];
  }

  /** All of them (or these) take this one for their master. */
  elect(master: number, among: readonly number[] = this.members.map(({ number }) => number)): void {
    for (const number of among) this.member(number).follow(master, this.now);
  }

  /** Sends what the members have to say, in this turn. */
  flush(): void {
    for (const hosts of this.members) {
      for (const { to, body } of hosts.messages(this.now)) this.#send(hosts.number, to, body, null);
    }
  }

  /** Lets time pass. */
  run(seconds: number, step = 0.005): void {
    const until = this.now + seconds;
    while (this.now < until) {
      this.now = Math.min(until, this.now + step);
      if (this.now >= this.#nextAdvert) {
        this.#nextAdvert = this.now + this.#interval;
        for (const hosts of this.members) this.#send(hosts.number, 0, hosts.recent(this.now), hosts.position());
      }
      const due = this.#onTheWay.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at);
      this.#onTheWay = this.#onTheWay.filter(({ at }) => at > this.now);
      for (const { from, to, body, position } of due) {
        const hosts = this.member(to);
        if (position !== null) hosts.heard(from, position, this.now);
        if (body !== null && body.length > 0) hosts.receive(from, body, this.now);
      }
      for (const hosts of this.members) hosts.tick(this.now);
      this.flush();
    }
  }

  /** What each member knows, as text that can be compared. */
  tables(): string[] {
    return this.members.map((hosts) => tableOf(hosts));
  }

  #send(from: number, to: number, body: Uint8Array | null, position: Position | null): void {
    this.packets++;
    this.bytes += (body?.length ?? 0) + (position === null ? 0 : 20);
    for (const { number } of this.members) {
      if (number === from || (to !== 0 && number !== to)) continue;
      if (!this.hears(from, number) || this.#random() < this.loss) continue;
      const copy = body === null ? null : body.slice();
      this.#onTheWay.push({
        at: this.now + 0.0002 + this.#random() * this.jitter,
        from,
        to: number,
        body: copy,
        position,
      });
    }
  }
}

export function tableOf(hosts: Hosts): string {
  return hosts
    .rows(0)
    .map(({ mac, forwarder, home, confirmed, addresses }) =>
      [mac, forwarder, home, confirmed, addresses.map(String).sort().join(' ')].join(','),
    )
    .sort()
    .join('\n');
}
