import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { emitMemberText, type MemberText, readMemberText, UNKNOWN_MEMBER } from '../../src/wire/cluster-member.js';
import { emitNotice, NOTICE_KINDS, NOTICE_LIMIT, readNotice } from '../../src/wire/cluster-notice.js';
import { STATUS_TEXT_LIMIT } from '../../src/wire/cluster-status.js';

const MEMBER: MemberText = {
  name: 'td1',
  role: 'designator',
  part: 'all',
  state: 'unable',
  reason: 'lan0 is down',
  version: '0.1.0',
  address: '192.0.2.1',
  tunnels: 2000,
  sessions: 4000,
  shards: 2,
  serversUp: 0,
};

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('what a member tells of itself', () => {
  test('comes back as it was told', () => {
    expect(readMemberText(emitMemberText(MEMBER))).toEqual(MEMBER);
    expect(readMemberText(emitMemberText(UNKNOWN_MEMBER))).toEqual(UNKNOWN_MEMBER);
  });

  test('always fits into a status message', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 2000 }), fc.string({ maxLength: 500 }), (reason, name) => {
        const bytes = emitMemberText({ ...MEMBER, reason, name });
        expect(bytes.length).toBeLessThanOrEqual(STATUS_TEXT_LIMIT);
        expect(readMemberText(bytes)).toMatchObject({ role: 'designator', state: 'unable', tunnels: 2000 });
      }),
    );
  });

  test('what cannot be read is unknown, and nothing else is', () => {
    expect(readMemberText(json({ ...MEMBER, tunnels: -1, state: 'flying', sessions: 1e300, name: 5 }))).toEqual({
      ...MEMBER,
      tunnels: null,
      state: null,
      sessions: null,
      name: null,
    });
    expect(readMemberText(json({ name: 'a\u001b[2J', reason: 'x'.repeat(161) }))).toEqual(UNKNOWN_MEMBER);
    for (const bytes of [json(null), json([1]), json('text'), new Uint8Array([0xff, 0xfe]), new Uint8Array(0)])
      expect(readMemberText(bytes).role).toBeNull();
  });

  test('any bytes are read without an exception', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => void readMemberText(bytes)));
    fc.assert(fc.property(fc.json(), (text) => void readMemberText(new TextEncoder().encode(text))));
  });
});

describe('notices', () => {
  test('have a kind and a body', () => {
    for (const kind of NOTICE_KINDS) {
      const read = readNotice(emitNotice(kind, new Uint8Array([1, 2, 3])));
      expect(read).toEqual({ kind, body: new Uint8Array([1, 2, 3]) });
    }
  });

  test('of a kind that is not known are passed over', () => {
    expect(readNotice(new Uint8Array(0))).toBeNull();
    expect(readNotice(new Uint8Array([0, 1]))).toBeNull();
    expect(readNotice(new Uint8Array([NOTICE_KINDS.length + 1]))).toBeNull();
  });

  test('that fit into no frame are refused', () => {
    expect(emitNotice('orders', new Uint8Array(NOTICE_LIMIT)).length).toBe(NOTICE_LIMIT + 1);
    expect(() => emitNotice('orders', new Uint8Array(NOTICE_LIMIT + 1))).toThrow(RangeError);
  });
});
