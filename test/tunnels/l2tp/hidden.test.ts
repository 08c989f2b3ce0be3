import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EVENT_SESSION_REQUEST, newControlEvent } from '../../../src/tunnels/descriptor.js';
import { hideValue, rehideTunnelId, unhideIds, unhideValue } from '../../../src/tunnels/l2tp/hidden.js';
import { buildMessage } from '../../../src/tunnels/l2tp/message.js';
import { observe } from '../../../src/tunnels/l2tp/observer.js';

const md5 = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const SECRET = new TextEncoder().encode('the tunnel secret');
const VECTOR = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A message with an AVP of `type` hidden in it. */
function message(kind: number, type: number, plain: Uint8Array, { vector = true, secret = SECRET } = {}): Uint8Array {
  return buildMessage({
    type: kind,
    tunnel: kind === 1 ? 0 : 5,
    avps: [
      ...(vector ? [{ type: 36, value: VECTOR }] : []),
      { type, value: hideValue(type, secret, VECTOR, plain), hidden: true },
    ],
  });
}

function read(bytes: Uint8Array, secret = SECRET) {
  const event = newControlEvent();
  observe(viewOf(bytes), 0, bytes.length, event);
  const done = unhideIds(viewOf(bytes), 0, bytes.length, secret, event);
  return { done, event };
}

describe('the chain of RFC 2661 §4.3', () => {
  test('one block: MD5 over type, secret and vector', () => {
    const plain = Uint8Array.of(0, 2, 0x12, 0x34, 9, 9);
    const sum = md5(Uint8Array.of(0, 9), SECRET, VECTOR);
    const cipher = hideValue(9, SECRET, VECTOR, plain);
    expect([...cipher]).toEqual([...plain].map((byte, i) => byte ^ sum[i]));
    expect([...unhideValue(9, SECRET, VECTOR, cipher)]).toEqual([...plain]);
  });

  test('three blocks: each further one over the secret and the cipher text before', () => {
    const plain = Uint8Array.from({ length: 40 }, (_, i) => i);
    const cipher = hideValue(9, SECRET, VECTOR, plain);
    const second = md5(SECRET, cipher.subarray(0, 16));
    const third = md5(SECRET, cipher.subarray(16, 32));
    expect([...cipher.subarray(16, 32)]).toEqual([...plain.subarray(16, 32)].map((byte, i) => byte ^ second[i]));
    expect([...cipher.subarray(32)]).toEqual([...plain.subarray(32)].map((byte, i) => byte ^ third[i]));
  });

  test('any value comes back, and a wrong secret gives another', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 80 }), fc.uint8Array({ minLength: 1 }), (plain, secret) => {
        const cipher = hideValue(14, secret, VECTOR, plain);
        expect([...unhideValue(14, secret, VECTOR, cipher)]).toEqual([...plain]);
        expect([...unhideValue(14, Uint8Array.of(...secret, 1), VECTOR, cipher)]).not.toEqual([...plain]);
      }),
    );
  });
});

describe('ids of a message', () => {
  test('the Assigned Tunnel ID of an SCCRP, with and without padding', () => {
    for (const padding of [0, 1, 12, 13, 40]) {
      const { done, event } = read(message(2, 9, Uint8Array.of(0, 2, 0x30, 0x39, ...new Uint8Array(padding))));
      expect([done, event.assigned, event.assignedHidden]).toEqual([true, 12345, false]);
    }
  });

  test('the Assigned Session ID of an ICRQ', () => {
    const { done, event } = read(message(10, 14, Uint8Array.of(0, 2, 0, 77)));
    expect([done, event.kind, event.assignedSession]).toEqual([true, EVENT_SESSION_REQUEST, 77]);
  });

  test.each([
    ['another secret', message(2, 9, Uint8Array.of(0, 2, 0, 7)), new TextEncoder().encode('another')],
    ['no Random Vector before it', message(2, 9, Uint8Array.of(0, 2, 0, 7), { vector: false }), SECRET],
    ['an id of 0', message(2, 9, Uint8Array.of(0, 2, 0, 0)), SECRET],
    ['another length than an id’s', message(2, 9, Uint8Array.of(0, 4, 0, 7, 0, 0)), SECRET],
    ['too short for an id', message(2, 9, Uint8Array.of(0, 2)), SECRET],
    ['nothing hidden', buildMessage({ type: 2, tunnel: 5, avps: [{ type: 9, value: 7 }] }), SECRET],
  ])('%s: not read, and nothing is replaced', (_, bytes, secret) => {
    const before = [...bytes];
    expect(read(bytes, secret).done).toBe(false);
    expect(rehideTunnelId(viewOf(bytes), 0, bytes.length, secret, 9)).toBe(false);
    expect([...bytes]).toEqual(before);
  });

  test('another id in its place: same length, same padding', () => {
    const plain = Uint8Array.of(0, 2, 0, 7, ...Array.from({ length: 30 }, (_, i) => 0xa0 + i));
    const bytes = message(2, 9, plain);
    expect(rehideTunnelId(viewOf(bytes), 0, bytes.length, SECRET, 0xbeef)).toBe(true);
    expect([...bytes]).toEqual([...message(2, 9, Uint8Array.of(0, 2, 0xbe, 0xef, ...plain.subarray(4)))]);
  });

  test('bytes of strangers: never a throw, never a read beyond the end', () => {
    const seed = message(2, 9, Uint8Array.of(0, 2, 0, 7, 1, 2, 3));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255))), fc.nat(seed.length), (changes, cut) => {
        const bytes = seed.slice(0, seed.length - cut);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const event = newControlEvent();
        observe(viewOf(bytes), 0, bytes.length, event);
        unhideIds(viewOf(bytes), 0, bytes.length, SECRET, event);
        rehideTunnelId(viewOf(bytes), 0, bytes.length, SECRET, 99);
        expect(bytes.length).toBe(seed.length - cut);
      }),
      { numRuns: Number(process.env['FUZZ_RUNS'] ?? 2000) },
    );
  });
});
