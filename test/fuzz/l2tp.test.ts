/**
 * Bytes of strangers against the L2TP code. Buffers end exactly where the message ends, so a read beyond `end` throws
 * and fails the test. `FUZZ_RUNS` raises the count; a failure prints the seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CLASS_CONTROL, CLASS_CONTROL_UNBOUND, CLASS_DATA, newControlEvent } from '../../src/tunnels/descriptor.js';
import { l2tp } from '../../src/tunnels/l2tp/descriptor.js';
import type { AvpInput } from '../../src/tunnels/l2tp/avp.js';
import { AVP_TABLE } from '../../src/tunnels/l2tp/avp-table.js';
import { checkHeader, isControl, sessionId, tunnelId } from '../../src/tunnels/l2tp/header.js';
import { buildMessage, readMessage } from '../../src/tunnels/l2tp/message.js';
import { MESSAGE_TABLE } from '../../src/tunnels/l2tp/message-table.js';
import { capturedDatagrams, datagram, exactly, L2TP_CAPTURES } from '../tunnels/l2tp/datagrams.js';

const RUNS = { numRuns: Number(process.env['FUZZ_RUNS'] ?? 2000) };
const event = newControlEvent();
const channel = new Int32Array(2);

/** Runs everything that takes a packet's bytes, checks what must hold for any, and returns the class. */
function swallow(view: DataView, offset: number, end: number): number {
  const answer = l2tp.classify(view, offset, end, channel);
  const read = l2tp.read(view, offset, end, event);
  const assigned = l2tp.assignedOffset(view, offset, end);
  const like = l2tp.looksLike?.(view, offset, end);
  const text = l2tp.describe?.(view, offset, end) ?? '';

  for (const code of [answer, read]) expect(code >= 0 || l2tp.malformed[-1 - code] !== undefined).toBe(true);
  if (answer < 0) {
    // What cannot be classified cannot be read, and cannot look like it.
    expect(read).toBe(answer === -6 ? -3 : answer); // data for tunnel 0 is a sound header, but no control message
    expect(like).toBe(false);
  } else {
    const at = l2tp.channelOffset(view, offset, end);
    expect(view.getUint16(offset + at)).toBe(channel[0]);
    expect(offset + at + 4).toBeLessThanOrEqual(end);
  }
  if (answer === CLASS_DATA) expect(read).toBe(-3);
  if (answer === CLASS_CONTROL || answer === CLASS_CONTROL_UNBOUND) {
    expect(event.channel).toBe(channel[0]);
    expect(event.session).toBe(channel[1]);
  }
  if (assigned >= 0) {
    expect(assigned + 2).toBeLessThanOrEqual(end);
    if (read >= 0) expect(view.getUint16(assigned)).toBe(event.assigned);
  }
  // The log must be one line of printable text.
  expect(text).not.toBe('');
  expect(/[\u0000-\u001f\u007f-\u009f]/.test(text)).toBe(false);
  return answer;
}

const seeds = L2TP_CAPTURES.flatMap((name) => capturedDatagrams(name).map(({ udp }) => udp));
const different = [...new Map(seeds.map((udp) => [`${udp.length} ${udp[8]} ${udp[27]}`, udp])).values()];

describe('cut at every length', () => {
  test('by UDP and IP together', () => {
    for (const udp of different) {
      for (let length = 0; length < udp.length - 8; length++) {
        const { view, offset, end } = datagram(udp.slice(8, 8 + length));
        const answer = swallow(view, offset, end);
        // A control message and a data message with L know their length; a cut never looks whole.
        if ((udp[8] & 0x40) !== 0) expect(answer).toBeLessThan(0);
      }
    }
  });

  test('in the middle of the frame, UDP’s length left as it was', () => {
    for (const udp of different) {
      for (let length = 0; length < udp.length; length++) {
        expect(swallow(exactly(udp.slice(0, length)), 0, length)).toBe(-1);
      }
    }
  });

  test('by a Length that says so: every AVP boundary is a message, nothing else is', () => {
    for (const udp of different.filter((bytes) => (bytes[8] & 0x80) !== 0)) {
      const bytes = udp.slice();
      const view = exactly(bytes);
      const whole = readMessage(view, 8, bytes.length);
      const boundaries = new Set([12]);
      if (typeof whole !== 'number') {
        for (let at = 20; at < bytes.length; at += view.getUint16(at) & 0x3ff) boundaries.add(at - 8);
      }
      for (let length = 12; length < bytes.length - 8; length++) {
        view.setUint16(10, length);
        swallow(view, 0, view.byteLength);
        expect(typeof readMessage(view, 8, view.byteLength) !== 'number').toBe(boundaries.has(length));
      }
    }
  });
});

test('any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(20), fc.nat(9), (payload, lead, padding) => {
      const { view, offset, end } = datagram(payload, { lead, padding });
      swallow(view, offset, end);
    }),
    RUNS,
  );
});

test('any bytes behind a control header that fits', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(0xffff), (body, tunnel) => {
      const bytes = new Uint8Array(12 + body.length);
      bytes.set([0xc8, 2, bytes.length >> 8, bytes.length & 0xff, tunnel >> 8, tunnel & 0xff]);
      bytes.set(body, 12);
      const { view, offset, end } = datagram(bytes);
      expect(swallow(view, offset, end)).toBe(tunnel === 0 ? CLASS_CONTROL_UNBOUND : CLASS_CONTROL);
    }),
    RUNS,
  );
});

/** Captured datagrams with some bytes changed, and sometimes a piece cut out or put in. */
const mutated = fc
  .record({
    udp: fc.constantFrom(...different),
    changes: fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 6 }),
    cut: fc.nat(300),
    insert: fc.uint8Array({ maxLength: 12 }),
  })
  .map(({ udp, changes, cut, insert }) => {
    const payload = udp.slice(8);
    for (const [at, value] of changes) payload[at % payload.length] = value;
    const at = cut % payload.length;
    return Uint8Array.from([...payload.slice(0, at), ...insert, ...payload.slice(at + (cut % 3))]);
  });

test('captured messages, damaged', () => {
  fc.assert(
    fc.property(mutated, (payload) => {
      const { view, offset, end } = datagram(payload);
      swallow(view, offset, end);
    }),
    RUNS,
  );
});

test('the quick path for data and the getters agree on every header', () => {
  const header = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(20), fc.uint8Array({ maxLength: 20 }));
  fc.assert(
    fc.property(header, fc.boolean(), ([flags, version, length, rest], likely) => {
      // Half of them with version 2 and a Length near the truth, or few would get past the first test.
      const payload = Uint8Array.from(likely ? [flags, 2, 0, length, ...rest] : [flags, version, ...rest]);
      const { view, offset, end } = datagram(payload);
      const checked = checkHeader(view, 8, end);
      const answer = l2tp.classify(view, offset, end, channel);
      if (checked < 0) {
        expect(answer).toBe(checked);
        return;
      }
      const tunnel = tunnelId(view, 8);
      expect([...channel]).toEqual([tunnel, sessionId(view, 8)]);
      const control = isControl(view, 8) ? [CLASS_CONTROL_UNBOUND, CLASS_CONTROL] : [-6, CLASS_DATA];
      expect(answer).toBe(control[tunnel === 0 ? 0 : 1]);
    }),
    RUNS,
  );
});

const anyAvp: fc.Arbitrary<AvpInput> = fc.oneof(
  fc.record({
    type: fc.constantFrom(...AVP_TABLE.filter(({ type }) => type !== 0).map(({ type }) => type), 20, 40, 200),
    value: fc.uint8Array({ maxLength: 40 }),
    hidden: fc.boolean(),
    mandatory: fc.boolean(),
  }),
  fc.record({
    type: fc.nat(0xffff),
    vendor: fc.integer({ min: 1, max: 0xffff }),
    value: fc.uint8Array({ maxLength: 8 }),
  }),
);

test('well-framed messages with any AVPs, hidden ones of any length: read whole, and as the object reader reads them', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...MESSAGE_TABLE.map(({ type }) => type), 0, 257, 65535),
      fc.nat(0xffff),
      fc.array(anyAvp, { maxLength: 8 }),
      (type, tunnel, avps) => {
        const bytes = buildMessage({ type, tunnel, avps });
        const { view, offset, end } = datagram(bytes);
        swallow(view, offset, end);
        const message = readMessage(exactly(bytes), 0, bytes.length);
        if (typeof message === 'number') throw new Error(`malformed ${message}`);
        expect(message.avps.length).toBe(avps.length + 1);
        const ids = message.avps.filter((avp) => avp.name === 'Assigned Tunnel ID');
        if (l2tp.read(view, offset, end, event) < 0) return;
        expect(ids.length).toBeLessThanOrEqual(1);
        expect(event.assigned).toBe(ids.length === 1 && !ids[0].hidden ? ids[0].value : 0);
        expect(event.message).toBe(message.name);
      },
    ),
    RUNS,
  );
});
