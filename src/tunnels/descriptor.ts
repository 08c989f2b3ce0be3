/**
 * What the pipeline knows of a tunnel protocol: one descriptor each. It turns bytes into opaque key words and control
 * messages into events; it keeps no state, reads no clock, does no I/O. `flow/` and `dataplane/` never see a protocol
 * field by name.
 */

/** Answers of `classify`, ≥ 0. Negative answers are −(1 + index of a malformed reason in `malformed`). */
export const CLASS_NOT_MINE = 0; // pass on to the next descriptor, then to the host
export const CLASS_DATA = 1; // key words filled
export const CLASS_CONTROL = 2; // key words filled where the header has a channel; else `read` tells more
export const CLASS_CONTROL_UNBOUND = 3; // a control message without a channel in its header (L2TP: tunnel id 0)

/** What a control message means to the pipeline. */
export const EVENT_NONE = 0; // forward, nothing to learn (ZLB, Hello, SLI, WEN …)
export const EVENT_REQUEST = 1; // wants a new tunnel: `assigned` is the sender's id
export const EVENT_REPLY = 2; // answers a request: `assigned` is the answerer's id
export const EVENT_CONNECTED = 3; // the tunnel stands
export const EVENT_CLOSE = 4; // the tunnel ends; `assigned` is the sender's id (may be all that there is)
export const EVENT_SESSION_REQUEST = 5; // `assignedSession` is the sender's
export const EVENT_SESSION_REPLY = 6; // `session` is the receiver's, `assignedSession` the sender's
export const EVENT_SESSION_CONNECTED = 7;
export const EVENT_SESSION_CLOSE = 8;

/** One control message, read. Preallocated by its user and overwritten by every `read`. */
export interface ControlEvent {
  kind: number;
  /** Name of the message type for logs and captures: 'SCCRQ', 'ZLB' … */
  message: string;
  /** Channel in the header, 0 when unbound. */
  channel: number;
  /** Channel that the sender assigned to itself, 0 when the message has none. */
  assigned: number;
  /**
   * The id that the sender assigned is there but hidden (RFC 2661 §4.3): cannot be read without the secret. In
   * EVENT_SESSION_* it is the session's, else the channel.
   */
  assignedHidden: boolean;
  /** Session id in the header. */
  session: number;
  assignedSession: number;
  /** Sequence numbers, −1 where the protocol has none. */
  ns: number;
  nr: number;
  /** The message takes a sequence number (L2TP: not a ZLB). */
  hasBody: boolean;
  /** Result code of a close, −1 when there is none. */
  result: number;
  /** The sender allows an unknown message to be ignored (M bit 0). */
  optional: boolean;
  /**
   * A request that recovers an older tunnel (RFC 4951 §3.2): the ids of that tunnel, the sender's own and the
   * receiver's; 0 in any other message.
   */
  recoverOwn: number;
  recoverPeer: number;
  /** A request that wants to be the only tunnel between its two ends (RFC 2661 §4.4.3, Tie Breaker). */
  tie: boolean;
}

export function newControlEvent(): ControlEvent {
  return {
    kind: EVENT_NONE,
    message: '',
    channel: 0,
    assigned: 0,
    assignedHidden: false,
    session: 0,
    assignedSession: 0,
    ns: -1,
    nr: -1,
    hasBody: false,
    result: -1,
    optional: false,
    recoverOwn: 0,
    recoverPeer: 0,
    tie: false,
  };
}

/** An attribute that is there and cannot be read: hidden, of a wrong length, or twice with different values. */
export const UNREADABLE = -1;

/** What a tunnel request says of who asks, for the firewall. Texts stay where they are in `view`. */
export interface TunnelAttributes {
  view: DataView;
  /** Byte offset and length of the host name; length 0 = none, UNREADABLE. */
  hostAt: number;
  hostLength: number;
  vendorAt: number;
  vendorLength: number;
  /** version << 8 | revision; 0 none, UNREADABLE. */
  protocolVersion: number;
  /** Bits 1 synchronous, 2 asynchronous; UNREADABLE. */
  framing: number;
  /** Bits 1 digital, 2 analog; UNREADABLE. */
  bearer: number;
  /** The calling number, as the host name is told. */
  callingAt: number;
  callingLength: number;
  /** Id that the asker assigned; 0 none, UNREADABLE. */
  channel: number;
}

export function newTunnelAttributes(): TunnelAttributes {
  return {
    view: new DataView(new ArrayBuffer(0)),
    hostAt: 0,
    hostLength: 0,
    vendorAt: 0,
    vendorLength: 0,
    protocolVersion: 0,
    framing: 0,
    bearer: 0,
    callingAt: 0,
    callingLength: 0,
    channel: 0,
  };
}

export interface TunnelDescriptor {
  /** As in the configuration: 'l2tp'. */
  readonly name: string;
  /** 1 … 255, part of every key; never reused for another protocol. */
  readonly id: number;
  /** IP protocol number that carries it (17 UDP, 47 GRE, 50 ESP, 6 TCP). */
  readonly ipProtocol: number;
  /** Port that a VIP of this protocol listens on by default; 0 for a protocol without ports. */
  readonly defaultPort: number;
  /** The L4 header has UDP or TCP ports at bytes 0..3, to be kept in keyA and rewritten. */
  readonly hasPorts: boolean;
  /** The XDP program knows the protocol: it finds the channel of its data and rewrites it. */
  readonly offloadable?: boolean;
  /** Messages of the asking end until a tunnel stands: who acknowledges as many says that it does. Absent: nobody says it so. */
  readonly connectMessages?: number;
  /** Malformed reasons: [drop reason name, sentence]. */
  readonly malformed: readonly (readonly [string, string])[];
  /**
   * Which kind of packet is this, and what is its channel? `offset` is the L4 header, `end` the end of the IP payload
   * (both inside the view, `end` ≥ `offset`). On CLASS_DATA and CLASS_CONTROL `channel[0]` is the header's channel and
   * `channel[1]` a word that tells sessions apart inside the tunnel (for spreading). Allocates nothing.
   */
  classify(view: DataView, offset: number, end: number, channel: Int32Array): number;
  /** Reads a control message that `classify` accepted, whole. Returns `event.kind`, or −(1 + index in `malformed`). */
  read(view: DataView, offset: number, end: number, event: ControlEvent): number;
  /** Byte offset, from the L4 header, of the channel in a packet that `classify` accepted, for the rewriter's tests. */
  channelOffset(view: DataView, offset: number, end: number): number;
  /** Byte offset in `view` of the PPP frame in a data packet that `classify` accepted, −1 when it has none; for MSS clamping. */
  payload?(view: DataView, offset: number, end: number): number;
  /**
   * Where the assigned channel stands inside a control message, for replacing it (virtual ids): byte offset in `view` (as
   * `offset` is) of the 16-bit field, or −1 when it cannot be changed (hidden, absent). The caller writes it and repairs
   * the checksum.
   */
  assignedOffset(view: DataView, offset: number, end: number): number;
  /**
   * Reads the hidden ids of a message that `read` accepted into the event, and clears `assignedHidden` when the one that
   * it stands for came out. False: the secret is another, or nothing is hidden.
   */
  unhide?(view: DataView, offset: number, end: number, secret: Uint8Array, event: ControlEvent): boolean;
  /** Hides another channel in place of the hidden one, in the same bytes. False, and nothing changed: it cannot. */
  rehide?(view: DataView, offset: number, end: number, secret: Uint8Array, channel: number): boolean;
  /**
   * Where a recovering request names the older tunnel's channel of its receiver: byte offset in `view` of the 16-bit
   * field, or −1.
   */
  recoverOffset?(view: DataView, offset: number, end: number, peer: boolean): number;
  /**
   * Stricter than `classify`, for packets whose ports do not say what they are (a server that answers from a port that
   * nobody knows yet): does this look like the protocol and like nothing else? May not throw on any bytes.
   */
  looksLike?(view: DataView, offset: number, end: number): boolean;
  /**
   * The payload (behind the L4 header) of a message that ends a tunnel, as its other end would send it: `channel` is the
   * receiver's id, `assigned` the apparent sender's, `ns` and `nr` continue its dialogue, `result` and `error` (0 none)
   * say why. Allocates. Absent: the protocol has no such message.
   */
  endMessage?(channel: number, assigned: number, ns: number, nr: number, result: number, error: number): Uint8Array;
  /** The payload of a message that only acknowledges. Allocates. */
  ackMessage?(channel: number, ns: number, nr: number): Uint8Array;
  /**
   * Reads what the firewall may ask of a request that `read` accepted (offsets as there) into `attributes`. Allocates
   * nothing; may not throw on any bytes. Absent: the protocol's requests tell nothing.
   */
  attributes?(view: DataView, offset: number, end: number, attributes: TunnelAttributes): void;
  /** One line of text for logs and captures, of any packet, malformed ones too. Allocates; never throws. */
  describe?(view: DataView, offset: number, end: number): string;
}
