import { describe, expect, test } from 'vitest';
import { readReply } from '../../../src/protocol/radius/reply.js';
import { verdictOf } from '../../../src/roles/lns/radius-judge.js';
import { parseAddress } from '../../../src/wire/address.js';
import type { RadiusAttribute } from '../../../src/wire/radius.js';
import { ATTRIBUTE, MICROSOFT, MICROSOFT_ATTRIBUTE } from '../../../src/wire/radius-attributes.js';
import { attribute, numberAttribute, textAttribute } from '../../../src/wire/radius-values.js';

const NOTHING = new Uint8Array(0);
const reply = (attributes: readonly RadiusAttribute[]) =>
  readReply({ code: 2, id: 0, authenticator: NOTHING, attributes }, NOTHING, NOTHING);
const verdict = (type: 'accepted' | 'rejected', attributes: readonly RadiusAttribute[]) =>
  verdictOf({ type, server: 's', reply: reply(attributes) }, 'alice');
const address = (text: string) => Uint8Array.from(text.split('.').map(Number));

test('an accept becomes a grant with all that the subscriber was given', () => {
  const { kind, grant, message } = verdict('accepted', [
    attribute(ATTRIBUTE.framedIpAddress, address('10.9.0.7')),
    textAttribute(ATTRIBUTE.framedRoute, '192.168.7.0/24 0.0.0.0 1'),
    textAttribute(ATTRIBUTE.framedRoute, 'nonsense'),
    attribute(ATTRIBUTE.framedIpv6Prefix, Uint8Array.of(0, 64, 0x20, 1, 0x0d, 0xb8, 0, 7, 0, 0)),
    textAttribute(ATTRIBUTE.framedPool, 'gold'),
    attribute(MICROSOFT_ATTRIBUTE.primaryDnsServer, address('10.0.0.53'), MICROSOFT),
    numberAttribute(ATTRIBUTE.sessionTimeout, 3600),
    numberAttribute(ATTRIBUTE.idleTimeout, 600),
    numberAttribute(ATTRIBUTE.acctInterimInterval, 300),
    attribute(ATTRIBUTE.class, Uint8Array.of(1, 2)),
    textAttribute(ATTRIBUTE.userName, 'alice@isp'),
    textAttribute(ATTRIBUTE.replyMessage, 'welcome'),
  ]) as Extract<ReturnType<typeof verdictOf>, { kind: 'accept' }>;
  expect([kind, message]).toEqual(['accept', 'welcome']);
  expect(grant).toMatchObject({
    user: 'alice@isp',
    address: parseAddress('10.9.0.7'),
    pool: 'gold',
    routes: [{ text: '192.168.7.0/24' }],
    prefix: { text: '2001:db8:7::/64' },
    dns: [parseAddress('10.0.0.53')],
    timeoutSeconds: 3600,
    idleSeconds: 600,
    interimSeconds: 300,
    classes: [Uint8Array.of(1, 2)],
  });
});

test('an accept that says nothing leaves everything to the configuration', () => {
  expect(verdict('accepted', [])).toMatchObject({
    kind: 'accept',
    grant: { user: 'alice', address: null, pool: null, prefix: null, routes: [], dns: null, classes: [] },
  });
});

test.each(['255.255.255.254', '255.255.255.255'])('the address %s comes from a pool of ours', (text) => {
  const answer = verdict('accepted', [attribute(ATTRIBUTE.framedIpAddress, address(text))]);
  expect(answer).toMatchObject({ kind: 'accept', grant: { address: null } });
});

describe('MS-CHAPv2', () => {
  const microsoft = (type: number, text: string) =>
    attribute(type, new TextEncoder().encode(`\u0007${text}`), MICROSOFT);

  test('hands the server’s proof to the subscriber, not the greeting', () => {
    const proof = microsoft(MICROSOFT_ATTRIBUTE.chap2Success, 'S=00');
    expect(verdict('accepted', [textAttribute(ATTRIBUTE.replyMessage, 'hello'), proof])).toMatchObject({
      message: 'S=00',
    });
  });

  test('hands on why not', () => {
    expect(verdict('rejected', [microsoft(MICROSOFT_ATTRIBUTE.chapError, 'E=691 R=0')])).toEqual({
      kind: 'refuse',
      reason: 'rejected',
      message: 'E=691 R=0',
    });
  });
});

test.each(['timeout', 'no-server', 'busy', 'unsendable'] as const)('no answer (%s) refuses, by its name', (reason) => {
  expect(verdictOf({ type: 'no-answer', reason }, 'alice')).toEqual({ kind: 'refuse', reason: `radius-${reason}` });
});
