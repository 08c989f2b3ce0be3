import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  HEADER,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SESSION,
  SESSION_STATE,
  SESSION_WORDS,
  type TableMemory,
} from '../../src/flow/layout.js';
import { RecordPool, recordState } from '../../src/flow/record-pool.js';
import { RUNS, newMemory } from './memory.js';

/** As the tunnel store does it. */
function make(pool: RecordPool): number {
  const record = pool.allocateRecord();
  if (record >= 0) pool.set(record, RECORD.state, recordState(0, 3, RECORD_STATE.halfOpen));
  return record;
}

/** Every record and session is in use or on its free list, once. */
function check(memory: TableMemory, pool: RecordPool): void {
  const free = new Set<number>();
  for (let next = memory.header[HEADER.freeRecord]; next !== 0; next = pool.get(next - 1, RECORD.sessions)) {
    expect(free.has(next)).toBe(false);
    expect(pool.state(next - 1)).toBe(RECORD_STATE.free);
    free.add(next);
  }
  expect(free.size + pool.count()).toBe(pool.recordCount);
  const sessions = new Set<number>();
  for (let next = memory.header[HEADER.freeSession]; next !== 0; next = pool.nextSession(next - 1) + 1) {
    expect(sessions.has(next)).toBe(false);
    expect(pool.sessionWord(next - 1, SESSION.state)).toBe(SESSION_STATE.free);
    sessions.add(next);
  }
  expect(sessions.size + memory.header[HEADER.sessionsUsed]).toBe(pool.sessionCount);
}

describe('record pool', () => {
  it('agrees with a model of records and their sessions, and adopting it changes nothing', () => {
    const command = fc.record({
      do: fc.constantFrom('make', 'free', 'session', 'session', 'end', 'adopt'),
      pick: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100 }), (commands) => {
        const memory = newMemory(6);
        const pool = new RecordPool(memory);
        const model = new Map<number, number[]>();
        let id = 1;
        for (const { do: what, pick } of commands) {
          const records = [...model.keys()];
          const record = records[pick % Math.max(1, records.length)];
          const sessions = model.get(record) ?? [];
          const used = [...model.values()].reduce((sum, list) => sum + list.length, 0);
          if (what === 'make') {
            const made = make(pool);
            expect(made >= 0).toBe(model.size < 6);
            expect(model.has(made)).toBe(false);
            if (made >= 0) model.set(made, []);
          } else if (what === 'adopt') {
            expect(pool.adopt()).toEqual({ records: model.size, sessions: used, lostSessions: 0 });
          } else if (record === undefined) {
            continue;
          } else if (what === 'free') {
            pool.freeRecord(record);
            model.delete(record);
          } else if (what === 'session') {
            const session = pool.allocateSession(record);
            expect(session >= 0).toBe(used < 6);
            if (session < 0) continue;
            pool.setSessionWord(session, SESSION.clientId, id);
            pool.setSessionWord(session, SESSION.serverId, id + 1000);
            sessions.unshift(id++);
          } else if (what === 'end' && sessions.length > 0) {
            const [ended] = sessions.splice(pick % sessions.length, 1);
            const session = pool.sessionByClientId(record, ended);
            expect(pool.sessionByServerId(record, ended + 1000)).toBe(session);
            expect(pool.freeSession(record, session)).toBe(true);
            expect(pool.freeSession(record, session)).toBe(false);
            expect(pool.sessionByClientId(record, ended)).toBe(-1);
          }
          for (const [index, list] of model) {
            expect([pool.state(index), pool.protocol(index), pool.sessionsOf(index)]).toEqual([
              RECORD_STATE.halfOpen,
              3,
              list.length,
            ]);
            const ids: number[] = [];
            for (let s = pool.firstSession(index); s >= 0; s = pool.nextSession(s))
              ids.push(pool.sessionWord(s, SESSION.clientId));
            expect(ids).toEqual(list);
          }
          check(memory, pool);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('counts changes of state and gives out records with zeroed words', () => {
    const memory = newMemory(2);
    const pool = new RecordPool(memory);
    const record = make(pool);
    pool.set(record, RECORD.created, 99);
    pool.setState(record, RECORD_STATE.established);
    expect([pool.state(record), pool.protocol(record), pool.version(record)]).toEqual([RECORD_STATE.established, 3, 1]);
    pool.freeRecord(record);
    expect([pool.state(record), pool.version(record)]).toEqual([RECORD_STATE.free, 2]);
    expect(make(pool)).toBe(record);
    expect(pool.get(record, RECORD.created)).toBe(0);
    expect(recordState(0x1ffff, 255, 3)).toBe(0xffff_ff03 | 0);
  });

  describe('after a crash under the lock', () => {
    function broken(breakIt: (memory: TableMemory, pool: RecordPool, record: number, session: number) => void) {
      const memory = newMemory(4);
      const pool = new RecordPool(memory);
      const record = make(pool);
      const session = pool.allocateSession(record);
      const other = make(pool);
      pool.allocateSession(other);
      breakIt(memory, pool, record, session);
      const adoption = pool.adopt();
      check(memory, pool);
      expect(pool.sessionsOf(other)).toBe(1);
      return { pool, record, adoption };
    }

    it('takes back a record whose allocation was not finished', () => {
      const { adoption } = broken((_, pool) => pool.allocateRecord());
      expect(adoption).toEqual({ records: 2, sessions: 2, lostSessions: 0 });
    });

    it('takes back a record that was marked free but is on no list', () => {
      const { adoption } = broken((_, pool, record) => pool.set(record, RECORD.state, RECORD_STATE.free));
      expect(adoption).toEqual({ records: 1, sessions: 1, lostSessions: 1 });
    });

    it('takes back a session that was taken off the free list but hangs on no record', () => {
      const { adoption } = broken((memory, pool) => {
        const taken = memory.header[HEADER.freeSession] - 1;
        memory.header[HEADER.freeSession] = pool.nextSession(taken) + 1;
        pool.setSessionWord(taken, SESSION.state, SESSION_STATE.requested);
      });
      expect(adoption).toEqual({ records: 2, sessions: 2, lostSessions: 1 });
    });

    it('cuts a list off where it leads into free sessions, into itself, into another record or out of the memory', () => {
      for (const target of ['free', 'itself', 'other', 'beyond'] as const) {
        const { adoption, pool, record } = broken((memory, p, r, session) => {
          const to = { free: memory.header[HEADER.freeSession], itself: session + 1, other: 2, beyond: 77 }[target];
          memory.sessions[session * SESSION_WORDS + SESSION.next] = to;
          expect(p.firstSession(r)).toBe(session);
        });
        expect([adoption.records, pool.state(record)]).toEqual([2, RECORD_STATE.halfOpen]);
        expect(pool.sessionsOf(record)).toBeLessThanOrEqual(1);
      }
    });

    it('rebuilds lists whose heads are gone', () => {
      const { adoption } = broken((memory) => {
        memory.header[HEADER.freeRecord] = 0;
        memory.header[HEADER.freeSession] = 0;
        memory.header[HEADER.recordsUsed] = -5;
      });
      expect(adoption).toEqual({ records: 2, sessions: 2, lostSessions: 0 });
    });
  });

  it('walks a broken list no farther than there are sessions', () => {
    const memory = newMemory(4);
    const pool = new RecordPool(memory);
    const record = make(pool);
    const session = pool.allocateSession(record);
    memory.sessions[session * SESSION_WORDS + SESSION.next] = session + 1;
    expect(pool.sessionsOf(record)).toBe(4);
    expect(pool.sessionByClientId(record, 5)).toBe(-1);
    expect(pool.freeSession(record, 3)).toBe(false);
    expect(memory.records[record * RECORD_WORDS + RECORD.sessions]).toBe(session + 1);
  });
});
