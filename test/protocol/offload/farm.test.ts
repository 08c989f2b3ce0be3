import { describe, expect, test } from 'vitest';
import { dice, Farm, type FarmLns } from '../../helpers/offload-farm.js';

/** Who serves which subscriber, and how often. */
function served(farm: Farm): Map<number, FarmLns[]> {
  const found = new Map<number, FarmLns[]>();
  for (const lns of farm.lns)
    if (lns.alive)
      for (const { sessions } of lns.tunnels.values())
        for (const { ip } of sessions.values()) found.set(ip, [...(found.get(ip) ?? []), lns]);
  return found;
}

/** The sessions of the LAC are served where it believes, by one LNS, with the address that they had. */
function faults(farm: Farm): string[] {
  const problems: string[] = [];
  const where = served(farm);
  for (const [id, { lns, lnsTunnel, sessions }] of farm.lacTunnels) {
    for (const [session, { peer, ip, held }] of sessions) {
      const there = lns.tunnels.get(lnsTunnel)?.sessions.get(peer);
      if (there === undefined) problems.push(`tunnel ${id} session ${session}: not at lns${lns.number}`);
      else if (there.ip !== ip || there.lacSession !== session) problems.push(`session ${session}: another subscriber`);
      if (held) problems.push(`session ${session}: held for ever`);
    }
  }
  for (const [ip, servers] of where)
    if (servers.length > 1) problems.push(`subscriber ${ip}: ${servers.length} servers`);
  return problems;
}

const total = (farm: Farm): number =>
  [...farm.lacTunnels.values()].reduce((sum, { sessions }) => sum + sessions.size, 0);

describe('a pair of LNSs and a LAC', () => {
  test('planned: all sessions of a tunnel move, the primary lets go, nothing is lost', () => {
    const farm = new Farm(dice(1));
    const [primary, peer] = farm.lns;
    farm.setUp(primary, 20);
    farm.run(2);
    expect(primary.pair.source.synchronised).toBe(true);
    farm.switchover(primary, [...primary.tunnels.keys()][0], 'all');
    farm.run(2);
    expect(primary.requests.outcomes()).toMatchObject([{ outcome: 'moved', type: 'all' }]);
    expect(primary.tunnels.size).toBe(0);
    expect([...peer.tunnels.values()].map(({ sessions }) => sessions.size)).toEqual([20]);
    expect(farm.redirected?.address).toEqual(peer.address);
    expect(faults(farm)).toEqual([]);
  });

  test('planned: some sessions move, the others stay', () => {
    const farm = new Farm(dice(2));
    const [primary, peer] = farm.lns;
    farm.setUp(primary, 10);
    farm.run(2);
    const [tunnel] = primary.tunnels;
    const some = [...tunnel[1].sessions.keys()].slice(0, 3);
    farm.switchover(primary, tunnel[0], 'some', some);
    farm.run(2);
    expect(primary.tunnels.get(tunnel[0])?.sessions.size).toBe(7);
    expect([...peer.tunnels.values()].flatMap(({ sessions }) => [...sessions.keys()])).toEqual(some);
    expect(faults(farm)).toEqual([]);
    // And the rest dies with its server.
    farm.kill(primary);
    farm.run(6);
    expect([...served(farm).values()].every(([lns]) => lns === peer)).toBe(true);
    expect(total(farm)).toBe(10);
    expect(faults(farm)).toEqual([]);
  });

  test('new: no session moves, new calls go to the peer', () => {
    const farm = new Farm(dice(3));
    const [primary, peer] = farm.lns;
    farm.setUp(primary, 4);
    farm.run(1);
    farm.switchover(primary, [...primary.tunnels.keys()][0], 'new');
    farm.run(1);
    expect(primary.requests.outcomes()).toMatchObject([{ outcome: 'asked-new' }]);
    expect(farm.redirected?.address).toEqual(peer.address);
    expect(peer.tunnels.size).toBe(0);
    expect(faults(farm)).toEqual([]);
  });

  test('another peer than the one that was told is denied', () => {
    const farm = new Farm(dice(4));
    const [primary] = farm.lns;
    const lac = farm.setUp(primary, 2);
    farm.run(1);
    farm.mover.requested(
      lac,
      { address: Uint8Array.of(192, 0, 2, 1), port: 0, type: 'all', sessions: [], generation: 1 },
      farm.clock.now,
    );
    expect(farm.mover.counters.denied).toBe(1);
    expect(farm.mover.moving).toBe(0);
  });

  test('the primary dies: its sessions live on at the peer, with their addresses', () => {
    const farm = new Farm(dice(5));
    const [primary, peer] = farm.lns;
    for (let i = 0; i < 5; i++) farm.setUp(primary, 8);
    farm.run(3);
    farm.kill(primary);
    farm.run(4);
    expect(total(farm)).toBe(40);
    expect([...served(farm).values()].every((servers) => servers.length === 1 && servers[0] === peer)).toBe(true);
    expect(faults(farm)).toEqual([]);
    // It comes back and gets them again by command.
    primary.boot();
    farm.run(4);
    expect(peer.pair.source.synchronised).toBe(true);
    for (const tunnel of peer.tunnels.keys()) farm.switchover(peer, tunnel, 'all');
    farm.run(4);
    expect([...served(farm).values()].every((servers) => servers.length === 1 && servers[0] === primary)).toBe(true);
    expect(total(farm)).toBe(40);
    expect(faults(farm)).toEqual([]);
  });

  test('two primaries: cut off from the LAC and the peer, it lets go when it hears of the higher generation', () => {
    const farm = new Farm(dice(6));
    const [primary, peer] = farm.lns;
    farm.setUp(primary, 5);
    farm.run(2);
    farm.partition(false);
    farm.cut.add(primary);
    farm.run(5);
    expect([...served(farm).values()].every((servers) => servers.length === 2)).toBe(true);
    farm.cut.delete(primary);
    farm.partition(true);
    farm.run(4);
    expect(primary.tunnels.size).toBe(0);
    expect(primary.events.filter(({ type }) => type === 'claimed')).toHaveLength(1);
    expect([...served(farm).values()]).toEqual(Array(5).fill([peer]));
    expect(faults(farm)).toEqual([]);
  });

  test('a peer that knows nothing: the LAC goes on holding until the deadline, then flows back', () => {
    const farm = new Farm(dice(7));
    const [primary, peer] = farm.lns;
    farm.partition(false);
    farm.setUp(primary, 3);
    farm.run(2);
    farm.switchover(primary, [...primary.tunnels.keys()][0], 'all');
    farm.run(8);
    expect(primary.requests.outcomes()).toMatchObject([{ outcome: 'not-moved' }].slice(0, 0));
    expect(farm.mover.events().map(({ type }) => type)).toEqual(['begun', 'failed']);
    expect(peer.tunnels.size).toBe(0);
    expect(faults(farm)).toEqual([]);
    farm.run(5);
    expect(primary.requests.outcomes()).toMatchObject([{ outcome: 'not-moved' }]);
  });

  test.each(Array.from({ length: 150 }, (_, i) => i + 100))('whatever breaks, seed %i', (seed) => {
    const random = dice(seed);
    const farm = new Farm(random);
    let losable = false;
    /** Whatever one of them serves, the other could serve as well. */
    const safe = (): boolean =>
      farm.cut.size === 0 &&
      farm.lns.every(({ alive, pair }) => alive && pair.connected && pair.source.synchronised) &&
      farm.lns.every(({ requests }) => requests.pending === 0);
    for (let i = 0; i < 4; i++) farm.setUp(farm.lns[i % 2], 1 + Math.floor(random() * 90));
    farm.run(2);
    for (let step = 0; step < 14; step++) {
      const [lns, other] = random() < 0.5 ? farm.lns : [farm.lns[1], farm.lns[0]];
      const what = random();
      farm.traffic();
      if (what < 0.2) {
        if (lns.alive && farm.reaches(lns)) farm.setUp(lns, 1 + Math.floor(random() * 5));
      } else if (what < 0.4 && lns.alive) {
        for (const [tunnel, { sessions }] of lns.tunnels) {
          const some = [...sessions.keys()].filter(() => random() < 0.3);
          if (random() < 0.5) farm.switchover(lns, tunnel, 'all');
          else if (some.length > 0) farm.switchover(lns, tunnel, 'some', some);
        }
      } else if (what < 0.5) {
        farm.partition(random() < 0.5);
      } else if (what < 0.6) {
        losable ||= !safe();
        if (other.alive && !farm.cut.has(other)) farm.cut.add(lns);
      } else if (what < 0.7) farm.cut.delete(lns);
      else if (what < 0.8 && lns.alive && other.alive) {
        losable ||= !safe();
        farm.kill(lns);
      } else if (what < 0.95 && !lns.alive) lns.boot();
      farm.run(random() < 0.3 ? 0.02 + random() * 0.2 : 1 + random() * 4);
    }
    farm.cut.clear();
    farm.partition(true);
    for (const lns of farm.lns) if (!lns.alive) lns.boot();
    farm.run(25);
    expect(faults(farm)).toEqual([]);
    // What was never told to the peer when its server died cannot live.
    if (!losable) expect(farm.ended).toEqual([]);
    expect(farm.lns.every(({ pair }) => pair.source.synchronised)).toBe(true);
    expect(farm.lns.map(({ pair }) => pair.counters.malformed)).toEqual([0, 0]);
    const stored = farm.lns.map(({ pair }) => [pair.store.tunnels.size, pair.store.sessionCount]);
    const own = farm.lns.map(({ tunnels }) => [
      tunnels.size,
      [...tunnels.values()].reduce((sum, { sessions }) => sum + sessions.size, 0),
    ]);
    expect(stored).toEqual([own[1], own[0]]);
  });
});
