import { expect, test } from 'vitest';
import { patientPing, repliesOf } from '../../src/demo/lab/patient-ping.js';

const answer = (sequence: number): string => `64 bytes from 10.6.0.1: icmp_seq=${sequence} ttl=64 time=1.66 ms\n`;

test('waits longer than the requests take', () => {
  expect(patientPing(5, 0.2)).toEqual(['-n', '-c', '5', '-i', '0.2', '-w', '11']);
});

test('a late answer counts, though more requests were sent meanwhile', () => {
  expect(repliesOf([1, 2, 3].map(answer).join(''), 3)).toBe(3);
  expect(repliesOf(`${[1, 2, 3].map(answer).join('')}\n4 packets transmitted, 3 received`, 3)).toBe(3);
});

test('a lost request is not made up for by a later one, and a doubled answer counts once', () => {
  expect(repliesOf([1, 3, 4].map(answer).join(''), 3)).toBe(2);
  expect(repliesOf([1, 1, 2].map(answer).join(''), 3)).toBe(2);
  expect(
    repliesOf('64 bytes from 2001:db8::1: icmp_seq=1 ttl=64 time=1 ms\nFrom 10.6.0.9 icmp_seq=2 Destination Host', 3),
  ).toBe(1);
});
