import { describe, expect, test } from 'vitest';
import { sessionFromSsh } from '../../src/config/operator-access.js';
import { problemsOf, withTop } from './sample.js';

const SSH = '198.51.100.9 51515 192.0.2.22 22';

function warnings(firewall: object, ssh?: string): string[] {
  const problems = problemsOf(withTop({ firewall }), { session: sessionFromSsh(ssh) });
  expect(problems.every(({ severity }) => severity === 'warning')).toBe(true);
  return problems.map(({ path, message }) => `${path}: ${message}`);
}

describe('the session in use', () => {
  test('the rule that ends it is named, with the connection', () => {
    expect(warnings({ rules: [{ allow: { protocol: 'icmp' } }, { deny: { from: '198.51.100.0/24' } }] }, SSH)).toEqual([
      'firewall.rules.1: cuts this very session, TCP from 198.51.100.9 to 192.0.2.22:22, if it comes in on wan0: narrow it with to or protocol, or an allow rule for the operator’s address before it keeps that open',
    ]);
  });

  test.each([
    ['another source', { deny: { from: '203.0.113.0/24' } }],
    ['narrowed by protocol', { deny: { from: '198.51.100.0/24', protocol: 'l2tp' } }],
    ['narrowed by vip', { deny: { from: '198.51.100.0/24', vip: 'access' } }],
    ['narrowed by to', { deny: { from: '198.51.100.0/24', to: '200.200.100.1' } }],
  ])('%s: nothing to say', (_name, rule) => expect(warnings({ rules: [rule] }, SSH)).toEqual([]));

  test('an exception before the rule keeps it', () => {
    const rules = [{ allow: { from: '198.51.100.9', protocol: 'tcp' } }, { deny: { from: '198.51.100.0/24' } }];
    expect(warnings({ rules }, SSH)).toEqual([]);
  });

  test('the default ends it when the exception is for somebody else', () => {
    const rules = [{ allow: { from: '203.0.113.0/24', protocol: 'tcp' } }];
    expect(warnings({ default: 'deny', rules }, SSH)).toEqual([
      expect.stringMatching(/^firewall\.default: cuts this very session/),
    ]);
    expect(warnings({ default: 'deny', rules })).toEqual([]);
  });

  test('IPv6', () => {
    const ssh = '2001:db8:5::9 51515 2001:db8:6::22 2222';
    expect(warnings({ rules: [{ deny: { to: '2001:db8:6::/48' } }] }, ssh)).toEqual([
      expect.stringContaining('TCP from 2001:db8:5::9 to [2001:db8:6::22]:2222'),
    ]);
  });
});

describe('ordinary TCP to the host, whoever configures', () => {
  test.each([
    ['deny everything', { rules: [{ deny: {} }] }, 'firewall.rules.0'],
    ['deny TCP', { rules: [{ deny: { protocol: ['udp', 'tcp'] } }] }, 'firewall.rules.0'],
    ['deny from everywhere', { rules: [{ deny: { from: ['0.0.0.0/0', '::/0'] } }] }, 'firewall.rules.0'],
    [
      'only tunnels are let through',
      {
        default: 'deny',
        rules: [{ allow: { protocol: 'l2tp' } }, { allow: { vip: 'access' } }, { allow: { to: '200.200.100.1' } }],
      },
      'firewall.default',
    ],
    ['deny after an unrelated denial', { rules: [{ deny: { from: '10.0.0.0/8' } }, { deny: {} }] }, 'firewall.rules.1'],
  ])('%s', (_name, firewall, place) => {
    const found = warnings(firewall);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`${place}: cuts every TCP connection to this host that comes in on wan0, ssh too`);
  });

  test.each([
    ['no rules', {}],
    ['deny one network', { rules: [{ deny: { from: '198.51.100.0/24' } }] }],
    ['deny UDP', { rules: [{ deny: { protocol: 'udp' } }] }],
    ['deny to a VIP', { rules: [{ deny: { vip: 'access' } }] }],
    ['deny to a network', { rules: [{ deny: { to: '10.10.0.0/16' } }] }],
    ['somebody is let through first', { default: 'deny', rules: [{ allow: { from: '10.0.0.0/8', protocol: 'tcp' } }] }],
    ['TCP is let through first', { default: 'deny', rules: [{ allow: { protocol: 'tcp' } }] }],
  ])('%s: nothing to say', (_name, firewall) => expect(warnings(firewall)).toEqual([]));

  test('nothing is said of a file with errors: it will not be applied', () => {
    expect(problemsOf(withTop({ firewall: { rules: [{ deny: {} }] }, workers: 0 })).map(({ path }) => path)).toEqual([
      'workers',
    ]);
  });
});

test('SSH_CONNECTION is read as sshd writes it', () => {
  expect(sessionFromSsh(SSH)).toEqual({
    client: [0, 0, 0xffff, 0xc6336409],
    host: [0, 0, 0xffff, 0xc0000216],
    port: 22,
  });
  expect(sessionFromSsh('fe80::1%wan0 1 fe80::2%wan0 22')).toMatchObject({ client: [0xfe800000, 0, 0, 1], port: 22 });
  for (const value of [undefined, '', 'x', '198.51.100.9 1', '198.51.100.9 1 UNKNOWN 65535'])
    expect(sessionFromSsh(value)).toBeNull();
});
