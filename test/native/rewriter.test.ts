import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ENTRY,
  FLAG_DECREMENT_TTL,
  FLAG_DENIED,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
  FLAG_REWRITE_SOURCE,
  NEXT_HOP,
  NEXT_HOP_WORDS,
  RECORD,
  RECORD_WORDS,
  TABLE_FORWARD,
  TABLE_REVERSE,
} from '../../src/flow/layout.js';
import {
  BATCH_CAPACITY,
  FRAME_CHECKSUM_PARTIAL,
  SCRATCH_SLOTS,
  VERDICT_DROP,
  VERDICT_HANDED,
  VERDICT_PASS,
  VERDICT_RAW,
} from '../../src/io/port.js';
import { checksum } from '../../src/wire/checksum.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { frame, type FrameOptions, hex, l2tpData, udpFrame, viewOf } from '../helpers/packet-builder.js';
import { HOP_UNRESOLVED, Rig, SLOT_LENGTH } from './rig.js';

const CLIENT = '192.128.10.5';
const VIP = '200.200.100.1';
const SERVER = '10.10.1.1';
const CLIENT6 = '2001:db8:1::5';
const VIP6 = '2001:db8:2::1';
const SERVER6 = '2001:db8:3::1';
const DATA = l2tpData({ tunnel: 7, session: 1, payload: 'ff030021450000' });
/** What `HOP` and port 1 of the rig give every frame. */
const MACS = { dst: '02:11:22:33:44:55', src: '02:00:00:00:01:01' };

/** The frame as it should leave: built anew, with checksums computed in full. */
const rebuilt = (options: FrameOptions): string => hex(frame({ ...options, eth: MACS }));

describe('one frame', () => {
  test('client to server: destination, port, TTL, MACs, checksums', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_PORTS | FLAG_DECREMENT_TTL, ports: 1702 });
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
    const out = rig.one(given);
    expect([out.verdict, out.egress]).toEqual([VERDICT_RAW, 1]);
    expect(hex(out.frame)).toBe(
      rebuilt({ ip: { src: CLIENT, dst: SERVER, ttl: 63 }, udp: { src: 1701, dst: 1702 }, payload: DATA }),
    );
    expect(rig.word(0, ENTRY.packets)).toBe(1);
    expect(rig.word(0, ENTRY.bytes)).toBe(given.length - 14);
    expect(rig.word(0, ENTRY.lastSeen)).toBe(1000);
  });
  test('server to client: source and source port', () => {
    const rig = new Rig();
    rig.address(2, VIP);
    rig.entry(0, {
      address: 2,
      flags: FLAG_REWRITE_SOURCE | FLAG_REWRITE_PORTS | FLAG_DECREMENT_TTL,
      ports: 1701 << 16,
      table: TABLE_REVERSE,
    });
    const out = rig.one(udpFrame(`${SERVER}:34567`, `${CLIENT}:4000`, DATA));
    expect(hex(out.frame)).toBe(
      rebuilt({ ip: { src: VIP, dst: CLIENT, ttl: 63 }, udp: { src: 1701, dst: 4000 }, payload: DATA }),
    );
  });
  test('over IPv6, behind extension headers', () => {
    const rig = new Rig();
    rig.address(1, SERVER6);
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_PORTS | FLAG_DECREMENT_TTL, ports: 1702 });
    const extensions = [{ protocol: 0 }, { protocol: 60, length: 24 }];
    const out = rig.one(udpFrame(`[${CLIENT6}]:1701`, `[${VIP6}]:1701`, DATA, { ip: { extensions } }));
    expect(hex(out.frame)).toBe(
      rebuilt({
        ip: { src: CLIENT6, dst: SERVER6, ttl: 63, extensions },
        udp: { src: 1701, dst: 1702 },
        payload: DATA,
      }),
    );
  });
  test('Ethernet padding is left alone and not counted', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    const bare = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, '00020007');
    const out = rig.one(Uint8Array.of(...bare, 9, 9, 9, 9, 9));
    expect(hex(out.frame).endsWith('0909090909')).toBe(true);
    expect(rig.word(0, ENTRY.bytes)).toBe(bare.length - 14);
  });
  test('TCP, and a protocol without ports', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_PORTS, ports: 1723 });
    const tcp: FrameOptions = { ip: { src: CLIENT, dst: VIP }, tcp: { src: 40000, dst: 1000 }, payload: '616263' };
    expect(hex(rig.one(frame(tcp)).frame)).toBe(
      rebuilt({ ...tcp, ip: { src: CLIENT, dst: SERVER }, tcp: { src: 40000, dst: 1723 } }),
    );
    rig.entry(0, { address: 1, flags: 0 });
    const gre: FrameOptions = { ip: { src: CLIENT, dst: VIP, protocol: 47 }, payload: '3001880b00040007000000010203' };
    expect(hex(rig.one(frame(gre)).frame)).toBe(rebuilt({ ...gre, ip: { src: CLIENT, dst: SERVER, protocol: 47 } }));
  });
});

describe('checksums', () => {
  const endpoint = fc.record({
    address: fc.integer({ min: 0x01000000, max: 0xdfffffff }),
    port: fc.integer({ min: 1, max: 65535 }),
  });
  const dotted = (n: number): string => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.');
  const sixth = (n: number): string => `2001:db8::${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`;

  test('what is rewritten equals what a builder makes from nothing', () => {
    const rig = new Rig();
    fc.assert(
      fc.property(
        endpoint,
        endpoint,
        endpoint,
        fc.uint8Array({ maxLength: 80 }),
        fc.record({
          v6: fc.boolean(),
          tcp: fc.boolean(),
          source: fc.boolean(),
          partial: fc.boolean(),
          ttl: fc.boolean(),
        }),
        (from, to, target, payload, how) => {
          const text = how.v6 ? sixth : dotted;
          rig.address(1, text(target.address));
          const ports = how.source ? target.port << 16 : target.port;
          let flags = FLAG_REWRITE_PORTS;
          if (how.source) flags |= FLAG_REWRITE_SOURCE;
          if (how.ttl) flags |= FLAG_DECREMENT_TTL;
          rig.entry(0, { address: 1, flags, ports });
          const made = (src: typeof from, dst: typeof to, ttl: number, partial: boolean): FrameOptions => {
            const l4 = { src: src.port, dst: dst.port, checksum: partial ? ('partial' as const) : ('right' as const) };
            const ip = { src: text(src.address), dst: text(dst.address), ttl };
            return how.tcp ? { ip, tcp: l4, payload } : { ip, udp: l4, payload };
          };
          const out = rig.one(frame(made(from, to, 64, how.partial)), how.partial ? FRAME_CHECKSUM_PARTIAL : 0);
          const ttl = how.ttl ? 63 : 64;
          const [src, dst] = how.source ? [target, to] : [from, target];
          const want = frame({ ...made(src, dst, ttl, false), eth: MACS });
          expect(out.verdict).toBe(VERDICT_RAW);
          expect(hex(out.frame)).toBe(hex(want));
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
  test('a UDP checksum that would become 0 is sent as 0xffff', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1, flags: 0 });
    // With 0 as last word the sum lacks exactly what then is put there.
    const lacking = viewOf(udpFrame(`${CLIENT}:1701`, `${SERVER}:1701`, '000200070001 0000')).getUint16(40);
    const payload = `000200070001${lacking.toString(16).padStart(4, '0')}`;
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, payload);
    expect(viewOf(given).getUint16(40)).not.toBe(0xffff);
    const out = rig.one(given);
    expect(viewOf(out.frame).getUint16(40)).toBe(0xffff);
    expect(hex(out.frame)).toBe(rebuilt({ ip: { src: CLIENT, dst: SERVER }, udp: { src: 1701, dst: 1701 }, payload }));
  });
  test('UDP checksum 0 means none and stays, over IPv4 and IPv6', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.address(2, SERVER6);
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_PORTS, ports: 9 });
    const none = { udp: { checksum: 'none' as const } };
    expect(viewOf(rig.one(udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, none)).frame).getUint16(40)).toBe(0);
    rig.entry(0, { address: 2, flags: FLAG_REWRITE_PORTS, ports: 9 });
    expect(viewOf(rig.one(udpFrame(`[${CLIENT6}]:1`, `[${VIP6}]:2`, DATA, none)).frame).getUint16(60)).toBe(0);
  });
  test('a wrong checksum stays as wrong as it was, so that the receiver sees it', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    const out = rig.one(
      udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, { udp: { checksum: 'bad' }, ip: { checksum: 'bad' } }),
    );
    const right = viewOf(frame({ ip: { src: CLIENT, dst: SERVER, ttl: 63 }, udp: { src: 1, dst: 2 }, payload: DATA }));
    expect(out.verdict).toBe(VERDICT_RAW);
    expect(viewOf(out.frame).getUint16(40)).not.toBe(right.getUint16(40));
    expect(checksum(viewOf(out.frame), 14, 34)).not.toBe(0);
  });
});

describe('the channel', () => {
  const rigWithRecord = (table: number): Rig => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.memory.records[3 * RECORD_WORDS + RECORD.serverChannel] = 0x1234;
    rig.memory.records[3 * RECORD_WORDS + RECORD.virtualChannel] = 0x5678;
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_CHANNEL, table, record: 3 });
    return rig;
  };
  test.each([
    ['forward', TABLE_FORWARD, 0x1234],
    ['reverse', TABLE_REVERSE, 0x5678],
  ])('%s: with and without L bit', (_name, table, id) => {
    const rig = rigWithRecord(table);
    for (const length of [true, false]) {
      const payload = (tunnel: number): Uint8Array =>
        l2tpData({ tunnel, session: 1, length, payload: 'ff0300210a0b0c' });
      const out = rig.one(udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, payload(7)));
      expect(hex(out.frame)).toBe(
        rebuilt({ ip: { src: CLIENT, dst: SERVER }, udp: { src: 1701, dst: 1701 }, payload: payload(id) }),
      );
    }
  });
  test.each([
    ['another version', '000300070001ff03'],
    ['a message that ends inside the id', '4002000500'],
    ['no message at all', ''],
  ])('%s cannot be rewritten', (_name, payload) => {
    const rig = rigWithRecord(TABLE_FORWARD);
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, payload);
    const out = rig.one(given);
    expect([out.verdict, hex(out.frame), rig.counted('rewriteFailed')]).toEqual([VERDICT_DROP, hex(given), 1]);
  });
});

describe('what cannot be sent is dropped, counted, and left as it was', () => {
  const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
  const ready = (): Rig => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.address(2, SERVER6);
    rig.entry(0, { address: 1 });
    return rig;
  };
  const cases: [
    string,
    'entryChanged' | 'ttlExpired' | 'neighbourUnresolved' | 'rewriteFailed',
    (rig: Rig) => Uint8Array | void,
  ][] = [
    [
      'an entry being written',
      'entryChanged',
      (rig) => {
        rig.memory.entries[ENTRY.version] = 3;
      },
    ],
    ['an entry denied meanwhile', 'entryChanged', (rig) => rig.entry(0, { address: 1, flags: FLAG_DENIED })],
    ['TTL 1', 'ttlExpired', () => udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA, { ip: { ttl: 1 } })],
    ['TTL 0', 'ttlExpired', () => udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA, { ip: { ttl: 0 } })],
    ['an unresolved next hop', 'neighbourUnresolved', (rig) => rig.entry(0, { address: 1, hop: HOP_UNRESOLVED })],
    [
      'a next hop being written',
      'neighbourUnresolved',
      (rig) => {
        rig.memory.nextHops[NEXT_HOP_WORDS + NEXT_HOP.version] = 1;
      },
    ],
    ['a free next hop', 'neighbourUnresolved', (rig) => rig.entry(0, { address: 1, hop: 65535 })],
    [
      'a port that is not there',
      'rewriteFailed',
      (rig) => {
        rig.memory.nextHops[NEXT_HOP_WORDS + NEXT_HOP.macLow] = (2 << 8) | 2;
      },
    ],
    ['a free address', 'rewriteFailed', (rig) => rig.entry(0, { address: 3 })],
    ['an address index too large', 'rewriteFailed', (rig) => rig.entry(0, { address: 0xffff })],
    ['an address of the other family', 'rewriteFailed', (rig) => rig.entry(0, { address: 2 })],
    [
      'a record index too large',
      'rewriteFailed',
      (rig) => rig.entry(0, { address: 1, flags: FLAG_REWRITE_CHANNEL, record: 0xffffff }),
    ],
    ['a VLAN tag inside', 'rewriteFailed', () => udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, { eth: { vlan: 5 } })],
    ['an IHL below 5', 'rewriteFailed', () => udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, { ip: { headerWords: 4 } })],
    [
      'a total length beyond the frame',
      'rewriteFailed',
      () => udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, { ip: { length: 2000 } }),
    ],
    ['a UDP length below 8', 'rewriteFailed', () => udpFrame(`${CLIENT}:1`, `${VIP}:2`, DATA, { udp: { length: 7 } })],
    ['no IP at all', 'rewriteFailed', () => frame({ arp: { senderIp: CLIENT, targetIp: VIP } })],
    ['nothing', 'rewriteFailed', () => new Uint8Array(0)],
  ];
  test.each(cases)('%s', (_name, counter, arrange) => {
    const rig = ready();
    const own = arrange(rig) ?? given;
    const out = rig.one(own);
    expect([out.verdict, out.egress, hex(out.frame)]).toEqual([VERDICT_DROP, 255, hex(own)]);
    const counts = (['entryChanged', 'ttlExpired', 'neighbourUnresolved', 'rewriteFailed'] as const).map((name) => [
      name,
      rig.counted(name),
    ]);
    expect(Object.fromEntries(counts)).toEqual({
      entryChanged: 0,
      ttlExpired: 0,
      neighbourUnresolved: 0,
      rewriteFailed: 0,
      [counter]: 1,
    });
    expect([rig.word(0, ENTRY.packets), rig.word(0, ENTRY.lastSeen)]).toEqual([0, 0]);
  });
});

describe('a batch', () => {
  test('touches received and scratch columns, and of those only entries', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
    const { verdict } = rig.options.columns;
    [0, VERDICT_PASS, VERDICT_HANDED, VERDICT_RAW, 0].forEach((value, i) => rig.put(i, given, value));
    rig.put(BATCH_CAPACITY, given, 0);
    rig.put(BATCH_CAPACITY + 1, given, 0);
    rig.rewriter.rewrite(4, 1);
    expect([...verdict.subarray(0, 5)]).toEqual([VERDICT_RAW, VERDICT_PASS, VERDICT_HANDED, VERDICT_RAW, 0]);
    expect([...verdict.subarray(BATCH_CAPACITY, BATCH_CAPACITY + 2)]).toEqual([VERDICT_RAW, 0]);
    expect(rig.word(0, ENTRY.packets)).toBe(1 + 1);
    rig.rewriter.rewrite(0, 0);
    expect(rig.word(0, ENTRY.packets)).toBe(2);
  });
  test.each([
    [
      'an entry that the table does not have',
      (rig: Rig) => {
        rig.options.columns.verdict[0] = rig.memory.layout.slotCount;
      },
    ],
    [
      'the largest verdict',
      (rig: Rig) => {
        rig.options.columns.verdict[0] = 0x7fffffff;
      },
    ],
    [
      'a negative offset',
      (rig: Rig) => {
        rig.options.columns.offset[0] = -1;
      },
    ],
    [
      'a negative length',
      (rig: Rig) => {
        rig.options.columns.length[0] = -1;
      },
    ],
    [
      'an end beyond the frames',
      (rig: Rig) => {
        rig.options.columns.offset[0] = rig.frames.length - 20;
      },
    ],
    [
      'an offset beyond the frames',
      (rig: Rig) => {
        rig.options.columns.offset[0] = 0x7fffffff;
      },
    ],
    [
      'a length beyond everything',
      (rig: Rig) => {
        rig.options.columns.length[0] = 0x7fffffff;
      },
    ],
  ])('%s is a failed rewrite', (_name, spoil) => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    rig.put(0, udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA));
    spoil(rig);
    const before = rig.frames.slice();
    rig.rewriter.rewrite(1, 0);
    expect(rig.options.columns.verdict[0]).toBe(VERDICT_DROP);
    expect(rig.counted('rewriteFailed')).toBe(1);
    expect(rig.frames).toEqual(before);
  });
  test('a frame at the very end of the frames', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
    rig.put(0, given);
    const at = rig.frames.length - given.length;
    rig.frames.set(given, at);
    rig.options.columns.offset[0] = at;
    rig.rewriter.rewrite(1, 0);
    expect(rig.options.columns.verdict[0]).toBe(VERDICT_RAW);
  });
  test.each([
    [BATCH_CAPACITY + 1, 0],
    [0, SCRATCH_SLOTS + 1],
    [-1, 0],
    [Number.NaN, 0],
    [1.5, 0],
    [0, undefined as unknown as number],
  ])('counts of %s and %s are refused', (received, scratch) => {
    expect(() => new Rig().rewriter.rewrite(received, scratch)).toThrow(RangeError);
  });
  test('a full batch of any columns whatever', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    for (let slot = 0; slot < rig.memory.layout.slotCount; slot++) rig.entry(slot, { address: 1 });
    const int = fc.oneof(fc.integer({ min: -5, max: rig.frames.length }), fc.integer());
    const row = fc.record({
      offset: int,
      length: int,
      verdict: fc.integer({ min: -5, max: 100 }),
      flags: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), (rows) => {
        const { columns } = rig.options;
        const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
        rows.forEach((values, i) => {
          rig.frames.set(given, i * SLOT_LENGTH);
          columns.offset[i] = values.offset;
          columns.length[i] = values.length;
          columns.verdict[i] = values.verdict;
          columns.flags[i] = values.flags;
        });
        rig.rewriter.rewrite(rows.length, 0);
        rows.forEach(({ verdict }, i) => {
          if (verdict < 0) expect(columns.verdict[i]).toBe(verdict);
          else expect([VERDICT_RAW, VERDICT_DROP]).toContain(columns.verdict[i]);
        });
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
