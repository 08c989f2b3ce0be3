/** Traffic of subscribers: into the tunnels of one LAC, and from the network to their addresses. */
import { parseAddress } from '#designator/wire/address.js';
import { pseudoHeaderIpv4 } from '#designator/wire/checksum.js';
import { emitEthernet, TYPE_IPV4 } from '#designator/wire/ethernet.js';
import { emitIpv4, PROTOCOL_UDP } from '#designator/wire/ipv4.js';
import { emitUdp } from '#designator/wire/udp.js';
import { type FrameSet, L2TP_PORT, type Macs, turnOrder } from './frames.js';

/** One subscriber: ids as the LNS and as the LAC assigned them. */
export interface LnsSession {
  readonly tunnel: number;
  readonly session: number;
  readonly ownTunnel: number;
  readonly ownSession: number;
  readonly address: string;
}

const word = (address: string): number => parseAddress(address)?.[3] ?? 0;
const HEADERS = 28; // IPv4 and UDP
const L2TP = 10; // the header without options, FF 03 and the protocol
const SUBSCRIBER_PORT = 40_000;
const HOST_PORT = 9;

/** An IPv4 packet of `size` bytes with UDP in it. */
function packet(
  view: DataView,
  at: number,
  from: number,
  to: number,
  ports: readonly [number, number],
  size: number,
): void {
  emitIpv4(view, at, 0, size, 0, 0, 64, PROTOCOL_UDP, from, to);
  emitUdp(view, at + 20, ...ports, size - 20, pseudoHeaderIpv4(view, at, PROTOCOL_UDP, size - 20));
}

/** `size`: bytes of the subscriber's IP packet. */
export function fromSubscribers(
  sessions: readonly LnsSession[],
  macs: Macs,
  size: number,
  outer: { readonly from: string; readonly to: string },
  host: string,
): FrameSet {
  const frameLength = 14 + HEADERS + L2TP + size;
  return frames(sessions, macs, frameLength, (view, at, { tunnel, session, address }) => {
    const l2tp = at + HEADERS;
    view.setUint16(l2tp, 2);
    view.setUint16(l2tp + 2, tunnel);
    view.setUint16(l2tp + 4, session);
    view.setUint32(l2tp + 6, 0xff030021);
    packet(view, l2tp + L2TP, word(address), word(host), [SUBSCRIBER_PORT, HOST_PORT], size);
    packet(view, at, word(outer.from), word(outer.to), [L2TP_PORT, L2TP_PORT], HEADERS + L2TP + size);
  });
}

export function toSubscribers(sessions: readonly LnsSession[], macs: Macs, size: number, host: string): FrameSet {
  return frames(sessions, macs, 14 + size, (view, at, { address }) =>
    packet(view, at, word(host), word(address), [HOST_PORT, SUBSCRIBER_PORT], size),
  );
}

function frames(
  sessions: readonly LnsSession[],
  macs: Macs,
  frameLength: number,
  fill: (view: DataView, at: number, session: LnsSession) => void,
): FrameSet {
  const all = new Uint8Array(frameLength * sessions.length);
  for (const [i, index] of turnOrder(sessions.length).entries()) {
    const frame = all.subarray(i * frameLength, (i + 1) * frameLength);
    const view = new DataView(all.buffer, i * frameLength, frameLength);
    frame.set(macs.destination, 0);
    fill(view, emitEthernet(view, 0, macs.source, TYPE_IPV4), sessions[index]);
  }
  return { frames: all, frameLength };
}
