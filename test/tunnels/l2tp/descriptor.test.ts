import { describe, expect, test } from 'vitest';
import {
  CLASS_CONTROL,
  CLASS_CONTROL_UNBOUND,
  CLASS_DATA,
  EVENT_NONE,
  EVENT_REQUEST,
  newControlEvent,
} from '../../../src/tunnels/descriptor.js';
import { l2tp } from '../../../src/tunnels/l2tp/descriptor.js';
import { buildMessage } from '../../../src/tunnels/l2tp/message.js';
import { HELLO, SCCRP, SCCRQ } from '../../../src/tunnels/l2tp/message-table.js';
import type { Datagram } from './datagrams.js';
import { bytesOf, datagram } from './datagrams.js';

function classify({ view, offset, end }: Datagram): (number | string)[] {
  const channel = new Int32Array([-1, -1]);
  const answer = l2tp.classify(view, offset, end, channel);
  return answer < 0 ? [l2tp.malformed[-1 - answer][0]] : [answer, ...channel];
}
const classifyHex = (hex: string) => classify(datagram(bytesOf(hex)));
const looks = (payload: Uint8Array | string, wrap?: Parameters<typeof datagram>[1]) => {
  const { view, offset, end } = datagram(typeof payload === 'string' ? bytesOf(payload) : payload, wrap);
  return l2tp.looksLike?.(view, offset, end);
};
const sccrq = buildMessage({ type: SCCRQ, avps: [{ type: 9, value: 7 }] });

describe('classify', () => {
  test('data: tunnel and session id, wherever they stand', () => {
    expect(classifyHex('0002 0007 0009 ff03')).toEqual([CLASS_DATA, 7, 9]);
    expect(classifyHex('4002 000a fffe ffff ff03')).toEqual([CLASS_DATA, 0xfffe, 0xffff]);
    expect(classifyHex('0902 0007 0009 0001 0002 ff03')).toEqual([CLASS_DATA, 7, 9]);
    expect(classifyHex('34f2 0007 0009')).toEqual([CLASS_DATA, 7, 9]);
  });

  test('control: with and without a tunnel', () => {
    expect(classifyHex('c802 000c 0007 0009 0001 0002')).toEqual([CLASS_CONTROL, 7, 9]);
    expect(classify(datagram(sccrq))).toEqual([CLASS_CONTROL_UNBOUND, 0, 0]);
  });

  test.each([
    ['an empty datagram', '', 'l2tp-truncated'],
    ['a NAT keepalive', 'ff', 'l2tp-truncated'],
    ['half a header', '0002 0007', 'l2tp-truncated'],
    ['L2F', '2001 0000 0000 0000', 'l2tp-version'],
    ['L2F with its C bit', '2009 0000 0000 0000', 'l2tp-version'],
    ['an L2TPv3 SCCRQ', 'c803 0014 00000000 0000 0000 8008 0000 0000 0001', 'l2tp-version'],
    ['L2TPv3 data', '0003 0000 00000007', 'l2tp-version'],
    ['a control message with an offset', 'ca02 000c 0007 0009 0001 0002', 'l2tp-control-flags'],
    ['a Length that lies', 'c802 000d 0007 0009 0001 0002', 'l2tp-length'],
    ['an offset into nowhere', '0202 0007 0009 0001', 'l2tp-offset'],
    ['data for tunnel 0', '0002 0000 0009 ff03', 'l2tp-tunnel-zero'],
  ])('%s', (_, hex, reason) => {
    expect(classifyHex(hex)).toEqual([reason]);
  });

  test('UDP’s own length bounds the message, not the IP payload', () => {
    expect(classify(datagram(bytesOf('4002 000a 0007 0009'), { padding: 8 }))).toEqual(['l2tp-length']);
    expect(classify(datagram(bytesOf('0002 0007 0009'), { padding: 8, lead: 3 }))).toEqual([CLASS_DATA, 7, 9]);
  });

  test.each([0, 7, 15, 65535])('UDP length %i that cannot be', (udpLength) => {
    expect(classify(datagram(bytesOf('0002 0007 0009'), { udpLength }))).toEqual(['l2tp-truncated']);
  });

  test('less than a UDP header', () => {
    expect(classify({ view: new DataView(new ArrayBuffer(7)), offset: 0, end: 7 })).toEqual(['l2tp-truncated']);
    expect(classify({ view: new DataView(new ArrayBuffer(0)), offset: 0, end: 0 })).toEqual(['l2tp-truncated']);
  });
});

describe('read', () => {
  test('a request, behind a lead and before padding', () => {
    const event = newControlEvent();
    const { view, offset, end } = datagram(sccrq, { lead: 34, padding: 6 });
    expect(l2tp.read(view, offset, end, event)).toBe(EVENT_REQUEST);
    expect(event.assigned).toBe(7);
  });

  test('a datagram that UDP’s length belies resets the event', () => {
    const event = { ...newControlEvent(), kind: EVENT_REQUEST, assigned: 7 };
    const { view, offset, end } = datagram(sccrq, { udpLength: 100 });
    const answer = l2tp.read(view, offset, end, event);
    expect(l2tp.malformed[-1 - answer][0]).toBe('l2tp-truncated');
    expect(event).toMatchObject({ kind: EVENT_NONE, assigned: 0 });
  });
});

describe('offsets', () => {
  test.each([
    ['data', '0002 1234 0009'],
    ['data with L', '4002 0008 1234 0009'],
    ['control', 'c802 000c 1234 0009 0001 0002'],
  ])('the channel of %s, from the L4 header', (_, hex) => {
    const { view, offset, end } = datagram(bytesOf(hex), { lead: 20 });
    expect(view.getUint16(offset + l2tp.channelOffset(view, offset, end))).toBe(0x1234);
  });

  test('the assigned channel, in the view', () => {
    const bytes = buildMessage({
      type: SCCRP,
      tunnel: 5,
      avps: [
        { type: 7, value: 'lns' },
        { type: 9, value: 0x1234 },
      ],
    });
    const { view, offset, end } = datagram(bytes, { lead: 20 });
    expect(view.getUint16(l2tp.assignedOffset(view, offset, end))).toBe(0x1234);
  });

  test('no assigned channel: −1', () => {
    const hello = datagram(buildMessage({ type: HELLO, tunnel: 5 }));
    expect(l2tp.assignedOffset(hello.view, hello.offset, hello.end)).toBe(-1);
    const lying = datagram(sccrq, { udpLength: 4 });
    expect(l2tp.assignedOffset(lying.view, lying.offset, lying.end)).toBe(-1);
  });
});

describe('looksLike', () => {
  test('what a server sends from a port nobody knows', () => {
    expect(looks(buildMessage({ type: SCCRP, tunnel: 5, avps: [{ type: 9, value: 7 }] }))).toBe(true);
    expect(looks(sccrq)).toBe(true);
    expect(looks('c802 000c 0007 0000 0001 0002')).toBe(true);
    expect(looks('0102 0007 0009 ff03')).toBe(true);
    expect(looks('4802 000e 0007 0009 0001 0000 ff03')).toBe(true);
    expect(looks(sccrq, { lead: 34, padding: 6 })).toBe(true);
  });

  test.each([
    ['a ZLB to nobody', 'c802 000c 0000 0000 0001 0002'],
    ['a ZLB with something behind', 'c802 000c 0007 0000 0001 0002 00'],
    ['a control message that begins with another AVP', 'c802 0014 0007 0000 0001 0002 8008 0000 0009 0001'],
    ['a vendor’s message', 'c802 0014 0007 0000 0001 0002 8008 00c1 0000 0001'],
    ['an AVP beyond the message', 'c802 0013 0007 0000 0001 0002 8008 0000 0000 00'],
    ['control with reserved bits', 'd802 000c 0007 0000 0001 0002'],
    ['data with reserved bits', '2002 0007 0009 ff03'],
    ['data with reserved bits beside the version', '0012 0007 0009 ff03'],
    ['data for tunnel 0', '0002 0000 0009 ff03'],
    ['data for session 0', '0002 0007 0000 ff03'],
    ['L2TPv3', '0003 0007 0009 ff03'],
    ['a DNS answer', '1a02 8180 0001 0001 0000 0000'],
    ['an NTP packet', '2402 06e9 0000 0000 0000 0000'],
    ['nothing', ''],
  ])('%s: no', (_, hex) => {
    expect(looks(hex)).toBe(false);
  });

  test('a lying UDP length: no', () => {
    for (const udpLength of [0, 7, 100, 65535]) expect(looks('0002 0007 0009', { udpLength })).toBe(false);
    expect(l2tp.looksLike?.(new DataView(new ArrayBuffer(3)), 0, 3)).toBe(false);
  });
});

test('describe says what it sees, whatever that is', () => {
  const line = (payload: Uint8Array, wrap?: Parameters<typeof datagram>[1]) => {
    const { view, offset, end } = datagram(payload, wrap);
    return l2tp.describe?.(view, offset, end);
  };
  expect(line(sccrq)).toBe('SCCRQ tunnel 0 session 0 Ns 0 Nr 0, Assigned Tunnel ID 7');
  expect(line(bytesOf('0002 0007 0009 ff03'), { padding: 4 })).toBe('data tunnel 7 session 9, 2 bytes');
  expect(line(sccrq, { udpLength: 3 })).toBe('malformed: l2tp-truncated');
});
