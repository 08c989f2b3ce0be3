import { describe, expect, test } from 'vitest';
import { Holdings } from '../../src/gateway/holdings.js';
import { macBytes, virtualMac } from '../../src/gateway/mac.js';

const holdings = (): Holdings => new Holdings(1, 0.1, (forwarder) => virtualMac('local', 7, forwarder));
const wanted = (served: number[], standIn: number[] = []): Map<number, boolean> =>
  new Map([...served.map((number) => [number, true] as const), ...standIn.map((number) => [number, false] as const)]);

describe('virtual MACs that a gateway holds', () => {
  test('what is new is asked for, what is the same is not asked for again', () => {
    const held = holdings();
    expect(held.set(wanted([1], [2]), 0)).toEqual([1]);
    expect(held.actions()).toEqual([
      { kind: 'hold', number: 1, mac: macBytes(0x025444000701), serve: true },
      { kind: 'hold', number: 2, mac: macBytes(0x025444000702), serve: false },
    ]);
    expect(held.set(wanted([1], [2]), 1)).toEqual([]);
    expect(held.actions()).toEqual([]);
    expect(held.set(wanted([1, 2]), 2)).toEqual([2]);
    expect(held.served()).toEqual([1, 2]);
    held.set(wanted([2]), 3);
    expect(held.actions().map(({ kind, number, serve }) => `${kind} ${number} ${serve}`)).toEqual([
      'hold 2 true',
      'hold 1 false',
    ]);
    expect([held.serves(1), held.holds(1), held.serves(2)]).toEqual([false, true, true]);
    expect(held.nextTime).toBeLessThanOrEqual(3.2);
    held.letGo(3.1);
    expect(held.actions()).toEqual([]);
    held.letGo(3.2);
    expect(held.actions().map(({ kind, number }) => `${kind} ${number}`)).toEqual(['let-go 1']);
    expect(held.holds(1)).toBe(false);
  });

  test('one that is wanted again meanwhile is kept; at the end all are let go of at once', () => {
    const held = holdings();
    held.set(wanted([1], [2]), 0);
    held.set(wanted([]), 1);
    held.set(wanted([1]), 1.1);
    held.actions();
    held.letGo(1.2);
    expect(held.actions().map(({ kind, number }) => `${kind} ${number}`)).toEqual(['let-go 2']);
    held.letGo(1.3, true);
    expect(held.actions().map(({ kind, number }) => `${kind} ${number}`)).toEqual(['let-go 1']);
    expect(held.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('after a standstill they are held, and not served', () => {
    const held = holdings();
    held.set(wanted([1]), 0);
    held.actions();
    held.suspend(1);
    expect(held.actions()).toMatchObject([{ kind: 'hold', number: 1, serve: false }]);
    expect([held.serves(1), held.holds(1)]).toEqual([false, true]);
    expect(held.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('switches are shown what is served for another every interval; the own one is in the adverts', () => {
    const held = holdings();
    expect(held.set(wanted([1, 3], [2]), 0)).toEqual([1, 3]);
    const times: number[] = [];
    for (let turn = 0; turn < 4; turn++) {
      const now = held.nextTime;
      expect(held.due(now)).toEqual([3]);
      times.push(Number(now.toFixed(2)));
    }
    expect(times).toEqual([0.05, 0.15, 0.25, 0.35]);
    held.refresh(0.36);
    expect(held.due(0.36)).toEqual([3]);
  });
});
