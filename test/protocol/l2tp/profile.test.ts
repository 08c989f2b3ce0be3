import { describe, expect, test } from 'vitest';
import { CALL_RESULT, ERROR_CODE, STOP_RESULT } from '../../../src/protocol/l2tp/codes.js';
import { samePlace } from '../../../src/protocol/l2tp/peer.js';
import { completeProfile } from '../../../src/protocol/l2tp/profile.js';

describe('a profile', () => {
  test('without anything has the defaults of the RFC: no secret, a Hello after 60 seconds', () => {
    expect(completeProfile({})).toMatchObject({ secret: null, authenticate: false, helloInterval: 60, hide: 'none' });
  });

  test('what is there and undefined is absent; one profile is completed once', () => {
    const profile = { helloInterval: undefined, secret: undefined, reliable: { tries: undefined, firstWait: 2 } };
    const full = completeProfile(profile);
    expect(full).toMatchObject({
      helloInterval: 60,
      secret: null,
      reliable: { firstWait: 2, tries: 6, queueLimit: 4096 },
    });
    expect(completeProfile(profile)).toBe(full);
  });

  test('with a secret challenges, unless it is told not to', () => {
    expect(completeProfile({ secret: 'ä' })).toMatchObject({ secret: Uint8Array.of(0xc3, 0xa4), authenticate: true });
    expect(completeProfile({ secret: 'x', authenticate: false }).authenticate).toBe(false);
    expect(completeProfile({ secret: '', authenticate: true })).toMatchObject({ secret: null, authenticate: false });
  });
});

test('a place is address and port, whichever socket reaches it', () => {
  const here = { address: '192.0.2.1', port: 1701, socket: 0 };
  expect(samePlace(here, { ...here, socket: 3 })).toBe(true);
  expect(samePlace(here, { ...here, port: 1702 })).toBe(false);
  expect(samePlace(here, { ...here, address: '192.0.2.2' })).toBe(false);
});

test('codes are those of RFC 2661 §4.4.2', () => {
  expect(Object.values(STOP_RESULT)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(Object.values(CALL_RESULT)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(Object.values(ERROR_CODE)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
