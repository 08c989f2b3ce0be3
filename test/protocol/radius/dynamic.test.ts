import { describe, expect, test } from 'vitest';
import { RadiusDynamic } from '../../../src/protocol/radius/dynamic.js';
import { parseAddress } from '../../../src/wire/address.js';
import {
  buildDigestRequest,
  isAuthenticResponse,
  messageAuthenticator,
  type RadiusAttribute,
  type RadiusPacket,
  readRadius,
} from '../../../src/wire/radius.js';
import { ATTRIBUTE, RADIUS_CODE } from '../../../src/wire/radius-attributes.js';
import { attribute, numberAttribute, numberOf, textAttribute } from '../../../src/wire/radius-values.js';

const SECRET = new TextEncoder().encode('a secret');
const EPOCH = 1_700_000_000;
const FROM = { address: '10.0.0.5', port: 5000 };
const words = (text: string) => parseAddress(text) ?? [0, 0, 0, 0];

const engine = (): RadiusDynamic =>
  new RadiusDynamic({
    clients: [
      { words: words('10.0.0.4'), length: 126, secret: SECRET },
      { words: words('2001:db8::'), length: 33, secret: SECRET },
    ],
    nas: { identifier: 'lns1', address: words('10.1.1.1') as never },
    epoch: EPOCH,
  });
const request = (
  attributes: readonly RadiusAttribute[],
  { code = RADIUS_CODE.disconnectRequest as number, id = 1, secret = SECRET, signed = true } = {},
) => buildDigestRequest({ code, id, attributes }, secret, signed);
const ALICE = textAttribute(ATTRIBUTE.userName, 'alice');

/** Code and Error-Cause of the one answer, which must be believed. */
function answerTo(sent: Uint8Array, of: RadiusDynamic): [number, number | null] {
  const [{ bytes, ...to }, ...more] = of.output();
  expect([to, more]).toEqual([FROM, []]);
  const authenticator = sent.slice(4, 20);
  expect(isAuthenticResponse(bytes, authenticator, SECRET)).toBe(true);
  expect(messageAuthenticator(bytes, authenticator, SECRET)).toBe('valid');
  const { code, id, attributes } = readRadius(bytes) as RadiusPacket;
  expect(id).toBe(sent[1]);
  return [code, numberOf(attributes.find(({ type }) => type === ATTRIBUTE.errorCause)?.value ?? new Uint8Array())];
}

describe('requests that are taken', () => {
  test('end a session', () => {
    const of = engine();
    const sent = request([
      ALICE,
      textAttribute(ATTRIBUTE.acctSessionId, 'S-1'),
      attribute(ATTRIBUTE.framedIpAddress, Uint8Array.of(10, 9, 0, 7)),
      textAttribute(ATTRIBUTE.nasIdentifier, 'lns1'),
      attribute(ATTRIBUTE.nasIpAddress, Uint8Array.of(10, 1, 1, 1)),
      numberAttribute(ATTRIBUTE.eventTimestamp, EPOCH + 100),
    ]);
    expect(of.receive(sent, FROM, 90)).toBe('taken');
    const [{ token, kind, match }] = of.requests();
    expect(kind).toBe('disconnect');
    expect(match).toMatchObject({ userName: 'alice', sessionId: 'S-1', framedAddress: '10.9.0.7', nasPort: null });
    expect(of.output()).toEqual([]);
    of.answer(token, 'done');
    expect(answerTo(sent, of)).toEqual([RADIUS_CODE.disconnectAck, null]);
  });

  test('are answered with the reason why nothing was done', () => {
    const of = engine();
    const sent = request([ALICE], { signed: false });
    of.receive(sent, FROM, 0);
    of.answer(of.requests()[0].token, 'sessionNotFound');
    expect(answerTo(sent, of)).toEqual([RADIUS_CODE.disconnectNak, 503]);
  });

  test('change time-outs', () => {
    const of = engine();
    const sent = request([ALICE, numberAttribute(ATTRIBUTE.sessionTimeout, 60)], { code: RADIUS_CODE.coaRequest });
    of.receive(sent, FROM, 0);
    const [change] = of.requests();
    expect(change).toMatchObject({ kind: 'change', sessionTimeout: 60, idleTimeout: null });
    of.answer(change.token, 'done');
    expect(answerTo(sent, of)).toEqual([RADIUS_CODE.coaAck, null]);
  });

  test('twice are done once; the repetition gets the same answer', () => {
    const of = engine();
    const sent = request([ALICE]);
    expect(of.receive(sent, FROM, 0)).toBe('taken');
    expect(of.receive(sent, FROM, 1)).toBe('repeated');
    const requests = of.requests();
    expect(requests).toHaveLength(1);
    expect(of.output()).toEqual([]);
    of.answer(requests[0].token, 'done');
    of.answer(requests[0].token, 'done');
    const [first, ...more] = of.output();
    expect(more).toEqual([]);
    expect(of.receive(sent, FROM, 2)).toBe('repeated');
    expect(of.output()).toEqual([first]);
    // Later the same bytes are a new request.
    expect(of.receive(sent, FROM, 40)).toBe('taken');
  });

  test('may come from a prefix of either family', () => {
    const of = engine();
    for (const address of ['10.0.0.7', '2001:db8:7fff::1'])
      expect(of.receive(request([ALICE]), { ...FROM, address }, 0)).toBe('taken');
    for (const address of ['10.0.0.8', '2001:db8:8000::1', 'nonsense'])
      expect(of.receive(request([ALICE]), { ...FROM, address }, 0)).toBe('unknown-client');
  });
});

test.each<[string, RadiusAttribute[], number]>([
  ['no session named', [], 402],
  ['another identifier', [ALICE, textAttribute(ATTRIBUTE.nasIdentifier, 'lns2')], 403],
  ['another address', [ALICE, attribute(ATTRIBUTE.nasIpAddress, Uint8Array.of(10, 1, 1, 2))], 403],
])('refused at once: %s', (_, attributes, cause) => {
  const of = engine();
  const sent = request(attributes);
  expect(of.receive(sent, FROM, 0)).toBe('taken');
  expect(of.requests()).toEqual([]);
  expect(answerTo(sent, of)).toEqual([RADIUS_CODE.disconnectNak, cause]);
  expect(of.counters).toMatchObject({ requests: 1, refused: 1 });
});

test.each<[string, string, Uint8Array]>([
  ['malformed', 'nothing', new Uint8Array()],
  ['code', 'an Accounting-Request', request([ALICE], { code: RADIUS_CODE.accountingRequest })],
  ['authenticator', 'another secret', request([ALICE], { secret: new TextEncoder().encode('other') })],
  [
    'message-authenticator',
    'a signature that is none',
    request([ALICE, attribute(ATTRIBUTE.messageAuthenticator, new Uint8Array(16))], { signed: false }),
  ],
  ['time', 'an old request', request([ALICE, numberAttribute(ATTRIBUTE.eventTimestamp, EPOCH - 301)])],
  ['time', 'a request from the future', request([ALICE, numberAttribute(ATTRIBUTE.eventTimestamp, EPOCH + 301)])],
])('%s: %s is not answered', (reason, _, bytes) => {
  const of = engine();
  expect(of.receive(bytes, FROM, 0)).toBe(reason);
  expect([of.requests(), of.output()]).toEqual([[], []]);
  expect(of.counters.drops).toMatchObject({ [reason]: 1 });
});

test('a flood is bounded', () => {
  const of = engine();
  const verdicts = Array.from({ length: 5000 }, (_, i) => of.receive(request([ALICE]), { ...FROM, port: 1 + i }, 0));
  expect(verdicts.filter((verdict) => verdict === 'taken')).toHaveLength(4096);
  expect(of.counters.drops.busy).toBe(904);
  expect(of.receive(request([ALICE]), FROM, 31)).toBe('taken');
});
