import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as layout from '../../src/flow/session-layout.js';
import { SEND_KIND, SEND_ROW, SEND_ROW_WORDS } from '../../src/io/tunnel-native.js';

/** CALL.localIds → CALL_LOCAL_IDS. */
const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();

function constants(module: object): Map<string, number> {
  const all = new Map<string, number>();
  const set = (name: string, value: number): void => {
    if (all.has(name)) throw new Error(`${name} would stand for two things`);
    all.set(name, value);
  };
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'number') set(name, value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [member, number] of Object.entries(value as Record<string, number>)) {
      set(`${name}_${snake(member)}`, number);
    }
  }
  return all;
}

test('native/session_layout.h says what session-layout.ts says, and nothing else', () => {
  const text = readFileSync(new URL('../../native/session_layout.h', import.meta.url), 'utf8');
  const inC = [...text.matchAll(/^#define TD_(\w+) ((?:0x)?[0-9a-f]+)U?$/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  expect(Object.fromEntries(inC)).toEqual(
    Object.fromEntries(constants({ ...layout, SEND_KIND, SEND_ROW, SEND_ROW_WORDS })),
  );
  expect(text.match(/^#define/gm)?.length).toBe(inC.length);
});

test('items have the lengths of their words, and segments do not overlap', () => {
  expect(layout.CALL_LENGTH).toBe(layout.CALL_WORDS * 4);
  expect(layout.ROUTE_LENGTH).toBe(layout.ROUTE_WORDS * 4);
  expect(layout.COUNT_LENGTH).toBe(layout.COUNT_WORDS * 4);
  expect(layout.SOCKET_LENGTH).toBe(layout.SOCKET_WORDS * 4);
  expect(Math.max(...Object.values(layout.STATISTIC))).toBeLessThan(layout.STATISTIC_LIMIT);
  const place = layout.planeLayout({ sessions: 20_000, routes: 100, workers: 2 });
  const starts = [
    place.sockets,
    place.calls,
    place.routeRows,
    place.index,
    place.counts,
    place.statistics,
    place.rings,
    place.length,
  ];
  const lengths = [
    layout.PLANE_SOCKET_LIMIT * layout.SOCKET_LENGTH,
    20_000 * layout.CALL_LENGTH,
    100 * layout.ROUTE_LENGTH,
    place.indexSlots * 8,
    2 * 20_000 * layout.COUNT_LENGTH,
    2 * layout.STATISTIC_LIMIT * 8,
    2 * layout.PUNT_STRIDE,
  ];
  for (const [i, length] of lengths.entries()) expect(starts[i] + length).toBeLessThanOrEqual(starts[i + 1]);
  // A page of its own for each, 64 MiB at most for 20,000 sessions.
  expect(place.length).toBeLessThan(64 * 1024 * 1024);
});
