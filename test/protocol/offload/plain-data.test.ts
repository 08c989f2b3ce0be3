import { describe, expect, test } from 'vitest';
import { decodePlain, encodePlain, type PlainData } from '../../../src/protocol/offload/plain-data.js';
import { addToDigest, checkState, decodeState, encodeState, fingerprint } from '../../../src/protocol/offload/state.js';
import { dice } from '../../helpers/offload-farm.js';

const SAMPLES: readonly PlainData[] = [
  null,
  true,
  false,
  0,
  -1,
  23,
  24,
  255,
  256,
  65_535,
  65_536,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  1.5,
  -0,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  '',
  'lns-1',
  'Müller 😀',
  'x'.repeat(300),
  Uint8Array.of(1, 2, 3),
  [],
  [1, [2, [3]]],
  {},
  { localId: 7, unknownName: 'x', nested: { ipv4: Uint8Array.of(10, 0, 0, 1) } },
];

describe('plain data', () => {
  test.each(SAMPLES.map((sample) => [sample]))('%j comes back as it was', (sample) => {
    expect(decodePlain(encodePlain(sample))).toEqual(sample);
  });

  test('bytes are those of RFC 8949 where no name of ours is in them', () => {
    // Appendix A of the RFC.
    expect(Buffer.from(encodePlain([1, [2, 3], [4, 5]])).toString('hex')).toBe('8301820203820405');
    expect(Buffer.from(encodePlain(1_000_000_000_000)).toString('hex')).toBe('1b000000e8d4a51000');
    expect(Buffer.from(encodePlain({ a: 'A', b: 'B' })).toString('hex')).toBe('a26161614161626142');
    expect(Buffer.from(encodePlain(-1000)).toString('hex')).toBe('3903e7');
  });

  test('members that are undefined are left out, names that are known cost one byte', () => {
    expect(decodePlain(encodePlain({ a: undefined, b: 1 }))).toEqual({ b: 1 });
    expect(encodePlain({ localId: 1 })).toHaveLength(3);
  });

  test('a name of the future is left out, one that would change the object too', () => {
    expect(decodePlain(Uint8Array.of(0xa2, 0x19, 0x0f, 0xff, 0x01, 0x61, 0x61, 0x02))).toEqual({ a: 2 });
    const forged = Uint8Array.from([0xa1, 0x69, ...Buffer.from('__proto__'), 0xa1, 0x61, 0x78, 0x01]);
    expect(decodePlain(forged)).toEqual({});
    expect((decodePlain(forged) as { x?: number }).x).toBeUndefined();
  });

  test.each([
    ['nothing', []],
    ['a text that ends early', [0x65, 0x61]],
    ['an array longer than the bytes', [0x9b, 0, 0, 0, 1, 0, 0, 0, 0]],
    ['bytes that no length allows', [0x5f]],
    ['something behind the end', [0x01, 0x02]],
    ['no UTF-8', [0x61, 0xff]],
    ['depth without end', new Array(5000).fill(0x81)],
    ['a tag', [0xc0, 0x01]],
  ])('%s is refused', (_name, bytes) => expect(decodePlain(Uint8Array.from(bytes as number[]))).toBeUndefined());

  test('any bytes are read or refused', () => {
    const random = dice(7);
    const seed = encodePlain(SAMPLES as PlainData[]);
    let refused = 0;
    for (let i = 0; i < 4000; i++) {
      const bytes = seed.slice(0, Math.floor(random() * seed.length));
      for (let k = 0; k < 3 && bytes.length > 0; k++)
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      if (decodePlain(bytes) === undefined) refused++;
    }
    expect(refused).toBeGreaterThan(3000);
  });
});

describe('state', () => {
  test('carries its version and kind', () => {
    const state = encodeState('session', { localId: 5 });
    expect(decodeState('session', state)).toEqual({ localId: 5 });
    expect(decodeState('tunnel', state)).toBe('malformed');
    const later = state.slice();
    later[2]++;
    expect(decodeState('session', later)).toBe('version');
    expect(checkState('session', later)).toBe('version');
    expect(decodeState('session', state.subarray(0, 4))).toBe('malformed');
    expect(decodeState('session', Uint8Array.of(0x54, 0x44, 1, 2, 0x01))).toBe('malformed');
    expect(decodeState('session', state.slice(0, state.length - 1))).toBe('malformed');
  });

  test('fingerprints tell every single changed byte', () => {
    const state = encodeState('session', { localId: 5, ppp: Uint8Array.from({ length: 60 }, (_, i) => i) });
    const seen = new Set([JSON.stringify(fingerprint(state))]);
    for (let i = 0; i < state.length; i++) {
      const other = state.slice();
      other[i] ^= 1;
      seen.add(JSON.stringify(fingerprint(other)));
    }
    expect(seen.size).toBe(state.length + 1);
  });

  test('a digest does not depend on the order, but on who has what', () => {
    const of = (...pairs: [number, number][]): unknown => {
      const digest = { count: 0, high: 0, low: 0 };
      for (const [session, print] of pairs) addToDigest(digest, session, print, print);
      return digest;
    };
    expect(of([1, 10], [2, 20])).toEqual(of([2, 20], [1, 10]));
    expect(of([1, 10], [2, 20])).not.toEqual(of([1, 20], [2, 10]));
  });
});
