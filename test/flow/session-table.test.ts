import { describe, expect, test } from 'vitest';
import { indexHash, SessionIndex } from '../../src/flow/session-index.js';
import { CALL_FLAG, COUNT, COUNT_WORDS, PLANE, planeLayout, REFERENCE } from '../../src/flow/session-layout.js';
import { type SessionRow, SessionTable, type Words } from '../../src/flow/session-table.js';

const layout = planeLayout({ sessions: 64, routes: 8, workers: 2 });

function newTable(): { table: SessionTable; buffer: ArrayBuffer } {
  const buffer = new ArrayBuffer(layout.length);
  return { table: new SessionTable(buffer, layout, 12345), buffer };
}

const v4 = (a: number, b: number, c: number, d: number): number => (a << 24) | (b << 16) | (c << 8) | d | 0;
const mapped = (address: number): Words => [0, 0, 0xffff, address];

function row(id: number, more: Partial<SessionRow> = {}): SessionRow {
  return {
    kind: 'lns',
    state: 'forward',
    tunnel: {
      socket: 0,
      address: mapped(v4(10, 9, 0, 1)),
      port: 1701,
      localTunnelId: 7,
      localSessionId: id,
      peerTunnelId: 9,
      peerSessionId: id + 1000,
    },
    access: null,
    flags: CALL_FLAG.ipv4,
    ipv4: v4(10, 60, 0, id),
    prefix: null,
    routes: [],
    mru: 1400,
    clampMss: 0,
    ...more,
  };
}

describe('session table', () => {
  test('finds by ids and by address what was added, and not what was removed', () => {
    const { table } = newTable();
    const slots = Array.from({ length: 40 }, (_, i) => table.add(row(i + 1)));
    expect(new Set(slots).size).toBe(40);
    for (const [i, slot] of slots.entries()) {
      expect(table.find(7, i + 1)).toBe(slot);
      expect(table.findIpv4(v4(10, 60, 0, i + 1))).toBe(slot);
    }
    for (let i = 0; i < 40; i += 2) table.remove(slots[i]);
    for (const [i, slot] of slots.entries()) expect(table.find(7, i + 1)).toBe(i % 2 === 0 ? -1 : slot);
    expect(table.used).toBe(20);
  });

  test('refuses what is taken, says why, and changes nothing', () => {
    const { table } = newTable();
    const first = table.add(row(1));
    expect(table.add(row(1))).toBe(-1);
    expect(table.refusal).toBe('ids-in-use');
    expect(table.add(row(2, { ipv4: v4(10, 60, 0, 1) }))).toBe(-1);
    expect(table.refusal).toBe('address-in-use');
    const second = table.add(row(2));
    expect(table.update(second, { ipv4: v4(10, 60, 0, 1) })).toBe(false);
    expect(table.findIpv4(v4(10, 60, 0, 1))).toBe(first);
    expect(table.row(second)?.ipv4).toBe(v4(10, 60, 0, 2));
  });

  test('says when it is full, and has room again after a removal', () => {
    const { table } = newTable();
    const slots = Array.from({ length: 64 }, (_, i) => table.add(row(i + 1)));
    expect(table.add(row(100))).toBe(-1);
    expect(table.refusal).toBe('full');
    table.remove(slots[5]);
    expect(table.add(row(100))).toBe(slots[5]);
  });

  test('a session that moves to another tunnel is found by its new ids only', () => {
    const { table, buffer } = newTable();
    const slot = table.add(row(3, { state: 'hold' }));
    const header = new Int32Array(buffer, 0, 64);
    const before = header[PLANE.holdGeneration];
    const { tunnel } = row(3);
    if (tunnel === null) throw new Error('the row has a tunnel');
    expect(table.update(slot, { state: 'forward', tunnel: { ...tunnel, localTunnelId: 8 } })).toBe(true);
    expect([table.find(7, 3), table.find(8, 3)]).toEqual([-1, slot]);
    expect(header[PLANE.holdGeneration]).toBe(before + 1);
  });

  test('routes are entered, refused where they are taken, and given back', () => {
    const { table, buffer } = newTable();
    const route = { address: mapped(v4(192, 168, 7, 0)), length: 96 + 24 };
    const slot = table.add(row(1, { routes: [route] }));
    expect(new Int32Array(buffer, 0, 64)[PLANE.lengths4]).toBe(1 << 24);
    expect(table.add(row(2, { routes: [{ ...route, address: mapped(v4(192, 168, 7, 99)) }] }))).toBe(-1);
    expect(table.refusal).toBe('address-in-use');
    const many = Array.from({ length: 9 }, (_, i) => ({ address: mapped(v4(172, 16, i, 0)), length: 120 }));
    expect(table.update(slot, { routes: many })).toBe(false);
    expect(table.refusal).toBe('routes-full');
    expect(table.update(slot, { routes: many.slice(0, 8) })).toBe(true);
    table.remove(slot);
    expect(table.add(row(2, { routes: [route] }))).toBeGreaterThanOrEqual(0);
  });

  test('counters are sums over the workers, from the beginning of the session', () => {
    const { table, buffer } = newTable();
    const counts = new Int32Array(buffer, layout.counts, layout.workers * layout.sessions * COUNT_WORDS);
    const at = (worker: number, slot: number): number => (worker * layout.sessions + slot) * COUNT_WORDS;
    const slot = table.add(row(1));
    counts[at(0, slot) + COUNT.bytesIn] = -1; // 2³² − 1
    counts[at(1, slot) + COUNT.bytesIn] = 11;
    counts[at(1, slot) + COUNT.bytesIn + 1] = 2;
    counts[at(0, slot) + COUNT.spoofed] = 3;
    counts[at(1, slot) + COUNT.lastOut] = 77;
    expect(table.counters(slot)).toMatchObject({ bytesIn: 3 * 2 ** 32 + 10, spoofed: 3, packetsIn: 0 });
    expect(table.lastSeen(slot)).toBe(77);
    table.remove(slot);
    for (let i = 0; i < 63; i++) table.add(row(i + 2)); // places are given in the order in which they became free
    expect(table.add(row(90))).toBe(slot);
    expect(table.counters(slot)).toMatchObject({ bytesIn: 0, spoofed: 0 });
  });
});

test('the index stays searchable through a hundred thousand changes', () => {
  const places = new Map<number, number>(); // place → key
  const index = new SessionIndex(new Int32Array(1024 * 2), 99, (_kind, place, key) => places.get(place) === key[0]);
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 8;
  };
  const where = new Map<number, number>();
  for (let i = 0; i < 100_000; i++) {
    const key = random() % 400;
    const place = where.get(key);
    if (place === undefined) {
      where.set(key, key + 5);
      places.set(key + 5, key);
      expect(index.add(REFERENCE.tunnel, [key], key + 5)).toBe(true);
    } else {
      index.remove(REFERENCE.tunnel, [key], place);
      where.delete(key);
      places.delete(place);
    }
    const asked = random() % 400;
    if (index.find(REFERENCE.tunnel, [asked]) !== (where.get(asked) ?? -1))
      throw new Error(`key ${asked} at step ${i}`);
  }
  expect(indexHash(1, 2, [3])).not.toBe(indexHash(1, 2, [4]));
});
