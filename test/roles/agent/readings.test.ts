/** What real programs printed (l2tpns 2.4.1, xl2tpd 1.3.18, Linux 6), and accel-ppp by its source. */
import { describe, expect, test } from 'vitest';
import {
  readAccelPppStat,
  readCpuTicks,
  readInterface,
  readL2tpnsTunnels,
  readMemoryShare,
  Xl2tpdLog,
} from '../../../src/roles/agent/readings.js';
import { readFields } from '../../../src/roles/agent/sources.js';

describe('l2tpns', () => {
  test('tunnels that are open, and their sessions', () => {
    const text = [
      'vm> show tunnels',
      ' TID             Hostname                   IP  State Sessions',
      '   2                  lac         192.128.10.5   Open      3 Tunnel To LAC',
      '   3                              192.128.10.6   Open      1 Tunnel To LAC',
      '   4             opening         192.128.10.7 Opening       0',
      '',
      'vm> ',
    ].join('\r\n');
    expect(readL2tpnsTunnels(text)).toEqual({ tunnels: 3, sessions: 4 });
    expect(readL2tpnsTunnels(text.split('\r\n').slice(0, 2).join('\r\n'))).toEqual({ tunnels: 0, sessions: 0 });
    expect(readL2tpnsTunnels('Username: ')).toBeNull();
  });
});

describe('accel-ppp', () => {
  const stat = (l2tp: string[]): string =>
    [
      'uptime: 0.00:01:02',
      'cpu: 0%',
      'core:',
      '  thread_count: 2',
      'sessions:',
      '  starting: 0',
      '  active: 7',
      ...l2tp,
    ].join('\r\n');
  test('one count of l2tp, or tunnels and sessions apart', () => {
    expect(readAccelPppStat(stat(['l2tp:', '  starting: 1', '  active: 4']))).toEqual({ tunnels: 4, sessions: 7 });
    const apart = [
      'l2tp:',
      '  tunnels:',
      '    starting: 0',
      '    active: 3',
      '  sessions (control channels):',
      '    active: 9',
    ];
    expect(readAccelPppStat(stat(apart))).toEqual({ tunnels: 3, sessions: 7 });
    expect(readAccelPppStat(stat([]))).toEqual({ tunnels: null, sessions: 7 });
    expect(readAccelPppStat('command unknown')).toBeNull();
  });
});

test('xl2tpd: established and not closed, since it started', () => {
  const log = new Xl2tpdLog();
  const say = (text: string): void => log.line(`xl2tpd[77]: ${text}`);
  say('xl2tpd version xl2tpd-1.3.18 started on vm PID:77');
  say("Connection established to 192.128.10.5, 1701.  Local: 4, Remote: 9 (ref=0/0).  LNS session is 'default'");
  say('Call established with 192.128.10.5, PID: 80, Local: 31, Remote: 32, Serial: 1');
  say('Call established with 192.128.10.5, Local: 33, Remote: 34, Serial: 2 (ref=0/0)');
  say('Connection established to 192.128.10.6, 1701.  Local: 5, Remote: 9 (ref=0/0).');
  expect(log.counts).toEqual({ tunnels: 2, sessions: 2 });
  say('control_finish: Connection closed to 192.128.10.5, serial 1 (User request)');
  say('control_finish: Connection closed to 192.128.10.6, port 1701 (Goodbye!), Local: 5, Remote: 9');
  say('control_finish: Connection closed to 192.128.10.6, port 1701 (Goodbye!), Local: 5, Remote: 9');
  expect(log.counts).toEqual({ tunnels: 1, sessions: 1 });
  say('xl2tpd version xl2tpd-1.3.18 started on vm PID:99');
  expect(log.counts).toEqual({ tunnels: 0, sessions: 0 });
});

test('the kernel’s own figures', () => {
  expect(readCpuTicks('cpu  10 1 5 80 4 1 1 2 0 0\ncpu0 1 1 1 1\n')).toEqual([20, 104]);
  expect(readMemoryShare('MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     250 kB\n')).toBe(0.75);
  const dev =
    'Inter-| x\n face |bytes\n  eth0: 100 2 0 0 0 0 0 0 300 4 0 0 0 0 0 0\neth0.5:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n';
  expect(readInterface(dev, 'eth0')).toEqual({ bytesIn: 100, packetsIn: 2, bytesOut: 300, packetsOut: 4 });
  expect(readInterface(dev, 'eth0.5')?.bytesOut).toBe(8);
  expect([readInterface(dev, 'eth'), readCpuTicks(''), readMemoryShare('')]).toEqual([null, null, null]);
});

describe('a command', () => {
  test('fields as JSON', () => {
    expect(readFields('{"tunnels": 3, "accepting": false, "cpu": null}')).toEqual({ tunnels: 3, accepting: false });
  });
  test.each([
    ['[]', 'it prints no JSON object'],
    ['{"tunels": 3}', '"tunels" is no field'],
    ['{"tunnels": "3"}', 'tunnels is no number of at least 0'],
    ['{"cpu": -1}', 'cpu is no number of at least 0'],
    ['ok', 'JSON'],
  ])('%s', (text, message) => expect(() => readFields(text)).toThrow(message));
});
