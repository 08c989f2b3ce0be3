import { describe, expect, test } from 'vitest';
import { parseLnsConfig } from '../../src/config/lns.js';
import { diffLns } from '../../src/config/lns-diff.js';
import { parseUsers } from '../../src/config/users.js';

const SHORT = `name: lns1
listen: 10.10.1.1
users: { file: /etc/designator/users.yaml }
pools: [{ name: home, ipv4: 10.64.0.0/16 }]
`;
const problemsOf = (text: string) =>
  parseLnsConfig('lns.yaml', text).problems.map(({ line, path, message }) => `${line} ${path}: ${message}`);

describe('an LNS', () => {
  test('the shortest file, with every default filled in', () => {
    const { config, problems } = parseLnsConfig('lns.yaml', SHORT);
    expect(problems).toEqual([]);
    expect(config).toMatchObject({
      name: 'lns1',
      listen: [{ host: '10.10.1.1', port: 1701 }],
      workers: null,
      tunnels: {
        ids: [1, 65_535],
        timers: { hello: 60, firstWait: 1, longestWait: 8, tries: 8, window: 16 },
        secret: null,
        floatingPort: false,
        refuseOthers: false,
      },
      ppp: { authentication: ['ms-chap-v2', 'chap-md5', 'pap'], mru: 1460, proxy: 'authentication' },
      ipv4: { local: null, pool: null, dns: [] },
      authenticate: ['users'],
      tun: { device: 'lns0', mtu: 1500, routes: true },
      sessions: { limit: 32_768, idleSeconds: 0, timeoutSeconds: 0, perUser: 0, dropSpoofed: true },
      loadStatus: null,
      control: { socket: '/run/designator/lns.sock', http: null },
    });
  });

  test('what peers have of their own falls back on what is common', () => {
    const { config } = parseLnsConfig(
      'lns.yaml',
      `${SHORT}tunnels:
  secret: common
  ids: 1-32767
  peers:
    - { from: 192.0.2.0/24, hostName: [lac*, bras?], secret: own, hide: true }
    - { from: [198.51.100.1, 2001:db8::/32], proxy: none }
    - { hostName: evil, allow: false }
`,
    );
    expect(config?.tunnels.ids).toEqual([1, 32_767]);
    expect(config?.tunnels.peers).toMatchObject([
      { hostName: ['lac*', 'bras?'], secret: { text: 'own' }, hide: true, proxy: 'authentication', allow: true },
      { secret: { text: 'common' }, proxy: 'none' },
      { from: [], allow: false },
    ]);
  });

  test('an address that answers for another, with the port of the one that it answers for unless it has its own', () => {
    const text = `${SHORT.replace('10.10.1.1', '[10.10.1.1, "10.10.1.1:1702", "2001:db8::1"]')}answerFrom:
  - { listen: 10.10.1.1, address: 192.0.2.1 }
  - { listen: 10.10.1.1:1702, address: 192.0.2.1, except: [10.10.1.0/24, 10.10.2.9] }
`;
    const { config, problems } = parseLnsConfig('lns.yaml', text);
    expect(problems).toEqual([]);
    expect(config?.answerFrom).toMatchObject([
      { host: '192.0.2.1', port: 1701, except: [] },
      { host: '192.0.2.1', port: 1702, except: [{ text: '10.10.1.0/24' }, { text: '10.10.2.9/32' }] },
      null,
    ]);
  });

  test('an address that cannot answer for another is refused with its reason', () => {
    const text = `${SHORT}answerFrom:
  - { listen: 10.10.1.2, address: 192.0.2.1 }
  - { listen: 10.10.1.1, address: 2001:db8::1 }
  - { listen: 10.10.1.1, address: 192.0.2.2 }
  - { listen: 10.10.1.1:1703, address: 0.0.0.0 }
`;
    expect(problemsOf(text)).toEqual([
      '6 answerFrom.0.listen: 10.10.1.2 is not in `listen`',
      '7 answerFrom.1.address: 2001:db8::1 is of another family than 10.10.1.1',
      '8 answerFrom.2.listen: 10.10.1.1 is written twice',
      '9 answerFrom.3.listen: 10.10.1.1:1703 is not in `listen`',
      '9 answerFrom.3.address: write one address of the host',
    ]);
    expect(problemsOf(`${SHORT}answerFrom: [{ listen: 10.10.1.1, address: 10.10.1.1 }]\n`)).toEqual([
      '5 answerFrom.0.address: it is the address of `listen`, which answers without this',
    ]);
  });

  test('everything that is wrong is said at once, with its place', () => {
    const text = `name: lns1
listen: [10.10.1.1, '10.10.1.1:1701']
users: { file: /etc/users }
authenticate: [users, radius]
ppp: { authentication: [none, pap] }
tunnels:
  secret: a
  secretFile: /b
  firstWait: 5s
  longestWait: 1s
  peers: [{ hide: true }]
ipv4: { pool: hme }
ipv6: { pool: home }
pools:
  - { name: home, ipv4: [10.64.0.0/24, 10.64.0.200-10.64.1.10] }
  - { name: home, ipv4: 10.1.0.0/16, ipv6: '2001:db8::/40' }
  - { name: six, ipv6: '2001:db8::/40', length: 36 }
  - { name: vast, ipv4: 11.0.0.0/8 }
loadStatus: { designators: 10.0.0.1:7000 }
`;
    expect(problemsOf(text)).toEqual([
      '2 listen.1: 10.10.1.1:1701 is written twice',
      '4 authenticate: there is no section radius',
      '5 ppp.authentication: none stands alone, or subscribers could choose it',
      '7 tunnels.secret: write either secret or secretFile',
      '10 tunnels.longestWait: it is shorter than firstWait',
      '11 tunnels.peers.0: write `from` or `hostName`: this item fits everybody',
      '12 ipv4.pool: there is no IPv4 pool hme (did you mean home?)',
      '13 ipv6.pool: there is no IPv6 pool home',
      '15 pools.0.ipv4.1: it has addresses of 10.64.0.0/24, which is in a pool already',
      '16 pools.1: write either ipv4 or ipv6',
      '16 pools.1.name: another pool is called home',
      '17 pools.2.ipv6: a prefix of length 36 does not fit into 2001:db8::/40',
      '18 pools.3: a pool has at most 1048576 addresses, not 16777216',
      '19 loadStatus: write secret or secretFile',
    ]);
  });

  test.each([
    [
      'listen: 10.10.1.1',
      'listen: 10.10.1',
      '2 listen: "10.10.1" is no address with a port: write 127.0.0.1:8701 or [::1]:8701',
    ],
    ['users:', 'usres:', '3 usres: unknown key (did you mean users?)'],
    ['10.64.0.0/16', '10.64.0.9-10.64.0.1', '4 pools.0.ipv4: 10.64.0.9-10.64.0.1 ends before it begins'],
    ['10.64.0.0/16', '10.64.0.1/16', '4 pools.0.ipv4: 10.64.0.1/16 has bits set beyond its length'],
    ['users: { file: /etc/designator/users.yaml }', '', '1 ppp.authentication: nobody could be let in'],
  ])('%s replaced by %s', (from, to, message) => {
    expect(problemsOf(SHORT.replace(from, to)).some((problem) => problem.startsWith(message))).toBe(true);
  });
});

describe('a reload', () => {
  const configOf = (text: string) => {
    const { config } = parseLnsConfig('lns.yaml', text);
    if (config === null) throw new Error('the sample is wrong');
    return config;
  };

  test('names the sections that differ', () => {
    const next = configOf(`${SHORT.replace('10.64.0.0/16', '10.65.0.0/16')}log: { level: debug }\n`);
    expect(diffLns(configOf(SHORT), next)).toEqual({ changes: ['pools', 'logLevel'], refused: [] });
    expect(diffLns(configOf(SHORT), configOf(SHORT))).toEqual({ changes: [], refused: [] });
  });

  test('is refused where it changes what is fixed', () => {
    const next = configOf(`${SHORT.replace('listen: 10.10.1.1', 'listen: 10.10.1.9')}tunnels: { ids: 1-99 }\n`);
    expect(diffLns(configOf(SHORT), next).refused.map(({ message }) => message)).toEqual([
      'listen cannot change while the LNS runs: restart it',
      'tunnels.ids cannot change while the LNS runs: restart it',
    ]);
  });
});

describe('users', () => {
  test('by name, with what is particular to them', () => {
    const { users, problems } = parseUsers(
      'users.yaml',
      `users:
  - { name: alice, password: s3cret, address: 10.64.0.7, routes: [192.168.7.0/24], idle: 10m }
  - { name: bob@isp, password: '', pool: guests, sessions: 2, disabled: true }
`,
    );
    expect(problems).toEqual([]);
    expect(users?.get('alice')).toMatchObject({
      address: [0, 0, 0xffff, 0x0a400007],
      idleSeconds: 600,
      sessions: null,
    });
    expect(users?.get('alice')?.routes[0]).toMatchObject({ text: '192.168.7.0/24' });
    expect(users?.get('bob@isp')).toMatchObject({ pool: 'guests', sessions: 2, disabled: true, idleSeconds: null });
  });

  test('twice the same name or address is refused, and a file with an error has no users', () => {
    const { users, problems } = parseUsers(
      'users.yaml',
      `users:
  - { name: alice, password: a, address: 10.64.0.7 }
  - { name: alice, password: b, address: 10.64.0.7 }
  - { name: carol, password: c, address: '2001:db8::1' }
  - { name: dave }
`,
    );
    expect(users).toBeNull();
    expect(problems.map(({ line, path }) => `${line} ${path}`)).toEqual(['5 users.3.password']);
    const shape = parseUsers(
      'u',
      'users:\n  - { name: a, password: a, address: 10.0.0.1 }\n  - { name: a, password: b, address: 10.0.0.1 }\n  - { name: c, password: c, address: "2001:db8::1" }\n',
    );
    expect(shape.users).toBeNull();
    expect(shape.problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'users.1.name: a is there twice',
      'users.1.address: a has this address already',
      'users.2.address: 2001:db8::1 is no IPv4 address of a host',
    ]);
  });
});
