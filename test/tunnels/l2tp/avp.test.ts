import { describe, expect, test } from 'vitest';
import type { AvpInput } from '../../../src/tunnels/l2tp/avp.js';
import {
  avpHidden,
  avpMandatory,
  avpReserved,
  avpType,
  avpVendor,
  checkAvp,
  decodeAvp,
  encodeAvp,
} from '../../../src/tunnels/l2tp/avp.js';
import { AVP_TABLE, avpDefinition } from '../../../src/tunnels/l2tp/avp-table.js';
import { AVP_LENGTH } from '../../../src/tunnels/l2tp/malformed.js';
import { MESSAGE_TABLE } from '../../../src/tunnels/l2tp/message-table.js';
import { bytesOf, exactly } from './datagrams.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('checkAvp', () => {
  test('the header is read field by field', () => {
    const view = exactly(bytesOf('c00a 0009 0102 deadbeef'));
    expect(checkAvp(view, 0, 10)).toBe(10);
    expect([avpMandatory(view, 0), avpHidden(view, 0), avpReserved(view, 0)]).toEqual([true, true, false]);
    expect([avpVendor(view, 0), avpType(view, 0)]).toEqual([9, 0x0102]);
  });

  test.each([0, 1, 2, 3, 4, 5])('length %i cannot hold its own header', (length) => {
    expect(checkAvp(exactly(bytesOf(`800${length} 0000 0000 0000`)), 0, 8)).toBe(AVP_LENGTH);
  });

  test('length beyond the message, by one and by all', () => {
    expect(checkAvp(exactly(bytesOf('8008 0000 0000 0001')), 0, 8)).toBe(8);
    expect(checkAvp(exactly(bytesOf('8009 0000 0000 0001')), 0, 8)).toBe(AVP_LENGTH);
    expect(checkAvp(exactly(bytesOf('83ff 0000 0000 0001')), 0, 8)).toBe(AVP_LENGTH);
  });

  test.each([1, 2, 3, 4, 5])('%i bytes left are no AVP', (left) => {
    expect(checkAvp(exactly(bytesOf('8006 0000 0000').slice(0, left)), 0, left)).toBe(AVP_LENGTH);
  });

  test('length is 10 bits: M, H and the reserved bits are no part of it', () => {
    expect(checkAvp(exactly(bytesOf('fc06 0000 0000')), 0, 6)).toBe(6);
  });

  test.each(['2006', '1006', '0806', '0406'])('reserved bit in %s is seen', (flags) => {
    expect(avpReserved(exactly(bytesOf(`${flags} 0000 0000`)), 0)).toBe(true);
  });
});

describe('the table', () => {
  test('has every AVP of RFC 2661 once, in order, and no 20', () => {
    const rfc2661 = Array.from({ length: 40 }, (_, type) => type).filter((type) => type !== 20);
    expect(AVP_TABLE.map(({ type }) => type)).toEqual([...rfc2661, 46, 76, 77, 78, 79]);
    expect(new Set(AVP_TABLE.map(({ name }) => name)).size).toBe(AVP_TABLE.length);
    expect(avpDefinition(20)).toBeUndefined();
  });

  test('what must not be hidden', () => {
    const clear = AVP_TABLE.filter(({ mayHide, type }) => !mayHide && type < 40).map(({ type }) => type);
    expect(clear).toEqual([0, 1, 2, 5, 7, 10, 12, 36, 39]);
  });

  test('what is sent with M = 0', () => {
    const optional = AVP_TABLE.filter(({ mandatory, type }) => mandatory === false && type < 40).map(
      ({ type }) => type,
    );
    expect(optional).toEqual([5, 6, 8, 25, 26, 27, 28, 29, 30, 31, 32, 33, 37, 38]);
  });

  test('agrees with the table of messages in both directions', () => {
    for (const { type: message, required } of MESSAGE_TABLE) {
      for (const type of required) {
        const messages = avpDefinition(type)?.messages ?? [-1];
        expect(messages.length === 0 || messages.includes(message), `AVP ${type} in message ${message}`).toBe(true);
      }
    }
  });
});

describe('values', () => {
  test.each<[string, AvpInput, string]>([
    ['a number of 16 bits', { type: 9, value: 0xbeef }, '80080000 0009 beef'],
    ['a number of 32 bits', { type: 24, value: 0xfedcba98 }, '800a0000 0018 fedcba98'],
    ['text', { type: 7, value: 'lac1' }, '800a0000 0007 6c616331'],
    ['nothing', { type: 39 }, '80060000 0027'],
    ['version and revision', { type: 2, value: { version: 1, revision: 0 } }, '80080000 0002 0100'],
    ['a result', { type: 1, value: { result: 6 } }, '80080000 0001 0006'],
    ['a result and error', { type: 1, value: { result: 2, error: 7 } }, '800a0000 0001 0002 0007'],
    [
      'a result, error and message',
      { type: 1, value: { result: 2, error: 7, message: 'ö' } },
      '800c0000 0001 0002 0007 c3b6',
    ],
    ['a cause', { type: 12, value: { cause: 16, message: 5, advisory: 'x' } }, '800a0000 000c 0010 05 78'],
    [
      'masks behind a reserved field',
      { type: 35, value: { send: 1, receive: 0xffffffff } },
      '80100000 0023 0000 00000001 ffffffff',
    ],
    ['a proxy id in the low byte', { type: 32, value: { id: 200 } }, '00080000 0020 00c8'],
    [
      'a disconnect cause',
      { type: 46, value: { code: 3, protocol: 0xc021, direction: 1 } },
      '000b0000 002e 0003 c021 01',
    ],
    ['old tunnel ids', { type: 77, value: { tunnel: 5, remoteTunnel: 6 } }, '80100000 004d 0000 00000005 00000006'],
  ])('%s', (_, input, expected) => {
    const bytes = encodeAvp(input);
    expect(hex(bytes)).toBe(expected.replaceAll(' ', ''));
    const avp = decodeAvp(exactly(bytes), 0);
    expect(avp.value).toEqual(input.value ?? null);
    expect(avp.name).toBe(avpDefinition(input.type)?.name);
  });

  test('call errors are six counters behind two reserved bytes', () => {
    const value = { crc: 1, framing: 2, hardwareOverruns: 3, bufferOverruns: 4, timeouts: 5, alignment: 6 };
    const bytes = encodeAvp({ type: 34, value });
    expect(bytes.length).toBe(32);
    expect(decodeAvp(exactly(bytes), 0).value).toEqual(value);
  });

  test.each([
    ['u16 of 3 bytes', '8009 0000 0009 000102'],
    ['u32 of 2 bytes', '8008 0000 0018 0001'],
    ['result of 1 byte', '8007 0000 0001 01'],
    ['result with half an error code', '8009 0000 0001 000200'],
    ['version of 3 bytes', '8009 0000 0002 010000'],
    ['something where nothing belongs', '8007 0000 0027 01'],
  ])('%s: kept as bytes', (_, avp) => {
    const view = exactly(bytesOf(avp));
    expect(decodeAvp(view, 0).value).toEqual(new Uint8Array(view.buffer, 6));
  });

  test('a hidden value is kept as it is and still has its name', () => {
    const cipher = bytesOf('0102030405');
    const avp = decodeAvp(exactly(encodeAvp({ type: 9, hidden: true, value: cipher })), 0);
    expect(avp).toMatchObject({ name: 'Assigned Tunnel ID', hidden: true, mandatory: true, value: cipher });
  });

  test('a reserved bit makes a known AVP unrecognised', () => {
    expect(decodeAvp(exactly(bytesOf('a008 0000 0009 0001')), 0)).toMatchObject({
      name: null,
      reserved: true,
      value: bytesOf('0001'),
    });
  });

  test('vendor AVPs are kept, and written with M = 0 unless it is asked for', () => {
    const avp = decodeAvp(exactly(encodeAvp({ type: 9, vendor: 311, value: 'abc' })), 0);
    expect(avp).toEqual({
      vendor: 311,
      type: 9,
      name: null,
      mandatory: false,
      hidden: false,
      reserved: false,
      value: bytesOf('616263'),
    });
    expect(decodeAvp(exactly(encodeAvp({ type: 9, vendor: 311, mandatory: true })), 0).mandatory).toBe(true);
  });

  test('decodes over shared memory', () => {
    const bytes = encodeAvp({ type: 7, value: 'lns1' });
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 4));
    shared.set(bytes, 4);
    expect(decodeAvp(new DataView(shared.buffer), 4).value).toBe('lns1');
  });

  test('a value that does not fit is the caller’s error', () => {
    expect(() => encodeAvp({ type: 9, value: 'text' })).toThrow(TypeError);
    expect(() => encodeAvp({ type: 9 })).toThrow(TypeError);
    expect(() => encodeAvp({ type: 7, value: 5 })).toThrow(TypeError);
    expect(() => encodeAvp({ type: 9, value: { a: 1 } })).toThrow(TypeError);
    expect(() => encodeAvp({ type: 7, value: 'x'.repeat(1018) })).toThrow(RangeError);
    expect(encodeAvp({ type: 7, value: 'x'.repeat(1017) }).length).toBe(1023);
  });
});
