/** Where a call goes: by the client's statement, by numbers, by the table, and by what RADIUS names. */
import { describe, expect, test } from 'vitest';
import { type LacConfig, parseLacConfig } from '../../../src/config/lac.js';
import { type CallFacts, Chooser, realmOf } from '../../../src/roles/lac/chooser.js';
import { TargetBook, type NamedTunnel } from '../../../src/roles/lac/targets.js';

const TEXT = `
name: lac1
pppoe: { interfaces: eth1 }
listen: ['0.0.0.0:1701', '[::]:1701']
lns:
  - { name: a, address: 192.0.2.1, secret: s3cret, hide: private }
  - { name: b, address: 192.0.2.2, weight: 3 }
  - { name: c, address: '2001:db8::1', port: 1702, hostName: special, follow: false }
table:
  - { realm: [isp.example, '*.isp.example'], lns: [[a, b], c] }
  - { service: voice, interface: eth1, lns: b }
  - { client: '02:00:00:*', lns: [c] }
numbers:
  - { called: '0800*', lns: a }
  - { called: '0900*', calling: '02:*', lns: b }
statement: { allow: [b], separator: '%' }
`;

const configOf = (text: string): LacConfig => {
  const { config, problems } = parseLacConfig('lac.yaml', text);
  expect(problems).toEqual([]);
  return config as LacConfig;
};
const config = configOf(TEXT);
const secretText = (secret: object): string => (secret as { text: string }).text;
const book = new TargetBook(config, secretText);
const chooser = new Chooser(config, book);
const FACTS: CallFacts = {
  user: null,
  service: '',
  interface: 'eth9',
  client: '06:00:00:00:00:01',
  called: '',
  calling: '',
};
const names = (choice: unknown): unknown =>
  Array.isArray(choice) ? choice.map((group: { name: string }[]) => group.map(({ name }) => name)) : choice;
const choose = (source: 'client' | 'number' | 'table', facts: Partial<CallFacts>): unknown =>
  names(chooser.choose(source, { ...FACTS, ...facts }));

describe('the table', () => {
  test.each([
    [{ user: 'alice@isp.example' }, [['a', 'b'], ['c']]],
    [{ user: 'alice@Sub.ISP.example' }, [['a', 'b'], ['c']]],
    [{ user: 'alice@isp.example%b' }, [['a', 'b'], ['c']]],
    [{ user: 'isp.example\\alice' }, [['a', 'b'], ['c']]],
    [{ user: 'alice@other.example' }, null],
    [{ service: 'voice', interface: 'eth1' }, [['b']]],
    [{ service: 'voice' }, null],
    [{ client: '02:00:00:00:00:07' }, [['c']]],
    [{}, null],
  ])('%j → %j', (facts, expected) => expect(choose('table', facts)).toEqual(expected));

  test('a row without conditions holds always', () => {
    const all = configOf(`${TEXT.replace('numbers:', '  - { lns: a }\nnumbers:')}`);
    expect(names(new Chooser(all, new TargetBook(all, secretText)).choose('table', FACTS))).toEqual([['a']]);
  });
});

describe('numbers', () => {
  test.each([
    [{ called: '0800123' }, [['a']]],
    [{ called: '0900123', calling: '02:00' }, [['b']]],
    [{ called: '0900123', calling: '06:00' }, null],
    [{}, null],
  ])('%j → %j', (facts, expected) => expect(choose('number', facts)).toEqual(expected));
});

describe('the client’s statement', () => {
  test('is followed where it is allowed, and refused where it is not', () => {
    expect(choose('client', { user: 'alice@isp.example%b' })).toEqual([['b']]);
    expect(choose('client', { user: 'alice@isp.example%a' })).toMatchObject({
      refused: expect.stringContaining('may not'),
    });
    expect(choose('client', { user: 'alice' })).toBeNull();
    // No LNS has this name, so the sign belongs to the name.
    expect(choose('client', { user: '100%sure' })).toBeNull();
  });

  test('is taken off the name that others are told', () => {
    expect(chooser.tellName('alice@isp.example%b')).toBe('alice@isp.example');
    expect(chooser.tellName('100%sure')).toBe('100%sure');
    const kept = configOf(TEXT.replace("separator: '%'", "separator: '%', strip: false"));
    expect(new Chooser(kept, new TargetBook(kept, secretText)).tellName('a%b')).toBe('a%b');
  });

  test('stands in the service name where the configuration says so', () => {
    const service = configOf(TEXT.replace("separator: '%'", "in: service, separator: '@'"));
    const other = new Chooser(service, new TargetBook(service, secretText));
    expect(names(other.choose('client', { ...FACTS, service: 'internet@b' }))).toEqual([['b']]);
    expect(other.choose('client', { ...FACTS, user: 'x@b' })).toBeNull();
  });
});

test.each([
  ['alice@isp.example', 'isp.example'],
  ['a@b@c', 'c'],
  ['ISP\\alice', 'ISP'],
  ['\\alice', null],
  ['alice', null],
  ['alice@', ''],
  [null, null],
])('the realm of %j is %j', (user, realm) => expect(realmOf(user)).toBe(realm));

describe('what RADIUS names (RFC 2868)', () => {
  const named = (fields: Partial<NamedTunnel>): NamedTunnel => ({
    type: 3,
    serverEndpoint: null,
    password: null,
    assignmentId: null,
    preference: null,
    clientAuthId: null,
    serverAuthId: null,
    ...fields,
  });
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);

  test('tunnels of one preference are alike, the others come in their order', () => {
    const { order, unusable } = book.ofRadius([
      named({ serverEndpoint: 'a', preference: 1 }),
      named({ serverEndpoint: '192.0.2.2', preference: 1 }),
      named({ serverEndpoint: '198.51.100.7', preference: 2 }),
    ]);
    expect(names(order)).toEqual([['a', 'b'], ['198.51.100.7:1701']]);
    expect(unusable).toBe(0);
  });

  test('its password, names and assignment come before those of the configuration', () => {
    const { order } = book.ofRadius([
      named({
        serverEndpoint: '192.0.2.1',
        password: text('other'),
        clientAuthId: 'me',
        serverAuthId: 'you',
        assignmentId: 'gold',
      }),
    ]);
    const [[target]] = order;
    expect(target).toMatchObject({
      name: 'a',
      hide: 'private',
      hostName: 'me',
      serverName: 'you',
      secret: text('other'),
    });
    expect(target.key).not.toBe(book.byName.get('a')?.key);
    expect(target.place).toBe(book.byName.get('a')?.place);
  });

  test('without them the configuration speaks, and the tunnel is shared with its calls', () => {
    const { order } = book.ofRadius([named({ serverEndpoint: '192.0.2.1' })]);
    expect(order[0][0].key).toBe(book.byName.get('a')?.key);
    expect(order[0][0].secret).toEqual(text('s3cret'));
  });

  test('sessions of different assignments do not share a tunnel; of the same they do', () => {
    const keyOf = (assignmentId: string): string =>
      book.ofRadius([named({ serverEndpoint: '192.0.2.9', assignmentId })]).order[0][0].key;
    expect(keyOf('x')).toBe(keyOf('x'));
    expect(keyOf('x')).not.toBe(keyOf('y'));
  });

  test('other protocols, names that nobody knows and missing endpoints are left out and counted', () => {
    const { order, unusable } = book.ofRadius([
      named({ type: 1, serverEndpoint: '192.0.2.1' }),
      named({ serverEndpoint: 'lns.example' }),
      named({}),
    ]);
    expect(order).toEqual([]);
    expect(unusable).toBe(3);
  });
});
