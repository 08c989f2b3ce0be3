/**
 * What members of a cluster send one another, whatever carries it (UDP, NATS, a socket of the machine):
 *
 * ```
 *  0  magic "TC"      8  sender (1 … 255)          16  sequence (48 bit, rises within an incarnation)
 *  2  version 1       9  target (0: all)           22  length of the body
 *  3  subject        10  incarnation (48 bit,      24  body
 *  4  cluster, a         random at the start       ..  HMAC-SHA-256 over all before it, its first 16 bytes
 *     hash of its name   of the sender)                (RFC 2104 §5), where the cluster has a key
 * ```
 *
 * Network byte order. A frame is at most CLUSTER_FRAME_LIMIT bytes, so that with UDP and IPv6 headers it fits into an
 * Ethernet frame of any usual path. What is read here is believed by nobody before its seal is checked.
 */

export const CLUSTER_VERSION = 1;
export const CLUSTER_HEADER_LENGTH = 24;
export const CLUSTER_TAG_LENGTH = 16;
export const CLUSTER_FRAME_LIMIT = 1400;
export const CLUSTER_BODY_LIMIT = CLUSTER_FRAME_LIMIT - CLUSTER_HEADER_LENGTH - CLUSTER_TAG_LENGTH;

const MAGIC = 0x5443;
const TWO32 = 2 ** 32;
const SEQUENCE_AT = 16;
const LENGTH_AT = 22;

/**
 * status: who is there, who hears whom, what each tells of itself. state: connection state. notice: a word to all. control:
 * a control message of a tunnel, for whoever writes it.
 */
export const CLUSTER_SUBJECTS = ['status', 'state', 'notice', 'control'] as const;
export type ClusterSubject = (typeof CLUSTER_SUBJECTS)[number];

export interface ClusterHeader {
  readonly subject: ClusterSubject;
  readonly cluster: number;
  readonly sender: number;
  readonly target: number;
  readonly incarnation: number;
  readonly sequence: number;
}

export type ClusterFrameFault = 'malformed' | 'version';

export function readWord48(view: DataView, at: number): number {
  return view.getUint16(at) * TWO32 + view.getUint32(at + 2);
}

export function writeWord48(view: DataView, at: number, value: number): void {
  view.setUint16(at, Math.floor(value / TWO32));
  view.setUint32(at + 2, value % TWO32);
}

/** A number of 32 bits for a cluster's name (FNV-1a), so that two clusters on one carrier do not mix. */
export function clusterHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The header of a whole frame, and where its body ends. `sealed`: a tag follows. Nothing else may. */
export function readClusterHeader(
  frame: Uint8Array,
  sealed: boolean,
): { readonly header: ClusterHeader; readonly end: number } | ClusterFrameFault {
  const tag = sealed ? CLUSTER_TAG_LENGTH : 0;
  if (frame.length < CLUSTER_HEADER_LENGTH + tag || frame.length > CLUSTER_FRAME_LIMIT) return 'malformed';
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(0) !== MAGIC) return 'malformed';
  if (view.getUint8(2) !== CLUSTER_VERSION) return 'version';
  const subject = CLUSTER_SUBJECTS[view.getUint8(3)];
  const end = CLUSTER_HEADER_LENGTH + view.getUint16(LENGTH_AT);
  const sender = view.getUint8(8);
  if (subject === undefined || sender === 0 || end + tag !== frame.length) return 'malformed';
  const header = {
    subject,
    cluster: view.getUint32(4),
    sender,
    target: view.getUint8(9),
    incarnation: readWord48(view, 10),
    sequence: readWord48(view, SEQUENCE_AT),
  };
  return { header, end };
}

/** A frame with header and body, and room for the tag at its end when `sealed`. Errors: RangeError, the body is too long. */
export function emitClusterFrame(header: ClusterHeader, body: Uint8Array, sealed: boolean): Uint8Array {
  if (body.length > CLUSTER_BODY_LIMIT) throw new RangeError(`a body of ${body.length} bytes fits into no frame`);
  const frame = new Uint8Array(CLUSTER_HEADER_LENGTH + body.length + (sealed ? CLUSTER_TAG_LENGTH : 0));
  const view = new DataView(frame.buffer);
  view.setUint16(0, MAGIC);
  view.setUint8(2, CLUSTER_VERSION);
  view.setUint8(3, CLUSTER_SUBJECTS.indexOf(header.subject));
  view.setUint32(4, header.cluster);
  view.setUint8(8, header.sender);
  view.setUint8(9, header.target);
  writeWord48(view, 10, header.incarnation);
  writeWord48(view, SEQUENCE_AT, header.sequence);
  view.setUint16(LENGTH_AT, body.length);
  frame.set(body, CLUSTER_HEADER_LENGTH);
  return frame;
}
