import { expect, test } from 'vitest';
import { CALL_FLAG } from '../../../src/flow/session-layout.js';
import type { Peer } from '../../../src/protocol/l2tp/peer.js';
import type { SessionSnapshot, TunnelSnapshot } from '../../../src/protocol/l2tp/snapshot.js';
import type { Lns } from '../../../src/roles/lns/lns.js';
import { LnsOffloadHost, type SessionState } from '../../../src/roles/lns/offload-host.js';
import { LnsScene } from '../../helpers/lns-sessions.js';

const USERS = '{ name: alice, password: s3cret, routes: [192.168.7.0/24], timeout: 1h }';
const LAC: Peer = { address: '192.0.2.9', port: 1701, socket: 0 };

/** The host over a scene: as much of an LNS as it looks at. */
const hostOf = (scene: LnsScene): LnsOffloadHost =>
  new LnsOffloadHost({
    subscribers: scene.subscribers,
    l2tp: scene.lns,
    plane: { table: scene.table, socket: () => ({ address: '10.10.1.1', port: 1701 }) },
    config: scene.config,
    load: { cpu: 0.5, memory: 0.25 },
    now: () => scene.now,
  } as unknown as Lns);

/** A session of one LNS at another, by nothing but plain data. */
function moved(first: LnsScene, config = ''): { second: LnsScene; refusal: string | null; session: SessionState } {
  const host = hostOf(first);
  const [tunnelId] = host.tunnelIds();
  const [sessionId] = host.sessionIds(tunnelId);
  const tunnel = structuredClone(host.describeTunnel(tunnelId)) as unknown as TunnelSnapshot;
  const session = structuredClone(host.describeSession(tunnelId, sessionId)) as unknown as SessionState;
  const second = new LnsScene({ users: USERS, after: first, config });
  const adopted = second.lns.adopt(tunnel, LAC, second.now);
  if (typeof adopted === 'string') throw new Error(adopted);
  const call = adopted.adoptSession(session.call as unknown as SessionSnapshot);
  if (typeof call === 'string') throw new Error(call);
  return { second, refusal: hostOf(second).restoreSession(call, session as never, { silent: true }), session };
}

test('a session goes on at another LNS: addresses, routes, limits, accounting; its subscriber notices nothing', () => {
  const first = new LnsScene({ users: USERS });
  const alice = first.dial('alice', 's3cret', { echo: { every: 5, failures: 2 } });
  first.wait(600);
  const words = alice.said.length;
  const { second, refusal, session } = moved(first);
  expect(refusal).toBeNull();
  const slot = second.slotOf(alice);
  expect(second.table.row(slot)).toMatchObject({ ipv4: 0x0a400002, mru: 1500, routes: [{ length: 120 }] });
  expect((second.table.row(slot)?.flags ?? 0) & CALL_FLAG.ipv4).toBe(CALL_FLAG.ipv4);
  expect(second.pools.all[0].used).toBe(2);
  expect([...second.routes]).toHaveLength(1);
  expect(second.of(alice)).toMatchObject({ user: 'alice', state: 'up', sinceMs: session.sinceMs });
  expect(second.of(alice)?.call.accountingId).toBe(first.of(alice)?.call.accountingId);
  // Nothing begins anew on either side, and the subscriber's echoes are answered by the new LNS.
  second.wait(120);
  expect(alice.said.slice(words)).toEqual([]);
  expect(alice.link.phase).toBe('network');
  expect(second.accounted).toEqual([]);
  // An hour had been granted; ten minutes of it had gone before.
  second.wait(3000 - 121);
  expect(alice.ended).toBeNull();
  second.wait(5);
  expect(alice.ended).toBe('timeout');
  expect(second.accounted).toEqual(['stop alice timeout']);
  expect([second.table.used, second.pools.all[0].used, second.routes.size]).toEqual([0, 1, 0]);
});

test('an address that somebody has here already: the session is not taken, and nothing is left of it', () => {
  const first = new LnsScene({ users: USERS });
  first.dial('alice', 's3cret');
  first.step();
  const taken = 'pools: [{ name: home, ipv4: 10.64.0.2-10.64.0.9 }]\n'; // Our own address is 10.64.0.2 here.
  const { second, refusal } = moved(first, taken);
  expect(refusal).toBe('address-in-use');
  expect([second.table.used, second.subscribers.count, second.subscribers.up, second.pools.all[0].used]).toEqual([
    0, 0, 0, 1,
  ]);
});

test('what is not up is not described, what is no state is refused', () => {
  const scene = new LnsScene({ users: USERS, judge: { judge: () => {} } });
  const alice = scene.dial('alice', 's3cret');
  scene.step();
  const host = hostOf(scene);
  const { tunnel, localId } = [...(scene.lns.tunnels.values().next().value?.sessions.values() ?? [])][0];
  expect([...host.sessionIds(tunnel.localId)]).toEqual([]);
  expect(host.describeSession(tunnel.localId, localId)).toBeNull();
  expect(host.describeTunnel(9)).toBeNull();
  expect(host.restoreSession(alice.session, null, { silent: true })).toBe('bad-state');
  expect(host.load()).toEqual({ sessions: 1, tunnels: 1, memory: 0.25, cpu: 0.5 });
  expect(host.configuration()).toMatchObject({ name: 'lns1', ids: [1, 65_535], local: '10.64.0.1' });
});

test('a session that is forgotten goes without a word', () => {
  const scene = new LnsScene({ users: USERS });
  const alice = scene.dial('alice', 's3cret');
  scene.step();
  const session = scene.of(alice)?.session;
  if (session === undefined) throw new Error('no session');
  hostOf(scene).forgetSession(session);
  scene.wait(3);
  expect([scene.table.used, scene.subscribers.up, scene.pools.all[0].used]).toEqual([0, 0, 1]);
  expect(alice.ended).toBeNull();
  expect(scene.accounted).toEqual(['start alice']);
});
