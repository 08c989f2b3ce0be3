import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildAccessRequest,
  buildDigestRequest,
  buildResponse,
  fitsRadius,
  isAuthenticRequest,
  isAuthenticResponse,
  messageAuthenticator,
  type RadiusPacket,
  readRadius,
} from '../../src/wire/radius.js';
import { ATTRIBUTE, MICROSOFT, RADIUS_CODE } from '../../src/wire/radius-attributes.js';
import {
  attribute,
  hidePassword,
  hideTunnelPassword,
  ipv4Of,
  ipv6Of,
  ipv6PrefixOf,
  numberOf,
  revealPassword,
  revealTunnelPassword,
  taggedNumber,
  taggedText,
  textAttribute,
} from '../../src/wire/radius-values.js';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const packet = (raw: Uint8Array): RadiusPacket => {
  const read = readRadius(raw);
  if (typeof read === 'string') throw new Error(read);
  return read;
};

// RFC 2865 §7.1: nemo logs in to host 192.168.1.3.
const SECRET = bytes('xyzzy5461');
const REQUEST = hex(`01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d
  93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03`);
const ACCEPT = hex(`02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
  0e 06 c0 a8 01 03`);
const AUTHENTICATOR = REQUEST.slice(4, 20);

describe('the example of RFC 2865 §7.1', () => {
  test('is read', () => {
    const { code, id, authenticator, attributes } = packet(REQUEST);
    expect([code, id, authenticator]).toEqual([RADIUS_CODE.accessRequest, 0, AUTHENTICATOR]);
    expect(attributes.map(({ type }) => type)).toEqual([1, 2, 4, 5]);
    expect(ipv4Of(attributes[2].value)).toBe('192.168.1.16');
    expect(numberOf(attributes[3].value)).toBe(3);
  });

  test('hides and reveals its password', () => {
    const hidden = packet(REQUEST).attributes[1].value;
    expect(hidePassword(bytes('arctangent'), AUTHENTICATOR, SECRET)).toEqual(hidden);
    expect(revealPassword(hidden, AUTHENTICATOR, SECRET)).toEqual(bytes('arctangent'));
  });

  test('has an answer that is believed, and no other', () => {
    expect(isAuthenticResponse(ACCEPT, AUTHENTICATOR, SECRET)).toBe(true);
    expect(isAuthenticResponse(ACCEPT, AUTHENTICATOR, bytes('other'))).toBe(false);
    for (let at = 0; at < ACCEPT.length; at++) {
      // The length says what is signed; another is no packet, or another packet.
      const changed = ACCEPT.slice();
      changed[at] ^= 1;
      if (typeof readRadius(changed) !== 'string')
        expect(isAuthenticResponse(changed, AUTHENTICATOR, SECRET), `byte ${at}`).toBe(false);
    }
  });

  test('is built to the byte', () => {
    const { attributes } = packet(ACCEPT);
    expect(buildResponse({ code: 2, id: 0, attributes }, AUTHENTICATOR, SECRET, false)).toEqual(ACCEPT);
  });
});

describe('Message-Authenticator', () => {
  test('comes first and holds for the request and its answer only', () => {
    const request = buildAccessRequest(
      { id: 7, attributes: [textAttribute(ATTRIBUTE.userName, 'a')] },
      AUTHENTICATOR,
      SECRET,
    );
    expect(request[20]).toBe(ATTRIBUTE.messageAuthenticator);
    expect(messageAuthenticator(request, AUTHENTICATOR, SECRET)).toBe('valid');
    expect(messageAuthenticator(request, AUTHENTICATOR, bytes('other'))).toBe('wrong');
    const answer = buildResponse({ code: 2, id: 7, attributes: [] }, AUTHENTICATOR, SECRET);
    expect(isAuthenticResponse(answer, AUTHENTICATOR, SECRET)).toBe(true);
    expect(messageAuthenticator(answer, AUTHENTICATOR, SECRET)).toBe('valid');
    expect(
      messageAuthenticator(
        answer,
        AUTHENTICATOR.map((byte) => byte ^ 1),
        SECRET,
      ),
    ).toBe('wrong');
    expect(messageAuthenticator(ACCEPT, AUTHENTICATOR, SECRET)).toBe('absent');
  });

  test('of a wrong length is wrong', () => {
    const attributes = [attribute(ATTRIBUTE.messageAuthenticator, new Uint8Array(4))];
    const answer = buildResponse({ code: 2, id: 0, attributes }, AUTHENTICATOR, SECRET, false);
    expect(messageAuthenticator(answer, AUTHENTICATOR, SECRET)).toBe('wrong');
  });
});

test('requests with a digest prove that their maker has the secret', () => {
  const input = { code: RADIUS_CODE.accountingRequest, id: 3, attributes: [textAttribute(ATTRIBUTE.userName, 'a')] };
  for (const signed of [false, true]) {
    const request = buildDigestRequest(input, SECRET, signed);
    expect(isAuthenticRequest(request, SECRET)).toBe(true);
    expect(isAuthenticRequest(request, bytes('other'))).toBe(false);
    expect(messageAuthenticator(request, null, SECRET)).toBe(signed ? 'valid' : 'absent');
    // RFC 2866 §3, done by hand.
    const zeroed = request.slice();
    zeroed.fill(0, 4, 20);
    expect(request.slice(4, 20)).toEqual(new Uint8Array(createHash('md5').update(zeroed).update(SECRET).digest()));
  }
});

describe('what is no packet', () => {
  test.each([
    ['nothing', new Uint8Array(), 'short'],
    ['19 bytes', REQUEST.slice(0, 19), 'short'],
    ['a cut one', REQUEST.slice(0, 40), 'length'],
    ['a length below the header', hex(`010000 13 ${'00'.repeat(20)}`), 'length'],
    ['a length above 4096', Uint8Array.from({ length: 5000 }, (_, i) => [1, 0, 0x13, 0x88][i] ?? 0), 'length'],
    ['an attribute of length 1', hex(`01000016 ${'00'.repeat(16)} 0101`), 'attribute'],
    ['an attribute that reaches too far', hex(`01000016 ${'00'.repeat(16)} 0103`), 'attribute'],
    ['half an attribute', hex(`01000015 ${'00'.repeat(16)} 01`), 'attribute'],
  ])('%s', (_, raw, fault) => expect(readRadius(raw)).toBe(fault));

  test('bytes after the packet are padding', () => {
    expect(packet(Uint8Array.of(...REQUEST, 1, 2, 3)).attributes).toHaveLength(4);
  });

  test('a vendor attribute in a format of its own stays as it is', () => {
    const odd = hex('00000137 01');
    const { attributes } = packet(
      buildResponse({ code: 2, id: 0, attributes: [attribute(26, odd)] }, AUTHENTICATOR, SECRET, false),
    );
    expect(attributes).toEqual([{ type: 26, vendor: 0, value: odd }]);
  });

  test('attributes that cannot be encoded are refused', () => {
    expect(fitsRadius([attribute(1, new Uint8Array(253))])).toBe(true);
    expect(fitsRadius([attribute(1, new Uint8Array(254))])).toBe(false);
    expect(fitsRadius([attribute(1, new Uint8Array(248), MICROSOFT)])).toBe(false);
    expect(fitsRadius(Array.from({ length: 16 }, () => attribute(1, new Uint8Array(253))))).toBe(false);
    const input = { id: 0, attributes: [attribute(1, new Uint8Array(254))] };
    expect(() => buildAccessRequest(input, AUTHENTICATOR, SECRET)).toThrow(RangeError);
  });
});

describe('properties', () => {
  const attributes = fc.array(
    fc.record({
      type: fc.integer({ min: 1, max: 255 }).filter((type) => type !== 26 && type !== 80),
      vendor: fc.constantFrom(0, MICROSOFT, 32_473),
      value: fc.uint8Array({ maxLength: 200 }),
    }),
    { maxLength: 12 },
  );

  test('what is built is read again', () => {
    fc.assert(
      fc.property(attributes, fc.integer({ min: 0, max: 255 }), (list, id) => {
        const raw = buildAccessRequest({ id, attributes: list }, AUTHENTICATOR, SECRET);
        const read = packet(raw);
        expect(read.id).toBe(id);
        expect(read.attributes.slice(1)).toEqual(list);
      }),
    );
  });

  test('any bytes are read or named, and never believed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (raw, fixLength) => {
        if (fixLength && raw.length >= 4) {
          raw[2] = raw.length >> 8;
          raw[3] = raw.length;
        }
        const read = readRadius(raw);
        if (typeof read === 'string') return;
        expect(isAuthenticResponse(raw, AUTHENTICATOR, SECRET)).toBe(false);
        expect(messageAuthenticator(raw, AUTHENTICATOR, SECRET)).not.toBe('valid');
      }),
    );
  });

  test('passwords of every length come back', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 128 }).filter((text) => text.at(-1) !== 0),
        (password) => {
          expect(revealPassword(hidePassword(password, AUTHENTICATOR, SECRET), AUTHENTICATOR, SECRET)).toEqual(
            password,
          );
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 239 }), fc.integer({ min: 0, max: 31 }), (password, tag) => {
        const hidden = hideTunnelPassword(password, tag, 0x1234, AUTHENTICATOR, SECRET);
        expect(revealTunnelPassword(hidden, AUTHENTICATOR, SECRET)).toEqual({ tag, password });
      }),
    );
  });
});

describe('values', () => {
  test('tags of texts are told from text (RFC 2868 §3.3)', () => {
    expect(taggedText(hex('01 61 62'))).toEqual({ tag: 1, text: 'ab' });
    expect(taggedText(hex('1f 61'))).toEqual({ tag: 31, text: 'a' });
    expect(taggedText(hex('00 61'))).toEqual({ tag: 0, text: 'a' });
    expect(taggedText(bytes('10.0.0.1'))).toEqual({ tag: 0, text: '10.0.0.1' });
    expect(taggedText(new Uint8Array())).toEqual({ tag: 0, text: '' });
  });

  test('tags of numbers', () => {
    expect(taggedNumber(hex('02 000003'))).toEqual({ tag: 2, number: 3 });
    expect(taggedNumber(hex('ff 000003'))).toEqual({ tag: 0, number: 3 });
    expect(taggedNumber(hex('000003'))).toBeNull();
  });

  test('IPv6 prefixes with and without their last zeros', () => {
    expect(ipv6PrefixOf(hex('00 40 20010db800000001'))).toBe('2001:db8:0:1::/64');
    expect(ipv6PrefixOf(hex(`00 30 20010db80001${'ff'.repeat(10)}`))).toBe('2001:db8:1::/48');
    expect(ipv6PrefixOf(hex('00 40 20010db8'))).toBeNull();
    expect(ipv6PrefixOf(hex('00 81 20010db800000000'))).toBeNull();
    expect(ipv6PrefixOf(hex('00'))).toBeNull();
    expect(ipv6Of(hex('20010db8000000000000000000000001'))).toBe('2001:db8::1');
    expect(ipv6Of(hex('2001'))).toBeNull();
    expect(ipv4Of(hex('0a'))).toBeNull();
  });

  test.each([
    ['too short', '01 8000'],
    ['no whole block', `01 8000 ${'00'.repeat(15)}`],
  ])('a tunnel password that is %s is none', (_, text) => {
    expect(revealTunnelPassword(hex(text), AUTHENTICATOR, SECRET)).toBeNull();
  });

  test('a tunnel password of another secret is nothing, or other bytes', () => {
    const hidden = hideTunnelPassword(bytes('tunnel secret'), 1, 5, AUTHENTICATOR, bytes('other'));
    expect(revealTunnelPassword(hidden, AUTHENTICATOR, SECRET)?.password).not.toEqual(bytes('tunnel secret'));
  });
});
