import { expect, test, vi } from 'vitest';
import type { L2tpEvent } from '../../../src/protocol/l2tp/events.js';
import type { Peer } from '../../../src/protocol/l2tp/peer.js';
import { EndpointLoop, type LoopPunt } from '../../../src/roles/endpoint/loop.js';
import { randomSource } from '../../../src/roles/endpoint/random.js';

const PEER: Peer = { address: '192.0.2.9', port: 1701, socket: 0 };
const punt = (kind: string, slot = -1): LoopPunt => ({ kind, slot, bytes: Uint8Array.of(1), from: PEER, access: -1 });
const EVENT = { type: 'heard' } as unknown as L2tpEvent;

/** A loop with everything around it, which writes down what happens in which order. */
function scene() {
  const at = {
    log: [] as string[],
    events: [] as L2tpEvent[][],
    errors: [] as unknown[],
    word: 'taken',
    endpointNext: Number.POSITIVE_INFINITY,
    roleNext: Number.POSITIVE_INFINITY,
    now: 10,
    onRun: (): void => {},
    listener: (_punts: readonly LoopPunt[]): void => {},
  };
  const plane = {
    batch: {
      datagram: (to: Peer, bytes: Uint8Array) => void at.log.push(`datagram ${to.port} ${bytes.length}`),
      flush: () => void at.log.push('flush'),
    },
    onPunt: (listener: typeof at.listener) => {
      at.listener = listener;
    },
  };
  const endpoint = {
    receive: () => {
      at.log.push('receive');
      return at.word;
    },
    events: () => at.events.shift() ?? [],
    output: () => [{ to: PEER, bytes: new Uint8Array(12) }],
    get nextTime() {
      return at.endpointNext;
    },
  };
  const role = {
    punt: ({ kind, slot }: LoopPunt) => void at.log.push(`${kind} ${slot}`),
    event: () => void at.log.push('event'),
    run: () => {
      at.log.push('run');
      at.onRun();
    },
    get nextTime() {
      return at.roleNext;
    },
  };
  const loop = new EndpointLoop(
    plane,
    endpoint,
    role,
    () => at.now,
    (error) => void at.errors.push(error),
  );
  loop.start();
  return { at, loop };
}

test('a turn: what came, what happened, what is due, then all that is said in one call', () => {
  const { at, loop } = scene();
  at.events = [[EVENT], [EVENT]];
  at.listener([punt('control'), punt('ppp', 7)]);
  expect(at.log).toEqual(['receive', 'ppp 7', 'event', 'run', 'event', 'run', 'run', 'datagram 1701 12', 'flush']);
  loop.stop();
});

test('a control message that the engine refuses is counted by its reason', () => {
  const { at, loop } = scene();
  at.word = 'unknown-tunnel';
  at.listener([punt('control'), punt('control')]);
  expect([...loop.refused]).toEqual([['unknown-tunnel', 2]]);
  loop.stop();
});

test('timers: the earlier of engine and role; waking brings one turn for many reasons; stopped, none', async () => {
  vi.useFakeTimers();
  try {
    const { at, loop } = scene();
    loop.wake();
    loop.wake();
    at.endpointNext = 12;
    at.roleNext = 11;
    await vi.advanceTimersByTimeAsync(5);
    expect(loop.turns).toBe(1);
    await vi.advanceTimersByTimeAsync(990);
    expect(loop.turns).toBe(1);
    at.now = 11;
    at.roleNext = Number.POSITIVE_INFINITY;
    await vi.advanceTimersByTimeAsync(10);
    expect(loop.turns).toBe(2);
    loop.stop();
    loop.wake();
    await vi.advanceTimersByTimeAsync(5000);
    expect(loop.turns).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

test('engines that never end their talk do not hang the turn: the rest waits for the next one', () => {
  const { at, loop } = scene();
  at.events = Array.from({ length: 1000 }, () => [EVENT]);
  at.listener([punt('ppp')]);
  expect(at.log.filter((line) => line === 'event')).toHaveLength(64);
  loop.stop();
});

test('a bug is told to who can end the process', () => {
  const { at, loop } = scene();
  at.onRun = () => {
    throw new Error('bug');
  };
  at.listener([punt('ppp')]);
  expect(at.errors).toHaveLength(1);
  loop.stop();
});

test('random bytes: as many as asked for, the caller’s own, no two alike', () => {
  const random = randomSource();
  const pieces = Array.from({ length: 3000 }, () => Buffer.from(random(16)).toString('hex'));
  expect(new Set(pieces).size).toBe(3000);
  const [one, two] = [random(8), random(8)];
  one.fill(0);
  expect(two.every((byte) => byte === 0)).toBe(false);
  expect(random(100_000)).toHaveLength(100_000);
});
