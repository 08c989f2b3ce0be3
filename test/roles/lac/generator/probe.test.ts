import { describe, expect, test } from 'vitest';
import { ProbeWriter, readProbe } from '../../../../src/roles/lac/generator/probe.js';

const FROM = Uint8Array.of(10, 0, 0, 2);
const TO = Uint8Array.of(10, 0, 0, 1);
const seen = { stream: 0, call: 0, number: 0, time: 0 };

/** Sum of 16-bit words, folded: 0xffff where the checksum among them is right. */
function folded(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe.each([64, 65, 1400])('probes of %i bytes', (length) => {
  test('an echo request has right checksums, and its reply is known again', () => {
    const writer = new ProbeWriter('ping', length, 3);
    writer.write(TO, FROM, 1, 1, 0.5);
    const frame = writer.write(FROM, TO, 70_000, 9, 1234.5).slice();
    expect(frame.length).toBe(length + 4);
    expect([...frame.subarray(0, 4)]).toEqual([0xff, 3, 0, 0x21]);
    expect(folded(frame.subarray(4, 24))).toBe(0xffff);
    expect(folded(frame.subarray(24))).toBe(0xffff);
    expect(readProbe(frame, 4, seen)).toBe(false);
    frame[24] = 0;
    expect(readProbe(frame, 4, seen)).toBe(true);
    expect(seen).toEqual({ stream: 3, call: 70_000, number: 9, time: 1234.5 });
  });

  test('a UDP packet to a neighbour', () => {
    const frame = new ProbeWriter('pairs', length, 0).write(FROM, TO, 7, 8, 9);
    expect(folded(frame.subarray(4, 24))).toBe(0xffff);
    expect(readProbe(frame.subarray(4), 0, seen)).toBe(true);
    expect(seen).toEqual({ stream: 0, call: 7, number: 8, time: 9 });
  });
});

test('what is too short, no IPv4 or somebody else’s is none of ours', () => {
  const frame = new ProbeWriter('pairs', 64, 0).write(FROM, TO, 7, 8, 9).slice();
  for (let length = 0; length < 56; length++) expect(readProbe(frame.subarray(0, length), 4, seen)).toBe(false);
  frame[4] = 0x65;
  expect(readProbe(frame, 4, seen)).toBe(false);
  frame[4] = 0x45;
  frame[32] ^= 1;
  expect(readProbe(frame, 4, seen)).toBe(false);
});
