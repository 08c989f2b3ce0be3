/** Bytes for the tests of L2TP: datagrams in buffers that end exactly where they end, and the UDP payloads of captures. */
import { readFileSync } from 'node:fs';

/** A UDP datagram: `offset` is its header, `end` the end of the IP payload; the view covers no byte more. */
export interface Datagram {
  readonly view: DataView;
  readonly offset: number;
  readonly end: number;
}

export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  const digits = hex.replaceAll(/\s/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** A view of exactly these bytes, in memory of their own: one byte too many throws. */
export function exactly(bytes: Uint8Array): DataView {
  return new DataView(new Uint8Array(bytes).buffer);
}

/** Wraps an L2TP message in UDP. `lead` bytes stand before it, `padding` behind it, inside the IP payload. */
export function datagram(
  payload: Uint8Array,
  {
    lead = 0,
    padding = 0,
    udpLength = payload.length + 8,
  }: { lead?: number; padding?: number; udpLength?: number } = {},
): Datagram {
  const bytes = new Uint8Array(lead + 8 + payload.length + padding).fill(0xa5);
  const view = new DataView(bytes.buffer);
  view.setUint16(lead, 1701);
  view.setUint16(lead + 2, 1701);
  view.setUint16(lead + 4, udpLength);
  view.setUint16(lead + 6, 0);
  bytes.set(payload, lead + 8);
  return { view, offset: lead, end: bytes.length };
}

/** One datagram of a capture. */
export interface CapturedDatagram {
  /** Counted from 1, as capture tools do. */
  readonly frame: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** From the UDP header to the end of the IP payload. */
  readonly udp: Uint8Array;
}

/** UDP over IPv4 over Ethernet, unfragmented, of a little-endian microsecond pcap file; other frames are left out. */
export function capturedDatagrams(name: string): CapturedDatagram[] {
  const file = readFileSync(new URL(`../../fixtures/pcaps/${name}`, import.meta.url));
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1)
    throw new Error(`${name}: not the pcap expected`);
  const found: CapturedDatagram[] = [];
  let frame = 0;
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    const l3 = at + 16 + 14;
    frame++;
    if (file.readUInt16BE(l3 - 2) === 0x0800 && file[l3 + 9] === 17 && (file.readUInt16BE(l3 + 6) & 0x3fff) === 0) {
      const l4 = l3 + (file[l3] & 0x0f) * 4;
      const udp = new Uint8Array(file.subarray(l4, l3 + file.readUInt16BE(l3 + 2)));
      const source = [...file.subarray(l3 + 12, l3 + 16)].join('.');
      const [sourcePort, destinationPort] = [file.readUInt16BE(l4), file.readUInt16BE(l4 + 2)];
      found.push({ frame, source, sourcePort, destinationPort, udp });
    }
    at += 16 + length;
  }
  return found;
}

export const L2TP_CAPTURES = [
  'l2tp-5-tunnels-one-client-socket.pcap',
  'l2tp-hello-xl2tpd.pcap',
  'l2tp-l2tpns-challenge-hello.pcap',
  'l2tp-server-blackholed-retransmit.pcap',
  'l2tp-server-floats-to-50001-client-stays-on-1701.pcap',
  'l2tp-server-killed-icmp.pcap',
  'l2tp-xl2tpd-kernel.pcap',
  'l2tp-xl2tpd-userspace-lengthbit.pcap',
];
