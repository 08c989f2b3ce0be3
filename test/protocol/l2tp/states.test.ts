/** The tables of RFC 2661 §7.2 and §7.4, line by line, and what comes of messages that nobody should send. */
import { describe, expect, test } from 'vitest';
import type { L2tpSession } from '../../../src/protocol/l2tp/session.js';
import type { AvpInput } from '../../../src/tunnels/l2tp/avp.js';
import type { L2tpMessageInput } from '../../../src/tunnels/l2tp/message.js';
import { buildMessage } from '../../../src/tunnels/l2tp/message.js';
import { LAC, LNS } from './pair.js';
import { CONNECT, id, M, PEER_TUNNEL, result, Scripted, serial, start } from './scripted.js';

const at = (scripted: Scripted): (string | undefined)[] =>
  [...scripted.endpoint.tunnels.values()].map(({ state }) => state);
const down = (scripted: Scripted): unknown => scripted.events.find(({ type }) => type === 'tunnel-down');
const ACCM: AvpInput = { type: 35, value: { send: 1, receive: 2 } };
const ERRORS: AvpInput = { type: 34, value: { crc: 1 } };

/** We have dialled; the SCCRQ is out. */
function dialling(profile = {}): Scripted {
  const scripted = new Scripted();
  scripted.endpoint.open(LAC, profile, 0);
  scripted.turn();
  expect(scripted.names()).toEqual(['SCCRQ']);
  return scripted;
}

describe('a control connection', () => {
  test.each<[string, L2tpMessageInput]>([
    ['SCCRQ', { type: M.SCCRQ, avps: start() }],
    ['SCCCN', { type: M.SCCCN }],
    ['Hello', { type: M.Hello }],
    ['ICRQ', { type: M.ICRQ, avps: [id(1), serial] }],
    ['FSQ', { type: M.FSQ, avps: [{ type: 79, value: { session: 1, remoteSession: 1 } }] }],
  ])('waiting for its SCCRP: %s ends it with result 7', (_, message) => {
    const scripted = dialling();
    scripted.say({ ...message, nr: 1 });
    expect(scripted.names()).toEqual(['StopCCN']);
    expect(down(scripted)).toMatchObject({ by: 'us', result: 7 });
  });

  test.each<[string, L2tpMessageInput]>([
    ['SCCRQ', { type: M.SCCRQ, avps: start() }],
    ['SCCRP', { type: M.SCCRP, avps: start() }],
    ['ICCN', { type: M.ICCN, session: 1, avps: CONNECT }],
    ['Hello', { type: M.Hello }],
  ])('waiting for its SCCCN: %s ends it', (_, message) => {
    const scripted = new Scripted();
    scripted.say({ type: M.SCCRQ, tunnel: 0, avps: start() });
    expect(scripted.names()).toEqual(['SCCRP']);
    scripted.say(message);
    expect(scripted.names()).toEqual(['StopCCN']);
    expect(down(scripted)).toMatchObject({ by: 'us', result: 7 });
  });

  test.each(['SCCRQ', 'SCCRP', 'SCCCN'] as const)('established: %s ends it', (name) => {
    const scripted = new Scripted();
    scripted.dialled();
    scripted.say({ type: M[name], avps: name === 'SCCCN' ? [] : start() });
    expect(scripted.names()).toEqual(['StopCCN']);
    expect(at(scripted)).toEqual(['closing']);
    scripted.say({});
    expect(at(scripted)).toEqual([]);
  });

  test('in any state a StopCCN ends it, with the peer’s words; it is acknowledged for a whole cycle', () => {
    const scripted = dialling();
    const stop = { type: M.StopCCN, avps: [{ type: 9, value: PEER_TUNNEL }, result(4, 0)] };
    scripted.say({ ...stop, nr: 1 });
    expect(down(scripted)).toMatchObject({ by: 'peer', result: 4 });
    scripted.pass(0.1);
    scripted.pass(20);
    scripted.ns = 0;
    expect(scripted.say({ ...stop, nr: 1 })).toBe('taken');
    expect(scripted.sent.map(({ name, tunnel }) => [name, tunnel])).toEqual([
      ['ZLB', PEER_TUNNEL],
      ['ZLB', PEER_TUNNEL],
    ]);
    scripted.pass(20);
    expect(scripted.say({ ...stop, nr: 1 })).toBe('unknown-tunnel');
  });

  test('whoever has sent an SCCRQ may take it back with a StopCCN for tunnel 0', () => {
    const scripted = new Scripted();
    scripted.say({ type: M.SCCRQ, tunnel: 0, avps: start() });
    scripted.names();
    expect(scripted.say({ type: M.StopCCN, tunnel: 0, avps: [{ type: 9, value: PEER_TUNNEL }, result(1)] })).toBe(
      'taken',
    );
    expect(down(scripted)).toMatchObject({ by: 'peer', result: 1 });
    const other = { type: M.StopCCN, tunnel: 0, avps: [{ type: 9, value: 99 }, result(1)] };
    expect(scripted.say(other)).toBe('unknown-tunnel');
    expect(scripted.say({ type: M.Hello, tunnel: 0 })).toBe('tunnel-zero');
  });

  test('repeated SCCRQs make no second tunnel; a new one with the same id replaces the old when it stands', () => {
    const scripted = new Scripted();
    const old = scripted.dialled();
    scripted.ns = 0;
    scripted.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start() });
    expect([scripted.names(), scripted.endpoint.tunnels.size]).toEqual([[], 1]);
    scripted.ns = 0;
    scripted.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start({ type: 8, value: 'restarted' }) });
    expect([scripted.names(), old.state, scripted.endpoint.tunnels.size]).toEqual([['SCCRP'], 'established', 2]);
    scripted.say({ type: M.SCCCN, nr: 1 });
    expect([old.state, scripted.endpoint.tunnels.size]).toEqual(['closed', 1]);
    expect(down(scripted)).toMatchObject({ tunnel: old, by: 'replaced' });
  });

  test('not set up in time: it ends; nobody there: it ends too', () => {
    const scripted = new Scripted({ setupTimeout: 20 });
    scripted.say({ type: M.SCCRQ, tunnel: 0, avps: start() });
    scripted.names();
    scripted.say({});
    scripted.pass(20.5);
    expect([scripted.names(), down(scripted)]).toMatchObject([['StopCCN'], { by: 'timeout' }]);
    const alone = dialling({ setupTimeout: 100 });
    alone.pass(32);
    expect(alone.names()).toEqual(['SCCRQ', 'SCCRQ', 'SCCRQ', 'SCCRQ', 'SCCRQ']);
    expect(down(alone)).toMatchObject({ by: 'silence' });
    expect(alone.events.map((event) => ('tries' in event ? event.tries : event.type))).toEqual([
      2,
      3,
      4,
      5,
      6,
      'tunnel-down',
    ]);
  });

  test('a Hello that is not acknowledged makes the peer suspect, and heard again when it is', () => {
    const scripted = new Scripted({ helloInterval: 5 });
    const tunnel = scripted.dialled();
    scripted.names();
    scripted.pass(4);
    tunnel.heard(scripted.now);
    scripted.pass(4.5);
    expect(scripted.names()).toEqual([]);
    scripted.pass(2);
    expect(scripted.names()).toEqual(['Hello', 'Hello']);
    expect(scripted.events.at(-1)).toMatchObject({ type: 'suspect', tries: 2 });
    scripted.say({ nr: 2 });
    expect(scripted.events.at(-1)).toMatchObject({ type: 'heard', tunnel });
  });
});

describe('what an SCCRQ may not be', () => {
  const asked = (avps: AvpInput[], profile: object | null = {}, options = {}): Scripted => {
    const scripted = new Scripted(profile, options);
    scripted.say({ type: M.SCCRQ, tunnel: 0, avps });
    return scripted;
  };
  const refusal = (scripted: Scripted): unknown => scripted.sent[0]?.avps.find(({ type }) => type === 1)?.value;
  const without = (wanted: number): AvpInput[] => start().filter(({ type }) => type !== wanted);

  test.each<[string, AvpInput[], object]>([
    ['of another version', [{ type: 2, value: { version: 2, revision: 0 } }, ...without(2)], { result: 5, error: 256 }],
    ['without a Host Name', without(7), { result: 2, error: 6 }],
    ['with a window of 0', start({ type: 10, value: 0 }), { result: 2, error: 3 }],
    ['with an AVP that nobody knows and must', start({ type: 999, value: new Uint8Array(2) }), { result: 2, error: 8 }],
    [
      'with one of a vendor that must be known',
      start({ vendor: 9, type: 1, mandatory: true }),
      { result: 2, error: 8 },
    ],
    ['with a number of the wrong length', start({ type: 10, value: Uint8Array.of(1) }), { result: 2, error: 2 }],
    [
      'with a hidden AVP, and no secret',
      start({ type: 11, value: new Uint8Array(20), hidden: true }),
      { result: 2, error: 8 },
    ],
    ['with a challenge, and no secret', start({ type: 11, value: new Uint8Array(16) }), { result: 4 }],
  ])('%s: StopCCN with the code', (_, avps, code) => expect(refusal(asked(avps))).toMatchObject(code));

  test('what need not be understood is let be', () => {
    const scripted = asked(
      start(
        { vendor: 9, type: 1 },
        { type: 999, mandatory: false, value: new Uint8Array(3) },
        { type: 6, value: Uint8Array.of(1), mandatory: false },
        { type: 11, value: new Uint8Array(20), hidden: true, mandatory: false },
      ),
    );
    expect(scripted.names()).toEqual(['SCCRP']);
  });

  test('of nobody: it is refused, each time, and nothing is kept', () => {
    const scripted = asked(start(), null);
    expect(refusal(scripted)).toMatchObject({ result: 4 });
    scripted.ns = 0;
    expect(scripted.say({ type: M.SCCRQ, tunnel: 0, avps: start() })).toBe('not-authorised');
    expect([scripted.names(), scripted.endpoint.tunnels.size]).toEqual([['StopCCN', 'StopCCN'], 0]);
  });

  test('one too many: half-open, or at all', () => {
    const limits = { halfOpen: 1, tunnels: 2 };
    const scripted = asked(start(), {}, { limits });
    const dial = (port: number): string => {
      scripted.ns = 0;
      return scripted.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start() }, { ...LAC, port });
    };
    expect([scripted.names(), dial(2)]).toEqual([['SCCRP'], 'half-open-limit']);
    expect(refusal(scripted)).toMatchObject({ result: 2, error: 4 });
    scripted.say({ type: M.SCCCN, nr: 1 });
    expect([dial(3), scripted.endpoint.tunnels.size]).toEqual(['taken', 2]);
    const [, second] = scripted.endpoint.tunnels.values();
    second.stop();
    expect(dial(4)).toBe('tunnel-limit');
    expect(scripted.endpoint.open(LNS, {}, 0)).toBeNull();
    // It goes on answering repetitions for a while once it is closed, but has made room.
    for (const nr of [1, 2]) scripted.receive(buildMessage({ tunnel: second.localId, ns: 1, nr }), second.peer);
    expect([scripted.endpoint.tunnels.size, dial(5)]).toEqual([1, 'taken']);
  });

  test('one of a flood: the oldest that shows no sign of life gives way, one that does stays', () => {
    const scripted = new Scripted({}, { limits: { halfOpen: 2 } });
    const dial = (port: number): string => {
      scripted.ns = 0;
      return scripted.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start() }, { ...LAC, port });
    };
    expect([dial(1), dial(2), dial(3)]).toEqual(['taken', 'taken', 'half-open-limit']);
    scripted.pass(4);
    expect([dial(3), dial(4), dial(5)]).toEqual(['taken', 'taken', 'half-open-limit']);
    expect(scripted.endpoint.counters['half-open-dropped']).toBe(2);
    expect(down(scripted)).toMatchObject({ by: 'silence' });
    for (const { localId, peer } of [...scripted.endpoint.tunnels.values()]) {
      scripted.receive(buildMessage({ tunnel: localId, ns: 1, nr: 1 }), peer);
    }
    scripted.pass(4);
    expect(dial(6)).toBe('half-open-limit');
  });

  test('without an id: nobody could be answered', () => {
    const scripted = new Scripted();
    const avps = [...without(9), { type: 9, value: 0 }];
    expect(scripted.say({ type: M.SCCRQ, tunnel: 0, avps })).toBe('l2tp-no-tunnel-id');
    expect(scripted.say({ type: M.SCCRQ, tunnel: 0, ns: 7, avps: start() })).toBe('bad-request');
  });
});

describe('a call', () => {
  /** The peer's call at this point of its life. */
  function called(
    stage: 'requested' | 'answered' | 'established',
    request: 'ICRQ' | 'OCRQ' = 'ICRQ',
  ): [Scripted, L2tpSession] {
    const scripted = new Scripted();
    const tunnel = scripted.dialled();
    const outgoing: AvpInput[] = [
      { type: 16, value: 1 },
      { type: 17, value: 2 },
      { type: 18, value: 1 },
      { type: 19, value: 1 },
      { type: 21, value: '1' },
    ];
    if (stage === 'requested') scripted.act = () => {};
    scripted.say({ type: M[request], avps: [id(77), serial, ...(request === 'OCRQ' ? outgoing : [])] });
    const [session] = tunnel.sessions.values();
    if (stage === 'established' && request === 'ICRQ')
      scripted.say({ type: M.ICCN, session: session.localId, avps: CONNECT });
    if (stage === 'established' && request === 'OCRQ') session.connect({ txSpeed: 1 });
    scripted.turn();
    scripted.names();
    return [scripted, session];
  }
  /** Ours. */
  function calling(
    stage: 'wait-reply' | 'answered' | 'established',
    kind: 'incoming' | 'outgoing',
  ): [Scripted, L2tpSession] {
    const scripted = new Scripted();
    const session = scripted.dialled().call(kind) as L2tpSession;
    scripted.turn();
    if (stage !== 'wait-reply') {
      scripted.say({ type: kind === 'incoming' ? M.ICRP : M.OCRP, session: session.localId, avps: [id(77)] });
    }
    if (stage === 'established' && kind === 'incoming') session.connect({ txSpeed: 1 });
    if (stage === 'established' && kind === 'outgoing')
      scripted.say({ type: M.OCCN, session: session.localId, avps: CONNECT });
    scripted.turn();
    scripted.names();
    return [scripted, session];
  }
  const message = (name: keyof typeof M, session: L2tpSession): L2tpMessageInput => ({
    type: M[name],
    session: session.localId,
    avps: name === 'ICCN' || name === 'OCCN' ? CONNECT : [id(78), serial],
  });

  test.each([
    ['requested', 'ICRQ', 'requested', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
    ['answered', 'ICRQ', 'wait-connect', ['ICRP', 'OCRP', 'OCCN']],
    ['established', 'ICRQ', 'established', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
    ['answered', 'OCRQ', 'wait-answer', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
    ['established', 'OCRQ', 'established', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
  ] as const)('of the peer, %s (%s, state %s): %j end it with a CDN', (stage, request, state, improper) => {
    for (const name of improper) {
      const [scripted, session] = called(stage, request);
      expect(session.state).toBe(state);
      scripted.say(message(name, session));
      expect([name, scripted.names(), session.state]).toEqual([name, ['CDN'], 'closed']);
      expect(scripted.events.at(-1)).toMatchObject({ type: 'session-down', by: 'us', result: 2 });
    }
  });

  test.each([
    ['wait-reply', 'incoming', 'wait-reply', ['ICCN', 'OCRP', 'OCCN']],
    ['answered', 'incoming', 'wait-answer', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
    ['established', 'incoming', 'established', ['ICRP', 'ICCN', 'OCRP', 'OCCN']],
    ['wait-reply', 'outgoing', 'wait-reply', ['OCCN', 'ICRP', 'ICCN']],
    ['answered', 'outgoing', 'wait-connect', ['OCRP', 'ICRP', 'ICCN']],
    ['established', 'outgoing', 'established', ['OCRP', 'OCCN', 'ICRP', 'ICCN']],
  ] as const)('of ours, %s (%s, state %s): %j end it with a CDN', (stage, kind, state, improper) => {
    for (const name of improper) {
      const [scripted, session] = calling(stage, kind);
      expect(session.state).toBe(state);
      scripted.say(message(name, session));
      expect([name, scripted.names(), session.state]).toEqual([name, ['CDN'], 'closed']);
    }
  });

  test('a CDN ends it in any state, also one that names the peer’s id alone; causes are told', () => {
    const cdn = {
      type: M.CDN,
      avps: [result(2, 4), id(77), { type: 12, value: { cause: 16, message: 69, advisory: 'a' } }],
    };
    for (const stage of ['requested', 'answered', 'established'] as const) {
      const [scripted, session] = called(stage);
      scripted.say({ ...cdn, session: stage === 'requested' ? 0 : session.localId });
      expect([scripted.names(), session.state]).toEqual([[], 'closed']);
      const cause = { q931: { cause: 16, message: 69, advisory: 'a' } };
      expect(scripted.events.at(-1)).toMatchObject({ type: 'session-down', by: 'peer', result: 2, error: 4, cause });
    }
  });

  test('asked for twice under one id: the first is ended', () => {
    const [scripted, session] = called('established');
    scripted.say({ type: M.ICRQ, avps: [id(77), serial] });
    expect([scripted.names(), session.state]).toEqual([['CDN'], 'closed']);
  });

  test('messages for calls that are not there, or without an id, change nothing', () => {
    const [scripted, session] = called('established');
    const other = (session.localId % 0xffff) + 1;
    for (const name of ['ICRP', 'ICCN', 'CDN', 'SLI', 'WEN'] as const) {
      const avps = name === 'CDN' ? [result(1), id(5)] : name === 'SLI' ? [ACCM] : name === 'WEN' ? [ERRORS] : CONNECT;
      scripted.say({ type: M[name], session: other, avps: name === 'ICRP' ? [id(5)] : avps });
    }
    scripted.say({ type: M.ICRQ, avps: [id(0), serial] });
    expect([scripted.names(), session.state]).toEqual([[], 'established']);
    expect(scripted.endpoint.counters).toMatchObject({ 'unknown-session': 5, 'no-session-id': 1 });
  });

  test('with an AVP that must be understood and cannot be: that call ends, the tunnel stands', () => {
    const [scripted, session] = called('answered');
    scripted.say({
      type: M.ICCN,
      session: session.localId,
      avps: [...CONNECT, { type: 500, value: new Uint8Array(1) }],
    });
    expect([scripted.names(), at(scripted)]).toEqual([['CDN'], ['established']]);
    expect(scripted.events.at(-1)).toMatchObject({ type: 'session-down', result: 2, error: 8 });
    scripted.say({ type: M.ICRQ, avps: [id(80)] });
    expect([scripted.names(), scripted.endpoint.counters['calls-refused']]).toEqual([['CDN'], 1]);
  });

  test('is not set up in time: CDN with result 10', () => {
    const [scripted, session] = called('answered');
    scripted.say({});
    scripted.pass(61);
    expect(scripted.events.filter(({ type }) => type === 'session-down')).toMatchObject([
      { session, by: 'timeout', result: 10 },
    ]);
  });

  test('beyond the limit of its tunnel: refused with result 4', () => {
    const scripted = new Scripted({ sessionLimit: 1 });
    const tunnel = scripted.dialled();
    for (const peerId of [1, 2]) scripted.say({ type: M.ICRQ, avps: [id(peerId), serial] });
    expect([scripted.names(), tunnel.call('incoming')]).toEqual([['ICRP', 'CDN'], null]);
    expect(scripted.endpoint.counters['session-limit']).toBe(2);
  });

  test('SLI and WEN are heard in a call that stands, and sent', () => {
    const [scripted, session] = called('established');
    scripted.say({ type: M.SLI, session: session.localId, avps: [ACCM] });
    scripted.say({ type: M.WEN, session: session.localId, avps: [ERRORS] });
    expect(scripted.events.slice(-2)).toMatchObject([
      { type: 'sli', session, send: 1, receive: 2 },
      { type: 'wen', session, errors: { crc: 1, alignment: 0 } },
    ]);
    expect([session.sendSli(1, 2), called('answered')[1].sendSli(1, 2)]).toEqual([true, false]);
  });

  test('refused by its owner: CDN, and no event; the LAC of an outgoing call names its channel', () => {
    const [scripted, session] = called('requested');
    session.refuse(8, 0, 'busy', { ppp: { code: 1, protocol: 0, direction: 0, message: 'x' } });
    scripted.turn();
    expect(scripted.sent.at(-1)?.avps.map(({ type }) => type)).toEqual([0, 1, 14, 46]);
    expect([session.state, scripted.events.at(-1)?.type]).toEqual(['closed', 'call']);
    session.refuse(8);
    session.accept();
    session.connect({});
    session.hangUp(1);
    scripted.turn();
    expect(scripted.names()).toEqual(['CDN']);
    const [other, outgoing] = called('requested', 'OCRQ');
    outgoing.accept({ physicalChannel: 9 });
    other.turn();
    expect(other.sent.at(-1)?.avps.at(-1)).toMatchObject({ type: 25, value: 9 });
  });
});

describe('messages of no use', () => {
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'l2tp-truncated'],
    ['L2TPv3', Uint8Array.of(0xc8, 3, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0), 'l2tp-version'],
    ['data', Uint8Array.of(0, 2, 0, 1, 0, 1, 0xff, 3), 'not-control'],
    ['a tunnel that is not there', buildMessage({ type: M.Hello, tunnel: 999 }), 'unknown-tunnel'],
    ['a ZLB for tunnel 0', buildMessage({}), 'tunnel-zero'],
  ])('%s: dropped and counted', (_, bytes, word) => {
    const scripted = new Scripted();
    expect([scripted.receive(bytes), scripted.endpoint.counters[word], scripted.raw]).toEqual([word, 1, []]);
  });

  test('from another address or port than the peer’s: dropped', () => {
    const scripted = new Scripted();
    scripted.dialled();
    expect(scripted.say({ type: M.Hello }, { ...LAC, port: 9 })).toBe('wrong-peer');
    expect(scripted.say({ type: M.Hello }, LNS)).toBe('wrong-peer');
  });

  test('AVPs that cannot be told apart, in a standing tunnel: it is ended', () => {
    const scripted = new Scripted();
    scripted.dialled();
    const bytes = buildMessage({
      type: M.ICRQ,
      tunnel: scripted.tunnel,
      ns: scripted.ns,
      nr: 1,
      avps: [id(1), serial],
    });
    bytes[21] = 99;
    expect(scripted.receive(bytes)).toBe('taken');
    expect([scripted.names(), down(scripted)]).toMatchObject([['StopCCN'], { result: 2, error: 2 }]);
  });

  test('of a type that nobody knows: ended where it is mandatory, else let be', () => {
    const scripted = new Scripted({}, { vendors: [5] });
    scripted.dialled();
    scripted.say({ type: 200, mandatory: false });
    scripted.say({ type: 1, vendor: 9, mandatory: false });
    scripted.say({ type: 1, vendor: 5 });
    expect([scripted.names(), scripted.endpoint.counters['unknown-message']]).toEqual([[], 2]);
    expect(scripted.events.at(-1)).toMatchObject({ type: 'vendor', session: null });
    scripted.say({ type: 1, vendor: 9 });
    expect([scripted.names(), down(scripted)]).toMatchObject([['StopCCN'], { result: 2, error: 8 }]);
  });

  test('a peer that asks and acknowledges nothing is heard no further than the queue goes', () => {
    const scripted = new Scripted({ reliable: { queueLimit: 10 }, sessionLimit: 1 });
    scripted.dialled();
    const words = Array.from({ length: 40 }, (_, n) =>
      scripted.say({ type: M.ICRQ, nr: 1, avps: [id(n + 1), serial] }),
    );
    expect(words.filter((word) => word === 'queue-full').length).toBeGreaterThan(20);
    expect(scripted.endpoint.counters['queue-full']).toBeGreaterThan(20);
  });
});
