/** The rule by itself: evidence as shards write it, and what the main thread makes of it. */
import { describe, expect, test } from 'vitest';
import { Health, type HealthSettings } from '../../src/designation/health.js';
import { Lending } from '../../src/designation/lending.js';
import { ServerStates } from '../../src/designation/server-states.js';
import { ServerTable } from '../../src/designation/servers.js';
import {
  CELL_WORDS,
  formatTable,
  HEADER,
  LEND,
  SERVER_CELL,
  SERVER_REASON,
  SERVER_STATE,
  TableMemory,
  tableLayout,
} from '../../src/flow/layout.js';

const SETTINGS: HealthSettings = {
  passive: true,
  suspectAfter: 0.8,
  downAfter: 2.5,
  downAfterAlone: 20,
  slowStart: 30,
  lendFirst: 2,
  lendMost: 16,
};

function bench(settings: Partial<HealthSettings> = {}, probe?: (server: number) => boolean) {
  const memory = new TableMemory(new SharedArrayBuffer(tableLayout(16).length), 16);
  formatTable(memory, 1, new Int32Array(4));
  const clock = { now: 1000, data: false, looks: 0, misses: false };
  const states = new ServerStates(memory, () => clock.now);
  const health = new Health({
    memory,
    states,
    settings: { ...SETTINGS, ...settings },
    now: () => clock.now,
    dataHeard: () => {
      clock.looks++;
      return clock.data;
    },
    mayMiss: () => clock.misses,
    ...(probe === undefined ? {} : { probe }),
  });
  const servers = new ServerTable(memory);
  for (let server = 0; server < 3; server++) {
    memory.servers[server * CELL_WORDS + SERVER_CELL.weight] = 1;
    states.enter(server, SERVER_STATE.up, SERVER_REASON.configured);
  }
  const cell = (word: number, value: number, server = 0): void => {
    memory.servers[server * CELL_WORDS + word] = value;
  };
  return {
    memory,
    clock,
    states,
    health,
    lending: new Lending(memory, servers),
    servers,
    cell,
    /** Unanswered messages since `ago` seconds. */
    asked: (asks: number, askers: number, ago = 0): void => {
      cell(SERVER_CELL.waiting, Math.floor((clock.now - ago) * 1000));
      cell(SERVER_CELL.asks, asks);
      cell(SERVER_CELL.askers, askers);
    },
    heard: (): void => {
      cell(SERVER_CELL.heard, Math.floor(clock.now * 1000));
      for (const word of [SERVER_CELL.waiting, SERVER_CELL.asks, SERVER_CELL.askers, SERVER_CELL.unreachable])
        cell(word, 0);
    },
    after: (seconds: number): string => {
      clock.now += seconds;
      health.judge(0);
      return states.history(0).at(-1)?.to ?? '';
    },
    down(): void {
      this.asked(20, 0b11);
      this.after(3);
    },
  };
}

describe('evidence', () => {
  test.each([
    ['one message makes nobody suspect, however long it waits', 1, 1, 19, 'up'],
    ['two do, when they have waited', 2, 1, 0.9, 'suspect'],
    ['not before', 2, 1, 0.7, 'up'],
    ['ten of several tunnels are enough after downAfter', 10, 0b101, 2.6, 'down'],
    ['not before', 10, 0b101, 2.4, 'suspect'],
    ['seven take three times as long', 7, 0b101, 7.4, 'suspect'],
    ['seven take three times as long: now', 7, 0b101, 7.6, 'down'],
    ['six may be bad luck', 6, 0b101, 19, 'suspect'],
    ['six may be bad luck, but not for ever', 6, 0b101, 20.1, 'down'],
    ['one tunnel alone is not believed so soon', 50, 0b100, 19, 'suspect'],
    ['one tunnel alone, at last', 5, 0b100, 20.1, 'down'],
  ])('%s', (_words, asks, askers, seconds, state) => {
    const b = bench();
    b.asked(asks, askers);
    expect(b.after(seconds)).toBe(state);
  });

  test('a server whose answers another designator may have is suspect at most, unless ICMP says that it is gone', () => {
    const b = bench();
    b.clock.misses = true;
    b.asked(40, 0b111);
    expect(b.after(30)).toBe('suspect');
    b.cell(SERVER_CELL.unreachable, 3);
    expect(b.after(0.1)).toBe('down');
    const found = bench();
    found.clock.misses = true;
    found.asked(40, 0b111);
    found.after(3);
    found.clock.misses = false;
    expect(found.after(0.1)).toBe('down');
  });

  test('a server whose data still flows is suspect at most, and its tunnels are not walked all the time', () => {
    const b = bench();
    b.clock.data = true;
    b.asked(40, 0b111);
    for (let n = 0; n < 50; n++) expect(b.after(0.1)).toBe(b.clock.now - 1000 < 0.8 ? 'up' : 'suspect');
    expect(b.clock.looks).toBeLessThanOrEqual(4);
    b.clock.data = false;
    b.after(1.1);
    expect(b.after(0)).toBe('down');
  });

  test('any message closes the case, and slow start goes on where it was', () => {
    const b = bench();
    b.states.enter(0, SERVER_STATE.slowStart, SERVER_REASON.heard);
    b.asked(3, 1);
    expect(b.after(1)).toBe('suspect');
    b.heard();
    expect(b.after(0.1)).toBe('slow-start');
    expect(b.after(30)).toBe('up');
    expect(b.states.history(0).at(-1)?.reason).toBe('slow start is over');
  });

  test('ICMP errors are believed soon, unless the server speaks', () => {
    const b = bench();
    b.asked(1, 1);
    b.cell(SERVER_CELL.unreachable, 2);
    expect(b.after(0.4)).toBe('up');
    expect(b.after(0.2)).toBe('down');
    expect(b.states.history(0).at(-1)?.reason).toBe('ICMP says that it cannot be reached');
  });

  test('passive off: no evidence counts, and slow start still ends', () => {
    const b = bench({ passive: false });
    b.asked(100, 0xff);
    expect(b.after(60)).toBe('up');
    b.states.enter(0, SERVER_STATE.slowStart, SERVER_REASON.command);
    expect(b.after(31)).toBe('up');
  });

  test('a server that drains dies as others do, and drains on when it is back', () => {
    const b = bench();
    b.states.order(0, SERVER_STATE.draining, SERVER_REASON.command);
    b.down();
    expect(b.states.state(0)).toBe(SERVER_STATE.down);
    b.after(100);
    expect(b.memory.header[HEADER.lending]).toBe(0);
    b.heard();
    expect(b.after(0.1)).toBe('draining');
  });

  test('one that is disabled is left alone', () => {
    const b = bench();
    b.states.order(0, SERVER_STATE.disabled, SERVER_REASON.command);
    b.asked(100, 0xff);
    expect(b.after(60)).toBe('disabled');
  });
});

describe('lending', () => {
  const list = Int32Array.of(0, 1, 2);

  test('a request is lent at growing intervals, once each, and only to that server', () => {
    const b = bench();
    b.down();
    expect(b.lending.take(list)).toBe(-1);
    const lent: number[] = [];
    const from = b.clock.now;
    for (let n = 0; n < 600; n++) {
      b.after(0.1);
      if (b.lending.take(list) === 0) lent.push(Math.round((b.clock.now - from) * 10) / 10);
    }
    const gaps = lent.map((at, n) => Math.round(at - (lent[n - 1] ?? 0)));
    expect(gaps).toEqual([2, 2, 4, 8, 16, 16]);
    expect(b.memory.header[HEADER.lending]).toBe(0);
  });

  test('without requests nothing is lent twice; an answer brings it back, and says so', () => {
    const b = bench();
    b.down();
    b.after(100);
    expect(b.memory.header[HEADER.lending]).toBe(1);
    expect(b.lending.take(list)).toBe(0);
    expect(b.lending.take(list)).toBe(-1);
    b.after(0.1);
    b.heard();
    expect(b.after(0.1)).toBe('slow-start');
    expect(b.states.history(0).at(-1)?.reason).toBe('answered a request');
    expect(b.memory.servers[SERVER_CELL.lend]).toBe(LEND.none);
  });

  test('a word of its own brings it back without any lending; slow start can be left out', () => {
    const b = bench({ slowStart: 0 });
    b.down();
    b.after(3);
    expect(b.memory.header[HEADER.lending]).toBe(1);
    b.heard();
    expect(b.after(0.1)).toBe('up');
    expect(b.states.history(0).at(-1)?.reason).toBe('heard from again');
    expect(b.memory.header[HEADER.lending]).toBe(0);
  });

  test('signs of life of its machine bring the next try forward', () => {
    const b = bench({ lendFirst: 1, lendMost: 1000 });
    b.down();
    for (let n = 0; n < 400; n++) if (b.after(0.1) === 'down') b.lending.take(list);
    const before = b.clock.now;
    b.health.stirs(0);
    while (b.clock.now - before < 60 && b.memory.header[HEADER.lending] === 0) b.after(0.1);
    expect(b.clock.now - before).toBeLessThan(1.2);
  });

  test('an operator who enables it ends all that', () => {
    const b = bench();
    b.down();
    b.after(3);
    b.states.order(0, SERVER_STATE.disabled, SERVER_REASON.command);
    b.after(0.1);
    expect(b.memory.header[HEADER.lending]).toBe(0);
  });

  test('where no server is left a suspect one is better than none, and one that is down is better than nothing', () => {
    const b = bench();
    for (const server of list) b.states.enter(server, SERVER_STATE.down, SERVER_REASON.silent);
    expect([1, 2, 3, 4].map(() => b.lending.lastResort(list))).toEqual([0, 1, 2, 0]);
    b.states.enter(1, SERVER_STATE.suspect, SERVER_REASON.heard);
    expect([1, 2].map(() => b.lending.lastResort(list))).toEqual([1, 1]);
    for (const server of list) b.states.enter(server, SERVER_STATE.disabled, SERVER_REASON.command);
    expect(b.lending.lastResort(list)).toBe(-1);
  });
});

describe('the active check', () => {
  test('has the last word where there is one', () => {
    const asked: number[] = [];
    const b = bench({}, (server) => asked.push(server) > 0);
    b.asked(40, 0b111);
    expect(b.after(3)).toBe('suspect');
    expect(asked.length).toBeGreaterThan(0);
    b.health.probeFailed(0, b.clock.now, 'no SCCRP in 300 ms, twice');
    expect(b.states.history(0).at(-1)).toMatchObject({ to: 'down', reason: 'the active check got no answer' });
    b.health.probeAnswered(0);
    expect(b.states.history(0).at(-1)).toMatchObject({ to: 'slow-start', reason: 'the active check got an answer' });
  });

  test('does not take down a server that speaks with its clients', () => {
    const b = bench();
    const since = b.clock.now;
    b.clock.now += 0.5;
    b.heard();
    b.health.probeFailed(0, since, '');
    expect(b.states.state(0)).toBe(SERVER_STATE.up);
    b.clock.data = true;
    b.health.probeFailed(0, b.clock.now + 1, '');
    expect(b.states.state(0)).toBe(SERVER_STATE.suspect);
    b.health.probeAnswered(0);
    expect(b.states.state(0)).toBe(SERVER_STATE.up);
  });
});
