/** Requests of many hosts for one address (RFC 826), and what a capture says about their answers. */
import type { readPcap } from '#designator/wire/pcap.js';
import type { FrameSet } from './frames.js';

const FRAME_LENGTH = 60;
const ARP = 0x0806;
const BROADCAST = 0xffffffffffff;
const REQUEST = 1;
const REPLY = 2;
/** 10.7.2.0: the hosts' addresses begin here. */
const FIRST_ADDRESS = 0x0a070200;

/** As a number of 48 bits: 02:00:00:01:ss:ss. */
function sourceMac(source: number): number {
  return 0x020000010000 + source;
}

/** A request of each host, in turn. `target`: the address, as a number. */
export function arpRequests(sources: number, target: number): FrameSet {
  const frames = new Uint8Array(sources * FRAME_LENGTH);
  for (let source = 0; source < sources; source++)
    emitArp(new DataView(frames.buffer, source * FRAME_LENGTH, FRAME_LENGTH), source, target);
  return { frames, frameLength: FRAME_LENGTH };
}

function emitArp(view: DataView, source: number, target: number): void {
  const mac = sourceMac(source);
  putMac(view, 0, BROADCAST);
  putMac(view, 6, mac);
  view.setUint16(12, ARP);
  view.setUint16(14, 1); // Ethernet
  view.setUint16(16, 0x0800);
  view.setUint16(18, 0x0604);
  view.setUint16(20, REQUEST);
  putMac(view, 22, mac);
  view.setUint32(28, FIRST_ADDRESS + source);
  view.setUint32(38, target);
}

export interface Answers {
  readonly requests: number;
  readonly answered: number;
  /** Replies beyond one a request. */
  readonly surplus: number;
  /** From the request on the wire to its reply, in microseconds, in order of arrival. */
  readonly micros: readonly number[];
  /** Replies by the MAC that they give. */
  readonly given: ReadonlyMap<number, number>;
}

/** Requests of one host are answered in their order. */
export function pairAnswers(frames: ReturnType<typeof readPcap>): Answers {
  const waiting = new Map<number, number[]>();
  const given = new Map<number, number>();
  const micros: number[] = [];
  let requests = 0;
  let surplus = 0;
  for (const { frame, seconds } of frames) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (frame.byteLength < 42 || view.getUint16(12) !== ARP) continue;
    const operation = view.getUint16(20);
    if (operation === REQUEST) {
      const mac = macAt(view, 22);
      const list = waiting.get(mac) ?? [];
      list.push(seconds);
      waiting.set(mac, list);
      requests++;
    } else if (operation === REPLY) {
      const asked = waiting.get(macAt(view, 32))?.shift();
      if (asked === undefined) surplus++;
      else micros.push((seconds - asked) * 1e6);
      const answer = macAt(view, 22);
      given.set(answer, (given.get(answer) ?? 0) + 1);
    }
  }
  return { requests, answered: micros.length, surplus, micros, given };
}

function putMac(view: DataView, at: number, mac: number): void {
  view.setUint16(at, Math.floor(mac / 2 ** 32));
  view.setUint32(at + 2, mac % 2 ** 32);
}

function macAt(view: DataView, at: number): number {
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
}
