import { describe, expect, test } from 'vitest';
import { Seal } from '../../src/gateway/seal.js';

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);
const random = (last: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, last);
const sealOf = (number = 1, group = 7, key = KEY): Seal => new Seal(key, group, number, random(number));
const no = (): boolean => false;
const FROM = 0x025444000701;
const TO = 0x035444000700;

describe('seal of the members of a group', () => {
  test('what one closes another opens', () => {
    const frame = sealOf(1).close('probe', 2, Uint8Array.of(5, 6), FROM, TO);
    const opened = sealOf(2).open(frame, 0, no);
    if (typeof opened === 'string') throw new Error(opened);
    expect(opened.header).toEqual({ type: 'probe', group: 7, sender: 1, target: 2, incarnation: 1, sequence: 1 });
    expect([...opened.body]).toEqual([5, 6]);
    expect(opened.source).toBe(FROM);
  });

  test('the sequence rises with every message', () => {
    const seal = sealOf();
    const sequences = [1, 2, 3].map(() => {
      const opened = sealOf(2).open(seal.close('probe', 0, new Uint8Array(0), FROM, TO), 0, no);
      return typeof opened === 'string' ? opened : opened.header.sequence;
    });
    expect(sequences).toEqual([1, 2, 3]);
    expect(seal.sequence).toBe(3);
  });

  test('another key, and any change of a bit, is forged or unreadable', () => {
    const frame = sealOf().close('advert', 0, Uint8Array.of(1, 2, 3, 4), FROM, TO);
    expect(sealOf(2, 7, KEY.slice().fill(9)).open(frame, 0, no)).toBe('forged');
    for (let at = 14; at < frame.length; at++) {
      const changed = frame.slice();
      changed[at] ^= 1;
      expect(typeof sealOf(2).open(changed, 0, no), `byte ${at}`).toBe('string');
    }
  });

  test('another group is told from a forgery', () => {
    const frame = sealOf(1, 8).close('probe', 0, new Uint8Array(0), FROM, TO);
    expect(sealOf(2, 7).open(frame, 0, no)).toBe('other-group');
  });

  test('in a flood of forged messages only what a known member may have sent is looked at, for a second', () => {
    const [seal, other] = [sealOf(1), sealOf(2)];
    const forged = seal.close('probe', 0, Uint8Array.of(1), FROM, TO);
    forged[forged.length - 1] ^= 1;
    for (let i = 0; i < 500; i++) expect(other.open(forged, 5, no)).toBe('forged');
    expect(other.open(forged, 5.5, no)).toBe('flood');
    const right = seal.close('probe', 0, Uint8Array.of(1), FROM, TO);
    expect(other.open(right, 5.6, no)).toBe('flood');
    expect(typeof other.open(right, 5.6, ({ sender }) => sender === 1)).toBe('object');
    expect(typeof other.open(right, 6, no)).toBe('object');
  });

  test('a body that fits into no frame is a mistake of ours', () => {
    expect(() => sealOf().close('hosts', 0, new Uint8Array(1461), FROM, TO)).toThrow(RangeError);
  });

  test('an incarnation is never nobody’s', () => {
    expect(new Seal(KEY, 7, 1, new Uint8Array(6)).incarnation).toBe(1);
  });
});
