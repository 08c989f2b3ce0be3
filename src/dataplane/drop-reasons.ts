/**
 * Every way a packet can end here, once: index = counter, name = metric label, sentence = documentation
 * (`docs/operations.md` lists this table). Reasons of a tunnel protocol come from its descriptor and are appended.
 */
export const DROP_REASONS = [
  ['truncated', 'the frame is shorter than a header that it claims to carry'],
  [
    'ip-header',
    'IPv4 header length below 20 bytes or total length beyond the frame, or IPv6 payload length beyond it (RFC 791 §3.1, RFC 8200 §3)',
  ],
  ['udp-length', 'UDP length below 8 or beyond the IP payload (RFC 768)'],
  ['fragment', 'IP fragment to a VIP whose datagram is no tunnel traffic'],
  ['fragment-tiny', 'first fragment too short to hold the headers that decide about it (RFC 1858 §3)'],
  ['fragment-overlap', 'fragment that overlaps another of its datagram, and all that follow (RFC 5722)'],
  ['fragment-repeated', 'fragment that has come already'],
  [
    'fragment-header',
    'fragment whose length or place in its datagram cannot be: no multiple of 8, beyond 65,535 or beyond the end (RFC 791 §3.2, RFC 8200 §4.5)',
  ],
  ['fragment-control', 'control message in fragments: it cannot be read without being put together'],
  ['fragment-limit', 'too many fragments wait for their first one, or too many of one datagram'],
  ['fragment-timeout', 'fragment whose first one did not come in time'],
  ['icmp-inner', 'ICMP error whose embedded packet is cut, lies about its lengths, or is none that the VIP sent'],
  ['icmp-unknown', 'ICMP error about a packet of no tunnel in the table'],
  ['icmp-checksum', 'ICMP error with a wrong checksum'],
  ['icmp-mtu', 'ICMP error that names an MTU below the least one of a link (RFC 791 §3.2, RFC 8200 §5)'],
  ['icmp-rate', 'ICMP errors of one source beyond 100 a second'],
  ['icmp-copies', 'ICMP error that more than 32 servers would have got'],
  ['firewall-denied', 'a firewall rule or the default denies it'],
  ['request-rate', 'tunnel request over firewall.tunnelRequestRate.perSource'],
  ['half-open-limit', 'tunnel request while firewall.tunnelRequestRate.halfOpen tunnels are half open'],
  ['rule-rate', 'tunnel request over the rate of the firewall’s limit rule that it matches'],
  ['request-total-rate', 'tunnel request over firewall.tunnelRequestRate.total'],
  [
    'request-unproven',
    'first tunnel request of a source without a tunnel so far, while a flood of requests comes: its retransmission passes',
  ],
  [
    'request-repeated',
    'copy of a tunnel request that was forwarded less than firewall.tunnelRequestRate.duplicates ago',
  ],
  ['no-server', 'no server of the VIP may take a new tunnel'],
  ['server-pace', 'every server of the VIP has had as many new tunnels as its leaky bucket lets through for now'],
  ['no-route', 'the host has no route to the packet’s destination through outside or inside'],
  ['next-hop-limit', 'the next-hop table is full'],
  ['table-full', 'the connection table has no room for another tunnel (table.connections)'],
  [
    'ambiguous-tunnel',
    'a message to a VIP whose answers do not pass here, of a client whose waiting tunnels are several servers’',
  ],
  ['unknown-tunnel', 'tunnel traffic of no tunnel in the table'],
  ['nat-request', 'tunnel request to the address that answers come from: requests go to the VIP'],
  ['unknown-server', 'tunnel message from a server that names no tunnel of this client'],
  [
    'channel-collision',
    'the server chose an id that another tunnel of this client already has, and it could not be replaced',
  ],
  [
    'hidden-channel',
    'the assigned id is hidden (RFC 2661 §4.3), no secret makes it readable, and nothing tells the tunnel apart without it',
  ],
  [
    'hidden-channel-waits',
    'the server hides its id while the client’s last such tunnel is still to be learnt, or is to be another server: it comes again',
  ],
  ['local-address', 'a packet for a VIP’s localAddress that is no server’s answer to a tunnel of it'],
  ['wrong-server', 'a tunnel message from a port that another server is configured at'],
  ['no-client-port', 'no port is free under which a server could tell the client’s tunnels apart'],
  ['hand-over-full', 'the owner shard’s hand-over ring is full'],
  ['held-limit', 'too many messages wait for a floating port to be registered'],
  ['entry-changed', 'the table entry changed between decision and rewrite'],
  ['too-big', 'the packet does not fit the link that it would leave by; its sender is told (RFC 1191, RFC 8201)'],
  ['ttl-expired', 'TTL or hop limit is used up'],
  ['neighbour-unresolved', 'the link-layer address of the next hop is not known yet'],
  ['rewrite-failed', 'the frame does not have the headers that its table entry promises'],
  ['send-failed', 'the kernel did not take the frame for sending'],
  ['taken-over', 'a message or packet of a server in the name of a tunnel that its peer has taken over'],
  [
    'foreign-tunnel',
    'a control message of a tunnel that another member of the cluster writes, which could not be sent there',
  ],
  ['not-passed', 'the frame was the host’s, but had already left the kernel’s way to it (AF_XDP)'],
  ['no-socket', 'a frame for a shard while no process was there to have it (XDP went on alone)'],
  ['receive-ring', 'the kernel lost the frame because the receive ring was full'],
] as const satisfies readonly (readonly [string, string])[];

export type DropReason = (typeof DROP_REASONS)[number][0];

export const DROP = Object.fromEntries(DROP_REASONS.map(([name], index) => [name, index])) as {
  readonly [K in DropReason]: number;
};
