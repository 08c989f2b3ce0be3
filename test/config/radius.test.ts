import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { compileRadius, radiusProblems, radiusSchema } from '../../src/config/radius.js';
import { checkShapeOf } from '../../src/config/shape.js';
import { ConfigSource } from '../../src/config/source.js';

const schema = z.strictObject({ radius: radiusSchema });

function check(text: string) {
  const source = new ConfigSource('f.yaml', text);
  const { input, problems } = checkShapeOf(source, schema);
  const all = [...problems, ...(input === null ? [] : radiusProblems(source, input.radius))];
  return {
    settings: input === null || all.length > 0 ? null : compileRadius(input.radius),
    said: all.map(({ line, path, message }) => `${line}: ${path}: ${message}`),
  };
}

test('a server alone is enough; the rest has defaults', () => {
  const { settings, said } = check('radius:\n  servers:\n    - { address: 10.0.0.5, secret: s }\n');
  expect(said).toEqual([]);
  expect(settings).toEqual({
    servers: [
      { name: '10.0.0.5', address: '10.0.0.5', secret: { text: 's' }, authenticationPort: 1812, accountingPort: 1813 },
    ],
    timeout: 1,
    tries: 3,
    deadTime: 30,
    source: null,
    nasIdentifier: null,
    nasAddress: null,
    messageAuthenticator: 'auto',
    interim: null,
    recordLifetime: 3600,
    recordLimit: 50_000,
    dynamic: null,
  });
});

test('all that can be written', () => {
  const { settings, said } = check(`radius:
  servers:
    - { name: a, address: 10.0.0.5, secretFile: /etc/s, use: authentication, authenticationPort: 1645 }
    - { name: b, address: '2001:db8::5', secret: t, use: accounting, accountingPort: 1646 }
  timeout: 500ms
  source: 10.0.0.1
  nasIdentifier: lns1
  nasAddress: 10.0.0.1
  interim: 5m
  dynamic: { listen: '10.0.0.1:3799', clients: [{ from: 10.0.0.0/24, secret: u }] }
`);
  expect(said).toEqual([]);
  expect(
    settings?.servers.map(({ authenticationPort, accountingPort }) => [authenticationPort, accountingPort]),
  ).toEqual([
    [1645, null],
    [null, 1646],
  ]);
  expect(settings?.servers[0].secret).toEqual({ file: '/etc/s' });
  expect(settings).toMatchObject({ timeout: 0.5, interim: 300, nasAddress: [0, 0, 0xffff, 0x0a000001] });
  expect(settings?.dynamic).toEqual({
    host: '10.0.0.1',
    port: 3799,
    clients: [{ words: [0, 0, 0xffff, 0x0a000000], length: 120, secret: { text: 'u' } }],
  });
});

describe('refused', () => {
  test.each([
    ['no server', 'radius:\n  servers: []\n', /2: radius\.servers/],
    [
      'no secret',
      'radius:\n  servers:\n    - { address: 10.0.0.5 }\n',
      /3: radius\.servers\.0.*either secret or secretFile/,
    ],
    [
      'both secrets',
      'radius:\n  servers:\n    - { address: 10.0.0.5, secret: a, secretFile: /b }\n',
      /either secret or secretFile/,
    ],
    ['no address', 'radius:\n  servers:\n    - { address: radius.example, secret: a }\n', /is no IPv4 or IPv6 address/],
    [
      'one place twice',
      'radius:\n  servers:\n    - { address: 10.0.0.5, secret: a }\n    - { address: 10.0.0.5, secret: b }\n',
      /4: radius\.servers\.1\.address: 10\.0\.0\.5 port 1812 stands here twice/,
    ],
    ['an unknown key', 'radius:\n  servers:\n    - { address: 10.0.0.5, secret: a, prot: 1 }\n', /prot/],
  ])('%s', (_, text, expected) => {
    const { settings, said } = check(text);
    expect(settings).toBeNull();
    expect(said.join('\n')).toMatch(expected);
  });
});
