/** Frames of strangers on the segment against the group's ears. What it answers is always a frame that it would read itself. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Answers } from '../../src/gateway/answers/answers.js';
import { type Heard, IGNORED } from '../../src/gateway/answers/heard.js';
import { FORWARDER_MAX, isStation } from '../../src/gateway/mac.js';
import { type AddressWords, parseAddress } from '../../src/wire/address.js';
import { checksum, pseudoHeaderIpv6 } from '../../src/wire/checksum.js';
import { checkIpv6, ipv6End } from '../../src/wire/ipv6.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { arp, linkLayer, neighbour } from '../helpers/neighbour-frames.js';
import { viewOf } from '../helpers/packet-builder.js';

const words = (text: string): AddressWords => parseAddress(text) as AddressWords;
const ADDRESSES = [words('10.7.0.254'), words('fe80::7:fe'), words('2001:db8:7::fe')];
const answers = new Answers({ scheme: 'local', group: 7, addresses: ADDRESSES });
const HOST = 0x020000000011;
const VMAC = 0x025444000703;

const SEEDS = [
  arp({ from: HOST, sender: '10.7.0.11', target: '10.7.0.254' }),
  arp({ to: VMAC, from: HOST, sender: '10.7.0.11', target: '10.7.0.254', padded: true }),
  arp({ from: HOST, sender: '0.0.0.0', target: '10.7.0.254', tag: 0x6000 }),
  arp({ from: HOST, operation: 2, sender: '10.7.0.254', target: '10.7.0.11' }),
  arp({ from: HOST, sender: '10.7.0.254', target: '10.7.0.254' }),
  neighbour({ type: 135, from: HOST, source: 'fe80::11', target: 'fe80::7:fe', options: linkLayer(1, HOST) }),
  neighbour({ type: 135, from: HOST, source: '::', target: '2001:db8:7::fe' }),
  neighbour({ type: 136, from: HOST, source: 'fe80::11', destination: 'ff02::1', target: 'fe80::7:fe' }),
  neighbour({ type: 133, from: HOST, source: 'fe80::11', options: linkLayer(1, HOST) }),
];

/** So that what is behind the checksum is reached too. */
function withRightChecksum(frame: Uint8Array): Uint8Array {
  if (frame[12] !== 0x86 || frame.length < 58 || checkIpv6(viewOf(frame), 14, frame.length) === 0) return frame;
  const view = viewOf(frame);
  const end = ipv6End(view, 14);
  if (end < 58) return frame;
  view.setUint16(56, 0);
  view.setUint16(56, checksum(view, 54, end, pseudoHeaderIpv6(view, 14, 58, end - 54)));
  return frame;
}

/** Everything that holds of whatever was heard. */
function swallow(frame: Uint8Array): Heard {
  const before = Uint8Array.from(frame);
  const heard = answers.classify(frame);
  expect(frame).toEqual(before);
  const ask = heard.kind === 'claim' ? heard.ask : heard.kind === 'ask' ? heard : null;
  if (heard.kind === 'ignored') expect(IGNORED[heard.reason]).toBeTypeOf('string');
  if (heard.kind === 'claim') expect(isStation(heard.station)).toBe(true);
  if (ask !== null) {
    expect(ADDRESSES).toContain(ask.target);
    expect(isStation(ask.host) && isStation(ask.hardware)).toBe(true);
    expect(ask.forwarder).toBeLessThanOrEqual(FORWARDER_MAX);
    if (ask.turn) expect(ask.address).not.toBeNull();
    const reply = answers.reply(ask, 9);
    expect(answers.classify(reply)).toEqual({ kind: 'own', forwarder: 9 });
    // Nobody is answered with more than was asked, but for padding and the option.
    expect(reply.length).toBeLessThanOrEqual(86);
  }
  return heard;
}

describe('frames of the segment', () => {
  test('cut at every length', () => {
    for (const frame of SEEDS) {
      const whole = swallow(frame);
      for (let length = 0; length < frame.length; length++) {
        const heard = swallow(frame.subarray(0, length));
        if (heard.kind !== 'ignored') expect(heard).toEqual(whole); // only padding was cut
      }
    }
  });

  test('with any bytes changed', () => {
    const change = fc.record({ at: fc.nat(90), to: fc.nat(255) });
    const property = fc.property(fc.constantFrom(...SEEDS), fc.array(change, { maxLength: 6 }), (seed, changes) => {
      const frame = Uint8Array.from(seed);
      for (const { at, to } of changes) frame[at % frame.length] = to;
      swallow(frame);
      swallow(withRightChecksum(frame));
    });
    fc.assert(property, { numRuns: FUZZ_RUNS });
  });

  test('of nothing but chance', () => {
    const type = fc.constantFrom(0x0806, 0x86dd, 0x8100, 0x88b5, 0x0800);
    const property = fc.property(fc.uint8Array({ maxLength: 200 }), type, (bytes, of) => {
      if (bytes.length >= 14) bytes.set([of >> 8, of & 0xff], 12);
      swallow(bytes);
    });
    fc.assert(property, { numRuns: FUZZ_RUNS });
  });

  test('inside a larger buffer nothing before or behind is read', () => {
    for (const frame of SEEDS) {
      const large = new Uint8Array(frame.length + 100).fill(0xff);
      large.set(frame, 50);
      expect(answers.classify(large.subarray(50, 50 + frame.length))).toEqual(answers.classify(frame));
    }
  });
});
