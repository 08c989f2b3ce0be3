/** Bytes of strangers against the load status codec and everything behind it: never an exception, never a load. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LoadVerifier } from '../../src/roles/designator/load-verifier.js';
import { buildLoadStatus, NOTHING_KNOWN, readLoadStatus } from '../../src/wire/load-status.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';

const KEY = Buffer.from('a secret of some length');
const NOW = 1_750_000_000_000;
const RUNS = { numRuns: FUZZ_RUNS };
const genuine = (sequence: number): Uint8Array =>
  buildLoadStatus({ ...NOTHING_KNOWN, server: 'lns1', sequence, timeMs: NOW }, KEY);

const verifier = new LoadVerifier();
verifier.configure(new Map([['lns1', KEY]]), 30_000);

test('any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(verifier.verify(bytes, NOW)).toMatchObject({ status: null });
    }),
    RUNS,
  );
});

test('a genuine message with bytes changed, cut, or put in', () => {
  const changes = fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(changes, fc.nat(130), fc.uint8Array({ maxLength: 8 }), (changed, at, put) => {
      const bytes = genuine(1);
      for (const [where, value] of changed) bytes[where % bytes.length] ^= value;
      const cut = Uint8Array.from([...bytes.slice(0, at), ...put, ...bytes.slice(at)]);
      const { status, fault } = verifier.verify(cut, NOW);
      if (Buffer.from(cut).equals(Buffer.from(genuine(1)))) expect([null, 'replayed']).toContain(fault);
      else expect(status).toBeNull();
    }),
    RUNS,
  );
});

test('lengths and counts of any value behind a sound header', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 60, maxLength: 300 }), fc.nat(255), fc.nat(255), (body, fields, name) => {
      const bytes = Uint8Array.from([0x54, 0x44, 0x4c, 0x53, 1, ...body]);
      new DataView(bytes.buffer).setUint16(6, bytes.length);
      bytes[24] = fields;
      bytes[25] = name;
      const read = readLoadStatus(bytes);
      if (typeof read !== 'string') expect(26 + fields + name + 32).toBe(bytes.length);
      expect(verifier.verify(bytes, NOW).status).toBeNull();
    }),
    RUNS,
  );
});
