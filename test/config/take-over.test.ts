import { expect, test } from 'vitest';
import { checkTakeOver, compileTakeOver, parseOwnAddress, takeOverSchema } from '../../src/config/take-over.js';

test('everything absent has a meaning', () => {
  expect(compileTakeOver(takeOverSchema.parse({}))).toEqual({
    designators: [],
    names: [],
    secret: null,
    repeat: 0.2,
    giveUp: 10,
    addresses: [],
    announceEvery: 10,
    subscribers: { device: null, route: null, metric: 0, hook: null, hookTimeout: 10 },
  });
});

test('everything written', () => {
  const input = takeOverSchema.parse({
    designators: '10.0.0.5:7002',
    names: [{ name: 'lns2', peer: 'lns1' }],
    secret: 'a secret of sixteen',
    addresses: [{ address: '192.0.2.11/24', interface: 'lan0' }],
    subscribers: { interface: 'core0', route: 'tun0', metric: 7, hook: ['/bin/x'], hookTimeout: '1s' },
  });
  expect(checkTakeOver(input)).toEqual([]);
  expect(compileTakeOver(input)).toMatchObject({
    designators: [{ host: '10.0.0.5', port: 7002 }],
    secret: { text: 'a secret of sixteen' },
    addresses: [{ words: [0, 0, 0xffff, 0xc000020b], length: 24, device: 'lan0' }],
    subscribers: { device: 'core0', route: 'tun0', metric: 7, hook: ['/bin/x'], hookTimeout: 1 },
  });
});

test('what does not fit together', () => {
  const keys = (input: object): string[] => checkTakeOver(takeOverSchema.parse(input)).map(({ key }) => key);
  expect(keys({ designators: '10.0.0.5:7002' })).toEqual(['designators', 'designators']);
  expect(keys({ secret: 'a secret of sixteen', secretFile: '/etc/secret' })).toEqual(['secretFile']);
});

test.each([
  ['192.0.2.11', 32],
  ['192.0.2.11/24', 24],
  ['2001:db8::1', 128],
  ['2001:db8::1/64', 64],
])('%s is an address with a network of %d bits', (text, length) =>
  expect(parseOwnAddress(text)).toMatchObject({ value: { length } }),
);

test.each(['192.0.2.11/33', '192.0.2.11/0', '192.0.2.11/x', '192.0.2.11/24/1', '224.0.0.1/24', 'lns1', ''])(
  '%j is none',
  (text) => expect(parseOwnAddress(text)).toHaveProperty('error'),
);
