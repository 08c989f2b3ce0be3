/**
 * What hosts get to hear of a GLBP group: the active virtual gateway answers ARP and Neighbour Solicitation with the
 * forwarder that it selects. The hosts are remembered here alone; another gateway that succeeds begins with none.
 */
import { formatWords } from '../../wire/address.js';
import { Answers } from '../answers/answers.js';
import type { Ask, Claim } from '../answers/heard.js';
import { SourceLimits } from '../answers/limits.js';
import { PendingAsks } from '../answers/pending.js';
import { Hosts } from '../hosts/hosts.js';
import type { ForwarderView } from '../hosts/types.js';
import { macText, writeMacNumber, readMac, type Mac } from '../mac.js';
import type { GatewayEvent, GroupSettings, HostFilter, HostRow } from '../types.js';
import type { GlbpOptions } from './options.js';

/** The number that this gateway has in its own host table. */
const SELF = 1;
const ETHERNET_SOURCE = 6;

export interface DeskForwarder {
  readonly number: number;
  readonly mac: Uint8Array;
  readonly givenOut: boolean;
  /** 0: nobody. */
  readonly server: number;
  /** This gateway serves it. */
  readonly serves: boolean;
  readonly weight: number;
}

export class GlbpDesk {
  readonly #o: GlbpOptions;
  readonly #answers: Answers;
  readonly #limits: SourceLimits;
  readonly #pending = new PendingAsks();
  readonly #counters: Record<string, number> = {};
  #settings: GroupSettings;
  /** Null while another one answers. */
  #hosts: Hosts | null = null;
  #forwarders: readonly DeskForwarder[] = [];
  #told = '';
  #frames: Uint8Array[] = [];
  #events: GatewayEvent[] = [];
  #lastConflict = Number.NEGATIVE_INFINITY;

  constructor(options: GlbpOptions) {
    this.#o = options;
    this.#settings = options;
    this.#answers = new Answers({ scheme: 'cisco', group: options.group, addresses: options.addresses });
    this.#limits = new SourceLimits(options.perSource);
  }

  configure(settings: Partial<GroupSettings>, now: number): void {
    this.#settings = { ...this.#settings, ...settings };
    if (settings.perSource !== undefined) this.#limits.configure(settings.perSource);
    this.#hosts?.configure(hostsSettings(this.#settings), now);
  }

  /** True: this gateway answers from now on. */
  setOffice(holds: boolean, now: number): void {
    if (holds === (this.#hosts !== null)) return;
    this.#told = '';
    if (!holds) {
      this.#hosts = null;
      return;
    }
    const { hostLimit } = this.#o;
    this.#hosts = new Hosts({ ...hostsSettings(this.#settings), number: SELF, hostLimit });
    this.#hosts.follow(SELF, now);
  }

  setForwarders(forwarders: readonly DeskForwarder[], now: number): void {
    const told = JSON.stringify(forwarders);
    if (told === this.#told || this.#hosts === null) return;
    this.#told = told;
    this.#forwarders = forwarders;
    this.#hosts.setForwarders(
      forwarders.map(
        ({ number, server, givenOut, weight }): ForwarderView => ({ number, server, givenOut, weight, load: 0 }),
      ),
      now,
    );
    // What was asked while nobody answered.
    if (forwarders.some(({ givenOut }) => givenOut)) for (const ask of this.#pending.take(now)) this.#answer(ask, now);
  }

  /** The active gateway was heard: it has answered what came before. */
  answeredUntil(time: number): void {
    this.#pending.answeredUntil(time);
  }

  receive(frame: Uint8Array, now: number): void {
    const heard = this.#answers.classify(frame);
    if (heard.kind === 'claim') this.#conflict(heard, now);
    const ask = heard.kind === 'ask' ? heard : heard.kind === 'claim' ? heard.ask : null;
    if (ask === null) return;
    if (this.#hosts === null) {
      this.#count('notMine');
      this.#pending.remember(ask, now);
      return;
    }
    const known = this.#hosts.forwarderOf(ask.host) !== 0;
    if (this.#limits.admit(ask.host, known, now)) this.#answer(ask, now);
    else if (this.#limits.flooding(ask.host, now))
      this.#event('flood', ask.host, `${macText(ask.host)} asks too often: some of its questions get no answer`, now);
  }

  #answer(ask: Ask, now: number): void {
    const number = this.#hosts?.choose(ask.host, { address: ask.address, turn: ask.turn }, now) ?? null;
    if (number === null) {
      this.#count('unanswered');
      this.#pending.remember(ask, now);
      return;
    }
    const reply = this.#answers.reply(ask, number);
    // GLBP has no word by which the forwarder would teach the switches again at once, so the reply must not make them
    // look for another gateway's virtual MAC at this port.
    const chosen = this.#forwarders.find((forwarder) => forwarder.number === number);
    if (chosen?.serves !== true) {
      const own = this.#forwarders.find(({ serves }) => serves)?.mac ?? this.#o.mac;
      writeMacNumber(reply, ETHERNET_SOURCE, readMac(own));
    }
    this.#frames.push(reply);
    this.#drain(now);
    this.#count(ask.protocol === 'arp' ? 'answeredArp' : 'answeredNd');
  }

  #conflict({ station, target }: Claim, now: number): void {
    this.#count('addressConflicts');
    if (now - this.#lastConflict < 60) return;
    this.#lastConflict = now;
    const text = `${macText(station)} says that it has the shared address ${formatWords(target)}`;
    this.#event('address-conflict', station, text, now);
  }

  tick(now: number): void {
    this.#hosts?.tick(now);
    this.#drain(now);
  }

  /** GLBP has no words for what the table would tell other members, and hosts are not moved. */
  #drain(now: number): void {
    this.#hosts?.messages(now);
    this.#hosts?.moves(now);
    this.#hosts?.events();
  }

  get nextTime(): number {
    return this.#hosts?.nextTime ?? Number.POSITIVE_INFINITY;
  }

  output(): { readonly frames: readonly Uint8Array[]; readonly events: readonly GatewayEvent[] } {
    const output = { frames: this.#frames, events: this.#events };
    if (output.frames.length > 0) this.#frames = [];
    if (output.events.length > 0) this.#events = [];
    return output;
  }

  hosts(now: number, filter: HostFilter = {}): HostRow[] {
    return this.#hosts?.rows(now, filter) ?? [];
  }

  get size(): number {
    return this.#hosts?.size ?? 0;
  }

  countOf(number: number): number {
    return this.#hosts?.countOf(number) ?? 0;
  }

  counters(): Record<string, number> {
    const { perSource, strangers } = this.#limits.counters();
    return { ...this.#counters, limitedPerSource: perSource, limitedStrangers: strangers };
  }

  #count(name: string): void {
    this.#counters[name] = (this.#counters[name] ?? 0) + 1;
  }

  #event(kind: GatewayEvent['kind'], mac: Mac, text: string, at: number): void {
    this.#events.push({ kind, at, number: 0, mac, text });
  }
}

/** Hosts are not moved: the others would not hear of it. */
function hostsSettings({ algorithm, sticky, hostIdle }: GroupSettings) {
  return { algorithm, sticky, hostIdle, return: 'stay', rebalance: null } as const;
}
