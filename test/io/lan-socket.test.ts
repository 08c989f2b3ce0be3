/** What the class makes of the addon's socket; the real one: test/e2e/gateway-host.test.ts. */
import { afterEach, describe, expect, test } from 'vitest';
import type { LanFrames } from '../../src/io/gateway-types.js';
import { LAN_BATCH, type NativeLanSocket, type NativeLanSocketOptions } from '../../src/io/lan-native.js';
import { LanSocket, type LanSocketOptions } from '../../src/io/lan-socket.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const MESSAGES = Uint8Array.of(3, 0x54, 0x44, 0, 7, 0);

let open: LanSocket | undefined;
afterEach(() => open?.close());

/** A socket over an addon that has these batches waiting, each with so many frames. */
function socketOf(options: Partial<LanSocketOptions> = {}, batches: number[] = []) {
  const seen: { count: number; frames: number[][]; arrived: number[]; now: number }[] = [];
  const sends: { count: number; lengths: number[]; first: number[] }[] = [];
  const filters: Int32Array[] = [];
  const stations: string[] = [];
  let closed = 0;
  let asked!: NativeLanSocketOptions;
  let readable = (): void => {};
  let most = LAN_BATCH;
  class Fake implements NativeLanSocket {
    constructor(wanted: NativeLanSocketOptions, onReadable: () => void) {
      asked = wanted;
      readable = onReadable;
    }
    receive(): number {
      const count = batches.shift() ?? 0;
      for (let i = 0; i < count; i++) {
        const place = count - 1 - i; // any place may hold any frame
        asked.received.fill(i, place * asked.slotLength, place * asked.slotLength + 20 + i);
        asked.columns.set([place, 20 + i], 2 * i);
        asked.times[i] = 100 + i;
      }
      asked.times[LAN_BATCH] = 500;
      return count;
    }
    send(count: number): number {
      const lengths = [...asked.lengths.subarray(0, count)];
      sends.push({ count, lengths, first: lengths.map((_, i) => asked.outgoing[i * asked.slotLength]) });
      return Math.min(count, most);
    }
    setAddresses(addresses: Int32Array): void {
      filters.push(addresses);
    }
    setStation(mac: Uint8Array, taken: boolean): void {
      stations.push(`${mac.join(' ')} ${taken}`);
    }
    statistics() {
      return { received: 1, dropped: 2, truncated: 3, sent: 4, refused: 5 };
    }
    close(): void {
      closed++;
    }
  }
  const socket = new LanSocket(
    { LanSocket: Fake },
    {
      device: 'no-such-link',
      mtu: 1500,
      addresses: [words('10.7.0.254')],
      groups: [MESSAGES],
      onFrames: (frames: LanFrames) => {
        const all = Array.from({ length: frames.count }, (_, i) => i);
        seen.push({
          count: frames.count,
          now: frames.now,
          arrived: all.map((i) => frames.arrived(i)),
          frames: all.map((i) => [frames.frame(i).length, frames.frame(i)[0]]),
        });
      },
      ...options,
    },
  );
  open = socket;
  return {
    socket,
    seen,
    sends,
    filters,
    stations,
    asked,
    readable: () => readable(),
    closed: () => closed,
    limit: (count: number) => (most = count),
  };
}

describe('receiving', () => {
  test('frames come with their bytes and times, whatever place they lie in', () => {
    const { seen, readable } = socketOf({}, [3]);
    readable();
    expect(seen).toEqual([
      {
        count: 3,
        now: 500,
        arrived: [100, 101, 102],
        frames: [
          [20, 0],
          [21, 1],
          [22, 2],
        ],
      },
    ]);
  });

  test('a wake-up reads until nothing is left, and leaves the rest of a flood for the next one', () => {
    const batches = [LAN_BATCH, LAN_BATCH, 5, 7];
    const { seen, readable } = socketOf({}, batches);
    readable();
    expect(seen.map(({ count }) => count)).toEqual([LAN_BATCH, LAN_BATCH, 5]);
    expect(batches).toEqual([7]);
    const flood = Array.from({ length: 30 }, () => LAN_BATCH);
    const second = socketOf({}, flood);
    second.readable();
    expect(second.seen).toHaveLength(8);
    expect(flood).toHaveLength(22);
    second.socket.close();
  });

  test('a socket that is closed while its frames are looked at reads no more', () => {
    const batches = [LAN_BATCH, LAN_BATCH];
    const made = socketOf({ onFrames: () => made.socket.close() }, batches);
    made.readable();
    expect(batches).toHaveLength(1);
    expect(made.closed()).toBe(1);
  });
});

describe('sending', () => {
  const frame = (first: number, length = 60): Uint8Array => new Uint8Array(length).fill(first);

  test('frames of a turn leave in their order, as many in a call as there is room for', () => {
    const { socket, sends } = socketOf();
    expect(socket.send(Array.from({ length: LAN_BATCH + 2 }, (_, i) => frame(i)))).toBe(LAN_BATCH + 2);
    expect(sends.map(({ count }) => count)).toEqual([LAN_BATCH, 2]);
    expect(sends[1]).toMatchObject({ lengths: [60, 60], first: [LAN_BATCH, LAN_BATCH + 1] });
    expect(socket.send([])).toBe(0);
    expect(sends).toHaveLength(2);
  });

  test('what is no frame, or too long, is counted and stops nobody else', () => {
    const { socket, sends, asked } = socketOf();
    expect(asked.slotLength).toBeGreaterThanOrEqual(1514);
    expect(socket.send([frame(1), frame(2, 13), frame(3, asked.slotLength + 1), frame(4)])).toBe(2);
    expect(sends).toMatchObject([{ count: 2, first: [1, 4] }]);
    expect(socket.statistics()).toEqual({ received: 1, dropped: 2, truncated: 3, sent: 4, refused: 7 });
  });

  test('what the device refuses is not said to have left; nothing leaves after the end', () => {
    const { socket, limit, sends } = socketOf();
    limit(1);
    expect(socket.send([frame(1), frame(2)])).toBe(1);
    socket.close();
    expect(socket.send([frame(3)])).toBe(0);
    expect(sends).toHaveLength(1);
  });
});

describe('what is received', () => {
  const macs = (bytes: Uint8Array): string[] =>
    Array.from({ length: bytes.length / 6 }, (_, i) => Buffer.from(bytes.subarray(i * 6, i * 6 + 6)).toString('hex'));

  test('messages alone for IPv4; solicited nodes and all routers for IPv6; GLBP on request', () => {
    const v4 = socketOf();
    expect(macs(v4.asked.groups)).toEqual(['035444000700']);
    expect(v4.asked.udpPort).toBe(0);
    v4.socket.close();
    const v6 = socketOf({ addresses: [words('fe80::7:fe'), words('2001:db8::ab:cdef')] });
    expect(macs(v6.asked.groups)).toEqual(['035444000700', '333300000002', '3333ff0700fe', '3333ffabcdef']);
    v6.socket.close();
    const glbp = socketOf({ glbp: true, addresses: [words('fe80::7:fe')] });
    expect(macs(glbp.asked.groups)).toEqual(expect.arrayContaining(['01005e000066', '333300000066']));
    expect(glbp.asked.udpPort).toBe(3222);
  });

  test('frames of a long MTU have room; addresses are changed in place', () => {
    const { socket, asked, filters, stations } = socketOf({ mtu: 9000 });
    expect(asked.slotLength).toBeGreaterThanOrEqual(9018);
    expect([...asked.addresses]).toEqual([0, 0, 0xffff, 0x0a0700fe]);
    socket.setAddresses([words('10.7.0.1')]);
    expect(filters).toEqual([Int32Array.of(0, 0, 0xffff, 0x0a070001)]);
    socket.setStation(MESSAGES, true);
    expect(stations).toEqual(['3 84 68 0 7 0 true']);
  });
});
