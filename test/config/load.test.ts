import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadConfig, parseConfig, readConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { DesignatorError } from '../../src/errors.js';
import { compiled, linesOf, MINIMAL, problemsOf, withTop, withVip } from './sample.js';

describe('a valid file', () => {
  test('absent keys mean their defaults', () => {
    expect(compiled(MINIMAL)).toEqual({
      file: 'd.yaml',
      gateway: null,
      cluster: null,
      announce: null,
      outside: { name: 'wan0', device: 'wan0', vlan: 0 },
      inside: { name: 'lan0', device: 'lan0', vlan: 0 },
      io: 'auto',
      offload: true,
      spread: 0,
      workers: 'auto',
      part: 'all',
      vips: [
        {
          name: 'access',
          address: '200.200.100.1',
          words: [0, 0, 0xffff, 0xc8c86401],
          family: 4,
          port: 1701,
          protocols: ['l2tp'],
          algorithm: 'weighted-round-robin',
          leakyBucket: { rate: 50, burst: 50 },
          reply: 'vip',
          oneWay: false,
          natAddress: null,
          localAddress: null,
          serverPort: 'expose',
          clampMss: null,
          tunnelSecret: null,
          hiddenIds: 'affinity',
          clientPort: 'shared',
          servers: [
            {
              name: 'lns1',
              address: '10.10.1.1',
              words: [0, 0, 0xffff, 0x0a0a0101],
              family: 4,
              port: 1701,
              globalAddress: null,
              weight: 1,
              loadStatus: { secret: null, capacityBits: null, tunnelLimit: null, sessionLimit: null },
              peer: null,
            },
          ],
        },
      ],
      firewall: {
        default: 'allow',
        rules: [],
        requestsPerSecond: null,
        burst: null,
        halfOpen: null,
        policy: {
          totalPerSecond: null,
          totalBurst: 1,
          prefixIpv4: 32,
          prefixIpv6: 64,
          unknownSources: 'repeat',
          duplicatesMs: 100,
        },
      },
      timeouts: { halfOpen: 60, idle: 600, closing: 35 },
      health: {
        passive: true,
        suspectAfter: 0.8,
        downAfter: 2.5,
        downAfterAlone: 20,
        slowStart: 30,
        lendFirst: 2,
        lendMost: 60,
        onDown: { close: true, result: 2, error: 7, pace: 1000 },
        active: null,
      },
      loadStatus: {
        listen: null,
        secret: null,
        staleAfter: 5,
        clockSkew: 30,
        fallback: 'least-tunnels',
        tunnelLoad: 0.001,
        formula: { traffic: 1, cpu: 0, memory: 0, tunnels: 0, sessions: 0, combine: 'mean' },
      },
      takeOver: { listen: null, secret: null, clockSkew: 30, quiet: 1, wait: 10 },
      table: { connections: 65_536 },
      control: { socket: '/run/designator/control.sock', http: null },
      state: { pin: '/run/designator/bpf' },
      log: { level: 'info' },
    });
  });

  test('an absent section and an empty one are the same', () => {
    const empty = withTop({ firewall: {}, health: {}, control: {}, state: {}, timeouts: {}, table: {}, log: {} });
    expect(compiled(empty)).toEqual(compiled(MINIMAL));
  });

  test('rules keep their order, values become lists, limits become numbers', () => {
    const { firewall } = compiled(
      withTop({
        firewall: {
          default: 'deny',
          rules: [
            { deny: { from: '198.51.100.0/24' }, name: 'scanners' },
            { allow: { vip: 'access', protocol: ['l2tp', 'icmp', 50], to: ['200.200.100.1', '10.0.0.0/8'] } },
            { allow: {} },
          ],
          tunnelRequestRate: { perSource: '2.5/s', halfOpen: 1000 },
        },
      }),
    );
    expect(firewall).toMatchObject({ default: 'deny', requestsPerSecond: 2.5, burst: 3, halfOpen: 1000 });
    expect(firewall.rules[0]).toEqual({
      name: 'scanners',
      action: 'deny',
      from: [{ words: [0, 0, 0xffff, 0xc6336400], length: 120, text: '198.51.100.0/24', family: 4 }],
      to: [],
      vips: [],
      protocols: [],
      path: 'firewall.rules[0]',
    });
    expect(firewall.rules[1]).toMatchObject({
      name: null,
      action: 'allow',
      vips: ['access'],
      to: [{ text: '200.200.100.1/32' }, { text: '10.0.0.0/8' }],
      protocols: [
        { tunnel: 'l2tp', number: null },
        { tunnel: null, number: 1 },
        { tunnel: null, number: 50 },
      ],
    });
    expect(firewall.rules[2]).toMatchObject({ action: 'allow', from: [], to: [], vips: [], protocols: [] });
  });

  test('addresses are canonical, ports may differ, a protocol may stand alone', () => {
    const [vip] = compiled(
      withVip({
        address: '2001:DB8:0:0::1',
        port: 1800,
        protocols: 'l2tp',
        servers: [
          { name: 'a', address: '2001:db8::0:2', port: 1900, weight: 0 },
          { name: 'b', address: '2001:db8::3' },
        ],
      }),
    ).vips;
    expect(vip).toMatchObject({ address: '2001:db8::1', family: 6, port: 1800, protocols: ['l2tp'] });
    expect(vip.servers).toMatchObject([
      { address: '2001:db8::2', family: 6, port: 1900, weight: 0 },
      { address: '2001:db8::3', port: 1701, weight: 1 },
    ]);
  });

  test('anchors and comments are YAML as usual', () => {
    const text = `${MINIMAL}
  - name: second # the same servers' settings, other names
    address: 200.200.100.2
    servers: [{ name: lns2, address: &where 10.10.1.2, weight: 3 }, { name: lns3, address: *where, port: 1702 }]
`;
    expect(compiled(text).vips[1].servers.map(({ address, port }) => `${address}:${port}`)).toEqual([
      '10.10.1.2:1701',
      '10.10.1.2:1702',
    ]);
  });

  test.each(readdirSync('docs/examples').filter((name) => name.endsWith('.yaml')))('docs/examples/%s', (name) => {
    expect(linesOf(readFileSync(join('docs/examples', name), 'utf8'))).toEqual([]);
  });
});

describe('places', () => {
  test('every error at once, in the order of the file, with line and column', () => {
    const text = `interfaces: { outside: wan0.5000, inside: lan0 }
workers: 0
vips:
  - name: access
    address: 200.200.100.1
    protocols: [l2tp, pptpp]
    servers:
      - name: lns1
        address: 10.10.1.300
        weigth: 3
      - { name: lns1, address: 10.10.1.2 }
firewall:
  rules:
    - { deny: { vip: acess } }
timeouts:
  idle: 5
`;
    expect(linesOf(text)).toEqual([
      'd.yaml:1:24: interfaces.outside: a VLAN id is 1 to 4094, not 5000',
      'd.yaml:2:10: workers: it must be at least 1, not 0',
      'd.yaml:6:23: vips.0.protocols.1: it must be l2tp, l2f, pptp or ipsec, not "pptpp" (did you mean pptp?)',
      'd.yaml:9:18: vips.0.servers.0.address: "10.10.1.300" is no IPv4 or IPv6 address',
      'd.yaml:10:9: vips.0.servers.0.weigth: unknown key (did you mean weight?): the keys here are name, address, globalAddress, port, weight, loadStatus, peer',
      'd.yaml:11:17: vips.0.servers.1.name: the name lns1 is already that of the server at vips.0.servers.0',
      'd.yaml:14:22: firewall.rules.0.deny.vip: no VIP is called acess (did you mean access?)',
      'd.yaml:16:9: timeouts.idle: it must be a duration with its unit: write 250ms, 5s, 2m or 1h',
    ]);
  });

  test('what is missing is placed at what lacks it', () => {
    expect(linesOf('vips:\n  - name: a\n    servers: []\ninterfaces:\n  outside: wan0\n')).toEqual([
      'd.yaml:2:5: vips.0.address: is missing',
      'd.yaml:3:14: vips.0.servers: it needs at least 1 item',
      'd.yaml:5:3: interfaces.inside: is missing',
    ]);
  });

  test('a value that is an alias is placed at the alias, what is inside one at its anchor', () => {
    const text = `${MINIMAL}
  - name: second
    address: 200.200.100.2
    servers:
      - &spare { name: lns2, address: &where 10.1, port: 0 }
      - { name: lns3, address: *where }
  - { name: third, address: 200.200.100.3, servers: [*spare] }
`;
    expect(linesOf(text)).toEqual([
      'd.yaml:11:24: vips.2.servers.0.name: the name lns2 is already that of the server at vips.1.servers.0',
      'd.yaml:11:46: vips.1.servers.0.address: it must be text, not 10.1',
      'd.yaml:11:46: vips.2.servers.0.address: it must be text, not 10.1',
      'd.yaml:11:58: vips.1.servers.0.port: it must be at least 1, not 0',
      'd.yaml:11:58: vips.2.servers.0.port: it must be at least 1, not 0',
      'd.yaml:12:32: vips.1.servers.1.address: it must be text, not 10.1',
    ]);
  });

  test('syntax errors come alone: after them the tree is a guess', () => {
    const lines = linesOf(`${MINIMAL}workers: [1\nio: nonsense\n`);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/^d\.yaml:(7|8|9):\d+: (?!io)/);
  });

  test('a key that is written twice does not hide the other errors', () => {
    expect(linesOf(`workers: 1\n${MINIMAL}workers: 2\nio: pcap\n`)).toEqual([
      'd.yaml:8:1: the key is written twice',
      'd.yaml:9:5: io: it must be auto, xdp or packet, not "pcap"',
    ]);
  });

  test.each([
    ['', 'd.yaml:1:1: the file is empty'],
    ['# nothing\n', 'd.yaml:1:1: the file is empty'],
    ['[]', 'd.yaml:1:1: it must be a map of keys, not a list'],
    ['text', 'd.yaml:1:1: it must be a map of keys, not "text"'],
    [`${MINIMAL}---\nio: auto\n`, 'd.yaml:7:1: one file holds one configuration: leave out what begins with ---'],
    [`${MINIMAL}log: *nowhere\n`, 'd.yaml:1:1: unresolved alias (the anchor must be set before the alias): nowhere'],
    [`${MINIMAL}io: !secret auto\n`, 'd.yaml:7:5: unresolved tag: !secret'],
  ])('%j', (text, line) => expect(linesOf(text)).toEqual([line]));

  test('aliases cannot blow a file up', () => {
    let text = 'a: &a0 [x,x,x,x,x,x,x,x,x,x]\n';
    for (let i = 1; i < 9; i++) text += `b${i}: &a${i} [${new Array(10).fill(`*a${i - 1}`).join(',')}]\n`;
    expect(linesOf(text)).toEqual([expect.stringContaining('alias')]);
  });
});

describe('refused, with a reason', () => {
  const cases: [string, string, string][] = [
    ['io: tap', withTop({ io: 'tap' }), 'io: '],
    [
      'protocol ipsec',
      withVip({ protocols: ['ipsec'] }),
      'vips.0.protocols.0: protocol ipsec is not available in this version',
    ],
    ['protocol l2f', withVip({ protocols: 'l2f' }), 'vips.0.protocols: protocol l2f is not available in this version'],
    [
      'leakyBucket alone',
      withVip({ leakyBucket: { rate: '5/s' } }),
      'vips.0.leakyBucket: leakyBucket belongs to algorithm: leaky-bucket',
    ],
    [
      'load status without a secret',
      withTop({ loadStatus: { listen: '10.0.0.1:7017' } }),
      'loadStatus.listen: load status messages are authenticated: write secret or secretFile',
    ],
    [
      'two secrets',
      withTop({ loadStatus: { secret: 'a secret of some length', secretFile: '/etc/secret' } }),
      'loadStatus.secretFile: either secret or secretFile, not both',
    ],
    [
      'a short secret',
      withTop({ loadStatus: { secret: 'short' } }),
      'loadStatus.secret: it needs at least 16 characters',
    ],
    [
      'take-over without a secret',
      withTop({ takeOver: { listen: '10.0.0.1:7018' } }),
      'takeOver.listen: take-over messages are authenticated: write secret or secretFile',
    ],
    [
      'a peer of its own',
      withVip({ servers: [{ name: 'a', address: '10.0.0.1', peer: 'a' }] }),
      'vips.0.servers.0.peer: a server cannot be its own peer',
    ],
    [
      'a peer that nobody knows',
      withVip({
        servers: [
          { name: 'lns1', address: '10.0.0.1', peer: 'lns3' },
          { name: 'lns2', address: '10.0.0.2' },
        ],
      }),
      'vips.0.servers.0.peer: no server of this VIP is called lns3 (did you mean lns1?)',
    ],
    [
      'a formula of nothing',
      withTop({ loadStatus: { formula: { cpu: 0 } } }),
      'loadStatus.formula: nothing would count: one of traffic, cpu, memory, tunnels, sessions needs a number above 0',
    ],
    [
      'capacity',
      withVip({ servers: [{ name: 'a', address: '10.0.0.1', loadStatus: { capacity: '10Gb' } }] }),
      'vips.0.servers.0.loadStatus.capacity: "10Gb" is no bandwidth above zero: write 100Mbit/s or 10Gbit/s',
    ],
    [
      'rule protocol',
      withTop({ firewall: { rules: [{ allow: { protocol: 'pptp' } }] } }),
      'firewall.rules.0.allow.protocol: protocol pptp is not available in this version',
    ],
    ['unknown algorithm', withVip({ algorithm: 'round-robbin' }), 'did you mean round-robin?'],
    [
      'weight',
      withVip({ servers: [{ name: 'a', address: '10.0.0.1', weight: 1001 }] }),
      'vips.0.servers.0.weight: it must be at most 1000, not 1001',
    ],
    [
      'half a weight',
      withVip({ servers: [{ name: 'a', address: '10.0.0.1', weight: 0.5 }] }),
      'it must be a whole number, not 0.5',
    ],
    ['port', withVip({ port: 65_536 }), 'vips.0.port: it must be at most 65535, not 65536'],
    ['port 0', withVip({ port: 0 }), 'vips.0.port: it must be at least 1, not 0'],
    ['workers', withTop({ workers: 65 }), 'workers: it must be at most 64, not 65'],
    ['workers by name', withTop({ workers: 'all' }), 'workers: it must be auto or a whole number, not "all"'],
    ['table', withTop({ table: { connections: 15 } }), 'table.connections: it must be at least 16, not 15'],
    ['large table', withTop({ table: { connections: 16_000_001 } }), 'table.connections: it must be at most 16000000'],
    [
      'no rule',
      withTop({ firewall: { rules: [{ name: 'x' }] } }),
      'firewall.rules.0: a rule needs allow, deny or limit',
    ],
    [
      'both',
      withTop({ firewall: { rules: [{ allow: {}, deny: {} }] } }),
      'firewall.rules.0: a rule has only one of allow, deny or limit',
    ],
    [
      'unknown test',
      withTop({ firewall: { rules: [{ deny: { frm: '10.0.0.0/8' } }] } }),
      'firewall.rules.0.deny.frm: unknown key (did you mean from?)',
    ],
    [
      'empty list',
      withTop({ firewall: { rules: [{ deny: { from: [] } }] } }),
      'firewall.rules.0.deny.from: it needs at least 1 item',
    ],
    [
      'burst alone',
      withTop({ firewall: { tunnelRequestRate: { burst: 5 } } }),
      'firewall.tunnelRequestRate.burst: burst means nothing without perSource',
    ],
    ['no rate', withTop({ firewall: { tunnelRequestRate: { perSource: '0/s' } } }), 'is no rate above zero'],
    ['too long', withTop({ timeouts: { halfOpen: '2h' } }), 'timeouts.halfOpen: it must be from 1s to 1h'],
    ['too short', withTop({ timeouts: { idle: '10ms' } }), 'timeouts.idle: it must be from 1s to 168h'],
    ['no servers', withVip({ servers: [] }), 'vips.0.servers: it needs at least 1 item'],
    ['no vips', withTop({ vips: [] }), 'vips: it needs at least 1 item'],
    ['null', withTop({ firewall: null }), 'firewall: it must be a map of keys, not nothing'],
    [
      'level',
      withTop({ log: { level: 'verbose' } }),
      'log.level: it must be trace, debug, info, warn or error, not "verbose"',
    ],
  ];
  test.each(cases)('%s', (_name, text, part) => {
    const { config, problems } = parseConfig('d.yaml', text);
    expect(config).toBeNull();
    expect(problems.map(formatProblem).join('\n')).toContain(part);
  });

  test('what the contract has and costs nothing is accepted', () => {
    expect(problemsOf(withTop({ health: { active: { every: '5s' } } }))).toEqual([]);
    expect(problemsOf(withTop({ health: { suspectAfter: '3s', lendFirst: '2m' } }))).toMatchObject([
      { severity: 'error', path: 'health.suspectAfter' },
      { severity: 'error', path: 'health.lendFirst' },
    ]);
    expect(problemsOf(withTop({ io: 'packet', offload: true, health: { passive: true, active: false } }))).toEqual([]);
    expect(problemsOf(withTop({ health: { active: { enabled: false, every: '5s' } } }))).toEqual([]);
    expect(problemsOf(withTop({ offload: false, health: { passive: false } }))).toEqual([]);
  });
});

describe('files', () => {
  test('one that cannot be read is a problem without a line', () => {
    const { config, problems } = readConfig('/nonexistent/d.yaml');
    expect(config).toBeNull();
    expect(problems.map(formatProblem)).toEqual(['/nonexistent/d.yaml: cannot be read: ENOENT']);
    expect(readConfig('/').problems[0].message).toBe('cannot be read: EISDIR');
  });

  test('loadConfig throws what is wrong, with all problems', () => {
    const folder = mkdtempSync(join(tmpdir(), 'designator-config-'));
    try {
      const file = join(folder, 'd.yaml');
      writeFileSync(file, `${MINIMAL}timeouts: { closing: 5s }\n`);
      expect(loadConfig(file)).toMatchObject({
        config: { timeouts: { closing: 5 } },
        warnings: [{ severity: 'warning' }],
      });
      writeFileSync(file, `${MINIMAL}io: tap\nworkers: 0\n`);
      const error = (() => {
        try {
          return loadConfig(file);
        } catch (thrown) {
          return thrown;
        }
      })() as DesignatorError;
      expect(error).toBeInstanceOf(DesignatorError);
      expect(error).toMatchObject({ code: 'TD_CONFIG', exitStatus: 78, message: `${file} has 2 errors` });
      expect(error.context.problems).toHaveLength(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('whatever the text, the answer is a configuration or errors with a place in it', () => {
  const words = [
    'vips',
    ':',
    '\n',
    '  ',
    '- ',
    'name',
    '{',
    '}',
    '[',
    ']',
    ',',
    '&a ',
    '*a',
    '|',
    '"',
    "'",
    '10.0.0.1',
    'firewall',
    'rules',
    'deny',
    '1',
    '~',
    '#',
    '!!set',
    '\t',
    '?',
  ];
  const runs = Number(process.env.FUZZ_RUNS ?? 500);
  const text = fc.oneof(
    fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((parts) => parts.join('')),
    fc.string({ maxLength: 80 }),
    fc
      .tuple(fc.nat(MINIMAL.length), fc.constantFrom(...words))
      .map(([at, word]) => MINIMAL.slice(0, at) + word + MINIMAL.slice(at)),
  );
  fc.assert(
    fc.property(text, (input) => {
      const { config, problems } = parseConfig('d.yaml', input);
      const errors = problems.filter(({ severity }) => severity === 'error');
      expect(config === null).toBe(errors.length > 0);
      const lines = input.split(/\n/).length;
      for (const { line, column } of problems) {
        expect(line).toBeGreaterThanOrEqual(1);
        expect(line).toBeLessThanOrEqual(lines + 1);
        expect(column).toBeGreaterThanOrEqual(1);
      }
    }),
    { numRuns: runs },
  );
});
