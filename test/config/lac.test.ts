/** The configuration of a LAC: what it means, and what is wrong with one, with its place. */
import { describe, expect, test } from 'vitest';
import { parseLacConfig } from '../../src/config/lac.js';

const GOOD = `name: lac1
pppoe: { interfaces: [eth1, eth2] }
lns:
  - { name: a, address: 192.0.2.1 }
  - { name: b, address: 192.0.2.2 }
table:
  - { lns: [a, b] }
`;

const problemsOf = (text: string): string[] =>
  parseLacConfig('f', text).problems.map(
    ({ severity, line, path, message }) => `${severity} ${line} ${path}: ${message}`,
  );

test('defaults', () => {
  const { config, problems } = parseLacConfig('f', GOOD);
  expect(problems).toEqual([]);
  expect(config).toMatchObject({
    name: 'lac1',
    listen: [{ host: '0.0.0.0', port: 1701 }],
    pppoe: { interfaces: ['eth1', 'eth2'], acName: 'lac1', anyService: true, sessions: 20_000, perClient: 8 },
    ppp: { mode: 'terminate', authentication: ['chap-md5', 'pap'], mru: null },
    choose: ['client', 'radius', 'number', 'table'],
    table: [{ realm: null, service: null, lns: [['a'], ['b']] }],
    tunnels: { setup: 10, dead: 30, idle: 60, hello: 60 },
    buffer: { session: 65_536, total: 67_108_864, time: 5 },
    radius: null,
    control: { socket: '/run/designator/lac.sock', http: null },
    workers: 0,
  });
  expect(config?.lns[0]).toEqual({
    name: 'a',
    address: '192.0.2.1',
    port: 1701,
    secret: null,
    hostName: 'lac1',
    serverName: null,
    weight: 1,
    sessions: 65_535,
    follow: true,
    hide: 'none',
    sequencing: false,
  });
});

describe('problems', () => {
  test.each([
    ['an LNS that is not there', GOOD.replace('[a, b]', '[a, [b, x]]'), /error 7 .*there is no LNS x; there are a, b/],
    ['two of a name', GOOD.replace('name: b', 'name: a').replace('[a, b]', 'a'), /error 5 .*there is another LNS a/],
    ['hiding without a secret', GOOD.replace('192.0.2.2', '192.0.2.2, hide: all'), /error 5 .*write secret/],
    ['two secrets', GOOD.replace('192.0.2.2', '192.0.2.2, secret: a, secretFile: /a'), /error 5 .*either secret or/],
    ['no socket of the family', GOOD.replace('192.0.2.2', "'2001:db8::1'"), /error 5 .*no IPv6 address/],
    ['nothing to take calls from', GOOD.replace(/pppoe.*\n/, ''), /error 1 .*write pppoe/],
    ['a row behind one that holds always', `${GOOD}  - { realm: x, lns: a }\n`, /warning 8 .*never reached/],
    ['a number row without numbers', `${GOOD}numbers: [ { lns: a } ]\n`, /error 8 .*write called, calling or both/],
    [
      'requests of RADIUS servers, which only an LNS takes',
      `${GOOD}radius:\n  servers: [{ address: 192.0.2.9, secret: s }]\n  dynamic: { listen: '192.0.2.1:3799', clients: [{ from: 192.0.2.9, secret: s }] }\n`,
      /error \d+ radius\.dynamic: a LAC takes no requests/,
    ],
    ['rows that nobody looks at', `${GOOD}choose: [number]\n`, /warning 7 .*does not name table/],
    ['realms with relay', `${GOOD.replace('{ lns', '{ realm: x, lns')}ppp: { mode: relay }\n`, /error 7 .*relay/],
    [
      'statements with relay',
      `${GOOD}ppp: { mode: relay }\nstatement: { allow: [a] }\n`,
      /error 9 .*write in: service/,
    ],
    ['an unknown key', `${GOOD}tabel: []\n`, /error 8 tabel: unknown key/],
    ['a wrong duration', `${GOOD}buffer: { time: 5 }\n`, /error 8 buffer.time: .*duration/],
  ])('%s', (_what, text, expected) => {
    const problems = problemsOf(text);
    expect(problems.join('\n')).toMatch(expected);
    expect(problems).toHaveLength(1);
  });

  test('all at once, in the order of the file', () => {
    const lines = problemsOf(GOOD.replace('name: lac1', 'name: 7').replace('192.0.2.1', '300.0.0.1'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/error 1 name/);
    expect(lines[1]).toMatch(/error 4 lns.0.address/);
  });

  test('groups that nobody could know, and tunnels of groups that there are not', () => {
    expect(problemsOf(`${GOOD}groupBy: realm\nppp: { mode: relay }\n`)).toEqual([
      'error 8 groupBy: with ppp.mode relay neither user nor realm is known: write calling-number',
    ]);
    expect(problemsOf(`${GOOD}tunnels: { perGroup: true }\n`)).toEqual([
      'error 8 tunnels.perGroup: there are no groups: write groupBy',
    ]);
    expect(problemsOf(`${GOOD}groupBy: calling-number\nppp: { mode: relay }\ntunnels: { perGroup: true }\n`)).toEqual(
      [],
    );
  });
});
