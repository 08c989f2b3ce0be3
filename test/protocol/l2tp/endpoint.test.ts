/** What two endpoints agree upon: secrets, hidden AVPs, ties, floating ports, vendors; and what no bytes do. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENDPOINT_COUNTERS } from '../../../src/protocol/l2tp/counters.js';
import { type Due, DueQueue } from '../../../src/protocol/l2tp/due-queue.js';
import type { TunnelProfile } from '../../../src/protocol/l2tp/profile.js';
import type { L2tpSession } from '../../../src/protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../../src/protocol/l2tp/tunnel.js';
import { buildMessage, type L2tpMessageInput } from '../../../src/tunnels/l2tp/message.js';
import { LAC, LNS, Pair, readAll, seededDice } from './pair.js';
import { CONNECT, id, M, PEER_TUNNEL, Scripted, serial, start } from './scripted.js';

const dial = (pair: Pair, profile: TunnelProfile = {}): L2tpTunnel =>
  pair.lac.endpoint.open(LNS, profile, 0) as L2tpTunnel;
const only = (pair: Pair): L2tpTunnel => [...pair.lns.endpoint.tunnels.values()][0];
const PROXY = {
  txSpeed: 1e6,
  rxSpeed: 2e6,
  framing: 1,
  sequencingRequired: true,
  privateGroup: Uint8Array.of(7),
  initialLcp: Uint8Array.of(1, 4, 5, 0xdc),
  lastSentLcp: Uint8Array.of(3, 5, 0xc2, 0x23, 5),
  lastReceivedLcp: Uint8Array.of(1, 4, 5, 0xdc),
  authType: 2,
  authName: 'alice@isp.example',
  authChallenge: new Uint8Array(16).fill(3),
  authId: 9,
  authResponse: new Uint8Array(16).fill(4),
};

describe('secrets', () => {
  test.each(['none', 'private', 'all'] as const)('AVPs hidden: %s; everything arrives', (hide) => {
    const profile: TunnelProfile = { secret: 'open sesame', hide };
    const pair = new Pair(profile, { vendorName: 'tunnel-designator', firmware: 3 });
    const { act } = pair.lac;
    pair.lac.act = (event) => {
      if (event.type === 'call-answered') event.session.connect(PROXY);
      else act(event);
    };
    const tunnel = dial(pair, profile);
    const session = tunnel.call('incoming', {
      called: '100',
      calling: '200',
      subAddress: '3',
      bearer: 1,
      physicalChannel: 5,
    });
    pair.run(3);
    const far = only(pair).sessions.get(session?.peerId ?? 0);
    const said = { called: '100', calling: '200', subAddress: '3', bearer: 1, physicalChannel: 5, serial: 1, ...PROXY };
    expect(far?.attributes).toEqual(said);
    expect([far?.sequencingRequired, session?.sequencingRequired, only(pair).vendorName]).toEqual([
      true,
      true,
      'tunnel-designator',
    ]);
    const hidden = pair.sent.flatMap(({ bytes }) =>
      readAll(bytes)
        .avps.filter((avp) => avp.hidden)
        .map(({ type }) => type),
    );
    if (hide === 'none') expect(hidden).toEqual([]);
    else expect(hidden).toEqual(expect.arrayContaining([21, 22, 23, 30, 31, 32, 33]));
    expect(hidden.includes(9)).toBe(hide === 'all');
    const texts = pair.sent.map(({ bytes }) => Buffer.from(bytes).toString('latin1')).join();
    expect(texts.includes('alice')).toBe(hide === 'none');
  });

  test('a secret that only one end wants to see proved; a wrong one; an answer that does not come', () => {
    const pair = new Pair({ secret: 'x', authenticate: false });
    dial(pair, { secret: 'x' });
    pair.run(1);
    expect(pair.types(pair.lac)).toEqual(['tunnel-up']);
    const wrong = new Pair({ secret: 'x' });
    dial(wrong, { secret: 'y' });
    wrong.run(1);
    expect(wrong.lac.events).toMatchObject([{ type: 'tunnel-down', by: 'us', result: 4, message: 'wrong secret' }]);
    expect(wrong.lns.events.at(-1)).toMatchObject({ type: 'tunnel-down', by: 'peer', result: 4 });
    expect(wrong.lac.endpoint.counters['wrong-secret']).toBe(1);
    const silent = new Scripted({ secret: 'x' });
    silent.say({ type: M.SCCRQ, tunnel: 0, avps: start() });
    silent.names();
    silent.say({ type: M.SCCCN });
    expect(silent.events.at(-1)).toMatchObject({ type: 'tunnel-down', result: 4, message: 'no challenge response' });
  });

  test('a recorded SCCCN does not open another tunnel', () => {
    const pair = new Pair({ secret: 'x' });
    dial(pair, { secret: 'x' });
    pair.run(1);
    const [sccrq, , scccn] = pair.sent;
    const lns = new Scripted({ secret: 'x' });
    lns.receive(sccrq.bytes);
    lns.names();
    const replayed = scccn.bytes.slice();
    replayed.set([lns.tunnel >> 8, lns.tunnel & 0xff], 4);
    lns.receive(replayed);
    expect(lns.events.at(-1)).toMatchObject({ type: 'tunnel-down', result: 4, message: 'wrong secret' });
  });
});

describe('both dial', () => {
  const both = (tieBreaker: readonly [boolean, boolean]): [Pair, L2tpTunnel, L2tpTunnel] => {
    const pair = new Pair();
    const near = dial(pair, { tieBreaker: tieBreaker[0] });
    const far = pair.lns.endpoint.open(LAC, { tieBreaker: tieBreaker[1] }, 0) as L2tpTunnel;
    return [pair, near, far];
  };
  const standing = (pair: Pair): number[] => [pair.lac.endpoint.tunnels.size, pair.lns.endpoint.tunnels.size];

  test('the lower Tie Breaker wins; calls that wait for the other tunnel go with the one that stands', () => {
    const [pair, near, far] = both([true, true]);
    const calls = [near.call('incoming', { called: '1' }), far.call('outgoing', { called: '2' })] as L2tpSession[];
    pair.run(5);
    expect(standing(pair)).toEqual([1, 1]);
    expect([near.state, far.state].sort()).toEqual(['closed', 'established']);
    expect(calls.map(({ state }) => state)).toEqual(['established', 'established']);
    const loser = near.state === 'closed' ? pair.lac : pair.lns;
    expect(loser.events[0]).toMatchObject({ type: 'tunnel-down', by: 'tie' });
    expect(loser.endpoint.counters['tie-lost']).toBe(1);
  });

  test('one that has none loses; without any there are two', () => {
    const [pair, near, far] = both([false, true]);
    pair.run(5);
    expect([standing(pair), near.state, far.state]).toEqual([[1, 1], 'closed', 'established']);
    const [two] = both([false, false]);
    two.run(5);
    expect(standing(two)).toEqual([2, 2]);
  });

  test('equal ones: both throw again', () => {
    const scripted = new Scripted();
    scripted.endpoint.open(LAC, {}, 0);
    scripted.turn();
    const tie = scripted.sent[0].avps.find(({ type }) => type === 5)?.value as Uint8Array;
    scripted.names();
    expect(scripted.say({ type: M.SCCRQ, tunnel: 0, nr: 0, avps: start({ type: 5, value: tie }) })).toBe('tie-equal');
    const again = scripted.sent[0].avps.find(({ type }) => type === 5)?.value;
    expect(again).not.toEqual(tie);
    expect(scripted.names()).toEqual(['SCCRQ']);
    expect([...scripted.endpoint.tunnels.values()].map(({ state }) => state)).toEqual(['wait-reply']);
  });
});

describe('where the peer is', () => {
  test('an SCCRP from elsewhere is followed, or not heard where that is not wanted', () => {
    const FLOATED = { address: '192.0.2.9', port: 40_001, socket: 2 };
    const ask = (follow: boolean): [Scripted, string, L2tpTunnel] => {
      const scripted = new Scripted();
      const tunnel = scripted.endpoint.open(LNS, { follow }, 0) as L2tpTunnel;
      scripted.turn();
      scripted.names();
      return [scripted, scripted.say({ type: M.SCCRP, avps: start() }, FLOATED), tunnel];
    };
    const [scripted, word, tunnel] = ask(true);
    expect([word, tunnel.peer, scripted.sentTo.at(-1)]).toEqual(['taken', FLOATED, FLOATED]);
    expect(scripted.say({ type: M.Hello }, LNS)).toBe('wrong-peer');
    expect(ask(false)[1]).toBe('wrong-peer');
  });

  describe('an answer from elsewhere that is none to our request', () => {
    const ELSEWHERE = { address: '198.51.100.66', port: 1701, socket: 0 };
    const dialled = (profile: TunnelProfile): [Scripted, L2tpTunnel] => {
      const scripted = new Scripted();
      const tunnel = scripted.endpoint.open(LNS, profile, 0) as L2tpTunnel;
      scripted.turn();
      scripted.names();
      return [scripted, tunnel];
    };

    test.each<[string, Partial<L2tpMessageInput>]>([
      ['acknowledges nothing that we sent', { nr: 0 }],
      ['acknowledges more than we sent', { nr: 2 }],
      ['is not the first of its sender', { ns: 1 }],
      ['is no SCCRP', { type: M.Hello, avps: [] }],
      ['ends it with a number that is not its turn', { type: M.StopCCN, ns: 7 }],
    ])('%s: the request stands where it was sent', (_, message) => {
      const [scripted, tunnel] = dialled({});
      const bytes = buildMessage({ tunnel: tunnel.localId, ns: 0, nr: 1, type: M.SCCRP, avps: start(), ...message });
      expect(scripted.receive(bytes, ELSEWHERE)).toBe('foreign-answer');
      expect([tunnel.state, tunnel.peer, scripted.endpoint.counters['foreign-answer']]).toEqual(['wait-reply', LNS, 1]);
      expect(scripted.say({ type: M.SCCRP, avps: start() }, LNS)).toBe('taken');
      expect([tunnel.state, tunnel.peer]).toEqual(['established', LNS]);
    });

    test('does not prove the secret: it neither moves nor ends the request', () => {
      const [scripted, tunnel] = dialled({ secret: 'open sesame' });
      for (const more of [[], [{ type: 13, value: new Uint8Array(16) }]]) {
        const bytes = buildMessage({ type: M.SCCRP, tunnel: tunnel.localId, ns: 0, nr: 1, avps: start(...more) });
        expect(scripted.receive(bytes, ELSEWHERE)).toBe('foreign-answer');
      }
      expect([tunnel.state, tunnel.peer]).toEqual(['wait-reply', LNS]);
    });

    test('once it has been followed, the place that was dialled is heard no more', () => {
      const [scripted, tunnel] = dialled({});
      expect(scripted.say({ type: M.SCCRP, avps: start() }, ELSEWHERE)).toBe('taken');
      expect(scripted.say({ type: M.Hello }, LNS)).toBe('wrong-peer');
      expect([tunnel.state, tunnel.peer]).toEqual(['established', ELSEWHERE]);
    });
  });

  test('requests that are answered from another address of ours live there; refusals come from there too', () => {
    const global = { ...LAC, socket: 9 };
    const scripted = new Scripted({}, { answerFrom: ({ socket }) => (socket === LAC.socket ? 9 : socket) });
    const sccrq = buildMessage({ type: M.SCCRQ, tunnel: 0, ns: 0, nr: 0, avps: start() });
    expect(scripted.receive(sccrq)).toBe('taken');
    expect([...scripted.endpoint.tunnels.values()].map(({ peer }) => peer)).toEqual([global]);
    expect(scripted.receive(sccrq)).toBe('taken');
    expect(scripted.endpoint.tunnels.size).toBe(1);
    scripted.pass(3);
    expect(new Set(scripted.sentTo)).toEqual(new Set([global]));
    expect(scripted.endpoint.counters.repeated).toBe(1);
    const strict = new Scripted(null, { answerFrom: () => 9 });
    expect(strict.receive(sccrq)).toBe('not-authorised');
    expect(strict.sentTo).toEqual([global]);
  });

  test('an answer from another socket of ours (floating port)', () => {
    const scripted = new Scripted();
    scripted.act = (event) => {
      if (event.type === 'tunnel-request') event.tunnel.accept([], 3);
    };
    scripted.say({ type: M.SCCRQ, tunnel: 0, avps: start() });
    expect(scripted.sentTo).toEqual([{ ...LAC, socket: 3 }]);
  });
});

test('messages of a vendor go to whoever has said that it knows them', () => {
  const avps = [{ vendor: 32473, type: 1, value: Uint8Array.of(1) }];
  const pair = new Pair({ avps }, { vendors: [32473] });
  const tunnel = dial(pair, { avps });
  const session = tunnel.call('incoming') as L2tpSession;
  pair.run(1);
  expect([tunnel.speaks(32473), tunnel.speaks(9), only(pair).peerAvps.at(-1)?.vendor]).toEqual([true, false, 32473]);
  expect(tunnel.sendVendor({ vendor: 32473, type: 7, avps, session })).toBe(true);
  expect(tunnel.sendVendor({ vendor: 9, type: 7 })).toBe(false);
  pair.run(2);
  const event = pair.lns.events.at(-1);
  expect(event).toMatchObject({ type: 'vendor', tunnel: only(pair), session: only(pair).sessions.get(session.peerId) });
  const foreign = new Pair({ avps }, {});
  dial(foreign, {});
  foreign.run(1);
  expect(only(foreign).speaks(32473)).toBe(false);
});

test.each(['none', 'all'] as const)(
  'values that no AVP can hold are left out or refused, never thrown (hidden: %s)',
  (hide) => {
    const avps = [{ vendor: 32473, type: 1 }];
    const profile: TunnelProfile = { secret: 's', hide, avps };
    const pair = new Pair(profile, { vendors: [32473] });
    const { act } = pair.lac;
    const long = new Uint8Array(1400);
    pair.lac.act = (event) => {
      if (event.type !== 'call-answered') return act(event);
      const lcp = { initialLcp: new Uint8Array(990), lastSentLcp: long, lastReceivedLcp: new Uint8Array(991) };
      event.session.connect({ ...lcp, txSpeed: 1, authName: 'ä'.repeat(400), authResponse: long, authType: 3 });
    };
    const tunnel = dial(pair, profile);
    const session = tunnel.call('incoming', { called: 'x'.repeat(2000), calling: 'ü'.repeat(330) }) as L2tpSession;
    pair.run(2);
    const far = only(pair).sessions.get(session.peerId);
    expect(far?.attributes).toEqual({
      serial: 1,
      calling: 'ü'.repeat(330),
      txSpeed: 1,
      framing: 1,
      initialLcp: new Uint8Array(990),
      authType: 3,
    });
    expect(only(pair).call('outgoing', { called: 'y'.repeat(2000) })).not.toBeNull();
    pair.run(3);
    expect(pair.lac.endpoint.counters.unsendable + pair.lns.endpoint.counters.unsendable).toBe(0);
    expect(tunnel.sendVendor({ vendor: 32473, type: 1, avps: [{ vendor: 32473, type: 1, value: long }] })).toBe(false);
    expect(pair.lac.endpoint.counters.unsendable).toBe(1);
  },
);

test('the ids are of the range, and of no two tunnels', () => {
  const pair = new Pair({ tieBreaker: false }, { tunnelIds: [10, 12] });
  const ids = [1, 2, 3].map(() => dial(pair).localId);
  expect([[...ids].sort(), pair.lac.endpoint.open(LNS, {}, 0)]).toEqual([[10, 11, 12], null]);
  pair.lac.endpoint.setTunnelIds(20, 20);
  expect(dial(pair).localId).toBe(20);
  expect(pair.lac.endpoint.quiet).toBe(false);
});

test('events of one turn that the owner acts upon come in the order in which they happened', () => {
  const pair = new Pair();
  const tunnel = dial(pair);
  for (let n = 0; n < 50; n++) tunnel.call('incoming', { called: String(n) });
  pair.run(5);
  const calls = pair.lns.events
    .filter((event) => event.type === 'call')
    .map(({ session }) => session.attributes.called);
  expect(calls).toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
  tunnel.stop(6);
  pair.run(6);
  const types = pair.types(pair.lns).slice(-51);
  expect(types).toEqual([...Array.from({ length: 50 }, () => 'session-down'), 'tunnel-down']);
});

describe('bytes of anybody', () => {
  const WORDS = new Set(['taken', ...ENDPOINT_COUNTERS.map(([name]) => name)]);

  test('counter names are there once, with their meaning', () => {
    expect(new Set(ENDPOINT_COUNTERS.map(([name]) => name)).size).toBe(ENDPOINT_COUNTERS.length);
    expect(Object.values(new Scripted().endpoint.counters).every((count) => count === 0)).toBe(true);
  });

  test('never throw, and are taken or dropped under a name', () => {
    // A call in every state, and what a peer would say next, cut and changed at random.
    const messages: L2tpMessageInput[] = [
      { type: M.SCCRQ, avps: start({ type: 11, value: new Uint8Array(16) }, { type: 5, value: new Uint8Array(8) }) },
      { type: M.SCCRP, avps: start({ type: 13, value: new Uint8Array(16) }) },
      { type: M.SCCCN },
      {
        type: M.StopCCN,
        avps: [
          { type: 9, value: PEER_TUNNEL },
          { type: 1, value: { result: 2, error: 3, message: 'x' } },
        ],
      },
      { type: M.ICRQ, avps: [id(5), serial, { type: 22, value: '123' }] },
      { type: M.ICCN, avps: [...CONNECT, { type: 32, value: { id: 1 } }, { type: 30, value: 'a' }] },
      {
        type: M.CDN,
        avps: [{ type: 1, value: { result: 1 } }, id(5), { type: 46, value: { code: 1, protocol: 2, direction: 0 } }],
      },
      { type: M.WEN, avps: [{ type: 34, value: { crc: 1 } }] },
      { type: M.FSQ, avps: [{ type: 79, value: { session: 5, remoteSession: 6 } }] },
      { type: M.FSR, avps: [{ type: 79, value: { session: 0, remoteSession: 6 } }] },
      { type: 3, vendor: 32473, mandatory: false, avps: [{ vendor: 32473, type: 2, value: new Uint8Array(40) }] },
    ];
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1 << 30 }), fc.uint8Array({ maxLength: 64 }), (seed, noise) => {
        const dice = seededDice(seed);
        const scripted = new Scripted({ secret: dice(2) === 0 ? null : 's', sessionLimit: 3 }, { vendors: [32473] });
        if (dice(3) === 0) scripted.endpoint.open(LAC, { secret: null }, 0);
        scripted.turn();
        for (let n = 0; n < 12; n++) {
          const message = messages[dice(messages.length)];
          const tunnels = [...scripted.endpoint.tunnels.values()];
          const tunnel = dice(3) === 0 || tunnels.length === 0 ? 0 : tunnels[dice(tunnels.length)].localId;
          const sessions = tunnels.flatMap((t) => [...t.sessions.keys()]);
          const session = dice(2) === 0 || sessions.length === 0 ? 0 : sessions[dice(sessions.length)];
          const nr = tunnel === 0 ? 0 : (scripted.endpoint.tunnels.get(tunnel)?.ns ?? 0);
          const ns = tunnel === 0 ? 0 : (scripted.endpoint.tunnels.get(tunnel)?.nr ?? 0);
          let bytes = dice(8) === 0 ? noise : buildMessage({ ...message, tunnel, session, ns, nr });
          for (let flips = dice(4); flips > 0 && bytes.length > 0; flips--) bytes[dice(bytes.length)] = dice(256);
          if (dice(4) === 0) bytes = bytes.slice(0, dice(bytes.length + 1));
          // Cut short, but with a Length that says so: the AVPs inside are what is damaged.
          if (bytes.length >= 12 && dice(2) === 0) bytes.set([0xc8, 2, bytes.length >> 8, bytes.length & 0xff]);
          const word = scripted.receive(bytes);
          expect(WORDS).toContain(word);
          seen.add(word);
          scripted.pass(dice(3));
        }
        scripted.pass(1000);
        for (const { state } of scripted.endpoint.tunnels.values()) expect(state).toBe('established');
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 400), seed: 5 },
    );
    expect(seen.size).toBeGreaterThan(8);
  });
});

test('a due queue gives the earliest first, whatever was set, changed and taken out', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 19 }), fc.integer({ min: 0, max: 50 })), { maxLength: 200 }),
      (steps) => {
        const items = Array.from({ length: 20 }, (): Due => ({ dueAt: 0, duePlace: -1 }));
        const queue = new DueQueue<Due>();
        const model = new Map<Due, number>();
        for (const [n, at] of steps) {
          const time = at === 50 ? Number.POSITIVE_INFINITY : at;
          queue.set(items[n], time);
          if (time === Number.POSITIVE_INFINITY) model.delete(items[n]);
          else model.set(items[n], time);
          expect([queue.size, queue.nextTime]).toEqual([
            model.size,
            Math.min(Number.POSITIVE_INFINITY, ...model.values()),
          ]);
        }
        const times: number[] = [];
        for (let item = queue.take(100); item !== undefined; item = queue.take(100))
          times.push(model.get(item) as number);
        expect(times).toEqual([...model.values()].sort((a, b) => a - b));
      },
    ),
    { numRuns: 100 },
  );
});
