/** Designators that share their tunnels, whole but for wires, bus and clock: deaths, returns, partitions. */
import { afterEach, describe, expect, test } from 'vitest';
import { ShareFarm, type ShareMember } from '../../helpers/share-farm.js';
import {
  hello,
  iccn,
  icrp,
  icrq,
  l2tpData,
  scccn,
  sccrp,
  sccrq,
  stopccn,
  udpFrame,
} from '../../helpers/packet-builder.js';
import { brokenInvariants } from '../../helpers/table-invariants.js';

const VIP = '200.200.100.1:1701';
const YAML = `
table: { connections: 4096 }
vips:
  - name: access
    address: 200.200.100.1
    algorithm: maglev
    servers: [{ name: lns1, address: 10.10.1.1 }, { name: lns2, address: 10.10.1.2 }]
`;

let farm: ShareFarm;
afterEach(() => farm.close());

const client = (n: number): string => `192.128.10.${5 + (n % 60)}:1701`;
const serverOf = (member: ShareMember, n: number): string => {
  const row = member.appliance.rows.tunnels().find((t) => t.client === client(n) && t.clientTunnelId === n + 1);
  if (row === undefined) throw new Error(`no tunnel ${n} at ${member.number}`);
  return row.server === 'lns1' ? '10.10.1.1:1701' : '10.10.1.2:1701';
};

/** Tunnel `n` with a session, its messages at the member. */
function connect(member: ShareMember, n: number): void {
  const id = n + 1;
  member.send(udpFrame(client(n), VIP, sccrq({ assigned: id })));
  const server = serverOf(member, n);
  member.send(udpFrame(server, client(n), sccrp({ tunnel: id, assigned: id + 1000 })));
  member.send(udpFrame(client(n), VIP, scccn({ tunnel: id + 1000 })));
  member.send(udpFrame(client(n), VIP, icrq({ tunnel: id + 1000, assigned: 1, ns: 2, nr: 1 })));
  member.send(udpFrame(server, client(n), icrp({ tunnel: id, session: 1, assigned: 51, ns: 1, nr: 3 })));
  member.send(udpFrame(client(n), VIP, iccn({ tunnel: id + 1000, session: 51, ns: 3, nr: 2 })));
}

/** A packet of tunnel `n` in each direction, at this member: both go out there. */
function flows(member: ShareMember, n: number): boolean {
  const id = n + 1;
  const inwards = member.send(udpFrame(client(n), VIP, l2tpData({ tunnel: id + 1000, session: 51 })));
  const outwards = member.send(udpFrame(serverOf(member, n), client(n), l2tpData({ tunnel: id, session: 1 })));
  return inwards.length === 1 && outwards.length === 1;
}

function expectAll(members: readonly ShareMember[], count: number): void {
  const [first] = members;
  expect(first.tunnels).toHaveLength(count);
  for (const member of members) {
    expect(member.tunnels).toEqual(first.tunnels);
    expect(brokenInvariants(member.appliance.memory)).toEqual([]);
  }
  // Every tunnel has one writer.
  expect(members.reduce((sum, { own }) => sum + own, 0)).toBe(count);
}

describe('two members', () => {
  test('each has all tunnels, and forwards by those of the other', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 20; n++) connect(n % 2 === 0 ? a : b, n);
    farm.run(1);
    expectAll([a, b], 20);
    expect([a.own, b.own]).toEqual([10, 10]);
    for (let n = 0; n < 20; n++) for (const member of [a, b]) expect(flows(member, n)).toBe(true);
  });

  test('a message that arrives at the other one is answered for by the writer, and changes nothing where it arrived', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    connect(a, 1);
    farm.run(1);
    const before = farm.sent().length;
    b.send(udpFrame(client(1), VIP, hello({ tunnel: 1002, ns: 4, nr: 2 })));
    expect(farm.sent()).toHaveLength(before);
    farm.run(0.1);
    expect(farm.sent()).toHaveLength(before + 1);
    expect(b.appliance.count('toWriters')).toBe(1);
    b.send(udpFrame(client(1), VIP, stopccn({ tunnel: 1002, assigned: 2, ns: 5, nr: 2 })));
    farm.run(0.1);
    expect(a.tunnels[0]).toMatch(/closing/);
    farm.run(1);
    expectAll([a, b], 1);
  });

  test('an answer that arrives before the request is known there is asked of all', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    a.send(udpFrame(client(3), VIP, sccrq({ assigned: 4 })));
    b.send(udpFrame(serverOf(a, 3), client(3), sccrp({ tunnel: 4, assigned: 1004 })));
    farm.run(0.2);
    expect(a.tunnels[0]).toMatch(/ 4 1004 /);
    expect(b.appliance.count('toMembers')).toBe(1);
  });

  test('one dies: its tunnels are the other’s; it returns with what it had in its table, and pulls nothing back', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 20; n++) connect(n % 2 === 0 ? a : b, n);
    farm.run(1);
    a.die();
    for (let n = 0; n < 20; n++) expect(flows(b, n)).toBe(true);
    farm.run(6);
    expectAll([b], 20);
    expect(b.appliance.count('tunnelsAdopted')).toBe(10);
    connect(b, 30);
    const back = farm.start(1, a.appliance.memory);
    expect(back.appliance.shared?.former).toBe(20);
    for (let n = 0; n < 20; n++) expect(flows(back, n)).toBe(true);
    farm.run(5);
    expectAll([back, b], 21);
    expect(back.own).toBe(0);
    connect(back, 31);
    farm.run(1);
    expectAll([back, b], 22);
    expect(back.own).toBe(1);
    // The other one dies now: nothing is lost, whoever had it first.
    b.die();
    farm.run(6);
    expectAll([back], 22);
    for (const n of [0, 1, 2, 19, 30, 31]) expect(flows(back, n)).toBe(true);
  });

  test('alone after a restart: what its table has is its own again', () => {
    farm = new ShareFarm(YAML);
    const a = farm.start(1);
    farm.run(3);
    for (let n = 0; n < 5; n++) connect(a, n);
    a.die();
    const back = farm.start(1, a.appliance.memory);
    expect(back.own).toBe(0);
    farm.run(4);
    expectAll([back], 5);
    expect(back.own).toBe(5);
    back.send(udpFrame(client(1), VIP, hello({ tunnel: 1002, ns: 4, nr: 2 })));
    expect(back.appliance.drops()).toEqual({});
  });

  test('the gateway group notices a death long before the bus does', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 6; n++) connect(a, n);
    farm.run(1);
    a.die();
    farm.run(0.3);
    b.desk.memberGone(1);
    farm.run(0.1);
    expect(b.own).toBe(6);
  });

  test('one that the group lost and the bus still hears keeps its tunnels', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 6; n++) connect(a, n);
    farm.run(1);
    b.desk.memberGone(1);
    farm.run(5);
    expectAll([a, b], 6);
    expect([a.own, b.own]).toEqual([6, 0]);
  });

  test('a stream that nobody writes and that has no tunnels is forgotten', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let life = 0; life < 5; life++) {
      farm.members.find(({ number }) => number === 1)?.die();
      farm.start(1);
      farm.run(6);
    }
    farm.run(20);
    expect(b.desk.rows()).toHaveLength(2);
    expect(a.desk.rows().length).toBeGreaterThan(0);
  });
});

describe('a member that is configured anew', () => {
  const MORE = YAML.replace('servers: [', 'servers: [{ name: lns3, address: 10.10.1.3 }, ');
  const reload = (member: ShareMember, yaml: string): void => {
    member.appliance.reload(yaml);
    member.desk.planChanged();
  };

  test('keeps its tunnels, however long the other waits with the same', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 10; n++) connect(n % 2 === 0 ? a : b, n);
    farm.run(1);
    reload(a, MORE);
    farm.run(40);
    expect([...a.desk.refused()]).toEqual([
      { number: 2, differences: ['server lns3: 10.10.1.3:1701 of access here, not there'] },
    ]);
    expect([a.own, b.own]).toEqual([5, 5]);
    reload(b, MORE);
    farm.run(3);
    expect([...a.desk.refused(), ...b.desk.refused()]).toEqual([]);
    expectAll([a, b], 10);
    expect([a.own, b.own]).toEqual([5, 5]);
    expect(a.desk.totals()['taken-over'] + b.desk.totals()['taken-over']).toBe(0);
  });

  test('… and when it dies meanwhile its tunnels are the other’s', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 4; n++) connect(a, n);
    farm.run(1);
    reload(a, MORE);
    farm.run(5);
    a.die();
    farm.run(6);
    expectAll([b], 4);
    expect(b.own).toBe(4);
  });
});

describe('a bus that falls apart', () => {
  /** Two members with ten tunnels each, which both have. */
  function pair(): [ShareMember, ShareMember] {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    for (let n = 0; n < 20; n++) connect(n % 2 === 0 ? a : b, n);
    farm.run(1);
    return [a, b];
  }

  test('both go on with everything; when it is whole again each has its own and no tunnel is lost', () => {
    const [a, b] = pair();
    farm.hears = () => false;
    farm.run(8);
    expect([a.own, b.own]).toEqual([20, 20]);
    connect(a, 40);
    connect(b, 41);
    // Meanwhile one ends, at the one that had it first.
    a.send(udpFrame(client(2), VIP, stopccn({ tunnel: 1003, assigned: 3, ns: 4, nr: 2 })));
    farm.hears = () => true;
    farm.run(10);
    expectAll([a, b], 22);
    expect([a.own, b.own]).toEqual([11, 11]);
    expect(a.tunnels.filter((row) => / closing /.test(row))).toHaveLength(1);
    for (const n of [0, 1, 3, 19, 40, 41]) for (const member of [a, b]) expect(flows(member, n)).toBe(true);
  });

  test('a member that is off the bus and speaks in the gateway group keeps its tunnels, until it is silent there too', () => {
    const [a, b] = pair();
    farm.groupHears = () => true;
    farm.hears = () => false;
    farm.run(40);
    expect([a.own, b.own]).toEqual([10, 10]);
    farm.hears = () => true;
    farm.run(5);
    expectAll([a, b], 20);
    expect([a.own, b.own]).toEqual([10, 10]);
    // Dead: neither hears it any more.
    farm.hears = () => false;
    farm.groupHears = () => false;
    farm.run(8);
    expect(b.own).toBe(20);
  });
});

describe('a request that came to two members', () => {
  test('where its tunnel never stood it gives way', () => {
    farm = new ShareFarm(YAML);
    const [a, b] = [farm.start(1), farm.start(2)];
    farm.run(3);
    b.send(udpFrame(client(7), VIP, sccrq({ assigned: 8 })));
    connect(a, 7);
    farm.run(3);
    expectAll([a, b], 1);
    expect(a.own).toBe(1);
    expect(a.tunnels[0]).toMatch(/established/);
  });
});

describe('whatever happens', () => {
  const SEEDS = Number(process.env.TD_SEEDS ?? 2);
  test.each(Array.from({ length: SEEDS }, (_, n) => n + 1))(
    'seed %i: when it is over all tables are equal, and nothing was lost',
    (seed) => {
      farm = new ShareFarm(YAML, seed);
      for (const number of [1, 2, 3]) farm.start(number);
      farm.run(3);
      farm.loss = 0.02;
      farm.delay = 0.01;
      const alive = new Set<number>();
      const memories = new Map<number, ShareMember>();
      let next = 0;
      const pick = <T>(of: readonly T[]): T => of[Math.floor(farm.random() * of.length)];
      for (let step = 0; step < 30; step++) {
        const dice = farm.random();
        if (dice < 0.6) {
          for (let n = 0; n < 4 && farm.members.length > 0; n++) {
            connect(pick(farm.members), next);
            alive.add(next++);
          }
          // What is made in the last moments before a death may not have been told.
          farm.run(1.5);
        } else if (dice < 0.7 && farm.members.length > 1) {
          const victim = pick(farm.members);
          // One that still waits for what the others have holds nothing that they do not.
          memories.set(victim.number, victim);
          victim.die();
          farm.run(farm.random() * 8);
        } else if (dice < 0.85) {
          const number = pick([1, 2, 3]);
          if (!farm.members.some((member) => member.number === number))
            farm.start(number, farm.random() < 0.5 ? memories.get(number)?.appliance.memory : undefined);
          // Till it has everything: whoever is the last with a copy may not die before.
          farm.run(5 + farm.random() * 6);
        } else {
          const cut = pick([1, 2, 3]);
          farm.hears = (from, to) => from !== cut && to !== cut;
          farm.run(farm.random() * 8);
          farm.hears = () => true;
          farm.run(6);
        }
      }
      farm.loss = 0;
      farm.run(40);
      const ids = (member: ShareMember): number[] =>
        member.appliance.rows
          .tunnels()
          .map(({ clientTunnelId }) => Number(clientTunnelId) - 1)
          .sort((x, y) => x - y);
      expect(ids(farm.members[0])).toEqual([...alive]);
      expectAll(farm.members, alive.size);
      for (const n of alive) for (const member of farm.members) expect(flows(member, n)).toBe(true);
    },
    120_000,
  );
});
