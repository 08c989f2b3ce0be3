/**
 * The memory that an LNS or a LAC shares with the workers of its data path: where everything lies. The main thread alone
 * writes entries, routes, sockets and the index; workers alone write their own counters and rings. All words are 32 bit,
 * host byte order; addresses and ports are the numbers that their network-order bytes spell, IPv4 addresses IPv4-mapped
 * (0, 0, 0xffff, a). `native/session_layout.h` says the same to C++; `test/native/session-layout.test.ts` compares the two.
 */

export const MEMORY_MAGIC = 0x5444534c; // "TDSL"
export const MEMORY_VERSION = 1;
const PAGE = 4096;

export const PLANE_WORKER_LIMIT = 64;
export const PLANE_SOCKET_LIMIT = 64;
export const PLANE_ACCESS_LIMIT = 16;

// ── header: word indices ────────────────────────────────────────────────────────────────────────────────────────────
export const PLANE = {
  magic: 0,
  layoutVersion: 1,
  sessions: 2, // places for sessions
  routes: 3, // places for routes
  indexSlots: 4, // a power of two
  workers: 5,
  seed: 6, // of the index's hash
  lengths4: 8, // 2 words: bit n: there are IPv4 routes of length n (of 0 … 32) that are no session's own address
  lengths6: 10, // 5 words: the same for IPv6, 0 … 128
  socketGeneration: 16, // one more when a socket is opened or closed
  holdGeneration: 17, // one more when a session's state changes
  holdBytesPerSession: 18,
  holdBytes: 19, // of one worker
  holdMilliseconds: 20,
} as const;

// ── sockets: what each worker reads ─────────────────────────────────────────────────────────────────────────────────
export const SOCKET_LENGTH = 512;
export const SOCKET_WORDS = 128;
/** The descriptors of the workers, one each, begin at `descriptors`. */
export const SOCKET = { open: 0 /* 1: to be read */, port: 1, address: 4 /* 4 words */, descriptors: 8 } as const;

// ── a session: 128 bytes ────────────────────────────────────────────────────────────────────────────────────────────
export const CALL_LENGTH = 128;
export const CALL_WORDS = 32;
export const CALL = {
  version: 0, // odd while the main thread writes
  kind: 1, // CALL_FLAG bits << 8 | CALL_STATE << 4 | CALL_KIND
  localIds: 2, // local tunnel id << 16 | local session id: as in the headers that come to us
  peerIds: 3, // the same of the peer: as in the headers that we write
  socket: 4, // socket index << 16 | peer port
  peer: 5, // 4 words: the peer's address
  address: 9, // the subscriber's IPv4 address, 0 none
  prefix: 10, // 2 words: the upper half of the subscriber's IPv6 network, a /64; 0, 0 none
  limits: 12, // longest IP packet to the subscriber << 16 | MSS that TCP is clamped to, 0 not at all
  access: 13, // access index << 16 | PPPoE session id
  macHigh: 14, // bytes 0 … 3 of the customer's MAC address
  macLow: 15, // bytes 4 and 5 << 16
  epoch: 16, // one more with every session that has this place
  sendNs: 28, // next Ns of data messages; workers
  receiveNs: 29, // Ns expected next | 0x10000 when one has been seen; workers
  peerSequences: 30, // 1 when the last data message of the peer had a sequence number; workers
} as const;

export const CALL_KIND = {
  /** The place is free. */
  free: 0,
  /** Tunnel ⇄ TUN. */
  lns: 1,
  /** Tunnel ⇄ access line. */
  lac: 2,
  /** Tunnel ⇄ main thread: every frame is punted. */
  punt: 3,
} as const;

/**
 * forward: data flows. hold: what would go into the tunnel is kept, bounded, and sent in order once the state is forward
 * again; what comes out of the tunnel flows on. closed: data is dropped in both directions.
 */
export const CALL_STATE = { closed: 0, forward: 1, hold: 2 } as const;

export const CALL_FLAG = {
  /** Data messages must come from the peer's address and port. */
  checkPeer: 1,
  /** The subscriber may only use its own addresses and routes as source. */
  antiSpoof: 2,
  /** IPCP is open: IPv4 packets pass; else they are dropped. */
  ipv4: 4,
  /** IPv6CP is open. */
  ipv6: 8,
  /** Data messages that we send have Ns and Nr (RFC 2661 §5.4). */
  sendSequence: 16,
  /** Data messages without sequence numbers are dropped (AVP 39). */
  needSequence: 32,
  /** Sequence numbers are sent as long as the peer sends them (a LAC). */
  followSequence: 64,
  /** The L bit is set in data messages that we send. */
  lengthBit: 128,
  /** The peer takes PPP frames without FF 03 (ACFC), and they are sent so. */
  compressAddress: 256,
  /** The peer takes one-byte protocol numbers (PFC), and they are sent so. */
  compressProtocol: 512,
  /** LAC: control frames of the customer go to the main thread, not into the tunnel. */
  puntAccess: 1024,
  /** LAC: control frames out of the tunnel go to the main thread, not to the customer. */
  puntTunnel: 2048,
  /** It has routes besides its own address and prefix. */
  hasRoutes: 4096,
  /** There is a tunnel. */
  tunnel: 8192,
  /** There is an access line. */
  access: 16384,
} as const;

// ── routes to subscribers ───────────────────────────────────────────────────────────────────────────────────────────
export const ROUTE_LENGTH = 32;
export const ROUTE_WORDS = 8;
export const ROUTE = {
  version: 0,
  address: 1 /* 4 words */,
  bits: 5 /* length of the mapped address: 0 … 128 */,
  slot: 6,
} as const;

// ── index: open addressing, 8 bytes a slot ──────────────────────────────────────────────────────────────────────────
/** `reference`: 0 free, REFERENCE_GONE removed, else REFERENCE kind << 28 | place + 2. Written after `hash`. */
export const INDEX_WORDS = 2;
export const REFERENCE_GONE = 1;
export const REFERENCE = { tunnel: 1, access: 2, address: 3, prefix: 4, route: 5 } as const;
/** Slots that a reader looks at. */
export const INDEX_REACH = 64;

// ── counters: for each worker, one item for each session; the worker is the only writer ─────────────────────────────
export const COUNT_LENGTH = 64;
export const COUNT_WORDS = 16;
/** u64 (low word first) up to bytesOut. In: from the subscriber. Bytes are of IP packets, or of PPP frames in a LAC. */
export const COUNT = {
  packetsIn: 0,
  bytesIn: 2,
  packetsOut: 4,
  bytesOut: 6,
  spoofed: 8,
  sequence: 9, // repeated or too old
  tooBig: 10,
  hold: 11, // not kept, or kept too long
  other: 12,
  lastIn: 13, // CLOCK_MONOTONIC seconds
  lastOut: 14,
} as const;

// ── statistics: for each worker, u64 each (low word first); the worker is the only writer ───────────────────────────
export const STATISTIC_LIMIT = 64;
export const STATISTIC = {
  datagramsIn: 0, // from UDP
  datagramsOut: 1,
  packetsFromTun: 2,
  packetsToTun: 3,
  framesFromAccess: 4,
  framesToAccess: 5,
  punted: 6,
  turns: 7,
  held: 8, // packets that were put aside
  flushed: 9,
  sendCalls: 10,
  receiveCalls: 11,
  // From here on: drops by reason.
  dropMalformed: 16, // no L2TP header, or a length that is not so
  dropVersion: 17, // not L2TPv2
  dropUnknownSession: 18,
  dropWrongPeer: 19,
  dropClosed: 20,
  dropSequence: 21,
  dropSequenceMissing: 22,
  dropNetworkDown: 23, // IPCP or IPv6CP is not open
  dropMalformedPacket: 24, // no IP packet behind a PPP header that says so
  dropSpoofed: 25,
  dropTooBig: 26,
  dropNoRoute: 27, // a packet from the network for nobody
  dropTunFull: 28,
  dropSendFailed: 29,
  dropHoldFull: 30,
  dropHoldExpired: 31,
  dropPuntFull: 32,
  dropNoTunnel: 33, // data from an access line whose session has no tunnel yet
  dropWrongMac: 34,
  dropTruncated: 35,
  dropLinkLocal: 36, // link-local or multicast packets that nobody here answers
  dropReceiveError: 37,
} as const;
export const FIRST_DROP = STATISTIC.dropMalformed;

// ── what workers hand to the main thread: a ring of bytes for each, one producer, one consumer ──────────────────────
export const PUNT_RING_LENGTH = 1 << 20;
/** Word indices of the ring's head; its bytes follow after PUNT_HEAD_LENGTH. Positions count bytes mod 2³². */
export const PUNT_RING = { tail: 0 /* worker */, head: 16 /* main thread */ } as const;
export const PUNT_HEAD_LENGTH = 128;
/** A record: these words, then the bytes, padded to 8. `length` is of the bytes alone; PUNT_WRAP: go on at the beginning. */
export const PUNT = {
  length: 0,
  kind: 1 /* PUNT_KIND << 24 | slot + 1 */,
  socket: 2 /* index << 16 | port */,
  peer: 3 /* 4 words */,
  spare: 7,
} as const;
export const PUNT_RECORD_LENGTH = 32;
export const PUNT_WRAP = 0xffffffff;
export const PUNT_KIND = {
  /** L2TP control message, from its first byte on; `peer` and `socket` say where from. */
  control: 1,
  /** PPP frame out of a tunnel, from its protocol field on (FF 03 is gone, the protocol two bytes long). */
  ppp: 2,
  /** PPP frame from an access line, likewise. */
  accessPpp: 3,
  /** PPPoE discovery, from the Ethernet header on; `socket` is access index << 16. */
  discovery: 4,
  /** IPv6 packet of a subscriber to a link-local or multicast address (solicitations, DHCPv6). */
  ipv6Local: 5,
  /** PPPoE session frame of nobody's, from the Ethernet header on; `socket` as with discovery. */
  unknownAccess: 6,
} as const;

export interface PlaneSizes {
  readonly sessions: number;
  readonly routes: number;
  readonly workers: number;
}

/** Byte offsets of the segments. */
export interface PlaneLayout extends PlaneSizes {
  readonly indexSlots: number;
  readonly sockets: number;
  readonly calls: number;
  readonly routeRows: number;
  readonly index: number;
  readonly counts: number;
  readonly statistics: number;
  readonly rings: number;
  readonly length: number;
}

/** Bytes from one worker's ring to the next. */
export const PUNT_STRIDE = PUNT_HEAD_LENGTH + PUNT_RING_LENGTH;

/** Where everything lies for so many. */
export function planeLayout({ sessions, routes, workers }: PlaneSizes): PlaneLayout {
  let at = PAGE;
  const segment = (length: number): number => {
    const start = at;
    at += Math.ceil(length / PAGE) * PAGE;
    return start;
  };
  const indexSlots = 2 ** Math.ceil(Math.log2((sessions * 4 + routes) * 2));
  const sockets = segment(PLANE_SOCKET_LIMIT * SOCKET_LENGTH);
  const calls = segment(sessions * CALL_LENGTH);
  const routeRows = segment(routes * ROUTE_LENGTH);
  const index = segment(indexSlots * INDEX_WORDS * 4);
  const counts = segment(workers * sessions * COUNT_LENGTH);
  const statistics = segment(workers * STATISTIC_LIMIT * 8);
  const rings = segment(workers * PUNT_STRIDE);
  return {
    sessions,
    routes,
    workers,
    indexSlots,
    sockets,
    calls,
    routeRows,
    index,
    counts,
    statistics,
    rings,
    length: at,
  };
}
