import { describe, expect, test } from 'vitest';
import type { DesignatorError } from '../../src/errors.js';
import type { XdpDeviceFacts } from '../../src/io/xdp-features.js';
import { decideIo, type IoRequest, type XdpFacts } from '../../src/io/xdp-probe.js';

const device = (name: string, change: Partial<XdpDeviceFacts> = {}): XdpDeviceFacts => ({
  name,
  index: name === 'wan0' ? 2 : 3,
  mtu: 1500,
  native: true,
  redirectInto: true,
  transmit: true,
  kind: '',
  rxVlan: 'off',
  zeroCopy: true,
  queues: 1,
  foreign: null,
  ...change,
});
const facts = (change: Partial<XdpFacts> = {}, outside: Partial<XdpDeviceFacts> = {}): XdpFacts => ({
  arch: 'x64',
  refusal: null,
  devices: [device('wan0', outside), device('lan0')],
  tagged: [],
  ...change,
});
const thrown = (request: IoRequest, given: XdpFacts): DesignatorError => {
  try {
    decideIo(request, true, given);
  } catch (error) {
    return error as DesignatorError;
  }
  throw new Error('nothing was thrown');
};

describe('decideIo', () => {
  test('packet asks for nothing and needs nothing', () => {
    const given = facts({ arch: 'arm64', refusal: { code: 'TD_NO_PERMISSION', reason: 'no' } });
    expect(decideIo('packet', true, given)).toMatchObject({
      io: 'packet',
      offload: false,
      reasons: [],
      words: 'packet',
    });
  });

  const obstacles: readonly [string, XdpFacts, string, RegExp, number][] = [
    ['another architecture', facts({ arch: 'arm64' }), 'TD_UNAVAILABLE', /x64 only, not arm64/, 69],
    [
      'no right',
      facts({ refusal: { code: 'TD_NO_PERMISSION', reason: 'CAP_BPF is needed' } }),
      'TD_NO_PERMISSION',
      /CAP_BPF/,
      77,
    ],
    [
      'no kernel',
      facts({ refusal: { code: 'TD_UNAVAILABLE', reason: 'no AF_XDP' } }),
      'TD_UNAVAILABLE',
      /no AF_XDP/,
      69,
    ],
    [
      'a foreign program',
      facts({}, { foreign: 'stats (id 7)' }),
      'TD_CONFLICT',
      /stats \(id 7\), is on wan0.*never replaced.*xdp off/,
      69,
    ],
    ['a large MTU', facts({}, { mtu: 3499 }), 'TD_UNAVAILABLE', /MTU of 3499.*at most 3498/, 69],
  ];
  test.each(obstacles)('%s: auto says why and falls back', (_, given, _code, words) => {
    const { reasons, ...decision } = decideIo('auto', true, given);
    expect(decision).toEqual({ io: 'packet', mode: 'native', offload: false, copy: 'copy', words: 'packet' });
    expect(reasons).toEqual([expect.stringMatching(words)]);
  });
  test.each(obstacles)('%s: asked for, it is an error', (_, given, code, words, exitStatus) => {
    expect(thrown('xdp', given)).toMatchObject({ code, exitStatus, message: expect.stringMatching(words) });
  });
  test('all obstacles are told at once, and the first decides the exit status', () => {
    const given = facts({ refusal: { code: 'TD_NO_PERMISSION', reason: 'no right' } }, { mtu: 9000 });
    expect(thrown('xdp', given)).toMatchObject({
      exitStatus: 77,
      message: 'io: xdp: no right; wan0 has an MTU of 9000; XDP needs frames that fit into one page: at most 3498',
    });
  });
  test('tags that the device takes out for good', () => {
    const given = facts({ tagged: ['wan0'] }, { rxVlan: 'fixed' });
    expect(thrown('xdp', given)).toMatchObject({ exitStatus: 69, message: expect.stringMatching(/VLAN tags .*fixed/) });
    expect(decideIo('auto', true, given)).toMatchObject({ io: 'packet', words: 'packet' });
    expect(decideIo('xdp', true, facts({}, { rxVlan: 'fixed' })).io).toBe('xdp');
    expect(decideIo('xdp', true, facts({ tagged: ['wan0'] }, { rxVlan: 'on' })).io).toBe('xdp');
  });
  test("a veth's tags are as its far end sends them: told, and not chosen unasked", () => {
    const given = facts({ tagged: ['wan0'] }, { kind: 'veth' });
    expect(decideIo('auto', true, given)).toMatchObject({
      io: 'packet',
      reasons: [expect.stringMatching(/txvlan off/)],
    });
    expect(decideIo('xdp', true, given)).toMatchObject({
      io: 'xdp',
      mode: 'native',
      reasons: [expect.stringMatching(/txvlan off/)],
    });
    expect(decideIo('auto', true, facts({}, { kind: 'veth' })).io).toBe('xdp');
  });
  test('the largest MTU that fits is none', () => {
    expect(decideIo('xdp', true, facts({}, { mtu: 3498 })).io).toBe('xdp');
  });

  test.each([
    ['one veth for both sides: redirected back', [device('wan0', { transmit: false })], true, 'native', /^$/],
    ['without offload', [device('wan0', { transmit: false })], false, 'native', /^$/],
    ['two of them', [device('wan0', { transmit: false }), device('lan0', { transmit: false })], true, 'native', /^$/],
  ])('%s', (_, devices, offload, mode, words) => {
    const decision = decideIo('auto', offload, facts({ devices }));
    expect(decision).toMatchObject({ io: 'xdp', mode, offload });
    expect(decision.reasons.join()).toMatch(words);
  });

  // Per device: native, redirectInto, zeroCopy; for both values of offload what comes of it.
  const combinations = [true, false].flatMap((native) =>
    [true, false, null].flatMap((redirectInto) =>
      [true, false].flatMap((zeroCopy) =>
        [true, false].map((offload) => ({ native, redirectInto, zeroCopy, offload })),
      ),
    ),
  );
  test.each(combinations)('%j', ({ native, redirectInto, zeroCopy, offload }) => {
    for (const request of ['auto', 'xdp'] as const) {
      for (const oneArm of [false, true]) {
        const odd = device('wan0', { native: native || 'wan0 has no native XDP', redirectInto, zeroCopy });
        const decision = decideIo(request, offload, facts({ devices: oneArm ? [odd] : [device('lan0'), odd] }));
        const isNative = native && !(offload && redirectInto === false);
        expect(decision).toMatchObject({
          io: 'xdp',
          mode: isNative ? 'native' : 'generic',
          offload,
          copy: isNative && zeroCopy ? 'auto' : 'copy',
          words: !isNative ? 'xdp-generic' : zeroCopy ? 'xdp-native zero-copy' : 'xdp-native copy',
        });
        const said = decision.reasons.join('\n');
        expect(said.includes('no native XDP')).toBe(!native);
        expect(said.includes('into wan0 natively would be lost')).toBe(offload && redirectInto === false);
        expect(said.includes('cannot tell whether wan0')).toBe(isNative && offload && redirectInto === null);
        expect(said.includes('no zero-copy')).toBe(isNative && !zeroCopy);
      }
    }
  });
});
