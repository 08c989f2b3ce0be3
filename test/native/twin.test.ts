import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batch, KIND_CONTROL_IN, KIND_DONE, KIND_FRAGMENT, KIND_HOST } from '../../src/dataplane/batch.js';
import { classify } from '../../src/dataplane/classify.js';
import { newStatistics } from '../../src/dataplane/counters.js';
import { Directory } from '../../src/dataplane/directory.js';
import type { Plan } from '../../src/dataplane/plan.js';
import { recall } from '../../src/dataplane/recall.js';
import { AddressTable } from '../../src/flow/address-table.js';
import { ConnectionTable } from '../../src/flow/connection-table.js';
import { fingerprintOf, fourthHash, multipliersOf, ownerSlot, stirred, sumOf, thirdHash } from '../../src/flow/hash.js';
import { ADDRESS_ROLE, FLAG_DENIED, KEY_WORDS, TABLE_FORWARD, TABLE_REVERSE } from '../../src/flow/layout.js';
import { type DecisionTwin, native } from '../../src/io/native.js';
import { BATCH_CAPACITY, type PacketPort, PORT_NONE, VERDICT_DROP, VERDICT_PASS } from '../../src/io/port.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import { newMemory, numbers } from '../flow/memory.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { NO_POLICY } from '../helpers/shard-harness.js';
import { frame, l2tpData, sccrq, udpFrame, zlb } from '../helpers/packet-builder.js';
import { newColumns } from './rig.js';

describe('hashes', () => {
  test('are the same in C++ for any key and seed', () => {
    const key = new Int32Array(KEY_WORDS);
    const word = fc.oneof(fc.integer(), fc.constantFrom(0, -1, 0x7fffffff, -0x80000000, 0xffff));
    fc.assert(
      fc.property(fc.array(word, { minLength: KEY_WORDS, maxLength: KEY_WORDS }), word, (words, seed) => {
        key.set(words);
        const hash = stirred(sumOf(key, 0, multipliersOf(seed)));
        const third = thirdHash(hash);
        const owner = ownerSlot(key[0], key[1], key[2], key[3]);
        const all = [hash, fingerprintOf(hash), third, fourthHash(third), owner];
        expect(native().hashKey(key, seed)).toEqual(all.map((value) => value >>> 0));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

const words = (text: string): AddressWords => {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(`not an address: ${text}`);
  return parsed;
};

/** A table of two VIPs and two servers, half IPv6; TypeScript's decision and C++'s over the same frames. */
class Pair {
  readonly memory = newMemory(400);
  readonly table = new ConnectionTable(this.memory);
  readonly #frames = new ArrayBuffer(BATCH_CAPACITY * 2048);
  readonly #mine: Batch;
  readonly #its = newColumns();
  readonly #kinds = new Uint8Array(BATCH_CAPACITY);
  readonly #keys = new Int32Array(BATCH_CAPACITY * KEY_WORDS);
  readonly #directory: Directory;
  readonly #twin: DecisionTwin;
  readonly address: Record<'vip' | 'vip6' | 'server' | 'server6', number>;

  constructor() {
    const addresses = new AddressTable(this.memory);
    const enter = (text: string, role: number): number => addresses.ensure(...words(text), role);
    this.address = {
      vip: enter('200.200.100.1', ADDRESS_ROLE.vip),
      vip6: enter('2001:db8::1', ADDRESS_ROLE.vip),
      server: enter('10.10.1.1', ADDRESS_ROLE.server),
      server6: enter('2001:db8:1::1', ADDRESS_ROLE.server),
    };
    const vip = (index: number, address: number, port: number) => ({
      index,
      name: `vip${index}`,
      address,
      port,
      protocols: ['l2tp'],
      algorithm: 'round-robin',
      hideServerPort: false,
      servers: new Int32Array(0),
    });
    const server = (index: number, address: number, port: number) => ({ index, name: `server${index}`, address, port });
    const vips = [vip(0, this.address.vip, 1701), vip(1, this.address.vip, 2701), vip(2, this.address.vip6, 1701)];
    const servers = [server(0, this.address.server, 1701), server(1, this.address.server6, 1702)];
    const plan: Plan = {
      generation: 1,
      vips,
      servers,
      rules: [],
      denyByDefault: false,
      requestsPerSecond: null,
      policy: NO_POLICY,
      health: { passive: true, farewell: { close: true, result: 2, error: 7, pace: 1000 } },
      burst: null,
      halfOpenLimit: null,
      timeouts: { halfOpen: 60, idle: 600, closing: 35 },
    };
    const port = { frames: this.#frames, columns: newColumns() } as unknown as PacketPort;
    this.#mine = new Batch(port);
    this.#directory = new Directory(this.memory, plan);
    this.#twin = new (native().DecisionTwin)({
      frames: this.#frames,
      columns: this.#its,
      kinds: this.#kinds,
      keys: this.#keys,
      buffer: this.memory.buffer,
      layout: this.memory.layout,
      vips,
      servers,
    });
  }

  /** Client ip:port → VIP, or back. */
  enter(client: string, ports: number, channel: number, address: number, table: number, flags = 0): number {
    const key = Int32Array.of(...words(client), ports, channel, (address << 16) | (1 << 8) | table);
    return this.table.insert(key, 0, 0, 0, 0, flags, 0);
  }

  /** Both decisions over these frames, with the ingress of each; throws where they differ. Returns the verdicts. */
  decide(frames: readonly Uint8Array[], ingress = 0): { verdicts: number[]; kinds: number[]; found: number } {
    const n = frames.length;
    const bytes = new Uint8Array(this.#frames);
    const { columns } = this.#mine;
    frames.forEach((given, i) => {
      bytes.set(given, i * 2048);
      for (const { offset, length, ingress: side, verdict } of [columns, this.#its]) {
        offset[i] = i * 2048;
        length[i] = given.length;
        side[i] = ingress;
        verdict[i] = VERDICT_DROP;
      }
    });
    const statistics = newStatistics();
    classify(this.#mine, 0, n, this.#directory, statistics);
    recall(this.#mine, 0, n, this.table, statistics);
    const found = this.#twin.decide(n);
    const verdicts = [...columns.verdict.subarray(0, n)];
    const kinds = [...this.#mine.kind.subarray(0, n)];
    expect([...this.#its.verdict.subarray(0, n)]).toEqual(verdicts);
    expect([...this.#kinds.subarray(0, n)]).toEqual(kinds);
    for (let i = 0; i < n; i++) {
      // Rows of fragments and ICMP errors are no keys.
      if ((kinds[i] < KIND_CONTROL_IN || kinds[i] >= KIND_FRAGMENT) && verdicts[i] < 0) continue;
      expect(this.#keys.slice(i * KEY_WORDS, (i + 1) * KEY_WORDS)).toEqual(
        this.#mine.keys.slice(i * KEY_WORDS, (i + 1) * KEY_WORDS),
      );
    }
    expect(found).toBe(verdicts.filter((verdict) => verdict >= 0).length);
    return { verdicts, kinds, found };
  }
}

const data = (tunnel: number): Uint8Array => l2tpData({ tunnel, session: 1 });

describe('the decision', () => {
  test('finds the tunnels of a full table, both ways and both families', () => {
    const pair = new Pair();
    const { vip, vip6, server, server6 } = pair.address;
    const frames: Uint8Array[] = [];
    const slots: number[] = [];
    for (let i = 0; i < 200; i++) {
      const client = i % 2 === 0 ? `192.0.2.${i}` : `2001:db8:9::${i}`;
      const [from, to, back] =
        i % 2 === 0
          ? [`${client}:1701`, '200.200.100.1:1701', '10.10.1.1:1701']
          : [`[${client}]:1701`, '[2001:db8::1]:1701', '[2001:db8:1::1]:1702'];
      slots.push(pair.enter(client, (1701 << 16) | 1701, i + 1, i % 2 === 0 ? vip : vip6, TABLE_FORWARD));
      frames.push(udpFrame(from, to, data(i + 1)));
      slots.push(pair.enter(client, 1701 << 16, i + 7, i % 2 === 0 ? server : server6, TABLE_REVERSE));
      frames.push(udpFrame(back, from, data(i + 7)));
    }
    expect(pair.decide(frames.slice(0, 200)).verdicts).toEqual(slots.slice(0, 200));
    expect(pair.decide(frames.slice(200)).verdicts).toEqual(slots.slice(200));
  });
  test('drops what is unknown, denied or being written, and leaves the rest to others', () => {
    const pair = new Pair();
    const { vip } = pair.address;
    const ports = (1701 << 16) | 1701;
    const known = pair.enter('192.0.2.1', ports, 7, vip, TABLE_FORWARD);
    pair.enter('192.0.2.2', ports, 7, vip, TABLE_FORWARD, FLAG_DENIED);
    const removed = pair.enter('192.0.2.3', ports, 7, vip, TABLE_FORWARD);
    pair.table.remove(removed, 5);
    const from = (client: number, payload: Uint8Array): Uint8Array =>
      udpFrame(`192.0.2.${client}:1701`, '200.200.100.1:1701', payload);
    const { verdicts, kinds } = pair.decide([
      from(1, data(7)),
      from(2, data(7)),
      from(3, data(7)),
      from(1, data(8)),
      from(1, sccrq({ assigned: 5 })),
      from(1, zlb({ tunnel: 7, ns: 1, nr: 1 })),
      udpFrame('192.0.2.1:53', '198.51.100.1:53', 'aa'),
      frame({ arp: { senderIp: '192.0.2.1', targetIp: '200.200.100.1' } }),
    ]);
    expect(verdicts.slice(0, 4)).toEqual([known, VERDICT_DROP, VERDICT_DROP, VERDICT_DROP]);
    expect(kinds[6]).toBe(KIND_HOST);
    expect(pair.decide([from(1, data(7))], PORT_NONE)).toEqual({
      verdicts: [VERDICT_PASS],
      kinds: [KIND_DONE],
      found: 0,
    });
  });
  test('is the same for frames that are right but for a few bytes, or for their end', () => {
    const pair = new Pair();
    const { vip, server } = pair.address;
    pair.enter('192.0.2.1', (1701 << 16) | 1701, 7, vip, TABLE_FORWARD);
    pair.enter('192.0.2.1', 1701 << 16, 7, server, TABLE_REVERSE);
    const extensions = [{ protocol: 0 }, { protocol: 43 }, { protocol: 60, length: 16 }];
    const originals = [
      udpFrame('192.0.2.1:1701', '200.200.100.1:1701', data(7)),
      udpFrame(
        '192.0.2.1:1701',
        '200.200.100.1:1701',
        l2tpData({ tunnel: 7, session: 1, length: true, sequence: [1, 2], offset: 4 }),
      ),
      udpFrame('192.0.2.1:1701', '200.200.100.1:1701', sccrq({ assigned: 5 })),
      udpFrame('10.10.1.1:1701', '192.0.2.1:1701', data(7)),
      udpFrame('10.10.1.1:1701', '192.0.2.1:1701', data(7), {
        ip: { options: '01010101', fragment: { offset: 0, more: true } },
      }),
      udpFrame('[2001:db8:9::1]:1701', '[2001:db8::1]:1701', data(7), { ip: { extensions } }),
      udpFrame('[2001:db8:1::1]:1702', '[2001:db8:9::1]:1701', data(7), {
        ip: { fragment: { offset: 0, more: true } },
      }),
      frame({ ip: { src: '192.0.2.1', dst: '200.200.100.1' }, icmp: { type: 8, id: 1, sequence: 1 } }),
      frame({ ip: { src: '2001:db8:9::1', dst: '2001:db8::1' }, icmp: { type: 128, id: 1, sequence: 1 } }),
    ];
    // Ports that nobody is known by may be a floating server's, which the twin does not judge: UDP headers stay.
    const isUdp = (original: Uint8Array, at: number): boolean => {
      const l4 = original[12] === 0x86 ? 54 : 34;
      return at >= l4 && at < l4 + 8;
    };
    const change = fc.record({ at: fc.nat({ max: 99 }), value: fc.integer({ min: 0, max: 255 }) });
    let hits = 0;
    fc.assert(
      fc.property(
        fc.nat({ max: originals.length - 1 }),
        fc.array(change, { maxLength: 3 }),
        fc.option(fc.nat({ max: 120 }), { nil: undefined }),
        (which, changes, cut) => {
          const made = originals[which].slice();
          for (const { at, value } of changes) {
            if (at < made.length && at !== 14 && !isUdp(originals[which], at)) made[at] = value;
          }
          hits += pair.decide([cut === undefined ? made : made.subarray(0, cut)]).found;
        },
      ),
      { numRuns: FUZZ_RUNS * 3 },
    );
    expect(hits).toBeGreaterThan(0);
  });
  test('finds keys beyond their second bucket', () => {
    const pair = new Pair();
    const next = numbers(3);
    const keys: Uint8Array[] = [];
    const slots: number[] = [];
    // Until the table is as full as it gets: some keys then have gone on to further buckets.
    for (let i = 0; i < 1000 && pair.table.count() < pair.memory.layout.slotCount * 0.97; i++) {
      const client = `10.${(next() >>> 8) & 255}.${i >> 8}.${i & 255}`;
      const slot = pair.enter(client, (1701 << 16) | 1701, 9, pair.address.vip, TABLE_FORWARD);
      if (slot < 0) continue;
      slots.push(slot);
      keys.push(udpFrame(`${client}:1701`, '200.200.100.1:1701', data(9)));
    }
    expect(pair.memory.header[22]).toBeGreaterThan(0); // HEADER.overflowEntries
    for (let from = 0; from < keys.length; from += BATCH_CAPACITY) {
      expect(pair.decide(keys.slice(from, from + BATCH_CAPACITY)).verdicts).toEqual(
        slots.slice(from, from + BATCH_CAPACITY),
      );
    }
  });
  test.each([[-1], [BATCH_CAPACITY + 1], [0.5]])('a count of %s is refused', (count) => {
    const memory = newMemory(4);
    const twin = new (native().DecisionTwin)({
      frames: new ArrayBuffer(64),
      columns: newColumns(),
      kinds: new Uint8Array(BATCH_CAPACITY),
      keys: new Int32Array(BATCH_CAPACITY * KEY_WORDS),
      buffer: memory.buffer,
      layout: memory.layout,
      vips: [],
      servers: [],
    });
    expect(() => twin.decide(count)).toThrow(RangeError);
  });
});
