/** The gateways of a group as its forwarders and its hosts need to see them. */
import type { Forwarders, Surroundings } from './forwarders.js';
import type { Hosts } from './hosts/hosts.js';
import type { ForwarderView } from './hosts/types.js';
import type { Members } from './members.js';
import type { Self } from './self.js';

export class Roster {
  readonly #number: number;
  readonly #self: Self;
  readonly #members: Members;
  readonly #forwarders: Forwarders;
  readonly #hosts: Hosts;

  constructor(number: number, self: Self, members: Members, forwarders: Forwarders, hosts: Hosts) {
    this.#number = number;
    this.#self = self;
    this.#members = members;
    this.#forwarders = forwarders;
    this.#hosts = hosts;
  }

  weightOf(number: number): number {
    return number === this.#number ? this.#self.weight : (this.#members.get(number)?.advert?.weight ?? 0);
  }

  loadOf(number: number): number {
    return number === this.#number ? this.#self.load.share : (this.#members.get(number)?.advert?.load ?? 0);
  }

  /** Gateways that are alive and can forward. One that does not hear us cannot be told that it serves its own again. */
  present(now: number): Set<number> {
    const present = new Set<number>();
    if (this.#self.tracking.able) present.add(this.#number);
    for (const peer of this.#members.alive()) {
      const { number, advert } = peer;
      if (advert?.able !== true || advert.state === 'listen' || advert.state === 'stopped') continue;
      if (this.#forwarders.serverOf(number) === number || this.#members.hearsUs(peer, now)) present.add(number);
    }
    return present;
  }

  surroundings(now: number): Surroundings {
    const hosts = this.#hosts;
    const present = this.present(now);
    const hears = (number: number): boolean => {
      const peer = this.#members.get(number);
      return number === this.#number || (peer !== undefined && this.#members.hearsUs(peer, now));
    };
    return {
      self: this.#number,
      present,
      reachable: new Set([...present].filter(hears)),
      loadOf: (number) => this.loadOf(number),
      hostsOf: (forwarder) => hosts.countOf(forwarder),
      leaving: (forwarder) => hosts.leaving(forwarder),
      redistribute: (forwarder) => hosts.redistribute(forwarder, now),
      vacate: (forwarder, to) => hosts.vacate(forwarder, to, now),
      returned: (forwarder) => hosts.returned(forwarder, now),
    };
  }

  /** Forwarders that this gateway is to hold: true for those that it serves; `standsIn`: all others that are served too. */
  holdings(standsIn: boolean): Map<number, boolean> {
    const wanted = new Map<number, boolean>();
    for (const { number, server } of this.#forwarders.rows()) {
      if (server === this.#number) wanted.set(number, true);
      else if (standsIn && server !== 0) wanted.set(number, false);
    }
    return wanted;
  }

  views(): ForwarderView[] {
    return [...this.#forwarders.rows()].map(({ number, server, givenOut }) => ({
      number,
      server,
      givenOut,
      weight: this.#shareOf(number),
      load: this.loadOf(server),
    }));
  }

  /** What counts for new hosts: with `algorithm: master` only whoever asks for it here, which is the master. */
  #shareOf(number: number): number {
    if (this.#self.settings.algorithm !== 'master') return this.weightOf(number);
    return number === this.#number ? Math.max(1, this.#self.weight) : 0;
  }
}
