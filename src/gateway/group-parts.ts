/** The parts of a group, put together. */
import { Courier } from './courier.js';
import { Desk } from './desk.js';
import { Forwarders } from './forwarders.js';
import { Holdings } from './holdings.js';
import { Hosts } from './hosts/hosts.js';
import { EventLog } from './log.js';
import { virtualMac } from './mac.js';
import { detectionTime, Members } from './members.js';
import type { Peer } from './peer.js';
import { Roster } from './roster.js';
import { Seal } from './seal.js';
import { Self, settingsDigest } from './self.js';
import type { GroupOptions } from './types.js';
import { Voice } from './voice.js';

/** Absences up to so many detection times are no failure. */
export const MOMENT = 4;

/** What the parts ask of the group as it is at the moment. */
export interface GroupState {
  now(): number;
  master(): boolean;
  /** The other member that is master and alive. */
  acting(): Peer | null;
}

export interface GroupParts {
  readonly options: GroupOptions;
  /** Seconds. */
  readonly detection: number;
  readonly self: Self;
  readonly seal: Seal;
  readonly members: Members;
  readonly courier: Courier;
  readonly forwarders: Forwarders;
  readonly holdings: Holdings;
  readonly hosts: Hosts;
  readonly roster: Roster;
  readonly desk: Desk;
  readonly voice: Voice;
  readonly log: EventLog;
}

export function makeParts(options: GroupOptions, state: GroupState): GroupParts {
  const { group, number, interval, losses, key, scheme } = options;
  const detection = detectionTime(interval, losses);
  const self = new Self(options);
  const seal = new Seal(key, group, number, options.random(6));
  const members = new Members({ number, incarnation: seal.incarnation, interval, losses });
  const courier = new Courier(seal, members, group);
  const forwarders = new Forwarders({ ...options, moment: MOMENT * detection });
  const holdings = new Holdings(number, interval, (forwarder) => virtualMac(scheme, group, forwarder));
  const hosts = new Hosts(options);
  const log = new EventLog();
  const desk: Desk = new Desk(options, hosts, {
    get master() {
      return state.master();
    },
    get handsOn() {
      return state.acting() !== null;
    },
    forwards: () => roster.present(state.now()).size > 0,
    serves: (forwarder) => holdings.serves(forwarder),
    send: (frame) => courier.frame(frame),
    reply: (forwarder, frame) => voice.reply(forwarder, frame),
    hand: (frame) => courier.hand(frame, state.acting()?.number ?? 0),
    tell: (host, addresses, forwarder) => voice.tell(host, addresses, forwarder),
    event: (kind, about, mac, text) => log.add(state.now(), kind, about, text, mac),
  });
  const digest = settingsDigest(options);
  const { answers } = desk;
  const voice: Voice = new Voice({ options, self, digest, members, forwarders, holdings, hosts, courier, answers });
  const roster: Roster = new Roster(number, self, members, forwarders, hosts);
  return { options, detection, self, seal, members, courier, forwarders, holdings, hosts, roster, desk, voice, log };
}
