import { expect, test } from 'vitest';
import { diffConfigs } from '../../src/config/diff.js';
import { parseConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { compiled, MINIMAL, withTop, withVip } from './sample.js';

const old = compiled(withTop({}));

function refusedKeys(top: Record<string, unknown>): string[] {
  return diffConfigs(old, compiled(withTop(top))).refused.map(({ path }) => path);
}

test('nothing has changed', () => {
  expect(diffConfigs(old, compiled(MINIMAL))).toEqual({ changes: [], refused: [] });
});

test.each([
  ['interfaces.outside', { interfaces: { outside: 'wan1', inside: 'lan0' } }],
  ['interfaces.inside', { interfaces: { outside: 'wan0', inside: 'lan0.5' } }],
  ['io', { io: 'packet' }],
  ['offload', { offload: false }],
  ['spread', { spread: 2 }],
  ['workers', { workers: 2 }],
  ['table.connections', { table: { connections: 100 } }],
  ['control.socket', { control: { socket: '/run/other.sock' } }],
  ['control.http', { control: { http: '127.0.0.1:1' } }],
  ['state.pin', { state: { pin: '/run/other' } }],
])('%s is fixed while the process runs', (key, top) => expect(refusedKeys(top)).toEqual([key]));

test('what is refused has its place in the new file and says from what to what', () => {
  const { config, placeOf } = parseConfig('new.yaml', `workers: 3\n${MINIMAL}`);
  if (config === null) throw new Error('the sample is valid');
  expect(diffConfigs(old, config, placeOf).refused.map(formatProblem)).toEqual([
    'new.yaml:1:10: workers: workers cannot change from auto to 3 while the designator runs: restart it',
  ]);
});

test('servers come, go and change', () => {
  const before = compiled(
    withVip({
      servers: [
        { name: 'a', address: '10.0.0.1' },
        { name: 'b', address: '10.0.0.2' },
      ],
    }),
  );
  const after = compiled(
    withVip({
      servers: [
        { name: 'b', address: '10.0.0.3', port: 1702, weight: 5 },
        { name: 'c', address: '10.0.0.4' },
      ],
    }),
  );
  expect(diffConfigs(before, after)).toEqual({
    refused: [],
    changes: [
      'server a removed',
      'server b: address 10.0.0.2 → 10.0.0.3',
      'server b: port 1701 → 1702',
      'server b: weight 1 → 5',
      'server c added: 10.0.0.4 port 1701 weight 1',
    ],
  });
});

test('VIPs come, go and change', () => {
  const after = compiled(
    withVip({
      algorithm: 'maglev',
      serverPort: 'hide',
      port: 1800,
      servers: [{ name: 'lns1', address: '10.10.1.1', port: 1701 }],
    }),
  );
  expect(diffConfigs(old, after).changes).toEqual([
    'VIP access: port 1701 → 1800',
    'VIP access: algorithm weighted-round-robin → maglev',
    'VIP access: serverPort expose → hide',
  ]);
  const renamed = compiled(withVip({ name: 'other' }));
  expect(diffConfigs(old, renamed).changes).toEqual([
    'VIP access removed',
    'VIP other added: 200.200.100.1 port 1701, servers lns1',
  ]);
});

test('rules, limits, timeouts and the log level', () => {
  const after = compiled(
    withTop({
      firewall: {
        default: 'deny',
        rules: [{ allow: { protocol: 'tcp' } }],
        tunnelRequestRate: { perSource: '5/s', halfOpen: 9 },
      },
      timeouts: { idle: '1h' },
      log: { level: 'debug' },
    }),
  );
  expect(diffConfigs(old, after)).toEqual({
    refused: [],
    changes: [
      'firewall default allow → deny',
      'firewall rules replaced: 0 before, 1 now',
      'tunnel requests: perSource unlimited → 5',
      'tunnel requests: burst unlimited → 5',
      'tunnel requests: halfOpen unlimited → 9',
      'timeout idle 10m → 1h',
      'log level info → debug',
    ],
  });
});
