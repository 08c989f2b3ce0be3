/** Control messages on their way between members: what was put in comes out, and nothing else does. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CLUSTER_BODY_LIMIT } from '../../src/wire/cluster-bus.js';
import { FOREIGN_PACKET_LIMIT } from '../../src/dataplane/share.js';
import { CONTROL_HEADER_LENGTH, emitCarried, readCarried } from '../../src/wire/cluster-control.js';

const packets = fc
  .tuple(fc.constantFrom(4, 6), fc.uint8Array({ minLength: 28, maxLength: 400 }))
  .map(([version, packet]) => {
    packet[0] = version << 4;
    return packet;
  });

test('a packet comes out as it was put in', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0 as const, 1 as const),
      fc.boolean(),
      fc.uint8Array({ minLength: 6, maxLength: 6 }),
      packets,
      (side, partial, source, packet) => {
        const carried = { side, partial, source, packet };
        expect(readCarried(emitCarried(carried))).toEqual(carried);
      },
    ),
  );
});

test('the longest packet that a shard hands on fits into a message', () => {
  expect(CONTROL_HEADER_LENGTH + FOREIGN_PACKET_LIMIT).toBeLessThanOrEqual(CLUSTER_BODY_LIMIT);
});

test('whatever comes, it is read or it is nothing, and never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
      const carried = readCarried(body);
      if (carried === null) return;
      expect(emitCarried(carried)).toEqual(body);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ['another version', 0, 2],
  ['no side', 1, 2],
  ['flags that nobody knows', 2, 2],
  ['a byte that must be 0', 3, 1],
  ['no IP packet', CONTROL_HEADER_LENGTH, 0x55],
])('refused: %s', (_what, at, value) => {
  const packet = new Uint8Array(40);
  packet[0] = 0x45;
  const body = emitCarried({ side: 1, partial: false, source: new Uint8Array(6), packet });
  expect(readCarried(body)).not.toBeNull();
  body[at] = value;
  expect(readCarried(body)).toBeNull();
});
