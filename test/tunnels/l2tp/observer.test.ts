import { describe, expect, test } from 'vitest';
import type { ControlEvent } from '../../../src/tunnels/descriptor.js';
import {
  EVENT_CLOSE,
  EVENT_CONNECTED,
  EVENT_NONE,
  EVENT_REPLY,
  EVENT_REQUEST,
  EVENT_SESSION_CLOSE,
  EVENT_SESSION_CONNECTED,
  EVENT_SESSION_REPLY,
  EVENT_SESSION_REQUEST,
  newControlEvent,
} from '../../../src/tunnels/descriptor.js';
import {
  AVP_LENGTH,
  AVP_REPEATED,
  BAD_LENGTH,
  CONTROL_FLAGS,
  NO_MESSAGE_TYPE,
  NO_TUNNEL_ID,
  OTHER_VERSION,
  TRUNCATED,
} from '../../../src/tunnels/l2tp/malformed.js';
import type { L2tpMessageInput } from '../../../src/tunnels/l2tp/message.js';
import { buildMessage } from '../../../src/tunnels/l2tp/message.js';
import {
  CDN,
  FSQ,
  HELLO,
  ICCN,
  ICRP,
  ICRQ,
  OCCN,
  OCRP,
  OCRQ,
  SCCCN,
  SCCRP,
  SCCRQ,
  SLI,
  STOPCCN,
  WEN,
} from '../../../src/tunnels/l2tp/message-table.js';
import { assignedTunnelIdOffset, observe } from '../../../src/tunnels/l2tp/observer.js';
import { bytesOf, exactly } from './datagrams.js';

/** An event full of nonsense, so that a field left over from the message before shows. */
function dirtyEvent(): ControlEvent {
  return {
    kind: 99,
    message: 'dirty',
    channel: 99,
    assigned: 99,
    assignedHidden: true,
    session: 99,
    assignedSession: 99,
    ns: 99,
    nr: 99,
    hasBody: true,
    result: 99,
    optional: true,
    recoverOwn: 0,
    recoverPeer: 0,
    tie: false,
  };
}

function observed(bytes: Uint8Array): { answer: number; event: ControlEvent } {
  const event = dirtyEvent();
  return { answer: observe(exactly(bytes), 0, bytes.length, event), event };
}

const see = (input: L2tpMessageInput) => observed(buildMessage(input));
const seeHex = (hex: string) => observed(bytesOf(hex)).answer;
const tunnelIs = (value: number) => ({ type: 9, value });
const sessionIs = (value: number) => ({ type: 14, value });

describe('tunnels', () => {
  test('SCCRQ asks, with the sender’s id', () => {
    const { answer, event } = see({ type: SCCRQ, avps: [tunnelIs(1931)] });
    expect(answer).toBe(EVENT_REQUEST);
    expect(event).toEqual({
      ...newControlEvent(),
      kind: EVENT_REQUEST,
      message: 'SCCRQ',
      assigned: 1931,
      ns: 0,
      nr: 0,
      hasBody: true,
    });
  });

  test('SCCRP answers: the header has the asker’s id, the AVP the answerer’s', () => {
    const { answer, event } = see({ type: SCCRP, tunnel: 1931, nr: 1, avps: [tunnelIs(55530)] });
    expect(answer).toBe(EVENT_REPLY);
    expect(event).toMatchObject({ channel: 1931, assigned: 55530, ns: 0, nr: 1 });
  });

  test('the assigned id is found wherever it stands (l2tpns puts it last)', () => {
    const avps = [{ type: 7, value: 'lns' }, { type: 13, value: new Uint8Array(16) }, tunnelIs(2)];
    expect(see({ type: SCCRP, tunnel: 5, avps }).event.assigned).toBe(2);
  });

  test('SCCCN connects', () => {
    expect(see({ type: SCCCN, tunnel: 55530, ns: 1, nr: 1 }).answer).toBe(EVENT_CONNECTED);
  });

  test('StopCCN with tunnel id 0: the sender has read no SCCRP, its own id is all there is', () => {
    const { answer, event } = see({ type: STOPCCN, avps: [tunnelIs(1931), { type: 1, value: { result: 6 } }] });
    expect(answer).toBe(EVENT_CLOSE);
    expect(event).toMatchObject({ channel: 0, assigned: 1931, result: 6 });
  });

  test('StopCCN without its AVPs still closes the tunnel of its header', () => {
    const { answer, event } = see({ type: STOPCCN, tunnel: 7 });
    expect(answer).toBe(EVENT_CLOSE);
    expect(event).toMatchObject({ channel: 7, assigned: 0, result: -1 });
  });

  test('result, error and message: the result counts', () => {
    const result = { type: 1, value: { result: 2, error: 7, message: 'try 10.0.0.1' } };
    expect(see({ type: STOPCCN, tunnel: 7, avps: [tunnelIs(1), result] }).event.result).toBe(2);
  });

  test('an SCCRQ inside a standing tunnel, an SCCRP or SCCCN to nobody: nothing to learn', () => {
    expect(see({ type: SCCRQ, tunnel: 7, avps: [tunnelIs(1)] }).answer).toBe(EVENT_NONE);
    expect(see({ type: SCCRP, avps: [tunnelIs(1)] }).answer).toBe(EVENT_NONE);
    expect(see({ type: SCCCN }).answer).toBe(EVENT_NONE);
  });

  test.each([SCCRQ, SCCRP])('message %i without a readable Assigned Tunnel ID, or with 0: malformed', (type) => {
    const tunnel = type === SCCRP ? 5 : 0;
    expect(see({ type, tunnel }).answer).toBe(NO_TUNNEL_ID);
    expect(see({ type, tunnel, avps: [tunnelIs(0)] }).answer).toBe(NO_TUNNEL_ID);
    expect(see({ type, tunnel, avps: [{ type: 9, vendor: 9, value: bytesOf('0001') }] }).answer).toBe(NO_TUNNEL_ID);
    const reserved = Buffer.from(buildMessage({ type, tunnel, avps: [tunnelIs(1)] }));
    reserved[20] |= 0x20;
    expect(observed(reserved).answer).toBe(NO_TUNNEL_ID);
  });
});

describe('hidden ids', () => {
  // The length of a hidden value is padded at the sender's will; it says nothing about what is inside.
  test.each([0, 1, 2, 3, 4, 17, 1000])('Assigned Tunnel ID of %i hidden bytes', (length) => {
    const avps = [
      { type: 36, value: bytesOf('0102') },
      { type: 9, hidden: true, value: new Uint8Array(length) },
    ];
    const { answer, event } = see({ type: SCCRP, tunnel: 5, avps });
    expect(answer).toBe(EVENT_REPLY);
    expect(event).toMatchObject({ assigned: 0, assignedHidden: true });
  });

  test('Assigned Session ID: told in session messages', () => {
    const hidden = { type: 14, hidden: true, value: bytesOf('00020102') };
    const reply = see({ type: ICRP, tunnel: 5, session: 9, avps: [hidden] });
    expect(reply.answer).toBe(EVENT_SESSION_REPLY);
    expect(reply.event).toMatchObject({ session: 9, assignedSession: 0, assignedHidden: true });
    const request = see({ type: ICRQ, tunnel: 5, avps: [hidden] });
    expect(request.answer).toBe(EVENT_SESSION_REQUEST);
    expect(request.event.assignedHidden).toBe(true);
    expect(request.event.assignedSession).toBe(0);
  });

  test('a hidden session id in a tunnel message hides no tunnel id', () => {
    const hidden = { type: 14, hidden: true, value: bytesOf('00020102') };
    expect(see({ type: SCCRQ, avps: [tunnelIs(1), hidden] }).event.assignedHidden).toBe(false);
  });

  test('a hidden result code is not read', () => {
    const { answer, event } = see({
      type: STOPCCN,
      tunnel: 5,
      avps: [{ type: 1, hidden: true, value: bytesOf('01') }],
    });
    expect(answer).toBe(EVENT_CLOSE);
    expect(event.result).toBe(-1);
  });
});

describe('sessions', () => {
  test.each([
    ['ICRQ', ICRQ],
    ['OCRQ', OCRQ],
  ])('%s asks with the sender’s id', (name, type) => {
    const { answer, event } = see({ type, tunnel: 5, avps: [sessionIs(55306)] });
    expect(answer).toBe(EVENT_SESSION_REQUEST);
    expect(event).toMatchObject({ message: name, channel: 5, session: 0, assignedSession: 55306, assigned: 0 });
  });

  test.each([
    ['ICRP', ICRP],
    ['OCRP', OCRP],
  ])('%s: the header has the asker’s id, the AVP the answerer’s', (name, type) => {
    const { answer, event } = see({ type, tunnel: 5, session: 55306, avps: [sessionIs(15770)] });
    expect(answer).toBe(EVENT_SESSION_REPLY);
    expect(event).toMatchObject({ message: name, session: 55306, assignedSession: 15770 });
  });

  test.each([ICCN, OCCN])('message %i connects the receiver’s session', (type) => {
    const { answer, event } = see({ type, tunnel: 5, session: 15770 });
    expect(answer).toBe(EVENT_SESSION_CONNECTED);
    expect(event.session).toBe(15770);
  });

  test('CDN: the header’s session may be 0, the sender’s is in the AVP', () => {
    const avps = [{ type: 1, value: { result: 3 } }, sessionIs(55306)];
    const unread = see({ type: CDN, tunnel: 5, avps });
    expect(unread.answer).toBe(EVENT_SESSION_CLOSE);
    expect(unread.event).toMatchObject({ session: 0, assignedSession: 55306, result: 3 });
    expect(see({ type: CDN, tunnel: 5, session: 9, avps }).event).toMatchObject({ session: 9, assignedSession: 55306 });
  });

  test.each([ICRQ, ICRP, ICCN, CDN])('message %i outside of any tunnel: nothing to learn', (type) => {
    expect(see({ type, session: 1, avps: [sessionIs(2)] }).answer).toBe(EVENT_NONE);
  });

  test('a request without an id: nothing to learn', () => {
    expect(see({ type: ICRQ, tunnel: 5 }).answer).toBe(EVENT_NONE);
  });
});

describe('messages that are only forwarded', () => {
  test('ZLB takes no sequence number, whatever its session id', () => {
    for (const session of [0, 30222]) {
      const { answer, event } = see({ tunnel: 5, session, ns: 3, nr: 4 });
      expect(answer).toBe(EVENT_NONE);
      expect(event).toMatchObject({ message: 'ZLB', hasBody: false, ns: 3, nr: 4, channel: 5, session });
    }
  });

  test('a ZLB with rubbish behind its Length is a ZLB', () => {
    const bytes = bytesOf('c802 000c 0005 0000 0001 0002 8008 0000 0000 0004');
    expect(observed(bytes).event).toMatchObject({ message: 'ZLB', hasBody: false });
  });

  test.each([
    ['Hello', HELLO],
    ['WEN', WEN],
    ['SLI', SLI],
    ['FSQ', FSQ],
  ])('%s', (name, type) => {
    const { answer, event } = see({ type, tunnel: 5, ns: 9 });
    expect(answer).toBe(EVENT_NONE);
    expect(event).toMatchObject({ message: name, hasBody: true, ns: 9 });
  });

  test('an unknown type: M of its Message Type says whether it may be ignored', () => {
    expect(see({ type: 4711, tunnel: 5 }).event).toMatchObject({ message: 'unknown', optional: false, hasBody: true });
    expect(see({ type: 4711, tunnel: 5, mandatory: false }).event.optional).toBe(true);
  });

  test('a vendor’s message type 1 is no SCCRQ', () => {
    const { answer, event } = see({ type: SCCRQ, vendor: 193, avps: [tunnelIs(7)] });
    expect(answer).toBe(EVENT_NONE);
    expect(event.message).toBe('vendor');
  });

  test('type 257 is not type 1', () => {
    expect(see({ type: 257, avps: [tunnelIs(7)] }).answer).toBe(EVENT_NONE);
  });
});

describe('bad input', () => {
  const head = 'c802 LLLL 0000 0000 0000 0000';
  const withBody = (body: string) => {
    const length = 12 + body.replaceAll(' ', '').length / 2;
    return head.replace('LLLL', length.toString(16).padStart(4, '0')) + body;
  };
  const type = '8008 0000 0000 0001';
  const assigned = '8008 0000 0009 0007';

  test('the pattern itself is good', () => expect(seeHex(withBody(type + assigned))).toBe(EVENT_REQUEST));

  test.each([0, 1, 2, 3, 4, 5])('AVP length %i, first or later', (length) => {
    expect(seeHex(withBody(`800${length} 0000 0000 0001`))).toBe(AVP_LENGTH);
    expect(seeHex(withBody(`${type}800${length} 0000 0009 0007`))).toBe(AVP_LENGTH);
    expect(seeHex(withBody(`${type}${assigned}800${length} 0000 0009 0007`))).toBe(AVP_LENGTH);
  });

  test('an AVP that reaches beyond the message, even of a vendor or hidden', () => {
    for (const flags of ['8009 0000', 'c3ff 0000', '0009 0009']) {
      expect(seeHex(withBody(`${type}${assigned}${flags} 0064 0007`))).toBe(AVP_LENGTH);
    }
  });

  test('an AVP that reaches beyond Length into bytes that UDP does carry', () => {
    const body = `${type}${assigned}8008 0000 000e 0001`;
    expect(seeHex(`c802 0024 0000 0000 0000 0000 ${body}`)).toBe(EVENT_REQUEST);
    expect(seeHex(`c802 0022 0000 0000 0000 0000 ${body}`)).toBe(AVP_LENGTH);
    expect(seeHex(`c802 0025 0000 0000 0000 0000 ${body}`)).toBe(BAD_LENGTH);
  });

  test.each([1, 2, 3, 4, 5])('%i bytes after the last AVP', (left) => {
    expect(seeHex(withBody(`${type}${assigned}${'80'.repeat(left)}`))).toBe(AVP_LENGTH);
  });

  test('ids and result of a wrong size', () => {
    expect(seeHex(withBody(`${type}8007 0000 0009 07`))).toBe(AVP_LENGTH);
    expect(seeHex(withBody(`${type}800a 0000 0009 00000007`))).toBe(AVP_LENGTH);
    expect(seeHex(withBody(`${type}${assigned}8006 0000 000e`))).toBe(AVP_LENGTH);
    expect(seeHex(withBody(`${type}${assigned}8007 0000 0001 01`))).toBe(AVP_LENGTH);
  });

  test('no Message Type in front', () => {
    expect(seeHex(withBody(assigned + type))).toBe(NO_MESSAGE_TYPE);
    expect(seeHex(withBody('c008 0000 0000 0001'))).toBe(NO_MESSAGE_TYPE);
    expect(seeHex(withBody('8408 0000 0000 0001'))).toBe(NO_MESSAGE_TYPE);
    expect(seeHex(withBody('8006 0000 0000'))).toBe(NO_MESSAGE_TYPE);
  });

  test('an id that stands twice, in any dress', () => {
    expect(seeHex(withBody(type + assigned + assigned))).toBe(AVP_REPEATED);
    expect(seeHex(withBody(`${type}8008 0000 0009 0000${assigned}`))).toBe(AVP_REPEATED);
    expect(seeHex(withBody(`${type}c00a 0000 0009 01020304${assigned}`))).toBe(AVP_REPEATED);
    expect(seeHex(withBody(`${type}${assigned}8008 0000 000e 0001 8008 0000 000e 0001`))).toBe(AVP_REPEATED);
  });

  test('the header is checked again', () => {
    expect(seeHex('')).toBe(TRUNCATED);
    expect(seeHex('c803 000c 0000 0000 0000 0000')).toBe(OTHER_VERSION);
    expect(seeHex('0002 0001 0001')).toBe(CONTROL_FLAGS);
  });

  test('a bad message leaves no event behind', () => {
    const { event } = observed(bytesOf(withBody(`${type}${assigned}80`)));
    expect(event.kind).toBe(EVENT_NONE);
  });
});

describe('assignedTunnelIdOffset', () => {
  const offsetIn = (input: L2tpMessageInput) => {
    const bytes = buildMessage(input);
    return assignedTunnelIdOffset(exactly(bytes), 0, bytes.length);
  };

  test('the offset of the value, counted from the message', () => {
    expect(offsetIn({ type: SCCRP, tunnel: 5, avps: [tunnelIs(7)] })).toBe(26);
    expect(offsetIn({ type: SCCRP, tunnel: 5, avps: [{ type: 7, value: 'abc' }, tunnelIs(7)] })).toBe(35);
  });

  test('−1 when it is absent, hidden, a vendor’s, or the message is bad', () => {
    expect(offsetIn({ type: SCCRP, tunnel: 5 })).toBe(-1);
    expect(offsetIn({ tunnel: 5 })).toBe(-1);
    expect(offsetIn({ type: SCCRP, avps: [{ type: 9, hidden: true, value: bytesOf('0102') }] })).toBe(-1);
    expect(offsetIn({ type: SCCRP, avps: [{ type: 9, vendor: 9, value: bytesOf('0102') }] })).toBe(-1);
    expect(offsetIn({ type: SCCRP, avps: [{ type: 9, value: bytesOf('010203') }] })).toBe(-1);
    const cut = exactly(bytesOf('c802 0010 0005 0000 0000 0000 8003 0000'));
    expect(assignedTunnelIdOffset(cut, 0, cut.byteLength)).toBe(-1);
    expect(assignedTunnelIdOffset(exactly(bytesOf('0002 0005 0001')), 0, 6)).toBe(-1);
  });
});
