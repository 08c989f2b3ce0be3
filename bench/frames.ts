/** Frames of many L2TP flows, prepared once: requests, answers, data of both directions. */
import { buildMessage } from '#designator/tunnels/l2tp/message.js';
import { SCCCN, SCCRP, SCCRQ, STOPCCN } from '#designator/tunnels/l2tp/message-table.js';
import { pseudoHeaderIpv4 } from '#designator/wire/checksum.js';
import { emitEthernet, TYPE_IPV4 } from '#designator/wire/ethernet.js';
import { emitIpv4, PROTOCOL_UDP } from '#designator/wire/ipv4.js';
import { emitUdp } from '#designator/wire/udp.js';
import { numbers } from './micro/table.js';

export const VIP = 0xc8c86401; // 200.200.100.1
export const SERVER = 0x0a0a0101; // 10.10.1.1
/** Clients stand behind one router: 10.64.0.0/10. */
const CLIENT_NET = 0x0a400000;
const PORTS_PER_CLIENT = 400;
const FIRST_PORT = 2000;
export const L2TP_PORT = 1701;

/** One tunnel: who asks, and the ids that both ends will choose. Deterministic in the flow's number. */
export interface Flow {
  readonly client: number;
  readonly port: number;
  readonly clientId: number;
  readonly serverId: number;
}

export function flowOf(index: number): Flow {
  return {
    client: (CLIENT_NET + 1 + Math.floor(index / PORTS_PER_CLIENT)) >>> 0,
    port: FIRST_PORT + (index % PORTS_PER_CLIENT),
    clientId: ((index * 7) % 65521) + 1,
    serverId: ((index * 13) % 65521) + 1,
  };
}

const orders = new Map<number, readonly number[]>();

/**
 * The order in which flows take turns: another one than that in which they were set up, since what was allocated one after
 * another lies one after another, and hardware that reads ahead would find it. The same for all contestants.
 */
export function turnOrder(flows: number): readonly number[] {
  let order = orders.get(flows);
  if (order === undefined) {
    const next = numbers(flows);
    const shuffled = Array.from({ length: flows }, (_, i) => i);
    for (let i = flows - 1; i > 0; i--) {
      const j = next() % (i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    order = shuffled;
    orders.set(flows, order);
  }
  return order;
}

export interface Macs {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** Frames of one length, end to end, or their heads and what follows each of them. */
export interface FrameSet {
  readonly frames: Uint8Array;
  /** Of an item of `frames`. */
  readonly frameLength: number;
  /** What follows each head; absent: `frames` holds whole frames. */
  readonly tail?: Uint8Array;
  /** Every other frame goes the other way. */
  readonly both?: boolean;
}

/** The flows differ in so many bytes from the beginning of a frame; a million frames of 1400 bytes need not be kept. */
const HEAD_LENGTH = 64;

/** How many flows, from flow 0 on, or which ones. */
type Flows = number | readonly number[];

function frameSet(
  flows: Flows,
  macs: Macs,
  make: (index: number) => { from: number; fromPort: number; to: number; toPort: number; payload: Uint8Array },
  least = HEAD_LENGTH,
  headsOnly = false,
): FrameSet {
  const chosen = typeof flows === 'number' ? null : flows;
  const count = typeof flows === 'number' ? flows : flows.length;
  const first = make(chosen === null ? 0 : chosen[0]);
  const frameLength = Math.max(least, 14 + 20 + 8 + first.payload.length);
  const kept = headsOnly ? Math.min(HEAD_LENGTH, frameLength) : frameLength;
  const frames = new Uint8Array(kept * count);
  const frame = new Uint8Array(frameLength);
  const view = new DataView(frame.buffer);
  for (let i = 0; i < count; i++) {
    const { from, fromPort, to, toPort, payload } = make(chosen === null ? i : chosen[i]);
    frame.set(macs.destination, 0);
    const ip = emitEthernet(view, 0, macs.source, TYPE_IPV4);
    const udp = ip + 20;
    frame.set(payload, udp + 8);
    emitIpv4(view, ip, 0, 28 + payload.length, 0, 0, 64, PROTOCOL_UDP, from | 0, to | 0);
    emitUdp(
      view,
      udp,
      fromPort,
      toPort,
      8 + payload.length,
      pseudoHeaderIpv4(view, ip, PROTOCOL_UDP, 8 + payload.length),
    );
    frames.set(kept === frameLength ? frame : frame.subarray(0, kept), i * kept);
  }
  return kept === frameLength ? { frames, frameLength } : { frames, frameLength: kept, tail: frame.slice(kept) };
}

const HOST_NAME = { type: 7, value: 'bench' };
const COMMON = [{ type: 2, value: { version: 1, revision: 0 } }, { type: 3, value: 3 }, HOST_NAME];

export function requests(flows: Flows, macs: Macs): FrameSet {
  return frameSet(flows, macs, (i) => {
    const flow = flowOf(i);
    const payload = buildMessage({
      type: SCCRQ,
      tunnel: 0,
      session: 0,
      ns: 0,
      nr: 0,
      avps: [...COMMON, { type: 9, value: flow.clientId }],
    });
    return { from: flow.client, fromPort: flow.port, to: VIP, toPort: L2TP_PORT, payload };
  });
}

/** One frame of a flood's mixture: another tunnel's data, or a request of somebody who has no tunnel. */
export type MixedFrame = { readonly flow: number } | { readonly client: number; readonly port: number };

/** Id that every request of a mixture assigns: it stands behind the head, where all frames are alike. */
const MIXED_ID = 4242;

/**
 * Data of standing tunnels and requests of strangers in one set: all frames have one length and one end, which is the end
 * of a request; data does not mind what it carries.
 */
export function mixture(frames: readonly MixedFrame[], macs: Macs): FrameSet {
  const request = buildMessage({ type: SCCRQ, avps: [...COMMON, { type: 9, value: MIXED_ID }] });
  const payload = Uint8Array.from(request);
  const set = frameSet(
    frames.map((_, i) => i),
    macs,
    (i) => {
      const frame = frames[i];
      if (!('flow' in frame))
        return { from: frame.client, fromPort: frame.port, to: VIP, toPort: L2TP_PORT, payload: request };
      const { client, port, serverId } = flowOf(frame.flow);
      payload.set([0, 2, serverId >> 8, serverId & 0xff, 0, 1]);
      return { from: client, fromPort: port, to: VIP, toPort: L2TP_PORT, payload };
    },
    HEAD_LENGTH,
    true,
  );
  return set;
}

export function replies(flows: Flows, macs: Macs): FrameSet {
  return frameSet(flows, macs, (i) => {
    const flow = flowOf(i);
    const payload = buildMessage({
      type: SCCRP,
      tunnel: flow.clientId,
      session: 0,
      ns: 0,
      nr: 1,
      avps: [...COMMON, { type: 9, value: flow.serverId }],
    });
    return { from: SERVER, fromPort: L2TP_PORT, to: flow.client, toPort: flow.port, payload };
  });
}

export function connects(flows: Flows, macs: Macs): FrameSet {
  return frameSet(flows, macs, (i) => {
    const flow = flowOf(i);
    const payload = buildMessage({ type: SCCCN, tunnel: flow.serverId, session: 0, ns: 1, nr: 1, avps: [] });
    return { from: flow.client, fromPort: flow.port, to: VIP, toPort: L2TP_PORT, payload };
  });
}

/** The client ends its tunnels. */
export function farewells(flows: Flows, macs: Macs): FrameSet {
  return frameSet(flows, macs, (i) => {
    const { client, port, clientId, serverId } = flowOf(i);
    const avps = [
      { type: 9, value: clientId },
      { type: 1, value: { result: 1 } },
    ];
    const payload = buildMessage({ type: STOPCCN, tunnel: serverId, session: 0, ns: 2, nr: 1, avps });
    return { from: client, fromPort: port, to: VIP, toPort: L2TP_PORT, payload };
  });
}

/** Data of `size` bytes a frame, as heads and a tail. `to`: the VIP, or the server itself for a plain router. */
export function dataIn(flows: Flows, macs: Macs, size: number, to = VIP): FrameSet {
  return frameSet(
    flows,
    macs,
    (i) => {
      const flow = flowOf(i);
      return { from: flow.client, fromPort: flow.port, to, toPort: L2TP_PORT, payload: data(flow.serverId, size - 42) };
    },
    size,
    true,
  );
}

export function dataOut(flows: Flows, macs: Macs, size: number): FrameSet {
  return frameSet(
    flows,
    macs,
    (i) => {
      const { client, port, clientId } = flowOf(i);
      return { from: SERVER, fromPort: L2TP_PORT, to: client, toPort: port, payload: data(clientId, size - 42) };
    },
    size,
    true,
  );
}

/** Both directions, turn about. */
export function interleaved(one: FrameSet, other: FrameSet): FrameSet {
  const { frameLength, tail } = one;
  const frames = new Uint8Array(one.frames.length * 2);
  for (let at = 0; at < one.frames.length; at += frameLength) {
    frames.set(one.frames.subarray(at, at + frameLength), at * 2);
    frames.set(other.frames.subarray(at, at + frameLength), at * 2 + frameLength);
  }
  return { frames, frameLength, ...(tail === undefined ? {} : { tail }), both: true };
}

const payloads = new Map<number, Uint8Array>();

/** An L2TPv2 data message without options: 6 bytes of header, then PPP. The next call may change it. */
function data(tunnel: number, length: number): Uint8Array {
  let payload = payloads.get(length);
  if (payload === undefined) {
    payload = Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 0xff);
    payload.set([0, 2, 0, 0, 0, 1]);
    payloads.set(length, payload);
  }
  payload[2] = tunnel >> 8;
  payload[3] = tunnel & 0xff;
  return payload;
}
