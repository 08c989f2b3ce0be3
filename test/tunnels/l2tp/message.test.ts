import { describe, expect, test } from 'vitest';
import { AVP_LENGTH, CONTROL_FLAGS, NO_MESSAGE_TYPE } from '../../../src/tunnels/l2tp/malformed.js';
import type { L2tpMessage, L2tpMessageInput } from '../../../src/tunnels/l2tp/message.js';
import {
  buildMessage,
  formatMessage,
  formatPacket,
  missingAvps,
  readMessage,
} from '../../../src/tunnels/l2tp/message.js';
import { MESSAGE_TABLE, messageName, SCCRQ, STOPCCN } from '../../../src/tunnels/l2tp/message-table.js';
import { bytesOf, exactly } from './datagrams.js';

function read(bytes: Uint8Array): L2tpMessage {
  const message = readMessage(exactly(bytes), 0, bytes.length);
  if (typeof message === 'number') throw new Error(`malformed ${message}`);
  return message;
}
const roundTrip = (input: L2tpMessageInput): L2tpMessage => read(buildMessage(input));
const line = (bytes: Uint8Array): string => formatPacket(exactly(bytes), 0, bytes.length);

const sccrq = buildMessage({
  type: SCCRQ,
  avps: [
    { type: 2, value: { version: 1, revision: 0 } },
    { type: 3, value: 3 },
    { type: 7, value: 'lac1' },
    { type: 9, value: 1234 },
  ],
});

describe('readMessage', () => {
  test('SCCRQ as an object', () => {
    const message = read(sccrq);
    expect(message).toMatchObject({ type: 1, vendor: 0, name: 'SCCRQ', tunnel: 0, session: 0, ns: 0, nr: 0 });
    expect(message.avps.map(({ name, value }) => [name, value])).toEqual([
      ['Message Type', 1],
      ['Protocol Version', { version: 1, revision: 0 }],
      ['Framing Capabilities', 3],
      ['Host Name', 'lac1'],
      ['Assigned Tunnel ID', 1234],
    ]);
    expect(missingAvps(message)).toEqual([]);
  });

  test('ZLB: no type, no AVPs', () => {
    expect(roundTrip({ tunnel: 7, ns: 3, nr: 4 })).toEqual({
      type: -1,
      vendor: 0,
      name: 'ZLB',
      tunnel: 7,
      session: 0,
      ns: 3,
      nr: 4,
      avps: [],
    });
  });

  test('what must be in it and is not', () => {
    expect(missingAvps(roundTrip({ type: STOPCCN, avps: [{ type: 1, value: { result: 1 } }] }))).toEqual([9]);
    expect(missingAvps(roundTrip({ type: STOPCCN, vendor: 193 }))).toEqual([]);
  });

  test.each([
    ['another AVP first', 'c802 0014 0000 0000 0000 0000 8008 0000 0009 0001', NO_MESSAGE_TYPE],
    ['a hidden Message Type', 'c802 0014 0000 0000 0000 0000 c008 0000 0000 0001', NO_MESSAGE_TYPE],
    ['a reserved bit in it', 'c802 0014 0000 0000 0000 0000 a008 0000 0000 0001', NO_MESSAGE_TYPE],
    ['a Message Type of 4 bytes', 'c802 0016 0000 0000 0000 0000 800a 0000 0000 00000001', NO_MESSAGE_TYPE],
    ['half an AVP', 'c802 000f 0000 0000 0000 0000 800800', AVP_LENGTH],
    ['a data message', '0002 0001 0001', CONTROL_FLAGS],
  ])('%s: a code', (_, hex, code) => {
    const view = exactly(bytesOf(hex));
    expect(readMessage(view, 0, view.byteLength)).toBe(code);
  });

  test('a vendor’s message type keeps its vendor', () => {
    expect(roundTrip({ type: 4, vendor: 193, tunnel: 5 })).toMatchObject({ name: 'vendor', vendor: 193, type: 4 });
  });
});

describe('formatting', () => {
  test('one line for SCCRQ', () => {
    expect(line(sccrq)).toBe(
      'SCCRQ tunnel 0 session 0 Ns 0 Nr 0, Protocol Version version 1 revision 0, Framing Capabilities 3, ' +
        'Host Name "lac1", Assigned Tunnel ID 1234',
    );
  });

  test('secrets and hidden values are not shown', () => {
    const text = line(
      buildMessage({
        type: 12,
        avps: [
          { type: 33, value: 'pap-password' },
          { type: 11, value: bytesOf('c0ffee') },
          { type: 9, hidden: true, value: bytesOf('c0ffee') },
        ],
      }),
    );
    expect(text).toContain('Proxy Authen Response (secret), Challenge (secret), Assigned Tunnel ID (hidden)');
    expect(text).not.toMatch(/pap-password|c0ffee/);
  });

  test('text of a peer cannot steer a terminal or begin a new line', () => {
    const text = line(buildMessage({ type: 1, avps: [{ type: 7, value: '\u001b[2J\n\u009b1m\u202e"' }] }));
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    expect(text).toContain('Host Name "\\u001b[2J\\n\\u009b1m\\u202e\\""');
  });

  test('vendor AVPs and messages by number', () => {
    const message = roundTrip({ type: 4, vendor: 193, avps: [{ type: 2, vendor: 193, value: bytesOf('0a0b') }] });
    expect(formatMessage(message)).toBe('vendor 193 message 4 tunnel 0 session 0 Ns 0 Nr 0, AVP 193/2 0x0a0b');
    expect(line(buildMessage({ type: 999 }))).toBe('message 999 tunnel 0 session 0 Ns 0 Nr 0');
  });

  test('an AVP without a value is only named', () => {
    expect(line(buildMessage({ type: 12, avps: [{ type: 39 }] }))).toMatch(/, Sequencing Required$/);
  });

  test('data and malformed', () => {
    expect(line(bytesOf('0802 0007 0009 0003 0000 ff03c021'))).toBe('data tunnel 7 session 9 Ns 3, 4 bytes');
    expect(line(bytesOf('0002 0007 0009 ff03'))).toBe('data tunnel 7 session 9, 2 bytes');
    expect(line(bytesOf('0003'))).toBe('malformed: l2tp-version');
    expect(line(bytesOf('c802 000f 0000 0000 0000 0000 800800'))).toBe('malformed: l2tp-avp-length');
  });
});

describe('building', () => {
  test('messages beyond 65,535 bytes are refused', () => {
    const avps = Array.from({ length: 65 }, () => ({ type: 8, value: 'x'.repeat(1017) }));
    expect(() => buildMessage({ type: 1, avps })).toThrow(RangeError);
    expect(read(buildMessage({ type: 1, avps: avps.slice(1) })).avps.length).toBe(65);
  });

  test('M of the Message Type can be 0', () => {
    expect(roundTrip({ type: 300, mandatory: false }).avps[0].mandatory).toBe(false);
    expect(roundTrip({ type: 300 }).avps[0].mandatory).toBe(true);
  });
});

test('names of messages', () => {
  expect(MESSAGE_TABLE.map(({ type }) => messageName(type))).toEqual(MESSAGE_TABLE.map(({ name }) => name));
  for (const type of [0, 5, 13, 20, 30, 65535]) expect(messageName(type)).toBe('unknown');
});
