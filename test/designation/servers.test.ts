import { describe, expect, it } from 'vitest';
import { ServerTable, cellIdentity } from '../../src/designation/servers.js';
import {
  HEADER,
  RECORD,
  RECORD_STATE,
  SERVER_CELL,
  SERVER_LIMIT,
  SERVER_REASON,
  SERVER_STATE,
  VIP_LIMIT,
} from '../../src/flow/layout.js';
import { RecordPool, recordState } from '../../src/flow/record-pool.js';
import { newMemory } from '../flow/memory.js';

const PLACE = { vip: 0, address: 1, port: 1701, nextHop: 2, weight: 3 };

describe('server cells', () => {
  it('are found again by identity, with their state and counts, and take the new configuration', () => {
    const memory = newMemory(4);
    const cells = new ServerTable(memory);
    const a = cells.ensureServer(cellIdentity('v', 'a'), PLACE, 10);
    const b = cells.ensureServer(cellIdentity('v', 'b'), PLACE, 10);
    expect(a).not.toBe(b);
    expect([cells.state(a), cells.weight(a), cells.get(a, SERVER_CELL.load), cells.get(a, SERVER_CELL.since)]).toEqual([
      SERVER_STATE.up,
      3,
      -1,
      10,
    ]);
    cells.setState(a, SERVER_STATE.draining, SERVER_REASON.command, 20);
    cells.addEstablished(a, 2);
    const again = new ServerTable(memory);
    expect(again.ensureServer(cellIdentity('v', 'a'), { ...PLACE, weight: 9 }, 30)).toBe(a);
    expect([again.state(a), again.weight(a), again.tunnels(a), again.get(a, SERVER_CELL.since)]).toEqual([
      SERVER_STATE.draining,
      9,
      2,
      20,
    ]);
    again.releaseServer(a);
    expect(again.findServer(cellIdentity('v', 'a'))).toBe(-1);
    expect(again.ensureServer(cellIdentity('v', 'c'), PLACE, 40)).toBe(a);
    expect([again.tunnels(a), again.state(a)]).toEqual([0, SERVER_STATE.up]);
  });

  it('keep the time when a state was entered while only its reason changes', () => {
    const cells = new ServerTable(newMemory(4));
    const a = cells.ensureServer(1, PLACE, 10);
    cells.setState(a, SERVER_STATE.disabled, SERVER_REASON.command, 20);
    cells.setState(a, SERVER_STATE.disabled, SERVER_REASON.removed, 30);
    expect([cells.get(a, SERVER_CELL.since), cells.get(a, SERVER_CELL.reason)]).toEqual([20, SERVER_REASON.removed]);
  });

  it('end with the segment', () => {
    const cells = new ServerTable(newMemory(4));
    for (let i = 1; i <= SERVER_LIMIT; i++) expect(cells.ensureServer(i, PLACE, 0)).toBe(i - 1);
    expect(cells.ensureServer(SERVER_LIMIT + 1, PLACE, 0)).toBe(-1);
    for (let i = 1; i <= VIP_LIMIT; i++) expect(cells.ensureVip(i, 0, 0)).toBe(i - 1);
    expect(cells.ensureVip(VIP_LIMIT + 1, 0, 0)).toBe(-1);
    cells.releaseVip(7);
    expect([cells.ensureVip(9, 0, 0), cells.ensureVip(999, 0, 0)]).toEqual([8, 7]);
  });

  it('are counted anew from the records', () => {
    const memory = newMemory(8);
    const cells = new ServerTable(memory);
    const [a, b] = [cells.ensureServer(1, PLACE, 0), cells.ensureServer(2, PLACE, 0)];
    const pool = new RecordPool(memory);
    const make = (server: number, state: number, sessions: number) => {
      const record = pool.allocateRecord();
      pool.set(record, RECORD.place, server);
      pool.set(record, RECORD.state, recordState(0, 1, state));
      for (let i = 0; i < sessions; i++) pool.allocateSession(record);
    };
    make(a, RECORD_STATE.halfOpen, 0);
    make(a, RECORD_STATE.established, 2);
    make(b, RECORD_STATE.established, 1);
    make(b, RECORD_STATE.closing, 3);
    cells.addHalfOpen(a, 77);
    memory.header[HEADER.halfOpen] = -3;
    cells.recount();
    const counts = (i: number) =>
      [SERVER_CELL.halfOpen, SERVER_CELL.established, SERVER_CELL.sessions].map((field) => cells.get(i, field));
    expect([counts(a), counts(b), memory.header[HEADER.halfOpen]]).toEqual([[1, 1, 2], [0, 1, 1], 1]);
  });

  it('have identities that tell names apart and are never 0', () => {
    const names = [
      ['a', 'bc'],
      ['ab', 'c'],
      ['abc', ''],
      ['', 'abc'],
      ['a', 'bc '],
    ] as const;
    const identities = new Set(names.map(([vip, server]) => cellIdentity(vip, server)));
    expect(identities.size).toBe(names.length);
    expect(identities.has(0)).toBe(false);
    expect(cellIdentity('access', 'lns1')).toBe(cellIdentity('access', 'lns1'));
  });
});
