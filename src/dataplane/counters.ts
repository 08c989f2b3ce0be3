/**
 * A shard's statistics: one Float64Array in shared memory, written by that shard (and its native calls) only, read by
 * the main thread. Lives in the main thread's memory, so it survives a shard's crash.
 */
import { DESCRIPTORS } from '../tunnels/index.js';
import { DROP_REASONS } from './drop-reasons.js';

export const COUNTER = {
  framesReceived: 0,
  framesSent: 1,
  bytesSent: 2,
  packetsIn: 3, // client → server
  packetsOut: 4,
  bytesIn: 5, // IP packet lengths
  bytesOut: 6,
  passed: 7, // not ours: the host's
  handedOver: 8, // given to the owner shard
  answered: 10, // ARP, ND and echo for a VIP
  requests: 11, // tunnel requests that made a new tunnel
  requestsRepeated: 12, // retransmissions that followed the first
  sessionsUnlisted: 13, // sessions forwarded but not listed: session table full
  held: 14, // messages held until a floating port was registered
  virtualChannels: 15, // tunnels that got a virtual id
  captureLost: 17, // frames that a capture did not get: its ring was full
  offloaded: 18, // tunnels given to the XDP program, each time that they were
  withdrawn: 19, // … and taken back
  offloadDeferred: 20, // tunnels that were to be given to it and found too many waiting: a review does it
  fragments: 26, // fragments sent on
  fragmentsHeld: 27, // fragments that came before their first one and had to wait
  mssClamped: 31, // MSS of TCP connections inside tunnels that were made smaller
  icmpTranslated: 29, // ICMP errors about packets of tunnels, sent on
  fragmentsWaiting: 28, // … of which so many wait now
  heard: 21, // neighbours' answers that the host has no device for (xdp)

  // Identities: 32 … 39. What other parts count has its own range: fragments and errors 48 …, health 60 …, policy 76 …,
  // load 92 …, seeing 108 ….
  virtualPorts: 32, // tunnels whose server sees another client port
  hiddenLearnt: 33, // hidden ids that were learnt from the other end's messages
  hiddenRead: 34, // hidden ids that the configured secret made readable
  secretsWrong: 35, // hidden ids that the configured secret did not make readable
  hiddenMoved: 36, // half-open tunnels sent to the server of their client's other tunnels, because their ids are hidden
  followed: 37, // requests that followed an older tunnel's server: recovery, tie breaker, hidden ids
  recoveriesUnknown: 38, // requests that recover a tunnel which is not in the table
  idsReused: 39, // ids given again while a living tunnel still had them

  // Ways of answers: 40 … 47.
  fullNats: 40, // tunnels that were put on full NAT
  localPortsShort: 41, // … and that could not be: no port of the VIP's `localAddress` was found free
  natAnswers: 42, // tunnels that the NAT server made from a server's answer
  natMissed: 43, // … and those whose answer was missed, learnt from later messages

  // Fragments and errors: 48 … 59.
  icmpMade: 48, // ICMP errors of our own, given to the main thread
  icmpWithheld: 49, // … that a limit did not allow

  // Health: 60 … 75.
  requestsMoved: 60, // requests that went to another server because theirs did not answer
  tunnelsEnded: 61, // tunnels ended in their ends' name: server down, end of a drain
  proxyAnswered: 62, // messages of such a tunnel's ends that were acknowledged here
  takeOversMoved: 63, // tunnels that lead to their server's peer from now on
  takeOversLeft: 64, // … and those that could not be moved
  requestsUnwatched: 65, // requests that were not watched for repetition: too many at a time
  grouped: 66, // requests with a group's key
  groupsFollowed: 67, // … that followed the group's other tunnels
  groupsUnkept: 68, // … whose group found no room in the memory of groups

  // Gateway group: 70 … 75.
  relayed: 70, // packets of tunnels that another member has, handed on to it

  // Shared tables: 72 … 75.
  toWriters: 72, // control messages of tunnels that another member writes, sent to it over the bus
  toMembers: 73, // … of tunnels that are not known here, sent to all members
  fromMembersLost: 74, // messages of members that found too many waiting
  tunnelsAdopted: 75, // tunnels that became ours since their writer is gone

  // Ways of answering: 110 …
  followChanges: 110, // times that a client showed that it follows answers, or does not
  followUntold: 111, // … of which the main thread was not told: too many at once
  carriedOn: 112, // tunnels of clients that sent on to the VIP and were carried on to their server
  answeredFromVip: 113, // tunnels whose answers come from the VIP because their client refuses others
  refusalsUnhelped: 114, // tunnels of clients that refuse answers and cannot be helped: the VIP has no localAddress
  refusalsTold: 115, // ICMP errors of clients' hosts about answers from the NAT address
  followForgotten: 116, // clients that gave way to later ones in the memory of what clients do
  followUnwatched: 117, // requests whose silence tells nothing of their client: too many wait
} as const;

/** Drop counters begin here: DROP_REASONS first, then every descriptor's malformed reasons. */
export const DROP_BASE = 128;

/** All drop reasons with their sentences, in counter order. */
export const ALL_DROP_REASONS: readonly (readonly [name: string, description: string])[] = [
  ...DROP_REASONS,
  ...[...DESCRIPTORS.values()].flatMap((descriptor) => descriptor.malformed),
];

/** Counter index of the first malformed reason of each protocol id. */
export const MALFORMED_BASE: Int32Array = (() => {
  const base = new Int32Array(256);
  let next = DROP_BASE + DROP_REASONS.length;
  for (const descriptor of DESCRIPTORS.values()) {
    base[descriptor.id] = next;
    next += descriptor.malformed.length;
  }
  return base;
})();

/** Slots for the firewall's rules, twice as many as there may be, so that a slot is not given to another rule at once. */
export const RULE_SLOTS = 2048;
/** What no rule matched. */
export const DEFAULT_SLOT = 0;
/** Counters of a slot. */
export const RULE_COUNTER = {
  matched: 0, // packets and tunnel requests that the rule decided about
  refused: 1, // of these, requests over the rule's rate
} as const;
const RULE_COUNTERS = 2;
const RULE_BASE = DROP_BASE + ALL_DROP_REASONS.length;

export function ruleCounter(slot: number, counter: number): number {
  return RULE_BASE + slot * RULE_COUNTERS + counter;
}

export const STATISTICS_LENGTH = RULE_BASE + RULE_SLOTS * RULE_COUNTERS;

export function newStatistics(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(STATISTICS_LENGTH * 8));
}
