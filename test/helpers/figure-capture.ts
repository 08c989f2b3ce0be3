/**
 * Document 001's message diagrams, read from captures: which control message was seen at which place, with its addresses
 * as the figures call them and its tunnel ids. Reads the bytes by RFC 2661 §3.1 and §4 alone.
 */
import { PcapReader } from '../../src/io/pcap-file.js';
import { Capture } from '../../src/demo/lab/capture.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';

const NAMES: Readonly<Record<number, string>> = { 1: 'SCCRQ', 2: 'SCCRP', 3: 'SCCCN', 4: 'StopCCN', 6: 'HELLO' };
const IP = 14;
const UDP = IP + 20;
const L2TP = UDP + 8;
const FIRST_AVP = L2TP + 12;
const AVP_ASSIGNED_TUNNEL_ID = 9;

export interface Seen {
  /** `TI > CM SCCRQ tunnel 0 assigned 1` */
  readonly line: string;
  /** The UDP payload. */
  readonly payload: string;
  /** Link-layer addresses. */
  readonly source: string;
  readonly destination: string;
}

export class Figure {
  readonly #captures = new Map<string, Capture>();

  /** `names`: the figures' words for addresses. */
  constructor(
    readonly folder: string,
    readonly names: Readonly<Record<string, string>>,
  ) {}

  /** Watches places: name → namespace and device. Resolves when all are watched. */
  async watch(places: Readonly<Record<string, readonly [Namespace, string]>>): Promise<void> {
    await Promise.all(
      Object.entries(places).map(async ([name, [namespace, device]]) => {
        const file = `${this.folder}/figure-${name}-${this.#captures.size}.pcap`;
        this.#captures.set(name, await Capture.start(namespace, device, file, 'udp port 1701'));
      }),
    );
  }

  /** What was seen, in order, without what only came again. */
  async seen(): Promise<Record<string, Seen[]>> {
    const out: Record<string, Seen[]> = {};
    for (const [name, capture] of this.#captures) {
      await capture.stop();
      out[name] = this.#read(capture.file);
    }
    return out;
  }

  #read(file: string): Seen[] {
    const reader = new PcapReader(file);
    const seen: Seen[] = [];
    try {
      while (reader.next()) {
        const { offset, length } = reader.record;
        const one = this.#describe(reader.bytes.subarray(offset, offset + length));
        if (one !== null && !seen.some(({ line, payload }) => line === one.line && payload === one.payload))
          seen.push(one);
      }
    } finally {
      reader.close();
    }
    return seen;
  }

  #describe(frame: Uint8Array): Seen | null {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (frame.length < FIRST_AVP || view.getUint16(12) !== 0x0800 || frame[L2TP] >> 7 === 0) return null;
    const name = (at: number): string => {
      const address = frame.subarray(at, at + 4).join('.');
      return this.names[address] ?? address;
    };
    const end = L2TP + view.getUint16(L2TP + 2);
    const type = end > FIRST_AVP ? (NAMES[view.getUint16(FIRST_AVP + 6)] ?? 'other') : 'ZLB';
    let assigned = '';
    for (let at = FIRST_AVP; at < end; at += view.getUint16(at) & 0x3ff)
      if (view.getUint16(at + 4) === AVP_ASSIGNED_TUNNEL_ID) assigned = ` assigned ${view.getUint16(at + 6)}`;
    const line = `${name(IP + 12)} > ${name(IP + 16)} ${type} tunnel ${view.getUint16(L2TP + 4)}${assigned}`;
    const mac = (at: number): string =>
      [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    return {
      line,
      payload: Buffer.from(frame.subarray(L2TP, end)).toString('hex'),
      source: mac(6),
      destination: mac(0),
    };
  }
}

export const lines = (seen: readonly Seen[]): string[] => seen.map(({ line }) => line);
