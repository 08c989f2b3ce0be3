import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionTable, QUARANTINE_MS } from '../../src/flow/connection-table.js';
import { bucketOf, bucketScale, fingerprintOf, multipliersOf, stirred, sumOf } from '../../src/flow/hash.js';
import {
  BUCKET_SLOTS,
  ENTRY,
  ENTRY_WORDS,
  FINGERPRINT_CLAIMED,
  FINGERPRINT_REMOVED,
  FLAG_IPV4,
  HEADER,
  KEY_WORDS,
  type TableMemory,
} from '../../src/flow/layout.js';
import { RUNS, newMemory, numbers, realisticKey } from './memory.js';

function keyOf(i: number): Int32Array {
  const key = new Int32Array(KEY_WORDS);
  realisticKey(i, key, 0);
  return key;
}

/** Fills to a share of the slots; returns how many keys found no place. */
function fill(memory: TableMemory, table: ConnectionTable, count: number, random: boolean): number {
  const key = new Int32Array(KEY_WORDS);
  const next = numbers(7);
  let unplaced = 0;
  for (let i = 0; i < count; i++) {
    if (random) for (let w = 0; w < KEY_WORDS; w++) key[w] = next();
    else realisticKey(i, key, 0);
    if (table.insert(key, 0, i, 0, i & 0xffff, 1, 0) < 0) unplaced++;
  }
  expect(memory.header[HEADER.entriesUsed]).toBe(count - unplaced);
  return unplaced;
}

describe('connection table', () => {
  it('gives back what was entered', () => {
    const memory = newMemory(64);
    const table = new ConnectionTable(memory);
    const slot = table.insert(keyOf(3), 0, 0x00020005, 0x06a506a5, 9, 3, 1000);
    table.touch(slot, 77);
    expect(table.find(keyOf(3), 0)).toBe(slot);
    expect(table.find(keyOf(4), 0)).toBe(-1);
    expect([table.recordOf(slot), table.flagsOf(slot), table.targetOf(slot), table.portsOf(slot)]).toEqual([
      9, 3, 0x00020005, 0x06a506a5,
    ]);
    expect([table.lastSeen(slot), table.packets(slot), table.bytes(slot)]).toEqual([77, 0, 0]);
    expect(Array.from({ length: KEY_WORDS }, (_, i) => table.keyWord(slot, i))).toEqual([...keyOf(3)]);
    const client = new Int32Array(6);
    table.clientWords(slot, client, 1);
    expect([...client]).toEqual([0, 0, 0, 0xffff, 0x0a000000, 0]);
    expect(table.count()).toBe(1);
  });

  it('finds keys at any place of a column, with words beyond 31 bits', () => {
    const table = new ConnectionTable(newMemory(64));
    const column = Int32Array.from({ length: 3 * KEY_WORDS }, (_, i) => 0xfe800000 + i * 0x01010101);
    const slot = table.insert(column, KEY_WORDS, 1, 2, 3, 4, 0);
    expect(table.find(column, KEY_WORDS)).toBe(slot);
    expect(table.find(column, 0)).toBe(-1);
  });

  it('updates the verdict under an even version and keeps the counters', () => {
    const memory = newMemory(64);
    const table = new ConnectionTable(memory);
    const slot = table.insert(keyOf(1), 0, 1, 2, 3, 4, 0);
    const at = slot * ENTRY_WORDS;
    memory.entries[at + ENTRY.packets] = -1;
    memory.entries[at + ENTRY.packets + 1] = 1;
    memory.entries[at + ENTRY.bytes] = 5;
    const version = memory.entries[at + ENTRY.version];
    table.update(slot, 11, 12, 13, 14);
    expect(memory.entries[at + ENTRY.version]).toBe(version + 2);
    expect([table.targetOf(slot), table.portsOf(slot), table.recordOf(slot), table.flagsOf(slot)]).toEqual([
      11, 12, 13, 14,
    ]);
    expect([table.packets(slot), table.bytes(slot)]).toEqual([8589934591, 5]);
    table.setFlags(slot, 8);
    expect([table.recordOf(slot), table.flagsOf(slot)]).toEqual([13, 8]);
  });

  it('takes an entry that is being written for absent', () => {
    const memory = newMemory(64);
    const table = new ConnectionTable(memory);
    const slot = table.insert(keyOf(1), 0, 1, 2, 3, 4, 0);
    memory.entries[slot * ENTRY_WORDS + ENTRY.version]++;
    expect(table.find(keyOf(1), 0)).toBe(-1);
    expect(table.isLive(slot)).toBe(false);
    memory.entries[slot * ENTRY_WORDS + ENTRY.version]++;
    expect(table.find(keyOf(1), 0)).toBe(slot);
  });

  it('gives a removed slot to no other key for 100 ms, also where milliseconds wrap', () => {
    for (const removedAt of [5000, 0x7fffffff - 20, -30]) {
      const memory = newMemory(1);
      const table = new ConnectionTable(memory);
      const slots: number[] = [];
      for (let i = 0; ; i++) {
        const slot = table.insert(keyOf(i), 0, 0, 0, 0, 0, removedAt);
        if (slot < 0) break;
        slots.push(slot);
      }
      table.remove(slots[0], removedAt);
      expect(table.find(keyOf(0), 0)).toBe(-1);
      const place = (now: number) => table.insert(keyOf(0), 0, 0, 0, 0, 0, now | 0);
      expect(place(removedAt)).toBe(-1);
      expect(place(removedAt + QUARANTINE_MS - 1)).toBe(-1);
      expect(place(removedAt - 5)).toBe(-1); // a thread whose clock is a little behind
      expect(place(removedAt + QUARANTINE_MS)).toBe(slots[0]);
    }
  });

  it.each([
    [100_000, false],
    [100_000, true],
    [1_000_000, false],
    [1_000_000, true],
  ])(
    'places %i entries at load 0.8 (random keys: %s)',
    (entries, random) => {
      const memory = newMemory(entries / 2);
      const table = new ConnectionTable(memory);
      expect(entries / memory.layout.slotCount).toBeCloseTo(0.8, 3);
      expect(fill(memory, table, entries, random)).toBe(0);
      const key = new Int32Array(KEY_WORDS);
      const next = numbers(7);
      let lost = 0;
      for (let i = 0; i < entries; i++) {
        if (random) for (let w = 0; w < KEY_WORDS; w++) key[w] = next();
        else realisticKey(i, key, 0);
        if (table.find(key, 0) < 0) lost++;
      }
      expect(lost).toBe(0);
    },
    30_000,
  );

  it('says so when it is full, keeps what it has, and counts entries beyond the second choice back to 0', () => {
    const memory = newMemory(400);
    const table = new ConnectionTable(memory);
    const placed: number[] = [];
    for (let i = 0; i < 3000; i++) if (table.insert(keyOf(i), 0, 0, 0, i, 0, 0) >= 0) placed.push(i);
    expect(placed.length).toBeGreaterThan(memory.layout.slotCount * 0.95);
    expect(memory.header[HEADER.overflowEntries]).toBeGreaterThan(0);
    for (const i of placed) expect(table.recordOf(table.find(keyOf(i), 0))).toBe(i);
    const { overflowEntries } = { overflowEntries: memory.header[HEADER.overflowEntries] };
    expect(table.adopt(0)).toEqual({ freed: 0, kept: placed.length });
    expect(memory.header[HEADER.overflowEntries]).toBe(overflowEntries);
    for (const i of placed) table.remove(table.find(keyOf(i), 0), 0);
    expect(memory.header[HEADER.overflowEntries]).toBe(0);
    expect(table.count()).toBe(0);
  });

  it.each([
    ['IPv4 keys in the first columns', false, true],
    ['any keys in the first columns', true, true],
    ['any keys in other columns', true, false],
  ])('looks up many at once as it does one by one: %s', (_, wide, own) => {
    const memory = newMemory(400);
    const table = new ConnectionTable(memory);
    const column = new Int32Array(400 * KEY_WORDS);
    const slots = new Int32Array(400);
    if (own) table.findMany(column, 0, slots);
    else table.findMany(new Int32Array(KEY_WORDS), 0, new Int32Array(1));
    // So full that many keys are in further buckets, some of them far.
    const key = (i: number, at: Int32Array, base: number): void => {
      realisticKey(i, at, base);
      if (wide && i % 3 === 0) at[base + (i % 2)] = 0x20010db8;
    };
    const one = new Int32Array(KEY_WORDS);
    const entered = Math.floor(memory.layout.slotCount * 0.97);
    for (let i = 0; i < entered; i++) {
      key(i, one, 0);
      table.insert(one, 0, 0, 0, i, i % 50 === 7 ? 8 : 1, 0);
    }
    expect(memory.header[HEADER.overflowReach]).toBeGreaterThan(2);
    for (const count of [0, 1, 63, 255, 256, 257, 400]) {
      const next = numbers(count + 1);
      let flags = 0;
      for (let i = 0; i < count; i++) key((next() >>> 0) % 1400, column, i * KEY_WORDS);
      slots.fill(-9);
      const seen = table.findMany(column, count, slots, wide);
      for (let i = 0; i < count; i++) {
        expect(slots[i]).toBe(table.find(column, i * KEY_WORDS));
        if (slots[i] >= 0) flags |= table.flagsOf(slots[i]);
      }
      for (const slot of slots.subarray(count)) expect(slot).toBe(-9);
      expect(seen & flags).toBe(flags);
      expect(seen & FLAG_IPV4).toBe(0);
    }
  });

  it('never takes an IPv6 client for the IPv4 client with the same last words', () => {
    const table = new ConnectionTable(newMemory(64));
    const keys = Int32Array.from([...keyOf(1), ...keyOf(1), ...keyOf(2)]);
    const slots = new Int32Array(3);
    const [m0, , m2] = multipliersOf(0x5eed);
    // A client whose other words add to the sum what those of IPv4 do: same hash, same fingerprint.
    const inverse = (m: number): number => {
      let x = m;
      for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(m, x));
      return x;
    };
    const strange = keyOf(1);
    strange[2] = 0;
    strange[0] = Math.imul(Math.imul(0xffff, m2), inverse(m0));
    expect(sumOf(strange, 0, multipliersOf(0x5eed))).toBe(sumOf(keys, 0, multipliersOf(0x5eed)));
    const slot = table.insert(strange, 0, 0, 0, 1, 1, 0);
    table.findMany(keys, 3, slots, false);
    expect([...slots]).toEqual([-1, -1, -1]);
    const right = table.insert(keyOf(1), 0, 0, 0, 2, 1, 0);
    table.update(right, 1, 2, 3, 4);
    table.setFlags(right, 9);
    table.findMany(keys, 3, slots, false);
    expect([...slots, table.flagsOf(right), table.find(strange, 0)]).toEqual([right, right, -1, 9, slot]);
  });

  it('does not take another key for the one looked for when their fingerprints are equal', () => {
    const memory = newMemory(64);
    const table = new ConnectionTable(memory);
    const wanted = keyOf(1);
    const seed = memory.header[HEADER.hashSeed];
    const hash = stirred(sumOf(wanted, 0, multipliersOf(seed)));
    const print = fingerprintOf(hash);
    const start = bucketOf(hash, bucketScale(memory.layout.bucketCount)) * BUCKET_SLOTS;
    const slot = table.insert(wanted, 0, 0, 0, 1, 0, 0);
    // A stranger with the same fingerprint stands before it, in the other slots of both buckets.
    for (let other = start; other < start + BUCKET_SLOTS; other++)
      if (other !== slot) memory.fingerprints[other] = print;
    const slots = new Int32Array(2);
    const keys = Int32Array.from([...wanted, ...keyOf(2)]);
    table.findMany(keys, 2, slots);
    expect([table.find(wanted, 0), ...slots]).toEqual([slot, slot, -1]);
    table.findMany(keys, 2, slots, false);
    expect([...slots]).toEqual([slot, -1]);
  });

  it('agrees with a Map whatever is done to it', () => {
    type Model = {
      live: Map<number, { slot: number; record: number }>;
      removed: { slot: number; at: number }[];
      now: number;
    };
    const command = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('insert' as const), key: fc.nat(90) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), key: fc.nat(90) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('update' as const), key: fc.nat(90) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), key: fc.nat(150) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('adopt' as const), key: fc.constant(0) }) },
    );
    fc.assert(
      fc.property(fc.integer(), fc.array(command, { maxLength: 200 }), (seed, commands) => {
        const table = new ConnectionTable(newMemory(10, seed)); // 64 slots: often full
        const model: Model = { live: new Map(), removed: [], now: 0x7fffff00 };
        let stamp = 0;
        for (const { do: what, key: i } of commands) {
          const known = model.live.get(i);
          if (what === 'insert' && known === undefined) {
            const record = ++stamp;
            const slot = table.insert(keyOf(i), 0, record, 0, record, 0, model.now | 0);
            if (slot < 0) continue;
            for (const { live } of [model]) for (const other of live.values()) expect(other.slot).not.toBe(slot);
            const quarantined = model.removed.find((r) => r.slot === slot && model.now - r.at < QUARANTINE_MS);
            expect(quarantined).toBeUndefined();
            model.live.set(i, { slot, record });
          } else if (what === 'remove' && known !== undefined) {
            table.remove(known.slot, model.now | 0);
            model.removed.push({ slot: known.slot, at: model.now });
            model.live.delete(i);
          } else if (what === 'update' && known !== undefined) {
            known.record = ++stamp;
            table.update(known.slot, 1, 2, known.record, 0);
          } else if (what === 'wait') {
            model.now += i;
          } else if (what === 'adopt') {
            expect(table.adopt(model.now | 0)).toEqual({ freed: 0, kept: model.live.size });
          }
          expect(table.count()).toBe(model.live.size);
        }
        for (let i = 0; i <= 90; i++) {
          const slot = table.find(keyOf(i), 0);
          expect(slot).toBe(model.live.get(i)?.slot ?? -1);
          if (slot >= 0) expect(table.recordOf(slot)).toBe(model.live.get(i)?.record);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe('adoption after a crash', () => {
  /** Stops a writer before its n-th store to shared memory by making a copy of the memory there. */
  function crashes(
    prepare: (table: ConnectionTable) => number,
    act: (table: ConnectionTable, slot: number) => void,
  ): TableMemory[] {
    const states: TableMemory[] = [];
    for (let stop = 0; ; stop++) {
      const memory = newMemory(16);
      const slot = prepare(new ConnectionTable(memory));
      const snapshot = tracked(memory, stop);
      act(new ConnectionTable(snapshot.memory), slot);
      if (!snapshot.reached()) return states;
      states.push(snapshot.frozen());
    }
  }

  /** A view of `memory` whose writes are counted through the Atomics calls that order them. */
  function tracked(memory: TableMemory, stop: number) {
    let left = stop;
    let copy: TableMemory | null = null;
    const before = () => {
      if (left-- === 0) copy = clone(memory);
    };
    for (const name of ['store', 'add', 'sub', 'compareExchange'] as const) {
      const original = Atomics[name] as (...operands: unknown[]) => number;
      restore.push(() => Object.defineProperty(Atomics, name, { value: original, configurable: true, writable: true }));
      Object.defineProperty(Atomics, name, {
        configurable: true,
        writable: true,
        value: (...operands: unknown[]) => {
          before();
          return original(...operands);
        },
      });
    }
    return {
      memory,
      reached: () => {
        for (const undo of restore.splice(0).reverse()) undo();
        return copy !== null;
      },
      frozen: () => copy as unknown as TableMemory,
    };
  }
  const restore: (() => void)[] = [];

  function clone(memory: TableMemory): TableMemory {
    const copy = newMemory(memory.layout.connections);
    new Uint8Array(copy.buffer).set(new Uint8Array(memory.buffer));
    return copy;
  }

  function survivors(memory: TableMemory): { table: ConnectionTable; keys: number[] } {
    const table = new ConnectionTable(memory);
    const { kept } = table.adopt(10_000);
    const keys = [1, 2].filter((i) => table.find(keyOf(i), 0) >= 0);
    expect(table.count()).toBe(kept);
    expect(keys.length).toBe(kept);
    for (let slot = 0; slot < table.slotCount; slot++) {
      expect(memory.fingerprints[slot]).not.toBe(FINGERPRINT_CLAIMED);
      if (memory.fingerprints[slot] === FINGERPRINT_REMOVED) expect(table.isLive(slot)).toBe(false);
    }
    // Whatever was left behind does not stand in the way of the same key.
    for (const i of [1, 2])
      if (!keys.includes(i)) expect(table.insert(keyOf(i), 0, 0, 0, 0, 0, 10_200)).toBeGreaterThanOrEqual(0);
    return { table, keys };
  }

  it('frees an entry at any step of its insertion and keeps the others', () => {
    const states = crashes(
      (table) => table.insert(keyOf(1), 0, 1, 1, 1, 1, 0),
      (table) => table.insert(keyOf(2), 0, 2, 2, 2, 2, 0),
    );
    expect(states.length).toBeGreaterThanOrEqual(5);
    for (const memory of states) expect(survivors(memory).keys).toEqual([1]);
  });

  it('keeps an updated entry whole or not at all', () => {
    const states = crashes(
      (table) => table.insert(keyOf(1), 0, 1, 1, 1, 1, 0),
      (table, slot) => table.update(slot, 2, 2, 2, 2),
    );
    expect(states.length).toBe(2);
    const whole = survivors(states[0]);
    expect(whole.keys).toEqual([1]);
    expect(whole.table.recordOf(whole.table.find(keyOf(1), 0))).toBe(1);
    expect(survivors(states[1]).keys).toEqual([]);
  });

  it('ends a removal at any step of it', () => {
    const states = crashes(
      (table) => table.insert(keyOf(1), 0, 1, 1, 1, 1, 0),
      (table, slot) => table.remove(slot, 9_990),
    );
    expect(states.length).toBeGreaterThanOrEqual(4);
    expect(states.map((memory) => survivors(memory).keys)).toEqual(states.map((_, step) => (step === 0 ? [1] : [])));
  });
});
