/** How a gateway speaks to hosts, to switches and to the other members about itself. */
import type { AddressWords } from '../wire/address.js';
import { advertRoom, emitAdvertBody } from '../wire/gateway-advert.js';
import { readFrameBody, readTellBody } from '../wire/gateway-orders.js';
import type { Answers } from './answers/answers.js';
import type { Courier } from './courier.js';
import type { Election } from './election.js';
import type { Forwarders } from './forwarders.js';
import type { Holdings } from './holdings.js';
import type { Hosts } from './hosts/hosts.js';
import { forwarderOf, type Mac, readMac } from './mac.js';
import type { Members } from './members.js';
import type { Self } from './self.js';
import type { GroupOptions } from './types.js';

const ETHERNET_HEADER = 14;
const NOTHING = new Uint8Array(0);

export interface VoiceParts {
  readonly options: GroupOptions;
  readonly self: Self;
  /** `settingsDigest` of the options. */
  readonly digest: number;
  readonly members: Members;
  readonly forwarders: Forwarders;
  readonly holdings: Holdings;
  readonly hosts: Hosts;
  readonly courier: Courier;
  readonly answers: Answers;
}

export class Voice {
  readonly #parts: VoiceParts;

  constructor(parts: VoiceParts) {
    this.#parts = parts;
  }

  get digest(): number {
    return this.#parts.digest;
  }

  /**
   * A reply that names a forwarder, from our port or from that of its server. From ours, the switches take its virtual
   * MAC for here: its server shows them at once that it is not, and until then we take what they bring us.
   */
  reply(forwarder: number, frame: Uint8Array): void {
    const { forwarders, options, self, courier, members } = this.#parts;
    const server = forwarders.serverOf(forwarder);
    const own = server === options.number;
    if (!own && self.settings.replies === 'forwarder' && members.get(server)?.alive === true)
      return courier.emit(frame, server);
    courier.frame(frame);
    if (!own) courier.taught(forwarder, server);
  }

  /** Tells a host of its forwarder, from the port of whoever serves that. */
  tell(host: Mac, addresses: readonly AddressWords[], forwarder: number): void {
    const { forwarders, options, courier, answers } = this.#parts;
    const server = forwarders.serverOf(forwarder);
    if (server !== options.number) courier.tell({ host, addresses, forwarder }, server);
    else for (const frame of answers.tell(host, addresses, forwarder)) courier.frame(frame);
  }

  /** When switches are to be shown something. */
  get nextTime(): number {
    return Math.min(this.#parts.holdings.nextTime, this.#parts.courier.nextTime);
  }

  /** Shows the switches where a virtual MAC is. */
  teach(forwarder: number): void {
    this.#parts.courier.frame(this.#parts.answers.teach(forwarder));
  }

  /** What the master has us send. False: it was not for us to do. */
  relay(type: string, body: Uint8Array, fromMaster: boolean): boolean {
    const { holdings, courier, answers, options } = this.#parts;
    if (type === 'teach') {
      for (const forwarder of new Set(body)) if (holdings.serves(forwarder)) this.teach(forwarder);
      return true;
    }
    if (!fromMaster) return false;
    if (type === 'emit') {
      const frames = readFrameBody(body);
      const ours = (frame: Uint8Array): boolean =>
        frame.length >= ETHERNET_HEADER && forwarderOf(options.scheme, options.group, readMac(frame, 6)) !== 0;
      if (frames?.every(ours) !== true) return false;
      for (const frame of frames) courier.frame(frame);
      return true;
    }
    const entries = type === 'tell' ? readTellBody(body) : null;
    for (const { host, addresses, forwarder } of entries ?? [])
      for (const frame of answers.tell(host, addresses, forwarder)) courier.frame(frame);
    return entries !== null;
  }

  /** The body of an advert. */
  advert(now: number, election: Election): Uint8Array {
    const { hosts, self, options, members, forwarders, digest } = this.#parts;
    const master = election.state === 'master';
    const recent = master ? hosts.recent(now) : NOTHING;
    const room = advertRoom(recent.length);
    const { load, tracking, priority, weight } = self;
    return emitAdvertBody({
      state: election.state,
      able: tracking.able,
      priority,
      master: election.master,
      interval: options.interval,
      weight,
      load: load.share,
      bitsPerSecond: load.bitsPerSecond,
      packetsPerSecond: load.packetsPerSecond,
      settings: digest,
      position: hosts.position(),
      mac: readMac(options.mac),
      address: options.ownAddress,
      heard: members.heardList(now, room.heard),
      forwarders: master ? forwarders.entries(now, room.forwarders) : [],
      recent,
      reasons: tracking.reasons,
    });
  }
}
