import { expect, test } from 'vitest';
import { AUTH_METHODS } from '../../../src/protocol/ppp/options.js';
import { PROXY_AUTH } from '../../../src/protocol/ppp/proxy.js';

test('proxy authentication types have the numbers of RFC 2661 §4.4.5', () => {
  expect(PROXY_AUTH).toEqual({ text: 1, chap: 2, pap: 3, none: 4, msChapV1: 5 });
  expect(new Set(AUTH_METHODS).size).toBe(3);
});
