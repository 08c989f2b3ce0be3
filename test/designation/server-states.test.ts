import { describe, expect, test } from 'vitest';
import { HISTORY_LIMIT, type ServerStateChange, ServerStates } from '../../src/designation/server-states.js';
import {
  CELL_WORDS,
  formatTable,
  SERVER_CELL,
  SERVER_REASON,
  SERVER_STATE,
  TableMemory,
  tableLayout,
} from '../../src/flow/layout.js';

const newMemory = (): TableMemory => {
  const memory = new TableMemory(new SharedArrayBuffer(tableLayout(16).length), 16);
  formatTable(memory, 1, new Int32Array(4));
  return memory;
};
const UP = SERVER_STATE.up;
const { configured, command, silent, heard } = SERVER_REASON;

describe('states of servers', () => {
  test('a change is written to the cell, kept and told; the state that it has already is none', () => {
    const memory = newMemory();
    let now = 100.7;
    const states = new ServerStates(memory, () => now);
    const told: [number, ServerStateChange][] = [];
    states.listen((server, change) => told.push([server, change]));
    expect(states.enter(3, UP, configured)).toBe(true);
    expect(states.enter(3, UP, command)).toBe(false);
    now = 130.2;
    expect(states.enter(3, SERVER_STATE.down, silent, '4 tunnels asked')).toBe(true);
    const cell = (word: number): number => memory.servers[3 * CELL_WORDS + word];
    expect([cell(SERVER_CELL.state), cell(SERVER_CELL.reason), cell(SERVER_CELL.since)]).toEqual([
      SERVER_STATE.down,
      silent,
      130,
    ]);
    const changes: ServerStateChange[] = [
      { at: 100.7, from: 'free', to: 'up', reason: null, detail: '' },
      { at: 130.2, from: 'up', to: 'down', reason: 'silent while tunnels ask', detail: '4 tunnels asked' },
    ];
    expect(states.history(3)).toEqual(changes);
    expect(told).toEqual(changes.map((change) => [3, change]));
    expect(states.history(4)).toEqual([]);
  });

  test('the history is bounded, and a cell that is given away loses it', () => {
    const states = new ServerStates(newMemory());
    for (let n = 0; n < 50; n++) states.enter(0, n % 2 === 0 ? UP : SERVER_STATE.down, silent, String(n));
    expect(states.history(0)).toHaveLength(HISTORY_LIMIT);
    expect(states.history(0).at(-1)?.detail).toBe('49');
    states.forget(0);
    expect(states.history(0)).toEqual([]);
  });

  test('an order outlives the death of the server; disabling one that is dead is done at once', () => {
    const states = new ServerStates(newMemory());
    states.enter(0, UP, configured);
    states.order(0, SERVER_STATE.draining, command);
    states.enter(0, SERVER_STATE.down, silent);
    expect(states.ordered(0)).toBe(SERVER_STATE.draining);
    expect(states.order(0, SERVER_STATE.draining, command)).toBe(false);
    expect(states.state(0)).toBe(SERVER_STATE.down);
    states.enter(0, states.ordered(0), heard);
    expect(states.state(0)).toBe(SERVER_STATE.draining);
    states.enter(0, SERVER_STATE.down, silent);
    expect(states.order(0, SERVER_STATE.disabled, command)).toBe(true);
    expect(states.state(0)).toBe(SERVER_STATE.disabled);
    states.order(0, UP, configured);
    expect([states.state(0), states.ordered(0)]).toEqual([UP, 0]);
  });
});
