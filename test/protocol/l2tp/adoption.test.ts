/** Tunnels that go on in another process, and calls that go on in another tunnel. */
import { describe, expect, test } from 'vitest';
import type { L2tpSession } from '../../../src/protocol/l2tp/session.js';
import type { TunnelSnapshot } from '../../../src/protocol/l2tp/snapshot.js';
import type { L2tpTunnel } from '../../../src/protocol/l2tp/tunnel.js';
import { LAC, LNS, lossyLink, Pair, seededDice } from './pair.js';
import { CONNECT, id, M, Scripted } from './scripted.js';

const PATIENT = { reliable: { firstWait: 0.5, longestWait: 2, tries: 40 }, helloInterval: 30 };

const only = (end: Pair['lns']): L2tpTunnel => {
  const [tunnel] = end.endpoint.tunnels.values();
  if (tunnel === undefined) throw new Error('no tunnel');
  return tunnel;
};
const pairedWith = (session: L2tpSession, far: L2tpTunnel): L2tpSession | undefined => {
  const other = far.sessions.get(session.peerId);
  return other?.peerId === session.localId && other.state === 'established' ? other : undefined;
};

/** A pair with a tunnel and established calls. */
function established(
  calls: number,
  seed = 1,
  profile = PATIENT,
): { pair: Pair; near: L2tpTunnel; sessions: L2tpSession[] } {
  const pair = new Pair(profile, { vendors: [32473] }, seed);
  const near = pair.lac.endpoint.open(LNS, profile, 0) as L2tpTunnel;
  const sessions = Array.from({ length: calls }, (_, n) => near.call('incoming', { called: String(n) }) as L2tpSession);
  pair.run(5);
  expect(sessions.every((session) => pairedWith(session, only(pair.lns)) !== undefined)).toBe(true);
  return { pair, near, sessions };
}

function adopt(pair: Pair, snapshot: TunnelSnapshot): L2tpTunnel {
  pair.lns.remake(PATIENT);
  const adopted = pair.lns.endpoint.adopt(snapshot, LAC, pair.now);
  if (typeof adopted === 'string') throw new Error(adopted);
  return adopted;
}

describe('a tunnel that another process had', () => {
  test('goes on without a message but a Hello', () => {
    const { pair, near, sessions } = established(3);
    const snapshot = only(pair.lns).snapshot();
    expect(structuredClone(snapshot)).toEqual(snapshot); // plain data
    const before = pair.sent.length;
    const adopted = adopt(pair, snapshot);
    pair.run(10);
    expect(pair.names.slice(before)).toEqual(['Hello', 'ZLB']);
    expect(sessions.every((session) => pairedWith(session, adopted) !== undefined)).toBe(true);
    expect([adopted.ns, adopted.nr]).toEqual([near.nr, near.ns]);
    expect(adopted.delivery.settled).toBe(false); // nothing of the peer has been taken yet
    near.sendHello();
    pair.run(11);
    expect(adopted.delivery.settled).toBe(true);
    expect(adopted.snapshot()).toMatchObject({
      hostName: 'lac',
      localId: snapshot.localId,
      sessions: snapshot.sessions,
    });
  });

  test('finds its numbers, however much the other process did after its last news, over any way', () => {
    const RUNS = 300;
    let survived = 0;
    let hungUp = 0;
    for (let seed = 1; seed <= RUNS; seed++) {
      const told = `seed ${seed}`;
      const dice = seededDice(seed);
      const { pair, near, sessions } = established(4, seed);
      const snapshot = only(pair.lns).snapshot();
      // What the peer of the dead one never hears of.
      const { link } = pair;
      for (let n = dice(7); n > 0; n--) only(pair.lns).sessions.get(sessions[0].peerId)?.sendSli(n, n);
      for (let n = dice(7); n > 0; n--) {
        sessions[1].sendWen({ crc: n, framing: 0, hardwareOverruns: 0, bufferOverruns: 0, timeouts: 0, alignment: 0 });
      }
      if (dice(2) === 0) sessions[2].hangUp(3);
      if (dice(3) === 0) pair.link = (datagram, from) => (dice(100) < 40 ? [] : link(datagram, from));
      pair.run(pair.now + dice(4) * 0.4);
      // It dies, perhaps in the middle of something.
      pair.link = lossyLink(seed, (seed * 5) % 31, 10, 0.8);
      const adopted = adopt(pair, snapshot);
      pair.run(pair.now + dice(3) * 0.5);
      // A call that is asked for now may meet what the dead one sent last: it stands at both ends, or at none.
      const soon = near.call('incoming', { called: 'soon' }) as L2tpSession;
      sessions[3].hangUp(3);
      pair.run(pair.now + 70);
      const news = [
        near.call('incoming', { called: 'new' }) as L2tpSession,
        adopted.call('outgoing', { called: 'out' }) as L2tpSession,
      ];
      pair.run(pair.now + 120);
      expect([near.state, adopted.state, told]).toEqual(['established', 'established', told]);
      for (const session of [sessions[0], sessions[1]]) expect(pairedWith(session, adopted), told).toBeDefined();
      expect([news[0].state, news[1].state, told]).toEqual(['established', 'established', told]);
      expect(pairedWith(news[0], adopted), told).toBeDefined();
      expect(pairedWith(news[1], near), told).toBeDefined();
      expect(pairedWith(soon, adopted) !== undefined || soon.state === 'closed', told).toBe(true);
      survived += soon.state === 'closed' ? 0 : 1;
      expect(pairedWith(sessions[3], adopted), told).toBeUndefined();
      hungUp += adopted.sessions.has(sessions[3].peerId) ? 0 : 1;
      expect(pair.lns.endpoint.counters['improper-message'] + pair.lac.endpoint.counters['improper-message']).toBe(0);
    }
    // Nearly all of them: what is lost met a message of the dead one under the same number.
    expect(survived).toBeGreaterThan(RUNS * 0.9);
    expect(hungUp).toBeGreaterThan(RUNS * 0.95);
  });

  test('is not adopted twice, nor beyond the limit, nor from nonsense', () => {
    const { pair } = established(1);
    const snapshot = only(pair.lns).snapshot();
    const { endpoint } = pair.lns;
    expect(endpoint.adopt(snapshot, LAC, 5)).toBe('id-in-use');
    pair.lns.remake(PATIENT, { limits: { tunnels: 1 } });
    const twice = { ...snapshot, sessions: [...snapshot.sessions, ...snapshot.sessions] };
    expect(pair.lns.endpoint.adopt(twice, LAC, 5)).toBe('bad-snapshot');
    expect(pair.lns.endpoint.adopt({ ...snapshot, localId: 0 }, LAC, 5)).toBe('bad-snapshot');
    expect(pair.lns.endpoint.adopt({ ...snapshot, ns: 1.5 }, LAC, 5)).toBe('bad-snapshot');
    expect(pair.lns.endpoint.adopt({ ...snapshot, pending: [new Uint8Array(3)] }, LAC, 5)).toBe('bad-snapshot');
    expect(pair.lns.endpoint.adopt(snapshot, LAC, 5)).toBeInstanceOf(Object);
    expect(pair.lns.endpoint.adopt({ ...snapshot, localId: 7 }, LAC, 5)).toBe('limit');
    pair.lns.remake(PATIENT, { profile: () => null });
    expect(pair.lns.endpoint.adopt(snapshot, LAC, 5)).toBe('not-authorised');
  });

  test('what made its calls is no mistake when it comes again; another call under an old id takes its place', () => {
    const scripted = new Scripted();
    const tunnel = scripted.dialled();
    const free = { kind: 'incoming', ours: false, attributes: { serial: 5 } } as const;
    const [first, second] = [1, 2].map((n) => tunnel.adoptSession({ ...free, localId: n, peerId: n }) as L2tpSession);
    scripted.say({ type: M.ICCN, session: 1, avps: CONNECT });
    scripted.say({ type: M.ICRQ, avps: [id(1), { type: 15, value: 5 }] });
    expect([scripted.names(), first.state, scripted.endpoint.counters.repeated]).toEqual([[], 'established', 2]);
    scripted.say({ type: M.ICRQ, avps: [id(2), { type: 15, value: 6 }] });
    expect([scripted.names(), second.state]).toEqual([['ICRP'], 'closed']);
    expect(scripted.events.slice(-2)).toMatchObject([
      { type: 'session-down', session: second, by: 'peer' },
      { type: 'call' },
    ]);
    scripted.say({ type: M.ICRP, session: 1, avps: [id(9)] });
    expect([scripted.names(), first.state]).toEqual([['CDN'], 'closed']);
  });

  test('messages that the dead one had not got through arrive', () => {
    const { pair, sessions } = established(1);
    pair.link = () => [];
    const far = only(pair.lns).sessions.get(sessions[0].peerId);
    far?.sendSli(7, 8);
    pair.run(5.1);
    const snapshot = only(pair.lns).snapshot();
    expect(snapshot.pending).toHaveLength(1);
    pair.link = () => [0.01];
    adopt(pair, snapshot);
    pair.run(6);
    expect(pair.lac.events.at(-1)).toMatchObject({ type: 'sli', session: sessions[0], send: 7, receive: 8 });
  });
});

describe('calls that go on in another tunnel', () => {
  test('keep ids and objects; FSQ and FSR say which stand at both ends', () => {
    const { pair, near, sessions } = established(150);
    const far = only(pair.lns);
    const snapshots = sessions.map((session) => far.sessions.get(session.peerId)?.snapshot());
    const moved = pair.lac.endpoint.open(LNS, PATIENT, pair.now) as L2tpTunnel;
    expect(moved.moveHere(sessions[0])).toBe('state');
    pair.run(6);
    const other = [...pair.lns.endpoint.tunnels.values()][1];
    // The last one is not known there.
    for (const snapshot of snapshots.slice(0, -1)) if (snapshot !== undefined) other.adoptSession(snapshot);
    sessions[0].userData = 'mine';
    for (const session of sessions) expect(moved.moveHere(session)).toBe(true);
    expect([near.sessions.size, moved.sessions.size, sessions[0].tunnel, sessions[0].userData]).toEqual([
      0,
      150,
      moved,
      'mine',
    ]);
    expect(moved.moveHere(sessions[0])).toBe(true);
    near.forget();
    const before = pair.sent.length;
    expect(moved.sendFsq(sessions)).toBe(true);
    pair.run(7);
    expect(pair.names.slice(before).filter((name) => name !== 'ZLB')).toEqual(
      ['FSQ', 'FSQ', 'FSQ', 'FSR', 'FSR', 'FSR'].sort(),
    );
    const answers = pair.lac.events.filter((event) => event.type === 'failover-answer');
    expect(answers.flatMap(({ kept }) => kept)).toEqual(sessions.slice(0, -1));
    const lost = { localId: sessions[149].localId, peerId: sessions[149].peerId };
    expect(answers.flatMap((event) => event.lost)).toEqual([{ ...lost, peerId: 0 }]);
    const queries = pair.lns.events.filter((event) => event.type === 'failover-query');
    expect(queries.flatMap((event) => event.lost)).toEqual([{ localId: lost.peerId, peerId: lost.localId }]);
    sessions[1].hangUp(3);
    pair.run(8);
    expect(pair.lns.events.at(-1)).toMatchObject({ type: 'session-down', by: 'peer' });
    // The old tunnel was dropped without a word: the LNS still has it, until it asks.
    expect(far.state).toBe('established');
  });

  test('ids that are in use there are refused', () => {
    const { pair, near, sessions } = established(2);
    expect(near.adoptSession(sessions[0].snapshot())).toBe('id-in-use');
    expect(near.adoptSession({ ...sessions[0].snapshot(), localId: 0 })).toBe('state');
    const free = { ...sessions[0].snapshot(), localId: 1, peerId: 1 };
    const adopted = near.adoptSession(free);
    expect(adopted).toMatchObject({ localId: 1, state: 'established' });
    sessions[1].forget();
    expect([near.sessions.size, sessions[1].state, pair.lac.endpoint.events()]).toEqual([2, 'closed', []]);
  });
});
