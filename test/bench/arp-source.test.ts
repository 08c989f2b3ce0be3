/** The requests of the benchmark, and what it makes of a capture. */
import { expect, test } from 'vitest';
import { arpRequests, pairAnswers } from '../../bench/arp-source.js';
import { checkArp } from '../../src/wire/arp.js';

const TARGET = 0x0a0700fe;
const requests = arpRequests(3, TARGET);
const request = (source: number): Uint8Array =>
  requests.frames.slice(source * requests.frameLength, (source + 1) * requests.frameLength);

/** The reply to a request, from a gateway's virtual MAC. */
function reply(to: Uint8Array, gateway: number): Uint8Array {
  const frame = to.slice();
  const vmac = [2, 0x54, 0x44, 0, 7, gateway];
  frame.set(to.subarray(6, 12), 0);
  frame.set(vmac, 6);
  frame[21] = 2;
  frame.set(vmac, 22);
  frame.set(to.subarray(38, 42), 28);
  frame.set(to.subarray(22, 32), 32);
  return frame;
}

const at = (seconds: number, frame: Uint8Array) => ({ seconds, frame, originalLength: frame.length });

test('each host asks with a MAC and an address of its own', () => {
  expect(requests.frames.length).toBe(3 * 60);
  for (let source = 0; source < 3; source++) {
    const frame = request(source);
    expect([...frame.subarray(6, 12)]).toEqual([2, 0, 0, 1, 0, source]);
    expect([...frame.subarray(22, 28)]).toEqual([...frame.subarray(6, 12)]);
    expect([...frame.subarray(28, 32)]).toEqual([10, 7, 2, source]);
    expect([...frame.subarray(38, 42)]).toEqual([10, 7, 0, 254]);
    expect(checkArp(new DataView(frame.buffer, frame.byteOffset), 14, frame.length)).toBe(28);
  }
});

test('a reply belongs to the oldest request of its host; what is left over is counted', () => {
  const [a, b] = [request(0), request(1)];
  const found = pairAnswers([
    at(1, a),
    at(1.0001, b),
    at(1.0002, reply(b, 1)),
    at(1.001, a),
    at(1.002, reply(a, 2)),
    at(1.003, reply(a, 2)),
    at(1.004, reply(a, 2)),
    at(1.005, request(2)),
    at(1.006, new Uint8Array(20)),
  ]);
  expect(found).toMatchObject({ requests: 4, answered: 3, surplus: 1 });
  expect(found.micros.map(Math.round)).toEqual([100, 2000, 2000]);
  expect([...found.given]).toEqual([
    [0x025444000701, 1],
    [0x025444000702, 3],
  ]);
});
