/** Calls from their PADI to their end, with true PPPoE, PPP and L2TP engines at all ends, in virtual time. */
import { describe, expect, test } from 'vitest';
import type { LacCall } from '../../../src/roles/lac/call.js';
import { requestOf } from '../../../src/roles/lac/radius-question.js';
import type { NamedTunnel } from '../../../src/roles/lac/targets.js';
import { LacScene, type SceneOptions } from '../../helpers/lac-scene.js';

const A = '192.0.2.1';
const B = '192.0.2.2';
const C = '192.0.2.3';
const lines = (table: string, more = ''): string => `name: lac1
pppoe: { interfaces: eth1, sessions: 50 }
lns:
  - { name: a, address: ${A} }
  - { name: b, address: ${B} }
  - { name: c, address: ${C}, weight: 2 }
table: ${table}
tunnels: { setup: 5s, tries: 4, firstWait: 500ms, idle: 20s, dead: 60s }
${more}`;
const scene = (table: string, more = '', options: Partial<SceneOptions> = {}): LacScene =>
  new LacScene({ config: lines(table, more), ...options });

describe('the way of a call', () => {
  test('PPPoE, LCP and CHAP here, the rest at the LNS, which believes it: the client negotiates once', () => {
    const s = scene('[{ lns: a }]');
    const lns = s.lns(A);
    const client = s.client('alice@isp.example', 'internet');
    expect(s.run(() => client.isUp)).toBe(true);
    expect(client.negotiations).toBe(1);
    expect(lns.calls[0].attributes).toMatchObject({
      called: 'internet',
      calling: '02:00:00:01:00:01',
      authType: 2,
      authName: 'alice@isp.example',
    });
    const [row] = [...s.rows.values()];
    expect(row).toMatchObject({ state: 'forward', tunnel: { port: 1701, peerSessionId: lns.calls[0].localId } });
    client.say('hello');
    s.run(() => lns.data.length > 0);
    expect(lns.data).toEqual(['hello']);
  });

  test('PAP: name and password go to the LNS as they came', () => {
    const s = scene('[{ lns: a }]', 'ppp: { authentication: [pap] }');
    const lns = s.lns(A);
    const client = s.client('bob');
    expect(s.run(() => client.isUp)).toBe(true);
    expect(lns.calls[0].attributes).toMatchObject({ authType: 3, authName: 'bob' });
  });

  test('a wrong password is found by the LNS; its word ends the session at the client', () => {
    const s = scene('[{ lns: a }]');
    s.lns(A);
    const client = s.client('alice', '', 'wrong');
    expect(s.run(() => client.ended !== null)).toBe(true);
    expect(client.isUp).toBe(false);
    expect(s.desk.calls.size).toBe(0);
    expect(s.rows.size).toBe(0);
    expect(s.access.sessions.size).toBe(0);
  });

  test('relay: the LNS does all of PPP; frames that came before the tunnel stood are not lost', () => {
    const s = scene('[{ lns: a }]', 'ppp: { mode: relay }');
    const lns = s.lns(A);
    const client = s.client();
    expect(s.run(() => client.isUp, 10)).toBe(true);
    expect(lns.calls[0].attributes.initialLcp).toBeUndefined();
    expect(client.negotiations).toBe(1);
  });

  test('calls that lead to one LNS share a tunnel; without calls it ends after its idle time', () => {
    const s = scene('[{ lns: a }]');
    const lns = s.lns(A);
    const clients = Array.from({ length: 5 }, () => s.client());
    expect(s.run(() => clients.every(({ isUp }) => isUp))).toBe(true);
    expect(lns.endpoint.tunnels.size).toBe(1);
    for (const client of clients) client.padt();
    s.run(() => lns.ended.length === 5, 10);
    expect(lns.ended).toHaveLength(5);
    expect(s.desk.calls.size).toBe(0);
    expect(lns.ended[0]).toMatch(/^peer 1 /);
    expect(s.endpoint.tunnels.size).toBe(1);
    s.run(() => false, 30);
    expect(s.endpoint.tunnels.size).toBe(0);
  });

  test('a tunnel that is full gets a second beside it', () => {
    const s = new LacScene({ config: lines('[{ lns: a }]').replace(`${A} }`, `${A}, sessions: 2 }`) });
    const lns = s.lns(A);
    const clients = Array.from({ length: 5 }, () => s.client());
    expect(s.run(() => clients.every(({ isUp }) => isUp))).toBe(true);
    expect([...lns.endpoint.tunnels.values()].map(({ sessions }) => sessions.size)).toEqual([2, 2, 1]);
  });

  test('the secret is proved both ways; a wrong one leaves the LNS out', () => {
    const config = lines('[{ lns: [a, b] }]').replace(`${A} }`, `${A}, secret: one, hide: all }`);
    const s = new LacScene({ config });
    const [wrong, right] = [s.lns(A, 'two'), s.lns(B)];
    const client = s.client();
    expect(s.run(() => client.isUp)).toBe(true);
    expect([wrong.calls.length, right.calls.length]).toEqual([0, 1]);
    const other = new LacScene({ config });
    const good = other.lns(A, 'one');
    const second = other.client('carol');
    expect(other.run(() => second.isUp)).toBe(true);
    expect(good.calls[0].attributes.authName).toBe('carol');
  });
});

describe('several LNSs', () => {
  test('the dead one is given up in the set-up time, the call goes on to the next, later calls go there at once', () => {
    const s = scene('[{ lns: [a, b] }]');
    const [dead, next] = [s.lns(A), s.lns(B)];
    dead.isDead = true;
    const client = s.client();
    expect(s.run(() => client.isUp, 15)).toBe(true);
    const took = s.now;
    const second = s.client();
    expect(s.run(() => second.isUp, 15)).toBe(true);
    expect(s.now - took).toBeLessThan(1);
    expect(next.calls).toHaveLength(2);
    const places = new Map(s.keeper.places());
    expect(places.get(`${A}:1701`)).toMatchObject({
      calls: 0,
      failures: 1,
      reason: 'it does not answer',
    });
    // When its time is over it is asked first again.
    dead.isDead = false;
    s.run(() => false, 61);
    const third = s.client();
    expect(s.run(() => third.isUp, 15)).toBe(true);
    expect(dead.calls).toHaveLength(1);
  });

  test('an LNS that refuses a call for want of room is passed over', () => {
    const s = scene('[{ lns: [a, b] }]');
    const [full, next] = [s.lns(A), s.lns(B)];
    full.refuse = 4;
    const client = s.client();
    expect(s.run(() => client.isUp, 15)).toBe(true);
    expect(next.calls).toHaveLength(1);
    full.refuse = 0;
    s.run(() => false, 10);
    const later = s.client();
    expect(s.run(() => later.isUp, 15)).toBe(true);
    expect(full.calls).toHaveLength(1);
  });

  test('those of one priority share calls by weight', () => {
    const s = scene('[{ lns: [[a, c], b] }]');
    const [a, b, c] = [s.lns(A), s.lns(B), s.lns(C)];
    const clients = Array.from({ length: 12 }, () => s.client());
    expect(s.run(() => clients.every(({ isUp }) => isUp))).toBe(true);
    expect([a, b, c].map(({ calls }) => calls.length)).toEqual([4, 0, 8]);
  });

  test('when none can be reached the client is told why', () => {
    const s = scene('[{ lns: [a, b] }]');
    const client = s.client();
    expect(s.run(() => client.ended !== null)).toBe(true);
    expect(client.ended).toBe('b: no tunnel');
    expect(s.desk.ends.get('unreachable')).toBe(1);
  });

  test('an LNS that is somebody else than expected is left', () => {
    const s = new LacScene({ config: lines('[{ lns: [a, b] }]').replace(`${A} }`, `${A}, serverName: good }`) });
    const [bad, next] = [s.lns(A, null, 'evil'), s.lns(B)];
    const client = s.client();
    expect(s.run(() => client.isUp, 15)).toBe(true);
    expect([bad.calls.length, next.calls.length]).toEqual([0, 1]);
  });

  test('the far end is where the SCCRP came from; follow: false refuses that', () => {
    const s = scene('[{ lns: [a, b] }]');
    const lns = s.lns(A);
    lns.floating = 40_000;
    const client = s.client();
    expect(s.run(() => client.isUp, 15)).toBe(true);
    expect([...s.rows.values()][0].tunnel?.port).toBe(40_000);

    const strict = new LacScene({ config: lines('[{ lns: [a, b] }]').replace(`${A} }`, `${A}, follow: false }`) });
    const [floating, fixed] = [strict.lns(A), strict.lns(B)];
    floating.floating = 40_000;
    const other = strict.client();
    expect(strict.run(() => other.isUp, 15)).toBe(true);
    expect([floating.calls.length, fixed.calls.length]).toEqual([0, 1]);
  });
});

describe('who says where to', () => {
  const named = (serverEndpoint: string, preference: number): NamedTunnel => ({
    type: 3,
    serverEndpoint,
    password: null,
    assignmentId: null,
    preference,
    clientAuthId: null,
    serverAuthId: null,
  });
  const RADIUS = 'radius: { servers: [{ name: r, address: 192.0.2.9, secret: 0123456789abcdef }] }\n';

  test('the client’s statement comes first, and the LNS is not told of it', () => {
    const s = scene('[{ lns: a }]', 'statement: { allow: [b] }');
    const [a, b] = [s.lns(A), s.lns(B)];
    const [stated, plain] = [s.client('alice@isp%b'), s.client('alice@isp')];
    expect(s.run(() => stated.isUp && plain.isUp)).toBe(true);
    expect(a.calls.map(({ attributes }) => attributes.authName)).toEqual(['alice@isp']);
    expect(b.calls.map(({ attributes }) => attributes.authName)).toEqual(['alice@isp']);
    const bad = s.client('alice%c');
    expect(s.run(() => bad.ended !== null)).toBe(true);
    expect(bad.ended).toMatch(/may not have/);
  });

  test('RADIUS names LNSs by preference; the first of them is away', () => {
    const s = scene('[{ lns: a }]', RADIUS, {
      radius: () => ({ type: 'accepted', tunnels: [named('192.0.2.77', 1), named('b', 2)] }),
    });
    const [a, b] = [s.lns(A), s.lns(B)];
    const client = s.client();
    expect(s.run(() => client.isUp, 20)).toBe(true);
    expect([a.calls.length, b.calls.length]).toEqual([0, 1]);
  });

  test('RADIUS without tunnels, without an answer, or with nothing to be asked leaves it to the table', () => {
    for (const answer of [{ type: 'accepted', tunnels: [named('nowhere', 1)] }, { type: 'no-answer' }, null] as const) {
      const s = scene('[{ lns: a }]', RADIUS, { radius: () => answer });
      const a = s.lns(A);
      const client = s.client();
      expect(s.run(() => client.isUp, 20)).toBe(true);
      expect(a.calls).toHaveLength(1);
    }
  });

  test('an Access-Reject ends the call, and so does silence where the configuration says so', () => {
    const rejected = scene('[{ lns: a }]', RADIUS, { radius: () => ({ type: 'rejected', message: 'no such user' }) });
    rejected.lns(A);
    const client = rejected.client();
    expect(rejected.run(() => client.ended !== null)).toBe(true);
    expect(client.ended).toBe('no such user');
    const silent = scene('[{ lns: a }]', `${RADIUS}radiusQuestion: { noAnswer: refuse }`, {
      radius: () => ({ type: 'no-answer' }),
    });
    silent.lns(A);
    const other = silent.client();
    expect(silent.run(() => other.ended !== null)).toBe(true);
    expect(other.ended).toBe('RADIUS does not answer');
  });

  test('a client that leaves while RADIUS is asked leaves nothing behind', () => {
    const s = scene('[{ lns: a }]', RADIUS, { radius: () => ({ type: 'accepted', tunnels: [named('a', 1)] }) });
    const lns = s.lns(A);
    const client = s.client();
    s.run(() => [...s.desk.calls.values()].some(({ state }) => state === 'ask'));
    client.padt();
    s.run(() => s.desk.calls.size === 0);
    s.run(() => false, 5);
    expect(lns.calls).toHaveLength(0);
    expect(s.rows.size).toBe(0);
  });

  test('questions: with the client’s proof, for its realm, for its line', () => {
    let call: LacCall | null = null;
    const s = scene('[{ lns: a }]', RADIUS, {
      radius: (_user, asked) => {
        call = asked;
        return null;
      },
    });
    s.lns(A);
    const client = s.client('alice@isp.example', 'gold');
    expect(s.run(() => client.isUp)).toBe(true);
    const asked = call as unknown as LacCall;
    const question = { ask: 'user', password: 'pw', noAnswer: 'next' } as const;
    expect(requestOf(question, asked, 'alice@isp.example')).toMatchObject({
      session: { userName: 'alice@isp.example', calledStationId: 'gold', callingStationId: '02:00:00:01:00:01' },
      credentials: { method: 'chap-md5' },
    });
    const password = new TextEncoder().encode('pw');
    expect(requestOf({ ...question, ask: 'realm' }, asked, 'alice@isp.example')).toMatchObject({
      session: { userName: 'isp.example' },
      credentials: { method: 'none', password },
      serviceType: 5,
    });
    expect(requestOf({ ...question, ask: 'number' }, asked, null)).toMatchObject({
      session: { userName: '02:00:00:01:00:01' },
      serviceType: 10,
    });
    expect(requestOf({ ...question, ask: 'realm' }, asked, 'alice')).toBeNull();
    expect(requestOf(question, asked, null)).toBeNull();
  });
});

describe('ends', () => {
  test('of the tunnel, of the LNS’s calls, of patience: each client is told, nothing is left', () => {
    const s = scene('[{ service: b, lns: b }, { lns: a }]', 'setup: 20s');
    const [a, b] = [s.lns(A), s.lns(B)];
    const [first, second] = [s.client(), s.client()];
    expect(s.run(() => first.isUp && second.isUp)).toBe(true);
    a.calls[0].hangUp(3, 0, 'maintenance');
    expect(s.run(() => first.ended !== null)).toBe(true);
    expect(first.ended).toBe('a ended the call: maintenance');
    [...a.endpoint.tunnels.values()][0].stop(6);
    expect(s.run(() => second.ended !== null)).toBe(true);
    expect(second.ended).toBe('the tunnel to a ended');
    // One that says nothing after its PADS.
    const mute = s.client('mute', 'b');
    mute.link.start = () => {};
    expect(s.run(() => mute.ended !== null)).toBe(true);
    expect(b.calls).toHaveLength(0);
    expect([s.desk.calls.size, s.rows.size, s.access.sessions.size]).toEqual([0, 0, 0]);
  });

  test('an outgoing call of the LNS is refused for good, the tunnel goes on', () => {
    const s = scene('[{ lns: a }]');
    const lns = s.lns(A);
    const client = s.client();
    expect(s.run(() => client.isUp)).toBe(true);
    const [tunnel] = lns.endpoint.tunnels.values();
    tunnel.call('outgoing', { called: '123', minimumBps: 1, maximumBps: 2, bearer: 1, callFraming: 1 });
    s.run(() => lns.ended.length > 0);
    expect(lns.ended[0]).toMatch(/^peer 5 /);
    client.say('still here');
    s.run(() => lns.data.length > 0);
    expect(lns.data).toEqual(['still here']);
  });

  test('an LNS of ours may dial, another may not', () => {
    const s = scene('[{ lns: a }]');
    const [a, stranger] = [s.lns(A), s.lns('192.0.2.66')];
    const to = { address: '192.0.2.100', port: 1701, socket: 0 };
    const own = a.endpoint.open(to, {}, s.now);
    const other = stranger.endpoint.open(to, {}, s.now);
    s.run(() => own?.state === 'established' && other?.state === 'closed', 20);
    expect([own?.state, other?.state]).toEqual(['established', 'closed']);
    const client = s.client();
    expect(s.run(() => client.isUp)).toBe(true);
    expect(a.endpoint.tunnels.size).toBe(1);
  });
});

describe('what a switchover does with calls', () => {
  test('held data goes to the new tunnel, in order, and the client notices nothing', () => {
    const s = scene('[{ lns: a }]');
    const [a, b] = [s.lns(A), s.lns(B)];
    const client = s.client();
    expect(s.run(() => client.isUp)).toBe(true);
    const [old] = s.endpoint.tunnels.values();
    const [session] = s.host.sessions(old);
    s.host.hold(session);
    for (const word of ['one', 'two', 'three']) client.say(word);
    s.run(() => false, 1);
    expect(a.data).toEqual([]);
    const fresh = s.host.open(B, 1701, old, []);
    s.host.retire(old);
    s.run(() => [...b.endpoint.tunnels.values()].some(({ state }) => state === 'established'), 10);
    // The peer has the session already, by state offload.
    const [there] = b.endpoint.tunnels.values();
    const adopted = there.adoptSession({ ...a.calls[0].snapshot() });
    if (typeof adopted === 'string') throw new Error(adopted);
    b.links.set(adopted, a.links.get(a.calls[0]) as never);
    expect(fresh?.moveHere(session)).toBe(true);
    s.host.resume(session);
    s.run(() => b.data.length === 3, 10);
    expect(b.data).toEqual(['one', 'two', 'three']);
    expect(client.ended).toBeNull();
    expect(client.negotiations).toBe(1);
    // A new call goes there, too: the old tunnel takes none any more.
    const next = s.client();
    expect(s.run(() => next.isUp)).toBe(true);
    expect(b.calls).toHaveLength(1);
    s.host.abandon(session, 'lost');
    expect(s.run(() => client.ended !== null)).toBe(true);
    expect(client.ended).toBe('lost');
  });
});

describe('tunnels without calls', () => {
  test('a standby stays and takes no calls until it is an ordinary one; a retired one ends with its idle time', () => {
    const config = lines('[{ lns: a }]')
      .replace(`${B} }`, `${B}, secret: own }`)
      .replace(`${A} }`, `${A}, serverName: lns }`);
    const s = new LacScene({ config });
    const [a, b] = [s.lns(A), s.lns(B, 'own', 'peer')];
    const client = s.client();
    expect(s.run(() => client.isUp)).toBe(true);
    const [first] = s.endpoint.tunnels.values();
    // The peer has a name and, in the configuration, a secret of its own.
    const standby = s.host.open(B, 1701, first, []);
    if (standby === null) throw new Error('not dialled');
    s.host.keep(standby, true);
    s.run(() => false, 100);
    expect(standby.state).toBe('established');
    s.host.retire(first);
    const second = s.client();
    expect(s.run(() => second.isUp)).toBe(true);
    expect([a.endpoint.tunnels.size, b.calls.length]).toEqual([2, 0]);
    client.padt();
    s.run(() => first.state === 'closed', 60);
    expect(first.state).toBe('closed');
    s.host.keep(standby, false);
    second.padt();
    s.run(() => false, 60);
    const third = s.client();
    expect(s.run(() => third.isUp)).toBe(true);
    expect(b.calls).toHaveLength(1);
  });
});

describe('a bad way', () => {
  test.each([11, 12, 13, 14, 15])(
    'seed %i: a sixth of all control messages is lost, every call stands or is told why',
    (seed) => {
      const s = scene('[{ lns: [[a, b], c] }]', 'setup: 60s', { seed });
      s.lns(A);
      s.lns(B);
      s.lns(C);
      s.loses = () => s.random(1)[0] < 43;
      const clients = Array.from({ length: 20 }, () => s.client());
      s.run(() => clients.every((client) => client.isUp || client.ended !== null), 200);
      expect(clients.filter((client) => client.isUp || client.ended !== null)).toHaveLength(20);
      expect(clients.filter(({ isUp }) => isUp).length).toBeGreaterThan(10);
      s.loses = () => false;
      for (const client of clients) if (client.ended === null) client.padt();
      s.run(() => false, 120);
      expect([s.desk.calls.size, s.rows.size, s.access.sessions.size, s.endpoint.tunnels.size]).toEqual([0, 0, 0, 0]);
      expect([...s.keeper.places()].every(([, { calls }]) => calls === 0)).toBe(true);
    },
  );
});
