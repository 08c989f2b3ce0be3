/**
 * The one piece of memory that all threads, the addon and the XDP program share: where everything lies.
 *
 * Every segment is an array of equal items whose size is a power of two, starting at a page. So the whole is an array of
 * elements of ELEMENT_LENGTH bytes, which is what the XDP program sees: one mmapable BPF array, in which an entry, a
 * record or a cache line of fingerprints is one element. All words are 32 bit, host byte order; addresses and ports are stored as the
 * numbers that their network-order bytes spell (10.10.1.1 is 0x0a0a0101). IPv4 addresses are IPv4-mapped
 * (0, 0, 0xffff, a). `native/layout.h` says the same to C++; `test/native/layout.test.ts` compares the two.
 */
export const LAYOUT_MAGIC = 0x54445331; // "TDS1"
export const LAYOUT_VERSION = 6;
export const PAGE_LENGTH = 4096;
/** Value size of the BPF array: an index into it is a byte offset divided by this. */
export const ELEMENT_LENGTH = 64;

/** Ownership slots: `ownerSlot(client address)` picks one, the slot array gives the shard that may write. */
export const OWNER_SLOT_COUNT = 1024;
export const SERVER_LIMIT = 1024;
export const VIP_LIMIT = 256;
export const ADDRESS_LIMIT = 4096;
export const NEXT_HOP_LIMIT = 65536;
export const SHARD_LIMIT = 64;

// ── header: word indices ────────────────────────────────────────────────────────────────────────────────────────────
export const HEADER = {
  magic: 0,
  layoutVersion: 1,
  connections: 2,
  bucketCount: 3,
  recordCount: 4,
  sessionCount: 5,
  hashSeed: 6,
  totalPages: 7,
  bootId: 8, // 4 words: a table of another boot is never adopted, its clock is another
  generation: 12, // one more with every process that opens the table
  lock: 13, // the process-wide spin lock: 0 free, else shard + 1 | generation << 8
  lockRepairs: 14, // how often supervision had to free it
  useSequence: 15, // last-use stamp of least-recent-use
  freeRecord: 16, // head of the free list of records: index + 1, 0 = none
  recordsUsed: 17,
  freeSession: 18, // head of the free list of sessions: index + 1, 0 = none
  sessionsUsed: 19,
  halfOpen: 20, // tunnels in state half-open, all shards
  entriesUsed: 21,
  overflowEntries: 22, // entries that sit beyond their second bucket; 0 = readers look at two only
  nextHopsUsed: 23,
  configGeneration: 24, // counts plans published by the main thread
  overflowReach: 25, // how many buckets beyond the second entries have used: 2 = third and fourth, more = those that follow the fourth
  lending: 26, // servers whose cell has LEND.wanted
  changedSummary: 31, // bit k: the word k of `changed` has bits
  changed: 32, // 32 words, a bit for each server cell: it has changed since the rankings were last brought up to date
} as const;
/** Byte offset, inside the header page, of the slot → shard array (Uint8Array of OWNER_SLOT_COUNT). */
export const OWNER_SLOTS_OFFSET = 1024;

// ── what the XDP program must know: four elements of the header page, written by the main thread ─────────────────────
/** Byte offset inside the header page. Word indices below are relative to it. */
export const XDP_OFFSET = 2048;
export const XDP = {
  // First element: read for every packet.
  flags: 0, // XDP_FLAG bits
  bucketCount: 1,
  fingerprints: 2, // element index of the segment; so are the next five
  entries: 3,
  records: 4,
  addresses: 5,
  nextHops: 6,
  directory: 7, // of the half that counts; its seed << DIRECTORY_SEED_SHIFT
  multipliers: 8, // 7 words, of `multipliersOf(hashSeed)`
  // Second element.
  outsideInterface: 16, // interface index; both are the same with one arm and with two VLANs of one parent
  insideInterface: 17,
  vlans: 18, // outside << 16 | inside, 0 untagged
  outsideMacHigh: 19, // bytes 0 … 3
  outsideMacLow: 20, // bytes 4 and 5 << 16
  insideMacHigh: 21,
  insideMacLow: 22,
  shards: 23,
  queues: 24, // receive queues of a device for which there are sockets
  spread: 25, // CPUs that hits are spread over, 0 none
  generation: 26, // counts writings of these elements
  clients: 27, // element index of the segment
  clock: 30, // 2 words, the program's own: jiffies << 32 | the CLOCK_MONOTONIC seconds that it read in that tick
} as const;
export const XDP_WORDS = 64;
/**
 * A gateway group that this process is a member of, on each side: elements 3 and 4, from word GROUP_OUTSIDE and GROUP_INSIDE
 * of the XDP words on. Frames for its virtual MACs that are held here are ours; those for others are not.
 */
export const GROUP_OUTSIDE = 32;
export const GROUP_INSIDE = 48;
export const GROUP = {
  macHigh: 0, // bytes 0 … 3 of its virtual MACs; 0: there is no group
  macLow: 1, // byte 4; byte 5 is the forwarder's number
  held: 2, // 8 words, a bit for each number: n is bit n & 31 of word n >> 5
  own: 10, // number of the forwarder that frames handed to other members come from; 0 none
  peers: 11, // 4 words: up to GROUP_PEER_LIMIT numbers of forwarders that others serve, a byte each, 0 none
  byBus: 15, // 1: some member has no virtual MAC now, and the cluster's bus reaches all: what is another's goes there
} as const;
export const GROUP_PEER_LIMIT = 16;
export const XDP_FLAG = {
  offload: 1, // forward hits; else they go to a shard as everything else does
  oneArm: 2, // outside and inside are one device and VLAN: a frame's side is told by its addresses
  denyList: 4, // the deny list is not empty
  denyByDefault: 8, // what the deny list does not allow is denied
  hearOutside: 16, // ARP and ND answers on this side go to a shard: the host has no device there
  hearInside: 32,
  sameDevice: 64, // one interface for both sides
  clamp: 256, // some VIP has `clampMss`: SYNs of TCP inside tunnels go to a shard
  answeredByGroup: 512, // ARP and ND for VIPs are a gateway group's to answer: they go to the host, whose tap hears them
  redirectBack: 128, // what leaves where it came in is redirected too: XDP_TX of a veth needs a program at its far end
} as const;

// ── directory: which address is whose, an open-addressed hash in two halves of which one counts ─────────────────────
/** Slots of a half; a power of two. `spreadAddress(…) & (DIRECTORY_SLOTS − 1)` is an address's first slot. */
export const DIRECTORY_SLOTS = 8192;
/** Slots that a reader looks at; the writer picks a seed with which that is enough. */
export const DIRECTORY_REACH = 8;
export const DIRECTORY_SEED_SHIFT = 26; // an element index has fewer bits: memory ends at 4 GiB
export const DIRECTORY_LENGTH = 32;
export const DIRECTORY_WORDS = 8;
/** Its address comes first, 4 words. */
export const DIRECTORY = { index: 4 /* address index + 1, 0 free */, role: 5 /* ADDRESS_ROLE bits */ } as const;

// ── fingerprints: one byte per entry slot, so that a word is a bucket and a cache line LINE_BUCKETS of them ──────────
export const FINGERPRINT_EMPTY = 0;
export const FINGERPRINT_CLAIMED = 1; // a writer is filling the slot
export const FINGERPRINT_REMOVED = 2; // free again 100 ms after ENTRY.lastSeen (which then holds milliseconds)
export const FINGERPRINT_FIRST = 4; // real fingerprints are ≥ this
export const BUCKET_SLOTS = 4;
export const LINE_BUCKETS = 16; // both buckets of a key are in one such group; the bucket count is a multiple of it

// ── entry: 64 bytes, 16 words ───────────────────────────────────────────────────────────────────────────────────────
export const ENTRY_LENGTH = 64;
export const ENTRY_WORDS = 16;
export const ENTRY = {
  version: 0, // odd while the owner writes
  client: 1, // 4 words
  keyA: 5, // opaque; ports by convention: client port << 16 | local port (0 where the key leaves it out)
  keyB: 6, // opaque; the channel: tunnel id, call id, SPI, VPI/VCI …
  tag: 7, // local address index << 16 | protocol << 8 | table
  target: 8, // new address index << 16 | next-hop index
  ports: 9, // new source port << 16 | new destination port
  record: 10, // record index << 8 | flags
  lastSeen: 11, // CLOCK_MONOTONIC seconds
  packets: 12, // u64
  bytes: 14, // u64
} as const;
/** Key words of an entry, in order, as the pipeline lays them out in its key column. */
export const KEY_WORDS = 7;

/** `table` of a tag. */
export const TABLE_HALF_OPEN = 1; // client → VIP, keyB = the client's assigned id
export const TABLE_REVERSE = 2; // server → client, keyB = the id in the header (the client's)
export const TABLE_FORWARD = 3; // client → VIP, keyB = the id in the header (the server's or the virtual one)
export const TABLE_REVERSE_HALF_OPEN = 4; // server → client request, keyB = the server's assigned id
/**
 * Full NAT: whose is this port of the VIP's `localAddress` towards this server? The key has that local address in place of
 * the client's, the port, and no id. No packet is forwarded by it: it keeps the port, and tells the other entries the address.
 */
export const TABLE_LOCAL = 5;

/** Flags of ENTRY.record. */
export const FLAG_REWRITE_SOURCE = 1; // the new address replaces the source, else the destination
export const FLAG_REWRITE_PORTS = 2; // ENTRY.ports are written into the UDP or TCP header
export const FLAG_REWRITE_CHANNEL = 4; // the channel is replaced by RECORD.serverChannel (TABLE_FORWARD) or RECORD.virtualChannel (TABLE_REVERSE)
export const FLAG_DENIED = 8; // the firewall of the present plan denies it: drop
export const FLAG_DECREMENT_TTL = 16;
/**
 * Full NAT: the other address too. Client → server the source becomes the VIP's `localAddress`, which is the client in the
 * key of RECORD.entryAlias (TABLE_LOCAL); server → client, whose key has that address in place of the client's, the
 * destination becomes the client in the key of RECORD.entryForward, or of entryHalfOpen while there is none.
 */
export const FLAG_REWRITE_BOTH = 32;
export const FLAG_OFFLOADED = 64; // the XDP program may forward by this entry
export const FLAG_IPV4 = 128; // client words 0 … 2 are 0, 0 and 0xffff: the table's own, its users neither set nor see it

// ── tunnel record: 64 bytes ─────────────────────────────────────────────────────────────────────────────────────────
export const RECORD_LENGTH = 64;
export const RECORD_WORDS = 16;
export const RECORD = {
  state: 0, // version << 16 | protocol << 8 | RECORD_STATE
  place: 1, // vip index << 16 | server index
  clientChannel: 2, // id assigned by the client, as in its messages
  serverChannel: 3, // id assigned by the server, 0 unknown
  virtualChannel: 4, // id shown to the client instead of the server's, 0 none
  ports: 5, // server port << 16 | port shown to the client
  entryHalfOpen: 6, // entry slot + 1, 0 none (all four)
  entryReverse: 7,
  entryForward: 8,
  entryAlias: 9, // forward entry for the VIP's own port when the server floated; with full NAT the TABLE_LOCAL entry
  created: 10, // seconds
  clientSequence: 11, // Ns of the client's next message << 16 | highest Nr seen of it (dataplane/dialogue.ts)
  serverSequence: 12, // the same of the server
  sessions: 13, // head (index + 1) of the session list, or the free list's next (index + 1) when the record is free
  wheelNext: 14, // index + 1
  wheelPrevious: 15, // index + 1
} as const;
export const RECORD_STATE = {
  free: 0,
  halfOpen: 1,
  established: 2,
  closing: 3,
  passed: 4, // the request has been passed on and its answers do not pass here: counts as nothing, and ends by time
} as const;

// ── session record: 16 bytes ────────────────────────────────────────────────────────────────────────────────────────
export const SESSION_LENGTH = 16;
export const SESSION_WORDS = 4;
export const SESSION = {
  next: 0, // index + 1
  clientId: 1,
  serverId: 2,
  state: 3, // SESSION_STATE
} as const;
export const SESSION_STATE = { free: 0, requested: 1, replied: 2, established: 3 } as const;

// ── address: 32 bytes. Every VIP, server and NAT address stands here once ───────────────────────────────────────────
export const ADDRESS_LENGTH = 32;
export const ADDRESS_WORDS = 8;
export const ADDRESS = { words: 0, family: 4 /* 0 free, 4, 6 */, role: 5 /* ADDRESS_ROLE bits */ } as const;
export const ADDRESS_ROLE = {
  vip: 1,
  server: 2,
  local: 4 /* a VIP's `localAddress` */,
  endpoint: 8 /* a server whose answers do not pass here: only what it sends to a `localAddress` is ours */,
} as const;

// ── next hop: 32 bytes ──────────────────────────────────────────────────────────────────────────────────────────────
export const NEXT_HOP_LENGTH = 32;
export const NEXT_HOP_WORDS = 8;
export const NEXT_HOP = {
  version: 0, // odd while being written
  macHigh: 1, // destination MAC bytes 0..3
  macLow: 2, // destination MAC bytes 4..5 << 16 | port index << 8 | NEXT_HOP_STATE
  address: 3, // 4 words: the neighbour's address
  confirmed: 7, // seconds of the last confirmation
} as const;
export const NEXT_HOP_STATE = { free: 0, unresolved: 1, resolved: 2 } as const;

// ── server and VIP cells: 128 bytes each; written by the main thread, scheduler words under the lock ─────────────────
export const CELL_LENGTH = 128;
export const CELL_WORDS = 32;
export const SERVER_CELL = {
  state: 0, // SERVER_STATE
  vip: 1, // vip index
  address: 2, // address index
  port: 3, // weight of the configuration << 16 | port
  nextHop: 4,
  weight: 5,
  current: 6, // smooth weighted round-robin: current weight, signed
  lastUse: 7, // HEADER.useSequence when last designated, 0 never
  halfOpen: 8, // tunnels in that state
  established: 9,
  sessions: 10,
  since: 11, // seconds: when the state was entered
  load: 12, // reported load, thousandths; −1 unknown
  reason: 13, // SERVER_REASON
  identity: 14, // hash of vip name and server name, so that another process finds its cell again
  designated: 15, // requests designated, total
  // Designation's own, written under the lock only.
  share: 16, // weight as it counts now: SHARE_UNIT for each unit of weight, less during slow start
  flags: 17, // SERVER_FLAG bits
  reportedLoad: 18, // of the last load status message, millionths
  tunnelLoad: 19, // what one more tunnel is expected to add, millionths
  predictedLoad: 20, // added by what was designated since that message, millionths
  winner: 21, // of the ranking's node that this cell carries: position + 1, 0 nobody
  roundAt: 22, // smooth weighted round robin: the round at which `current` was true
  until: 23, // of that node: the round in which its winner may change, or how many below it are eligible
  bucket: 22, // leaky bucket: seconds (a double) at which it will have leaked empty; the two words above
  // 24 … 31: health. Evidence, by the shards; the main thread judges it (designation/health.ts).
  heard: 24, // CLOCK_MONOTONIC milliseconds (32 bit) of the server's last packet that a shard saw; 0 never
  waiting: 25, // likewise: since when a client's message waits for any sign of the server, 0 none does
  asks: 26, // messages that clients sent since it was heard, repeated ones included
  repeats: 27, // … that came again, unacknowledged
  askers: 28, // tunnels that they belong to
  unreachable: 29, // ICMP errors that say that it cannot be reached, since it was heard
  lend: 30, // LEND: a request of a client is to try a server that is down
  ordered: 31, // SERVER_STATE that an operator has ordered, 0 none
} as const;
export const SERVER_FLAG = {
  reported: 1, // there is a load status, and it is not stale
  notAccepting: 2, // … and it says that the server takes no new tunnels
  heldBack: 4, // its algorithm gives it none as long as there is no load status
  countsTunnels: 8, // its place in the ranking depends on its number of tunnels
  countsSessions: 16,
  told: 32, // its number of tunnels is that of its load status: its answers do not pass here
} as const;
/** `lend` of a server cell. */
export const LEND = { none: 0, wanted: 1, lent: 2, hinted: 3 /* its machine shows signs of life */ } as const;
export const SERVER_STATE = {
  free: 0,
  up: 1,
  slowStart: 2,
  suspect: 3,
  down: 4,
  draining: 5,
  disabled: 6,
  inactive: 7,
} as const;
export const SERVER_REASON = {
  configured: 0,
  command: 1,
  removed: 2,
  unanswered: 3, // messages of some tunnels
  silent: 4, // no packet at all while several tunnels ask
  unreachable: 5, // ICMP
  probe: 6, // the active check
  heard: 7, // any packet of its own
  answered: 8, // a request that was lent to it
  probeAnswered: 9,
  slowStartOver: 10,
  takenOver: 11, // its peer has its tunnels
  notNeeded: 12, // by the present load
  needed: 13,
  repeated: 14, // requests, where its answers do not pass here
  unheard: 15, // load status messages have stopped
} as const;
export const VIP_CELL = {
  state: 0, // 0 free, 1 used
  address: 1,
  port: 2,
  cursor: 3, // round-robin: server index last designated + 1
  identity: 4,
  nat: 5, // address index + 1 of what clients see answers come from, 0 the VIP itself
  local: 6, // address index + 1 of what requests of refusing clients are put from, 0 none
  oneWay: 7, // 1: answers do not pass here
  // Designation's own, written under the lock only.
  ranking: 9, // what the ranking was made of, a hash; 0 = it must be made anew
  rounds: 10, // smooth weighted round robin: rounds so far
  totalShare: 11, // … and the sum of shares
  changes: 12, // counts changes of its servers' state or share
  random: 13, // state of power-of-two's generator
  ranker: 14, // which algorithm the words of the cells belong to, a hash
  hiddenSeen: 16, // seconds + 1: when a server of it last hid an id that could not be read, 0 never
} as const;

// ── clients: which client address has tunnels. A list for every hash of an address; only the owner of the addresses writes ──
/** Lists; a multiple of OWNER_SLOT_COUNT, so that all addresses of a list have one owner. A word each: record + 1, 0 none. */
export const CLIENT_LISTS = 65536;
/** For every record its place in its client's list. */
export const CLIENT_LINK_LENGTH = 8;
export const CLIENT_LINK_WORDS = 2;
export const CLIENT_LINK = {
  next: 0 /* record + 1 */,
  previous: 1 /* record + 1, −1 − list for the first, 0 in no list */,
} as const;

// ── groups: where related tunnels are (flow/group-memory.ts). A word a record: the key of its group, 0 none ──────────
/** Groups that have tunnels at a time, at most; as many as there are connections, if those are fewer. */
export const GROUPS_MAX = 65_536;
export const GROUP_MEMBER_WORDS = 4;
export const GROUP_MEMBER = { key: 0 /* 0 free */, server: 1, count: 2, newest: 3 /* second */ } as const;

/** Byte offset and length of every segment for a table of `connections`. */
export interface TableLayout {
  readonly connections: number;
  readonly bucketCount: number;
  readonly slotCount: number;
  readonly recordCount: number;
  readonly sessionCount: number;
  readonly header: number;
  readonly fingerprints: number;
  readonly entries: number;
  readonly records: number;
  readonly sessions: number;
  readonly addresses: number;
  readonly nextHops: number;
  readonly servers: number;
  readonly vips: number;
  readonly directory: number;
  readonly clients: number;
  readonly clientLinks: number;
  readonly groupMembers: number;
  readonly groups: number;
  readonly length: number;
}

const pages = (length: number): number => Math.ceil(length / PAGE_LENGTH) * PAGE_LENGTH;

const groupSlots = (connections: number): number => Math.min(GROUPS_MAX, Math.max(64, connections));
/** A connection is a tunnel: one record and two entries, at a load of at most 0.8. */
export function tableLayout(connections: number): TableLayout {
  const bucketCount = Math.max(1, Math.ceil((connections * 2) / 0.8 / BUCKET_SLOTS / LINE_BUCKETS)) * LINE_BUCKETS;
  const slotCount = bucketCount * BUCKET_SLOTS;
  let next = 0;
  const segment = (length: number): number => {
    const at = next;
    next += pages(length);
    return at;
  };
  return {
    connections,
    bucketCount,
    slotCount,
    recordCount: connections,
    sessionCount: connections,
    header: segment(PAGE_LENGTH),
    fingerprints: segment(slotCount),
    entries: segment(slotCount * ENTRY_LENGTH),
    records: segment(connections * RECORD_LENGTH),
    sessions: segment(connections * SESSION_LENGTH),
    addresses: segment(ADDRESS_LIMIT * ADDRESS_LENGTH),
    nextHops: segment(NEXT_HOP_LIMIT * NEXT_HOP_LENGTH),
    servers: segment(SERVER_LIMIT * CELL_LENGTH),
    vips: segment(VIP_LIMIT * CELL_LENGTH),
    directory: segment(2 * DIRECTORY_SLOTS * DIRECTORY_LENGTH),
    clients: segment(CLIENT_LISTS * 4),
    clientLinks: segment(connections * CLIENT_LINK_LENGTH),
    groupMembers: segment(connections * 4),
    groups: segment(groupSlots(connections) * GROUP_MEMBER_WORDS * 4),
    length: next,
  };
}

/** Typed views of the segments; one instance per thread over that thread's own mapping. */
export class TableMemory {
  readonly layout: TableLayout;
  readonly header: Int32Array;
  readonly ownerSlots: Uint8Array;
  readonly fingerprints: Uint8Array;
  /** The same, one word per bucket. */
  readonly buckets: Int32Array;
  readonly entries: Int32Array;
  readonly records: Int32Array;
  readonly sessions: Int32Array;
  readonly addresses: Int32Array;
  readonly nextHops: Int32Array;
  readonly servers: Int32Array;
  readonly vips: Int32Array;
  /** Words from XDP_OFFSET of the header page on, as XDP counts them. */
  readonly xdp: Int32Array;
  readonly directory: Int32Array;
  readonly clients: Int32Array;
  readonly clientLinks: Int32Array;
  readonly groupMembers: Int32Array;
  readonly groups: Int32Array;

  constructor(
    readonly buffer: ArrayBuffer | SharedArrayBuffer,
    connections: number,
  ) {
    const l = tableLayout(connections);
    if (buffer.byteLength < l.length)
      throw new RangeError(`table memory: ${buffer.byteLength} bytes, ${l.length} needed`);
    this.layout = l;
    const words = (offset: number, count: number) => new Int32Array(buffer, offset, count);
    this.header = words(l.header, PAGE_LENGTH / 4);
    this.ownerSlots = new Uint8Array(buffer, l.header + OWNER_SLOTS_OFFSET, OWNER_SLOT_COUNT);
    this.fingerprints = new Uint8Array(buffer, l.fingerprints, l.slotCount);
    this.buckets = words(l.fingerprints, l.bucketCount);
    this.entries = words(l.entries, l.slotCount * ENTRY_WORDS);
    this.records = words(l.records, l.recordCount * RECORD_WORDS);
    this.sessions = words(l.sessions, l.sessionCount * SESSION_WORDS);
    this.addresses = words(l.addresses, ADDRESS_LIMIT * ADDRESS_WORDS);
    this.nextHops = words(l.nextHops, NEXT_HOP_LIMIT * NEXT_HOP_WORDS);
    this.servers = words(l.servers, SERVER_LIMIT * CELL_WORDS);
    this.vips = words(l.vips, VIP_LIMIT * CELL_WORDS);
    this.xdp = words(l.header + XDP_OFFSET, XDP_WORDS);
    this.directory = words(l.directory, 2 * DIRECTORY_SLOTS * DIRECTORY_WORDS);
    this.clients = words(l.clients, CLIENT_LISTS);
    this.clientLinks = words(l.clientLinks, l.recordCount * CLIENT_LINK_WORDS);
    this.groupMembers = words(l.groupMembers, l.recordCount);
    this.groups = words(l.groups, groupSlots(l.connections) * GROUP_MEMBER_WORDS);
  }
}

/** What a process finds in memory that it opens. */
export type TableCondition = 'new' | 'adoptable' | 'other-layout' | 'other-size' | 'other-boot';

/** Looks at the header without changing anything. `bootId`: 4 words of /proc/sys/kernel/random/boot_id. */
export function inspectTable(memory: TableMemory, bootId: Int32Array): TableCondition {
  const h = memory.header;
  if (h[HEADER.magic] === 0) return 'new';
  if (h[HEADER.magic] !== LAYOUT_MAGIC || h[HEADER.layoutVersion] !== LAYOUT_VERSION) return 'other-layout';
  if (h[HEADER.connections] !== memory.layout.connections) return 'other-size';
  for (let i = 0; i < 4; i++) if (h[HEADER.bootId + i] !== bootId[i]) return 'other-boot';
  return 'adoptable';
}

/** Makes an empty table of zeroed memory: header, free lists. `hashSeed` is random in production, fixed in tests. */
export function formatTable(memory: TableMemory, hashSeed: number, bootId: Int32Array): void {
  const { header: h, layout: l, records, sessions } = memory;
  new Uint8Array(memory.buffer, 0, l.length).fill(0);
  h[HEADER.layoutVersion] = LAYOUT_VERSION;
  h[HEADER.connections] = l.connections;
  h[HEADER.bucketCount] = l.bucketCount;
  h[HEADER.recordCount] = l.recordCount;
  h[HEADER.sessionCount] = l.sessionCount;
  h[HEADER.hashSeed] = hashSeed | 0;
  h[HEADER.totalPages] = l.length / PAGE_LENGTH;
  h.set(bootId, HEADER.bootId);
  for (let i = 0; i < l.recordCount; i++)
    records[i * RECORD_WORDS + RECORD.sessions] = i + 1 < l.recordCount ? i + 2 : 0;
  for (let i = 0; i < l.sessionCount; i++)
    sessions[i * SESSION_WORDS + SESSION.next] = i + 1 < l.sessionCount ? i + 2 : 0;
  h[HEADER.freeRecord] = l.recordCount > 0 ? 1 : 0;
  h[HEADER.freeSession] = l.sessionCount > 0 ? 1 : 0;
  Atomics.store(h, HEADER.magic, LAYOUT_MAGIC);
}
