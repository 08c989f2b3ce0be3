import { describe, expect, test } from 'vitest';
import { CALL_FLAG } from '../../../src/flow/session-layout.js';
import type { Verdict } from '../../../src/roles/lns/grant.js';
import { NOTHING_PARTICULAR } from '../../../src/roles/lns/grant.js';
import { LnsScene } from '../../helpers/lns-sessions.js';

const ALICE = '{ name: alice, password: s3cret }';
const flagsOf = (scene: LnsScene, slot: number): number => scene.table.row(slot)?.flags ?? 0;

describe('from call to address and back', () => {
  test.each(['chap-md5', 'ms-chap-v2', 'pap'])('a user of the file, by %s', (method) => {
    const scene = new LnsScene({ users: ALICE, config: `ppp: { authentication: ${method} }\n` });
    const alice = scene.dial('alice', 's3cret');
    scene.step();
    expect(alice.address()).toBe('10.64.0.2');
    const slot = scene.slotOf(alice);
    expect(scene.table.row(slot)).toMatchObject({ kind: 'lns', state: 'forward', ipv4: 0x0a400002, mru: 1500 });
    expect(flagsOf(scene, slot) & (CALL_FLAG.ipv4 | CALL_FLAG.ipv6)).toBe(CALL_FLAG.ipv4);
    expect(flagsOf(scene, slot) & CALL_FLAG.antiSpoof).toBe(CALL_FLAG.antiSpoof);
    expect(scene.of(alice)).toMatchObject({ user: 'alice', method, state: 'up' });
    expect(scene.accounted).toEqual(['start alice']);

    alice.link.terminate(scene.now);
    scene.wait(3);
    expect([scene.table.used, scene.subscribers.count, scene.subscribers.up, scene.pools.all[0].used]).toEqual([
      0, 0, 0, 1,
    ]);
    expect(alice.ended).not.toBeNull();
    expect(scene.accounted).toEqual(['start alice', 'stop alice subscriber']);
    expect(scene.told('session-closed')[0]).toMatchObject({ user: 'alice', reason: 'subscriber', calling: 'alice' });
  });

  test('data passes only while IPCP is open', () => {
    const scene = new LnsScene({ users: ALICE });
    const alice = scene.dial('alice', 's3cret');
    scene.step();
    const slot = scene.slotOf(alice);
    alice.link.start(scene.now); // The subscriber begins anew on the open link.
    scene.wait(4);
    expect(alice.address()).toBe('10.64.0.2');
    expect(flagsOf(scene, slot) & CALL_FLAG.ipv4).toBe(CALL_FLAG.ipv4);
    expect(scene.accounted).toEqual(['start alice']);
  });

  test('the LAC’s CDN and the end of a tunnel give everything back without another word', () => {
    const scene = new LnsScene({ users: `${ALICE}, { name: bob, password: b }` });
    const [alice, bob] = [scene.dial('alice', 's3cret'), scene.dial('bob', 'b')];
    scene.step();
    expect(scene.subscribers.up).toBe(2);
    alice.session.hangUp(1);
    scene.step();
    bob.session.tunnel.stop();
    scene.step();
    expect(scene.accounted.slice(2)).toEqual(['stop alice lac', 'stop bob tunnel']);
    expect(scene.table.used).toBe(0);
  });
});

describe('who is not let in', () => {
  test('a wrong password, and somebody unknown', () => {
    const scene = new LnsScene({ users: ALICE });
    const calls = [scene.dial('alice', 'wrong'), scene.dial('mallory', 's3cret')];
    scene.wait(5);
    expect(calls.map(({ ended }) => ended)).toEqual(['authentication-failed', 'authentication-failed']);
    expect(scene.told('authentication-failed').map(({ user, reason }) => `${user} ${reason}`)).toEqual([
      'alice wrong-password',
      'mallory unknown-user',
    ]);
    expect(scene.counters.refusals.get('authentication')).toBe(2);
    expect([scene.table.used, scene.pools.all[0].used]).toEqual([0, 1]);
    expect(scene.accounted).toEqual([]);
  });

  test('who has as many sessions as he may; when one ends, there is room again', () => {
    const scene = new LnsScene({ users: '{ name: alice, password: s3cret, sessions: 1 }' });
    const first = scene.dial('alice', 's3cret');
    scene.step();
    const second = scene.dial('alice', 's3cret');
    scene.wait(5);
    expect(second.ended).not.toBeNull();
    expect(scene.told('authentication-failed')[0]).toMatchObject({ reason: 'too-many-sessions' });
    first.session.hangUp(1);
    const third = scene.dial('alice', 's3cret');
    scene.step();
    expect(third.address()).not.toBeNull();
  });

  test('calls beyond the table, beyond the load, and outgoing ones', () => {
    const scene = new LnsScene({ users: ALICE, sessions: 1 });
    const first = scene.dial('alice', 's3cret');
    scene.step();
    const second = scene.dial('alice', 's3cret');
    scene.step();
    expect([first.ended, second.ended]).toEqual([null, 'no room']);
    scene.overload = 'processor busy';
    const third = scene.dial('alice', 's3cret');
    scene.step();
    expect(third.ended).toBe('processor busy');
    expect(scene.counters.refusals.get('sessions-full')).toBe(1);
    expect(scene.counters.refusals.get('overload')).toBe(1);
  });

  test('an empty pool ends the newcomer and nobody else', () => {
    const scene = new LnsScene({
      users: `${ALICE}, { name: bob, password: b }`,
      config: 'pools: [{ name: tiny, ipv4: 10.1.1.1-10.1.1.2 }]\n',
    });
    const [alice, bob] = [scene.dial('alice', 's3cret'), scene.dial('bob', 'b')];
    scene.wait(3);
    expect([alice.ended, bob.ended]).toEqual([null, 'no-address']);
    expect(scene.told('pool-exhausted')[0]).toMatchObject({ user: 'bob' });
    expect(scene.pools.all[0].exhausted).toBe(1);
  });

  test('an answer that comes when the session has gone changes nothing', () => {
    let answer: (verdict: Verdict) => void = () => {};
    const scene = new LnsScene({ judge: { judge: (_request, _call, done) => void (answer = done) } });
    const alice = scene.dial('alice', 's3cret');
    scene.step();
    alice.session.hangUp(1);
    scene.step();
    answer({ kind: 'accept', grant: { ...NOTHING_PARTICULAR, user: 'alice' } });
    scene.wait(2);
    expect([scene.subscribers.count, scene.table.used, scene.pools.all[0].used]).toEqual([0, 0, 1]);
  });
});

describe('addresses', () => {
  test('an address and networks of its own, with routes as long as they are needed', () => {
    const scene = new LnsScene({
      users: '{ name: alice, password: s3cret, address: 192.0.2.77, routes: [192.168.7.0/24] }',
    });
    const alice = scene.dial('alice', 's3cret');
    scene.step();
    expect(alice.address()).toBe('192.0.2.77');
    expect([...scene.routes]).toEqual([`0.0.65535.${0xc0a80700}/120`, `0.0.65535.${0xc000024d}/128`]);
    expect(scene.table.row(scene.slotOf(alice))?.routes).toHaveLength(1);
    alice.session.hangUp(1);
    scene.step();
    expect([...scene.routes]).toEqual([]);
  });

  test('who dials again with an address of its own takes it over from the session that hangs', () => {
    const scene = new LnsScene({ users: '{ name: alice, password: s3cret, address: 10.64.0.9 }' });
    const old = scene.dial('alice', 's3cret');
    scene.step();
    const fresh = scene.dial('alice', 's3cret');
    scene.step();
    expect(fresh.address()).toBe('10.64.0.9');
    expect(old.ended).toBe('replaced');
    expect(scene.subscribers.count).toBe(1);
    expect(scene.accounted).toEqual(['start alice', 'stop alice replaced', 'start alice']);
  });

  test('IPv6: a prefix, advertised on the link when IPv6CP is open and again in its time', () => {
    const scene = new LnsScene({
      users: ALICE,
      config: `ipv6: { pool: six }\npools: [{ name: home, ipv4: 10.64.0.0/24 }, { name: six, ipv6: '2001:db8::/40', length: 56 }]\n`,
    });
    const alice = scene.dial('alice', 's3cret', { protocols: { ipv4: true, ipv6: true } });
    scene.step();
    const slot = scene.slotOf(alice);
    expect(flagsOf(scene, slot) & CALL_FLAG.ipv6).toBe(CALL_FLAG.ipv6);
    expect(scene.table.row(slot)).toMatchObject({ prefix: [0x20010db8, 0], routes: [{ length: 56 }] });
    const at = scene.of(alice)?.advertisedAt;
    expect(at).toBe(scene.now);
    scene.wait(601);
    expect(scene.of(alice)?.advertisedAt).toBeGreaterThan(at ?? 0);
  });
});

describe('time', () => {
  test('a session without data ends after its idle time, one with a limit at its limit', () => {
    const scene = new LnsScene({
      users: '{ name: alice, password: s3cret, idle: 2m }, { name: bob, password: b, timeout: 1m }',
      config: 'ppp: { echo: 0s }\n',
    });
    const [alice, bob] = [scene.dial('alice', 's3cret'), scene.dial('bob', 'b')];
    scene.wait(59);
    expect([alice.ended, bob.ended]).toEqual([null, null]);
    scene.wait(4);
    expect([alice.ended, bob.ended]).toEqual([null, 'timeout']);
    scene.wait(60);
    expect(alice.ended).toBe('idle');
    expect(scene.accounted.slice(2)).toEqual(['stop bob timeout', 'stop alice idle']);
  });

  test('a link that answers no echo is given up', () => {
    const scene = new LnsScene({ users: ALICE, config: 'ppp: { echo: 10s, echoFailures: 2 }\n' });
    const alice = scene.dial('alice', 's3cret');
    scene.step();
    alice.link.receive = () => 'discarded';
    scene.wait(60);
    expect(scene.told('session-closed')[0]).toMatchObject({ reason: 'lost-link' });
    expect(scene.table.used).toBe(0);
  });
});

describe('many', () => {
  test('hundreds come and go by a seed; nothing is left over', () => {
    const users = Array.from({ length: 20 }, (_, i) => `{ name: u${i}, password: p${i} }`).join(', ');
    const scene = new LnsScene({ users, sessions: 64, seed: 99 });
    const live: ReturnType<LnsScene['dial']>[] = [];
    let state = 7;
    const next = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    };
    for (let round = 0; round < 300; round++) {
      const user = next(20);
      if (live.length < 40 && next(2) === 0) live.push(scene.dial(`u${user}`, next(5) === 0 ? 'wrong' : `p${user}`));
      else if (live.length > 0) {
        const [gone] = live.splice(next(live.length), 1);
        if (next(2) === 0) gone.session.hangUp(1);
        else gone.link.terminate(scene.now);
      }
      if (next(3) === 0) scene.wait(1);
      else scene.step();
      expect(scene.table.used).toBe(scene.subscribers.count);
      expect(scene.pools.all[0].used).toBeLessThanOrEqual(scene.subscribers.count + 1);
    }
    for (const { session } of live) session.hangUp(1);
    scene.wait(30);
    expect([scene.table.used, scene.subscribers.count, scene.subscribers.up, scene.pools.all[0].used]).toEqual([
      0, 0, 0, 1,
    ]);
    const starts = scene.accounted.filter((line) => line.startsWith('start')).length;
    expect(scene.accounted.length).toBe(2 * starts);
    expect(starts).toBeGreaterThan(50);
  });
});
