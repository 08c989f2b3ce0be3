import { describe, expect, it } from 'vitest';
import { EVENT_WORDS, EventRing } from '../../src/flow/event-ring.js';

function ring(slots: number): EventRing {
  return new EventRing(new SharedArrayBuffer(EventRing.byteLength(slots)), slots);
}

function push(to: EventRing, value: number): boolean {
  const at = to.claim();
  if (at < 0) return false;
  to.words.fill(value, at, at + EVENT_WORDS);
  to.commit();
  return true;
}

describe('EventRing', () => {
  it('gives events out in order, as copies', () => {
    const r = ring(4);
    expect(r.pop()).toBeNull();
    push(r, 1);
    push(r, 2);
    expect(r.pending()).toBe(2);
    const first = r.pop() as Int32Array;
    expect([...first]).toEqual(new Array(EVENT_WORDS).fill(1));
    for (let n = 3; n < 6; n++) push(r, n);
    expect([...first]).toEqual(new Array(EVENT_WORDS).fill(1));
    expect([2, 3, 4, 5].map(() => r.pop()?.[0])).toEqual([2, 3, 4, 5]);
  });

  it('does not show what is not committed', () => {
    const r = ring(2);
    r.words[r.claim()] = 9;
    expect(r.pop()).toBeNull();
  });

  it('refuses and counts what finds no room, and goes on when there is room again', () => {
    const r = ring(2);
    expect([1, 2, 3, 4].map((n) => push(r, n))).toEqual([true, true, false, false]);
    expect(r.refused()).toBe(2);
    r.pop();
    expect(push(r, 5)).toBe(true);
    expect([r.pop()?.[0], r.pop()?.[0], r.pop()]).toEqual([2, 5, null]);
  });

  it('goes on when its positions wrap', () => {
    const buffer = new SharedArrayBuffer(EventRing.byteLength(4));
    new Int32Array(buffer)[0] = 0x7ffffffe;
    new Int32Array(buffer)[16] = 0x7ffffffe;
    const r = new EventRing(buffer, 4);
    for (let n = 0; n < 12; n++) {
      expect(push(r, n)).toBe(true);
      expect(r.pop()?.[0]).toBe(n);
    }
    for (let n = 0; n < 4; n++) push(r, n);
    expect(push(r, 4)).toBe(false);
  });
});
