/** Which way a message of another designator's tunnel goes. */
import { describe, expect, test } from 'vitest';
import { Elsewhere, type ElsewhereParts } from '../../src/dataplane/elsewhere.js';
import { KIND_DONE } from '../../src/dataplane/batch.js';
import { Relay } from '../../src/dataplane/relay.js';
import { GroupWords } from '../../src/flow/group-words.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { COUNTER, DROP_BASE } from '../../src/dataplane/counters.js';
import { DROP } from '../../src/dataplane/drop-reasons.js';
import { Harness } from '../helpers/shard-harness.js';

interface Way {
  readonly byBus: boolean;
  readonly relays: boolean;
  readonly busTakes: boolean;
}

/** Asks about one frame of a server's, and tells what was tried, in order. */
function tried({ byBus, relays, busTakes }: Way, isKnown: boolean) {
  const steps: string[] = [];
  const statistics = new Float64Array(512);
  const batch = { kind: new Uint8Array(1), dropped: new Uint16Array(1), columns: { verdict: new Int8Array(1) } };
  const parts = {
    store: {
      serverIndex: () => 0,
      share: { hand: () => (steps.push('bus'), busTakes) },
    },
    relay: {
      goesByBus: () => byBus,
      wasTaken: () => false,
      take: () => (steps.push('relay'), relays),
    },
    watch: { heard: () => {} },
    statistics,
  };
  const elsewhere = new Elsewhere(parts as unknown as ElsewhereParts);
  if (isKnown) elsewhere.foreign(batch as never, 0, 5, false);
  else if (!elsewhere.unknown(batch as never, 0, false)) steps.push('nobody');
  return { steps, statistics, isDone: batch.kind[0] === KIND_DONE };
}

describe.each([
  ['of a member that is known', true],
  ['of nobody that is known here', false],
])('a message %s', (_name, isKnown) => {
  test.each([
    ['by virtual MAC where all members have one', { byBus: false, relays: true, busTakes: true }, ['relay']],
    ['by the bus where there is no group', { byBus: false, relays: false, busTakes: true }, ['relay', 'bus']],
    ['by the bus while a member has no virtual MAC', { byBus: true, relays: true, busTakes: true }, ['bus']],
    ['by virtual MAC when the bus does not take it', { byBus: true, relays: true, busTakes: false }, ['bus', 'relay']],
  ])('goes %s', (_way, way, steps) => {
    const seen = tried(way, isKnown);
    expect(seen.steps).toEqual(steps);
    const byBus = steps.at(-1) === 'bus';
    expect(seen.statistics[isKnown ? COUNTER.toWriters : COUNTER.toMembers]).toBe(byBus ? 1 : 0);
    expect(seen.statistics[DROP_BASE + DROP['foreign-tunnel']]).toBe(0);
  });

  test('that nothing takes is told of by name', () => {
    const { steps, statistics } = tried({ byBus: true, relays: false, busTakes: false }, isKnown);
    expect(steps).toEqual(isKnown ? ['bus', 'relay'] : ['bus', 'relay', 'nobody']);
    expect(statistics[DROP_BASE + DROP['foreign-tunnel']]).toBe(isKnown ? 1 : 0);
  });
});

test('the word is one of each side, and goes with its group', () => {
  const { memory } = new Harness();
  const [outside, inside] = [new GroupWords(memory, 'outside'), new GroupWords(memory, 'inside')];
  const relay = new Relay(memory, new Float64Array(512), false);
  const ask = (port: number): boolean => relay.goesByBus({ columns: { ingress: [port] } } as never, 0, false);
  inside.begin(Uint8Array.of(2, 0x54, 0x44, 0, 8, 0));
  inside.setByBus(true);
  expect([ask(PORT_OUTSIDE), ask(PORT_INSIDE)]).toEqual([false, true]);
  outside.clear();
  expect(ask(PORT_INSIDE)).toBe(true);
  inside.clear();
  expect(ask(PORT_INSIDE)).toBe(false);
});
