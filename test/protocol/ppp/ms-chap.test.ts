import { describe, expect, test } from 'vitest';
import { md4 } from '../../../src/protocol/ppp/md4.js';
import { authenticatorResponse, ntPasswordHash, ntResponse } from '../../../src/protocol/ppp/ms-chap.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

describe('MD4: the examples of RFC 1320 §A.5', () => {
  test.each([
    ['', '31d6cfe0d16ae931b73c59d7e0c089c0'],
    ['abc', 'a448017aaf21d8525fc10ae87aa6729d'],
    ['abcdefghijklmnopqrstuvwxyz', 'd79e1c308aa5bbcdeea8ed63df412da9'],
    ['1234567890'.repeat(8), 'e33b4ddc9c38f2199c3e7b164fcc0536'],
  ])('%j', (text, digest) => expect(hex(md4(Buffer.from(text)))).toBe(digest));
});

describe('MS-CHAPv2: the example of RFC 2759 §9.2', () => {
  const authenticator = bytes('5b5d7c7d7b3f2f3e3c2c602132262628');
  const peer = bytes('21402324255e262a28295f2b3a337c7e');
  const hash = ntPasswordHash('clientPass');
  const response = '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df';

  test('the hash of the password', () => expect(hex(hash)).toBe('44ebba8d5312b8d611474411f56989ae'));
  test('the response', () => expect(hex(ntResponse(authenticator, peer, 'User', hash))).toBe(response));
  test('a domain in front of the name is not covered', () =>
    expect(hex(ntResponse(authenticator, peer, 'OFFICE\\User', hash))).toBe(response));
  test('the proof of the other side', () =>
    expect(authenticatorResponse(hash, bytes(response), peer, authenticator, 'User')).toBe(
      'S=407A5589115FD0D6209F510FE9C04566932CDA56',
    ));
});
