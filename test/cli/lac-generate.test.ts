import { describe, expect, test } from 'vitest';
import { register } from '../../src/cli/lac.js';
import { resultText } from '../../src/cli/lac-generate.js';
import type { GeneratorResults } from '../../src/roles/lac/generator/results.js';
import { runCli } from './run.js';

const times = { count: 3, median: 1.5, p95: 2, p99: 2, max: 2.25 };
const RESULTS: GeneratorResults = {
  tunnels: { asked: 2, up: 2, setupMs: times },
  sessions: {
    asked: 10,
    up: 9,
    failed: 1,
    lost: 2,
    held: 7,
    perSecond: 90,
    bestSecond: 9,
    l2tpMs: times,
    setupMs: null,
  },
  failures: [{ stage: 'l2tp', reason: 'CDN 2/4 no more', count: 1 }],
  traffic: [
    {
      name: 'ping:64@1',
      kind: 'ping',
      sent: 100,
      received: 99,
      lost: 1,
      lossPercent: 1,
      outOfOrder: 0,
      packetsPerSecond: 10,
      latencyMs: times,
      gapMs: times,
    },
  ],
  moves: { moved: 0, failed: 0, lostSessions: 0, notHeld: 0 },
  busyPercent: 12,
  ownDrops: { 'ring-full': 3 },
  seconds: 4.5,
};

describe('refused before anything is opened', () => {
  test.each([
    [[], '--lns'],
    [['--lns', 'lns.example'], '--lns'],
    [['--lns', '192.0.2.1,2001:db8::1'], 'IPv4 and IPv6'],
    [['--lns', '192.0.2.1', '--traffic', 'tcp'], '--traffic tcp'],
    [['--lns', '192.0.2.1', '--target', 'nobody'], '--target'],
    [['--lns', '192.0.2.1', '--sessions', '0'], 'whole number'],
    [['--lns', '192.0.2.1', '--methods', 'eap'], 'ms-chap-v2'],
    [['--lns', '192.0.2.1', '--password', '@/nowhere/at/all'], 'cannot be read'],
  ])('%j', async (words, said) => {
    const { status, stderr, error } = await runCli([register], ['lac', '--generate', ...words]);
    expect(status).toBe(64);
    expect(`${stderr}${error?.message}`).toContain(said);
  });

  test('without --generate a configuration is needed', async () => {
    const { status, error } = await runCli([register], ['lac', '--lns', '192.0.2.1']);
    expect(status).toBe(64);
    expect(error?.message).toContain('--config');
  });
});

test('the results for people', () => {
  expect(resultText(RESULTS, false)).toBe(`tunnels   2 of 2 up
sessions  9 up, 1 failed, 2 lost, 7 held to the end
rate      90 set-ups/s, best second 9
generator 12 % of a core, dropped by itself: ring-full 3

milliseconds      count  median  95%  99%   max
tunnel                3     1.5    2    2  2.25
session, L2TP         3     1.5    2    2  2.25
session, address      -       -    -    -     -

traffic    sent  received  lost %  out of order  packets/s  latency ms  99%  gap ms   max
ping:64@1   100        99       1             0         10         1.5    2     1.5  2.25

failed  at    reason
     1  l2tp  CDN 2/4 no more
`);
});
