/** The load status message, field by field and byte by byte. */
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildLoadStatus,
  isAuthentic,
  LOAD_STATUS_LENGTH_LIMIT,
  type LoadStatus,
  NOTHING_KNOWN,
  readLoadStatus,
} from '../../src/wire/load-status.js';

const KEY = Buffer.from('a secret of some length');
const STATUS: LoadStatus = {
  server: 'lns1',
  sequence: 0x1_0000_0002,
  timeMs: 1_750_000_000_123,
  accepting: true,
  tunnels: 3,
  sessions: 5,
  tunnelLimit: 100,
  sessionLimit: 200,
  cpu: 0.25,
  memory: 0.5,
  packetsIn: 1000,
  packetsOut: 2000,
  packetCapacity: 1_000_000,
  bitsIn: 8_000_000_000,
  bitsOut: 9_000_000,
  bitCapacity: 10_000_000_000,
};

test('written to the byte', () => {
  const bytes = buildLoadStatus(STATUS, KEY);
  const signed =
    '54444c53 01 01 0076 0000000100000002 000001977420dc7b 38 04' +
    '00000003 00000005 00000064 000000c8 09c4 1388 000003e8 000007d0 000f4240' +
    '00000001dcd65000 0000000000895440 00000002540be400 6c6e7331';
  const expected = Buffer.from(signed.replaceAll(' ', ''), 'hex');
  expect(Buffer.from(bytes.subarray(0, -32)).toString('hex')).toBe(expected.toString('hex'));
  expect(Buffer.from(bytes.subarray(-32))).toEqual(createHmac('sha256', KEY).update(expected).digest());
  expect(readLoadStatus(bytes)).toEqual(STATUS);
});

test('nothing known, and what is beyond a field', () => {
  const empty = { ...NOTHING_KNOWN, accepting: false, server: 'é'.repeat(31), sequence: 0, timeMs: 0 };
  expect(readLoadStatus(buildLoadStatus(empty, KEY))).toEqual(empty);
  const much = { ...STATUS, tunnels: 1e12, cpu: 3, memory: -1, bitsIn: Number.NaN };
  expect(readLoadStatus(buildLoadStatus(much, KEY))).toMatchObject({
    tunnels: 0xfffffffe,
    cpu: 1,
    memory: 0,
    bitsIn: 0,
  });
  for (const server of ['', 'x'.repeat(64)])
    expect(() => buildLoadStatus({ ...STATUS, server }, KEY)).toThrow(RangeError);
});

test('the longest message is within the limit', () => {
  expect(buildLoadStatus({ ...STATUS, server: 'x'.repeat(63) }, KEY).length).toBeLessThanOrEqual(
    LOAD_STATUS_LENGTH_LIMIT,
  );
});

test('fields of a later version of the product are skipped', () => {
  const bytes = Buffer.from(buildLoadStatus(STATUS, KEY));
  const at = 26 + 56;
  const longer = Buffer.concat([bytes.subarray(0, at), Buffer.from('new!'), bytes.subarray(at)]);
  longer[24] += 4;
  longer.writeUInt16BE(longer.length, 6);
  expect(readLoadStatus(longer)).toEqual(STATUS);
});

describe('refused', () => {
  const broken = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(buildLoadStatus(STATUS, KEY));
    change(bytes);
    return bytes;
  };
  test.each([
    ['magic', broken((b) => b.writeUInt8(0, 0)), 'malformed'],
    ['version', broken((b) => b.writeUInt8(2, 4)), 'version'],
    ['length', broken((b) => b.writeUInt16BE(b.length - 1, 6)), 'malformed'],
    ['too few fields', broken((b) => b.writeUInt8(55, 24)), 'malformed'],
    ['no name', broken((b) => b.writeUInt8(0, 25)), 'malformed'],
    ['a name that is no text', broken((b) => b.writeUInt8(0xff, 26 + 56)), 'malformed'],
    ['a share above one', broken((b) => b.writeUInt16BE(10_001, 42)), 'malformed'],
    ['a sequence beyond what can be counted', broken((b) => b.writeUInt32BE(0xffffffff, 8)), 'malformed'],
  ])('%s', (_, bytes, fault) => expect(readLoadStatus(bytes)).toBe(fault));

  test('cut or lengthened anywhere', () => {
    const bytes = buildLoadStatus(STATUS, KEY);
    for (let length = 0; length < bytes.length; length++)
      expect(readLoadStatus(bytes.slice(0, length))).toBe('malformed');
    expect(readLoadStatus(Buffer.concat([bytes, Buffer.alloc(1)]))).toBe('malformed');
  });
});

test('any bit changed, and another key: not authentic', () => {
  const bytes = buildLoadStatus(STATUS, KEY);
  expect(isAuthentic(bytes, KEY)).toBe(true);
  expect(isAuthentic(bytes, Buffer.from('a secret of some lengtH'))).toBe(false);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3] ^= 1 << (bit & 7);
    expect(isAuthentic(changed, KEY)).toBe(false);
  }
});

const number = (max: number) => fc.option(fc.nat(max), { nil: null });
const share = fc.option(
  fc.nat(10_000).map((n) => n / 10_000),
  { nil: null },
);
const wide = fc.option(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), { nil: null });

test('what is written is read', () => {
  const any = fc.record({
    server: fc.stringMatching(/^[a-z0-9.-]{1,63}$/),
    sequence: fc.maxSafeNat(),
    timeMs: fc.maxSafeNat(),
    accepting: fc.boolean(),
    tunnels: number(0xfffffffe),
    sessions: number(0xfffffffe),
    tunnelLimit: number(0xfffffffe),
    sessionLimit: number(0xfffffffe),
    cpu: share,
    memory: share,
    packetsIn: number(0xfffffffe),
    packetsOut: number(0xfffffffe),
    packetCapacity: number(0xfffffffe),
    bitsIn: wide,
    bitsOut: wide,
    bitCapacity: wide,
  });
  fc.assert(
    fc.property(any, (status) => {
      expect(readLoadStatus(buildLoadStatus(status, KEY))).toEqual(status);
    }),
  );
});
