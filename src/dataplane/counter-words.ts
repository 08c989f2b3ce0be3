/** What each counter of a shard counts, for people and for metrics: `designator show counters`, docs/observing.md. */
import type { COUNTER } from './counters.js';

export type CounterName = keyof typeof COUNTER;

/** Shown elsewhere: in `show workers`, `top`, and metrics of their own. */
export const TRAFFIC_COUNTERS: ReadonlySet<CounterName> = new Set<CounterName>([
  'framesReceived',
  'framesSent',
  'bytesSent',
  'packetsIn',
  'packetsOut',
  'bytesIn',
  'bytesOut',
  'passed',
  'handedOver',
  'answered',
]);

/** These go down, too. */
export const LEVELS: ReadonlySet<CounterName> = new Set<CounterName>(['fragmentsWaiting']);

export const COUNTER_WORDS: Readonly<Record<CounterName, string>> = {
  framesReceived: 'frames received',
  framesSent: 'frames sent',
  bytesSent: 'bytes sent',
  packetsIn: 'IP packets forwarded from clients to servers',
  packetsOut: 'IP packets forwarded from servers to clients',
  bytesIn: 'their bytes, from the outer IP header on, to servers',
  bytesOut: 'their bytes, from the outer IP header on, to clients',
  passed: 'frames that are no tunnel traffic, left to the host',
  handedOver: 'control messages given to the shard that owns the tunnel',
  answered: 'ARP, neighbour discovery and echo requests for a VIP that were answered',
  requests: 'tunnel requests that made a new tunnel',
  requestsRepeated: 'retransmitted tunnel requests that followed the first to its server',
  sessionsUnlisted: 'sessions that are forwarded but not listed: the session table is full',
  held: 'messages held until a floating port was registered with the host’s filter',
  virtualChannels: 'messages in which a virtual tunnel id was shown instead of the server’s',
  captureLost: 'frames that a capture did not get: the ring to the main thread was full',
  offloaded: 'tunnels given to the XDP program, each time that they were',
  withdrawn: 'tunnels taken back from the XDP program',
  offloadDeferred: 'tunnels that were to be given to the XDP program and found too many waiting; a review does it',
  fragments: 'IP fragments of tunnel traffic sent on',
  fragmentsHeld: 'fragments that came before their first one and had to wait',
  fragmentsWaiting: 'fragments that wait now',
  icmpTranslated: 'ICMP errors about packets of tunnels, translated and sent on',
  mssClamped: 'MSS of TCP connections inside tunnels that were made smaller',
  icmpMade: 'ICMP errors of our own: time exceeded, packet too big',
  icmpWithheld: 'ICMP errors of our own that a limit did not allow',
  heard: 'neighbours’ answers on a side where the host has no device',
  virtualPorts: 'tunnels whose server sees another client port',
  hiddenLearnt: 'hidden ids learnt from the other end’s messages',
  hiddenRead: 'hidden ids that the configured secret made readable',
  secretsWrong: 'hidden ids that the configured secret did not make readable',
  hiddenMoved: 'half-open tunnels sent to the server of their client’s other tunnels, because their ids are hidden',
  followed: 'requests that followed an older tunnel’s server: recovery (RFC 4951), tie breaker, hidden ids',
  recoveriesUnknown: 'requests that recover a tunnel which is not in the table',
  idsReused: 'ids given again while a living tunnel still had them',
  fullNats: 'tunnels whose server answers to the designator, because their client refuses answers from elsewhere',
  followChanges: 'times that a client showed that it follows answers from another address, or does not',
  followUntold: 'such changes that `show vips` does not know of: too many at once',
  carriedOn: 'tunnels of clients that went on sending to the VIP and were carried on to their server',
  answeredFromVip: 'tunnels that are answered from the VIP because their client refuses answers from elsewhere',
  refusalsUnhelped: 'requests of clients that refuse such answers and cannot be helped: the VIP has no localAddress',
  refusalsTold: 'ICMP errors by which clients’ hosts refused answers from the NAT address',
  followForgotten: 'clients whose way with answers was forgotten, because too many are known',
  followUnwatched: 'requests whose client is not known to follow by its silence, because too many wait (one-way VIPs)',
  localPortsShort: 'tunnels that could not: no port of the VIP’s localAddress was found free',
  natAnswers: 'tunnels that the NAT server made from a server’s answer',
  natMissed:
    'tunnels whose answer the NAT server has missed, learnt from later messages and packets, each way for itself',
  requestsMoved: 'requests that went to another server because theirs did not answer',
  tunnelsEnded: 'tunnels ended in their ends’ name: the server is down, or its drain is over',
  proxyAnswered: 'messages of such a tunnel’s ends that were acknowledged here',
  requestsUnwatched: 'requests whose repetition is not watched, because too many are at a time (one-way VIPs)',
  grouped: 'tunnel requests that were designated by the key of their group',
  groupsFollowed: 'tunnel requests that went where their group has tunnels already',
  groupsUnkept: 'tunnel requests whose group is not remembered: no room',
  takeOversMoved: 'tunnels that were led to their server’s peer',
  relayed: 'packets of tunnels that are not in the table, handed on to the other designators of the gateway group',
  toWriters: 'control messages of tunnels that another member of the cluster writes, sent to it over the bus',
  toMembers: 'control messages of tunnels that are not in the table, sent to all members of the cluster',
  fromMembersLost: 'control messages from members of the cluster that found too many waiting',
  tunnelsAdopted: 'tunnels that this designator writes since the member that wrote them is gone',
  takeOversLeft: 'tunnels that could not be led there: no room in the table, or the peer has such a tunnel already',
};

/** `hiddenLearnt` → `hidden-learnt`, as reasons are written. */
export function counterLabel(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
