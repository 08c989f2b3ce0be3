/** The configuration of a gateway: what it says, its defaults, what is wrong with it, and what a reload may change. */
import { expect, test } from 'vitest';
import type { ConfigProblem } from '../../src/config/compiled.js';
import { changedKeys, diffGateway } from '../../src/config/gateway-diff.js';
import { type GatewayConfig, type GatewayGroupConfig, parseGatewayConfig } from '../../src/config/gateway.js';
import { formatWords } from '../../src/wire/address.js';

const KEY = '    key: { text: sixteen letters! }\n';
const FIRST = `groups:
  - name: lan
    group: 7
    interface: eth0
    number: 1
    addresses: [10.7.0.254, "fe80::7:fe"]
${KEY}`;
const SECOND = FIRST.replace('groups:\n', '').replace('lan', 'guests').replace('group: 7', 'group: 8');

function fine(text: string): GatewayConfig {
  const { config, problems } = parseGatewayConfig('/etc/designator/gateway.yaml', text);
  expect(problems).toEqual([]);
  return config as GatewayConfig;
}
const group = (text: string): GatewayGroupConfig => fine(FIRST + text).groups[0];
const problems = (text: string): string[] =>
  parseGatewayConfig('f', text).problems.map(({ path, message }: ConfigProblem) => `${path}: ${message}`);
const with_ = (text: string): string[] => problems(FIRST + text);

test('the shortest file has the defaults that the design names', () => {
  const { groups, control, logLevel } = fine(FIRST);
  expect({ control, logLevel }).toEqual({
    control: { socket: '/run/designator/gateway.sock', http: null },
    logLevel: 'info',
  });
  const [lan] = groups;
  expect(lan.addresses.map((words) => formatWords(words))).toEqual(['10.7.0.254', 'fe80::7:fe']);
  expect(lan).toMatchObject({
    name: 'lan',
    group: 7,
    device: 'eth0',
    number: 1,
    key: { text: 'sixteen letters!' },
    priority: 100,
    preemptDelaySeconds: 5,
    advertSeconds: 0.1,
    losses: 3,
    algorithm: 'weighted',
    weight: 100,
    capacity: null,
    sticky: true,
    replies: 'master',
    takeover: 'master',
    permanentSeconds: 30,
    redirectSeconds: 600,
    timeoutSeconds: 14_400,
    return: 'gradual',
    rebalance: null,
    hosts: { limit: 4096, idleSeconds: 14_400 },
    limits: { perSource: 50, burst: 100 },
    mac: 'local',
    accept: true,
    advertise: null,
    track: [],
    glbp: null,
  });
});

test('every key says what it says', () => {
  expect(
    group(`    priority: 200
    preempt: { delay: 20s }
    adverts: { interval: 20ms, losses: 4 }
    capacity: 1Gbit/s
    permanentAfter: never
    rebalance: { every: 5s, hosts: 3, difference: 10% }
    advertise: { prefixes: [{ prefix: "2001:db8:7::/64" }], dns: ["2001:db8::53"], mtu: 1400 }
    track:
      - { interface: eth1.100, forward: false }
      - { route: 0.0.0.0/0, priority: 50 }
      - { name: upstream, script: [/usr/bin/check, -q], interval: 5s, timeout: 3s, rise: 2, fall: 3, weight: 20 }
      - { load: 80%, weight: 50 }
`),
  ).toMatchObject({
    priority: 200,
    preemptDelaySeconds: 20,
    advertSeconds: 0.02,
    losses: 4,
    capacity: 1e9,
    permanentSeconds: null,
    rebalance: { by: 'load', everySeconds: 5, hosts: 3, difference: 0.1 },
    advertise: {
      intervalSeconds: 60,
      lifetimeSeconds: 1800,
      mtu: 1400,
      prefixes: [{ prefix: { text: '2001:db8:7::/64' }, validSeconds: 2_592_000, preferredSeconds: 604_800 }],
    },
    track: [
      { name: 'interface eth1.100', target: { kind: 'interface', device: 'eth1.100' }, blocks: true, priorityLoss: 0 },
      { name: 'route 0.0.0.0/0', target: { kind: 'route', prefix: { length: 96 } }, blocks: false, priorityLoss: 50 },
      {
        name: 'upstream',
        target: { kind: 'script', command: ['/usr/bin/check', '-q'], timeoutSeconds: 3 },
        everySeconds: 5,
        rise: 2,
        fall: 3,
        weightLoss: 20,
      },
      { name: 'load', target: { kind: 'load', share: 0.8 } },
    ],
  });
  expect(group('    preempt: false\n').preemptDelaySeconds).toBeNull();
  expect(group('    preempt: {}\n').preemptDelaySeconds).toBe(5);
});

test('a key in a file may stand beside the configuration', () => {
  const text = FIRST.replace(KEY, '    key: { file: lan.key }\n');
  expect(fine(text).groups[0].key).toEqual({ file: '/etc/designator/lan.key' });
  expect(fine(text.replace('lan.key', '/k/lan.key')).groups[0].key).toEqual({ file: '/k/lan.key' });
});

test.each([
  ['', 'groups.0.key: is missing'],
  ['    key: { text: short }\n', 'groups.0.key.text: it needs at least 16 characters'],
  [
    '    compatibility: glbp\n    glbp: { authentication: none }\n',
    'groups.0.addresses.1: GLBP has one shared address a group',
  ],
  ['    key: {}\n', 'groups.0.key: write either file or text'],
  ['    key: { file: a, text: sixteen letters! }\n', 'groups.0.key: write either file or text'],
])('the key is one of two: %s', (text, expected) => {
  expect(problems(FIRST.replace(KEY, text))).toEqual([expected]);
});

test.each([
  ['    mac: cisco\n', 'group: 7', 'group: 1024', 'groups.0.group: with `mac: cisco` it is at most 1023'],
  ['', '10.7.0.254,', '10.7.0.254, 10.7.0.254,', 'on eth0 10.7.0.254 is already an address of group "lan"'],
  ['', '"fe80::7:fe"', '127.0.0.1', 'groups.0.addresses.1: 127.0.0.1 is a loopback address'],
  ['', 'eth0', 'a-very-long-interface', 'groups.0.interface: an interface name has at most 15 bytes'],
  ['', 'number: 1', 'number: 256', 'groups.0.number: it must be at most 255, not 256'],
  ['    redirect: 5h\n', '', '', 'groups.0.timeout: it must be longer than redirect'],
  ['    adverts: { interval: 10ms }\n', '', '', 'groups.0.adverts.interval: it must be from 20ms to 10s'],
  ['    track: [{}]\n', '', '', 'groups.0.track.0: write one of interface, route, script, load'],
  ['    track: [{ interface: a, route: 0.0.0.0/0, priority: 1 }]\n', '', '', 'groups.0.track.0: write one of'],
  ['    track: [{ interface: a }]\n', '', '', 'groups.0.track.0: write what a failure costs'],
  ['    track: [{ script: [check], priority: 1 }]\n', '', '', 'groups.0.track.0.script.0: "check" is no absolute path'],
  ['    track: [{ load: 80, priority: 1 }]\n', '', '', 'groups.0.track.0.load: it must be text, not 80'],
  ['    track: [{ load: 101%, priority: 1 }]\n', '', '', 'groups.0.track.0.load: it must be a share: write 80%'],
  ['    advertise: {}\n', ', "fe80::7:fe"', '', 'groups.0.advertise: router advertisements come from a link-local'],
  ['    advertise: { lifetime: 30s }\n', '', '', 'groups.0.advertise.lifetime: it is shorter than interval'],
  ['    algorithm: host\n    rebalance: {}\n', '', '', 'groups.0.rebalance: with `algorithm: host`'],
  ['    prioritee: 1\n', '', '', 'groups.0.prioritee: unknown key (did you mean priority?)'],
])('what is wrong is said with its place: %s', (more, from, to, expected) => {
  const found = problems(FIRST.replace(from, to) + more);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(expected);
});

test('two groups differ in name, and on one interface in number and addresses', () => {
  const other = SECOND.replace('10.7.0.254', '10.8.0.254').replace('7:fe', '8:fe');
  expect(problems(FIRST + other)).toEqual([]);
  expect(problems(FIRST + other.replace('guests', 'lan'))).toEqual([
    'groups.1.name: the name lan is already that of group "lan"',
  ]);
  expect(problems(FIRST + other.replace('group: 8', 'group: 7'))).toEqual([
    'groups.1.group: on eth0 this number is already that of group "lan"',
  ]);
  expect(problems(FIRST + SECOND)).toHaveLength(2);
  expect(problems(FIRST + SECOND.replace('eth0', 'eth1'))).toEqual([]);
});

test('a list of problems, not the first', () => {
  expect(with_('    algorithm: best\n    weight: 1001\n')).toHaveLength(2);
  expect(problems('groups: []\n')).toEqual(['groups: it needs at least 1 item']);
});

test('a reload adds, removes and changes groups, and names what changes', () => {
  const old = fine(FIRST + SECOND.replace('eth0', 'eth1'));
  const next = fine(
    `${FIRST}    weight: 50\n    algorithm: host\n${SECOND.replace('guests', 'staff').replace('eth0', 'eth2')}`,
  );
  const diff = diffGateway(old, next);
  expect(diff).toMatchObject({ refused: [], removed: ['guests'] });
  expect(diff.added.map(({ name }) => name)).toEqual(['staff']);
  expect(diff.changed.map(({ name }) => name)).toEqual(['lan']);
  expect(diff.changes).toEqual(['group staff added', 'group guests removed', 'group lan: algorithm, weight']);
  expect(changedKeys(old.groups[0], old.groups[0])).toEqual([]);
  expect(diffGateway(old, old)).toMatchObject({ changes: [], added: [], removed: [], changed: [] });
  const moved = fine(`${FIRST}control: { socket: /run/x.sock }\n`);
  expect(diffGateway(old, moved).refused).toMatchObject([{ path: 'control', severity: 'error' }]);
});
